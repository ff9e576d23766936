/* Filter rows: turns a filter into the rows of a generation that it lets through.
 *
 * What a point matches by lies in state.mdb, its row in the generation, and a writer changes both,
 * one after the other. So the two are taken at the same applied index (shard__view_begin).
 *
 * Cost: a filter that names ids (must: has_id) looks these up; one that needs no payloads asks the
 * ids in memory; any other walks all points and payloads once.
 *
 * Threads: any. No transaction outlives the call. */
#ifndef SHOAL_SHARD_FILTER_ROWS_H
#define SHOAL_SHARD_FILTER_ROWS_H

#include "shard/filter.h"
#include "shard/row_set.h"
#include "shard/shard.h"

/* *g is a pinned generation, which may be exchanged for another one; `out` is of the *g that the
 * caller then holds, and ends with row_set_release. SHOAL_ETIMEOUT, SHOAL_ECORRUPT, SHOAL_ENOMEM,
 * SHOAL_EIO. */
SHOAL_MUST_CHECK enum shoal_err filter_rows(struct shard *s, const struct filter *f,
                                            uint64_t deadline_ns, struct generation **g,
                                            struct row_set *out, struct errbuf *why);

#endif
