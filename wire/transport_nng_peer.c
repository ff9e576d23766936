/* The calling side of the transport over NNG.
 *
 * A peer is one REQ socket with one dialer. Every call under way has a slot: a context, an aio for
 * sending and one for receiving, kept and used again. The sending aio has no callback and no
 * deadline; it ends when the receiving one does, which has both. Resending is off: a
 * request that may have been seen is not sent again behind the caller's back.
 *
 * NNG ends the calls that were sent when their connection is lost, but keeps those that were not
 * sent until their deadline, which for a dead node is far too late. So the peer knows whether it is
 * connected: from NNG's word that a pipe comes and that it has gone, which for one pipe come in
 * this order, and for a dialer's pipes one after the other. While there is no pipe and any call is
 * under way, a timer (`watch`) closes the contexts of calls that have waited long enough; a slot
 * whose context was closed gets a new one with its next call. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "wire/frame.h"
#include "wire/transport_nng.h"

#include <assert.h>
#include <nng/protocol/reqrep0/req.h>
#include <string.h>

#define RECONNECT_MS_MIN 10
#define RECONNECT_MS_MAX 100
#define NS_PER_MS UINT64_C(1000000)

struct reply {
    struct transport_reply base;
    nng_msg *msg;
};

struct call_slot {
    struct call_slot *next_free;
    struct peer *peer;
    nng_ctx ctx;
    nng_aio *send_aio;
    nng_aio *recv_aio;
    /* of the call under way */
    struct reply *reply; /* allocated before, so that an answer is never lost for want of memory */
    transport_on_reply *on_reply;
    void *arg;
    uint64_t started_ns;
    uint64_t deadline_ns;
    bool given_up; /* the context was closed for want of a connection; guarded by peer->mutex */
};

struct peer {
    struct transport_peer base;
    nng_socket socket;
    nng_aio *watch;
    char url[TRANSPORT_NNG_URL_MAX];
    struct mutex mutex;
    struct cond idle;
    /* guarded by mutex */
    struct call_slot *slots[TRANSPORT_CALLS_MAX];
    size_t slots_len;
    struct call_slot *free_slots;
    size_t under_way; /* calls whose callback has not returned, and threads that start one */
    bool connected;
    bool watching;
    bool closed;
    uint64_t connected_ns;     /* when the connection came */
    uint64_t patient_until_ns; /* no call is given up before, when there is no connection */
};

static uint64_t now_ns(void)
{
    return clock_mono_ns(clock_real());
}

/* --- without a connection ------------------------------------------------------------------- */

/* Under the lock. Calls made while the timer sleeps have TRANSPORT_RETRY_PATIENCE_MS at least, so
 * it never has to be woken for them. */
static void watch_for_ms(struct peer *peer, uint64_t ms)
{
    assert(ms <= TRANSPORT_RETRY_PATIENCE_MS);
    peer->watching = true;
    nng_sleep_aio((nng_duration)ms, peer->watch);
}

static void watch_if_needed(struct peer *peer)
{
    if (!peer->connected && !peer->closed && !peer->watching && peer->under_way > 0) {
        watch_for_ms(peer, RECONNECT_MS_MIN);
    }
}

static uint64_t gives_up_at_ns(const struct peer *peer, const struct call_slot *slot)
{
    uint64_t at = slot->started_ns + TRANSPORT_RETRY_PATIENCE_MS * NS_PER_MS;
    return at > peer->patient_until_ns ? at : peer->patient_until_ns;
}

/* Ends what has waited long enough; returns when there is something to end next. A slot's sending
 * aio is busy exactly while NNG holds the request back. */
static uint64_t give_up_calls(struct peer *peer, uint64_t now)
{
    uint64_t next = now + TRANSPORT_RETRY_PATIENCE_MS * NS_PER_MS;
    for (size_t i = 0; i < peer->slots_len; i++) {
        struct call_slot *slot = peer->slots[i];
        if (!nng_aio_busy(slot->send_aio)) {
            continue;
        }
        uint64_t at = gives_up_at_ns(peer, slot);
        if (at <= now) {
            slot->given_up = true;
            (void)nng_ctx_close(slot->ctx);
        } else if (at < next) {
            next = at;
        }
    }
    return next;
}

static void on_watch(void *arg)
{
    struct peer *peer = arg;
    mutex_lock(&peer->mutex);
    peer->watching = false;
    if (!peer->connected && !peer->closed && peer->under_way > 0) {
        uint64_t now = now_ns();
        uint64_t next = give_up_calls(peer, now);
        watch_for_ms(peer, (next - now + NS_PER_MS - 1) / NS_PER_MS);
    }
    mutex_unlock(&peer->mutex);
}

static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    struct peer *peer = arg;
    (void)pipe;
    mutex_lock(&peer->mutex);
    uint64_t now = now_ns();
    peer->connected = event == NNG_PIPE_EV_ADD_PRE;
    if (peer->connected) {
        peer->connected_ns = now;
    } else if (now - peer->connected_ns >= TRANSPORT_PATIENCE_MS * NS_PER_MS) {
        /* Not for a connection that comes and goes: its calls would wait for ever. */
        peer->patient_until_ns = now + TRANSPORT_PATIENCE_MS * NS_PER_MS;
    }
    watch_if_needed(peer);
    mutex_unlock(&peer->mutex);
}

/* --- calls ---------------------------------------------------------------------------------- */

struct slice transport_nng__reply_bytes(const struct transport_reply *r)
{
    return transport_nng__bytes(((const struct reply *)r)->msg);
}

void transport_nng__reply_free(struct transport_reply *r)
{
    struct reply *reply = (struct reply *)r;
    nng_msg_free(reply->msg); /* NULL is fine */
    mem_free(reply);
}

static bool gave_up(struct call_slot *slot)
{
    mutex_lock(&slot->peer->mutex);
    bool given_up = slot->given_up;
    mutex_unlock(&slot->peer->mutex);
    return given_up;
}

/* How a call ended that brought no reply. */
static enum shoal_err call_failure(struct call_slot *slot, int rv)
{
    /* Whatever went wrong with sending is the cause; receiving then only says "wrong state". */
    int sent = nng_aio_result(slot->send_aio);
    nng_msg *unsent = nng_aio_get_msg(slot->send_aio);
    if (sent != 0 && unsent != NULL) {
        nng_msg_free(unsent);
        nng_aio_set_msg(slot->send_aio, NULL);
    }
    enum shoal_err rc = transport_nng__err(rv == NNG_ESTATE && sent != 0 ? sent : rv);
    switch (rc) {
    case SHOAL_ETIMEOUT:
        /* NNG may apply the deadline of a slot's last call to its next one, when both race; then
         * the request was given up too early, and may have been seen. */
        return now_ns() < slot->deadline_ns ? SHOAL_EUNAVAILABLE : rc;
    case SHOAL_ECANCELED: return gave_up(slot) ? SHOAL_EUNAVAILABLE : rc;
    case SHOAL_ENOMEM: return rc;
    default: return SHOAL_EUNAVAILABLE;
    }
}

static void on_received(void *arg)
{
    struct call_slot *slot = arg;
    struct peer *peer = slot->peer;
    struct reply *reply = slot->reply;
    slot->reply = NULL;
    /* The reply can be here before NNG has told that the request was sent, and then the aio is not
     * yet free to be used again. It is being told by another thread: soon. */
    nng_aio_wait(slot->send_aio);
    int rv = nng_aio_result(slot->recv_aio);
    enum shoal_err rc = SHOAL_OK;
    if (rv == 0) {
        reply->msg = nng_aio_get_msg(slot->recv_aio);
        nng_aio_set_msg(slot->recv_aio, NULL);
        slot->on_reply(slot->arg, SHOAL_OK, &reply->base);
    } else {
        rc = call_failure(slot, rv);
        mem_free(reply);
        slot->on_reply(slot->arg, rc, NULL);
    }
    mutex_lock(&peer->mutex);
    slot->next_free = peer->free_slots;
    peer->free_slots = slot;
    if (--peer->under_way == 0) {
        cond_broadcast(&peer->idle);
    }
    mutex_unlock(&peer->mutex);
}

static void slot_free(struct call_slot *slot)
{
    nng_aio_stop(slot->recv_aio);
    nng_aio_stop(slot->send_aio);
    nng_aio_free(slot->recv_aio); /* NULL is fine for both */
    nng_aio_free(slot->send_aio);
    mem_free(slot);
}

/* Under the peer's lock; happens only while more calls are under way than ever before. */
static enum shoal_err slot_new(struct peer *peer, struct call_slot **out)
{
    *out = NULL;
    if (peer->slots_len == TRANSPORT_CALLS_MAX) {
        return SHOAL_EBUSY;
    }
    struct call_slot *slot = mem_calloc(1, sizeof(*slot));
    if (slot == NULL) {
        return SHOAL_ENOMEM;
    }
    slot->peer = peer;
    int rv = nng_aio_alloc(&slot->send_aio, NULL, NULL);
    if (rv == 0) {
        rv = nng_aio_alloc(&slot->recv_aio, on_received, slot);
    }
    if (rv == 0) {
        rv = nng_ctx_open(&slot->ctx, peer->socket);
    }
    if (rv != 0) {
        slot_free(slot);
        return transport_nng__err(rv);
    }
    nng_aio_set_timeout(slot->send_aio, NNG_DURATION_INFINITE);
    peer->slots[peer->slots_len++] = slot;
    *out = slot;
    return SHOAL_OK;
}

static enum shoal_err slot_reuse(struct peer *peer, struct call_slot **out)
{
    struct call_slot *slot = peer->free_slots;
    if (slot->given_up) {
        int rv = nng_ctx_open(&slot->ctx, peer->socket);
        if (rv != 0) {
            return transport_nng__err(rv);
        }
        slot->given_up = false;
    }
    peer->free_slots = slot->next_free;
    *out = slot;
    return SHOAL_OK;
}

static enum shoal_err take_slot(struct peer *peer, struct call_slot **out)
{
    enum shoal_err rc = SHOAL_OK;
    *out = NULL;
    mutex_lock(&peer->mutex);
    if (peer->closed) {
        rc = SHOAL_ECANCELED;
    } else if (peer->free_slots != NULL) {
        rc = slot_reuse(peer, out);
    } else {
        rc = slot_new(peer, out);
    }
    if (rc == SHOAL_OK) {
        (*out)->started_ns = now_ns();
        peer->under_way += 2; /* the call, and this thread until it is out of NNG */
        watch_if_needed(peer);
    }
    mutex_unlock(&peer->mutex);
    return rc;
}

enum shoal_err transport_nng__call(struct transport_peer *p, struct slice message,
                                   uint32_t timeout_ms, transport_on_reply *on_reply, void *arg)
{
    struct peer *peer = (struct peer *)p;
    struct call_slot *slot = NULL;
    struct reply *reply = mem_alloc(sizeof(*reply));
    nng_msg *msg = transport_nng__message(message);
    enum shoal_err rc = reply == NULL || msg == NULL ? SHOAL_ENOMEM : take_slot(peer, &slot);
    if (rc != SHOAL_OK) {
        nng_msg_free(msg);
        mem_free(reply);
        return rc;
    }
    assert(reply != NULL && slot != NULL);
    nng_duration timeout = timeout_ms > INT32_MAX ? INT32_MAX : (nng_duration)timeout_ms;
    *reply = (struct reply){ .base.transport = p->transport };
    slot->reply = reply;
    slot->on_reply = on_reply;
    slot->arg = arg;
    slot->deadline_ns = slot->started_ns + (uint64_t)timeout * NS_PER_MS;
    nng_aio_set_msg(slot->send_aio, msg);
    nng_ctx_send(slot->ctx, slot->send_aio);
    nng_aio_set_timeout(slot->recv_aio, timeout);
    nng_ctx_recv(slot->ctx, slot->recv_aio);
    mutex_lock(&peer->mutex);
    if (--peer->under_way == 0) {
        cond_broadcast(&peer->idle);
    }
    mutex_unlock(&peer->mutex);
    return SHOAL_OK;
}

/* --- peers ---------------------------------------------------------------------------------- */

void transport_nng__peer_close(struct transport_peer *p)
{
    struct peer *peer = (struct peer *)p;
    mutex_lock(&peer->mutex);
    if (!peer->closed) {
        peer->closed = true;
        for (size_t i = 0; i < peer->slots_len; i++) {
            (void)nng_ctx_close(peer->slots[i]->ctx); /* ends the call in it */
        }
    }
    mutex_unlock(&peer->mutex);
}

void transport_nng__peer_free(struct transport_peer *p)
{
    struct peer *peer = (struct peer *)p;
    transport_nng__peer_close(p);
    mutex_lock(&peer->mutex);
    while (peer->under_way > 0) {
        cond_wait(&peer->idle, &peer->mutex); /* closing has ended them: soon */
    }
    mutex_unlock(&peer->mutex);
    nng_aio_stop(peer->watch);
    for (size_t i = 0; i < peer->slots_len; i++) {
        slot_free(peer->slots[i]);
    }
    if (nng_socket_id(peer->socket) > 0) {
        (void)nng_close(peer->socket); /* after it on_pipe is not called any more */
    }
    nng_aio_free(peer->watch); /* NULL is fine, as it was for stopping */
    cond_release(&peer->idle);
    mutex_release(&peer->mutex);
    mem_free(peer);
}

static int start_dialer(struct peer *peer)
{
    nng_dialer dialer;
    int rv = nng_aio_alloc(&peer->watch, on_watch, peer);
    if (rv == 0) {
        rv = nng_req0_open(&peer->socket);
    }
    if (rv == 0) {
        rv = nng_pipe_notify(peer->socket, NNG_PIPE_EV_ADD_PRE, on_pipe, peer);
    }
    if (rv == 0) {
        rv = nng_pipe_notify(peer->socket, NNG_PIPE_EV_REM_POST, on_pipe, peer);
    }
    if (rv == 0) {
        rv = nng_socket_set_size(peer->socket, NNG_OPT_RECVMAXSZ,
                                 WIRE_MESSAGE_MAX + TRANSPORT_NNG_HEADER_LEN);
    }
    if (rv == 0) {
        rv = nng_socket_set_ms(peer->socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE);
    }
    if (rv == 0) {
        rv = nng_dialer_create(&dialer, peer->socket, peer->url);
    }
    if (rv == 0) {
        rv = nng_dialer_set_ms(dialer, NNG_OPT_RECONNMINT, RECONNECT_MS_MIN);
    }
    if (rv == 0) {
        rv = nng_dialer_set_ms(dialer, NNG_OPT_RECONNMAXT, RECONNECT_MS_MAX);
    }
    if (rv == 0 && transport_nng__has_scheme(peer->url, "tcp://")) {
        rv = nng_dialer_set_bool(dialer, NNG_OPT_TCP_NODELAY, true);
        if (rv == 0) {
            rv = nng_dialer_set_bool(dialer, NNG_OPT_TCP_KEEPALIVE, true);
        }
    }
    return rv != 0 ? rv : nng_dialer_start(dialer, NNG_FLAG_NONBLOCK);
}

enum shoal_err transport_nng__dial(struct transport *t, const char *url,
                                   struct transport_peer **out, struct errbuf *why)
{
    enum shoal_err rc = transport_nng__check_url(url, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct peer *peer = mem_calloc(1, sizeof(*peer));
    if (peer == NULL) {
        return SHOAL_ENOMEM;
    }
    mutex_init(&peer->mutex);
    cond_init(&peer->idle);
    memcpy(peer->url, url, strlen(url) + 1);
    peer->base = (struct transport_peer){ .transport = t, .url = peer->url };
    peer->patient_until_ns = now_ns() + TRANSPORT_PATIENCE_MS * NS_PER_MS;
    int rv = start_dialer(peer);
    if (rv != 0) {
        transport_nng__peer_free(&peer->base);
        return transport_nng__failed(rv, why);
    }
    *out = &peer->base;
    return SHOAL_OK;
}
