/* SHARD_FETCH, SHARD_SCROLL and SHARD_COUNT, and what answers them. */
#include "base/distance.h"
#include "wire/message_hits.h"

enum {
    FETCH_FIELDS = 4,
    SCROLL_FIELDS = 6,
    RECORDS_FIELDS = 3,
    COUNT_FIELDS = 2,
    COUNT_REPLY_FIELDS = 1
};

static void put_id_or_nil(struct message_writer *w, bool has, const struct point_id *id)
{
    if (has) {
        message__put_id(w, id);
    } else {
        mp_put_nil(&w->mp);
    }
}

/* --- requests ------------------------------------------------------------------------------- */

enum shoal_err wire_encode_fetch(struct buf *out, enum wire_kind kind, const struct wire_meta *meta,
                                 const struct wire_fetch *msg)
{
    struct message_writer w;
    message__begin_request(&w, out, kind, meta, FETCH_FIELDS);
    mp_put_u64(&w.mp, msg->shard);
    mp_put_bool(&w.mp, msg->with_payload);
    mp_put_bool(&w.mp, msg->with_vector);
    message__put_ids(&w, msg->ids, msg->ids_len);
    message__begin_raw(&w);
    return message__end(&w);
}

enum shoal_err wire_decode_fetch(const struct frame *f, struct arena *arena, struct wire_fetch *msg,
                                 struct errbuf *why)
{
    struct message_reader r;
    message__open_request(&r, f, arena, WIRE_SHARD_FETCH, WIRE_SHARD_FETCH, FETCH_FIELDS, why);
    *msg = (struct wire_fetch){ .shard = message__get_u64(&r, "shard", UINT64_MAX) };
    msg->with_payload = message__get_bool(&r, "with_payload");
    msg->with_vector = message__get_bool(&r, "with_vector");
    msg->ids = message__get_ids(&r, "ids", &msg->ids_len);
    return message__close(&r);
}

enum shoal_err wire_encode_scroll(struct buf *out, enum wire_kind kind,
                                  const struct wire_meta *meta, const struct wire_scroll *msg)
{
    struct message_writer w;
    message__begin_request(&w, out, kind, meta, SCROLL_FIELDS);
    mp_put_u64(&w.mp, msg->shard);
    put_id_or_nil(&w, msg->has_offset, &msg->offset);
    mp_put_u64(&w.mp, msg->limit);
    mp_put_bool(&w.mp, msg->with_payload);
    mp_put_bool(&w.mp, msg->with_vector);
    message__put_str(&w, msg->filter, WIRE_PAYLOAD_MAX);
    message__begin_raw(&w);
    return message__end(&w);
}

enum shoal_err wire_decode_scroll(const struct frame *f, struct arena *arena,
                                  struct wire_scroll *msg, struct errbuf *why)
{
    struct message_reader r;
    message__open_request(&r, f, arena, WIRE_SHARD_SCROLL, WIRE_SHARD_SCROLL, SCROLL_FIELDS, why);
    *msg = (struct wire_scroll){ .shard = message__get_u64(&r, "shard", UINT64_MAX) };
    msg->has_offset = message__get_id_or_nil(&r, "offset", &msg->offset);
    msg->limit = message__get_u32(&r, "limit", UINT32_MAX);
    msg->with_payload = message__get_bool(&r, "with_payload");
    msg->with_vector = message__get_bool(&r, "with_vector");
    msg->filter = message__get_str(&r, "filter", WIRE_PAYLOAD_MAX);
    return message__close(&r);
}

enum shoal_err wire_encode_count(struct buf *out, enum wire_kind kind, const struct wire_meta *meta,
                                 const struct wire_count *msg)
{
    struct message_writer w;
    message__begin_request(&w, out, kind, meta, COUNT_FIELDS);
    mp_put_u64(&w.mp, msg->shard);
    message__put_str(&w, msg->filter, WIRE_PAYLOAD_MAX);
    message__begin_raw(&w);
    return message__end(&w);
}

enum shoal_err wire_decode_count(const struct frame *f, struct arena *arena, struct wire_count *msg,
                                 struct errbuf *why)
{
    struct message_reader r;
    message__open_request(&r, f, arena, WIRE_SHARD_COUNT, WIRE_SHARD_COUNT, COUNT_FIELDS, why);
    *msg = (struct wire_count){ .shard = message__get_u64(&r, "shard", UINT64_MAX) };
    msg->filter = message__get_str(&r, "filter", WIRE_PAYLOAD_MAX);
    return message__close(&r);
}

/* --- replies -------------------------------------------------------------------------------- */

enum shoal_err wire_reply_records(struct buf *out, uint16_t kind, uint64_t trace_id,
                                  const struct wire_records *msg)
{
    struct message_writer w;
    message__begin_reply(&w, out, kind, trace_id, RECORDS_FIELDS);
    message__put_hits(&w, msg->records, msg->records_len);
    mp_put_u64(&w.mp, msg->dim);
    put_id_or_nil(&w, msg->has_next, &msg->next);
    message__begin_raw(&w);
    message__put_hit_vectors(&w, msg->records, msg->records_len, msg->dim);
    return message__end(&w);
}

enum shoal_err wire_read_records(struct slice message, struct arena *arena,
                                 struct wire_records *msg, struct errbuf *why)
{
    struct message_reader r;
    uint32_t len;
    message__open_reply(&r, message, arena, RECORDS_FIELDS, why);
    struct wire_hit *records = message__get_hits(&r, "records", &len);
    *msg = (struct wire_records){ .records = records, .records_len = len };
    msg->dim = message__get_u32(&r, "dim", VECTOR_DIM_MAX);
    msg->has_next = message__get_id_or_nil(&r, "next", &msg->next);
    message__get_hit_vectors(&r, records, len, msg->dim);
    return message__close(&r);
}

enum shoal_err wire_reply_count_reply(struct buf *out, uint16_t kind, uint64_t trace_id,
                                      const uint64_t *msg)
{
    struct message_writer w;
    message__begin_reply(&w, out, kind, trace_id, COUNT_REPLY_FIELDS);
    mp_put_u64(&w.mp, *msg);
    message__begin_raw(&w);
    return message__end(&w);
}

enum shoal_err wire_read_count_reply(struct slice message, struct arena *arena, uint64_t *msg,
                                     struct errbuf *why)
{
    struct message_reader r;
    message__open_reply(&r, message, arena, COUNT_REPLY_FIELDS, why);
    *msg = message__get_u64(&r, "count", UINT64_MAX);
    return message__close(&r);
}
