/* Bits: a counted array of bits, one per row: which rows of a segment or a chunk are alive.
 *
 * An array that several generations share is never written; whoever wants to clear a bit takes
 * bits_own first. Bit i % 8 of byte i / 8, as index/index.h wants its filters.
 *
 * Threads: shared arrays are read from any thread; an owned one belongs to the writer. */
#ifndef SHOAL_SHARD_BITS_H
#define SHOAL_SHARD_BITS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bits {
    atomic_size_t refs;
    size_t len; /* bits */
    uint8_t bytes[];
};

/* All set, or all clear; bits past `len` are clear. One reference is the caller's. NULL when out
 * of memory. */
struct bits *bits_new(size_t len, bool value);
struct bits *bits_ref(struct bits *b); /* NULL stays NULL */
void bits_unref(struct bits *b);       /* NULL is fine */
/* An array that only *b refers to: the same one, a copy, or, when *b is NULL, a new one of `len`
 * set bits. False when out of memory; *b is as it was. */
bool bits_own(struct bits **b, size_t len);

static inline bool bits_get(const struct bits *b, size_t i)
{
    return (b->bytes[i / 8] >> (i % 8) & 1) != 0;
}

static inline void bits_set(struct bits *b, size_t i)
{
    b->bytes[i / 8] = (uint8_t)(b->bytes[i / 8] | 1u << (i % 8));
}

static inline void bits_clear(struct bits *b, size_t i)
{
    b->bytes[i / 8] = (uint8_t)(b->bytes[i / 8] & ~(1u << (i % 8)));
}

#endif
