/* State: state.mdb, what was applied to a shard.
 *
 *     meta       one record: schema, applied index, counters
 *     points     id key -> row number, version
 *     rows       row number (big-endian) -> id, vector; growing rows only
 *     payloads   id key -> JSON text; points that have one
 *     segments   segment id (big-endian) -> manifest
 *     dead       segment id, position (both big-endian) -> nothing
 *     ops        operation id -> what came of it
 *     op_ring    log index (big-endian) -> operation id, so that the oldest can be forgotten
 *
 * Points name row numbers, not places: sealing and merging move rows, and publish the move in one
 * small transaction that touches segments and meta alone. What such a transaction leaves behind
 * (rows below growing_begin, dead entries of segments that are gone) has no meaning any more and is
 * trimmed in pieces afterwards.
 *
 * LMDB has no page checksums, so every value here begins with one over itself and its key: a value
 * that was damaged, or that a damaged page put under another key, is SHOAL_ECORRUPT.
 *
 * The file runs without meta sync: power loss may undo its last commit, never an earlier one. That
 * is safe for applied entries, which the log still has: it is cut only up to an index that
 * state_sync made durable. It would not be safe to unlink a segment's file after the transaction
 * that drops it: whoever unlinks calls state_sync in between.
 *
 * Threads: as store.h: one writer at a time, any number of readers. Slices handed out are the
 * transaction's. */
#ifndef SHOAL_SHARD_STATE_H
#define SHOAL_SHARD_STATE_H

#include "base/distance.h"
#include "base/err.h"
#include "base/point_id.h"
#include "shard/op.h"
#include "shard/rlog.h"
#include "shard/segment.h"
#include "shard/store.h"

/* Operation ids remembered; a retry that comes later is applied again. */
#define STATE_OPS_MAX 65536u

struct state;

struct state_meta {
    uint32_t dim;
    enum distance distance;
    uint64_t applied;
    uint64_t next_row;
    uint64_t growing_begin;
    uint64_t next_segment;
    uint64_t points;
    uint64_t ops; /* entries of op_ring */
};

struct state_point {
    uint64_t row;
    uint64_t version; /* log index of its last change */
};

/* What came of an operation. */
struct state_outcome {
    uint64_t index;
    struct rlog_result result;
};

/* Opens, or creates with the dim and distance of *meta, which is filled. SHOAL_ECONFLICT (another
 * schema), SHOAL_EUNSUPPORTED (a later format), SHOAL_ECORRUPT, and store_open's. */
SHOAL_MUST_CHECK enum shoal_err state_open(const char *path, size_t map_bytes_max,
                                           struct state_meta *meta, struct state **out,
                                           struct errbuf *why);
void state_close(struct state *s); /* NULL is fine */
struct store *state_store(struct state *s);

enum shoal_err state_meta_get(const struct state *s, struct store_txn *txn, struct state_meta *out,
                              struct errbuf *why);
enum shoal_err state_meta_put(const struct state *s, struct store_txn *txn,
                              const struct state_meta *m, struct errbuf *why);

/* --- points and payloads ---------------------------------------------------------------------- */

/* SHOAL_ENOTFOUND (without touching `why`), SHOAL_ECORRUPT. */
enum shoal_err state_point_get(const struct state *s, struct store_txn *txn,
                               const struct point_id *id, struct state_point *out,
                               struct errbuf *why);
enum shoal_err state_point_put(const struct state *s, struct store_txn *txn,
                               const struct point_id *id, const struct state_point *p,
                               struct errbuf *why);
enum shoal_err state_point_delete(const struct state *s, struct store_txn *txn,
                                  const struct point_id *id, struct errbuf *why);
/* SHOAL_OK with an empty slice when the point has none. */
enum shoal_err state_payload_get(const struct state *s, struct store_txn *txn,
                                 const struct point_id *id, struct slice *out, struct errbuf *why);
/* An empty text, or an empty object, removes it. */
enum shoal_err state_payload_put(const struct state *s, struct store_txn *txn,
                                 const struct point_id *id, struct slice text, struct errbuf *why);

/* All points from an id on, in order, with their payloads when asked for. */
struct state_walk {
    const struct state *state;
    struct store_cursor *points;
    struct store_cursor *payloads; /* NULL: not asked for */
    struct slice payload_key;      /* where that cursor stands; len 0: at its end */
    struct slice payload_value;
    bool begun;
    struct slice from;
    uint8_t from_key[POINT_ID_KEY_MAX];
};

struct state_seen {
    struct point_id id;
    struct state_point point;
    struct slice payload; /* empty: none, or not asked for */
};

enum shoal_err state_walk_begin(struct state_walk *w, const struct state *s, struct store_txn *txn,
                                const struct point_id *from, bool payloads, struct errbuf *why);
/* SHOAL_ENOTFOUND at the end (without touching `why`). */
enum shoal_err state_walk_next(struct state_walk *w, struct state_seen *out, struct errbuf *why);
void state_walk_end(struct state_walk *w); /* before the transaction ends; once begun or not */

/* --- growing rows ----------------------------------------------------------------------------- */

/* In ascending order of row numbers. */
enum shoal_err state_row_append(const struct state *s, struct store_txn *txn, uint64_t row,
                                const struct point_id *id, const float *vector, uint32_t dim,
                                struct errbuf *why);
enum shoal_err state_row_delete(const struct state *s, struct store_txn *txn, uint64_t row,
                                struct errbuf *why);
/* Rows from `from` on, ascending. `vector` (dim floats) may be unaligned. */
typedef enum shoal_err state_row_fn(void *arg, uint64_t row, const struct point_id *id,
                                    const void *vector, struct errbuf *why);
enum shoal_err state_rows_each(const struct state *s, struct store_txn *txn, uint64_t from,
                               uint32_t dim, state_row_fn *each, void *arg, struct errbuf *why);

/* --- segments --------------------------------------------------------------------------------- */

enum shoal_err state_segment_put(const struct state *s, struct store_txn *txn,
                                 const struct segment_manifest *m, struct errbuf *why);
enum shoal_err state_segment_delete(const struct state *s, struct store_txn *txn, uint64_t id,
                                    struct errbuf *why);
/* Ascending by id. */
typedef enum shoal_err state_segment_fn(void *arg, const struct segment_manifest *m,
                                        struct errbuf *why);
enum shoal_err state_segments_each(const struct state *s, struct store_txn *txn,
                                   state_segment_fn *each, void *arg, struct errbuf *why);

enum shoal_err state_dead_put(const struct state *s, struct store_txn *txn, uint64_t segment,
                              uint32_t position, struct errbuf *why);
typedef enum shoal_err state_dead_fn(void *arg, uint32_t position, struct errbuf *why);
enum shoal_err state_dead_each(const struct state *s, struct store_txn *txn, uint64_t segment,
                               state_dead_fn *each, void *arg, struct errbuf *why);

/* Removes what has no meaning any more, in transactions of a few thousand entries. May run beside
 * any other use of the state. */
SHOAL_MUST_CHECK enum shoal_err state_trim(struct state *s, struct errbuf *why);

/* --- operations ------------------------------------------------------------------------------- */

/* SHOAL_ENOTFOUND when it was never applied, or long ago. */
enum shoal_err state_op_get(const struct state *s, struct store_txn *txn,
                            const uint8_t id[OP_ID_LEN], struct state_outcome *out,
                            struct errbuf *why);
/* Remembers it, and forgets the oldest beyond STATE_OPS_MAX. Changes meta->ops. */
enum shoal_err state_op_put(const struct state *s, struct store_txn *txn, struct state_meta *meta,
                            const uint8_t id[OP_ID_LEN], const struct state_outcome *outcome,
                            struct errbuf *why);

#endif
