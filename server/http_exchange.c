/* One request through its phases, as libmicrohttpd's calls drive it:
 *
 *     request line -> HEAD -> header complete -> BODY -> body complete -> HANDLING -> READY
 *                          -> answer queued -> SENDING -> complete -> IDLE
 *
 * A refusal is decided when the header is known. When the rest of the request is small it is read
 * and dropped, so that the connection can be used again; otherwise the answer goes out at once and
 * libmicrohttpd closes the connection after it. */
#include "server/http_conn.h"

#include "base/clock.h"

#include <assert.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>

/* Bytes of an unwanted body that are read to save the connection. */
#define DROP_BYTES_MAX (64u << 10)
/* A body may take its grace and then must come, and an answer go, at least this fast. */
#define BYTES_PER_MS 64u

/* --- refusals ------------------------------------------------------------------------------- */

static void refuse(struct http_conn *c, unsigned status, enum shoal_err code, const char *text)
{
    const struct http_app *app = &c->server->config.app;
    buf_reset(&c->res.body);
    c->res.fields_len = 0;
    c->lane = HTTP_LANE_REFUSED;
    app->refuse(app->arg, &c->req, &c->res, status, code, text);
    if (status == 503) {
        http_response_field(&c->res, "Retry-After", "1");
    }
}

static void refuse_body(struct http_conn *c)
{
    char text[128];
    snprintf(text, sizeof(text), "the body is larger than %zu bytes; send less at a time",
             c->server->config.body_bytes_max);
    refuse(c, 413, SHOAL_ETOOBIG, text);
}

/* --- answering ------------------------------------------------------------------------------ */

static bool queue_answer(struct http_conn *c)
{
    assert(c->answer != NULL);
    bool stream = c->stream.begun;
    uint64_t bytes = c->res.body.len;
    enum MHD_Result queued = MHD_queue_response(c->mhd, c->res.status, c->answer);
    MHD_destroy_response(c->answer); /* libmicrohttpd holds its own reference */
    c->answer = NULL;
    c->phase = HTTP_PHASE_SENDING;
    /* A stream may last; libmicrohttpd's timeout for inactivity ends it when its client sleeps. */
    http__conn_expire_in(c, stream ? 0 : c->server->config.send_ms + bytes / BYTES_PER_MS);
    return queued == MHD_YES;
}

static bool answer_now(struct http_conn *c)
{
    c->answer = http__answer_make(c);
    return c->answer != NULL && queue_answer(c);
}

/* --- the header ----------------------------------------------------------------------------- */

struct gathering {
    struct http_field *fields;
    size_t len;
    size_t room;
    bool overflow;
};

static enum MHD_Result gather_field(void *arg, enum MHD_ValueKind kind, const char *name,
                                    size_t name_len, const char *value, size_t value_len)
{
    struct gathering *g = arg;
    (void)kind;
    if (g->len == g->room) {
        g->overflow = true;
        return MHD_NO;
    }
    while (value_len > 0 && (value[value_len - 1] == ' ' || value[value_len - 1] == '\t')) {
        value_len--; /* libmicrohttpd drops only those before it */
    }
    g->fields[g->len++] = (struct http_field){ .name = slice_make(name, name_len),
                                               .value = slice_make(value, value_len) };
    return MHD_YES;
}

/* Names and values stay where libmicrohttpd has them, which is until the exchange is complete. */
static enum shoal_err take_fields(struct http_conn *c, struct errbuf *why)
{
    struct gathering g = { .room = HTTP_FIELDS_MAX };
    g.fields = arena_alloc(&c->arena, HTTP_FIELDS_MAX * sizeof(*g.fields));
    if (g.fields == NULL) {
        return SHOAL_ENOMEM;
    }
    (void)MHD_get_connection_values_n(c->mhd, MHD_HEADER_KIND, gather_field, &g);
    if (g.overflow) {
        return err_set(why, SHOAL_ETOOBIG, "more than %d header fields", HTTP_FIELDS_MAX);
    }
    c->req.fields = g.fields;
    c->req.fields_len = g.len;
    return SHOAL_OK;
}

static enum shoal_err take_header(struct http_conn *c, const char *method, struct errbuf *why)
{
    if (c->target.failed != SHOAL_OK) {
        return c->target.failed;
    }
    c->req.method = http_method_parse(method, &c->req.head);
    enum shoal_err rc = take_fields(c, why);
    if (rc == SHOAL_OK) {
        rc = http_request_set_target(&c->req, buf_slice(&c->target), why);
    }
    return rc == SHOAL_OK ? http_request_plan_body(&c->req, &c->plan, why) : rc;
}

/* A page of another origin asks first what it may send; RFC 9110, section 9.3.7, and the Fetch
 * standard. */
static void answer_preflight(struct http_conn *c)
{
    struct slice wanted;
    struct http_response *res = &c->res;
    const char *allowed = "*";
    if (http_request_field(&c->req, "Access-Control-Request-Headers", &wanted)) {
        const char *copy = arena_strndup(&c->arena, wanted.data, wanted.len);
        allowed = copy == NULL ? allowed : copy;
    }
    res->status = 204;
    res->content_type = NULL;
    http_response_field(res, "Access-Control-Allow-Methods",
                        "GET, HEAD, PUT, POST, DELETE, PATCH, OPTIONS");
    http_response_field(res, "Access-Control-Allow-Headers", allowed);
    http_response_field(res, "Access-Control-Max-Age", "3600");
    http_response_field(res, "Allow", "GET, HEAD, PUT, POST, DELETE, PATCH, OPTIONS");
    c->lane = HTTP_LANE_REFUSED; /* nothing more to do for the application */
}

static void admit(struct http_conn *c)
{
    struct http_server *s = c->server;
    if (atomic_load_explicit(&s->stopping, memory_order_relaxed)) {
        refuse(c, 503, SHOAL_ECANCELED, "the server is stopping");
    } else if (!c->plan.chunked && c->plan.length > s->config.body_bytes_max) {
        refuse_body(c);
    } else if (c->req.method == HTTP_OPTIONS) {
        answer_preflight(c);
    } else {
        c->lane = s->config.app.admit(s->config.app.arg, &c->req, &c->res);
    }
}

static unsigned status_of(enum shoal_err rc)
{
    switch (rc) {
    case SHOAL_ENOMEM: return 503;
    case SHOAL_ETOOBIG: return 431;
    default: return 400;
    }
}

static bool begin(struct http_conn *c, const char *method)
{
    struct errbuf why = { 0 };
    enum shoal_err rc = take_header(c, method, &why);
    c->phase = HTTP_PHASE_BODY;
    if (rc != SHOAL_OK) {
        /* Where the body ends is not certain: nothing more is read from this connection. */
        refuse(c, status_of(rc), rc, err_why(&why, rc));
        return answer_now(c);
    }
    admit(c);
    uint64_t expected = c->plan.chunked ? c->server->config.body_bytes_max : c->plan.length;
    if (c->lane == HTTP_LANE_REFUSED && c->plan.present &&
        (c->plan.chunked || expected > DROP_BYTES_MAX)) {
        return answer_now(c);
    }
    http__conn_expire_in(c, c->server->config.body_ms + expected / BYTES_PER_MS);
    return true;
}

/* --- the body ------------------------------------------------------------------------------- */

/* Keeps the sum of all bodies' memory within its bound. */
static bool count_body(struct http_conn *c)
{
    struct http_server *s = c->server;
    size_t grown = c->body.cap - c->body_counted;
    size_t before = atomic_fetch_add_explicit(&s->body_bytes, grown, memory_order_relaxed);
    c->body_counted = c->body.cap;
    return before + grown <= s->config.body_bytes_total_max;
}

static void forget_body(struct http_conn *c)
{
    atomic_fetch_sub_explicit(&c->server->body_bytes, c->body_counted, memory_order_relaxed);
    c->body_counted = 0;
    buf_release(&c->body);
}

/* False when the client keeps sending what nobody wants. */
static bool take_body(struct http_conn *c, const char *data, size_t len)
{
    if (c->lane != HTTP_LANE_REFUSED && !c->too_big && !c->overloaded) {
        enum shoal_err rc = buf_append(&c->body, data, len);
        c->too_big = rc == SHOAL_ETOOBIG;
        c->overloaded = rc == SHOAL_ENOMEM || !count_body(c);
        if (!c->too_big && !c->overloaded) {
            return true;
        }
        forget_body(c);
    }
    c->body_dropped += len;
    return c->body_dropped <= c->server->config.body_bytes_max + DROP_BYTES_MAX;
}

/* --- handling ------------------------------------------------------------------------------- */

static void run(void *arg)
{
    struct http_conn *c = arg;
    const struct http_app *app = &c->server->config.app;
    app->handle(app->arg, &c->req, &c->res);
    if (c->stream.begun) { /* only this thread changes it here */
        http__stream_finish(c);
    } else {
        c->answer = http__answer_make(c);
        c->phase = HTTP_PHASE_READY;
        MHD_resume_connection(c->mhd);
    }
    http__conn_unref(c);
}

/* Takes a place in the queue before the connection is suspended, and submits after it, because the
 * job may resume it at once. */
static bool submit(struct http_conn *c)
{
    struct http_server *s = c->server;
    struct pool *pool = c->lane == HTTP_LANE_SLOW ? s->slow : s->fast;
    enum shoal_err rc = pool_reserve(pool);
    if (rc != SHOAL_OK) {
        refuse(c, 503, rc,
               rc == SHOAL_EBUSY ? "too many requests wait already; repeat later"
                                 : "the server is stopping");
        return answer_now(c);
    }
    c->job = (struct pool_job){ .run = run, .arg = c };
    c->phase = HTTP_PHASE_HANDLING;
    http__conn_expire_in(c, 0); /* the application has a deadline of its own */
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    MHD_suspend_connection(c->mhd);
    pool_submit_reserved(pool, &c->job);
    return true;
}

static bool handle(struct http_conn *c)
{
    const struct http_app *app = &c->server->config.app;
    if (c->too_big) {
        refuse_body(c);
    } else if (c->overloaded) {
        refuse(c, 503, SHOAL_ENOMEM, "no memory for the body now; repeat later");
    }
    c->req.body = buf_slice(&c->body);
    switch (c->lane) {
    case HTTP_LANE_REFUSED: return answer_now(c);
    case HTTP_LANE_INLINE: app->handle(app->arg, &c->req, &c->res); return answer_now(c);
    case HTTP_LANE_FAST:
    case HTTP_LANE_SLOW: return submit(c);
    }
    return false;
}

/* --- libmicrohttpd's side ------------------------------------------------------------------- */

bool http__on_request(struct http_conn *c, const char *method, const char *upload,
                      size_t *upload_len)
{
    size_t len = *upload_len;
    switch (c->phase) {
    case HTTP_PHASE_HEAD: return begin(c, method);
    case HTTP_PHASE_BODY:
        if (len == 0) {
            return handle(c);
        }
        *upload_len = 0;
        return take_body(c, upload, len);
    case HTTP_PHASE_READY: return c->answer != NULL && queue_answer(c);
    case HTTP_PHASE_IDLE:
    case HTTP_PHASE_HANDLING:
    case HTTP_PHASE_SENDING: break;
    }
    assert(false && "libmicrohttpd called out of turn");
    return false;
}

void http__on_completed(struct http_conn *c)
{
    if (c->answer != NULL) { /* the client left before it could be queued */
        MHD_destroy_response(c->answer);
        c->answer = NULL;
    }
    if (!http__stream_abandon(c, true)) {
        http__exchange_end(c);
    }
}
