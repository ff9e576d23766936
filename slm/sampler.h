/* Sampler: which token comes next. Private to the room.
 *
 * At temperature 0 the likeliest, the first of equals. Above it a draw: temperature, then the top_k
 * likeliest, then those that make up top_p, by a generator of its own seeded by the request.
 *
 * Threads: one at a time. */
#ifndef SHOAL_SLM_SAMPLER_H
#define SHOAL_SLM_SAMPLER_H

#include "base/err.h"

#include <llama.h>
#include <stdint.h>

struct sampler_params {
    float temperature; /* 0..SAMPLER_TEMPERATURE_MAX */
    uint32_t top_k;    /* 0: all */
    float top_p;       /* (0, 1]; 0 means 1 */
    uint32_t seed;
};

#define SAMPLER_TEMPERATURE_MAX 5.0f

struct sampler {
    struct llama_sampler *chain; /* NULL: the likeliest */
    int32_t vocab_len;
};

/* SHOAL_EINVAL what is out of range. */
SHOAL_MUST_CHECK enum shoal_err sampler__check(const struct sampler_params *params,
                                               struct errbuf *why);
/* params have passed sampler__check. SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err sampler__init(struct sampler *s,
                                              const struct sampler_params *params,
                                              const struct llama_vocab *vocab);
/* A zeroed one is fine. */
void sampler__release(struct sampler *s);
/* From the logits of the batch's token `at`; LLAMA_TOKEN_NULL when there are none to choose from
 * (every one is NaN). */
llama_token sampler__pick(struct sampler *s, struct llama_context *ctx, int32_t at);

#endif
