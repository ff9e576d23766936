/* What the tests of segments, state and shards share: vectors that repeat from a seed, and a plain
 * way to compare them. Everything is static: each test is one translation unit. */
#ifndef SHOAL_TESTS_SHARD_TEST_SHARD_SUPPORT_H
#define SHOAL_TESTS_SHARD_TEST_SHARD_SUPPORT_H

#include "tests/shard/test_store_support.h"

#include "base/distance.h"
#include "base/rand.h"

#include <inttypes.h>
#include <math.h>
#include <time.h>

/* From SHOAL_TEST_SEED, or from the clock; printed, so that a failure can be repeated. */
static inline uint64_t test_seed(const char *what)
{
    const char *text = getenv("SHOAL_TEST_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 10) : (uint64_t)time(NULL);
    printf("%s: SHOAL_TEST_SEED=%" PRIu64 "\n", what, seed);
    fflush(stdout);
    return seed;
}

/* Roughly normal: the sum of four uniform numbers. */
static inline float test_normal(const struct rand_source *r)
{
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        sum += rand_unit(r) - 0.5;
    }
    return (float)(sum * 1.7320508);
}

static inline void test_vector(const struct rand_source *r, enum distance d, uint32_t dim,
                               float *out)
{
    for (uint32_t i = 0; i < dim; i++) {
        out[i] = test_normal(r);
    }
    if (d == DISTANCE_COSINE) {
        vector_normalize(out, dim);
    }
}

/* Near one of the centers (centers_len x dim). */
static inline void test_clustered(const struct rand_source *r, enum distance d, uint32_t dim,
                                  const float *centers, size_t centers_len, float *out)
{
    const float *c = centers + rand_below(r, centers_len) * dim;
    for (uint32_t i = 0; i < dim; i++) {
        out[i] = c[i] + 0.4f * test_normal(r);
    }
    if (d == DISTANCE_COSINE) {
        vector_normalize(out, dim);
    }
}

#endif
