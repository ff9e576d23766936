#include "shard/row_set.h"

#include "base/mem.h"

#include <assert.h>

/* Whole words, so that a bitmap may be read in words. */
static size_t bitmap_bytes(uint32_t rows)
{
    return ((size_t)rows + 63) / 64 * sizeof(uint64_t);
}

static uint32_t part_rows(const struct generation *g, size_t part)
{
    return part < g->segments_len ? segment_info(g->segments[part].segment)->rows : CHUNK_ROWS;
}

enum shoal_err row_set_init(struct row_set *set, const struct generation *g, struct errbuf *why)
{
    *set = (struct row_set){ .segments_len = g->segments_len };
    const size_t parts_len = g->segments_len + g->chunks_len;
    const size_t head = (parts_len + 1) * sizeof(*set->parts);
    size_t size = head;
    for (size_t i = 0; i < parts_len; i++) {
        if (!size_add(size, bitmap_bytes(part_rows(g, i)), &size)) {
            return err_set(why, SHOAL_ENOMEM, "out of memory for the rows of a filter");
        }
    }
    uint8_t *block = mem_calloc(size, 1);
    if (block == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for the rows of a filter");
    }
    set->parts = (struct row_set_part *)(void *)block;
    block += head;
    for (size_t i = 0; i < parts_len; i++) {
        set->parts[i].bits = block;
        block += bitmap_bytes(part_rows(g, i));
    }
    return SHOAL_OK;
}

void row_set_release(struct row_set *set)
{
    mem_free(set->parts);
    *set = (struct row_set){ .parts = NULL };
}

void row_set_add(struct row_set *set, const struct row_place *place)
{
    const bool growing = place->segment == SIZE_MAX;
    struct row_set_part *part =
        &set->parts[growing ? set->segments_len + place->chunk : place->segment];
    uint8_t *byte = &part->bits[place->position / 8];
    const uint8_t bit = (uint8_t)(1u << (place->position % 8));
    const uint32_t added = (*byte & bit) == 0;
    *byte = (uint8_t)(*byte | bit);
    part->len += added;
    set->len += added;
}
