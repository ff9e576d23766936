/* CALL and STREAM_OPEN, and the JSON text that answers a call. */
#include "wire/message_codec.h"

enum { CALL_FIELDS = 2, JSON_FIELDS = 1 };

enum shoal_err wire_encode_call(struct buf *out, enum wire_kind kind, const struct wire_meta *meta,
                                const struct wire_call *msg)
{
    struct message_writer w;
    message__begin_request(&w, out, kind, meta, CALL_FIELDS);
    message__put_str(&w, msg->op, WIRE_OP_MAX);
    message__put_str(&w, msg->json, WIRE_MESSAGE_MAX);
    message__begin_raw(&w);
    return message__end(&w);
}

enum shoal_err wire_decode_call(const struct frame *f, struct arena *arena, struct wire_call *msg,
                                struct errbuf *why)
{
    struct message_reader r;
    message__open_request(&r, f, arena, WIRE_CALL, WIRE_STREAM_OPEN, CALL_FIELDS, why);
    *msg = (struct wire_call){ .op = message__get_str(&r, "op", WIRE_OP_MAX) };
    msg->json = message__get_str(&r, "json", WIRE_MESSAGE_MAX);
    return message__close(&r);
}

enum shoal_err wire_reply_json(struct buf *out, uint16_t kind, uint64_t trace_id,
                               const struct slice *msg)
{
    struct message_writer w;
    message__begin_reply(&w, out, kind, trace_id, JSON_FIELDS);
    message__put_str(&w, *msg, WIRE_MESSAGE_MAX);
    message__begin_raw(&w);
    return message__end(&w);
}

enum shoal_err wire_read_json(struct slice message, struct arena *arena, struct slice *msg,
                              struct errbuf *why)
{
    struct message_reader r;
    message__open_reply(&r, message, arena, JSON_FIELDS, why);
    *msg = message__get_str(&r, "json", WIRE_MESSAGE_MAX);
    return message__close(&r);
}
