/* Arena: scratch memory of one request, freed in one go, with a ceiling.
 *
 * Threads: an arena belongs to one thread at a time. */
#ifndef SHOAL_BASE_ARENA_H
#define SHOAL_BASE_ARENA_H

#include "base/slice.h"

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *head;
    size_t used;
    size_t max; /* the sum of all blocks never exceeds it */
};

/* Allocates nothing. */
void arena_init(struct arena *a, size_t max);
void arena_release(struct arena *a);
/* Forgets all that was handed out; keeps at most one block for reuse. */
void arena_reset(struct arena *a);
/* 16-byte aligned, not zeroed; NULL when out of memory or over the ceiling. size 0 gives a valid
 * pointer to nothing. Lives until arena_reset or arena_release. */
void *arena_alloc(struct arena *a, size_t size);
/* n * size with overflow check, zeroed. */
void *arena_array(struct arena *a, size_t n, size_t size);
/* Terminated copy. */
char *arena_strndup(struct arena *a, const char *s, size_t len);

#endif
