/* Sentence: where sentences begin and end.
 *
 * A sentence ends at . ! ? or an ellipsis (with the closing quotes and brackets behind it) before a
 * blank and a word that can begin one, at the full stops of Chinese, Japanese, Hindi and Arabic,
 * and at a line's end when the line is a block of its own (an empty line, a list item, a row of a
 * table). Not at abbreviations ("e.g.", "Dr.", "U.S."), initials, decimals, file names and
 * versions. Citation marks behind the stop ("It is. [2] Then") belong to the sentence they follow.
 *
 * Pure. Threads: any. */
#ifndef SHOAL_SLM_SENTENCE_H
#define SHOAL_SLM_SENTENCE_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>

struct sentence_iter {
    struct slice text;
    size_t at;
    bool is_block; /* the line at `at` is an item or a row, and ends with its sentence */
};

struct sentence {
    size_t begin; /* first byte that is no blank */
    size_t end;   /* behind its last byte, blanks not included */
};

struct sentence_iter sentence_iter(struct slice text);
/* False at the end. Sentences are in order, never empty, and all non-blank bytes are in one. */
bool sentence_next(struct sentence_iter *it, struct sentence *out);

/* Does a line that is a block of its own (a list item, a Markdown heading, a row that begins with a
 * bar) begin at byte `at`? */
bool sentence_block_begins(struct slice text, size_t at);

#endif
