/* The engine in the caller's process, over a data directory of its own: what a shoald with the
 * roles gateway, node and catalog does, without its sockets. The HTTP API's routes are called as
 * functions; upserts and searches do not pass through JSON.
 *
 * No generator belongs to it: what needs a model is refused, and says how to get one.
 *
 * Parts, each standing on those before it; they go the other way round:
 *     metrics, transport, peers, generators    what the engine is given (nothing ever listens)
 *     engine                                   log, catalog, shards, gateway
 *     rest                                     the routes */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "client/backend.h"
#include "client/hits.h"
#include "query/query.h"
#include "server/engine.h"
#include "server/generators.h"
#include "server/rest.h"
#include "wire/transport.h"

#include <pthread.h>
#include <string.h>

/* Opening replays what a crash left in the log. */
#define OPEN_TIMEOUT_MS 120000
/* Scratch and results of one call; one answer's JSON. */
#define CALL_ARENA_MAX (512u << 20)
#define ANSWER_BYTES_MAX (256u << 20)

struct embedded {
    struct backend base;
    struct metrics *metrics;
    struct transport *transport;
    struct peers *peers;
    struct generators *generators;
    struct engine *engine;
    struct rest *rest;
};

static uint64_t deadline_in(uint32_t ms)
{
    return clock_mono_ns(clock_real()) + ms * UINT64_C(1000000);
}

/* --- routes --------------------------------------------------------------------------------- */

static enum shoal_err embedded_call(struct backend *b, const char *method, const char *path,
                                    struct slice body, uint32_t timeout_ms, char **json,
                                    struct errbuf *why)
{
    struct embedded *e = (struct embedded *)b;
    const struct front_routes *routes = rest_front_routes(e->rest);
    struct buf answer;
    buf_init(&answer, ANSWER_BYTES_MAX);
    enum shoal_err rc = routes->call(routes->arg, slice_from_str(method), slice_from_str(path),
                                     body, deadline_in(timeout_ms), &answer, why);
    if (rc == SHOAL_OK && buf_cstr(&answer) == NULL) {
        rc = err_set(why, answer.failed, "the answer: %s", err_text(answer.failed));
    }
    if (rc == SHOAL_OK) {
        size_t len;
        *json = buf_detach(&answer, &len);
    }
    buf_release(&answer);
    return rc;
}

/* All that comes in pieces is generated. */
static enum shoal_err embedded_stream(struct backend *b, const char *method, const char *path,
                                      struct slice body, uint32_t timeout_ms,
                                      bool (*piece)(void *arg, struct slice json), void *arg,
                                      struct errbuf *why)
{
    (void)b;
    (void)method;
    (void)path;
    (void)body;
    (void)timeout_ms;
    (void)piece;
    (void)arg;
    return err_set(why, SHOAL_EUNSUPPORTED,
                   "answers need a language model, which runs in a process of its own: start "
                   "shoald with a generator on this directory and open shoal://HOST:PORT");
}

/* --- points --------------------------------------------------------------------------------- */

/* One call on a collection. */
struct request {
    struct arena arena;
    struct query_context ctx;
    struct collection *collection;
};

static enum shoal_err request_begin(struct request *r, struct embedded *e, const char *collection,
                                    uint32_t timeout_ms, struct errbuf *why)
{
    arena_init(&r->arena, CALL_ARENA_MAX);
    r->ctx = (struct query_context){ .deadline_ns = deadline_in(timeout_ms), .arena = &r->arena };
    r->collection = NULL;
    return gateway_collection(engine_gateway(e->engine), slice_from_str(collection), &r->collection,
                              why);
}

static void request_end(struct request *r)
{
    collection_unref(r->collection);
    arena_release(&r->arena);
}

static enum shoal_err fill_op(const struct shoal_points *points, struct arena *arena, struct op *op)
{
    struct point_id *ids = arena_array(arena, points->len, sizeof(*ids));
    struct slice *payloads = arena_array(arena, points->len, sizeof(*payloads));
    if (ids == NULL || payloads == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t i = 0; i < points->len; i++) {
        ids[i] = id_from_public(&points->ids[i]);
        if (points->payloads != NULL) {
            payloads[i] = slice_from_str(points->payloads[i]);
        }
    }
    op->kind = OP_UPSERT;
    op->points_len = (uint32_t)points->len;
    op->points = ids;
    op->dim = points->dim;
    op->vectors = points->vectors;
    op->payloads = payloads;
    return SHOAL_OK;
}

static enum shoal_err embedded_upsert(struct backend *b, const char *collection,
                                      const struct shoal_points *points, const uint8_t op_id[16],
                                      uint32_t timeout_ms, struct errbuf *why)
{
    if (points->len > OP_POINTS_MAX) {
        return err_set(why, SHOAL_ETOOBIG, "%zu points in one call; at most %d", points->len,
                       OP_POINTS_MAX);
    }
    struct request r;
    struct op op = { 0 };
    struct query_written written;
    memcpy(op.id, op_id, sizeof(op.id));
    enum shoal_err rc = request_begin(&r, (struct embedded *)b, collection, timeout_ms, why);
    if (rc == SHOAL_OK) {
        rc = fill_op(points, &r.arena, &op);
    }
    if (rc == SHOAL_OK) {
        rc = query_write(r.collection, &r.ctx, &op, points->wait ? SHARD_VISIBLE : SHARD_DURABLE,
                         &written, why);
    }
    request_end(&r);
    return rc;
}

static enum shoal_err take_hits(const struct query_answer *answer, uint32_t dim,
                                struct shoal_hits **out)
{
    struct hits *h = NULL;
    struct shoal_hit *room = NULL;
    enum shoal_err rc = hits_new(answer->len, &h, &room);
    for (size_t i = 0; rc == SHOAL_OK && i < answer->len; i++) {
        const struct query_hit *from = &answer->hits[i];
        room[i].id = id_to_public(&from->id);
        room[i].score = from->score;
        room[i].version = from->version;
        rc = hits_set_payload(h, &room[i], from->payload);
        if (rc == SHOAL_OK) {
            rc = hits_set_vector(h, &room[i], from->vector, dim);
        }
    }
    if (rc != SHOAL_OK) {
        shoal_hits_free(h == NULL ? NULL : &h->pub);
        return rc;
    }
    h->pub.shards_asked = answer->coverage.asked;
    h->pub.shards_answered = answer->coverage.answered;
    *out = &h->pub;
    return SHOAL_OK;
}

static enum shoal_err search_in(const struct request *r, const struct shoal_search *search,
                                struct shoal_hits **out, struct errbuf *why)
{
    if (search->dim != r->collection->dim) {
        return err_set(why, SHOAL_EINVAL, "Vector dimension error: expected dim: %u, got %u",
                       r->collection->dim, search->dim);
    }
    const struct query_search q = {
        .vector = search->vector,
        .k = search->limit,
        .ef = search->ef,
        .exact = search->exact,
        .has_threshold = search->score_threshold != NULL,
        .threshold = search->score_threshold != NULL ? *search->score_threshold : 0,
        .filter = slice_from_str(search->filter),
        .what = { .with_payload = search->with_payload, .with_vector = search->with_vector },
    };
    struct query_answer answer;
    enum shoal_err rc = query_search(r->collection, &r->ctx, &q, &answer, why);
    return rc == SHOAL_OK ? take_hits(&answer, r->collection->dim, out) : rc;
}

static enum shoal_err embedded_search(struct backend *b, const char *collection,
                                      const struct shoal_search *search, uint32_t timeout_ms,
                                      struct shoal_hits **out, struct errbuf *why)
{
    struct request r;
    enum shoal_err rc = request_begin(&r, (struct embedded *)b, collection, timeout_ms, why);
    if (rc == SHOAL_OK) {
        rc = search_in(&r, search, out, why);
    }
    request_end(&r);
    return rc;
}

/* --- life ----------------------------------------------------------------------------------- */

static void embedded_close(struct backend *b)
{
    struct embedded *e = (struct embedded *)b;
    if (e->engine != NULL) {
        engine_stop(e->engine);
    }
    rest_free(e->rest);
    engine_close(e->engine);
    generators_free(e->generators);
    peers_free(e->peers);
    if (e->transport != NULL) {
        transport_free(e->transport);
    }
    metrics_free(e->metrics);
    mem_free(e);
}

static const struct backend_ops embedded_ops = {
    .call = embedded_call,
    .upsert = embedded_upsert,
    .search = embedded_search,
    .stream = embedded_stream,
    .close = embedded_close,
};

static enum shoal_err open_engine(struct embedded *e, const char *dir, struct errbuf *why)
{
    enum shoal_err rc = metrics_new(&e->metrics);
    if (rc == SHOAL_OK) {
        rc = transport_nng_new(&e->transport, why);
    }
    if (rc == SHOAL_OK) {
        rc = peers_new(e->transport, &e->peers);
    }
    if (rc == SHOAL_OK) {
        rc = generators_new(e->peers, &e->generators);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    const struct engine_config config = {
        .data_dir = dir,
        .roles = ENGINE_GATEWAY | ENGINE_NODE | ENGINE_CATALOG,
        .url = "",
        .transport = e->transport,
        .peers = e->peers,
        .generators = e->generators,
        .metrics = e->metrics,
    };
    rc = engine_open(&config, &e->engine, why);
    return rc == SHOAL_OK ? engine_wait_ready(e->engine, deadline_in(OPEN_TIMEOUT_MS), why) : rc;
}

static enum shoal_err open_routes(struct embedded *e, struct errbuf *why)
{
    const struct rest_config config = {
        .gateway = engine_gateway(e->engine),
        .version = SHOAL_VERSION,
        .name = engine_name(e->engine),
        .roles = "gateway,node,catalog",
    };
    return rest_new(&config, &e->rest, why);
}

/* A library does not tell its user's terminal about every shard it opens. */
static void be_quiet(void)
{
    const struct log_config config = { .level = LOG_LEVEL_WARN, .fd = 2 };
    log_setup(&config);
}

enum shoal_err backend_embedded_open(const char *dir, struct backend **out, struct errbuf *why)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    *out = NULL;
    if (dir[0] != '/') {
        return err_set(why, SHOAL_EINVAL, "file://%s: give the whole path, file:///DIR", dir);
    }
    struct embedded *e = mem_calloc(1, sizeof(*e));
    if (e == NULL) {
        return SHOAL_ENOMEM;
    }
    e->base.ops = &embedded_ops;
    (void)pthread_once(&once, be_quiet);
    enum shoal_err rc = open_engine(e, dir, why);
    if (rc == SHOAL_OK) {
        rc = open_routes(e, why);
    }
    if (rc != SHOAL_OK) {
        embedded_close(&e->base);
        return err_prefix(why, rc, "file://%s", dir);
    }
    *out = &e->base;
    return SHOAL_OK;
}
