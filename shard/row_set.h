/* Row set: which living rows of a generation a filter lets through: a bitmap for each segment and
 * each chunk, in the form that index/index.h and index/scan.h take.
 *
 * Threads: owned by one search. */
#ifndef SHOAL_SHARD_ROW_SET_H
#define SHOAL_SHARD_ROW_SET_H

#include "shard/generation.h"

struct row_set_part {
    uint8_t *bits; /* into the set's one block */
    uint32_t len;  /* bits that are set */
};

struct row_set {
    struct row_set_part *parts; /* of the segments, then of the chunks; NULL: no set at all */
    size_t segments_len;
    uint64_t len; /* rows in all */
};

/* Empty, for this generation. One allocation. SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err row_set_init(struct row_set *set, const struct generation *g,
                                             struct errbuf *why);
void row_set_release(struct row_set *set); /* a zeroed one is fine */

/* `place` as generation_find of the same generation gave it; added twice it counts once. */
void row_set_add(struct row_set *set, const struct row_place *place);

static inline const struct row_set_part *row_set_segment(const struct row_set *set, size_t segment)
{
    return &set->parts[segment];
}

static inline const struct row_set_part *row_set_chunk(const struct row_set *set, size_t chunk)
{
    return &set->parts[set->segments_len + chunk];
}

#endif
