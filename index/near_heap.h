/* Near heap: binary heaps of (key, row) for graph walks. Header only, so that the walk inlines it.
 *
 * The min heap has the nearest at its root, the max heap the farthest. Equal keys are ordered by
 * row, so that walks repeat exactly.
 *
 * Threads: a heap belongs to one thread. Private to index/. */
#ifndef SHOAL_INDEX_NEAR_HEAP_H
#define SHOAL_INDEX_NEAR_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct near {
    float key;
    uint32_t row;
};

enum near_order { NEAR_MIN, NEAR_MAX };

static inline bool near_before(struct near a, struct near b)
{
    return a.key < b.key || (a.key == b.key && a.row < b.row);
}

/* True when a belongs above b. */
static inline bool near_above(enum near_order order, struct near a, struct near b)
{
    return order == NEAR_MIN ? near_before(a, b) : near_before(b, a);
}

/* heap[len] is free room; the heap has len + 1 entries afterwards. */
static inline void near_heap_push(enum near_order order, struct near *heap, size_t len,
                                  struct near item)
{
    size_t at = len;
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (!near_above(order, item, heap[parent])) {
            break;
        }
        heap[at] = heap[parent];
        at = parent;
    }
    heap[at] = item;
}

/* Puts `item` in the place of the root of a heap of len >= 1 entries. */
static inline void near_heap_replace(enum near_order order, struct near *heap, size_t len,
                                     struct near item)
{
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= len) {
            break;
        }
        if (child + 1 < len && near_above(order, heap[child + 1], heap[child])) {
            child++;
        }
        if (!near_above(order, heap[child], item)) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = item;
}

/* Takes the root of a heap of len >= 1 entries; len - 1 remain. */
static inline struct near near_heap_pop(enum near_order order, struct near *heap, size_t len)
{
    struct near root = heap[0];
    near_heap_replace(order, heap, len - 1, heap[len - 1]);
    return root;
}

/* Turns a max heap into an array with the nearest first. */
static inline void near_heap_sort(struct near *heap, size_t len)
{
    for (size_t left = len; left > 1; left--) {
        struct near farthest = heap[0];
        near_heap_replace(NEAR_MAX, heap, left - 1, heap[left - 1]);
        heap[left - 1] = farthest;
    }
}

#endif
