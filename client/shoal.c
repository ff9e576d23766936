/* The public calls but those on points. Everything but upserts, searches and streams is a route of
 * the HTTP API, made and read here as JSON, so that C and HTTP users get the same answers. */
#include "client/shoal.h"

#include "base/mem.h"
#include "client/handle.h"
#include "client/hits.h"

#include <stdio.h>
#include <string.h>

#define DEFAULT_TIMEOUT_MS 30000

static const char *const distances[] = { "Cosine", "Dot", "Euclid", "Manhattan" };

int handle__finish(enum shoal_err rc, const struct errbuf *from, char *why)
{
    if (why != NULL) {
        snprintf(why, SHOAL_WHY_MAX, "%s", rc == SHOAL_OK ? "" : err_why(from, rc));
    }
    switch (rc) {
    case SHOAL_EVALIDATION:
    case SHOAL_ECONFLICT:
    case SHOAL_EPARSE: return SHOAL_E_INVALID;
    case SHOAL_ENOTLEADER: return SHOAL_E_UNAVAILABLE;
    default: return (int)rc;
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
    struct errbuf err = { 0 };
    if (options != NULL && options->api_key != NULL) {
        return handle__finish(err_set(&err, SHOAL_EUNSUPPORTED, "API keys are not supported yet"),
                              &err, why);
    }
    struct shoal *db = mem_calloc(1, sizeof(*db));
    if (db == NULL) {
        return handle__finish(SHOAL_ENOMEM, NULL, why);
    }
    db->timeout_ms = options != NULL && options->timeout_ms > 0 ? options->timeout_ms
                                                                : DEFAULT_TIMEOUT_MS;
    enum shoal_err rc;
    if (url == NULL) {
        rc = err_set(&err, SHOAL_EINVAL, "an address is needed: shoal://HOST:PORT or file:///DIR");
    } else if (strncmp(url, "shoal://", 8) == 0) {
        rc = backend_remote_open(url + 8, &db->backend, &err);
    } else if (strncmp(url, "file://", 7) == 0) {
        rc = backend_embedded_open(url + 7, &db->backend, &err);
    } else {
        rc = err_set(&err, SHOAL_EINVAL,
                     "\"%s\" is no address; give shoal://HOST:PORT or file:///DIR", url);
    }
    if (rc != SHOAL_OK) {
        mem_free(db);
        return handle__finish(rc, &err, why);
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

enum shoal_err handle__path(char out[HANDLE_PATH_MAX], const char *name, const char *rest,
                            struct errbuf *why)
{
    if (name == NULL || name[0] == '\0') {
        return err_set(why, SHOAL_EINVAL, "a collection's name is needed");
    }
    size_t at = (size_t)snprintf(out, HANDLE_PATH_MAX, "/collections/");
    for (const unsigned char *c = (const unsigned char *)name; *c != '\0'; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || strchr("-_.~", *c) != NULL;
        if (at + 4 >= HANDLE_PATH_MAX) {
            return err_set(why, SHOAL_EINVAL, "the collection's name is too long");
        }
        at += (size_t)snprintf(out + at, HANDLE_PATH_MAX - at, plain ? "%c" : "%%%02X", *c);
    }
    int n = snprintf(out + at, HANDLE_PATH_MAX - at, "%s", rest);
    return at + (size_t)n < HANDLE_PATH_MAX
               ? SHOAL_OK
               : err_set(why, SHOAL_EINVAL, "the collection's name is too long");
}

static enum shoal_err parse_answer(const char *json, struct json_doc **doc,
                                   struct json_value *result, struct errbuf *why)
{
    enum shoal_err rc = json_parse(slice_from_str(json), doc, why);
    if (rc == SHOAL_EPARSE) {
        return err_prefix(why, SHOAL_EPROTO, "the answer");
    }
    if (rc == SHOAL_OK && !json_get(json_root(*doc), "result", result)) {
        json_free(*doc);
        *doc = NULL;
        return err_set(why, SHOAL_EPROTO, "the answer has no result");
    }
    return rc;
}

enum shoal_err handle__call(struct shoal *db, const char *method, const char *name,
                            const char *rest, const struct buf *body, struct json_doc **doc,
                            struct json_value *result, struct errbuf *why)
{
    char path[HANDLE_PATH_MAX];
    char *json = NULL;
    if (body->failed != SHOAL_OK) {
        return err_set(why, body->failed, "the request: %s", err_text(body->failed));
    }
    enum shoal_err rc = handle__path(path, name, rest, why);
    if (rc == SHOAL_OK) {
        rc = db->backend->ops->call(db->backend, method, path, buf_slice(body), db->timeout_ms,
                                    &json, why);
    }
    if (rc == SHOAL_OK) {
        rc = parse_answer(json, doc, result, why);
    }
    mem_free(json);
    return rc;
}

enum shoal_err handle__call_plain(struct shoal *db, const char *method, const char *name,
                                  const char *rest, const struct buf *body, struct errbuf *why)
{
    struct json_doc *doc = NULL;
    struct json_value result;
    enum shoal_err rc = handle__call(db, method, name, rest, body, &doc, &result, why);
    json_free(doc);
    return rc;
}

int shoal_call(struct shoal *db, const char *method, const char *path, const char *body,
               char **json, char *why)
{
    *json = NULL;
    struct errbuf err = { 0 };
    if (method == NULL || path == NULL || path[0] != '/') {
        return handle__finish(err_set(&err, SHOAL_EINVAL,
                                      "a method and a path that begins with / are "
                                      "needed"),
                              &err, why);
    }
    enum shoal_err rc = db->backend->ops->call(db->backend, method, path, slice_from_str(body),
                                               db->timeout_ms, json, &err);
    return handle__finish(rc, &err, why);
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

int shoal_collection_create(struct shoal *db, const char *name, const struct shoal_collection *c,
                            char *why)
{
    struct errbuf err = { 0 };
    if ((unsigned)c->distance > SHOAL_MANHATTAN) {
        return handle__finish(err_set(&err, SHOAL_EINVAL, "unknown distance"), &err, why);
    }
    struct buf body;
    buf_init(&body, HANDLE_BODY_MAX);
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
    enum shoal_err rc = handle__call_plain(db, "PUT", name, "", &body, &err);
    buf_release(&body);
    return handle__finish(rc, &err, why);
}

int shoal_collection_delete(struct shoal *db, const char *name, char *why)
{
    struct errbuf err = { 0 };
    struct json_doc *doc = NULL;
    struct json_value result;
    struct buf none;
    bool deleted = false;
    buf_init(&none, 1);
    enum shoal_err rc = handle__call(db, "DELETE", name, "", &none, &doc, &result, &err);
    if (rc == SHOAL_OK && (!json_bool(result, &deleted) || !deleted)) {
        rc = err_set(&err, SHOAL_ENOTFOUND, "Collection `%s` doesn't exist!", name);
    }
    json_free(doc);
    return handle__finish(rc, &err, why);
}

int shoal_collection_info(struct shoal *db, const char *name, char **json, char *why)
{
    *json = NULL;
    struct errbuf err = { 0 };
    char path[HANDLE_PATH_MAX];
    enum shoal_err rc = handle__path(path, name, "", &err);
    return rc != SHOAL_OK ? handle__finish(rc, &err, why)
                          : shoal_call(db, "GET", path, NULL, json, why);
}

int shoal_collection_list(struct shoal *db, char **json, char *why)
{
    return shoal_call(db, "GET", "/collections", NULL, json, why);
}

/* --- ids ------------------------------------------------------------------------------------ */

struct shoal_id shoal_id_number(uint64_t number)
{
    return (struct shoal_id){ .number = number };
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

void id__put(struct json_writer *w, const struct shoal_id *id)
{
    char text[POINT_ID_TEXT_MAX];
    if (id->is_uuid) {
        shoal_id_print(id, text);
        json_put_str(w, text);
    } else {
        json_put_u64(w, id->number);
    }
}

bool id__get(struct json_value v, struct shoal_id *out)
{
    struct slice text;
    struct point_id id;
    uint64_t number;
    if (json_u64(v, &number)) {
        *out = shoal_id_number(number);
        return true;
    }
    if (!json_string(v, &text) || point_id_parse_uuid(text, &id) != SHOAL_OK) {
        return false;
    }
    *out = id_to_public(&id);
    return true;
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
    struct errbuf err = { 0 };
    char path[3 + HANDLE_PATH_MAX] = "/v1";
    enum shoal_err rc = handle__path(path + 3, collection, "/ask", &err);
    struct listener l = { .event = event, .arg = arg, .rc = SHOAL_OK };
    if (rc == SHOAL_OK) {
        rc = db->backend->ops->stream(db->backend, "POST", path, slice_from_str(json_request),
                                      db->timeout_ms, on_piece, &l, &err);
    }
    return handle__finish(l.rc != SHOAL_OK ? l.rc : rc, &err, why);
}
