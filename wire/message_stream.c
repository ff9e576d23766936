/* STREAM_NEXT and STREAM_CANCEL, and what answers them and STREAM_OPEN. */
#include "wire/message_codec.h"

enum { REF_FIELDS = 3, ID_FIELDS = 1, PIECES_FIELDS = 2 };

enum shoal_err wire_encode_stream_ref(struct buf *out, enum wire_kind kind,
                                      const struct wire_meta *meta,
                                      const struct wire_stream_ref *msg)
{
    struct message_writer w;
    message__begin_request(&w, out, kind, meta, REF_FIELDS);
    mp_put_u64(&w.mp, msg->stream);
    mp_put_u64(&w.mp, msg->from);
    mp_put_u64(&w.mp, msg->wait_ms);
    message__begin_raw(&w);
    return message__end(&w);
}

enum shoal_err wire_decode_stream_ref(const struct frame *f, struct arena *arena,
                                      struct wire_stream_ref *msg, struct errbuf *why)
{
    struct message_reader r;
    message__open_request(&r, f, arena, WIRE_STREAM_NEXT, WIRE_STREAM_CANCEL, REF_FIELDS, why);
    *msg = (struct wire_stream_ref){ .stream = message__get_u64(&r, "stream", UINT64_MAX) };
    msg->from = message__get_u32(&r, "from", UINT32_MAX);
    msg->wait_ms = message__get_u32(&r, "wait_ms", UINT32_MAX);
    return message__close(&r);
}

enum shoal_err wire_reply_stream_id(struct buf *out, uint16_t kind, uint64_t trace_id,
                                    const uint64_t *msg)
{
    struct message_writer w;
    message__begin_reply(&w, out, kind, trace_id, ID_FIELDS);
    mp_put_u64(&w.mp, *msg);
    message__begin_raw(&w);
    return message__end(&w);
}

enum shoal_err wire_read_stream_id(struct slice message, struct arena *arena, uint64_t *msg,
                                   struct errbuf *why)
{
    struct message_reader r;
    message__open_reply(&r, message, arena, ID_FIELDS, why);
    *msg = message__get_u64(&r, "stream", UINT64_MAX);
    return message__close(&r);
}

enum shoal_err wire_reply_stream_pieces(struct buf *out, uint16_t kind, uint64_t trace_id,
                                        const struct wire_stream_pieces *msg)
{
    struct message_writer w;
    message__begin_reply(&w, out, kind, trace_id, PIECES_FIELDS);
    message__put_strs(&w, msg->pieces, msg->pieces_len, WIRE_POINTS_MAX, WIRE_MESSAGE_MAX);
    mp_put_bool(&w.mp, msg->done);
    message__begin_raw(&w);
    return message__end(&w);
}

enum shoal_err wire_read_stream_pieces(struct slice message, struct arena *arena,
                                       struct wire_stream_pieces *msg, struct errbuf *why)
{
    struct message_reader r;
    message__open_reply(&r, message, arena, PIECES_FIELDS, why);
    *msg = (struct wire_stream_pieces){ 0 };
    msg->pieces = message__get_strs(&r, "pieces", WIRE_POINTS_MAX, WIRE_MESSAGE_MAX,
                                    &msg->pieces_len);
    msg->done = message__get_bool(&r, "done");
    return message__close(&r);
}
