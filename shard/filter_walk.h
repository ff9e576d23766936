/* Filter walk: the points that a filter lets through, in the order of their ids, out of one
 * transaction of state.mdb.
 *
 * A filter that names ids (must: has_id) costs a look-up for each of them; any other reads all
 * points from the first one asked for, and payloads only when the filter looks at them.
 *
 * Threads: owned by one call. Slices handed out are the transaction's. */
#ifndef SHOAL_SHARD_FILTER_WALK_H
#define SHOAL_SHARD_FILTER_WALK_H

#include "shard/filter_ast.h"
#include "shard/state.h"

struct filter_walk {
    const struct state *state;
    struct store_txn *txn;
    const struct filter *filter; /* NULL: every point */
    bool payloads;               /* state_seen.payload is filled */
    bool by_ids;
    struct state_walk all;
    struct filter_ids ids; /* by_ids: candidates that are left */
};

/* From an id on, inclusive (NULL: from the first). `payloads`: the caller wants them, whether the
 * filter does or not. SHOAL_ECORRUPT, SHOAL_ENOMEM, SHOAL_EIO. */
enum shoal_err filter_walk_begin(struct filter_walk *w, const struct state *state,
                                 struct store_txn *txn, const struct filter *filter,
                                 const struct point_id *from, bool payloads, struct errbuf *why);
/* SHOAL_ENOTFOUND at the end (without touching `why`). */
enum shoal_err filter_walk_next(struct filter_walk *w, struct state_seen *out, struct errbuf *why);
void filter_walk_end(struct filter_walk *w); /* before the transaction ends; once begun or not */

#endif
