#include "server/front_nng.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/pool.h"
#include "query/query.h"
#include "server/front_points.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

/* Scratch of one call. */
#define CALL_ARENA_MAX (64u << 20)
/* For requests that came without a deadline. */
#define FRONT_TIMEOUT_MS 60000

struct front_nng {
    struct transport_listener *listener;
    struct pool *pool;
    struct front_nng_parts parts; /* set once, before `serving` */
    atomic_bool serving;
};

struct job {
    struct pool_job base;
    struct front_nng *front;
    struct transport_exchange *exchange;
    struct slice message;
};

static void answer(struct transport_exchange *x, const struct frame *f, enum shoal_err rc,
                   struct buf *reply, const struct errbuf *why)
{
    if (rc != SHOAL_OK) {
        buf_reset(reply);
        (void)frame_encode_error(reply, f->kind, f->trace_id, rc, err_why(why, rc));
    }
    transport_answer(x, buf_slice(reply));
}

static uint64_t deadline_of(const struct frame *f)
{
    uint64_t ms = f->timeout_ms == 0 ? FRONT_TIMEOUT_MS : f->timeout_ms;
    return clock_mono_ns(clock_real()) + ms * 1000000u;
}

static bool begins(struct slice s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.len >= n && memcmp(s.data, prefix, n) == 0;
}

/* --- calls ---------------------------------------------------------------------------------- */

static enum shoal_err split_route(struct slice op, struct slice *method, struct slice *path,
                                  struct errbuf *why)
{
    const char *space = memchr(op.data, ' ', op.len);
    if (space == NULL) {
        return err_set(why, SHOAL_EPROTO, "unknown call \"%.*s\"", (int)op.len, op.data);
    }
    *method = slice_make(op.data, (size_t)(space - op.data));
    *path = slice_make(space + 1, op.len - method->len - 1);
    return SHOAL_OK;
}

static enum shoal_err register_generator(struct front_nng *front, struct slice json,
                                         struct errbuf *why)
{
    struct json_doc *doc = NULL;
    enum shoal_err rc = json_parse(json, &doc, why);
    if (rc == SHOAL_OK) {
        rc = generators_register(front->parts.generators, json_root(doc), why);
    }
    json_free(doc);
    return rc;
}

static enum shoal_err run_call(struct front_nng *front, const struct frame *f,
                               const struct wire_call *call, struct buf *reply, struct errbuf *why)
{
    struct buf json;
    buf_init(&json, WIRE_MESSAGE_MAX / 2);
    enum shoal_err rc;
    if (slice_is(call->op, "generator.register") && front->parts.generators != NULL) {
        rc = register_generator(front, call->json, why);
        (void)buf_append_str(&json, "{}");
    } else if (front->parts.routes == NULL) {
        rc = err_set(why, SHOAL_EUNSUPPORTED, "this process has no gateway role");
    } else {
        struct slice method;
        struct slice path;
        rc = split_route(call->op, &method, &path, why);
        if (rc == SHOAL_OK) {
            const struct front_routes *routes = front->parts.routes;
            rc = routes->call(routes->arg, method, path, call->json, deadline_of(f), &json, why);
        }
    }
    if (rc == SHOAL_OK) {
        struct slice text = buf_slice(&json);
        rc = wire_reply_json(reply, f->kind, f->trace_id, &text);
    }
    buf_release(&json);
    return rc;
}

static void do_call(struct front_nng *front, struct transport_exchange *x, const struct frame *f)
{
    struct arena arena;
    struct buf reply;
    struct errbuf why = { 0 };
    struct wire_call call;
    arena_init(&arena, CALL_ARENA_MAX);
    buf_init(&reply, WIRE_MESSAGE_MAX);
    struct node *node = engine_node(front->parts.engine);
    enum shoal_err rc = wire_decode_call(f, &arena, &call, &why);
    if (rc == SHOAL_OK && begins(call.op, "catalog.")) {
        directory_answer(engine_directory(front->parts.engine), x, f, &call);
    } else if (rc == SHOAL_OK && begins(call.op, "shard.") && node != NULL) {
        node_answer(node, x, f);
    } else {
        if (rc == SHOAL_OK) {
            rc = run_call(front, f, &call, &reply, &why);
        }
        answer(x, f, rc, &reply, &why);
    }
    buf_release(&reply);
    arena_release(&arena);
}

/* --- streams -------------------------------------------------------------------------------- */

static enum shoal_err open_stream(struct front_nng *front, const struct frame *f,
                                  struct arena *arena, struct buf *reply, struct errbuf *why)
{
    struct wire_call call;
    struct slice method;
    struct slice path;
    enum shoal_err rc = wire_decode_call(f, arena, &call, why);
    if (rc == SHOAL_OK && front->parts.routes == NULL) {
        rc = err_set(why, SHOAL_EUNSUPPORTED, "this process has no gateway role");
    }
    if (rc == SHOAL_OK) {
        rc = split_route(call.op, &method, &path, why);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct stream *stream = NULL;
    uint64_t id = 0;
    rc = stream_open(front->parts.streams, &stream, &id);
    if (rc != SHOAL_OK) {
        return err_set(why, rc, "too many answers are under way; repeat later");
    }
    const struct front_routes *routes = front->parts.routes;
    rc = routes->open(routes->arg, method, path, call.json, stream, why);
    if (rc != SHOAL_OK) {
        (void)streams_cancel(front->parts.streams, id);
        stream_finish(stream);
        return rc;
    }
    return wire_reply_stream_id(reply, f->kind, f->trace_id, &id);
}

static void do_stream(struct front_nng *front, struct transport_exchange *x, const struct frame *f)
{
    struct arena arena;
    struct buf reply;
    struct errbuf why = { 0 };
    struct wire_stream_ref ref;
    arena_init(&arena, CALL_ARENA_MAX);
    buf_init(&reply, WIRE_MESSAGE_MAX);
    enum shoal_err rc;
    bool handed_on = false;
    if (f->kind == WIRE_STREAM_OPEN) {
        rc = open_stream(front, f, &arena, &reply, &why);
    } else {
        rc = wire_decode_stream_ref(f, &arena, &ref, &why);
        if (rc == SHOAL_OK && f->kind == WIRE_STREAM_NEXT) {
            streams_next(front->parts.streams, x, f, &ref);
            handed_on = true;
        } else if (rc == SHOAL_OK) {
            struct slice nothing = SLICE_LIT("{}");
            rc = streams_cancel(front->parts.streams, ref.stream);
            if (rc == SHOAL_OK) {
                rc = wire_reply_json(&reply, f->kind, f->trace_id, &nothing);
            }
        }
    }
    if (!handed_on) {
        answer(x, f, rc, &reply, &why);
    }
    buf_release(&reply);
    arena_release(&arena);
}

/* --- dispatch ------------------------------------------------------------------------------- */

static void refuse(struct transport_exchange *x, const struct frame *f, enum shoal_err rc,
                   const char *text)
{
    struct buf reply;
    struct errbuf why = { 0 };
    buf_init(&reply, WIRE_MESSAGE_MAX);
    answer(x, f, err_set(&why, rc, "%s", text), &reply, &why);
    buf_release(&reply);
}

static void dispatch(struct front_nng *front, struct transport_exchange *x, const struct frame *f)
{
    struct node *node = engine_node(front->parts.engine);
    struct gateway *gateway = engine_gateway(front->parts.engine);
    switch ((enum wire_kind)f->kind) {
    case WIRE_CALL: do_call(front, x, f); return;
    case WIRE_STREAM_OPEN:
    case WIRE_STREAM_NEXT:
    case WIRE_STREAM_CANCEL: do_stream(front, x, f); return;
    case WIRE_UPSERT:
    case WIRE_SEARCH:
        if (gateway == NULL) {
            refuse(x, f, SHOAL_EUNSUPPORTED, "this process has no gateway role");
        } else {
            front_points_answer(gateway, x, f, deadline_of(f));
        }
        return;
    default:
        if (node == NULL || f->is_reply) {
            refuse(x, f, SHOAL_EUNSUPPORTED, "this process does not take such messages");
        } else {
            node_answer(node, x, f);
        }
    }
}

static void run_job(void *arg)
{
    struct job *job = arg;
    struct frame f;
    struct errbuf why = { 0 };
    enum shoal_err rc = frame_decode(job->message, &f, &why);
    if (rc != SHOAL_OK) {
        f = (struct frame){ 0 };
        refuse(job->exchange, &f, rc, err_why(&why, rc));
    } else if (!atomic_load_explicit(&job->front->serving, memory_order_acquire)) {
        refuse(job->exchange, &f, SHOAL_EUNAVAILABLE, "this process is starting; repeat later");
    } else {
        dispatch(job->front, job->exchange, &f);
    }
    mem_free(job);
}

static void on_request(void *arg, struct transport_exchange *x, struct slice message)
{
    struct front_nng *front = arg;
    struct frame f = { 0 };
    struct job *job = mem_alloc(sizeof(*job));
    enum shoal_err rc = SHOAL_ENOMEM;
    if (job != NULL) {
        *job = (struct job){ .base = { .run = run_job, .arg = job },
                             .front = front,
                             .exchange = x,
                             .message = message };
        rc = pool_submit(front->pool, &job->base);
    }
    if (rc != SHOAL_OK) {
        mem_free(job);
        (void)frame_decode(message, &f, NULL);
        refuse(x, &f, SHOAL_EBUSY, "too many requests wait already; repeat later");
    }
}

enum shoal_err front_nng_open(const struct front_nng_config *config, struct front_nng **out,
                              struct errbuf *why)
{
    *out = NULL;
    struct front_nng *f = mem_calloc(1, sizeof(*f));
    if (f == NULL) {
        return SHOAL_ENOMEM;
    }
    const struct pool_config pool = { .name = "nng",
                                      .threads_len = config->threads_len,
                                      .queue_len_max = config->queue_len_max };
    enum shoal_err rc = pool_new(&pool, &f->pool, why);
    if (rc == SHOAL_OK) {
        rc = transport_listen(config->transport, config->url, on_request, f, &f->listener, why);
    }
    if (rc != SHOAL_OK) {
        front_nng_close(f);
        return rc;
    }
    *out = f;
    return SHOAL_OK;
}

const char *front_nng_url(const struct front_nng *f)
{
    return transport_listener_url(f->listener);
}

void front_nng_serve(struct front_nng *f, const struct front_nng_parts *parts)
{
    assert(parts->engine != NULL && parts->streams != NULL);
    assert(!atomic_load(&f->serving));
    f->parts = *parts;
    atomic_store_explicit(&f->serving, true, memory_order_release);
}

void front_nng_close(struct front_nng *f)
{
    if (f == NULL) {
        return;
    }
    transport_listener_free(f->listener);
    pool_free(f->pool);
    mem_free(f);
}
