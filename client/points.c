/* The public calls on points: upserts and searches by the backend's own ways, all else as routes of
 * the HTTP API. */
#include "base/mem.h"
#include "base/rand.h"
#include "client/handle.h"
#include "client/hits.h"

#include <string.h>

#define DEFAULT_LIMIT 10

/* --- writing -------------------------------------------------------------------------------- */

static enum shoal_err check_points(const char *collection, const struct shoal_points *points,
                                   struct errbuf *why)
{
    if (collection == NULL || collection[0] == '\0') {
        return err_set(why, SHOAL_EINVAL, "a collection's name is needed");
    }
    if (points->len > 0 && (points->ids == NULL || points->vectors == NULL || points->dim == 0)) {
        return err_set(why, SHOAL_EINVAL, "points need ids, vectors and their dimension");
    }
    return SHOAL_OK;
}

/* A write whose connection was lost is sent once more, by the same operation id: it is applied once
 * whether or not the first one arrived. */
static enum shoal_err upsert(struct shoal *db, const char *collection,
                             const struct shoal_points *points, const uint8_t op_id[16],
                             struct errbuf *why)
{
    struct backend *b = db->backend;
    enum shoal_err rc = b->ops->upsert(b, collection, points, op_id, db->timeout_ms, why);
    if (rc == SHOAL_EUNAVAILABLE) {
        err_clear(why);
        rc = b->ops->upsert(b, collection, points, op_id, db->timeout_ms, why);
    }
    return rc;
}

int shoal_upsert(struct shoal *db, const char *collection, const struct shoal_points *points,
                 char *why)
{
    struct errbuf err = { 0 };
    uint8_t op_id[16];
    enum shoal_err rc = check_points(collection, points, &err);
    if (rc != SHOAL_OK || points->len == 0) {
        return handle__finish(rc, &err, why);
    }
    if (points->operation_id != NULL) {
        memcpy(op_id, points->operation_id, sizeof(op_id));
    } else {
        const struct rand_source *r = rand_system();
        r->fill(r->arg, op_id, sizeof(op_id));
    }
    return handle__finish(upsert(db, collection, points, op_id, &err), &err, why);
}

static void begin_body(struct json_writer *w, struct buf *body)
{
    buf_init(body, HANDLE_BODY_MAX);
    json_writer_init(w, body);
    json_begin_object(w);
}

static void put_ids(struct json_writer *w, const char *key, const struct shoal_id *ids, size_t len)
{
    json_key(w, key);
    json_begin_array(w);
    for (size_t i = 0; i < len; i++) {
        id__put(w, &ids[i]);
    }
    json_end_array(w);
}

static void put_filter(struct json_writer *w, const char *filter)
{
    if (filter != NULL && filter[0] != '\0') {
        json_key(w, "filter");
        json_put_raw(w, slice_from_str(filter));
    }
}

static int delete_points(struct shoal *db, const char *collection, const struct shoal_id *ids,
                         size_t len, const char *filter, char *why)
{
    struct errbuf err = { 0 };
    struct buf body;
    struct json_writer w;
    begin_body(&w, &body);
    if (filter == NULL) {
        put_ids(&w, "points", ids, len);
    } else {
        put_filter(&w, filter);
    }
    json_end_object(&w);
    enum shoal_err rc = handle__call_plain(db, "POST", collection, "/points/delete?wait=true",
                                           &body, &err);
    buf_release(&body);
    return handle__finish(rc, &err, why);
}

int shoal_delete(struct shoal *db, const char *collection, const struct shoal_id *ids, size_t len,
                 char *why)
{
    return delete_points(db, collection, ids, len, NULL, why);
}

int shoal_delete_where(struct shoal *db, const char *collection, const char *filter, char *why)
{
    if (filter == NULL || filter[0] == '\0') {
        struct errbuf err = { 0 };
        return handle__finish(
            err_set(&err, SHOAL_EINVAL, "a filter is needed; {} means every point"), &err, why);
    }
    return delete_points(db, collection, NULL, 0, filter, why);
}

int shoal_count(struct shoal *db, const char *collection, const char *filter, uint64_t *out,
                char *why)
{
    *out = 0;
    struct errbuf err = { 0 };
    struct buf body;
    struct json_writer w;
    begin_body(&w, &body);
    json_key(&w, "exact");
    json_put_bool(&w, true);
    put_filter(&w, filter);
    json_end_object(&w);
    struct json_doc *doc = NULL;
    struct json_value result;
    struct json_value count;
    enum shoal_err rc = handle__call(db, "POST", collection, "/points/count", &body, &doc, &result,
                                     &err);
    if (rc == SHOAL_OK && (!json_get(result, "count", &count) || !json_u64(count, out))) {
        rc = err_set(&err, SHOAL_EPROTO, "the answer has no count");
    }
    json_free(doc);
    buf_release(&body);
    return handle__finish(rc, &err, why);
}

int shoal_search(struct shoal *db, const char *collection, const struct shoal_search *search,
                 struct shoal_hits **out, char *why)
{
    *out = NULL;
    struct errbuf err = { 0 };
    struct shoal_search s = *search;
    s.limit = s.limit == 0 ? DEFAULT_LIMIT : s.limit;
    if (collection == NULL || collection[0] == '\0' || s.vector == NULL || s.dim == 0) {
        return handle__finish(
            err_set(&err, SHOAL_EINVAL, "a search needs a collection and a vector"), &err, why);
    }
    enum shoal_err rc = db->backend->ops->search(db->backend, collection, &s, db->timeout_ms, out,
                                                 &err);
    return handle__finish(rc, &err, why);
}

/* --- records -------------------------------------------------------------------------------- */

static enum shoal_err take_record(struct hits *h, struct shoal_hit *hit, struct json_value v)
{
    struct json_value member;
    if (!json_get(v, "id", &member) || !id__get(member, &hit->id)) {
        return SHOAL_EPROTO;
    }
    if (json_get(v, "payload", &member) && json_kind(member) == JSON_OBJECT) {
        struct buf text;
        buf_init(&text, HANDLE_BODY_MAX);
        enum shoal_err rc = json_print(member, &text);
        if (rc == SHOAL_OK) {
            rc = hits_set_payload(h, hit, buf_slice(&text));
        }
        buf_release(&text);
        if (rc != SHOAL_OK) {
            return rc;
        }
    }
    if (json_get(v, "vector", &member) && json_kind(member) == JSON_ARRAY) {
        size_t dim = json_len(member);
        float *vector = arena_array(&h->arena, dim, sizeof(*vector));
        if (vector == NULL) {
            return SHOAL_ENOMEM;
        }
        if (!json_floats(member, vector, dim)) {
            return SHOAL_EPROTO;
        }
        hit->vector = vector;
    }
    return SHOAL_OK;
}

static enum shoal_err take_records(struct json_value list, struct shoal_hits **out,
                                   struct errbuf *why)
{
    struct hits *h = NULL;
    struct shoal_hit *room = NULL;
    struct json_value v;
    size_t i = 0;
    enum shoal_err rc = hits_new(json_len(list), &h, &room);
    for (struct json_iter it = json_iter(list); rc == SHOAL_OK && json_next(&it, NULL, &v);) {
        rc = take_record(h, &room[i++], v);
    }
    if (rc == SHOAL_OK) {
        *out = &h->pub;
        return SHOAL_OK;
    }
    shoal_hits_free(h == NULL ? NULL : &h->pub);
    return err_set(why, rc, "the records of the answer: %s", err_text(rc));
}

int shoal_get(struct shoal *db, const char *collection, const struct shoal_id *ids, size_t len,
              bool with_payload, bool with_vector, struct shoal_hits **out, char *why)
{
    *out = NULL;
    struct errbuf err = { 0 };
    struct buf body;
    struct json_writer w;
    begin_body(&w, &body);
    put_ids(&w, "ids", ids, len);
    json_key(&w, "with_payload");
    json_put_bool(&w, with_payload);
    json_key(&w, "with_vector");
    json_put_bool(&w, with_vector);
    json_end_object(&w);
    struct json_doc *doc = NULL;
    struct json_value result;
    enum shoal_err rc = handle__call(db, "POST", collection, "/points", &body, &doc, &result, &err);
    if (rc == SHOAL_OK) {
        rc = take_records(result, out, &err);
    }
    json_free(doc);
    buf_release(&body);
    return handle__finish(rc, &err, why);
}

static enum shoal_err take_page(struct json_value result, struct shoal_hits **out,
                                struct shoal_id *next, bool *more, struct errbuf *why)
{
    struct json_value points;
    struct json_value offset;
    if (!json_get(result, "points", &points) || !json_get(result, "next_page_offset", &offset)) {
        return err_set(why, SHOAL_EPROTO, "the answer has no page");
    }
    *more = id__get(offset, next);
    return take_records(points, out, why);
}

int shoal_scroll(struct shoal *db, const char *collection, const struct shoal_id *offset,
                 uint32_t limit, const char *filter, bool with_payload, bool with_vector,
                 struct shoal_hits **out, struct shoal_id *next, bool *more, char *why)
{
    *out = NULL;
    *more = false;
    struct errbuf err = { 0 };
    struct buf body;
    struct json_writer w;
    begin_body(&w, &body);
    json_key(&w, "limit");
    json_put_u64(&w, limit == 0 ? DEFAULT_LIMIT : limit);
    json_key(&w, "with_payload");
    json_put_bool(&w, with_payload);
    json_key(&w, "with_vector");
    json_put_bool(&w, with_vector);
    put_filter(&w, filter);
    if (offset != NULL) {
        json_key(&w, "offset");
        id__put(&w, offset);
    }
    json_end_object(&w);
    struct json_doc *doc = NULL;
    struct json_value result;
    enum shoal_err rc = handle__call(db, "POST", collection, "/points/scroll", &body, &doc, &result,
                                     &err);
    if (rc == SHOAL_OK) {
        rc = take_page(result, out, next, more, &err);
    }
    json_free(doc);
    buf_release(&body);
    return handle__finish(rc, &err, why);
}
