/* A running shoald, over NNG. One connection, any number of requests at the same time. */
#include "base/clock.h"
#include "base/mem.h"
#include "client/backend.h"
#include "client/hits.h"
#include "wire/message.h"
#include "wire/transport.h"

#include <stdio.h>
#include <string.h>

#define REPLY_ARENA_MAX (256u << 20)
/* One wait for pieces of a stream. */
#define NEXT_WAIT_MS 5000

struct remote {
    struct backend base;
    struct transport *transport;
    struct transport_peer *peer;
};

/* One request with its reply. */
struct exchange {
    struct buf request;
    struct arena arena;
    struct transport_reply *reply;
};

static void exchange_init(struct exchange *e)
{
    buf_init(&e->request, WIRE_MESSAGE_MAX);
    arena_init(&e->arena, REPLY_ARENA_MAX);
    e->reply = NULL;
}

static void exchange_release(struct exchange *e)
{
    transport_reply_free(e->reply);
    arena_release(&e->arena);
    buf_release(&e->request);
}

/* Sends what was encoded and waits for the reply. */
static enum shoal_err exchange_run(struct remote *r, struct exchange *e, enum shoal_err encoded,
                                   uint32_t timeout_ms, struct errbuf *why)
{
    if (encoded != SHOAL_OK) {
        return err_set(why, encoded, "the request does not fit a message: %s", err_text(encoded));
    }
    return transport_call_wait(r->peer, buf_slice(&e->request), timeout_ms, &e->reply, why);
}

static enum shoal_err print_op(char *out, size_t out_len, const char *method, const char *path,
                               struct errbuf *why)
{
    int n = snprintf(out, out_len, "%s %s", method, path);
    return n >= 0 && (size_t)n < out_len ? SHOAL_OK
                                         : err_set(why, SHOAL_ETOOBIG, "the path is too long");
}

static enum shoal_err remote_call(struct backend *b, const char *method, const char *path,
                                  struct slice body, uint32_t timeout_ms, char **json,
                                  struct errbuf *why)
{
    struct remote *r = (struct remote *)b;
    char op[2048];
    struct slice answer;
    enum shoal_err rc = print_op(op, sizeof(op), method, path, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct exchange e;
    exchange_init(&e);
    const struct wire_meta meta = { .timeout_ms = timeout_ms };
    const struct wire_call call = { .op = slice_from_str(op), .json = body };
    rc = exchange_run(r, &e, wire_encode_call(&e.request, WIRE_CALL, &meta, &call), timeout_ms,
                      why);
    if (rc == SHOAL_OK) {
        rc = wire_read_json(transport_reply_bytes(e.reply), &e.arena, &answer, why);
    }
    if (rc == SHOAL_OK) {
        *json = mem_strndup(answer.data, answer.len);
        rc = *json == NULL ? SHOAL_ENOMEM : SHOAL_OK;
    }
    exchange_release(&e);
    return rc;
}

static enum shoal_err fill_upsert(const struct shoal_points *points, struct arena *arena,
                                  struct wire_upsert *msg)
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
    msg->points_len = (uint32_t)points->len;
    msg->dim = points->dim;
    msg->ids = ids;
    msg->vectors = points->vectors;
    msg->payloads = payloads;
    return SHOAL_OK;
}

static enum shoal_err remote_upsert(struct backend *b, const char *collection,
                                    const struct shoal_points *points, const uint8_t op_id[16],
                                    uint32_t timeout_ms, struct errbuf *why)
{
    struct remote *r = (struct remote *)b;
    if (points->len > WIRE_POINTS_MAX) {
        return err_set(why, SHOAL_ETOOBIG, "%zu points in one call; at most %d", points->len,
                       WIRE_POINTS_MAX);
    }
    struct exchange e;
    exchange_init(&e);
    const struct wire_meta meta = { .timeout_ms = timeout_ms };
    struct wire_upsert msg = { .collection = slice_from_str(collection), .wait = points->wait };
    memcpy(msg.op_id, op_id, sizeof(msg.op_id));
    struct wire_write_reply written;
    enum shoal_err rc = fill_upsert(points, &e.arena, &msg);
    if (rc == SHOAL_OK) {
        rc = exchange_run(r, &e, wire_encode_upsert(&e.request, WIRE_UPSERT, &meta, &msg),
                          timeout_ms, why);
    }
    if (rc == SHOAL_OK) {
        rc = wire_read_write_reply(transport_reply_bytes(e.reply), &e.arena, &written, why);
    }
    exchange_release(&e);
    return rc;
}

static enum shoal_err take_hits(const struct wire_search_reply *reply, struct shoal_hits **out)
{
    struct hits *h = NULL;
    struct shoal_hit *room = NULL;
    enum shoal_err rc = hits_new(reply->hits_len, &h, &room);
    for (uint32_t i = 0; rc == SHOAL_OK && i < reply->hits_len; i++) {
        const struct wire_hit *from = &reply->hits[i];
        room[i].id = id_to_public(&from->id);
        room[i].score = from->score;
        room[i].version = from->version;
        rc = hits_set_payload(h, &room[i], from->payload);
        if (rc == SHOAL_OK) {
            rc = hits_set_vector(h, &room[i], from->vector, reply->dim);
        }
    }
    if (rc != SHOAL_OK) {
        shoal_hits_free(h == NULL ? NULL : &h->pub);
        return rc;
    }
    h->pub.shards_asked = reply->shards_asked;
    h->pub.shards_answered = reply->shards_answered;
    *out = &h->pub;
    return SHOAL_OK;
}

static enum shoal_err remote_search(struct backend *b, const char *collection,
                                    const struct shoal_search *search, uint32_t timeout_ms,
                                    struct shoal_hits **out, struct errbuf *why)
{
    struct remote *r = (struct remote *)b;
    struct exchange e;
    exchange_init(&e);
    const struct wire_meta meta = { .timeout_ms = timeout_ms };
    const struct wire_search msg = {
        .collection = slice_from_str(collection),
        .dim = search->dim,
        .vector = search->vector,
        .k = search->limit,
        .ef = search->ef,
        .exact = search->exact,
        .has_threshold = search->score_threshold != NULL,
        .threshold = search->score_threshold != NULL ? *search->score_threshold : 0,
        .with_payload = search->with_payload,
        .with_vector = search->with_vector,
        .filter = slice_from_str(search->filter),
    };
    struct wire_search_reply reply;
    enum shoal_err rc = exchange_run(
        r, &e, wire_encode_search(&e.request, WIRE_SEARCH, &meta, &msg), timeout_ms, why);
    if (rc == SHOAL_OK) {
        rc = wire_read_search_reply(transport_reply_bytes(e.reply), &e.arena, &reply, why);
    }
    if (rc == SHOAL_OK) {
        rc = take_hits(&reply, out);
    }
    exchange_release(&e);
    return rc;
}

/* --- streams -------------------------------------------------------------------------------- */

static enum shoal_err open_stream(struct remote *r, const char *op, struct slice body,
                                  uint32_t timeout_ms, uint64_t *id, struct errbuf *why)
{
    struct exchange e;
    exchange_init(&e);
    const struct wire_meta meta = { .timeout_ms = timeout_ms };
    const struct wire_call call = { .op = slice_from_str(op), .json = body };
    enum shoal_err rc = exchange_run(
        r, &e, wire_encode_call(&e.request, WIRE_STREAM_OPEN, &meta, &call), timeout_ms, why);
    if (rc == SHOAL_OK) {
        rc = wire_read_stream_id(transport_reply_bytes(e.reply), &e.arena, id, why);
    }
    exchange_release(&e);
    return rc;
}

static void cancel_stream(struct remote *r, uint64_t id)
{
    struct exchange e;
    exchange_init(&e);
    const struct wire_meta meta = { .timeout_ms = 1000 };
    const struct wire_stream_ref ref = { .stream = id };
    /* Best effort: a stream that nobody asks about is given up by the server. */
    (void)exchange_run(r, &e, wire_encode_stream_ref(&e.request, WIRE_STREAM_CANCEL, &meta, &ref),
                       1000, NULL);
    exchange_release(&e);
}

struct progress {
    uint32_t from;
    bool done;
    bool stopped; /* by the caller */
};

static enum shoal_err next_pieces(struct remote *r, uint64_t id, uint32_t timeout_ms,
                                  bool (*piece)(void *arg, struct slice json), void *arg,
                                  struct progress *p, struct errbuf *why)
{
    struct exchange e;
    exchange_init(&e);
    const struct wire_meta meta = { .timeout_ms = timeout_ms };
    const struct wire_stream_ref ref = { .stream = id,
                                         .from = p->from,
                                         .wait_ms = timeout_ms / 2 < NEXT_WAIT_MS ? timeout_ms / 2
                                                                                  : NEXT_WAIT_MS };
    struct wire_stream_pieces msg;
    enum shoal_err rc = exchange_run(
        r, &e, wire_encode_stream_ref(&e.request, WIRE_STREAM_NEXT, &meta, &ref), timeout_ms, why);
    if (rc == SHOAL_OK) {
        rc = wire_read_stream_pieces(transport_reply_bytes(e.reply), &e.arena, &msg, why);
    }
    for (uint32_t i = 0; rc == SHOAL_OK && i < msg.pieces_len && !p->stopped; i++) {
        p->from++;
        p->stopped = !piece(arg, msg.pieces[i]);
    }
    p->done = rc == SHOAL_OK && msg.done;
    exchange_release(&e);
    return rc;
}

static enum shoal_err remote_stream(struct backend *b, const char *method, const char *path,
                                    struct slice body, uint32_t timeout_ms,
                                    bool (*piece)(void *arg, struct slice json), void *arg,
                                    struct errbuf *why)
{
    struct remote *r = (struct remote *)b;
    char op[2048];
    uint64_t id = 0;
    enum shoal_err rc = print_op(op, sizeof(op), method, path, why);
    if (rc == SHOAL_OK) {
        rc = open_stream(r, op, body, timeout_ms, &id, why);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct progress p = { 0 };
    while (rc == SHOAL_OK && !p.done && !p.stopped) {
        rc = next_pieces(r, id, timeout_ms, piece, arg, &p, why);
    }
    if (!p.done) {
        cancel_stream(r, id);
    }
    return rc == SHOAL_OK && p.stopped ? SHOAL_ECANCELED : rc;
}

/* --- life ----------------------------------------------------------------------------------- */

static void remote_close(struct backend *b)
{
    struct remote *r = (struct remote *)b;
    transport_peer_free(r->peer);
    transport_free(r->transport);
    mem_free(r);
}

static const struct backend_ops remote_ops = {
    .call = remote_call,
    .upsert = remote_upsert,
    .search = remote_search,
    .stream = remote_stream,
    .close = remote_close,
};

enum shoal_err backend_remote_open(const char *address, struct backend **out, struct errbuf *why)
{
    *out = NULL;
    char url[512];
    int n = snprintf(url, sizeof(url), "tcp://%s", address);
    if (n < 0 || (size_t)n >= sizeof(url)) {
        return err_set(why, SHOAL_EINVAL, "the address is too long");
    }
    struct remote *r = mem_calloc(1, sizeof(*r));
    if (r == NULL) {
        return SHOAL_ENOMEM;
    }
    r->base.ops = &remote_ops;
    enum shoal_err rc = transport_nng_new(&r->transport, why);
    if (rc == SHOAL_OK) {
        rc = transport_dial(r->transport, url, &r->peer, why);
    }
    if (rc != SHOAL_OK) {
        if (r->transport != NULL) {
            transport_free(r->transport);
        }
        mem_free(r);
        return err_prefix(why, rc, "shoal://%s", address);
    }
    *out = &r->base;
    return SHOAL_OK;
}
