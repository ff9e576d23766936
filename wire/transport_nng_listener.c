/* The answering side of the transport over NNG.
 *
 * A listener is one REP socket with one listener. An exchange is a context and an aio that goes
 * round: receiving, held by the callee until answered, sending, receiving. There are as many as
 * were ever needed at once, up to TRANSPORT_EXCHANGES_MAX; requests beyond wait in their
 * connections.
 *
 * NNG wakes a thread for each callback. While others receive, it does not matter when an exchange
 * receives again: it then sends by an aio that has no callback, and stands in the list of `quiet`
 * ones until a callback that comes anyway finds it sent. When nobody else receives, it sends by the
 * aio that calls back: so as long as there is a request to be taken, there is somebody to take it,
 * or a callback to come that makes somebody. */
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "wire/frame.h"
#include "wire/transport_nng.h"

#include <assert.h>
#include <nng/protocol/reqrep0/rep.h>
#include <string.h>

/* A caller that does not take its answer for so long loses it. */
#define ANSWER_TIMEOUT_MS 30000
#define EXCHANGES_AT_FIRST 8u
/* Only this user's processes may connect. */
#define IPC_MODE 0600

enum exchange_state {
    EXCHANGE_IDLE,
    EXCHANGE_RECEIVING,
    EXCHANGE_HELD,
    EXCHANGE_SENDING,
    EXCHANGE_QUIET /* sending, or sent and in the list */
};

struct exchange {
    struct transport_exchange base;
    struct listener *listener;
    nng_ctx ctx;
    nng_aio *aio;
    nng_aio *quiet_aio;
    nng_msg *request; /* while held */
    /* guarded by the listener's mutex */
    enum exchange_state state;
    struct exchange *next_quiet;
};

struct listener {
    struct transport_listener base;
    nng_socket socket;
    char url[TRANSPORT_NNG_URL_MAX];
    transport_on_request *on_request;
    void *arg;
    struct mutex mutex;
    struct cond idle;
    /* guarded by mutex */
    struct exchange *exchanges[TRANSPORT_EXCHANGES_MAX];
    size_t exchanges_len;
    struct exchange *quiet;
    size_t receiving;
    size_t under_way; /* requests taken and not yet handed to NNG as answers, and threads in it */
    bool closing;
};

/* --- exchanges ------------------------------------------------------------------------------ */

static void exchange_free(struct exchange *x)
{
    nng_aio_stop(x->aio); /* NULL is fine for all */
    nng_aio_stop(x->quiet_aio);
    nng_aio_free(x->aio);
    nng_aio_free(x->quiet_aio);
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
    if (nng_aio_alloc(&x->aio, on_exchange, x) != 0 ||
        nng_aio_alloc(&x->quiet_aio, NULL, NULL) != 0 || nng_ctx_open(&x->ctx, l->socket) != 0) {
        exchange_free(x);
        return NULL;
    }
    l->exchanges[l->exchanges_len++] = x;
    l->under_way++;
    return x;
}

/* What could not be sent: the caller is gone or takes nothing. */
static void drop_unsent(nng_aio *aio)
{
    if (nng_aio_result(aio) != 0) {
        nng_msg_free(nng_aio_get_msg(aio));
    }
    nng_aio_set_msg(aio, NULL);
}

/* Those of the quiet exchanges whose answer is sent receive again. */
static void receive_sent(struct listener *l)
{
    struct exchange *sent = NULL;
    mutex_lock(&l->mutex);
    for (struct exchange **at = &l->quiet; *at != NULL;) {
        struct exchange *x = *at;
        if (nng_aio_busy(x->quiet_aio)) {
            at = &x->next_quiet;
            continue;
        }
        *at = x->next_quiet;
        x->next_quiet = sent;
        sent = x;
        l->under_way++;
    }
    mutex_unlock(&l->mutex);
    while (sent != NULL) {
        struct exchange *x = sent;
        sent = x->next_quiet;
        drop_unsent(x->quiet_aio);
        exchange_receive(x, true);
    }
}

/* Nobody receives: finds somebody. */
static void receive_more(struct listener *l)
{
    receive_sent(l);
    mutex_lock(&l->mutex);
    struct exchange *more = l->receiving == 0 ? exchange_new(l) : NULL;
    mutex_unlock(&l->mutex);
    if (more != NULL) {
        exchange_receive(more, true);
    }
}

static void on_request(struct exchange *x)
{
    struct listener *l = x->listener;
    int rv = nng_aio_result(x->aio);
    nng_msg *msg = rv == 0 ? nng_aio_get_msg(x->aio) : NULL;
    nng_aio_set_msg(x->aio, NULL);
    mutex_lock(&l->mutex);
    l->receiving--;
    bool take = msg != NULL && !l->closing;
    x->state = take ? EXCHANGE_HELD : EXCHANGE_IDLE;
    x->request = take ? msg : NULL;
    l->under_way += take;
    bool last = take && l->receiving == 0;
    mutex_unlock(&l->mutex);
    if (last) {
        receive_more(l);
    }
    if (take) {
        l->on_request(l->arg, &x->base, transport_nng__bytes(msg));
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
    receive_sent(x->listener);
    drop_unsent(x->aio);
    exchange_receive(x, true);
}

/* What a caller gets for an answer that is over the limit. */
static nng_msg *oversized_answer(nng_msg *request)
{
    struct frame f;
    struct buf out;
    buf_init(&out, WIRE_MESSAGE_MAX);
    (void)frame_decode(transport_nng__bytes(request), &f, NULL); /* on failure: kind 0, trace 0 */
    nng_msg *msg = NULL;
    if (frame_encode_error(&out, f.kind, f.trace_id, SHOAL_ETOOBIG,
                           "the answer is over the size limit; ask for less") == SHOAL_OK) {
        msg = transport_nng__message(buf_slice(&out));
    }
    buf_release(&out);
    return msg;
}

/* Most answers are sent when nng_ctx_send() returns. */
static void send_quietly(struct exchange *x, nng_msg *msg)
{
    struct listener *l = x->listener;
    nng_aio_set_timeout(x->quiet_aio, ANSWER_TIMEOUT_MS);
    nng_aio_set_msg(x->quiet_aio, msg);
    nng_ctx_send(x->ctx, x->quiet_aio);
    if (!nng_aio_busy(x->quiet_aio)) {
        drop_unsent(x->quiet_aio);
        exchange_receive(x, true);
        return;
    }
    mutex_lock(&l->mutex);
    x->next_quiet = l->quiet;
    l->quiet = x;
    l->under_way--; /* not the last: this thread is counted too */
    assert(l->under_way > 0);
    mutex_unlock(&l->mutex);
}

/* Sending may complete, and the exchange leave `under_way`, before nng_ctx_send() returns. This
 * thread still holds the context then, and NNG takes a context's last holder apart only after the
 * socket stopped waiting for it: so the listener has to wait for this thread as well. */
void transport_nng__answer(struct transport_exchange *base, struct slice message)
{
    struct exchange *x = (struct exchange *)base;
    struct listener *l = x->listener;
    nng_msg *msg = message.len <= WIRE_MESSAGE_MAX ? transport_nng__message(message)
                                                   : oversized_answer(x->request);
    mutex_lock(&l->mutex);
    assert(x->state == EXCHANGE_HELD);
    bool quiet = l->receiving > 0;
    x->state = quiet ? EXCHANGE_QUIET : EXCHANGE_SENDING;
    l->under_way++;
    mutex_unlock(&l->mutex);
    nng_msg_free(x->request); /* only now: the answer may have been made of its bytes */
    x->request = NULL;
    if (msg == NULL) {
        log_warn("answer dropped", LOG_STR("why", "out of memory"));
        exchange_receive(x, true); /* the caller's deadline ends its call */
    } else if (quiet) {
        send_quietly(x, msg);
    } else {
        nng_aio_set_timeout(x->aio, ANSWER_TIMEOUT_MS);
        nng_aio_set_msg(x->aio, msg);
        nng_ctx_send(x->ctx, x->aio);
    }
    leave(l);
}

/* --- listeners ------------------------------------------------------------------------------ */

const char *transport_nng__listener_url(const struct transport_listener *l)
{
    return ((const struct listener *)l)->url;
}

void transport_nng__listener_free(struct transport_listener *base)
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
        nng_aio_wait(l->exchanges[i]->quiet_aio); /* an answer that NNG has is sent, or given up */
        drop_unsent(l->exchanges[i]->quiet_aio);
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
    if (rv == 0 && strlen(url) < TRANSPORT_NNG_URL_MAX) {
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
        rv = nng_socket_set_size(l->socket, NNG_OPT_RECVMAXSZ,
                                 WIRE_MESSAGE_MAX + TRANSPORT_NNG_HEADER_LEN);
    }
    if (rv == 0) {
        rv = nng_listener_create(&nl, l->socket, l->url);
    }
    if (rv == 0 && transport_nng__has_scheme(l->url, "tcp://")) {
        rv = nng_listener_set_bool(nl, NNG_OPT_TCP_NODELAY, true);
        if (rv == 0) {
            rv = nng_listener_set_bool(nl, NNG_OPT_TCP_KEEPALIVE, true);
        }
    }
    if (rv == 0 && transport_nng__has_scheme(l->url, "ipc://")) {
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

enum shoal_err transport_nng__listen(struct transport *t, const char *url,
                                     transport_on_request *on_request_fn, void *arg,
                                     struct transport_listener **out, struct errbuf *why)
{
    enum shoal_err rc = transport_nng__check_url(url, why);
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
    rc = rv == 0 ? start_exchanges(l) : transport_nng__failed(rv, why);
    if (rc != SHOAL_OK) {
        transport_nng__listener_free(&l->base);
        return rc;
    }
    *out = &l->base;
    return SHOAL_OK;
}
