/* The raft face without threads, disks or clocks: three nodes stepped by hand. What a round gives,
 * that the same seed repeats itself, and that no message, however broken, ends the process. */
#include "tests/shard/test_store_support.h"

#include "base/rand.h"
#include "shard/raft_face.h"

#include <inttypes.h>

#define NODES 3
#define MESSAGES_MAX 4096
#define LOG_MAX 512

struct letter {
    uint64_t to;
    char *bytes;
    size_t len;
};

/* A node with the log that it was told to write. */
struct stepped {
    struct raft_node *node;
    uint64_t terms[LOG_MAX]; /* by index */
    uint64_t last_index;
    struct log_hard_state hard_state;
    uint64_t applied;
};

struct net {
    struct stepped nodes[NODES];
    struct letter letters[MESSAGES_MAX];
    size_t len;
};

static const uint64_t voters[NODES] = { 1, 2, 3 };

static bool read_nothing(void *arg, uint64_t lo, uint64_t hi, uint64_t bytes_max,
                         struct raft_sink *sink)
{
    (void)arg;
    (void)lo;
    (void)hi;
    (void)bytes_max;
    (void)sink;
    return false;
}

static struct raft_node *node_new(uint64_t id, uint64_t seed, size_t voters_len)
{
    const struct raft_node_config config = { .id = id,
                                             .voters = voters,
                                             .voters_len = voters_len,
                                             .election_ticks = 10,
                                             .heartbeat_ticks = 2,
                                             .seed = seed,
                                             .read = read_nothing };
    struct raft_node *node = raft_node_new(&config);
    assert_non_null(node);
    return node;
}

static void net_init(struct net *n, uint64_t seed)
{
    memset(n, 0, sizeof(*n));
    for (size_t i = 0; i < NODES; i++) {
        n->nodes[i].node = node_new(i + 1, seed, NODES);
    }
}

static void net_release(struct net *n)
{
    for (size_t i = 0; i < NODES; i++) {
        raft_node_free(n->nodes[i].node);
    }
    for (size_t i = 0; i < n->len; i++) {
        free(n->letters[i].bytes);
    }
}

static void post(struct net *n, const struct raft_ready *ready)
{
    for (size_t i = 0; i < ready->messages_len; i++) {
        const struct raft_message *m = &ready->messages[i];
        assert_true(n->len < MESSAGES_MAX);
        char *copy = malloc(m->bytes.len);
        assert_non_null(copy);
        memcpy(copy, m->bytes.data, m->bytes.len);
        n->letters[n->len++] = (struct letter){ .to = m->to, .bytes = copy, .len = m->bytes.len };
    }
}

static void apply_all(struct stepped *s)
{
    struct log_entry entries[16];
    size_t len = 0;
    while ((len = raft_node_unapplied(s->node, entries, 16, SIZE_MAX)) > 0) {
        for (size_t i = 0; i < len; i++) {
            assert_int_equal(entries[i].index, s->applied + 1);
            assert_int_equal(entries[i].term, s->terms[entries[i].index]); /* it was written */
            s->applied++;
        }
        raft_node_applied(s->node, s->applied);
    }
}

/* One node's round: what is ready is written, sent and applied. */
static void round_of(struct net *n, struct stepped *s)
{
    while (raft_node_has_ready(s->node)) {
        struct raft_ready ready;
        raft_node_take(s->node, &ready);
        for (size_t i = 0; i < ready.entries_len; i++) {
            const struct log_entry *e = &ready.entries[i];
            assert_true(e->index >= 1 && e->index <= s->last_index + 1 && e->index < LOG_MAX);
            s->terms[e->index] = e->term;
            s->last_index = e->index;
        }
        if (ready.has_hard_state) {
            assert_true(ready.hard_state.term >= s->hard_state.term);
            s->hard_state = ready.hard_state;
        }
        raft_node_persisted(s->node);
        post(n, &ready);
        apply_all(s);
    }
}

/* Delivers what lies there at the beginning. */
static void deliver(struct net *n)
{
    const size_t len = n->len;
    for (size_t i = 0; i < len; i++) {
        const struct letter *l = &n->letters[i];
        (void)raft_node_step(n->nodes[l->to - 1].node, slice_make(l->bytes, l->len));
        free(l->bytes);
    }
    memmove(n->letters, n->letters + len, (n->len - len) * sizeof(n->letters[0]));
    n->len -= len;
    for (size_t i = 0; i < NODES; i++) {
        round_of(n, &n->nodes[i]);
    }
}

static void tick_all(struct net *n)
{
    for (size_t i = 0; i < NODES; i++) {
        raft_node_tick(n->nodes[i].node);
        round_of(n, &n->nodes[i]);
    }
    for (int i = 0; i < 8 && n->len > 0; i++) {
        deliver(n);
    }
}

/* The leader that all know, and the ticks it took. */
static uint64_t elect(struct net *n, unsigned *ticks)
{
    for (*ticks = 0; *ticks < 200; ++*ticks) {
        tick_all(n);
        struct raft_node_status s[NODES];
        for (size_t i = 0; i < NODES; i++) {
            raft_node_status(n->nodes[i].node, &s[i]);
        }
        if (s[0].leader != 0 && s[0].leader == s[1].leader && s[1].leader == s[2].leader) {
            assert_true(s[s[0].leader - 1].is_leader);
            return s[0].leader;
        }
    }
    fail_msg("no leader");
    return 0;
}

static void test_three_nodes_elect_and_commit(void **state)
{
    (void)state;
    static struct net n;
    net_init(&n, 1);
    unsigned ticks = 0;
    const uint64_t leader = elect(&n, &ticks);
    struct raft_node *node = n.nodes[leader - 1].node;
    const uint64_t first = raft_node_propose(node, SLICE_LIT("one"));
    assert_true(first > 0);
    assert_int_equal(raft_node_propose(node, SLICE_LIT("two")), first + 1);
    assert_int_equal(raft_node_propose(n.nodes[leader % NODES].node, SLICE_LIT("x")), 0);
    for (int i = 0; i < 4; i++) {
        tick_all(&n);
    }
    for (size_t i = 0; i < NODES; i++) {
        assert_int_equal(n.nodes[i].applied, first + 1);
        assert_memory_equal(n.nodes[i].terms, n.nodes[0].terms, sizeof(n.nodes[0].terms));
    }
    net_release(&n);
}

static void test_the_same_seed_elects_the_same_leader_at_the_same_tick(void **state)
{
    (void)state;
    static struct net n;
    bool differ = false;
    unsigned first_ticks = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        unsigned ticks[2];
        uint64_t leader[2];
        for (int i = 0; i < 2; i++) {
            net_init(&n, seed);
            leader[i] = elect(&n, &ticks[i]);
            net_release(&n);
        }
        assert_int_equal(ticks[0], ticks[1]);
        assert_int_equal(leader[0], leader[1]);
        differ = differ || (seed > 1 && ticks[0] != first_ticks);
        first_ticks = seed == 1 ? ticks[0] : first_ticks;
    }
    assert_true(differ);
}

static void test_the_only_voter_leads_at_once(void **state)
{
    (void)state;
    struct raft_node *node = node_new(1, 1, 1);
    raft_node_campaign(node);
    struct raft_node_status s;
    raft_node_status(node, &s);
    assert_true(s.is_leader);
    const uint64_t index = raft_node_propose(node, SLICE_LIT("one"));
    assert_int_equal(index, 2); /* after the empty entry of its term */
    struct raft_ready ready;
    assert_true(raft_node_has_ready(node));
    raft_node_take(node, &ready);
    assert_int_equal(ready.entries_len, 2);
    assert_int_equal(ready.entries[0].data.len, 0);
    assert_true(slice_is(ready.entries[1].data, "one"));
    assert_true(ready.must_sync && ready.has_hard_state);
    struct log_entry entries[4];
    assert_int_equal(raft_node_unapplied(node, entries, 4, SIZE_MAX), 0); /* not synced yet */
    raft_node_persisted(node);
    raft_node_take(node, &ready);
    assert_false(ready.must_sync);
    assert_int_equal(ready.hard_state.commit, 2);
    assert_int_equal(raft_node_unapplied(node, entries, 1, SIZE_MAX), 1);
    assert_int_equal(raft_node_unapplied(node, entries, 4, SIZE_MAX), 2);
    raft_node_applied(node, 2);
    raft_node_cut(node, 2, 1);
    raft_node_persisted(node);
    assert_int_equal(raft_node_propose(node, SLICE_LIT("after the cut")), 3);
    raft_node_free(node);
    raft_node_free(NULL);
}

static void test_a_wrong_configuration_gives_no_node(void **state)
{
    (void)state;
    struct raft_node_config config = { .id = 1,
                                       .voters = voters,
                                       .voters_len = 1,
                                       .election_ticks = 2,
                                       .heartbeat_ticks = 2,
                                       .read = read_nothing };
    assert_null(raft_node_new(&config)); /* an election as short as a heartbeat */
    config.election_ticks = 10;
    const struct log_term_run run = { 1, 1 };
    config.last_index = 3;
    config.runs = &run;
    config.runs_len = 1;
    config.hard_state = (struct log_hard_state){ .term = 1, .commit = 3 };
    assert_null(raft_node_new(&config)); /* its entries cannot be read */
}

static uint64_t test_seed(void)
{
    const char *given = getenv("SHOAL_TEST_SEED");
    const uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : rand_u64(rand_system());
    print_message("SHOAL_TEST_SEED=%" PRIu64 "\n", seed);
    return seed;
}

/* Changes some bytes of a real message, or its length. */
static size_t break_letter(const struct rand_source *r, char *bytes, size_t len)
{
    const uint64_t changes = 1 + rand_below(r, 3);
    for (uint64_t i = 0; i < changes; i++) {
        bytes[rand_below(r, len)] = (char)rand_u64(r);
    }
    return rand_below(r, 4) == 0 ? rand_below(r, len + 1) : len;
}

/* Each broken message goes to a node that then goes on with the sound ones; what the nodes agree on
 * is not looked at, since a changed message may lie convincingly. */
static void test_broken_messages_are_refused_or_survived(void **state)
{
    (void)state;
    struct rand_seeded seeded;
    rand_seeded_init(&seeded, test_seed());
    const struct rand_source *r = &seeded.source;
    static struct net n;
    for (int run = 0; run < 2000; run++) {
        net_init(&n, rand_u64(r));
        unsigned ticks = 0;
        const uint64_t leader = elect(&n, &ticks);
        for (int i = 0; i < 10; i++) {
            (void)raft_node_propose(n.nodes[leader - 1].node, SLICE_LIT("some data to carry"));
            raft_node_tick(n.nodes[leader - 1].node);
            round_of(&n, &n.nodes[leader - 1]);
            for (size_t l = 0; l < n.len; l++) {
                char broken[512];
                const size_t len = n.letters[l].len;
                if (len == 0 || len > sizeof(broken)) {
                    continue;
                }
                memcpy(broken, n.letters[l].bytes, len);
                const size_t broken_len = break_letter(r, broken, len);
                (void)raft_node_step(n.nodes[n.letters[l].to - 1].node,
                                     slice_make(broken, broken_len));
            }
            deliver(&n);
        }
        net_release(&n);
    }
}

static void test_bytes_that_are_no_message_are_refused(void **state)
{
    (void)state;
    struct raft_node *node = node_new(1, 1, NODES);
    assert_false(raft_node_step(node, slice_make(NULL, 0)));
    assert_false(raft_node_step(node, SLICE_LIT("not a message")));
    assert_false(raft_node_step(node, SLICE_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")));
    assert_false(raft_node_has_ready(node));
    raft_node_free(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_nodes_elect_and_commit),
        cmocka_unit_test(test_the_same_seed_elects_the_same_leader_at_the_same_tick),
        cmocka_unit_test(test_the_only_voter_leads_at_once),
        cmocka_unit_test(test_a_wrong_configuration_gives_no_node),
        cmocka_unit_test(test_broken_messages_are_refused_or_survived),
        cmocka_unit_test(test_bytes_that_are_no_message_are_refused),
    };
    return cmocka_run_group_tests_name("raft_face", tests, NULL, NULL);
}
