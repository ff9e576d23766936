/* Clean: bytes that may be anything to UTF-8 text without control characters. Private to the room.
 * Errors stay in buf.failed. */
#ifndef SHOAL_SLM_CLEAN_H
#define SHOAL_SLM_CLEAN_H

#include "base/buf.h"
#include "base/slice.h"

#include <stdbool.h>

/* Appends one line: one blank between words, none around them. What is no UTF-8 becomes U+FFFD,
 * control characters blanks; characters of no width (soft hyphen, byte order mark) are left out. */
void clean__line(struct slice text, struct buf *out);

/* Appends lines as they stand, tabs too, without blanks at their ends and without empty lines
 * before the first and behind the last. */
void clean__lines(struct slice text, struct buf *out);

/* Is there a letter, a digit or a symbol in it: anything but blanks, commas and the like? */
bool clean__says_something(struct slice text);

#endif
