/* Transport over NNG's request/reply protocol: the only file that knows NNG.
 *
 * A peer is one REQ socket with one dialer. Every call under way has a slot: a context, an aio for
 * sending and one for receiving, kept and used again. The sending aio has no callback and no
 * deadline; it ends when the receiving one does, which has both. Resending is off: a
 * request that may have been seen is not sent again behind the caller's back.
 *
 * A listener is one REP socket with one listener. An exchange is a context and an aio that goes
 * round: receiving, held by the callee until answered, sending, receiving. There are as many as
 * were ever needed at once, up to TRANSPORT_EXCHANGES_MAX; requests beyond wait in their
 * connections.
 *
 * NNG calls back on its own threads and holds none of its locks then, so ours may be taken before
 * NNG is called. An aio is never cancelled: calls end by their deadlines, or because their context
 * is closed. Each aio is stopped before it is freed, when nothing is under way any more. */
#include "wire/transport.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "wire/frame.h"

#include <assert.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <string.h>

/* What NNG puts before our bytes: the id of the request. */
#define NNG_HEADER_LEN 4u
#define RECONNECT_MS_MIN 10
#define RECONNECT_MS_MAX 100
/* A caller that does not take its answer for so long loses it. */
#define ANSWER_TIMEOUT_MS 30000
#define EXCHANGES_AT_FIRST 8u
#define URL_MAX 256u
/* Only this user's processes may connect. */
#define IPC_MODE 0600

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
    uint64_t deadline_ns;
};

struct peer {
    struct transport_peer base;
    nng_socket socket;
    char url[URL_MAX];
    struct mutex mutex;
    struct cond idle;
    /* guarded by mutex */
    struct call_slot *slots[TRANSPORT_CALLS_MAX];
    size_t slots_len;
    struct call_slot *free_slots;
    size_t under_way; /* calls whose callback has not returned, and threads that start one */
    bool closed;
};

enum exchange_state { EXCHANGE_IDLE, EXCHANGE_RECEIVING, EXCHANGE_HELD, EXCHANGE_SENDING };

struct exchange {
    struct transport_exchange base;
    struct listener *listener;
    nng_ctx ctx;
    nng_aio *aio;
    nng_msg *request;          /* while held */
    enum exchange_state state; /* guarded by the listener's mutex */
};

struct listener {
    struct transport_listener base;
    nng_socket socket;
    char url[URL_MAX];
    transport_on_request *on_request;
    void *arg;
    struct mutex mutex;
    struct cond idle;
    /* guarded by mutex */
    struct exchange *exchanges[TRANSPORT_EXCHANGES_MAX];
    size_t exchanges_len;
    size_t receiving;
    size_t under_way; /* requests taken and not yet handed to NNG as answers, and threads in it */
    bool closing;
};

static const struct transport_ops nng_ops;

/* --- seam ----------------------------------------------------------------------------------- */

static enum shoal_err err_from_nng(int rv)
{
    switch (rv) {
    case 0: return SHOAL_OK;
    case NNG_ENOMEM: return SHOAL_ENOMEM;
    case NNG_ETIMEDOUT: return SHOAL_ETIMEOUT;
    case NNG_ECLOSED:
    case NNG_ECANCELED: return SHOAL_ECANCELED;
    case NNG_EMSGSIZE: return SHOAL_ETOOBIG;
    case NNG_EADDRINUSE: return SHOAL_EEXISTS;
    case NNG_EADDRINVAL:
    case NNG_EINVAL:
    case NNG_ENOTSUP: return SHOAL_EINVAL;
    case NNG_EPERM: return SHOAL_EDENIED;
    default: return SHOAL_EUNAVAILABLE;
    }
}

static enum shoal_err nng_failed(int rv, struct errbuf *why)
{
    return err_set(why, err_from_nng(rv), "%s", nng_strerror(rv));
}

static bool has_scheme(const char *url, const char *scheme)
{
    return strncmp(url, scheme, strlen(scheme)) == 0;
}

static enum shoal_err check_url(const char *url, struct errbuf *why)
{
    if (strlen(url) >= URL_MAX) {
        return err_set(why, SHOAL_EINVAL, "the URL is longer than %u bytes", URL_MAX - 1);
    }
    if (has_scheme(url, "tls+tcp://")) {
        return err_set(why, SHOAL_EUNSUPPORTED, "TLS is not supported yet; use tcp:// or ipc://");
    }
    if (!has_scheme(url, "tcp://") && !has_scheme(url, "ipc://") && !has_scheme(url, "inproc://")) {
        return err_set(why, SHOAL_EINVAL,
                       "not a URL of the form tcp://HOST:PORT, ipc://PATH or inproc://NAME");
    }
    return SHOAL_OK;
}

/* A message with these bytes; NULL when out of memory. */
static nng_msg *message_copy(struct slice bytes)
{
    nng_msg *msg = NULL;
    if (nng_msg_alloc(&msg, bytes.len) != 0) {
        return NULL;
    }
    if (bytes.len > 0) {
        memcpy(nng_msg_body(msg), bytes.data, bytes.len);
    }
    return msg;
}

/* NNG lays a body at a multiple of 4 behind its own header, which is what floats need. */
static struct slice message_bytes(nng_msg *msg)
{
    return slice_make(nng_msg_body(msg), nng_msg_len(msg));
}

/* --- calls ---------------------------------------------------------------------------------- */

static struct slice nng_reply_bytes(const struct transport_reply *r)
{
    return message_bytes(((const struct reply *)r)->msg);
}

static void nng_reply_free(struct transport_reply *r)
{
    struct reply *reply = (struct reply *)r;
    nng_msg_free(reply->msg); /* NULL is fine */
    mem_free(reply);
}

/* How a call ended that brought no reply. */
static enum shoal_err call_failure(const struct call_slot *slot, int rv)
{
    /* Whatever went wrong with sending is the cause; receiving then only says "wrong state". */
    int sent = nng_aio_result(slot->send_aio);
    nng_msg *unsent = nng_aio_get_msg(slot->send_aio);
    if (sent != 0 && unsent != NULL) {
        nng_msg_free(unsent);
        nng_aio_set_msg(slot->send_aio, NULL);
    }
    enum shoal_err rc = err_from_nng(rv == NNG_ESTATE && sent != 0 ? sent : rv);
    switch (rc) {
    case SHOAL_ETIMEOUT:
        /* NNG may apply the deadline of a slot's last call to its next one, when both race; then
         * the request was given up too early, and may have been seen. */
        return clock_mono_ns(clock_real()) < slot->deadline_ns ? SHOAL_EUNAVAILABLE : rc;
    case SHOAL_ECANCELED:
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
        return err_from_nng(rv);
    }
    nng_aio_set_timeout(slot->send_aio, NNG_DURATION_INFINITE);
    peer->slots[peer->slots_len++] = slot;
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
        *out = peer->free_slots;
        peer->free_slots = (*out)->next_free;
    } else {
        rc = slot_new(peer, out);
    }
    if (rc == SHOAL_OK) {
        peer->under_way += 2; /* the call, and this thread until it is out of NNG */
    }
    mutex_unlock(&peer->mutex);
    return rc;
}

static enum shoal_err nng_call(struct transport_peer *p, struct slice message, uint32_t timeout_ms,
                               transport_on_reply *on_reply, void *arg)
{
    struct peer *peer = (struct peer *)p;
    struct call_slot *slot = NULL;
    struct reply *reply = mem_alloc(sizeof(*reply));
    nng_msg *msg = message_copy(message);
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
    slot->deadline_ns = clock_mono_ns(clock_real()) + (uint64_t)timeout * 1000000u;
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

static void nng_peer_close(struct transport_peer *p)
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

static void nng_peer_free(struct transport_peer *p)
{
    struct peer *peer = (struct peer *)p;
    nng_peer_close(p);
    mutex_lock(&peer->mutex);
    while (peer->under_way > 0) {
        cond_wait(&peer->idle, &peer->mutex); /* closing has ended them: soon */
    }
    mutex_unlock(&peer->mutex);
    for (size_t i = 0; i < peer->slots_len; i++) {
        slot_free(peer->slots[i]);
    }
    if (nng_socket_id(peer->socket) > 0) {
        (void)nng_close(peer->socket);
    }
    cond_release(&peer->idle);
    mutex_release(&peer->mutex);
    mem_free(peer);
}

static int start_dialer(struct peer *peer)
{
    nng_dialer dialer;
    int rv = nng_req0_open(&peer->socket);
    if (rv == 0) {
        rv = nng_socket_set_size(peer->socket, NNG_OPT_RECVMAXSZ,
                                 WIRE_MESSAGE_MAX + NNG_HEADER_LEN);
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
    if (rv == 0 && has_scheme(peer->url, "tcp://")) {
        rv = nng_dialer_set_bool(dialer, NNG_OPT_TCP_NODELAY, true);
        if (rv == 0) {
            rv = nng_dialer_set_bool(dialer, NNG_OPT_TCP_KEEPALIVE, true);
        }
    }
    return rv != 0 ? rv : nng_dialer_start(dialer, NNG_FLAG_NONBLOCK);
}

static enum shoal_err nng_dial_peer(struct transport *t, const char *url,
                                    struct transport_peer **out, struct errbuf *why)
{
    enum shoal_err rc = check_url(url, why);
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
    int rv = start_dialer(peer);
    if (rv != 0) {
        nng_peer_free(&peer->base);
        return nng_failed(rv, why);
    }
    *out = &peer->base;
    return SHOAL_OK;
}

/* --- exchanges ------------------------------------------------------------------------------ */

static void exchange_free(struct exchange *x)
{
    nng_aio_stop(x->aio);
    nng_aio_free(x->aio); /* NULL is fine */
    mem_free(x);
}

static void leave(struct listener *l)
{
    mutex_lock(&l->mutex);
    if (--l->under_way == 0) {
        cond_broadcast(&l->idle);
    }
    mutex_unlock(&l->mutex);
}

/* The exchange is done with its last request: takes the next one, or ends. `counted` exchanges
 * leave `under_way` only after they touched everything, so that listener_free waits for them. */
static void exchange_receive(struct exchange *x, bool counted)
{
    struct listener *l = x->listener;
    mutex_lock(&l->mutex);
    bool receive = !l->closing;
    x->state = receive ? EXCHANGE_RECEIVING : EXCHANGE_IDLE;
    l->receiving += receive;
    mutex_unlock(&l->mutex);
    if (receive) {
        nng_aio_set_timeout(x->aio, NNG_DURATION_INFINITE);
        nng_ctx_recv(x->ctx, x->aio);
    }
    if (counted) {
        leave(l);
    }
}

static void on_exchange(void *arg);

/* One more exchange, counted as under way until it receives; NULL when there is no room or no
 * memory for it, and then those there are must do. Under the listener's lock. */
static struct exchange *exchange_new(struct listener *l)
{
    if (l->closing || l->exchanges_len == TRANSPORT_EXCHANGES_MAX) {
        return NULL;
    }
    struct exchange *x = mem_calloc(1, sizeof(*x));
    if (x == NULL) {
        return NULL;
    }
    x->base.transport = l->base.transport;
    x->listener = l;
    if (nng_aio_alloc(&x->aio, on_exchange, x) != 0 || nng_ctx_open(&x->ctx, l->socket) != 0) {
        exchange_free(x);
        return NULL;
    }
    l->exchanges[l->exchanges_len++] = x;
    l->under_way++;
    return x;
}

static void on_request(struct exchange *x)
{
    struct listener *l = x->listener;
    struct exchange *more = NULL;
    int rv = nng_aio_result(x->aio);
    nng_msg *msg = rv == 0 ? nng_aio_get_msg(x->aio) : NULL;
    nng_aio_set_msg(x->aio, NULL);
    mutex_lock(&l->mutex);
    l->receiving--;
    bool take = msg != NULL && !l->closing;
    x->state = take ? EXCHANGE_HELD : EXCHANGE_IDLE;
    x->request = take ? msg : NULL;
    l->under_way += take;
    if (take && l->receiving == 0) {
        more = exchange_new(l);
    }
    mutex_unlock(&l->mutex);
    if (more != NULL) {
        exchange_receive(more, true);
    }
    if (take) {
        l->on_request(l->arg, &x->base, message_bytes(msg));
    } else {
        nng_msg_free(msg); /* NULL is fine; the caller sees its connection lost */
    }
}

static void on_exchange(void *arg)
{
    struct exchange *x = arg;
    mutex_lock(&x->listener->mutex);
    enum exchange_state state = x->state;
    mutex_unlock(&x->listener->mutex);
    if (state == EXCHANGE_RECEIVING) {
        on_request(x);
        return;
    }
    assert(state == EXCHANGE_SENDING);
    if (nng_aio_result(x->aio) != 0) {
        nng_msg_free(nng_aio_get_msg(x->aio)); /* the caller is gone or takes nothing */
    }
    nng_aio_set_msg(x->aio, NULL);
    exchange_receive(x, true);
}

/* What a caller gets for an answer that is over the limit. */
static nng_msg *oversized_answer(nng_msg *request)
{
    struct frame f;
    struct buf out;
    buf_init(&out, WIRE_MESSAGE_MAX);
    (void)frame_decode(message_bytes(request), &f, NULL); /* on failure: kind 0, trace 0 */
    nng_msg *msg = NULL;
    if (frame_encode_error(&out, f.kind, f.trace_id, SHOAL_ETOOBIG,
                           "the answer is over the size limit; ask for less") == SHOAL_OK) {
        msg = message_copy(buf_slice(&out));
    }
    buf_release(&out);
    return msg;
}

/* Sending may complete, and the exchange leave `under_way`, before nng_ctx_send() returns. This
 * thread still holds the context then, and NNG takes a context's last holder apart only after the
 * socket stopped waiting for it: so the listener has to wait for this thread as well. */
static void nng_answer(struct transport_exchange *base, struct slice message)
{
    struct exchange *x = (struct exchange *)base;
    struct listener *l = x->listener;
    nng_msg *msg = message.len <= WIRE_MESSAGE_MAX ? message_copy(message)
                                                   : oversized_answer(x->request);
    mutex_lock(&l->mutex);
    assert(x->state == EXCHANGE_HELD);
    x->state = EXCHANGE_SENDING;
    l->under_way++;
    mutex_unlock(&l->mutex);
    nng_msg_free(x->request); /* only now: the answer may have been made of its bytes */
    x->request = NULL;
    if (msg == NULL) {
        log_warn("answer dropped", LOG_STR("why", "out of memory"));
        exchange_receive(x, true); /* the caller's deadline ends its call */
    } else {
        nng_aio_set_timeout(x->aio, ANSWER_TIMEOUT_MS);
        nng_aio_set_msg(x->aio, msg);
        nng_ctx_send(x->ctx, x->aio);
    }
    leave(l);
}

/* --- listeners ------------------------------------------------------------------------------ */

static const char *nng_listener_url(const struct transport_listener *l)
{
    return ((const struct listener *)l)->url;
}

static void nng_listener_free(struct transport_listener *base)
{
    struct listener *l = (struct listener *)base;
    mutex_lock(&l->mutex);
    l->closing = true;
    for (size_t i = 0; i < l->exchanges_len; i++) {
        if (l->exchanges[i]->state == EXCHANGE_RECEIVING) {
            (void)nng_ctx_close(l->exchanges[i]->ctx);
        }
    }
    while (l->under_way > 0) {
        cond_wait(&l->idle, &l->mutex); /* the callee answers each request by its deadline */
    }
    mutex_unlock(&l->mutex);
    for (size_t i = 0; i < l->exchanges_len; i++) {
        exchange_free(l->exchanges[i]);
    }
    if (nng_socket_id(l->socket) > 0) {
        (void)nng_close(l->socket);
    }
    cond_release(&l->idle);
    mutex_release(&l->mutex);
    mem_free(l);
}

/* Reads back the URL, in which port 0 has become the port that was taken. */
static int read_url(nng_listener nl, struct listener *l)
{
    char *url = NULL;
    int rv = nng_listener_get_string(nl, NNG_OPT_URL, &url);
    if (rv == 0 && strlen(url) < URL_MAX) {
        memcpy(l->url, url, strlen(url) + 1);
    }
    nng_strfree(url);
    return rv;
}

static int start_listener(struct listener *l)
{
    nng_listener nl;
    int rv = nng_rep0_open(&l->socket);
    if (rv == 0) {
        rv = nng_socket_set_size(l->socket, NNG_OPT_RECVMAXSZ, WIRE_MESSAGE_MAX + NNG_HEADER_LEN);
    }
    if (rv == 0) {
        rv = nng_listener_create(&nl, l->socket, l->url);
    }
    if (rv == 0 && has_scheme(l->url, "tcp://")) {
        rv = nng_listener_set_bool(nl, NNG_OPT_TCP_NODELAY, true);
        if (rv == 0) {
            rv = nng_listener_set_bool(nl, NNG_OPT_TCP_KEEPALIVE, true);
        }
    }
    if (rv == 0 && has_scheme(l->url, "ipc://")) {
        rv = nng_listener_set_int(nl, NNG_OPT_IPC_PERMISSIONS, IPC_MODE);
    }
    if (rv == 0) {
        rv = nng_listener_start(nl, 0);
    }
    return rv != 0 ? rv : read_url(nl, l);
}

static enum shoal_err start_exchanges(struct listener *l)
{
    for (size_t i = 0; i < EXCHANGES_AT_FIRST; i++) {
        mutex_lock(&l->mutex);
        struct exchange *x = exchange_new(l);
        mutex_unlock(&l->mutex);
        if (x == NULL) {
            return SHOAL_ENOMEM;
        }
        exchange_receive(x, true);
    }
    return SHOAL_OK;
}

static enum shoal_err nng_listen_on(struct transport *t, const char *url,
                                    transport_on_request *on_request_fn, void *arg,
                                    struct transport_listener **out, struct errbuf *why)
{
    enum shoal_err rc = check_url(url, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct listener *l = mem_calloc(1, sizeof(*l));
    if (l == NULL) {
        return SHOAL_ENOMEM;
    }
    mutex_init(&l->mutex);
    cond_init(&l->idle);
    memcpy(l->url, url, strlen(url) + 1);
    l->base.transport = t;
    l->on_request = on_request_fn;
    l->arg = arg;
    int rv = start_listener(l);
    rc = rv == 0 ? start_exchanges(l) : nng_failed(rv, why);
    if (rc != SHOAL_OK) {
        nng_listener_free(&l->base);
        return rc;
    }
    *out = &l->base;
    return SHOAL_OK;
}

/* --- transport ------------------------------------------------------------------------------ */

static void nng_transport_free(struct transport *t)
{
    mem_free(t);
}

static const struct transport_ops nng_ops = {
    .name = "nng",
    .listen = nng_listen_on,
    .listener_url = nng_listener_url,
    .listener_free = nng_listener_free,
    .dial = nng_dial_peer,
    .peer_close = nng_peer_close,
    .peer_free = nng_peer_free,
    .call = nng_call,
    .answer = nng_answer,
    .reply_bytes = nng_reply_bytes,
    .reply_free = nng_reply_free,
    .free = nng_transport_free,
};

enum shoal_err transport_nng_new(struct transport **out, struct errbuf *why)
{
    *out = mem_calloc(1, sizeof(**out));
    if (*out == NULL) {
        return err_set(why, SHOAL_ENOMEM, "no memory for a transport");
    }
    (*out)->ops = &nng_ops;
    return SHOAL_OK;
}
