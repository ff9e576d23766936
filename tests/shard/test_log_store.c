/* The log store's promises: what was answered with success is on disk, groups share syncs, and a
 * batch that does not fit is refused alone. */
#include "tests/shard/test_log_support.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* LMDB's syncs pass here: failed and held up on demand. */
static _Atomic int sync_failures;
static struct {
    struct mutex mutex;
    struct cond changed;
    bool held;
    bool waiting;
} gate;

int fdatasync(int fildes)
{
    if (atomic_load(&sync_failures) > 0 && atomic_fetch_sub(&sync_failures, 1) > 0) {
        errno = EIO;
        return -1;
    }
    mutex_lock(&gate.mutex);
    gate.waiting = gate.held;
    cond_broadcast(&gate.changed);
    while (gate.held) {
        cond_wait(&gate.changed, &gate.mutex);
    }
    gate.waiting = false;
    mutex_unlock(&gate.mutex);
    return (int)syscall(SYS_fdatasync, fildes);
}

static void gate_set(bool held)
{
    mutex_lock(&gate.mutex);
    gate.held = held;
    cond_broadcast(&gate.changed);
    mutex_unlock(&gate.mutex);
}

static void gate_wait(void)
{
    mutex_lock(&gate.mutex);
    while (!gate.waiting) {
        cond_wait(&gate.changed, &gate.mutex);
    }
    mutex_unlock(&gate.mutex);
}

static void test_what_was_written_is_there_after_reopening(void **state)
{
    struct log_fixture *f = *state;
    uint64_t terms[200] = { 0 };
    assert_int_equal(write_entries(f, GROUP, 1, 50, 1), SHOAL_OK);
    fill_terms(terms, 1, 50, 1);
    struct sending *s = sending_new(GROUP, 51, 70, 3);
    s->batch.has_hard_state = true;
    s->batch.hard_state = (struct log_hard_state){ .term = 3, .vote = 2, .commit = 44 };
    log_store_submit(f->log, &s->batch);
    assert_int_equal(sending_end(s), SHOAL_OK);
    fill_terms(terms, 51, 120, 3);
    for (int round = 0; round < 2; round++) {
        check_all(f, 1, 120, terms);
        struct log_group_state g;
        assert_int_equal(log_store_load(f->log, GROUP, 120, &g, NULL), SHOAL_OK);
        assert_int_equal(g.hard_state.term, 3);
        assert_int_equal(g.hard_state.vote, 2);
        assert_int_equal(g.hard_state.commit, 44);
        char *members = NULL;
        size_t len = 0;
        assert_int_equal(log_store_members(f->log, GROUP, &members, &len, NULL), SHOAL_OK);
        assert_true(slice_is(slice_make(members, len), "members"));
        mem_free(members);
        close_log(f);
        open_log(f);
    }
}

static void test_reading_stops_when_told(void **state)
{
    struct log_fixture *f = *state;
    uint64_t terms[20] = { 0 };
    fill_terms(terms, 1, 10, 1);
    assert_int_equal(write_entries(f, GROUP, 1, 10, 1), SHOAL_OK);
    struct checking c = { .want = 3, .terms = terms, .stop_at = 6 };
    assert_int_equal(log_store_read(f->log, GROUP, 3, 11, check_entry, &c, NULL), SHOAL_OK);
    assert_int_equal(c.want, 6);
    assert_int_equal(log_store_read(f->log, GROUP, 5, 12, check_entry, &c, NULL), SHOAL_ENOTFOUND);
    assert_int_equal(log_store_read(f->log, GROUP, 0, 3, check_entry, &c, NULL), SHOAL_ENOTFOUND);
    assert_int_equal(log_store_read(f->log, GROUP, 4, 4, check_entry, &c, NULL), SHOAL_OK);
}

static void test_a_later_leader_replaces_the_tail(void **state)
{
    struct log_fixture *f = *state;
    uint64_t terms[100] = { 0 };
    assert_int_equal(write_entries(f, GROUP, 1, 20, 1), SHOAL_OK);
    assert_int_equal(write_entries(f, GROUP, 21, 20, 2), SHOAL_OK);
    assert_int_equal(write_entries(f, GROUP, 11, 5, 4), SHOAL_OK);
    fill_terms(terms, 1, 10, 1);
    fill_terms(terms, 11, 15, 4);
    check_all(f, 1, 15, terms);
    struct log_term_run *runs = NULL;
    size_t len = 0;
    assert_int_equal(log_store_runs(f->log, GROUP, &runs, &len, NULL), SHOAL_OK);
    assert_int_equal(len, 2);
    assert_int_equal(runs[0].first_index, 1);
    assert_int_equal(runs[0].term, 1);
    assert_int_equal(runs[1].first_index, 11);
    assert_int_equal(runs[1].term, 4);
    mem_free(runs);
    uint64_t term = 0;
    assert_int_equal(log_store_term(f->log, GROUP, 16, &term, NULL), SHOAL_ENOTFOUND);
}

static void test_a_batch_that_does_not_fit_is_refused_alone(void **state)
{
    struct log_fixture *f = *state;
    uint64_t terms[100] = { 0 };
    fill_terms(terms, 1, 12, 1);
    assert_int_equal(write_entries(f, GROUP, 1, 10, 1), SHOAL_OK);
    gate_set(true);
    struct sending *blocker = sending_new(GROUP, 11, 1, 1);
    log_store_submit(f->log, &blocker->batch);
    gate_wait();
    /* These wait together and go in one transaction. */
    struct sending *hole = sending_new(GROUP, 14, 2, 1);
    struct sending *stranger = sending_new(GROUP + 1, 1, 1, 1);
    struct sending *jumping = sending_new(GROUP, 12, 3, 1);
    jumping->entries[2].index = 17;
    struct sending *sinking = sending_new(GROUP, 12, 3, 2);
    sinking->entries[2].term = 1;
    struct sending *fine = sending_new(GROUP, 12, 1, 1);
    log_store_submit(f->log, &hole->batch);
    log_store_submit(f->log, &stranger->batch);
    log_store_submit(f->log, &jumping->batch);
    log_store_submit(f->log, &sinking->batch);
    log_store_submit(f->log, &fine->batch);
    gate_set(false);
    assert_int_equal(sending_end(blocker), SHOAL_OK);
    assert_int_equal(sending_end(hole), SHOAL_EINVAL);
    assert_int_equal(sending_end(stranger), SHOAL_ENOTFOUND);
    assert_int_equal(sending_end(jumping), SHOAL_EINVAL);
    assert_int_equal(sending_end(sinking), SHOAL_EINVAL);
    assert_int_equal(sending_end(fine), SHOAL_OK);
    check_all(f, 1, 12, terms);
}

static void test_groups_that_wait_share_one_sync(void **state)
{
    struct log_fixture *f = *state;
    enum { GROUPS = 32 };
    for (uint64_t g = 0; g < GROUPS; g++) {
        assert_int_equal(log_store_begin(f->log, 100 + g, SLICE_LIT("m"), NULL), SHOAL_OK);
    }
    gate_set(true);
    struct sending *first = sending_new(GROUP, 1, 1, 1);
    log_store_submit(f->log, &first->batch);
    gate_wait();
    struct sending *waiting[GROUPS];
    for (uint64_t g = 0; g < GROUPS; g++) {
        waiting[g] = sending_new(100 + g, 1, 3, 1);
        log_store_submit(f->log, &waiting[g]->batch);
    }
    gate_set(false);
    assert_int_equal(sending_end(first), SHOAL_OK);
    for (uint64_t g = 0; g < GROUPS; g++) {
        assert_int_equal(sending_end(waiting[g]), SHOAL_OK);
    }
    struct log_store_stats stats;
    log_store_stats(f->log, &stats);
    assert_int_equal(stats.batches, 1 + GROUPS);
    assert_int_equal(stats.commits, 2);
    assert_true(stats.used_bytes > 0 && stats.map_bytes >= stats.used_bytes);
}

/* --- cutting, dropping ------------------------------------------------------------------------ */

static void test_cut_entries_are_gone_and_the_rest_stays(void **state)
{
    struct log_fixture *f = *state;
    static uint64_t terms[6000];
    assert_int_equal(write_entries(f, GROUP, 1, 3000, 1), SHOAL_OK); /* several pieces */
    assert_int_equal(write_entries(f, GROUP, 3001, 100, 2), SHOAL_OK);
    fill_terms(terms, 1, 3000, 1);
    fill_terms(terms, 3001, 3105, 2);
    assert_int_equal(log_store_cut(f->log, GROUP, 2990, NULL), SHOAL_OK);
    check_all(f, 2991, 3100, terms);
    uint64_t term = 0;
    assert_int_equal(log_store_term(f->log, GROUP, 2990, &term, NULL), SHOAL_OK);
    assert_int_equal(term, 1);
    assert_int_equal(log_store_term(f->log, GROUP, 2989, &term, NULL), SHOAL_ENOTFOUND);
    assert_int_equal(log_store_cut(f->log, GROUP, 100, NULL), SHOAL_OK); /* long gone */
    assert_int_equal(log_store_cut(f->log, GROUP, 3101, NULL), SHOAL_EINVAL);
    assert_int_equal(log_store_cut(f->log, GROUP + 1, 1, NULL), SHOAL_ENOTFOUND);
    assert_int_equal(write_entries(f, GROUP, 2990, 1, 5), SHOAL_EINVAL);
    check_all(f, 2991, 3100, terms);
    assert_int_equal(log_store_cut(f->log, GROUP, 3100, NULL), SHOAL_OK);
    struct log_group_state g;
    assert_int_equal(log_store_load(f->log, GROUP, 0, &g, NULL), SHOAL_OK);
    assert_int_equal(g.first_index, 3101);
    assert_int_equal(g.last_index, 3100);
    assert_int_equal(g.cut_term, 2);
    assert_int_equal(g.bytes, 0);
    assert_int_equal(write_entries(f, GROUP, 3101, 5, 2), SHOAL_OK);
    check_all(f, 3101, 3105, terms);
}

static void test_a_dropped_group_leaves_nothing(void **state)
{
    struct log_fixture *f = *state;
    assert_int_equal(log_store_begin(f->log, GROUP, SLICE_LIT("m"), NULL), SHOAL_EEXISTS);
    assert_int_equal(log_store_begin(f->log, GROUP + 1, SLICE_LIT("m"), NULL), SHOAL_OK);
    assert_int_equal(write_entries(f, GROUP, 1, 2500, 1), SHOAL_OK);
    assert_int_equal(write_entries(f, GROUP + 1, 1, 10, 1), SHOAL_OK);
    assert_int_equal(log_store_drop(f->log, GROUP, NULL), SHOAL_OK);
    assert_int_equal(log_store_drop(f->log, GROUP, NULL), SHOAL_ENOTFOUND);
    struct log_group_state g;
    assert_int_equal(log_store_load(f->log, GROUP, 0, &g, NULL), SHOAL_ENOTFOUND);
    assert_int_equal(write_entries(f, GROUP, 1, 1, 1), SHOAL_ENOTFOUND);
    assert_int_equal(log_store_begin(f->log, GROUP, SLICE_LIT("m"), NULL), SHOAL_OK);
    assert_int_equal(log_store_load(f->log, GROUP, 0, &g, NULL), SHOAL_OK);
    assert_int_equal(g.last_index, 0);
    assert_int_equal(log_store_load(f->log, GROUP + 1, 0, &g, NULL), SHOAL_OK);
    assert_int_equal(g.last_index, 10);
}

/* --- failures --------------------------------------------------------------------------------- */

static void test_after_a_failed_sync_nothing_more_is_taken(void **state)
{
    struct log_fixture *f = *state;
    uint64_t terms[100] = { 0 };
    fill_terms(terms, 1, 10, 1);
    assert_int_equal(write_entries(f, GROUP, 1, 10, 1), SHOAL_OK);
    atomic_store(&sync_failures, 1);
    assert_int_equal(write_entries(f, GROUP, 11, 10, 1), SHOAL_EIO);
    assert_int_equal(write_entries(f, GROUP, 11, 10, 1), SHOAL_EIO);
    close_log(f);
    open_log(f);
    struct log_group_state g;
    assert_int_equal(log_store_load(f->log, GROUP, 0, &g, NULL), SHOAL_OK);
    assert_true(g.last_index == 10 || g.last_index == 20); /* unknown, but whole */
    assert_int_equal(write_entries(f, GROUP, 11, 1, 2), SHOAL_OK);
    terms[11] = 2;
    check_all(f, 1, 11, terms);
}

static void test_a_full_log_goes_on_after_a_cut(void **state)
{
    struct log_fixture *f = *state;
    close_log(f);
    f->config.map_bytes_max = 8 * MIB;
    open_log(f);
    uint64_t last = 0;
    enum shoal_err rc = SHOAL_OK;
    while (rc == SHOAL_OK) {
        rc = write_entries(f, GROUP, last + 1, 1000, 1);
        last += rc == SHOAL_OK ? 1000 : 0;
        assert_true(last < 1000000);
    }
    assert_int_equal(rc, SHOAL_EFULL);
    assert_true(last > 0);
    load_finds(f, 0, SHOAL_OK, NULL);
    assert_int_equal(write_entries(f, GROUP, last + 1, 1000, 1), SHOAL_EFULL);
    assert_int_equal(log_store_cut(f->log, GROUP, last - 10, NULL), SHOAL_OK);
    assert_int_equal(write_entries(f, GROUP, last + 1, 1000, 1), SHOAL_OK);
    load_finds(f, 0, SHOAL_OK, NULL);
}

static void test_open_and_load_survive_each_failed_allocation(void **state)
{
    struct log_fixture *f = *state;
    assert_int_equal(write_entries(f, GROUP, 1, 20, 1), SHOAL_OK);
    close_log(f);
    const size_t live = mem_live();
    bool failed = true;
    for (long nth = 0; failed && nth < ALLOCS_MAX; nth++) {
        struct log_store *log = NULL;
        struct log_group_state g;
        struct log_term_run *runs = NULL;
        char *members = NULL;
        size_t len = 0;
        test_heap_fail_at(nth);
        enum shoal_err rc = log_store_open(&f->config, &log, NULL);
        rc = rc != SHOAL_OK ? rc : log_store_load(log, GROUP, 0, &g, NULL);
        rc = rc != SHOAL_OK ? rc : log_store_runs(log, GROUP, &runs, &len, NULL);
        rc = rc != SHOAL_OK ? rc : log_store_members(log, GROUP, &members, &len, NULL);
        rc = rc != SHOAL_OK ? rc : log_store_cut(log, GROUP, 5, NULL);
        failed = test_heap_fail_never();
        assert_int_equal(rc, failed ? SHOAL_ENOMEM : SHOAL_OK);
        mem_free(members);
        mem_free(runs);
        log_store_close(log);
        assert_int_equal(mem_live(), live);
    }
    assert_false(failed);
}

static void test_a_batch_without_memory_can_be_tried_again(void **state)
{
    struct log_fixture *f = *state;
    uint64_t terms[100] = { 0 };
    fill_terms(terms, 1, 30, 1);
    assert_int_equal(write_entries(f, GROUP, 1, 20, 1), SHOAL_OK);
    unsigned failures = 0;
    enum shoal_err rc = SHOAL_ENOMEM;
    for (long nth = 0; rc == SHOAL_ENOMEM && nth < ALLOCS_MAX; nth++) {
        test_heap_fail_at(nth);
        rc = write_entries(f, GROUP, 11, 20, 1); /* replaces some, adds some */
        (void)test_heap_fail_never();
        failures += rc == SHOAL_ENOMEM;
    }
    assert_int_equal(rc, SHOAL_OK);
    assert_true(failures > 0);
    check_all(f, 1, 30, terms);
}

/* --- a process that dies ---------------------------------------------------------------------- */

/* Writes batch after batch, and tells of each that was answered. */
static void write_until_killed(const struct log_store_config *config, int to)
{
    struct log_fixture child = { .config = *config };
    if (log_store_open(config, &child.log, NULL) != SHOAL_OK) {
        _exit(1);
    }
    struct log_group_state g;
    if (log_store_load(child.log, GROUP, 0, &g, NULL) != SHOAL_OK) {
        _exit(2);
    }
    for (uint64_t last = g.last_index;; last += 7) {
        const uint64_t answered = last + 7;
        if (write_entries(&child, GROUP, last + 1, 7, 1) != SHOAL_OK ||
            write(to, &answered, sizeof(answered)) != sizeof(answered)) {
            _exit(3);
        }
    }
}

static void test_a_killed_process_loses_nothing_it_answered(void **state)
{
    struct log_fixture *f = *state;
    static uint64_t terms[200000];
    fill_terms(terms, 1, 199999, 1);
    uint64_t answered = 0;
    for (int round = 0; round < 5; round++) {
        close_log(f);
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        const pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            close(ends[0]);
            write_until_killed(&f->config, ends[1]);
        }
        close(ends[1]);
        for (int i = 0; i < 20 + round * 7; i++) {
            assert_int_equal(read(ends[0], &answered, sizeof(answered)), sizeof(answered));
        }
        kill(pid, SIGKILL);
        while (read(ends[0], &answered, sizeof(answered)) == sizeof(answered)) {
        }
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        close(ends[0]);
        open_log(f);
        struct log_group_state g;
        assert_int_equal(log_store_load(f->log, GROUP, 0, &g, NULL), SHOAL_OK);
        assert_true(g.last_index >= answered);
        assert_int_equal(g.last_index % 7, 0); /* a batch is there whole or not at all */
        check_all(f, 1, g.last_index, terms);
    }
}

int main(void)
{
    test_heap_install();
    mutex_init(&gate.mutex);
    cond_init(&gate.changed);
    data_of_entries_fill();
#define TEST(function) cmocka_unit_test_setup_teardown(function, log_setup, log_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_what_was_written_is_there_after_reopening),
        TEST(test_reading_stops_when_told),
        TEST(test_a_later_leader_replaces_the_tail),
        TEST(test_a_batch_that_does_not_fit_is_refused_alone),
        TEST(test_groups_that_wait_share_one_sync),
        TEST(test_cut_entries_are_gone_and_the_rest_stays),
        TEST(test_a_dropped_group_leaves_nothing),
        TEST(test_after_a_failed_sync_nothing_more_is_taken),
        TEST(test_a_full_log_goes_on_after_a_cut),
        TEST(test_open_and_load_survive_each_failed_allocation),
        TEST(test_a_batch_without_memory_can_be_tried_again),
        TEST(test_a_killed_process_loses_nothing_it_answered),
    };
    return cmocka_run_group_tests_name("log_store", tests, NULL, NULL);
}
