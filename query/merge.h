/* Merge: the best k of several lists that are each sorted best first. Private to query/.
 *
 * A heap with one cursor per list: O(lists) memory and O(log lists) a hit, whatever k is. Ties go
 * to the smaller id, so that the answer does not depend on which shard answered first. */
#ifndef SHOAL_QUERY_MERGE_H
#define SHOAL_QUERY_MERGE_H

#include "base/distance.h"
#include "shard/shard.h"

#include <stddef.h>

struct merge_list {
    const struct shard_hit *hits; /* best first */
    size_t len;
};

struct merge_pick {
    size_t list;
    size_t place; /* in that list */
};

/* Skips `offset` hits, then picks up to k. `cursors` has room for lists_len sizes twice over.
 * Returns how many were picked. */
size_t merge_top(enum distance d, const struct merge_list *lists, size_t lists_len, size_t offset,
                 size_t k, size_t *cursors, struct merge_pick *picks);

#endif
