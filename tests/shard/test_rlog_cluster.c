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

/* Proposes to whoever leads until one takes it; the leader's place. */
static size_t propose_to_leader(struct cluster *c, const char *text)
{
    const uint64_t deadline_ns = test_deadline_ns();
    for (size_t i = 0;; i = (i + 1) % MEMBERS) {
        struct member *m = &c->members[i];
        uint64_t index = 0;
        struct rlog_result result;
        if (!c->apart[i] && m->log != NULL &&
            rlog_propose_wait(m->log, slice_from_str(text), RLOG_APPLIED, deadline_ns, &index,
                              &result, NULL) == SHOAL_OK) {
            return i;
        }
        assert_true(clock_mono_ns(clock_real()) < deadline_ns);
    }
}

static void check_equal(struct cluster *c, uint64_t entries)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        test_machine_wait(&c->members[i].machine, entries);
    }
    for (size_t i = 0; i < MEMBERS; i++) {
        assert_int_equal(c->members[i].machine.entries, entries);
        assert_int_equal(c->members[i].machine.hash, c->members[0].machine.hash);
    }
}

static void test_three_elect_one_and_apply_the_same(void **state)
{
    struct cluster *c = *state;
    const size_t leader = propose_to_leader(c, "first");
    for (int i = 0; i < 50; i++) {
        char text[32];
        snprintf(text, sizeof(text), "entry %d", i);
        (void)propose_to_leader(c, text);
    }
    check_equal(c, 51);
    struct rlog_status s;
    rlog_status(c->members[leader].log, &s);
    assert_true(s.leader >= 1 && s.leader <= MEMBERS);
    const size_t follower = (size_t)s.leader % MEMBERS;
    uint64_t index = 0;
    struct rlog_result result;
    assert_int_equal(rlog_propose_wait(c->members[follower].log, SLICE_LIT("x"), RLOG_APPLIED,
                                       test_deadline_ns(), &index, &result, NULL),
                     SHOAL_ENOTLEADER);
}

static void count_unknown(void *arg, enum shoal_err rc, uint64_t index,
                          const struct rlog_result *result)
{
    (void)index;
    (void)result;
    assert_int_equal(rc, SHOAL_EUNAVAILABLE);
    atomic_fetch_add((_Atomic int *)arg, 1);
}

static void test_a_leader_alone_steps_down_and_its_entries_are_replaced(void **state)
{
    struct cluster *c = *state;
    const size_t old = propose_to_leader(c, "first");
    _Atomic int unknown = 0;
    set_apart(c, old, true);
    assert_int_equal(rlog_propose(c->members[old].log, SLICE_LIT("nobody hears of it"),
                                  RLOG_APPLIED, count_unknown, &unknown),
                     SHOAL_OK);
    const size_t next = propose_to_leader(c, "second");
    assert_true(next != old);
    const uint64_t deadline_ns = test_deadline_ns();
    while (atomic_load(&unknown) == 0) { /* check-quorum makes it step down */
        assert_true(clock_mono_ns(clock_real()) < deadline_ns);
        (void)propose_to_leader(c, "more");
    }
    set_apart(c, old, false);
    const uint64_t entries = c->members[next].machine.entries;
    check_equal(c, entries);
}

static void test_a_member_that_was_away_catches_up(void **state)
{
    struct cluster *c = *state;
    const size_t leader = propose_to_leader(c, "first");
    const size_t away = (leader + 1) % MEMBERS;
    set_apart(c, away, true);
    member_close(&c->members[away]);
    static char big[64 << 10];
    memset(big, 'b', sizeof(big) - 1);
    for (int i = 0; i < 200; i++) { /* more than the leader holds in memory */
        (void)propose_to_leader(c, big);
    }
    member_open(&c->members[away]);
    set_apart(c, away, false);
    check_equal(c, 201);
}

static void test_all_restart_and_nothing_is_lost(void **state)
{
    struct cluster *c = *state;
    for (int round = 0; round < 3; round++) {
        (void)propose_to_leader(c, "before");
        for (size_t i = 0; i < MEMBERS; i++) {
            set_apart(c, i, true);
        }
        for (size_t i = 0; i < MEMBERS; i++) {
            member_close(&c->members[i]);
            if (i == (size_t)round) {
                test_machine_forget(&c->members[i].machine);
            }
        }
        for (size_t i = 0; i < MEMBERS; i++) {
            member_open(&c->members[i]);
        }
        for (size_t i = 0; i < MEMBERS; i++) {
            set_apart(c, i, false);
        }
        (void)propose_to_leader(c, "after");
        check_equal(c, 2 * ((uint64_t)round + 1));
    }
}

int main(void)
{
    test_heap_install();
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_three_elect_one_and_apply_the_same),
        TEST(test_a_leader_alone_steps_down_and_its_entries_are_replaced),
        TEST(test_a_member_that_was_away_catches_up),
        TEST(test_all_restart_and_nothing_is_lost),
    };
    return cmocka_run_group_tests_name("rlog_cluster", tests, NULL, NULL);
}
