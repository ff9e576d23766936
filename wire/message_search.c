/* SEARCH, SHARD_SEARCH and what answers both. */
#include "base/distance.h"
#include "wire/message_hits.h"

enum { SEARCH_FIELDS = 15, SEARCH_REPLY_FIELDS = 6 };

enum shoal_err wire_encode_search(struct buf *out, enum wire_kind kind,
                                  const struct wire_meta *meta, const struct wire_search *msg)
{
    struct message_writer w;
    message__begin_request(&w, out, kind, meta, SEARCH_FIELDS);
    message__put_str(&w, msg->collection, WIRE_NAME_MAX);
    mp_put_u64(&w.mp, msg->shard);
    mp_put_u64(&w.mp, msg->dim);
    mp_put_u64(&w.mp, msg->k);
    mp_put_u64(&w.mp, msg->offset);
    mp_put_u64(&w.mp, msg->ef);
    mp_put_u64(&w.mp, msg->nprobe);
    mp_put_bool(&w.mp, msg->exact);
    mp_put_bool(&w.mp, msg->indexed_only);
    mp_put_bool(&w.mp, msg->has_threshold);
    mp_put_f32(&w.mp, msg->threshold);
    mp_put_bool(&w.mp, msg->with_payload);
    mp_put_bool(&w.mp, msg->with_vector);
    mp_put_bool(&w.mp, msg->complete_only);
    message__put_str(&w, msg->filter, WIRE_PAYLOAD_MAX);
    message__begin_raw(&w);
    message__put_floats(&w, msg->vector, msg->dim);
    return message__end(&w);
}

enum shoal_err wire_decode_search(const struct frame *f, struct arena *arena,
                                  struct wire_search *msg, struct errbuf *why)
{
    struct message_reader r;
    message__open_request(&r, f, arena, WIRE_SEARCH, WIRE_SHARD_SEARCH, SEARCH_FIELDS, why);
    *msg = (struct wire_search){ .collection = message__get_str(&r, "collection", WIRE_NAME_MAX) };
    msg->shard = message__get_u64(&r, "shard", UINT64_MAX);
    msg->dim = message__get_u32(&r, "dim", VECTOR_DIM_MAX);
    msg->k = message__get_u32(&r, "k", UINT32_MAX);
    msg->offset = message__get_u32(&r, "offset", UINT32_MAX);
    msg->ef = message__get_u32(&r, "ef", UINT32_MAX);
    msg->nprobe = message__get_u32(&r, "nprobe", UINT32_MAX);
    msg->exact = message__get_bool(&r, "exact");
    msg->indexed_only = message__get_bool(&r, "indexed_only");
    msg->has_threshold = message__get_bool(&r, "has_threshold");
    msg->threshold = message__get_f32(&r, "threshold");
    msg->with_payload = message__get_bool(&r, "with_payload");
    msg->with_vector = message__get_bool(&r, "with_vector");
    msg->complete_only = message__get_bool(&r, "complete_only");
    msg->filter = message__get_str(&r, "filter", WIRE_PAYLOAD_MAX);
    msg->vector = message__get_floats(&r, msg->dim);
    return message__close(&r);
}

enum shoal_err wire_reply_search_reply(struct buf *out, uint16_t kind, uint64_t trace_id,
                                       const struct wire_search_reply *msg)
{
    struct message_writer w;
    message__begin_reply(&w, out, kind, trace_id, SEARCH_REPLY_FIELDS);
    message__put_hits(&w, msg->hits, msg->hits_len);
    mp_put_u64(&w.mp, msg->dim);
    mp_put_u64(&w.mp, msg->shards_asked);
    mp_put_u64(&w.mp, msg->shards_answered);
    mp_put_u64(&w.mp, msg->took_ns);
    message__put_str(&w, msg->plan, WIRE_PAYLOAD_MAX);
    message__begin_raw(&w);
    message__put_hit_vectors(&w, msg->hits, msg->hits_len, msg->dim);
    return message__end(&w);
}

enum shoal_err wire_read_search_reply(struct slice message, struct arena *arena,
                                      struct wire_search_reply *msg, struct errbuf *why)
{
    struct message_reader r;
    uint32_t hits_len;
    message__open_reply(&r, message, arena, SEARCH_REPLY_FIELDS, why);
    struct wire_hit *hits = message__get_hits(&r, "hits", &hits_len);
    *msg = (struct wire_search_reply){ .hits = hits, .hits_len = hits_len };
    msg->dim = message__get_u32(&r, "dim", VECTOR_DIM_MAX);
    msg->shards_asked = message__get_u32(&r, "shards_asked", UINT32_MAX);
    msg->shards_answered = message__get_u32(&r, "shards_answered", UINT32_MAX);
    msg->took_ns = message__get_u64(&r, "took_ns", UINT64_MAX);
    msg->plan = message__get_str(&r, "plan", WIRE_PAYLOAD_MAX);
    message__get_hit_vectors(&r, hits, hits_len, msg->dim);
    return message__close(&r);
}
