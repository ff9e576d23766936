#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "index/scan.h"
#include "tests/index/vectors.h"

#define ROWS_MAX 700
#define DIM 5

static int by_rank_high(const void *a, const void *b)
{
    const struct scan_hit *x = a;
    const struct scan_hit *y = b;
    if (x->score != y->score) {
        return x->score > y->score ? -1 : 1;
    }
    return x->row < y->row ? -1 : x->row > y->row;
}

static int by_rank_low(const void *a, const void *b)
{
    const struct scan_hit *x = a;
    const struct scan_hit *y = b;
    if (x->score != y->score) {
        return x->score < y->score ? -1 : 1;
    }
    return x->row < y->row ? -1 : x->row > y->row;
}

static void test_topk_keeps_the_best_in_a_total_order(void **state)
{
    (void)state;
    struct rand_seeded rand;
    rand_seeded_init(&rand, test_seed());
    for (unsigned round = 0; round < 200; round++) {
        enum distance d = round % 2 == 0 ? DISTANCE_COSINE : DISTANCE_EUCLID;
        size_t len = (size_t)rand_below(&rand.source, 200);
        size_t k = 1 + (size_t)rand_below(&rand.source, 50);
        struct scan_hit all[200];
        struct scan_hit room[50];
        struct topk top;
        topk_init(&top, d, room, k);
        for (size_t i = 0; i < len; i++) {
            /* Few different scores, so that ties are the rule. */
            float score = (float)rand_below(&rand.source, 9);
            all[i] = (struct scan_hit){ .row = rand_u64(&rand.source), .score = score };
            topk_push(&top, all[i].row, all[i].score);
        }
        topk_finish(&top);
        qsort(all, len, sizeof(all[0]), d == DISTANCE_COSINE ? by_rank_high : by_rank_low);
        assert_int_equal(top.len, len < k ? len : k);
        for (size_t i = 0; i < top.len; i++) {
            assert_true(top.hits[i].row == all[i].row && top.hits[i].score == all[i].score);
        }
    }
}

static void test_topk_puts_what_is_not_a_number_last(void **state)
{
    (void)state;
    for (unsigned d = 1; d <= 4; d++) {
        struct scan_hit room[3];
        struct topk top;
        topk_init(&top, (enum distance)d, room, 3);
        topk_push(&top, 1, NAN);
        topk_push(&top, 2, 5.0f);
        topk_push(&top, 3, NAN);
        topk_push(&top, 4, 6.0f);
        topk_push(&top, 5, 7.0f);
        topk_push(&top, 6, NAN);
        topk_finish(&top);
        assert_int_equal(top.len, 3);
        for (size_t i = 0; i < 3; i++) {
            assert_true(fabsf(top.hits[i].score) < 10);
        }
    }
}

struct fixture {
    float *vectors;
    float query[DIM];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        return -1;
    }
    f->vectors = test_vectors(ROWS_MAX, DIM, 4, DISTANCE_DOT, test_seed());
    memcpy(f->query, f->vectors + 3 * DIM, sizeof(f->query));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    free(f->vectors);
    free(f);
    return 0;
}

/* Compares with pushing one pair after another. */
static void check_scan(const struct fixture *f, size_t rows, enum distance d,
                       const uint8_t *allowed)
{
    struct scan_hit room[17];
    struct scan_hit expected_room[17];
    struct topk top;
    struct topk expected;
    topk_init(&top, d, room, 17);
    topk_init(&expected, d, expected_room, 17);
    scan_rows(&top, f->query, f->vectors, rows, DIM, 1000, allowed);
    for (size_t i = 0; i < rows; i++) {
        if (allowed == NULL || (allowed[i / 8] >> (i % 8) & 1) != 0) {
            topk_push(&expected, 1000 + i, scan_score(d, f->query, f->vectors + i * DIM, DIM));
        }
    }
    topk_finish(&top);
    topk_finish(&expected);
    assert_int_equal(top.len, expected.len);
    for (size_t i = 0; i < top.len; i++) {
        assert_true(room[i].row == expected_room[i].row);
        assert_true(room[i].score == expected_room[i].score);
    }
}

static void test_scan_finds_what_pushing_each_row_finds(void **state)
{
    const struct fixture *f = *state;
    struct rand_seeded rand;
    rand_seeded_init(&rand, test_seed());
    static const size_t sizes[] = {
        0, 1, 2, 7, 8, 9, 63, 64, 65, 255, 256, 257, 511, 513, ROWS_MAX
    };
    static const double shares[] = { 0, 0.01, 0.3, 0.9, 1 };
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        for (unsigned d = 1; d <= 4; d++) {
            check_scan(f, sizes[s], (enum distance)d, NULL);
        }
        for (size_t p = 0; p < sizeof(shares) / sizeof(shares[0]); p++) {
            struct test_share share = { .rand = &rand.source, .share = shares[p] };
            struct index_filter filter;
            test_filter_fill(&filter, sizes[s], test_want_share, &share);
            check_scan(f, sizes[s], DISTANCE_EUCLID, filter.allowed);
            free((void *)(uintptr_t)filter.allowed);
        }
    }
}

/* The bits past the last row may be anything: callers keep whole words. The bitmap ends with its
 * last byte. */
static void test_scan_looks_at_no_bit_past_the_rows(void **state)
{
    const struct fixture *f = *state;
    for (size_t rows = 1; rows < 140; rows++) {
        size_t bytes = (rows + 7) / 8;
        uint8_t *bits = malloc(bytes);
        assert_non_null(bits);
        memset(bits, 0xff, bytes);
        struct scan_hit room[150];
        struct topk top;
        topk_init(&top, DISTANCE_EUCLID, room, 150);
        scan_rows(&top, f->query, f->vectors, rows, DIM, 0, bits);
        assert_int_equal(top.len, rows);
        free(bits);
    }
}

static void test_listed_rows_keep_their_numbers(void **state)
{
    const struct fixture *f = *state;
    uint32_t ids[600];
    for (uint32_t i = 0; i < 600; i++) {
        ids[i] = i + 50;
    }
    struct scan_hit room[600];
    struct topk top;
    topk_init(&top, DISTANCE_MANHATTAN, room, 600);
    scan_listed(&top, f->query, f->vectors, DIM, ids, 600, 7000);
    topk_finish(&top);
    assert_int_equal(top.len, 600);
    bool seen[600] = { false };
    for (size_t i = 0; i < 600; i++) {
        size_t row = (size_t)(room[i].row - 7000);
        assert_true(row >= 50 && row < 650 && !seen[row - 50]);
        seen[row - 50] = true;
        float score = scan_score(DISTANCE_MANHATTAN, f->query, f->vectors + row * DIM, DIM);
        assert_true(score == room[i].score);
    }
}

int main(void)
{
    test_seed_print();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_topk_keeps_the_best_in_a_total_order),
        cmocka_unit_test(test_topk_puts_what_is_not_a_number_last),
        cmocka_unit_test_setup_teardown(test_scan_finds_what_pushing_each_row_finds, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_scan_looks_at_no_bit_past_the_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_listed_rows_keep_their_numbers, setup, teardown),
    };
    return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}
