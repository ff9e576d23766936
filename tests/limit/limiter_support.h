/* What tests of the limiter share. */
#ifndef SHOAL_TESTS_LIMIT_LIMITER_SUPPORT_H
#define SHOAL_TESTS_LIMIT_LIMITER_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "limit/limit.h"
#include "tests/support/heap.h"

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

static inline int teardown(void **state)
{
    (void)state;
    return test_heap_live() == 0 ? 0 : -1; /* a leak fails the test */
}

static inline struct limiter *limiter_of(const char *text, size_t tenants_max)
{
    struct limit_rules rules;
    struct limiter *l = NULL;
    assert_int_equal(limit_rules_parse(slice_from_str(text), &rules, NULL), SHOAL_OK);
    const struct limiter_config config = { .rules = &rules, .tenants_max = tenants_max };
    assert_int_equal(limiter_local_new(&config, &l, NULL), SHOAL_OK);
    return l;
}

static inline struct limit_decision ask(struct limiter *l, const char *tenant, uint64_t requests,
                                        uint64_t tokens, uint64_t now_ns)
{
    const struct limit_cost cost = { .amount = { requests, tokens } };
    struct limit_decision d;
    assert_int_equal(limiter_check(l, slice_from_str(tenant), &cost, now_ns, &d), SHOAL_OK);
    assert_true(d.allowed == (d.refused_by == NULL));
    assert_true(d.allowed || d.reservation.charged == 0);
    return d;
}

static inline void settle(struct limiter *l, const char *tenant, struct limit_decision *d,
                          uint64_t requests, uint64_t tokens, uint64_t now_ns)
{
    const struct limit_cost actual = { .amount = { requests, tokens } };
    limiter_settle(l, slice_from_str(tenant), &d->reservation, &actual, now_ns);
}

#endif
