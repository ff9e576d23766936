/* Recall of every kind under every distance and filter, against brute force.
 *
 * The sizes are such that a walk or probe is cheaper than a scan for the filters from 10 % up: it
 * is the index that answers, not the fallback. Below, the scan is what must be chosen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/index/vectors.h"

#define ROWS 20000
#define DIM 24
#define CLUSTERS 200
#define QUERIES 100
#define K 10

/* Floors, below what was seen with seeds 1 to 5 by a margin for the machine's rounding. */
#define FLOOR 0.95

struct filters {
    struct index_filter share[4];
    struct index_filter near;
    struct index_filter far;
};

static const double shares[4] = { 0.5, 0.1, 0.01, 0.001 };
static const char *const share_names[4] = { "50%", "10%", "1%", "0.1%" };

struct side {
    const float *rows;
    float cut;
    bool above;
};

/* Rows on one side of a plane: those near a query that lies there, or all far from it. */
static bool want_side(void *arg, size_t row)
{
    const struct side *s = arg;
    return (s->rows[row * DIM] > s->cut) == s->above;
}

static void filters_init(struct filters *f, const struct test_index *t, float cut)
{
    struct rand_seeded rand;
    rand_seeded_init(&rand, test_seed());
    for (size_t i = 0; i < 4; i++) {
        struct test_share share = { .rand = &rand.source, .share = shares[i] };
        test_filter_fill(&f->share[i], t->rows, test_want_share, &share);
    }
    struct side near = { .rows = t->vectors, .cut = cut, .above = true };
    struct side far = { .rows = t->vectors, .cut = cut, .above = false };
    test_filter_fill(&f->near, t->rows, want_side, &near);
    test_filter_fill(&f->far, t->rows, want_side, &far);
}

static void filters_release(struct filters *f)
{
    for (size_t i = 0; i < 4; i++) {
        free((void *)(uintptr_t)f->share[i].allowed);
    }
    free((void *)(uintptr_t)f->near.allowed);
    free((void *)(uintptr_t)f->far.allowed);
}

static void check(const struct test_index *t, const float *queries, const char *name,
                  const struct index_filter *filter, double floor)
{
    struct index_query q = { .k = K, .ef = 48, .filter = filter };
    double recall = test_recall(t, queries, QUERIES, &q);
    print_message("%-8s %-9s %-8s %.4f\n", index_kind_name(t->config.kind),
                  distance_name(t->config.distance), name, recall);
    if (recall < floor) {
        fail_msg("recall %.4f is below %.2f", recall, floor);
    }
}

/* The first component's median among the queries' own rows: half of the rows lie on each side. */
static float median_of_first(const float *v, size_t rows)
{
    double sum = 0;
    for (size_t i = 0; i < rows; i++) {
        sum += (double)v[i * DIM];
    }
    return (float)(sum / (double)rows);
}

static void recall_of(enum index_kind kind, enum distance d)
{
    /* The queries come from the same clusters: the last rows drawn, not indexed. */
    float *v = test_vectors(ROWS + QUERIES, DIM, CLUSTERS, d, test_seed());
    const float *queries = v + (size_t)ROWS * DIM;
    struct index_config config = {
        .kind = kind,
        .distance = d,
        .dim = DIM,
        .m = 16,
        .ef_construction = 80,
        .threads = 2,
        .seed = test_seed(),
    };
    struct test_index t;
    test_index_init(&t, &config, v, ROWS);
    assert_int_equal(index_validate(t.index, NULL), SHOAL_OK);
    double floor = kind == INDEX_FLAT ? 1.0 : FLOOR;
    check(&t, queries, "none", NULL, floor);
    struct filters f;
    filters_init(&f, &t, median_of_first(v, ROWS));
    for (size_t i = 0; i < 4; i++) {
        check(&t, queries, share_names[i], &f.share[i], floor);
    }
    check(&t, queries, "near", &f.near, floor);
    check(&t, queries, "far", &f.far, floor);
    filters_release(&f);
    test_index_release(&t);
    free(v);
}

#define RECALL_TEST(name, kind, distance)        \
    static void test_recall_##name(void **state) \
    {                                            \
        (void)state;                             \
        recall_of(kind, distance);               \
    }

RECALL_TEST(flat_cosine, INDEX_FLAT, DISTANCE_COSINE)
RECALL_TEST(flat_manhattan, INDEX_FLAT, DISTANCE_MANHATTAN)
RECALL_TEST(hnsw_cosine, INDEX_HNSW, DISTANCE_COSINE)
RECALL_TEST(hnsw_dot, INDEX_HNSW, DISTANCE_DOT)
RECALL_TEST(hnsw_euclid, INDEX_HNSW, DISTANCE_EUCLID)
RECALL_TEST(hnsw_manhattan, INDEX_HNSW, DISTANCE_MANHATTAN)
RECALL_TEST(ivf_cosine, INDEX_IVF_FLAT, DISTANCE_COSINE)
RECALL_TEST(ivf_dot, INDEX_IVF_FLAT, DISTANCE_DOT)
RECALL_TEST(ivf_euclid, INDEX_IVF_FLAT, DISTANCE_EUCLID)
RECALL_TEST(ivf_manhattan, INDEX_IVF_FLAT, DISTANCE_MANHATTAN)

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
        cmocka_unit_test(test_recall_flat_cosine), cmocka_unit_test(test_recall_flat_manhattan),
        cmocka_unit_test(test_recall_hnsw_cosine), cmocka_unit_test(test_recall_hnsw_dot),
        cmocka_unit_test(test_recall_hnsw_euclid), cmocka_unit_test(test_recall_hnsw_manhattan),
        cmocka_unit_test(test_recall_ivf_cosine),  cmocka_unit_test(test_recall_ivf_dot),
        cmocka_unit_test(test_recall_ivf_euclid),  cmocka_unit_test(test_recall_ivf_manhattan),
    };
    return cmocka_run_group_tests_name("recall", tests, group_setup, group_teardown);
}
