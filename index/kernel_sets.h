/* The kernel sets, for kernel.c alone. A set that was not compiled in (another architecture) is
 * declared all the same and has no entries. */
#ifndef SHOAL_INDEX_KERNEL_SETS_H
#define SHOAL_INDEX_KERNEL_SETS_H

#include "index/kernel.h"

enum kernel_metric { KERNEL_DOT, KERNEL_SQUARE, KERNEL_ABS, KERNEL_METRICS_LEN };

extern const struct kernel kernel__scalar[KERNEL_METRICS_LEN];
#if defined(__x86_64__)
extern const struct kernel kernel__avx2[KERNEL_METRICS_LEN];
extern const struct kernel kernel__avx512[KERNEL_METRICS_LEN];
#endif

#endif
