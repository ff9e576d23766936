/* Walker: the memory of one graph walk, and the pool that keeps it from one search to the next.
 * Shared by walker.c and hnsw_walk.c.
 *
 * Threads: a walker belongs to one search at a time; pool calls from any thread. */
#ifndef SHOAL_INDEX_WALKER_H
#define SHOAL_INDEX_WALKER_H

#include "base/err.h"
#include "index/hnsw_graph.h"
#include "index/near_heap.h"

/* An array that grows by doubling. */
struct near_array {
    struct near *items;
    size_t cap;
};

struct walker {
    struct walker *next; /* in the pool */
    uint64_t *seen;      /* one bit a row, all clear between searches */
    uint32_t *touched;   /* the words of `seen` that are not clear */
    size_t touched_len;
    struct near_array nearest;    /* the ef nearest so far */
    struct near_array candidates; /* still to be expanded */
    uint32_t rows[HNSW_LIST_MAX]; /* the neighbours to compare, and their keys */
    float keys[HNSW_LIST_MAX];
};

struct walker_pool;

/* Lends a walker with nothing seen. SHOAL_ENOMEM. */
enum shoal_err walker__take(struct walker_pool *pool, struct walker **out, struct errbuf *why);
/* Clears what was seen and keeps the walker for the next search. */
void walker__give(struct walker_pool *pool, struct walker *w);

/* Makes room for `len` items, keeping what is there. SHOAL_ENOMEM. */
enum shoal_err near_array__reserve(struct near_array *a, size_t len, struct errbuf *why);

/* Marks a row; true when it was not marked before. */
static inline bool walker__see(struct walker *w, uint32_t row)
{
    uint32_t word = row / 64;
    uint64_t bit = UINT64_C(1) << (row % 64);
    uint64_t before = w->seen[word];
    w->touched[w->touched_len] = word; /* kept only when the word was clear: no branch */
    w->touched_len += before == 0;
    w->seen[word] = before | bit;
    return (before & bit) == 0;
}

#endif
