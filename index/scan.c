#include "index/scan.h"

#include "index/kernel.h"

#include <assert.h>
#include <string.h>

/* Rows compared between two visits to the heap: their keys stay in the first cache level. */
#define BLOCK_ROWS 256

/* True when a ranks before b. A total order: equal scores rank by row. */
static bool ranks_before(enum distance d, struct scan_hit a, struct scan_hit b)
{
    if (distance_better(d, a.score, b.score)) {
        return true;
    }
    return a.score == b.score && a.row < b.row;
}

void topk_init(struct topk *t, enum distance d, struct scan_hit *room, size_t k)
{
    assert(k >= 1);
    *t = (struct topk){ .hits = room, .len = 0, .k = k, .distance = d };
}

/* The heap has the worst hit at its root: the one to go when a better comes. */
static void heap_up(struct topk *t, size_t at)
{
    struct scan_hit hit = t->hits[at];
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (!ranks_before(t->distance, t->hits[parent], hit)) {
            break;
        }
        t->hits[at] = t->hits[parent];
        at = parent;
    }
    t->hits[at] = hit;
}

static void heap_down(struct topk *t, size_t at)
{
    struct scan_hit hit = t->hits[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= t->len) {
            break;
        }
        if (child + 1 < t->len && ranks_before(t->distance, t->hits[child], t->hits[child + 1])) {
            child++;
        }
        if (!ranks_before(t->distance, hit, t->hits[child])) {
            break;
        }
        t->hits[at] = t->hits[child];
        at = child;
    }
    t->hits[at] = hit;
}

void topk_push(struct topk *t, uint64_t row, float score)
{
    if (score != score) { /* not a number: last of all, so that the order stays total */
        score = distance_higher_is_better(t->distance) ? -INFINITY : INFINITY;
    }
    struct scan_hit hit = { .row = row, .score = score };
    if (t->len < t->k) {
        t->hits[t->len] = hit;
        heap_up(t, t->len++);
        return;
    }
    if (ranks_before(t->distance, hit, t->hits[0])) {
        t->hits[0] = hit;
        heap_down(t, 0);
    }
}

void topk_finish(struct topk *t)
{
    size_t len = t->len;
    while (t->len > 1) {
        struct scan_hit worst = t->hits[0];
        t->len--;
        t->hits[0] = t->hits[t->len];
        heap_down(t, 0);
        t->hits[t->len] = worst;
    }
    t->len = len;
}

float scan_score(enum distance d, const float *a, const float *b, size_t dim)
{
    return kernel_score(d, kernel_for(d)->one(a, b, dim));
}

void scan_listed(struct topk *t, const float *query, const float *vectors, size_t dim,
                 const uint32_t *ids, size_t ids_len, uint64_t first_row)
{
    const struct kernel *kernel = kernel_for(t->distance);
    float keys[BLOCK_ROWS];
    while (ids_len > 0) {
        size_t len = ids_len < BLOCK_ROWS ? ids_len : BLOCK_ROWS;
        kernel->gather(query, vectors, dim, ids, len, keys);
        for (size_t i = 0; i < len; i++) {
            topk_push(t, first_row + ids[i], kernel_score(t->distance, keys[i]));
        }
        ids += len;
        ids_len -= len;
    }
}

/* 64 bits of the bitmap from bit `at` on, a multiple of 64; bits past `rows` are clear. */
static uint64_t allowed_word(const uint8_t *allowed, size_t at, size_t rows)
{
    uint64_t word = 0;
    size_t left = rows - at;
    size_t bytes = left >= 64 ? 8 : (left + 7) / 8;
    memcpy(&word, allowed + at / 8, bytes);
    if (left < 64) {
        word &= (UINT64_C(1) << left) - 1;
    }
    return word;
}

static void scan_allowed(struct topk *t, const float *query, const float *vectors, size_t rows,
                         size_t dim, uint64_t first_row, const uint8_t *allowed)
{
    /* A word that does not fit any more is left for the next round. */
    uint32_t ids[BLOCK_ROWS];
    size_t ids_len = 0;
    const float *base = vectors; /* ids count from here, so that they fit 32 bits */
    size_t base_row = 0;
    for (size_t at = 0; at < rows; at += 64) {
        if (ids_len > BLOCK_ROWS - 64 || at - base_row > UINT32_MAX - 64) {
            scan_listed(t, query, base, dim, ids, ids_len, first_row + base_row);
            ids_len = 0;
            base_row = at;
            base = vectors + at * dim;
        }
        uint64_t word = allowed_word(allowed, at, rows);
        while (word != 0) {
            ids[ids_len++] = (uint32_t)(at - base_row) + (uint32_t)__builtin_ctzll(word);
            word &= word - 1;
        }
    }
    scan_listed(t, query, base, dim, ids, ids_len, first_row + base_row);
}

void scan_rows(struct topk *t, const float *query, const float *vectors, size_t rows, size_t dim,
               uint64_t first_row, const uint8_t *allowed)
{
    if (allowed != NULL) {
        scan_allowed(t, query, vectors, rows, dim, first_row, allowed);
        return;
    }
    const struct kernel *kernel = kernel_for(t->distance);
    float keys[BLOCK_ROWS];
    for (size_t at = 0; at < rows; at += BLOCK_ROWS) {
        size_t len = rows - at < BLOCK_ROWS ? rows - at : BLOCK_ROWS;
        kernel->span(query, vectors + at * dim, dim, len, keys);
        for (size_t i = 0; i < len; i++) {
            topk_push(t, first_row + at + i, kernel_score(t->distance, keys[i]));
        }
    }
}
