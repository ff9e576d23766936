/* Messages: what the frames carry, as plain structs with an encoder and a decoder each.
 *
 * Decoding copies nothing: strings, ids, payloads and float rows point into the frame; arrays of
 * such slices come from the caller's arena. Every count and length is checked against a named
 * limit and against the bytes that remain. Encoders append a whole frame to `out`.
 *
 * Errors: SHOAL_EPROTO (malformed), SHOAL_ETOOBIG (a limit), SHOAL_ENOMEM. */
#ifndef SHOAL_WIRE_MESSAGE_H
#define SHOAL_WIRE_MESSAGE_H

#include "base/arena.h"
#include "base/point_id.h"
#include "wire/frame.h"

#include <stdbool.h>
#include <stdint.h>

#define WIRE_NAME_MAX 255           /* collection and model names */
#define WIRE_OP_MAX 2048            /* name of a call; may be a method and a path with its query */
#define WIRE_POINTS_MAX 65536       /* points, hits, records or pieces in one message */
#define WIRE_PAYLOAD_MAX (8u << 20) /* bytes of one payload, filter or text to embed */
#define WIRE_TEXTS_MAX 1024         /* texts of one embed request */

/* Every request and reply: what goes to the frame's header. */
struct wire_meta {
    uint32_t timeout_ms;
    uint64_t trace_id;
};

/* --- call: CALL, STREAM_OPEN ---------------------------------------------------------------- */
/* Reply to CALL: one JSON text. Reply to STREAM_OPEN: a stream id (struct wire_stream_ref). */
struct wire_call {
    struct slice op;   /* "collection.create" */
    struct slice json; /* the argument; may be empty */
};

/* --- upsert --------------------------------------------------------------------------------- */
struct wire_upsert {
    struct slice collection;
    uint8_t op_id[16]; /* a repeated id is applied once */
    bool wait;         /* answer after it is applied, not only durable */
    uint32_t points_len;
    uint32_t dim;
    const struct point_id *ids;   /* points_len */
    const float *vectors;         /* points_len x dim, borrowed from the frame */
    const struct slice *payloads; /* points_len JSON objects; len 0: none */
};

struct wire_write_reply {
    uint64_t operation_id; /* the replicated log's index */
    bool applied;          /* visible to every later read */
};

/* --- search: SEARCH, SHARD_SEARCH ------------------------------------------------------------ */
struct wire_search {
    struct slice collection; /* SEARCH; empty in SHARD_SEARCH */
    uint64_t shard;          /* SHARD_SEARCH */
    uint32_t dim;
    const float *vector; /* dim floats, borrowed from the frame */
    uint32_t k;
    uint32_t offset; /* SEARCH only */
    uint32_t ef;     /* 0: the collection's own */
    uint32_t nprobe;
    bool exact;
    bool indexed_only;
    bool has_threshold;
    float threshold; /* strict: scores must be better */
    bool with_payload;
    bool with_vector;
    bool complete_only;  /* an error instead of a partial answer */
    struct slice filter; /* JSON in the HTTP API's form; empty: none */
};

struct wire_hit {
    struct point_id id;
    uint64_t version;
    float score;
    struct slice payload; /* JSON; empty when not asked for or none */
    const float *vector;  /* dim floats; NULL when not asked for */
};

struct wire_search_reply {
    uint32_t hits_len;
    const struct wire_hit *hits; /* best first */
    uint32_t dim;                /* of the vectors; 0 when none */
    uint32_t shards_asked;
    uint32_t shards_answered;
    uint64_t took_ns;  /* spent in the callee */
    struct slice plan; /* what the shard did, for the trace: "hnsw ef=128" */
};

/* --- shard reads ------------------------------------------------------------------------------ */
struct wire_shard_write {
    uint64_t shard;
    bool wait;
    struct slice op; /* shard/op.h encodes it; opaque here. Travels in the raw part. */
};

struct wire_fetch {
    uint64_t shard;
    bool with_payload;
    bool with_vector;
    uint32_t ids_len;
    const struct point_id *ids;
};

struct wire_scroll {
    uint64_t shard;
    bool has_offset;
    struct point_id offset; /* first id of the page, inclusive */
    uint32_t limit;
    bool with_payload;
    bool with_vector;
    struct slice filter;
};

/* Reply to SHARD_FETCH and SHARD_SCROLL: hits without scores, in id order or the order asked. */
struct wire_records {
    uint32_t records_len;
    const struct wire_hit *records;
    uint32_t dim;
    bool has_next;
    struct point_id next; /* scroll: id after the page */
};

struct wire_count {
    uint64_t shard;
    struct slice filter;
};

/* --- streams ---------------------------------------------------------------------------------- */
struct wire_stream_ref {
    uint64_t stream;
    uint32_t from;    /* NEXT: the first piece wanted, counted from 0 */
    uint32_t wait_ms; /* NEXT: how long to wait for one */
};

struct wire_stream_pieces {
    uint32_t pieces_len;
    const struct slice *pieces; /* JSON each */
    bool done;                  /* nothing comes after these */
};

/* --- embed ------------------------------------------------------------------------------------ */
struct wire_embed {
    struct slice model; /* empty: the default */
    uint32_t texts_len;
    const struct slice *texts;
};

struct wire_embed_reply {
    uint32_t texts_len;
    uint32_t dim;
    const float *vectors; /* texts_len x dim, borrowed from the frame */
    uint64_t tokens;
};

#define WIRE_MESSAGE_LIST(X)                \
    X(call, struct wire_call)               \
    X(upsert, struct wire_upsert)           \
    X(search, struct wire_search)           \
    X(shard_write, struct wire_shard_write) \
    X(fetch, struct wire_fetch)             \
    X(scroll, struct wire_scroll)           \
    X(count, struct wire_count)             \
    X(stream_ref, struct wire_stream_ref)   \
    X(embed, struct wire_embed)

/* wire_encode_<name>(out, kind, meta, msg): a request frame.
 * wire_decode_<name>(frame, arena, msg, why): out of a decoded request frame. */
#define WIRE_DECLARE_REQUEST(name, type)                                                           \
    enum shoal_err wire_encode_##name(struct buf *out, enum wire_kind kind,                        \
                                      const struct wire_meta *meta, const type *msg);              \
    SHOAL_MUST_CHECK enum shoal_err wire_decode_##name(const struct frame *f, struct arena *arena, \
                                                       type *msg, struct errbuf *why);
WIRE_MESSAGE_LIST(WIRE_DECLARE_REQUEST)
#undef WIRE_DECLARE_REQUEST

#define WIRE_REPLY_LIST(X)                      \
    X(write_reply, struct wire_write_reply)     \
    X(search_reply, struct wire_search_reply)   \
    X(records, struct wire_records)             \
    X(stream_id, uint64_t)                      \
    X(stream_pieces, struct wire_stream_pieces) \
    X(count_reply, uint64_t)                    \
    X(json, struct slice)                       \
    X(embed_reply, struct wire_embed_reply)

/* wire_reply_<name>(out, kind, trace_id, msg): a reply frame.
 * wire_read_<name>(message, arena, msg, why): a whole received message into the struct; when the
 * frame carries a failure, its status is returned and the reason is in `why`. */
#define WIRE_DECLARE_REPLY(name, type)                                                          \
    enum shoal_err wire_reply_##name(struct buf *out, uint16_t kind, uint64_t trace_id,         \
                                     const type *msg);                                          \
    SHOAL_MUST_CHECK enum shoal_err wire_read_##name(struct slice message, struct arena *arena, \
                                                     type *msg, struct errbuf *why);
WIRE_REPLY_LIST(WIRE_DECLARE_REPLY)
#undef WIRE_DECLARE_REPLY

#endif
