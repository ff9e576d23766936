/* The limiter's promises one by one. */
#include "tests/limit/limiter_support.h"

#include <stdio.h>
#include <string.h>

/* --- one by one ------------------------------------------------------------------------------- */

static void test_several_rules_take_all_or_nothing(void **state)
{
    (void)state;
    struct limiter *l = limiter_of("a=requests:10/s;b=generated_tokens:5/s", 10);
    struct limit_decision d = ask(l, "t", 1, 6, 0);
    assert_false(d.allowed);
    assert_string_equal(d.refused_by->name, "b");
    assert_true(d.retry_after_ms == LIMIT_NEVER);
    assert_int_equal(d.statuses[0].remaining, 10);
    assert_int_equal(limiter_tenants(l), 0);
    d = ask(l, "t", 10, 5, 0);
    assert_true(d.allowed);
    /* Both refuse; the one that makes it wait longest is named. */
    d = ask(l, "t", 1, 5, 0);
    assert_false(d.allowed);
    assert_string_equal(d.refused_by->name, "b");
    assert_int_equal(d.retry_after_ms, 1000);
    assert_int_equal(d.statuses[0].retry_after_ms, 100);
    limiter_free(l);
}

static void test_a_dry_run_counts_and_never_refuses(void **state)
{
    (void)state;
    struct limiter *l = limiter_of("a=requests:2/s,dry_run", 10);
    assert_true(ask(l, "t", 2, 0, 0).allowed);
    struct limit_decision d = ask(l, "t", 1, 0, 0);
    assert_true(d.allowed);
    assert_true(d.statuses[0].refused);
    assert_int_equal(d.statuses[0].retry_after_ms, 500);
    assert_int_equal(d.retry_after_ms, 0);
    assert_int_equal(d.reservation.charged, 0);
    d = ask(l, "t", 3, 0, 0);
    assert_true(d.allowed);
    assert_true(d.statuses[0].retry_after_ms == LIMIT_NEVER);
    limiter_free(l);
}

static void test_a_debt_refuses_until_it_is_paid(void **state)
{
    (void)state;
    struct limiter *l = limiter_of("gen=generated_tokens:60/min", 10);
    struct limit_decision d = ask(l, "t", 0, 10, 0);
    assert_true(d.allowed);
    settle(l, "t", &d, 0, 100, 0);
    d = ask(l, "t", 0, 1, 0);
    assert_false(d.allowed);
    assert_int_equal(d.statuses[0].remaining, 0);
    assert_int_equal(d.retry_after_ms, 41000);
    assert_int_equal(d.statuses[0].reset_after_ms, 100000);
    assert_false(ask(l, "t", 0, 1, 41 * NS_PER_S - 1).allowed);
    assert_true(ask(l, "t", 0, 1, 41 * NS_PER_S).allowed);
    limiter_free(l);
}

static void test_a_wrong_debt_shuts_out_for_an_hour_at_most(void **state)
{
    (void)state;
    struct limiter *l = limiter_of("gen=generated_tokens:1/s,burst=10", 10);
    struct limit_decision d = ask(l, "t", 0, 1, 0);
    settle(l, "t", &d, 0, UINT64_MAX, 0);
    d = ask(l, "t", 0, 1, 0);
    assert_int_equal(d.retry_after_ms, (LIMIT_DEBT_S_MAX + 1) * 1000);
    limiter_free(l);
}

static void test_a_refund_fills_to_the_brim_and_only_once(void **state)
{
    (void)state;
    struct limiter *l = limiter_of("gen=generated_tokens:1/s,burst=10", 10);
    struct limit_decision d = ask(l, "t", 0, 8, 0);
    struct limit_decision other = ask(l, "t", 0, 2, 0);
    settle(l, "t", &d, 0, 3, 0);
    assert_int_equal(ask(l, "t", 0, 1, 0).statuses[0].remaining, 4);
    settle(l, "t", &d, 0, 0, 0); /* empty by now */
    assert_int_equal(ask(l, "t", 0, 1, 0).statuses[0].remaining, 3);
    settle(l, "t", &other, 0, 0, 100 * NS_PER_S); /* full again: nothing runs over */
    assert_int_equal(ask(l, "t", 0, 1, 100 * NS_PER_S).statuses[0].remaining, 9);
    limiter_free(l);
}

static void test_a_clock_that_stands_or_steps_back_grants_nothing(void **state)
{
    (void)state;
    struct limiter *l = limiter_of("a=requests:10/s,burst=10", 10);
    uint64_t t = 1000 * NS_PER_S;
    assert_true(ask(l, "t", 10, 0, t).allowed);
    for (int i = 0; i < 100; i++) {
        assert_false(ask(l, "t", 1, 0, t).allowed);
    }
    /* Back by ten seconds: waiting is as long as the clock says. */
    struct limit_decision d = ask(l, "t", 1, 0, t - 10 * NS_PER_S);
    assert_false(d.allowed);
    assert_int_equal(d.retry_after_ms, 10100);
    assert_false(ask(l, "t", 1, 0, t).allowed);
    assert_true(ask(l, "t", 1, 0, t + 100 * NS_PER_MS).allowed);
    limiter_free(l);
}

/* A tenant that was forgotten in the future has no full bucket in the past. */
static void test_a_forgotten_tenant_gets_nothing_from_a_step_back(void **state)
{
    (void)state;
    struct limiter *l = limiter_of("a=requests:10/s,burst=10", 10);
    uint64_t t = 1000 * NS_PER_S;
    assert_true(ask(l, "t", 10, 0, t - NS_PER_S).allowed);
    assert_true(ask(l, "u", 1, 0, t).allowed); /* forgets t: full */
    assert_true(ask(l, "t", 10, 0, t - NS_PER_S / 2).allowed);
    assert_false(ask(l, "t", 1, 0, t).allowed);
    limiter_free(l);
}

static void test_tenants_are_forgotten_when_they_are_full(void **state)
{
    (void)state;
    struct limiter *l = limiter_of("a=requests:1/s,burst=1000", 1000);
    char name[24];
    for (int i = 0; i < 500; i++) {
        (void)snprintf(name, sizeof(name), "tenant-%d", i);
        assert_true(ask(l, name, 1 + (uint64_t)(i % 10), 0, 0).allowed);
    }
    assert_int_equal(limiter_tenants(l), 500);
    size_t live = test_heap_live();
    /* Each shard is swept by whoever comes to it. */
    for (int i = 0; i < 500; i++) {
        (void)snprintf(name, sizeof(name), "tenant-%d", i);
        assert_true(ask(l, name, 1, 0, 10 * NS_PER_S - 1).allowed);
    }
    for (int i = 500; i < 1500; i++) {
        (void)snprintf(name, sizeof(name), "tenant-%d", i);
        assert_false(ask(l, name, 1001, 0, 100 * NS_PER_S).allowed);
    }
    assert_int_equal(limiter_tenants(l), 0);
    assert_int_equal(test_heap_live(), live - 500);
    limiter_free(l);
}

static void test_places_elsewhere_are_freed_when_all_are_taken(void **state)
{
    (void)state;
    struct limiter *l = limiter_of("a=requests:1/s,burst=10", 300);
    char name[24];
    for (int i = 0; i < 300; i++) {
        (void)snprintf(name, sizeof(name), "tenant-%d", i);
        assert_true(ask(l, name, 1, 0, 0).allowed);
    }
    /* All are due; every one of the new has to have a place of its own, so all its burst. */
    for (int i = 1000; i < 1300; i++) {
        (void)snprintf(name, sizeof(name), "tenant-%d", i);
        assert_true(ask(l, name, 10, 0, NS_PER_S).allowed);
    }
    assert_int_equal(limiter_tenants(l), 300);
    /* No place is left: those who come now share ten. */
    assert_true(ask(l, "x", 6, 0, NS_PER_S).allowed);
    assert_false(ask(l, "y", 6, 0, NS_PER_S).allowed);
    assert_true(ask(l, "y", 4, 0, NS_PER_S).allowed);
    assert_false(ask(l, "z", 1, 0, NS_PER_S).allowed);
    limiter_free(l);
}

static void test_long_names_count_by_their_beginning(void **state)
{
    (void)state;
    struct limiter *l = limiter_of("a=requests:1/s", 10);
    char name[301];
    memset(name, 'n', 300);
    name[300] = '\0';
    assert_true(ask(l, name, 1, 0, 0).allowed);
    name[LIMIT_TENANT_MAX] = 'x';
    assert_false(ask(l, name, 1, 0, 0).allowed);
    name[LIMIT_TENANT_MAX - 1] = 'x';
    assert_true(ask(l, name, 1, 0, 0).allowed);
    assert_true(ask(l, "", 1, 0, 0).allowed);
    assert_false(ask(l, "", 1, 0, 0).allowed);
    limiter_free(l);
}

static void test_no_rules_allow_everything(void **state)
{
    (void)state;
    struct limiter *l = limiter_of("", 1);
    struct limit_decision d = ask(l, "t", UINT64_MAX, UINT64_MAX, 0);
    assert_true(d.allowed);
    assert_int_equal(d.statuses_len, 0);
    settle(l, "t", &d, 0, 0, 0);
    assert_int_equal(limiter_tenants(l), 0);
    limiter_free(l);
}

static void test_numbers_at_the_ends_of_their_ranges(void **state)
{
    (void)state;
    struct limiter *l = limiter_of("a=requests:1/24h,burst=1099511627776", 10);
    struct limit_decision d = ask(l, "t", LIMIT_AMOUNT_MAX, 0, 0);
    assert_true(d.allowed);
    assert_int_equal(d.statuses[0].remaining, 0);
    assert_true(d.statuses[0].reset_after_ms >= UINT64_MAX / NS_PER_MS);
    d = ask(l, "t", 1, 0, UINT64_MAX - 1);
    assert_true(d.allowed); /* 213,503 days: as many tokens */
    assert_int_equal(d.statuses[0].remaining, 213502);
    assert_int_equal(limiter_tenants(l), 1);
    limiter_free(l);
    l = limiter_of("a=requests:1099511627776/s,burst=1099511627776", 10);
    d = ask(l, "t", UINT64_MAX, 0, 0);
    assert_true(d.retry_after_ms == LIMIT_NEVER);
    d = ask(l, "t", 1, 0, UINT64_MAX - 1);
    settle(l, "t", &d, UINT64_MAX, 0, UINT64_MAX - 1);
    assert_false(ask(l, "t", 1, 0, UINT64_MAX - 1).allowed);
    limiter_free(l);
}

/* --- config and memory ------------------------------------------------------------------------ */

static void test_config_is_checked(void **state)
{
    (void)state;
    struct limit_rules rules;
    assert_int_equal(limit_rules_parse(SLICE_LIT("a=requests:1/s"), &rules, NULL), SHOAL_OK);
    struct limiter *l = (struct limiter *)&rules;
    struct errbuf why = { 0 };
    assert_int_equal(limiter_local_new(&(struct limiter_config){ .rules = &rules }, &l, &why),
                     SHOAL_EINVAL);
    assert_null(l);
    assert_int_equal(limiter_local_new(&(struct limiter_config){ .tenants_max = 1 }, &l, NULL),
                     SHOAL_EINVAL);
    const struct limiter_config config = { .rules = &rules, .tenants_max = 1 };
    rules.rules[0].window_s = 0;
    assert_int_equal(limiter_local_new(&config, &l, &why), SHOAL_EINVAL);
    assert_non_null(strstr(why.text, "window"));
    rules.rules[0].window_s = 1;
    rules.rules[0].algorithm = NULL;
    assert_int_equal(limiter_local_new(&config, &l, &why), SHOAL_EINVAL);
    rules.len = LIMIT_RULES_MAX + 1;
    assert_int_equal(limiter_local_new(&config, &l, &why), SHOAL_EINVAL);
    limiter_free(NULL);
}

static void test_each_failed_allocation_of_new_leaves_nothing(void **state)
{
    (void)state;
    struct limit_rules rules;
    assert_int_equal(limit_rules_parse(SLICE_LIT("a=requests:1/s"), &rules, NULL), SHOAL_OK);
    const struct limiter_config config = { .rules = &rules, .tenants_max = 500 };
    struct limiter *l = NULL;
    enum shoal_err rc = SHOAL_ENOMEM;
    size_t nth = 0;
    for (; rc == SHOAL_ENOMEM && nth < TEST_ALLOCS_MAX; nth++) {
        test_heap_fail_at(nth);
        rc = limiter_local_new(&config, &l, NULL);
        test_heap_fail_never();
        assert_true(rc == SHOAL_OK || (l == NULL && test_heap_live() == 0));
    }
    assert_int_equal(rc, SHOAL_OK);
    assert_true(nth > 4);
    limiter_free(l);
}

/* A tenant for whom there is no memory is served from the shared bucket, and no call fails. */
static void test_a_failed_allocation_in_a_check_costs_the_tenant_its_own_bucket(void **state)
{
    (void)state;
    struct limiter *l = limiter_of("a=requests:1/s,burst=10", 100);
    for (size_t nth = 0; nth < 2; nth++) {
        test_heap_fail_at(nth);
        struct limit_decision d = ask(l, nth == 0 ? "t" : "u", 3, 0, 0);
        assert_true(test_heap_failed());
        test_heap_fail_never();
        assert_true(d.allowed);
        assert_int_equal(limiter_tenants(l), 0);
        assert_int_equal(d.statuses[0].remaining, nth == 0 ? 7 : 4);
    }
    /* With a place of its own it goes on from what the shared bucket holds. */
    struct limit_decision d = ask(l, "t", 1, 0, 0);
    assert_int_equal(limiter_tenants(l), 1);
    assert_int_equal(d.statuses[0].remaining, 3);
    limiter_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_several_rules_take_all_or_nothing, teardown),
        cmocka_unit_test_teardown(test_a_dry_run_counts_and_never_refuses, teardown),
        cmocka_unit_test_teardown(test_a_debt_refuses_until_it_is_paid, teardown),
        cmocka_unit_test_teardown(test_a_wrong_debt_shuts_out_for_an_hour_at_most, teardown),
        cmocka_unit_test_teardown(test_a_refund_fills_to_the_brim_and_only_once, teardown),
        cmocka_unit_test_teardown(test_a_clock_that_stands_or_steps_back_grants_nothing, teardown),
        cmocka_unit_test_teardown(test_a_forgotten_tenant_gets_nothing_from_a_step_back, teardown),
        cmocka_unit_test_teardown(test_tenants_are_forgotten_when_they_are_full, teardown),
        cmocka_unit_test_teardown(test_places_elsewhere_are_freed_when_all_are_taken, teardown),
        cmocka_unit_test_teardown(test_long_names_count_by_their_beginning, teardown),
        cmocka_unit_test_teardown(test_no_rules_allow_everything, teardown),
        cmocka_unit_test_teardown(test_numbers_at_the_ends_of_their_ranges, teardown),
        cmocka_unit_test_teardown(test_config_is_checked, teardown),
        cmocka_unit_test_teardown(test_each_failed_allocation_of_new_leaves_nothing, teardown),
        cmocka_unit_test_teardown(
            test_a_failed_allocation_in_a_check_costs_the_tenant_its_own_bucket, teardown),
    };
    return cmocka_run_group_tests_name("limiter", tests, NULL, NULL);
}
