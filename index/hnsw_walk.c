#include "index/hnsw_walk.h"

#include "index/walker.h"

#include <assert.h>
#include <string.h>

/* Up to this ef the candidates and the nearest are one sorted array (below); beyond it, moving
 * items to keep it sorted costs more than two heaps. */
#define SORTED_EF_MAX 1024

/* Copies of one node that are compared, or k if that is more. In a greater crowd, all of whose rows
 * are as good as equal, some may be passed over. */
#define COPIES_FED 1024

/* Set in the row of an array entry whose neighbours have been looked at; rows need 31 bits. */
#define EXPANDED 0x80000000u

/* Lines fetched ahead of a list: on GloVe with m = 32 a list has 33 links. */
#define LIST_LINES 3
#define CACHE_LINE 64

_Static_assert(INDEX_ROWS_MAX < EXPANDED, "the mark is no part of a row");

static float key_of(const struct hnsw *h, const float *query, uint32_t row)
{
    const float *vector = h->rows.vectors + (size_t)row * h->rows.dim;
    return kernel_key_sane(h->kernel->one(query, vector, h->rows.dim));
}

/* Compares all neighbours of `row` on a layer; w->rows and w->keys are filled. */
static size_t compare_list(const struct hnsw *h, const float *query, struct walker *w,
                           const struct hnsw_layer *layer, uint32_t row)
{
    size_t len = 0;
    const uint32_t *list = hnsw_graph_list(&h->graph, layer, row, &len);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (list[i] < layer->nodes) {
            w->rows[n++] = list[i];
        }
    }
    h->kernel->gather(query, h->rows.vectors, h->rows.dim, w->rows, n, w->keys);
    return n;
}

/* Goes from the entry to the nearest row that greedy steps find on the layers above 0. */
static struct near descend(const struct hnsw *h, const float *query, struct walker *w)
{
    struct near best = { .key = key_of(h, query, 0), .row = 0 };
    for (uint32_t l = h->graph.layers_len; l-- > 1;) {
        const struct hnsw_layer *layer = &h->graph.layers[l];
        for (bool moved = true; moved;) {
            moved = false;
            size_t n = compare_list(h, query, w, layer, best.row);
            for (size_t i = 0; i < n; i++) {
                if (w->keys[i] < best.key) {
                    best = (struct near){ .key = w->keys[i], .row = w->rows[i] };
                    moved = true;
                }
            }
        }
    }
    return best;
}

/* Compares those neighbours of `row` on layer 0 that were not seen before. */
static size_t compare_unseen(const struct hnsw *h, const float *query, struct walker *w,
                             uint32_t row)
{
    const struct hnsw_layer *layer = &h->graph.layers[0];
    size_t len = 0;
    const uint32_t *list = hnsw_graph_list(&h->graph, layer, row, &len);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (list[i] < layer->nodes) {
            w->rows[n] = list[i];
            n += walker__see(w, list[i]);
        }
    }
    h->kernel->gather(query, h->rows.vectors, h->rows.dim, w->rows, n, w->keys);
    return n;
}

/* Fetches the list of the node that is likely to be expanded next, while the neighbours of another
 * are compared: one part in eight of a walk's time on GloVe was spent waiting for lists. Nothing
 * branches on where the list begins, since that may still be on its way itself. */
static void prefetch_list(const struct hnsw *h, uint32_t node)
{
    const struct hnsw_layer *layer = &h->graph.layers[0];
    uint32_t begin = layer->begins[node];
    begin = begin < layer->links ? begin : 0;
    for (size_t line = 0; line < LIST_LINES; line++) {
        __builtin_prefetch((const char *)(layer->lists + begin) + line * CACHE_LINE);
    }
}

/* Fetches where the list of a node begins, for prefetch_list to read later. */
static void prefetch_begin(const struct hnsw *h, uint32_t node)
{
    __builtin_prefetch(&h->graph.layers[0].begins[node]);
}

/* The sorted array: nearest first, expanded and unexpanded rows side by side. */
struct sorted {
    struct near *items;
    size_t len;
    size_t max;
    size_t next; /* no unexpanded item lies before it */
};

static bool sorted_wants(const struct sorted *s, float key)
{
    return s->len < s->max || key < s->items[s->len - 1].key;
}

static void sorted_insert(struct sorted *s, float key, uint32_t row)
{
    size_t low = 0;
    size_t high = s->len;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (s->items[middle].key <= key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (s->len == s->max) {
        s->len--; /* the farthest makes room */
    }
    memmove(&s->items[low + 1], &s->items[low], (s->len - low) * sizeof(*s->items));
    s->items[low] = (struct near){ .key = key, .row = row };
    s->len++;
    if (low < s->next) {
        s->next = low;
    }
}

/* Moves on to the next item that is not expanded. */
static void sorted_skip(struct sorted *s)
{
    while (s->next < s->len && (s->items[s->next].row & EXPANDED) != 0) {
        s->next++;
    }
}

static void sorted_walk(const struct hnsw *h, const float *query, struct walker *w,
                        struct sorted *s)
{
    while (s->next < s->len) {
        uint32_t row = s->items[s->next].row;
        s->items[s->next].row |= EXPANDED;
        sorted_skip(s);
        if (s->next < s->len) {
            prefetch_list(h, s->items[s->next].row);
        }
        size_t n = compare_unseen(h, query, w, row);
        for (size_t i = 0; i < n; i++) {
            float key = kernel_key_sane(w->keys[i]);
            if (sorted_wants(s, key)) {
                prefetch_begin(h, w->rows[i]);
                sorted_insert(s, key, w->rows[i]);
            }
        }
    }
}

static bool bit_allowed(const uint8_t *allowed, uint32_t row)
{
    return allowed == NULL || (allowed[row / 8] >> (row % 8) & 1) != 0;
}

/* Feeds the copies of a node, which lie where it lies or nearly so. */
static void feed_copies(const struct hnsw *h, const float *query, uint32_t node,
                        const uint8_t *allowed, struct topk *top)
{
    uint32_t begin = 0;
    uint32_t end = 0;
    hnsw_graph_copies(&h->graph, node, &begin, &end);
    size_t fed_max = top->k > COPIES_FED ? top->k : COPIES_FED;
    size_t fed = 0;
    while (begin < end && fed < fed_max) {
        uint32_t rows[HNSW_LIST_MAX];
        size_t n = 0;
        for (; begin < end && n < HNSW_LIST_MAX && fed + n < fed_max; begin++) {
            rows[n] = begin;
            n += bit_allowed(allowed, begin);
        }
        scan_listed(top, query, h->rows.vectors, h->rows.dim, rows, n, 0);
        fed += n;
    }
}

/* Feeds the nodes, and the copies of the k nearest among them. `items` lie nearest first. */
static void feed(const struct hnsw *h, const float *query, const struct near *items, size_t len,
                 const uint8_t *allowed, struct topk *top)
{
    for (size_t i = 0; i < len; i++) {
        uint32_t node = items[i].row & ~EXPANDED;
        if (bit_allowed(allowed, node)) {
            topk_push(top, node, kernel_score(h->rows.distance, items[i].key));
        }
        if (i < top->k && hnsw_graph_has_copies(&h->graph, node)) {
            feed_copies(h, query, node, allowed, top);
        }
    }
}

/* The two heaps: `nearest` the ef nearest allowed nodes so far, farthest at the root; `candidates`
 * the nodes still to be expanded, nearest at the root. */
struct heaps {
    const struct hnsw *h;
    struct walker *w;
    const uint8_t *allowed; /* NULL: all rows */
    struct hnsw_effort effort;
    size_t nearest_len;
    size_t candidates_len;
};

/* Whether the node or one of its copies is allowed. */
static bool heaps_allow(const struct heaps *s, uint32_t node)
{
    if (bit_allowed(s->allowed, node)) {
        return true;
    }
    uint32_t begin = 0;
    uint32_t end = 0;
    if (hnsw_graph_has_copies(&s->h->graph, node)) {
        hnsw_graph_copies(&s->h->graph, node, &begin, &end);
    }
    while (begin < end && !bit_allowed(s->allowed, begin)) {
        begin++;
    }
    return begin < end;
}

/* Room for both must have been reserved. */
static void heaps_insert(struct heaps *s, struct near item)
{
    struct near *nearest = s->w->nearest.items;
    bool full = s->nearest_len == s->effort.ef;
    if (full && !near_before(item, nearest[0])) {
        return;
    }
    prefetch_begin(s->h, item.row);
    near_heap_push(NEAR_MIN, s->w->candidates.items, s->candidates_len++, item);
    if (!heaps_allow(s, item.row)) {
        return;
    }
    if (full) {
        near_heap_replace(NEAR_MAX, nearest, s->nearest_len, item);
    } else {
        near_heap_push(NEAR_MAX, nearest, s->nearest_len++, item);
    }
}

static enum shoal_err heaps_expand(const struct hnsw *h, const float *query, struct heaps *s,
                                   uint32_t node, size_t *visits, struct errbuf *why)
{
    struct walker *w = s->w;
    if (s->candidates_len > 0) {
        prefetch_list(h, w->candidates.items[0].row);
    }
    size_t n = compare_unseen(h, query, w, node);
    enum shoal_err rc = near_array__reserve(&w->candidates, s->candidates_len + n, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    for (size_t i = 0; i < n; i++) {
        heaps_insert(s, (struct near){ .key = kernel_key_sane(w->keys[i]), .row = w->rows[i] });
    }
    *visits += n;
    return SHOAL_OK;
}

static enum shoal_err heaps_walk(const struct hnsw *h, const float *query, struct heaps *s,
                                 bool *gave_up, struct errbuf *why)
{
    size_t visits = 0;
    size_t expanded = 0;
    size_t allowed = 0;
    while (s->candidates_len > 0) {
        struct near item = near_heap_pop(NEAR_MIN, s->w->candidates.items, s->candidates_len--);
        bool full = s->nearest_len == s->effort.ef && near_before(s->w->nearest.items[0], item);
        if (full || (expanded >= s->effort.expand_min && allowed >= s->effort.allowed_min)) {
            break;
        }
        enum shoal_err rc = heaps_expand(h, query, s, item.row, &visits, why);
        if (rc != SHOAL_OK) {
            return rc;
        }
        expanded++;
        allowed += heaps_allow(s, item.row);
        if (visits > s->effort.visits_max) {
            *gave_up = true;
            return SHOAL_OK;
        }
    }
    return SHOAL_OK;
}

static enum shoal_err walk_by_heaps(const struct hnsw *h, const float *query, struct heaps *s,
                                    struct topk *top, bool *gave_up, struct errbuf *why)
{
    struct walker *w = s->w;
    enum shoal_err rc = near_array__reserve(&w->nearest, s->effort.ef, why);
    if (rc == SHOAL_OK) {
        rc = near_array__reserve(&w->candidates, 1, why);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct near start = descend(h, query, w);
    (void)walker__see(w, start.row);
    heaps_insert(s, start);
    rc = heaps_walk(h, query, s, gave_up, why);
    if (rc == SHOAL_OK && !*gave_up) {
        near_heap_sort(w->nearest.items, s->nearest_len);
        feed(h, query, w->nearest.items, s->nearest_len, s->allowed, top);
    }
    return rc;
}

enum shoal_err hnsw_walk(const struct hnsw *h, const float *query, size_t ef, struct topk *top,
                         struct errbuf *why)
{
    assert(ef >= top->k);
    struct walker *w = NULL;
    enum shoal_err rc = walker__take(h->pool, &w, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (ef > SORTED_EF_MAX) {
        bool gave_up = false;
        struct heaps s = { .h = h,
                           .w = w,
                           .effort = { .ef = ef, .expand_min = SIZE_MAX, .visits_max = SIZE_MAX } };
        rc = walk_by_heaps(h, query, &s, top, &gave_up, why);
        assert(!gave_up);
    } else {
        rc = near_array__reserve(&w->nearest, ef, why);
        if (rc == SHOAL_OK) {
            struct sorted s = { .items = w->nearest.items, .len = 1, .max = ef };
            s.items[0] = descend(h, query, w);
            (void)walker__see(w, s.items[0].row);
            sorted_walk(h, query, w, &s);
            feed(h, query, s.items, s.len, NULL, top);
        }
    }
    walker__give(h->pool, w);
    return rc;
}

enum shoal_err hnsw_walk_filtered(const struct hnsw *h, const float *query,
                                  const struct hnsw_effort *effort,
                                  const struct index_filter *filter, struct topk *top,
                                  bool *gave_up, struct errbuf *why)
{
    assert(effort->ef >= top->k && effort->allowed_min >= top->k);
    *gave_up = false;
    struct walker *w = NULL;
    enum shoal_err rc = walker__take(h->pool, &w, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct heaps s = { .h = h, .w = w, .allowed = filter->allowed, .effort = *effort };
    rc = walk_by_heaps(h, query, &s, top, gave_up, why);
    walker__give(h->pool, w);
    return rc;
}
