/* Catalog: what collections there are, of what shape, and which node holds which shard.
 *
 * It is a small state machine over a replicated log of its own (group CATALOG_GROUP of log.mdb):
 * every change is an entry, applied in order and durable before it is answered. Today the group
 * has one member, on the process with the catalog role; others ask it over the wire. A process
 * keeps the last map it saw and goes on serving with it while the catalog is away.
 *
 * Threads: any. Returned snapshots are immutable and reference-counted. */
#ifndef SHOAL_SERVER_CATALOG_H
#define SHOAL_SERVER_CATALOG_H

#include "base/clock.h"
#include "base/distance.h"
#include "base/err.h"
#include "base/rand.h"
#include "base/slice.h"
#include "index/index.h"
#include "shard/shard.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CATALOG_GROUP 1
/* Groups of shards begin here. */
#define CATALOG_FIRST_SHARD 16
#define CATALOG_COLLECTIONS_MAX 10000
#define CATALOG_NODES_MAX 64
#define CATALOG_NAME_MAX 255

struct catalog;
struct log_store;

struct catalog_shard {
    uint64_t id;   /* raft group of the shard, unique in the cluster */
    uint64_t node; /* catalog_node.id */
};

struct catalog_collection {
    char *name;
    uint32_t dim;
    enum distance distance;
    struct shard_options options;
    size_t shards_len; /* 1..COLLECTION_SHARDS_MAX of query/collection.h */
    struct catalog_shard *shards;
    char *params; /* JSON text of the request that made it, echoed to users */
};

struct catalog_node {
    uint64_t id;    /* 1.. */
    char *name;     /* unique */
    char *identity; /* made once for its data directory: who comes back with it is the same node */
    char *url;      /* where it serves shards; may change when it comes back */
};

/* One consistent picture. */
struct catalog_map {
    uint64_t epoch;      /* grows with every change */
    uint64_t next_shard; /* ids not yet given out */
    uint64_t next_node;
    size_t nodes_len;
    struct catalog_node *nodes;
    size_t collections_len;
    struct catalog_collection *collections; /* sorted by name */
    atomic_uint refs;
};

void catalog_map_ref(struct catalog_map *m);
void catalog_map_unref(struct catalog_map *m); /* NULL is fine */
const struct catalog_collection *catalog_map_find(const struct catalog_map *m, struct slice name);
const struct catalog_node *catalog_map_node(const struct catalog_map *m, uint64_t id);
/* An empty map; a copy to be changed and published. SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err catalog_map_new(struct catalog_map **out);
SHOAL_MUST_CHECK enum shoal_err catalog_map_copy(const struct catalog_map *m,
                                                 struct catalog_map **out);
/* The map as one JSON text and back: how it is kept and how it travels to other processes. */
enum shoal_err catalog_map_print(const struct catalog_map *m, struct buf *out);
SHOAL_MUST_CHECK enum shoal_err catalog_map_parse(struct slice json, struct catalog_map **out,
                                                  struct errbuf *why);

struct catalog_config {
    const char *dir; /* catalog.mdb lies here */
    struct log_store *log;
    const struct clock *clock;
    const struct rand_source *rand;
};

SHOAL_MUST_CHECK enum shoal_err catalog_open(const struct catalog_config *config,
                                             struct catalog **out, struct errbuf *why);
void catalog_close(struct catalog *c); /* NULL is fine */
/* The present map, with a reference for the caller. */
struct catalog_map *catalog_map_get(struct catalog *c);

/* `changed` is called after each change, on the catalog's own thread: be short, and do not call
 * back. NULL ends it, and waits for a call under way. */
void catalog_listen(struct catalog *c, void (*changed)(void *arg), void *arg);

struct catalog_create {
    struct slice name; /* 1..CATALOG_NAME_MAX bytes, no '/', no control characters */
    uint32_t dim;
    enum distance distance;
    struct shard_options options;
    size_t shards_len; /* dealt round robin over the nodes that are registered */
    struct slice params;
};

/* Commands: the changes a catalog can be asked for, as the JSON that travels and is logged. */
enum shoal_err catalog_command_create(struct buf *out, const struct catalog_create *create);
/* first_shard: only the collection that begins with this shard, as the create command's value says,
 * not one that took its name since; 0: whichever has the name. */
enum shoal_err catalog_command_delete(struct buf *out, struct slice name, uint64_t first_shard);
/* Registers a node, or renews the URL of the node with this identity. The command's value is the
 * node's id. Refused with SHOAL_ECONFLICT when another node has the name. */
enum shoal_err catalog_command_join(struct buf *out, const char *name, const char *identity,
                                    const char *url);

/* Proposes a command and waits until it is durable and applied. The refusals: SHOAL_EEXISTS,
 * SHOAL_ENOTFOUND, SHOAL_EVALIDATION, SHOAL_EUNAVAILABLE (no node to place shards on).
 * SHOAL_EPROTO: no command. *value is the command's own. deadline_ns: real monotonic clock. */
SHOAL_MUST_CHECK enum shoal_err catalog_propose(struct catalog *c, struct slice command,
                                                uint64_t deadline_ns, uint64_t *value,
                                                struct errbuf *why);

#endif
