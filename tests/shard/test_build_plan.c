/* Build plans: what is sealed and merged, how often a row is written again, and which rows a plan
 * gathers and loses. */
#include "tests/shard/test_shard_support.h"

#include "shard/build_plan.h"

#define DIM 2
#define STEP 100u /* rows of a sealed segment */

struct fixture {
    struct test_dir dir;
    struct generation *g;
    uint64_t next_id;
    uint64_t written; /* rows, by all builds */
    size_t live_before;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    test_dir_make(&f->dir, test_dir_root(), "x");
    f->next_id = 1;
    f->live_before = mem_live();
    assert_int_equal(generation_new(DIM, 1, &f->g), SHOAL_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    generation_unref(f->g);
    int leaked = mem_live() != f->live_before;
    test_dir_remove(&f->dir);
    free(f);
    return leaked ? -1 : 0;
}

static void append(struct generation *g, uint64_t len)
{
    for (uint64_t i = 0; i < len; i++) {
        const float v[DIM] = { (float)g->next_row, 1 };
        struct point_id id = point_id_num(g->next_row);
        uint64_t row;
        assert_int_equal(generation_append(g, &id, v, &row), SHOAL_OK);
    }
}

static void kill_rows(struct generation *g, uint64_t from, uint64_t len)
{
    struct row_place place;
    for (uint64_t row = from; row < from + len; row++) {
        assert_int_equal(generation_kill(g, row, &place), SHOAL_OK);
    }
}

static struct build_rules rules(void)
{
    return (struct build_rules){ .seal_rows = STEP, .rows_max = 1000000 };
}

/* Carries a plan out as a builder does, without a state. */
static void carry_out(struct fixture *f, const struct build_plan *plan)
{
    struct segment_row *rows = NULL;
    size_t len = 0;
    const uint64_t points = f->g->points;
    struct segment_view view = { .segment = NULL };
    assert_int_equal(build_rows_gather(f->g, plan, &rows, &len, NULL), SHOAL_OK);
    if (len > 0) {
        const struct segment_build b = {
            .dir = f->dir.path,
            .disk = disk_real(),
            .id = f->next_id++,
            .row_begin = plan->row_begin,
            .row_end = plan->row_end,
            .index = { .kind = INDEX_FLAT, .distance = DISTANCE_DOT, .dim = DIM, .threads = 1 },
            .rows = rows,
            .rows_len = len,
        };
        struct segment_manifest m;
        assert_int_equal(segment_build(&b, &m, NULL), SHOAL_OK);
        assert_int_equal(segment_open(f->dir.path, disk_real(), &m, &view.segment, NULL), SHOAL_OK);
        view.live = m.rows;
    }
    f->written += len;
    if (plan->kind == BUILD_MERGE) {
        generation_replace(f->g, plan->first, plan->len, view);
    } else {
        assert_int_equal(generation_drop_growing(f->g, plan->row_end), SHOAL_OK);
        if (len > 0) {
            assert_int_equal(generation_add_segment(f->g, view), SHOAL_OK);
        }
    }
    assert_int_equal(f->g->points, points);
    mem_free(rows);
}

static size_t settle(struct fixture *f, const struct build_rules *r)
{
    size_t n = 0;
    struct build_plan plan;
    while ((plan = build_plan_choose(f->g, r)).kind != BUILD_NOTHING) {
        carry_out(f, &plan);
        assert_true(++n < 100);
    }
    return n;
}

/* --- sealing ---------------------------------------------------------------------------------- */

static void test_growing_rows_are_sealed_when_there_are_enough(void **state)
{
    struct fixture *f = *state;
    struct build_rules r = rules();
    append(f->g, STEP - 1);
    assert_int_equal(build_plan_choose(f->g, &r).kind, BUILD_NOTHING);
    append(f->g, 1);
    struct build_plan plan = build_plan_choose(f->g, &r);
    assert_int_equal(plan.kind, BUILD_SEAL);
    assert_int_equal(plan.row_begin, 1);
    assert_int_equal(plan.row_end, 1 + STEP);
    carry_out(f, &plan);
    assert_int_equal(f->g->segments_len, 1);
    assert_int_equal(generation_growing_rows(f->g), 0);
}

static void test_few_rows_are_sealed_when_asked(void **state)
{
    struct fixture *f = *state;
    struct build_rules r = rules();
    append(f->g, 7);
    r.seal_to = 5;
    struct build_plan plan = build_plan_choose(f->g, &r);
    assert_int_equal(plan.kind, BUILD_SEAL);
    assert_int_equal(plan.row_end, 5);
    carry_out(f, &plan);
    assert_int_equal(build_plan_choose(f->g, &r).kind, BUILD_NOTHING);
    r.seal_to = 1000; /* no further than there are rows */
    assert_int_equal(build_plan_choose(f->g, &r).row_end, 8);
}

static void test_seal_fits_one_segment(void **state)
{
    struct fixture *f = *state;
    struct build_rules r = rules();
    r.rows_max = 150;
    append(f->g, 400);
    assert_int_equal(build_plan_choose(f->g, &r).row_end, 151);
    (void)settle(f, &r);
    assert_int_equal(f->g->segments_len, 3);
    assert_int_equal(generation_growing_rows(f->g), 0);
    assert_true(build_rows_max(1) >= 1000000);
    assert_true(build_rows_max(VECTOR_DIM_MAX) >= 4096);
}

static void test_dead_growing_rows_leave_no_segment(void **state)
{
    struct fixture *f = *state;
    struct build_rules r = rules();
    append(f->g, STEP);
    kill_rows(f->g, 1, STEP);
    assert_int_equal(settle(f, &r), 1);
    assert_int_equal(f->g->segments_len, 0);
    assert_int_equal(generation_growing_rows(f->g), 0);
}

/* --- merging ---------------------------------------------------------------------------------- */

static void test_rows_are_written_a_logarithmic_number_of_times(void **state)
{
    struct fixture *f = *state;
    struct build_rules r = rules();
    const size_t seals = 64;
    for (size_t i = 0; i < seals; i++) {
        append(f->g, STEP);
        (void)settle(f, &r);
        assert_true(f->g->segments_len <= 12); /* three of each size */
    }
    assert_int_equal(f->g->points, seals * STEP);
    assert_true(f->written <= seals * STEP * 4); /* 1 + log4(64) */
}

static void test_large_segment_is_not_merged_with_small_ones(void **state)
{
    struct fixture *f = *state;
    struct build_rules r = rules();
    append(f->g, 10 * STEP);
    (void)settle(f, &r);
    for (int i = 0; i < 3; i++) {
        append(f->g, STEP);
        (void)settle(f, &r);
    }
    assert_int_equal(f->g->segments_len, 4);
    assert_int_equal(f->g->segments[0].live, 10 * STEP);
}

static void test_full_segments_are_not_merged(void **state)
{
    struct fixture *f = *state;
    struct build_rules r = rules();
    r.rows_max = 3 * STEP;
    for (int i = 0; i < 6; i++) {
        append(f->g, STEP);
        (void)settle(f, &r);
    }
    assert_int_equal(f->g->segments_len, 6);
    r.merge_all = true;
    (void)settle(f, &r);
    assert_int_equal(f->g->segments_len, 2);
}

static void test_segment_with_many_dead_rows_is_written_again(void **state)
{
    struct fixture *f = *state;
    struct build_rules r = rules();
    append(f->g, STEP);
    (void)settle(f, &r);
    kill_rows(f->g, 1, STEP / 3);
    assert_int_equal(build_plan_choose(f->g, &r).kind, BUILD_NOTHING);
    kill_rows(f->g, 1 + STEP / 3, 1);
    assert_int_equal(settle(f, &r), 1);
    assert_int_equal(segment_info(f->g->segments[0].segment)->rows, STEP - STEP / 3 - 1);
    assert_null(f->g->segments[0].alive);
    kill_rows(f->g, 2 + STEP / 3, 1);
    assert_int_equal(build_plan_choose(f->g, &r).kind, BUILD_NOTHING);
    r.merge_all = true;
    assert_int_equal(settle(f, &r), 1);
    kill_rows(f->g, 3 + STEP / 3, STEP - STEP / 3 - 2);
    r.merge_all = false;
    assert_int_equal(settle(f, &r), 1);
    assert_int_equal(f->g->segments_len, 0);
    assert_int_equal(f->g->points, 0);
}

static void test_seal_only_merges_nothing(void **state)
{
    struct fixture *f = *state;
    struct build_rules r = rules();
    r.seal_only = true;
    for (int i = 0; i < 8; i++) {
        append(f->g, STEP);
        (void)settle(f, &r);
    }
    assert_int_equal(f->g->segments_len, 8);
}

/* --- rows that die ---------------------------------------------------------------------------- */

struct deaths {
    bool of[5000];
    size_t len;
};

static void note_death(void *arg, uint64_t row)
{
    struct deaths *d = arg;
    assert_false(d->of[row]);
    d->of[row] = true;
    d->len++;
}

static void assert_deaths(const struct generation *then, const struct generation *now,
                          const struct build_plan *plan)
{
    struct deaths d = { .len = 0 };
    size_t expected = 0;
    build_rows_died(then, now, plan, note_death, &d);
    for (uint64_t row = plan->row_begin; row < plan->row_end; row++) {
        struct row_place place;
        bool died = generation_find(then, row, &place) && !generation_find(now, row, &place);
        assert_int_equal(d.of[row], died);
        expected += died;
    }
    assert_int_equal(d.len, expected);
}

static void test_rows_that_died_meanwhile_are_named(void **state)
{
    struct fixture *f = *state;
    struct build_rules r = rules();
    append(f->g, 3000);
    kill_rows(f->g, 100, 50);
    struct build_plan seal = build_plan_choose(f->g, &r);
    struct generation *now = NULL;
    assert_int_equal(generation_copy(f->g, &now), SHOAL_OK);
    assert_deaths(f->g, now, &seal);
    append(now, 10);
    kill_rows(now, 150, 3);
    kill_rows(now, 1025, CHUNK_ROWS - 1); /* most of a chunk, */
    kill_rows(now, 1024, 1);              /* then all of it */
    kill_rows(now, 3001, 5);              /* not of the plan */
    assert_deaths(f->g, now, &seal);
    generation_unref(now);

    carry_out(f, &seal);
    append(f->g, STEP);
    (void)settle(f, &r);
    r.merge_all = true;
    struct build_plan merge = build_plan_choose(f->g, &r);
    assert_int_equal(merge.kind, BUILD_MERGE);
    assert_int_equal(merge.len, 2);
    assert_int_equal(generation_copy(f->g, &now), SHOAL_OK);
    kill_rows(now, 3050, 10);
    assert_deaths(f->g, now, &merge);
    generation_unref(now);
}

static void test_gathering_survives_each_failed_allocation(void **state)
{
    struct fixture *f = *state;
    struct build_rules r = rules();
    append(f->g, STEP);
    struct build_plan plan = build_plan_choose(f->g, &r);
    struct segment_row *rows = NULL;
    size_t len = 1;
    test_heap_fail_at(0);
    assert_int_equal(build_rows_gather(f->g, &plan, &rows, &len, NULL), SHOAL_ENOMEM);
    (void)test_heap_fail_never();
    assert_null(rows);
    assert_int_equal(len, 0);
}

int main(void)
{
    test_heap_install();
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_growing_rows_are_sealed_when_there_are_enough),
        CASE(test_few_rows_are_sealed_when_asked),
        CASE(test_seal_fits_one_segment),
        CASE(test_dead_growing_rows_leave_no_segment),
        CASE(test_rows_are_written_a_logarithmic_number_of_times),
        CASE(test_large_segment_is_not_merged_with_small_ones),
        CASE(test_full_segments_are_not_merged),
        CASE(test_segment_with_many_dead_rows_is_written_again),
        CASE(test_seal_only_merges_nothing),
        CASE(test_rows_that_died_meanwhile_are_named),
        CASE(test_gathering_survives_each_failed_allocation),
    };
    return cmocka_run_group_tests_name("build plan", tests, NULL, NULL);
}
