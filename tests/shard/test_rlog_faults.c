/* What a replicated log does when its log or its state machine fails: what may be healed heals by
 * itself, what may not stops, and nothing that was acknowledged is lost either way. */
#include "tests/shard/test_rlog_support.h"

#include "shard/log_format.h"
#include "shard/store.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MIB (1u << 20)

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

static char big_text[100 << 10];

/* Proposes until the log has no room for more; the number of proposals that were acknowledged. */
static uint64_t fill_log(struct rlog_fixture *f)
{
    for (uint64_t n = 0; n < 10000; n++) {
        uint64_t index = 0;
        struct rlog_result result;
        const enum shoal_err rc = propose(f, big_text, &index, &result, NULL);
        if (rc == SHOAL_EFULL) {
            return n;
        }
        assert_int_equal(rc, SHOAL_OK);
    }
    fail_msg("the log never fills");
    return 0;
}

static void small_log(struct rlog_fixture *f)
{
    f->map_bytes_max = 8 * MIB;
    f->config.log_bytes_keep = 64 * MIB; /* it is cut for want of room only */
    rlog_fixture_reopen(f);
}

/* Until it succeeds: the group heals by itself, after a while that nobody can know. */
static void propose_until_taken(struct rlog_fixture *f)
{
    const uint64_t deadline_ns = test_deadline_ns();
    uint64_t index = 0;
    struct rlog_result result;
    while (propose(f, "room again", &index, &result, NULL) != SHOAL_OK) {
        assert_true(clock_mono_ns(clock_real()) < deadline_ns);
        struct rlog_status s;
        rlog_status(f->log, &s);
        assert_int_equal(s.stopped, SHOAL_OK);
    }
}

static void test_a_full_log_is_cut_and_nobody_notices(void **state)
{
    struct rlog_fixture *f = *state;
    small_log(f);
    for (int i = 0; i < 300; i++) {
        must_propose(f, big_text);
    }
    assert_int_equal(f->machine.entries, 300);
    assert_true(f->machine.checkpoints > 0);
    rlog_fixture_reopen(f);
    assert_int_equal(f->machine.entries, 300);
}

static void test_a_log_that_cannot_be_cut_refuses_and_heals(void **state)
{
    struct rlog_fixture *f = *state;
    f->machine.durable_max = 0;
    small_log(f);
    const uint64_t acknowledged = fill_log(f);
    assert_true(acknowledged > 10);
    assert_int_equal(f->machine.entries, acknowledged); /* what was refused is not applied */
    mutex_lock(&f->machine.mutex);
    f->machine.durable_max = UINT64_MAX;
    mutex_unlock(&f->machine.mutex);
    propose_until_taken(f);
    assert_int_equal(f->machine.entries, acknowledged + 1);
    rlog_fixture_reopen(f);
    must_propose(f, "on");
    assert_int_equal(f->machine.entries, acknowledged + 2);
}

static void test_what_is_too_large_for_the_rest_leaves_room_for_small_ones(void **state)
{
    struct rlog_fixture *f = *state;
    f->machine.durable_max = 0;
    small_log(f);
    char *large = mem_calloc(1, MIB);
    assert_non_null(large);
    memset(large, 'x', MIB - 1);
    uint64_t taken = 0;
    uint64_t index = 0;
    struct rlog_result result;
    enum shoal_err rc;
    while ((rc = propose(f, large, &index, &result, NULL)) == SHOAL_OK) {
        taken++;
    }
    assert_int_equal(rc, SHOAL_EFULL);
    for (uint64_t i = 0; i < 20; i++) { /* at once, and again after each that is refused */
        must_propose(f, "small");
        assert_int_equal(propose(f, large, &index, &result, NULL), SHOAL_EFULL);
    }
    assert_int_equal(f->machine.entries, taken + 20);
    mem_free(large);
    rlog_fixture_reopen(f);
    assert_int_equal(f->machine.entries, taken + 20);
}

static void test_a_full_log_opens(void **state)
{
    struct rlog_fixture *f = *state;
    f->machine.durable_max = 0;
    small_log(f);
    const uint64_t acknowledged = fill_log(f);
    const uint64_t hash = f->machine.hash;
    rlog_fixture_close(f);
    test_machine_forget(&f->machine);
    rlog_fixture_open(f); /* it cannot even write its new term */
    assert_int_equal(f->machine.entries, acknowledged);
    assert_int_equal(f->machine.hash, hash);
    mutex_lock(&f->machine.mutex);
    f->machine.durable_max = UINT64_MAX;
    mutex_unlock(&f->machine.mutex);
    propose_until_taken(f);
}

static void test_a_failed_sync_stops_the_group(void **state)
{
    struct rlog_fixture *f = *state;
    must_propose(f, "one");
    atomic_store(&sync_failures, 1);
    uint64_t index = 0;
    struct rlog_result result;
    assert_int_equal(propose(f, "two", &index, &result, NULL), SHOAL_EIO);
    assert_int_equal(propose(f, "three", &index, &result, NULL), SHOAL_EIO);
    struct rlog_status s;
    rlog_status(f->log, &s);
    assert_int_equal(s.stopped, SHOAL_EIO);
    assert_int_equal(f->machine.entries, 1);
    rlog_fixture_reopen(f);
    must_propose(f, "four");
    assert_true(f->machine.entries == 2 || f->machine.entries == 3); /* two: unknown */
}

static void test_each_failed_allocation_refuses_or_is_made_up_for(void **state)
{
    struct rlog_fixture *f = *state;
    must_propose(f, "the first of its term");
    uint64_t taken = 1;
    uint64_t refused = 0;
    for (long nth = 0; nth < 40; nth++) {
        uint64_t index = 0;
        struct rlog_result result;
        test_heap_fail_at(nth % 10);
        const enum shoal_err rc = propose(f, "scarce", &index, &result, NULL);
        (void)test_heap_fail_never();
        assert_true(rc == SHOAL_OK || rc == SHOAL_ENOMEM);
        taken += rc == SHOAL_OK;
        refused += rc != SHOAL_OK;
    }
    assert_true(taken > 1 && refused > 0);
    assert_int_equal(f->machine.entries, taken);
}

/* --- the state machine ------------------------------------------------------------------------ */

static void wait_for_failures(struct rlog_fixture *f, uint64_t failures)
{
    mutex_lock(&f->machine.mutex);
    while (f->machine.failures < failures) {
        assert_true(cond_wait_until(&f->machine.changed, &f->machine.mutex, test_deadline_ns()));
    }
    mutex_unlock(&f->machine.mutex);
}

static void count_ok(void *arg, enum shoal_err rc, uint64_t index, const struct rlog_result *result)
{
    (void)index;
    (void)result;
    atomic_fetch_add((_Atomic int *)arg, rc == SHOAL_OK);
}

static void test_a_machine_short_of_room_or_memory_is_tried_again(void **state)
{
    struct rlog_fixture *f = *state;
    const enum shoal_err causes[] = { SHOAL_EFULL, SHOAL_ENOMEM };
    must_propose(f, "the first of its term");
    for (size_t i = 0; i < 2; i++) {
        _Atomic int answered = 0;
        const uint64_t applied = f->machine.entries;
        const uint64_t failures = f->machine.failures;
        test_machine_set(&f->machine, causes[i], false);
        assert_int_equal(
            rlog_propose(f->log, SLICE_LIT("patient"), RLOG_APPLIED, count_ok, &answered),
            SHOAL_OK);
        wait_for_failures(f, failures + 3);
        assert_int_equal(atomic_load(&answered), 0);
        uint64_t index = 0;
        struct rlog_result result;
        if (causes[i] == SHOAL_EFULL) {
            assert_int_equal(propose(f, "not now", &index, &result, NULL), SHOAL_EFULL);
        }
        test_machine_set(&f->machine, SHOAL_OK, false);
        test_machine_wait(&f->machine, applied + 1);
        propose_until_taken(f);
        assert_int_equal(atomic_load(&answered), 1);
    }
}

struct outcome {
    _Atomic bool answered;
    enum shoal_err rc;
};

static void keep_outcome(void *arg, enum shoal_err rc, uint64_t index,
                         const struct rlog_result *result)
{
    struct outcome *o = arg;
    (void)index;
    (void)result;
    o->rc = rc;
    atomic_store(&o->answered, true);
}

/* The first proposal is synced and waits for the machine when the second finds no room. */
static void test_what_is_taken_back_is_only_what_was_not_written(void **state)
{
    struct rlog_fixture *f = *state;
    f->machine.durable_max = 0;
    small_log(f);
    must_propose(f, "the first of its term");
    static char huge[12 * MIB];
    struct outcome first = { .rc = SHOAL_OK };
    struct outcome second = { .rc = SHOAL_OK };
    gate_set(true);
    assert_int_equal(rlog_propose(f->log, SLICE_LIT("written"), RLOG_APPLIED, keep_outcome, &first),
                     SHOAL_OK);
    gate_wait();
    assert_int_equal(
        rlog_propose(f->log, slice_make(huge, sizeof(huge)), RLOG_APPLIED, keep_outcome, &second),
        SHOAL_OK);
    test_machine_set(&f->machine, SHOAL_ENOMEM, false);
    gate_set(false);
    const uint64_t deadline_ns = test_deadline_ns();
    while (!atomic_load(&second.answered)) {
        assert_true(clock_mono_ns(clock_real()) < deadline_ns);
    }
    assert_int_equal(second.rc, SHOAL_EFULL);
    assert_false(atomic_load(&first.answered));
    test_machine_set(&f->machine, SHOAL_OK, false);
    test_machine_wait(&f->machine, 2);
    propose_until_taken(f);
    assert_true(atomic_load(&first.answered));
    assert_int_equal(first.rc, SHOAL_OK);
    assert_int_equal(f->machine.entries, 3);
}

static void test_a_broken_machine_stops_the_group(void **state)
{
    struct rlog_fixture *f = *state;
    must_propose(f, "one");
    test_machine_set(&f->machine, SHOAL_ECORRUPT, false);
    uint64_t index = 0;
    struct rlog_result result;
    assert_int_equal(propose(f, "two", &index, &result, NULL), SHOAL_ECORRUPT);
    test_machine_set(&f->machine, SHOAL_OK, false);
    assert_int_equal(propose(f, "three", &index, &result, NULL), SHOAL_ECORRUPT);
    rlog_fixture_close(f);
    test_machine_set(&f->machine, SHOAL_EIO, false);
    struct errbuf why;
    err_clear(&why);
    assert_int_equal(rlog_open(&f->config, &f->log, &why), SHOAL_EIO); /* at the replay */
    test_machine_set(&f->machine, SHOAL_OK, false);
    rlog_fixture_open(f);
    must_propose(f, "four");
    assert_int_equal(f->machine.entries, 3); /* two was committed */
}

/* --- damage ----------------------------------------------------------------------------------- */

static enum shoal_err remove_in_txn(void *arg, struct store_txn *txn, struct errbuf *why)
{
    const uint64_t *at = arg; /* table, group, index */
    char key[LOG_KEY_LEN];
    log__key(key, at[1], at[2]);
    return store_delete(txn, (store_table)at[0], slice_make(key, sizeof(key)), why);
}

static void test_a_hole_in_the_log_is_refused(void **state)
{
    struct rlog_fixture *f = *state;
    for (int i = 0; i < 10; i++) {
        must_propose(f, "one of ten");
    }
    rlog_fixture_close(f);
    log_store_close(f->store);
    f->store = NULL;
    const struct store_config config = {
        .path = f->dir.file, .map_bytes = MIB, .map_bytes_max = 64 * MIB, .tables_max = 3
    };
    struct store *store = NULL;
    store_table table = 0;
    assert_int_equal(store_open(&config, &store, NULL), SHOAL_OK);
    assert_int_equal(store_table_open(store, "entries", &table, NULL), SHOAL_OK);
    uint64_t at[] = { table, f->config.group, 5 };
    assert_int_equal(store_write(store, remove_in_txn, at, NULL), SHOAL_OK);
    store_close(store);
    rlog_fixture_store(f);
    rlog_fixture_open(f); /* what was applied before is not read again */
    rlog_fixture_close(f);
    test_machine_forget(&f->machine);
    struct errbuf why;
    err_clear(&why);
    assert_int_equal(rlog_open(&f->config, &f->log, &why), SHOAL_ECORRUPT);
    assert_non_null(strstr(why.text, "entry 5"));
}

int main(void)
{
    test_heap_install();
    mutex_init(&gate.mutex);
    cond_init(&gate.changed);
    memset(big_text, 'x', sizeof(big_text) - 1);
#define TEST(function) cmocka_unit_test_setup_teardown(function, rlog_setup, rlog_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_full_log_is_cut_and_nobody_notices),
        TEST(test_a_log_that_cannot_be_cut_refuses_and_heals),
        TEST(test_what_is_too_large_for_the_rest_leaves_room_for_small_ones),
        TEST(test_a_full_log_opens),
        TEST(test_a_failed_sync_stops_the_group),
        TEST(test_each_failed_allocation_refuses_or_is_made_up_for),
        TEST(test_a_machine_short_of_room_or_memory_is_tried_again),
        TEST(test_what_is_taken_back_is_only_what_was_not_written),
        TEST(test_a_broken_machine_stops_the_group),
        TEST(test_a_hole_in_the_log_is_refused),
    };
    return cmocka_run_group_tests_name("rlog_faults", tests, NULL, NULL);
}
