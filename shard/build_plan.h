/* Build plan: which rows of a shard become a segment next, and gathering them. Nothing here reads
 * or writes a file: a plan is a function of a generation and a few rules.
 *
 * Sealing takes all growing rows below a line. Merging takes a run of adjacent segments, so that
 * the row ranges of segments never overlap. A run is worth it when it has MERGE_WIDTH segments of
 * which the largest is no larger than the others together: each row is then written again only
 * when its segment at least doubles, about log2(rows / seal_rows) times at most, and what stays
 * is a few segments of each size. A single segment is written again when its derived part is
 * unfit or when over a third of its rows are dead.
 *
 * Threads: all calls from any thread; generations are pinned by the caller. */
#ifndef SHOAL_SHARD_BUILD_PLAN_H
#define SHOAL_SHARD_BUILD_PLAN_H

#include "shard/generation.h"

#define BUILD_MERGE_WIDTH 4u
/* Vectors of one segment, in bytes: building takes about twice that in memory. */
#define BUILD_VECTOR_BYTES_MAX (1u << 30)

struct build_rules {
    uint64_t seal_rows; /* growing rows that are worth a segment; >= 1 */
    uint64_t seal_to;   /* growing rows below are sealed however few; 0: none */
    uint64_t rows_max;  /* of one segment */
    bool merge_all;     /* leave as few segments as rows_max allows, and none with dead rows */
    bool seal_only;
};

enum build_kind { BUILD_NOTHING, BUILD_SEAL, BUILD_MERGE };

struct build_plan {
    enum build_kind kind;
    uint64_t row_begin, row_end; /* the range of row numbers of the new segment */
    size_t first, len;           /* BUILD_MERGE: segments of the generation */
};

/* build_rules.rows_max for this dimension. */
uint64_t build_rows_max(uint32_t dim);

struct build_plan build_plan_choose(const struct generation *g, const struct build_rules *rules);

/* The living rows of a plan, ascending by row number, and possibly none. `*rows` (mem_free)
 * borrows vectors from the generation. SHOAL_ENOMEM, SHOAL_ECORRUPT (a damaged id). */
SHOAL_MUST_CHECK enum shoal_err build_rows_gather(const struct generation *g,
                                                  const struct build_plan *plan,
                                                  struct segment_row **rows, size_t *len,
                                                  struct errbuf *why);

/* Tells which rows of a plan were alive in `then`, where it was made, and are dead in `now`, a
 * later generation with the same segments and growing_begin. Looks only at chunks and segments in
 * which something died. */
typedef void build_died_fn(void *arg, uint64_t row);
void build_rows_died(const struct generation *then, const struct generation *now,
                     const struct build_plan *plan, build_died_fn *died, void *arg);

#endif
