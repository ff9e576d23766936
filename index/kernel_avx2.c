/* The kernels for AVX2 with fused multiply-add. */
#include "index/kernel_sets.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define TARGET __attribute__((target("avx2,fma")))
#define LANES 8

typedef __m256 vec;

static const int32_t tail_masks[2 * LANES] = { -1, -1, -1, -1, -1, -1, -1, -1 };

static inline __attribute__((always_inline)) TARGET vec vec_zero(void)
{
    return _mm256_setzero_ps();
}

static inline __attribute__((always_inline)) TARGET vec vec_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

static inline __attribute__((always_inline)) TARGET vec vec_load_tail(const float *p, size_t n)
{
    __m256i mask = _mm256_loadu_si256((const void *)(tail_masks + LANES - n));
    return _mm256_maskload_ps(p, mask);
}

static inline __attribute__((always_inline)) TARGET vec vec_step(enum kernel_metric metric, vec acc,
                                                                 vec q, vec v)
{
    if (metric == KERNEL_DOT) {
        return _mm256_fmadd_ps(q, v, acc);
    }
    vec diff = _mm256_sub_ps(q, v);
    if (metric == KERNEL_SQUARE) {
        return _mm256_fmadd_ps(diff, diff, acc);
    }
    return _mm256_add_ps(acc, _mm256_andnot_ps(_mm256_set1_ps(-0.0f), diff));
}

static inline __attribute__((always_inline)) TARGET __m128 vec_fold(vec v)
{
    return _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
}

#include "index/kernel_x86.h"

const struct kernel kernel__avx2[KERNEL_METRICS_LEN] = {
    [KERNEL_DOT] = { "avx2/dot", one_dot, gather_dot, span_dot },
    [KERNEL_SQUARE] = { "avx2/square", one_square, gather_square, span_square },
    [KERNEL_ABS] = { "avx2/abs", one_abs, gather_abs, span_abs },
};

#endif
