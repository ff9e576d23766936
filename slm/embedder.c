/* Embedder.
 *
 * Calls stand in a ring. The thread fills a batch by going round it and taking one text from each
 * call, computes without the lock, and wakes the calls whose last text that was. A batch is small
 * on purpose: measured with all-MiniLM-L6-v2 on two threads, packing 14-token texts up to about 100
 * tokens a batch raises 4,600 tokens/s to 8,000, while packing 220-token texts lowers 7,500 to
 * 5,300, since attention is computed over the whole batch and masked after.
 *
 * A call that gives up (deadline) leaves the ring at once, but stays until the batch that holds one
 * of its texts is through: the thread writes into the caller's memory. */
#include "slm/embedder.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "slm/model.h"

#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#define BATCH_TOKENS_AIM 128
#define BATCH_TEXTS_MAX 32
/* Models with a longer context exist; a passage to embed is not that long, and the thread's
 * buffers grow with it. */
#define CONTEXT_TOKENS_MAX 2048

struct call {
    const llama_token *tokens; /* of all texts, one after the other */
    const uint32_t *ends;      /* where in tokens text i ends */
    size_t len;                /* texts */
    size_t taken;              /* texts that went into a batch */
    size_t done;               /* texts that came out of one */
    float *vectors;            /* the caller's */
    enum shoal_err rc;         /* first failure */
    bool in_ring;
    struct call *next; /* in the ring */
    struct call *prev;
    struct cond finished;
};

struct embedder {
    /* immutable after open */
    struct model model;
    uint32_t queue_texts_max;

    /* the thread's own */
    struct llama_context *ctx;
    struct llama_batch batch;
    bool clears_memory; /* a decoder used as embedder keeps state between batches */

    /* under lock */
    struct mutex lock;
    struct cond work;
    struct cond left;  /* a call has ended: close waits for the last */
    struct call *ring; /* the next one to take a text from */
    size_t queued_texts;
    size_t calls;
    bool closing;

    struct thread thread;
};

struct batch_text {
    struct call *call;
    size_t text;
};

/* --- the ring ------------------------------------------------------------------------------- */

static void ring_add(struct embedder *e, struct call *c)
{
    c->in_ring = true;
    if (e->ring == NULL) {
        c->next = c->prev = c;
        e->ring = c;
        return;
    }
    c->next = e->ring; /* before the next one is behind all others */
    c->prev = e->ring->prev;
    c->prev->next = c;
    c->next->prev = c;
}

static void ring_remove(struct embedder *e, struct call *c)
{
    if (!c->in_ring) {
        return;
    }
    c->in_ring = false;
    e->queued_texts -= c->len - c->taken;
    if (c->next == c) {
        e->ring = NULL;
        return;
    }
    c->next->prev = c->prev;
    c->prev->next = c->next;
    if (e->ring == c) {
        e->ring = c->next;
    }
}

static uint32_t text_begin(const struct call *c, size_t text)
{
    return text == 0 ? 0 : c->ends[text - 1];
}

/* --- the thread ----------------------------------------------------------------------------- */

static void batch_put(struct llama_batch *b, const struct call *c, size_t text, size_t seq)
{
    llama_pos pos = 0;
    for (uint32_t i = text_begin(c, text); i < c->ends[text]; i++, pos++) {
        int32_t at = b->n_tokens++;
        b->token[at] = c->tokens[i];
        b->pos[at] = pos;
        b->n_seq_id[at] = 1;
        b->seq_id[at][0] = (llama_seq_id)seq;
        b->logits[at] = 1;
    }
}

/* Fills the batch with at least one text when there is one. Under the lock. */
static size_t batch_fill(struct embedder *e, struct batch_text *texts)
{
    size_t n = 0;
    e->batch.n_tokens = 0;
    while (e->ring != NULL && n < BATCH_TEXTS_MAX) {
        struct call *c = e->ring;
        uint32_t tokens = c->ends[c->taken] - text_begin(c, c->taken);
        if (n > 0 && (uint32_t)e->batch.n_tokens + tokens > BATCH_TOKENS_AIM) {
            break;
        }
        batch_put(&e->batch, c, c->taken, n);
        texts[n++] = (struct batch_text){ .call = c, .text = c->taken };
        c->taken++;
        e->queued_texts--;
        e->ring = c->next;
        if (c->taken == c->len) {
            ring_remove(e, c);
        }
    }
    return n;
}

/* Scales to unit length. False for what has none: a failed computation. */
static bool normalize(const float *from, float *to, uint32_t dim)
{
    double sum = 0;
    for (uint32_t i = 0; i < dim; i++) {
        sum += (double)from[i] * (double)from[i];
    }
    if (!isfinite(sum) || sum <= 0) {
        return false;
    }
    double scale = 1 / sqrt(sum);
    for (uint32_t i = 0; i < dim; i++) {
        to[i] = (float)((double)from[i] * scale);
    }
    return true;
}

/* Computes the batch; rcs[i] is how text i came out. Without the lock: a call in a batch is not
 * freed before `done` says so. */
static void batch_run(struct embedder *e, const struct batch_text *texts, size_t n,
                      enum shoal_err *rcs)
{
    if (e->clears_memory) {
        llama_memory_clear(llama_get_memory(e->ctx), false);
    }
    bool ok = llama_decode(e->ctx, e->batch) == 0;
    uint32_t dim = e->model.info.dim;
    for (size_t i = 0; i < n; i++) {
        const float *row = ok ? llama_get_embeddings_seq(e->ctx, (llama_seq_id)i) : NULL;
        float *to = texts[i].call->vectors + texts[i].text * dim;
        rcs[i] = row != NULL && normalize(row, to, dim) ? SHOAL_OK : SHOAL_EIO;
    }
}

static void batch_finish(struct embedder *e, const struct batch_text *texts, size_t n,
                         const enum shoal_err *rcs)
{
    for (size_t i = 0; i < n; i++) {
        struct call *c = texts[i].call;
        c->done++;
        if (rcs[i] != SHOAL_OK && c->rc == SHOAL_OK) {
            c->rc = rcs[i];
            ring_remove(e, c);
        }
        if (c->done == c->taken && !c->in_ring) {
            cond_signal(&c->finished);
        }
    }
}

static void embedder_run(void *arg)
{
    struct embedder *e = arg;
    struct batch_text texts[BATCH_TEXTS_MAX];
    enum shoal_err rcs[BATCH_TEXTS_MAX];
    mutex_lock(&e->lock);
    for (;;) {
        while (e->ring == NULL && !e->closing) {
            cond_wait(&e->work, &e->lock);
        }
        if (e->ring == NULL) {
            break; /* closing, and every call has been taken out */
        }
        size_t n = batch_fill(e, texts);
        mutex_unlock(&e->lock);
        batch_run(e, texts, n, rcs);
        mutex_lock(&e->lock);
        batch_finish(e, texts, n, rcs);
    }
    mutex_unlock(&e->lock);
}

/* --- open and close ------------------------------------------------------------------------- */

static enum shoal_err make_context(struct embedder *e, uint32_t threads, struct errbuf *why)
{
    struct model_info *info = &e->model.info;
    char reason[MODEL_REASON_MAX];
    if (info->context_tokens > CONTEXT_TOKENS_MAX) {
        info->context_tokens = CONTEXT_TOKENS_MAX;
    }
    uint32_t tokens = info->context_tokens > BATCH_TOKENS_AIM ? info->context_tokens
                                                              : BATCH_TOKENS_AIM;
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = params.n_batch = params.n_ubatch = tokens;
    params.n_seq_max = BATCH_TEXTS_MAX;
    params.n_threads = params.n_threads_batch = (int32_t)threads;
    params.embeddings = true;
    params.kv_unified = true; /* one text may use the whole context */
    params.no_perf = true;
    model__reason(reason);
    e->ctx = llama_init_from_model(e->model.llama, params);
    model__reason(reason);
    if (e->ctx == NULL) {
        return err_set(why, SHOAL_EINVAL, "libllama makes no context: %s", reason);
    }
    enum llama_pooling_type pooling = llama_pooling_type(e->ctx);
    if (pooling == LLAMA_POOLING_TYPE_NONE || pooling == LLAMA_POOLING_TYPE_RANK) {
        return err_set(why, SHOAL_EINVAL,
                       "%s is no embedding model: its file names no pooling that makes one vector "
                       "of a text",
                       info->name);
    }
    e->clears_memory = llama_get_memory(e->ctx) != NULL;
    e->batch = llama_batch_init((int32_t)tokens, 0, 1);
    return e->batch.token == NULL ? SHOAL_ENOMEM : SHOAL_OK;
}

enum shoal_err embedder_open(const struct embedder_config *config, struct embedder **out,
                             struct errbuf *why)
{
    *out = NULL;
    if (config->threads > MODEL_THREADS_MAX) {
        return err_set(why, SHOAL_EINVAL, "threads: at most %d", MODEL_THREADS_MAX);
    }
    struct embedder *e = mem_calloc(1, sizeof(*e));
    if (e == NULL) {
        return SHOAL_ENOMEM;
    }
    mutex_init(&e->lock);
    cond_init(&e->work);
    cond_init(&e->left);
    e->queue_texts_max = config->queue_texts_max == 0 ? EMBEDDER_QUEUE_TEXTS_DEFAULT
                                                      : config->queue_texts_max;
    enum shoal_err rc = model__open(&config->model, &e->model, why);
    if (rc == SHOAL_OK) {
        rc = make_context(e, model__threads(config->threads), why);
    }
    if (rc == SHOAL_OK) {
        rc = thread_start(&e->thread, "embedder", embedder_run, e, why);
    }
    if (rc != SHOAL_OK) {
        embedder_close(e);
        return rc;
    }
    *out = e;
    return SHOAL_OK;
}

void embedder_close(struct embedder *e)
{
    if (e == NULL) {
        return;
    }
    mutex_lock(&e->lock);
    e->closing = true;
    while (e->ring != NULL) {
        struct call *c = e->ring;
        ring_remove(e, c);
        c->rc = SHOAL_ECANCELED;
        if (c->done == c->taken) {
            cond_signal(&c->finished);
        }
    }
    cond_signal(&e->work);
    while (e->calls > 0) {
        cond_wait(&e->left, &e->lock);
    }
    mutex_unlock(&e->lock);
    thread_join(&e->thread);
    if (e->batch.token != NULL) {
        llama_batch_free(e->batch);
    }
    if (e->ctx != NULL) {
        llama_free(e->ctx);
    }
    model__release(&e->model);
    cond_release(&e->left);
    cond_release(&e->work);
    mutex_release(&e->lock);
    mem_free(e);
}

const struct model_info *embedder_info(const struct embedder *e)
{
    return &e->model.info;
}

/* --- calls ---------------------------------------------------------------------------------- */

/* All texts' tokens in one array, each cut to the model's context. */
struct token_list {
    llama_token *tokens;
    size_t len;
    size_t cap;
    uint32_t *ends;
};

static enum shoal_err list_grow(struct token_list *list, size_t more)
{
    size_t need = 0;
    if (!size_add(list->len, more, &need)) {
        return SHOAL_ENOMEM;
    }
    if (need <= list->cap) {
        return SHOAL_OK;
    }
    size_t cap = need + need / 2;
    size_t bytes = 0;
    if (!size_mul(cap, sizeof(*list->tokens), &bytes)) {
        return SHOAL_ENOMEM;
    }
    llama_token *grown = mem_realloc(list->tokens, bytes);
    if (grown == NULL) {
        return SHOAL_ENOMEM;
    }
    list->tokens = grown;
    list->cap = cap;
    return SHOAL_OK;
}

static enum shoal_err list_add(const struct embedder *e, struct token_list *list, struct slice text,
                               struct embedded *each)
{
    llama_token *tokens = NULL;
    size_t len = 0;
    enum shoal_err rc = model__tokenize(&e->model, text, true, false, &tokens, &len);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (len == 0) { /* an empty text, and a model without marks */
        len = 1;
        tokens = mem_array(1, sizeof(*tokens));
        if (tokens == NULL) {
            return SHOAL_ENOMEM;
        }
        tokens[0] = llama_vocab_bos(e->model.vocab);
        tokens[0] = tokens[0] < 0 ? 0 : tokens[0];
    }
    size_t max = e->model.info.context_tokens;
    *each = (struct embedded){ .tokens = (uint32_t)len, .truncated = len > max };
    if (len > max) {
        /* The mark at the end is a part of what the model learned: it moves up. */
        if (llama_vocab_is_control(e->model.vocab, tokens[len - 1])) {
            tokens[max - 1] = tokens[len - 1];
        }
        each->tokens = (uint32_t)max;
    }
    rc = list_grow(list, each->tokens);
    if (rc == SHOAL_OK) {
        memcpy(list->tokens + list->len, tokens, each->tokens * sizeof(*tokens));
        list->len += each->tokens;
    }
    mem_free(tokens);
    return rc;
}

static enum shoal_err tokenize_all(const struct embedder *e, const struct slice *texts, size_t len,
                                   struct token_list *list, struct embedded *each_out,
                                   struct errbuf *why)
{
    list->ends = mem_array(len, sizeof(*list->ends));
    if (list->ends == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t i = 0; i < len; i++) {
        if (texts[i].len > EMBEDDER_TEXT_BYTES_MAX) {
            return err_set(why, SHOAL_ETOOBIG, "text %zu has %zu bytes, at most %d: cut it", i,
                           texts[i].len, EMBEDDER_TEXT_BYTES_MAX);
        }
        struct embedded each;
        enum shoal_err rc = list_add(e, list, texts[i], &each);
        if (rc != SHOAL_OK) {
            return rc;
        }
        list->ends[i] = (uint32_t)list->len;
        if (each_out != NULL) {
            each_out[i] = each;
        }
    }
    return SHOAL_OK;
}

/* Puts the call in the ring and waits for it. Under the lock. */
static enum shoal_err call_run(struct embedder *e, struct call *c, uint64_t deadline_ns,
                               struct errbuf *why)
{
    if (e->closing) {
        return err_set(why, SHOAL_ECANCELED, "the embedder is closing");
    }
    if (e->queued_texts + c->len > e->queue_texts_max) {
        return err_set(why, SHOAL_EBUSY, "%zu texts wait for the embedder already: try again later",
                       e->queued_texts);
    }
    e->queued_texts += c->len;
    ring_add(e, c);
    cond_signal(&e->work);
    while (c->in_ring || c->done < c->taken) {
        if (!c->in_ring) {
            cond_wait(&c->finished, &e->lock); /* a batch is short */
        } else if (!cond_wait_until(&c->finished, &e->lock, deadline_ns) && c->in_ring) {
            ring_remove(e, c);
            c->rc = SHOAL_ETIMEOUT;
        }
    }
    if (c->rc == SHOAL_ETIMEOUT) {
        return err_set(why, c->rc, "deadline passed after %zu of %zu texts", c->done, c->len);
    }
    return c->rc == SHOAL_OK ? SHOAL_OK : err_set(why, c->rc, "the model failed on a text");
}

enum shoal_err embedder_embed(struct embedder *e, const struct slice *texts, size_t len,
                              uint64_t deadline_ns, float *vectors, struct embedded *each_out,
                              struct errbuf *why)
{
    if (len == 0) {
        return err_set(why, SHOAL_EINVAL, "no text to embed");
    }
    if (len > EMBEDDER_TEXTS_MAX) {
        return err_set(why, SHOAL_ETOOBIG, "%zu texts, at most %d in one call", len,
                       EMBEDDER_TEXTS_MAX);
    }
    struct token_list list = { .tokens = NULL };
    enum shoal_err rc = tokenize_all(e, texts, len, &list, each_out, why);
    if (rc == SHOAL_OK) {
        struct call c = {
            .tokens = list.tokens, .ends = list.ends, .len = len, .vectors = vectors
        };
        cond_init(&c.finished);
        mutex_lock(&e->lock);
        e->calls++;
        rc = call_run(e, &c, deadline_ns, why);
        e->calls--;
        cond_signal(&e->left);
        mutex_unlock(&e->lock);
        cond_release(&c.finished);
    }
    mem_free(list.tokens);
    mem_free(list.ends);
    return rc;
}
