/* Generations: what one writer changes in a copy, no reader of an older one ever sees. */
#include "tests/shard/test_shard_support.h"

#include "shard/generation.h"

#define DIM 4
#define MODEL_ROWS 6000

struct fixture {
    struct test_dir dir;
    size_t live_before;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    test_dir_make(&f->dir, test_dir_root(), "x");
    f->live_before = mem_live();
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int leaked = mem_live() != f->live_before;
    test_dir_remove(&f->dir);
    free(f);
    return leaked ? -1 : 0;
}

/* A vector that says which row it is. */
static void row_vector(uint64_t row, float *out)
{
    for (uint32_t i = 0; i < DIM; i++) {
        out[i] = (float)row + (float)i / DIM;
    }
}

static uint64_t append(struct generation *g)
{
    float v[DIM];
    row_vector(g->next_row, v);
    struct point_id id = point_id_num(g->next_row * 10);
    uint64_t row = 0;
    assert_int_equal(generation_append(g, &id, v, &row), SHOAL_OK);
    return row;
}

static struct generation *copy_of(const struct generation *g)
{
    struct generation *copy = NULL;
    assert_int_equal(generation_copy(g, &copy), SHOAL_OK);
    return copy;
}

/* Rows begin, begin + step, ... */
static enum shoal_err try_segment(struct fixture *f, uint64_t id, uint64_t begin, uint32_t rows,
                                  uint32_t step, struct segment **out)
{
    float vectors[64 * DIM];
    struct segment_row list[64];
    assert_true(rows <= 64);
    for (uint32_t i = 0; i < rows; i++) {
        row_vector(begin + i * step, vectors + i * DIM);
        list[i] = (struct segment_row){ .row = begin + i * step,
                                        .id = point_id_num((begin + i * step) * 10),
                                        .vector = vectors + i * DIM };
    }
    const struct segment_build b = {
        .dir = f->dir.path,
        .disk = disk_real(),
        .id = id,
        .row_begin = begin,
        .row_end = begin + rows * step,
        .index = { .kind = INDEX_FLAT, .distance = DISTANCE_DOT, .dim = DIM, .threads = 1 },
        .rows = list,
        .rows_len = rows,
    };
    struct segment_manifest m;
    assert_int_equal(segment_build(&b, &m, NULL), SHOAL_OK);
    return segment_open(f->dir.path, disk_real(), &m, out, NULL);
}

static void add_segment(struct fixture *f, struct generation *g, uint64_t id, uint64_t begin,
                        uint32_t rows, uint32_t step)
{
    struct segment_view view = { .live = rows };
    assert_int_equal(try_segment(f, id, begin, rows, step, &view.segment), SHOAL_OK);
    assert_int_equal(generation_add_segment(g, view), SHOAL_OK);
}

static uint32_t count_set(const struct bits *b, uint32_t len)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < len; i++) {
        n += b == NULL || bits_get(b, i);
    }
    return n;
}

static void assert_counters_agree(const struct generation *g)
{
    uint64_t growing = 0;
    uint64_t sealed = 0;
    for (size_t i = 0; i < g->chunks_len; i++) {
        const struct chunk_view *v = &g->chunks[i];
        assert_int_equal(v->live, v->chunk == NULL ? 0 : count_set(v->alive, v->rows));
        growing += v->live;
    }
    for (size_t i = 0; i < g->segments_len; i++) {
        const struct segment_view *v = &g->segments[i];
        assert_int_equal(v->live, count_set(v->alive, segment_info(v->segment)->rows));
        sealed += v->live;
    }
    assert_int_equal(g->growing_live, growing);
    assert_int_equal(g->points, growing + sealed);
}

static void assert_row(const struct generation *g, uint64_t row, bool alive)
{
    struct row_place place;
    if (generation_find(g, row, &place) != alive) {
        fail_msg("row %" PRIu64 " should%s be alive", row, alive ? "" : " not");
    }
    if (!alive) {
        return;
    }
    float v[DIM];
    struct point_id id;
    row_vector(row, v);
    assert_memory_equal(generation_vector(g, &place), v, sizeof(v));
    assert_int_equal(generation_id(g, &place, &id), SHOAL_OK);
    assert_int_equal(id.value.num, row * 10);
}

static void kill_row(struct generation *g, uint64_t row)
{
    struct row_place place;
    struct row_place found;
    bool alive = generation_find(g, row, &found);
    enum shoal_err rc = generation_kill(g, row, &place);
    assert_int_equal(rc, alive ? SHOAL_OK : SHOAL_ENOTFOUND);
    assert_true(!alive || place_equal(&place, &found));
    assert_false(generation_find(g, row, &found));
}

/* --- bits ------------------------------------------------------------------------------------- */

static void test_bits_are_copied_before_they_change(void **state)
{
    (void)state;
    struct bits *a = NULL;
    assert_true(bits_own(&a, 11));
    assert_int_equal(a->bytes[1], 7); /* bits past the end are clear */
    struct bits *b = bits_ref(a);
    assert_true(bits_own(&b, 11));
    assert_ptr_not_equal(a, b);
    bits_clear(b, 3);
    assert_true(bits_get(a, 3));
    assert_false(bits_get(b, 3));
    struct bits *same = b;
    assert_true(bits_own(&b, 11));
    assert_ptr_equal(same, b);
    bits_unref(a);
    bits_unref(b);
    bits_unref(bits_ref(NULL));
}

/* --- growing ---------------------------------------------------------------------------------- */

static void test_older_generations_do_not_see_what_is_appended(void **state)
{
    (void)state;
    struct generation *old = NULL;
    assert_int_equal(generation_new(DIM, 1, &old), SHOAL_OK);
    for (uint32_t i = 0; i < CHUNK_ROWS + 5; i++) {
        assert_int_equal(append(old), i + 1);
    }
    struct generation *new = copy_of(old);
    uint64_t row = append(new);
    for (uint32_t i = 0; i < CHUNK_ROWS; i++) {
        (void)append(new);
    }
    assert_row(new, row, true);
    assert_row(old, row, false);
    kill_row(new, 2);
    kill_row(new, row);
    assert_row(old, 2, true);
    assert_counters_agree(old);
    assert_counters_agree(new);
    assert_int_equal(old->points, CHUNK_ROWS + 5);
    assert_int_equal(new->points, 2 * CHUNK_ROWS + 4);
    generation_unref(old);
    assert_row(new, 3, true);
    generation_unref(new);
}

static void test_full_chunk_without_living_rows_is_given_up(void **state)
{
    (void)state;
    struct generation *g = NULL;
    assert_int_equal(generation_new(DIM, 0, &g), SHOAL_OK);
    for (uint32_t i = 0; i < CHUNK_ROWS + 1; i++) {
        (void)append(g);
    }
    for (uint32_t i = 0; i < CHUNK_ROWS; i++) {
        kill_row(g, i);
    }
    assert_null(g->chunks[0].chunk);
    assert_non_null(g->chunks[1].chunk);
    assert_row(g, 5, false);
    assert_row(g, CHUNK_ROWS, true);
    assert_counters_agree(g);
    generation_unref(g);
}

static void test_skipped_rows_are_dead(void **state)
{
    (void)state;
    const uint64_t first[] = { 1, 500, CHUNK_ROWS, 3 * CHUNK_ROWS + 7 };
    const uint64_t gaps[] = { 0, 1, 30, CHUNK_ROWS - 2, CHUNK_ROWS, 5 * CHUNK_ROWS + 3 };
    for (size_t a = 0; a < 4; a++) {
        for (size_t b = 0; b < 6; b++) {
            struct generation *g = NULL;
            assert_int_equal(generation_new(DIM, first[a], &g), SHOAL_OK);
            assert_int_equal(generation_skip_to(g, first[a] + gaps[b]), SHOAL_OK);
            uint64_t one = append(g);
            assert_int_equal(one, first[a] + gaps[b]);
            assert_int_equal(generation_skip_to(g, one + 1 + gaps[b]), SHOAL_OK);
            uint64_t two = append(g);
            assert_int_equal(two, one + 1 + gaps[b]);
            assert_counters_agree(g);
            assert_int_equal(g->points, 2);
            for (uint64_t row = first[a]; row <= two + 1; row++) {
                assert_row(g, row, row == one || row == two);
            }
            generation_unref(g);
        }
    }
}

static void test_dropped_rows_no_longer_grow(void **state)
{
    (void)state;
    const uint64_t lines[] = { 7, 8, CHUNK_ROWS, CHUNK_ROWS + 1, 2 * CHUNK_ROWS, 2500, 2501 };
    for (size_t l = 0; l < 7; l++) {
        struct generation *old = NULL;
        assert_int_equal(generation_new(DIM, 7, &old), SHOAL_OK);
        while (old->next_row <= 2500) {
            (void)append(old);
        }
        kill_row(old, 7);
        kill_row(old, CHUNK_ROWS + 300);
        struct generation *g = copy_of(old);
        assert_int_equal(generation_drop_growing(g, lines[l]), SHOAL_OK);
        assert_counters_agree(g);
        assert_counters_agree(old);
        assert_int_equal(generation_growing_rows(g), 2501 - lines[l]);
        for (uint64_t row = 1; row <= 2501; row++) {
            bool lived = row > 7 && row < 2501 && row != CHUNK_ROWS + 300;
            assert_row(old, row, lived);
            assert_row(g, row, lived && row >= lines[l]);
        }
        assert_int_equal(append(g), 2501);
        assert_row(g, 2501, true);
        generation_unref(old);
        generation_unref(g);
    }
}

/* --- segments --------------------------------------------------------------------------------- */

static void test_segments_are_found_killed_and_replaced(void **state)
{
    struct fixture *f = *state;
    struct generation *old = NULL;
    assert_int_equal(generation_new(DIM, 1, &old), SHOAL_OK);
    assert_int_equal(generation_skip_to(old, 300), SHOAL_OK);
    assert_int_equal(generation_drop_growing(old, 300), SHOAL_OK);
    add_segment(f, old, 1, 10, 20, 2);
    add_segment(f, old, 2, 60, 10, 1);
    add_segment(f, old, 3, 100, 30, 3);
    uint64_t growing = append(old);
    assert_int_equal(growing, 300);
    for (uint64_t row = 0; row < 302; row++) {
        bool alive = (row >= 10 && row < 50 && row % 2 == 0) || (row >= 60 && row < 70) ||
                     (row >= 100 && row < 190 && (row - 100) % 3 == 0) || row == 300;
        assert_row(old, row, alive);
    }
    struct generation *new = copy_of(old);
    kill_row(new, 12);
    kill_row(new, 13);
    kill_row(new, 103);
    assert_row(old, 12, true);
    assert_row(old, 103, true);
    assert_counters_agree(new);

    struct segment_view view = { .live = 3 };
    assert_int_equal(try_segment(f, 4, 60, 3, 20, &view.segment), SHOAL_OK);
    generation_replace(new, 1, 2, view);
    assert_int_equal(new->segments_len, 2);
    assert_row(new, 61, false);
    assert_row(new, 80, true);
    assert_counters_agree(new);
    generation_replace(new, 0, 1, (struct segment_view){ .segment = NULL });
    assert_row(new, 10, false);
    assert_row(new, 60, true);
    assert_counters_agree(new);
    assert_int_equal(new->points, 4);
    generation_unref(new);
    assert_row(old, 10, true);
    assert_counters_agree(old);
    generation_unref(old);
}

/* --- at random -------------------------------------------------------------------------------- */

struct model {
    bool alive[MODEL_ROWS];
    uint64_t next;
};

static void assert_like_model(const struct generation *g, const struct model *m)
{
    assert_counters_agree(g);
    for (uint64_t row = 0; row < MODEL_ROWS; row++) {
        assert_row(g, row, row < m->next && m->alive[row]);
    }
}

static void model_step(const struct rand_source *r, struct generation *g, struct model *m)
{
    uint64_t what = rand_below(r, 100);
    uint64_t len = 1 + rand_below(r, 200);
    for (uint64_t i = 0; i < len && m->next < MODEL_ROWS && what < 60; i++) {
        m->alive[append(g)] = true;
        m->next++;
    }
    for (uint64_t i = 0; i < len && what >= 60 && what < 90; i++) {
        uint64_t row = rand_below(r, m->next);
        kill_row(g, row);
        m->alive[row] = false;
    }
    if (what >= 90) {
        uint64_t line = g->growing_begin + rand_below(r, g->next_row - g->growing_begin + 1) / 4;
        assert_int_equal(generation_drop_growing(g, line), SHOAL_OK);
        memset(m->alive, 0, line * sizeof(m->alive[0]));
    }
}

static void test_pinned_generations_stay_as_they_were(void **state)
{
    (void)state;
    struct rand_seeded r;
    rand_seeded_init(&r, test_seed("generation"));
    enum { PINNED = 6 };
    struct generation *pinned[PINNED] = { NULL };
    struct model models[PINNED + 1] = { { .next = 1 } };
    struct generation *now = NULL;
    assert_int_equal(generation_new(DIM, 1, &now), SHOAL_OK);
    struct model m = { .next = 1 };
    for (size_t i = 0; i < 200; i++) {
        struct generation *next = copy_of(now);
        model_step(&r.source, next, &m);
        size_t slot = rand_below(&r.source, PINNED * 4);
        if (slot < PINNED) {
            generation_unref(pinned[slot]);
            pinned[slot] = generation_ref(next);
            models[slot] = m;
        }
        generation_unref(now);
        now = next;
    }
    assert_like_model(now, &m);
    for (size_t i = 0; i < PINNED; i++) {
        if (pinned[i] != NULL) {
            assert_like_model(pinned[i], &models[i]);
            generation_unref(pinned[i]);
        }
    }
    generation_unref(now);
}

/* --- no memory -------------------------------------------------------------------------------- */

/* What a writer does to a copy. On failure the copy is thrown away and `g` is as it was. */
static enum shoal_err change(const struct generation *g, struct segment *segment,
                             struct generation **out)
{
    float v[DIM] = { 0 };
    struct point_id id = point_id_num(1);
    struct row_place place;
    uint64_t row;
    enum shoal_err rc = generation_copy(g, out);
    for (uint32_t i = 0; i < CHUNK_ROWS + 2 && rc == SHOAL_OK; i++) {
        rc = generation_append(*out, &id, v, &row);
    }
    if (rc == SHOAL_OK) {
        rc = generation_kill(*out, 300, &place);
    }
    if (rc == SHOAL_OK) {
        rc = generation_kill(*out, 10, &place);
    }
    if (rc == SHOAL_OK) {
        rc = generation_skip_to(*out, (*out)->next_row + 3 * CHUNK_ROWS);
    }
    if (rc == SHOAL_OK) {
        rc = generation_drop_growing(*out, 400);
    }
    if (rc == SHOAL_OK) {
        struct segment_view view = { .segment = segment_ref(segment), .live = 5 };
        rc = generation_add_segment(*out, view);
        if (rc != SHOAL_OK) {
            segment_unref(segment);
        }
    }
    if (rc != SHOAL_OK) {
        generation_unref(*out);
        *out = NULL;
    }
    return rc;
}

static void test_failed_allocations_leave_the_original(void **state)
{
    struct fixture *f = *state;
    struct segment *more = NULL;
    struct generation *g = NULL;
    assert_int_equal(generation_new(DIM, 100, &g), SHOAL_OK);
    add_segment(f, g, 1, 10, 20, 1);
    assert_int_equal(try_segment(f, 2, 50, 5, 1, &more), SHOAL_OK);
    while (g->next_row < 500) {
        (void)append(g);
    }
    const size_t live = mem_live();
    struct generation *out = NULL;
    bool failed = true;
    for (long nth = 0; failed && nth < ALLOCS_MAX; nth++) {
        test_heap_fail_at(nth);
        enum shoal_err rc = change(g, more, &out);
        failed = test_heap_fail_never();
        assert_int_equal(rc, failed ? SHOAL_ENOMEM : SHOAL_OK);
        if (failed) {
            assert_null(out);
            assert_int_equal(mem_live(), live);
        }
        assert_counters_agree(g);
        assert_row(g, 300, true);
        assert_row(g, 10, true);
    }
    assert_false(failed);
    assert_counters_agree(out);
    generation_unref(out);
    generation_unref(g);
    segment_unref(more);
    test_heap_fail_at(0);
    assert_int_equal(generation_new(DIM, 0, &g), SHOAL_ENOMEM);
    assert_null(g);
    (void)test_heap_fail_never();
}

int main(void)
{
    test_heap_install();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bits_are_copied_before_they_change, setup, teardown),
        cmocka_unit_test_setup_teardown(test_older_generations_do_not_see_what_is_appended, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_full_chunk_without_living_rows_is_given_up, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_skipped_rows_are_dead, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dropped_rows_no_longer_grow, setup, teardown),
        cmocka_unit_test_setup_teardown(test_segments_are_found_killed_and_replaced, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_pinned_generations_stay_as_they_were, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed_allocations_leave_the_original, setup,
                                        teardown),
    };
    return cmocka_run_group_tests_name("generation", tests, NULL, NULL);
}
