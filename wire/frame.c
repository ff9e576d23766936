#include "wire/frame.h"

#include "base/bytes.h"
#include "base/msgpack.h"
#include "wire/frame_builder.h"

#include <assert.h>
#include <string.h>

#define MAGIC "SHL1"
#define FLAG_REPLY 1u
#define HEAD_ALIGN 16u
#define RAW_ALIGN 4u

enum {
    AT_KIND = 4,
    AT_FLAGS = 6,
    AT_STATUS = 8,
    AT_TIMEOUT = 12,
    AT_TRACE = 16,
    AT_HEAD_LEN = 24,
    AT_RAW_LEN = 28
};

static size_t padded(size_t head_len)
{
    return (head_len + HEAD_ALIGN - 1) / HEAD_ALIGN * HEAD_ALIGN;
}

/* --- building ------------------------------------------------------------------------------- */

void frame__begin(struct frame_builder *b, struct buf *out, const struct frame *f)
{
    char header[WIRE_FRAME_HEADER_LEN] = MAGIC;
    bytes_put_le16(header + AT_KIND, f->kind);
    bytes_put_le16(header + AT_FLAGS, f->is_reply ? FLAG_REPLY : 0);
    bytes_put_le32(header + AT_STATUS, (uint32_t)f->status);
    bytes_put_le32(header + AT_TIMEOUT, f->timeout_ms);
    bytes_put_le64(header + AT_TRACE, f->trace_id);
    *b = (struct frame_builder){ .out = out, .start = out->len };
    (void)buf_append(out, header, sizeof(header));
}

void frame__begin_raw(struct frame_builder *b)
{
    static const char zeros[HEAD_ALIGN] = { 0 };
    struct buf *out = b->out;
    if (out->failed != SHOAL_OK) {
        return;
    }
    b->head_len = out->len - b->start - WIRE_FRAME_HEADER_LEN;
    (void)buf_append(out, zeros, padded(b->head_len) - b->head_len);
    b->raw_at = out->len;
}

void frame__abandon(struct frame_builder *b)
{
    b->out->len = b->start;
}

enum shoal_err frame__end(struct frame_builder *b)
{
    struct buf *out = b->out;
    enum shoal_err rc = out->failed;
    if (rc == SHOAL_OK && out->len - b->start > WIRE_MESSAGE_MAX) {
        rc = SHOAL_ETOOBIG;
    }
    if (rc != SHOAL_OK) {
        frame__abandon(b);
        return rc;
    }
    size_t raw_len = out->len - b->raw_at;
    assert(raw_len % RAW_ALIGN == 0);
    char *header = out->data + b->start;
    bytes_put_le32(header + AT_HEAD_LEN, (uint32_t)b->head_len);
    bytes_put_le32(header + AT_RAW_LEN, (uint32_t)raw_len);
    return SHOAL_OK;
}

enum shoal_err frame_encode(struct buf *out, const struct frame *f)
{
    struct frame_builder b;
    frame__begin(&b, out, f);
    (void)buf_append_slice(out, f->head);
    frame__begin_raw(&b);
    (void)buf_append_slice(out, f->raw);
    return frame__end(&b);
}

enum shoal_err frame_encode_error(struct buf *out, uint16_t kind, uint64_t trace_id,
                                  enum shoal_err status, const char *text)
{
    assert(status != SHOAL_OK);
    const struct frame f = {
        .kind = kind, .is_reply = true, .status = status, .trace_id = trace_id
    };
    struct slice reason = slice_from_str(text);
    if (reason.len >= ERRBUF_TEXT_MAX) {
        reason.len = ERRBUF_TEXT_MAX - 1;
    }
    struct frame_builder b;
    struct mp_writer mp;
    frame__begin(&b, out, &f);
    mp_writer_init(&mp, out);
    mp_put_str(&mp, reason);
    frame__begin_raw(&b);
    return frame__end(&b);
}

/* --- reading -------------------------------------------------------------------------------- */

/* The fields that must hold certain values in requests and in replies. */
static enum shoal_err check_header(const char *header, const struct frame *f, struct errbuf *why)
{
    uint16_t flags = bytes_get_le16(header + AT_FLAGS);
    if ((flags & ~FLAG_REPLY) != 0) {
        return err_set(why, SHOAL_EPROTO, "frame: unknown flags 0x%x", flags);
    }
    if (!f->is_reply && f->status != SHOAL_OK) {
        return err_set(why, SHOAL_EPROTO, "frame: a request with a status");
    }
    if (f->is_reply && f->timeout_ms != 0) {
        return err_set(why, SHOAL_EPROTO, "frame: a reply with a timeout");
    }
    return SHOAL_OK;
}

static enum shoal_err split(struct slice message, struct frame *f, struct errbuf *why)
{
    uint64_t head_len = bytes_get_le32(message.data + AT_HEAD_LEN);
    uint64_t raw_len = bytes_get_le32(message.data + AT_RAW_LEN);
    uint64_t raw_at = WIRE_FRAME_HEADER_LEN + padded(head_len);
    unsigned long long stated = raw_at + raw_len;
    if (stated != message.len) {
        return err_set(why, SHOAL_EPROTO, "frame: %zu bytes, but its header speaks of %llu",
                       message.len, stated);
    }
    if (raw_len % RAW_ALIGN != 0) {
        return err_set(why, SHOAL_EPROTO, "frame: raw part is not a multiple of 4 bytes");
    }
    const char *head = message.data + WIRE_FRAME_HEADER_LEN;
    for (uint64_t i = head_len; i < padded(head_len); i++) {
        if (head[i] != 0) {
            return err_set(why, SHOAL_EPROTO, "frame: padding is not zero");
        }
    }
    f->head = slice_make(head, head_len);
    f->raw = slice_make(message.data + raw_at, raw_len);
    if (f->is_reply && f->status != SHOAL_OK && raw_len != 0) {
        return err_set(why, SHOAL_EPROTO, "frame: a failure with a raw part");
    }
    return SHOAL_OK;
}

enum shoal_err frame_decode(struct slice message, struct frame *out, struct errbuf *why)
{
    *out = (struct frame){ 0 };
    if (message.len < WIRE_FRAME_HEADER_LEN) {
        return err_set(why, SHOAL_EPROTO, "frame: %zu bytes are less than a header", message.len);
    }
    if (message.len > WIRE_MESSAGE_MAX) {
        return err_set(why, SHOAL_EPROTO, "frame: %zu bytes are over the limit of %u", message.len,
                       WIRE_MESSAGE_MAX);
    }
    const char *header = message.data;
    if (memcmp(header, MAGIC, sizeof(MAGIC) - 1) != 0) {
        return err_set(why, SHOAL_EPROTO, "frame: not a Shoal message of version 1");
    }
    struct frame f = {
        .kind = bytes_get_le16(header + AT_KIND),
        .is_reply = (bytes_get_le16(header + AT_FLAGS) & FLAG_REPLY) != 0,
        .status = err_from_number(bytes_get_le32(header + AT_STATUS)),
        .timeout_ms = bytes_get_le32(header + AT_TIMEOUT),
        .trace_id = bytes_get_le64(header + AT_TRACE),
    };
    enum shoal_err rc = check_header(header, &f, why);
    if (rc == SHOAL_OK) {
        rc = split(message, &f, why);
    }
    if (rc == SHOAL_OK) {
        *out = f;
    }
    return rc;
}
