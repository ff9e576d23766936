/* Checking all that a shard holds, and hashing what it means.
 *
 * Both read the state in one transaction, beside the generation of the same applied index. A writer
 * goes on meanwhile, unless the state's map must grow: then it waits for the end (store.h). */
#include "base/hash.h"
#include "base/json.h"
#include "shard/shard_private.h"

#include <inttypes.h>

struct check {
    const struct shard *s;
    const struct generation *g;
    struct store_txn *txn;
    const struct segment_view *segment; /* whose dead rows are read */
    uint64_t seen;
};

static enum shoal_err unfit(struct errbuf *why, const char *what, uint64_t number)
{
    return err_set(why, SHOAL_ECORRUPT, "state.mdb: %s (%" PRIu64 ")", what, number);
}

/* --- segments --------------------------------------------------------------------------------- */

static enum shoal_err verify_segments(const struct generation *g, struct errbuf *why)
{
    enum shoal_err rc = SHOAL_OK;
    uint64_t row = 0;
    for (size_t i = 0; i < g->segments_len && rc == SHOAL_OK; i++) {
        const struct segment_manifest *m = segment_info(g->segments[i].segment);
        rc = segment_verify(g->segments[i].segment, why);
        if (rc == SHOAL_OK && (m->row_begin < row || m->row_end > g->growing_begin)) {
            rc = unfit(why, "the rows of a segment overlap others", m->id);
        }
        row = m->row_end;
    }
    return rc;
}

static enum shoal_err listed_segment(void *arg, const struct segment_manifest *m,
                                     struct errbuf *why)
{
    struct check *c = arg;
    uint8_t listed[SEGMENT_MANIFEST_LEN];
    uint8_t open[SEGMENT_MANIFEST_LEN];
    c->seen++;
    segment_manifest_encode(m, listed);
    for (size_t i = 0; i < c->g->segments_len; i++) {
        segment_manifest_encode(segment_info(c->g->segments[i].segment), open);
        if (memcmp(listed, open, sizeof(open)) == 0) {
            return SHOAL_OK;
        }
    }
    return unfit(why, "a listed segment is not the one that is searched", m->id);
}

static enum shoal_err dead_row(void *arg, uint32_t position, struct errbuf *why)
{
    struct check *c = arg;
    const struct segment_view *v = c->segment;
    c->seen++;
    if (position >= segment_info(v->segment)->rows || v->alive == NULL ||
        bits_get(v->alive, position)) {
        return unfit(why, "a row that is marked dead is alive in segment",
                     segment_info(v->segment)->id);
    }
    return SHOAL_OK;
}

static enum shoal_err verify_lists(struct check *c, struct errbuf *why)
{
    c->seen = 0;
    enum shoal_err rc = state_segments_each(c->s->state, c->txn, listed_segment, c, why);
    if (rc == SHOAL_OK && c->seen != c->g->segments_len) {
        rc = unfit(why, "segments are searched that are not listed", c->g->segments_len);
    }
    for (size_t i = 0; i < c->g->segments_len && rc == SHOAL_OK; i++) {
        const struct segment_manifest *m = segment_info(c->g->segments[i].segment);
        c->segment = &c->g->segments[i];
        c->seen = 0;
        rc = state_dead_each(c->s->state, c->txn, m->id, dead_row, c, why);
        if (rc == SHOAL_OK && c->seen != m->rows - c->segment->live) {
            rc = unfit(why, "dead rows are not marked in segment", m->id);
        }
    }
    return rc;
}

/* --- rows and points -------------------------------------------------------------------------- */

static enum shoal_err growing_row(void *arg, uint64_t row, const struct point_id *id,
                                  const void *vector, struct errbuf *why)
{
    struct check *c = arg;
    struct row_place place;
    struct point_id here;
    c->seen++;
    if (!generation_find(c->g, row, &place) || place.segment != SIZE_MAX) {
        return unfit(why, "a stored row does not grow", row);
    }
    enum shoal_err rc = generation_id(c->g, &place, &here);
    if (rc != SHOAL_OK || point_id_compare(id, &here) != 0 ||
        memcmp(generation_vector(c->g, &place), vector, c->g->dim * sizeof(float)) != 0) {
        return unfit(why, "a growing row is not as it was stored", row);
    }
    return SHOAL_OK;
}

static enum shoal_err verify_growing(struct check *c, struct errbuf *why)
{
    c->seen = 0;
    enum shoal_err rc = state_rows_each(c->s->state, c->txn, c->g->growing_begin, c->g->dim,
                                        growing_row, c, why);
    return rc == SHOAL_OK && c->seen != c->g->growing_live
               ? unfit(why, "growing rows are not stored", c->g->growing_live)
               : rc;
}

static enum shoal_err verify_payload(struct slice payload, struct errbuf *why)
{
    struct json_doc *doc = NULL;
    if (payload.len == 0) {
        return SHOAL_OK;
    }
    enum shoal_err rc = json_parse(payload, &doc, why);
    if (rc == SHOAL_OK && json_kind(json_root(doc)) != JSON_OBJECT) {
        rc = SHOAL_EPARSE;
    }
    json_free(doc);
    return rc == SHOAL_EPARSE ? err_set(why, SHOAL_ECORRUPT, "its payload is no JSON object") : rc;
}

/* Each point's row is alive and is its own. As many points as rows: so each row is of one point. */
static enum shoal_err verify_point(const struct check *c, const struct state_seen *seen,
                                   struct errbuf *why)
{
    struct row_place place;
    struct point_id here;
    if (!generation_find(c->g, seen->point.row, &place)) {
        return err_set(why, SHOAL_ECORRUPT, "its row is not alive");
    }
    enum shoal_err rc = generation_id(c->g, &place, &here);
    if (rc != SHOAL_OK || point_id_compare(&seen->id, &here) != 0) {
        return err_set(why, SHOAL_ECORRUPT, "its row is another's");
    }
    if (seen->point.version > c->g->applied) {
        return err_set(why, SHOAL_ECORRUPT, "it is newer than what was applied");
    }
    return verify_payload(seen->payload, why);
}

static enum shoal_err verify_points(struct check *c, struct errbuf *why)
{
    struct state_walk w;
    struct state_seen seen;
    c->seen = 0;
    enum shoal_err rc = state_walk_begin(&w, c->s->state, c->txn, NULL, true, why);
    while (rc == SHOAL_OK) {
        rc = state_walk_next(&w, &seen, why);
        if (rc != SHOAL_OK) {
            break;
        }
        c->seen++;
        rc = verify_point(c, &seen, why);
        if (rc != SHOAL_OK) {
            char text[POINT_ID_TEXT_MAX];
            (void)point_id_print(&seen.id, text);
            rc = err_prefix(why, rc, "state.mdb: point %s", text);
        }
    }
    state_walk_end(&w);
    if (rc == SHOAL_ENOTFOUND) {
        rc = c->seen == c->g->points ? SHOAL_OK : unfit(why, "points are missing", c->seen);
    }
    return rc;
}

static enum shoal_err verify_counters(struct check *c, struct errbuf *why)
{
    struct state_meta m;
    enum shoal_err rc = state_meta_get(c->s->state, c->txn, &m, why);
    if (rc == SHOAL_OK && m.points != c->g->points) {
        rc = unfit(why, "another number of points is counted", m.points);
    }
    if (rc == SHOAL_OK &&
        (m.growing_begin != c->g->growing_begin || m.next_row != c->g->next_row)) {
        rc = unfit(why, "other rows are counted as growing", m.growing_begin);
    }
    return rc;
}

static enum shoal_err verify_state(struct shard *s, struct errbuf *why)
{
    struct shard_view v;
    enum shoal_err rc = shard__view_begin(s, &v, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct check c = { .s = s, .g = v.g, .txn = v.txn };
    rc = verify_counters(&c, why);
    if (rc == SHOAL_OK) {
        rc = verify_lists(&c, why);
    }
    if (rc == SHOAL_OK) {
        rc = verify_growing(&c, why);
    }
    if (rc == SHOAL_OK) {
        rc = verify_points(&c, why);
    }
    shard__view_end(&v);
    return rc;
}

enum shoal_err shard_verify(struct shard *s, struct errbuf *why)
{
    struct generation *g = shard__enter(s);
    enum shoal_err rc = shard__whole(s, why);
    if (rc == SHOAL_OK) {
        rc = verify_segments(g, why);
    }
    if (rc == SHOAL_OK) {
        rc = verify_state(s, why);
    }
    shard__leave(s, g);
    return rc;
}

/* --- hash ------------------------------------------------------------------------------------- */

/* A chain over the points in the order of their ids: id and version, vector, payload as it is
 * stored. */
static enum shoal_err hash_point(const struct shard_view *v, const struct state_seen *seen,
                                 uint64_t *hash, struct errbuf *why)
{
    struct row_place place;
    uint8_t head[POINT_ID_KEY_MAX + sizeof(seen->point.version)] = { 0 };
    if (!generation_find(v->g, seen->point.row, &place)) {
        return unfit(why, "the row of a point is not alive", seen->point.row);
    }
    (void)point_id_key(&seen->id, head);
    memcpy(head + POINT_ID_KEY_MAX, &seen->point.version, sizeof(seen->point.version));
    *hash = hash64_seeded(head, sizeof(head), *hash);
    *hash = hash64_seeded(generation_vector(v->g, &place), v->g->dim * sizeof(float), *hash);
    *hash = hash64_seeded(seen->payload.data, seen->payload.len, *hash);
    return SHOAL_OK;
}

static enum shoal_err hash_points(const struct shard *s, const struct shard_view *v, uint64_t *hash,
                                  struct errbuf *why)
{
    struct state_walk w;
    struct state_seen seen;
    enum shoal_err rc = state_walk_begin(&w, s->state, v->txn, NULL, true, why);
    while (rc == SHOAL_OK) {
        rc = state_walk_next(&w, &seen, why);
        if (rc == SHOAL_OK) {
            rc = hash_point(v, &seen, hash, why);
        }
    }
    state_walk_end(&w);
    return rc == SHOAL_ENOTFOUND ? SHOAL_OK : rc;
}

enum shoal_err shard_state_hash(struct shard *s, uint64_t *out, struct errbuf *why)
{
    *out = 0;
    struct generation *g = shard__enter(s);
    struct shard_view v;
    enum shoal_err rc = shard__whole(s, why);
    if (rc == SHOAL_OK) {
        rc = shard__view_begin(s, &v, why);
    }
    if (rc == SHOAL_OK) {
        uint64_t hash = v.g->points;
        rc = hash_points(s, &v, &hash, why);
        *out = rc == SHOAL_OK ? hash : 0;
        shard__view_end(&v);
    }
    shard__leave(s, g);
    return rc;
}
