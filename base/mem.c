/* The C library's allocator behind one door. Live blocks are counted in per-thread shards, so that
 * counting does not make threads share a cache line. */
#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SHARDS 16
#define CACHE_LINE 64

struct shard {
    _Alignas(CACHE_LINE) atomic_long live;
};

static struct shard shards[SHARDS];
static atomic_uint next_shard;
static _Thread_local unsigned my_shard;
static struct mem_hook hook;

/* A shard may go below zero when blocks travel between threads; only the sum means anything. */
static void count(long by)
{
    if (my_shard == 0) {
        my_shard = atomic_fetch_add_explicit(&next_shard, 1, memory_order_relaxed) % SHARDS + 1;
    }
    atomic_fetch_add_explicit(&shards[my_shard - 1].live, by, memory_order_relaxed);
}

static bool may_alloc(size_t size)
{
    return hook.may_alloc == NULL || hook.may_alloc(hook.arg, size);
}

void *mem_alloc(size_t size)
{
    if (size == 0 || !may_alloc(size)) {
        return NULL;
    }
    void *block = malloc(size);
    if (block != NULL) {
        count(1);
    }
    return block;
}

void *mem_calloc(size_t n, size_t size)
{
    size_t total;
    if (!size_mul(n, size, &total) || total == 0 || !may_alloc(total)) {
        return NULL;
    }
    void *block = calloc(n, size);
    if (block != NULL) {
        count(1);
    }
    return block;
}

void *mem_array(size_t n, size_t size)
{
    size_t total;
    return size_mul(n, size, &total) ? mem_alloc(total) : NULL;
}

void *mem_realloc(void *block, size_t size)
{
    if (block == NULL) {
        return mem_alloc(size);
    }
    if (size == 0 || !may_alloc(size)) {
        return NULL;
    }
    return realloc(block, size);
}

void *mem_aligned(size_t size)
{
    size_t rounded;
    if (size == 0 || !size_add(size, CACHE_LINE - 1, &rounded) || !may_alloc(size)) {
        return NULL;
    }
    void *block = aligned_alloc(CACHE_LINE, rounded & ~(size_t)(CACHE_LINE - 1));
    if (block != NULL) {
        count(1);
    }
    return block;
}

char *mem_strndup(const char *s, size_t len)
{
    size_t size;
    if (!size_add(len, 1, &size)) {
        return NULL;
    }
    char *copy = mem_alloc(size);
    if (copy != NULL) {
        if (len > 0) {
            memcpy(copy, s, len);
        }
        copy[len] = '\0';
    }
    return copy;
}

char *mem_strdup(const char *s)
{
    return mem_strndup(s, strlen(s));
}

void mem_free(void *block)
{
    if (block != NULL) {
        count(-1);
        free(block);
    }
}

void mem_hook_set(const struct mem_hook *new_hook)
{
    hook = new_hook == NULL ? (struct mem_hook){ .may_alloc = NULL } : *new_hook;
}

size_t mem_live(void)
{
    long sum = 0;
    for (size_t i = 0; i < SHARDS; i++) {
        sum += atomic_load_explicit(&shards[i].live, memory_order_relaxed);
    }
    return sum < 0 ? 0 : (size_t)sum;
}
