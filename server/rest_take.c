#include "server/rest_take.h"

#include "base/mem.h"
#include "shard/filter.h"

#include <assert.h>
#include <inttypes.h>

/* Of a client's own words in an error text. */
#define QUOTE_MAX 80

static int quoted(struct slice s)
{
    return (int)(s.len < QUOTE_MAX ? s.len : QUOTE_MAX);
}

/* --- objects and places --------------------------------------------------------------------- */

enum shoal_err rest_wrong(const struct rest_parser *p, struct json_value v, const char *wanted)
{
    return err_set(p->why, SHOAL_EPARSE, "must be %s, not %s", wanted,
                   json_kind_name(json_kind(v)));
}

enum shoal_err rest_unsupported(const struct rest_parser *p, const char *what)
{
    return err_set(p->why, SHOAL_EUNSUPPORTED, "%s not supported yet", what);
}

enum shoal_err rest_unknown_key(const struct rest_parser *p, struct slice key)
{
    return err_set(p->why, SHOAL_EPARSE, "unknown key \"%.*s\"", quoted(key), key.data);
}

static bool speaks_of_a_value(enum shoal_err rc)
{
    return rc == SHOAL_EPARSE || rc == SHOAL_EINVAL || rc == SHOAL_EVALIDATION ||
           rc == SHOAL_EUNSUPPORTED;
}

enum shoal_err rest_at(const struct rest_parser *p, enum shoal_err rc, struct slice name)
{
    if (!speaks_of_a_value(rc) || p->why == NULL) {
        return rc;
    }
    if (p->why->text[0] == '[') { /* an index follows its array's name at once */
        return err_set(p->why, rc, "%.*s%s", quoted(name), name.data, p->why->text);
    }
    return err_prefix(p->why, rc, "%.*s", quoted(name), name.data);
}

enum shoal_err rest_at_index(const struct rest_parser *p, enum shoal_err rc, size_t index)
{
    return speaks_of_a_value(rc) ? err_prefix(p->why, rc, "[%zu]", index) : rc;
}

static enum shoal_err take_member(const struct rest_parser *p, const struct rest_key *key,
                                  struct json_value v, void *out)
{
    if (json_kind(v) == JSON_NULL) {
        return SHOAL_OK;
    }
    enum shoal_err rc = key->take != NULL ? key->take(p, v, out)
                                          : err_set(p->why, SHOAL_EUNSUPPORTED,
                                                    "not supported yet; leave it out");
    return rc == SHOAL_OK ? SHOAL_OK : rest_at(p, rc, slice_from_str(key->name));
}

enum shoal_err rest_walk_keys(const struct rest_parser *p, struct json_value v,
                              const struct rest_key *keys, size_t keys_len, void *out)
{
    assert(keys_len <= REST_KEYS_MAX);
    if (json_kind(v) != JSON_OBJECT) {
        return rest_wrong(p, v, "an object");
    }
    uint32_t seen = 0;
    uint32_t given = 0;
    struct slice name;
    struct json_value member;
    for (struct json_iter it = json_iter(v); json_next(&it, &name, &member);) {
        size_t k = 0;
        while (k < keys_len && !slice_is(name, keys[k].name)) {
            k++;
        }
        if (k == keys_len) {
            return rest_unknown_key(p, name);
        }
        assert(k > 0 || !keys[k].alias);
        const size_t first = k - keys[k].alias; /* of the names it may have */
        const uint32_t bit = UINT32_C(1) << first;
        if ((seen & bit) != 0) {
            return err_set(p->why, SHOAL_EPARSE, "key \"%s\" is given twice", keys[first].name);
        }
        seen |= bit;
        given |= json_kind(member) == JSON_NULL ? 0 : bit;
        enum shoal_err rc = take_member(p, &keys[k], member, out);
        if (rc != SHOAL_OK) {
            return rc;
        }
    }
    for (size_t k = 0; k < keys_len; k++) {
        if (keys[k].required && (given >> k & 1) == 0) {
            return err_set(p->why, SHOAL_EPARSE, "key \"%s\" is missing", keys[k].name);
        }
    }
    return SHOAL_OK;
}

enum shoal_err rest_only_member(const struct rest_parser *p, struct json_value v, struct slice *key,
                                struct json_value *member)
{
    if (json_kind(v) != JSON_OBJECT) {
        return rest_wrong(p, v, "an object");
    }
    if (json_len(v) != 1) {
        return err_set(p->why, SHOAL_EPARSE, "must have exactly one key, not %zu", json_len(v));
    }
    struct json_iter it = json_iter(v);
    bool there = json_next(&it, key, member);
    assert(there);
    (void)there;
    return SHOAL_OK;
}

enum shoal_err rest_room(const struct rest_parser *p, struct json_value v, const char *nouns,
                         size_t max, size_t size, void **out, size_t *len)
{
    *out = NULL;
    *len = 0;
    if (json_kind(v) != JSON_ARRAY) {
        return rest_wrong(p, v, "an array");
    }
    size_t n = json_len(v);
    if (n > max) {
        return err_set(p->why, SHOAL_ETOOBIG, "%zu %s in one request; send at most %zu at a time",
                       n, nouns, max);
    }
    *out = arena_array(p->arena, n, size);
    if (*out == NULL) {
        return SHOAL_ENOMEM;
    }
    *len = n;
    return SHOAL_OK;
}

/* --- values --------------------------------------------------------------------------------- */

enum shoal_err rest_keep_json(const struct rest_parser *p, struct json_value v, struct slice *out)
{
    struct buf text;
    buf_init(&text, p->arena->max);
    enum shoal_err rc = json_print(v, &text);
    if (rc == SHOAL_OK) {
        char *copy = arena_strndup(p->arena, text.data, text.len);
        *out = slice_make(copy, text.len);
        rc = copy == NULL ? SHOAL_ENOMEM : SHOAL_OK;
    }
    buf_release(&text);
    return rc == SHOAL_OK ? SHOAL_OK : SHOAL_ENOMEM; /* more than the arena holds is no less */
}

enum shoal_err rest_take_bool(const struct rest_parser *p, struct json_value v, void *bool_out)
{
    bool *out = bool_out;
    return json_bool(v, out) ? SHOAL_OK : rest_wrong(p, v, "true or false");
}

enum shoal_err rest_take_bool_hint(const struct rest_parser *p, struct json_value v, void *unused)
{
    bool hint = false;
    (void)unused;
    return rest_take_bool(p, v, &hint);
}

enum shoal_err rest_take_object_hint(const struct rest_parser *p, struct json_value v, void *unused)
{
    (void)unused;
    return json_kind(v) == JSON_OBJECT ? SHOAL_OK : rest_wrong(p, v, "an object");
}

enum shoal_err rest_take_u32(const struct rest_parser *p, struct json_value v, uint32_t min,
                             uint32_t max, uint32_t *out)
{
    int64_t below = 0;
    uint64_t n = 0;
    if (json_kind(v) == JSON_I64 && json_i64(v, &below)) {
        return err_set(p->why, SHOAL_EVALIDATION,
                       "value %" PRId64 " invalid, must be %" PRIu32 " or larger", below, min);
    }
    if (!json_u64(v, &n)) {
        return rest_wrong(p, v, "a whole number");
    }
    if (n < min) {
        return err_set(p->why, SHOAL_EVALIDATION,
                       "value %" PRIu64 " invalid, must be %" PRIu32 " or larger", n, min);
    }
    if (n > max) {
        return err_set(p->why, SHOAL_EVALIDATION,
                       "value %" PRIu64 " invalid, must be %" PRIu32 " or smaller", n, max);
    }
    *out = (uint32_t)n;
    return SHOAL_OK;
}

enum shoal_err rest_take_limit(const struct rest_parser *p, struct json_value v, void *u32_out)
{
    return rest_take_u32(p, v, 1, UINT32_MAX, u32_out);
}

static enum shoal_err no_id(const struct rest_parser *p, struct json_value v)
{
    if (json_kind(v) == JSON_ARRAY || json_kind(v) == JSON_OBJECT) {
        return rest_wrong(p, v, "an unsigned integer or a UUID");
    }
    struct buf text;
    buf_init(&text, p->arena->max);
    enum shoal_err rc = json_print(v, &text);
    if (rc == SHOAL_OK) {
        rc = err_set(p->why, SHOAL_EPARSE,
                     "value %.*s is not a valid point ID, valid values are either an unsigned "
                     "integer or a UUID",
                     quoted(buf_slice(&text)), text.data);
    }
    buf_release(&text);
    return rc == SHOAL_EPARSE ? rc : SHOAL_ENOMEM;
}

enum shoal_err rest_take_id(const struct rest_parser *p, struct json_value v, void *id_out)
{
    struct point_id *out = id_out;
    struct slice text;
    uint64_t num = 0;
    if (json_u64(v, &num)) {
        *out = point_id_num(num);
        return SHOAL_OK;
    }
    if (json_string(v, &text) && point_id_parse_uuid(text, out) == SHOAL_OK) {
        return SHOAL_OK;
    }
    return no_id(p, v);
}

enum shoal_err rest_take_ids(const struct rest_parser *p, struct json_value v, void *ids_out)
{
    struct rest_ids *out = ids_out;
    void *room = NULL;
    size_t len = 0;
    enum shoal_err rc = rest_room(p, v, "ids", OP_POINTS_MAX, sizeof(struct point_id), &room, &len);
    if (rc != SHOAL_OK) {
        return rc;
    }
    assert(room != NULL);
    struct point_id *ids = room;
    struct json_value item;
    size_t i = 0;
    for (struct json_iter it = json_iter(v); json_next(&it, NULL, &item); i++) {
        rc = rest_take_id(p, item, &ids[i]);
        if (rc != SHOAL_OK) {
            return rest_at_index(p, rc, i);
        }
    }
    assert(i == len);
    *out = (struct rest_ids){ .list = ids, .len = len };
    return SHOAL_OK;
}

enum shoal_err rest_take_filter(const struct rest_parser *p, struct json_value v, void *slice_out)
{
    static const char own[] = "filter: "; /* filter_parse says it, and so will our caller */
    struct filter *filter = NULL;
    enum shoal_err rc = filter_parse(v, &filter, p->why);
    filter_free(filter);
    if (rc == SHOAL_OK) {
        return rest_keep_json(p, v, slice_out);
    }
    if (p->why != NULL && strncmp(p->why->text, own, sizeof(own) - 1) == 0) {
        return err_set(p->why, rc, "%s", p->why->text + sizeof(own) - 1);
    }
    return rc;
}

enum shoal_err rest_take_with_payload(const struct rest_parser *p, struct json_value v,
                                      void *select_out)
{
    return rest_select_parse(v, p->arena, select_out, p->why);
}

/* --- names of vectors ------------------------------------------------------------------------- */

static enum shoal_err check_name(const struct rest_parser *p, struct slice name)
{
    return name.len == 0 ? SHOAL_OK
                         : err_set(p->why, SHOAL_EINVAL, "Not existing vector name error: %.*s",
                                   quoted(name), name.data);
}

enum shoal_err rest_take_using(const struct rest_parser *p, struct json_value v, void *unused)
{
    struct slice name;
    (void)unused;
    return json_string(v, &name) ? check_name(p, name) : rest_wrong(p, v, "a string");
}

enum shoal_err rest_take_with_vector(const struct rest_parser *p, struct json_value v,
                                     void *bool_out)
{
    bool *out = bool_out;
    if (json_kind(v) != JSON_ARRAY) {
        return json_bool(v, out) ? SHOAL_OK
                                 : rest_wrong(p, v, "true, false or an array of vector names");
    }
    struct json_value item;
    size_t i = 0;
    for (struct json_iter it = json_iter(v); json_next(&it, NULL, &item); i++) {
        enum shoal_err rc = rest_take_using(p, item, NULL);
        if (rc != SHOAL_OK) {
            return rest_at_index(p, rc, i);
        }
    }
    *out = i > 0;
    return SHOAL_OK;
}

/* --- vectors -------------------------------------------------------------------------------- */

static bool has(struct json_value v, const char *key, enum json_kind kind)
{
    struct json_value member;
    return json_get(v, key, &member) && json_kind(member) == kind;
}

/* The API's vectors that are not built, told from a map of names by what their members are. */
static enum shoal_err refuse_other_vectors(const struct rest_parser *p, struct json_value v)
{
    if (has(v, "indices", JSON_ARRAY)) {
        return rest_unsupported(p, "sparse vectors are");
    }
    if (has(v, "model", JSON_STRING)) {
        return err_set(p->why, SHOAL_EUNSUPPORTED,
                       "vectors made from a document, an image or an object are not supported yet; "
                       "send the vector itself");
    }
    return SHOAL_OK;
}

static enum shoal_err check_array(const struct rest_parser *p, struct json_value v)
{
    size_t len = json_len(v);
    struct json_value first;
    struct json_iter it = json_iter(v);
    if (json_next(&it, NULL, &first) && json_kind(first) == JSON_ARRAY) {
        return rest_unsupported(p, "multivectors are");
    }
    return len == p->dim
               ? SHOAL_OK
               : err_set(p->why, SHOAL_EINVAL,
                         "Vector dimension error: expected dim: %" PRIu32 ", got %zu", p->dim, len);
}

enum shoal_err rest_find_unnamed(const struct rest_parser *p, struct json_value v,
                                 struct json_value *out)
{
    enum shoal_err rc = refuse_other_vectors(p, v);
    struct slice name;
    struct json_value member;
    bool found = false;
    for (struct json_iter it = json_iter(v); rc == SHOAL_OK && json_next(&it, &name, &member);) {
        rc = check_name(p, name);
        if (rc == SHOAL_OK && json_kind(member) != JSON_NULL) {
            if (found) {
                return err_set(p->why, SHOAL_EPARSE, "key \"\" is given twice");
            }
            *out = member;
            found = true;
        }
    }
    return rc == SHOAL_OK && !found ? rest_unsupported(p, "a point without a vector is") : rc;
}

enum shoal_err rest_find_row(const struct rest_parser *p, struct json_value v,
                             struct json_value *array)
{
    *array = v;
    enum shoal_err rc = SHOAL_OK;
    if (json_kind(v) == JSON_OBJECT) {
        rc = rest_find_unnamed(p, v, array);
        if (rc == SHOAL_OK && json_kind(*array) == JSON_OBJECT) {
            rc = refuse_other_vectors(p, *array);
        }
    }
    if (rc == SHOAL_OK && json_kind(*array) != JSON_ARRAY) {
        return rest_wrong(p, *array, "an array of numbers");
    }
    return rc == SHOAL_OK ? check_array(p, *array) : rc;
}

static enum shoal_err report_no_number(const struct rest_parser *p, struct json_value array)
{
    struct json_value item;
    double number = 0;
    size_t i = 0;
    for (struct json_iter it = json_iter(array); json_next(&it, NULL, &item); i++) {
        if (!json_f64(item, &number)) {
            return rest_at_index(p, rest_wrong(p, item, "a number"), i);
        }
    }
    return rest_wrong(p, array, "an array of numbers");
}

enum shoal_err rest_read_row(const struct rest_parser *p, struct json_value array, float *row)
{
    assert(json_len(array) == p->dim);
    return json_floats(array, row, p->dim) ? vector_check(row, p->dim, p->distance, p->why)
                                           : report_no_number(p, array);
}

enum shoal_err rest_keep_row(const struct rest_parser *p, struct json_value v, const float **out)
{
    struct json_value array;
    *out = NULL;
    enum shoal_err rc = rest_find_row(p, v, &array);
    if (rc != SHOAL_OK) {
        return rc;
    }
    float *row = arena_alloc(p->arena, p->dim * sizeof(float));
    if (row == NULL) {
        return SHOAL_ENOMEM;
    }
    rc = rest_read_row(p, array, row);
    if (rc == SHOAL_OK) {
        *out = row;
    }
    return rc;
}
