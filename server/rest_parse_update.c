/* Bodies of updates.
 *
 * An upsert is gone through twice: first everything is looked at but the numbers, then there is
 * room made for exactly the rows that are there, and they are read straight into it. */
#include "server/rest_take.h"

#include "base/mem.h"
#include "shard/payload.h"

#include <assert.h>

/* --- upsert --------------------------------------------------------------------------------- */

struct point {
    struct point_id id;
    struct json_value row; /* an array of dim elements */
    struct json_value payload;
    bool has_payload;
};

struct points {
    struct point *list;
    size_t len;
};

static enum shoal_err read_rows(const struct rest_parser *p, const struct points *points,
                                const float **out, size_t *bad)
{
    size_t floats = 0;
    size_t bytes = 0;
    if (!size_mul(points->len, p->dim, &floats) || !size_mul(floats, sizeof(float), &bytes)) {
        return SHOAL_ENOMEM;
    }
    float *rows = arena_alloc(p->arena, bytes);
    if (rows == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t i = 0; i < points->len; i++) {
        enum shoal_err rc = rest_read_row(p, points->list[i].row, rows + i * p->dim);
        if (rc != SHOAL_OK) {
            *bad = i;
            return rc;
        }
    }
    *out = rows;
    return SHOAL_OK;
}

/* All payloads go through one buffer, since a batch may have many small ones. */
static enum shoal_err print_payloads(const struct rest_parser *p, const struct points *points,
                                     struct buf *text, struct slice *out)
{
    for (size_t i = 0; i < points->len; i++) {
        size_t begin = text->len;
        if (points->list[i].has_payload) {
            (void)json_print(points->list[i].payload, text);
        }
        out[i].len = text->len - begin;
    }
    if (text->failed != SHOAL_OK) {
        return SHOAL_ENOMEM;
    }
    const char *at = arena_strndup(p->arena, text->data, text->len);
    if (at == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t i = 0; i < points->len; i++) {
        out[i].data = at;
        at += out[i].len;
    }
    return SHOAL_OK;
}

/* Makes the op of what was found. *bad is the point whose row is refused. */
static enum shoal_err fill_upsert(const struct rest_parser *p, const struct points *points,
                                  struct op *out, size_t *bad)
{
    struct point_id *ids = arena_array(p->arena, points->len, sizeof(*ids));
    struct slice *payloads = arena_array(p->arena, points->len, sizeof(*payloads));
    const float *rows = NULL;
    if (ids == NULL || payloads == NULL) {
        return SHOAL_ENOMEM;
    }
    enum shoal_err rc = read_rows(p, points, &rows, bad);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct buf text;
    buf_init(&text, p->arena->max);
    rc = print_payloads(p, points, &text, payloads);
    buf_release(&text);
    if (rc != SHOAL_OK) {
        return rc;
    }
    for (size_t i = 0; i < points->len; i++) {
        ids[i] = points->list[i].id;
    }
    out->points_len = (uint32_t)points->len;
    out->points = ids;
    out->vectors = rows;
    out->payloads = payloads;
    return SHOAL_OK;
}

static enum shoal_err point_id(const struct rest_parser *p, struct json_value v, void *out)
{
    struct point *point = out;
    return rest_take_id(p, v, &point->id);
}

static enum shoal_err point_vector(const struct rest_parser *p, struct json_value v, void *out)
{
    struct point *point = out;
    return rest_find_row(p, v, &point->row);
}

static enum shoal_err point_payload(const struct rest_parser *p, struct json_value v, void *out)
{
    struct point *point = out;
    point->payload = v;
    point->has_payload = true;
    return rest_take_object_hint(p, v, NULL);
}

static enum shoal_err points_room(const struct rest_parser *p, struct json_value v,
                                  struct points *out)
{
    void *room = NULL;
    enum shoal_err rc = rest_room(p, v, "points", OP_POINTS_MAX, sizeof(struct point), &room,
                                  &out->len);
    out->list = room;
    return rc;
}

/* What the two forms fill. */
struct upsert {
    struct op *op;
    bool points, batch;
};

static enum shoal_err take_points(const struct rest_parser *p, struct json_value v, void *out)
{
    static const struct rest_key keys[] = {
        { .name = "id", .take = point_id, .required = true },
        { .name = "vector", .take = point_vector, .required = true },
        { .name = "vectors", .take = point_vector, .alias = true },
        { .name = "payload", .take = point_payload },
    };
    struct upsert *u = out;
    struct points points;
    u->points = true;
    enum shoal_err rc = points_room(p, v, &points);
    struct json_value item;
    size_t i = 0;
    for (struct json_iter it = json_iter(v); rc == SHOAL_OK && json_next(&it, NULL, &item); i++) {
        rc = REST_WALK(p, item, keys, &points.list[i]);
        if (rc != SHOAL_OK) {
            return rest_at_index(p, rc, i);
        }
    }
    if (rc == SHOAL_OK) {
        rc = fill_upsert(p, &points, u->op, &i);
        if (rc != SHOAL_OK) {
            rc = rest_at_index(p, rest_at(p, rc, SLICE_LIT("vector")), i);
        }
    }
    return rc;
}

/* --- upsert by columns ------------------------------------------------------------------------ */

struct batch {
    struct rest_ids ids;
    struct json_value vectors; /* an array */
    struct json_value payloads;
    bool has_payloads;
};

static enum shoal_err batch_ids(const struct rest_parser *p, struct json_value v, void *out)
{
    struct batch *b = out;
    return rest_take_ids(p, v, &b->ids);
}

static enum shoal_err batch_vectors(const struct rest_parser *p, struct json_value v, void *out)
{
    struct batch *b = out;
    b->vectors = v;
    if (json_kind(v) == JSON_OBJECT) {
        enum shoal_err rc = rest_find_unnamed(p, v, &b->vectors);
        if (rc != SHOAL_OK) {
            return rc;
        }
    }
    return json_kind(b->vectors) == JSON_ARRAY ? SHOAL_OK
                                               : rest_wrong(p, b->vectors, "an array of vectors");
}

static enum shoal_err batch_payloads(const struct rest_parser *p, struct json_value v, void *out)
{
    struct batch *b = out;
    b->payloads = v;
    b->has_payloads = true;
    return json_kind(v) == JSON_ARRAY ? SHOAL_OK : rest_wrong(p, v, "an array");
}

static enum shoal_err check_columns(const struct rest_parser *p, const struct batch *b)
{
    size_t vectors = json_len(b->vectors);
    if (vectors != b->ids.len) {
        return err_set(p->why, SHOAL_EINVAL, "number of ids and vectors must be equal (%zu != %zu)",
                       b->ids.len, vectors);
    }
    size_t payloads = b->has_payloads ? json_len(b->payloads) : b->ids.len;
    if (payloads != b->ids.len) {
        return err_set(p->why, SHOAL_EINVAL,
                       "number of ids and payloads must be equal (%zu != %zu)", b->ids.len,
                       payloads);
    }
    return SHOAL_OK;
}

static enum shoal_err join_columns(const struct rest_parser *p, const struct batch *b,
                                   struct points *out)
{
    struct json_value item;
    size_t i = 0;
    for (struct json_iter it = json_iter(b->vectors); json_next(&it, NULL, &item); i++) {
        out->list[i].id = b->ids.list[i];
        enum shoal_err rc = rest_find_row(p, item, &out->list[i].row);
        if (rc != SHOAL_OK) {
            return rest_at(p, rest_at_index(p, rc, i), SLICE_LIT("vectors"));
        }
    }
    if (!b->has_payloads) {
        return SHOAL_OK;
    }
    i = 0;
    for (struct json_iter it = json_iter(b->payloads); json_next(&it, NULL, &item); i++) {
        if (json_kind(item) == JSON_NULL) {
            continue;
        }
        enum shoal_err rc = point_payload(p, item, &out->list[i]);
        if (rc != SHOAL_OK) {
            return rest_at(p, rest_at_index(p, rc, i), SLICE_LIT("payloads"));
        }
    }
    return SHOAL_OK;
}

static enum shoal_err take_batch(const struct rest_parser *p, struct json_value v, void *out)
{
    static const struct rest_key keys[] = {
        { .name = "ids", .take = batch_ids, .required = true },
        { .name = "vectors", .take = batch_vectors, .required = true },
        { .name = "payloads", .take = batch_payloads },
    };
    struct upsert *u = out;
    struct batch b = { 0 };
    struct points points = { 0 };
    size_t bad = 0;
    u->batch = true;
    enum shoal_err rc = REST_WALK(p, v, keys, &b);
    if (rc == SHOAL_OK) {
        rc = check_columns(p, &b);
    }
    if (rc == SHOAL_OK) {
        rc = points_room(p, b.vectors, &points);
    }
    if (rc == SHOAL_OK) {
        rc = join_columns(p, &b, &points);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = fill_upsert(p, &points, u->op, &bad);
    return rc == SHOAL_OK ? SHOAL_OK : rest_at(p, rest_at_index(p, rc, bad), SLICE_LIT("vectors"));
}

static enum shoal_err take_update_mode(const struct rest_parser *p, struct json_value v, void *out)
{
    struct slice mode;
    (void)out;
    if (!json_string(v, &mode)) {
        return rest_wrong(p, v, "a string");
    }
    if (slice_is(mode, "upsert")) {
        return SHOAL_OK;
    }
    if (slice_is(mode, "insert_only") || slice_is(mode, "update_only")) {
        return err_set(p->why, SHOAL_EUNSUPPORTED, "%.*s is not supported yet", (int)mode.len,
                       mode.data);
    }
    return err_set(p->why, SHOAL_EPARSE, "must be upsert, insert_only or update_only");
}

enum shoal_err rest_parse_upsert(const struct rest_parser *p, struct json_value body,
                                 struct op *out)
{
    static const struct rest_key keys[] = {
        { .name = "points", .take = take_points },
        { .name = "batch", .take = take_batch },
        { .name = "update_mode", .take = take_update_mode },
        { .name = "update_filter" },
        { .name = "shard_key" },
    };
    struct upsert u = { .op = out };
    *out = (struct op){ .kind = OP_UPSERT, .dim = p->dim };
    enum shoal_err rc = REST_WALK(p, body, keys, &u);
    if (rc == SHOAL_OK && u.points == u.batch) {
        return err_set(p->why, SHOAL_EPARSE, "%s",
                       u.points ? "give \"points\" or \"batch\", not both"
                                : "key \"points\" or \"batch\" is missing");
    }
    return rc;
}

/* --- the points that an update is about ------------------------------------------------------- */

struct selection {
    struct op *op;
    struct slice *payload; /* op's, in the arena */
    bool points, filter;
};

static enum shoal_err select_points(const struct rest_parser *p, struct json_value v, void *out)
{
    struct selection *s = out;
    struct rest_ids ids;
    s->points = true;
    enum shoal_err rc = rest_take_ids(p, v, &ids);
    if (rc == SHOAL_OK) {
        s->op->points = ids.list;
        s->op->points_len = (uint32_t)ids.len;
    }
    return rc;
}

static enum shoal_err select_filter(const struct rest_parser *p, struct json_value v, void *out)
{
    struct selection *s = out;
    s->filter = true;
    return rest_take_filter(p, v, &s->op->filter);
}

/* Walks `keys`, of which two are "points" and "filter": exactly one of them is to be given. */
static enum shoal_err walk_selection(const struct rest_parser *p, struct json_value body,
                                     const struct rest_key *keys, size_t keys_len,
                                     enum op_kind kind, struct op *out)
{
    struct selection s = { .op = out };
    *out = (struct op){ .kind = kind };
    s.payload = arena_array(p->arena, 1, sizeof(*s.payload));
    if (s.payload == NULL) {
        return SHOAL_ENOMEM;
    }
    enum shoal_err rc = rest_walk_keys(p, body, keys, keys_len, &s);
    if (rc == SHOAL_OK && s.points == s.filter) {
        return err_set(p->why, SHOAL_EPARSE, "%s",
                       s.points ? "give \"points\" or \"filter\", not both"
                                : "key \"points\" or \"filter\" is missing");
    }
    out->payloads = s.payload->len > 0 ? s.payload : NULL;
    return rc;
}

static enum shoal_err parse_selector(const struct rest_parser *p, struct json_value body,
                                     enum op_kind kind, struct op *out)
{
    static const struct rest_key keys[] = {
        { .name = "points", .take = select_points },
        { .name = "filter", .take = select_filter },
        { .name = "shard_key" },
    };
    return walk_selection(p, body, keys, sizeof(keys) / sizeof(keys[0]), kind, out);
}

enum shoal_err rest_parse_delete(const struct rest_parser *p, struct json_value body,
                                 struct op *out)
{
    return parse_selector(p, body, OP_DELETE, out);
}

enum shoal_err rest_parse_clear_payload(const struct rest_parser *p, struct json_value body,
                                        struct op *out)
{
    return parse_selector(p, body, OP_CLEAR_PAYLOAD, out);
}

/* --- payloads --------------------------------------------------------------------------------- */

static enum shoal_err take_payload(const struct rest_parser *p, struct json_value v, void *out)
{
    struct selection *s = out;
    return json_kind(v) == JSON_OBJECT ? rest_keep_json(p, v, s->payload)
                                       : rest_wrong(p, v, "an object");
}

static enum shoal_err take_payload_keys(const struct rest_parser *p, struct json_value v, void *out)
{
    struct selection *s = out;
    struct payload_keys *keys = NULL;
    enum shoal_err rc = rest_keep_json(p, v, s->payload);
    return rc == SHOAL_OK ? payload_keys_parse(*s->payload, p->arena, &keys, p->why) : rc;
}

enum shoal_err rest_parse_payload(const struct rest_parser *p, struct json_value body,
                                  enum op_kind kind, struct op *out)
{
    static const struct rest_key keys[] = {
        { .name = "payload", .take = take_payload, .required = true },
        { .name = "points", .take = select_points },
        { .name = "filter", .take = select_filter },
        { .name = "key" },
        { .name = "shard_key" },
    };
    assert(kind == OP_SET_PAYLOAD || kind == OP_OVERWRITE_PAYLOAD);
    return walk_selection(p, body, keys, sizeof(keys) / sizeof(keys[0]), kind, out);
}

enum shoal_err rest_parse_delete_payload(const struct rest_parser *p, struct json_value body,
                                         struct op *out)
{
    static const struct rest_key keys[] = {
        { .name = "keys", .take = take_payload_keys, .required = true },
        { .name = "points", .take = select_points },
        { .name = "filter", .take = select_filter },
        { .name = "shard_key" },
    };
    return walk_selection(p, body, keys, sizeof(keys) / sizeof(keys[0]), OP_DELETE_PAYLOAD, out);
}

/* --- several operations ----------------------------------------------------------------------- */

static enum shoal_err parse_set(const struct rest_parser *p, struct json_value v, struct op *out)
{
    return rest_parse_payload(p, v, OP_SET_PAYLOAD, out);
}

static enum shoal_err parse_overwrite(const struct rest_parser *p, struct json_value v,
                                      struct op *out)
{
    return rest_parse_payload(p, v, OP_OVERWRITE_PAYLOAD, out);
}

static enum shoal_err parse_vectors(const struct rest_parser *p, struct json_value v,
                                    struct op *out)
{
    (void)v;
    (void)out;
    return rest_unsupported(p, "changing vectors alone is");
}

static const struct {
    const char *name;
    enum shoal_err (*parse)(const struct rest_parser *p, struct json_value v, struct op *out);
} operations[] = {
    { "upsert", rest_parse_upsert },
    { "delete", rest_parse_delete },
    { "set_payload", parse_set },
    { "overwrite_payload", parse_overwrite },
    { "delete_payload", rest_parse_delete_payload },
    { "clear_payload", rest_parse_clear_payload },
    { "update_vectors", parse_vectors },
    { "delete_vectors", parse_vectors },
};

static enum shoal_err parse_operation(const struct rest_parser *p, struct json_value v,
                                      struct op *out)
{
    struct slice name;
    struct json_value body;
    enum shoal_err rc = rest_only_member(p, v, &name, &body);
    if (rc != SHOAL_OK) {
        return rc;
    }
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        if (slice_is(name, operations[i].name)) {
            rc = operations[i].parse(p, body, out);
            return rc == SHOAL_OK ? SHOAL_OK : rest_at(p, rc, name);
        }
    }
    return rest_unknown_key(p, name);
}

static enum shoal_err take_operations(const struct rest_parser *p, struct json_value v, void *out)
{
    struct rest_updates *updates = out;
    void *room = NULL;
    size_t len = 0;
    enum shoal_err rc = rest_room(p, v, "operations", REST_BATCH_MAX, sizeof(struct op), &room,
                                  &len);
    struct op *ops = room;
    struct json_value item;
    size_t i = 0;
    for (struct json_iter it = json_iter(v); rc == SHOAL_OK && json_next(&it, NULL, &item); i++) {
        rc = parse_operation(p, item, &ops[i]);
        if (rc != SHOAL_OK) {
            return rest_at_index(p, rc, i);
        }
    }
    if (rc == SHOAL_OK) {
        *updates = (struct rest_updates){ .ops = ops, .len = len };
    }
    return rc;
}

enum shoal_err rest_parse_update_batch(const struct rest_parser *p, struct json_value body,
                                       struct rest_updates *out)
{
    static const struct rest_key keys[] = {
        { .name = "operations", .take = take_operations, .required = true },
    };
    *out = (struct rest_updates){ 0 };
    return REST_WALK(p, body, keys, out);
}
