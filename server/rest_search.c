/* Routes that search: points/query, the older points/search, and the batches of both.
 *
 * What an answer covers stands beside the result: shards asked and answered, and for a batch those
 * of its worst search. */
#include "server/rest_points.h"
#include "server/rest_routes.h"

#include <inttypes.h>

/* --- the three kinds of queries --------------------------------------------------------------- */

static enum shoal_err check_window(struct rest_call *call, const struct rest_search *s)
{
    uint64_t window = (uint64_t)s->limit + s->offset;
    return window <= SEARCH_K_MAX
               ? SHOAL_OK
               : err_set(&call->why, SHOAL_EVALIDATION,
                         "limit + offset: value %" PRIu64 " invalid, must be %d or smaller", window,
                         SEARCH_K_MAX);
}

static enum shoal_err search_vector(struct rest_call *call, const struct rest_search *s,
                                    struct query_answer *out)
{
    const struct query_search q = {
        .vector = s->vector,
        .k = s->limit,
        .offset = s->offset,
        .ef = s->ef,
        .exact = s->exact,
        .indexed_only = s->indexed_only,
        .has_threshold = s->has_threshold,
        .threshold = s->threshold,
        .filter = s->filter,
        .what = rest_points_fetch(&s->payload, s->with_vector),
    };
    return query_search(call->collection, &call->ctx, &q, out, &call->why);
}

/* Takes the point that was asked with out of the hits, and then the offset. */
static void leave_out(const struct rest_search *s, struct query_answer *a)
{
    size_t kept = 0;
    for (size_t i = 0; i < a->len; i++) {
        if (point_id_compare(&a->hits[i].id, &s->id) != 0) {
            a->hits[kept++] = a->hits[i];
        }
    }
    size_t skipped = kept < s->offset ? kept : s->offset;
    a->hits += skipped;
    a->len = kept - skipped < s->limit ? kept - skipped : s->limit;
}

static enum shoal_err search_id(struct rest_call *call, const struct rest_search *s,
                                struct query_answer *out)
{
    static const struct shard_fetch what = { .with_vector = true };
    struct query_records records;
    enum shoal_err rc = query_fetch(call->collection, &call->ctx, &s->id, 1, &what, &records,
                                    &call->why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (records.len == 0) {
        return rest_points_missing(call, &s->id);
    }
    struct rest_search wider = *s;
    wider.vector = records.records[0].vector;
    wider.offset = 0;
    wider.limit = s->limit + s->offset;
    wider.limit += wider.limit < SEARCH_K_MAX; /* the point itself is most likely the first */
    rc = search_vector(call, &wider, out);
    if (rc == SHOAL_OK) {
        leave_out(s, out);
    }
    return rc;
}

/* Without a query: points by id. */
static enum shoal_err search_nothing(struct rest_call *call, const struct rest_search *s,
                                     struct query_answer *out)
{
    const struct shard_scroll q = { .limit = s->limit + s->offset,
                                    .filter = s->filter,
                                    .what = rest_points_fetch(&s->payload, s->with_vector) };
    struct query_records page;
    enum shoal_err rc = query_scroll(call->collection, &call->ctx, &q, &page, &call->why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    size_t skipped = page.len < s->offset ? page.len : s->offset;
    out->len = page.len - skipped;
    out->hits = arena_array(call->arena, out->len, sizeof(*out->hits));
    if (out->hits == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t i = 0; i < out->len; i++) {
        const struct shard_record *r = &page.records[skipped + i];
        out->hits[i] = (struct query_hit){ .id = r->id,
                                           .version = r->version,
                                           .score = 1,
                                           .payload = r->payload,
                                           .vector = r->vector };
    }
    out->coverage.asked = (uint32_t)call->collection->shards_len;
    out->coverage.answered = out->coverage.asked; /* a page needs every shard */
    return SHOAL_OK;
}

static void cover(struct rest_call *call, struct query_coverage c)
{
    struct query_coverage *worst = &call->coverage;
    if (worst->asked == 0 || c.answered < worst->answered) {
        *worst = c;
    }
}

static enum shoal_err run(struct rest_call *call, const struct rest_search *s,
                          struct query_answer *out)
{
    *out = (struct query_answer){ 0 };
    enum shoal_err rc = check_window(call, s);
    if (rc != SHOAL_OK) {
        return rc;
    }
    switch (s->kind) {
    case REST_QUERY_NONE: rc = search_nothing(call, s, out); break;
    case REST_QUERY_VECTOR: rc = search_vector(call, s, out); break;
    case REST_QUERY_ID: rc = search_id(call, s, out); break;
    }
    if (rc == SHOAL_OK) {
        cover(call, out->coverage);
    }
    return rc;
}

/* --- answers ---------------------------------------------------------------------------------- */

typedef enum shoal_err parse_search(const struct rest_parser *p, struct json_value body,
                                    struct rest_search *out);
typedef enum shoal_err parse_searches(const struct rest_parser *p, struct json_value body,
                                      struct rest_searches *out);

/* Runs one search and puts its hits: in an object with "points", or alone as the older form has
 * it. */
static enum shoal_err answer(struct rest_call *call, const struct rest_search *s, bool alone)
{
    struct query_answer found;
    enum shoal_err rc = run(call, s, &found);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct json_writer *w = &call->w;
    if (!alone) {
        json_begin_object(w);
        json_key(w, "points");
    }
    json_begin_array(w);
    for (size_t i = 0; i < found.len; i++) {
        rc = rest_put_hit(call, &found.hits[i], &s->payload);
        if (rc != SHOAL_OK) {
            return rc;
        }
    }
    json_end_array(w);
    if (!alone) {
        json_end_object(w);
    }
    return SHOAL_OK;
}

static enum shoal_err search(struct rest_call *call, parse_search *parse, bool alone)
{
    struct rest_points points;
    struct rest_search s;
    enum shoal_err rc = rest_points_begin(call, &points);
    if (rc == SHOAL_OK) {
        rc = parse(&points.parser, points.body, &s);
    }
    return rc == SHOAL_OK ? answer(call, &s, alone) : rc;
}

static enum shoal_err search_batch(struct rest_call *call, parse_searches *parse, bool alone)
{
    struct rest_points points;
    struct rest_searches searches = { 0 };
    enum shoal_err rc = rest_points_begin(call, &points);
    if (rc == SHOAL_OK) {
        rc = parse(&points.parser, points.body, &searches);
    }
    if (rc == SHOAL_OK) {
        json_begin_array(&call->w);
    }
    for (size_t i = 0; i < searches.len && rc == SHOAL_OK; i++) {
        rc = answer(call, &searches.list[i], alone);
        if (rc != SHOAL_OK) {
            rc = rest_points_at(call, rc, "searches", i);
        }
    }
    if (rc == SHOAL_OK) {
        json_end_array(&call->w);
    }
    return rc;
}

enum shoal_err rest_query_points(struct rest_call *call)
{
    return search(call, rest_parse_query, false);
}

enum shoal_err rest_query_points_batch(struct rest_call *call)
{
    return search_batch(call, rest_parse_query_batch, false);
}

enum shoal_err rest_search_points(struct rest_call *call)
{
    return search(call, rest_parse_legacy, true);
}

enum shoal_err rest_search_points_batch(struct rest_call *call)
{
    return search_batch(call, rest_parse_legacy_batch, true);
}
