/* HTTP server: the one place that knows libmicrohttpd. It turns connections into requests for an
 * application and the application's answers into bytes; it knows no route and no JSON.
 *
 * libmicrohttpd's threads read and write sockets and do nothing that takes time: a request that has
 * come in whole is put into the bounded queue of a pool, its connection rests meanwhile, and the
 * answer goes out when the application has given it. There are two pools, so that answers that
 * take seconds (a model's) cannot hold up those that take microseconds (a search).
 *
 * What a client may not do, whatever it sends: hold a connection with half a request beyond the
 * absolute deadlines below; make the server keep more than body_bytes_max of one body, or more than
 * body_bytes_total_max of all; open more connections than allowed, in all and from one address;
 * have a request understood differently here than by a proxy before us (http_request.h).
 *
 * Stopping is in three steps: http_server_drain() makes health checks say so while requests are
 * still served, each answer closing its connection; http_server_stop() refuses new requests and
 * waits for those under way; http_server_free() frees.
 *
 * Threads: the server's calls from any thread; the application's as its struct says. */
#ifndef SHOAL_SERVER_HTTP_H
#define SHOAL_SERVER_HTTP_H

#include "base/buf.h"
#include "base/err.h"
#include "base/metrics.h"
#include "server/http_request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_server;
struct http_stream;
struct http_conn;

/* An answer's own header fields beside Content-Type and those of CORS. */
#define HTTP_ANSWER_FIELDS_MAX 8
/* Bytes of a piece of a stream that wait for a slow client. */
#define HTTP_STREAM_BYTES_MAX (256u << 10)

struct http_answer_field {
    const char *name;  /* literal */
    const char *value; /* in the request's arena, or literal */
};

struct http_response {
    unsigned status;          /* 200 unless changed */
    const char *content_type; /* literal; "application/json" unless changed */
    struct http_answer_field fields[HTTP_ANSWER_FIELDS_MAX];
    size_t fields_len;
    struct buf body;        /* initialised by whoever calls handle() */
    struct http_conn *conn; /* the server's own; NULL when there is no connection (a test) */
};

/* Adds a field; both strings as above. Beyond HTTP_ANSWER_FIELDS_MAX it is a bug and asserts. */
void http_response_field(struct http_response *res, const char *name, const char *value);

enum http_lane {
    HTTP_LANE_INLINE, /* at once on the socket's thread: health checks, which never wait */
    HTTP_LANE_FAST,
    HTTP_LANE_SLOW,
    HTTP_LANE_REFUSED /* the answer is filled in already */
};

struct http_app {
    /* The request line and the header fields are known, the body is not read yet. On a socket's
     * thread: must not block. */
    enum http_lane (*admit)(void *arg, struct http_request *req, struct http_response *res);
    /* Fills the answer, or begins a stream and pushes it whole before it returns. On a thread of
     * the lane's pool. */
    void (*handle)(void *arg, struct http_request *req, struct http_response *res);
    /* Fills the answer to a request that the server itself refuses. Must not block. */
    void (*refuse)(void *arg, const struct http_request *req, struct http_response *res,
                   unsigned status, enum shoal_err code, const char *text);
    void *arg;
};

/* Zero in a field marked so takes the default. */
struct http_config {
    const char *address;     /* "127.0.0.1:6333", "[::1]:0", "localhost:6333"; port 0: a free one */
    struct http_app app;     /* what it points to outlives the server */
    struct metrics *metrics; /* may be NULL; outlives the server */
    unsigned io_threads;     /* 2 */
    unsigned fast_threads;   /* 8 */
    unsigned slow_threads;   /* 16 */
    size_t fast_queue_len_max;            /* 256 */
    size_t slow_queue_len_max;            /* 64 */
    size_t body_bytes_max;                /* 32 MiB; a larger body is refused with 413 */
    size_t body_bytes_total_max;          /* 1 GiB; bodies being read or handled; 503 beyond it */
    size_t answer_bytes_max;              /* 512 MiB */
    size_t arena_bytes_max;               /* 512 MiB of scratch for one request */
    unsigned connections_max;             /* 4096 */
    unsigned connections_per_address_max; /* 1024 */
    uint32_t idle_ms;                     /* 75 s: between two requests of one connection */
    uint32_t head_ms;    /* 10 s: from a connection's first byte or the request line to the
                            end of the header */
    uint32_t body_ms;    /* 60 s, and longer for bodies that need it at 64 KiB/s */
    uint32_t send_ms;    /* 60 s, and longer for answers that need it at 64 KiB/s */
    uint32_t request_ms; /* 60 s: deadline of a request unless the application moves it */
};

/* Listens when it returns. SHOAL_EINVAL (the address), SHOAL_EBUSY (taken), SHOAL_EDENIED,
 * SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err http_server_new(const struct http_config *config,
                                                struct http_server **out, struct errbuf *why);
/* "127.0.0.1:6333", with the real port. */
const char *http_server_address(const struct http_server *s);
/* From now on answers close their connections. Idempotent. */
void http_server_drain(struct http_server *s);
bool http_server_is_draining(const struct http_server *s);
/* Refuses new requests and waits until those under way are answered, or until the deadline (real
 * monotonic clock); after that streams learn that nobody listens. Handlers are waited for in any
 * case. Idempotent. */
void http_server_stop(struct http_server *s, uint64_t deadline_ns);
/* Stops at once if that was not done. NULL is fine. */
void http_server_free(struct http_server *s);
/* Writes the present queue lengths and connections into the metrics; call before printing them. */
void http_server_observe(struct http_server *s);

/* --- streams ---------------------------------------------------------------------------------
 * For handle() only, on its thread. The head of the answer (status, fields, content type) goes out
 * at once, pieces as they are pushed. The stream ends when handle() returns. */

/* SHOAL_EUNSUPPORTED without a connection; SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err http_stream_begin(struct http_response *res,
                                                  struct http_stream **out);
/* Waits while more than HTTP_STREAM_BYTES_MAX are unsent. False when the client has gone, the
 * server stops or the deadline (real monotonic clock) has passed: stop producing. */
bool http_stream_push(struct http_stream *st, struct slice piece, uint64_t deadline_ns);
/* True when the client is known to have gone. A client that vanished shows at the second push after
 * that; producers that are silent for long push a comment now and then. */
bool http_stream_is_gone(struct http_stream *st);

#endif
