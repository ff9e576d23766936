/* What may go wrong while segments are built: a full disk, no memory, a kill, damage. */
#include "tests/shard/test_shard_world.h"

#include "shard/segment_file.h"
#include "shard/store.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* --- failures ------------------------------------------------------------------- */

static struct disk failing_disk;
static _Atomic int renames_to_fail;

static enum shoal_err failing_rename(void *arg, const char *from, const char *to,
                                     struct errbuf *why)
{
    if (atomic_load(&renames_to_fail) > 0) {
        atomic_fetch_sub(&renames_to_fail, 1);
        return err_set(why, SHOAL_EFULL, "%s: no space left", to);
    }
    return disk_real()->rename(arg, from, to, why);
}

static void test_full_disk_loses_nothing_and_is_tried_again(void **state)
{
    struct world *w = *state;
    failing_disk = *disk_real();
    failing_disk.rename = failing_rename;
    w->config.disk = &failing_disk;
    w->config.options.seal_rows = 500;
    world_open_shard(w);
    atomic_store(&renames_to_fail, 1000);
    world_upsert(w, 0, 600, 1);
    struct errbuf why = { 0 };
    assert_int_equal(shard_optimize(w->shard, world_seconds_from_now(60), &why), SHOAL_EFULL);
    assert_non_null(strstr(why.text, "no space left"));
    assert_int_equal(world_info(w).status, SHARD_YELLOW);
    assert_non_null(strstr(world_info(w).trouble, "no space left"));
    assert_int_equal(world_files(w), 0);
    world_assert_model(w);
    atomic_store(&renames_to_fail, 1);
    world_await_green(w); /* by itself */
    assert_string_equal(world_info(w).trouble, "");
    assert_int_equal(world_info(w).segments, 1);
    world_assert_model(w);
}

static void test_build_survives_each_failed_allocation(void **state)
{
    struct world *w = *state;
    world_open_shard(w);
    bool failed = true;
    for (long nth = 0; failed && nth < 400; nth++) {
        const uint32_t at = (uint32_t)nth * 5 % 2000;
        world_upsert(w, at, at + 5, 1);
        test_heap_fail_at(nth);
        enum shoal_err rc = shard_optimize(w->shard, world_seconds_from_now(60), NULL);
        failed = test_heap_fail_never();
        assert_true(rc == SHOAL_OK || (failed && rc == SHOAL_ENOMEM));
    }
    assert_false(failed);
    world_optimize(w);
    assert_int_equal(world_info(w).segments, 1);
    world_assert_model(w);
    world_reopen(w);
    world_assert_model(w);
}

static void test_optimize_honours_its_deadline(void **state)
{
    struct world *w = *state;
    world_open_shard(w);
    world_upsert(w, 0, 8000, 1);
    assert_int_equal(shard_optimize(w->shard, clock_mono_ns(clock_real()) + 1000, NULL),
                     SHOAL_ETIMEOUT);
    world_optimize(w);
    assert_int_equal(world_info(w).segments, 1);
}

/* --- what a crash leaves ---------------------------------------------------------------------- */

static void segment_file(const struct world *w, const char *name, char out[DISK_PATH_MAX + 64])
{
    (void)snprintf(out, DISK_PATH_MAX + 64, "%s/segments/%s", w->shard_dir, name);
}

static void copy_file(const char *from, const char *to)
{
    struct buf b;
    buf_init(&b, 256u << 20);
    assert_int_equal(disk_real()->read_whole(NULL, from, &b, NULL), SHOAL_OK);
    assert_int_equal(disk_real()->write_whole(NULL, to, b.data, b.len, NULL), SHOAL_OK);
    buf_release(&b);
}

static void test_file_that_was_never_published_is_removed(void **state)
{
    struct world *w = *state;
    char from[DISK_PATH_MAX + 64];
    char to[DISK_PATH_MAX + 64];
    world_open_shard(w);
    world_upsert(w, 0, 400, 1);
    world_optimize(w);
    world_close(w);
    /* A build that was renamed but not listed, one that was not renamed, and somebody's file. */
    static const char *const names[] = { "2.mdb", "3.mdb.tmp", "3.mdb.tmp-lock", "notes.txt" };
    segment_file(w, "1.mdb", from);
    for (size_t i = 0; i < 4; i++) {
        segment_file(w, names[i], to);
        copy_file(from, to);
    }
    world_open_log(w);
    world_open_shard(w);
    assert_int_equal(world_files(w), 2);
    assert_int_equal(access(to, F_OK), 0);
    world_assert_model(w);
    world_upsert(w, 400, 800, 1);
    world_optimize(w); /* takes the name that was cleared */
    world_reopen(w);
    world_assert_model(w);
}

/* Writes numbered batches for ever, and says after each that it was acknowledged. A program of its
 * own, so that it can be killed: `test crash <seed> <directory> <descriptor>`. */
static int crash_child(char **argv)
{
    struct world *w = world_new(strtoull(argv[2], NULL, 10));
    const int fd = (int)strtol(argv[4], NULL, 10);
    world_close(w);
    test_dir_remove(&w->dir);
    world_take_dir(w, argv[3]);
    w->config.options.seal_rows = 150;
    world_open_log(w);
    world_open_shard(w);
    for (uint32_t round = 0;; round++) {
        world_upsert(w, 0, 1000, 1 + round % 13);
        world_delete(w, round % 7, 1000, 11);
        if (write(fd, &round, sizeof(round)) != sizeof(round)) {
            return 1;
        }
    }
}

/* Repeats on the model what the child did up to and with `rounds`. */
static void repeat_on_model(struct world *w, uint32_t rounds)
{
    for (uint32_t round = 0; round < rounds; round++) {
        for (uint32_t n = 0; n < 1000; n += 1 + round % 13) {
            world_draw(w, n);
        }
        for (uint32_t n = round % 7; n < 1000; n += 11) {
            w->points[n].exists = false;
        }
    }
}

/* The next round may be there in part: each of its two writes whole or not at all. */
static bool holds_model(struct world *w)
{
    struct arena arena;
    arena_init(&arena, 64u << 20);
    const struct shard_fetch what = { .with_vector = true };
    bool same = true;
    for (uint32_t n = 0; n < 1000 && same; n++) {
        struct shard_record r;
        const struct point_id id = world_id(n);
        assert_int_equal(shard_fetch(w->shard, &id, 1, &what, &arena, &r, NULL), SHOAL_OK);
        same = r.found == w->points[n].exists &&
               (!r.found ||
                memcmp(r.vector, w->points[n].vector, sizeof(w->points[n].vector)) == 0);
        arena_reset(&arena);
    }
    arena_release(&arena);
    return same;
}

/* Advances the model write by write through the round that may have been under way. */
static bool holds_model_or_later(struct world *w, uint32_t round)
{
    bool same = holds_model(w);
    uint32_t written = 0;
    for (uint32_t n = 0; n < 1000 && !same; n += 1 + round % 13) {
        world_draw(w, n);
        written++;
        if (written % WORLD_BATCH == 0) {
            same = holds_model(w);
        }
    }
    same = same || holds_model(w);
    for (uint32_t n = round % 7; n < 1000 && !same; n += 11) {
        w->points[n].exists = false;
    }
    return same || holds_model(w);
}

static pid_t start_child(uint64_t child_seed, const char *dir, int fd)
{
    char seed_text[24];
    char fd_text[12];
    (void)snprintf(seed_text, sizeof(seed_text), "%" PRIu64, child_seed);
    (void)snprintf(fd_text, sizeof(fd_text), "%d", fd);
    const pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "test", "crash", seed_text, dir, fd_text, (char *)NULL);
        _exit(127);
    }
    return child;
}

/* Rounds that the child says were acknowledged, when it has been killed after `rounds` of them. */
static uint32_t run_child(uint64_t child_seed, const char *dir, uint32_t rounds)
{
    int fds[2];
    uint32_t round = 0;
    uint32_t acknowledged = 0;
    assert_int_equal(pipe(fds), 0);
    const pid_t child = start_child(child_seed, dir, fds[1]);
    assert_true(child > 0);
    close(fds[1]);
    while (acknowledged < rounds && read(fds[0], &round, sizeof(round)) == sizeof(round)) {
        acknowledged = round + 1;
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    while (read(fds[0], &round, sizeof(round)) == sizeof(round)) {
        acknowledged = round + 1;
    }
    close(fds[0]);
    return acknowledged;
}

static void kill_at_random(uint64_t kill_seed)
{
    struct world *w = world_new(kill_seed);
    world_close(w);
    struct rand_seeded r;
    rand_seeded_init(&r, kill_seed ^ 1);
    const uint32_t rounds = 1 + (uint32_t)rand_below(&r.source, 12);
    const uint32_t acknowledged = run_child(kill_seed, w->dir.path, rounds);
    assert_true(acknowledged >= rounds);
    repeat_on_model(w, acknowledged);
    w->config.options.seal_rows = 150;
    world_open_log(w);
    world_open_shard(w);
    assert_true(holds_model_or_later(w, acknowledged));
    const uint64_t hash = world_hash(w);
    world_optimize(w);
    assert_true(hash == world_hash(w));
    world_verify(w);
    assert_true(world_free(w));
}

static void test_kills_during_builds_lose_nothing(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 10; i++) {
        kill_at_random(seed + i);
    }
}

/* --- damage ----------------------------------------------------------------------------------- */

/* Turns bytes of a part of the only segment's file. */
static void damage_part(const struct world *w, const char *name, enum segment_part part,
                        size_t offset)
{
    char path[DISK_PATH_MAX + 64];
    segment_file(w, name, path);
    const struct store_config config = { .path = path, .read_only = true, .tables_max = 1 };
    struct store *store = NULL;
    struct store_txn *txn = NULL;
    store_table table;
    struct slice bytes;
    char mark[64];
    assert_int_equal(store_open(&config, &store, NULL), SHOAL_OK);
    assert_int_equal(store_table_open(store, SEGMENT_TABLE, &table, NULL), SHOAL_OK);
    assert_int_equal(store_read_begin(store, &txn, NULL), SHOAL_OK);
    assert_int_equal(store_get(txn, table, slice_from_str(segment__part_name(part)), &bytes),
                     SHOAL_OK);
    memcpy(mark, bytes.data, sizeof(mark));
    store_read_end(txn);
    store_close(store);

    struct buf b;
    buf_init(&b, 256u << 20);
    assert_int_equal(disk_real()->read_whole(NULL, path, &b, NULL), SHOAL_OK);
    char *at = memmem(b.data, b.len, mark, sizeof(mark));
    assert_non_null(at);
    at[offset] ^= 0x55;
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, b.data, b.len, 0), (ssize_t)b.len);
    close(fd);
    buf_release(&b);
}

static void test_damaged_vectors_are_named_and_not_copied(void **state)
{
    struct world *w = *state;
    struct errbuf why = { 0 };
    world_open_shard(w);
    world_upsert(w, 0, 600, 1);
    world_optimize(w);
    world_verify(w);
    world_close(w);
    damage_part(w, "1.mdb", SEGMENT_VECTORS, 20);
    world_open_log(w);
    world_open_shard(w);
    assert_int_equal(shard_verify(w->shard, &why), SHOAL_ECORRUPT);
    assert_non_null(strstr(why.text, "segment 1"));
    assert_non_null(strstr(why.text, "vectors"));
    world_delete(w, 0, 600, 4);
    err_clear(&why);
    assert_int_equal(shard_optimize(w->shard, world_seconds_from_now(60), &why), SHOAL_ECORRUPT);
    assert_non_null(strstr(why.text, "segment 1"));
    assert_int_equal(world_info(w).status, SHARD_RED);
    assert_int_equal(world_files(w), 1);
    /* New rows are sealed all the same. */
    world_upsert(w, 1000, 1100, 1);
    assert_int_equal(shard_optimize(w->shard, world_seconds_from_now(60), &why), SHOAL_ECORRUPT);
    assert_int_equal(world_info(w).segments, 2);
    assert_int_equal(world_info(w).growing_rows, 0);
}

static void test_unfit_index_is_built_anew(void **state)
{
    struct world *w = *state;
    world_open_shard(w);
    world_upsert(w, 0, 600, 1);
    world_optimize(w);
    world_close(w);
    damage_part(w, "1.mdb", SEGMENT_INDEX, 0);
    world_open_log(w);
    world_open_shard(w);
    world_await_green(w);
    assert_int_equal(world_info(w).segments, 1);
    assert_int_equal(world_files(w), 1);
    world_assert_model(w);
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "crash") == 0) {
        return crash_child(argv);
    }
    test_heap_install();
    seed = test_seed("shard_build_faults");
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kills_during_builds_lose_nothing),
        CASE(test_full_disk_loses_nothing_and_is_tried_again),
        CASE(test_build_survives_each_failed_allocation),
        CASE(test_optimize_honours_its_deadline),
        CASE(test_file_that_was_never_published_is_removed),
        CASE(test_damaged_vectors_are_named_and_not_copied),
        CASE(test_unfit_index_is_built_anew),
    };
    return cmocka_run_group_tests_name("shard build faults", tests, NULL, NULL);
}
