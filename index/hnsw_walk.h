/* HNSW walk: the search over an opened graph.
 *
 * Threads: a walker belongs to one search at a time; the pool lends them to any thread. Private to
 * index/. */
#ifndef SHOAL_INDEX_HNSW_WALK_H
#define SHOAL_INDEX_HNSW_WALK_H

#include "index/hnsw_graph.h"
#include "index/index_ops.h"
#include "index/kernel.h"

/* What a walk lies over. */
struct hnsw {
    struct hnsw_graph graph;
    struct index_rows rows;
    const struct kernel *kernel;
    struct walker_pool *pool; /* owned */
};

/* Lends walkers: each the memory that one search needs, kept for the next. */
struct walker_pool;
enum shoal_err walker_pool_new(size_t rows, struct walker_pool **out, struct errbuf *why);
void walker_pool_free(struct walker_pool *pool); /* NULL is fine; none is lent any more */
uint64_t walker_pool_bytes(struct walker_pool *pool);

/* Feeds the nearest of at least `ef` rows to `top`. SHOAL_ENOMEM. */
enum shoal_err hnsw_walk(const struct hnsw *h, const float *query, size_t ef, struct topk *top,
                         struct errbuf *why);

/* The same among the rows of the filter: walks through all rows and keeps `ef` that are allowed.
 * Stops after comparing visits_max rows; *gave_up is then true and nothing was fed to `top`. */
enum shoal_err hnsw_walk_filtered(const struct hnsw *h, const float *query, size_t ef,
                                  const struct index_filter *filter, size_t visits_max,
                                  struct topk *top, bool *gave_up, struct errbuf *why);

#endif
