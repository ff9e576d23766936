/* The replicated log's promises in a group of one: order, batches, what survives, what is replayed,
 * and what happens when log or state machine fail. */
#include "tests/shard/test_rlog_support.h"

struct fixture {
    struct test_dir dir;
    struct log_store *store;
    struct test_machine machine;
    struct rlog_config config;
    struct rlog *log;
    size_t live_before;
};

static const uint64_t only_voter = 1;

static void open_store(struct fixture *f)
{
    const struct log_store_config config = { .path = f->dir.file };
    assert_int_equal(log_store_open(&config, &f->store, NULL), SHOAL_OK);
    f->config.store = f->store;
}

static void open_log(struct fixture *f)
{
    struct errbuf why;
    err_clear(&why);
    if (rlog_open(&f->config, &f->log, &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->live_before = mem_live();
    test_dir_make(&f->dir, test_dir_root(), "log.mdb");
    test_machine_init(&f->machine);
    f->config = (struct rlog_config){ .group = 7,
                                      .node = only_voter,
                                      .voters = &only_voter,
                                      .voters_len = 1,
                                      .machine = &f->machine.machine,
                                      .clock = clock_real(),
                                      .rand = rand_system() };
    open_store(f);
    open_log(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    rlog_close(f->log);
    log_store_close(f->store);
    test_machine_release(&f->machine);
    test_dir_remove(&f->dir);
    const int leaked = mem_live() != f->live_before;
    free(f);
    return leaked;
}

static enum shoal_err propose(struct fixture *f, const char *text, uint64_t *index,
                              struct rlog_result *result, struct errbuf *why)
{
    return rlog_propose_wait(f->log, slice_from_str(text), RLOG_APPLIED, test_deadline_ns(), index,
                             result, why);
}

static void must_propose(struct fixture *f, const char *text)
{
    uint64_t index = 0;
    struct rlog_result result;
    assert_int_equal(propose(f, text, &index, &result, NULL), SHOAL_OK);
}

static void test_proposal_is_applied_and_answered(void **state)
{
    struct fixture *f = *state;
    uint64_t first = 0;
    uint64_t second = 0;
    struct rlog_result result;
    assert_int_equal(propose(f, "one", &first, &result, NULL), SHOAL_OK);
    assert_int_equal(result.value, hash64_seeded("one", 3, 0));
    assert_int_equal(propose(f, "two", &second, &result, NULL), SHOAL_OK);
    assert_int_equal(second, first + 1);
    assert_int_equal(f->machine.entries, 2);
}

static void test_refusal_by_the_machine_comes_with_its_text(void **state)
{
    struct fixture *f = *state;
    uint64_t index = 0;
    struct rlog_result result;
    struct errbuf why;
    err_clear(&why);
    assert_int_equal(propose(f, "refuse me", &index, &result, &why), SHOAL_ECONFLICT);
    assert_non_null(strstr(why.text, "refused at"));
    assert_true(index > 0);
}

static void test_what_was_applied_survives_and_is_not_applied_again(void **state)
{
    struct fixture *f = *state;
    must_propose(f, "one");
    must_propose(f, "two");
    for (int i = 0; i < 3; i++) {
        rlog_close(f->log);
        f->log = NULL;
        log_store_close(f->store);
        open_store(f);
        open_log(f);
        must_propose(f, "again");
    }
    assert_int_equal(f->machine.entries, 5);
}

static void test_machine_behind_the_log_catches_up(void **state)
{
    struct fixture *f = *state;
    const uint64_t begin = f->machine.applied;
    for (int i = 0; i < 1000; i++) {
        char text[32];
        snprintf(text, sizeof(text), "entry %d", i);
        must_propose(f, text);
    }
    const uint64_t hash = f->machine.hash;
    rlog_close(f->log);
    f->log = NULL;
    f->machine.applied = 0; /* its store lost everything; the log has it */
    f->machine.hash = 0;
    f->machine.entries = 0;
    (void)begin;
    open_log(f);
    assert_int_equal(f->machine.entries, 1000);
    assert_int_equal(f->machine.hash, hash);
}

int main(void)
{
    test_heap_install();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_proposal_is_applied_and_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusal_by_the_machine_comes_with_its_text, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_what_was_applied_survives_and_is_not_applied_again,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_machine_behind_the_log_catches_up, setup, teardown),
    };
    return cmocka_run_group_tests_name("rlog", tests, NULL, NULL);
}
