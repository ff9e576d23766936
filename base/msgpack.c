/* Tokens are written and read by libmpack; the bytes of strings and binaries are moved by us, so
 * that reading stays without copies. Every token is handled with a fresh token buffer: the library
 * then never waits for bytes of an earlier one. */
#include "base/msgpack.h"

#include <assert.h>
#include <mpack.h>
#include <string.h>

/* --- writer --------------------------------------------------------------------------------- */

static void put_token(struct mp_writer *w, mpack_token_t token)
{
    mpack_tokbuf_t tb = MPACK_TOKBUF_INITIAL_VALUE;
    char bytes[MPACK_MAX_TOKEN_LEN];
    char *at = bytes;
    size_t left = sizeof(bytes);
    int rc = mpack_write(&tb, &at, &left, &token);
    assert(rc == MPACK_OK);
    (void)rc;
    (void)buf_append(w->out, bytes, sizeof(bytes) - left);
}

void mp_writer_init(struct mp_writer *w, struct buf *out)
{
    w->out = out;
}

void mp_put_nil(struct mp_writer *w)
{
    put_token(w, mpack_pack_nil());
}

void mp_put_bool(struct mp_writer *w, bool v)
{
    put_token(w, mpack_pack_boolean(v));
}

void mp_put_u64(struct mp_writer *w, uint64_t v)
{
    put_token(w, mpack_pack_uint(v));
}

void mp_put_i64(struct mp_writer *w, int64_t v)
{
    put_token(w, v >= 0 ? mpack_pack_uint((uint64_t)v) : mpack_pack_sint(v));
}

/* Built by hand: the library's own packing takes a double and chooses the width by its value. */
static mpack_token_t float_token(uint64_t bits, mpack_uint32_t width)
{
    mpack_token_t token;
    memset(&token, 0, sizeof(token));
    token.type = MPACK_TOKEN_FLOAT;
    token.length = width;
    token.data.value.lo = (mpack_uint32_t)bits;
    token.data.value.hi = (mpack_uint32_t)(bits >> 32);
    return token;
}

void mp_put_f32(struct mp_writer *w, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof(bits));
    put_token(w, float_token(bits, 4));
}

void mp_put_f64(struct mp_writer *w, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    put_token(w, float_token(bits, 8));
}

/* Lengths are 32 bits in the format. */
static bool fits(struct mp_writer *w, size_t len)
{
    if (len <= UINT32_MAX) {
        return true;
    }
    if (w->out->failed == SHOAL_OK) {
        w->out->failed = SHOAL_ETOOBIG;
    }
    return false;
}

void mp_put_str(struct mp_writer *w, struct slice s)
{
    if (fits(w, s.len)) {
        put_token(w, mpack_pack_str((mpack_uint32_t)s.len));
        (void)buf_append_slice(w->out, s);
    }
}

void mp_put_cstr(struct mp_writer *w, const char *s)
{
    mp_put_str(w, slice_from_str(s));
}

void mp_put_bin(struct mp_writer *w, const void *data, size_t len)
{
    if (fits(w, len)) {
        put_token(w, mpack_pack_bin((mpack_uint32_t)len));
        (void)buf_append(w->out, data, len);
    }
}

void mp_put_array(struct mp_writer *w, uint32_t count)
{
    put_token(w, mpack_pack_array(count));
}

void mp_put_map(struct mp_writer *w, uint32_t count)
{
    put_token(w, mpack_pack_map(count));
}

/* --- reader --------------------------------------------------------------------------------- */

void mp_reader_init(struct mp_reader *r, struct slice bytes)
{
    r->at = (const uint8_t *)bytes.data;
    r->end = r->at == NULL ? NULL : r->at + bytes.len;
    r->failed = SHOAL_OK;
}

static size_t left(const struct mp_reader *r)
{
    return (size_t)(r->end - r->at);
}

static bool fail(struct mp_reader *r)
{
    r->failed = SHOAL_EPROTO;
    return false;
}

/* Reads one token's head; the bytes of strings are left where they are. */
static bool get_token(struct mp_reader *r, mpack_token_t *out)
{
    if (r->failed != SHOAL_OK || r->at == r->end) {
        return fail(r);
    }
    mpack_tokbuf_t tb = MPACK_TOKBUF_INITIAL_VALUE;
    const char *at = (const char *)r->at;
    size_t n = left(r);
    if (mpack_read(&tb, &at, &n, out) != MPACK_OK) {
        return fail(r);
    }
    r->at = (const uint8_t *)at;
    return true;
}

bool mp_get_bool(struct mp_reader *r)
{
    mpack_token_t t;
    if (!get_token(r, &t)) {
        return false;
    }
    return t.type == MPACK_TOKEN_BOOLEAN ? mpack_unpack_boolean(t) != 0 : fail(r);
}

uint64_t mp_get_u64(struct mp_reader *r)
{
    mpack_token_t t;
    if (!get_token(r, &t)) {
        return 0;
    }
    if (t.type != MPACK_TOKEN_UINT) {
        (void)fail(r);
        return 0;
    }
    return (uint64_t)t.data.value.hi << 32 | t.data.value.lo;
}

uint64_t mp_get_u64_max(struct mp_reader *r, uint64_t max)
{
    uint64_t v = mp_get_u64(r);
    if (v > max) {
        (void)fail(r);
        return 0;
    }
    return v;
}

int64_t mp_get_i64(struct mp_reader *r)
{
    mpack_token_t t;
    if (!get_token(r, &t)) {
        return 0;
    }
    uint64_t u = (uint64_t)t.data.value.hi << 32 | t.data.value.lo;
    if (t.type == MPACK_TOKEN_SINT) {
        return (int64_t)mpack_unpack_sint(t);
    }
    if (t.type != MPACK_TOKEN_UINT || u > INT64_MAX) {
        (void)fail(r);
        return 0;
    }
    return (int64_t)u;
}

static bool get_float(struct mp_reader *r, mpack_uint32_t width, uint64_t *bits)
{
    mpack_token_t t;
    if (!get_token(r, &t)) {
        return false;
    }
    if (t.type != MPACK_TOKEN_FLOAT || t.length != width) {
        return fail(r);
    }
    *bits = (uint64_t)t.data.value.hi << 32 | t.data.value.lo;
    return true;
}

float mp_get_f32(struct mp_reader *r)
{
    uint64_t bits;
    if (!get_float(r, 4, &bits)) {
        return 0;
    }
    uint32_t low = (uint32_t)bits;
    float v;
    memcpy(&v, &low, sizeof(v));
    return v;
}

double mp_get_f64(struct mp_reader *r)
{
    uint64_t bits;
    double v = 0;
    if (get_float(r, 8, &bits)) {
        memcpy(&v, &bits, sizeof(v));
    }
    return v;
}

static struct slice get_bytes(struct mp_reader *r, mpack_token_type_t type, size_t len_max)
{
    mpack_token_t t;
    struct slice none = { NULL, 0 };
    if (!get_token(r, &t)) {
        return none;
    }
    if (t.type != type || t.length > len_max || t.length > left(r)) {
        (void)fail(r);
        return none;
    }
    struct slice s = slice_make(r->at, t.length);
    r->at += t.length;
    return s;
}

struct slice mp_get_str(struct mp_reader *r, size_t len_max)
{
    return get_bytes(r, MPACK_TOKEN_STR, len_max);
}

struct slice mp_get_bin(struct mp_reader *r, size_t len_max)
{
    return get_bytes(r, MPACK_TOKEN_BIN, len_max);
}

static uint32_t get_count(struct mp_reader *r, mpack_token_type_t type, uint32_t count_max,
                          size_t values_each)
{
    mpack_token_t t;
    if (!get_token(r, &t)) {
        return 0;
    }
    /* Every value takes at least one byte. */
    if (t.type != type || t.length > count_max || t.length > left(r) / values_each) {
        (void)fail(r);
        return 0;
    }
    return t.length;
}

uint32_t mp_get_array(struct mp_reader *r, uint32_t count_max)
{
    return get_count(r, MPACK_TOKEN_ARRAY, count_max, 1);
}

uint32_t mp_get_map(struct mp_reader *r, uint32_t count_max)
{
    return get_count(r, MPACK_TOKEN_MAP, count_max, 2);
}

bool mp_get_nil(struct mp_reader *r)
{
    enum { NIL = 0xc0 };
    if (r->failed != SHOAL_OK || r->at == r->end || *r->at != NIL) {
        return false;
    }
    r->at++;
    return true;
}

bool mp_next_is_bin(const struct mp_reader *r)
{
    enum { BIN8 = 0xc4, BIN32 = 0xc6 };
    return r->failed == SHOAL_OK && r->at != r->end && *r->at >= BIN8 && *r->at <= BIN32;
}

void mp_skip(struct mp_reader *r)
{
    uint64_t open[MP_DEPTH_MAX]; /* values still to skip on each level */
    size_t depth = 0;
    open[0] = 1;
    while (r->failed == SHOAL_OK) {
        while (open[depth] == 0) {
            if (depth-- == 0) {
                return;
            }
        }
        open[depth]--;
        mpack_token_t t;
        if (!get_token(r, &t)) {
            return;
        }
        if (t.type == MPACK_TOKEN_ARRAY || t.type == MPACK_TOKEN_MAP) {
            uint64_t values = (uint64_t)t.length * (t.type == MPACK_TOKEN_MAP ? 2 : 1);
            if (depth + 1 == MP_DEPTH_MAX || values > left(r)) {
                (void)fail(r);
                return;
            }
            open[++depth] = values;
        } else if (t.type == MPACK_TOKEN_STR || t.type == MPACK_TOKEN_BIN ||
                   t.type == MPACK_TOKEN_EXT) {
            if (t.length > left(r)) {
                (void)fail(r);
                return;
            }
            r->at += t.length;
        }
    }
}

enum shoal_err mp_reader_finish(struct mp_reader *r, struct errbuf *why)
{
    if (r->failed != SHOAL_OK) {
        return err_set(why, r->failed, "a MessagePack value is not what it should be");
    }
    if (r->at != r->end) {
        r->failed = SHOAL_EPROTO;
        return err_set(why, SHOAL_EPROTO, "%zu bytes too many after the message", left(r));
    }
    return SHOAL_OK;
}
