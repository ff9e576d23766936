/* NNG front: takes frames from clients, other processes and generators, and hands each to whom it
 * is for, on a pool of its own. The transport's threads only decode the header and enqueue; when
 * the queue is full the answer is SHOAL_EBUSY at once.
 *
 * Its address is known before the parts it hands frames to are open, because a node tells the
 * catalog where it can be reached; until front_nng_serve() the answer is SHOAL_EUNAVAILABLE.
 *
 *     SHARD_*, "shard.*"        the node
 *     "catalog.*"               the directory
 *     "generator.*"             the generators' list
 *     UPSERT, SEARCH            collections, through the gateway
 *     CALL "METHOD /path"       any route of the HTTP API
 *     STREAM_*                  answers that come in pieces
 *
 * Threads: open and close from one thread. */
#ifndef SHOAL_SERVER_FRONT_NNG_H
#define SHOAL_SERVER_FRONT_NNG_H

#include "base/err.h"
#include "server/engine.h"
#include "server/generators.h"
#include "server/streams.h"
#include "wire/transport.h"

struct front_nng;

struct front_nng_config {
    struct transport *transport; /* outlives the front */
    const char *url;             /* to listen on; borrowed during the call */
    unsigned threads_len;
    size_t queue_len_max;
};

/* Whom frames are for. All outlive the front. */
struct front_nng_parts {
    struct engine *engine;
    struct generators *generators; /* NULL: generators cannot register here */
    struct streams *streams;
    /* Serves "METHOD /path" calls, streams included; NULL: not offered. */
    const struct front_routes *routes;
};

/* How calls by route reach the HTTP API's handlers without HTTP. */
struct front_routes {
    /* Appends the JSON answer. A failure's text goes to `why`. */
    enum shoal_err (*call)(void *arg, struct slice method, struct slice path, struct slice body,
                           uint64_t deadline_ns, struct buf *json, struct errbuf *why);
    /* Starts an answer that comes in pieces; pushes them to the stream from a thread of its own
     * and finishes it. On failure the stream stays the caller's. */
    enum shoal_err (*open)(void *arg, struct slice method, struct slice path, struct slice body,
                           struct stream *stream, struct errbuf *why);
    void *arg;
};

SHOAL_MUST_CHECK enum shoal_err front_nng_open(const struct front_nng_config *config,
                                               struct front_nng **out, struct errbuf *why);
/* The address it listens on, with the real port. */
const char *front_nng_url(const struct front_nng *f);
/* From now on frames are handed on. Once. */
void front_nng_serve(struct front_nng *f, const struct front_nng_parts *parts);
/* Answers what it has accepted, then frees. NULL is fine. */
void front_nng_close(struct front_nng *f);

#endif
