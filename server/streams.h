/* Streams: results that come in pieces, over a transport that knows only request and reply.
 *
 * A producer opens a stream, pushes JSON pieces and finishes it. A consumer names the stream and
 * the first piece it wants; its request is answered as soon as there is one, or parked until there
 * is. Pieces are kept until the stream is dropped, so a consumer that lost a reply asks again. A
 * stream that nobody asked about for STREAMS_IDLE_MS is cancelled: its producer learns so at its
 * next push, and a model does not talk to an empty room.
 *
 * Threads: any. Nothing here blocks. */
#ifndef SHOAL_SERVER_STREAMS_H
#define SHOAL_SERVER_STREAMS_H

#include "base/err.h"
#include "base/slice.h"
#include "wire/message.h"
#include "wire/transport.h"

#include <stdbool.h>
#include <stdint.h>

/* Streams open at once, and bytes of one stream's pieces. */
#define STREAMS_MAX 1024
#define STREAM_BYTES_MAX (4u << 20)
#define STREAMS_IDLE_MS 20000

struct streams;
struct stream;

SHOAL_MUST_CHECK enum shoal_err streams_new(struct streams **out, struct errbuf *why);
/* Cancels all; every producer has finished. NULL is fine. */
void streams_free(struct streams *s);

/* `id` is not guessable. SHOAL_EBUSY when STREAMS_MAX are open. */
SHOAL_MUST_CHECK enum shoal_err stream_open(struct streams *s, struct stream **out, uint64_t *id);
/* False when the stream is cancelled or full: the producer should stop. */
bool stream_push(struct stream *st, struct slice json);
bool stream_is_canceled(struct stream *st);
/* The producer's last call: nothing comes after. */
void stream_finish(struct stream *st);

/* Answers, now or later, a request for the pieces from ref->from on. */
void streams_next(struct streams *s, struct transport_exchange *x, const struct frame *f,
                  const struct wire_stream_ref *ref);
/* SHOAL_ENOTFOUND. */
enum shoal_err streams_cancel(struct streams *s, uint64_t id);

#endif
