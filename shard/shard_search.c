/* Searching a shard.
 *
 *     pin a generation
 *     filter -> a bitmap for each segment and chunk (filter_rows.h)
 *     each segment: by its index, among its living (or matching) rows    \  one heap of the
 *     each growing chunk: an exact scan of the same                      /  k best
 *     k winners -> ids, versions
 *
 * Nothing here waits for a writer: a generation is pinned by a counter, and state.mdb is read in a
 * transaction. (With a filter it may, when a writer leaves no gap: shard__view_begin.) Without a
 * filter that is one transaction, at the end, for the versions of the winners, which no file but
 * state.mdb has. It is nearly all that a search costs beyond its index: 0.9 us a hit, 9.7 us of CPU
 * for ten, at 100,000 rows of 100 components. A point that was deleted since the generation was
 * pinned is left out then; one that was written anew keeps its place, with the version it has now.
 *
 * A row among candidates goes by a code: where it lies, in 64 bits. Ties are put in the order of
 * ids when the winners are known; which of several equal rows at the end of the list are winners is
 * decided by where they lie. */
#include "base/mem.h"
#include "index/scan.h"
#include "shard/filter_rows.h"
#include "shard/shard_private.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Up to so many matching rows of a segment no walk is cheaper than comparing them all (index/hnsw.c
 * reckons the same way, from twice as many on). */
#define SCAN_ROWS_MAX 4096u
/* With at most one dead row in so many, a segment is searched among all its rows for a few hits
 * more than asked, and the dead are left out afterwards: a filtered walk costs a quarter more, for
 * a single dead row too. */
#define FEW_DEAD 16u
#define SPARE_HITS(k) ((k) / 4 + 8)
/* Chunks scanned between two looks at the clock: 16384 rows. */
#define DEADLINE_CHUNKS 16u
/* A squared norm this near to one needs no normalising: vectors in float are no better. */
#define UNIT_NORM_SLACK 1e-5

/* Codes: segment in the upper half, position in the lower; GROWING there, and counted from the
 * first chunk, for growing rows. */
#define GROWING UINT32_MAX

struct search {
    struct shard *shard;
    const struct shard_query *q;
    const float *vector; /* as the index wants it */
    struct generation *g;
    struct row_set matched;
    bool filtered;
    struct index_hit *room; /* k and spare ones */
    struct topk top;
    struct shard_plan *plan;
    void *scratch; /* owned: room for the hits, and the vector if it had to be copied */
};

/* --- query ------------------------------------------------------------------------------------ */

static enum shoal_err check_query(const struct shard *s, const struct shard_query *q,
                                  struct errbuf *why)
{
    if (q->k == 0 || q->k > SEARCH_K_MAX) {
        return err_set(why, SHOAL_EVALIDATION, "limit is %" PRIu32 ", not in 1..%d", q->k,
                       SEARCH_K_MAX);
    }
    if (q->ef > INDEX_EF_MAX || q->nprobe > INDEX_NLIST_MAX) {
        return err_set(why, SHOAL_EVALIDATION, "ef is over %u or nprobe over %u", INDEX_EF_MAX,
                       INDEX_NLIST_MAX);
    }
    return vector_check(q->vector, s->config.schema.dim, s->config.schema.distance, why);
}

static bool is_unit(const float *v, uint32_t dim)
{
    double sum = 0;
    for (uint32_t i = 0; i < dim; i++) {
        sum += (double)v[i] * v[i];
    }
    return fabs(sum - 1) <= UNIT_NORM_SLACK;
}

/* One block for all that a search without a filter needs. */
static enum shoal_err prepare(struct search *s, struct errbuf *why)
{
    const uint32_t dim = s->shard->config.schema.dim;
    const enum distance distance = s->shard->config.schema.distance;
    const size_t k = s->q->k;
    const bool copied = distance == DISTANCE_COSINE && !is_unit(s->q->vector, dim);
    const size_t room = k + SPARE_HITS(k);
    const size_t hits_len = k * sizeof(struct scan_hit) + room * sizeof(struct index_hit);
    s->scratch = mem_aligned(hits_len + (copied ? dim * sizeof(float) : 0));
    if (s->scratch == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for %zu hits", k);
    }
    struct scan_hit *hits = s->scratch;
    s->room = (struct index_hit *)(void *)(hits + k);
    s->vector = s->q->vector;
    if (copied) {
        float *vector = (float *)(void *)(s->room + room);
        memcpy(vector, s->q->vector, dim * sizeof(float));
        vector_normalize(vector, dim);
        s->vector = vector;
    }
    topk_init(&s->top, distance, hits, k);
    return SHOAL_OK;
}

static enum shoal_err apply_filter(struct search *s, struct errbuf *why)
{
    struct filter *f = NULL;
    enum shoal_err rc = filter_parse_text(s->q->filter, &f, why);
    if (rc == SHOAL_OK && !filter_is_empty(f)) {
        s->filtered = true;
        rc = filter_rows(s->shard, f, s->q->deadline_ns, &s->g, &s->matched, why);
    }
    filter_free(f);
    return rc;
}

/* --- segments --------------------------------------------------------------------------------- */

/* Which rows of a segment count; false when all do. */
static bool segment_filter(const struct search *s, size_t i, struct index_filter *out)
{
    const struct segment_view *v = &s->g->segments[i];
    if (s->filtered) {
        const struct row_set_part *part = row_set_segment(&s->matched, i);
        *out = (struct index_filter){ .allowed = part->bits, .allowed_len = part->len };
        return true;
    }
    *out = (struct index_filter){ .allowed = v->alive == NULL ? NULL : v->alive->bytes,
                                  .allowed_len = v->live };
    return v->alive != NULL;
}

static bool has_few_dead(const struct segment_view *v, const struct index_query *iq)
{
    const uint32_t dead = segment_info(v->segment)->rows - v->live;
    return !iq->exact && dead <= v->live / FEW_DEAD && iq->k + SPARE_HITS(iq->k) <= SEARCH_K_MAX;
}

/* Among all rows, without the dead ones; *n_out is 0 when too many of the nearest were dead. */
static enum shoal_err search_past_dead(struct search *s, const struct segment_view *v,
                                       struct index_query iq, size_t *n_out, struct errbuf *why)
{
    const size_t wanted = iq.k < v->live ? iq.k : v->live;
    size_t n = 0;
    size_t kept = 0;
    iq.k += SPARE_HITS(iq.k);
    iq.filter = NULL;
    enum shoal_err rc = segment_search(v->segment, &iq, s->room, &n, why);
    for (size_t i = 0; i < n; i++) {
        if (bits_get(v->alive, s->room[i].row)) {
            s->room[kept++] = s->room[i];
        }
    }
    *n_out = kept >= wanted ? kept : 0;
    return rc;
}

static enum shoal_err search_rows(struct search *s, const struct segment_view *v,
                                  const struct index_query *iq, size_t *n_out, struct errbuf *why)
{
    *n_out = 0;
    if (!s->filtered && v->alive != NULL && has_few_dead(v, iq)) {
        enum shoal_err rc = search_past_dead(s, v, *iq, n_out, why);
        if (rc != SHOAL_OK || *n_out > 0) {
            return rc;
        }
    }
    return segment_search(v->segment, iq, s->room, n_out, why);
}

static enum shoal_err search_segment(struct search *s, size_t i, struct errbuf *why)
{
    const struct shard_query *q = s->q;
    const struct shard_options *options = &s->shard->options;
    const struct segment *segment = s->g->segments[i].segment;
    struct index_filter filter;
    const bool some = segment_filter(s, i, &filter);
    if (filter.allowed_len == 0) {
        return SHOAL_OK;
    }
    const struct index_query iq = {
        .vector = s->vector,
        .k = q->k,
        .ef = q->ef != 0 ? q->ef : options->ef,
        .nprobe = q->nprobe != 0 ? q->nprobe : options->nprobe,
        .filter = some ? &filter : NULL,
        .exact = q->exact || (s->filtered && filter.allowed_len <= SCAN_ROWS_MAX),
    };
    size_t n = 0;
    enum shoal_err rc = search_rows(s, &s->g->segments[i], &iq, &n, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (iq.exact || segment_needs_rebuild(segment)) {
        s->plan->scanned += filter.allowed_len;
    } else {
        s->plan->segments++;
    }
    for (size_t j = 0; j < n; j++) {
        topk_push(&s->top, (uint64_t)i << 32 | s->room[j].row, s->room[j].score);
    }
    return SHOAL_OK;
}

static enum shoal_err search_segments(struct search *s, struct errbuf *why)
{
    enum shoal_err rc = SHOAL_OK;
    for (size_t i = 0; i < s->g->segments_len && rc == SHOAL_OK; i++) {
        rc = shard__check_deadline(s->q->deadline_ns, why);
        if (rc == SHOAL_OK) {
            rc = search_segment(s, i, why);
        }
    }
    return rc;
}

/* --- growing rows ----------------------------------------------------------------------------- */

static void scan_chunk(struct search *s, size_t i)
{
    const struct chunk_view *v = &s->g->chunks[i];
    uint32_t len = v->live;
    const uint8_t *allowed = v->alive == NULL ? NULL : v->alive->bytes;
    if (s->filtered) {
        const struct row_set_part *part = row_set_chunk(&s->matched, i);
        allowed = part->bits;
        len = part->len;
    }
    if (v->chunk == NULL || len == 0) {
        return;
    }
    scan_rows(&s->top, s->vector, v->chunk->vectors, v->rows, s->g->dim,
              (uint64_t)GROWING << 32 | i * CHUNK_ROWS, allowed);
    s->plan->scanned += len;
}

static enum shoal_err scan_growing(struct search *s, struct errbuf *why)
{
    enum shoal_err rc = SHOAL_OK;
    for (size_t i = 0; i < s->g->chunks_len && rc == SHOAL_OK; i++) {
        if (i % DEADLINE_CHUNKS == 0) {
            rc = shard__check_deadline(s->q->deadline_ns, why);
        }
        if (rc == SHOAL_OK) {
            scan_chunk(s, i);
        }
    }
    return rc;
}

/* --- winners ---------------------------------------------------------------------------------- */

static struct row_place place_of(uint64_t code)
{
    const uint32_t low = (uint32_t)code;
    if (code >> 32 == GROWING) {
        return (struct row_place){ .segment = SIZE_MAX,
                                   .chunk = low / CHUNK_ROWS,
                                   .position = low % CHUNK_ROWS };
    }
    return (struct row_place){ .segment = (size_t)(code >> 32), .position = low };
}

/* How many of the sorted hits are beyond the threshold. */
static size_t within_threshold(const struct search *s)
{
    size_t n = s->top.len;
    while (s->q->has_threshold && n > 0 &&
           !distance_better(s->top.distance, s->top.hits[n - 1].score, s->q->threshold)) {
        n--;
    }
    return n;
}

static int compare_ids(const void *a, const void *b)
{
    const struct shard_hit *x = a;
    const struct shard_hit *y = b;
    return point_id_compare(&x->id, &y->id);
}

static void sort_ties(struct shard_hit *hits, size_t len)
{
    for (size_t begin = 0, end = 0; begin < len; begin = end) {
        while (end < len && hits[end].score == hits[begin].score) {
            end++;
        }
        if (end - begin > 1) {
            qsort(hits + begin, end - begin, sizeof(*hits), compare_ids);
        }
    }
}

static enum shoal_err name_winners(const struct search *s, size_t len, struct shard_hit *hits,
                                   struct errbuf *why)
{
    for (size_t i = 0; i < len; i++) {
        const struct row_place place = place_of(s->top.hits[i].row);
        enum shoal_err rc = generation_id(s->g, &place, &hits[i].id);
        if (rc != SHOAL_OK) {
            const struct segment *segment = s->g->segments[place.segment].segment;
            return err_set(why, rc,
                           "segment %" PRIu64 ": the id at position %" PRIu32 " is damaged",
                           segment_info(segment)->id, place.position);
        }
        hits[i].score = s->top.hits[i].score;
    }
    sort_ties(hits, len);
    return SHOAL_OK;
}

static enum shoal_err add_versions(const struct search *s, struct shard_hit *hits, size_t *len,
                                   struct errbuf *why)
{
    struct store_txn *txn = NULL;
    if (*len == 0) {
        return SHOAL_OK;
    }
    enum shoal_err rc = store_read_begin(state_store(s->shard->state), &txn, why);
    size_t kept = 0;
    for (size_t i = 0; i < *len && rc == SHOAL_OK; i++) {
        struct state_point p;
        rc = state_point_get(s->shard->state, txn, &hits[i].id, &p, why);
        if (rc == SHOAL_OK) {
            hits[i].version = p.version;
            hits[kept++] = hits[i];
        } else if (rc == SHOAL_ENOTFOUND) {
            rc = SHOAL_OK;
        }
    }
    store_read_end(txn);
    *len = kept;
    return rc;
}

/* --- plan ------------------------------------------------------------------------------------- */

static void write_plan(const struct search *s)
{
    struct shard_plan *p = s->plan;
    const char *how = p->segments == 0 ? "exact scan" : "index";
    int at = 0;
    if (s->filtered) {
        at = snprintf(p->text, sizeof(p->text), "filter %" PRIu64 " of %" PRIu64 " -> ", p->matched,
                      s->g->points);
        how = p->matched == 0 ? "nothing" : how;
    }
    assert(at >= 0 && (size_t)at < sizeof(p->text));
    char *rest = p->text + at;
    const size_t room = sizeof(p->text) - (size_t)at;
    if (p->segments > 0 && p->scanned > 0) {
        (void)snprintf(rest, room, "index of %" PRIu32 " segments, scan of %" PRIu64 " rows",
                       p->segments, p->scanned);
    } else if (p->segments > 0) {
        (void)snprintf(rest, room, "index of %" PRIu32 " segments", p->segments);
    } else {
        (void)snprintf(rest, room, "%s", how);
    }
}

/* --- search ----------------------------------------------------------------------------------- */

static enum shoal_err run(struct search *s, struct shard_hit *hits, size_t *n_out,
                          struct errbuf *why)
{
    enum shoal_err rc = shard__check_deadline(s->q->deadline_ns, why);
    if (rc == SHOAL_OK && s->q->filter.len > 0) {
        rc = apply_filter(s, why);
    }
    if (rc == SHOAL_OK) {
        rc = prepare(s, why);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    s->plan->matched = s->filtered ? s->matched.len : s->g->points;
    if (s->plan->matched > 0) {
        rc = search_segments(s, why);
        if (rc == SHOAL_OK && !s->q->indexed_only) {
            rc = scan_growing(s, why);
        }
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    topk_finish(&s->top);
    write_plan(s);
    size_t len = within_threshold(s);
    rc = name_winners(s, len, hits, why);
    if (rc == SHOAL_OK) {
        rc = add_versions(s, hits, &len, why);
    }
    *n_out = rc == SHOAL_OK ? len : 0;
    return rc;
}

enum shoal_err shard_search(struct shard *shard, const struct shard_query *q,
                            struct shard_hit *hits, size_t *n_out, struct shard_plan *plan,
                            struct errbuf *why)
{
    *n_out = 0;
    *plan = (struct shard_plan){ .segments = 0 };
    enum shoal_err rc = check_query(shard, q, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct search s = { .shard = shard, .q = q, .plan = plan, .g = shard__enter(shard) };
    rc = shard__whole(shard, why);
    if (rc == SHOAL_OK) {
        rc = run(&s, hits, n_out, why);
    }
    row_set_release(&s.matched);
    mem_free(s.scratch);
    shard__leave(shard, s.g);
    return shard__seen(shard, rc, why);
}
