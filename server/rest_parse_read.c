/* Bodies of reads: points by id, pages, counts. */
#include "server/rest_take.h"

/* --- retrieve ------------------------------------------------------------------------------- */

static enum shoal_err take_ids(const struct rest_parser *p, struct json_value v, void *out)
{
    struct rest_retrieve *r = out;
    struct rest_ids ids;
    enum shoal_err rc = rest_take_ids(p, v, &ids);
    if (rc == SHOAL_OK) {
        r->ids = ids.list;
        r->ids_len = ids.len;
    }
    return rc;
}

static enum shoal_err take_payload(const struct rest_parser *p, struct json_value v, void *out)
{
    struct rest_retrieve *r = out;
    return rest_take_with_payload(p, v, &r->payload);
}

static enum shoal_err take_vector(const struct rest_parser *p, struct json_value v, void *out)
{
    struct rest_retrieve *r = out;
    return rest_take_with_vector(p, v, &r->with_vector);
}

enum shoal_err rest_parse_retrieve(const struct rest_parser *p, struct json_value body,
                                   struct rest_retrieve *out)
{
    static const struct rest_key keys[] = {
        { .name = "ids", .take = take_ids, .required = true },
        { .name = "with_payload", .take = take_payload },
        { .name = "with_vector", .take = take_vector },
        { .name = "with_vectors", .take = take_vector, .alias = true },
        { .name = "shard_key" },
    };
    *out = (struct rest_retrieve){ 0 };
    return REST_WALK(p, body, keys, out);
}

/* --- scroll --------------------------------------------------------------------------------- */

static enum shoal_err scroll_offset(const struct rest_parser *p, struct json_value v, void *out)
{
    struct rest_scroll *s = out;
    s->has_offset = true;
    return rest_take_id(p, v, &s->offset);
}

static enum shoal_err scroll_limit(const struct rest_parser *p, struct json_value v, void *out)
{
    struct rest_scroll *s = out;
    return rest_take_limit(p, v, &s->limit);
}

static enum shoal_err scroll_filter(const struct rest_parser *p, struct json_value v, void *out)
{
    struct rest_scroll *s = out;
    return rest_take_filter(p, v, &s->filter);
}

static enum shoal_err scroll_payload(const struct rest_parser *p, struct json_value v, void *out)
{
    struct rest_scroll *s = out;
    return rest_take_with_payload(p, v, &s->payload);
}

static enum shoal_err scroll_vector(const struct rest_parser *p, struct json_value v, void *out)
{
    struct rest_scroll *s = out;
    return rest_take_with_vector(p, v, &s->with_vector);
}

enum shoal_err rest_parse_scroll(const struct rest_parser *p, struct json_value body,
                                 struct rest_scroll *out)
{
    static const struct rest_key keys[] = {
        { .name = "offset", .take = scroll_offset },
        { .name = "limit", .take = scroll_limit },
        { .name = "filter", .take = scroll_filter },
        { .name = "with_payload", .take = scroll_payload },
        { .name = "with_vector", .take = scroll_vector },
        { .name = "with_vectors", .take = scroll_vector, .alias = true },
        { .name = "order_by" },
        { .name = "shard_key" },
    };
    *out = (struct rest_scroll){ .limit = REST_LIMIT_DEFAULT,
                                 .payload = { .kind = REST_SELECT_ALL } };
    return REST_WALK(p, body, keys, out);
}

/* --- count ---------------------------------------------------------------------------------- */

static enum shoal_err count_filter(const struct rest_parser *p, struct json_value v, void *out)
{
    struct rest_count *c = out;
    return rest_take_filter(p, v, &c->filter);
}

enum shoal_err rest_parse_count(const struct rest_parser *p, struct json_value body,
                                struct rest_count *out)
{
    static const struct rest_key keys[] = {
        { .name = "filter", .take = count_filter },
        { .name = "exact", .take = rest_take_bool_hint }, /* an exact count is a good estimate */
        { .name = "shard_key" },
    };
    *out = (struct rest_count){ 0 };
    return REST_WALK(p, body, keys, out);
}
