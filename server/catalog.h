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
    uint64_t id;    /* raft group of the shard, unique in the cluster */
    uint64_t node;  /* catalog_node.id */
};

struct catalog_collection {
    char *name;
    uint32_t dim;
    enum distance distance;
    struct shard_options options;
    size_t shards_len;
    struct catalog_shard *shards;
    char *params; /* JSON text of the request that made it, echoed to users */
};

struct catalog_node {
    uint64_t id;   /* 1.. */
    char *name;    /* unique; a node that comes back under its name keeps its id */
    char *url;     /* where it serves shards; may change when it comes back */
};

/* One consistent picture. */
struct catalog_map {
    uint64_t epoch; /* grows with every change */
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
/* The map as one JSON text and back: how it travels to other processes. */
enum shoal_err catalog_map_print(const struct catalog_map *m, struct buf *out);
SHOAL_MUST_CHECK enum shoal_err catalog_map_parse(struct slice json, struct catalog_map **out,
                                                  struct errbuf *why);

struct catalog_config {
    const char *dir;          /* catalog.mdb lies here */
    struct log_store *log;
    const struct clock *clock;
    const struct rand_source *rand;
};

SHOAL_MUST_CHECK enum shoal_err catalog_open(const struct catalog_config *config,
                                             struct catalog **out, struct errbuf *why);
void catalog_close(struct catalog *c);
/* The present map, with a reference for the caller. */
struct catalog_map *catalog_map_get(struct catalog *c);

/* Registers a node or renews its URL; gives its id. */
SHOAL_MUST_CHECK enum shoal_err catalog_join(struct catalog *c, const char *name, const char *url,
                                             uint64_t *node_id, struct errbuf *why);

struct catalog_create {
    struct slice name; /* 1..CATALOG_NAME_MAX bytes, no '/', no control characters */
    uint32_t dim;
    enum distance distance;
    struct shard_options options;
    size_t shards_len; /* dealt round robin over the nodes that are registered */
    struct slice params;
};

/* SHOAL_EEXISTS, SHOAL_EVALIDATION, SHOAL_EUNAVAILABLE (no node). Durable when it returns; the
 * nodes open their shards when they see the new map. */
SHOAL_MUST_CHECK enum shoal_err catalog_create_collection(struct catalog *c,
                                                          const struct catalog_create *create,
                                                          struct errbuf *why);
/* SHOAL_ENOTFOUND. */
SHOAL_MUST_CHECK enum shoal_err catalog_delete_collection(struct catalog *c, struct slice name,
                                                          struct errbuf *why);

#endif
