#include "slm/sampler.h"

#include <math.h>

enum shoal_err sampler__check(const struct sampler_params *params, struct errbuf *why)
{
    /* Written so that NaN fails. */
    if (!(params->temperature >= 0 && params->temperature <= SAMPLER_TEMPERATURE_MAX)) {
        return err_set(why, SHOAL_EINVAL, "temperature: from 0 to %g",
                       (double)SAMPLER_TEMPERATURE_MAX);
    }
    if (!(params->top_p >= 0 && params->top_p <= 1)) {
        return err_set(why, SHOAL_EINVAL, "top_p: above 0, at most 1");
    }
    return SHOAL_OK;
}

static bool chain_add(struct llama_sampler *chain, struct llama_sampler *part)
{
    if (part == NULL) {
        return false;
    }
    llama_sampler_chain_add(chain, part); /* takes it */
    return true;
}

enum shoal_err sampler__init(struct sampler *s, const struct sampler_params *params,
                             const struct llama_vocab *vocab)
{
    *s = (struct sampler){ .vocab_len = llama_vocab_n_tokens(vocab) };
    if (params->temperature == 0) {
        return SHOAL_OK;
    }
    struct llama_sampler_chain_params chain_params = llama_sampler_chain_default_params();
    chain_params.no_perf = true;
    s->chain = llama_sampler_chain_init(chain_params);
    bool ok = s->chain != NULL && chain_add(s->chain, llama_sampler_init_temp(params->temperature));
    if (ok && params->top_k > 0 && params->top_k < (uint32_t)s->vocab_len) {
        ok = chain_add(s->chain, llama_sampler_init_top_k((int32_t)params->top_k));
    }
    if (ok && params->top_p > 0 && params->top_p < 1) {
        ok = chain_add(s->chain, llama_sampler_init_top_p(params->top_p, 1));
    }
    /* libllama takes one value of the seed for "draw one yourself": it must repeat like any. */
    uint32_t seed = params->seed == LLAMA_DEFAULT_SEED ? 0 : params->seed;
    if (!ok || !chain_add(s->chain, llama_sampler_init_dist(seed))) {
        sampler__release(s);
        return SHOAL_ENOMEM;
    }
    return SHOAL_OK;
}

void sampler__release(struct sampler *s)
{
    if (s->chain != NULL) {
        llama_sampler_free(s->chain);
    }
    *s = (struct sampler){ .chain = NULL };
}

static llama_token likeliest(const float *logits, int32_t len)
{
    llama_token best = LLAMA_TOKEN_NULL;
    for (int32_t i = 0; i < len; i++) {
        if (!isnan(logits[i]) && (best < 0 || logits[i] > logits[best])) {
            best = i;
        }
    }
    return best;
}

llama_token sampler__pick(struct sampler *s, struct llama_context *ctx, int32_t at)
{
    const float *logits = llama_get_logits_ith(ctx, at);
    if (logits == NULL) {
        return LLAMA_TOKEN_NULL;
    }
    llama_token best = likeliest(logits, s->vocab_len);
    if (best < 0 || s->chain == NULL) {
        return best;
    }
    return llama_sampler_sample(s->chain, ctx, at);
}
