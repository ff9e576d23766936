#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/distance.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void test_names_are_those_of_the_api_and_parse_back(void **state)
{
    (void)state;
    static const char *const names[] = { "Cosine", "Dot", "Euclid", "Manhattan" };
    for (unsigned i = 0; i < 4; i++) {
        enum distance d = (enum distance)(i + 1);
        assert_string_equal(distance_name(d), names[i]);
        enum distance back = DISTANCE_COSINE;
        assert_int_equal(distance_parse(slice_from_str(names[i]), &back), SHOAL_OK);
        assert_int_equal(back, d);
    }
    assert_null(distance_name((enum distance)0));
    assert_null(distance_name((enum distance)5));
}

static void test_parse_refuses_other_names_and_leaves_out_alone(void **state)
{
    (void)state;
    static const char *const bad[] = { "", "cosine", "COSINE", "Cosin", "Cosine ", "Euclidean" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        enum distance d = DISTANCE_DOT;
        assert_int_equal(distance_parse(slice_from_str(bad[i]), &d), SHOAL_EPARSE);
        assert_int_equal(d, DISTANCE_DOT);
    }
    enum distance d = DISTANCE_DOT;
    assert_int_equal(distance_parse(slice_make("Dot\0", 4), &d), SHOAL_EPARSE);
}

static void test_similarities_rank_high_first_and_distances_low_first(void **state)
{
    (void)state;
    assert_true(distance_better(DISTANCE_COSINE, 0.9f, 0.8f));
    assert_true(distance_better(DISTANCE_DOT, 3.0f, -3.0f));
    assert_true(distance_better(DISTANCE_EUCLID, 1.0f, 2.0f));
    assert_true(distance_better(DISTANCE_MANHATTAN, 0.0f, 2.0f));
    for (unsigned d = 1; d <= 4; d++) {
        assert_false(distance_better((enum distance)d, 1.0f, 1.0f));
    }
}

static void test_check_names_the_unfit_component(void **state)
{
    (void)state;
    static const float unfit[] = { NAN, INFINITY, -INFINITY, 1.1e18f, -1.1e18f, FLT_MAX };
    for (size_t u = 0; u < sizeof(unfit) / sizeof(unfit[0]); u++) {
        for (size_t at = 0; at < 19; at++) {
            float v[19];
            for (size_t i = 0; i < 19; i++) {
                v[i] = 1.0f;
            }
            v[at] = unfit[u];
            struct errbuf why;
            err_clear(&why);
            assert_int_equal(vector_check(v, 19, DISTANCE_DOT, &why), SHOAL_EVALIDATION);
            char place[32];
            (void)snprintf(place, sizeof(place), "component %zu ", at);
            assert_non_null(strstr(why.text, place));
            assert_int_equal(vector_check(v, 19, DISTANCE_EUCLID, NULL), SHOAL_EVALIDATION);
        }
    }
}

static void test_check_accepts_the_largest_and_the_smallest(void **state)
{
    (void)state;
    float v[3] = { VECTOR_ABS_MAX, -VECTOR_ABS_MAX, FLT_TRUE_MIN };
    for (unsigned d = 1; d <= 4; d++) {
        assert_int_equal(vector_check(v, 3, (enum distance)d, NULL), SHOAL_OK);
    }
}

static void test_check_refuses_a_zero_vector_for_cosine_only(void **state)
{
    (void)state;
    float zero[5] = { 0, -0.0f, 0, 0, 0 };
    struct errbuf why;
    err_clear(&why);
    assert_int_equal(vector_check(zero, 5, DISTANCE_COSINE, &why), SHOAL_EVALIDATION);
    assert_non_null(strstr(why.text, "zeros"));
    assert_int_equal(vector_check(zero, 5, DISTANCE_DOT, NULL), SHOAL_OK);
    assert_int_equal(vector_check(zero, 5, DISTANCE_EUCLID, NULL), SHOAL_OK);
    assert_int_equal(vector_check(zero, 5, DISTANCE_MANHATTAN, NULL), SHOAL_OK);
    zero[4] = FLT_TRUE_MIN;
    assert_int_equal(vector_check(zero, 5, DISTANCE_COSINE, NULL), SHOAL_OK);
}

static void test_normalize_gives_unit_length_at_any_scale(void **state)
{
    (void)state;
    /* Squares of the first and the last scale leave the range of float. */
    static const float scales[] = { 1e-40f, 1e-20f, 1.0f, 1e10f, 1e18f };
    for (size_t s = 0; s < sizeof(scales) / sizeof(scales[0]); s++) {
        float v[64];
        for (size_t i = 0; i < 64; i++) {
            v[i] = scales[s] * (i % 2 == 0 ? 1.0f : -0.5f);
        }
        vector_normalize(v, 64);
        double sum = 0;
        for (size_t i = 0; i < 64; i++) {
            sum += (double)v[i] * (double)v[i];
        }
        assert_true(fabs(sum - 1.0) < 1e-5);
        assert_true(v[0] > 0 && v[1] < 0);
    }
}

static void test_normalize_leaves_zero_alone_and_is_stable(void **state)
{
    (void)state;
    float zero[3] = { 0, 0, 0 };
    vector_normalize(zero, 3);
    assert_true(zero[0] == 0 && zero[1] == 0 && zero[2] == 0);
    float v[2] = { 3.0f, 4.0f };
    vector_normalize(v, 2);
    assert_true(fabsf(v[0] - 0.6f) < 1e-7f && fabsf(v[1] - 0.8f) < 1e-7f);
    float again[2] = { v[0], v[1] };
    vector_normalize(again, 2);
    assert_true(fabsf(again[0] - v[0]) < 1e-7f && fabsf(again[1] - v[1]) < 1e-7f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_those_of_the_api_and_parse_back),
        cmocka_unit_test(test_parse_refuses_other_names_and_leaves_out_alone),
        cmocka_unit_test(test_similarities_rank_high_first_and_distances_low_first),
        cmocka_unit_test(test_check_names_the_unfit_component),
        cmocka_unit_test(test_check_accepts_the_largest_and_the_smallest),
        cmocka_unit_test(test_check_refuses_a_zero_vector_for_cosine_only),
        cmocka_unit_test(test_normalize_gives_unit_length_at_any_scale),
        cmocka_unit_test(test_normalize_leaves_zero_alone_and_is_stable),
    };
    return cmocka_run_group_tests_name("distance", tests, NULL, NULL);
}
