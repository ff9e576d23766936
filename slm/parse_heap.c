#include "slm/parse_heap.h"

#include "base/clock.h"
#include "base/mem.h"

#include <assert.h>
#include <string.h>

#define CLASS_BYTES_MIN 16
#define CPU_LOOK_EVERY 1024 /* allocations between two looks at the clock */

/* Stands before each block, and keeps it aligned to 16. */
struct parse_block {
    size_t size_class;
    size_t unused;
};

struct parse_free {
    struct parse_free *next;
};

void parse_heap__init(struct parse_heap *heap, size_t source_len)
{
    size_t bytes = source_len * PARSE_HEAP_BYTES_PER_BYTE + PARSE_HEAP_BYTES_MIN;
    memset(heap, 0, sizeof(*heap));
    arena_init(&heap->arena, bytes < PARSE_HEAP_BYTES_MAX ? bytes : PARSE_HEAP_BYTES_MAX);
    uint64_t ms = PARSE_HEAP_CPU_MS + source_len * PARSE_HEAP_CPU_MS_PER_MIB / (1u << 20);
    heap->cpu_end_ns = clock_thread_cpu_ns() + ms * 1000000u;
}

void parse_heap__release(struct parse_heap *heap)
{
    arena_release(&heap->arena);
}

enum shoal_err parse_heap__run(struct parse_heap *heap, void (*parse)(void *arg), void *arg)
{
    if (setjmp(heap->leave) != 0) {
        assert(heap->rc != SHOAL_OK);
        return heap->rc;
    }
    parse(arg);
    return SHOAL_OK;
}

static _Noreturn void leave(struct parse_heap *heap, enum shoal_err rc)
{
    heap->rc = rc;
    longjmp(heap->leave, 1);
}

static size_t class_bytes(size_t size_class)
{
    return (size_t)CLASS_BYTES_MIN << size_class;
}

static size_t class_of(size_t size)
{
    size_t size_class = 0;
    while (size_class < PARSE_HEAP_CLASSES && class_bytes(size_class) < size) {
        size_class++;
    }
    return size_class;
}

static struct parse_block *header_of(void *block)
{
    return (struct parse_block *)block - 1;
}

void *parse_heap__alloc(struct parse_heap *heap, size_t size)
{
    if (++heap->allocs % CPU_LOOK_EVERY == 0 && clock_thread_cpu_ns() > heap->cpu_end_ns) {
        leave(heap, SHOAL_ETOOBIG);
    }
    size_t size_class = class_of(size);
    if (size_class == PARSE_HEAP_CLASSES) {
        leave(heap, SHOAL_ETOOBIG);
    }
    struct parse_free *reused = heap->freed[size_class];
    if (reused != NULL) {
        heap->freed[size_class] = reused->next;
        memset(reused, 0, class_bytes(size_class));
        return reused;
    }
    size_t bytes = class_bytes(size_class) + sizeof(struct parse_block);
    struct parse_block *made = arena_alloc(&heap->arena, bytes);
    if (made == NULL) {
        bool full = heap->arena.max - heap->arena.used < bytes;
        leave(heap, full ? SHOAL_ETOOBIG : SHOAL_ENOMEM);
    }
    memset(made, 0, bytes);
    made->size_class = size_class;
    return made + 1;
}

void *parse_heap__realloc(struct parse_heap *heap, void *block, size_t size)
{
    if (block == NULL) {
        return parse_heap__alloc(heap, size);
    }
    size_t had = class_bytes(header_of(block)->size_class);
    if (size <= had) {
        return block;
    }
    void *made = parse_heap__alloc(heap, size);
    memcpy(made, block, had);
    parse_heap__free(heap, block);
    return made;
}

void parse_heap__free(struct parse_heap *heap, void *block)
{
    if (block == NULL) {
        return;
    }
    size_t size_class = header_of(block)->size_class;
    assert(size_class < PARSE_HEAP_CLASSES);
    struct parse_free *freed = block;
    freed->next = heap->freed[size_class];
    heap->freed[size_class] = freed;
}
