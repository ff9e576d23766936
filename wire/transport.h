/* Transport: request and reply between processes, behind a small interface.
 *
 * transport_nng speaks NNG (tcp://, tls+tcp://, ipc://, inproc://); transport_mem connects the
 * parts of one process without sockets, under a clock and a seed of the test's choosing, and can
 * drop, delay and cut.
 *
 * Requests are never resent by the transport: a write carries an operation id, and whoever asks
 * decides to ask again. A reply that comes after the deadline is dropped.
 *
 * Threads: all calls from any thread. Callbacks run on the transport's own threads with no lock
 * held; they may only decode and enqueue, and must not block. */
#ifndef SHOAL_WIRE_TRANSPORT_H
#define SHOAL_WIRE_TRANSPORT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct transport;
struct transport_listener;
struct transport_peer;
struct transport_exchange; /* one request being answered */
struct transport_reply;    /* one reply received; owns its bytes */

/* A request arrived. `message` is borrowed until the exchange is answered. The callee answers by
 * transport_answer exactly once, now or later, from any thread. */
typedef void transport_on_request(void *arg, struct transport_exchange *x, struct slice message);

/* The answer, exactly once for each transport_call that returned SHOAL_OK. On success `reply` is
 * the callee's (transport_reply_free); on failure it is NULL and rc says why: SHOAL_ETIMEOUT,
 * SHOAL_EUNAVAILABLE (no connection, or it was lost: the request may or may not have been seen;
 * soon and not only at the deadline), SHOAL_ECANCELED (the peer was closed). */
typedef void transport_on_reply(void *arg, enum shoal_err rc, struct transport_reply *reply);

struct transport_ops {
    const char *name;
    enum shoal_err (*listen)(struct transport *t, const char *url, transport_on_request *on_request,
                             void *arg, struct transport_listener **out, struct errbuf *why);
    /* The URL it listens on, with the port that was really taken for port 0. */
    const char *(*listener_url)(const struct transport_listener *l);
    /* Accepts nothing new, waits for exchanges under way to be answered, frees. */
    void (*listener_free)(struct transport_listener *l);
    /* Returns at once; connects in the background and again after a loss. */
    enum shoal_err (*dial)(struct transport *t, const char *url, struct transport_peer **out,
                           struct errbuf *why);
    void (*peer_close)(struct transport_peer *p);
    /* Ends every call under way with SHOAL_ECANCELED, waits for their callbacks, frees. */
    void (*peer_free)(struct transport_peer *p);
    /* Copies `message` before it returns. timeout_ms > 0. On failure the callback never runs:
     * SHOAL_ENOMEM, SHOAL_ETOOBIG, SHOAL_EBUSY (too many under way). */
    enum shoal_err (*call)(struct transport_peer *p, struct slice message, uint32_t timeout_ms,
                           transport_on_reply *on_reply, void *arg);
    void (*answer)(struct transport_exchange *x, struct slice message);
    struct slice (*reply_bytes)(const struct transport_reply *r);
    void (*reply_free)(struct transport_reply *r);
    void (*free)(struct transport *t);
    /* Lets one thing happen (transport_mem's next event), for transports that do not move by
     * themselves; false when nothing is left to happen. NULL for all others. */
    bool (*step)(struct transport *t);
};

struct transport {
    const struct transport_ops *ops;
};

struct transport_listener {
    struct transport *transport;
};

struct transport_peer {
    struct transport *transport;
    const char *url; /* as dialled; lives as long as the peer */
};

struct transport_exchange {
    struct transport *transport;
};

struct transport_reply {
    struct transport *transport;
};

/* Requests answered at once by one listener, and calls under way to one peer. */
#define TRANSPORT_EXCHANGES_MAX 256
#define TRANSPORT_CALLS_MAX 1024

/* How long a call over NNG waits for a connection when there is none: until the first time has
 * passed since the dial, or since a connection was lost that had lasted as long, so that a listener
 * that starts or restarts is not missed; then for the second time only, twice the longest pause
 * between two dials, so that a dead one costs its callers little. After that the call ends with
 * SHOAL_EUNAVAILABLE. */
#define TRANSPORT_PATIENCE_MS 1000u
#define TRANSPORT_RETRY_PATIENCE_MS 200u

/* URLs: tcp://HOST:PORT (port 0 takes a free one), ipc://PATH (a socket file left behind by a dead
 * process is replaced; only this user may connect), inproc://NAME. tls+tcp:// is not supported
 * yet: SHOAL_EUNSUPPORTED. A connection that is lost is dialled again after 10 to 100 ms. A message
 * over WIRE_MESSAGE_MAX is never received: its connection is closed. */
SHOAL_MUST_CHECK enum shoal_err transport_nng_new(struct transport **out, struct errbuf *why);
void transport_free(struct transport *t); /* all listeners and peers were freed before */

SHOAL_MUST_CHECK enum shoal_err transport_listen(struct transport *t, const char *url,
                                                 transport_on_request *on_request, void *arg,
                                                 struct transport_listener **out,
                                                 struct errbuf *why);
const char *transport_listener_url(const struct transport_listener *l);
void transport_listener_free(struct transport_listener *l); /* NULL is fine */
SHOAL_MUST_CHECK enum shoal_err transport_dial(struct transport *t, const char *url,
                                               struct transport_peer **out, struct errbuf *why);
/* Ends every call under way with SHOAL_ECANCELED and refuses new ones; idempotent, never blocks.
 * NULL is fine. */
void transport_peer_close(struct transport_peer *p);
void transport_peer_free(struct transport_peer *p); /* closes too; NULL is fine */
SHOAL_MUST_CHECK enum shoal_err transport_call(struct transport_peer *p, struct slice message,
                                               uint32_t timeout_ms, transport_on_reply *on_reply,
                                               void *arg);
/* Calls and waits for the answer; not from a transport callback. */
SHOAL_MUST_CHECK enum shoal_err transport_call_wait(struct transport_peer *p, struct slice message,
                                                    uint32_t timeout_ms,
                                                    struct transport_reply **reply,
                                                    struct errbuf *why);
void transport_answer(struct transport_exchange *x, struct slice message);
struct slice transport_reply_bytes(const struct transport_reply *r);
void transport_reply_free(struct transport_reply *r); /* NULL is fine */

#endif
