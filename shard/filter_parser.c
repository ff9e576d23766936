#include "shard/filter_parser.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

/* --- places and refusals ---------------------------------------------------------------------- */

size_t filter__enter(struct filter_parser *p, const char *fmt, ...)
{
    size_t before = p->place_len;
    if (before > 0 && before + 1 < FILTER_PLACE_MAX && fmt[0] != '[') {
        p->place[p->place_len++] = '.';
    }
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(p->place + p->place_len, FILTER_PLACE_MAX - p->place_len, fmt, args);
    va_end(args);
    size_t room = FILTER_PLACE_MAX - 1 - p->place_len;
    p->place_len += n > 0 && (size_t)n <= room ? (size_t)n : room;
    return before;
}

void filter__leave(struct filter_parser *p, size_t before)
{
    p->place_len = before;
    p->place[before] = '\0';
}

enum shoal_err filter__refuse(struct filter_parser *p, enum shoal_err rc, const char *fmt, ...)
{
    char text[ERRBUF_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return err_set(p->why, rc, "filter: %s%s%s", p->place, p->place_len > 0 ? ": " : "", text);
}

enum shoal_err filter__wrong_kind(struct filter_parser *p, struct json_value v,
                                  const char *expected)
{
    return filter__refuse(p, SHOAL_EPARSE, "%s is expected, not %s", expected,
                          json_kind_name(json_kind(v)));
}

enum shoal_err filter__unknown_key(struct filter_parser *p, struct slice key)
{
    int shown = key.len > 64 ? 64 : (int)key.len;
    return filter__refuse(p, SHOAL_EPARSE, "unknown key \"%.*s\"", shown, key.data);
}

void *filter__take(struct filter_parser *p, size_t n, size_t size, enum shoal_err *rc)
{
    void *room = arena_array(&p->filter->arena, n, size);
    if (room == NULL) {
        size_t total;
        bool over = !size_mul(n, size, &total) || total > FILTER_BYTES_MAX - p->filter->arena.used;
        *rc = over ? filter__refuse(p, SHOAL_ETOOBIG, "the filter is too large")
                   : filter__refuse(p, SHOAL_ENOMEM, "out of memory");
    }
    return room;
}

/* --- scalars ---------------------------------------------------------------------------------- */

enum shoal_err filter__number(struct filter_parser *p, struct json_value v, double *out)
{
    return json_f64(v, out) ? SHOAL_OK : filter__wrong_kind(p, v, "a number");
}

enum shoal_err filter__u64(struct filter_parser *p, struct json_value v, uint64_t *out)
{
    return json_u64(v, out) ? SHOAL_OK : filter__wrong_kind(p, v, "an integer of at least 0");
}

enum shoal_err filter__bool(struct filter_parser *p, struct json_value v, bool *out)
{
    return json_bool(v, out) ? SHOAL_OK : filter__wrong_kind(p, v, "a boolean");
}

bool filter__int(struct json_value v, struct filter_int *out)
{
    int64_t i;
    out->negative = false;
    if (json_u64(v, &out->bits)) {
        return true;
    }
    if (!json_i64(v, &i)) {
        return false;
    }
    *out = (struct filter_int){ .negative = i < 0, .bits = (uint64_t)i };
    return true;
}

enum shoal_err filter__text(struct filter_parser *p, struct json_value v, struct slice *out)
{
    struct slice s;
    if (!json_string(v, &s)) {
        return filter__wrong_kind(p, v, "a string");
    }
    enum shoal_err rc = SHOAL_OK;
    char *copy = filter__take(p, s.len + 1, 1, &rc);
    if (copy == NULL) {
        return rc;
    }
    if (s.len > 0) {
        memcpy(copy, s.data, s.len);
    }
    *out = slice_make(copy, s.len);
    return SHOAL_OK;
}

enum shoal_err filter__path(struct filter_parser *p, struct json_value v, struct json_path *out)
{
    struct slice text;
    if (!json_string(v, &text)) {
        return filter__wrong_kind(p, v, "a string");
    }
    struct errbuf why;
    err_clear(&why);
    enum shoal_err rc = json_path_parse(text, &p->filter->arena, out, &why);
    return rc == SHOAL_OK ? rc : filter__refuse(p, rc, "%s", err_why(&why, rc));
}

enum shoal_err filter__id(struct filter_parser *p, struct json_value v, struct point_id *out)
{
    uint64_t num;
    struct slice text;
    if (json_u64(v, &num)) {
        *out = point_id_num(num);
        return SHOAL_OK;
    }
    if (json_string(v, &text) && point_id_parse_uuid(text, out) == SHOAL_OK) {
        return SHOAL_OK;
    }
    return filter__refuse(p, SHOAL_EPARSE, "a point id is an integer of at least 0 or a UUID");
}

enum shoal_err filter__members(struct filter_parser *p, struct json_value v,
                               filter_member_fn *member, void *out)
{
    if (json_kind(v) != JSON_OBJECT) {
        return filter__wrong_kind(p, v, "an object");
    }
    struct json_iter it = json_iter(v);
    struct slice key;
    struct json_value value;
    while (json_next(&it, &key, &value)) {
        size_t before = filter__enter(p, "%.*s", key.len > 32 ? 32 : (int)key.len, key.data);
        enum shoal_err rc = member(p, key, value, out);
        if (rc != SHOAL_OK) {
            return rc;
        }
        filter__leave(p, before);
    }
    return SHOAL_OK;
}

enum shoal_err filter__elements(struct filter_parser *p, struct json_value v,
                                filter_element_fn *element, void *out)
{
    if (json_kind(v) != JSON_ARRAY) {
        return filter__wrong_kind(p, v, "an array");
    }
    struct json_iter it = json_iter(v);
    struct json_value value;
    for (size_t i = 0; json_next(&it, NULL, &value); i++) {
        size_t before = filter__enter(p, "[%zu]", i);
        enum shoal_err rc = element(p, i, value, out);
        if (rc != SHOAL_OK) {
            return rc;
        }
        filter__leave(p, before);
    }
    return SHOAL_OK;
}
