/* Collection, as the coordinator sees it: where its points lie and how to reach its shards.
 *
 * A point belongs to the slot point_id_hash(id) % COLLECTION_SLOTS, and a slot to a shard; moving
 * slots, not rehashing, is how shards will be split.
 *
 * Threads: immutable once made, reference-counted; any number of readers. A change of the
 * collection makes a new one. */
#ifndef SHOAL_QUERY_COLLECTION_H
#define SHOAL_QUERY_COLLECTION_H

#include "base/distance.h"
#include "base/err.h"
#include "base/point_id.h"
#include "query/channel.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define COLLECTION_SLOTS 4096
#define COLLECTION_SHARDS_MAX 256

struct collection_shard {
    uint64_t id;
    struct channel *channel; /* owned by the collection */
};

struct collection {
    char *name;
    uint32_t dim;
    enum distance distance;
    size_t shards_len;
    struct collection_shard *shards;
    uint16_t slots[COLLECTION_SLOTS]; /* index into shards */
    atomic_uint refs;
};

struct collection_config {
    struct slice name;
    uint32_t dim;
    enum distance distance;
    size_t shards_len;                     /* 1..COLLECTION_SHARDS_MAX */
    const struct collection_shard *shards; /* channels are taken over on success only */
};

/* Slots are dealt evenly and contiguously. One reference for the caller. SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err collection_new(const struct collection_config *config,
                                               struct collection **out);
void collection_ref(struct collection *c);
void collection_unref(struct collection *c); /* NULL is fine; the last one frees the channels */
size_t collection_shard_of(const struct collection *c, const struct point_id *id);

#endif
