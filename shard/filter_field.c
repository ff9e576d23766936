/* The tests of a field condition: match, range, values_count. */
#include "shard/datetime.h"
#include "shard/filter_parser.h"

#include <stdlib.h>

/* --- match ------------------------------------------------------------------------------------ */

static enum shoal_err parse_match_value(struct filter_parser *p, struct json_value v,
                                        struct filter_match *out)
{
    enum shoal_err rc = SHOAL_OK;
    struct filter_int n;
    out->kind = FILTER_MATCH_IN;
    if (json_bool(v, &out->yes)) {
        out->kind = FILTER_MATCH_BOOL;
        return SHOAL_OK;
    }
    if (filter__int(v, &n)) {
        struct filter_int *ints = filter__take(p, 1, sizeof(*ints), &rc);
        if (ints != NULL) {
            *ints = n;
            out->ints = ints;
            out->ints_len = 1;
        }
        return rc;
    }
    if (json_kind(v) != JSON_STRING) {
        return filter__wrong_kind(p, v, "a string, an integer or a boolean");
    }
    struct slice *strings = filter__take(p, 1, sizeof(*strings), &rc);
    if (strings != NULL) {
        rc = filter__text(p, v, strings);
        out->strings = strings;
        out->strings_len = 1;
    }
    return rc;
}

struct list {
    struct filter_int *ints;
    struct slice *strings;
    struct filter_match *match;
};

static enum shoal_err list_element(struct filter_parser *p, size_t i, struct json_value v,
                                   void *out)
{
    (void)i;
    struct list *l = out;
    struct filter_match *m = l->match;
    enum shoal_err rc = SHOAL_OK;
    if (filter__int(v, &l->ints[m->ints_len])) {
        m->ints_len++;
    } else if (json_kind(v) == JSON_STRING) {
        rc = filter__text(p, v, &l->strings[m->strings_len++]);
    } else {
        rc = filter__wrong_kind(p, v, "a string or an integer");
    }
    if (rc == SHOAL_OK && m->ints_len > 0 && m->strings_len > 0) {
        rc = filter__refuse(p, SHOAL_EPARSE, "either strings or integers, not both");
    }
    return rc;
}

/* any and except. */
static enum shoal_err parse_match_list(struct filter_parser *p, struct json_value v,
                                       enum filter_match_kind kind, struct filter_match *out)
{
    out->kind = kind;
    size_t len = json_kind(v) == JSON_ARRAY ? json_len(v) : 0;
    enum shoal_err rc = SHOAL_OK;
    struct list l = { .match = out };
    l.ints = filter__take(p, len, sizeof(*l.ints), &rc);
    l.strings = l.ints == NULL ? NULL : filter__take(p, len, sizeof(*l.strings), &rc);
    if (l.strings == NULL) {
        return rc;
    }
    rc = filter__elements(p, v, list_element, &l);
    if (rc == SHOAL_OK) {
        qsort(l.ints, out->ints_len, sizeof(*l.ints), filter_int_compare);
        qsort(l.strings, out->strings_len, sizeof(*l.strings), filter_text_compare);
        out->ints = l.ints;
        out->strings = l.strings;
    }
    return rc;
}

static enum shoal_err parse_match_text(struct filter_parser *p, struct json_value v,
                                       enum filter_match_kind kind, struct filter_match *out)
{
    enum shoal_err rc = SHOAL_OK;
    struct slice *strings = filter__take(p, 1, sizeof(*strings), &rc);
    if (strings == NULL) {
        return rc;
    }
    out->kind = kind;
    out->strings = strings;
    out->strings_len = 1;
    return filter__text(p, v, strings);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The words between white space. */
static enum shoal_err parse_match_tokens(struct filter_parser *p, struct json_value v,
                                         struct filter_match *out)
{
    struct slice text;
    enum shoal_err rc = filter__text(p, v, &text);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct slice *words = filter__take(p, text.len / 2 + 1, sizeof(*words), &rc);
    if (words == NULL) {
        return rc;
    }
    out->kind = FILTER_MATCH_TOKENS;
    out->strings = words;
    for (size_t at = 0; at < text.len;) {
        size_t begin = at;
        while (at < text.len && !is_space(text.data[at])) {
            at++;
        }
        if (at > begin) {
            words[out->strings_len++] = slice_make(text.data + begin, at - begin);
        } else {
            at++;
        }
    }
    return SHOAL_OK;
}

static enum shoal_err match_member(struct filter_parser *p, struct slice key, struct json_value v,
                                   void *arg)
{
    struct filter_match *out = arg;
    if (out->kind != FILTER_MATCH_NONE) {
        return filter__refuse(p, SHOAL_EPARSE, "one test only");
    }
    if (slice_is(key, "value")) {
        return parse_match_value(p, v, out);
    }
    if (slice_is(key, "any")) {
        return parse_match_list(p, v, FILTER_MATCH_IN, out);
    }
    if (slice_is(key, "except")) {
        return parse_match_list(p, v, FILTER_MATCH_EXCEPT, out);
    }
    if (slice_is(key, "text") || slice_is(key, "phrase")) {
        return parse_match_text(p, v, FILTER_MATCH_TEXT, out);
    }
    if (slice_is(key, "prefix")) {
        return parse_match_text(p, v, FILTER_MATCH_PREFIX, out);
    }
    return slice_is(key, "text_any") ? parse_match_tokens(p, v, out) : filter__unknown_key(p, key);
}

enum shoal_err filter__match(struct filter_parser *p, struct json_value v, struct filter_match *out)
{
    enum shoal_err rc = filter__members(p, v, match_member, out);
    if (rc == SHOAL_OK && out->kind == FILTER_MATCH_NONE) {
        return filter__refuse(
            p, SHOAL_EPARSE,
            "one of value, any, except, text, text_any, phrase, prefix is expected");
    }
    return rc;
}

/* --- range and values_count ------------------------------------------------------------------- */

static bool bound_of(struct slice key, enum filter_bound *out)
{
    static const char *const names[] = {
        [FILTER_LT] = "lt", [FILTER_LTE] = "lte", [FILTER_GT] = "gt", [FILTER_GTE] = "gte"
    };
    for (size_t i = 0; i < FILTER_BOUNDS_LEN; i++) {
        if (slice_is(key, names[i])) {
            *out = (enum filter_bound)i;
            return true;
        }
    }
    return false;
}

static enum shoal_err range_member(struct filter_parser *p, struct slice key, struct json_value v,
                                   void *out)
{
    struct filter_range *r = out;
    enum filter_bound b;
    struct slice text;
    if (!bound_of(key, &b)) {
        return filter__unknown_key(p, key);
    }
    if (json_kind(v) == JSON_NULL) {
        return SHOAL_OK;
    }
    enum filter_range_kind kind = FILTER_RANGE_NUMBER;
    if (json_string(v, &text)) {
        kind = FILTER_RANGE_DATETIME;
        if (!datetime_parse(text, &r->moment_us[b])) {
            return filter__refuse(p, SHOAL_EPARSE,
                                  "not a date or time such as 2024-01-31T12:00:00Z");
        }
    } else if (!json_f64(v, &r->number[b])) {
        return filter__wrong_kind(p, v, "a number or a datetime string");
    }
    if (r->kind != FILTER_RANGE_NONE && r->kind != kind) {
        return filter__refuse(p, SHOAL_EPARSE, "all bounds are numbers, or all are datetimes");
    }
    r->kind = kind;
    r->has[b] = true;
    return SHOAL_OK;
}

enum shoal_err filter__range(struct filter_parser *p, struct json_value v, struct filter_range *out)
{
    enum shoal_err rc = filter__members(p, v, range_member, out);
    if (out->kind == FILTER_RANGE_NONE) {
        out->kind = FILTER_RANGE_NUMBER; /* without bounds: any number */
    }
    return rc;
}

static enum shoal_err count_member(struct filter_parser *p, struct slice key, struct json_value v,
                                   void *out)
{
    struct filter_count *c = out;
    enum filter_bound b;
    if (!bound_of(key, &b)) {
        return filter__unknown_key(p, key);
    }
    if (json_kind(v) == JSON_NULL) {
        return SHOAL_OK;
    }
    c->has[b] = true;
    return filter__u64(p, v, &c->bound[b]);
}

enum shoal_err filter__count(struct filter_parser *p, struct json_value v, struct filter_count *out)
{
    out->set = true;
    return filter__members(p, v, count_member, out);
}
