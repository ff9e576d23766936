#include "server/role_generator.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/thread.h"
#include "server/streams.h"
#include "slm/embedder.h"
#include "slm/generator.h"
#include "wire/message.h"

#include <stdio.h>
#include <string.h>

/* Embedding calls that run, and that wait, at once: they block their thread. */
#define CALL_THREADS 8
#define CALL_QUEUE_MAX 256
#define REGISTER_MS 1000
#define DEFAULT_TIMEOUT_MS 60000
#define ARENA_MAX (64u << 20)

struct role_generator {
    struct transport *transport;
    struct transport_listener *listener;
    struct transport_peer *gateway;
    struct embedder *embedder;   /* NULL: none */
    struct generator *generator; /* NULL: none */
    struct streams *streams;
    struct pool *pool;
    struct buf registration; /* JSON */
    struct thread thread;
    struct mutex mutex;
    struct cond stop;
    bool stopping; /* mutex */
};

struct job {
    struct pool_job base;
    struct role_generator *role;
    struct transport_exchange *exchange;
    struct slice message;
};

static uint64_t now_ns(void)
{
    return clock_mono_ns(clock_real());
}

/* --- embed ---------------------------------------------------------------------------------- */

static enum shoal_err embed(struct role_generator *r, const struct frame *f, struct arena *arena,
                            struct buf *reply, struct errbuf *why)
{
    struct wire_embed msg;
    enum shoal_err rc = wire_decode_embed(f, arena, &msg, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (r->embedder == NULL) {
        return err_set(why, SHOAL_EUNAVAILABLE, "this generator has no embedding model");
    }
    const struct model_info *info = embedder_info(r->embedder);
    float *vectors = arena_array(arena, (size_t)msg.texts_len * info->dim, sizeof(*vectors));
    struct embedded *each = arena_array(arena, msg.texts_len, sizeof(*each));
    if (vectors == NULL || each == NULL) {
        return SHOAL_ENOMEM;
    }
    uint64_t timeout_ms = f->timeout_ms == 0 ? DEFAULT_TIMEOUT_MS : f->timeout_ms;
    rc = embedder_embed(r->embedder, msg.texts, msg.texts_len, now_ns() + timeout_ms * 1000000u,
                        vectors, each, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct wire_embed_reply out = { .texts_len = msg.texts_len,
                                    .dim = info->dim,
                                    .vectors = vectors };
    for (uint32_t i = 0; i < msg.texts_len; i++) {
        out.tokens += each[i].tokens;
    }
    return wire_reply_embed_reply(reply, f->kind, f->trace_id, &out);
}

/* --- generate ------------------------------------------------------------------------------- */

static bool on_piece(void *arg, struct slice text)
{
    struct stream *stream = arg;
    struct buf json;
    struct json_writer w;
    buf_init(&json, 1u << 20);
    json_writer_init(&w, &json);
    json_begin_object(&w);
    json_key(&w, "text");
    json_put_string(&w, text);
    json_end_object(&w);
    bool going = json.failed == SHOAL_OK && stream_push(stream, buf_slice(&json));
    buf_release(&json);
    return going;
}

static const char *finish_word(enum finish finish)
{
    static const char *const words[] = { "stop", "length", "canceled", "deadline", "failed" };
    return words[finish];
}

static void on_end(void *arg, const struct generation *end)
{
    struct stream *stream = arg;
    struct buf json;
    struct json_writer w;
    buf_init(&json, 1u << 16);
    json_writer_init(&w, &json);
    json_begin_object(&w);
    json_key(&w, "finish");
    json_put_str(&w, finish_word(end->finish));
    json_key(&w, "prompt_tokens");
    json_put_u64(&w, end->prompt_tokens);
    json_key(&w, "cached_tokens");
    json_put_u64(&w, end->cached_tokens);
    json_key(&w, "generated_tokens");
    json_put_u64(&w, end->generated_tokens);
    if (end->rc != SHOAL_OK) {
        json_key(&w, "code");
        json_put_u64(&w, (uint64_t)end->rc);
        json_key(&w, "error");
        json_put_str(&w, end->why);
    }
    json_end_object(&w);
    if (json.failed == SHOAL_OK) {
        (void)stream_push(stream, buf_slice(&json)); /* a cancelled stream hears nothing more */
    }
    buf_release(&json);
    stream_finish(stream);
}

static double number_or(struct json_value v, const char *key, double fallback)
{
    struct json_value member;
    double d = fallback;
    return json_get(v, key, &member) && json_f64(member, &d) ? d : fallback;
}

static uint64_t whole_or(struct json_value v, const char *key, uint64_t max, uint64_t fallback)
{
    struct json_value member;
    uint64_t n = 0;
    return json_get(v, key, &member) && json_u64(member, &n) && n <= max ? n : fallback;
}

static enum shoal_err parse_messages(struct json_value list, struct arena *arena,
                                     struct generator_request *out, struct errbuf *why)
{
    size_t len = json_len(list);
    if (json_kind(list) != JSON_ARRAY || len == 0 || len > GENERATOR_MESSAGES_MAX) {
        return err_set(why, SHOAL_EINVAL, "messages: from 1 to %d", GENERATOR_MESSAGES_MAX);
    }
    struct chat_message *messages = arena_array(arena, len, sizeof(*messages));
    if (messages == NULL) {
        return SHOAL_ENOMEM;
    }
    struct json_value v;
    struct json_value role;
    struct json_value content;
    size_t i = 0;
    for (struct json_iter it = json_iter(list); json_next(&it, NULL, &v); i++) {
        if (!json_get(v, "role", &role) || !json_string(role, &messages[i].role) ||
            !json_get(v, "content", &content) || !json_string(content, &messages[i].content)) {
            return err_set(why, SHOAL_EINVAL, "messages[%zu] wants a role and a content", i);
        }
    }
    out->messages = messages;
    out->messages_len = len;
    return SHOAL_OK;
}

static enum shoal_err parse_stops(struct json_value v, struct arena *arena,
                                  struct generator_request *out, struct errbuf *why)
{
    struct json_value list;
    struct json_value s;
    if (!json_get(v, "stop", &list) || json_kind(list) == JSON_NULL) {
        return SHOAL_OK;
    }
    size_t len = json_len(list);
    struct slice *stops = arena_array(arena, len, sizeof(*stops));
    if (stops == NULL) {
        return SHOAL_ENOMEM;
    }
    if (len > GENERATOR_STOPS_MAX) {
        return err_set(why, SHOAL_EINVAL, "stop: at most %d strings", GENERATOR_STOPS_MAX);
    }
    size_t i = 0;
    for (struct json_iter it = json_iter(list); json_next(&it, NULL, &s); i++) {
        if (!json_string(s, &stops[i])) {
            return err_set(why, SHOAL_EINVAL, "stop[%zu] is no string", i);
        }
    }
    out->stops = stops;
    out->stops_len = len;
    return SHOAL_OK;
}

static enum shoal_err parse_request(struct json_value v, struct arena *arena,
                                    struct generator_request *out, struct errbuf *why)
{
    struct json_value messages;
    if (!json_get(v, "messages", &messages)) {
        return err_set(why, SHOAL_EINVAL, "messages: missing");
    }
    enum shoal_err rc = parse_messages(messages, arena, out, why);
    if (rc == SHOAL_OK) {
        rc = parse_stops(v, arena, out, why);
    }
    out->messages_constant = (size_t)whole_or(v, "messages_constant", out->messages_len, 0);
    out->max_tokens = (uint32_t)whole_or(v, "max_tokens", UINT32_MAX, 0);
    out->temperature = (float)number_or(v, "temperature", 0);
    out->top_k = (uint32_t)whole_or(v, "top_k", UINT32_MAX, 0);
    out->top_p = (float)number_or(v, "top_p", 1);
    out->seed = (uint32_t)whole_or(v, "seed", UINT32_MAX, 0);
    return rc;
}

static enum shoal_err submit(struct role_generator *r, const struct frame *f, struct slice json,
                             struct arena *arena, uint64_t *stream_id, struct errbuf *why)
{
    struct json_doc *doc = NULL;
    struct generator_request request = { .on_piece = on_piece, .on_end = on_end };
    enum shoal_err rc = json_parse(json, &doc, why);
    if (rc == SHOAL_OK) {
        rc = parse_request(json_root(doc), arena, &request, why);
    }
    struct stream *stream = NULL;
    if (rc == SHOAL_OK) {
        rc = stream_open(r->streams, &stream, stream_id);
    }
    if (rc == SHOAL_OK) {
        uint64_t id = 0;
        request.arg = stream;
        request.deadline_ns = f->timeout_ms == 0 ? 0
                                                 : now_ns() + (uint64_t)f->timeout_ms * 1000000u;
        rc = generator_submit(r->generator, &request, &id, why);
        if (rc != SHOAL_OK) {
            (void)streams_cancel(r->streams, *stream_id);
            stream_finish(stream);
        }
    }
    json_free(doc);
    return rc;
}

static enum shoal_err generate(struct role_generator *r, const struct frame *f, struct arena *arena,
                               struct buf *reply, struct errbuf *why)
{
    struct wire_call call;
    uint64_t id = 0;
    enum shoal_err rc = wire_decode_call(f, arena, &call, why);
    if (rc == SHOAL_OK && !slice_is(call.op, "generate")) {
        rc = err_set(why, SHOAL_EPROTO, "unknown stream \"%.*s\"", (int)call.op.len, call.op.data);
    }
    if (rc == SHOAL_OK && r->generator == NULL) {
        rc = err_set(why, SHOAL_EUNAVAILABLE, "this generator has no language model");
    }
    if (rc == SHOAL_OK) {
        rc = submit(r, f, call.json, arena, &id, why);
    }
    return rc != SHOAL_OK ? rc : wire_reply_stream_id(reply, f->kind, f->trace_id, &id);
}

/* --- dispatch ------------------------------------------------------------------------------- */

static enum shoal_err cancel(struct role_generator *r, const struct frame *f,
                             const struct wire_stream_ref *ref, struct buf *reply)
{
    struct slice nothing = SLICE_LIT("{}");
    enum shoal_err rc = streams_cancel(r->streams, ref->stream);
    return rc != SHOAL_OK ? rc : wire_reply_json(reply, f->kind, f->trace_id, &nothing);
}

/* True when the exchange was handed on and is answered elsewhere. */
static bool run(struct role_generator *r, struct transport_exchange *x, const struct frame *f,
                struct arena *arena, struct buf *reply, enum shoal_err *rc, struct errbuf *why)
{
    struct wire_stream_ref ref;
    switch ((enum wire_kind)f->kind) {
    case WIRE_EMBED: *rc = embed(r, f, arena, reply, why); return false;
    case WIRE_STREAM_OPEN: *rc = generate(r, f, arena, reply, why); return false;
    case WIRE_STREAM_NEXT:
    case WIRE_STREAM_CANCEL:
        *rc = wire_decode_stream_ref(f, arena, &ref, why);
        if (*rc == SHOAL_OK && f->kind == WIRE_STREAM_NEXT) {
            streams_next(r->streams, x, f, &ref);
            return true;
        }
        if (*rc == SHOAL_OK) {
            *rc = cancel(r, f, &ref, reply);
        }
        return false;
    default:
        *rc = err_set(why, SHOAL_EUNSUPPORTED, "a generator does not take such messages");
        return false;
    }
}

static void run_job(void *arg)
{
    struct job *job = arg;
    struct frame f = { 0 };
    struct arena arena;
    struct buf reply;
    struct errbuf why = { 0 };
    arena_init(&arena, ARENA_MAX);
    buf_init(&reply, WIRE_MESSAGE_MAX);
    enum shoal_err rc = frame_decode(job->message, &f, &why);
    bool handed_on = rc == SHOAL_OK && run(job->role, job->exchange, &f, &arena, &reply, &rc, &why);
    if (!handed_on) {
        if (rc != SHOAL_OK) {
            buf_reset(&reply);
            (void)frame_encode_error(&reply, f.kind, f.trace_id, rc, err_why(&why, rc));
        }
        transport_answer(job->exchange, buf_slice(&reply));
    }
    buf_release(&reply);
    arena_release(&arena);
    mem_free(job);
}

static void on_request(void *arg, struct transport_exchange *x, struct slice message)
{
    struct role_generator *r = arg;
    struct job *job = mem_alloc(sizeof(*job));
    enum shoal_err rc = SHOAL_ENOMEM;
    if (job != NULL) {
        *job = (struct job){
            .base = { .run = run_job, .arg = job }, .role = r, .exchange = x, .message = message
        };
        rc = pool_submit(r->pool, &job->base);
    }
    if (rc != SHOAL_OK) {
        struct buf reply;
        mem_free(job);
        buf_init(&reply, 4096);
        (void)frame_encode_error(&reply, 0, 0, SHOAL_EBUSY, "the generator's queue is full");
        transport_answer(x, buf_slice(&reply));
        buf_release(&reply);
    }
}

/* --- registration --------------------------------------------------------------------------- */

static void put_model(struct json_writer *w, const struct model_info *info, const char *name,
                      bool generates)
{
    json_begin_object(w);
    json_key(w, "name");
    json_put_str(w, name);
    json_key(w, "kind");
    json_put_str(w, generates ? "generate" : "embed");
    json_key(w, "dim");
    json_put_u64(w, info->dim);
    json_key(w, "context");
    json_put_u64(w, info->context_tokens);
    json_key(w, "parameters");
    json_put_u64(w, info->parameters);
    json_end_object(w);
}

static enum shoal_err print_registration(struct role_generator *r,
                                         const struct role_generator_config *config)
{
    struct json_writer w;
    json_writer_init(&w, &r->registration);
    json_begin_object(&w);
    json_key(&w, "name");
    json_put_str(&w, config->name);
    json_key(&w, "url");
    json_put_str(&w, transport_listener_url(r->listener));
    json_key(&w, "models");
    json_begin_array(&w);
    if (r->embedder != NULL) {
        put_model(&w, embedder_info(r->embedder), models_find(config->models, false)->name, false);
    }
    if (r->generator != NULL) {
        put_model(&w, generator_info(r->generator), models_find(config->models, true)->name, true);
    }
    json_end_array(&w);
    json_end_object(&w);
    return r->registration.failed;
}

static enum shoal_err register_once(struct role_generator *r, struct errbuf *why)
{
    struct buf message;
    struct arena arena;
    struct slice json;
    struct transport_reply *reply = NULL;
    buf_init(&message, 1u << 20);
    arena_init(&arena, 1u << 20);
    const struct wire_meta meta = { .timeout_ms = REGISTER_MS };
    const struct wire_call call = { .op = SLICE_LIT("generator.register"),
                                    .json = buf_slice(&r->registration) };
    enum shoal_err rc = wire_encode_call(&message, WIRE_CALL, &meta, &call);
    if (rc == SHOAL_OK) {
        rc = transport_call_wait(r->gateway, buf_slice(&message), REGISTER_MS, &reply, why);
    }
    if (rc == SHOAL_OK) {
        rc = wire_read_json(transport_reply_bytes(reply), &arena, &json, why);
    }
    transport_reply_free(reply);
    arena_release(&arena);
    buf_release(&message);
    return rc;
}

static void keep_registered(void *arg)
{
    struct role_generator *r = arg;
    bool known = false;
    bool told = false;
    mutex_lock(&r->mutex);
    while (!r->stopping) {
        mutex_unlock(&r->mutex);
        struct errbuf why = { 0 };
        enum shoal_err rc = register_once(r, &why);
        if (rc == SHOAL_OK && !known) {
            log_info("generator registered");
        } else if (rc != SHOAL_OK && (known || !told)) {
            log_warn("generator is not registered", LOG_ERR(rc, &why));
            told = true;
        }
        known = rc == SHOAL_OK;
        mutex_lock(&r->mutex);
        uint64_t until_ns = now_ns() + REGISTER_MS * 1000000u;
        while (!r->stopping && cond_wait_until(&r->stop, &r->mutex, until_ns)) {
        }
    }
    mutex_unlock(&r->mutex);
}

/* --- life ----------------------------------------------------------------------------------- */

static enum shoal_err open_models(struct role_generator *r,
                                  const struct role_generator_config *config, struct errbuf *why)
{
    const struct listed_model *embeds = models_find(config->models, false);
    const struct listed_model *generates = models_find(config->models, true);
    if (embeds == NULL && generates == NULL) {
        return err_set(why, SHOAL_EINVAL, "no model to load; name their directory by --models");
    }
    enum shoal_err rc = SHOAL_OK;
    if (embeds != NULL) {
        const struct embedder_config e = {
            .model = { .path = embeds->path, .sha256 = embeds->sha256 },
            .threads = config->threads,
        };
        rc = embedder_open(&e, &r->embedder, why);
    }
    if (rc == SHOAL_OK && generates != NULL) {
        const struct generator_config g = {
            .model = { .path = generates->path, .sha256 = generates->sha256 },
            .threads = config->threads,
        };
        rc = generator_open(&g, &r->generator, why);
    }
    return rc;
}

static enum shoal_err open_parts(struct role_generator *r,
                                 const struct role_generator_config *config, struct errbuf *why)
{
    const struct pool_config pool = { .name = "generator",
                                      .threads_len = CALL_THREADS,
                                      .queue_len_max = CALL_QUEUE_MAX };
    enum shoal_err rc = open_models(r, config, why);
    if (rc == SHOAL_OK) {
        rc = streams_new(&r->streams, why);
    }
    if (rc == SHOAL_OK) {
        rc = pool_new(&pool, &r->pool, why);
    }
    if (rc == SHOAL_OK) {
        rc = transport_listen(config->transport, config->url, on_request, r, &r->listener, why);
    }
    if (rc == SHOAL_OK) {
        rc = transport_dial(config->transport, config->join, &r->gateway, why);
    }
    if (rc == SHOAL_OK) {
        rc = print_registration(r, config);
    }
    return rc == SHOAL_OK ? thread_start(&r->thread, "register", keep_registered, r, why) : rc;
}

enum shoal_err role_generator_open(const struct role_generator_config *config,
                                   struct role_generator **out, struct errbuf *why)
{
    *out = NULL;
    struct role_generator *r = mem_calloc(1, sizeof(*r));
    if (r == NULL) {
        return SHOAL_ENOMEM;
    }
    r->transport = config->transport;
    mutex_init(&r->mutex);
    cond_init(&r->stop);
    buf_init(&r->registration, 1u << 16);
    enum shoal_err rc = open_parts(r, config, why);
    if (rc != SHOAL_OK) {
        role_generator_close(r);
        return rc;
    }
    *out = r;
    return SHOAL_OK;
}

const char *role_generator_url(const struct role_generator *r)
{
    return transport_listener_url(r->listener);
}

void role_generator_close(struct role_generator *r)
{
    if (r == NULL) {
        return;
    }
    mutex_lock(&r->mutex);
    r->stopping = true;
    cond_broadcast(&r->stop);
    mutex_unlock(&r->mutex);
    transport_peer_close(r->gateway);
    thread_join(&r->thread);
    /* No call may reach the models while they close; their last callbacks finish the streams, and
     * the listener waits for what is parked there. */
    if (r->pool != NULL) {
        pool_stop(r->pool);
    }
    generator_close(r->generator);
    embedder_close(r->embedder);
    transport_peer_free(r->gateway);
    streams_free(r->streams);
    transport_listener_free(r->listener);
    pool_free(r->pool);
    buf_release(&r->registration);
    cond_release(&r->stop);
    mutex_release(&r->mutex);
    mem_free(r);
}
