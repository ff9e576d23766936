/* Memory: the one place where the program allocates, so that tests can make any allocation fail
 * and a ledger can count. Raw malloc, calloc, realloc, strdup and free are banned elsewhere (a
 * check in the test run looks for them).
 *
 * Threads: all calls from any thread. Blocks carry no header, so a block from a C library's own
 * malloc may not be passed here and the other way round. */
#ifndef SHOAL_BASE_MEM_H
#define SHOAL_BASE_MEM_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* NULL when out of memory or when size is 0. */
void *mem_alloc(size_t size);
/* Zeroed; NULL also when n * size overflows. */
void *mem_calloc(size_t n, size_t size);
/* Room for n items, not zeroed; NULL also when n * size overflows. */
void *mem_array(size_t n, size_t size);
/* On failure the old block stays valid and owned by the caller. */
void *mem_realloc(void *block, size_t size);
/* 64-byte aligned (a cache line, an AVX-512 register); freed by mem_free like the rest. */
void *mem_aligned(size_t size);
/* A terminated copy of `len` bytes, or NULL. */
char *mem_strndup(const char *s, size_t len);
char *mem_strdup(const char *s);
void mem_free(void *block);

/* Checked arithmetic: false on overflow, and then *out is untouched. */
static inline bool size_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

static inline bool size_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

/* Test hook. `fail` is asked before each allocation and may refuse it; `seen` counts live blocks.
 * Set before threads start; NULL restores the plain allocator. */
struct mem_hook {
    bool (*may_alloc)(void *arg, size_t size);
    void *arg;
};
void mem_hook_set(const struct mem_hook *hook);

/* Blocks now allocated through this header and not yet freed. Exact, from any thread. */
size_t mem_live(void);

#endif
