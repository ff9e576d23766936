/* Generator: the queue, the thread, and what a decode step carries.
 *
 * Requests wait in order. The thread admits the first ones while a sequence is free and the context
 * has cells for all they may come to use, so an admitted request never runs out of context; the
 * first in line is not overtaken. A step carries one token of every request that generates, and
 * prompt tokens of those that are starting. Alone, prompts are read in large bites; beside others
 * in small ones, so that nobody's text stops for long.
 *
 * Keys and values are kept in bfloat16: for float16 libllama has faster paths that it takes by what
 * else is in a batch, and they round differently, so a request's greedy text would depend on its
 * neighbours. Measured with SmolLM2-135M: a tenth of the reading speed at 256 tokens.
 *
 * The lock guards the queue and the list of who is active. Callbacks and the model run without it.
 */
#include "slm/generator.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "slm/chat.h"
#include "slm/model.h"
#include "slm/prefix.h"
#include "slm/sequence.h"

#include <assert.h>
#include <string.h>

#define STEP_TOKENS_ALONE 256 /* prompt tokens in a step when nobody generates */
#define STEP_TOKENS_SHARED 64 /* when somebody does */

struct generator {
    /* immutable after open */
    struct model model;
    uint32_t sequences_max;
    uint32_t queue_len_max;
    uint32_t context_tokens;

    /* the thread's own */
    struct llama_context *ctx;
    struct llama_batch batch;
    struct prefix_cache prefixes;
    bool keeps_prefixes;
    uint32_t cells_free;
    bool seq_used[GENERATOR_SEQUENCES_MAX];

    /* under lock; `active` changes in the thread alone, which reads it without */
    struct mutex lock;
    struct cond work;
    struct sequence *first; /* waiting */
    struct sequence *last;
    uint32_t waiting;
    struct sequence *active[GENERATOR_SEQUENCES_MAX]; /* in order of admission */
    uint32_t active_len;
    uint64_t last_id;
    bool closing;

    struct thread thread;
};

static uint64_t now_ns(void)
{
    return clock_mono_ns(clock_real());
}

/* --- the queue, under the lock -------------------------------------------------------------- */

static void queue_push(struct generator *g, struct sequence *s)
{
    s->next = NULL;
    if (g->last == NULL) {
        g->first = s;
    } else {
        g->last->next = s;
    }
    g->last = s;
    g->waiting++;
}

static struct sequence *queue_pop(struct generator *g)
{
    struct sequence *s = g->first;
    g->first = s->next;
    g->last = g->first == NULL ? NULL : g->last;
    g->waiting--;
    s->next = NULL;
    return s;
}

/* Takes those out that have ended while waiting, as a list. */
static struct sequence *queue_sweep(struct generator *g, uint64_t now)
{
    struct sequence *ended = NULL;
    uint32_t n = g->waiting;
    for (uint32_t i = 0; i < n; i++) {
        struct sequence *s = queue_pop(g);
        if (g->closing) {
            atomic_store_explicit(&s->canceled, true, memory_order_relaxed);
        }
        sequence__check(s, now);
        if (s->ended) {
            s->next = ended;
            ended = s;
        } else {
            queue_push(g, s);
        }
    }
    return ended;
}

static void admit(struct generator *g)
{
    while (g->first != NULL && g->active_len < g->sequences_max &&
           sequence__cells(g->first) <= g->cells_free) {
        struct sequence *s = queue_pop(g);
        uint32_t seq = 0;
        while (g->seq_used[seq]) {
            seq++;
        }
        assert(seq < g->sequences_max);
        g->seq_used[seq] = true;
        g->cells_free -= sequence__cells(s);
        s->seq = (llama_seq_id)seq;
        g->active[g->active_len++] = s;
    }
}

/* --- the thread ----------------------------------------------------------------------------- */

static void report_all(struct sequence *list)
{
    while (list != NULL) {
        struct sequence *s = list;
        list = s->next;
        sequence__report(s, now_ns());
        sequence__free(s);
    }
}

/* Lets those go that have ended. */
static void retire(struct generator *g)
{
    for (uint32_t i = 0; i < g->active_len;) {
        struct sequence *s = g->active[i];
        if (!s->ended) {
            i++;
            continue;
        }
        (void)llama_memory_seq_rm(llama_get_memory(g->ctx), s->seq, -1, -1);
        mutex_lock(&g->lock); /* generator_cancel looks through the list */
        g->active_len--;
        memmove(&g->active[i], &g->active[i + 1], (g->active_len - i) * sizeof(g->active[0]));
        mutex_unlock(&g->lock);
        g->seq_used[s->seq] = false;
        g->cells_free += sequence__cells(s);
        sequence__report(s, now_ns());
        sequence__free(s);
    }
}

static void fill_batch(struct generator *g)
{
    uint32_t generating = 0;
    g->batch.n_tokens = 0;
    for (uint32_t i = 0; i < g->active_len; i++) {
        if (sequence__generating(g->active[i])) {
            generating += sequence__feed(g->active[i], &g->batch, 1);
        }
    }
    uint32_t room = generating > 0 ? STEP_TOKENS_SHARED : STEP_TOKENS_ALONE;
    for (uint32_t i = 0; i < g->active_len; i++) {
        struct sequence *s = g->active[i];
        if (!sequence__generating(s)) {
            room -= sequence__feed(s, &g->batch, room);
        }
    }
}

static void step(struct generator *g)
{
    char why[96];
    fill_batch(g);
    assert(g->batch.n_tokens > 0);
    int32_t rc = llama_decode(g->ctx, g->batch);
    snprintf(why, sizeof(why), "libllama failed on a decode step (%d)", (int)rc);
    uint64_t now = now_ns();
    for (uint32_t i = 0; i < g->active_len; i++) {
        if (rc != 0) {
            sequence__fail(g->active[i], SHOAL_EIO, why);
        } else {
            sequence__advance(g->active[i], &g->prefixes, now);
        }
    }
}

/* Waits for work, takes in what has come and reports what has ended unseen. False at the end. */
static bool take_in(struct generator *g)
{
    mutex_lock(&g->lock);
    while (g->first == NULL && g->active_len == 0 && !g->closing) {
        cond_wait(&g->work, &g->lock);
    }
    bool going = g->first != NULL || g->active_len > 0;
    bool closing = g->closing;
    struct sequence *ended = queue_sweep(g, now_ns());
    uint32_t before = g->active_len;
    admit(g);
    mutex_unlock(&g->lock);
    report_all(ended);
    for (uint32_t i = 0; i < g->active_len; i++) {
        struct sequence *s = g->active[i];
        if (i >= before) {
            sequence__admit(s, &g->model, g->ctx, s->seq, &g->prefixes, now_ns());
        }
        if (closing) {
            atomic_store_explicit(&s->canceled, true, memory_order_relaxed);
        }
        sequence__check(s, now_ns());
    }
    return going;
}

static void generator_run(void *arg)
{
    struct generator *g = arg;
    while (take_in(g)) {
        retire(g);
        if (g->active_len > 0) {
            step(g);
            retire(g);
        }
    }
}

/* --- open and close ------------------------------------------------------------------------- */

static enum shoal_err make_context(struct generator *g, uint32_t threads, uint32_t tokens,
                                   struct errbuf *why)
{
    char reason[MODEL_REASON_MAX];
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = tokens;
    params.n_batch = params.n_ubatch = STEP_TOKENS_ALONE + g->sequences_max;
    params.n_seq_max = g->sequences_max;
    params.n_outputs_max = g->sequences_max;
    params.n_threads = params.n_threads_batch = (int32_t)threads;
    params.type_k = params.type_v = GGML_TYPE_BF16;
    params.kv_unified = true; /* a long request may use what short ones do not */
    params.no_perf = true;
    model__reason(reason);
    g->ctx = llama_init_from_model(g->model.llama, params);
    model__reason(reason);
    if (g->ctx == NULL) {
        return err_set(why, SHOAL_EINVAL, "libllama makes no context: %s", reason);
    }
    if (llama_get_memory(g->ctx) == NULL || llama_pooling_type(g->ctx) > LLAMA_POOLING_TYPE_NONE) {
        return err_set(why, SHOAL_EINVAL, "%s is no generating model", g->model.info.name);
    }
    g->cells_free = llama_n_ctx(g->ctx);
    uint32_t trained = g->model.info.context_tokens;
    g->context_tokens = trained < g->cells_free ? trained : g->cells_free;
    g->model.info.context_tokens = g->context_tokens;
    g->model.info.chat = chat__supported(&g->model);
    /* A part of a sequence can be taken up again only where its state is one cell a token. */
    g->keeps_prefixes = !llama_model_is_recurrent(g->model.llama) &&
                        !llama_model_is_hybrid(g->model.llama) &&
                        llama_model_n_swa(g->model.llama) == 0;
    g->batch = llama_batch_init((int32_t)params.n_batch, 0, 1);
    return g->batch.token == NULL ? SHOAL_ENOMEM : SHOAL_OK;
}

static enum shoal_err check_config(const struct generator_config *config, struct errbuf *why)
{
    if (config->threads > MODEL_THREADS_MAX) {
        return err_set(why, SHOAL_EINVAL, "threads: at most %d", MODEL_THREADS_MAX);
    }
    if (config->sequences_max > GENERATOR_SEQUENCES_MAX) {
        return err_set(why, SHOAL_EINVAL, "sequences: at most %d", GENERATOR_SEQUENCES_MAX);
    }
    if (config->context_tokens != 0 && config->context_tokens < STEP_TOKENS_ALONE) {
        return err_set(why, SHOAL_EINVAL, "context: at least %d tokens", STEP_TOKENS_ALONE);
    }
    return SHOAL_OK;
}

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value == 0 ? fallback : value;
}

enum shoal_err generator_open(const struct generator_config *config, struct generator **out,
                              struct errbuf *why)
{
    *out = NULL;
    enum shoal_err rc = check_config(config, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct generator *g = mem_calloc(1, sizeof(*g));
    if (g == NULL) {
        return SHOAL_ENOMEM;
    }
    mutex_init(&g->lock);
    cond_init(&g->work);
    g->sequences_max = or_default(config->sequences_max, GENERATOR_SEQUENCES_DEFAULT);
    g->queue_len_max = or_default(config->queue_len_max, GENERATOR_QUEUE_DEFAULT);
    rc = model__open(&config->model, &g->model, why);
    if (rc == SHOAL_OK) {
        rc = make_context(g, model__threads(config->threads),
                          or_default(config->context_tokens, GENERATOR_CONTEXT_DEFAULT), why);
    }
    if (rc == SHOAL_OK) {
        rc = thread_start(&g->thread, "generator", generator_run, g, why);
    }
    if (rc != SHOAL_OK) {
        generator_close(g);
        return rc;
    }
    *out = g;
    return SHOAL_OK;
}

void generator_close(struct generator *g)
{
    if (g == NULL) {
        return;
    }
    mutex_lock(&g->lock);
    g->closing = true;
    cond_signal(&g->work);
    mutex_unlock(&g->lock);
    thread_join(&g->thread);
    assert(g->first == NULL && g->active_len == 0);
    prefix__release(&g->prefixes);
    if (g->batch.token != NULL) {
        llama_batch_free(g->batch);
    }
    if (g->ctx != NULL) {
        llama_free(g->ctx);
    }
    model__release(&g->model);
    cond_release(&g->work);
    mutex_release(&g->lock);
    mem_free(g);
}

/* --- calls ---------------------------------------------------------------------------------- */

const struct model_info *generator_info(const struct generator *g)
{
    return &g->model.info;
}

enum shoal_err generator_submit(struct generator *g, const struct generator_request *request,
                                uint64_t *id_out, struct errbuf *why)
{
    *id_out = 0;
    struct sequence *s = NULL;
    enum shoal_err rc = sequence__new(&g->model, g->context_tokens, request, &s, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (!g->keeps_prefixes) {
        s->prompt.constant_len = 0;
    }
    s->submitted_ns = now_ns();
    mutex_lock(&g->lock);
    if (g->closing) {
        rc = err_set(why, SHOAL_ECANCELED, "the generator is closing");
    } else if (g->waiting + g->active_len >= g->sequences_max + g->queue_len_max) {
        rc = err_set(why, SHOAL_EBUSY,
                     "%u requests wait for the generator already: try again later", g->waiting);
    } else {
        *id_out = s->id = ++g->last_id;
        queue_push(g, s);
        cond_signal(&g->work);
    }
    mutex_unlock(&g->lock);
    if (rc != SHOAL_OK) {
        sequence__free(s);
    }
    return rc;
}

static void cancel_if(struct sequence *s, uint64_t id)
{
    if (s->id == id) {
        atomic_store_explicit(&s->canceled, true, memory_order_relaxed);
    }
}

void generator_cancel(struct generator *g, uint64_t id)
{
    mutex_lock(&g->lock);
    for (struct sequence *s = g->first; s != NULL; s = s->next) {
        cancel_if(s, id);
    }
    for (uint32_t i = 0; i < g->active_len; i++) {
        cancel_if(g->active[i], id);
    }
    mutex_unlock(&g->lock);
}

enum shoal_err generator_count_tokens(struct generator *g, struct slice text, uint32_t *tokens_out)
{
    llama_token *tokens = NULL;
    size_t len = 0;
    *tokens_out = 0;
    if (text.len > GENERATOR_PROMPT_BYTES_MAX) {
        return SHOAL_ETOOBIG;
    }
    enum shoal_err rc = model__tokenize(&g->model, text, false, false, &tokens, &len);
    mem_free(tokens);
    *tokens_out = (uint32_t)len;
    return rc;
}

struct generator_load generator_load(struct generator *g)
{
    mutex_lock(&g->lock);
    struct generator_load load = { .active = g->active_len, .waiting = g->waiting };
    mutex_unlock(&g->lock);
    return load;
}
