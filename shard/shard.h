/* Shard: one replica of one shard of a collection: its points, their vectors and payloads, and
 * the search over them.
 *
 *     log.mdb (shared)          the write-ahead log; a write is acknowledged from there
 *     <dir>/state.mdb           what was applied: ids, growing vectors, payloads, segment list,
 *                               tombstones, applied index
 *     <dir>/segments/N.mdb      sealed vectors with their index, read-only
 *
 * Life of a write: op -> rlog (synced) -> applied in one state.mdb transaction on the group's
 * thread -> visible. Life of a row: growing (searched by an exact scan) -> sealed into a segment by
 * a builder in the background -> merged with other segments, dropping what died.
 *
 * Readers work on a generation: an immutable, reference-counted picture of growing rows, segments
 * and tombstones. The writer prepares the next one and swaps a pointer, so a search never waits
 * for a write, and a retired segment file is unlinked when the last reader has left.
 *
 * Threads: reads from any thread; writes from any thread (they are ordered by the log). */
#ifndef SHOAL_SHARD_SHARD_H
#define SHOAL_SHARD_SHARD_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/disk.h"
#include "base/distance.h"
#include "base/err.h"
#include "base/metrics.h"
#include "base/point_id.h"
#include "base/pool.h"
#include "base/rand.h"
#include "base/slice.h"
#include "index/index.h"
#include "shard/op.h"

#include <stdbool.h>
#include <stdint.h>

struct shard;
struct log_store;

/* Fixed at creation (kept in state.mdb; opening with another one is SHOAL_ECONFLICT). */
struct shard_schema {
    uint32_t dim;
    enum distance distance;
};

/* May change between two openings. */
struct shard_options {
    enum index_kind index;       /* of sealed segments */
    uint32_t m, ef_construction; /* HNSW; 0: 16, 100 */
    uint32_t nlist;              /* IVF; 0: by row count */
    uint32_t ef, nprobe;         /* search defaults; 0: the index room's own */
    uint32_t seal_rows;          /* growing rows that start a sealing; 0: SHARD_SEAL_ROWS */
    uint32_t build_threads;      /* 0: 1 */
};
#define SHARD_SEAL_ROWS 20000

struct shard_config {
    uint64_t id;     /* raft group; unique in this process, 1.. */
    const char *dir; /* made when missing; copied */
    struct shard_schema schema;
    struct shard_options options;
    struct log_store *log; /* shared; outlives the shard, as do all below */
    struct pool *builders; /* low priority: sealing and merging */
    const struct disk *disk;
    const struct clock *clock;
    const struct rand_source *rand;
    struct metrics *metrics; /* may be NULL */
    size_t map_bytes_max;    /* of state.mdb; 0: 256 GiB */
};

/* Opens or creates, replays the log. Reads no segment as a whole. SHOAL_ECORRUPT names what is
 * bad and takes only this shard out of service; nothing is deleted for it. A segment's file that is
 * missing or unfit does not fail the opening: the shard is red and read-only until the file is
 * back, answers fetch, scroll and count, and refuses with SHOAL_ECORRUPT what needs lost vectors: a
 * search, too, since it would leave points out. */
SHOAL_MUST_CHECK enum shoal_err shard_open(const struct shard_config *config, struct shard **out,
                                           struct errbuf *why);
/* Waits for reads and builds under way (builds are cancelled), frees. NULL is fine. */
void shard_close(struct shard *s);
/* Removes the group's log and the directory of a closed shard. */
SHOAL_MUST_CHECK enum shoal_err shard_remove(const struct shard_config *config, struct errbuf *why);

/* --- writes --------------------------------------------------------------------------------- */

enum shard_until { SHARD_DURABLE, SHARD_VISIBLE };

struct shard_written {
    uint64_t index;   /* in the log: the operation's number and the new points' version */
    uint64_t changed; /* points changed; known for SHARD_VISIBLE */
    bool visible;     /* may be so for SHARD_DURABLE, too */
};

/* `op` as op_encode gives it. SHOAL_EINVAL/SHOAL_EVALIDATION (refused, nothing written),
 * SHOAL_EFULL, SHOAL_EBUSY, SHOAL_ETIMEOUT (unknown: repeat with the same op id), SHOAL_ENOTFOUND
 * (a payload op named a point that is not there). deadline_ns: real monotonic clock. */
SHOAL_MUST_CHECK enum shoal_err shard_write(struct shard *s, struct slice op,
                                            enum shard_until until, uint64_t deadline_ns,
                                            struct shard_written *out, struct errbuf *why);

/* --- reads ---------------------------------------------------------------------------------- */

struct shard_query {
    const float *vector; /* dim floats; for cosine not necessarily normalised */
    uint32_t k;          /* 1..SEARCH_K_MAX */
    uint32_t ef, nprobe; /* 0: the shard's defaults */
    bool exact;
    bool indexed_only; /* leave growing rows out */
    bool has_threshold;
    float threshold;     /* strict */
    struct slice filter; /* JSON; empty: none */
    uint64_t deadline_ns;
};

struct shard_hit {
    struct point_id id;
    uint64_t version;
    float score;
};

/* What was done, for the trace. */
struct shard_plan {
    uint32_t segments; /* searched by their index */
    uint64_t scanned;  /* rows compared one by one */
    uint64_t matched;  /* rows the filter let through; all rows without one */
    char text[160];    /* "filter 1234 of 340000 -> exact scan" */
};

/* Best first, ties by id. hits (room for k) from the caller. */
SHOAL_MUST_CHECK enum shoal_err shard_search(struct shard *s, const struct shard_query *q,
                                             struct shard_hit *hits, size_t *n_out,
                                             struct shard_plan *plan, struct errbuf *why);

struct shard_record {
    struct point_id id;
    uint64_t version;
    bool found;
    struct slice payload; /* JSON text in the arena; empty: none or not asked for */
    const float *vector;  /* dim floats in the arena; NULL when not asked for */
};

struct shard_fetch {
    bool with_payload;
    bool with_vector;
};

/* records[i] for ids[i], found or not. */
SHOAL_MUST_CHECK enum shoal_err shard_fetch(struct shard *s, const struct point_id *ids, size_t len,
                                            const struct shard_fetch *what, struct arena *arena,
                                            struct shard_record *records, struct errbuf *why);

struct shard_scroll {
    const struct point_id *offset; /* first id of the page, inclusive; NULL: from the beginning */
    uint32_t limit;                /* 1.. */
    struct slice filter;
    struct shard_fetch what;
};

/* records has room for limit; in id order. *next (arena) is the id after the page, NULL at the
 * end. */
SHOAL_MUST_CHECK enum shoal_err shard_scroll(struct shard *s, const struct shard_scroll *q,
                                             struct arena *arena, struct shard_record *records,
                                             size_t *n_out, const struct point_id **next,
                                             struct errbuf *why);
/* Exact. */
SHOAL_MUST_CHECK enum shoal_err shard_count(struct shard *s, struct slice filter, uint64_t *out,
                                            struct errbuf *why);

/* --- state ---------------------------------------------------------------------------------- */

enum shard_status { SHARD_GREEN, SHARD_YELLOW, SHARD_GREY, SHARD_RED };

struct shard_info {
    enum shard_status status; /* yellow: rows wait to be indexed; red: a part is out of service */
    char trouble[256];        /* why red, or why building fails for now (yellow); or empty */
    uint64_t points;
    uint64_t indexed;  /* points in sealed segments */
    uint64_t segments; /* sealed */
    uint64_t growing_rows;
    uint64_t dead_rows; /* in sealed segments */
    uint64_t applied_index;
    uint64_t disk_bytes;
};
void shard_info(struct shard *s, struct shard_info *out);
uint32_t shard_dim(const struct shard *s);

/* Seals what grows and merges segments until nothing is left to do, or the deadline. */
SHOAL_MUST_CHECK enum shoal_err shard_optimize(struct shard *s, uint64_t deadline_ns,
                                               struct errbuf *why);
/* Full check of every segment part and of state.mdb's invariants. Names what is bad. */
SHOAL_MUST_CHECK enum shoal_err shard_verify(struct shard *s, struct errbuf *why);
/* Hash of the logical content (ids, versions, vectors, payloads), the same on every replica at
 * the same applied index, whatever its segments. */
SHOAL_MUST_CHECK enum shoal_err shard_state_hash(struct shard *s, uint64_t *out,
                                                 struct errbuf *why);

#endif
