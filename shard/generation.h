/* Generation: an immutable picture of a shard's rows at one applied index: growing rows, segments,
 * and which rows of both are alive.
 *
 * Row numbers are given out in order and never again. Rows below growing_begin are in segments (or
 * dead and gone); those from there to next_row are growing, in chunks of memory:
 *
 *     segments: [ 0 .. 41k ) [ 41k .. 60k )   growing: chunk 59* | chunk 60 | chunk 61 (filling)
 *
 * (*) a seal may end inside a chunk: rows of it below growing_begin are then marked dead in the
 * chunk, since the segment has them.
 *
 * The writer makes the next generation by generation_copy, changes it, and publishes it by
 * swapping a pointer; only then do readers see it. A copy costs one small struct per segment and
 * chunk, whatever they hold. What differs between two generations:
 *   - rows are appended to the last chunk in place, beyond the row count that older generations
 *     know, so those never look at them;
 *   - a row dies in a copy of its chunk's or segment's bits (128 bytes for a chunk; a bit per row
 *     for a segment: 125 KB for a million rows, copied once per batch that kills any of them).
 * Stamping each row with the index of its death instead would avoid the copies, but the index
 * wants plain bits to filter by, and a stamp per row costs 64 times their memory.
 *
 * Threads: generation_ref and unref from any thread; the functions that change one only on the
 * writer, before it is published; all others from any thread afterwards. */
#ifndef SHOAL_SHARD_GENERATION_H
#define SHOAL_SHARD_GENERATION_H

#include "base/point_id.h"
#include "shard/bits.h"
#include "shard/segment.h"

#define CHUNK_ROWS 1024u

struct chunk {
    atomic_size_t refs;
    struct point_id ids[CHUNK_ROWS];
    float *vectors; /* CHUNK_ROWS x dim, 64-byte aligned */
};

struct chunk_view {
    struct chunk *chunk; /* NULL: nothing alive in it */
    struct bits *alive;  /* CHUNK_ROWS bits, those not yet filled set; NULL: all alive */
    uint32_t rows;       /* filled from the chunk's beginning */
    uint32_t live;
};

struct segment_view {
    struct segment *segment;
    struct bits *alive; /* a bit per position; NULL: all alive */
    uint32_t live;
};

struct generation {
    atomic_size_t refs;
    uint32_t dim;
    uint64_t applied; /* raft index */
    uint64_t points;  /* = rows alive, growing and sealed */
    uint64_t next_row;
    uint64_t growing_begin;
    uint64_t growing_live;
    struct chunk_view *chunks; /* the first holds growing_begin */
    size_t chunks_len;
    struct segment_view *segments; /* ascending by rows */
    size_t segments_len;
};

/* Where a row is. */
struct row_place {
    size_t segment;    /* index into segments; SIZE_MAX: growing */
    size_t chunk;      /* index into chunks */
    uint32_t position; /* in the segment or the chunk */
};

/* Empty, with growing_begin = next_row = first_row; the caller holds one reference. */
SHOAL_MUST_CHECK enum shoal_err generation_new(uint32_t dim, uint64_t first_row,
                                               struct generation **out);
SHOAL_MUST_CHECK enum shoal_err generation_copy(const struct generation *g,
                                                struct generation **out);
struct generation *generation_ref(struct generation *g);
void generation_unref(struct generation *g); /* NULL is fine */

/* Gives the next row number to a point. SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err generation_append(struct generation *g, const struct point_id *id,
                                                  const float *vector, uint64_t *row);
/* Passes over row numbers up to `row`: they are dead. For loading. */
SHOAL_MUST_CHECK enum shoal_err generation_skip_to(struct generation *g, uint64_t row);
/* Marks a living row dead and says where it was. SHOAL_ENOTFOUND when it is not alive. */
SHOAL_MUST_CHECK enum shoal_err generation_kill(struct generation *g, uint64_t row,
                                                struct row_place *place);
/* Puts a segment view after the others; takes over the references. SHOAL_ENOMEM: took nothing. */
SHOAL_MUST_CHECK enum shoal_err generation_add_segment(struct generation *g,
                                                       struct segment_view view);
/* Replaces `len` segments from `first` on by `view` (segment NULL: by nothing). */
void generation_replace(struct generation *g, size_t first, size_t len, struct segment_view view);
/* Growing rows below `row` are no longer growing: they died, or a segment has them now (which the
 * caller adds). SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err generation_drop_growing(struct generation *g, uint64_t row);

/* False when the row is not alive. */
bool generation_find(const struct generation *g, uint64_t row, struct row_place *place);
/* Of a place that generation_find gave. */
const float *generation_vector(const struct generation *g, const struct row_place *place);
enum shoal_err generation_id(const struct generation *g, const struct row_place *place,
                             struct point_id *out);
bool place_equal(const struct row_place *a, const struct row_place *b);
/* Row number of the first row of a chunk. */
uint64_t generation_chunk_row(const struct generation *g, size_t chunk);
uint64_t generation_growing_rows(const struct generation *g); /* dead ones included */

#endif
