/* Reads by id: fetch, scroll, count. */
#include "query/query_read.h"
#include "query/fanout.h"
#include "query/query.h"

#include <assert.h>

/* --- fetch ---------------------------------------------------------------------------------- */

/* The ids of each shard, and where each stood in the caller's list. */
struct split {
    struct point_id *ids; /* of all shards, one shard after the other */
    size_t *place;        /* ids[i] stood at place[i] */
    size_t *first;        /* of shard s: ids[first[s]] .. ids[first[s + 1] - 1] */
};

static enum shoal_err split_ids(const struct collection *c, const struct query_context *ctx,
                                const struct point_id *ids, size_t len, struct split *out)
{
    size_t shards = c->shards_len;
    out->ids = arena_array(ctx->arena, len, sizeof(*out->ids));
    out->place = arena_array(ctx->arena, len, sizeof(*out->place));
    out->first = arena_array(ctx->arena, shards + 1, sizeof(*out->first));
    size_t *fill = arena_array(ctx->arena, shards, sizeof(*fill));
    if (out->ids == NULL || out->place == NULL || out->first == NULL || fill == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t i = 0; i < len; i++) {
        out->first[collection_shard_of(c, &ids[i]) + 1]++;
    }
    for (size_t s = 0; s < shards; s++) {
        out->first[s + 1] += out->first[s];
        fill[s] = out->first[s];
    }
    for (size_t i = 0; i < len; i++) {
        size_t at = fill[collection_shard_of(c, &ids[i])]++;
        out->ids[at] = ids[i];
        out->place[at] = i;
    }
    return SHOAL_OK;
}

static enum shoal_err run_fetch(struct fanout *f, const struct query_context *ctx,
                                const struct split *split, const struct shard_fetch *what)
{
    struct channel_request *list = arena_array(ctx->arena, f->len, sizeof(*list));
    const struct channel_request **requests = arena_array(ctx->arena, f->len, sizeof(*requests));
    if (list == NULL || requests == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t s = 0; s < f->len; s++) {
        size_t n = split->first[s + 1] - split->first[s];
        if (n == 0) {
            continue;
        }
        list[s] = (struct channel_request){
            .kind = CHANNEL_FETCH,
            .deadline_ns = ctx->deadline_ns,
            .trace_id = ctx->trace_id,
            .what = *what,
            .ids = split->ids + split->first[s],
            .ids_len = n,
        };
        requests[s] = &list[s];
    }
    fanout_run(f, requests);
    return SHOAL_OK;
}

/* Copies what a shard found to the places its ids had. A local shard answers every id in order,
 * a remote one only those it found, in order: walking both lists serves both. */
static enum shoal_err place_records(const struct collection *c, const struct query_context *ctx,
                                    const struct channel_result *r, const struct split *split,
                                    size_t shard, struct shard_record *by_place)
{
    size_t at = split->first[shard];
    for (size_t i = 0; i < r->len; i++) {
        const struct shard_record *record = &r->records[i];
        while (at < split->first[shard + 1] &&
               point_id_compare(&split->ids[at], &record->id) != 0) {
            at++;
        }
        if (at == split->first[shard + 1]) {
            return SHOAL_EPROTO;
        }
        if (record->found) {
            enum shoal_err rc = query__copy_record(ctx, record, c->dim,
                                                   &by_place[split->place[at]]);
            if (rc != SHOAL_OK) {
                return rc;
            }
        }
        at++;
    }
    return SHOAL_OK;
}

static enum shoal_err fetch(struct fanout *f, const struct query_context *ctx,
                            const struct point_id *ids, size_t len, const struct shard_fetch *what,
                            uint32_t *failed, struct query_records *out, struct errbuf *why)
{
    struct split split;
    struct shard_record *by_place = arena_array(ctx->arena, len, sizeof(*by_place));
    enum shoal_err rc = split_ids(f->collection, ctx, ids, len, &split);
    if (rc == SHOAL_OK && by_place == NULL) {
        rc = SHOAL_ENOMEM;
    }
    if (rc == SHOAL_OK) {
        rc = run_fetch(f, ctx, &split, what);
    }
    for (size_t s = 0; rc == SHOAL_OK && s < f->len; s++) {
        const struct channel_result *r = &f->calls[s].result;
        if (!fanout_asked(f, s)) {
            continue;
        }
        if (r->rc == SHOAL_OK) {
            rc = place_records(f->collection, ctx, r, &split, s, by_place);
        } else if (failed != NULL && !fanout_is_refusal(r->rc)) {
            (*failed)++;
        } else {
            rc = err_set(why, r->rc, "%s", err_why(&r->why, r->rc));
        }
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    for (size_t i = 0; i < len; i++) {
        if (by_place[i].found) {
            by_place[out->len++] = by_place[i];
        }
    }
    out->records = by_place;
    return SHOAL_OK;
}

enum shoal_err query__copy_record(const struct query_context *ctx, const struct shard_record *from,
                                  uint32_t dim, struct shard_record *to)
{
    *to = *from;
    if (from->payload.len > 0) {
        char *copy = arena_strndup(ctx->arena, from->payload.data, from->payload.len);
        if (copy == NULL) {
            return SHOAL_ENOMEM;
        }
        to->payload = slice_make(copy, from->payload.len);
    }
    if (from->vector != NULL) {
        float *copy = arena_alloc(ctx->arena, dim * sizeof(float));
        if (copy == NULL) {
            return SHOAL_ENOMEM;
        }
        memcpy(copy, from->vector, dim * sizeof(float));
        to->vector = copy;
    }
    return SHOAL_OK;
}

enum shoal_err query__fetch_partial(const struct collection *c, const struct query_context *ctx,
                                    const struct point_id *ids, size_t len,
                                    const struct shard_fetch *what, uint32_t *failed,
                                    struct query_records *out, struct errbuf *why)
{
    *out = (struct query_records){ 0 };
    struct fanout f;
    enum shoal_err rc = fanout_init(&f, c, ctx);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = fetch(&f, ctx, ids, len, what, failed, out, why);
    fanout_release(&f);
    return rc;
}

/* Leaves out every id that came before; O(n log n) by an index sorted by id and place. */
static enum shoal_err drop_repeats(const struct query_context *ctx, const struct point_id **ids,
                                   size_t *len)
{
    struct point_id *unique = arena_array(ctx->arena, *len, sizeof(*unique));
    size_t slots = 16;
    while (slots < 2 * *len) {
        slots *= 2;
    }
    uint32_t *table = arena_array(ctx->arena, slots, sizeof(*table)); /* place in unique, plus 1 */
    if (unique == NULL || table == NULL) {
        return SHOAL_ENOMEM;
    }
    size_t n = 0;
    for (size_t i = 0; i < *len; i++) {
        const struct point_id *id = &(*ids)[i];
        size_t at = point_id_hash(id) & (slots - 1);
        while (table[at] != 0 && point_id_compare(&unique[table[at] - 1], id) != 0) {
            at = (at + 1) & (slots - 1);
        }
        if (table[at] == 0) {
            unique[n++] = *id;
            table[at] = (uint32_t)n;
        }
    }
    *ids = unique;
    *len = n;
    return SHOAL_OK;
}

enum shoal_err query_fetch(const struct collection *c, const struct query_context *ctx,
                           const struct point_id *ids, size_t len, const struct shard_fetch *what,
                           struct query_records *out, struct errbuf *why)
{
    *out = (struct query_records){ 0 };
    if (len > OP_POINTS_MAX) {
        return err_set(why, SHOAL_ETOOBIG, "%zu ids in one request; at most %d", len,
                       OP_POINTS_MAX);
    }
    enum shoal_err rc = drop_repeats(ctx, &ids, &len);
    if (rc != SHOAL_OK || len == 0) {
        return rc;
    }
    return query__fetch_partial(c, ctx, ids, len, what, NULL, out, why);
}

/* --- scroll --------------------------------------------------------------------------------- */

static enum shoal_err run_same(struct fanout *f, const struct query_context *ctx,
                               const struct channel_request *request, struct errbuf *why)
{
    const struct channel_request **requests = arena_array(ctx->arena, f->len, sizeof(*requests));
    if (requests == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t s = 0; s < f->len; s++) {
        requests[s] = request;
    }
    fanout_run(f, requests);
    return fanout_first_error(f, why);
}

/* The shard whose next record has the smallest id; len when every page is used up. */
static size_t smallest(const struct fanout *f, const size_t *place)
{
    size_t best = f->len;
    for (size_t s = 0; s < f->len; s++) {
        const struct channel_result *r = &f->calls[s].result;
        if (place[s] < r->len &&
            (best == f->len ||
             point_id_compare(&r->records[place[s]].id,
                              &f->calls[best].result.records[place[best]].id) < 0)) {
            best = s;
        }
    }
    return best;
}

/* After the page: the smallest id that was not taken, be it in a page or after one. */
static void find_next(const struct fanout *f, const size_t *place, struct query_records *out)
{
    for (size_t s = 0; s < f->len; s++) {
        const struct channel_result *r = &f->calls[s].result;
        const struct point_id *next = NULL;
        if (place[s] < r->len) {
            next = &r->records[place[s]].id;
        } else if (r->has_next) {
            next = &r->next;
        }
        if (next != NULL && (!out->has_next || point_id_compare(next, &out->next) < 0)) {
            out->has_next = true;
            out->next = *next;
        }
    }
}

static enum shoal_err scroll(struct fanout *f, const struct query_context *ctx,
                             const struct shard_scroll *q, struct query_records *out,
                             struct errbuf *why)
{
    const struct channel_request request = {
        .kind = CHANNEL_SCROLL,
        .deadline_ns = ctx->deadline_ns,
        .trace_id = ctx->trace_id,
        .scroll = q,
    };
    enum shoal_err rc = run_same(f, ctx, &request, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    size_t *place = arena_array(ctx->arena, f->len, sizeof(*place));
    out->records = arena_array(ctx->arena, q->limit, sizeof(*out->records));
    if (place == NULL || out->records == NULL) {
        return SHOAL_ENOMEM;
    }
    while (out->len < q->limit) {
        size_t s = smallest(f, place);
        if (s == f->len) {
            break;
        }
        rc = query__copy_record(ctx, &f->calls[s].result.records[place[s]], f->collection->dim,
                                &out->records[out->len]);
        if (rc != SHOAL_OK) {
            return rc;
        }
        place[s]++;
        out->len++;
    }
    find_next(f, place, out);
    return SHOAL_OK;
}

enum shoal_err query_scroll(const struct collection *c, const struct query_context *ctx,
                            const struct shard_scroll *q, struct query_records *out,
                            struct errbuf *why)
{
    *out = (struct query_records){ 0 };
    if (q->limit == 0 || q->limit > OP_POINTS_MAX) {
        return err_set(why, SHOAL_EVALIDATION, "limit: value %u invalid, must be from 1 to %d",
                       q->limit, OP_POINTS_MAX);
    }
    struct fanout f;
    enum shoal_err rc = fanout_init(&f, c, ctx);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = scroll(&f, ctx, q, out, why);
    fanout_release(&f);
    assert(rc != SHOAL_OK || out->len <= q->limit);
    return rc;
}

/* --- count ---------------------------------------------------------------------------------- */

enum shoal_err query_count(const struct collection *c, const struct query_context *ctx,
                           struct slice filter, uint64_t *out, struct errbuf *why)
{
    *out = 0;
    struct fanout f;
    enum shoal_err rc = fanout_init(&f, c, ctx);
    if (rc != SHOAL_OK) {
        return rc;
    }
    const struct channel_request request = {
        .kind = CHANNEL_COUNT,
        .deadline_ns = ctx->deadline_ns,
        .trace_id = ctx->trace_id,
        .filter = filter,
    };
    rc = run_same(&f, ctx, &request, why);
    for (size_t s = 0; rc == SHOAL_OK && s < f.len; s++) {
        *out += f.calls[s].result.count;
    }
    fanout_release(&f);
    return rc;
}
