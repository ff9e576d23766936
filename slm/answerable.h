/* Answerable: did retrieval find anything good enough to ask the model about?
 *
 * Small models answer whatever they are asked, so abstaining is decided here, before the model,
 * from the cosine of the best passages and from how many of the question's content words they have.
 * The threshold is for all-MiniLM-L6-v2. bench/bench_answerable.c measures it: on 625 questions
 * about 120 passages (SQuAD) the passage that fits best by both measures is the right one for 95 %
 * (by cosine alone for 89 %); 14 % of the questions are not asked although their passage is there,
 * and 19 % are although it has been taken away.
 *
 * Pure. Threads: any. */
#ifndef SHOAL_SLM_ANSWERABLE_H
#define SHOAL_SLM_ANSWERABLE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A passage with less is not worth asking the model about. */
#define ANSWERABLE_SCORE_MIN 0.75f

struct answerable_passage {
    struct slice title;
    struct slice text;
    float cosine;
};

struct answerable {
    bool yes;
    uint32_t best; /* the passage that fits the question best by both measures */
    float score;   /* of it: at least ANSWERABLE_SCORE_MIN for yes */
    float cosine;  /* of it */
    float overlap; /* of it: share of the question's content words, 0..1 */
};

/* No passage is a no. SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err answerable_decide(struct slice question,
                                                  const struct answerable_passage *passages,
                                                  size_t len, struct arena *arena,
                                                  struct answerable *out);

#endif
