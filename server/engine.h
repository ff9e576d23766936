/* Engine: the data side of one process: its log, its share of the catalog, the shards it holds,
 * and the gateway to all collections. No sockets are opened here; fronts (HTTP, NNG) stand on top,
 * and so does the embedded client, which needs nothing else.
 *
 *     <data>/identity        who this data directory is, made once
 *     <data>/log.mdb         write-ahead log of every group
 *     <data>/catalog.mdb     the catalog, where it lives
 *     <data>/shards/<id>/    one directory per shard
 *
 * Threads: open and close from one thread; the parts it hands out as their headers say. */
#ifndef SHOAL_SERVER_ENGINE_H
#define SHOAL_SERVER_ENGINE_H

#include "base/err.h"
#include "base/metrics.h"
#include "server/directory.h"
#include "server/gateway.h"
#include "server/node.h"
#include "server/peers.h"
#include "wire/transport.h"

#include <stdbool.h>
#include <stdint.h>

enum engine_role { ENGINE_GATEWAY = 1 << 0, ENGINE_NODE = 1 << 1, ENGINE_CATALOG = 1 << 2 };

struct engine_config {
    const char *data_dir;    /* made when missing */
    unsigned roles;          /* enum engine_role, or-ed; at least one */
    const char *name;        /* NULL: "node-" and the identity's first digits */
    const char *url;         /* where other processes reach this one; "" when they do not */
    const char *catalog_url; /* needed without ENGINE_CATALOG */
    /* All outlive the engine. */
    struct transport *transport;
    struct peers *peers;
    struct limiter *limiter;       /* NULL: no limits */
    struct generators *generators; /* needed with ENGINE_GATEWAY */
    struct metrics *metrics;
    unsigned builder_threads; /* 0: 1 */
};

struct engine;

/* Returns when the catalog is open, if it lives here; joining and opening shards go on in the
 * background (engine_wait_ready). SHOAL_EBUSY: another process uses the directory. */
SHOAL_MUST_CHECK enum shoal_err engine_open(const struct engine_config *config, struct engine **out,
                                            struct errbuf *why);
/* Ends every wait with SHOAL_ECANCELED; call it before the fronts are drained. Idempotent. */
void engine_stop(struct engine *e);
/* No request is under way. NULL is fine. */
void engine_close(struct engine *e);

/* Until the map is known and every shard of this node is open. SHOAL_ETIMEOUT says what is
 * missing. */
SHOAL_MUST_CHECK enum shoal_err engine_wait_ready(struct engine *e, uint64_t deadline_ns,
                                                  struct errbuf *why);

struct gateway *engine_gateway(struct engine *e); /* NULL without its role */
struct node *engine_node(struct engine *e);       /* NULL without its role */
struct directory *engine_directory(struct engine *e);
const char *engine_name(const struct engine *e);

#endif
