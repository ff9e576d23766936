/* A discrete-event network. Events lie in a heap by time, and by their order of making where times
 * are equal, so a run depends on nothing but the calls made and the seed.
 *
 * A call reserves all it may come to need before it is taken (its copy of the request, its reply,
 * places for its three events), so that nothing can fail half-way. It lives until its callback has
 * run and no event and no exchange name it any more; `refs` counts these. */
#include "wire/transport_mem.h"

#include "base/mem.h"
#include "base/thread.h"
#include "wire/frame.h"

#include <assert.h>
#include <string.h>

#define SCHEME "mem://"
#define URL_MAX 128u
/* A request, a reply, a deadline. */
#define EVENTS_PER_CALL 3u

struct mem_reply {
    struct transport_reply base;
    char *data; /* owned */
    size_t len;
};

struct call {
    struct mem_peer *peer; /* NULL once it has ended */
    struct call *next;     /* of the peer's calls under way */
    struct call *prev;
    char *request; /* owned */
    size_t request_len;
    struct mem_reply *reply; /* owned until it is handed out */
    transport_on_reply *on_reply;
    void *arg;
    unsigned refs;
};

struct mem_exchange {
    struct transport_exchange base;
    struct call *call;
    struct mem_listener *listener;
};

enum event_kind { EVENT_REQUEST, EVENT_REPLY, EVENT_DEADLINE };

struct event {
    uint64_t at_ns;
    uint64_t order;
    enum event_kind kind;
    struct call *call;
    char *data; /* EVENT_REPLY: owned */
    size_t len;
};

struct mem_listener {
    struct transport_listener base;
    char url[URL_MAX];
    transport_on_request *on_request;
    void *arg;
    struct mem_listener *next;
    size_t held; /* exchanges not yet answered */
};

struct mem_peer {
    struct transport_peer base;
    char url[URL_MAX];
    struct call *calls;
    size_t calls_len;
    size_t calling_back; /* callbacks that have not returned */
    bool closed;
};

struct network {
    struct transport base;
    struct clock_manual *clock;
    const struct rand_source *rand;
    struct mutex mutex;
    struct cond idle;
    /* guarded by mutex */
    uint64_t delay_ns_min, delay_ns_max;
    double loss;
    struct mem_listener *listeners;
    char cuts[TRANSPORT_MEM_CUTS_MAX][URL_MAX];
    size_t cuts_len;
    struct event *events;
    size_t events_len, events_cap;
    size_t reserved; /* places in `events` that calls under way may still take */
    uint64_t next_order;
};

static const struct transport_ops mem_ops;

static struct network *network_of(struct transport *t)
{
    assert(t->ops == &mem_ops);
    return (struct network *)t;
}

/* --- events --------------------------------------------------------------------------------- */

static bool event_before(const struct event *a, const struct event *b)
{
    return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->order < b->order);
}

static void events_push(struct network *n, struct event e)
{
    assert(n->reserved > 0 && n->events_len < n->events_cap);
    n->reserved--;
    e.order = n->next_order++;
    size_t at = n->events_len++;
    while (at > 0 && event_before(&e, &n->events[(at - 1) / 2])) {
        n->events[at] = n->events[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    n->events[at] = e;
}

/* The place it leaves stays reserved for its call. */
static struct event events_pop(struct network *n)
{
    struct event first = n->events[0];
    struct event last = n->events[--n->events_len];
    size_t at = 0;
    for (size_t child = 1; child < n->events_len; child = 2 * at + 1) {
        if (child + 1 < n->events_len && event_before(&n->events[child + 1], &n->events[child])) {
            child++;
        }
        if (!event_before(&n->events[child], &last)) {
            break;
        }
        n->events[at] = n->events[child];
        at = child;
    }
    if (n->events_len > 0) {
        n->events[at] = last;
    }
    n->reserved++;
    return first;
}

static enum shoal_err events_reserve(struct network *n, size_t more)
{
    size_t wanted = n->events_len + n->reserved + more;
    if (wanted > n->events_cap) {
        struct event *grown = mem_realloc(n->events, 2 * wanted * sizeof(*grown));
        if (grown == NULL) {
            return SHOAL_ENOMEM;
        }
        n->events = grown;
        n->events_cap = 2 * wanted;
    }
    n->reserved += more;
    return SHOAL_OK;
}

static uint64_t draw_delay(struct network *n)
{
    return n->delay_ns_min + rand_below(n->rand, n->delay_ns_max - n->delay_ns_min + 1);
}

static bool is_cut(const struct network *n, const char *url)
{
    for (size_t i = 0; i < n->cuts_len; i++) {
        if (strcmp(n->cuts[i], url) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_lost(struct network *n, const char *url)
{
    return is_cut(n, url) || (n->loss > 0 && rand_unit(n->rand) < n->loss);
}

/* --- calls ---------------------------------------------------------------------------------- */

static void call_free(struct call *c)
{
    if (c->reply != NULL) {
        mem_free(c->reply->data);
        mem_free(c->reply);
    }
    mem_free(c->request);
    mem_free(c);
}

/* Under the lock. Gives back the places its events took, with the last name of it. */
static void call_unref(struct network *n, struct call *c)
{
    if (--c->refs == 0) {
        n->reserved -= EVENTS_PER_CALL;
        call_free(c);
    }
}

/* Under the lock, which is let go for the callback. `data` is the answer's, taken over. */
static void call_end(struct network *n, struct call *c, enum shoal_err rc, char *data, size_t len)
{
    struct mem_peer *peer = c->peer;
    struct mem_reply *reply = NULL;
    assert(peer != NULL);
    c->peer = NULL;
    *(c->prev == NULL ? &peer->calls : &c->prev->next) = c->next;
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    peer->calls_len--;
    peer->calling_back++;
    if (rc == SHOAL_OK) {
        reply = c->reply;
        c->reply = NULL;
        reply->data = data;
        reply->len = len;
    }
    mutex_unlock(&n->mutex);
    c->on_reply(c->arg, rc, reply == NULL ? NULL : &reply->base);
    mutex_lock(&n->mutex);
    call_unref(n, c);
    peer->calling_back--;
    cond_broadcast(&n->idle);
}

static struct call *call_new(struct slice message)
{
    struct call *c = mem_calloc(1, sizeof(*c));
    if (c == NULL) {
        return NULL;
    }
    c->request = mem_aligned(message.len + 1);
    c->reply = mem_calloc(1, sizeof(*c->reply));
    if (c->request == NULL || c->reply == NULL) {
        call_free(c);
        return NULL;
    }
    memcpy(c->request, message.data, message.len);
    c->request_len = message.len;
    return c;
}

static void call_begin(struct network *n, struct mem_peer *peer, struct call *c,
                       uint32_t timeout_ms)
{
    uint64_t now = n->clock->now_ns;
    c->peer = peer;
    c->next = peer->calls;
    if (c->next != NULL) {
        c->next->prev = c;
    }
    peer->calls = c;
    peer->calls_len++;
    c->refs = 2; /* until it has ended; and its deadline */
    events_push(n, (struct event){ .at_ns = now + (uint64_t)timeout_ms * 1000000u,
                                   .kind = EVENT_DEADLINE,
                                   .call = c });
    if (!is_lost(n, peer->url)) {
        c->refs++;
        events_push(
            n, (struct event){ .at_ns = now + draw_delay(n), .kind = EVENT_REQUEST, .call = c });
    }
}

static enum shoal_err mem_call(struct transport_peer *p, struct slice message, uint32_t timeout_ms,
                               transport_on_reply *on_reply, void *arg)
{
    struct network *n = network_of(p->transport);
    struct mem_peer *peer = (struct mem_peer *)p;
    struct call *c = call_new(message);
    if (c == NULL) {
        return SHOAL_ENOMEM;
    }
    c->reply->base.transport = p->transport;
    c->on_reply = on_reply;
    c->arg = arg;
    mutex_lock(&n->mutex);
    enum shoal_err rc = peer->closed ? SHOAL_ECANCELED
                        : peer->calls_len == TRANSPORT_CALLS_MAX
                            ? SHOAL_EBUSY
                            : events_reserve(n, EVENTS_PER_CALL);
    if (rc == SHOAL_OK) {
        call_begin(n, peer, c, timeout_ms);
    }
    mutex_unlock(&n->mutex);
    if (rc != SHOAL_OK) {
        call_free(c);
    }
    return rc;
}

/* --- what happens --------------------------------------------------------------------------- */

static struct mem_listener *find_listener(struct network *n, const char *url)
{
    struct mem_listener *l = n->listeners;
    while (l != NULL && strcmp(l->url, url) != 0) {
        l = l->next;
    }
    return l;
}

static void request_arrives(struct network *n, struct call *c)
{
    struct mem_listener *l = find_listener(n, c->peer->url);
    struct mem_exchange *x = l == NULL ? NULL : mem_calloc(1, sizeof(*x));
    if (is_cut(n, c->peer->url)) {
        mem_free(x);
        return; /* it was on its way: it is lost */
    }
    if (x == NULL) {
        c->refs++;
        events_push(n, (struct event){ .at_ns = n->clock->now_ns + TRANSPORT_MEM_RETRY_NS,
                                       .kind = EVENT_REQUEST,
                                       .call = c });
        return;
    }
    *x = (struct mem_exchange){ .base = { l->base.transport }, .call = c, .listener = l };
    c->refs++;
    l->held++;
    mutex_unlock(&n->mutex);
    l->on_request(l->arg, &x->base, slice_make(c->request, c->request_len));
    mutex_lock(&n->mutex);
}

static void happen(struct network *n, struct event *e)
{
    struct call *c = e->call;
    switch (c->peer == NULL ? EVENT_DEADLINE : e->kind) {
    case EVENT_REQUEST: request_arrives(n, c); break;
    case EVENT_REPLY:
        if (!is_cut(n, c->peer->url)) {
            call_end(n, c, SHOAL_OK, e->data, e->len);
            e->data = NULL;
        }
        break;
    case EVENT_DEADLINE:
        if (c->peer != NULL) {
            call_end(n, c, SHOAL_ETIMEOUT, NULL, 0);
        }
        break;
    }
    mem_free(e->data);
    call_unref(n, c);
}

static bool mem_step(struct transport *t)
{
    struct network *n = network_of(t);
    mutex_lock(&n->mutex);
    bool any = n->events_len > 0;
    if (any) {
        struct event e = events_pop(n);
        if (e.at_ns > n->clock->now_ns) {
            clock_manual_advance_ns(n->clock, e.at_ns - n->clock->now_ns);
        }
        happen(n, &e);
    }
    mutex_unlock(&n->mutex);
    return any;
}

static void mem_answer(struct transport_exchange *exchange, struct slice message)
{
    struct network *n = network_of(exchange->transport);
    struct mem_exchange *x = (struct mem_exchange *)exchange;
    struct call *c = x->call;
    char *copy = mem_aligned(message.len + 1); /* NULL: the answer is lost, as on a real network */
    mutex_lock(&n->mutex);
    if (copy != NULL && c->peer != NULL && !is_lost(n, c->peer->url)) {
        memcpy(copy, message.data, message.len);
        c->refs++;
        events_push(n, (struct event){ .at_ns = n->clock->now_ns + draw_delay(n),
                                       .kind = EVENT_REPLY,
                                       .call = c,
                                       .data = copy,
                                       .len = message.len });
        copy = NULL;
    }
    call_unref(n, c);
    x->listener->held--;
    cond_broadcast(&n->idle);
    mutex_unlock(&n->mutex);
    mem_free(copy);
    mem_free(x);
}

/* --- listeners and peers -------------------------------------------------------------------- */

static enum shoal_err check_url(const char *url, struct errbuf *why)
{
    if (strncmp(url, SCHEME, strlen(SCHEME)) != 0 || strlen(url) >= URL_MAX) {
        return err_set(why, SHOAL_EINVAL, "not a URL of the form mem://NAME, or a longer one");
    }
    return SHOAL_OK;
}

static enum shoal_err mem_listen(struct transport *t, const char *url,
                                 transport_on_request *on_request, void *arg,
                                 struct transport_listener **out, struct errbuf *why)
{
    struct network *n = network_of(t);
    enum shoal_err rc = check_url(url, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct mem_listener *l = mem_calloc(1, sizeof(*l));
    if (l == NULL) {
        return SHOAL_ENOMEM;
    }
    l->base.transport = t;
    l->on_request = on_request;
    l->arg = arg;
    memcpy(l->url, url, strlen(url) + 1);
    mutex_lock(&n->mutex);
    if (find_listener(n, url) != NULL) {
        rc = err_set(why, SHOAL_EEXISTS, "somebody listens there already");
    } else {
        l->next = n->listeners;
        n->listeners = l;
    }
    mutex_unlock(&n->mutex);
    if (rc != SHOAL_OK) {
        mem_free(l);
        return rc;
    }
    *out = &l->base;
    return SHOAL_OK;
}

static const char *mem_listener_url(const struct transport_listener *l)
{
    return ((const struct mem_listener *)l)->url;
}

static void mem_listener_free(struct transport_listener *listener)
{
    struct network *n = network_of(listener->transport);
    struct mem_listener *l = (struct mem_listener *)listener;
    mutex_lock(&n->mutex);
    struct mem_listener **at = &n->listeners;
    while (*at != l) {
        at = &(*at)->next;
    }
    *at = l->next;
    while (l->held > 0) {
        cond_wait(&n->idle, &n->mutex);
    }
    mutex_unlock(&n->mutex);
    mem_free(l);
}

static enum shoal_err mem_dial(struct transport *t, const char *url, struct transport_peer **out,
                               struct errbuf *why)
{
    enum shoal_err rc = check_url(url, why);
    struct mem_peer *peer = rc == SHOAL_OK ? mem_calloc(1, sizeof(*peer)) : NULL;
    if (peer == NULL) {
        return rc == SHOAL_OK ? SHOAL_ENOMEM : rc;
    }
    memcpy(peer->url, url, strlen(url) + 1);
    peer->base = (struct transport_peer){ .transport = t, .url = peer->url };
    *out = &peer->base;
    return SHOAL_OK;
}

static void mem_peer_close(struct transport_peer *p)
{
    struct network *n = network_of(p->transport);
    struct mem_peer *peer = (struct mem_peer *)p;
    mutex_lock(&n->mutex);
    peer->closed = true;
    while (peer->calls != NULL) {
        call_end(n, peer->calls, SHOAL_ECANCELED, NULL, 0);
    }
    mutex_unlock(&n->mutex);
}

static void mem_peer_free(struct transport_peer *p)
{
    struct network *n = network_of(p->transport);
    struct mem_peer *peer = (struct mem_peer *)p;
    mem_peer_close(p);
    mutex_lock(&n->mutex);
    while (peer->calling_back > 0) {
        cond_wait(&n->idle, &n->mutex);
    }
    mutex_unlock(&n->mutex);
    mem_free(peer);
}

static struct slice mem_reply_bytes(const struct transport_reply *r)
{
    const struct mem_reply *reply = (const struct mem_reply *)r;
    return slice_make(reply->data, reply->len);
}

static void mem_reply_free(struct transport_reply *r)
{
    struct mem_reply *reply = (struct mem_reply *)r;
    mem_free(reply->data);
    mem_free(reply);
}

/* --- the network ---------------------------------------------------------------------------- */

static void mem_network_free(struct transport *t)
{
    struct network *n = network_of(t);
    assert(n->listeners == NULL);
    while (n->events_len > 0) { /* of calls that have ended: their peers are gone */
        struct event e = events_pop(n);
        assert(e.call->peer == NULL);
        mem_free(e.data);
        call_unref(n, e.call);
    }
    assert(n->reserved == 0);
    mem_free(n->events);
    cond_release(&n->idle);
    mutex_release(&n->mutex);
    mem_free(n);
}

static const struct transport_ops mem_ops = {
    .name = "mem",
    .listen = mem_listen,
    .listener_url = mem_listener_url,
    .listener_free = mem_listener_free,
    .dial = mem_dial,
    .peer_close = mem_peer_close,
    .peer_free = mem_peer_free,
    .call = mem_call,
    .answer = mem_answer,
    .reply_bytes = mem_reply_bytes,
    .reply_free = mem_reply_free,
    .free = mem_network_free,
    .step = mem_step,
};

enum shoal_err transport_mem_new(const struct transport_mem_config *config, struct transport **out,
                                 struct errbuf *why)
{
    *out = NULL;
    if (config->delay_ns_min > config->delay_ns_max || config->loss < 0 || config->loss > 1) {
        return err_set(why, SHOAL_EINVAL,
                       "a delay that ends before it begins, or a loss not in "
                       "0..1");
    }
    struct network *n = mem_calloc(1, sizeof(*n));
    if (n == NULL) {
        return SHOAL_ENOMEM;
    }
    n->base.ops = &mem_ops;
    n->clock = config->clock;
    n->rand = config->rand;
    n->delay_ns_min = config->delay_ns_min;
    n->delay_ns_max = config->delay_ns_max;
    n->loss = config->loss;
    mutex_init(&n->mutex);
    cond_init(&n->idle);
    *out = &n->base;
    return SHOAL_OK;
}

enum shoal_err transport_mem_cut(struct transport *t, const char *url, bool cut)
{
    struct network *n = network_of(t);
    enum shoal_err rc = check_url(url, NULL);
    mutex_lock(&n->mutex);
    size_t at = 0;
    while (at < n->cuts_len && strcmp(n->cuts[at], url) != 0) {
        at++;
    }
    if (!cut && at < n->cuts_len) {
        n->cuts_len--;
        memmove(n->cuts[at], n->cuts[n->cuts_len], URL_MAX);
    } else if (cut && at == n->cuts_len && rc == SHOAL_OK) {
        rc = n->cuts_len == TRANSPORT_MEM_CUTS_MAX ? SHOAL_EFULL : SHOAL_OK;
        if (rc == SHOAL_OK) {
            memcpy(n->cuts[n->cuts_len++], url, strlen(url) + 1);
        }
    }
    mutex_unlock(&n->mutex);
    return rc;
}

void transport_mem_set_loss(struct transport *t, double loss)
{
    struct network *n = network_of(t);
    mutex_lock(&n->mutex);
    n->loss = loss;
    mutex_unlock(&n->mutex);
}

bool transport_step(struct transport *t)
{
    return t->ops->step(t);
}
