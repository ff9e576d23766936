#include "base/json.h"
#include "base/json_number.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

const char *json_kind_name(enum json_kind kind)
{
    static const char *const names[] = { "null",   "boolean", "integer", "integer",
                                         "number", "string",  "array",   "object" };
    return names[kind];
}

void json_writer_init(struct json_writer *w, struct buf *out)
{
    *w = (struct json_writer){ .out = out };
    w->first[0] = 1;
}

static bool level_is_fresh(const struct json_writer *w)
{
    return (w->first[w->depth / 64] >> (w->depth % 64) & 1) != 0;
}

static void level_set_fresh(struct json_writer *w, bool fresh)
{
    uint64_t bit = (uint64_t)1 << (w->depth % 64);
    uint64_t *word = &w->first[w->depth / 64];
    *word = fresh ? *word | bit : *word & ~bit;
}

/* Before every value: the comma, unless it is the first here or stands after its key. */
static void separate(struct json_writer *w)
{
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (!level_is_fresh(w)) {
        (void)buf_append_char(w->out, ',');
    }
    level_set_fresh(w, false);
}

static void begin(struct json_writer *w, char bracket)
{
    separate(w);
    (void)buf_append_char(w->out, bracket);
    w->depth++;
    assert(w->depth < JSON_DEPTH_MAX);
    level_set_fresh(w, true);
}

static void end(struct json_writer *w, char bracket)
{
    assert(w->depth > 0 && !w->after_key);
    w->depth--;
    (void)buf_append_char(w->out, bracket);
}

void json_begin_object(struct json_writer *w)
{
    begin(w, '{');
}

void json_end_object(struct json_writer *w)
{
    end(w, '}');
}

void json_begin_array(struct json_writer *w)
{
    begin(w, '[');
}

void json_end_array(struct json_writer *w)
{
    end(w, ']');
}

/* Length of the UTF-8 sequence at s, or 0 when the bytes are none (Unicode 15, table 3-7). */
static size_t utf8_len(const unsigned char *s, size_t left)
{
    unsigned char c = s[0];
    size_t len = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    if (len == 0 || len > left) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (c == 0xe0 && s[1] < 0xa0) || (c == 0xf0 && s[1] < 0x90);
    bool surrogate = c == 0xed && s[1] > 0x9f;
    bool beyond = c == 0xf4 && s[1] > 0x8f;
    return overlong || surrogate || beyond ? 0 : len;
}

static void put_escaped(struct buf *out, unsigned char c)
{
    switch (c) {
    case '"': (void)buf_append(out, "\\\"", 2); break;
    case '\\': (void)buf_append(out, "\\\\", 2); break;
    case '\n': (void)buf_append(out, "\\n", 2); break;
    case '\r': (void)buf_append(out, "\\r", 2); break;
    case '\t': (void)buf_append(out, "\\t", 2); break;
    default: (void)buf_printf(out, "\\u%04x", c);
    }
}

static void put_text(struct buf *out, struct slice s)
{
    const unsigned char *at = (const unsigned char *)s.data;
    size_t left = s.len;
    (void)buf_append_char(out, '"');
    while (left > 0) {
        size_t plain = 0;
        while (plain < left && at[plain] >= 0x20 && at[plain] < 0x80 && at[plain] != '"' &&
               at[plain] != '\\') {
            plain++;
        }
        (void)buf_append(out, at, plain);
        at += plain;
        left -= plain;
        if (left == 0) {
            break;
        }
        size_t len = 1;
        if (at[0] < 0x80) {
            put_escaped(out, at[0]);
        } else if ((len = utf8_len(at, left)) > 0) {
            (void)buf_append(out, at, len);
        } else {
            (void)buf_append(out, "\xef\xbf\xbd", 3); /* U+FFFD */
            len = 1;
        }
        at += len;
        left -= len;
    }
    (void)buf_append_char(out, '"');
}

void json_key_slice(struct json_writer *w, struct slice key)
{
    assert(!w->after_key && w->depth > 0);
    separate(w);
    put_text(w->out, key);
    (void)buf_append_char(w->out, ':');
    w->after_key = true;
}

void json_key(struct json_writer *w, const char *key)
{
    json_key_slice(w, slice_from_str(key));
}

void json_put_raw(struct json_writer *w, struct slice json)
{
    separate(w);
    (void)buf_append_slice(w->out, json);
}

void json_put_null(struct json_writer *w)
{
    json_put_raw(w, SLICE_LIT("null"));
}

void json_put_bool(struct json_writer *w, bool v)
{
    json_put_raw(w, v ? SLICE_LIT("true") : SLICE_LIT("false"));
}

void json_put_u64(struct json_writer *w, uint64_t v)
{
    separate(w);
    (void)buf_printf(w->out, "%" PRIu64, v);
}

void json_put_i64(struct json_writer *w, int64_t v)
{
    separate(w);
    (void)buf_printf(w->out, "%" PRId64, v);
}

/* A whole number keeps a fraction, so that it reads back as a number and not as an integer. */
static void put_number(struct buf *out, const char *text, size_t len)
{
    (void)buf_append(out, text, len);
    if (memchr(text, '.', len) == NULL && memchr(text, 'e', len) == NULL) {
        (void)buf_append(out, ".0", 2);
    }
}

void json_put_f64(struct json_writer *w, double v)
{
    char text[JSON_NUMBER_MAX];
    if (!isfinite(v)) {
        json_put_null(w);
        return;
    }
    separate(w);
    put_number(w->out, text, json_number_f64(v, text));
}

void json_put_f32(struct json_writer *w, float v)
{
    char text[JSON_NUMBER_MAX];
    if (!isfinite(v)) {
        json_put_null(w);
        return;
    }
    separate(w);
    put_number(w->out, text, json_number_f32(v, text));
}

void json_put_floats(struct json_writer *w, const float *v, size_t len)
{
    json_begin_array(w);
    (void)buf_reserve(w->out, len * 8); /* most floats are shorter; growing once is cheaper */
    for (size_t i = 0; i < len; i++) {
        json_put_f32(w, v[i]);
    }
    json_end_array(w);
}

void json_put_string(struct json_writer *w, struct slice s)
{
    separate(w);
    put_text(w->out, s);
}

void json_put_str(struct json_writer *w, const char *s)
{
    json_put_string(w, slice_from_str(s));
}

/* --- printing a parsed value ---------------------------------------------------------------- */

static void put_members(struct json_writer *w, struct json_value v, bool object)
{
    struct slice key;
    struct json_value member;
    for (struct json_iter it = json_iter(v); json_next(&it, &key, &member);) {
        if (object) {
            json_key_slice(w, key);
        }
        json_put_value(w, member);
    }
}

/* Recursion is bounded by JSON_DEPTH_MAX, which the parser enforced. */
void json_put_value(struct json_writer *w, struct json_value v)
{
    bool flag = false;
    uint64_t u = 0;
    int64_t i = 0;
    double d = 0;
    struct slice s = { NULL, 0 };
    switch (json_kind(v)) {
    case JSON_NULL: json_put_null(w); break;
    case JSON_BOOL:
        (void)json_bool(v, &flag);
        json_put_bool(w, flag);
        break;
    case JSON_U64:
        (void)json_u64(v, &u);
        json_put_u64(w, u);
        break;
    case JSON_I64:
        (void)json_i64(v, &i);
        json_put_i64(w, i);
        break;
    case JSON_F64:
        (void)json_f64(v, &d);
        json_put_f64(w, d);
        break;
    case JSON_STRING:
        (void)json_string(v, &s);
        json_put_string(w, s);
        break;
    case JSON_ARRAY:
        json_begin_array(w);
        put_members(w, v, false);
        json_end_array(w);
        break;
    case JSON_OBJECT:
        json_begin_object(w);
        put_members(w, v, true);
        json_end_object(w);
        break;
    }
}

enum shoal_err json_print(struct json_value v, struct buf *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_put_value(&w, v);
    return out->failed;
}
