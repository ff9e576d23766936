/* A server with an application for tests, and a client connected to it. cmocka.h and what it needs
 * come before this. */
#ifndef SHOAL_TESTS_SERVER_HTTP_FIXTURE_H
#define SHOAL_TESTS_SERVER_HTTP_FIXTURE_H

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "server/http.h"
#include "tests/support/http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST "Host: test\r\n"
#define BODY_MAX 100000u
#define SECOND_NS UINT64_C(1000000000)

struct fixture {
    struct http_server *server;
    struct http_client client;
    size_t live;
    struct mutex mutex;
    struct cond changed;
    /* guarded by mutex */
    unsigned gate_waiting; /* handlers that stand at the gate */
    bool gate_open;
    bool producer_stopped; /* a stream's push said to stop */
    size_t pushed;
};

/* --- an application for tests ----------------------------------------------------------------
 *   /echo     method, decoded path and body come back
 *   /inline   the same, on the socket's thread
 *   /gate     waits until the test opens the gate
 *   /slow     the same, in the slow lane
 *   /stream   pushes "piece 0\n".."piece 9\n", waiting at the gate before the last
 *   /flood    pushes for ever, until it is told to stop */

static inline enum http_lane admit(void *arg, struct http_request *req, struct http_response *res)
{
    (void)arg;
    struct slice first = req->segments_len == 0 ? SLICE_LIT("") : req->segments[0];
    if (slice_is(first, "inline")) {
        return HTTP_LANE_INLINE;
    }
    if (slice_is(first, "slow") || slice_is(first, "stream") || slice_is(first, "flood")) {
        return HTTP_LANE_SLOW;
    }
    if (slice_is(first, "echo") || slice_is(first, "gate") || slice_is(first, "fields")) {
        return HTTP_LANE_FAST;
    }
    res->status = 404;
    return HTTP_LANE_REFUSED;
}

static inline void wait_at_gate(struct fixture *f)
{
    mutex_lock(&f->mutex);
    f->gate_waiting++;
    cond_broadcast(&f->changed);
    while (!f->gate_open) {
        cond_wait(&f->changed, &f->mutex);
    }
    f->gate_waiting--;
    mutex_unlock(&f->mutex);
}

static inline void echo(struct http_request *req, struct http_response *res)
{
    (void)buf_append_str(&res->body, http_method_name(req->method));
    for (size_t i = 0; i < req->segments_len; i++) {
        (void)buf_append_str(&res->body, " ");
        (void)buf_append_slice(&res->body, req->segments[i]);
    }
    (void)buf_append_str(&res->body, "|");
    (void)buf_append_slice(&res->body, req->body);
}

static inline void stream(struct fixture *f, struct http_response *res, bool flood)
{
    struct http_stream *st = NULL;
    res->content_type = "text/plain";
    assert_int_equal(http_stream_begin(res, &st), SHOAL_OK);
    uint64_t deadline_ns = clock_mono_ns(clock_real()) + 60 * SECOND_NS;
    for (int i = 0; flood || i < 10; i++) {
        char piece[64 << 10];
        int n = snprintf(piece, sizeof(piece), "piece %d\n", i);
        if (flood) {
            memset(piece, 'x', sizeof(piece));
            n = sizeof(piece);
        } else if (i == 9) {
            wait_at_gate(f);
        }
        bool ok = http_stream_push(st, slice_make(piece, (size_t)n), deadline_ns);
        mutex_lock(&f->mutex);
        f->pushed += ok ? (size_t)n : 0;
        f->producer_stopped = !ok;
        cond_broadcast(&f->changed);
        mutex_unlock(&f->mutex);
        if (!ok) {
            return;
        }
    }
}

static inline void handle(void *arg, struct http_request *req, struct http_response *res)
{
    struct fixture *f = arg;
    struct slice v;
    if (slice_is(req->segments[0], "gate") || slice_is(req->segments[0], "slow")) {
        wait_at_gate(f);
    } else if (slice_is(req->segments[0], "stream") || slice_is(req->segments[0], "flood")) {
        stream(f, res, slice_is(req->segments[0], "flood"));
        return;
    } else if (slice_is(req->segments[0], "fields") && http_request_field(req, "x-test", &v)) {
        http_response_field(res, "X-Answer", arena_strndup(req->arena, v.data, v.len));
    }
    echo(req, res);
}

static inline void refuse(void *arg, const struct http_request *req, struct http_response *res,
                          unsigned status, enum shoal_err code, const char *text)
{
    (void)arg;
    (void)req;
    res->status = status;
    (void)buf_printf(&res->body, "refused %s: %s", err_word(code), text);
}

static inline void start(struct fixture *f, struct http_config config)
{
    config.address = "127.0.0.1:0";
    config.app = (struct http_app){ .admit = admit, .handle = handle, .refuse = refuse, .arg = f };
    struct errbuf why = { 0 };
    if (http_server_new(&config, &f->server, &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
    http_client_open(&f->client, http_server_address(f->server));
}

static inline int setup_with(void **state, struct http_config config)
{
    struct fixture *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        return -1;
    }
    f->live = mem_live();
    f->client.fd = -1;
    mutex_init(&f->mutex);
    cond_init(&f->changed);
    start(f, config);
    *state = f;
    return 0;
}

static inline int setup(void **state)
{
    return setup_with(state, (struct http_config){ .body_bytes_max = BODY_MAX });
}

static inline int setup_hasty(void **state)
{
    return setup_with(state,
                      (struct http_config){
                          .idle_ms = 300, .head_ms = 200, .body_ms = 200, .body_bytes_max = 1000 });
}

static inline int setup_narrow(void **state)
{
    return setup_with(state, (struct http_config){ .fast_threads = 1,
                                                   .fast_queue_len_max = 1,
                                                   .slow_threads = 1,
                                                   .io_threads = 1 });
}

static inline void open_gate(struct fixture *f)
{
    mutex_lock(&f->mutex);
    f->gate_open = true;
    cond_broadcast(&f->changed);
    mutex_unlock(&f->mutex);
}

static inline void await_gate(struct fixture *f, unsigned waiting)
{
    mutex_lock(&f->mutex);
    while (f->gate_waiting < waiting) {
        cond_wait(&f->changed, &f->mutex);
    }
    mutex_unlock(&f->mutex);
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    open_gate(f);
    http_client_close(&f->client);
    http_server_free(f->server);
    int leaked = mem_live() != f->live;
    cond_release(&f->changed);
    mutex_release(&f->mutex);
    free(f);
    return leaked ? -1 : 0;
}

static inline void assert_reply(struct http_reply r, int status, const char *body)
{
    if (r.status != status || (body != NULL && strcmp(r.body, body) != 0)) {
        fail_msg("got %d \"%s\", wanted %d \"%s\"", r.status, r.body == NULL ? "" : r.body, status,
                 body == NULL ? "(any)" : body);
    }
}

#endif
