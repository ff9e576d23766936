/* Searching a shard: against brute force, for each distance, filter and phase of a row's life. */
#include "tests/shard/test_shard_world.h"

#define K 10u
#define QUERIES 8u
#define EXACT_QUERIES 2u
#define POINTS 3000u
#define RECALL_MIN 0.95

static uint64_t seed;

static int setup(void **state)
{
    *state = world_new(seed);
    return 0;
}

static int teardown(void **state)
{
    return world_free(*state) ? 0 : -1;
}

/* --- filters ---------------------------------------------------------------------------------- */

static bool allows_half(const struct world *w, uint32_t n)
{
    (void)w;
    return n % 2 == 1;
}

static bool allows_cent(const struct world *w, uint32_t n)
{
    (void)w;
    return n % 100 == 42;
}

static bool allows_mil(const struct world *w, uint32_t n)
{
    (void)w;
    return n % 1000 == 7;
}

static bool allows_cluster(const struct world *w, uint32_t n)
{
    return w->points[n].cluster == 3;
}

static bool allows_others(const struct world *w, uint32_t n)
{
    return w->points[n].cluster != 3;
}

static bool allows_ids(const struct world *w, uint32_t n)
{
    (void)w;
    return n == 2 || n == 40 || n == 2900;
}

static bool allows_not_ids(const struct world *w, uint32_t n)
{
    return !allows_ids(w, n);
}

static bool allows_one_of_ids(const struct world *w, uint32_t n)
{
    (void)w;
    return n == 40;
}

static bool allows_none(const struct world *w, uint32_t n)
{
    (void)w;
    (void)n;
    return false;
}

static const struct world_filter filters[] = {
    { NULL, NULL },
    { "{}", allows_half }, /* constrains nothing: see expected_filter */
    { "{\"must\":[{\"key\":\"half\",\"match\":{\"value\":1}}]}", allows_half },
    { "{\"must\":[{\"key\":\"cent\",\"match\":{\"value\":42}}]}", allows_cent },
    { "{\"must\":[{\"key\":\"mil\",\"match\":{\"value\":7}}]}", allows_mil },
    { "{\"must\":[{\"key\":\"cluster\",\"match\":{\"value\":3}}]}", allows_cluster },
    { "{\"must_not\":[{\"key\":\"cluster\",\"match\":{\"value\":3}}]}", allows_others },
    { "{\"must\":[{\"has_id\":[2,40,2900]}]}", allows_ids },
    { "{\"must_not\":[{\"has_id\":[2,40,2900]}]}", allows_not_ids },
    { "{\"must\":[{\"has_id\":[2,40,2900]},{\"key\":\"n\",\"match\":{\"value\":40}}]}",
      allows_one_of_ids },
    { "{\"must\":[{\"key\":\"n\",\"match\":{\"value\":-1}}]}", allows_none },
};

#define FILTERS_LEN (sizeof(filters) / sizeof(filters[0]))

static struct world_filter expected_filter(const struct world_filter *f)
{
    return f->text != NULL && strcmp(f->text, "{}") == 0 ? filters[0] : *f;
}

/* --- one search against brute force ----------------------------------------------------------- */

static size_t search(struct world *w, struct shard_query *q, struct shard_hit *hits,
                     struct shard_plan *plan)
{
    struct errbuf why = { 0 };
    size_t n = 0;
    q->deadline_ns = world_seconds_from_now(60);
    if (shard_search(w->shard, q, hits, &n, plan, &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
    return n;
}

static bool near_enough(float a, float b)
{
    return fabsf(a - b) <= 1e-4f * (1 + fabsf(b));
}

/* Living points that the filter allows, their own scores, best first, none twice. */
static void assert_hits_are_true(const struct world *w, const float *query,
                                 const struct world_filter *f, const struct shard_hit *hits,
                                 size_t n)
{
    const enum distance d = w->config.schema.distance;
    for (size_t i = 0; i < n; i++) {
        const uint32_t number = world_number(&hits[i].id);
        const struct point_id id = world_id(number);
        assert_int_equal(point_id_compare(&id, &hits[i].id), 0);
        assert_true(w->points[number].exists);
        assert_true(f->text == NULL || f->allows(w, number));
        assert_true(hits[i].version > 0);
        assert_true(
            near_enough(hits[i].score, scan_score(d, query, w->points[number].vector, WORLD_DIM)));
        if (i > 0) {
            assert_false(distance_better(d, hits[i].score, hits[i - 1].score));
            assert_true(hits[i].score != hits[i - 1].score ||
                        point_id_compare(&hits[i - 1].id, &hits[i].id) < 0);
        }
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(point_id_compare(&hits[i].id, &hits[j].id), 0);
        }
    }
}

/* Share of the true best that was found. */
static double recall_of(struct world *w, const float *query, const struct world_filter *given,
                        bool exact)
{
    struct scan_hit truth[K];
    struct shard_hit hits[K];
    struct shard_plan plan;
    const struct world_filter f = expected_filter(given);
    struct shard_query q = {
        .vector = query, .k = K, .exact = exact, .filter = slice_from_str(given->text)
    };
    const size_t truth_len = world_truth(w, query, &f, K, truth);
    const size_t n = search(w, &q, hits, &plan);
    assert_hits_are_true(w, query, &f, hits, n);
    assert_int_equal(n, truth_len);
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        const float worst = truth[truth_len - 1].score;
        found += near_enough(hits[i].score, worst) ||
                 distance_better(w->config.schema.distance, hits[i].score, worst);
        assert_true(!exact || near_enough(hits[i].score, truth[i].score));
    }
    return truth_len == 0 ? 1 : (double)found / (double)truth_len;
}

static void draw_query(struct world *w, float *query)
{
    test_clustered(&w->rand.source, w->config.schema.distance, WORLD_DIM, w->centers, WORLD_CENTERS,
                   query);
}

static void check_all(struct world *w, const char *phase)
{
    for (size_t i = 0; i < FILTERS_LEN; i++) {
        double recall = 0;
        for (size_t j = 0; j < QUERIES; j++) {
            float query[WORLD_DIM];
            draw_query(w, query);
            recall += recall_of(w, query, &filters[i], false);
            assert_true(j >= EXACT_QUERIES || recall_of(w, query, &filters[i], true) > 0.9999);
        }
        recall /= QUERIES;
        if (recall < RECALL_MIN) {
            fail_msg("%s, %s, filter %zu: recall@%u is %.3f", phase,
                     distance_name(w->config.schema.distance), i, K, recall);
        }
    }
    world_verify(w);
}

static void live_through_all_phases(struct world *w, enum distance d, enum index_kind index)
{
    w->config.schema.distance = d;
    w->config.options.index = index;
    world_open_shard(w);
    check_all(w, "empty");
    world_upsert(w, 0, POINTS / 2, 1);
    check_all(w, "growing");
    world_optimize(w);
    check_all(w, "sealed");
    world_upsert(w, POINTS / 2, POINTS, 1);
    check_all(w, "mixed");
    world_delete(w, 0, POINTS, 7);
    world_upsert(w, 3, POINTS, 5);
    check_all(w, "after deletes and overwrites");
    const uint64_t hash = world_hash(w);
    world_optimize(w);
    assert_true(hash == world_hash(w));
    check_all(w, "merged");
    world_delete(w, 1, POINTS, 9);
    world_upsert(w, 0, POINTS, 90);
    const uint64_t later = world_hash(w);
    assert_true(hash != later);
    world_reopen(w);
    assert_true(later == world_hash(w));
    check_all(w, "reopened");
}

static void test_cosine_in_all_phases(void **state)
{
    live_through_all_phases(*state, DISTANCE_COSINE, INDEX_HNSW);
}

static void test_dot_in_all_phases(void **state)
{
    live_through_all_phases(*state, DISTANCE_DOT, INDEX_FLAT);
}

static void test_euclid_in_all_phases(void **state)
{
    live_through_all_phases(*state, DISTANCE_EUCLID, INDEX_HNSW);
}

static void test_inverted_lists_in_all_phases(void **state)
{
    struct world *w = *state;
    w->config.options.nprobe = 32;
    live_through_all_phases(w, DISTANCE_EUCLID, INDEX_IVF_FLAT);
}

/* --- options of a query ----------------------------------------------------------------------- */

static void test_cosine_query_need_not_be_normalised(void **state)
{
    struct world *w = *state;
    world_open_shard(w);
    world_upsert(w, 0, 1000, 1);
    float query[WORLD_DIM];
    float longer[WORLD_DIM];
    draw_query(w, query);
    for (size_t i = 0; i < WORLD_DIM; i++) {
        longer[i] = query[i] * 37;
    }
    struct shard_hit a[K];
    struct shard_hit b[K];
    struct shard_plan plan;
    struct shard_query q = { .vector = query, .k = K };
    assert_int_equal(search(w, &q, a, &plan), K);
    q.vector = longer;
    assert_int_equal(search(w, &q, b, &plan), K);
    for (size_t i = 0; i < K; i++) {
        assert_true(near_enough(a[i].score, b[i].score));
    }
    assert_true(longer[0] == query[0] * 37); /* the caller's vector is left alone */
}

static void test_threshold_is_strict(void **state)
{
    static const enum distance distances[] = { DISTANCE_COSINE, DISTANCE_EUCLID };
    struct world *w = *state;
    for (size_t d = 0; d < 2; d++) {
        w->config.schema.distance = distances[d];
        w->config.id = 10 + d;
        (void)snprintf(w->shard_dir, sizeof(w->shard_dir), "%s/t%zu", w->dir.path, d);
        world_open_shard(w);
        world_upsert(w, 0, 1000, 1);
        float query[WORLD_DIM];
        draw_query(w, query);
        struct shard_hit all[K];
        struct shard_hit some[K];
        struct shard_plan plan;
        struct shard_query q = { .vector = query, .k = K };
        assert_int_equal(search(w, &q, all, &plan), K);
        q.has_threshold = true;
        for (size_t i = 0; i < K; i++) {
            q.threshold = all[i].score;
            const size_t n = search(w, &q, some, &plan);
            assert_true(n <= i);
            for (size_t j = 0; j < K; j++) {
                bool better = distance_better(distances[d], all[j].score, q.threshold);
                assert_int_equal(j < n, better);
            }
        }
        shard_close(w->shard);
        w->shard = NULL;
    }
}

static void test_ties_are_in_the_order_of_ids(void **state)
{
    struct world *w = *state;
    world_open_shard(w);
    world_upsert(w, 0, 600, 1);
    world_optimize(w);
    /* Copies of one vector on both sides of the line between sealed and growing. */
    uint32_t copies[60];
    for (uint32_t i = 0; i < 60; i++) {
        copies[i] = (i * 37) % 600;
        memcpy(w->points[copies[i]].vector, w->points[0].vector, sizeof(w->points[0].vector));
        w->points[copies[i]].cluster = w->points[0].cluster;
    }
    world_put(w, copies, 30);
    world_optimize(w);
    world_put(w, copies + 30, 30);
    static const uint32_t ks[] = { 60, 20, 1 };
    for (size_t i = 0; i < 3; i++) {
        struct shard_hit hits[60];
        struct shard_plan plan;
        struct shard_query q = { .vector = w->points[0].vector, .k = ks[i] };
        assert_int_equal(search(w, &q, hits, &plan), ks[i]);
        assert_hits_are_true(w, q.vector, &filters[0], hits, ks[i]);
        assert_true(near_enough(hits[ks[i] - 1].score, hits[0].score));
    }
}

/* Few dead rows are left out after a search among all; not so when all of them are the nearest. */
static void test_dead_rows_are_passed_over(void **state)
{
    struct world *w = *state;
    world_open_shard(w);
    world_upsert(w, 0, POINTS, 1);
    world_optimize(w);
    float query[WORLD_DIM];
    memcpy(query, w->points[77].vector, sizeof(query));
    for (int round = 0; round < 12; round++) {
        assert_true(recall_of(w, query, &filters[0], false) > 0.8);
        struct shard_hit hits[K];
        struct shard_plan plan;
        struct shard_query q = { .vector = query, .k = K };
        assert_int_equal(search(w, &q, hits, &plan), K);
        for (size_t i = 0; i < K; i++) {
            const uint32_t n = world_number(&hits[i].id);
            world_delete(w, n, n + 1, 1);
        }
        world_delete(w, 1000 + (uint32_t)round, 1010 + (uint32_t)round, 10); /* elsewhere */
    }
    world_verify(w);
}

static void test_growing_rows_can_be_left_out(void **state)
{
    struct world *w = *state;
    world_open_shard(w);
    world_upsert(w, 0, 1000, 1);
    world_optimize(w);
    world_upsert(w, 1000, 1500, 1);
    struct shard_hit hits[2000];
    struct shard_plan plan;
    struct shard_query q = { .vector = w->points[1200].vector, .k = 2000, .exact = true };
    assert_int_equal(search(w, &q, hits, &plan), 1500);
    assert_int_equal(world_number(&hits[0].id), 1200);
    q.indexed_only = true;
    assert_int_equal(search(w, &q, hits, &plan), 1000);
    for (size_t i = 0; i < 1000; i++) {
        assert_true(world_number(&hits[i].id) < 1000);
    }
}

static void test_plan_says_what_was_done(void **state)
{
    struct world *w = *state;
    world_open_shard(w);
    world_upsert(w, 0, POINTS, 1);
    world_optimize(w);
    world_upsert(w, POINTS, POINTS + 100, 1);
    struct shard_hit hits[K];
    struct shard_plan plan;
    struct shard_query q = { .vector = w->points[1].vector, .k = K };
    (void)search(w, &q, hits, &plan);
    assert_int_equal(plan.matched, POINTS + 100);
    assert_int_equal(plan.segments, 1);
    assert_int_equal(plan.scanned, 100);
    assert_string_equal(plan.text, "index of 1 segments, scan of 100 rows");
    q.filter = slice_from_str(filters[4].text);
    (void)search(w, &q, hits, &plan);
    assert_int_equal(plan.matched, 4);
    assert_int_equal(plan.segments, 0);
    assert_int_equal(plan.scanned, 4);
    assert_string_equal(plan.text, "filter 4 of 3100 -> exact scan");
    q.filter = slice_from_str(filters[10].text);
    assert_int_equal(search(w, &q, hits, &plan), 0);
    assert_string_equal(plan.text, "filter 0 of 3100 -> nothing");
}

/* --- refusals --------------------------------------------------------------------------------- */

static void test_bad_queries_are_refused(void **state)
{
    struct world *w = *state;
    world_open_shard(w);
    world_upsert(w, 0, 100, 1);
    const float nan_vector[WORLD_DIM] = { NAN };
    const float zero_vector[WORLD_DIM] = { 0 };
    const float *good = w->points[0].vector;
    const struct {
        struct shard_query q;
        enum shoal_err rc;
    } cases[] = {
        { { .vector = good, .k = 0 }, SHOAL_EVALIDATION },
        { { .vector = good, .k = SEARCH_K_MAX + 1 }, SHOAL_EVALIDATION },
        { { .vector = good, .k = 1, .ef = INDEX_EF_MAX + 1 }, SHOAL_EVALIDATION },
        { { .vector = nan_vector, .k = 1 }, SHOAL_EVALIDATION },
        { { .vector = zero_vector, .k = 1 }, SHOAL_EVALIDATION },
        { { .vector = good, .k = 1, .filter = SLICE_LIT("{") }, SHOAL_EPARSE },
        { { .vector = good, .k = 1, .filter = SLICE_LIT("{\"mist\":[]}") }, SHOAL_EPARSE },
        { { .vector = good, .k = 1, .deadline_ns = 1 }, SHOAL_ETIMEOUT },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct shard_hit hits[1];
        struct shard_plan plan;
        struct errbuf why = { 0 };
        size_t n = 1;
        assert_int_equal(shard_search(w->shard, &cases[i].q, hits, &n, &plan, &why), cases[i].rc);
        assert_int_equal(n, 0);
        assert_true(why.text[0] != '\0');
    }
}

static void test_deadline_ends_a_filter(void **state)
{
    struct world *w = *state;
    world_open_shard(w);
    world_upsert(w, 0, POINTS, 1);
    struct shard_hit hits[1];
    struct shard_plan plan;
    size_t n;
    struct shard_query q = { .vector = w->points[0].vector,
                             .k = 1,
                             .filter = slice_from_str(filters[4].text) };
    /* Passes between the beginning and the first look at the clock within the filter. */
    enum shoal_err rc = SHOAL_OK;
    for (uint64_t ns = 200000; rc == SHOAL_OK && ns > 0; ns /= 2) {
        q.deadline_ns = clock_mono_ns(clock_real()) + ns;
        rc = shard_search(w->shard, &q, hits, &n, &plan, NULL);
    }
    assert_int_equal(rc, SHOAL_ETIMEOUT);
}

static void test_search_survives_each_failed_allocation(void **state)
{
    struct world *w = *state;
    world_open_shard(w);
    world_upsert(w, 0, 400, 1);
    world_optimize(w);
    world_upsert(w, 400, 500, 1);
    for (size_t i = 0; i < FILTERS_LEN; i++) {
        bool failed = true;
        for (long nth = 0; failed && nth < 60; nth++) {
            struct shard_hit hits[K];
            struct shard_plan plan;
            size_t n = 0;
            struct shard_query q = { .vector = w->points[9].vector,
                                     .k = K,
                                     .filter = slice_from_str(filters[i].text) };
            const size_t live = mem_live();
            test_heap_fail_at(nth);
            enum shoal_err rc = shard_search(w->shard, &q, hits, &n, &plan, NULL);
            failed = test_heap_fail_never();
            assert_true(rc == SHOAL_OK || (failed && rc == SHOAL_ENOMEM));
            assert_true(rc == SHOAL_OK || n == 0);
            assert_true(mem_live() <= live); /* the log's thread may free */
        }
    }
}

int main(void)
{
    test_heap_install();
    seed = test_seed("shard_search");
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_cosine_in_all_phases),
        CASE(test_dot_in_all_phases),
        CASE(test_euclid_in_all_phases),
        CASE(test_inverted_lists_in_all_phases),
        CASE(test_cosine_query_need_not_be_normalised),
        CASE(test_threshold_is_strict),
        CASE(test_ties_are_in_the_order_of_ids),
        CASE(test_dead_rows_are_passed_over),
        CASE(test_growing_rows_can_be_left_out),
        CASE(test_plan_says_what_was_done),
        CASE(test_bad_queries_are_refused),
        CASE(test_deadline_ends_a_filter),
        CASE(test_search_survives_each_failed_allocation),
    };
    return cmocka_run_group_tests_name("shard search", tests, NULL, NULL);
}
