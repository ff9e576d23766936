/* The public calls. Everything but upserts, searches and streams is a route of the HTTP API, made
 * and read here as JSON, so that C and HTTP users get the same answers. */
#include "client/shoal.h"

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rand.h"
#include "client/backend.h"
#include "client/hits.h"

#include <stdio.h>
#include <string.h>

#define DEFAULT_TIMEOUT_MS 30000
#define DEFAULT_LIMIT 10
/* A request's body and a path with an encoded collection name. */
#define BODY_MAX (32u << 20)
#define PATH_MAX_LEN 1024

struct shoal {
    struct backend *backend;
    uint32_t timeout_ms;
};

static const char *const distances[] = {"Cosine", "Dot", "Euclid", "Manhattan"};

/* The codes of the public API are the numbers of the inner ones; a refusal of any kind reads as
 * invalid. */
static int finish(enum shoal_err rc, const struct errbuf *from, char *why)
{
    if (why != NULL) {
        snprintf(why, SHOAL_WHY_MAX, "%s", rc == SHOAL_OK ? "" : err_why(from, rc));
    }
    switch (rc) {
    case SHOAL_EVALIDATION:
    case SHOAL_ECONFLICT:
    case SHOAL_EPARSE:
        return SHOAL_E_INVALID;
    case SHOAL_ENOTLEADER:
        return SHOAL_E_UNAVAILABLE;
    default:
        return (int)rc;
    }
}

const char *shoal_version(void)
{
    return "libshoal " SHOAL_VERSION;
}

const char *shoal_status_text(int status)
{
    return err_text(err_from_number((unsigned)status));
}

int shoal_open(const char *url, const struct shoal_options *options, struct shoal **out, char *why)
{
    *out = NULL;
    struct errbuf err = {0};
    if (options != NULL && options->api_key != NULL) {
        return finish(err_set(&err, SHOAL_EUNSUPPORTED, "API keys are not supported yet"), &err,
                      why);
    }
    struct shoal *db = mem_calloc(1, sizeof(*db));
    if (db == NULL) {
        return finish(SHOAL_ENOMEM, NULL, why);
    }
    db->timeout_ms = options != NULL && options->timeout_ms > 0 ? options->timeout_ms
                                                                : DEFAULT_TIMEOUT_MS;
    enum shoal_err rc;
    if (strncmp(url, "shoal://", 8) == 0) {
        rc = backend_remote_open(url + 8, &db->backend, &err);
    } else if (strncmp(url, "file://", 7) == 0) {
        rc = backend_embedded_open(url + 7, &db->backend, &err);
    } else {
        rc = err_set(&err, SHOAL_EINVAL,
                     "\"%s\" is no address; give shoal://HOST:PORT or file:///DIR", url);
    }
    if (rc != SHOAL_OK) {
        mem_free(db);
        return finish(rc, &err, why);
    }
    *out = db;
    return SHOAL_E_OK;
}

void shoal_close(struct shoal *db)
{
    if (db != NULL) {
        db->backend->ops->close(db->backend);
        mem_free(db);
    }
}

/* --- paths and calls ------------------------------------------------------------------------ */

/* "/collections/<name><rest>", the name percent-encoded. */
static enum shoal_err print_path(char out[PATH_MAX_LEN], const char *name, const char *rest,
                                 struct errbuf *why)
{
    size_t at = (size_t)snprintf(out, PATH_MAX_LEN, "/collections/");
    for (const unsigned char *c = (const unsigned char *)name; *c != '\0'; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || strchr("-_.~", *c) != NULL;
        if (at + 4 >= PATH_MAX_LEN) {
            return err_set(why, SHOAL_EINVAL, "the collection's name is too long");
        }
        at += (size_t)snprintf(out + at, PATH_MAX_LEN - at, plain ? "%c" : "%%%02X", *c);
    }
    int n = snprintf(out + at, PATH_MAX_LEN - at, "%s", rest);
    return at + (size_t)n < PATH_MAX_LEN
               ? SHOAL_OK
               : err_set(why, SHOAL_EINVAL, "the collection's name is too long");
}

/* Calls a collection's route and gives the parsed answer with its "result". */
static enum shoal_err call_json(struct shoal *db, const char *method, const char *name,
                                const char *rest, const struct buf *body, struct json_doc **doc,
                                struct json_value *result, struct errbuf *why)
{
    char path[PATH_MAX_LEN];
    char *json = NULL;
    enum shoal_err rc = body->failed;
    if (rc == SHOAL_OK) {
        rc = print_path(path, name, rest, why);
    }
    if (rc == SHOAL_OK) {
        rc = db->backend->ops->call(db->backend, method, path, buf_slice(body), db->timeout_ms,
                                    &json, why);
    }
    if (rc == SHOAL_OK) {
        rc = json_parse(slice_from_str(json), doc, why);
    }
    if (rc == SHOAL_OK && !json_get(json_root(*doc), "result", result)) {
        json_free(*doc);
        *doc = NULL;
        rc = err_set(why, SHOAL_EPROTO, "the answer has no result");
    }
    mem_free(json);
    return rc;
}

/* As call_json, when only success matters. */
static enum shoal_err call_plain(struct shoal *db, const char *method, const char *name,
                                 const char *rest, const struct buf *body, struct errbuf *why)
{
    struct json_doc *doc = NULL;
    struct json_value result;
    enum shoal_err rc = call_json(db, method, name, rest, body, &doc, &result, why);
    json_free(doc);
    return rc;
}

int shoal_call(struct shoal *db, const char *method, const char *path, const char *body,
               char **json, char *why)
{
    *json = NULL;
    struct errbuf err = {0};
    enum shoal_err rc = db->backend->ops->call(db->backend, method, path, slice_from_str(body),
                                               db->timeout_ms, json, &err);
    return finish(rc, &err, why);
}

void shoal_text_free(char *text)
{
    mem_free(text);
}

/* --- collections ---------------------------------------------------------------------------- */

static void put_u64(struct json_writer *w, const char *key, uint64_t v)
{
    json_key(w, key);
    json_put_u64(w, v);
}

int shoal_collection_create(struct shoal *db, const char *name,
                            const struct shoal_collection *c, char *why)
{
    struct errbuf err = {0};
    if ((unsigned)c->distance > SHOAL_MANHATTAN) {
        return finish(err_set(&err, SHOAL_EINVAL, "unknown distance"), &err, why);
    }
    struct buf body;
    buf_init(&body, BODY_MAX);
    struct json_writer w;
    json_writer_init(&w, &body);
    json_begin_object(&w);
    json_key(&w, "vectors");
    json_begin_object(&w);
    put_u64(&w, "size", c->dim);
    json_key(&w, "distance");
    json_put_str(&w, distances[c->distance]);
    json_end_object(&w);
    put_u64(&w, "shard_number", c->shards == 0 ? 1 : c->shards);
    if (c->m != 0 || c->ef_construction != 0) {
        json_key(&w, "hnsw_config");
        json_begin_object(&w);
        put_u64(&w, "m", c->m == 0 ? 16 : c->m);
        put_u64(&w, "ef_construct", c->ef_construction == 0 ? 100 : c->ef_construction);
        json_end_object(&w);
    }
    json_end_object(&w);
    enum shoal_err rc = call_plain(db, "PUT", name, "", &body, &err);
    buf_release(&body);
    return finish(rc, &err, why);
}

int shoal_collection_delete(struct shoal *db, const char *name, char *why)
{
    struct errbuf err = {0};
    struct json_doc *doc = NULL;
    struct json_value result;
    struct buf none;
    bool deleted = false;
    buf_init(&none, 1);
    enum shoal_err rc = call_json(db, "DELETE", name, "", &none, &doc, &result, &err);
    if (rc == SHOAL_OK && (!json_bool(result, &deleted) || !deleted)) {
        rc = err_set(&err, SHOAL_ENOTFOUND, "Collection `%s` doesn't exist!", name);
    }
    json_free(doc);
    return finish(rc, &err, why);
}

int shoal_collection_info(struct shoal *db, const char *name, char **json, char *why)
{
    *json = NULL;
    struct errbuf err = {0};
    char path[PATH_MAX_LEN];
    enum shoal_err rc = print_path(path, name, "", &err);
    return rc != SHOAL_OK ? finish(rc, &err, why) : shoal_call(db, "GET", path, NULL, json, why);
}

int shoal_collection_list(struct shoal *db, char **json, char *why)
{
    return shoal_call(db, "GET", "/collections", NULL, json, why);
}

/* --- ids ------------------------------------------------------------------------------------ */

struct shoal_id shoal_id_number(uint64_t number)
{
    return (struct shoal_id){.number = number};
}

int shoal_id_parse(const char *text, struct shoal_id *out)
{
    struct point_id id;
    if (point_id_parse(slice_from_str(text), &id) != SHOAL_OK) {
        return SHOAL_E_INVALID;
    }
    *out = id_to_public(&id);
    return SHOAL_E_OK;
}

void shoal_id_print(const struct shoal_id *id, char out[37])
{
    struct point_id inner = id_from_public(id);
    (void)point_id_print(&inner, out);
}

static void put_id(struct json_writer *w, const struct shoal_id *id)
{
    char text[POINT_ID_TEXT_MAX];
    if (id->is_uuid) {
        shoal_id_print(id, text);
        json_put_str(w, text);
    } else {
        json_put_u64(w, id->number);
    }
}

static bool get_id(struct json_value v, struct shoal_id *out)
{
    struct slice text;
    struct point_id id;
    if (json_u64(v, &out->number)) {
        out->is_uuid = false;
        return true;
    }
    if (!json_string(v, &text) || point_id_parse_uuid(text, &id) != SHOAL_OK) {
        return false;
    }
    *out = id_to_public(&id);
    return true;
}

/* --- points --------------------------------------------------------------------------------- */

int shoal_upsert(struct shoal *db, const char *collection, const struct shoal_points *points,
                 char *why)
{
    struct errbuf err = {0};
    uint8_t op_id[16];
    if (points->operation_id != NULL) {
        memcpy(op_id, points->operation_id, sizeof(op_id));
    } else {
        const struct rand_source *r = rand_system();
        r->fill(r->arg, op_id, sizeof(op_id));
    }
    if (points->len == 0) {
        return finish(SHOAL_OK, NULL, why);
    }
    enum shoal_err rc = db->backend->ops->upsert(db->backend, collection, points, op_id,
                                                 db->timeout_ms, &err);
    return finish(rc, &err, why);
}

static void begin_body(struct json_writer *w, struct buf *body)
{
    buf_init(body, BODY_MAX);
    json_writer_init(w, body);
    json_begin_object(w);
}

static void put_ids(struct json_writer *w, const char *key, const struct shoal_id *ids, size_t len)
{
    json_key(w, key);
    json_begin_array(w);
    for (size_t i = 0; i < len; i++) {
        put_id(w, &ids[i]);
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
    struct errbuf err = {0};
    struct buf body;
    struct json_writer w;
    begin_body(&w, &body);
    if (filter == NULL) {
        put_ids(&w, "points", ids, len);
    } else {
        put_filter(&w, filter);
    }
    json_end_object(&w);
    enum shoal_err rc =
        call_plain(db, "POST", collection, "/points/delete?wait=true", &body, &err);
    buf_release(&body);
    return finish(rc, &err, why);
}

int shoal_delete(struct shoal *db, const char *collection, const struct shoal_id *ids, size_t len,
                 char *why)
{
    return delete_points(db, collection, ids, len, NULL, why);
}

int shoal_delete_where(struct shoal *db, const char *collection, const char *filter, char *why)
{
    if (filter == NULL || filter[0] == '\0') {
        struct errbuf err = {0};
        return finish(err_set(&err, SHOAL_EINVAL, "a filter is needed; {} means every point"),
                      &err, why);
    }
    return delete_points(db, collection, NULL, 0, filter, why);
}

int shoal_count(struct shoal *db, const char *collection, const char *filter, uint64_t *out,
                char *why)
{
    *out = 0;
    struct errbuf err = {0};
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
    enum shoal_err rc =
        call_json(db, "POST", collection, "/points/count", &body, &doc, &result, &err);
    if (rc == SHOAL_OK && (!json_get(result, "count", &count) || !json_u64(count, out))) {
        rc = err_set(&err, SHOAL_EPROTO, "the answer has no count");
    }
    json_free(doc);
    buf_release(&body);
    return finish(rc, &err, why);
}

int shoal_search(struct shoal *db, const char *collection, const struct shoal_search *search,
                 struct shoal_hits **out, char *why)
{
    *out = NULL;
    struct errbuf err = {0};
    struct shoal_search s = *search;
    s.limit = s.limit == 0 ? DEFAULT_LIMIT : s.limit;
    enum shoal_err rc =
        db->backend->ops->search(db->backend, collection, &s, db->timeout_ms, out, &err);
    return finish(rc, &err, why);
}

/* --- records -------------------------------------------------------------------------------- */

static enum shoal_err take_record(struct hits *h, struct shoal_hit *hit, struct json_value v)
{
    struct json_value member;
    if (!json_get(v, "id", &member) || !get_id(member, &hit->id)) {
        return SHOAL_EPROTO;
    }
    if (json_get(v, "payload", &member) && json_kind(member) == JSON_OBJECT) {
        struct buf text;
        buf_init(&text, BODY_MAX);
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
    struct errbuf err = {0};
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
    enum shoal_err rc = call_json(db, "POST", collection, "/points", &body, &doc, &result, &err);
    if (rc == SHOAL_OK) {
        rc = take_records(result, out, &err);
    }
    json_free(doc);
    buf_release(&body);
    return finish(rc, &err, why);
}

static enum shoal_err take_page(struct json_value result, struct shoal_hits **out,
                                struct shoal_id *next, bool *more, struct errbuf *why)
{
    struct json_value points;
    struct json_value offset;
    if (!json_get(result, "points", &points) ||
        !json_get(result, "next_page_offset", &offset)) {
        return err_set(why, SHOAL_EPROTO, "the answer has no page");
    }
    *more = get_id(offset, next);
    return take_records(points, out, why);
}

int shoal_scroll(struct shoal *db, const char *collection, const struct shoal_id *offset,
                 uint32_t limit, const char *filter, bool with_payload, bool with_vector,
                 struct shoal_hits **out, struct shoal_id *next, bool *more, char *why)
{
    *out = NULL;
    *more = false;
    struct errbuf err = {0};
    struct buf body;
    struct json_writer w;
    begin_body(&w, &body);
    put_u64(&w, "limit", limit == 0 ? DEFAULT_LIMIT : limit);
    json_key(&w, "with_payload");
    json_put_bool(&w, with_payload);
    json_key(&w, "with_vector");
    json_put_bool(&w, with_vector);
    put_filter(&w, filter);
    if (offset != NULL) {
        json_key(&w, "offset");
        put_id(&w, offset);
    }
    json_end_object(&w);
    struct json_doc *doc = NULL;
    struct json_value result;
    enum shoal_err rc =
        call_json(db, "POST", collection, "/points/scroll", &body, &doc, &result, &err);
    if (rc == SHOAL_OK) {
        rc = take_page(result, out, next, more, &err);
    }
    json_free(doc);
    buf_release(&body);
    return finish(rc, &err, why);
}

/* --- asking --------------------------------------------------------------------------------- */

struct listener {
    bool (*event)(void *arg, const char *json);
    void *arg;
    enum shoal_err rc;
};

static bool on_piece(void *arg, struct slice json)
{
    struct listener *l = arg;
    char *text = mem_strndup(json.data, json.len);
    if (text == NULL) {
        l->rc = SHOAL_ENOMEM;
        return false;
    }
    bool more = l->event(l->arg, text);
    mem_free(text);
    return more;
}

int shoal_ask(struct shoal *db, const char *collection, const char *json_request,
              bool (*event)(void *arg, const char *json), void *arg, char *why)
{
    struct errbuf err = {0};
    char path[3 + PATH_MAX_LEN] = "/v1";
    enum shoal_err rc = print_path(path + 3, collection, "/ask", &err);
    struct listener l = {.event = event, .arg = arg, .rc = SHOAL_OK};
    if (rc == SHOAL_OK) {
        rc = db->backend->ops->stream(db->backend, "POST", path, slice_from_str(json_request),
                                      db->timeout_ms, on_piece, &l, &err);
    }
    return finish(l.rc != SHOAL_OK ? l.rc : rc, &err, why);
}
