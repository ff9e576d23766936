/* Segment: sealed rows of a shard in one immutable file: their vectors in the order the index
 * wants, which point each belongs to, and the index. docs/segment-format.md has the bytes.
 *
 * A segment is told apart by its id and owns a range of row numbers; ranges of a shard's segments
 * never overlap, so the segment of a row is found by binary search. Within it a position
 * (0..rows-1) is where the row's vector lies.
 *
 * Which rows are still alive is not the segment's business: that changes, and is kept by the
 * shard's state.
 *
 * Threads: an open segment is immutable and used from any thread. References are counted; the last
 * one closes it and, when it was retired, unlinks its file. */
#ifndef SHOAL_SHARD_SEGMENT_H
#define SHOAL_SHARD_SEGMENT_H

#include "base/disk.h"
#include "base/err.h"
#include "base/point_id.h"
#include "base/slice.h"
#include "index/index.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* One part is one LMDB value. This bounds the rows of a segment by its dimension: 1.4 million of
 * 768 components. */
#define SEGMENT_PART_BYTES_MAX 0xfffff000u
/* Below this many rows a scan beats any index. */
#define SEGMENT_INDEX_ROWS_MIN 256u
/* Encoded id: kind, then 16 bytes: a UUID, or a number big-endian and zeros. */
#define SEGMENT_ID_LEN 17

enum segment_part {
    SEGMENT_VECTORS,   /* rows x dim floats, by position */
    SEGMENT_IDS,       /* rows x SEGMENT_ID_LEN bytes, by position */
    SEGMENT_ROWS,      /* rows x u64: row numbers, ascending */
    SEGMENT_POSITIONS, /* rows x u32: position of the i-th of these */
    SEGMENT_INDEX,     /* derived bytes (index/index.h) */
    SEGMENT_PARTS_LEN
};

struct segment_part_info {
    uint64_t len;
    uint64_t checksum; /* hash64 */
};

struct segment_manifest {
    uint64_t id;                 /* 1.. */
    uint64_t row_begin, row_end; /* row numbers it owns: begin <= row < end */
    uint32_t rows;               /* 1..INDEX_ROWS_MAX; as many of the range as were alive */
    struct index_config index;   /* as built; threads and seed are not kept */
    struct segment_part_info parts[SEGMENT_PARTS_LEN];
};

#define SEGMENT_MANIFEST_LEN 168

void segment_manifest_encode(const struct segment_manifest *m, uint8_t out[SEGMENT_MANIFEST_LEN]);
/* SHOAL_ECORRUPT (with what is wrong), SHOAL_EUNSUPPORTED (a later version). */
SHOAL_MUST_CHECK enum shoal_err segment_manifest_decode(struct slice bytes,
                                                        struct segment_manifest *out,
                                                        struct errbuf *why);

/* Most rows of this dimension that fit one segment. */
uint64_t segment_rows_max(uint32_t dim);
/* Bytes that a file with so many rows takes, at most, HNSW's links included. */
uint64_t segment_bytes_estimate(uint64_t rows, const struct index_config *index);
/* "<dir>/<id>.mdb". SHOAL_ETOOBIG. */
enum shoal_err segment_path(const char *dir, uint64_t id, char out[DISK_PATH_MAX]);

/* --- building --------------------------------------------------------------------------------- */

struct segment_row {
    uint64_t row;
    struct point_id id;
    const float *vector; /* dim floats */
};

struct segment_build {
    const char *dir; /* of the segments */
    const struct disk *disk;
    uint64_t id;
    uint64_t row_begin, row_end;
    struct index_config index;      /* kind is lowered to flat below SEGMENT_INDEX_ROWS_MIN */
    const struct segment_row *rows; /* ascending by row number, all inside the range */
    size_t rows_len;                /* 1..segment_rows_max */
    const atomic_bool *cancel;
};

/* Writes the file aside, syncs it and gives it its name, durably. Takes about twice the vectors'
 * size in memory. On failure nothing of it is left. SHOAL_ECANCELED, SHOAL_EFULL, SHOAL_EIO,
 * SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err segment_build(const struct segment_build *b,
                                              struct segment_manifest *out, struct errbuf *why);

/* --- use -------------------------------------------------------------------------------------- */

struct segment;

/* Opens <dir>/<id>.mdb, which must carry exactly this manifest; one reference is the caller's.
 * Reads the manifest and the index's header, nothing else. A file whose derived part alone is
 * unfit opens all the same and is searched by scanning (segment_needs_rebuild). SHOAL_ECORRUPT,
 * SHOAL_ENOTFOUND, SHOAL_EIO, SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err segment_open(const char *dir, const struct disk *disk,
                                             const struct segment_manifest *m, struct segment **out,
                                             struct errbuf *why);
/* The same over parts in memory, which stay valid until the last reference is gone. */
SHOAL_MUST_CHECK enum shoal_err segment_open_parts(const struct segment_manifest *m,
                                                   const struct slice parts[SEGMENT_PARTS_LEN],
                                                   struct segment **out, struct errbuf *why);
struct segment *segment_ref(struct segment *s); /* returns s */
void segment_unref(struct segment *s);          /* NULL is fine */
/* The file goes with the last reference. */
void segment_retire(struct segment *s);

const struct segment_manifest *segment_info(const struct segment *s);
uint64_t segment_bytes(const struct segment *s);
bool segment_needs_rebuild(const struct segment *s);
/* Position of a row number; false when it is not here. */
bool segment_find(const struct segment *s, uint64_t row, uint32_t *position);
/* dim floats, valid while the segment is referenced. */
const float *segment_vector(const struct segment *s, uint32_t position);
/* SHOAL_ECORRUPT when the bytes are no id. */
enum shoal_err segment_id(const struct segment *s, uint32_t position, struct point_id *out);
/* Row numbers ascending, and where each lies. */
const uint64_t *segment_rows(const struct segment *s);
const uint32_t *segment_positions(const struct segment *s);

/* As index_search. */
SHOAL_MUST_CHECK enum shoal_err segment_search(const struct segment *s, const struct index_query *q,
                                               struct index_hit *hits, size_t *n_out,
                                               struct errbuf *why);

/* Reads everything: checksums, that rows, positions and ids are what they should be, that vectors
 * are fit, and the index's own validation. SHOAL_ECORRUPT names the part. */
SHOAL_MUST_CHECK enum shoal_err segment_verify(const struct segment *s, struct errbuf *why);
/* Checksums of what is truth (all but the index), before it is copied into another segment. */
SHOAL_MUST_CHECK enum shoal_err segment_verify_truth(const struct segment *s, struct errbuf *why);

#endif
