#include "query/merge.h"

#include <assert.h>
#include <stdbool.h>

struct merge {
    enum distance distance;
    const struct merge_list *lists;
    size_t *place; /* per list: its next hit */
    size_t *heap;  /* lists that have one, the best hit's list at the root */
    size_t heap_len;
};

static bool list_before(const struct merge *m, size_t a, size_t b)
{
    const struct shard_hit *x = &m->lists[a].hits[m->place[a]];
    const struct shard_hit *y = &m->lists[b].hits[m->place[b]];
    if (distance_better(m->distance, x->score, y->score)) {
        return true;
    }
    if (distance_better(m->distance, y->score, x->score)) {
        return false;
    }
    return point_id_compare(&x->id, &y->id) < 0;
}

static void sift_down(struct merge *m, size_t at)
{
    for (;;) {
        size_t best = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < m->heap_len; child++) {
            if (list_before(m, m->heap[child], m->heap[best])) {
                best = child;
            }
        }
        if (best == at) {
            return;
        }
        size_t held = m->heap[at];
        m->heap[at] = m->heap[best];
        m->heap[best] = held;
        at = best;
    }
}

static struct merge_pick pop(struct merge *m)
{
    size_t list = m->heap[0];
    struct merge_pick pick = { .list = list, .place = m->place[list]++ };
    if (m->place[list] == m->lists[list].len) {
        m->heap[0] = m->heap[--m->heap_len];
    }
    sift_down(m, 0);
    return pick;
}

size_t merge_top(enum distance d, const struct merge_list *lists, size_t lists_len, size_t offset,
                 size_t k, size_t *cursors, struct merge_pick *picks)
{
    struct merge m = {
        .distance = d, .lists = lists, .place = cursors, .heap = cursors + lists_len
    };
    for (size_t i = 0; i < lists_len; i++) {
        m.place[i] = 0;
        if (lists[i].len > 0) {
            m.heap[m.heap_len++] = i;
        }
    }
    for (size_t i = m.heap_len / 2; i-- > 0;) {
        sift_down(&m, i);
    }
    while (m.heap_len > 0 && offset > 0) {
        (void)pop(&m);
        offset--;
    }
    size_t n = 0;
    while (m.heap_len > 0 && n < k) {
        picks[n++] = pop(&m);
    }
    assert(n <= k);
    return n;
}
