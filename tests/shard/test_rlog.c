/* The replicated log's promises in a group of one: order, batches, what survives, what is replayed,
 * cutting, and how calls end. */
#include "tests/shard/test_rlog_support.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_proposal_is_applied_and_answered(void **state)
{
    struct rlog_fixture *f = *state;
    uint64_t first = 0;
    uint64_t second = 0;
    struct rlog_result result;
    assert_int_equal(propose(f, "one", &first, &result, NULL), SHOAL_OK);
    assert_int_equal(result.value, hash64_seeded("one", 3, 0));
    assert_int_equal(propose(f, "two", &second, &result, NULL), SHOAL_OK);
    assert_int_equal(second, first + 1);
    assert_int_equal(f->machine.entries, 2);
    struct rlog_status s;
    rlog_status(f->log, &s);
    assert_int_equal(s.leader, only_voter);
    assert_int_equal(s.stopped, SHOAL_OK);
}

static void test_refusal_by_the_machine_comes_with_its_text(void **state)
{
    struct rlog_fixture *f = *state;
    uint64_t index = 0;
    struct rlog_result result;
    struct errbuf why;
    err_clear(&why);
    assert_int_equal(propose(f, "refuse me", &index, &result, &why), SHOAL_ECONFLICT);
    assert_non_null(strstr(why.text, "refused at"));
    assert_true(index > 0);
    must_propose(f, "and on it goes");
}

/* --- what survives ---------------------------------------------------------------------------- */

static void test_what_was_applied_survives_and_is_not_applied_again(void **state)
{
    struct rlog_fixture *f = *state;
    must_propose(f, "one");
    must_propose(f, "two");
    for (int i = 0; i < 3; i++) {
        rlog_fixture_reopen(f);
        must_propose(f, "again");
    }
    assert_int_equal(f->machine.entries, 5);
}

static void test_machine_behind_the_log_catches_up(void **state)
{
    struct rlog_fixture *f = *state;
    for (int i = 0; i < 300; i++) {
        char text[32];
        snprintf(text, sizeof(text), "entry %d", i);
        must_propose(f, text);
    }
    const uint64_t hash = f->machine.hash;
    rlog_fixture_close(f);
    test_machine_forget(&f->machine);
    rlog_fixture_open(f);
    rlog_fixture_close(f); /* the entry that opening appends may still be being applied */
    assert_int_equal(f->machine.entries, 300);
    assert_int_equal(f->machine.hash, hash);
    assert_true(f->machine.len_max > 1);
}

/* Proposes one after another, and tells of each that was answered. */
static void propose_until_killed(struct rlog_fixture *f, int to)
{
    rlog_fixture_store(f);
    rlog_fixture_open(f);
    for (uint64_t n = f->machine.entries;;) {
        uint64_t index = 0;
        struct rlog_result result;
        if (propose(f, "written", &index, &result, NULL) != SHOAL_OK) {
            _exit(1);
        }
        n++;
        if (write(to, &n, sizeof(n)) != sizeof(n)) {
            _exit(2);
        }
    }
}

static void test_a_killed_process_loses_nothing_it_answered(void **state)
{
    struct rlog_fixture *f = *state;
    for (int round = 0; round < 5; round++) {
        rlog_fixture_close(f);
        log_store_close(f->store);
        test_machine_forget(&f->machine); /* it lives in memory, and goes with the process */
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        const pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            close(ends[0]);
            propose_until_killed(f, ends[1]);
        }
        close(ends[1]);
        uint64_t answered = 0;
        for (int i = 0; i < 30 + 11 * round; i++) {
            assert_int_equal(read(ends[0], &answered, sizeof(answered)), sizeof(answered));
        }
        kill(pid, SIGKILL);
        while (read(ends[0], &answered, sizeof(answered)) == sizeof(answered)) {
        }
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        close(ends[0]);
        rlog_fixture_store(f);
        rlog_fixture_open(f);
        assert_true(f->machine.entries == answered || f->machine.entries == answered + 1);
    }
}

static void test_state_that_does_not_fit_the_log_is_refused(void **state)
{
    struct rlog_fixture *f = *state;
    f->config.log_bytes_keep = 1;
    rlog_fixture_reopen(f);
    for (int i = 0; i < 10; i++) {
        must_propose(f, "cut off soon");
    }
    rlog_fixture_close(f);
    const uint64_t applied = f->machine.applied;
    struct errbuf why;
    f->machine.applied = applied + 1000;
    err_clear(&why);
    assert_int_equal(rlog_open(&f->config, &f->log, &why), SHOAL_ECORRUPT);
    assert_null(f->log);
    assert_non_null(strstr(why.text, "the log ends at"));
    f->machine.applied = 1;
    err_clear(&why);
    assert_int_equal(rlog_open(&f->config, &f->log, &why), SHOAL_ECORRUPT);
    assert_non_null(strstr(why.text, "the log begins with"));
    f->machine.applied = applied;
    rlog_fixture_open(f);
}

static void test_the_log_is_cut_when_it_is_long(void **state)
{
    struct rlog_fixture *f = *state;
    f->config.log_bytes_keep = 64 << 10;
    rlog_fixture_reopen(f);
    static char big[4096];
    memset(big, 'x', sizeof(big) - 1);
    struct rlog_status s;
    for (int i = 0; i < 200; i++) {
        must_propose(f, big);
        rlog_status(f->log, &s);
        assert_true(s.log_bytes < 2 * f->config.log_bytes_keep);
    }
    assert_true(f->machine.checkpoints > 3);
    assert_true(s.first_index > 100);
    rlog_fixture_reopen(f);
    assert_int_equal(f->machine.entries, 200);
    must_propose(f, "on");
}

/* --- many at once ----------------------------------------------------------------------------- */

#define PROPOSERS 8
#define PROPOSALS_EACH 50

struct proposer {
    struct rlog *log;
    struct thread thread;
    uint64_t indices[PROPOSALS_EACH];
    unsigned failures;
};

static void propose_many(void *arg)
{
    struct proposer *p = arg;
    for (int i = 0; i < PROPOSALS_EACH; i++) {
        struct rlog_result result;
        p->failures += rlog_propose_wait(p->log, SLICE_LIT("together"), RLOG_APPLIED,
                                         test_deadline_ns(), &p->indices[i], &result,
                                         NULL) != SHOAL_OK;
    }
}

static void test_concurrent_proposals_each_get_their_index(void **state)
{
    struct rlog_fixture *f = *state;
    static struct proposer proposers[PROPOSERS];
    for (int i = 0; i < PROPOSERS; i++) {
        proposers[i] = (struct proposer){ .log = f->log };
        assert_int_equal(
            thread_start(&proposers[i].thread, "proposer", propose_many, &proposers[i], NULL),
            SHOAL_OK);
    }
    static bool seen[PROPOSERS * PROPOSALS_EACH + 10];
    memset(seen, 0, sizeof(seen));
    for (int i = 0; i < PROPOSERS; i++) {
        thread_join(&proposers[i].thread);
        assert_int_equal(proposers[i].failures, 0);
        for (int j = 0; j < PROPOSALS_EACH; j++) {
            const uint64_t index = proposers[i].indices[j];
            assert_true(index < sizeof(seen) && !seen[index]);
            assert_true(j == 0 || index > proposers[i].indices[j - 1]);
            seen[index] = true;
        }
    }
    assert_int_equal(f->machine.entries, PROPOSERS * PROPOSALS_EACH);
}

/* Counts answers; each proposal gets one. */
struct counting {
    struct mutex mutex;
    struct cond changed;
    unsigned answers;
    unsigned by_rc[32];
    uint64_t last_index;
};

static void count_answer(void *arg, enum shoal_err rc, uint64_t index,
                         const struct rlog_result *result)
{
    struct counting *c = arg;
    (void)result;
    mutex_lock(&c->mutex);
    c->answers++;
    c->by_rc[rc]++;
    if (rc == SHOAL_OK) {
        assert_true(index > c->last_index);
        c->last_index = index;
    }
    cond_signal(&c->changed);
    mutex_unlock(&c->mutex);
}

static void counting_wait(struct counting *c, unsigned answers)
{
    mutex_lock(&c->mutex);
    while (c->answers < answers) {
        assert_true(cond_wait_until(&c->changed, &c->mutex, test_deadline_ns()));
    }
    mutex_unlock(&c->mutex);
}

static void counting_init(struct counting *c)
{
    *c = (struct counting){ .answers = 0 };
    mutex_init(&c->mutex);
    cond_init(&c->changed);
}

static void counting_release(struct counting *c)
{
    cond_release(&c->changed);
    mutex_release(&c->mutex);
}

static void test_what_waits_is_written_and_applied_together(void **state)
{
    struct rlog_fixture *f = *state;
    must_propose(f, "the first of its term");
    struct log_store_stats before;
    log_store_stats(f->store, &before);
    const uint64_t calls_before = f->machine.calls;
    struct counting c;
    counting_init(&c);
    test_machine_set(&f->machine, SHOAL_OK, true);
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(rlog_propose(f->log, SLICE_LIT("x"), RLOG_APPLIED, count_answer, &c),
                         SHOAL_OK);
    }
    test_machine_set(&f->machine, SHOAL_OK, false);
    counting_wait(&c, 2000);
    assert_int_equal(c.by_rc[SHOAL_OK], 2000);
    struct log_store_stats after;
    log_store_stats(f->store, &after);
    assert_true(after.commits - before.commits < 20);
    assert_true(f->machine.calls - calls_before < 40);
    counting_release(&c);
}

static void test_committed_is_answered_before_it_is_applied(void **state)
{
    struct rlog_fixture *f = *state;
    must_propose(f, "the first of its term");
    test_machine_set(&f->machine, SHOAL_OK, true);
    uint64_t index = 0;
    struct rlog_result result;
    assert_int_equal(rlog_propose_wait(f->log, SLICE_LIT("x"), RLOG_COMMITTED, test_deadline_ns(),
                                       &index, &result, NULL),
                     SHOAL_OK);
    assert_true(index > f->machine.applied);
    test_machine_set(&f->machine, SHOAL_OK, false);
    test_machine_wait(&f->machine, 2);
}

static void test_queue_is_bounded_and_proposals_have_a_largest_size(void **state)
{
    struct rlog_fixture *f = *state;
    must_propose(f, "the first of its term");
    struct counting c;
    counting_init(&c);
    test_machine_set(&f->machine, SHOAL_OK, true);
    for (int i = 0; i < RLOG_QUEUE_LEN_MAX; i++) {
        assert_int_equal(rlog_propose(f->log, SLICE_LIT("x"), RLOG_APPLIED, count_answer, &c),
                         SHOAL_OK);
    }
    assert_int_equal(rlog_propose(f->log, SLICE_LIT("x"), RLOG_APPLIED, count_answer, &c),
                     SHOAL_EBUSY);
    test_machine_set(&f->machine, SHOAL_OK, false);
    counting_wait(&c, RLOG_QUEUE_LEN_MAX);
    assert_int_equal(c.by_rc[SHOAL_OK], RLOG_QUEUE_LEN_MAX);
    const struct slice big = { "x", RLOG_ENTRY_MAX + 1 };
    assert_int_equal(rlog_propose(f->log, big, RLOG_APPLIED, count_answer, &c), SHOAL_ETOOBIG);
    counting_release(&c);
}

/* --- how calls end ---------------------------------------------------------------------------- */

static void test_deadline_means_unknown(void **state)
{
    struct rlog_fixture *f = *state;
    must_propose(f, "the first of its term");
    test_machine_set(&f->machine, SHOAL_OK, true);
    uint64_t index = 0;
    struct rlog_result result;
    assert_int_equal(rlog_propose_wait(f->log, SLICE_LIT("late"), RLOG_APPLIED,
                                       clock_mono_ns(clock_real()), &index, &result, NULL),
                     SHOAL_ETIMEOUT);
    test_machine_set(&f->machine, SHOAL_OK, false);
    test_machine_wait(&f->machine, 2);
}

static void test_closing_answers_every_proposal(void **state)
{
    struct rlog_fixture *f = *state;
    for (int round = 0; round < 20; round++) {
        struct counting c;
        counting_init(&c);
        const unsigned len = 1 + 17u * (unsigned)round;
        for (unsigned i = 0; i < len; i++) {
            assert_int_equal(rlog_propose(f->log, SLICE_LIT("x"), RLOG_APPLIED, count_answer, &c),
                             SHOAL_OK);
        }
        rlog_fixture_close(f);
        assert_int_equal(c.answers, len);
        assert_int_equal(c.by_rc[SHOAL_OK] + c.by_rc[SHOAL_ECANCELED], len);
        counting_release(&c);
        rlog_fixture_open(f);
    }
}

static void test_open_survives_each_failed_allocation(void **state)
{
    struct rlog_fixture *f = *state;
    for (int known = 0; known < 2; known++) { /* a group to begin, and one that is there */
        must_propose(f, "to be replayed");
        rlog_fixture_close(f);
        const size_t live = mem_live();
        bool failed = true;
        for (long nth = 0; failed && nth < ALLOCS_MAX; nth++) {
            test_machine_forget(&f->machine);
            if (known == 0) {
                const enum shoal_err rc = log_store_drop(f->store, f->config.group, NULL);
                assert_true(rc == SHOAL_OK || rc == SHOAL_ENOTFOUND);
            }
            test_heap_fail_at(nth);
            const enum shoal_err rc = rlog_open(&f->config, &f->log, NULL);
            failed = test_heap_fail_never() && rc != SHOAL_OK;
            if (rc != SHOAL_OK) {
                assert_int_equal(rc, SHOAL_ENOMEM);
                assert_null(f->log);
                assert_int_equal(mem_live(), live);
            }
        }
        assert_non_null(f->log);
    }
    assert_int_equal(f->machine.entries, 1);
    must_propose(f, "fine");
}

static void test_configuration_is_checked(void **state)
{
    struct rlog_fixture *f = *state;
    rlog_fixture_close(f);
    struct rlog_config c = f->config;
    struct rlog *log = NULL;
    c.group = 8;
    c.voters_len = 0;
    assert_int_equal(rlog_open(&c, &log, NULL), SHOAL_EINVAL);
    const uint64_t others[] = { 2, 3 };
    c.voters = others;
    c.voters_len = 2;
    assert_int_equal(rlog_open(&c, &log, NULL), SHOAL_EINVAL);
    const uint64_t twice[] = { 1, 2, 2 };
    c.voters = twice;
    c.voters_len = 3;
    assert_int_equal(rlog_open(&c, &log, NULL), SHOAL_EINVAL);
    c.group = 0;
    assert_int_equal(rlog_open(&c, &log, NULL), SHOAL_EINVAL);
    assert_null(log);
    rlog_close(NULL);
    rlog_fixture_open(f);
}

int main(void)
{
    test_heap_install();
#define TEST(function) cmocka_unit_test_setup_teardown(function, rlog_setup, rlog_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_proposal_is_applied_and_answered),
        TEST(test_refusal_by_the_machine_comes_with_its_text),
        TEST(test_what_was_applied_survives_and_is_not_applied_again),
        TEST(test_machine_behind_the_log_catches_up),
        TEST(test_a_killed_process_loses_nothing_it_answered),
        TEST(test_state_that_does_not_fit_the_log_is_refused),
        TEST(test_the_log_is_cut_when_it_is_long),
        TEST(test_concurrent_proposals_each_get_their_index),
        TEST(test_what_waits_is_written_and_applied_together),
        TEST(test_committed_is_answered_before_it_is_applied),
        TEST(test_queue_is_bounded_and_proposals_have_a_largest_size),
        TEST(test_deadline_means_unknown),
        TEST(test_closing_answers_every_proposal),
        TEST(test_open_survives_each_failed_allocation),
        TEST(test_configuration_is_checked),
    };
    return cmocka_run_group_tests_name("rlog", tests, NULL, NULL);
}
