/* Sealing and merging: nothing is lost and nothing comes back. */
#include "tests/shard/test_shard_world.h"

#include "base/thread.h"

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

static void assert_found(struct world *w, uint32_t n, bool found)
{
    struct shard_hit hits[3];
    struct shard_plan plan;
    size_t len = 0;
    struct shard_query q = { .vector = w->points[n].vector, .k = 3, .exact = true };
    assert_int_equal(shard_search(w->shard, &q, hits, &len, &plan, NULL), SHOAL_OK);
    bool here = false;
    for (size_t i = 0; i < len; i++) {
        here = here || world_number(&hits[i].id) == n;
    }
    assert_int_equal(here, found);
}

/* --- the usual course ------------------------------------------------------------------------- */

static void test_growing_rows_are_sealed_in_the_background(void **state)
{
    struct world *w = *state;
    w->config.options.seal_rows = 500;
    world_open_shard(w);
    world_upsert(w, 0, 400, 1);
    assert_int_equal(world_info(w).segments, 0);
    world_upsert(w, 400, 6000, 1);
    world_await_green(w);
    const struct shard_info info = world_info(w);
    assert_true(info.segments >= 1 && info.segments <= 8);
    assert_true(info.growing_rows < 500);
    assert_int_equal(info.indexed + info.growing_rows, 6000);
    world_assert_model(w);
    world_reopen(w);
    assert_int_equal(world_info(w).segments, info.segments);
    world_assert_model(w);
}

static void test_optimize_leaves_one_segment(void **state)
{
    struct world *w = *state;
    world_open_shard(w);
    for (uint32_t i = 0; i < 5; i++) {
        world_upsert(w, i * 300, (i + 1) * 300, 1);
        world_optimize(w);
    }
    world_delete(w, 0, 1500, 4);
    const uint64_t hash = world_hash(w);
    world_optimize(w);
    const struct shard_info info = world_info(w);
    assert_int_equal(info.segments, 1);
    assert_int_equal(info.dead_rows, 0);
    assert_int_equal(info.growing_rows, 0);
    assert_int_equal(info.indexed, world_len(w));
    assert_true(hash == world_hash(w));
    world_optimize(w); /* nothing left to do */
    world_reopen(w);
    assert_true(hash == world_hash(w));
    world_assert_model(w);
}

static void test_deleted_stays_deleted(void **state)
{
    struct world *w = *state;
    world_open_shard(w);
    world_upsert(w, 0, 1200, 1);
    world_delete(w, 0, 1200, 3); /* while growing */
    world_optimize(w);
    world_delete(w, 1, 1200, 3); /* while sealed */
    for (int round = 0; round < 4; round++) {
        for (uint32_t n = 0; n < 1200; n += 50) {
            assert_found(w, n, n % 3 == 2);
        }
        world_assert_model(w);
        if (round == 0 || round == 2) {
            world_reopen(w);
        } else {
            world_optimize(w);
        }
    }
    world_delete(w, 2, 1200, 3);
    world_optimize(w);
    assert_int_equal(world_info(w).segments, 0);
    world_reopen(w);
    world_assert_model(w);
}

static void test_replaced_files_go(void **state)
{
    struct world *w = *state;
    world_open_shard(w);
    for (uint32_t i = 0; i < 4; i++) {
        world_upsert(w, 0, 300, 1);
        world_optimize(w);
        assert_int_equal(world_files(w), 1);
    }
}

/* --- search and writes during builds ---------------------------------------------------------- */

struct searcher {
    struct world *w;
    struct thread thread;
    float query[WORLD_DIM];
    atomic_bool *stop;
    uint64_t searches;
    uint64_t wrong; /* an assertion would not end the test from here */
};

static void search_on(void *arg)
{
    struct searcher *s = arg;
    while (!atomic_load(s->stop)) {
        struct shard_hit hits[10];
        struct shard_plan plan;
        size_t n = 0;
        struct shard_query q = { .vector = s->query, .k = 10, .exact = s->searches % 2 == 0 };
        if (s->searches % 4 == 3) {
            q.filter = SLICE_LIT("{\"must\":[{\"key\":\"half\",\"match\":{\"value\":1}}]}");
        }
        s->wrong += shard_search(s->w->shard, &q, hits, &n, &plan, NULL) != SHOAL_OK;
        for (size_t i = 0; i < n; i++) {
            s->wrong += i > 0 && hits[i].score > hits[i - 1].score;
            s->wrong += q.filter.len > 0 && world_number(&hits[i].id) % 2 == 0;
        }
        s->searches++;
    }
}

static void test_reads_and_writes_go_on_during_builds(void **state)
{
    struct world *w = *state;
    w->config.options.seal_rows = 300;
    world_open_shard(w);
    world_upsert(w, 0, 1000, 1);
    atomic_bool stop = false;
    struct searcher searchers[2] = { 0 };
    for (size_t i = 0; i < 2; i++) {
        searchers[i] = (struct searcher){ .w = w, .stop = &stop };
        memcpy(searchers[i].query, w->points[i].vector, sizeof(searchers[i].query));
        assert_int_equal(
            thread_start(&searchers[i].thread, "searcher", search_on, &searchers[i], NULL),
            SHOAL_OK);
    }
    for (uint32_t round = 0; round < 20; round++) {
        const uint32_t from = 1000 + round * 150;
        world_upsert(w, from, from + 150, 1);
        world_upsert(w, round, from, 37); /* some of these lie in what is being built */
        world_delete(w, round + 1, from, 53);
        assert_found(w, from + 149, true); /* what was acknowledged is its own neighbour */
        assert_found(w, round + 1, false);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < 2; i++) {
        thread_join(&searchers[i].thread);
        assert_true(searchers[i].searches > 0);
        assert_int_equal(searchers[i].wrong, 0);
    }
    world_await_green(w);
    assert_true(world_info(w).segments > 0);
    world_assert_model(w);
    const uint64_t hash = world_hash(w);
    world_reopen(w);
    assert_true(hash == world_hash(w));
}

static void test_closing_cancels_a_build(void **state)
{
    struct world *w = *state;
    w->config.options.seal_rows = 2000;
    world_open_shard(w);
    for (int round = 0; round < 3; round++) {
        world_upsert(w, 0, 4000, 1);
        world_reopen(w); /* in the middle of it */
    }
    world_await_green(w);
    world_assert_model(w);
}

int main(void)
{
    test_heap_install();
    seed = test_seed("shard_build");
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_growing_rows_are_sealed_in_the_background),
        CASE(test_optimize_leaves_one_segment),
        CASE(test_deleted_stays_deleted),
        CASE(test_replaced_files_go),
        CASE(test_reads_and_writes_go_on_during_builds),
        CASE(test_closing_cancels_a_build),
    };
    return cmocka_run_group_tests_name("shard build", tests, NULL, NULL);
}
