/* The contract of index/index.h that holds for every kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/index/vectors.h"

static const enum index_kind kinds[] = { INDEX_FLAT, INDEX_HNSW, INDEX_IVF_FLAT };

#define KINDS_LEN 3

static struct index_config config_for(enum index_kind kind, enum distance d, uint32_t dim)
{
    return (struct index_config){
        .kind = kind,
        .distance = d,
        .dim = dim,
        .m = 8,
        .ef_construction = 40,
        .threads = 1,
        .seed = test_seed(),
    };
}

static void test_names_parse_back(void **state)
{
    (void)state;
    static const char *const names[] = { "flat", "hnsw", "ivf_flat" };
    for (size_t i = 0; i < KINDS_LEN; i++) {
        assert_string_equal(index_kind_name(kinds[i]), names[i]);
        enum index_kind kind = INDEX_FLAT;
        assert_int_equal(index_kind_parse(slice_from_str(names[i]), &kind), SHOAL_OK);
        assert_int_equal(kind, kinds[i]);
    }
    enum index_kind kind = INDEX_HNSW;
    assert_int_equal(index_kind_parse(slice_from_str("HNSW"), &kind), SHOAL_EPARSE);
    assert_int_equal(kind, INDEX_HNSW);
    assert_null(index_kind_name((enum index_kind)0));
    assert_null(index_kind_name((enum index_kind)4));
}

/* Each refused config names the field at fault and leaves nothing behind. */
static void test_build_refuses_each_field_out_of_range(void **state)
{
    (void)state;
    float *v = test_vectors(100, 4, 3, DISTANCE_DOT, test_seed());
    struct index_config good = config_for(INDEX_HNSW, DISTANCE_DOT, 4);
    struct index_config ivf = config_for(INDEX_IVF_FLAT, DISTANCE_DOT, 4);
    struct {
        struct index_config config;
        size_t rows;
        const char *named;
    } cases[14];
    size_t n = 0;
#define CASE(from, row_count, name, change) \
    cases[n].config = (from);               \
    cases[n].rows = (row_count);            \
    cases[n].named = (name);                \
    cases[n].config.change;                 \
    n++
    CASE(good, 100, "kind", kind = (enum index_kind)9);
    CASE(good, 100, "distance", distance = (enum distance)0);
    CASE(good, 100, "dim", dim = 0);
    CASE(good, 100, "dim", dim = VECTOR_DIM_MAX + 1);
    CASE(good, 0, "rows", dim = 4);
    CASE(good, (size_t)INDEX_ROWS_MAX + 1, "rows", dim = 4);
    CASE(good, 100, "m is", m = 3);
    CASE(good, 100, "m is", m = 129);
    CASE(good, 100, "ef_construction", ef_construction = 3);
    CASE(good, 100, "ef_construction", ef_construction = 4097);
    CASE(good, 100, "threads", threads = 0);
    CASE(good, 100, "threads", threads = 100000);
    CASE(ivf, 100, "nlist", nlist = INDEX_NLIST_MAX + 1);
#undef CASE
    size_t live = mem_live();
    for (size_t i = 0; i < n; i++) {
        struct index_built built = { .bytes_len = 7 };
        struct errbuf why;
        err_clear(&why);
        assert_int_equal(index_build(&cases[i].config, v, cases[i].rows, NULL, &built, &why),
                         SHOAL_EINVAL);
        assert_non_null(strstr(why.text, cases[i].named));
        assert_null(built.order);
        assert_null(built.bytes);
        assert_int_equal(built.bytes_len, 0);
        assert_int_equal(index_build(&cases[i].config, v, cases[i].rows, NULL, &built, NULL),
                         SHOAL_EINVAL);
    }
    struct index_built built;
    assert_int_equal(index_build(&good, (const float *)(const void *)((const char *)v + 1), 99,
                                 NULL, &built, NULL),
                     SHOAL_EINVAL);
    assert_int_equal(mem_live(), live);
    free(v);
}

static void test_parameters_of_other_kinds_are_not_looked_at(void **state)
{
    (void)state;
    float *v = test_vectors(100, 4, 3, DISTANCE_DOT, test_seed());
    struct index_config flat = config_for(INDEX_FLAT, DISTANCE_DOT, 4);
    flat.m = 0;
    flat.ef_construction = 0;
    struct test_index t;
    test_index_init(&t, &flat, v, 100);
    test_index_release(&t);
    flat.kind = INDEX_IVF_FLAT;
    test_index_init(&t, &flat, v, 100);
    test_index_release(&t);
    free(v);
}

static void check_order(const struct index_built *built, size_t rows)
{
    if (built->order == NULL) {
        return;
    }
    uint8_t *seen = calloc(rows, 1);
    assert_non_null(seen);
    for (size_t i = 0; i < rows; i++) {
        assert_true(built->order[i] < rows);
        assert_int_equal(seen[built->order[i]], 0);
        seen[built->order[i]] = 1;
    }
    free(seen);
}

/* Sizes and dimensions at the edges: every kind answers all of them, and in full. */
static void test_small_shapes_are_answered_in_full(void **state)
{
    (void)state;
    static const struct {
        size_t rows;
        uint32_t dim;
    } shapes[] = { { 1, 1 },    { 1, 7 },  { 2, 1 },  { 3, 16 },
                   { 5, 4096 }, { 40, 1 }, { 64, 3 }, { 300, 9 } };
    for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++) {
        size_t rows = shapes[s].rows;
        for (unsigned d = 1; d <= 4; d++) {
            float *v = test_vectors(rows, shapes[s].dim, 3, (enum distance)d, test_seed() + s);
            for (size_t i = 0; i < KINDS_LEN; i++) {
                struct index_config config = config_for(kinds[i], (enum distance)d, shapes[s].dim);
                struct test_index t;
                test_index_init(&t, &config, v, rows);
                check_order(&t.built, rows);
                assert_int_equal(index_validate(t.index, NULL), SHOAL_OK);
                struct index_query one = { .k = 1, .nprobe = INDEX_NLIST_MAX };
                assert_true(test_recall(&t, v, rows < 20 ? rows : 20, &one) == 1);
                struct index_query more = { .k = rows + 5, .nprobe = INDEX_NLIST_MAX };
                assert_true(test_recall(&t, v, rows < 20 ? rows : 20, &more) == 1);
                struct index_stats stats;
                index_stats(t.index, &stats);
                assert_int_equal(stats.rows, rows);
                assert_int_equal(stats.derived_bytes, t.built.bytes_len);
                assert_true(stats.private_bytes > 0);
                test_index_release(&t);
            }
            free(v);
        }
    }
}

static void test_query_limits_are_refused_by_name(void **state)
{
    (void)state;
    float *v = test_vectors(50, 4, 3, DISTANCE_DOT, test_seed());
    for (size_t i = 0; i < KINDS_LEN; i++) {
        struct index_config config = config_for(kinds[i], DISTANCE_DOT, 4);
        struct test_index t;
        test_index_init(&t, &config, v, 50);
        struct index_hit hits[4];
        struct index_filter wide = { .allowed = (const uint8_t *)v, .allowed_len = 51 };
        const struct {
            struct index_query q;
            const char *named;
        } cases[] = {
            { { .vector = v, .k = 0 }, "k is" },
            { { .vector = v, .k = SEARCH_K_MAX + 1 }, "k is" },
            { { .vector = v, .k = 1, .ef = INDEX_EF_MAX + 1 }, "ef is" },
            { { .vector = v, .k = 1, .nprobe = INDEX_NLIST_MAX + 1 }, "nprobe" },
            { { .vector = v, .k = 1, .filter = &wide }, "filter" },
        };
        for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
            size_t n = 9;
            struct errbuf why;
            err_clear(&why);
            assert_int_equal(index_search(t.index, &cases[c].q, hits, &n, &why), SHOAL_EINVAL);
            assert_non_null(strstr(why.text, cases[c].named));
            assert_int_equal(n, 0);
        }
        test_index_release(&t);
    }
    free(v);
}

static void test_filters_that_allow_none_or_all(void **state)
{
    (void)state;
    float *v = test_vectors(500, 6, 5, DISTANCE_EUCLID, test_seed());
    uint8_t none[64] = { 0 };
    uint8_t all[64];
    memset(all, 0xff, sizeof(all));
    for (size_t i = 0; i < KINDS_LEN; i++) {
        struct index_config config = config_for(kinds[i], DISTANCE_EUCLID, 6);
        struct test_index t;
        test_index_init(&t, &config, v, 500);
        struct index_hit hits[10];
        struct index_hit plain[10];
        struct index_filter filter = { .allowed = none, .allowed_len = 0 };
        struct index_query q = { .vector = v, .k = 10, .ef = 10, .filter = &filter };
        size_t n = 1;
        assert_int_equal(index_search(t.index, &q, hits, &n, NULL), SHOAL_OK);
        assert_int_equal(n, 0);
        filter = (struct index_filter){ .allowed = all, .allowed_len = 500 };
        assert_int_equal(index_search(t.index, &q, hits, &n, NULL), SHOAL_OK);
        q.filter = NULL;
        size_t plain_n = 0;
        assert_int_equal(index_search(t.index, &q, plain, &plain_n, NULL), SHOAL_OK);
        assert_int_equal(n, plain_n);
        for (size_t h = 0; h < n; h++) {
            assert_true(hits[h].row == plain[h].row && hits[h].score == plain[h].score);
        }
        test_index_release(&t);
    }
    free(v);
}

static void test_exact_queries_are_exact(void **state)
{
    (void)state;
    for (unsigned d = 1; d <= 4; d++) {
        float *v = test_vectors(3000, 8, 20, (enum distance)d, test_seed());
        struct rand_seeded rand;
        rand_seeded_init(&rand, test_seed());
        struct test_share share = { .rand = &rand.source, .share = 0.4 };
        struct index_filter filter;
        test_filter_fill(&filter, 3000, test_want_share, &share);
        for (size_t i = 0; i < KINDS_LEN; i++) {
            struct index_config config = config_for(kinds[i], (enum distance)d, 8);
            struct test_index t;
            test_index_init(&t, &config, v, 3000);
            struct index_query q = { .k = 200, .exact = true };
            assert_true(test_recall(&t, v, 10, &q) == 1);
            q.filter = &filter;
            assert_true(test_recall(&t, v, 10, &q) == 1);
            test_index_release(&t);
        }
        free((void *)(uintptr_t)filter.allowed);
        free(v);
    }
}

/* Half of the rows are one and the same vector, and the rest are copies of some hundred others. */
static void test_equal_rows_do_not_hide_the_others(void **state)
{
    (void)state;
    size_t rows = 6000;
    size_t dim = 8;
    for (unsigned d = 1; d <= 4; d++) {
        float *v = test_vectors(rows, dim, 40, (enum distance)d, test_seed());
        for (size_t i = 0; i < rows; i++) {
            size_t from = i < rows / 2 ? 0 : rows / 2 + i % 120;
            memmove(v + i * dim, v + from * dim, dim * sizeof(float));
        }
        for (size_t i = 0; i < KINDS_LEN; i++) {
            struct index_config config = config_for(kinds[i], (enum distance)d, (uint32_t)dim);
            struct test_index t;
            test_index_init(&t, &config, v, rows);
            struct index_query q = { .k = 10, .ef = 64, .nprobe = 40 };
            double recall = test_recall(&t, v + (rows / 2) * dim, 120, &q);
            if (recall < 0.95) {
                fail_msg("%s %s: recall %.3f among equal rows", index_kind_name(kinds[i]),
                         distance_name((enum distance)d), recall);
            }
            test_index_release(&t);
        }
        free(v);
    }
}

/* Components at the limit: sums leave the range of float, and still nothing breaks. */
static void test_sums_beyond_float_break_nothing(void **state)
{
    (void)state;
    size_t rows = 2000;
    size_t dim = 400;
    struct rand_seeded rand;
    rand_seeded_init(&rand, test_seed());
    float *v = malloc(rows * dim * sizeof(float));
    assert_non_null(v);
    for (size_t i = 0; i < rows * dim; i++) {
        v[i] = rand_below(&rand.source, 2) == 0 ? VECTOR_ABS_MAX : -VECTOR_ABS_MAX;
    }
    for (unsigned d = 2; d <= 4; d++) {
        for (size_t i = 0; i < 2; i++) { /* IVF: FAISS's k-means has sums of its own */
            struct index_config config = config_for(kinds[i], (enum distance)d, (uint32_t)dim);
            struct test_index t;
            test_index_init(&t, &config, v, rows);
            struct index_hit hits[30];
            struct index_query q = { .vector = v, .k = 30, .ef = 30 };
            size_t n = 0;
            assert_int_equal(index_search(t.index, &q, hits, &n, NULL), SHOAL_OK);
            assert_int_equal(n, 30);
            for (size_t h = 0; h < n; h++) {
                assert_true(hits[h].score == hits[h].score); /* false for a NaN */
            }
            test_index_release(&t);
        }
    }
    free(v);
}

static void test_close_and_release_accept_nothing(void **state)
{
    (void)state;
    index_close(NULL);
    struct index_built built = { 0 };
    index_built_release(&built);
}

static int group_setup(void **state)
{
    (void)state;
    test_seed_print();
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    return mem_live() == 0 ? 0 : -1; /* what is still live has leaked */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_parse_back),
        cmocka_unit_test(test_build_refuses_each_field_out_of_range),
        cmocka_unit_test(test_parameters_of_other_kinds_are_not_looked_at),
        cmocka_unit_test(test_small_shapes_are_answered_in_full),
        cmocka_unit_test(test_query_limits_are_refused_by_name),
        cmocka_unit_test(test_filters_that_allow_none_or_all),
        cmocka_unit_test(test_exact_queries_are_exact),
        cmocka_unit_test(test_equal_rows_do_not_hide_the_others),
        cmocka_unit_test(test_sums_beyond_float_break_nothing),
        cmocka_unit_test(test_close_and_release_accept_nothing),
    };
    return cmocka_run_group_tests_name("index", tests, group_setup, group_teardown);
}
