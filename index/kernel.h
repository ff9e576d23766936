/* Kernel: the inner loops that compare vectors, one set per instruction level and metric.
 *
 * A kernel answers in keys, not in scores: a key is always better when lower, so that walks and
 * heaps need to know nothing of the metric. It is the negated dot product for cosine and dot, the
 * squared distance for euclid and the distance itself for manhattan; kernel_score turns it into
 * the score that base/distance.h defines.
 *
 * Every function of one set adds the components of a row in the same order, whatever rows stand
 * beside it, so that a pair of vectors has the same key on every path: scan, walk and rescoring.
 *
 * Threads: no state; all calls from any thread. Private to index/. */
#ifndef SHOAL_INDEX_KERNEL_H
#define SHOAL_INDEX_KERNEL_H

#include "base/distance.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>

struct kernel {
    const char *name; /* "avx512/dot" */
    float (*one)(const float *a, const float *b, size_t dim);
    /* keys[i] = key of (query, base + rows[i] * dim). The memory of later rows is prefetched while
     * earlier ones are compared. Rows of any alignment that suits a float. */
    void (*gather)(const float *query, const float *base, size_t dim, const uint32_t *rows,
                   size_t rows_len, float *keys);
    /* keys[i] = key of (query, base + i * dim). */
    void (*span)(const float *query, const float *base, size_t dim, size_t rows_len, float *keys);
};

/* The fastest set that this CPU runs. */
const struct kernel *kernel_for(enum distance d);

/* Every set that this CPU runs, slowest first, for tests: NULL past the last. */
const struct kernel *kernel_at(size_t level, enum distance d);

static inline float kernel_score(enum distance d, float key)
{
    switch (d) {
    case DISTANCE_COSINE:
    case DISTANCE_DOT: return -key;
    case DISTANCE_EUCLID: return sqrtf(key);
    case DISTANCE_MANHATTAN: break;
    }
    return key;
}

/* Components may be as large as VECTOR_ABS_MAX, so that sums of many can leave the range of float.
 * What is not a number then counts as farthest: no heap ever sees a NaN. */
static inline float kernel_key_sane(float key)
{
    return key == key ? key : INFINITY;
}

#endif
