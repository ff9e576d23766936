#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "index/kernel.h"
#include "tests/index/vectors.h"

#include <sys/mman.h>
#include <unistd.h>

static const enum distance metrics[] = { DISTANCE_DOT, DISTANCE_EUCLID, DISTANCE_MANHATTAN };

/* The key in double, and how far a float sum of n terms of this size may be from it. */
static double key_exact(enum distance d, const float *a, const float *b, size_t dim, double *slack)
{
    double sum = 0;
    double magnitude = 0;
    for (size_t i = 0; i < dim; i++) {
        double x = a[i];
        double y = b[i];
        double term = d == DISTANCE_DOT      ? -x * y
                      : d == DISTANCE_EUCLID ? (x - y) * (x - y)
                                             : fabs(x - y);
        sum += term;
        magnitude += fabs(term);
    }
    *slack = 1e-7 * magnitude * (4 + sqrt((double)dim));
    return sum;
}

static void check_level(const struct kernel *kernel, enum distance d, const float *query,
                        const float *base, size_t dim, size_t rows)
{
    float span[9];
    float gather[9];
    uint32_t ids[9];
    for (size_t i = 0; i < rows; i++) {
        ids[i] = (uint32_t)(rows - 1 - i);
    }
    kernel->span(query, base, dim, rows, span);
    kernel->gather(query, base, dim, ids, rows, gather);
    for (size_t i = 0; i < rows; i++) {
        float one = kernel->one(query, base + i * dim, dim);
        double slack = 0;
        double exact = key_exact(d, query, base + i * dim, dim, &slack);
        if (fabs((double)one - exact) > slack) {
            fail_msg("%s dim %zu: %.9g, not %.9g", kernel->name, dim, (double)one, exact);
        }
        /* The same pair has the same key on every path, to the last bit. */
        assert_memory_equal(&one, &span[i], sizeof(one));
        assert_memory_equal(&one, &gather[rows - 1 - i], sizeof(one));
    }
}

static void test_every_level_agrees_with_double(void **state)
{
    (void)state;
    for (size_t dim = 1; dim <= 4096; dim = dim < 130 ? dim + 1 : dim * 3 + 1) {
        /* One float further than malloc aligns: rows have no alignment but a float's. */
        float *room = test_vectors(11, dim, 3, DISTANCE_DOT, test_seed() + dim);
        const float *query = room + 1;
        const float *base = room + 1 + dim;
        for (size_t m = 0; m < 3; m++) {
            const struct kernel *kernel = NULL;
            for (size_t l = 0; (kernel = kernel_at(l, metrics[m])) != NULL; l++) {
                for (size_t rows = 0; rows <= 9; rows++) {
                    check_level(kernel, metrics[m], query, base, dim, rows);
                }
            }
        }
        free(room);
    }
}

static void test_the_best_level_is_used(void **state)
{
    (void)state;
    size_t levels = 0;
    while (kernel_at(levels, DISTANCE_EUCLID) != NULL) {
        levels++;
    }
    assert_true(levels >= 1);
    assert_ptr_equal(kernel_for(DISTANCE_EUCLID), kernel_at(levels - 1, DISTANCE_EUCLID));
    assert_ptr_equal(kernel_for(DISTANCE_COSINE), kernel_for(DISTANCE_DOT));
    print_message("kernel: %s\n", kernel_for(DISTANCE_DOT)->name);
}

/* Rows that end with the last mapped byte: a read past them ends the test. */
static void test_nothing_past_a_row_is_read(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *map = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(map != MAP_FAILED);
    assert_int_equal(mprotect(map + 2 * page, page, PROT_NONE), 0);
    for (size_t dim = 1; dim <= 70; dim++) {
        size_t rows = 5;
        float *base = (float *)(void *)(map + 2 * page) - rows * dim;
        for (size_t i = 0; i < rows * dim; i++) {
            base[i] = (float)(i % 7);
        }
        for (size_t m = 0; m < 3; m++) {
            const struct kernel *kernel = NULL;
            for (size_t l = 0; (kernel = kernel_at(l, metrics[m])) != NULL; l++) {
                check_level(kernel, metrics[m], base + 4 * dim, base, dim, rows);
            }
        }
    }
    assert_int_equal(munmap(map, 3 * page), 0);
}

static void test_scores_are_those_of_the_distance(void **state)
{
    (void)state;
    assert_true(kernel_score(DISTANCE_COSINE, -0.5f) == 0.5f);
    assert_true(kernel_score(DISTANCE_DOT, 3.0f) == -3.0f);
    assert_true(kernel_score(DISTANCE_EUCLID, 9.0f) == 3.0f);
    assert_true(kernel_score(DISTANCE_MANHATTAN, 9.0f) == 9.0f);
    assert_true(isinf(kernel_key_sane(NAN)) && kernel_key_sane(NAN) > 0);
    assert_true(kernel_key_sane(-2.0f) == -2.0f);
}

int main(void)
{
    test_seed_print();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_level_agrees_with_double),
        cmocka_unit_test(test_the_best_level_is_used),
        cmocka_unit_test(test_nothing_past_a_row_is_read),
        cmocka_unit_test(test_scores_are_those_of_the_distance),
    };
    return cmocka_run_group_tests_name("kernel", tests, NULL, NULL);
}
