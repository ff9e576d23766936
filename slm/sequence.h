/* Sequence: one request on its way through the model. Private to the room.
 *
 * A request is made by the thread that submits it and belongs to the generator from then on. Until
 * it is admitted it is data; after that the generator's thread drives it: prompt tokens in, then
 * one token out and in again, until it ends and its on_end is called.
 *
 * Threads: the generator's, but for `canceled`, which any may set. */
#ifndef SHOAL_SLM_SEQUENCE_H
#define SHOAL_SLM_SEQUENCE_H

#include "base/err.h"
#include "slm/chat.h"
#include "slm/generator.h"
#include "slm/model.h"
#include "slm/prefix.h"
#include "slm/sampler.h"
#include "slm/text_stream.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct sequence {
    /* immutable once submitted */
    uint64_t id;
    struct chat_tokens prompt;
    uint32_t tokens_max; /* to generate */
    struct sampler_params sampling;
    struct slice stops[GENERATOR_STOPS_MAX]; /* into stop_bytes */
    size_t stops_len;
    char *stop_bytes;
    uint64_t deadline_ns; /* UINT64_MAX: none */
    uint64_t submitted_ns;
    bool (*on_piece)(void *arg, struct slice text);
    void (*on_end)(void *arg, const struct generation *end);
    void *arg;

    _Atomic bool canceled;
    struct sequence *next; /* in the queue */

    /* the generator's thread, from admission on */
    const struct model *model;
    struct llama_context *ctx;
    llama_seq_id seq;
    uint32_t past;     /* tokens whose state is in the context */
    bool keep_prefix;  /* the constant tokens' state is to be kept once they are in */
    llama_token token; /* generated, not yet in the context */
    int32_t at;        /* its place in the batch, or -1 */
    struct sampler sampler;
    struct text_stream text;
    struct buf piece;
    struct generation end;
    bool ended;
    struct errbuf why;
};

/* Copies the request and tokenizes it. On failure *out is NULL. Errors as generator_submit's. */
SHOAL_MUST_CHECK enum shoal_err sequence__new(const struct model *model, uint32_t context_tokens,
                                              const struct generator_request *request,
                                              struct sequence **out, struct errbuf *why);
void sequence__free(struct sequence *s); /* NULL is fine */

/* Cells of the context that it may come to use. */
uint32_t sequence__cells(const struct sequence *s);

/* Gives it a place: an empty sequence of the context. May end it (out of memory). */
void sequence__admit(struct sequence *s, const struct model *model, struct llama_context *ctx,
                     llama_seq_id seq, struct prefix_cache *prefixes, uint64_t now_ns);
bool sequence__generating(const struct sequence *s);
/* Ends it when it was cancelled or its deadline passed. */
void sequence__check(struct sequence *s, uint64_t now_ns);
/* Adds its next tokens to the batch, at most `room`, and says how many. */
uint32_t sequence__feed(struct sequence *s, struct llama_batch *batch, uint32_t room);
/* The batch has been computed: takes the next token, hands out text, and may end. */
void sequence__advance(struct sequence *s, struct prefix_cache *prefixes, uint64_t now_ns);
void sequence__fail(struct sequence *s, enum shoal_err rc, const char *why);
/* Calls on_end with how it ended; it must have. The last call before sequence__free. */
void sequence__report(struct sequence *s, uint64_t now_ns);

#endif
