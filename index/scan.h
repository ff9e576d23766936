/* Scan: exact search over float rows that lie anywhere: growing chunks, the few rows a filter
 * lets through, candidates to be rescored.
 *
 * A topk is a bounded heap of the best k (row, score) pairs seen; the caller feeds it any number
 * of pieces and drains it once. Kernels are chosen at run time for the CPU.
 *
 * Threads: a topk belongs to one thread at a time; the kernels hold no state. */
#ifndef SHOAL_INDEX_SCAN_H
#define SHOAL_INDEX_SCAN_H

#include "base/distance.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct scan_hit {
    uint64_t row; /* in the caller's own numbering */
    float score;
};

struct topk {
    struct scan_hit *hits; /* owned by the caller of topk_init: room for k */
    size_t len;
    size_t k;
    enum distance distance;
};

/* `room` has room for k hits and outlives the topk. Allocates nothing. k >= 1. */
void topk_init(struct topk *t, enum distance d, struct scan_hit *room, size_t k);
void topk_push(struct topk *t, uint64_t row, float score);
/* Sorts what is there: best first, ties by row. The topk is finished. */
void topk_finish(struct topk *t);

/* Score of one pair, as base/distance.h defines it. */
float scan_score(enum distance d, const float *a, const float *b, size_t dim);

/* Pushes rows `first_row` .. `first_row + rows - 1`, which lie contiguously (rows x dim). With
 * `allowed` not NULL only those whose bit is set: bit i % 8 of byte i / 8 stands for the i-th row
 * of this piece. */
void scan_rows(struct topk *t, const float *query, const float *vectors, size_t rows, size_t dim,
               uint64_t first_row, const uint8_t *allowed);

/* Pushes the rows listed in `ids` (indices into `vectors`, each < the piece's row count, ascending
 * for the sake of the prefetcher) under the number first_row + ids[i]. */
void scan_listed(struct topk *t, const float *query, const float *vectors, size_t dim,
                 const uint32_t *ids, size_t ids_len, uint64_t first_row);

#endif
