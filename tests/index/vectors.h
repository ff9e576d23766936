/* What the tests of index/ share: drawn vectors, exact answers in double, and built indexes.
 * Header only. Include it after cmocka.h. */
#ifndef SHOAL_TESTS_INDEX_VECTORS_H
#define SHOAL_TESTS_INDEX_VECTORS_H

#include "base/mem.h"
#include "base/rand.h"
#include "index/index.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The seed of everything drawn: 1, or what SHOAL_TEST_SEED says. Printed with each failure by
 * test_seed_print. */
static inline uint64_t test_seed(void)
{
    const char *text = getenv("SHOAL_TEST_SEED");
    return text == NULL ? 1 : strtoull(text, NULL, 10);
}

static inline void test_seed_print(void)
{
    print_message("seed %llu (set SHOAL_TEST_SEED)\n", (unsigned long long)test_seed());
}

/* Roughly normal, variance 1. */
static inline float test_normal(const struct rand_source *r)
{
    double sum = 0;
    for (int i = 0; i < 12; i++) {
        sum += rand_unit(r);
    }
    return (float)(sum - 6);
}

/* Rows around `clusters` centres: near-uniform noise is no data that anyone searches. */
static inline float *test_vectors(size_t rows, size_t dim, size_t clusters, enum distance d,
                                  uint64_t seed)
{
    struct rand_seeded rand;
    rand_seeded_init(&rand, seed);
    float *centres = malloc(clusters * dim * sizeof(float));
    float *v = malloc(rows * dim * sizeof(float));
    assert_non_null(centres);
    assert_non_null(v);
    for (size_t i = 0; i < clusters * dim; i++) {
        centres[i] = test_normal(&rand.source);
    }
    for (size_t i = 0; i < rows; i++) {
        const float *centre = centres + rand_below(&rand.source, clusters) * dim;
        for (size_t j = 0; j < dim; j++) {
            v[i * dim + j] = centre[j] + 0.7f * test_normal(&rand.source);
        }
        if (d == DISTANCE_COSINE) {
            vector_normalize(v + i * dim, dim);
        }
    }
    free(centres);
    return v;
}

static inline double test_score(enum distance d, const float *a, const float *b, size_t dim)
{
    double sum = 0;
    for (size_t i = 0; i < dim; i++) {
        double x = a[i];
        double y = b[i];
        if (distance_higher_is_better(d)) {
            sum += x * y;
        } else {
            sum += d == DISTANCE_EUCLID ? (x - y) * (x - y) : fabs(x - y);
        }
    }
    return d == DISTANCE_EUCLID ? sqrt(sum) : sum;
}

/* An index built, its rows put in their order, and opened: as a segment does it. */
struct test_index {
    struct index_config config;
    size_t rows;
    struct index_built built;
    float *vectors; /* in stored order */
    struct index *index;
};

static inline void test_index_reorder(struct test_index *t, const float *vectors)
{
    size_t dim = t->config.dim;
    t->vectors = malloc(t->rows * dim * sizeof(float));
    assert_non_null(t->vectors);
    for (size_t i = 0; i < t->rows; i++) {
        size_t row = t->built.order == NULL ? i : t->built.order[i];
        memcpy(t->vectors + i * dim, vectors + row * dim, dim * sizeof(float));
    }
}

static inline void test_index_init(struct test_index *t, const struct index_config *config,
                                   const float *vectors, size_t rows)
{
    *t = (struct test_index){ .config = *config, .rows = rows };
    struct errbuf why;
    err_clear(&why);
    enum shoal_err rc = index_build(config, vectors, rows, NULL, &t->built, &why);
    if (rc != SHOAL_OK) {
        fail_msg("build: %s", err_why(&why, rc));
    }
    test_index_reorder(t, vectors);
    rc = index_open(config, t->vectors, rows, slice_make(t->built.bytes, t->built.bytes_len),
                    &t->index, &why);
    if (rc != SHOAL_OK) {
        fail_msg("open: %s", err_why(&why, rc));
    }
}

static inline void test_index_release(struct test_index *t)
{
    index_close(t->index);
    index_built_release(&t->built);
    free(t->vectors);
}

static inline bool test_allows(const struct index_filter *filter, size_t row)
{
    return filter == NULL || (filter->allowed[row / 8] >> (row % 8) & 1) != 0;
}

/* The k-th best score among the allowed rows, by brute force in double; fewer rows: the worst. */
static inline double test_kth_score(const struct test_index *t, const float *query, size_t k,
                                    const struct index_filter *filter, size_t *found_max)
{
    double *best = malloc((k + 1) * sizeof(double));
    assert_non_null(best);
    size_t len = 0;
    bool high = distance_higher_is_better(t->config.distance);
    for (size_t row = 0; row < t->rows; row++) {
        if (!test_allows(filter, row)) {
            continue;
        }
        double score = test_score(t->config.distance, query, t->vectors + row * t->config.dim,
                                  t->config.dim);
        size_t at = len;
        while (at > 0 && (high ? best[at - 1] < score : best[at - 1] > score)) {
            best[at] = best[at - 1];
            at--;
        }
        best[at] = score;
        len += len < k;
    }
    double kth = len == 0 ? 0 : best[len - 1];
    free(best);
    *found_max = len;
    return kth;
}

/* Checks what holds for every answer: best first, ties by row, scores right, filter kept, no row
 * twice. Returns how many of the true neighbours are in it. */
static inline size_t test_check_hits(const struct test_index *t, const struct index_query *q,
                                     const struct index_hit *hits, size_t n, size_t *true_len)
{
    double kth = test_kth_score(t, q->vector, q->k, q->filter, true_len);
    assert_true(n <= *true_len);
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        assert_true(hits[i].row < t->rows);
        assert_true(test_allows(q->filter, hits[i].row));
        double score = test_score(t->config.distance, q->vector,
                                  t->vectors + (size_t)hits[i].row * t->config.dim, t->config.dim);
        double slack = 1e-4 * (1 + fabs(score));
        assert_true(fabs(score - (double)hits[i].score) <= slack);
        if (i > 0) {
            assert_false(distance_better(t->config.distance, hits[i].score, hits[i - 1].score));
            assert_true(hits[i].score != hits[i - 1].score || hits[i].row > hits[i - 1].row);
        }
        bool high = distance_higher_is_better(t->config.distance);
        found += high ? score >= kth - slack : score <= kth + slack;
    }
    return found;
}

/* Searches and returns recall against brute force over the queries. */
static inline double test_recall(const struct test_index *t, const float *queries,
                                 size_t queries_len, const struct index_query *shape)
{
    struct index_hit *hits = malloc(shape->k * sizeof(*hits));
    assert_non_null(hits);
    size_t found = 0;
    size_t total = 0;
    for (size_t i = 0; i < queries_len; i++) {
        struct index_query q = *shape;
        q.vector = queries + i * t->config.dim;
        size_t n = 0;
        assert_int_equal(index_search(t->index, &q, hits, &n, NULL), SHOAL_OK);
        size_t true_len = 0;
        found += test_check_hits(t, &q, hits, n, &true_len);
        total += true_len;
    }
    free(hits);
    return total == 0 ? 1 : (double)found / (double)total;
}

/* Fills a bitmap: each row is let through when `want` says so. */
static inline void test_filter_fill(struct index_filter *filter, size_t rows,
                                    bool (*want)(void *arg, size_t row), void *arg)
{
    uint8_t *bits = calloc(rows / 8 + 1, 1);
    assert_non_null(bits);
    filter->allowed = bits;
    filter->allowed_len = 0;
    for (size_t row = 0; row < rows; row++) {
        if (want(arg, row)) {
            bits[row / 8] |= (uint8_t)(1u << (row % 8));
            filter->allowed_len++;
        }
    }
}

struct test_share {
    const struct rand_source *rand;
    double share;
};

static inline bool test_want_share(void *arg, size_t row)
{
    (void)row;
    struct test_share *s = arg;
    return rand_unit(s->rand) < s->share;
}

#endif
