/* Embedder: texts to vectors of unit length, by a BERT-like model with pooling.
 *
 * One thread owns the model's context. Callers hand it their texts and wait; texts of several
 * callers share a batch, taken in turns one text from each, so that a question does not wait for
 * the end of an ingest. A text longer than the model's context is cut at a token, and that is
 * reported.
 *
 * The same text gives the same vector up to rounding (cosine above 0.9999) whatever it was batched
 * with, and bit for bit the same when it is alone.
 *
 * Threads: embedder_embed and embedder_info from any thread. */
#ifndef SHOAL_SLM_EMBEDDER_H
#define SHOAL_SLM_EMBEDDER_H

#include "base/err.h"
#include "base/slice.h"
#include "slm/engine.h"

#include <stddef.h>
#include <stdint.h>

#define EMBEDDER_TEXTS_MAX 4096           /* in one call */
#define EMBEDDER_TEXT_BYTES_MAX (1 << 20) /* of one text; more is SHOAL_ETOOBIG */
#define EMBEDDER_QUEUE_TEXTS_DEFAULT 8192

struct embedder;

struct embedder_config {
    struct model_file model;
    uint32_t threads;         /* 1..MODEL_THREADS_MAX; 0: as many as the machine has cores */
    uint32_t queue_texts_max; /* waiting texts of all callers; 0: the default */
};

/* What became of one text. */
struct embedded {
    uint32_t tokens; /* that went into the vector, the model's own marks included */
    bool truncated;  /* the text had more */
};

/* Loads the model (blocks: reads and checks the file) and starts the thread. On failure *out is
 * NULL. SHOAL_ENOTFOUND, SHOAL_EIO the file; SHOAL_ECORRUPT another SHA-256 than expected;
 * SHOAL_EINVAL no GGUF, not an embedding model, or the config; SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err embedder_open(const struct embedder_config *config,
                                              struct embedder **out, struct errbuf *why);
/* Waits for the calls under way to end (they fail with SHOAL_ECANCELED) and frees. NULL is fine. */
void embedder_close(struct embedder *e);

/* Valid until close. */
const struct model_info *embedder_info(const struct embedder *e);

/* Embeds texts[0..len) into vectors, len rows of info->dim floats, each of unit length; each_out
 * (may be NULL) gets len entries. An empty text has a vector too: that of the model's marks alone.
 * Blocks until done or until deadline_ns on the monotonic clock; on failure vectors is unspecified
 * and nothing of the call remains queued. SHOAL_EINVAL len of 0; SHOAL_ETOOBIG more than
 * EMBEDDER_TEXTS_MAX texts or a text over its limit; SHOAL_EBUSY queue full; SHOAL_ETIMEOUT;
 * SHOAL_ECANCELED closing; SHOAL_EIO the model failed; SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err embedder_embed(struct embedder *e, const struct slice *texts,
                                               size_t len, uint64_t deadline_ns, float *vectors,
                                               struct embedded *each_out, struct errbuf *why);

#endif
