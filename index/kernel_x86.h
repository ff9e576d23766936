/* The body of the x86 kernels, included once by kernel_avx2.c and once by kernel_avx512.c, which
 * define before it:
 *
 *     TARGET                       the function attribute of the instruction level
 *     vec, LANES                   a register of floats, and how many it holds
 *     vec_zero() vec_load(p)       p may have any alignment
 *     vec_load_tail(p, n)          the first n floats at p, 1 <= n < LANES; the rest zero, unread
 *     vec_step(metric, acc, q, v)  adds one step of the metric
 *     vec_fold(v)                  the sums of a register as four, in a __m128
 *
 * One accumulator a row, four rows side by side: four independent chains hide the latency of a
 * fused multiply-add, and each row's sum is built in the same order alone or in company. */
#ifndef TARGET
#error "kernel_x86.h is a body to include, not an interface"
#endif

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

#define CACHE_LINE 64
/* Of a long row only the beginning is fetched ahead: the hardware sees the stream by then. */
#define PREFETCH_BYTES_MAX 1024

INLINE void row_prefetch(const float *row, size_t dim)
{
    size_t bytes = dim * sizeof(float);
    if (bytes > PREFETCH_BYTES_MAX) {
        bytes = PREFETCH_BYTES_MAX;
    }
    const char *p = (const char *)row;
    for (size_t at = 0; at < bytes; at += CACHE_LINE) {
        __builtin_prefetch(p + at, 0, 3);
    }
    __builtin_prefetch(p + bytes - 1, 0, 3);
}

/* Both add (0 + 2) + (1 + 3), for one register and for four at once. */
INLINE TARGET float fold1(__m128 a)
{
    __m128 pairs = _mm_add_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_add_ss(pairs, _mm_shuffle_ps(pairs, pairs, 1)));
}

INLINE TARGET __m128 fold4(__m128 a, __m128 b, __m128 c, __m128 d)
{
    __m128 ab = _mm_add_ps(_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));
    __m128 cd = _mm_add_ps(_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
    return _mm_add_ps(_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab));
}

INLINE TARGET float key1(enum kernel_metric metric, const float *q, const float *a, size_t dim)
{
    vec sum = vec_zero();
    size_t i = 0;
    for (; i + LANES <= dim; i += LANES) {
        sum = vec_step(metric, sum, vec_load(q + i), vec_load(a + i));
    }
    if (i < dim) {
        sum = vec_step(metric, sum, vec_load_tail(q + i, dim - i), vec_load_tail(a + i, dim - i));
    }
    float total = fold1(vec_fold(sum));
    return metric == KERNEL_DOT ? -total : total;
}

INLINE TARGET void key4(enum kernel_metric metric, const float *q, const float *const rows[4],
                        size_t dim, float *keys)
{
    const float *a = rows[0];
    const float *b = rows[1];
    const float *c = rows[2];
    const float *d = rows[3];
    vec sa = vec_zero();
    vec sb = vec_zero();
    vec sc = vec_zero();
    vec sd = vec_zero();
    size_t i = 0;
    for (; i + LANES <= dim; i += LANES) {
        vec x = vec_load(q + i);
        sa = vec_step(metric, sa, x, vec_load(a + i));
        sb = vec_step(metric, sb, x, vec_load(b + i));
        sc = vec_step(metric, sc, x, vec_load(c + i));
        sd = vec_step(metric, sd, x, vec_load(d + i));
    }
    if (i < dim) {
        size_t rest = dim - i;
        vec x = vec_load_tail(q + i, rest);
        sa = vec_step(metric, sa, x, vec_load_tail(a + i, rest));
        sb = vec_step(metric, sb, x, vec_load_tail(b + i, rest));
        sc = vec_step(metric, sc, x, vec_load_tail(c + i, rest));
        sd = vec_step(metric, sd, x, vec_load_tail(d + i, rest));
    }
    __m128 total = fold4(vec_fold(sa), vec_fold(sb), vec_fold(sc), vec_fold(sd));
    if (metric == KERNEL_DOT) {
        total = _mm_xor_ps(total, _mm_set1_ps(-0.0f));
    }
    _mm_storeu_ps(keys, total);
}

INLINE TARGET void gather_of(enum kernel_metric metric, const float *query, const float *base,
                             size_t dim, const uint32_t *rows, size_t rows_len, float *keys)
{
    size_t i = 0;
    for (size_t j = 0; j < 4 && j < rows_len; j++) {
        row_prefetch(base + (size_t)rows[j] * dim, dim);
    }
    for (; i + 4 <= rows_len; i += 4) {
        for (size_t j = i + 4; j < i + 8 && j < rows_len; j++) {
            row_prefetch(base + (size_t)rows[j] * dim, dim);
        }
        const float *const four[4] = { base + (size_t)rows[i] * dim,
                                       base + (size_t)rows[i + 1] * dim,
                                       base + (size_t)rows[i + 2] * dim,
                                       base + (size_t)rows[i + 3] * dim };
        key4(metric, query, four, dim, keys + i);
    }
    for (; i < rows_len; i++) {
        keys[i] = key1(metric, query, base + (size_t)rows[i] * dim, dim);
    }
}

INLINE TARGET void span_of(enum kernel_metric metric, const float *query, const float *base,
                           size_t dim, size_t rows_len, float *keys)
{
    size_t i = 0;
    for (; i + 4 <= rows_len; i += 4) {
        const float *first = base + i * dim;
        const float *const four[4] = { first, first + dim, first + 2 * dim, first + 3 * dim };
        key4(metric, query, four, dim, keys + i);
    }
    for (; i < rows_len; i++) {
        keys[i] = key1(metric, query, base + i * dim, dim);
    }
}

#define DEFINE_KERNELS(suffix, metric)                                                     \
    TARGET static float one_##suffix(const float *a, const float *b, size_t dim)           \
    {                                                                                      \
        return key1(metric, a, b, dim);                                                    \
    }                                                                                      \
    TARGET static void gather_##suffix(const float *query, const float *base, size_t dim,  \
                                       const uint32_t *rows, size_t rows_len, float *keys) \
    {                                                                                      \
        gather_of(metric, query, base, dim, rows, rows_len, keys);                         \
    }                                                                                      \
    TARGET static void span_##suffix(const float *query, const float *base, size_t dim,    \
                                     size_t rows_len, float *keys)                         \
    {                                                                                      \
        span_of(metric, query, base, dim, rows_len, keys);                                 \
    }

DEFINE_KERNELS(dot, KERNEL_DOT)
DEFINE_KERNELS(square, KERNEL_SQUARE)
DEFINE_KERNELS(abs, KERNEL_ABS)
