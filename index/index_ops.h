/* Index ops: what each kind of index provides behind index/index.h. Private to index/.
 *
 * index.c checks the arguments that all kinds share, so that a kind sees only: a config in range,
 * rows in 1..INDEX_ROWS_MAX, k in 1..SEARCH_K_MAX, ef and nprobe within their limits, and a filter
 * with at least one row allowed and at least one not. Exact searches never reach a kind. */
#ifndef SHOAL_INDEX_INDEX_OPS_H
#define SHOAL_INDEX_INDEX_OPS_H

#include "index/index.h"
#include "index/scan.h"

/* The rows an open index lies over: borrowed, in stored order. */
struct index_rows {
    const float *vectors;
    size_t rows;
    uint32_t dim;
    enum distance distance;
};

struct index_ops {
    const char *name; /* on the wire and in configurations: never rename */
    enum index_kind kind;
    /* As index_build. On failure *out may be half filled: the caller releases it. */
    enum shoal_err (*build)(const struct index_config *config, const float *vectors, size_t rows,
                            const atomic_bool *cancel, struct index_built *out, struct errbuf *why);
    /* As index_open; *state belongs to the caller, who ends it with close. NULL is a valid state
     * for a kind that needs none. */
    enum shoal_err (*open)(const struct index_config *config, const struct index_rows *rows,
                           struct slice bytes, void **state, struct errbuf *why);
    void (*close)(void *state);
    /* Feeds every row worth considering to `top`, whose k is q->k. Safe beside other searches. */
    enum shoal_err (*search)(const void *state, const struct index_rows *rows,
                             const struct index_query *q, struct topk *top, struct errbuf *why);
    enum shoal_err (*validate)(const void *state, const struct index_rows *rows,
                               struct errbuf *why);
    uint64_t (*private_bytes)(const void *state);
};

extern const struct index_ops index__flat;
extern const struct index_ops index__hnsw;
extern const struct index_ops index__ivf;

/* Feeds every row that the filter (may be NULL) lets through. */
void index__scan(const struct index_rows *rows, const struct index_query *q, struct topk *top);

static inline bool index__canceled(const atomic_bool *cancel)
{
    return cancel != NULL && atomic_load_explicit(cancel, memory_order_relaxed);
}

#endif
