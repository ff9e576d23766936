/* A shard's life: what opening creates, keeps, refuses and survives. */
#include "tests/shard/test_shard_rig.h"

#include "base/pool.h"

#include <fcntl.h>
#include <unistd.h>

static void in_dir(const struct rig *r, const char *name, char out[DISK_PATH_MAX])
{
    assert_int_equal(disk_join(out, DISK_PATH_MAX, r->shard_dir, name), SHOAL_OK);
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* --- keeping ---------------------------------------------------------------------------------- */

static void test_new_shard_is_empty_and_green(void **state)
{
    struct rig *r = *state;
    struct shard_info info = rig_info(r);
    assert_int_equal(info.status, SHARD_GREEN);
    assert_string_equal(info.trouble, "");
    assert_int_equal(info.points, 0);
    assert_int_equal(info.segments, 0);
    assert_int_equal(rig_count(r, ""), 0);
    assert_int_equal(shard_dim(r->shard), RIG_DIM);
    rig_verify(r);
}

static void test_reopening_keeps_everything(void **state)
{
    struct rig *r = *state;
    struct errbuf why = { 0 };
    uint64_t hash[2];
    rig_upsert_many(r, 1, 2500); /* more than two chunks */
    rig_upsert(r, point_id_num(17), 170, "{\"k\":\"v\"}");
    rig_upsert(r, rig_uuid(3), 3, "{\"u\":null}");
    rig_delete(r, point_id_num(18));
    assert_int_equal(shard_state_hash(r->shard, &hash[0], &why), SHOAL_OK);
    struct shard_info before = rig_info(r);
    rig_reopen(r);
    struct shard_info after = rig_info(r);
    assert_int_equal(after.points, 2500);
    assert_int_equal(after.growing_rows, before.growing_rows);
    assert_true(after.applied_index >= before.applied_index);
    uint64_t version = rig_expect(r, point_id_num(17), 170, "{\"k\":\"v\"}");
    (void)rig_expect(r, rig_uuid(3), 3, "{\"u\":null}");
    rig_expect_none(r, point_id_num(18));
    (void)rig_expect(r, point_id_num(2500), 2500, "");
    assert_int_equal(shard_state_hash(r->shard, &hash[1], &why), SHOAL_OK);
    assert_int_equal(hash[0], hash[1]);
    rig_upsert(r, point_id_num(17), 171, "");
    assert_true(rig_expect(r, point_id_num(17), 171, "") > version);
    rig_verify(r);
}

static void test_reopening_keeps_segments_and_what_died_in_them(void **state)
{
    struct rig *r = *state;
    rig_upsert_many(r, 1, 1500);
    rig_optimize(r);
    rig_upsert_many(r, 1400, 300); /* 101 of them are in the segment already */
    assert_int_equal(rig_info(r).segments, 1);
    assert_int_equal(rig_info(r).dead_rows, 101);
    rig_reopen(r);
    struct shard_info info = rig_info(r);
    assert_int_equal(info.segments, 1);
    assert_int_equal(info.dead_rows, 101);
    assert_int_equal(info.growing_rows, 300);
    assert_int_equal(info.points, 1699);
    assert_int_equal(info.indexed, 1399);
    (void)rig_expect(r, point_id_num(1399), 1399, "");
    (void)rig_expect(r, point_id_num(1400), 1400, "");
    rig_verify(r);
    rig_optimize(r);
    rig_reopen(r);
    assert_int_equal(rig_info(r).dead_rows, 0);
    assert_int_equal(rig_info(r).points, 1699);
    rig_verify(r);
}

static void test_rows_that_all_died_are_no_trouble_at_open(void **state)
{
    struct rig *r = *state;
    struct op all = rig_filter_op(OP_DELETE, "{}", NULL);
    rig_upsert_many(r, 1, 3000);
    assert_int_equal(rig_do(r, &all), 3000);
    rig_reopen(r);
    assert_int_equal(rig_info(r).points, 0);
    rig_upsert_many(r, 1, 10);
    rig_reopen(r);
    assert_int_equal(rig_info(r).points, 10);
    rig_verify(r);
}

/* --- refusing --------------------------------------------------------------------------------- */

static void test_another_schema_is_a_conflict(void **state)
{
    struct rig *r = *state;
    struct errbuf why;
    rig_upsert(r, point_id_num(1), 1, "");
    rig_close(r);
    r->config.schema.dim = RIG_DIM + 1;
    assert_int_equal(rig_try_open(r, &why), SHOAL_ECONFLICT);
    assert_null(r->shard);
    r->config.schema = (struct shard_schema){ .dim = RIG_DIM, .distance = DISTANCE_DOT };
    assert_int_equal(rig_try_open(r, &why), SHOAL_ECONFLICT);
    assert_non_null(strstr(why.text, "shard 7"));
    r->config.schema.distance = DISTANCE_EUCLID;
    rig_open(r);
    (void)rig_expect(r, point_id_num(1), 1, "");
}

static void test_a_config_without_what_it_needs_is_refused(void **state)
{
    struct rig *r = *state;
    struct errbuf why;
    rig_close(r);
    const struct shard_config good = r->config;
    r->config.schema.dim = 0;
    assert_int_equal(rig_try_open(r, &why), SHOAL_EINVAL);
    r->config = good;
    r->config.log = NULL;
    assert_int_equal(rig_try_open(r, &why), SHOAL_EINVAL);
    r->config = good;
    r->config.id = 0;
    assert_int_equal(rig_try_open(r, &why), SHOAL_EINVAL);
    r->config = good;
}

static void test_state_that_is_gone_beside_segments_is_corrupt(void **state)
{
    struct rig *r = *state;
    struct errbuf why;
    char path[DISK_PATH_MAX];
    char segment[DISK_PATH_MAX];
    rig_upsert_many(r, 1, 30);
    rig_optimize(r);
    rig_close(r);
    in_dir(r, "state.mdb", path);
    in_dir(r, "segments/1.mdb", segment);
    assert_true(exists(segment));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rig_try_open(r, &why), SHOAL_ECORRUPT);
    assert_non_null(strstr(why.text, "state.mdb"));
    assert_true(exists(segment));
}

static void scribble(const char *path, off_t at, size_t len)
{
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    char *noise = malloc(len);
    assert_non_null(noise);
    memset(noise, 0x5a, len);
    assert_int_equal(pwrite(fd, noise, len, at), (ssize_t)len);
    free(noise);
    close(fd);
}

static void test_state_that_is_no_store_takes_only_this_shard_out(void **state)
{
    struct rig *r = *state;
    struct errbuf why;
    char path[DISK_PATH_MAX];
    rig_upsert(r, point_id_num(1), 1, "");
    rig_close(r);
    in_dir(r, "state.mdb", path);
    scribble(path, 0, 8192);
    assert_int_equal(rig_try_open(r, &why), SHOAL_ECORRUPT);
    assert_non_null(strstr(why.text, "state.mdb"));
    assert_true(exists(path));
    /* Another one over the same log is served. */
    const struct shard_config mine = r->config;
    char other[DISK_PATH_MAX + 64];
    snprintf(other, sizeof(other), "%s/shards/8", r->dir.path);
    r->config.id = 8;
    r->config.dir = other;
    rig_open(r);
    assert_int_equal(rig_upsert(r, point_id_num(1), 1, ""), 1);
    rig_close(r);
    r->config = mine;
}

/* --- red -------------------------------------------------------------------------------------- */

static void check_red(struct rig *r, const char *named)
{
    struct errbuf why;
    struct shard_info info = rig_info(r);
    assert_int_equal(info.status, SHARD_RED);
    assert_non_null(strstr(info.trouble, named));
    assert_int_equal(info.points, 60);
    /* What state.mdb knows is answered. */
    assert_int_equal(rig_count(r, ""), 60);
    assert_int_equal(rig_count(r, "{\"must\":[{\"has_id\":[1,2,50]}]}"), 3);
    struct arena arena;
    arena_init(&arena, 1u << 20);
    struct shard_record record;
    struct shard_fetch what = { .with_payload = true };
    const struct point_id lost = point_id_num(2);
    assert_int_equal(shard_fetch(r->shard, &lost, 1, &what, &arena, &record, &why), SHOAL_OK);
    assert_true(record.found);
    (void)rig_expect(r, point_id_num(60), 60, ""); /* a growing row */
    /* A lost vector, a search that would leave some out, and any change are not. */
    what.with_vector = true;
    assert_int_equal(shard_fetch(r->shard, &lost, 1, &what, &arena, &record, &why), SHOAL_ECORRUPT);
    arena_release(&arena);
    float v[RIG_DIM] = { 0 };
    struct shard_hit hits[3];
    struct shard_plan plan;
    size_t n = 0;
    const struct shard_query q = { .vector = v, .k = 3, .deadline_ns = rig_deadline() };
    assert_int_equal(shard_search(r->shard, &q, hits, &n, &plan, &why), SHOAL_ECORRUPT);
    const struct op op = rig_ids_op(OP_DELETE, &lost, 1, NULL);
    assert_int_equal(rig_refused(r, &op, &why), SHOAL_ECORRUPT);
    assert_non_null(strstr(why.text, named));
}

static void test_a_missing_segment_makes_the_shard_red_until_it_is_back(void **state)
{
    struct rig *r = *state;
    char path[DISK_PATH_MAX];
    char aside[DISK_PATH_MAX];
    rig_upsert_many(r, 1, 50);
    rig_optimize(r);
    rig_upsert_many(r, 51, 10);
    rig_close(r);
    in_dir(r, "segments/1.mdb", path);
    in_dir(r, "segments/1.mdb.kept", aside);
    assert_int_equal(rename(path, aside), 0);
    rig_open(r);
    check_red(r, "1.mdb");
    rig_close(r);
    assert_int_equal(rename(aside, path), 0);
    rig_open(r);
    assert_int_equal(rig_info(r).status, SHARD_GREEN);
    (void)rig_expect(r, point_id_num(2), 2, "");
    assert_int_equal(rig_delete(r, point_id_num(2)), 1);
    rig_verify(r);
}

static void test_a_corrupt_segment_makes_the_shard_red_and_stays(void **state)
{
    struct rig *r = *state;
    char path[DISK_PATH_MAX];
    rig_upsert_many(r, 1, 50);
    rig_optimize(r);
    rig_upsert_many(r, 51, 10);
    rig_close(r);
    in_dir(r, "segments/1.mdb", path);
    scribble(path, 0, 8192);
    rig_open(r);
    check_red(r, "segment 1");
    rig_close(r);
    assert_true(exists(path));
}

/* --- strays ----------------------------------------------------------------------------------- */

static void touch(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void test_opening_clears_away_what_builds_left(void **state)
{
    static const char *const strays[] = { "segments/9.mdb", "segments/12.mdb.tmp",
                                          "segments/12.mdb.tmp-lock" };
    static const char *const kept[] = { "segments/1.mdb", "segments/1.mdb.bak",
                                        "segments/notes.mdb" };
    struct rig *r = *state;
    char path[DISK_PATH_MAX];
    rig_upsert_many(r, 1, 30);
    rig_optimize(r);
    rig_close(r);
    for (size_t i = 0; i < 3; i++) {
        in_dir(r, strays[i], path);
        touch(path);
        in_dir(r, kept[i], path);
        if (i > 0) {
            touch(path);
        }
    }
    rig_open(r);
    for (size_t i = 0; i < 3; i++) {
        in_dir(r, strays[i], path);
        assert_false(exists(path));
        in_dir(r, kept[i], path);
        assert_true(exists(path));
    }
    rig_verify(r);
}

/* --- remove ----------------------------------------------------------------------------------- */

static void test_removed_shard_begins_anew(void **state)
{
    struct rig *r = *state;
    struct errbuf why = { 0 };
    rig_upsert_many(r, 1, 30);
    rig_close(r);
    assert_int_equal(shard_remove(&r->config, &why), SHOAL_OK);
    assert_false(exists(r->shard_dir));
    assert_int_equal(shard_remove(&r->config, &why), SHOAL_OK); /* again is fine */
    rig_open(r);
    assert_int_equal(rig_info(r).points, 0);
    assert_int_equal(rig_upsert(r, point_id_num(1), 1, ""), 1);
}

/* --- metrics ---------------------------------------------------------------------------------- */

static void test_metrics_count_what_is_applied(void **state)
{
    struct rig *r = *state;
    struct errbuf why;
    rig_close(r);
    assert_int_equal(metrics_new(&r->metrics), SHOAL_OK);
    r->config.metrics = r->metrics;
    rig_open(r);
    rig_upsert_many(r, 1, 12);
    const struct point_id id = point_id_num(99);
    const struct op op = rig_ids_op(OP_CLEAR_PAYLOAD, &id, 1, NULL);
    assert_int_equal(rig_refused(r, &op, &why), SHOAL_ENOTFOUND);
    struct buf text;
    buf_init(&text, 1u << 20);
    assert_int_equal(metrics_print(r->metrics, &text), SHOAL_OK);
    const char *t = buf_cstr(&text);
    assert_non_null(strstr(t, "shoal_shard_points{shard=\"7\"} 12"));
    assert_non_null(strstr(t, "shoal_shard_refused_ops_total{shard=\"7\"} 1"));
    assert_non_null(strstr(t, "shoal_shard_apply_seconds_count{shard=\"7\"}"));
    buf_release(&text);
}

/* --- a full disk ------------------------------------------------------------------------------ */

static atomic_bool disk_is_full;

static enum shoal_err scarce_space(void *arg, const char *path, struct disk_space *out,
                                   struct errbuf *why)
{
    enum shoal_err rc = disk_real()->space(arg, path, out, why);
    if (atomic_load(&disk_is_full)) {
        out->free_bytes = 1u << 20;
    }
    return rc;
}

static void test_full_disk_refuses_growth_and_takes_deletes(void **state)
{
    struct rig *r = *state;
    struct errbuf why;
    struct disk disk = *disk_real();
    disk.space = scarce_space;
    rig_upsert_many(r, 1, 20);
    rig_close(r);
    r->config.disk = &disk;
    atomic_store(&disk_is_full, true);
    rig_open(r); /* its budget begins at nothing: the first write asks the disk */
    const struct point_id id = point_id_num(1);
    struct slice payload = SLICE_LIT("{\"a\":1}");
    struct op op = rig_ids_op(OP_SET_PAYLOAD, &id, 1, &payload);
    assert_int_equal(rig_refused(r, &op, &why), SHOAL_EFULL);
    assert_int_equal(rig_delete(r, point_id_num(2)), 1);
    op = rig_ids_op(OP_CLEAR_PAYLOAD, &id, 1, NULL);
    assert_int_equal(rig_do(r, &op), 1);
    assert_int_equal(rig_count(r, ""), 19);
    assert_int_equal(rig_info(r).status, SHARD_GREEN);
    atomic_store(&disk_is_full, false);
    op = rig_ids_op(OP_SET_PAYLOAD, &id, 1, &payload);
    assert_int_equal(rig_do(r, &op), 1); /* by itself */
    rig_close(r);
    r->config.disk = disk_real();
}

static enum shoal_err fill_some(struct rig *r, uint64_t id, const struct slice *payload,
                                struct errbuf *why)
{
    float v[RIG_DIM];
    struct shard_written w;
    const struct point_id point = point_id_num(id);
    rig_vector(id, v);
    const struct op op = { .kind = OP_UPSERT,
                           .points_len = 1,
                           .points = &point,
                           .dim = RIG_DIM,
                           .vectors = v,
                           .payloads = payload };
    return rig_write(r, &op, SHARD_VISIBLE, &w, why);
}

static void test_full_map_refuses_growth_and_takes_deletes(void **state)
{
    enum { TEXT = 200000, POINTS_MAX = 500 };
    struct rig *r = *state;
    struct errbuf why;
    char *text = malloc(TEXT);
    assert_non_null(text);
    memset(text, 'x', TEXT);
    memcpy(text, "{\"t\":\"", 6);
    memcpy(text + TEXT - 2, "\"}", 2);
    const struct slice payload = slice_make(text, TEXT);
    rig_close(r);
    assert_int_equal(shard_remove(&r->config, NULL), SHOAL_OK);
    r->config.map_bytes_max = 24u << 20;
    rig_open(r);
    uint64_t n = 1;
    while (n < POINTS_MAX && fill_some(r, n, &payload, &why) == SHOAL_OK) {
        n++;
    }
    assert_true(n > 10 && n < POINTS_MAX);
    assert_int_equal(fill_some(r, n, &payload, &why), SHOAL_EFULL);
    (void)rig_count(r, "");
    for (uint64_t id = 1; id < n; id++) {
        assert_int_equal(rig_delete(r, point_id_num(id)), 1);
    }
    assert_int_equal(fill_some(r, 1, &payload, &why), SHOAL_OK);
    assert_int_equal(rig_info(r).status, SHARD_GREEN);
    rig_verify(r);
    free(text);
}

/* What a filter chooses takes the payload many times over; what it does not choose costs nothing.
 */
static void test_room_is_asked_for_every_point_that_takes_a_payload(void **state)
{
    enum { TEXT = 200000, POINTS = 100 };
    struct rig *r = *state;
    struct errbuf why;
    char *text = malloc(TEXT);
    assert_non_null(text);
    memset(text, 'x', TEXT);
    memcpy(text, "{\"t\":\"", 6);
    memcpy(text + TEXT - 2, "\"}", 2);
    const struct slice payload = slice_make(text, TEXT);
    rig_close(r);
    assert_int_equal(shard_remove(&r->config, NULL), SHOAL_OK);
    r->config.map_bytes_max = 24u << 20;
    rig_open(r);
    rig_upsert_many(r, 1, POINTS);
    const struct op all = rig_filter_op(OP_SET_PAYLOAD, "{}", &payload);
    assert_int_equal(rig_refused(r, &all, &why), SHOAL_EFULL);
    const struct op two = rig_filter_op(OP_SET_PAYLOAD, "{\"must\":[{\"has_id\":[3,4]}]}",
                                        &payload);
    assert_int_equal(rig_do(r, &two), 2);
    (void)rig_expect(r, point_id_num(5), 5, "");
    free(text);
}

/* --- closing ---------------------------------------------------------------------------------- */

/* A write that is held inside by the disk it asks. */
struct held {
    struct rig *r;
    struct mutex lock;
    struct cond changed;
    bool inside, release, closed;
    enum shoal_err rc;
};

static struct held held;

static enum shoal_err slow_space(void *arg, const char *path, struct disk_space *out,
                                 struct errbuf *why)
{
    mutex_lock(&held.lock);
    held.inside = true;
    cond_broadcast(&held.changed);
    while (!held.release) {
        cond_wait(&held.changed, &held.lock);
    }
    mutex_unlock(&held.lock);
    return disk_real()->space(arg, path, out, why);
}

static void held_write(void *arg)
{
    struct errbuf why;
    const struct slice none = SLICE_LIT("");
    (void)arg;
    held.rc = fill_some(held.r, 1, &none, &why);
}

static void held_close(void *arg)
{
    (void)arg;
    shard_close(held.r->shard);
    mutex_lock(&held.lock);
    held.closed = true;
    mutex_unlock(&held.lock);
}

static void test_close_waits_for_a_call_inside(void **state)
{
    struct rig *r = *state;
    struct disk disk = *disk_real();
    struct thread writer = { 0 };
    struct thread closer = { 0 };
    disk.space = slow_space;
    rig_close(r);
    r->config.disk = &disk;
    rig_open(r);
    held = (struct held){ .r = r, .rc = SHOAL_EINVAL };
    mutex_init(&held.lock);
    cond_init(&held.changed);
    assert_int_equal(thread_start(&writer, "writer", held_write, NULL, NULL), SHOAL_OK);
    mutex_lock(&held.lock);
    while (!held.inside) {
        cond_wait(&held.changed, &held.lock);
    }
    mutex_unlock(&held.lock);
    assert_int_equal(thread_start(&closer, "closer", held_close, NULL, NULL), SHOAL_OK);
    mutex_lock(&held.lock);
    assert_false(held.closed);
    held.release = true;
    cond_broadcast(&held.changed);
    mutex_unlock(&held.lock);
    thread_join(&writer);
    thread_join(&closer);
    assert_int_equal(held.rc, SHOAL_OK);
    r->shard = NULL;
    cond_release(&held.changed);
    mutex_release(&held.lock);
    r->config.disk = disk_real();
    rig_open(r);
    (void)rig_expect(r, point_id_num(1), 1, "");
}

/* --- out of memory ---------------------------------------------------------------------------- */

static void test_open_survives_each_failed_allocation(void **state)
{
    struct rig *r = *state;
    struct errbuf why;
    rig_upsert_many(r, 1, 30);
    rig_optimize(r);
    rig_upsert_many(r, 25, 30); /* some die in the segment, some grow */
    rig_close(r);
    const size_t live = mem_live();
    bool finished = false;
    long nth = 0;
    for (; !finished; nth++) {
        assert_true(nth < ALLOCS_MAX);
        test_heap_fail_at(nth);
        enum shoal_err rc = rig_try_open(r, &why);
        finished = !test_heap_fail_never();
        if (rc == SHOAL_OK) {
            struct shard_info info = rig_info(r);
            assert_int_equal(info.points, 54);
            assert_int_equal(info.status, SHARD_GREEN);
            rig_close(r);
        } else {
            assert_int_equal(rc, SHOAL_ENOMEM);
            assert_null(r->shard);
        }
        assert_int_equal(mem_live(), live);
    }
    assert_true(nth > 20);
    rig_open(r);
    rig_verify(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
        TEST(test_new_shard_is_empty_and_green),
        TEST(test_reopening_keeps_everything),
        TEST(test_reopening_keeps_segments_and_what_died_in_them),
        TEST(test_rows_that_all_died_are_no_trouble_at_open),
        TEST(test_another_schema_is_a_conflict),
        TEST(test_a_config_without_what_it_needs_is_refused),
        TEST(test_state_that_is_gone_beside_segments_is_corrupt),
        TEST(test_state_that_is_no_store_takes_only_this_shard_out),
        TEST(test_a_missing_segment_makes_the_shard_red_until_it_is_back),
        TEST(test_a_corrupt_segment_makes_the_shard_red_and_stays),
        TEST(test_opening_clears_away_what_builds_left),
        TEST(test_removed_shard_begins_anew),
        TEST(test_metrics_count_what_is_applied),
        TEST(test_full_disk_refuses_growth_and_takes_deletes),
        TEST(test_full_map_refuses_growth_and_takes_deletes),
        TEST(test_room_is_asked_for_every_point_that_takes_a_payload),
        TEST(test_close_waits_for_a_call_inside),
        TEST(test_open_survives_each_failed_allocation),
#undef TEST
    };
    test_heap_install();
    return cmocka_run_group_tests_name("shard", tests, NULL, NULL);
}
