/* Model: one opened GGUF file, and the one-time set-up of libllama. Private to the room.
 *
 * Threads: model__open from any; what it opened is immutable and may be read from any. */
#ifndef SHOAL_SLM_MODEL_H
#define SHOAL_SLM_MODEL_H

#include "base/err.h"
#include "base/slice.h"
#include "slm/engine.h"

#include <llama.h>
#include <stdint.h>

struct model {
    struct llama_model *llama; /* owned */
    const struct llama_vocab *vocab;
    struct model_info info;
};

/* Checks and loads. On failure *out is zeroed. Errors as embedder_open's. */
SHOAL_MUST_CHECK enum shoal_err model__open(const struct model_file *file, struct model *out,
                                            struct errbuf *why);
/* A zeroed model is fine. */
void model__release(struct model *m);

/* Number of threads for a config's value: itself, or the number of cores for 0. */
uint32_t model__threads(uint32_t configured);

/* Tokens of the text in a new array (mem_free), *len_out of them; `marks` adds the model's own
 * beginning and end, `control` lets text name control tokens. An empty text gives NULL and 0.
 * SHOAL_ETOOBIG over the INT32_MAX of libllama; SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err model__tokenize(const struct model *m, struct slice text,
                                                bool marks, bool control, llama_token **out,
                                                size_t *len_out);

#define MODEL_REASON_MAX 256
/* The reason libllama logged last for a failure in this thread, and forgets it; "" for none. */
void model__reason(char out[MODEL_REASON_MAX]);

#endif
