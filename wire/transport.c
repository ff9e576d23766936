#include "wire/transport.h"

#include "base/thread.h"
#include "wire/frame.h"

#include <assert.h>

void transport_free(struct transport *t)
{
    if (t != NULL) {
        t->ops->free(t);
    }
}

enum shoal_err transport_listen(struct transport *t, const char *url,
                                transport_on_request *on_request, void *arg,
                                struct transport_listener **out, struct errbuf *why)
{
    *out = NULL;
    enum shoal_err rc = t->ops->listen(t, url, on_request, arg, out, why);
    assert((rc == SHOAL_OK) == (*out != NULL));
    return rc == SHOAL_OK ? rc : err_prefix(why, rc, "listen on %s", url);
}

const char *transport_listener_url(const struct transport_listener *l)
{
    return l->transport->ops->listener_url(l);
}

void transport_listener_free(struct transport_listener *l)
{
    if (l != NULL) {
        l->transport->ops->listener_free(l);
    }
}

enum shoal_err transport_dial(struct transport *t, const char *url, struct transport_peer **out,
                              struct errbuf *why)
{
    *out = NULL;
    enum shoal_err rc = t->ops->dial(t, url, out, why);
    assert((rc == SHOAL_OK) == (*out != NULL));
    return rc == SHOAL_OK ? rc : err_prefix(why, rc, "dial %s", url);
}

void transport_peer_close(struct transport_peer *p)
{
    if (p != NULL) {
        p->transport->ops->peer_close(p);
    }
}

void transport_peer_free(struct transport_peer *p)
{
    if (p != NULL) {
        p->transport->ops->peer_free(p);
    }
}

enum shoal_err transport_call(struct transport_peer *p, struct slice message, uint32_t timeout_ms,
                              transport_on_reply *on_reply, void *arg)
{
    assert(timeout_ms > 0);
    if (message.len > WIRE_MESSAGE_MAX) {
        return SHOAL_ETOOBIG;
    }
    return p->transport->ops->call(p, message, timeout_ms, on_reply, arg);
}

void transport_answer(struct transport_exchange *x, struct slice message)
{
    x->transport->ops->answer(x, message);
}

struct slice transport_reply_bytes(const struct transport_reply *r)
{
    return r->transport->ops->reply_bytes(r);
}

void transport_reply_free(struct transport_reply *r)
{
    if (r != NULL) {
        r->transport->ops->reply_free(r);
    }
}

/* --- calling and waiting --------------------------------------------------------------------- */

struct waiter {
    struct mutex mutex;
    struct cond answered;
    /* guarded by mutex */
    bool done;
    enum shoal_err rc;
    struct transport_reply *reply;
};

static void wake(void *arg, enum shoal_err rc, struct transport_reply *reply)
{
    struct waiter *w = arg;
    mutex_lock(&w->mutex);
    w->done = true;
    w->rc = rc;
    w->reply = reply;
    cond_signal(&w->answered);
    mutex_unlock(&w->mutex);
}

/* The wait needs no deadline of its own: the transport ends the call by the call's. */
static void wait_for_answer(struct transport *t, struct waiter *w)
{
    mutex_lock(&w->mutex);
    while (!w->done) {
        if (t->ops->step == NULL) {
            cond_wait(&w->answered, &w->mutex);
            continue;
        }
        mutex_unlock(&w->mutex);
        bool moved = t->ops->step(t);
        mutex_lock(&w->mutex);
        assert(moved || w->done);
        (void)moved;
    }
    mutex_unlock(&w->mutex);
}

static enum shoal_err explain(const struct transport_peer *p, enum shoal_err rc,
                              uint32_t timeout_ms, struct errbuf *why)
{
    switch (rc) {
    case SHOAL_OK: return SHOAL_OK;
    case SHOAL_ETIMEOUT: return err_set(why, rc, "%s: no answer within %u ms", p->url, timeout_ms);
    case SHOAL_EUNAVAILABLE:
        return err_set(why, rc, "%s: no connection, or it was lost before the answer came", p->url);
    case SHOAL_EBUSY:
        return err_set(why, rc, "%s: too many calls are under way; repeat later", p->url);
    default: return err_set(why, rc, "%s: %s", p->url, err_text(rc));
    }
}

enum shoal_err transport_call_wait(struct transport_peer *p, struct slice message,
                                   uint32_t timeout_ms, struct transport_reply **reply,
                                   struct errbuf *why)
{
    *reply = NULL;
    struct waiter w = { 0 };
    mutex_init(&w.mutex);
    cond_init(&w.answered);
    enum shoal_err rc = transport_call(p, message, timeout_ms, wake, &w);
    if (rc == SHOAL_OK) {
        wait_for_answer(p->transport, &w);
        rc = w.rc;
        *reply = w.reply;
    }
    cond_release(&w.answered);
    mutex_release(&w.mutex);
    return explain(p, rc, timeout_ms, why);
}
