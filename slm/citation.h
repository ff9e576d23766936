/* Citation: does what is cited support what is said?
 *
 * Each sentence of an answer is held against the passage it cites - by a number in brackets, or the
 * passage that supports it best. The score is the share of the sentence's content words whose stem
 * stands in the passage, weighed so that a few sentences of it count more than the same words
 * scattered; a number or a name of the sentence that the passage has not is a contradiction and
 * makes the sentence unsupported whatever the score. Similarity of embeddings may lift a sentence
 * that says the same in other words, but never over a missing number or name.
 *
 * It is a check of words, not of logic: "A beat B" is supported by "B beat A".
 *
 * Pure. Threads: any. */
#ifndef SHOAL_SLM_CITATION_H
#define SHOAL_SLM_CITATION_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CITATION_SOURCES_MAX 64
#define CITATION_SENTENCES_MAX 256
#define CITATION_NONE UINT32_MAX
/* A sentence is supported from this score on; see tests/slm/test_citation.c for what that means. */
#define CITATION_SUPPORT_MIN 0.6f

struct citation_source {
    struct slice title; /* its words count as the passage's own */
    struct slice text;
};

struct citation_config {
    struct slice answer;
    struct slice question; /* its words and names need no support: "Paris is the capital of France"
                              answers "What is the capital of France?"; may be empty */
    const struct citation_source *sources;
    size_t sources_len;
    /* Cosine of sentence i (as sentence_next gives them) and source j at [i * sources_len + j], for
     * similarity_len sentences; NULL: not known. */
    const float *similarity;
    size_t similarity_len;
};

struct cited_sentence {
    size_t begin; /* in the answer; marks like [2] included */
    size_t end;
    uint32_t source; /* which passage, or CITATION_NONE when none has anything of it */
    bool cited;      /* the answer names that passage itself */
    bool supported;
    float support;     /* 0..1 */
    size_t span_begin; /* the sentence of the passage that supports it best */
    size_t span_end;
};

/* Sentences of the answer in order, in the arena. A sentence without content words (a bare "Yes.")
 * takes the support of the answer's question words; SHOAL_EINVAL, SHOAL_ETOOBIG too many sentences
 * or sources; SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err citation_check(const struct citation_config *config,
                                               struct arena *arena, struct cited_sentence **out,
                                               size_t *out_len, struct errbuf *why);

#endif
