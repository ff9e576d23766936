#include "wire/message_codec.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define RAW_ALIGN 4u

/* --- writing -------------------------------------------------------------------------------- */

static void begin(struct message_writer *w, struct buf *out, const struct frame *f, uint32_t fields)
{
    w->rc = SHOAL_OK;
    frame__begin(&w->frame, out, f);
    mp_writer_init(&w->mp, out);
    mp_put_array(&w->mp, fields);
}

void message__begin_request(struct message_writer *w, struct buf *out, enum wire_kind kind,
                            const struct wire_meta *meta, uint32_t fields)
{
    const struct frame f = { .kind = (uint16_t)kind,
                             .timeout_ms = meta->timeout_ms,
                             .trace_id = meta->trace_id };
    begin(w, out, &f, fields);
}

void message__begin_reply(struct message_writer *w, struct buf *out, uint16_t kind,
                          uint64_t trace_id, uint32_t fields)
{
    const struct frame f = { .kind = kind, .is_reply = true, .trace_id = trace_id };
    begin(w, out, &f, fields);
}

static void bound(struct message_writer *w, size_t n, size_t max)
{
    if (n > max && w->rc == SHOAL_OK) {
        w->rc = SHOAL_ETOOBIG;
    }
}

void message__put_str(struct message_writer *w, struct slice s, size_t len_max)
{
    bound(w, s.len, len_max);
    mp_put_str(&w->mp, s);
}

void message__put_count(struct message_writer *w, uint32_t count, uint32_t count_max)
{
    bound(w, count, count_max);
    mp_put_array(&w->mp, count);
}

void message__put_id(struct message_writer *w, const struct point_id *id)
{
    if (id->kind == POINT_ID_NUM) {
        mp_put_u64(&w->mp, id->value.num);
    } else {
        mp_put_bin(&w->mp, id->value.uuid, sizeof(id->value.uuid));
    }
}

void message__put_ids(struct message_writer *w, const struct point_id *ids, uint32_t len)
{
    message__put_count(w, len, WIRE_POINTS_MAX);
    for (uint32_t i = 0; i < len; i++) {
        message__put_id(w, &ids[i]);
    }
}

void message__put_strs(struct message_writer *w, const struct slice *strs, uint32_t len,
                       uint32_t len_max, size_t bytes_max)
{
    message__put_count(w, len, len_max);
    for (uint32_t i = 0; i < len; i++) {
        message__put_str(w, strs[i], bytes_max);
    }
}

void message__begin_raw(struct message_writer *w)
{
    frame__begin_raw(&w->frame);
}

void message__put_floats(struct message_writer *w, const float *v, size_t len)
{
    size_t bytes;
    if (!size_mul(len, sizeof(*v), &bytes)) {
        bound(w, 1, 0);
        return;
    }
    (void)buf_append(w->frame.out, v, bytes);
}

void message__put_raw(struct message_writer *w, struct slice bytes)
{
    static const char zeros[RAW_ALIGN] = { 0 };
    (void)buf_append_slice(w->frame.out, bytes);
    (void)buf_append(w->frame.out, zeros, (RAW_ALIGN - bytes.len % RAW_ALIGN) % RAW_ALIGN);
}

enum shoal_err message__end(struct message_writer *w)
{
    if (w->rc != SHOAL_OK) {
        frame__abandon(&w->frame);
        return w->rc;
    }
    return frame__end(&w->frame);
}

/* --- reading -------------------------------------------------------------------------------- */

void message__refuse(struct message_reader *r, enum shoal_err rc, const char *fmt, ...)
{
    if (r->rc != SHOAL_OK) {
        return;
    }
    char text[ERRBUF_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    r->rc = err_set(r->why, rc, "message: %s", text);
    r->mp.failed = SHOAL_EPROTO; /* every later read gives zero */
}

/* Whether there is a field to read: false, without an error, when an older writer left it out. */
static bool next_field(struct message_reader *r)
{
    if (r->rc != SHOAL_OK || r->fields_left == 0) {
        return false;
    }
    r->fields_left--;
    return true;
}

static void check(struct message_reader *r, const char *field)
{
    if (r->mp.failed != SHOAL_OK && r->rc == SHOAL_OK) {
        message__refuse(r, SHOAL_EPROTO, "\"%s\" is cut short or of the wrong kind", field);
    }
}

static bool within(struct message_reader *r, const char *field, uint64_t n, uint64_t max)
{
    check(r, field);
    if (n > max) {
        message__refuse(r, SHOAL_ETOOBIG, "\"%s\" is %llu, over the limit of %llu", field,
                        (unsigned long long)n, (unsigned long long)max);
    }
    return r->rc == SHOAL_OK;
}

static void open_fields(struct message_reader *r, uint32_t fields_min)
{
    uint32_t fields = mp_get_array(&r->mp, UINT32_MAX);
    check(r, "fields");
    if (r->rc == SHOAL_OK && fields < fields_min) {
        message__refuse(r, SHOAL_EPROTO, "%u fields where at least %u are needed", fields,
                        fields_min);
    }
    r->fields_left = r->rc == SHOAL_OK ? fields : 0;
}

static void start(struct message_reader *r, struct arena *arena, struct errbuf *why)
{
    *r = (struct message_reader){ .arena = arena, .why = why };
    mp_reader_init(&r->mp, slice_make(NULL, 0));
}

void message__open_request(struct message_reader *r, const struct frame *f, struct arena *arena,
                           enum wire_kind kind, enum wire_kind or_kind, uint32_t fields_min,
                           struct errbuf *why)
{
    start(r, arena, why);
    if (f->is_reply || (f->kind != kind && f->kind != or_kind)) {
        message__refuse(r, SHOAL_EPROTO, "kind %u where a request of kind %u was expected", f->kind,
                        (unsigned)kind);
        return;
    }
    mp_reader_init(&r->mp, f->head);
    r->raw = f->raw;
    open_fields(r, fields_min);
}

static enum shoal_err read_failure(const struct frame *f, struct errbuf *why)
{
    struct mp_reader mp;
    mp_reader_init(&mp, f->head);
    struct slice text = mp_get_str(&mp, SIZE_MAX);
    if (mp_reader_finish(&mp, NULL) != SHOAL_OK) {
        return err_set(why, SHOAL_EPROTO, "message: a failure without its reason");
    }
    int len = text.len < ERRBUF_TEXT_MAX ? (int)text.len : ERRBUF_TEXT_MAX;
    return err_set(why, f->status, "%.*s", len, len == 0 ? "" : text.data);
}

void message__open_reply(struct message_reader *r, struct slice message, struct arena *arena,
                         uint32_t fields_min, struct errbuf *why)
{
    start(r, arena, why);
    struct frame f;
    r->rc = frame_decode(message, &f, why);
    if (r->rc != SHOAL_OK) {
        return;
    }
    if (!f.is_reply) {
        message__refuse(r, SHOAL_EPROTO, "a request where a reply was expected");
        return;
    }
    if (f.status != SHOAL_OK) {
        r->rc = read_failure(&f, why);
        return;
    }
    mp_reader_init(&r->mp, f.head);
    r->raw = f.raw;
    open_fields(r, fields_min);
}

bool message__get_bool(struct message_reader *r, const char *field)
{
    if (!next_field(r)) {
        return false;
    }
    bool v = mp_get_bool(&r->mp);
    check(r, field);
    return r->rc == SHOAL_OK && v;
}

uint64_t message__get_u64(struct message_reader *r, const char *field, uint64_t max)
{
    if (!next_field(r)) {
        return 0;
    }
    uint64_t v = mp_get_u64(&r->mp);
    return within(r, field, v, max) ? v : 0;
}

uint32_t message__get_u32(struct message_reader *r, const char *field, uint32_t max)
{
    return (uint32_t)message__get_u64(r, field, max);
}

float message__get_f32(struct message_reader *r, const char *field)
{
    if (!next_field(r)) {
        return 0;
    }
    float v = mp_get_f32(&r->mp);
    check(r, field);
    return r->rc == SHOAL_OK ? v : 0;
}

struct slice message__get_str(struct message_reader *r, const char *field, size_t len_max)
{
    const struct slice none = { NULL, 0 };
    if (!next_field(r)) {
        return none;
    }
    struct slice s = mp_get_str(&r->mp, SIZE_MAX);
    return within(r, field, s.len, len_max) ? s : none;
}

void message__get_bytes(struct message_reader *r, const char *field, void *out, size_t len)
{
    memset(out, 0, len);
    if (!next_field(r)) {
        return;
    }
    struct slice s = mp_get_bin(&r->mp, SIZE_MAX);
    check(r, field);
    if (r->rc == SHOAL_OK && s.len != len) {
        message__refuse(r, SHOAL_EPROTO, "\"%s\" has %zu bytes instead of %zu", field, s.len, len);
    }
    if (r->rc == SHOAL_OK && len > 0) {
        memcpy(out, s.data, len);
    }
}

struct point_id message__get_id(struct message_reader *r, const char *field)
{
    struct point_id id = point_id_num(0);
    if (r->rc == SHOAL_OK && r->fields_left > 0 && mp_next_is_bin(&r->mp)) {
        id.kind = POINT_ID_UUID;
        message__get_bytes(r, field, id.value.uuid, sizeof(id.value.uuid));
        return id;
    }
    id.value.num = message__get_u64(r, field, UINT64_MAX);
    return id;
}

bool message__get_id_or_nil(struct message_reader *r, const char *field, struct point_id *out)
{
    *out = point_id_num(0);
    if (r->rc != SHOAL_OK || r->fields_left == 0) {
        return false;
    }
    if (mp_get_nil(&r->mp)) {
        r->fields_left--;
        return false;
    }
    *out = message__get_id(r, field);
    return r->rc == SHOAL_OK;
}

uint32_t message__get_count(struct message_reader *r, const char *field, uint32_t max)
{
    if (!next_field(r)) {
        return 0;
    }
    uint32_t n = mp_get_array(&r->mp, UINT32_MAX);
    return within(r, field, n, max) ? n : 0;
}

static void *scratch(struct message_reader *r, size_t n, size_t size)
{
    void *p = arena_array(r->arena, n, size);
    if (p == NULL) {
        message__refuse(r, SHOAL_ENOMEM, "no memory to read it");
    }
    return p;
}

const struct point_id *message__get_ids(struct message_reader *r, const char *field, uint32_t *len)
{
    *len = 0;
    uint32_t n = message__get_count(r, field, WIRE_POINTS_MAX);
    struct point_id *ids = r->rc == SHOAL_OK ? scratch(r, n, sizeof(*ids)) : NULL;
    uint32_t outer = r->fields_left;
    r->fields_left = n;
    for (uint32_t i = 0; i < n && r->rc == SHOAL_OK; i++) {
        ids[i] = message__get_id(r, field);
    }
    r->fields_left = outer;
    if (r->rc != SHOAL_OK) {
        return NULL;
    }
    *len = n;
    return ids;
}

const struct slice *message__get_strs(struct message_reader *r, const char *field, uint32_t len_max,
                                      size_t bytes_max, uint32_t *len)
{
    *len = 0;
    uint32_t n = message__get_count(r, field, len_max);
    struct slice *strs = r->rc == SHOAL_OK ? scratch(r, n, sizeof(*strs)) : NULL;
    uint32_t outer = r->fields_left;
    r->fields_left = n;
    for (uint32_t i = 0; i < n && r->rc == SHOAL_OK; i++) {
        strs[i] = message__get_str(r, field, bytes_max);
    }
    r->fields_left = outer;
    if (r->rc != SHOAL_OK) {
        return NULL;
    }
    *len = n;
    return strs;
}

uint32_t message__enter(struct message_reader *r, const char *field, uint32_t fields_min)
{
    uint32_t fields = 0;
    if (next_field(r)) {
        fields = mp_get_array(&r->mp, UINT32_MAX);
        check(r, field);
    }
    if (r->rc == SHOAL_OK && fields < fields_min) {
        message__refuse(r, SHOAL_EPROTO, "\"%s\" has %u fields, at least %u are needed", field,
                        fields, fields_min);
    }
    uint32_t outer = r->fields_left;
    r->fields_left = fields;
    return outer;
}

static void skip_rest(struct message_reader *r)
{
    while (r->rc == SHOAL_OK && r->fields_left > 0) {
        r->fields_left--;
        mp_skip(&r->mp);
        check(r, "a field of a later version");
    }
}

void message__leave(struct message_reader *r, uint32_t outer)
{
    skip_rest(r);
    r->fields_left = outer;
}

/* NNG's messages lie at a multiple of 4, ours at one of 16, so rows are read in place; bytes from
 * elsewhere may not be aligned, and then one copy is made, since a float must be. */
const float *message__get_floats(struct message_reader *r, size_t len)
{
    if (r->rc != SHOAL_OK) {
        return NULL;
    }
    size_t bytes;
    if (!size_mul(len, sizeof(float), &bytes) || bytes > r->raw.len) {
        message__refuse(r, SHOAL_EPROTO, "%zu bytes of vectors where %zu floats are announced",
                        r->raw.len, len);
        return NULL;
    }
    const char *at = r->raw.data;
    r->raw = slice_make(at + bytes, r->raw.len - bytes);
    if ((uintptr_t)at % _Alignof(float) == 0) {
        return (const float *)(const void *)at;
    }
    float *copy = scratch(r, len, sizeof(float));
    if (copy != NULL && bytes > 0) {
        memcpy(copy, at, bytes);
    }
    return copy;
}

struct slice message__get_raw(struct message_reader *r, size_t len)
{
    const struct slice none = { NULL, 0 };
    if (r->rc != SHOAL_OK) {
        return none;
    }
    size_t padding = (RAW_ALIGN - len % RAW_ALIGN) % RAW_ALIGN;
    if (len > r->raw.len || padding > r->raw.len - len) {
        message__refuse(r, SHOAL_EPROTO, "a raw part of %zu bytes where %zu are announced",
                        r->raw.len, len);
        return none;
    }
    for (size_t i = 0; i < padding; i++) {
        if (r->raw.data[len + i] != 0) {
            message__refuse(r, SHOAL_EPROTO, "padding of the raw part is not zero");
            return none;
        }
    }
    struct slice s = slice_make(r->raw.data, len);
    r->raw = slice_make(r->raw.data + len + padding, r->raw.len - len - padding);
    return s;
}

enum shoal_err message__close(struct message_reader *r)
{
    skip_rest(r);
    if (r->rc == SHOAL_OK) {
        r->rc = mp_reader_finish(&r->mp, r->why);
    }
    if (r->rc == SHOAL_OK && r->raw.len > 0) {
        message__refuse(r, SHOAL_EPROTO, "%zu bytes too many in the raw part", r->raw.len);
    }
    return r->rc;
}
