#include "index/kernel.h"

#include "index/kernel_sets.h"

#include <assert.h>
#include <stdbool.h>

static enum kernel_metric metric_of(enum distance d)
{
    switch (d) {
    case DISTANCE_COSINE:
    case DISTANCE_DOT: return KERNEL_DOT;
    case DISTANCE_EUCLID: return KERNEL_SQUARE;
    case DISTANCE_MANHATTAN: return KERNEL_ABS;
    }
    assert(false);
    return KERNEL_DOT;
}

/* Fills `sets` with what this CPU runs, slowest first, and returns how many there are. The CPU is
 * asked each time: the answer is cached by the compiler's runtime. */
static size_t sets_of_cpu(const struct kernel *sets[3])
{
    size_t len = 0;
    sets[len++] = kernel__scalar;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        sets[len++] = kernel__avx2;
    }
    if (__builtin_cpu_supports("avx512f")) {
        sets[len++] = kernel__avx512;
    }
#endif
    return len;
}

const struct kernel *kernel_at(size_t level, enum distance d)
{
    const struct kernel *sets[3];
    size_t len = sets_of_cpu(sets);
    return level < len ? &sets[level][metric_of(d)] : NULL;
}

const struct kernel *kernel_for(enum distance d)
{
    const struct kernel *sets[3];
    size_t len = sets_of_cpu(sets);
    return &sets[len - 1][metric_of(d)];
}
