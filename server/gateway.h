/* Gateway: what the REST and the NNG front both stand on: collections by name, admission, and the
 * way to the catalog, the nodes and the generators.
 *
 * A front turns its bytes into a call here or in query/query.h and turns the result back into
 * bytes; nothing below knows which front asked.
 *
 * Threads: any. */
#ifndef SHOAL_SERVER_GATEWAY_H
#define SHOAL_SERVER_GATEWAY_H

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/metrics.h"
#include "base/rand.h"
#include "base/slice.h"
#include "limit/limit.h"
#include "query/collection.h"
#include "server/catalog.h"

#include <stdbool.h>
#include <stdint.h>

struct gateway;
struct generators;

/* Whose budget a request counts against that comes without a key. */
#define GATEWAY_TENANT_DEFAULT SLICE_LIT("default")

/* --- collections ---------------------------------------------------------------------------- */

/* `params` is the HTTP API's create body: {"vectors": {"size": 100, "distance": "Cosine"},
 * "shard_number": 1, "hnsw_config": {...}, ...}. Known settings that are not built yet are refused
 * with SHOAL_EUNSUPPORTED; unknown keys are refused with SHOAL_EINVAL. Returns when every shard
 * answers. SHOAL_EEXISTS, SHOAL_EVALIDATION, SHOAL_EFULL (a disk has no room for its shard: the
 * collection is taken back), SHOAL_ETIMEOUT. */
SHOAL_MUST_CHECK enum shoal_err gateway_create_collection(struct gateway *g, struct slice name,
                                                          struct json_value params,
                                                          uint64_t deadline_ns, struct errbuf *why);
SHOAL_MUST_CHECK enum shoal_err gateway_delete_collection(struct gateway *g, struct slice name,
                                                          uint64_t deadline_ns, struct errbuf *why);
/* The map as it is known here; release with catalog_map_unref. */
struct catalog_map *gateway_map(struct gateway *g);
/* A reference to the collection (collection_unref). SHOAL_ENOTFOUND:
 * "Collection `x` doesn't exist!". */
SHOAL_MUST_CHECK enum shoal_err gateway_collection(struct gateway *g, struct slice name,
                                                   struct collection **out, struct errbuf *why);

/* Sums over the collection's shards. */
struct gateway_collection_info {
    enum shard_status status; /* the worst */
    char trouble[256];
    uint64_t points, indexed, segments;
    uint32_t shards_asked, shards_answered;
};
SHOAL_MUST_CHECK enum shoal_err gateway_collection_info(struct gateway *g, struct slice name,
                                                        uint64_t deadline_ns,
                                                        struct gateway_collection_info *out,
                                                        struct errbuf *why);

/* --- admission ------------------------------------------------------------------------------- */

/* Takes a cost from the tenant's budget, or nothing. SHOAL_ELIMITED: the text names the rule and
 * says when to come again. *out tells more, for the fields of an answer; without limits it is empty
 * and everything is allowed. */
SHOAL_MUST_CHECK enum shoal_err gateway_admit(struct gateway *g, struct slice tenant,
                                              const struct limit_cost *cost,
                                              struct limit_decision *out, struct errbuf *why);

/* --- what the fronts need beside ------------------------------------------------------------- */

struct limiter *gateway_limiter(struct gateway *g);       /* NULL: no limits configured */
struct generators *gateway_generators(struct gateway *g); /* never NULL; may know no generator */
struct metrics *gateway_metrics(struct gateway *g);
const struct clock *gateway_clock(struct gateway *g);
const struct rand_source *gateway_rand(struct gateway *g);
/* True when the catalog's map is known and every local shard is open. */
bool gateway_ready(struct gateway *g);

#endif
