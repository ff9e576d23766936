/* Text stream: from the bytes of tokens to pieces of text that may be shown. Private to the room.
 *
 * A token may end in the middle of a character, and a stop string may begin in one token and end in
 * the next. So bytes are held until their character is whole, and characters as long as they could
 * be the beginning of a stop string. Bytes that are no UTF-8 become U+FFFD.
 *
 * Threads: a stream belongs to one. */
#ifndef SHOAL_SLM_TEXT_STREAM_H
#define SHOAL_SLM_TEXT_STREAM_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>

struct text_stream {
    const struct slice *stops; /* borrowed; valid UTF-8, not empty */
    size_t stops_len;
    struct buf held; /* whole characters that could begin a stop string */
    char partial[4]; /* of a character */
    size_t partial_len;
    bool stopped; /* a stop string came: nothing more will be let through */
};

/* Allocates nothing. */
void text_stream__init(struct text_stream *ts, const struct slice *stops, size_t stops_len);
void text_stream__release(struct text_stream *ts);
/* Takes bytes and appends to `out` what is now known to be text. SHOAL_ENOMEM, SHOAL_ETOOBIG. */
SHOAL_MUST_CHECK enum shoal_err text_stream__push(struct text_stream *ts, struct slice bytes,
                                                  struct buf *out);
/* The text has ended: appends what was held for a stop string; half a character is dropped. */
SHOAL_MUST_CHECK enum shoal_err text_stream__end(struct text_stream *ts, struct buf *out);

#endif
