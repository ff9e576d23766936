/* Bodies of searches: points/query and the older points/search, one by one and in batches. */
#include "server/rest_take.h"

#include <assert.h>
#include <math.h>

/* --- what both forms have ------------------------------------------------------------------- */

static enum shoal_err take_ef(const struct rest_parser *p, struct json_value v, void *out)
{
    struct rest_search *s = out;
    return rest_take_limit(p, v, &s->ef);
}

static enum shoal_err take_exact(const struct rest_parser *p, struct json_value v, void *out)
{
    struct rest_search *s = out;
    return rest_take_bool(p, v, &s->exact);
}

static enum shoal_err take_indexed_only(const struct rest_parser *p, struct json_value v, void *out)
{
    struct rest_search *s = out;
    return rest_take_bool(p, v, &s->indexed_only);
}

static enum shoal_err take_params(const struct rest_parser *p, struct json_value v, void *out)
{
    static const struct rest_key keys[] = {
        { .name = "hnsw_ef", .take = take_ef },
        { .name = "exact", .take = take_exact },
        { .name = "indexed_only", .take = take_indexed_only },
        { .name = "quantization", .take = rest_take_object_hint },
        { .name = "acorn", .take = rest_take_object_hint },
        { .name = "idf" },
    };
    return REST_WALK(p, v, keys, out);
}

static enum shoal_err take_filter(const struct rest_parser *p, struct json_value v, void *out)
{
    struct rest_search *s = out;
    return rest_take_filter(p, v, &s->filter);
}

static enum shoal_err take_limit(const struct rest_parser *p, struct json_value v, void *out)
{
    struct rest_search *s = out;
    return rest_take_limit(p, v, &s->limit);
}

static enum shoal_err take_offset(const struct rest_parser *p, struct json_value v, void *out)
{
    struct rest_search *s = out;
    return rest_take_u32(p, v, 0, UINT32_MAX, &s->offset);
}

static enum shoal_err take_with_payload(const struct rest_parser *p, struct json_value v, void *out)
{
    struct rest_search *s = out;
    return rest_take_with_payload(p, v, &s->payload);
}

static enum shoal_err take_with_vector(const struct rest_parser *p, struct json_value v, void *out)
{
    struct rest_search *s = out;
    return rest_take_with_vector(p, v, &s->with_vector);
}

static enum shoal_err take_threshold(const struct rest_parser *p, struct json_value v, void *out)
{
    struct rest_search *s = out;
    double number = 0;
    if (!json_f64(v, &number)) {
        return rest_wrong(p, v, "a number");
    }
    s->threshold = (float)number;
    if (!isfinite(s->threshold)) {
        return err_set(p->why, SHOAL_EVALIDATION, "value %g invalid, must fit a 32-bit float",
                       number);
    }
    s->has_threshold = true;
    return SHOAL_OK;
}

/* --- points/query --------------------------------------------------------------------------- */

/* A vector, or the id of a point that has one. */
static enum shoal_err take_input(const struct rest_parser *p, struct json_value v, void *out)
{
    struct rest_search *s = out;
    if (json_kind(v) == JSON_ARRAY || json_kind(v) == JSON_OBJECT) {
        s->kind = REST_QUERY_VECTOR;
        return rest_keep_row(p, v, &s->vector);
    }
    s->kind = REST_QUERY_ID;
    return rest_take_id(p, v, &s->id);
}

static enum shoal_err take_query(const struct rest_parser *p, struct json_value v, void *out)
{
    static const struct rest_key keys[] = {
        { .name = "nearest", .take = take_input, .required = true },
        { .name = "mmr" },
    };
    static const char *const others[] = { "recommend",         "discover", "context",
                                          "order_by",          "fusion",   "rrf",
                                          "formula",           "sample",   "text",
                                          "relevance_feedback" };
    struct json_value member;
    if (json_get(v, "nearest", &member)) {
        return REST_WALK(p, v, keys, out);
    }
    bool document = json_get(v, "model", &member);
    for (size_t i = 0; !document && i < sizeof(others) / sizeof(others[0]); i++) {
        if (json_get(v, others[i], &member)) {
            return err_set(p->why, SHOAL_EUNSUPPORTED, "%s queries are not supported yet",
                           others[i]);
        }
    }
    return take_input(p, v, out);
}

static enum shoal_err take_prefetch(const struct rest_parser *p, struct json_value v, void *out)
{
    (void)out;
    bool empty = json_kind(v) == JSON_ARRAY && json_len(v) == 0;
    return empty ? SHOAL_OK : rest_unsupported(p, "queries in several stages are");
}

enum shoal_err rest_parse_query(const struct rest_parser *p, struct json_value body,
                                struct rest_search *out)
{
    static const struct rest_key keys[] = {
        { .name = "query", .take = take_query },
        { .name = "using", .take = rest_take_using },
        { .name = "prefetch", .take = take_prefetch },
        { .name = "filter", .take = take_filter },
        { .name = "params", .take = take_params },
        { .name = "limit", .take = take_limit },
        { .name = "offset", .take = take_offset },
        { .name = "score_threshold", .take = take_threshold },
        { .name = "with_payload", .take = take_with_payload },
        { .name = "with_vector", .take = take_with_vector },
        { .name = "with_vectors", .take = take_with_vector, .alias = true },
        { .name = "lookup_from" },
        { .name = "shard_key" },
    };
    *out = (struct rest_search){ .limit = REST_LIMIT_DEFAULT };
    enum shoal_err rc = REST_WALK(p, body, keys, out);
    if (rc == SHOAL_OK && out->has_threshold && out->kind == REST_QUERY_NONE) {
        return err_set(p->why, SHOAL_EINVAL, "score_threshold needs a query to score by");
    }
    return rc;
}

/* --- points/search -------------------------------------------------------------------------- */

static enum shoal_err take_named_row(const struct rest_parser *p, struct json_value v, void *out)
{
    struct rest_search *s = out;
    return rest_keep_row(p, v, &s->vector);
}

/* [..], or {"name": "", "vector": [..]}. */
static enum shoal_err take_legacy_vector(const struct rest_parser *p, struct json_value v,
                                         void *out)
{
    static const struct rest_key keys[] = {
        { .name = "name", .take = rest_take_using, .required = true },
        { .name = "vector", .take = take_named_row, .required = true },
    };
    struct rest_search *s = out;
    struct json_value member;
    s->kind = REST_QUERY_VECTOR;
    return json_get(v, "name", &member) ? REST_WALK(p, v, keys, out)
                                        : rest_keep_row(p, v, &s->vector);
}

enum shoal_err rest_parse_legacy(const struct rest_parser *p, struct json_value body,
                                 struct rest_search *out)
{
    static const struct rest_key keys[] = {
        { .name = "vector", .take = take_legacy_vector, .required = true },
        { .name = "filter", .take = take_filter },
        { .name = "params", .take = take_params },
        { .name = "limit", .take = take_limit, .required = true },
        { .name = "top", .take = take_limit, .alias = true },
        { .name = "offset", .take = take_offset },
        { .name = "score_threshold", .take = take_threshold },
        { .name = "with_payload", .take = take_with_payload },
        { .name = "with_vector", .take = take_with_vector },
        { .name = "with_vectors", .take = take_with_vector, .alias = true },
        { .name = "shard_key" },
    };
    *out = (struct rest_search){ 0 };
    return REST_WALK(p, body, keys, out);
}

/* --- batches -------------------------------------------------------------------------------- */

typedef enum shoal_err parse_one(const struct rest_parser *p, struct json_value body,
                                 struct rest_search *out);

static enum shoal_err take_searches(const struct rest_parser *p, struct json_value v,
                                    parse_one *parse, struct rest_searches *out)
{
    void *room = NULL;
    size_t len = 0;
    enum shoal_err rc = rest_room(p, v, "searches", REST_BATCH_MAX, sizeof(struct rest_search),
                                  &room, &len);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct rest_search *list = room;
    struct json_value item;
    size_t i = 0;
    for (struct json_iter it = json_iter(v); json_next(&it, NULL, &item); i++) {
        rc = parse(p, item, &list[i]);
        if (rc != SHOAL_OK) {
            return rest_at_index(p, rc, i);
        }
    }
    assert(i == len);
    *out = (struct rest_searches){ .list = list, .len = len };
    return SHOAL_OK;
}

static enum shoal_err take_queries(const struct rest_parser *p, struct json_value v, void *out)
{
    return take_searches(p, v, rest_parse_query, out);
}

static enum shoal_err take_legacies(const struct rest_parser *p, struct json_value v, void *out)
{
    return take_searches(p, v, rest_parse_legacy, out);
}

enum shoal_err rest_parse_query_batch(const struct rest_parser *p, struct json_value body,
                                      struct rest_searches *out)
{
    static const struct rest_key keys[] = {
        { .name = "searches", .take = take_queries, .required = true },
    };
    *out = (struct rest_searches){ 0 };
    return REST_WALK(p, body, keys, out);
}

enum shoal_err rest_parse_legacy_batch(const struct rest_parser *p, struct json_value body,
                                       struct rest_searches *out)
{
    static const struct rest_key keys[] = {
        { .name = "searches", .take = take_legacies, .required = true },
    };
    *out = (struct rest_searches){ 0 };
    return REST_WALK(p, body, keys, out);
}
