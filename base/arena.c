#include "base/arena.h"

#include "base/mem.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#define ALIGN 16
#define FIRST_BLOCK 4096
#define BLOCK_GROWTH_MAX (1u << 20)

struct arena_block {
    struct arena_block *next;
    size_t cap;
    size_t len;
    _Alignas(ALIGN) char data[];
};

void arena_init(struct arena *a, size_t max)
{
    *a = (struct arena){ .max = max };
}

void arena_release(struct arena *a)
{
    struct arena_block *block = a->head;
    while (block != NULL) {
        struct arena_block *next = block->next;
        mem_free(block);
        block = next;
    }
    *a = (struct arena){ .max = a->max };
}

void arena_reset(struct arena *a)
{
    struct arena_block *kept = a->head;
    if (kept == NULL) {
        return;
    }
    struct arena rest = { .head = kept->next, .max = a->max };
    arena_release(&rest);
    kept->next = NULL;
    kept->len = 0;
    a->used = kept->cap;
}

/* The next block is twice the last one, up to a bound, and never smaller than what is asked. */
static struct arena_block *add_block(struct arena *a, size_t size)
{
    size_t cap = a->head == NULL ? FIRST_BLOCK : a->head->cap * 2;
    cap = cap > BLOCK_GROWTH_MAX ? BLOCK_GROWTH_MAX : cap;
    cap = cap < size ? size : cap;
    size_t left = a->max - a->used;
    cap = cap > left ? left : cap;
    size_t total;
    if (cap < size || !size_add(cap, sizeof(struct arena_block), &total)) {
        return NULL;
    }
    struct arena_block *block = mem_alloc(total);
    if (block == NULL) {
        return NULL;
    }
    *block = (struct arena_block){ .next = a->head, .cap = cap };
    a->head = block;
    a->used += cap;
    return block;
}

void *arena_alloc(struct arena *a, size_t size)
{
    size_t rounded;
    if (!size_add(size, ALIGN - 1, &rounded)) {
        return NULL;
    }
    rounded &= ~(size_t)(ALIGN - 1);
    rounded = rounded == 0 ? ALIGN : rounded;
    struct arena_block *block = a->head;
    if (block == NULL || block->cap - block->len < rounded) {
        block = add_block(a, rounded);
        if (block == NULL) {
            return NULL;
        }
    }
    void *p = block->data + block->len;
    block->len += rounded;
    assert(((uintptr_t)p & (ALIGN - 1)) == 0);
    return p;
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
    size_t total;
    if (!size_mul(n, size, &total)) {
        return NULL;
    }
    void *p = arena_alloc(a, total);
    if (p != NULL) {
        memset(p, 0, total);
    }
    return p;
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
    size_t size;
    if (!size_add(len, 1, &size)) {
        return NULL;
    }
    char *copy = arena_alloc(a, size);
    if (copy != NULL) {
        if (len > 0) {
            memcpy(copy, s, len);
        }
        copy[len] = '\0';
    }
    return copy;
}
