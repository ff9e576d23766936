/* Op: one write to a shard, as it is proposed, logged and applied.
 *
 * The encoding is the log's and is versioned on its own; it never changes its meaning, since a log
 * may be replayed by a later program. Layout: magic and version, kind, operation id, then the
 * kind's own fields; float rows last, 16-byte aligned within the op.
 *
 * Everything the outcome depends on is inside: applying the same ops in the same order to the same
 * state gives the same state, on every replica. Conditions (filters) are evaluated when the op is
 * applied. Limits and vectors are checked before an op is proposed, and again when it is decoded.
 *
 * Threads: none of their own. Decoding borrows from the bytes and the arena. */
#ifndef SHOAL_SHARD_OP_H
#define SHOAL_SHARD_OP_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/distance.h"
#include "base/err.h"
#include "base/point_id.h"
#include "base/slice.h"

#include <stdint.h>

#define OP_ID_LEN 16
#define OP_POINTS_MAX 65536

/* In the log: never renumber. */
enum op_kind {
    OP_UPSERT = 1,      /* the whole point is replaced */
    OP_DELETE = 2,      /* points, or all that match the filter */
    OP_SET_PAYLOAD = 3, /* keys are merged in; null removes a key */
    OP_OVERWRITE_PAYLOAD = 4,
    OP_DELETE_PAYLOAD = 5, /* keys (payloads[0] is a JSON array of key paths) */
    OP_CLEAR_PAYLOAD = 6
};

struct op {
    enum op_kind kind;
    uint8_t id[OP_ID_LEN]; /* the same id is applied once; all zero: no such promise */
    uint32_t points_len;   /* 0 when `filter` chooses */
    const struct point_id *points;
    uint32_t dim;                 /* OP_UPSERT */
    const float *vectors;         /* OP_UPSERT: points_len x dim, normalised for cosine */
    const struct slice *payloads; /* OP_UPSERT: points_len JSON objects, len 0: none;
                                     payload kinds: payloads[0] */
    struct slice filter;          /* JSON in the HTTP API's form; not with points */
};

/* Appends the encoding. SHOAL_ENOMEM, SHOAL_ETOOBIG, SHOAL_EINVAL. */
enum shoal_err op_encode(struct buf *out, const struct op *op);
/* SHOAL_ECORRUPT (not an op, or lengths that do not fit), SHOAL_EUNSUPPORTED (a later version),
 * SHOAL_ENOMEM. `bytes` should be 16-byte aligned; rows are copied to the arena when they are
 * not 4-byte aligned. */
SHOAL_MUST_CHECK enum shoal_err op_decode(struct slice bytes, struct arena *arena, struct op *out,
                                          struct errbuf *why);

/* What a shard of this dimension and distance asks of an op: vectors that fit (SHOAL_EINVAL,
 * SHOAL_EVALIDATION), payloads that are JSON objects, a filter that parses (SHOAL_EPARSE,
 * SHOAL_EVALIDATION). The answer depends on nothing else, so it is the same on every replica. */
SHOAL_MUST_CHECK enum shoal_err op_check(const struct op *op, uint32_t dim, enum distance d,
                                         struct errbuf *why);

#endif
