/* Node: the shards this process holds. It follows the directory: a shard that the map gives to
 * this node is opened, one that a later map no longer has is closed and removed. A shard that
 * cannot be opened is out of service, says why, and is tried again; the others go on.
 *
 * A shard directory that no map seen by this process ever named is left alone: a lost catalog must
 * not take the data with it.
 *
 * Threads: any. */
#ifndef SHOAL_SERVER_NODE_H
#define SHOAL_SERVER_NODE_H

#include "base/clock.h"
#include "base/disk.h"
#include "base/err.h"
#include "base/metrics.h"
#include "base/pool.h"
#include "base/rand.h"
#include "server/directory.h"
#include "shard/log_store.h"
#include "shard/shard.h"
#include "wire/transport.h"

#include <stdbool.h>
#include <stdint.h>

struct node;
struct node_shard;
struct frame;

struct node_config {
    const char *name;            /* copied */
    const char *identity;        /* copied; see catalog_node */
    const char *url;             /* where other processes reach it; copied */
    const char *dir;             /* shards lie in <dir>/shards/<id>; copied */
    struct directory *directory; /* outlives the node, as do all below */
    struct log_store *log;
    struct pool *builders;
    const struct disk *disk;
    const struct clock *clock;
    const struct rand_source *rand;
    struct metrics *metrics;
};

/* Returns at once; joining the catalog and opening shards go on in the background. */
SHOAL_MUST_CHECK enum shoal_err node_open(const struct node_config *config, struct node **out,
                                          struct errbuf *why);
/* Ends waits with SHOAL_ECANCELED. Idempotent. */
void node_stop(struct node *n);
/* Every shard handle was released before. Closes the shards. NULL is fine. */
void node_close(struct node *n);

/* Given by the catalog; 0 until the node has joined. */
uint64_t node_id(struct node *n);
/* True when it has joined and every shard of the present map is open. */
bool node_ready(struct node *n);
/* Waits until every shard of the map is open or has been tried: a shard out of service does not
 * hold up the others. SHOAL_ETIMEOUT, SHOAL_ECANCELED. */
SHOAL_MUST_CHECK enum shoal_err node_wait_ready(struct node *n, uint64_t deadline_ns,
                                                struct errbuf *why);

/* Waits until the shard is open or known to be out of service. SHOAL_ENOTFOUND when this node
 * does not come to hold it by the deadline, or, once it has seen a map, within two seconds. */
SHOAL_MUST_CHECK enum shoal_err node_shard_acquire(struct node *n, uint64_t shard,
                                                   uint64_t deadline_ns, struct node_shard **out,
                                                   struct errbuf *why);
struct shard *node_shard_get(struct node_shard *h);
void node_shard_release(struct node_shard *h);

/* The node's shards for local channels. Lives as long as the node. */
struct channel_source;
const struct channel_source *node_source(struct node *n);

/* Answers the wire's SHARD_* messages and the call "shard.info". Runs the work on the caller's
 * thread and answers the exchange. */
void node_answer(struct node *n, struct transport_exchange *x, const struct frame *f);

#endif
