#include "server/rest_points.h"

enum shoal_err rest_points_begin(struct rest_call *call, struct rest_points *out)
{
    *out = (struct rest_points){ 0 };
    enum shoal_err rc = rest_collection(call, &out->collection);
    if (rc == SHOAL_OK) {
        rc = rest_body(call, &out->body);
    }
    if (rc == SHOAL_OK) {
        out->parser = (struct rest_parser){ .arena = call->arena,
                                            .dim = out->collection->dim,
                                            .distance = out->collection->distance,
                                            .why = &call->why };
    }
    return rc;
}

enum shoal_err rest_points_at(struct rest_call *call, enum shoal_err rc, const char *place,
                              size_t index)
{
    return err_prefix(&call->why, rc, "%s[%zu]", place, index);
}

struct shard_fetch rest_points_fetch(const struct rest_select *payload, bool with_vector)
{
    return (struct shard_fetch){ .with_payload = payload->kind != REST_SELECT_NONE,
                                 .with_vector = with_vector };
}

enum shoal_err rest_points_missing(struct rest_call *call, const struct point_id *id)
{
    char text[POINT_ID_TEXT_MAX];
    (void)point_id_print(id, text);
    return err_set(&call->why, SHOAL_ENOTFOUND, "No point with id %s found", text);
}

void rest_put_id(struct json_writer *w, const struct point_id *id)
{
    if (id->kind == POINT_ID_NUM) {
        json_put_u64(w, id->value.num);
        return;
    }
    char text[POINT_ID_TEXT_MAX];
    json_put_string(w, slice_make(text, point_id_print(id, text)));
}

static enum shoal_err put_parts(struct rest_call *call, struct slice payload, const float *vector,
                                const struct point_id *id, const struct rest_select *select)
{
    struct json_writer *w = &call->w;
    if (select->kind != REST_SELECT_NONE) {
        json_key(w, "payload");
        enum shoal_err rc = rest_select_write(select, payload, w);
        if (rc != SHOAL_OK) {
            char text[POINT_ID_TEXT_MAX];
            (void)point_id_print(id, text);
            return err_set(&call->why, rc, "the payload of point %s: %s", text, err_text(rc));
        }
    }
    if (vector != NULL) {
        json_key(w, "vector");
        json_put_floats(w, vector, call->collection->dim);
    }
    return SHOAL_OK;
}

enum shoal_err rest_put_record(struct rest_call *call, const struct shard_record *r,
                               const struct rest_select *payload)
{
    struct json_writer *w = &call->w;
    json_begin_object(w);
    json_key(w, "id");
    rest_put_id(w, &r->id);
    enum shoal_err rc = put_parts(call, r->payload, r->vector, &r->id, payload);
    if (rc == SHOAL_OK) {
        json_end_object(w);
    }
    return rc;
}

enum shoal_err rest_put_hit(struct rest_call *call, const struct query_hit *h,
                            const struct rest_select *payload)
{
    struct json_writer *w = &call->w;
    json_begin_object(w);
    json_key(w, "id");
    rest_put_id(w, &h->id);
    json_key(w, "version");
    json_put_u64(w, h->version);
    json_key(w, "score");
    json_put_f32(w, h->score);
    enum shoal_err rc = put_parts(call, h->payload, h->vector, &h->id, payload);
    if (rc == SHOAL_OK) {
        json_end_object(w);
    }
    return rc;
}
