/* A group of three in one process: each member with a log store and a state machine of its own,
 * messages handed from one rlog to the next, and a network that can be cut. */
#include "tests/shard/test_rlog_support.h"

#define MEMBERS 3

struct cluster;

struct member {
    struct cluster *cluster;
    uint64_t id;
    struct test_dir dir;
    struct log_store *store;
    struct test_machine machine;
    struct rlog_config config;
    struct rlog *log;
};

struct cluster {
    struct member members[MEMBERS];
    struct mutex mutex; /* guards who can be reached: an rlog is not closed under a message */
    bool apart[MEMBERS];
    size_t live_before;
};

static const uint64_t voters[MEMBERS] = { 1, 2, 3 };

/* A network that may lose what it likes. */
static void deliver(void *arg, uint64_t to, struct slice message)
{
    const struct member *from = arg;
    struct cluster *c = from->cluster;
    assert_in_range(to, 1, MEMBERS);
    mutex_lock(&c->mutex);
    if (!c->apart[from->id - 1] && !c->apart[to - 1]) {
        (void)rlog_receive(c->members[to - 1].log, message);
    }
    mutex_unlock(&c->mutex);
}

static void set_apart(struct cluster *c, size_t i, bool apart)
{
    mutex_lock(&c->mutex);
    c->apart[i] = apart;
    mutex_unlock(&c->mutex);
}

static void member_open(struct member *m)
{
    const struct log_store_config store = { .path = m->dir.file };
    assert_int_equal(log_store_open(&store, &m->store, NULL), SHOAL_OK);
    m->config = (struct rlog_config){ .group = 1,
                                      .node = m->id,
                                      .voters = voters,
                                      .voters_len = MEMBERS,
                                      .store = m->store,
                                      .machine = &m->machine.machine,
                                      .clock = clock_real(),
                                      .rand = rand_system(),
                                      .tick_ms = 10,
                                      .send = deliver,
                                      .send_arg = m };
    struct errbuf why;
    err_clear(&why);
    if (rlog_open(&m->config, &m->log, &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
}

/* It must be apart from the others. */
static void member_close(struct member *m)
{
    rlog_close(m->log);
    m->log = NULL;
    log_store_close(m->store);
    m->store = NULL;
}

static int setup(void **state)
{
    struct cluster *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    c->live_before = mem_live();
    mutex_init(&c->mutex);
    for (size_t i = 0; i < MEMBERS; i++) {
        c->members[i].cluster = c;
        c->members[i].id = i + 1;
        test_dir_make(&c->members[i].dir, test_dir_root(), "log.mdb");
        test_machine_init(&c->members[i].machine);
        c->apart[i] = true;
    }
    for (size_t i = 0; i < MEMBERS; i++) {
        member_open(&c->members[i]);
    }
    for (size_t i = 0; i < MEMBERS; i++) {
        set_apart(c, i, false);
    }
    *state = c;
    return 0;
}

static int teardown(void **state)
{
    struct cluster *c = *state;
    for (size_t i = 0; i < MEMBERS; i++) {
        set_apart(c, i, true);
    }
    for (size_t i = 0; i < MEMBERS; i++) {
        member_close(&c->members[i]);
        test_machine_release(&c->members[i].machine);
        test_dir_remove(&c->members[i].dir);
    }
    mutex_release(&c->mutex);
    const int leaked = mem_live() != c->live_before;
    free(c);
    return leaked;
}

/* Proposes to whoever leads until one takes it. What a leader that is deposed meanwhile had taken
 * may be applied as well, so entries are not counted: states are compared. */
struct taken {
    size_t leader;
    uint64_t index;
};

static struct taken propose_to_leader(struct cluster *c, const char *text)
{
    const uint64_t deadline_ns = test_deadline_ns();
    for (size_t i = 0;; i = (i + 1) % MEMBERS) {
        struct member *m = &c->members[i];
        uint64_t index = 0;
        struct rlog_result result;
        if (!c->apart[i] && rlog_propose_wait(m->log, slice_from_str(text), RLOG_APPLIED,
                                              deadline_ns, &index, &result, NULL) == SHOAL_OK) {
            return (struct taken){ .leader = i, .index = index };
        }
        assert_true(clock_mono_ns(clock_real()) < deadline_ns);
    }
}

/* All members have what the last proposal found, and the same. */
static void check_equal(struct cluster *c)
{
    const uint64_t index = propose_to_leader(c, "the last").index;
    uint64_t hashes[MEMBERS];
    for (size_t i = 0; i < MEMBERS; i++) {
        struct test_machine *m = &c->members[i].machine;
        mutex_lock(&m->mutex);
        while (m->applied < index) {
            assert_true(cond_wait_until(&m->changed, &m->mutex, test_deadline_ns()));
        }
        hashes[i] = m->hash;
        mutex_unlock(&m->mutex);
        assert_int_equal(hashes[i], hashes[0]);
    }
}

static void test_three_elect_one_and_apply_the_same(void **state)
{
    struct cluster *c = *state;
    for (int i = 0; i < 50; i++) {
        char text[32];
        snprintf(text, sizeof(text), "entry %d", i);
        (void)propose_to_leader(c, text);
    }
    check_equal(c);
    assert_true(c->members[0].machine.entries >= 51);
}

static void test_who_does_not_lead_refuses(void **state)
{
    struct cluster *c = *state;
    const uint64_t deadline_ns = test_deadline_ns();
    enum shoal_err rc = SHOAL_OK;
    while (rc != SHOAL_ENOTLEADER) { /* the lead may move between two looks at it */
        const struct taken t = propose_to_leader(c, "first");
        uint64_t index = 0;
        struct rlog_result result;
        rc = rlog_propose_wait(c->members[(t.leader + 1) % MEMBERS].log, SLICE_LIT("x"),
                               RLOG_APPLIED, deadline_ns, &index, &result, NULL);
        assert_true(clock_mono_ns(clock_real()) < deadline_ns);
    }
}

static void keep_answer(void *arg, enum shoal_err rc, uint64_t index,
                        const struct rlog_result *result)
{
    (void)index;
    (void)result;
    atomic_store((_Atomic int *)arg, (int)rc);
}

static void test_a_leader_alone_steps_down_and_its_entries_are_replaced(void **state)
{
    struct cluster *c = *state;
    _Atomic int answer = -1;
    size_t old = 0;
    enum shoal_err rc = SHOAL_ENOTLEADER;
    while (rc != SHOAL_OK) {
        set_apart(c, old, false);
        old = propose_to_leader(c, "first").leader;
        set_apart(c, old, true);
        rc = rlog_propose(c->members[old].log, SLICE_LIT("nobody hears of it"), RLOG_APPLIED,
                          keep_answer, &answer);
    }
    assert_true(propose_to_leader(c, "second").leader != old);
    const uint64_t deadline_ns = test_deadline_ns();
    while (atomic_load(&answer) == -1) { /* check-quorum makes it step down */
        assert_true(clock_mono_ns(clock_real()) < deadline_ns);
        (void)propose_to_leader(c, "more");
    }
    assert_int_equal(atomic_load(&answer), SHOAL_EUNAVAILABLE);
    set_apart(c, old, false);
    check_equal(c);
}

static void test_a_member_that_was_away_catches_up(void **state)
{
    struct cluster *c = *state;
    const size_t away = (propose_to_leader(c, "first").leader + 1) % MEMBERS;
    set_apart(c, away, true);
    member_close(&c->members[away]);
    static char big[64 << 10];
    memset(big, 'b', sizeof(big) - 1);
    for (int i = 0; i < 200; i++) { /* more than the leader holds in memory */
        (void)propose_to_leader(c, big);
    }
    member_open(&c->members[away]);
    set_apart(c, away, false);
    check_equal(c);
}

static void restart_all(struct cluster *c, size_t forgetful)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        set_apart(c, i, true);
    }
    for (size_t i = 0; i < MEMBERS; i++) {
        member_close(&c->members[i]);
    }
    test_machine_forget(&c->members[forgetful].machine);
    for (size_t i = 0; i < MEMBERS; i++) {
        member_open(&c->members[i]);
    }
    for (size_t i = 0; i < MEMBERS; i++) {
        set_apart(c, i, false);
    }
}

static void test_all_restart_and_nothing_is_lost(void **state)
{
    struct cluster *c = *state;
    for (size_t round = 0; round < MEMBERS; round++) {
        (void)propose_to_leader(c, "before");
        restart_all(c, round);
        check_equal(c);
        assert_true(c->members[round].machine.entries >= 2 * (round + 1));
    }
}

static void test_mail_is_bounded(void **state)
{
    struct cluster *c = *state;
    const struct slice long_one = { "x", RLOG_ENTRY_MAX + (4u << 20) };
    assert_int_equal(rlog_receive(c->members[0].log, long_one), SHOAL_ETOOBIG);
    struct test_machine *m = &c->members[0].machine;
    test_machine_set(m, SHOAL_OK, true); /* its thread stands still with the next entry */
    const uint64_t deadline_ns = test_deadline_ns();
    enum shoal_err rc = SHOAL_OK;
    while (rc != SHOAL_EBUSY) {
        rc = rlog_receive(c->members[0].log, SLICE_LIT("no message"));
        assert_true(rc == SHOAL_OK || rc == SHOAL_EBUSY);
        assert_true(clock_mono_ns(clock_real()) < deadline_ns);
    }
    test_machine_set(m, SHOAL_OK, false);
    check_equal(c);
}

int main(void)
{
    test_heap_install();
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_three_elect_one_and_apply_the_same),
        TEST(test_who_does_not_lead_refuses),
        TEST(test_a_leader_alone_steps_down_and_its_entries_are_replaced),
        TEST(test_a_member_that_was_away_catches_up),
        TEST(test_all_restart_and_nothing_is_lost),
        TEST(test_mail_is_bounded),
    };
    return cmocka_run_group_tests_name("rlog_cluster", tests, NULL, NULL);
}
