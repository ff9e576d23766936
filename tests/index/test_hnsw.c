/* What the HNSW graph promises beyond recall: the same bytes from the same input, every row
 * reachable, walks that hold under filters by themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "index/hnsw_walk.h"
#include "tests/index/vectors.h"

#define DIM 12

static struct index_config config_for(enum distance d, uint32_t threads)
{
    return (struct index_config){
        .kind = INDEX_HNSW,
        .distance = d,
        .dim = DIM,
        .m = 8,
        .ef_construction = 60,
        .threads = threads,
        .seed = test_seed(),
    };
}

static void test_threads_do_not_change_the_bytes(void **state)
{
    (void)state;
    size_t rows = 9000; /* enough that batches go to the team */
    float *v = test_vectors(rows, DIM, 50, DISTANCE_COSINE, test_seed());
    struct index_config config = config_for(DISTANCE_COSINE, 1);
    struct index_built one;
    assert_int_equal(index_build(&config, v, rows, NULL, &one, NULL), SHOAL_OK);
    for (uint32_t threads = 1; threads <= 3; threads++) {
        config.threads = threads;
        struct index_built more;
        assert_int_equal(index_build(&config, v, rows, NULL, &more, NULL), SHOAL_OK);
        assert_int_equal(one.bytes_len, more.bytes_len);
        assert_memory_equal(one.bytes, more.bytes, one.bytes_len);
        assert_memory_equal(one.order, more.order, rows * sizeof(*one.order));
        index_built_release(&more);
    }
    config.seed++;
    struct index_built other;
    assert_int_equal(index_build(&config, v, rows, NULL, &other, NULL), SHOAL_OK);
    assert_memory_not_equal(one.order, other.order, rows * sizeof(*one.order));
    index_built_release(&other);
    index_built_release(&one);
    free(v);
}

static void open_graph(const struct test_index *t, struct hnsw_graph *g)
{
    assert_int_equal(hnsw_graph_open(g, &t->config, t->rows,
                                     slice_make(t->built.bytes, t->built.bytes_len), NULL),
                     SHOAL_OK);
}

/* Rows that a walk of layer 0 from row 0 meets. */
static size_t count_reached(const struct hnsw_graph *g)
{
    const struct hnsw_layer *layer = &g->layers[0];
    uint32_t *met = malloc(layer->nodes * sizeof(*met));
    uint8_t *reached = calloc(layer->nodes, 1);
    assert_non_null(met);
    assert_non_null(reached);
    size_t met_len = 1;
    met[0] = 0;
    reached[0] = 1;
    for (size_t at = 0; at < met_len; at++) {
        size_t len = 0;
        const uint32_t *list = hnsw_graph_list(g, layer, met[at], &len);
        for (size_t i = 0; i < len; i++) {
            if (!reached[list[i]]) {
                reached[list[i]] = 1;
                met[met_len++] = list[i];
            }
        }
    }
    free(met);
    free(reached);
    return met_len;
}

/* With dot, short rows are nobody's neighbours: without the added links most are unreachable. */
static void test_every_row_is_reached_from_the_entry(void **state)
{
    (void)state;
    size_t rows = 4000;
    for (unsigned d = 1; d <= 4; d++) {
        float *v = test_vectors(rows, DIM, 30, (enum distance)d, test_seed());
        if (d == DISTANCE_DOT) {
            for (size_t i = 0; i < rows * DIM; i++) {
                v[i] *= 1.0f / (float)(1 + i / DIM % 100);
            }
        }
        struct index_config config = config_for((enum distance)d, 1);
        struct test_index t;
        test_index_init(&t, &config, v, rows);
        struct hnsw_graph g;
        open_graph(&t, &g);
        assert_int_equal(g.layers[0].nodes, rows);
        assert_int_equal(count_reached(&g), rows);
        test_index_release(&t);
        free(v);
    }
}

static void test_each_row_finds_itself(void **state)
{
    (void)state;
    size_t rows = 6000;
    float *v = test_vectors(rows, DIM, 80, DISTANCE_EUCLID, test_seed());
    struct index_config config = config_for(DISTANCE_EUCLID, 2);
    struct test_index t;
    test_index_init(&t, &config, v, rows);
    size_t found = 0;
    for (size_t i = 0; i < rows; i++) {
        struct index_query q = { .vector = t.vectors + i * DIM, .k = 1, .ef = 32 };
        struct index_hit hit;
        size_t n = 0;
        assert_int_equal(index_search(t.index, &q, &hit, &n, NULL), SHOAL_OK);
        assert_int_equal(n, 1);
        found += hit.row == i;
    }
    print_message("%zu of %zu rows find themselves at ef 32\n", found, rows);
    assert_true(found >= rows - 6);
    test_index_release(&t);
    free(v);
}

static void test_copies_are_found_with_their_first(void **state)
{
    (void)state;
    size_t rows = 5000;
    float *v = test_vectors(rows, DIM, 40, DISTANCE_EUCLID, test_seed());
    /* Rows 1000, 1010, ... are equal, and so are 2001 and 3002. */
    for (size_t i = 1000; i < 2000; i += 10) {
        memcpy(v + i * DIM, v + 1000 * DIM, DIM * sizeof(float));
    }
    memcpy(v + 3002 * DIM, v + 2001 * DIM, DIM * sizeof(float));
    struct index_config config = config_for(DISTANCE_EUCLID, 1);
    struct test_index t;
    test_index_init(&t, &config, v, rows);
    struct hnsw_graph g;
    open_graph(&t, &g);
    assert_int_equal(g.layers[0].nodes, rows - 100);
    assert_int_equal(g.crowds, 2);
    struct index_hit hits[150];
    struct index_query q = { .vector = v + 1000 * DIM, .k = 150, .ef = 150 };
    size_t n = 0;
    assert_int_equal(index_search(t.index, &q, hits, &n, NULL), SHOAL_OK);
    assert_int_equal(n, 150);
    for (size_t i = 0; i < 100; i++) {
        size_t row = t.built.order[hits[i].row];
        assert_true(row >= 1000 && row < 2000 && row % 10 == 0);
    }
    assert_true(hits[100].score > 0);

    /* A filter that lets only one copy through, and not the first of them. */
    uint8_t *bits = malloc(rows / 8 + 1);
    assert_non_null(bits);
    memset(bits, 0xff, rows / 8 + 1);
    size_t allowed = rows;
    for (size_t i = 0; i < rows; i++) {
        size_t row = t.built.order[i];
        if (row >= 1000 && row < 2000 && row % 10 == 0 && row != 1700) {
            bits[i / 8] &= (uint8_t) ~(1u << (i % 8));
            allowed--;
        }
    }
    struct index_filter filter = { .allowed = bits, .allowed_len = allowed };
    q = (struct index_query){ .vector = v + 1000 * DIM, .k = 5, .ef = 20, .filter = &filter };
    assert_int_equal(index_search(t.index, &q, hits, &n, NULL), SHOAL_OK);
    assert_int_equal(n, 5);
    assert_int_equal(t.built.order[hits[0].row], 1700);
    assert_true(hits[1].score > 0);
    free(bits);
    test_index_release(&t);
    free(v);
}

/* Half of the rows differ from one vector by the last bits only: a crowd that no copy table sees.
 */
static void test_nearly_equal_rows_do_not_hide_the_others(void **state)
{
    (void)state;
    size_t rows = 8000;
    for (unsigned d = 1; d <= 4; d++) {
        float *v = test_vectors(rows + 100, DIM, 40, (enum distance)d, test_seed());
        struct rand_seeded rand;
        rand_seeded_init(&rand, test_seed());
        for (size_t i = 1; i < rows / 2; i++) {
            for (size_t j = 0; j < DIM; j++) {
                v[i * DIM + j] = v[j] * (1 + 1e-7f * (float)rand_below(&rand.source, 3));
            }
        }
        struct index_config config = config_for((enum distance)d, 2);
        struct test_index t;
        test_index_init(&t, &config, v, rows);
        struct index_query q = { .k = 10, .ef = 64 };
        double recall = test_recall(&t, v + rows * DIM, 100, &q);
        print_message("%s: recall %.3f beside a crowd\n", distance_name((enum distance)d), recall);
        assert_true(recall >= 0.95);
        test_index_release(&t);
        free(v);
    }
}

/* The walk alone, without the scan that index_search may choose in its place. */
static double walk_recall(const struct hnsw *h, const struct test_index *t, const float *queries,
                          size_t queries_len, size_t ef, const struct index_filter *filter)
{
    size_t found = 0;
    size_t total = 0;
    for (size_t i = 0; i < queries_len; i++) {
        struct scan_hit room[10];
        struct topk top;
        topk_init(&top, t->config.distance, room, 10);
        bool gave_up = false;
        const float *query = queries + i * DIM;
        struct hnsw_effort effort = {
            .ef = ef,
            .expand_min = SIZE_MAX,
            .allowed_min = 10,
            .visits_max = SIZE_MAX,
        };
        enum shoal_err rc = filter == NULL ? hnsw_walk(h, query, ef, &top, NULL)
                                           : hnsw_walk_filtered(h, query, &effort, filter, &top,
                                                                &gave_up, NULL);
        assert_int_equal(rc, SHOAL_OK);
        assert_false(gave_up);
        topk_finish(&top);
        struct index_hit hits[10];
        for (size_t j = 0; j < top.len; j++) {
            hits[j] = (struct index_hit){ .row = (uint32_t)room[j].row, .score = room[j].score };
        }
        struct index_query q = { .vector = query, .k = 10, .filter = filter };
        size_t true_len = 0;
        found += test_check_hits(t, &q, hits, top.len, &true_len);
        total += true_len;
    }
    return (double)found / (double)total;
}

static void test_walks_keep_recall_by_themselves(void **state)
{
    (void)state;
    size_t rows = 12000;
    float *v = test_vectors(rows + 50, DIM, 100, DISTANCE_COSINE, test_seed());
    struct index_config config = config_for(DISTANCE_COSINE, 2);
    config.m = 16;
    struct test_index t;
    test_index_init(&t, &config, v, rows);
    struct hnsw h = {
        .rows = { .vectors = t.vectors, .rows = rows, .dim = DIM, .distance = DISTANCE_COSINE },
        .kernel = kernel_for(DISTANCE_COSINE),
    };
    open_graph(&t, &h.graph);
    assert_int_equal(walker_pool_new(rows, &h.pool, NULL), SHOAL_OK);
    const float *queries = v + rows * DIM;
    /* The sorted array and, above its limit, the heaps. */
    assert_true(walk_recall(&h, &t, queries, 50, 64, NULL) >= 0.97);
    assert_true(walk_recall(&h, &t, queries, 10, 2000, NULL) >= 0.999);
    static const double shares[] = { 0.9, 0.5, 0.1, 0.01, 0.001 };
    for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
        struct rand_seeded rand;
        rand_seeded_init(&rand, test_seed() + i);
        struct test_share share = { .rand = &rand.source, .share = shares[i] };
        struct index_filter filter;
        test_filter_fill(&filter, rows, test_want_share, &share);
        double recall = walk_recall(&h, &t, queries, 50, 32, &filter);
        print_message("walk through %g: recall %.4f\n", shares[i], recall);
        assert_true(recall >= 0.97);
        free((void *)(uintptr_t)filter.allowed);
    }
    walker_pool_free(h.pool);
    test_index_release(&t);
    free(v);
}

static void test_filtered_walk_gives_up_at_its_bound(void **state)
{
    (void)state;
    size_t rows = 3000;
    float *v = test_vectors(rows, DIM, 20, DISTANCE_EUCLID, test_seed());
    struct index_config config = config_for(DISTANCE_EUCLID, 1);
    struct test_index t;
    test_index_init(&t, &config, v, rows);
    struct hnsw h = {
        .rows = { .vectors = t.vectors, .rows = rows, .dim = DIM, .distance = DISTANCE_EUCLID },
        .kernel = kernel_for(DISTANCE_EUCLID),
    };
    open_graph(&t, &h.graph);
    assert_int_equal(walker_pool_new(rows, &h.pool, NULL), SHOAL_OK);
    uint8_t bits[3000 / 8 + 1] = { 0 };
    bits[2999 / 8] = 1u << (2999 % 8);
    struct index_filter filter = { .allowed = bits, .allowed_len = 1 };
    struct scan_hit room[1];
    struct topk top;
    topk_init(&top, DISTANCE_EUCLID, room, 1);
    bool gave_up = false;
    struct hnsw_effort effort = {
        .ef = 4,
        .expand_min = 8,
        .allowed_min = 1,
        .visits_max = 100,
    };
    assert_int_equal(hnsw_walk_filtered(&h, v, &effort, &filter, &top, &gave_up, NULL), SHOAL_OK);
    assert_true(gave_up);
    assert_int_equal(top.len, 0);
    /* Without a bound it walks everything and finds the one. */
    effort.visits_max = SIZE_MAX;
    assert_int_equal(hnsw_walk_filtered(&h, v, &effort, &filter, &top, &gave_up, NULL), SHOAL_OK);
    assert_false(gave_up);
    assert_int_equal(top.len, 1);
    assert_int_equal(room[0].row, 2999);
    walker_pool_free(h.pool);
    test_index_release(&t);
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
        cmocka_unit_test(test_threads_do_not_change_the_bytes),
        cmocka_unit_test(test_every_row_is_reached_from_the_entry),
        cmocka_unit_test(test_each_row_finds_itself),
        cmocka_unit_test(test_copies_are_found_with_their_first),
        cmocka_unit_test(test_nearly_equal_rows_do_not_hide_the_others),
        cmocka_unit_test(test_walks_keep_recall_by_themselves),
        cmocka_unit_test(test_filtered_walk_gives_up_at_its_bound),
    };
    return cmocka_run_group_tests_name("hnsw", tests, group_setup, group_teardown);
}
