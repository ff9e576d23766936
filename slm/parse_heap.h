/* Parse heap: the memory that libgumbo and libcmark get, in one bounded piece.
 *
 * Both libraries end the process, or read through NULL, when an allocation fails, and libgumbo
 * frees its tree by recursion, as deep as the document nests. Here an allocation that fails leaves
 * the library by longjmp (it holds nothing but memory of this heap), and the trees are never freed
 * node by node but all at once. The same door bounds the time: gumbo looks through its whole stack
 * of open elements for each tag and through all attributes of a tag for each of them, so that a
 * hundred thousand of either would keep a thread for minutes.
 *
 * Private to the room. Threads: a heap belongs to one thread. */
#ifndef SHOAL_SLM_PARSE_HEAP_H
#define SHOAL_SLM_PARSE_HEAP_H

#include "base/arena.h"
#include "base/err.h"

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#define PARSE_HEAP_CLASSES 40 /* powers of two from 16 bytes on */
/* Of trees. A tag of three bytes makes a node of 150. */
#define PARSE_HEAP_BYTES_MAX (1u << 30)
#define PARSE_HEAP_BYTES_MIN (32u << 20)
#define PARSE_HEAP_BYTES_PER_BYTE 256
/* CPU time a parser may take, at a twentieth of the speed that was measured for real pages. */
#define PARSE_HEAP_CPU_MS 2000
#define PARSE_HEAP_CPU_MS_PER_MIB 1000

struct parse_free;

struct parse_heap {
    struct arena arena;
    struct parse_free *freed[PARSE_HEAP_CLASSES];
    jmp_buf leave;
    enum shoal_err rc; /* why it was left */
    uint64_t allocs;
    uint64_t cpu_end_ns;
};

/* For a source of so many bytes. Allocates nothing. */
void parse_heap__init(struct parse_heap *heap, size_t source_len);
void parse_heap__release(struct parse_heap *heap);

/* Runs `parse`, inside which, and nowhere else, the calls below are allowed. It is left in the
 * middle when one of them fails, so it must hold no memory but the heap's, no lock and no file.
 * SHOAL_ENOMEM; SHOAL_ETOOBIG for a tree over the bound or a parser over its time. */
SHOAL_MUST_CHECK enum shoal_err parse_heap__run(struct parse_heap *heap, void (*parse)(void *arg),
                                                void *arg);

/* Never NULL. Zeroed. */
void *parse_heap__alloc(struct parse_heap *heap, size_t size);
void *parse_heap__realloc(struct parse_heap *heap, void *block, size_t size);
void parse_heap__free(struct parse_heap *heap, void *block);

#endif
