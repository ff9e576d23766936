/* Many threads at once on few buckets: the bound holds to the token, and nothing is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rand.h"
#include "base/thread.h"
#include "limit/limit.h"
#include "tests/support/dir.h"
#include "tests/support/heap.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define THREADS 8
#define TENANTS 24
#define ROUNDS 4000
#define NS_PER_S UINT64_C(1000000000)
#define BURST 1000

struct crowd {
    struct limiter *l;
    atomic_uint_fast64_t now_ns;
    atomic_uint_fast64_t granted[TENANTS]; /* what was used, after settling */
};

struct worker {
    struct crowd *crowd;
    struct rand_seeded rand;
    struct thread thread;
};

static void name_of(char out[24], size_t who)
{
    (void)snprintf(out, 24, "tenant-%zu", who);
}

/* Half of what is taken is given back at once. */
static void work(void *arg)
{
    struct worker *w = arg;
    struct crowd *c = w->crowd;
    for (int i = 0; i < ROUNDS; i++) {
        size_t who = rand_below(&w->rand.source, TENANTS);
        uint64_t amount = 2 * (1 + rand_below(&w->rand.source, 5));
        uint64_t now_ns = atomic_fetch_add(&c->now_ns, 1000) + 1000;
        char name[24];
        name_of(name, who);
        const struct limit_cost cost = { .amount = { amount, 0 } };
        struct limit_decision d;
        if (limiter_check(c->l, slice_from_str(name), &cost, now_ns, &d) != SHOAL_OK) {
            abort();
        }
        if (d.allowed) {
            const struct limit_cost actual = { .amount = { amount / 2, 0 } };
            limiter_settle(c->l, slice_from_str(name), &d.reservation, &actual, now_ns);
            atomic_fetch_add(&c->granted[who], amount / 2);
        }
    }
}

static void run_crowd(size_t tenants_max, struct crowd *c)
{
    struct limit_rules rules;
    assert_int_equal(limit_rules_parse(SLICE_LIT("a=requests:1/h,burst=1000"), &rules, NULL),
                     SHOAL_OK);
    const struct limiter_config config = { .rules = &rules, .tenants_max = tenants_max };
    assert_int_equal(limiter_local_new(&config, &c->l, NULL), SHOAL_OK);
    atomic_store(&c->now_ns, NS_PER_S);
    struct worker workers[THREADS];
    uint64_t seed = test_seed();
    for (size_t i = 0; i < THREADS; i++) {
        workers[i].crowd = c;
        rand_seeded_init(&workers[i].rand, seed + i);
        assert_int_equal(thread_start(&workers[i].thread, "limit-test", work, &workers[i], NULL),
                         SHOAL_OK);
    }
    for (size_t i = 0; i < THREADS; i++) {
        thread_join(&workers[i].thread);
    }
}

static uint64_t remaining(struct crowd *c, size_t who)
{
    char name[24];
    name_of(name, who);
    const struct limit_cost cost = { .amount = { BURST + 1, 0 } };
    struct limit_decision d;
    assert_int_equal(limiter_check(c->l, slice_from_str(name), &cost, atomic_load(&c->now_ns), &d),
                     SHOAL_OK);
    return d.statuses[0].remaining;
}

static void test_every_token_is_counted_once(void **state)
{
    (void)state;
    static struct crowd c;
    run_crowd(1000, &c);
    assert_int_equal(limiter_tenants(c.l), TENANTS);
    for (size_t who = 0; who < TENANTS; who++) {
        uint64_t granted = atomic_load(&c.granted[who]);
        assert_true(granted <= BURST);
        /* What trickled in meanwhile is less than a token. */
        assert_int_equal(granted + remaining(&c, who), BURST);
    }
    limiter_free(c.l);
    assert_int_equal(test_heap_live(), 0);
}

static void test_too_many_tenants_stay_within_their_bounds(void **state)
{
    (void)state;
    static struct crowd c;
    run_crowd(TENANTS / 2, &c);
    assert_int_equal(limiter_tenants(c.l), TENANTS / 2);
    for (size_t who = 0; who < TENANTS; who++) {
        assert_true(atomic_load(&c.granted[who]) <= BURST);
    }
    limiter_free(c.l);
    assert_int_equal(test_heap_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_token_is_counted_once),
        cmocka_unit_test(test_too_many_tenants_stay_within_their_bounds),
    };
    return cmocka_run_group_tests_name("limit concurrent", tests, NULL, NULL);
}
