/* Connections, their deadlines, and the thread that enforces them.
 *
 * libmicrohttpd's own timeout starts again with every byte, so a client that sends one byte now and
 * then keeps its connection for as long as it likes. Each phase of ours has an absolute deadline
 * instead; the sweeper looks through the connections a few times in the shortest deadline's span
 * and shuts down the sockets that are over theirs, which libmicrohttpd notices as the client's
 * hanging up. A descriptor cannot be reused meanwhile: a connection leaves the list, under its
 * lock, before libmicrohttpd closes the socket. */
#include "server/http_conn.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <sys/socket.h>

#define SWEEP_MS_MIN 10u
#define SWEEP_MS_MAX 250u
#define TARGET_BYTES_MAX (64u << 10)

struct http_conn *http__conn_new(struct http_server *s, struct MHD_Connection *mhd, int fd)
{
    struct http_conn *c = mem_calloc(1, sizeof(*c));
    if (c == NULL) {
        return NULL;
    }
    c->server = s;
    c->mhd = mhd;
    c->fd = fd;
    atomic_init(&c->refs, 1);
    arena_init(&c->arena, s->config.arena_bytes_max);
    buf_init(&c->target, TARGET_BYTES_MAX);
    buf_init(&c->body, s->config.body_bytes_max);
    buf_init(&c->res.body, s->config.answer_bytes_max);
    buf_init(&c->stream.pending, HTTP_STREAM_BYTES_MAX);
    mutex_init(&c->stream.mutex);
    cond_init(&c->stream.room);
    http__conn_expire_in(c, s->config.head_ms);
    mutex_lock(&s->conns_mutex);
    c->next = s->conns;
    if (s->conns != NULL) {
        s->conns->prev = c;
    }
    s->conns = c;
    s->conns_len++;
    if (s->conns_len == 1) {
        cond_broadcast(&s->conns_changed); /* the sweeper sleeps while there is nobody */
    }
    mutex_unlock(&s->conns_mutex);
    return c;
}

void http__conn_unref(struct http_conn *c)
{
    if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    assert(c->answer == NULL && c->body_counted == 0);
    cond_release(&c->stream.room);
    mutex_release(&c->stream.mutex);
    buf_release(&c->stream.pending);
    buf_release(&c->res.body);
    buf_release(&c->body);
    buf_release(&c->target);
    arena_release(&c->arena);
    mem_free(c);
}

void http__conn_leave(struct http_conn *c)
{
    struct http_server *s = c->server;
    mutex_lock(&s->conns_mutex);
    if (c->prev != NULL) {
        c->prev->next = c->next;
    } else {
        s->conns = c->next;
    }
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    s->conns_len--;
    mutex_unlock(&s->conns_mutex);
}

void http__conn_expire_in(struct http_conn *c, uint64_t ms)
{
    uint64_t at = ms == 0 ? 0 : clock_mono_ns(clock_real()) + ms * 1000000u;
    atomic_store_explicit(&c->expires_ns, at, memory_order_relaxed);
}

/* --- exchanges ------------------------------------------------------------------------------ */

static uint64_t make_trace_id(struct http_server *s)
{
    /* A bijection of the counter (the finaliser of splitmix64), so that ids of one process differ
     * and those of two rarely agree. */
    uint64_t x = s->trace_seed + atomic_fetch_add(&s->next_trace, 1) * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    x ^= x >> 31;
    return x == 0 ? 1 : x;
}

void http__exchange_begin(struct http_conn *c, const char *target)
{
    struct http_server *s = c->server;
    assert(c->phase == HTTP_PHASE_IDLE);
    uint64_t now = clock_mono_ns(clock_real());
    c->phase = HTTP_PHASE_HEAD;
    c->lane = HTTP_LANE_REFUSED;
    c->plan = (struct http_body_plan){ 0 };
    c->body_dropped = 0;
    c->too_big = false;
    c->overloaded = false;
    c->req = (struct http_request){
        .arrived_ns = now,
        .deadline_ns = now + s->config.request_ms * UINT64_C(1000000),
        .trace_id = make_trace_id(s),
        .arena = &c->arena,
    };
    struct buf answer = c->res.body;
    c->res = (struct http_response){
        .status = 200, .content_type = "application/json", .body = answer, .conn = c
    };
    (void)buf_append_str(&c->target, target);
    http__conn_expire_in(c, s->config.head_ms);
    mutex_lock(&s->conns_mutex);
    s->exchanges++;
    mutex_unlock(&s->conns_mutex);
}

static void empty(struct buf *b)
{
    if (b->cap > HTTP_KEEP_BYTES) {
        buf_release(b);
    }
    buf_reset(b);
}

void http__exchange_end(struct http_conn *c)
{
    struct http_server *s = c->server;
    assert(c->phase != HTTP_PHASE_IDLE);
    atomic_fetch_sub_explicit(&s->body_bytes, c->body_counted, memory_order_relaxed);
    c->body_counted = 0;
    arena_reset(&c->arena);
    if (c->arena.used > HTTP_KEEP_BYTES) {
        arena_release(&c->arena);
    }
    empty(&c->target);
    empty(&c->body);
    empty(&c->res.body);
    empty(&c->stream.pending);
    c->stream.begun = c->stream.finished = c->stream.waiting = false;
    c->stream.gone = c->stream.completed = false;
    c->stream.sent = 0;
    c->phase = HTTP_PHASE_IDLE;
    http__conn_expire_in(c, s->config.idle_ms);
    mutex_lock(&s->conns_mutex);
    assert(s->exchanges > 0);
    s->exchanges--;
    if (s->exchanges == 0) {
        cond_broadcast(&s->all_answered);
    }
    mutex_unlock(&s->conns_mutex);
}

/* --- the sweeper ---------------------------------------------------------------------------- */

static uint64_t interval_ns(const struct http_config *config)
{
    uint32_t ms = config->idle_ms < config->head_ms ? config->idle_ms : config->head_ms;
    ms = config->body_ms < ms ? config->body_ms : ms;
    ms = config->send_ms < ms ? config->send_ms : ms;
    ms /= 4;
    ms = ms < SWEEP_MS_MIN ? SWEEP_MS_MIN : ms > SWEEP_MS_MAX ? SWEEP_MS_MAX : ms;
    return ms * UINT64_C(1000000);
}

void http__sweep(void *server)
{
    struct http_server *s = server;
    const uint64_t step_ns = interval_ns(&s->config);
    mutex_lock(&s->conns_mutex);
    while (!s->sweeper_ends) {
        if (s->conns == NULL) {
            cond_wait(&s->conns_changed, &s->conns_mutex);
            continue;
        }
        uint64_t now = clock_mono_ns(clock_real());
        for (struct http_conn *c = s->conns; c != NULL; c = c->next) {
            uint64_t at = atomic_load_explicit(&c->expires_ns, memory_order_relaxed);
            if (at != 0 && at <= now) {
                (void)shutdown(c->fd, SHUT_RDWR); /* fails when the client hung up before */
                atomic_store_explicit(&c->expires_ns, 0, memory_order_relaxed);
            }
        }
        (void)cond_wait_until(&s->conns_changed, &s->conns_mutex, now + step_ns);
    }
    mutex_unlock(&s->conns_mutex);
}
