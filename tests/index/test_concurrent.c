/* One open index searched from many threads at once gives each what it would get alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/thread.h"
#include "index/team.h"
#include "tests/index/vectors.h"

#define DIM 8
#define ROWS 6000
#define QUERIES 60
#define K 10
#define THREADS 4

struct shared {
    struct test_index t;
    const float *queries;
    const struct index_filter *filter;
    struct index_hit expected[2][QUERIES][K];
    atomic_size_t wrong;
};

struct searcher {
    struct thread thread;
    struct shared *shared;
    size_t first; /* threads begin at different queries */
};

static size_t search_one(const struct shared *s, size_t i, bool filtered, struct index_hit *hits)
{
    struct index_query q = {
        .vector = s->queries + i * DIM,
        .k = K,
        .ef = 40,
        .filter = filtered ? s->filter : NULL,
    };
    size_t n = 0;
    return index_search(s->t.index, &q, hits, &n, NULL) == SHOAL_OK ? n : 0;
}

static bool same_hits(const struct index_hit *a, const struct index_hit *b)
{
    size_t i = 0;
    while (i < K && a[i].row == b[i].row && !(a[i].score < b[i].score) &&
           !(a[i].score > b[i].score)) {
        i++;
    }
    return i == K;
}

static void searcher_run(void *arg)
{
    struct searcher *me = arg;
    struct shared *s = me->shared;
    for (size_t i = 0; i < 3 * QUERIES; i++) {
        size_t at = (me->first + i) % QUERIES;
        size_t filtered = i % 2;
        struct index_hit hits[K] = { { 0 } };
        size_t n = search_one(s, at, filtered != 0, hits);
        if (n != K || !same_hits(hits, s->expected[filtered][at])) {
            atomic_fetch_add(&s->wrong, 1);
        }
        if (i % 20 == 0) {
            struct index_stats stats;
            index_stats(s->t.index, &stats);
        }
    }
}

static void search_together(enum index_kind kind)
{
    float *v = test_vectors(ROWS + QUERIES, DIM, 30, DISTANCE_COSINE, test_seed());
    struct index_config config = {
        .kind = kind,
        .distance = DISTANCE_COSINE,
        .dim = DIM,
        .m = 8,
        .ef_construction = 40,
        .threads = 1,
        .seed = test_seed(),
    };
    struct shared *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    test_index_init(&s->t, &config, v, ROWS);
    s->queries = v + (size_t)ROWS * DIM;
    struct rand_seeded rand;
    rand_seeded_init(&rand, test_seed());
    struct test_share share = { .rand = &rand.source, .share = 0.7 };
    struct index_filter filter;
    test_filter_fill(&filter, ROWS, test_want_share, &share);
    s->filter = &filter;
    for (size_t i = 0; i < QUERIES; i++) {
        assert_int_equal(search_one(s, i, false, s->expected[0][i]), K);
        assert_int_equal(search_one(s, i, true, s->expected[1][i]), K);
    }
    struct searcher searchers[THREADS] = { 0 };
    for (size_t i = 0; i < THREADS; i++) {
        searchers[i].shared = s;
        searchers[i].first = i * QUERIES / THREADS;
        assert_int_equal(
            thread_start(&searchers[i].thread, "search", searcher_run, &searchers[i], NULL),
            SHOAL_OK);
    }
    for (size_t i = 0; i < THREADS; i++) {
        thread_join(&searchers[i].thread);
    }
    assert_int_equal(atomic_load(&s->wrong), 0);
    free((void *)(uintptr_t)filter.allowed);
    test_index_release(&s->t);
    free(s);
    free(v);
}

static void test_searches_together_equal_searches_alone(void **state)
{
    (void)state;
    search_together(INDEX_FLAT);
    search_together(INDEX_HNSW);
    search_together(INDEX_IVF_FLAT);
}

/* For ThreadSanitizer: no thread of a build may touch what another writes. */
static void test_a_team_builds_without_races(void **state)
{
    (void)state;
    float *v = test_vectors(4000, DIM, 30, DISTANCE_COSINE, test_seed());
    struct index_config config = {
        .kind = INDEX_HNSW,
        .distance = DISTANCE_COSINE,
        .dim = DIM,
        .m = 8,
        .ef_construction = 40,
        .threads = 4,
        .seed = test_seed(),
    };
    struct index_built built;
    assert_int_equal(index_build(&config, v, 4000, NULL, &built, NULL), SHOAL_OK);
    index_built_release(&built);
    free(v);
}

struct count {
    size_t ran[THREADS];
    size_t rounds;
};

static void count_phase(void *arg, unsigned worker)
{
    struct count *c = arg;
    c->ran[worker]++;
}

static void test_team_runs_each_worker_once_a_phase(void **state)
{
    (void)state;
    for (unsigned len = 1; len <= THREADS; len++) {
        struct team *team = NULL;
        assert_int_equal(team_new(len, &team, NULL), SHOAL_OK);
        assert_int_equal(team_len(team), len);
        struct count c = { .rounds = 200 };
        for (size_t i = 0; i < c.rounds; i++) {
            team_run(team, count_phase, &c);
            for (unsigned w = 0; w < THREADS; w++) {
                assert_int_equal(c.ran[w], w < len ? i + 1 : 0);
            }
        }
        team_free(team);
    }
    struct team *team = NULL;
    assert_int_equal(team_new(0, &team, NULL), SHOAL_EINVAL);
    assert_int_equal(team_new(TEAM_THREADS_MAX + 1, &team, NULL), SHOAL_EINVAL);
    assert_null(team);
    team_free(NULL);
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
        cmocka_unit_test(test_searches_together_equal_searches_alone),
        cmocka_unit_test(test_a_team_builds_without_races),
        cmocka_unit_test(test_team_runs_each_worker_once_a_phase),
    };
    return cmocka_run_group_tests_name("concurrent", tests, group_setup, group_teardown);
}
