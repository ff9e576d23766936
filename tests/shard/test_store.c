/* The store's promises: what was committed is there, what failed left nothing, the map grows under
 * readers, a full map or disk loses nothing, and a file is open once. */
#include "tests/shard/test_store_support.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/thread.h"
#include "shard/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1u << 20)
#define VALUE_LEN 1000

/* LMDB's syncs pass here: counted, and failed on demand. */
static _Atomic int sync_failures;

int fdatasync(int fd)
{
    if (atomic_load(&sync_failures) > 0 && atomic_fetch_sub(&sync_failures, 1) > 0) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

struct fixture {
    struct test_dir dir;
    struct store_config config;
    struct store *store;
    store_table table;
    size_t live_before;
};

static void open_store(struct fixture *f)
{
    struct errbuf why;
    err_clear(&why);
    if (store_open(&f->config, &f->store, &why) != SHOAL_OK ||
        store_table_open(f->store, "t", &f->table, &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
}

static void reopen(struct fixture *f)
{
    store_close(f->store);
    open_store(f);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->live_before = mem_live();
    test_dir_make(&f->dir, test_dir_root(), "s.mdb");
    f->config = (struct store_config){ .path = f->dir.file,
                                       .map_bytes = MIB,
                                       .map_bytes_max = 64 * MIB,
                                       .sync = STORE_SYNC_FULL,
                                       .tables_max = 4 };
    open_store(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    test_dir_remove(&f->dir);
    const int leaked = mem_live() != f->live_before;
    free(f);
    return leaked;
}

/* --- one key at a time ------------------------------------------------------------------------ */

struct change {
    store_table table;
    uint64_t from, to; /* keys from <= k < to */
    bool remove;
    enum shoal_err result; /* what the function answers after its changes */
    unsigned runs;
};

/* A value that says which key it belongs to, over its whole length. */
static void value_fill(char *value, uint64_t key)
{
    for (size_t i = 0; i + 8 <= VALUE_LEN; i += 8) {
        bytes_put_le64(value + i, key * 0x9e3779b97f4a7c15u + i);
    }
}

static enum shoal_err change_in_txn(void *arg, struct store_txn *txn, struct errbuf *why)
{
    struct change *c = arg;
    c->runs++;
    char value[VALUE_LEN];
    for (uint64_t k = c->from; k < c->to; k++) {
        char key[8];
        bytes_put_be64(key, k);
        value_fill(value, k);
        const struct slice ks = slice_make(key, sizeof(key));
        enum shoal_err rc = c->remove ? store_delete(txn, c->table, ks, why)
                                      : store_put(txn, c->table, ks,
                                                  slice_make(value, sizeof(value)), why);
        if (rc != SHOAL_OK) {
            return rc;
        }
    }
    return c->result;
}

static enum shoal_err put_range(struct fixture *f, uint64_t from, uint64_t to)
{
    struct change c = { .table = f->table, .from = from, .to = to };
    return store_write(f->store, change_in_txn, &c, NULL);
}

static enum shoal_err delete_range(struct fixture *f, uint64_t from, uint64_t to)
{
    struct change c = { .table = f->table, .from = from, .to = to, .remove = true };
    return store_write_freeing(f->store, change_in_txn, &c, NULL);
}

/* Keys in the table, each with its own value; fails on any other. */
static uint64_t check_content(struct store *s, store_table table)
{
    struct store_txn *txn = NULL;
    assert_int_equal(store_read_begin(s, &txn, NULL), SHOAL_OK);
    struct store_cursor *c = NULL;
    assert_int_equal(store_cursor_open(txn, table, &c, NULL), SHOAL_OK);
    struct slice key;
    struct slice value;
    uint64_t n = 0;
    char want[VALUE_LEN];
    enum shoal_err rc = store_cursor_seek(c, (struct slice){ NULL, 0 }, &key, &value);
    while (rc == SHOAL_OK) {
        assert_int_equal(key.len, 8);
        assert_int_equal(value.len, VALUE_LEN);
        value_fill(want, bytes_get_be64(key.data));
        assert_memory_equal(value.data, want, VALUE_LEN);
        n++;
        rc = store_cursor_next(c, &key, &value);
    }
    assert_int_equal(rc, SHOAL_ENOTFOUND);
    uint64_t count = 0;
    assert_int_equal(store_count(txn, table, &count), SHOAL_OK);
    assert_int_equal(count, n);
    store_cursor_close(c);
    store_read_end(txn);
    return n;
}

static void test_committed_values_survive_reopening(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put_range(f, 0, 300), SHOAL_OK);
    assert_int_equal(delete_range(f, 100, 200), SHOAL_OK);
    assert_int_equal(check_content(f->store, f->table), 200);
    reopen(f);
    assert_int_equal(check_content(f->store, f->table), 200);
}

static void test_failed_function_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put_range(f, 0, 10), SHOAL_OK);
    struct change c = { .table = f->table, .from = 10, .to = 20, .result = SHOAL_ECONFLICT };
    assert_int_equal(store_write(f->store, change_in_txn, &c, NULL), SHOAL_ECONFLICT);
    assert_int_equal(c.runs, 1);
    assert_int_equal(check_content(f->store, f->table), 10);
}

/* A function that passes over a failure must not commit half of its work. */
static enum shoal_err ignore_bad_put(void *arg, struct store_txn *txn, struct errbuf *why)
{
    struct fixture *f = arg;
    char key[STORE_KEY_MAX + 1] = { 0 };
    assert_int_equal(store_put(txn, f->table, slice_make(key, 0), SLICE_LIT("v"), why),
                     SHOAL_EINVAL);
    assert_int_equal(store_put(txn, f->table, slice_make(key, sizeof(key)), SLICE_LIT("v"), why),
                     SHOAL_EINVAL);
    assert_int_equal(store_delete(txn, f->table, SLICE_LIT("absent"), why), SHOAL_ENOTFOUND);
    return SHOAL_OK;
}

static void test_bad_keys_are_refused(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(store_write(f->store, ignore_bad_put, f, NULL), SHOAL_OK);
    assert_int_equal(check_content(f->store, f->table), 0);
}

static enum shoal_err every_call(void *arg, struct store_txn *txn, struct errbuf *why)
{
    struct fixture *f = arg;
    void *room = NULL;
    struct slice v;
    struct slice k;
    assert_int_equal(store_append(txn, f->table, SLICE_LIT("a"), SLICE_LIT("1"), why), SHOAL_OK);
    assert_int_equal(store_append(txn, f->table, SLICE_LIT("b"), SLICE_LIT(""), why), SHOAL_OK);
    assert_int_equal(store_append(txn, f->table, SLICE_LIT("a"), SLICE_LIT("x"), why),
                     SHOAL_EINVAL);
    assert_int_equal(store_put_reserve(txn, f->table, SLICE_LIT("c"), 3, &room, why), SHOAL_OK);
    memcpy(room, "xyz", 3);
    assert_int_equal(store_get(txn, f->table, SLICE_LIT("c"), &v), SHOAL_OK);
    assert_true(slice_is(v, "xyz"));
    assert_int_equal(store_get(txn, f->table, SLICE_LIT("b"), &v), SHOAL_OK);
    assert_int_equal(v.len, 0);
    assert_int_equal(store_get(txn, f->table, SLICE_LIT("zz"), &v), SHOAL_ENOTFOUND);

    struct store_cursor *c = NULL;
    assert_int_equal(store_cursor_open(txn, f->table, &c, why), SHOAL_OK);
    assert_int_equal(store_cursor_last(c, &k, &v), SHOAL_OK);
    assert_true(slice_is(k, "c"));
    assert_int_equal(store_cursor_prev(c, &k, &v), SHOAL_OK);
    assert_true(slice_is(k, "b"));
    assert_int_equal(store_cursor_seek(c, SLICE_LIT("aa"), &k, &v), SHOAL_OK);
    assert_true(slice_is(k, "b"));
    assert_int_equal(store_cursor_delete(c, why), SHOAL_OK);
    assert_int_equal(store_cursor_next(c, &k, &v), SHOAL_OK);
    assert_true(slice_is(k, "c"));
    assert_int_equal(store_cursor_next(c, &k, &v), SHOAL_ENOTFOUND);
    store_cursor_close(c);
    assert_int_equal(store_clear(txn, f->table, why), SHOAL_OK);
    uint64_t n = 1;
    assert_int_equal(store_count(txn, f->table, &n), SHOAL_OK);
    assert_int_equal(n, 0);
    return SHOAL_OK;
}

static void test_every_call_of_a_transaction(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(store_write(f->store, every_call, f, NULL), SHOAL_OK);
}

static void test_reader_sees_one_moment(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put_range(f, 0, 10), SHOAL_OK);
    struct store_txn *txn = NULL;
    assert_int_equal(store_read_begin(f->store, &txn, NULL), SHOAL_OK);
    assert_int_equal(put_range(f, 10, 20), SHOAL_OK);
    uint64_t n = 0;
    assert_int_equal(store_count(txn, f->table, &n), SHOAL_OK);
    assert_int_equal(n, 10);
    struct store_stats stats;
    store_stats(f->store, &stats);
    assert_int_equal(stats.readers, 1);
    store_read_end(txn);
    assert_int_equal(check_content(f->store, f->table), 20);
}

/* --- growth ----------------------------------------------------------------------------------- */

struct growth_reader {
    struct fixture *f;
    _Atomic bool *stop;
    uint64_t rounds;
    struct thread thread;
};

static void read_until_stopped(void *arg)
{
    struct growth_reader *r = arg;
    uint64_t before = 0;
    while (!atomic_load(r->stop)) {
        const uint64_t n = check_content(r->f->store, r->f->table);
        assert_true(n >= before);
        before = n;
        r->rounds++;
    }
}

static void test_map_grows_while_readers_run(void **state)
{
    struct fixture *f = *state;
    _Atomic bool stop = false;
    struct growth_reader readers[3];
    for (size_t i = 0; i < 3; i++) {
        readers[i] = (struct growth_reader){ .f = f, .stop = &stop };
        assert_int_equal(
            thread_start(&readers[i].thread, "reader", read_until_stopped, &readers[i], NULL),
            SHOAL_OK);
    }
    enum shoal_err rc = SHOAL_OK;
    for (uint64_t k = 0; k < 8000 && rc == SHOAL_OK; k += 500) { /* 8 MB into a map of 1 MiB */
        rc = put_range(f, k, k + 500);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < 3; i++) {
        thread_join(&readers[i].thread);
    }
    assert_int_equal(rc, SHOAL_OK);
    assert_int_equal(check_content(f->store, f->table), 8000);
    struct store_stats stats;
    store_stats(f->store, &stats);
    assert_true(stats.map_bytes >= 8 * MIB);
}

static void test_growth_gives_up_on_a_reader_that_stays(void **state)
{
    struct fixture *f = *state;
    f->config.grow_wait_ms = 20;
    reopen(f);
    struct store_txn *txn = NULL;
    assert_int_equal(store_read_begin(f->store, &txn, NULL), SHOAL_OK);
    struct change c = { .table = f->table, .from = 0, .to = 2000 };
    struct errbuf why;
    assert_int_equal(store_write(f->store, change_in_txn, &c, &why), SHOAL_EFULL);
    assert_non_null(strstr(why.text, "reader"));
    store_read_end(txn);
    assert_int_equal(store_write(f->store, change_in_txn, &c, NULL), SHOAL_OK);
    assert_true(c.runs >= 3); /* the function is run again after each growth */
    assert_int_equal(check_content(f->store, f->table), 2000);
}

static void test_full_map_loses_nothing_and_deletes_work(void **state)
{
    struct fixture *f = *state;
    f->config.map_bytes_max = 4 * MIB;
    reopen(f);
    uint64_t n = 0;
    enum shoal_err rc = SHOAL_OK;
    while ((rc = put_range(f, n, n + 100)) == SHOAL_OK) {
        n += 100;
        assert_true(n < 100000);
    }
    assert_int_equal(rc, SHOAL_EFULL);
    while (put_range(f, n, n + 1) == SHOAL_OK) { /* to the last page */
        n++;
    }
    assert_int_equal(check_content(f->store, f->table), n);
    assert_int_equal(delete_range(f, 0, n / 2), SHOAL_OK);
    assert_int_equal(check_content(f->store, f->table), n - n / 2);
    assert_int_equal(put_range(f, n, n + n / 4), SHOAL_OK);
    reopen(f);
    assert_int_equal(check_content(f->store, f->table), n - n / 2 + n / 4);
}

/* --- full disk and failing disk --------------------------------------------------------------- */

static void test_file_size_limit_loses_nothing_and_heals(void **state)
{
    struct fixture *f = *state;
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    void (*old_handler)(int) = signal(SIGXFSZ, SIG_IGN);
    struct rlimit small = { .rlim_cur = MIB, .rlim_max = old.rlim_max };
    uint64_t n = 0;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum shoal_err rc = SHOAL_OK;
    while ((rc = put_range(f, n, n + 50)) == SHOAL_OK && n < 100000) {
        n += 50;
    }
    const enum shoal_err again = put_range(f, n, n + 50);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, old_handler);
    assert_int_equal(rc, SHOAL_EFULL);
    assert_int_equal(again, SHOAL_EFULL);
    assert_int_equal(check_content(f->store, f->table), n);
    assert_int_equal(put_range(f, n, n + 50), SHOAL_OK);
    reopen(f);
    assert_int_equal(check_content(f->store, f->table), n + 50);
}

#define CHILD_SKIPPED 77

/* A disk of 24 MiB, the smallest real one to be had beside the reserve. */
static int fill_small_disk(struct fixture *f)
{
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", f->dir.path, "tmpfs", 0, "size=24m") != 0) {
        return CHILD_SKIPPED;
    }
    open_store(f);
    uint64_t n = 0;
    while (put_range(f, n, n + 50) == SHOAL_OK) {
        n += 50;
    }
    assert_int_equal(put_range(f, n, n + 50), SHOAL_EFULL);
    assert_true(n > 10000);
    /* Readers take slots in pages of the lock file that were never touched. */
    struct store_txn *readers[STORE_READERS_MAX];
    for (size_t i = 0; i < STORE_READERS_MAX; i++) {
        assert_int_equal(store_read_begin(f->store, &readers[i], NULL), SHOAL_OK);
    }
    for (size_t i = 0; i < STORE_READERS_MAX; i++) {
        store_read_end(readers[i]);
    }
    assert_int_equal(check_content(f->store, f->table), n);
    assert_int_equal(delete_range(f, 0, 100), SHOAL_OK);
    assert_int_equal(put_range(f, 0, 50), SHOAL_EFULL); /* what is left is for deletes */
    reopen(f);                                          /* tables are found without a write */
    uint64_t gone = 100;
    for (; gone < n / 2; gone += 100) {
        assert_int_equal(delete_range(f, gone, gone + 100), SHOAL_OK);
    }
    assert_int_equal(put_range(f, 0, 50), SHOAL_OK); /* into what the deleted left */
    reopen(f);
    assert_int_equal(put_range(f, 50, 100), SHOAL_OK);
    assert_int_equal(check_content(f->store, f->table), n - gone + 100);
    return 0;
}

static void test_full_disk_loses_nothing_and_deletes_work(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    f->store = NULL;
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(fill_small_disk(f));
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_SKIPPED) {
        print_message("mounting a small disk is not allowed here\n");
        skip();
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_failed_sync_stops_writes_until_reopened(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put_range(f, 0, 10), SHOAL_OK);
    atomic_store(&sync_failures, 1);
    struct errbuf why;
    struct change c = { .table = f->table, .from = 10, .to = 20 };
    assert_int_equal(store_write(f->store, change_in_txn, &c, &why), SHOAL_EIO);
    assert_int_equal(c.runs, 1);
    assert_int_equal(store_write(f->store, change_in_txn, &c, &why), SHOAL_EIO);
    assert_int_equal(c.runs, 1);
    assert_int_equal(store_sync(f->store, &why), SHOAL_EIO);
    assert_int_equal(check_content(f->store, f->table), 10);
    reopen(f);
    assert_int_equal(check_content(f->store, f->table), 10);
    assert_int_equal(put_range(f, 10, 20), SHOAL_OK);
}

/* --- opening ---------------------------------------------------------------------------------- */

static void test_file_is_open_once(void **state)
{
    struct fixture *f = *state;
    struct store *second = NULL;
    assert_int_equal(store_open(&f->config, &second, NULL), SHOAL_EBUSY);
    assert_null(second);

    char alias[DISK_PATH_MAX + 32];
    snprintf(alias, sizeof(alias), "%s/alias.mdb", f->dir.path);
    assert_int_equal(symlink(f->dir.file, alias), 0);
    struct store_config by_alias = f->config;
    by_alias.path = alias;
    assert_int_equal(store_open(&by_alias, &second, NULL), SHOAL_EBUSY);

    struct store_config reading = f->config;
    reading.read_only = true;
    assert_int_equal(store_open(&reading, &second, NULL), SHOAL_EBUSY);

    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(store_open(&f->config, &second, NULL) == SHOAL_EBUSY ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    reopen(f);
}

static void test_read_only_opens_side_by_side(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put_range(f, 0, 100), SHOAL_OK);
    assert_int_equal(store_sync(f->store, NULL), SHOAL_OK);
    store_close(f->store);
    struct store_config reading = f->config;
    reading.read_only = true;
    struct store *two[2];
    store_table table = 0;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(store_open(&reading, &two[i], NULL), SHOAL_OK);
        assert_int_equal(store_table_open(two[i], "absent", &table, NULL), SHOAL_ENOTFOUND);
        assert_int_equal(store_table_open(two[i], "t", &table, NULL), SHOAL_OK);
        assert_int_equal(check_content(two[i], table), 100);
    }
    struct change c = { .table = table };
    assert_int_equal(store_write(two[0], change_in_txn, &c, NULL), SHOAL_EINVAL);
    assert_int_equal(store_open(&f->config, &f->store, NULL), SHOAL_EBUSY);
    store_close(two[0]);
    store_close(two[1]);
    open_store(f);
}

static void test_missing_is_not_found(void **state)
{
    struct fixture *f = *state;
    struct store *s = NULL;
    char path[DISK_PATH_MAX + 32];
    snprintf(path, sizeof(path), "%s/none.mdb", f->dir.path);
    const struct store_config reading = { .path = path, .tables_max = 1, .read_only = true };
    assert_int_equal(store_open(&reading, &s, NULL), SHOAL_ENOTFOUND);
    snprintf(path, sizeof(path), "%s/none/s.mdb", f->dir.path);
    const struct store_config writing = {
        .path = path, .tables_max = 1, .map_bytes = MIB, .map_bytes_max = MIB
    };
    assert_int_equal(store_open(&writing, &s, NULL), SHOAL_ENOTFOUND);
    const struct store_config no_tables = { .path = path };
    assert_int_equal(store_open(&no_tables, &s, NULL), SHOAL_EINVAL);
}

static void overwrite(const char *path, off_t at, const char *bytes, size_t len)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, len, at), len);
    close(fd);
}

static void test_foreign_file_is_corrupt_and_stays(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    f->store = NULL;
    char junk[8192];
    memset(junk, 'x', sizeof(junk));
    overwrite(f->dir.file, 0, junk, sizeof(junk));
    struct stat before;
    assert_int_equal(stat(f->dir.file, &before), 0);
    struct errbuf why;
    assert_int_equal(store_open(&f->config, &f->store, &why), SHOAL_ECORRUPT);
    assert_non_null(strstr(why.text, f->dir.file));
    struct stat after;
    assert_int_equal(stat(f->dir.file, &after), 0);
    assert_int_equal(before.st_size, after.st_size);
}

static void test_file_cut_short_is_an_error_not_a_crash(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put_range(f, 0, 500), SHOAL_OK);
    store_close(f->store);
    f->store = NULL;
    assert_int_equal(truncate(f->dir.file, 64 * 1024), 0);
    struct store_config reading = f->config;
    reading.read_only = true;
    struct store *s = NULL;
    struct errbuf why;
    assert_int_equal(store_open(&reading, &s, &why), SHOAL_ECORRUPT);
    assert_non_null(strstr(why.text, "cut short"));

    assert_int_equal(store_open(&f->config, &f->store, NULL), SHOAL_OK);
    assert_int_equal(store_table_open(f->store, "t", &f->table, NULL), SHOAL_ECORRUPT);
}

static void test_file_built_aside_can_be_read_after_its_sync(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    f->store = NULL;
    struct store_config building = f->config;
    char path[DISK_PATH_MAX + 32];
    snprintf(path, sizeof(path), "%s/built.mdb", f->dir.path);
    building.path = path;
    building.sync = STORE_SYNC_BUILD;
    struct fixture built = { .config = building };
    open_store(&built);
    assert_int_equal(put_range(&built, 0, 3000), SHOAL_OK);
    assert_int_equal(delete_range(&built, 2500, 3000), SHOAL_OK);
    assert_int_equal(store_sync(built.store, NULL), SHOAL_OK);
    store_close(built.store);
    built.config.read_only = true;
    open_store(&built);
    assert_int_equal(check_content(built.store, built.table), 2500);
    store_close(built.store);
    open_store(f);
}

static void test_open_survives_each_failed_allocation(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put_range(f, 0, 10), SHOAL_OK);
    store_close(f->store);
    f->store = NULL;
    const size_t live = mem_live();
    bool failed = true;
    for (long nth = 0; failed && nth < ALLOCS_MAX; nth++) {
        struct store *s = NULL;
        struct store_txn *txn = NULL;
        struct store_cursor *c = NULL;
        store_table t = 0;
        test_heap_fail_at(nth);
        enum shoal_err rc = store_open(&f->config, &s, NULL);
        if (rc == SHOAL_OK) {
            rc = store_table_open(s, "t", &t, NULL);
        }
        if (rc == SHOAL_OK) {
            rc = store_read_begin(s, &txn, NULL);
        }
        if (rc == SHOAL_OK) {
            rc = store_cursor_open(txn, t, &c, NULL);
        }
        failed = test_heap_fail_never();
        assert_int_equal(rc, failed ? SHOAL_ENOMEM : SHOAL_OK);
        store_cursor_close(c);
        store_read_end(txn);
        store_close(s);
        assert_int_equal(mem_live(), live);
    }
    assert_false(failed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    test_heap_install();
    const struct CMUnitTest tests[] = {
        TEST(test_committed_values_survive_reopening),
        TEST(test_failed_function_leaves_nothing),
        TEST(test_bad_keys_are_refused),
        TEST(test_every_call_of_a_transaction),
        TEST(test_reader_sees_one_moment),
        TEST(test_map_grows_while_readers_run),
        TEST(test_growth_gives_up_on_a_reader_that_stays),
        TEST(test_full_map_loses_nothing_and_deletes_work),
        TEST(test_file_size_limit_loses_nothing_and_heals),
        TEST(test_full_disk_loses_nothing_and_deletes_work),
        TEST(test_failed_sync_stops_writes_until_reopened),
        TEST(test_file_is_open_once),
        TEST(test_read_only_opens_side_by_side),
        TEST(test_missing_is_not_found),
        TEST(test_foreign_file_is_corrupt_and_stays),
        TEST(test_file_cut_short_is_an_error_not_a_crash),
        TEST(test_file_built_aside_can_be_read_after_its_sync),
        TEST(test_open_survives_each_failed_allocation),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
