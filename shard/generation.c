#include "shard/generation.h"

#include "base/mem.h"

#include <assert.h>

/* --- chunks ----------------------------------------------------------------------------------- */

static struct chunk *chunk_new(uint32_t dim)
{
    struct chunk *c = mem_alloc(sizeof(*c));
    if (c == NULL) {
        return NULL;
    }
    c->vectors = mem_aligned((size_t)CHUNK_ROWS * dim * sizeof(float));
    if (c->vectors == NULL) {
        mem_free(c);
        return NULL;
    }
    atomic_init(&c->refs, 1);
    return c;
}

static struct chunk *chunk_ref(struct chunk *c)
{
    if (c != NULL) {
        atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    }
    return c;
}

static void chunk_unref(struct chunk *c)
{
    if (c != NULL && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1) {
        mem_free(c->vectors);
        mem_free(c);
    }
}

static void chunk_view_release(struct chunk_view *v)
{
    chunk_unref(v->chunk);
    bits_unref(v->alive);
}

static void segment_view_release(struct segment_view *v)
{
    segment_unref(v->segment);
    bits_unref(v->alive);
}

/* --- life ------------------------------------------------------------------------------------- */

enum shoal_err generation_new(uint32_t dim, uint64_t first_row, struct generation **out)
{
    *out = mem_calloc(1, sizeof(**out));
    if (*out == NULL) {
        return SHOAL_ENOMEM;
    }
    atomic_init(&(*out)->refs, 1);
    (*out)->dim = dim;
    (*out)->growing_begin = first_row;
    (*out)->next_row = first_row;
    return SHOAL_OK;
}

enum shoal_err generation_copy(const struct generation *g, struct generation **out)
{
    *out = NULL;
    struct generation *copy = mem_alloc(sizeof(*copy));
    /* Room for one chunk more, since most copies are made to append. */
    struct chunk_view *chunks = mem_array(g->chunks_len + 1, sizeof(*chunks));
    struct segment_view *segments = mem_array(g->segments_len + 1, sizeof(*segments));
    if (copy == NULL || chunks == NULL || segments == NULL) {
        mem_free(copy);
        mem_free(chunks);
        mem_free(segments);
        return SHOAL_ENOMEM;
    }
    *copy = (struct generation){ .dim = g->dim,
                                 .applied = g->applied,
                                 .points = g->points,
                                 .next_row = g->next_row,
                                 .growing_begin = g->growing_begin,
                                 .growing_live = g->growing_live,
                                 .chunks = chunks,
                                 .chunks_len = g->chunks_len,
                                 .segments = segments,
                                 .segments_len = g->segments_len };
    atomic_init(&copy->refs, 1);
    for (size_t i = 0; i < g->chunks_len; i++) {
        chunks[i] = g->chunks[i];
        (void)chunk_ref(chunks[i].chunk);
        (void)bits_ref(chunks[i].alive);
    }
    for (size_t i = 0; i < g->segments_len; i++) {
        segments[i] = g->segments[i];
        (void)segment_ref(segments[i].segment);
        (void)bits_ref(segments[i].alive);
    }
    *out = copy;
    return SHOAL_OK;
}

struct generation *generation_ref(struct generation *g)
{
    atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
    return g;
}

void generation_unref(struct generation *g)
{
    if (g == NULL || atomic_fetch_sub_explicit(&g->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < g->chunks_len; i++) {
        chunk_view_release(&g->chunks[i]);
    }
    for (size_t i = 0; i < g->segments_len; i++) {
        segment_view_release(&g->segments[i]);
    }
    mem_free(g->chunks);
    mem_free(g->segments);
    mem_free(g);
}

/* --- places ----------------------------------------------------------------------------------- */

static size_t chunk_index(const struct generation *g, uint64_t row)
{
    return (size_t)(row / CHUNK_ROWS - g->growing_begin / CHUNK_ROWS);
}

uint64_t generation_chunk_row(const struct generation *g, size_t chunk)
{
    return (g->growing_begin / CHUNK_ROWS + chunk) * CHUNK_ROWS;
}

uint64_t generation_growing_rows(const struct generation *g)
{
    return g->next_row - g->growing_begin;
}

static bool find_segment(const struct generation *g, uint64_t row, size_t *out)
{
    size_t lo = 0;
    size_t hi = g->segments_len;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (segment_info(g->segments[mid].segment)->row_end <= row) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    *out = lo;
    return lo < g->segments_len && segment_info(g->segments[lo].segment)->row_begin <= row;
}

bool generation_find(const struct generation *g, uint64_t row, struct row_place *place)
{
    *place = (struct row_place){ .segment = SIZE_MAX };
    if (row >= g->growing_begin) {
        if (row >= g->next_row) {
            return false;
        }
        place->chunk = chunk_index(g, row);
        place->position = (uint32_t)(row % CHUNK_ROWS);
        const struct chunk_view *v = &g->chunks[place->chunk];
        return v->chunk != NULL && (v->alive == NULL || bits_get(v->alive, place->position));
    }
    if (!find_segment(g, row, &place->segment)) {
        return false;
    }
    const struct segment_view *v = &g->segments[place->segment];
    return segment_find(v->segment, row, &place->position) &&
           (v->alive == NULL || bits_get(v->alive, place->position));
}

const float *generation_vector(const struct generation *g, const struct row_place *place)
{
    return place->segment == SIZE_MAX
               ? g->chunks[place->chunk].chunk->vectors + (size_t)place->position * g->dim
               : segment_vector(g->segments[place->segment].segment, place->position);
}

enum shoal_err generation_id(const struct generation *g, const struct row_place *place,
                             struct point_id *out)
{
    if (place->segment == SIZE_MAX) {
        *out = g->chunks[place->chunk].chunk->ids[place->position];
        return SHOAL_OK;
    }
    return segment_id(g->segments[place->segment].segment, place->position, out);
}

bool place_equal(const struct row_place *a, const struct row_place *b)
{
    return a->segment == b->segment && a->position == b->position &&
           (a->segment != SIZE_MAX || a->chunk == b->chunk);
}

/* --- changes ---------------------------------------------------------------------------------- */

/* Makes chunks_len chunk views; new ones are empty. The array of a copy has room for one more. */
static enum shoal_err grow_chunks(struct generation *g, size_t len)
{
    assert(len >= g->chunks_len);
    if (len == g->chunks_len) {
        return SHOAL_OK;
    }
    size_t size;
    if (!size_mul(len, sizeof(*g->chunks), &size)) {
        return SHOAL_ENOMEM;
    }
    struct chunk_view *chunks = mem_realloc(g->chunks, size);
    if (chunks == NULL) {
        return SHOAL_ENOMEM;
    }
    memset(chunks + g->chunks_len, 0, (len - g->chunks_len) * sizeof(*chunks));
    g->chunks = chunks;
    g->chunks_len = len;
    return SHOAL_OK;
}

/* Clears the bits from..to-1, which are set. */
static enum shoal_err clear_range(struct chunk_view *v, uint32_t from, uint32_t to)
{
    if (from == to) {
        return SHOAL_OK;
    }
    if (!bits_own(&v->alive, CHUNK_ROWS)) {
        return SHOAL_ENOMEM;
    }
    for (uint32_t i = from; i < to; i++) {
        bits_clear(v->alive, i);
    }
    return SHOAL_OK;
}

/* The view that takes row number next_row, with its memory. */
static enum shoal_err open_chunk(struct generation *g, struct chunk_view **out)
{
    size_t index = chunk_index(g, g->next_row);
    enum shoal_err rc = grow_chunks(g, index + 1 > g->chunks_len ? index + 1 : g->chunks_len);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct chunk_view *v = &g->chunks[index];
    uint32_t offset = (uint32_t)(g->next_row % CHUNK_ROWS);
    if (v->chunk == NULL) {
        bits_unref(v->alive);
        v->alive = NULL;
        v->rows = 0;
        rc = clear_range(v, 0, offset);
        if (rc != SHOAL_OK) {
            return rc;
        }
        v->chunk = chunk_new(g->dim);
        if (v->chunk == NULL) {
            return SHOAL_ENOMEM;
        }
        v->rows = offset;
    }
    assert(v->rows == offset);
    *out = v;
    return SHOAL_OK;
}

enum shoal_err generation_append(struct generation *g, const struct point_id *id,
                                 const float *vector, uint64_t *row)
{
    struct chunk_view *v;
    enum shoal_err rc = open_chunk(g, &v);
    if (rc != SHOAL_OK) {
        return rc;
    }
    v->chunk->ids[v->rows] = *id;
    memcpy(v->chunk->vectors + (size_t)v->rows * g->dim, vector, g->dim * sizeof(float));
    v->rows++;
    v->live++;
    g->growing_live++;
    g->points++;
    *row = g->next_row++;
    return SHOAL_OK;
}

enum shoal_err generation_skip_to(struct generation *g, uint64_t row)
{
    assert(row >= g->next_row);
    if (row == g->next_row) {
        return SHOAL_OK;
    }
    /* Every chunk that is begun has a view. */
    size_t len = (size_t)((row - 1) / CHUNK_ROWS - g->growing_begin / CHUNK_ROWS) + 1;
    enum shoal_err rc = grow_chunks(g, len > g->chunks_len ? len : g->chunks_len);
    if (rc != SHOAL_OK) {
        return rc;
    }
    while (g->next_row < row) {
        struct chunk_view *v = &g->chunks[chunk_index(g, g->next_row)];
        uint32_t from = (uint32_t)(g->next_row % CHUNK_ROWS);
        uint64_t end = g->next_row - from + CHUNK_ROWS;
        uint32_t to = end < row ? CHUNK_ROWS : (uint32_t)(row - (g->next_row - from));
        if (v->chunk != NULL) {
            rc = clear_range(v, from, to);
            if (rc != SHOAL_OK) {
                return rc;
            }
        }
        v->rows = to;
        g->next_row += to - from;
    }
    return SHOAL_OK;
}

static void chunk_view_empty(struct chunk_view *v)
{
    chunk_view_release(v);
    v->chunk = NULL;
    v->alive = NULL;
}

enum shoal_err generation_kill(struct generation *g, uint64_t row, struct row_place *place)
{
    if (!generation_find(g, row, place)) {
        return SHOAL_ENOTFOUND;
    }
    if (place->segment != SIZE_MAX) {
        struct segment_view *v = &g->segments[place->segment];
        if (!bits_own(&v->alive, segment_info(v->segment)->rows)) {
            return SHOAL_ENOMEM;
        }
        bits_clear(v->alive, place->position);
        v->live--;
    } else {
        struct chunk_view *v = &g->chunks[place->chunk];
        if (!bits_own(&v->alive, CHUNK_ROWS)) {
            return SHOAL_ENOMEM;
        }
        bits_clear(v->alive, place->position);
        g->growing_live--;
        if (--v->live == 0 && v->rows == CHUNK_ROWS) {
            chunk_view_empty(v);
        }
    }
    g->points--;
    return SHOAL_OK;
}

enum shoal_err generation_add_segment(struct generation *g, struct segment_view view)
{
    assert(g->segments_len == 0 ||
           segment_info(g->segments[g->segments_len - 1].segment)->row_end <=
               segment_info(view.segment)->row_begin);
    size_t size;
    if (!size_mul(g->segments_len + 1, sizeof(*g->segments), &size)) {
        return SHOAL_ENOMEM;
    }
    struct segment_view *segments = mem_realloc(g->segments, size);
    if (segments == NULL) {
        return SHOAL_ENOMEM;
    }
    segments[g->segments_len++] = view;
    g->segments = segments;
    g->points += view.live;
    return SHOAL_OK;
}

void generation_replace(struct generation *g, size_t first, size_t len, struct segment_view view)
{
    assert(len >= 1 && first + len <= g->segments_len);
    for (size_t i = first; i < first + len; i++) {
        g->points -= g->segments[i].live;
        segment_view_release(&g->segments[i]);
    }
    size_t put = view.segment != NULL;
    if (put == 1) {
        g->segments[first] = view;
        g->points += view.live;
    }
    memmove(&g->segments[first + put], &g->segments[first + len],
            (g->segments_len - first - len) * sizeof(*g->segments));
    g->segments_len -= len - put;
}

enum shoal_err generation_drop_growing(struct generation *g, uint64_t row)
{
    assert(row >= g->growing_begin && row <= g->next_row);
    size_t drop = (size_t)(row / CHUNK_ROWS - g->growing_begin / CHUNK_ROWS);
    /* First what may fail: the chunk that the line runs through. */
    if (drop < g->chunks_len && row % CHUNK_ROWS != 0) {
        struct chunk_view *v = &g->chunks[drop];
        uint32_t before = v->live;
        if (v->chunk != NULL && !bits_own(&v->alive, CHUNK_ROWS)) {
            return SHOAL_ENOMEM;
        }
        for (uint32_t i = 0; v->chunk != NULL && i < row % CHUNK_ROWS; i++) {
            v->live -= bits_get(v->alive, i);
            bits_clear(v->alive, i);
        }
        g->growing_live -= before - v->live;
        g->points -= before - v->live;
    }
    for (size_t i = 0; i < drop && i < g->chunks_len; i++) {
        g->growing_live -= g->chunks[i].live;
        g->points -= g->chunks[i].live;
        chunk_view_release(&g->chunks[i]);
    }
    drop = drop < g->chunks_len ? drop : g->chunks_len;
    memmove(g->chunks, g->chunks + drop, (g->chunks_len - drop) * sizeof(*g->chunks));
    g->chunks_len -= drop;
    g->growing_begin = row;
    return SHOAL_OK;
}
