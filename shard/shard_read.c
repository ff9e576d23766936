/* Reading points by id: fetch, scroll, count. Each call reads one transaction of state.mdb, and
 * vectors from a generation at the same applied index, so what it answers was all there at one
 * moment. */
#include "shard/filter_walk.h"
#include "shard/shard_private.h"

#include <assert.h>
#include <inttypes.h>

/* Attempts before standing in line with the writers: the moment between a commit and the swap of
 * the generation is missed by nearly all. */
#define VIEW_TRIES 4

/* --- views ------------------------------------------------------------------------------------ */

static enum shoal_err view_take(struct shard *s, struct shard_view *v, bool *fits,
                                struct errbuf *why)
{
    struct state_meta meta;
    v->g = shard__pin(s);
    enum shoal_err rc = store_read_begin(state_store(s->state), &v->txn, why);
    if (rc == SHOAL_OK) {
        rc = state_meta_get(s->state, v->txn, &meta, why);
    }
    *fits = rc == SHOAL_OK && meta.applied == v->g->applied;
    if (!*fits) {
        shard__view_end(v);
    }
    return rc;
}

enum shoal_err shard__view_begin(struct shard *s, struct shard_view *v, struct errbuf *why)
{
    bool fits = false;
    enum shoal_err rc = SHOAL_OK;
    for (int i = 0; i < VIEW_TRIES && rc == SHOAL_OK && !fits; i++) {
        rc = view_take(s, v, &fits, why);
    }
    if (rc == SHOAL_OK && !fits) {
        mutex_lock(&s->writer);
        rc = view_take(s, v, &fits, why);
        mutex_unlock(&s->writer);
        assert(rc != SHOAL_OK || fits);
    }
    return rc;
}

void shard__view_end(struct shard_view *v)
{
    store_read_end(v->txn);
    generation_unref(v->g);
    *v = (struct shard_view){ .g = NULL };
}

/* --- records ---------------------------------------------------------------------------------- */

struct reading {
    struct shard *s;
    struct shard_view view;
    struct shard_fetch what;
    struct arena *arena;
};

static enum shoal_err no_memory(struct errbuf *why)
{
    return err_set(why, SHOAL_ENOMEM, "out of memory for an answer; ask for fewer points");
}

static enum shoal_err copy_payload(const struct reading *r, struct slice payload,
                                   struct shard_record *out, struct errbuf *why)
{
    if (payload.len == 0) {
        return SHOAL_OK;
    }
    const char *copy = arena_strndup(r->arena, payload.data, payload.len);
    if (copy == NULL) {
        return no_memory(why);
    }
    out->payload = slice_make(copy, payload.len);
    return SHOAL_OK;
}

static enum shoal_err copy_vector(const struct reading *r, uint64_t row, struct shard_record *out,
                                  struct errbuf *why)
{
    struct row_place place;
    if (!generation_find(r->view.g, row, &place)) {
        char id[POINT_ID_TEXT_MAX];
        (void)point_id_print(&out->id, id);
        enum shoal_err rc = shard__whole(r->s, why);
        return rc != SHOAL_OK
                   ? err_prefix(why, rc, "the vector of point %s", id)
                   : err_set(why, SHOAL_ECORRUPT,
                             "the vector of point %s: row %" PRIu64 " is nowhere", id, row);
    }
    const size_t len = r->view.g->dim * sizeof(float);
    float *copy = arena_alloc(r->arena, len);
    if (copy == NULL) {
        return no_memory(why);
    }
    memcpy(copy, generation_vector(r->view.g, &place), len);
    out->vector = copy;
    return SHOAL_OK;
}

/* seen->payload is filled when it is asked for. */
static enum shoal_err fill(const struct reading *r, const struct state_seen *seen,
                           struct shard_record *out, struct errbuf *why)
{
    *out = (struct shard_record){ .id = seen->id, .version = seen->point.version, .found = true };
    enum shoal_err rc = SHOAL_OK;
    if (r->what.with_payload) {
        rc = copy_payload(r, seen->payload, out, why);
    }
    if (rc == SHOAL_OK && r->what.with_vector) {
        rc = copy_vector(r, seen->point.row, out, why);
    }
    return rc;
}

/* --- fetch ------------------------------------------------------------------------------------ */

static enum shoal_err fetch_one(const struct reading *r, const struct point_id *id,
                                struct shard_record *out, struct errbuf *why)
{
    struct state_seen seen = { .id = *id };
    *out = (struct shard_record){ .id = *id };
    enum shoal_err rc = state_point_get(r->s->state, r->view.txn, id, &seen.point, why);
    if (rc == SHOAL_ENOTFOUND) {
        return SHOAL_OK;
    }
    if (rc == SHOAL_OK && r->what.with_payload) {
        rc = state_payload_get(r->s->state, r->view.txn, id, &seen.payload, why);
    }
    return rc == SHOAL_OK ? fill(r, &seen, out, why) : rc;
}

enum shoal_err shard_fetch(struct shard *s, const struct point_id *ids, size_t len,
                           const struct shard_fetch *what, struct arena *arena,
                           struct shard_record *records, struct errbuf *why)
{
    struct generation *inside = shard__enter(s);
    struct reading r = { .s = s, .what = *what, .arena = arena };
    enum shoal_err rc = shard__view_begin(s, &r.view, why);
    for (size_t i = 0; i < len && rc == SHOAL_OK; i++) {
        rc = fetch_one(&r, &ids[i], &records[i], why);
    }
    shard__view_end(&r.view);
    shard__leave(s, inside);
    return shard__seen(s, rc, why);
}

/* --- scroll ----------------------------------------------------------------------------------- */

/* The page, and the one after it. */
static enum shoal_err scroll_page(struct reading *r, struct filter_walk *walk, uint32_t limit,
                                  struct shard_record *records, size_t *n_out,
                                  const struct point_id **next, struct errbuf *why)
{
    struct state_seen seen;
    size_t n = 0;
    enum shoal_err rc = SHOAL_OK;
    while (rc == SHOAL_OK) {
        rc = filter_walk_next(walk, &seen, why);
        if (rc == SHOAL_OK && n == limit) {
            struct point_id *id = arena_alloc(r->arena, sizeof(*id));
            if (id == NULL) {
                return no_memory(why);
            }
            *id = seen.id;
            *next = id;
            break;
        }
        if (rc == SHOAL_OK) {
            rc = fill(r, &seen, &records[n], why);
            n += rc == SHOAL_OK;
        }
    }
    if (rc != SHOAL_OK && rc != SHOAL_ENOTFOUND) {
        return rc;
    }
    *n_out = n;
    return SHOAL_OK;
}

static enum shoal_err scroll(struct reading *r, const struct shard_scroll *q,
                             const struct filter *filter, struct shard_record *records,
                             size_t *n_out, const struct point_id **next, struct errbuf *why)
{
    struct filter_walk walk;
    enum shoal_err rc = shard__view_begin(r->s, &r->view, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = filter_walk_begin(&walk, r->s->state, r->view.txn, filter, q->offset, q->what.with_payload,
                           why);
    if (rc == SHOAL_OK) {
        rc = scroll_page(r, &walk, q->limit, records, n_out, next, why);
    }
    filter_walk_end(&walk);
    shard__view_end(&r->view);
    return rc;
}

/* NULL when the text is empty. */
static enum shoal_err parse_filter(struct slice text, struct filter **out, struct errbuf *why)
{
    *out = NULL;
    return text.len == 0 ? SHOAL_OK : filter_parse_text(text, out, why);
}

enum shoal_err shard_scroll(struct shard *s, const struct shard_scroll *q, struct arena *arena,
                            struct shard_record *records, size_t *n_out,
                            const struct point_id **next, struct errbuf *why)
{
    *n_out = 0;
    *next = NULL;
    if (q->limit == 0) {
        return err_set(why, SHOAL_EINVAL, "limit 0; it begins at 1");
    }
    struct filter *filter;
    enum shoal_err rc = parse_filter(q->filter, &filter, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct generation *inside = shard__enter(s);
    struct reading r = { .s = s, .what = q->what, .arena = arena };
    rc = scroll(&r, q, filter, records, n_out, next, why);
    shard__leave(s, inside);
    filter_free(filter);
    return shard__seen(s, rc, why);
}

/* --- count ------------------------------------------------------------------------------------ */

static enum shoal_err count(struct shard *s, const struct filter *filter, uint64_t *out,
                            struct errbuf *why)
{
    struct store_txn *txn = NULL;
    struct filter_walk walk;
    struct state_seen seen;
    enum shoal_err rc = store_read_begin(state_store(s->state), &txn, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    uint64_t n = 0;
    rc = filter_walk_begin(&walk, s->state, txn, filter, NULL, false, why);
    while (rc == SHOAL_OK) {
        rc = filter_walk_next(&walk, &seen, why);
        n += rc == SHOAL_OK;
    }
    filter_walk_end(&walk);
    store_read_end(txn);
    if (rc != SHOAL_ENOTFOUND) {
        return rc;
    }
    *out = n;
    return SHOAL_OK;
}

enum shoal_err shard__count(struct shard *s, const struct generation *g, struct slice text,
                            uint64_t *out, struct errbuf *why)
{
    *out = 0;
    struct filter *filter;
    enum shoal_err rc = parse_filter(text, &filter, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (filter == NULL || filter_is_empty(filter)) {
        *out = g->points + s->lost_points;
    } else {
        rc = count(s, filter, out, why);
    }
    filter_free(filter);
    return rc;
}

enum shoal_err shard_count(struct shard *s, struct slice filter, uint64_t *out, struct errbuf *why)
{
    struct generation *g = shard__enter(s);
    enum shoal_err rc = shard__count(s, g, filter, out, why);
    shard__leave(s, g);
    return shard__seen(s, rc, why);
}
