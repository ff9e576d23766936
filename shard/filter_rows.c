#include "shard/filter_rows.h"

#include "base/json.h"
#include "shard/filter_ast.h"
#include "shard/shard_private.h"

/* Points between two looks at the clock. */
#define DEADLINE_POINTS 512

struct evaluation {
    struct shard *shard;
    const struct filter *filter;
    const struct generation *g;
    struct row_set *out;
    uint64_t deadline_ns;
    uint32_t until_look;
};

static enum shoal_err look_at_clock(struct evaluation *e, struct errbuf *why)
{
    if (--e->until_look > 0) {
        return SHOAL_OK;
    }
    e->until_look = DEADLINE_POINTS;
    return shard__check_deadline(e->deadline_ns, why);
}

/* --- ids alone -------------------------------------------------------------------------------- */

static enum shoal_err ask_id(struct evaluation *e, const struct row_place *place,
                             struct errbuf *why)
{
    struct point_id id;
    enum shoal_err rc = generation_id(e->g, place, &id);
    if (rc != SHOAL_OK) {
        return err_set(why, rc, "an id of a segment is damaged");
    }
    if (filter_matches(e->filter, &id, NULL)) {
        row_set_add(e->out, place);
    }
    return look_at_clock(e, why);
}

static enum shoal_err ask_ids(struct evaluation *e, struct errbuf *why)
{
    const struct generation *g = e->g;
    enum shoal_err rc = SHOAL_OK;
    for (size_t i = 0; i < g->segments_len && rc == SHOAL_OK; i++) {
        const struct segment_view *v = &g->segments[i];
        const uint32_t rows = segment_info(v->segment)->rows;
        struct row_place place = { .segment = i };
        for (; place.position < rows && rc == SHOAL_OK; place.position++) {
            if (v->alive == NULL || bits_get(v->alive, place.position)) {
                rc = ask_id(e, &place, why);
            }
        }
    }
    for (size_t i = 0; i < g->chunks_len && rc == SHOAL_OK; i++) {
        const struct chunk_view *v = &g->chunks[i];
        struct row_place place = { .segment = SIZE_MAX, .chunk = i };
        for (; v->chunk != NULL && place.position < v->rows && rc == SHOAL_OK; place.position++) {
            if (v->alive == NULL || bits_get(v->alive, place.position)) {
                rc = ask_id(e, &place, why);
            }
        }
    }
    return rc;
}

/* --- ids and payloads ------------------------------------------------------------------------- */

static enum shoal_err ask_point(struct evaluation *e, const struct state_seen *seen,
                                struct errbuf *why)
{
    struct row_place place;
    bool matches = false;
    if (!generation_find(e->g, seen->point.row, &place)) {
        return look_at_clock(e, why);
    }
    enum shoal_err rc = shard__matches(e->filter, &seen->id, seen->payload, &matches, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (matches) {
        row_set_add(e->out, &place);
    }
    return look_at_clock(e, why);
}

static enum shoal_err ask_candidate(struct evaluation *e, struct store_txn *txn,
                                    const struct point_id *id, struct errbuf *why)
{
    const struct state *state = e->shard->state;
    struct state_seen seen = { .id = *id };
    enum shoal_err rc = state_point_get(state, txn, id, &seen.point, why);
    if (rc == SHOAL_ENOTFOUND) {
        return look_at_clock(e, why);
    }
    if (rc == SHOAL_OK && filter_needs_payload(e->filter)) {
        rc = state_payload_get(state, txn, id, &seen.payload, why);
    }
    return rc == SHOAL_OK ? ask_point(e, &seen, why) : rc;
}

static enum shoal_err ask_all(struct evaluation *e, struct store_txn *txn, struct errbuf *why)
{
    struct state_walk walk;
    struct state_seen seen;
    enum shoal_err rc = state_walk_begin(&walk, e->shard->state, txn, NULL, true, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    while (rc == SHOAL_OK) {
        rc = state_walk_next(&walk, &seen, why);
        if (rc == SHOAL_OK) {
            rc = ask_point(e, &seen, why);
        }
    }
    state_walk_end(&walk);
    return rc == SHOAL_ENOTFOUND ? SHOAL_OK : rc;
}

/* --- filter rows ------------------------------------------------------------------------------ */

static enum shoal_err ask_view(struct evaluation *e, const struct shard_view *v, struct errbuf *why)
{
    struct filter_ids candidates;
    e->g = v->g;
    enum shoal_err rc = row_set_init(e->out, v->g, why);
    if (rc == SHOAL_OK && filter_candidates(e->filter, &candidates)) {
        for (size_t i = 0; i < candidates.len && rc == SHOAL_OK; i++) {
            rc = ask_candidate(e, v->txn, &candidates.ids[i], why);
        }
    } else if (rc == SHOAL_OK) {
        rc = ask_all(e, v->txn, why);
    }
    return rc;
}

static enum shoal_err ask_state(struct evaluation *e, struct generation **g, struct errbuf *why)
{
    struct shard_view v;
    enum shoal_err rc = shard__view_begin(e->shard, &v, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = ask_view(e, &v, why);
    generation_unref(*g);
    *g = generation_ref(v.g);
    shard__view_end(&v);
    return rc;
}

enum shoal_err filter_rows(struct shard *s, const struct filter *f, uint64_t deadline_ns,
                           struct generation **g, struct row_set *out, struct errbuf *why)
{
    *out = (struct row_set){ .parts = NULL };
    struct evaluation e = {
        .shard = s,
        .filter = f,
        .g = *g,
        .out = out,
        .deadline_ns = deadline_ns,
        .until_look = DEADLINE_POINTS,
    };
    struct filter_ids candidates;
    enum shoal_err rc;
    if (filter_needs_payload(f) || filter_candidates(f, &candidates)) {
        rc = ask_state(&e, g, why);
    } else {
        rc = row_set_init(out, *g, why);
        if (rc == SHOAL_OK) {
            rc = ask_ids(&e, why);
        }
    }
    if (rc != SHOAL_OK) {
        row_set_release(out);
    }
    return rc;
}
