/* What all encoders and decoders share. A head is one MessagePack array of fields in a fixed
 * order. Fields of the first version are required; those added later stand at the end, are left
 * out by older writers, and then read as zero. Fields nobody knows are skipped. Used inside wire/
 * only. */
#ifndef SHOAL_WIRE_MESSAGE_CODEC_H
#define SHOAL_WIRE_MESSAGE_CODEC_H

#include "base/msgpack.h"
#include "wire/frame_builder.h"
#include "wire/message.h"

/* --- writing ---------------------------------------------------------------------------------- */

/* Refuses what the reader's limits would refuse; the first refusal stays in rc. */
struct message_writer {
    struct mp_writer mp;
    struct frame_builder frame;
    enum shoal_err rc;
};

void message__begin_request(struct message_writer *w, struct buf *out, enum wire_kind kind,
                            const struct wire_meta *meta, uint32_t fields);
void message__begin_reply(struct message_writer *w, struct buf *out, uint16_t kind,
                          uint64_t trace_id, uint32_t fields);
void message__put_str(struct message_writer *w, struct slice s, size_t len_max);
void message__put_count(struct message_writer *w, uint32_t count, uint32_t count_max);
void message__put_id(struct message_writer *w, const struct point_id *id);
void message__put_ids(struct message_writer *w, const struct point_id *ids, uint32_t len);
void message__put_strs(struct message_writer *w, const struct slice *strs, uint32_t len,
                       uint32_t len_max, size_t bytes_max);
/* After the last field; then the raw part may be appended. */
void message__begin_raw(struct message_writer *w);
void message__put_floats(struct message_writer *w, const float *v, size_t len);
/* Any bytes; padded with zeros to a multiple of 4. */
void message__put_raw(struct message_writer *w, struct slice bytes);
/* On failure `out` is as it was before the message. */
enum shoal_err message__end(struct message_writer *w);

/* --- reading ---------------------------------------------------------------------------------- */

/* Errors stick: after the first one every call gives zero values. */
struct message_reader {
    struct mp_reader mp;
    struct slice raw;
    struct arena *arena;
    uint32_t fields_left;
    enum shoal_err rc;
    struct errbuf *why;
};

/* For a request of one of two kinds (the same twice where there is one). */
void message__open_request(struct message_reader *r, const struct frame *f, struct arena *arena,
                           enum wire_kind kind, enum wire_kind or_kind, uint32_t fields_min,
                           struct errbuf *why);
/* For a whole reply. A failure in it becomes r->rc, its reason goes to `why`. */
void message__open_reply(struct message_reader *r, struct slice message, struct arena *arena,
                         uint32_t fields_min, struct errbuf *why);
bool message__get_bool(struct message_reader *r, const char *field);
uint64_t message__get_u64(struct message_reader *r, const char *field, uint64_t max);
uint32_t message__get_u32(struct message_reader *r, const char *field, uint32_t max);
float message__get_f32(struct message_reader *r, const char *field);
struct slice message__get_str(struct message_reader *r, const char *field, size_t len_max);
/* Exactly `len` bytes. */
void message__get_bytes(struct message_reader *r, const char *field, void *out, size_t len);
struct point_id message__get_id(struct message_reader *r, const char *field);
/* Nil reads as "none": false. */
bool message__get_id_or_nil(struct message_reader *r, const char *field, struct point_id *out);
uint32_t message__get_count(struct message_reader *r, const char *field, uint32_t max);
const struct point_id *message__get_ids(struct message_reader *r, const char *field, uint32_t *len);
const struct slice *message__get_strs(struct message_reader *r, const char *field, uint32_t len_max,
                                      size_t bytes_max, uint32_t *len);
/* A nested array: its fields take the place of the message's until message__leave. */
uint32_t message__enter(struct message_reader *r, const char *field, uint32_t fields_min);
void message__leave(struct message_reader *r, uint32_t outer);
/* The next `len` floats of the raw part, in place. */
const float *message__get_floats(struct message_reader *r, size_t len);
/* The next `len` bytes of the raw part with their padding. */
struct slice message__get_raw(struct message_reader *r, size_t len);
/* Records a refusal of the caller's own. */
void message__refuse(struct message_reader *r, enum shoal_err rc, const char *fmt, ...)
    SHOAL_PRINTF(3, 4);
/* Skips fields of later versions and checks that head and raw part were read to their ends. */
enum shoal_err message__close(struct message_reader *r);

#endif
