/* Channel: the way to one shard, wherever it lives. A local channel calls the shard in this
 * process; a remote one speaks the wire schema to a node. The coordinator sees no difference.
 *
 * Calls are begun and then awaited, so that several shards work at the same time:
 *
 *     channel_begin(ch[i], &calls[i]) for each shard      (remote first: they run while the
 *     channel_wait(&calls[i])         for each shard       local ones use this thread)
 *     ... results are read in place ...
 *     channel_call_release(&calls[i])
 *
 * A call ends by its deadline at the latest, because the transport ends it then.
 *
 * Threads: a channel may be used by any number of threads; a call belongs to the thread that
 * began it. */
#ifndef SHOAL_QUERY_CHANNEL_H
#define SHOAL_QUERY_CHANNEL_H

#include "base/arena.h"
#include "base/err.h"
#include "base/thread.h"
#include "shard/shard.h"
#include "wire/transport.h"

#include <stdbool.h>
#include <stdint.h>

struct channel;

enum channel_kind {
    CHANNEL_SEARCH,
    CHANNEL_FETCH,
    CHANNEL_SCROLL,
    CHANNEL_COUNT,
    CHANNEL_WRITE,
    CHANNEL_INFO
};

struct channel_request {
    enum channel_kind kind;
    uint64_t deadline_ns; /* real monotonic clock */
    uint64_t trace_id;
    /* Of the kind; all borrowed until the call is released. */
    const struct shard_query *search;
    struct shard_fetch what;    /* SEARCH and FETCH: what to bring along */
    const struct point_id *ids; /* FETCH */
    size_t ids_len;
    const struct shard_scroll *scroll;
    struct slice filter;    /* COUNT */
    struct slice op;        /* WRITE */
    enum shard_until until; /* WRITE */
};

struct channel_result {
    enum shoal_err rc;
    struct errbuf why;
    /* SEARCH: hits, and with `what` asked for also records[i] for hits[i]. FETCH and SCROLL:
     * records. All live in the call's arena or reply until the call is released. */
    const struct shard_hit *hits;
    const struct shard_record *records;
    size_t len;
    bool has_next;
    struct point_id next; /* SCROLL */
    uint64_t count;       /* COUNT */
    struct shard_written written;
    struct shard_plan plan; /* SEARCH */
    struct shard_info info; /* INFO */
    uint64_t took_ns;       /* as seen from here */
};

struct channel_call {
    struct channel *channel;
    struct channel_request request;
    struct channel_result result;
    struct arena arena;
    struct transport_reply *reply; /* owned; what the result borrows from */
    struct mutex mutex;            /* guards done and reply until done */
    struct cond cond;
    bool begun;
    bool done;
    uint64_t begun_ns;
};

/* Scratch and results of one call. */
#define CHANNEL_ARENA_MAX (256u << 20)

/* Where local channels find their shards. A shard is held only while a call runs, so that it can
 * be closed, or opened again after trouble, under a channel that stays. */
struct channel_source {
    enum shoal_err (*acquire)(void *arg, uint64_t shard, uint64_t deadline_ns, void **handle,
                              struct shard **out, struct errbuf *why);
    void (*release)(void *arg, void *handle);
    void *arg;
};

/* A peer that is kept for a channel until `release` (may be NULL) is called by channel_free. */
struct channel_peer {
    struct transport_peer *peer;
    void (*release)(void *arg);
    void *arg;
};

/* The source outlives the channel. */
SHOAL_MUST_CHECK enum shoal_err channel_local_new(const struct channel_source *source,
                                                  uint64_t shard, struct channel **out);
/* `shard` is the id at the node behind the peer. On failure the peer is not released. */
SHOAL_MUST_CHECK enum shoal_err channel_remote_new(const struct channel_peer *peer, uint64_t shard,
                                                   uint32_t dim, struct channel **out);
void channel_free(struct channel *ch); /* no call under way; NULL is fine */
bool channel_is_remote(const struct channel *ch);

/* Never fails to begin: what goes wrong is in the result. Local channels do the work here. */
void channel_begin(struct channel *ch, const struct channel_request *request,
                   struct channel_call *call);
/* Until the call has ended; then call->result is set. */
void channel_wait(struct channel_call *call);
void channel_call_release(struct channel_call *call);

#endif
