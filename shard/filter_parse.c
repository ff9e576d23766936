/* From JSON to the tree of filter_ast.h: clauses and conditions; the tests of a field condition
 * are in filter_field.c and filter_geo.c.
 *
 * Unknown keys are refused: a condition that is silently dropped would return points that the
 * caller meant to leave out. Depth is bounded by JSON_DEPTH_MAX before the text comes here, and by
 * FILTER_DEPTH_MAX here. */
#include "shard/filter_parser.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

static enum shoal_err parse_clause(struct filter_parser *p, struct json_value v,
                                   struct filter_clause *out);

/* --- field conditions ------------------------------------------------------------------------- */

static enum shoal_err test_match(struct filter_parser *p, struct json_value v,
                                 struct filter_field *f)
{
    return filter__match(p, v, &f->match);
}

static enum shoal_err test_range(struct filter_parser *p, struct json_value v,
                                 struct filter_field *f)
{
    return filter__range(p, v, &f->range);
}

static enum shoal_err test_circle(struct filter_parser *p, struct json_value v,
                                  struct filter_field *f)
{
    return filter__circle(p, v, &f->circle);
}

static enum shoal_err test_box(struct filter_parser *p, struct json_value v, struct filter_field *f)
{
    return filter__box(p, v, &f->box);
}

static enum shoal_err test_polygon(struct filter_parser *p, struct json_value v,
                                   struct filter_field *f)
{
    return filter__polygon(p, v, &f->polygon);
}

static enum shoal_err test_count(struct filter_parser *p, struct json_value v,
                                 struct filter_field *f)
{
    return filter__count(p, v, &f->count);
}

static enum shoal_err test_is_empty(struct filter_parser *p, struct json_value v,
                                    struct filter_field *f)
{
    bool yes = false;
    enum shoal_err rc = filter__bool(p, v, &yes);
    f->is_empty = yes ? FILTER_ASKED_TRUE : FILTER_ASKED_FALSE;
    return rc;
}

static enum shoal_err test_is_null(struct filter_parser *p, struct json_value v,
                                   struct filter_field *f)
{
    bool yes = false;
    enum shoal_err rc = filter__bool(p, v, &yes);
    f->is_null = yes ? FILTER_ASKED_TRUE : FILTER_ASKED_FALSE;
    return rc;
}

static const struct {
    const char *name;
    enum shoal_err (*parse)(struct filter_parser *p, struct json_value v, struct filter_field *f);
} tests[] = {
    { "match", test_match },         { "range", test_range },
    { "geo_radius", test_circle },   { "geo_bounding_box", test_box },
    { "geo_polygon", test_polygon }, { "values_count", test_count },
    { "is_empty", test_is_empty },   { "is_null", test_is_null },
};

#define TESTS_LEN (sizeof(tests) / sizeof(tests[0]))

struct field_members {
    struct filter_condition *condition;
    struct filter_field *field;
    unsigned tests;
};

static enum shoal_err field_member(struct filter_parser *p, struct slice key, struct json_value v,
                                   void *out)
{
    struct field_members *m = out;
    if (slice_is(key, "key")) {
        return filter__path(p, v, &m->condition->path);
    }
    for (size_t i = 0; i < TESTS_LEN; i++) {
        if (!slice_is(key, tests[i].name)) {
            continue;
        }
        if (json_kind(v) == JSON_NULL) {
            return SHOAL_OK;
        }
        m->tests++;
        return tests[i].parse(p, v, m->field);
    }
    return filter__unknown_key(p, key);
}

static enum shoal_err parse_field(struct filter_parser *p, struct json_value v,
                                  struct filter_condition *out)
{
    enum shoal_err rc = SHOAL_OK;
    struct filter_field *field = filter__take(p, 1, sizeof(*field), &rc);
    if (field == NULL) {
        return rc;
    }
    struct field_members m = { .condition = out, .field = field };
    rc = filter__members(p, v, field_member, &m);
    if (rc == SHOAL_OK && m.tests == 0) {
        return filter__refuse(p, SHOAL_EVALIDATION,
                              "At least one field condition must be specified");
    }
    out->kind = FILTER_COND_FIELD;
    out->of.field = field;
    p->filter->needs_payload = true;
    return rc;
}

/* --- the other conditions --------------------------------------------------------------------- */

static enum shoal_err key_member(struct filter_parser *p, struct slice key, struct json_value v,
                                 void *out)
{
    struct filter_condition *c = out;
    return slice_is(key, "key") ? filter__path(p, v, &c->path) : filter__unknown_key(p, key);
}

/* {"is_empty": {"key": ...}} and {"is_null": {"key": ...}} */
static enum shoal_err parse_keyed(struct filter_parser *p, struct json_value v,
                                  enum filter_condition_kind kind, struct filter_condition *out)
{
    out->kind = kind;
    p->filter->needs_payload = true;
    enum shoal_err rc = filter__members(p, v, key_member, out);
    return rc == SHOAL_OK && out->path.len == 0 ? filter__refuse(p, SHOAL_EPARSE, "key is expected")
                                                : rc;
}

static enum shoal_err parse_is_empty(struct filter_parser *p, struct json_value v,
                                     struct filter_condition *out)
{
    return parse_keyed(p, v, FILTER_COND_IS_EMPTY, out);
}

static enum shoal_err parse_is_null(struct filter_parser *p, struct json_value v,
                                    struct filter_condition *out)
{
    return parse_keyed(p, v, FILTER_COND_IS_NULL, out);
}

static enum shoal_err id_element(struct filter_parser *p, size_t i, struct json_value v, void *out)
{
    struct point_id *ids = out;
    return filter__id(p, v, &ids[i]);
}

static enum shoal_err parse_has_id(struct filter_parser *p, struct json_value v,
                                   struct filter_condition *out)
{
    if (p->nested > 0) {
        return filter__refuse(p, SHOAL_EPARSE, "has_id is not possible inside nested");
    }
    size_t len = json_kind(v) == JSON_ARRAY ? json_len(v) : 0;
    enum shoal_err rc = SHOAL_OK;
    struct point_id *ids = filter__take(p, len, sizeof(*ids), &rc);
    if (ids == NULL) {
        return rc;
    }
    rc = filter__elements(p, v, id_element, ids);
    if (rc != SHOAL_OK) {
        return rc;
    }
    qsort(ids, len, sizeof(*ids), filter_id_compare);
    size_t distinct = 0;
    for (size_t i = 0; i < len; i++) {
        if (i == 0 || point_id_compare(&ids[i], &ids[distinct - 1]) != 0) {
            ids[distinct++] = ids[i];
        }
    }
    out->kind = FILTER_COND_HAS_ID;
    out->of.has_id.ids = ids;
    out->of.has_id.len = distinct;
    return SHOAL_OK;
}

static enum shoal_err parse_has_vector(struct filter_parser *p, struct json_value v,
                                       struct filter_condition *out)
{
    struct slice name;
    enum shoal_err rc = filter__text(p, v, &name);
    out->kind = FILTER_COND_HAS_VECTOR;
    out->of.has_vector = rc == SHOAL_OK && name.len == 0; /* the one vector has no name */
    return rc;
}

struct nested_members {
    struct filter_condition *condition;
    struct filter_clause *clause;
    bool has_filter;
};

static enum shoal_err nested_member(struct filter_parser *p, struct slice key, struct json_value v,
                                    void *out)
{
    struct nested_members *m = out;
    if (slice_is(key, "key")) {
        return filter__path(p, v, &m->condition->path);
    }
    if (!slice_is(key, "filter")) {
        return filter__unknown_key(p, key);
    }
    m->has_filter = true;
    p->nested++;
    enum shoal_err rc = parse_clause(p, v, m->clause);
    p->nested--;
    return rc;
}

static enum shoal_err parse_nested(struct filter_parser *p, struct json_value v,
                                   struct filter_condition *out)
{
    enum shoal_err rc = SHOAL_OK;
    struct filter_clause *clause = filter__take(p, 1, sizeof(*clause), &rc);
    if (clause == NULL) {
        return rc;
    }
    struct nested_members m = { .condition = out, .clause = clause };
    rc = filter__members(p, v, nested_member, &m);
    if (rc == SHOAL_OK && (out->path.len == 0 || !m.has_filter)) {
        return filter__refuse(p, SHOAL_EPARSE, "key and filter are expected");
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    out->kind = FILTER_COND_NESTED;
    out->of.clause = clause;
    p->filter->needs_payload = true;
    rc = json_path_each_element(&out->path, &p->filter->arena, &out->path);
    return rc == SHOAL_OK ? rc : filter__refuse(p, rc, "out of memory");
}

static enum shoal_err slice_member(struct filter_parser *p, struct slice key, struct json_value v,
                                   void *out)
{
    struct filter_condition *c = out;
    if (slice_is(key, "total")) {
        return filter__u64(p, v, &c->of.part.total);
    }
    return slice_is(key, "index") ? filter__u64(p, v, &c->of.part.index)
                                  : filter__unknown_key(p, key);
}

static enum shoal_err parse_slice(struct filter_parser *p, struct json_value v,
                                  struct filter_condition *out)
{
    out->kind = FILTER_COND_SLICE;
    out->of.part.total = 0;
    out->of.part.index = 0;
    enum shoal_err rc = filter__members(p, v, slice_member, out);
    if (rc == SHOAL_OK && out->of.part.index >= out->of.part.total) {
        return filter__refuse(p, SHOAL_EVALIDATION, "total >= 1 and index < total are expected");
    }
    return rc;
}

/* Conditions of the form {"name": ...}. */
static const struct {
    const char *name;
    enum shoal_err (*parse)(struct filter_parser *p, struct json_value v,
                            struct filter_condition *out);
} named[] = {
    { "is_empty", parse_is_empty },     { "is_null", parse_is_null }, { "has_id", parse_has_id },
    { "has_vector", parse_has_vector }, { "nested", parse_nested },   { "slice", parse_slice },
};

#define NAMED_LEN (sizeof(named) / sizeof(named[0]))

static enum shoal_err parse_condition(struct filter_parser *p, struct json_value v,
                                      struct filter_condition *out)
{
    struct json_value value;
    if (++p->conditions > FILTER_CONDITIONS_MAX) {
        return filter__refuse(p, SHOAL_EPARSE, "more than %d conditions", FILTER_CONDITIONS_MAX);
    }
    if (json_kind(v) != JSON_OBJECT) {
        return filter__wrong_kind(p, v, "an object");
    }
    if (json_get(v, "key", &value)) {
        return parse_field(p, v, out);
    }
    for (size_t i = 0; i < NAMED_LEN; i++) {
        if (!json_get(v, named[i].name, &value)) {
            continue;
        }
        size_t before = filter__enter(p, "%s", named[i].name);
        enum shoal_err rc = named[i].parse(p, value, out);
        if (rc != SHOAL_OK) {
            return rc;
        }
        filter__leave(p, before);
        return json_len(v) == 1 ? SHOAL_OK
                                : filter__refuse(p, SHOAL_EPARSE, "nothing may stand beside \"%s\"",
                                                 named[i].name);
    }
    enum shoal_err rc = SHOAL_OK;
    struct filter_clause *clause = filter__take(p, 1, sizeof(*clause), &rc);
    if (clause == NULL) {
        return rc;
    }
    out->kind = FILTER_COND_CLAUSE;
    out->of.clause = clause;
    return parse_clause(p, v, clause);
}

/* --- clauses ---------------------------------------------------------------------------------- */

static enum shoal_err condition_element(struct filter_parser *p, size_t i, struct json_value v,
                                        void *out)
{
    struct filter_condition *items = out;
    return parse_condition(p, v, &items[i]);
}

/* One condition, a list of them, or null. */
static enum shoal_err parse_conditions(struct filter_parser *p, struct json_value v,
                                       struct filter_conditions *out)
{
    if (json_kind(v) == JSON_NULL) {
        return SHOAL_OK;
    }
    if (out->items != NULL) {
        return filter__refuse(p, SHOAL_EPARSE, "given twice");
    }
    bool one = json_kind(v) == JSON_OBJECT;
    size_t len = one ? 1 : json_len(v);
    enum shoal_err rc = SHOAL_OK;
    struct filter_condition *items = filter__take(p, len, sizeof(*items), &rc);
    if (items == NULL) {
        return rc;
    }
    *out = (struct filter_conditions){ .items = items, .len = len };
    return one ? parse_condition(p, v, &items[0])
               : filter__elements(p, v, condition_element, items);
}

struct min_should_members {
    struct filter_clause *clause;
    bool has_conditions, has_count;
};

static enum shoal_err min_should_member(struct filter_parser *p, struct slice key,
                                        struct json_value v, void *out)
{
    struct min_should_members *m = out;
    if (slice_is(key, "conditions")) {
        m->has_conditions = true;
        return parse_conditions(p, v, &m->clause->min_should);
    }
    if (slice_is(key, "min_count")) {
        m->has_count = true;
        return filter__u64(p, v, &m->clause->min_count);
    }
    return filter__unknown_key(p, key);
}

static enum shoal_err parse_min_should(struct filter_parser *p, struct json_value v,
                                       struct filter_clause *out)
{
    if (json_kind(v) == JSON_NULL) {
        return SHOAL_OK;
    }
    struct min_should_members m = { .clause = out };
    enum shoal_err rc = filter__members(p, v, min_should_member, &m);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (!m.has_conditions || !m.has_count) {
        return filter__refuse(p, SHOAL_EPARSE, "conditions and min_count are expected");
    }
    if (out->min_count == 0) {
        return filter__refuse(p, SHOAL_EVALIDATION, "min_count must be at least 1");
    }
    out->has_min_should = true;
    return SHOAL_OK;
}

static enum shoal_err clause_member(struct filter_parser *p, struct slice key, struct json_value v,
                                    void *out)
{
    struct filter_clause *c = out;
    if (slice_is(key, "must")) {
        return parse_conditions(p, v, &c->must);
    }
    if (slice_is(key, "should")) {
        return parse_conditions(p, v, &c->should);
    }
    if (slice_is(key, "must_not")) {
        return parse_conditions(p, v, &c->must_not);
    }
    return slice_is(key, "min_should") ? parse_min_should(p, v, c) : filter__unknown_key(p, key);
}

static enum shoal_err parse_clause(struct filter_parser *p, struct json_value v,
                                   struct filter_clause *out)
{
    if (p->depth == FILTER_DEPTH_MAX) {
        return filter__refuse(p, SHOAL_EPARSE, "nested deeper than %d", FILTER_DEPTH_MAX);
    }
    p->depth++;
    enum shoal_err rc = filter__members(p, v, clause_member, out);
    p->depth--;
    return rc;
}

/* --- the whole -------------------------------------------------------------------------------- */

enum shoal_err filter_parse(struct json_value json, struct filter **out, struct errbuf *why)
{
    *out = NULL;
    struct filter *f = mem_calloc(1, sizeof(*f));
    if (f == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for a filter");
    }
    arena_init(&f->arena, FILTER_BYTES_MAX);
    struct filter_parser p = { .filter = f, .why = why };
    if (json_kind(json) != JSON_NULL) {
        enum shoal_err rc = parse_clause(&p, json, &f->root);
        if (rc != SHOAL_OK) {
            filter_free(f);
            return rc;
        }
    }
    *out = f;
    return SHOAL_OK;
}

enum shoal_err filter_parse_text(struct slice text, struct filter **out, struct errbuf *why)
{
    *out = NULL;
    struct json_doc *doc = NULL;
    enum shoal_err rc = json_parse(text, &doc, why);
    if (rc != SHOAL_OK) {
        return err_prefix(why, rc, "filter");
    }
    rc = filter_parse(json_root(doc), out, why);
    json_free(doc);
    return rc;
}

void filter_free(struct filter *f)
{
    if (f != NULL) {
        arena_release(&f->arena);
        mem_free(f);
    }
}
