/* The network in memory: order, deadlines, losses, cuts, and runs that repeat. */
#include "base/mem.h"
#include "tests/support/heap.h"
#include "wire/transport_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MS 1000000u
#define CALLS 200

struct fixture {
    struct clock_manual clock;
    struct rand_seeded rand;
    struct transport *transport;
    struct transport_listener *listener;
    struct transport_peer *peer;
    size_t served;
    struct transport_exchange *kept; /* held instead of answered, when `hold` */
    bool hold;
    size_t live_before;
};

static void serve(void *arg, struct transport_exchange *x, struct slice message)
{
    struct fixture *f = arg;
    f->served++;
    if (f->hold) {
        f->kept = x;
    } else {
        transport_answer(x, message);
    }
}

static void open_network(struct fixture *f, uint64_t seed, double loss)
{
    clock_manual_init(&f->clock, 5 * MS);
    rand_seeded_init(&f->rand, seed);
    const struct transport_mem_config config = { .clock = &f->clock,
                                                 .rand = &f->rand.source,
                                                 .delay_ns_min = 1 * MS,
                                                 .delay_ns_max = 3 * MS,
                                                 .loss = loss };
    assert_int_equal(transport_mem_new(&config, &f->transport, NULL), SHOAL_OK);
    assert_int_equal(transport_listen(f->transport, "mem://a", serve, f, &f->listener, NULL),
                     SHOAL_OK);
    assert_int_equal(transport_dial(f->transport, "mem://a", &f->peer, NULL), SHOAL_OK);
}

static void close_network(struct fixture *f)
{
    transport_peer_free(f->peer);
    transport_listener_free(f->listener);
    transport_free(f->transport);
    f->peer = NULL;
    f->listener = NULL;
    f->transport = NULL;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        return -1;
    }
    f->live_before = test_heap_live();
    *state = f;
    open_network(f, 1, 0);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    test_heap_fail_never();
    if (f->transport != NULL) {
        close_network(f);
    }
    int leaked = test_heap_live() != f->live_before;
    free(f);
    return leaked ? -1 : 0;
}

static void test_a_call_takes_the_time_of_both_ways(void **state)
{
    struct fixture *f = *state;
    struct transport_reply *reply = NULL;
    uint64_t begin = f->clock.now_ns;
    assert_int_equal(transport_call_wait(f->peer, SLICE_LIT("hello"), 100, &reply, NULL), SHOAL_OK);
    assert_true(slice_is(transport_reply_bytes(reply), "hello"));
    uint64_t took = f->clock.now_ns - begin;
    assert_in_range(took, 2 * MS, 6 * MS);
    transport_reply_free(reply);
}

static void test_the_deadline_ends_a_call_whose_answer_is_late(void **state)
{
    struct fixture *f = *state;
    struct transport_reply *reply = NULL;
    uint64_t begin = f->clock.now_ns;
    f->hold = true;
    assert_int_equal(transport_call_wait(f->peer, SLICE_LIT("x"), 50, &reply, NULL),
                     SHOAL_ETIMEOUT);
    assert_null(reply);
    assert_int_equal(f->clock.now_ns - begin, 50 * MS);
    assert_int_equal(f->served, 1);
    transport_answer(f->kept, SLICE_LIT("late"));
    while (transport_step(f->transport)) {
    }
}

struct outcome {
    enum shoal_err rc;
    unsigned times;
};

static void record(void *arg, enum shoal_err rc, struct transport_reply *reply)
{
    struct outcome *o = arg;
    o->rc = rc;
    o->times++;
    transport_reply_free(reply);
}

/* How many of CALLS calls succeed, and a hash of the order in which they end. */
static uint64_t run(struct fixture *f, size_t *succeeded)
{
    static struct outcome outcomes[CALLS];
    memset(outcomes, 0, sizeof(outcomes));
    for (size_t i = 0; i < CALLS; i++) {
        assert_int_equal(
            transport_call(f->peer, SLICE_LIT("m"), 20 + (uint32_t)i % 7, record, &outcomes[i]),
            SHOAL_OK);
    }
    uint64_t order = 0;
    while (transport_step(f->transport)) {
        for (size_t i = 0; i < CALLS; i++) {
            order = order * 31 + outcomes[i].times * (i + 1);
        }
    }
    *succeeded = 0;
    for (size_t i = 0; i < CALLS; i++) {
        assert_int_equal(outcomes[i].times, 1);
        assert_true(outcomes[i].rc == SHOAL_OK || outcomes[i].rc == SHOAL_ETIMEOUT);
        *succeeded += outcomes[i].rc == SHOAL_OK;
    }
    return order;
}

static void test_a_run_repeats_with_its_seed_and_loses_its_share(void **state)
{
    struct fixture *f = *state;
    uint64_t orders[3];
    size_t succeeded[3];
    static const uint64_t seeds[3] = { 7, 7, 8 };
    for (size_t i = 0; i < 3; i++) {
        close_network(f);
        open_network(f, seeds[i], 0.2);
        orders[i] = run(f, &succeeded[i]);
    }
    assert_true(orders[0] == orders[1] && succeeded[0] == succeeded[1]);
    assert_true(orders[0] != orders[2]);
    assert_in_range(succeeded[0], CALLS / 2, CALLS * 4 / 5); /* .64 are expected */
}

static void test_a_cut_loses_everything_until_it_is_mended(void **state)
{
    struct fixture *f = *state;
    struct transport_reply *reply = NULL;
    assert_int_equal(transport_mem_cut(f->transport, "mem://a", true), SHOAL_OK);
    assert_int_equal(transport_call_wait(f->peer, SLICE_LIT("x"), 50, &reply, NULL),
                     SHOAL_ETIMEOUT);
    assert_int_equal(f->served, 0);
    assert_int_equal(transport_mem_cut(f->transport, "mem://a", false), SHOAL_OK);
    assert_int_equal(transport_call_wait(f->peer, SLICE_LIT("x"), 50, &reply, NULL), SHOAL_OK);
    transport_reply_free(reply);
}

static void test_what_is_on_its_way_when_the_cut_comes_is_lost(void **state)
{
    struct fixture *f = *state;
    struct outcome o = { 0 };
    f->hold = true;
    assert_int_equal(transport_call(f->peer, SLICE_LIT("x"), 50, record, &o), SHOAL_OK);
    while (f->kept == NULL) {
        assert_true(transport_step(f->transport));
    }
    transport_answer(f->kept, SLICE_LIT("y"));
    assert_int_equal(transport_mem_cut(f->transport, "mem://a", true), SHOAL_OK);
    while (transport_step(f->transport)) {
    }
    assert_int_equal(o.times, 1);
    assert_int_equal(o.rc, SHOAL_ETIMEOUT);
}

static void test_a_request_waits_for_its_listener(void **state)
{
    struct fixture *f = *state;
    struct outcome o = { 0 };
    struct transport_peer *b = NULL;
    struct transport_listener *l = NULL;
    assert_int_equal(transport_dial(f->transport, "mem://b", &b, NULL), SHOAL_OK);
    assert_int_equal(transport_call(b, SLICE_LIT("x"), 1000, record, &o), SHOAL_OK);
    for (unsigned i = 0; i < 5; i++) {
        assert_true(transport_step(f->transport));
    }
    assert_int_equal(o.times, 0);
    assert_int_equal(transport_listen(f->transport, "mem://b", serve, f, &l, NULL), SHOAL_OK);
    while (o.times == 0) {
        assert_true(transport_step(f->transport));
    }
    assert_int_equal(o.rc, SHOAL_OK);
    transport_peer_free(b);
    transport_listener_free(l);
}

static void test_closing_a_peer_ends_its_calls_and_bounds_hold(void **state)
{
    struct fixture *f = *state;
    static struct outcome outcomes[TRANSPORT_CALLS_MAX + 1];
    memset(outcomes, 0, sizeof(outcomes));
    for (size_t i = 0; i < TRANSPORT_CALLS_MAX; i++) {
        assert_int_equal(transport_call(f->peer, SLICE_LIT("x"), 50, record, &outcomes[i]),
                         SHOAL_OK);
    }
    assert_int_equal(
        transport_call(f->peer, SLICE_LIT("x"), 50, record, &outcomes[TRANSPORT_CALLS_MAX]),
        SHOAL_EBUSY);
    transport_peer_close(f->peer);
    for (size_t i = 0; i < TRANSPORT_CALLS_MAX; i++) {
        assert_int_equal(outcomes[i].times, 1);
        assert_int_equal(outcomes[i].rc, SHOAL_ECANCELED);
    }
    assert_int_equal(outcomes[TRANSPORT_CALLS_MAX].times, 0);
    assert_int_equal(transport_call(f->peer, SLICE_LIT("x"), 50, record, &outcomes[0]),
                     SHOAL_ECANCELED);
}

static void test_bad_addresses_and_configurations_are_refused(void **state)
{
    struct fixture *f = *state;
    struct transport_listener *l = NULL;
    struct transport_peer *p = NULL;
    struct transport *t = NULL;
    assert_int_equal(transport_listen(f->transport, "mem://a", serve, f, &l, NULL), SHOAL_EEXISTS);
    assert_int_equal(transport_listen(f->transport, "tcp://x:1", serve, f, &l, NULL), SHOAL_EINVAL);
    assert_int_equal(transport_dial(f->transport, "a", &p, NULL), SHOAL_EINVAL);
    struct transport_mem_config config = {
        .clock = &f->clock, .rand = &f->rand.source, .delay_ns_min = 2, .delay_ns_max = 1
    };
    assert_int_equal(transport_mem_new(&config, &t, NULL), SHOAL_EINVAL);
    assert_null(t);
}

static void test_each_failed_allocation_is_survived(void **state)
{
    struct fixture *f = *state;
    bool failed = true;
    for (size_t nth = 0; failed; nth++) {
        assert_true(nth < TEST_ALLOCS_MAX);
        struct outcome o = { 0 };
        test_heap_fail_at(nth);
        enum shoal_err rc = transport_call(f->peer, SLICE_LIT("x"), 50, record, &o);
        while (transport_step(f->transport)) {
        }
        failed = test_heap_failed();
        test_heap_fail_never();
        /* A call that was taken ends once, whatever fails: its answer may be lost. */
        assert_int_equal(o.times, rc == SHOAL_OK ? 1 : 0);
        assert_true(rc == SHOAL_OK || rc == SHOAL_ENOMEM);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_call_takes_the_time_of_both_ways),
        CASE(test_the_deadline_ends_a_call_whose_answer_is_late),
        CASE(test_a_run_repeats_with_its_seed_and_loses_its_share),
        CASE(test_a_cut_loses_everything_until_it_is_mended),
        CASE(test_what_is_on_its_way_when_the_cut_comes_is_lost),
        CASE(test_a_request_waits_for_its_listener),
        CASE(test_closing_a_peer_ends_its_calls_and_bounds_hold),
        CASE(test_bad_addresses_and_configurations_are_refused),
        CASE(test_each_failed_allocation_is_survived),
    };
    return cmocka_run_group_tests_name("wire/transport_mem", tests, NULL, NULL);
}
