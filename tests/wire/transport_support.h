/* What the transport tests share: a gate to wait at with a deadline, a server that echoes or holds
 * what it gets, URLs that no other test uses, and the fixture. Included after cmocka.h. */
#ifndef SHOAL_TESTS_WIRE_TRANSPORT_SUPPORT_H
#define SHOAL_TESTS_WIRE_TRANSPORT_SUPPORT_H

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "wire/frame.h"
#include "wire/transport.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_NS (UINT64_C(60) * 1000000000u) /* a test that waits longer has failed */
#define PATIENCE_MS 60000u
#define HELD_MAX 512

static inline uint64_t now_ns(void)
{
    return clock_mono_ns(clock_real());
}

/* --- gate: counts events; others wait for a count -------------------------------------------- */

struct gate {
    struct mutex mutex;
    struct cond changed;
    size_t count;
};

static inline void gate_init(struct gate *g)
{
    mutex_init(&g->mutex);
    cond_init(&g->changed);
    g->count = 0;
}

static inline void gate_release(struct gate *g)
{
    cond_release(&g->changed);
    mutex_release(&g->mutex);
}

static inline void gate_pass(struct gate *g)
{
    mutex_lock(&g->mutex);
    g->count++;
    cond_broadcast(&g->changed);
    mutex_unlock(&g->mutex);
}

static inline size_t gate_count(struct gate *g)
{
    mutex_lock(&g->mutex);
    size_t n = g->count;
    mutex_unlock(&g->mutex);
    return n;
}

/* False when `count` was not reached in time. */
static inline bool gate_wait(struct gate *g, size_t count)
{
    uint64_t deadline = now_ns() + PATIENCE_NS;
    mutex_lock(&g->mutex);
    bool in_time = true;
    while (g->count < count && in_time) {
        in_time = cond_wait_until(&g->changed, &g->mutex, deadline);
    }
    bool reached = g->count >= count;
    mutex_unlock(&g->mutex);
    return reached;
}

/* --- server ---------------------------------------------------------------------------------- */

struct held {
    struct transport_exchange *x;
    struct slice message;
};

/* Echoes; or, while `holding`, keeps requests until server_answer_all. */
struct server {
    struct transport_listener *listener;
    struct gate requests;
    struct mutex mutex;
    /* guarded by mutex */
    bool holding;
    struct held held[HELD_MAX];
    size_t held_len;
    size_t misaligned;
};

static inline void server_on_request(void *arg, struct transport_exchange *x, struct slice message)
{
    struct server *s = (struct server *)arg;
    mutex_lock(&s->mutex);
    bool hold = s->holding && s->held_len < HELD_MAX;
    s->misaligned += (uintptr_t)message.data % 4 != 0;
    if (hold) {
        s->held[s->held_len++] = (struct held){ .x = x, .message = message };
    }
    mutex_unlock(&s->mutex);
    if (!hold) {
        transport_answer(x, message);
    }
    gate_pass(&s->requests);
}

static inline enum shoal_err server_open(struct server *s, struct transport *t, const char *url,
                                         struct errbuf *why)
{
    memset(s, 0, sizeof(*s));
    gate_init(&s->requests);
    mutex_init(&s->mutex);
    return transport_listen(t, url, server_on_request, s, &s->listener, why);
}

static inline void server_hold(struct server *s, bool holding)
{
    mutex_lock(&s->mutex);
    s->holding = holding;
    mutex_unlock(&s->mutex);
}

/* Answers what is held, the latest first. Returns how many. */
static inline size_t server_answer_all(struct server *s)
{
    size_t n = 0;
    for (;;) {
        mutex_lock(&s->mutex);
        bool any = s->held_len > 0;
        struct held h = any ? s->held[--s->held_len] : (struct held){ 0 };
        mutex_unlock(&s->mutex);
        if (!any) {
            return n;
        }
        transport_answer(h.x, h.message);
        n++;
    }
}

static inline void server_close(struct server *s)
{
    transport_listener_free(s->listener);
    gate_release(&s->requests);
    mutex_release(&s->mutex);
}

/* --- calls ----------------------------------------------------------------------------------- */

/* The outcome of one asynchronous call. */
struct outcome {
    struct gate *gate;
    unsigned times;
    enum shoal_err rc;
    struct transport_reply *reply;
};

static inline void outcome_on_reply(void *arg, enum shoal_err rc, struct transport_reply *reply)
{
    struct outcome *o = (struct outcome *)arg;
    o->times++;
    o->rc = rc;
    o->reply = reply;
    gate_pass(o->gate);
}

static inline bool echoes(struct transport_peer *p, struct slice message, uint32_t timeout_ms)
{
    struct transport_reply *reply = NULL;
    enum shoal_err rc = transport_call_wait(p, message, timeout_ms, &reply, NULL);
    bool same = rc == SHOAL_OK && slice_equal(transport_reply_bytes(reply), message);
    transport_reply_free(reply);
    return same;
}

/* --- URLs ------------------------------------------------------------------------------------ */

enum scheme { INPROC, IPC, TCP, SCHEMES };

#define URL_ROOM 256

/* A directory of this test's own for ipc sockets; removed by test_dir_drop. */
static inline int test_dir_make(char out[URL_ROOM])
{
    const char *base = getenv("TMPDIR");
    int n = snprintf(out, URL_ROOM, "%s/shoal-wire-XXXXXX", base != NULL ? base : "/tmp");
    return n > 0 && n < URL_ROOM - 32 && mkdtemp(out) != NULL ? 0 : -1;
}

static inline void url_make(enum scheme scheme, const char *dir, unsigned n, char out[URL_ROOM])
{
    if (scheme == TCP) {
        (void)snprintf(out, URL_ROOM, "tcp://127.0.0.1:0");
    } else if (scheme == IPC) {
        (void)snprintf(out, URL_ROOM, "ipc://%.*s/s%u", URL_ROOM - 32, dir, n);
    } else {
        (void)snprintf(out, URL_ROOM, "inproc://test-%d-%u", (int)getpid(), n);
    }
}

/* --- fixture ---------------------------------------------------------------------------------- */

struct fixture {
    struct transport *transport;
    char dir[URL_ROOM];
    unsigned urls;
    size_t live_before;
    struct errbuf why;
};

static inline int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    f.live_before = mem_live();
    if (test_dir_make(f.dir) != 0 || transport_nng_new(&f.transport, &f.why) != SHOAL_OK) {
        return -1;
    }
    *state = &f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    transport_free(f->transport);
    int left = rmdir(f->dir); /* fails when a socket file was left behind */
    if (left != 0 || mem_live() != f->live_before) {
        print_error("left behind: directory %d, blocks %zu\n", left, mem_live() - f->live_before);
        return -1;
    }
    return 0;
}

/* A server and a peer of it. */
struct link {
    struct server server;
    struct transport_peer *peer;
};

static inline void link_open(struct fixture *f, struct link *l, enum scheme scheme)
{
    char url[URL_ROOM];
    url_make(scheme, f->dir, f->urls++, url);
    enum shoal_err rc = server_open(&l->server, f->transport, url, &f->why);
    if (rc != SHOAL_OK) {
        fail_msg("%s: %s", url, f->why.text);
    }
    const char *real = transport_listener_url(l->server.listener);
    assert_int_equal(transport_dial(f->transport, real, &l->peer, &f->why), SHOAL_OK);
}

static inline void link_close(struct link *l)
{
    transport_peer_free(l->peer);
    server_close(&l->server);
}

#endif
