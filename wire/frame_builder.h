/* Building a frame in place: the head is written straight into the output, behind room for the
 * header, which is filled in when the lengths are known. Used inside wire/ only.
 *
 *     frame__begin(&b, out, &f);  ... append the head ...
 *     frame__begin_raw(&b);       ... append the raw part ...
 *     rc = frame__end(&b);
 *
 * Errors collect in out->failed; frame__end then takes back what was appended. */
#ifndef SHOAL_WIRE_FRAME_BUILDER_H
#define SHOAL_WIRE_FRAME_BUILDER_H

#include "wire/frame.h"

struct frame_builder {
    struct buf *out;
    size_t start;    /* of the frame in out */
    size_t head_len; /* set by frame__begin_raw */
    size_t raw_at;
};

/* Of `f` everything but head and raw is taken. */
void frame__begin(struct frame_builder *b, struct buf *out, const struct frame *f);
void frame__begin_raw(struct frame_builder *b);
/* SHOAL_ETOOBIG over WIRE_MESSAGE_MAX or the buffer's own maximum; SHOAL_ENOMEM. */
enum shoal_err frame__end(struct frame_builder *b);
/* Takes back what was appended; for a message that turned out to be over a limit. */
void frame__abandon(struct frame_builder *b);

#endif
