/* Routes that read points by id, in pages, and by number. */
#include "server/rest_points.h"
#include "server/rest_routes.h"

static enum shoal_err put_records(struct rest_call *call, const struct query_records *records,
                                  const struct rest_select *payload)
{
    json_begin_array(&call->w);
    for (size_t i = 0; i < records->len; i++) {
        enum shoal_err rc = rest_put_record(call, &records->records[i], payload);
        if (rc != SHOAL_OK) {
            return rc;
        }
    }
    json_end_array(&call->w);
    return SHOAL_OK;
}

enum shoal_err rest_get_point(struct rest_call *call)
{
    static const struct rest_select all = { .kind = REST_SELECT_ALL };
    const struct shard_fetch what = rest_points_fetch(&all, true);
    struct collection *collection = NULL;
    struct point_id id;
    struct query_records records;
    enum shoal_err rc = rest_collection(call, &collection);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct slice text = rest_param(call, 1);
    if (point_id_parse(text, &id) != SHOAL_OK) {
        return err_set(&call->why, SHOAL_EINVAL,
                       "value %.*s is not a valid point ID, valid values are either an unsigned "
                       "integer or a UUID",
                       (int)(text.len < 80 ? text.len : 80), text.data);
    }
    rc = query_fetch(collection, &call->ctx, &id, 1, &what, &records, &call->why);
    if (rc == SHOAL_OK && records.len == 0) {
        rc = rest_points_missing(call, &id);
    }
    return rc == SHOAL_OK ? rest_put_record(call, &records.records[0], &all) : rc;
}

enum shoal_err rest_retrieve_points(struct rest_call *call)
{
    struct rest_points points;
    struct rest_retrieve r;
    struct query_records records;
    enum shoal_err rc = rest_points_begin(call, &points);
    if (rc == SHOAL_OK) {
        rc = rest_parse_retrieve(&points.parser, points.body, &r);
    }
    if (rc == SHOAL_OK) {
        const struct shard_fetch what = rest_points_fetch(&r.payload, r.with_vector);
        rc = query_fetch(points.collection, &call->ctx, r.ids, r.ids_len, &what, &records,
                         &call->why);
    }
    return rc == SHOAL_OK ? put_records(call, &records, &r.payload) : rc;
}

static enum shoal_err put_page(struct rest_call *call, const struct query_records *page,
                               const struct rest_select *payload)
{
    struct json_writer *w = &call->w;
    json_begin_object(w);
    json_key(w, "points");
    enum shoal_err rc = put_records(call, page, payload);
    if (rc != SHOAL_OK) {
        return rc;
    }
    json_key(w, "next_page_offset");
    if (page->has_next) {
        rest_put_id(w, &page->next);
    } else {
        json_put_null(w);
    }
    json_end_object(w);
    return SHOAL_OK;
}

enum shoal_err rest_scroll_points(struct rest_call *call)
{
    struct rest_points points;
    struct rest_scroll s;
    struct query_records page;
    enum shoal_err rc = rest_points_begin(call, &points);
    if (rc == SHOAL_OK) {
        rc = rest_parse_scroll(&points.parser, points.body, &s);
    }
    if (rc == SHOAL_OK) {
        const struct shard_scroll q = { .offset = s.has_offset ? &s.offset : NULL,
                                        .limit = s.limit,
                                        .filter = s.filter,
                                        .what = rest_points_fetch(&s.payload, s.with_vector) };
        rc = query_scroll(points.collection, &call->ctx, &q, &page, &call->why);
    }
    return rc == SHOAL_OK ? put_page(call, &page, &s.payload) : rc;
}

enum shoal_err rest_count_points(struct rest_call *call)
{
    struct rest_points points;
    struct rest_count c;
    uint64_t count = 0;
    enum shoal_err rc = rest_points_begin(call, &points);
    if (rc == SHOAL_OK) {
        rc = rest_parse_count(&points.parser, points.body, &c);
    }
    if (rc == SHOAL_OK) {
        rc = query_count(points.collection, &call->ctx, c.filter, &count, &call->why);
    }
    if (rc == SHOAL_OK) {
        json_begin_object(&call->w);
        json_key(&call->w, "count");
        json_put_u64(&call->w, count);
        json_end_object(&call->w);
    }
    return rc;
}
