/* The kernels for AVX-512F. */
#include "index/kernel_sets.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define TARGET __attribute__((target("avx512f")))
#define LANES 16

typedef __m512 vec;

static inline __attribute__((always_inline)) TARGET vec vec_zero(void)
{
    return _mm512_setzero_ps();
}

static inline __attribute__((always_inline)) TARGET vec vec_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

static inline __attribute__((always_inline)) TARGET vec vec_load_tail(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1u), p);
}

static inline __attribute__((always_inline)) TARGET vec vec_step(enum kernel_metric metric, vec acc,
                                                                 vec q, vec v)
{
    if (metric == KERNEL_DOT) {
        return _mm512_fmadd_ps(q, v, acc);
    }
    vec diff = _mm512_sub_ps(q, v);
    if (metric == KERNEL_SQUARE) {
        return _mm512_fmadd_ps(diff, diff, acc);
    }
    return _mm512_add_ps(acc, _mm512_abs_ps(diff));
}

static inline __attribute__((always_inline)) TARGET __m128 vec_fold(vec v)
{
    __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1));
    __m256 half = _mm256_add_ps(_mm512_castps512_ps256(v), high);
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

#include "index/kernel_x86.h"

const struct kernel kernel__avx512[KERNEL_METRICS_LEN] = {
    [KERNEL_DOT] = { "avx512/dot", one_dot, gather_dot, span_dot },
    [KERNEL_SQUARE] = { "avx512/square", one_square, gather_square, span_square },
    [KERNEL_ABS] = { "avx512/abs", one_abs, gather_abs, span_abs },
};

#endif
