#include "query/collection.h"

#include "base/mem.h"

#include <assert.h>

_Static_assert(COLLECTION_SHARDS_MAX <= COLLECTION_SLOTS, "every shard has at least one slot");

enum shoal_err collection_new(const struct collection_config *config, struct collection **out)
{
    *out = NULL;
    assert(config->shards_len >= 1 && config->shards_len <= COLLECTION_SHARDS_MAX);
    struct collection *c = mem_calloc(1, sizeof(*c));
    if (c == NULL) {
        return SHOAL_ENOMEM;
    }
    c->name = mem_strndup(config->name.data, config->name.len);
    c->shards = mem_calloc(config->shards_len, sizeof(*c->shards));
    if (c->name == NULL || c->shards == NULL) {
        mem_free(c->name);
        mem_free(c->shards);
        mem_free(c);
        return SHOAL_ENOMEM;
    }
    c->dim = config->dim;
    c->distance = config->distance;
    c->shards_len = config->shards_len;
    memcpy(c->shards, config->shards, config->shards_len * sizeof(*c->shards));
    for (size_t slot = 0; slot < COLLECTION_SLOTS; slot++) {
        c->slots[slot] = (uint16_t)(slot * c->shards_len / COLLECTION_SLOTS);
    }
    atomic_init(&c->refs, 1);
    *out = c;
    return SHOAL_OK;
}

void collection_ref(struct collection *c)
{
    unsigned before = atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
}

void collection_unref(struct collection *c)
{
    if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < c->shards_len; i++) {
        channel_free(c->shards[i].channel);
    }
    mem_free(c->shards);
    mem_free(c->name);
    mem_free(c);
}

size_t collection_shard_of(const struct collection *c, const struct point_id *id)
{
    return c->slots[point_id_hash(id) % COLLECTION_SLOTS];
}
