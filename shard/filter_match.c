/* Asking a parsed filter of one point. Nothing here allocates or fails. */
#include "base/hash.h"
#include "shard/datetime.h"
#include "shard/filter_ast.h"

#include <assert.h>
#include <stdlib.h>

/* Apart from point_id_hash, which places points on shards: a part of the ids must not be a part of
 * the shards. */
#define SLICE_HASH_SEED 0x51ce

/* Below this length a list is walked, above it is halved. */
#define WALK_MAX 8

/* --- ordering of what lists hold -------------------------------------------------------------- */

int filter_int_compare(const void *a, const void *b)
{
    const struct filter_int *x = a;
    const struct filter_int *y = b;
    if (x->negative != y->negative) {
        return x->negative ? -1 : 1;
    }
    return (x->bits > y->bits) - (x->bits < y->bits);
}

int filter_text_compare(const void *a, const void *b)
{
    const struct slice *x = a;
    const struct slice *y = b;
    if (x->len != y->len) {
        return x->len < y->len ? -1 : 1;
    }
    return x->len == 0 ? 0 : memcmp(x->data, y->data, x->len);
}

int filter_id_compare(const void *a, const void *b)
{
    return point_id_compare(a, b);
}

static bool list_has(const void *key, const void *list, size_t len, size_t size,
                     int (*compare)(const void *, const void *))
{
    if (len > WALK_MAX) {
        return bsearch(key, list, len, size, compare) != NULL;
    }
    const char *at = list;
    for (size_t i = 0; i < len; i++, at += size) {
        if (compare(key, at) == 0) {
            return true;
        }
    }
    return false;
}

static bool strings_have(const struct filter_match *m, struct slice s)
{
    return list_has(&s, m->strings, m->strings_len, sizeof(s), filter_text_compare);
}

static bool ints_have(const struct filter_match *m, struct filter_int n)
{
    return list_has(&n, m->ints, m->ints_len, sizeof(n), filter_int_compare);
}

/* --- one value -------------------------------------------------------------------------------- */

static bool as_int(struct json_value v, struct filter_int *out)
{
    int64_t i;
    if (json_u64(v, &out->bits)) {
        out->negative = false;
        return true;
    }
    if (json_i64(v, &i)) {
        *out = (struct filter_int){ .negative = i < 0, .bits = (uint64_t)i };
        return true;
    }
    return false;
}

static bool text_holds(struct slice text, struct slice part)
{
    return part.len == 0 ||
           (text.len >= part.len && memmem(text.data, text.len, part.data, part.len) != NULL);
}

static bool listed(const struct filter_match *m, struct json_value v)
{
    struct slice text;
    struct filter_int n;
    if (json_string(v, &text)) {
        return strings_have(m, text);
    }
    return as_int(v, &n) && ints_have(m, n);
}

static bool string_matches(const struct filter_match *m, struct slice text)
{
    if (m->kind == FILTER_MATCH_PREFIX) {
        struct slice prefix = m->strings[0];
        return text.len >= prefix.len &&
               (prefix.len == 0 || memcmp(text.data, prefix.data, prefix.len) == 0);
    }
    for (size_t i = 0; i < m->strings_len; i++) {
        if (text_holds(text, m->strings[i])) {
            return true;
        }
    }
    return false;
}

static bool match_holds(const struct filter_match *m, struct json_value v)
{
    struct slice text;
    bool yes;
    switch (m->kind) {
    case FILTER_MATCH_NONE: return false;
    case FILTER_MATCH_BOOL: return json_bool(v, &yes) && yes == m->yes;
    case FILTER_MATCH_IN: return listed(m, v);
    case FILTER_MATCH_EXCEPT: return json_kind(v) != JSON_NULL && !listed(m, v);
    case FILTER_MATCH_TEXT:
    case FILTER_MATCH_TOKENS:
    case FILTER_MATCH_PREFIX: break;
    }
    return json_string(v, &text) && string_matches(m, text);
}

static bool number_in(const struct filter_range *r, double x)
{
    return (!r->has[FILTER_LT] || x < r->number[FILTER_LT]) &&
           (!r->has[FILTER_LTE] || x <= r->number[FILTER_LTE]) &&
           (!r->has[FILTER_GT] || x > r->number[FILTER_GT]) &&
           (!r->has[FILTER_GTE] || x >= r->number[FILTER_GTE]);
}

static bool moment_in(const struct filter_range *r, int64_t us)
{
    return (!r->has[FILTER_LT] || us < r->moment_us[FILTER_LT]) &&
           (!r->has[FILTER_LTE] || us <= r->moment_us[FILTER_LTE]) &&
           (!r->has[FILTER_GT] || us > r->moment_us[FILTER_GT]) &&
           (!r->has[FILTER_GTE] || us >= r->moment_us[FILTER_GTE]);
}

static bool range_holds(const struct filter_range *r, struct json_value v)
{
    double x;
    int64_t us;
    struct slice text;
    switch (r->kind) {
    case FILTER_RANGE_NONE: return false;
    case FILTER_RANGE_NUMBER: return json_f64(v, &x) && number_in(r, x);
    case FILTER_RANGE_DATETIME: break;
    }
    return json_string(v, &text) && datetime_parse(text, &us) && moment_in(r, us);
}

static bool geo_holds(const struct filter_field *f, struct json_value v)
{
    if (f->circle == NULL && f->box == NULL && f->polygon == NULL) {
        return false;
    }
    struct json_value lon;
    struct json_value lat;
    struct geo_point p;
    if (!json_get(v, "lon", &lon) || !json_f64(lon, &p.lon) || !json_get(v, "lat", &lat) ||
        !json_f64(lat, &p.lat)) {
        return false;
    }
    return (f->circle != NULL && geo_circle_has(f->circle, p)) ||
           (f->box != NULL && geo_box_has(f->box, p)) ||
           (f->polygon != NULL && geo_polygon_has(f->polygon, p));
}

static bool count_holds(const struct filter_count *c, uint64_t n)
{
    return (!c->has[FILTER_LT] || n < c->bound[FILTER_LT]) &&
           (!c->has[FILTER_LTE] || n <= c->bound[FILTER_LTE]) &&
           (!c->has[FILTER_GT] || n > c->bound[FILTER_GT]) &&
           (!c->has[FILTER_GTE] || n >= c->bound[FILTER_GTE]);
}

static uint64_t count_of(struct json_value v)
{
    switch (json_kind(v)) {
    case JSON_NULL: return 0;
    case JSON_ARRAY: return json_len(v);
    default: return 1;
    }
}

static bool value_is_empty(struct json_value v)
{
    return json_kind(v) == JSON_NULL || (json_kind(v) == JSON_ARRAY && json_len(v) == 0);
}

static bool value_is_null(struct json_value v)
{
    if (json_kind(v) == JSON_ARRAY) {
        struct json_iter it = json_iter(v);
        struct json_value element;
        while (json_next(&it, NULL, &element)) {
            if (json_kind(element) == JSON_NULL) {
                return true;
            }
        }
    }
    return json_kind(v) == JSON_NULL;
}

static bool element_holds(const struct filter_field *f, struct json_value v)
{
    return match_holds(&f->match, v) || range_holds(&f->range, v) || geo_holds(f, v);
}

/* One value at the path. An array is asked element by element, one level deep. */
static bool value_holds(const struct filter_field *f, struct json_value v)
{
    if (f->count.set) {
        return count_holds(&f->count, count_of(v));
    }
    if (f->is_empty != FILTER_NOT_ASKED) {
        return value_is_empty(v) == (f->is_empty == FILTER_ASKED_TRUE);
    }
    if (f->is_null != FILTER_NOT_ASKED) {
        return value_is_null(v) == (f->is_null == FILTER_ASKED_TRUE);
    }
    if (json_kind(v) != JSON_ARRAY) {
        return element_holds(f, v);
    }
    struct json_iter it = json_iter(v);
    struct json_value element;
    while (json_next(&it, NULL, &element)) {
        if (element_holds(f, element)) {
            return true;
        }
    }
    return false;
}

static bool missing_holds(const struct filter_field *f)
{
    if (f->count.set) {
        return count_holds(&f->count, 0);
    }
    if (f->is_empty != FILTER_NOT_ASKED) {
        return f->is_empty == FILTER_ASKED_TRUE;
    }
    return f->is_null == FILTER_ASKED_FALSE;
}

/* --- conditions and clauses ------------------------------------------------------------------- */

struct asking {
    const struct filter_condition *condition;
    const struct point_id *id;
    bool answer;
};

static bool clause_holds(const struct filter_clause *clause, const struct point_id *id,
                         const struct json_value *payload);

static bool found_field(void *arg, struct json_value v)
{
    struct asking *a = arg;
    a->answer = value_holds(a->condition->of.field, v);
    return !a->answer;
}

/* is_empty holds when every value does. */
static bool found_empty(void *arg, struct json_value v)
{
    struct asking *a = arg;
    a->answer = value_is_empty(v);
    return a->answer;
}

static bool found_null(void *arg, struct json_value v)
{
    struct asking *a = arg;
    a->answer = value_is_null(v);
    return !a->answer;
}

static bool found_nested(void *arg, struct json_value v)
{
    struct asking *a = arg;
    a->answer = json_kind(v) == JSON_OBJECT && clause_holds(a->condition->of.clause, a->id, &v);
    return !a->answer;
}

/* Walks the payload; `missing` is the answer when there is no value at the path. */
static bool ask(const struct filter_condition *c, const struct point_id *id,
                const struct json_value *payload, json_path_found *found, bool missing)
{
    struct asking a = { .condition = c, .id = id };
    if (payload == NULL || json_path_walk(&c->path, *payload, found, &a) == 0) {
        return missing;
    }
    return a.answer;
}

static bool slice_holds(const struct filter_condition *c, const struct point_id *id)
{
    uint8_t key[POINT_ID_KEY_MAX];
    size_t len = point_id_key(id, key);
    return hash64_seeded(key, len, SLICE_HASH_SEED) % c->of.part.total == c->of.part.index;
}

static bool condition_holds(const struct filter_condition *c, const struct point_id *id,
                            const struct json_value *payload)
{
    switch (c->kind) {
    case FILTER_COND_CLAUSE: return clause_holds(c->of.clause, id, payload);
    case FILTER_COND_FIELD: return ask(c, id, payload, found_field, missing_holds(c->of.field));
    case FILTER_COND_IS_EMPTY: return ask(c, id, payload, found_empty, true);
    case FILTER_COND_IS_NULL: return ask(c, id, payload, found_null, false);
    case FILTER_COND_HAS_ID:
        return list_has(id, c->of.has_id.ids, c->of.has_id.len, sizeof(*id), filter_id_compare);
    case FILTER_COND_HAS_VECTOR: return c->of.has_vector;
    case FILTER_COND_NESTED: return ask(c, id, payload, found_nested, false);
    case FILTER_COND_SLICE: return slice_holds(c, id);
    }
    assert(!"every kind is listed");
    return false;
}

/* How many conditions hold; counting stops at `enough`. */
static uint64_t holding(const struct filter_conditions *list, uint64_t enough,
                        const struct point_id *id, const struct json_value *payload)
{
    uint64_t n = 0;
    for (size_t i = 0; i < list->len && n < enough; i++) {
        n += condition_holds(&list->items[i], id, payload);
    }
    return n;
}

static bool clause_holds(const struct filter_clause *clause, const struct point_id *id,
                         const struct json_value *payload)
{
    for (size_t i = 0; i < clause->must.len; i++) {
        if (!condition_holds(&clause->must.items[i], id, payload)) {
            return false;
        }
    }
    return holding(&clause->must_not, 1, id, payload) == 0 &&
           (clause->should.len == 0 || holding(&clause->should, 1, id, payload) == 1) &&
           (!clause->has_min_should ||
            holding(&clause->min_should, clause->min_count, id, payload) == clause->min_count);
}

bool filter_matches(const struct filter *f, const struct point_id *id,
                    const struct json_value *payload)
{
    return clause_holds(&f->root, id, payload);
}

bool filter_is_empty(const struct filter *f)
{
    const struct filter_clause *r = &f->root;
    return r->must.len == 0 && r->should.len == 0 && r->must_not.len == 0 && !r->has_min_should;
}

bool filter_needs_payload(const struct filter *f)
{
    return f->needs_payload;
}

bool filter_candidates(const struct filter *f, struct filter_ids *out)
{
    bool found = false;
    for (size_t i = 0; i < f->root.must.len; i++) {
        const struct filter_condition *c = &f->root.must.items[i];
        if (c->kind == FILTER_COND_HAS_ID && (!found || c->of.has_id.len < out->len)) {
            *out = c->of.has_id;
            found = true;
        }
    }
    return found;
}
