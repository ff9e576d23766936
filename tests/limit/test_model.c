/* The limiter in this process against an exact model of one bucket for each tenant and rule. */
#include "tests/limit/limiter_support.h"

#include "base/mem.h"
#include "base/rand.h"
#include "tests/support/dir.h"

#include <stdio.h>
#include <string.h>

__extension__ typedef __int128 wide;

/* --- the model -------------------------------------------------------------------------------- */

/* A bucket that is filled up, in grains: a token is a window's nanoseconds of them. */
struct model {
    wide level; /* below zero: debt */
    uint64_t at_ns;
};

static wide window_of(const struct limit_rule *r)
{
    return (wide)r->window_s * (wide)NS_PER_S;
}

static wide level_at(const struct model *m, const struct limit_rule *r, uint64_t now_ns)
{
    wide brim = (wide)r->burst * window_of(r);
    wide level = m->level + (now_ns > m->at_ns ? (wide)(now_ns - m->at_ns) * (wide)r->quota : 0);
    return level < brim ? level : brim;
}

static void model_init(struct model *m, const struct limit_rule *r)
{
    *m = (struct model){ .level = (wide)r->burst * window_of(r) };
}

static void model_add(struct model *m, const struct limit_rule *r, wide tokens, uint64_t now_ns)
{
    wide brim = (wide)r->burst * window_of(r);
    wide floor = -(wide)r->quota * LIMIT_DEBT_S_MAX * (wide)NS_PER_S;
    m->level = level_at(m, r, now_ns) + tokens * window_of(r);
    m->level = m->level > brim ? brim : m->level < floor ? floor : m->level;
    m->at_ns = now_ns > m->at_ns ? now_ns : m->at_ns;
}

/* Waits are the least whole milliseconds: after them it is so, one earlier it is not. */
static void check_wait(const struct model *m, const struct limit_rule *r, wide wanted, uint64_t ms,
                       uint64_t now_ns)
{
    if (ms >= (UINT64_MAX - now_ns) / NS_PER_MS - 1) {
        return; /* a time that no clock reaches: cut */
    }
    assert_true(level_at(m, r, now_ns + ms * NS_PER_MS) >= wanted);
    assert_true(ms == 0 || level_at(m, r, now_ns + (ms - 1) * NS_PER_MS) < wanted);
}

static void check_status(const struct limit_status *s, const struct model *before,
                         const struct model *after, uint64_t amount, uint64_t now_ns)
{
    const struct limit_rule *r = s->rule;
    wide wanted = (wide)amount * window_of(r);
    assert_true(s->refused == (level_at(before, r, now_ns) < wanted));
    if (amount > r->burst) {
        assert_true(s->retry_after_ms == LIMIT_NEVER);
    } else {
        check_wait(before, r, wanted, s->retry_after_ms, now_ns);
    }
    wide level = level_at(after, r, now_ns);
    assert_true((wide)s->remaining == (level > 0 ? level / window_of(r) : 0));
    check_wait(after, r, (wide)r->burst * window_of(r), s->reset_after_ms, now_ns);
}

/* --- against the model ------------------------------------------------------------------------ */

/* From 1 to 2^40, all magnitudes alike. */
static uint64_t any_amount(const struct rand_source *r)
{
    uint64_t bits = rand_below(r, 41);
    return (UINT64_C(1) << bits) - (bits == 0 ? 0 : rand_below(r, UINT64_C(1) << (bits - 1)));
}

static void any_rules(const struct rand_source *r, struct limit_rules *out)
{
    assert_int_equal(limit_rules_parse(SLICE_LIT("a=requests:1/s;b=generated_tokens:1/s;"
                                                 "c=requests:1/s;d=requests:1/s,dry_run"),
                                       out, NULL),
                     SHOAL_OK);
    for (size_t i = 0; i < out->len; i++) {
        out->rules[i].quota = any_amount(r);
        out->rules[i].burst = any_amount(r);
        out->rules[i].window_s = 1 + (uint32_t)rand_below(r, LIMIT_WINDOW_S_MAX);
    }
}

static uint64_t any_cost(const struct rand_source *r, const struct limit_rule *rule)
{
    switch (rand_below(r, 8)) {
    case 0: return 0;
    case 1: return rule->burst;
    case 2: return rule->burst + 1;
    default: return rand_below(r, rule->burst) / (1 + rand_below(r, 8));
    }
}

/* Steps of all sizes, from standing still over what refills a token to a whole bucket. */
static uint64_t any_step_ns(const struct rand_source *r, const struct limit_rule *rule)
{
    wide token_ns = window_of(rule) / (wide)rule->quota + 1;
    uint64_t most = (uint64_t)(token_ns * 3 < 3600 * (wide)NS_PER_S ? token_ns * 3
                                                                    : 3600 * (wide)NS_PER_S);
    return rand_below(r, 4) == 0 ? 0 : rand_below(r, most);
}

static void charge_models(struct model *models, const struct limit_rules *rules,
                          const struct limit_decision *d, const struct limit_cost *cost,
                          uint64_t now_ns)
{
    for (size_t i = 0; i < rules->len; i++) {
        if ((d->reservation.charged & (1u << i)) != 0) {
            model_add(&models[i], &rules->rules[i], -(wide)cost->amount[rules->rules[i].unit],
                      now_ns);
        }
    }
}

/* The decision is what the models say, and every number in it. */
static void check_decision(const struct limit_rules *rules, const struct model *before,
                           const struct model *after, const struct limit_decision *d,
                           const struct limit_cost *cost, uint64_t now_ns)
{
    bool allowed = true;
    uint64_t longest = 0;
    size_t s = 0;
    for (size_t i = 0; i < rules->len; i++) {
        const struct limit_rule *r = &rules->rules[i];
        uint64_t amount = cost->amount[r->unit];
        if (amount == 0) {
            continue;
        }
        assert_string_equal(d->statuses[s].rule->name, r->name);
        check_status(&d->statuses[s], &before[i], &after[i], amount, now_ns);
        if (d->statuses[s].refused && !r->dry_run) {
            allowed = false;
            longest = d->statuses[s].retry_after_ms > longest ? d->statuses[s].retry_after_ms
                                                              : longest;
        }
        bool charged = (d->reservation.charged & (1u << i)) != 0;
        assert_true(charged == (d->allowed && !d->statuses[s].refused));
        s++;
    }
    assert_int_equal(d->statuses_len, s);
    assert_true(d->allowed == allowed);
    assert_true(d->retry_after_ms == longest);
}

static void one_tenant_round(const struct rand_source *r)
{
    struct limit_rules rules;
    any_rules(r, &rules);
    struct limiter *l = NULL;
    const struct limiter_config config = { .rules = &rules, .tenants_max = 1 };
    assert_int_equal(limiter_local_new(&config, &l, NULL), SHOAL_OK);
    struct model models[LIMIT_RULES_MAX];
    for (size_t i = 0; i < rules.len; i++) {
        model_init(&models[i], &rules.rules[i]);
    }
    uint64_t now_ns = rand_below(r, UINT64_C(1) << 50);
    for (int step = 0; step < 200; step++) {
        const struct limit_rule *about = &rules.rules[rand_below(r, rules.len)];
        struct limit_cost cost = { { 0 } };
        cost.amount[about->unit] = any_cost(r, about);
        if (rand_below(r, 3) == 0) {
            cost.amount[LIMIT_REQUESTS] = any_cost(r, &rules.rules[0]);
            cost.amount[LIMIT_GENERATED_TOKENS] = any_cost(r, &rules.rules[1]);
        }
        struct model before[LIMIT_RULES_MAX];
        memcpy(before, models, sizeof(before));
        struct limit_decision d;
        assert_int_equal(limiter_check(l, SLICE_LIT("one"), &cost, now_ns, &d), SHOAL_OK);
        charge_models(models, &rules, &d, &cost, now_ns);
        check_decision(&rules, before, models, &d, &cost, now_ns);
        now_ns += any_step_ns(r, about);
        if (rand_below(r, 3) == 0) {
            struct limit_cost actual = { { any_cost(r, &rules.rules[0]),
                                           any_cost(r, &rules.rules[1]) } };
            for (size_t i = 0; i < rules.len; i++) {
                if ((d.reservation.charged & (1u << i)) != 0) {
                    enum limit_unit u = rules.rules[i].unit;
                    model_add(&models[i], &rules.rules[i],
                              (wide)cost.amount[u] - (wide)actual.amount[u], now_ns);
                }
            }
            limiter_settle(l, SLICE_LIT("one"), &d.reservation, &actual, now_ns);
            assert_int_equal(d.reservation.charged, 0);
        }
    }
    limiter_free(l);
}

static void test_every_answer_is_that_of_an_exact_bucket(void **state)
{
    (void)state;
    struct rand_seeded r;
    rand_seeded_init(&r, test_seed());
    for (int round = 0; round < 1000; round++) {
        one_tenant_round(&r.source);
    }
}

/* More tenants than places, clocks that step back, refunds and debts: nobody ever gets what a
 * bucket of its own would have refused. */
static void crowd_round(const struct rand_source *r, size_t tenants, size_t tenants_max,
                        uint64_t back_ns_max)
{
    struct limit_rules rules;
    assert_int_equal(limit_rules_parse(SLICE_LIT("a=requests:50/s,burst=10"), &rules, NULL),
                     SHOAL_OK);
    struct limiter *l = NULL;
    const struct limiter_config config = { .rules = &rules, .tenants_max = tenants_max };
    assert_int_equal(limiter_local_new(&config, &l, NULL), SHOAL_OK);
    struct model *models = mem_calloc(tenants, sizeof(*models));
    assert_non_null(models);
    for (size_t i = 0; i < tenants; i++) {
        model_init(&models[i], &rules.rules[0]);
    }
    uint64_t clock_ns = 1000 * NS_PER_S;
    uint64_t latest_ns = 0;
    size_t refused_early = 0;
    for (int step = 0; step < 4000; step++) {
        clock_ns += rand_below(r, 10 * NS_PER_MS);
        clock_ns -= rand_below(r, 20) == 0 ? rand_below(r, back_ns_max + 1) : 0;
        latest_ns = clock_ns > latest_ns ? clock_ns : latest_ns;
        size_t who = rand_below(r, tenants);
        char name[24];
        (void)snprintf(name, sizeof(name), "tenant-%zu", who);
        uint64_t amount = 1 + rand_below(r, 6);
        struct limit_decision d = ask(l, name, amount, 0, clock_ns);
        bool model_allows = level_at(&models[who], &rules.rules[0], latest_ns) >=
                            (wide)amount * (wide)NS_PER_S;
        assert_true(model_allows || !d.allowed);
        assert_true(limiter_tenants(l) <= tenants_max);
        refused_early += model_allows && !d.allowed;
        if (!d.allowed) {
            continue;
        }
        model_add(&models[who], &rules.rules[0], -(wide)amount, latest_ns);
        if (rand_below(r, 3) == 0) {
            uint64_t actual = rand_below(r, 9);
            model_add(&models[who], &rules.rules[0], (wide)amount - (wide)actual, latest_ns);
            settle(l, name, &d, actual, 0, clock_ns);
        }
    }
    assert_true(tenants > tenants_max || refused_early == 0);
    mem_free(models);
    limiter_free(l);
}

static void test_a_crowd_never_gets_more_than_buckets_of_its_own(void **state)
{
    (void)state;
    struct rand_seeded r;
    rand_seeded_init(&r, test_seed());
    for (int round = 0; round < 10; round++) {
        crowd_round(&r.source, 40, 5, 300 * NS_PER_MS);
        crowd_round(&r.source, 40, 1, 300 * NS_PER_MS);
        crowd_round(&r.source, 40, 40, 300 * NS_PER_MS);
        /* Several shards, each with a latest time of its own: the model knows one only. */
        crowd_round(&r.source, 2000, 400, 0);
    }
}

/* Straight from the definition: all spans between any two grants. */
static void test_no_span_grants_more_than_its_bound(void **state)
{
    (void)state;
    struct rand_seeded r;
    rand_seeded_init(&r, test_seed());
    struct limiter *l = limiter_of("a=requests:7/3s,burst=5", 10);
    enum { GRANTS_MAX = 800 };
    uint64_t at_ns[GRANTS_MAX];
    uint64_t amount[GRANTS_MAX];
    size_t n = 0;
    uint64_t now_ns = 12345;
    for (int step = 0; step < 4000 && n < GRANTS_MAX; step++) {
        uint64_t wanted = 1 + rand_below(&r.source, 3);
        if (ask(l, "t", wanted, 0, now_ns).allowed) {
            at_ns[n] = now_ns;
            amount[n++] = wanted;
        }
        now_ns += rand_below(&r.source, 200 * NS_PER_MS);
    }
    assert_true(n > 100);
    for (size_t i = 0; i < n; i++) {
        uint64_t sum = 0;
        for (size_t j = i; j < n; j++) {
            sum += amount[j];
            assert_true((wide)sum * 3 * (wide)NS_PER_S <=
                        5 * 3 * (wide)NS_PER_S + 7 * (wide)(at_ns[j] - at_ns[i]));
        }
    }
    limiter_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_every_answer_is_that_of_an_exact_bucket, teardown),
        cmocka_unit_test_teardown(test_a_crowd_never_gets_more_than_buckets_of_its_own, teardown),
        cmocka_unit_test_teardown(test_no_span_grants_more_than_its_bound, teardown),
    };
    return cmocka_run_group_tests_name("limiter model", tests, NULL, NULL);
}
