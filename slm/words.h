/* Words: a text as the words that it is about, so that two texts can be compared word by word.
 *
 * A word is a run of letters and digits, lower-cased and stemmed (Snowball, English); "1,000.5" is
 * one word, "don't" and "king's" lose what follows the apostrophe's s, and small numbers are the
 * same in words and digits. Stop words and the words that questions are asked with carry no
 * content. A name is a word with a capital that does not merely begin a sentence.
 *
 * Private to the room. Threads: any. */
#ifndef SHOAL_SLM_WORDS_H
#define SHOAL_SLM_WORDS_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct word {
    uint64_t stem; /* hash of it: equal words have equal ones */
    size_t begin;  /* in the text */
    size_t end;
    bool content;
    bool number;
    bool name;
};

struct words {
    struct word *list; /* in the arena */
    size_t len;
};

/* The words of the text in order. SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err words__of(struct slice text, struct arena *arena,
                                          struct words *out);
bool words__has(const struct words *w, uint64_t stem);
/* Content words, each counted once. */
size_t words__distinct(const struct words *w);

#endif
