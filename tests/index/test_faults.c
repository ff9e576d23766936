/* Each allocation made to fail in turn, and builds cancelled at each allocation: nothing leaks and
 * nothing half made comes out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/index/vectors.h"

#define DIM 5
#define ROWS 600
/* More allocations than any of the calls below makes. */
#define NTH_MAX 5000

static const enum index_kind kinds[] = { INDEX_FLAT, INDEX_HNSW, INDEX_IVF_FLAT };

/* Refuses, or tells of, the n-th allocation. */
struct fault {
    size_t count;
    size_t nth;
    bool refuse;
    atomic_bool *cancel;
};

static bool fault_may_alloc(void *arg, size_t size)
{
    (void)size;
    struct fault *f = arg;
    if (f->count++ != f->nth) {
        return true;
    }
    if (f->cancel != NULL) {
        atomic_store(f->cancel, true);
    }
    return !f->refuse;
}

static struct index_config config_for(enum index_kind kind, uint32_t threads)
{
    return (struct index_config){
        .kind = kind,
        .distance = DISTANCE_EUCLID,
        .dim = DIM,
        .m = 4,
        .ef_construction = 16,
        .threads = threads,
        .seed = test_seed(),
    };
}

static void sweep_build(enum index_kind kind, size_t rows, uint32_t threads, size_t step)
{
    float *v = test_vectors(rows, DIM, 9, DISTANCE_EUCLID, test_seed());
    struct index_config config = config_for(kind, threads);
    enum shoal_err rc = SHOAL_ENOMEM;
    size_t nth = 0;
    for (; rc == SHOAL_ENOMEM && nth < NTH_MAX; nth += step) {
        struct fault fault = { .nth = nth, .refuse = true };
        const struct mem_hook hook = { .may_alloc = fault_may_alloc, .arg = &fault };
        mem_hook_set(&hook);
        struct index_built built;
        struct errbuf why;
        err_clear(&why);
        rc = index_build(&config, v, rows, NULL, &built, &why);
        mem_hook_set(NULL);
        if (rc != SHOAL_OK) {
            assert_int_equal(rc, SHOAL_ENOMEM);
            assert_true(why.text[0] != '\0');
            assert_null(built.order);
            assert_null(built.bytes);
            assert_int_equal(mem_live(), 0);
        } else {
            index_built_release(&built);
        }
    }
    assert_int_equal(rc, SHOAL_OK);
    print_message("%s: %zu allocations\n", index_kind_name(kind), nth / step);
    free(v);
}

static void test_build_survives_each_failed_allocation(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        sweep_build(kinds[i], ROWS, 1, 1);
    }
}

/* The same where the work goes to a team: the failing thread is another. */
static void test_build_by_a_team_survives_failed_allocations(void **state)
{
    (void)state;
    sweep_build(INDEX_HNSW, 2600, 2, 1);
}

static void test_open_survives_each_failed_allocation(void **state)
{
    (void)state;
    float *v = test_vectors(ROWS, DIM, 9, DISTANCE_EUCLID, test_seed());
    for (size_t i = 0; i < 3; i++) {
        struct index_config config = config_for(kinds[i], 1);
        struct test_index t;
        test_index_init(&t, &config, v, ROWS);
        size_t live = mem_live();
        enum shoal_err rc = SHOAL_ENOMEM;
        for (size_t nth = 0; rc == SHOAL_ENOMEM && nth < NTH_MAX; nth++) {
            struct fault fault = { .nth = nth, .refuse = true };
            const struct mem_hook hook = { .may_alloc = fault_may_alloc, .arg = &fault };
            mem_hook_set(&hook);
            struct index *ix = (void *)v;
            rc = index_open(&config, t.vectors, ROWS, slice_make(t.built.bytes, t.built.bytes_len),
                            &ix, NULL);
            mem_hook_set(NULL);
            if (rc != SHOAL_OK) {
                assert_int_equal(rc, SHOAL_ENOMEM);
                assert_null(ix);
            } else {
                index_close(ix);
            }
            assert_int_equal(mem_live(), live);
        }
        assert_int_equal(rc, SHOAL_OK);
        test_index_release(&t);
    }
    free(v);
}

/* A search that failed leaves the index fit for the next. */
static void test_search_survives_each_failed_allocation(void **state)
{
    (void)state;
    float *v = test_vectors(4000, DIM, 9, DISTANCE_EUCLID, test_seed());
    struct rand_seeded rand;
    rand_seeded_init(&rand, test_seed());
    struct test_share share = { .rand = &rand.source, .share = 0.8 };
    struct index_filter filter;
    test_filter_fill(&filter, 4000, test_want_share, &share);
    for (size_t i = 0; i < 3; i++) {
        for (unsigned filtered = 0; filtered < 2; filtered++) {
            struct index_config config = config_for(kinds[i], 1);
            struct test_index t;
            test_index_init(&t, &config, v, 4000);
            struct index_query q = {
                .vector = v,
                .k = 150,
                .ef = 150,
                .filter = filtered == 0 ? NULL : &filter,
            };
            struct index_hit hits[150];
            size_t n = 0;
            enum shoal_err rc = SHOAL_ENOMEM;
            for (size_t nth = 0; rc == SHOAL_ENOMEM && nth < NTH_MAX; nth++) {
                struct fault fault = { .nth = nth, .refuse = true };
                const struct mem_hook hook = { .may_alloc = fault_may_alloc, .arg = &fault };
                mem_hook_set(&hook);
                rc = index_search(t.index, &q, hits, &n, NULL);
                mem_hook_set(NULL);
                assert_int_equal(n, rc == SHOAL_OK ? 150 : 0);
            }
            assert_int_equal(rc, SHOAL_OK);
            size_t true_len = 0;
            assert_true(test_check_hits(&t, &q, hits, n, &true_len) >= 140);
            test_index_release(&t);
        }
    }
    free((void *)(uintptr_t)filter.allowed);
    free(v);
}

/* The allocations of a build mark moments all over it: it is cancelled at each. */
static void test_build_stops_whenever_it_is_cancelled(void **state)
{
    (void)state;
    size_t rows = 2600;
    float *v = test_vectors(rows, DIM, 9, DISTANCE_EUCLID, test_seed());
    for (size_t i = 1; i < 3; i++) {
        size_t canceled = 0;
        enum shoal_err rc = SHOAL_ECANCELED;
        bool reached = true;
        for (size_t nth = 0; reached && nth < NTH_MAX; nth++) {
            atomic_bool cancel = false;
            struct fault fault = { .nth = nth, .cancel = &cancel };
            const struct mem_hook hook = { .may_alloc = fault_may_alloc, .arg = &fault };
            mem_hook_set(&hook);
            struct index_config config = config_for(kinds[i], 2);
            struct index_built built;
            rc = index_build(&config, v, rows, &cancel, &built, NULL);
            mem_hook_set(NULL);
            reached = fault.count > nth;
            assert_true(rc == SHOAL_ECANCELED || rc == SHOAL_OK);
            canceled += rc == SHOAL_ECANCELED;
            index_built_release(&built);
            assert_int_equal(mem_live(), 0);
        }
        assert_int_equal(rc, SHOAL_OK); /* the last round was never told to stop */
        print_message("%s: cancelled at %zu moments\n", index_kind_name(kinds[i]), canceled);
        assert_true(canceled >= 3);
    }
    free(v);
}

static void test_a_build_cancelled_before_it_began_does_nothing(void **state)
{
    (void)state;
    float *v = test_vectors(ROWS, DIM, 9, DISTANCE_EUCLID, test_seed());
    atomic_bool cancel = true;
    for (size_t i = 0; i < 3; i++) {
        struct index_config config = config_for(kinds[i], 1);
        struct index_built built;
        struct errbuf why;
        err_clear(&why);
        assert_int_equal(index_build(&config, v, ROWS, &cancel, &built, &why), SHOAL_ECANCELED);
        assert_non_null(strstr(why.text, "cancelled"));
        assert_null(built.bytes);
    }
    free(v);
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
    return mem_live() == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_build_survives_each_failed_allocation),
        cmocka_unit_test(test_build_by_a_team_survives_failed_allocations),
        cmocka_unit_test(test_open_survives_each_failed_allocation),
        cmocka_unit_test(test_search_survives_each_failed_allocation),
        cmocka_unit_test(test_build_stops_whenever_it_is_cancelled),
        cmocka_unit_test(test_a_build_cancelled_before_it_began_does_nothing),
    };
    return cmocka_run_group_tests_name("faults", tests, group_setup, group_teardown);
}
