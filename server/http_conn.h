/* One connection with the request on it. Private to the HTTP server (http*.c).
 *
 * Who may touch what: the fields under "exchange" belong to the connection's socket thread, except
 * from the moment the job is submitted (HTTP_PHASE_HANDLING) until the connection is resumed, when
 * they belong to the pool's thread. Suspending and resuming go through libmicrohttpd's lock, which
 * orders the two. A streaming handler keeps them until it ends; `stream` is shared and has a lock.
 *
 * Lives until the socket is closed and no handler is running on it: two references. */
#ifndef SHOAL_SERVER_HTTP_CONN_H
#define SHOAL_SERVER_HTTP_CONN_H

#include "base/arena.h"
#include "base/pool.h"
#include "base/thread.h"
#include "server/http.h"

#include <stdatomic.h>

struct MHD_Connection;
struct MHD_Daemon;
struct MHD_Response;

/* A connection keeps at most this much between two requests. */
#define HTTP_KEEP_BYTES (64u << 10)

enum http_phase {
    HTTP_PHASE_IDLE,     /* between requests */
    HTTP_PHASE_HEAD,     /* the request line is known */
    HTTP_PHASE_BODY,     /* the header is read; a body comes or is over */
    HTTP_PHASE_HANDLING, /* queued or on a pool's thread; suspended */
    HTTP_PHASE_READY,    /* the answer is there and the connection resumed */
    HTTP_PHASE_SENDING
};

struct http_stream {
    struct mutex mutex;
    struct cond room;
    /* guarded by mutex */
    bool begun;
    bool finished;  /* nothing will be pushed any more */
    bool waiting;   /* suspended for want of bytes */
    bool gone;      /* the producer should stop: the client went away, or the server stops */
    bool completed; /* libmicrohttpd is done with the exchange; the producer ends it */
    struct buf pending;
    size_t sent; /* of pending */
};

struct http_conn {
    struct http_server *server;
    struct MHD_Connection *mhd;
    int fd;
    atomic_uint refs;
    _Atomic uint64_t expires_ns; /* the sweeper shuts the socket down then; 0: never */
    struct http_conn *prev;      /* server->conns_mutex, as is next */
    struct http_conn *next;
    /* exchange */
    enum http_phase phase;
    enum http_lane lane;
    struct arena arena;
    struct buf target;
    struct buf body;
    size_t body_counted;   /* bytes of it in server->body_bytes */
    uint64_t body_dropped; /* bytes read after the request was refused */
    struct http_body_plan plan;
    bool too_big;    /* the body went over its limit while it was read */
    bool overloaded; /* all bodies together went over theirs */
    struct http_request req;
    struct http_response res;
    struct pool_job job;
    struct MHD_Response *answer; /* owned while not NULL */
    struct http_stream stream;
};

struct http_server {
    struct http_config config; /* defaults filled in */
    char address[80];
    uint64_t trace_seed;
    struct MHD_Daemon *daemon;
    struct pool *fast;
    struct pool *slow;
    struct thread sweeper;
    atomic_bool draining;
    atomic_bool stopping;
    atomic_size_t body_bytes;
    atomic_uint_fast64_t next_trace;
    struct mutex conns_mutex;
    struct cond conns_changed; /* for the sweeper: a first connection, or the end */
    struct cond all_answered;  /* for whoever stops the server: no exchanges are left */
    /* guarded by conns_mutex */
    struct http_conn *conns;
    size_t conns_len;
    size_t exchanges; /* requests between their first line and the end of their answer */
    bool sweeper_ends;
    struct metric_gauge *connections_gauge, *exchanges_gauge, *fast_gauge, *slow_gauge;
};

/* http_listen.c: a bound, listening socket and its printed address. */
enum shoal_err http__listen(const char *address, int *fd_out, char *printed, size_t printed_len,
                            struct errbuf *why);

/* http_conn.c */
struct http_conn *http__conn_new(struct http_server *s, struct MHD_Connection *mhd, int fd);
void http__conn_unref(struct http_conn *c);
/* Takes it off the server's list: the sweeper does not see it any more. */
void http__conn_leave(struct http_conn *c);
/* The deadline of the phase that begins now; 0 ms: none. */
void http__conn_expire_in(struct http_conn *c, uint64_t ms);
/* Starts and ends an exchange; the end gives back what it held. */
void http__exchange_begin(struct http_conn *c, const char *target);
void http__exchange_end(struct http_conn *c);
/* Ends connections that are over their deadlines, until server->sweeper_ends. */
void http__sweep(void *server);

/* http_answer.c: the answer's body and fields as a libmicrohttpd response; NULL when out of
 * memory. */
struct MHD_Response *http__answer_make(struct http_conn *c);
struct MHD_Response *http__answer_make_stream(struct http_conn *c);

/* http_exchange.c: libmicrohttpd's access handler. Returns false to close the connection. */
bool http__on_request(struct http_conn *c, const char *method, const char *upload,
                      size_t *upload_len);
void http__on_completed(struct http_conn *c);

/* http_stream.c */
void http__stream_finish(struct http_conn *c);
/* Wakes and stops the producer; `completed` when libmicrohttpd is done with the exchange. Returns
 * true when a producer is at work, who will then end the exchange itself. */
bool http__stream_abandon(struct http_conn *c, bool completed);

#endif
