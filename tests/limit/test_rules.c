/* The text of rules, and the fields of HTTP. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "limit/limit.h"
#include "tests/support/heap.h"

#include <stdio.h>
#include <string.h>

static struct limit_rules parse(const char *text)
{
    struct limit_rules rules;
    struct errbuf why = { 0 };
    enum shoal_err rc = limit_rules_parse(slice_from_str(text), &rules, &why);
    if (rc != SHOAL_OK) {
        fail_msg("%s: %s", text, err_why(&why, rc));
    }
    return rules;
}

static void test_rules_are_read_as_the_grammar_says(void **state)
{
    (void)state;
    struct limit_rules r = parse(
        "search=requests:100/s,burst=200; gen = generated_tokens : 5000 / min");
    assert_int_equal(r.len, 2);
    assert_string_equal(r.rules[0].name, "search");
    assert_int_equal(r.rules[0].unit, LIMIT_REQUESTS);
    assert_int_equal(r.rules[0].quota, 100);
    assert_int_equal(r.rules[0].window_s, 1);
    assert_int_equal(r.rules[0].burst, 200);
    assert_false(r.rules[0].dry_run);
    assert_non_null(r.rules[0].algorithm);
    assert_string_equal(r.rules[1].name, "gen");
    assert_int_equal(r.rules[1].unit, LIMIT_GENERATED_TOKENS);
    assert_int_equal(r.rules[1].quota, 5000);
    assert_int_equal(r.rules[1].window_s, 60);
    assert_int_equal(r.rules[1].burst, 5000);

    r = parse("\ta-B_9 = requests:1/24h , dry_run , algorithm = token_bucket\n");
    assert_int_equal(r.len, 1);
    assert_string_equal(r.rules[0].name, "a-B_9");
    assert_int_equal(r.rules[0].window_s, LIMIT_WINDOW_S_MAX);
    assert_true(r.rules[0].dry_run);

    r = parse("a=requests:1099511627776/10min,burst=1");
    assert_true(r.rules[0].quota == LIMIT_AMOUNT_MAX);
    assert_int_equal(r.rules[0].window_s, 600);
    assert_int_equal(r.rules[0].burst, 1);
}

static void test_empty_text_has_no_rules(void **state)
{
    (void)state;
    assert_int_equal(parse("").len, 0);
    assert_int_equal(parse(" \n\t ").len, 0);
    struct limit_rules rules;
    assert_int_equal(limit_rules_parse(slice_make(NULL, 0), &rules, NULL), SHOAL_OK);
    assert_int_equal(rules.len, 0);
}

/* What each wrong text answers: the code, and words that its sentence holds. */
static void test_wrong_rules_say_where_and_what_is_allowed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum shoal_err code;
        const char *says;
    } cases[] = {
        { "=requests:1/s", SHOAL_EPARSE, "at byte 0, before \"=requests:1/s\": expected a rule's" },
        { "a", SHOAL_EPARSE, "at the end: expected '='" },
        { "a requests:1/s", SHOAL_EPARSE, "at byte 2, before \"requests" },
        { "a=", SHOAL_EPARSE, "a unit: requests or generated_tokens" },
        { "a=bytes:1/s", SHOAL_EPARSE, "at byte 2, before \"bytes:1/s\": expected a unit" },
        { "a=requests", SHOAL_EPARSE, "':' and a number" },
        { "a=requests:x/s", SHOAL_EPARSE, "':' and a number" },
        { "a=requests:-1/s", SHOAL_EPARSE, "before \"-1/s\"" },
        { "a=requests:1", SHOAL_EPARSE, "'/' and a window" },
        { "a=requests:1.5/s", SHOAL_EPARSE, "'/' and a window" },
        { "a=requests:1/", SHOAL_EPARSE, "s, min or h" },
        { "a=requests:1/day", SHOAL_EPARSE, "before \"day\": expected a window" },
        { "a=requests:1/s burst=2", SHOAL_EPARSE, "',' and an option" },
        { "a=requests:1/s,", SHOAL_EPARSE, "an option: burst=TOKENS" },
        { "a=requests:1/s,bust=2", SHOAL_EPARSE, "before \"bust=2\": expected an option" },
        { "a=requests:1/s,burst", SHOAL_EPARSE, "burst=TOKENS" },
        { "a=requests:1/s,burst=", SHOAL_EPARSE, "burst=TOKENS" },
        { "a=requests:1/s,algorithm=", SHOAL_EPARSE, "token_bucket" },
        { "a=requests:1/s;", SHOAL_EPARSE, "at the end: expected a rule's name" },
        { ";a=requests:1/s", SHOAL_EPARSE, "a rule's name" },
        { "a=requests:1/s,algorithm=leaky", SHOAL_EUNSUPPORTED, "no algorithm \"leaky\"" },
        { "a=requests:0/s", SHOAL_EVALIDATION, "rule \"a\": quota and burst are from 1 to" },
        { "a=requests:1/s,burst=0", SHOAL_EVALIDATION, "quota and burst" },
        { "a=requests:1099511627777/s", SHOAL_EVALIDATION, "1099511627776" },
        { "a=requests:99999999999999999999999/s", SHOAL_EVALIDATION, "1099511627776" },
        { "a=requests:1/0s", SHOAL_EVALIDATION, "the window is from 1 to 86400" },
        { "a=requests:1/86401s", SHOAL_EVALIDATION, "the window is from 1 to 86400" },
        { "a=requests:1/25h", SHOAL_EVALIDATION, "the window is from 1 to 86400" },
        { "a=requests:1/18446744073709551615h", SHOAL_EVALIDATION, "the window" },
        { "a=requests:1/s;a=requests:2/s", SHOAL_EVALIDATION, "two rules are named \"a\"" },
        { "a23456789012345678901234567890123=requests:1/s", SHOAL_EVALIDATION, "over 32" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct limit_rules rules = { .len = 7 };
        struct errbuf why = { 0 };
        enum shoal_err rc = limit_rules_parse(slice_from_str(cases[i].text), &rules, &why);
        if (rc != cases[i].code || strstr(why.text, cases[i].says) == NULL) {
            fail_msg("%s: %s: %s", cases[i].text, err_word(rc), why.text);
        }
        assert_int_equal(why.code, cases[i].code);
        assert_int_equal(rules.len, 0);
        assert_int_equal(limit_rules_parse(slice_from_str(cases[i].text), &rules, NULL), rc);
    }
}

static void test_rules_are_bounded_in_number(void **state)
{
    (void)state;
    char text[1024] = "";
    size_t len = 0;
    for (int i = 0; i < LIMIT_RULES_MAX; i++) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%sr%d=requests:1/s",
                                i == 0 ? "" : ";", i);
    }
    assert_int_equal(parse(text).len, LIMIT_RULES_MAX);
    (void)snprintf(text + len, sizeof(text) - len, ";r=requests:1/s");
    struct limit_rules rules;
    assert_int_equal(limit_rules_parse(slice_from_str(text), &rules, NULL), SHOAL_ETOOBIG);
    assert_int_equal(rules.len, 0);
}

static void test_units_have_names(void **state)
{
    (void)state;
    assert_string_equal(limit_unit_name(LIMIT_REQUESTS), "requests");
    assert_string_equal(limit_unit_name(LIMIT_GENERATED_TOKENS), "generated_tokens");
    assert_string_equal(limit_unit_name(LIMIT_UNITS_LEN), "unknown");
}

/* --- fields ----------------------------------------------------------------------------------- */

static struct limit_decision decide(struct limiter *l, uint64_t requests, uint64_t tokens,
                                    uint64_t now_ns)
{
    const struct limit_cost cost = { .amount = { requests, tokens } };
    struct limit_decision d;
    assert_int_equal(limiter_check(l, SLICE_LIT("t"), &cost, now_ns, &d), SHOAL_OK);
    return d;
}

static struct limiter *limiter_of(const char *text)
{
    struct limit_rules rules = parse(text);
    struct limiter *l = NULL;
    const struct limiter_config config = { .rules = &rules, .tenants_max = 4 };
    assert_int_equal(limiter_local_new(&config, &l, NULL), SHOAL_OK);
    return l;
}

static void assert_fields(const struct limit_decision *d, const char *policy, const char *state)
{
    struct buf b;
    buf_init(&b, 4096);
    assert_int_equal(limit_print_policy(d, &b), SHOAL_OK);
    assert_string_equal(buf_cstr(&b) == NULL ? "" : buf_cstr(&b), policy);
    buf_reset(&b);
    assert_int_equal(limit_print_state(d, &b), SHOAL_OK);
    assert_string_equal(buf_cstr(&b) == NULL ? "" : buf_cstr(&b), state);
    buf_release(&b);
}

static void test_fields_hold_the_enforced_rules_that_were_asked(void **state)
{
    (void)state;
    struct limiter *l = limiter_of("search=requests:100/s,burst=200;"
                                   "gen=generated_tokens:5000/min;"
                                   "try=requests:1/s,dry_run");
    struct limit_decision d = decide(l, 1, 5000, 0);
    assert_true(d.allowed);
    assert_int_equal(d.statuses_len, 3);
    assert_fields(&d, "\"search\";q=100;w=1, \"gen\";q=5000;w=60",
                  "\"search\";r=199;t=1, \"gen\";r=0;t=60");
    d = decide(l, 1, 0, 0);
    assert_fields(&d, "\"search\";q=100;w=1", "\"search\";r=198;t=1");
    d = decide(l, 0, 0, 0);
    assert_true(d.allowed);
    assert_fields(&d, "", "");
    limiter_free(l);
}

static void test_fields_that_do_not_fit_leave_the_text_as_it_was(void **state)
{
    (void)state;
    struct limiter *l = limiter_of("search=requests:100/s;gen=generated_tokens:5000/min");
    struct limit_decision d = decide(l, 1, 1, 0);
    struct buf b;
    buf_init(&b, 30);
    assert_int_equal(buf_append_str(&b, "x: "), SHOAL_OK);
    assert_int_equal(limit_print_policy(&d, &b), SHOAL_ETOOBIG);
    assert_int_equal(b.len, 3);
    buf_release(&b);
    buf_init(&b, 4096);
    test_heap_fail_at(0);
    assert_int_equal(limit_print_state(&d, &b), SHOAL_ENOMEM);
    test_heap_fail_never();
    assert_int_equal(b.len, 0);
    buf_release(&b);
    limiter_free(l);
}

static void test_retry_after_is_at_least_a_second_and_rounded_up(void **state)
{
    (void)state;
    struct limiter *l = limiter_of("a=requests:100/s,burst=100");
    (void)decide(l, 100, 0, 0);
    struct limit_decision d = decide(l, 1, 0, 0);
    assert_false(d.allowed);
    assert_int_equal(d.retry_after_ms, 10);
    assert_int_equal(limit_retry_after_s(&d), 1);
    limiter_free(l);

    l = limiter_of("a=requests:1/10s,burst=10");
    (void)decide(l, 10, 0, 0);
    d = decide(l, 1, 0, 1);
    assert_int_equal(d.retry_after_ms, 10000);
    assert_int_equal(limit_retry_after_s(&d), 10);
    d = decide(l, 2, 0, 1);
    assert_int_equal(limit_retry_after_s(&d), 20);
    d = decide(l, 11, 0, 1);
    assert_true(d.retry_after_ms == LIMIT_NEVER);
    assert_int_equal(limit_retry_after_s(&d), 0);
    limiter_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_are_read_as_the_grammar_says),
        cmocka_unit_test(test_empty_text_has_no_rules),
        cmocka_unit_test(test_wrong_rules_say_where_and_what_is_allowed),
        cmocka_unit_test(test_rules_are_bounded_in_number),
        cmocka_unit_test(test_units_have_names),
        cmocka_unit_test(test_fields_hold_the_enforced_rules_that_were_asked),
        cmocka_unit_test(test_fields_that_do_not_fit_leave_the_text_as_it_was),
        cmocka_unit_test(test_retry_after_is_at_least_a_second_and_rounded_up),
    };
    return cmocka_run_group_tests_name("rules", tests, NULL, NULL);
}
