/* Frame: the outer form of every message between Shoal's processes.
 *
 *     offset  size  field
 *     0       4     magic "SHL1" (the digit is the frame's version)
 *     4       2     kind (enum wire_kind)
 *     6       2     flags: bit 0 set in replies
 *     8       4     status: number of an enum shoal_err; 0 in requests
 *     12      4     timeout_ms: what is left of the caller's deadline; 0: none. 0 in replies
 *     16      8     trace id: chosen by whoever began the request, handed on by all
 *     24      4     head_len: bytes of MessagePack
 *     28      4     raw_len: bytes of raw payload, a multiple of 4
 *     32            head, padded with zeros to a multiple of 16
 *     ...           raw: little-endian float rows, read in place
 *
 * All numbers little-endian. A reply whose status is not 0 carries one MessagePack string, the
 * reason, and no raw part. The frame must fill the message exactly. A frame in memory that is
 * 16-byte aligned has its raw part 16-byte aligned.
 *
 * Compatible change: new kinds, and new fields at the end of a head (readers skip what they do not
 * know, and take the default for what is missing). Anything else takes a new magic. */
#ifndef SHOAL_WIRE_FRAME_H
#define SHOAL_WIRE_FRAME_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>

#define WIRE_FRAME_HEADER_LEN 32
/* One message; NNG's receive limit is set to it. Larger transfers go in pieces. */
#define WIRE_MESSAGE_MAX (64u << 20)

/* Never renumber. Client to gateway 1-19, gateway to node 20-39, to a generator 40-49, raft 60-. */
enum wire_kind {
    WIRE_CALL = 1,        /* a named operation with a JSON argument and a JSON result */
    WIRE_UPSERT = 2,      /* points into a collection */
    WIRE_SEARCH = 3,      /* nearest points of a collection */
    WIRE_STREAM_OPEN = 4, /* a named operation whose result comes in pieces */
    WIRE_STREAM_NEXT = 5, /* the pieces from a given place on; waits for at least one */
    WIRE_STREAM_CANCEL = 6,
    WIRE_SHARD_WRITE = 20, /* one encoded operation for the shard's replicated log */
    WIRE_SHARD_SEARCH = 21,
    WIRE_SHARD_FETCH = 22,
    WIRE_SHARD_SCROLL = 23,
    WIRE_SHARD_COUNT = 24,
    WIRE_EMBED = 40 /* texts to vectors */
};

struct frame {
    uint16_t kind;
    bool is_reply;
    enum shoal_err status;
    uint32_t timeout_ms;
    uint64_t trace_id;
    struct slice head; /* MessagePack; borrowed from the message */
    struct slice raw;  /* borrowed from the message */
};

/* Appends a whole frame. raw.len must be a multiple of 4. SHOAL_ETOOBIG, SHOAL_ENOMEM. */
enum shoal_err frame_encode(struct buf *out, const struct frame *f);
/* Appends a reply that says why a request failed. */
enum shoal_err frame_encode_error(struct buf *out, uint16_t kind, uint64_t trace_id,
                                  enum shoal_err status, const char *text);
/* Checks magic, lengths and padding; copies nothing. SHOAL_EPROTO with the reason. */
enum shoal_err frame_decode(struct slice message, struct frame *out, struct errbuf *why);

#endif
