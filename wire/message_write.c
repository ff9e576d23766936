/* UPSERT, SHARD_WRITE and what answers both. */
#include "base/distance.h"
#include "wire/message_codec.h"

enum { UPSERT_FIELDS = 6, SHARD_WRITE_FIELDS = 3, WRITE_REPLY_FIELDS = 2 };

/* --- upsert --------------------------------------------------------------------------------- */

enum shoal_err wire_encode_upsert(struct buf *out, enum wire_kind kind,
                                  const struct wire_meta *meta, const struct wire_upsert *msg)
{
    struct message_writer w;
    message__begin_request(&w, out, kind, meta, UPSERT_FIELDS);
    message__put_str(&w, msg->collection, WIRE_NAME_MAX);
    mp_put_bin(&w.mp, msg->op_id, sizeof(msg->op_id));
    mp_put_bool(&w.mp, msg->wait);
    mp_put_u64(&w.mp, msg->dim);
    message__put_ids(&w, msg->ids, msg->points_len);
    message__put_strs(&w, msg->payloads, msg->points_len, WIRE_POINTS_MAX, WIRE_PAYLOAD_MAX);
    message__begin_raw(&w);
    message__put_floats(&w, msg->vectors, (size_t)msg->points_len * msg->dim);
    return message__end(&w);
}

enum shoal_err wire_decode_upsert(const struct frame *f, struct arena *arena,
                                  struct wire_upsert *msg, struct errbuf *why)
{
    struct message_reader r;
    uint32_t payloads_len;
    message__open_request(&r, f, arena, WIRE_UPSERT, WIRE_UPSERT, UPSERT_FIELDS, why);
    *msg = (struct wire_upsert){ .collection = message__get_str(&r, "collection", WIRE_NAME_MAX) };
    message__get_bytes(&r, "op_id", msg->op_id, sizeof(msg->op_id));
    msg->wait = message__get_bool(&r, "wait");
    msg->dim = message__get_u32(&r, "dim", VECTOR_DIM_MAX);
    msg->ids = message__get_ids(&r, "ids", &msg->points_len);
    msg->payloads = message__get_strs(&r, "payloads", WIRE_POINTS_MAX, WIRE_PAYLOAD_MAX,
                                      &payloads_len);
    if (r.rc == SHOAL_OK && payloads_len != msg->points_len) {
        message__refuse(&r, SHOAL_EPROTO, "%u payloads for %u points", payloads_len,
                        msg->points_len);
    }
    msg->vectors = message__get_floats(&r, (size_t)msg->points_len * msg->dim);
    return message__close(&r);
}

/* --- one operation for a shard's log --------------------------------------------------------- */

enum shoal_err wire_encode_shard_write(struct buf *out, enum wire_kind kind,
                                       const struct wire_meta *meta,
                                       const struct wire_shard_write *msg)
{
    struct message_writer w;
    message__begin_request(&w, out, kind, meta, SHARD_WRITE_FIELDS);
    mp_put_u64(&w.mp, msg->shard);
    mp_put_bool(&w.mp, msg->wait);
    mp_put_u64(&w.mp, msg->op.len);
    message__begin_raw(&w);
    message__put_raw(&w, msg->op);
    return message__end(&w);
}

enum shoal_err wire_decode_shard_write(const struct frame *f, struct arena *arena,
                                       struct wire_shard_write *msg, struct errbuf *why)
{
    struct message_reader r;
    message__open_request(&r, f, arena, WIRE_SHARD_WRITE, WIRE_SHARD_WRITE, SHARD_WRITE_FIELDS,
                          why);
    *msg = (struct wire_shard_write){ .shard = message__get_u64(&r, "shard", UINT64_MAX) };
    msg->wait = message__get_bool(&r, "wait");
    size_t op_len = message__get_u64(&r, "op_len", WIRE_MESSAGE_MAX);
    msg->op = message__get_raw(&r, op_len);
    return message__close(&r);
}

/* --- reply ---------------------------------------------------------------------------------- */

enum shoal_err wire_reply_write_reply(struct buf *out, uint16_t kind, uint64_t trace_id,
                                      const struct wire_write_reply *msg)
{
    struct message_writer w;
    message__begin_reply(&w, out, kind, trace_id, WRITE_REPLY_FIELDS);
    mp_put_u64(&w.mp, msg->operation_id);
    mp_put_bool(&w.mp, msg->applied);
    message__begin_raw(&w);
    return message__end(&w);
}

enum shoal_err wire_read_write_reply(struct slice message, struct arena *arena,
                                     struct wire_write_reply *msg, struct errbuf *why)
{
    struct message_reader r;
    message__open_reply(&r, message, arena, WRITE_REPLY_FIELDS, why);
    *msg = (struct wire_write_reply){ .operation_id = message__get_u64(&r, "operation_id",
                                                                       UINT64_MAX) };
    msg->applied = message__get_bool(&r, "applied");
    return message__close(&r);
}
