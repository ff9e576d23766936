/* EMBED: texts in, one vector for each out. */
#include "base/distance.h"
#include "wire/message_codec.h"

enum { EMBED_FIELDS = 2, EMBED_REPLY_FIELDS = 3 };

enum shoal_err wire_encode_embed(struct buf *out, enum wire_kind kind, const struct wire_meta *meta,
                                 const struct wire_embed *msg)
{
    struct message_writer w;
    message__begin_request(&w, out, kind, meta, EMBED_FIELDS);
    message__put_str(&w, msg->model, WIRE_NAME_MAX);
    message__put_strs(&w, msg->texts, msg->texts_len, WIRE_TEXTS_MAX, WIRE_PAYLOAD_MAX);
    message__begin_raw(&w);
    return message__end(&w);
}

enum shoal_err wire_decode_embed(const struct frame *f, struct arena *arena, struct wire_embed *msg,
                                 struct errbuf *why)
{
    struct message_reader r;
    message__open_request(&r, f, arena, WIRE_EMBED, WIRE_EMBED, EMBED_FIELDS, why);
    *msg = (struct wire_embed){ .model = message__get_str(&r, "model", WIRE_NAME_MAX) };
    msg->texts = message__get_strs(&r, "texts", WIRE_TEXTS_MAX, WIRE_PAYLOAD_MAX, &msg->texts_len);
    return message__close(&r);
}

enum shoal_err wire_reply_embed_reply(struct buf *out, uint16_t kind, uint64_t trace_id,
                                      const struct wire_embed_reply *msg)
{
    struct message_writer w;
    message__begin_reply(&w, out, kind, trace_id, EMBED_REPLY_FIELDS);
    mp_put_u64(&w.mp, msg->texts_len);
    mp_put_u64(&w.mp, msg->dim);
    mp_put_u64(&w.mp, msg->tokens);
    message__begin_raw(&w);
    message__put_floats(&w, msg->vectors, (size_t)msg->texts_len * msg->dim);
    return message__end(&w);
}

enum shoal_err wire_read_embed_reply(struct slice message, struct arena *arena,
                                     struct wire_embed_reply *msg, struct errbuf *why)
{
    struct message_reader r;
    message__open_reply(&r, message, arena, EMBED_REPLY_FIELDS, why);
    *msg = (struct wire_embed_reply){ .texts_len = message__get_u32(&r, "texts_len",
                                                                    WIRE_TEXTS_MAX) };
    msg->dim = message__get_u32(&r, "dim", VECTOR_DIM_MAX);
    msg->tokens = message__get_u64(&r, "tokens", UINT64_MAX);
    msg->vectors = message__get_floats(&r, (size_t)msg->texts_len * msg->dim);
    return message__close(&r);
}
