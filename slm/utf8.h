/* UTF-8, one character at a time, for bytes that may be anything. Private to the room. */
#ifndef SHOAL_SLM_UTF8_H
#define SHOAL_SLM_UTF8_H

#include "base/buf.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

enum utf8_kind {
    UTF8_CHAR,       /* a character */
    UTF8_INVALID,    /* its first byte begins no character */
    UTF8_INCOMPLETE, /* the beginning of a character, cut off by the end */
};

struct utf8_step {
    enum utf8_kind kind;
    uint32_t code; /* of a character */
    size_t len;    /* bytes: of the character, 1 for invalid, all that is left for incomplete */
};

/* What stands at the beginning of n > 0 bytes. Overlong forms, surrogates and what is beyond
 * U+10FFFF are invalid. */
struct utf8_step utf8__step(const char *p, size_t n);

bool utf8__valid(struct slice s);

/* Space, tab, the ends of lines, and the blanks of other scripts; no-break ones too. */
bool utf8__is_blank(uint32_t code);

/* The greatest length <= max at which the text may be cut without splitting a character. */
size_t utf8__cut(struct slice s, size_t max);

#endif
