/* Encoding of ops, version 1. All numbers little-endian.
 *
 *      0  magic "SHOP"
 *      4  version u8, kind u8, zero u16
 *      8  operation id
 *     24  points_len u32, dim u32
 *     32  body bytes u32, rows' bytes u64 (unaligned), zero u32
 *     48  body: ids (kind byte, then 8 or 16 bytes), payload lengths u32 each, payloads one after
 *         the other, filter length u32, filter; zeros up to a multiple of 16
 *         rows: points_len x dim floats
 *
 * The same op always gives the same bytes, and decoding accepts only what encoding gives: an op
 * that decodes encodes to the bytes it came from. */
#include "shard/op.h"

#include "base/bytes.h"
#include "base/json.h"
#include "shard/filter.h"
#include "shard/payload.h"
#include "shard/rlog.h"

#include <assert.h>
#include <inttypes.h>

#define OP_MAGIC 0x504f4853u
#define OP_VERSION 1
#define HEADER_LEN 48
#define ALIGN 16

/* A cosine vector was scaled in float; what is farther from length 1 was not scaled at all. */
#define NORM_SQUARE_SLACK 1e-3

struct layout {
    uint32_t payloads_len; /* payloads that the kind carries */
    size_t body_len;       /* padding included */
    size_t rows_len;
};

static bool kind_known(unsigned kind)
{
    return kind >= OP_UPSERT && kind <= OP_CLEAR_PAYLOAD;
}

static uint32_t payloads_of(enum op_kind kind, uint32_t points_len)
{
    switch (kind) {
    case OP_UPSERT: return points_len;
    case OP_SET_PAYLOAD:
    case OP_OVERWRITE_PAYLOAD:
    case OP_DELETE_PAYLOAD: return 1;
    case OP_DELETE:
    case OP_CLEAR_PAYLOAD: break;
    }
    return 0;
}

/* What both sides hold an op to. */
static bool shape_fits(enum op_kind kind, uint32_t points_len, uint32_t dim, size_t filter_len)
{
    if (points_len > OP_POINTS_MAX) {
        return false;
    }
    if (kind == OP_UPSERT) {
        return points_len > 0 && dim >= 1 && dim <= VECTOR_DIM_MAX && filter_len == 0;
    }
    return dim == 0 && (points_len == 0) == (filter_len > 0);
}

/* --- encode ----------------------------------------------------------------------------------- */

static enum shoal_err measure(const struct op *op, struct layout *out)
{
    size_t body = sizeof(uint32_t) + op->filter.len;
    bool fits = op->filter.len <= UINT32_MAX;
    for (uint32_t i = 0; i < op->points_len; i++) {
        body += op->points[i].kind == POINT_ID_NUM ? 9 : 17;
    }
    out->payloads_len = payloads_of(op->kind, op->points_len);
    for (uint32_t i = 0; i < out->payloads_len; i++) {
        size_t len = op->payloads[i].len;
        fits = fits && len <= RLOG_ENTRY_MAX && body <= RLOG_ENTRY_MAX;
        body += sizeof(uint32_t) + (fits ? len : 0);
    }
    out->body_len = (body + ALIGN - 1) / ALIGN * ALIGN;
    out->rows_len = (size_t)op->points_len * op->dim * sizeof(float);
    fits = fits && out->body_len <= RLOG_ENTRY_MAX && out->rows_len <= RLOG_ENTRY_MAX &&
           HEADER_LEN + out->body_len + out->rows_len <= RLOG_ENTRY_MAX;
    return fits ? SHOAL_OK : SHOAL_ETOOBIG;
}

static void put_header(struct buf *out, const struct op *op, const struct layout *l)
{
    uint8_t h[HEADER_LEN] = { 0 };
    bytes_put_le32(h, OP_MAGIC);
    h[4] = OP_VERSION;
    h[5] = (uint8_t)op->kind;
    memcpy(h + 8, op->id, OP_ID_LEN);
    bytes_put_le32(h + 24, op->points_len);
    bytes_put_le32(h + 28, op->dim);
    bytes_put_le32(h + 32, (uint32_t)l->body_len);
    bytes_put_le64(h + 36, l->rows_len);
    (void)buf_append(out, h, sizeof(h));
}

static void put_len(struct buf *out, size_t len)
{
    uint8_t b[sizeof(uint32_t)];
    bytes_put_le32(b, (uint32_t)len);
    (void)buf_append(out, b, sizeof(b));
}

static void put_body(struct buf *out, const struct op *op, const struct layout *l)
{
    size_t begin = out->len;
    for (uint32_t i = 0; i < op->points_len; i++) {
        uint8_t key[POINT_ID_KEY_MAX];
        (void)buf_append(out, key, point_id_key(&op->points[i], key));
    }
    for (uint32_t i = 0; i < l->payloads_len; i++) {
        put_len(out, op->payloads[i].len);
    }
    for (uint32_t i = 0; i < l->payloads_len; i++) {
        (void)buf_append_slice(out, op->payloads[i]);
    }
    put_len(out, op->filter.len);
    (void)buf_append_slice(out, op->filter);
    static const uint8_t zeros[ALIGN];
    (void)buf_append(out, zeros, l->body_len - (out->len - begin));
}

enum shoal_err op_encode(struct buf *out, const struct op *op)
{
    if (!kind_known((unsigned)op->kind) ||
        !shape_fits(op->kind, op->points_len, op->dim, op->filter.len)) {
        return SHOAL_EINVAL;
    }
    struct layout l;
    enum shoal_err rc = measure(op, &l);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = buf_reserve(out, HEADER_LEN + l.body_len + l.rows_len);
    if (rc != SHOAL_OK) {
        return rc;
    }
    put_header(out, op, &l);
    put_body(out, op, &l);
    (void)buf_append(out, op->vectors, l.rows_len);
    assert(out->failed == SHOAL_OK); /* room was made above */
    return SHOAL_OK;
}

/* --- decode ----------------------------------------------------------------------------------- */

/* Reads the body; `left` never goes below zero. */
struct cursor {
    const uint8_t *at;
    size_t left;
    bool failed;
};

static const uint8_t *take(struct cursor *c, size_t len)
{
    if (c->failed || len > c->left) {
        c->failed = true;
        return NULL;
    }
    const uint8_t *p = c->at;
    c->at += len;
    c->left -= len;
    return p;
}

static uint32_t take_len(struct cursor *c)
{
    const uint8_t *p = take(c, sizeof(uint32_t));
    return p == NULL ? 0 : bytes_get_le32(p);
}

static bool take_ids(struct cursor *c, struct point_id *ids, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        size_t key_len = c->left > 0 && c->at[0] == POINT_ID_NUM ? 9 : 17;
        const uint8_t *key = take(c, key_len);
        if (key == NULL || point_id_from_key(key, key_len, &ids[i]) != SHOAL_OK) {
            return false;
        }
    }
    return true;
}

static bool take_payloads(struct cursor *c, struct slice *payloads, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        payloads[i].len = take_len(c);
    }
    for (uint32_t i = 0; i < len; i++) {
        payloads[i].data = (const char *)take(c, payloads[i].len);
    }
    return !c->failed;
}

/* The padding: fewer than ALIGN bytes, all zero. */
static bool take_padding(struct cursor *c)
{
    bool zero = c->left < ALIGN;
    for (size_t i = 0; zero && i < c->left; i++) {
        zero = c->at[i] == 0;
    }
    return zero && !c->failed;
}

static enum shoal_err corrupt(struct errbuf *why, const char *what)
{
    return err_set(why, SHOAL_ECORRUPT, "operation: %s", what);
}

/* Everything before the body. */
static enum shoal_err take_header(struct slice bytes, struct op *op, struct layout *l,
                                  struct errbuf *why)
{
    const uint8_t *h = (const uint8_t *)bytes.data;
    if (bytes.len < HEADER_LEN || bytes_get_le32(h) != OP_MAGIC) {
        return corrupt(why, "this is none");
    }
    if (h[4] > OP_VERSION) {
        return err_set(why, SHOAL_EUNSUPPORTED,
                       "operation: encoding %u was written by a later version of the program",
                       h[4]);
    }
    if (h[4] != OP_VERSION || !kind_known(h[5]) || bytes_get_le16(h + 6) != 0 ||
        bytes_get_le32(h + 44) != 0) {
        return corrupt(why, "bad header");
    }
    op->kind = (enum op_kind)h[5];
    memcpy(op->id, h + 8, OP_ID_LEN);
    op->points_len = bytes_get_le32(h + 24);
    op->dim = bytes_get_le32(h + 28);
    l->body_len = bytes_get_le32(h + 32);
    uint64_t rows_len = bytes_get_le64(h + 36);
    if (op->points_len > OP_POINTS_MAX || op->dim > VECTOR_DIM_MAX || l->body_len % ALIGN != 0 ||
        rows_len != (uint64_t)op->points_len * op->dim * sizeof(float) ||
        (uint64_t)l->body_len + rows_len != bytes.len - HEADER_LEN) {
        return corrupt(why, "lengths do not fit");
    }
    l->rows_len = (size_t)rows_len;
    l->payloads_len = payloads_of(op->kind, op->points_len);
    return SHOAL_OK;
}

static enum shoal_err take_body(struct slice body, const struct layout *l, struct arena *arena,
                                struct op *op, struct errbuf *why)
{
    /* Every id and every payload length takes some bytes: the body bounds the allocations. */
    if (op->points_len > body.len / 9 || l->payloads_len > body.len / sizeof(uint32_t)) {
        return corrupt(why, "lengths do not fit");
    }
    struct point_id *ids = arena_array(arena, op->points_len, sizeof(*ids));
    struct slice *payloads = arena_array(arena, l->payloads_len, sizeof(*payloads));
    if (ids == NULL || payloads == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for an operation of %" PRIu32 " points",
                       op->points_len);
    }
    struct cursor c = { .at = (const uint8_t *)body.data, .left = body.len };
    if (!take_ids(&c, ids, op->points_len) || !take_payloads(&c, payloads, l->payloads_len)) {
        return corrupt(why, "bad ids or payloads");
    }
    size_t filter_len = take_len(&c);
    op->filter = slice_make(take(&c, filter_len), filter_len);
    if (!take_padding(&c) || !shape_fits(op->kind, op->points_len, op->dim, filter_len)) {
        return corrupt(why, "bad body");
    }
    op->points = ids;
    op->payloads = payloads;
    return SHOAL_OK;
}

static enum shoal_err take_rows(struct slice rows, struct arena *arena, struct op *op,
                                struct errbuf *why)
{
    if (rows.len == 0) {
        return SHOAL_OK;
    }
    if ((uintptr_t)rows.data % _Alignof(float) == 0) {
        op->vectors = (const float *)(const void *)rows.data;
        return SHOAL_OK;
    }
    float *copy = arena_alloc(arena, rows.len);
    if (copy == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for the vectors of an operation");
    }
    memcpy(copy, rows.data, rows.len);
    op->vectors = copy;
    return SHOAL_OK;
}

enum shoal_err op_decode(struct slice bytes, struct arena *arena, struct op *out,
                         struct errbuf *why)
{
    struct op op = { .points = NULL };
    struct layout l = { 0 };
    *out = (struct op){ .points = NULL };
    enum shoal_err rc = take_header(bytes, &op, &l, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = take_body(slice_make(bytes.data + HEADER_LEN, l.body_len), &l, arena, &op, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = take_rows(slice_make(bytes.data + HEADER_LEN + l.body_len, l.rows_len), arena, &op, why);
    if (rc == SHOAL_OK) {
        *out = op;
    }
    return rc;
}

/* --- check ------------------------------------------------------------------------------------ */

static enum shoal_err check_vector(const float *v, uint32_t dim, enum distance d,
                                   struct errbuf *why)
{
    enum shoal_err rc = vector_check(v, dim, d, why);
    if (rc != SHOAL_OK || d != DISTANCE_COSINE) {
        return rc;
    }
    double square = 0;
    for (uint32_t i = 0; i < dim; i++) {
        square += (double)v[i] * (double)v[i];
    }
    if (fabs(square - 1) > NORM_SQUARE_SLACK) {
        return err_set(why, SHOAL_EVALIDATION,
                       "the vector's length is %g; cosine wants vectors scaled to 1", sqrt(square));
    }
    return SHOAL_OK;
}

static enum shoal_err check_object(struct slice text, struct errbuf *why)
{
    struct json_doc *doc = NULL;
    enum shoal_err rc = json_parse(text, &doc, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    enum json_kind kind = json_kind(json_root(doc));
    json_free(doc);
    if (kind != JSON_OBJECT) {
        return err_set(why, SHOAL_EPARSE, "%s where an object is expected", json_kind_name(kind));
    }
    return SHOAL_OK;
}

static enum shoal_err check_points(const struct op *op, uint32_t dim, enum distance d,
                                   struct errbuf *why)
{
    if (op->dim != dim) {
        return err_set(why, SHOAL_EINVAL,
                       "Vector dimension error: expected dim: %" PRIu32 ", got %" PRIu32, dim,
                       op->dim);
    }
    for (uint32_t i = 0; i < op->points_len; i++) {
        enum shoal_err rc = check_vector(op->vectors + (size_t)i * dim, dim, d, why);
        if (rc == SHOAL_OK && op->payloads[i].len > 0) {
            rc = check_object(op->payloads[i], why);
            if (rc != SHOAL_OK) {
                err_prefix(why, rc, "payload");
            }
        }
        if (rc != SHOAL_OK) {
            char id[POINT_ID_TEXT_MAX];
            (void)point_id_print(&op->points[i], id);
            return err_prefix(why, rc, "point %s (number %" PRIu32 " of the batch)", id, i + 1);
        }
    }
    return SHOAL_OK;
}

static enum shoal_err check_keys(struct slice json, struct errbuf *why)
{
    struct arena arena;
    struct payload_keys *keys = NULL;
    arena_init(&arena, RLOG_ENTRY_MAX);
    enum shoal_err rc = payload_keys_parse(json, &arena, &keys, why);
    arena_release(&arena);
    return rc;
}

enum shoal_err op_check(const struct op *op, uint32_t dim, enum distance d, struct errbuf *why)
{
    if (op->kind == OP_UPSERT) {
        return check_points(op, dim, d, why);
    }
    enum shoal_err rc = SHOAL_OK;
    if (op->kind == OP_DELETE_PAYLOAD) {
        rc = check_keys(op->payloads[0], why);
    } else if (payloads_of(op->kind, op->points_len) > 0) {
        rc = check_object(op->payloads[0], why);
    }
    if (rc != SHOAL_OK) {
        return err_prefix(why, rc, "payload");
    }
    if (op->filter.len > 0) {
        struct filter *filter = NULL;
        rc = filter_parse_text(op->filter, &filter, why);
        filter_free(filter);
    }
    return rc;
}
