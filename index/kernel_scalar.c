/* The kernels in plain C, for CPUs that have none of the instruction sets we know. */
#include "index/kernel_sets.h"

/* Independent sums: the compiler may keep them in one vector register without reordering any. */
#define LANES 8

#define DEFINE_KERNELS(suffix, step, finish)                                                      \
    static float one_##suffix(const float *a, const float *b, size_t dim)                         \
    {                                                                                             \
        float sum[LANES] = { 0 };                                                                 \
        size_t i = 0;                                                                             \
        for (; i + LANES <= dim; i += LANES) {                                                    \
            for (size_t j = 0; j < LANES; j++) {                                                  \
                sum[j] += step(a[i + j], b[i + j]);                                               \
            }                                                                                     \
        }                                                                                         \
        float tail = 0;                                                                           \
        for (; i < dim; i++) {                                                                    \
            tail += step(a[i], b[i]);                                                             \
        }                                                                                         \
        float even = (sum[0] + sum[4]) + (sum[2] + sum[6]);                                       \
        float odd = (sum[1] + sum[5]) + (sum[3] + sum[7]);                                        \
        return finish((even + odd) + tail);                                                       \
    }                                                                                             \
    static void gather_##suffix(const float *query, const float *base, size_t dim,                \
                                const uint32_t *rows, size_t rows_len, float *keys)               \
    {                                                                                             \
        for (size_t i = 0; i < rows_len; i++) {                                                   \
            keys[i] = one_##suffix(query, base + (size_t)rows[i] * dim, dim);                     \
        }                                                                                         \
    }                                                                                             \
    static void span_##suffix(const float *query, const float *base, size_t dim, size_t rows_len, \
                              float *keys)                                                        \
    {                                                                                             \
        for (size_t i = 0; i < rows_len; i++) {                                                   \
            keys[i] = one_##suffix(query, base + i * dim, dim);                                   \
        }                                                                                         \
    }

static inline float step_dot(float a, float b)
{
    return a * b;
}

static inline float step_square(float a, float b)
{
    return (a - b) * (a - b);
}

static inline float step_abs(float a, float b)
{
    return fabsf(a - b);
}

static inline float negated(float sum)
{
    return -sum;
}

static inline float as_is(float sum)
{
    return sum;
}

DEFINE_KERNELS(dot, step_dot, negated)
DEFINE_KERNELS(square, step_square, as_is)
DEFINE_KERNELS(abs, step_abs, as_is)

const struct kernel kernel__scalar[KERNEL_METRICS_LEN] = {
    [KERNEL_DOT] = { "scalar/dot", one_dot, gather_dot, span_dot },
    [KERNEL_SQUARE] = { "scalar/square", one_square, gather_square, span_square },
    [KERNEL_ABS] = { "scalar/abs", one_abs, gather_abs, span_abs },
};
