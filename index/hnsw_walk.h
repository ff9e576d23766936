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

/* When a filtered walk ends. It expands nodes from the nearest on, allowed or not, and is done when
 * `ef` allowed nodes are nearer than all that is left, or when it has expanded `expand_min` nodes
 * of which `allowed_min` were allowed. */
struct hnsw_effort {
    size_t ef;          /* at least top->k */
    size_t expand_min;  /* SIZE_MAX: only ef counts */
    size_t allowed_min; /* at least top->k */
    size_t visits_max;  /* rows compared at which it gives up */
};

/* Feeds the nearest rows of the filter to `top`. When it gave up, nothing was fed. SHOAL_ENOMEM. */
enum shoal_err hnsw_walk_filtered(const struct hnsw *h, const float *query,
                                  const struct hnsw_effort *effort,
                                  const struct index_filter *filter, struct topk *top,
                                  bool *gave_up, struct errbuf *why);

#endif
