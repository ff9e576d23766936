#include "limit/account.h"

#include "base/mem.h"

#include <assert.h>
#include <stddef.h>

#define NS_PER_MS UINT64_C(1000000)

/* --- layout ----------------------------------------------------------------------------------- */

enum shoal_err account__layout(const struct limit_rules *rules, struct account_layout *out)
{
    const size_t align = _Alignof(max_align_t);
    *out = (struct account_layout){ .rules = rules };
    assert(rules->len <= LIMIT_RULES_MAX);
    size_t size = 0;
    for (size_t i = 0; i < rules->len; i++) {
        out->offsets[i] = size;
        size_t state = rules->rules[i].algorithm->state_size(&rules->rules[i]);
        if (!size_add(size, state, &size) || !size_add(size, align - 1, &size)) {
            return SHOAL_ETOOBIG;
        }
        size -= size % align;
    }
    out->size = size;
    return SHOAL_OK;
}

static void *state_of(const struct account_layout *layout, void *account, size_t i)
{
    return (char *)account + layout->offsets[i];
}

static const void *state_of_const(const struct account_layout *layout, const void *account,
                                  size_t i)
{
    return (const char *)account + layout->offsets[i];
}

/* --- checking --------------------------------------------------------------------------------- */

static uint64_t ms_until(uint64_t at_ns, uint64_t since_ns)
{
    uint64_t ns = at_ns > since_ns ? at_ns - since_ns : 0;
    return ns / NS_PER_MS + (ns % NS_PER_MS != 0);
}

static struct limit_status ask_rule(const struct limit_rule *rule, const void *state,
                                    uint64_t amount, uint64_t now_ns, uint64_t since_ns)
{
    struct limit_status status = { .rule = rule };
    uint64_t ready_at_ns = rule->algorithm->ready_at_ns(rule, state, amount, now_ns);
    if (ready_at_ns == LIMIT_AT_NEVER) {
        status.refused = true;
        status.retry_after_ms = LIMIT_NEVER;
    } else if (ready_at_ns > now_ns) {
        status.refused = true;
        status.retry_after_ms = ms_until(ready_at_ns, since_ns);
    }
    return status;
}

/* Asks every rule that has a cost, and finds the enforced one that makes it wait longest. */
static void ask_rules(const struct account_layout *layout, const void *account,
                      const struct limit_cost *cost, uint64_t now_ns, uint64_t since_ns,
                      struct limit_decision *out)
{
    out->allowed = true;
    for (size_t i = 0; i < layout->rules->len; i++) {
        const struct limit_rule *rule = &layout->rules->rules[i];
        if (cost->amount[rule->unit] == 0) {
            continue;
        }
        struct limit_status status = ask_rule(rule, state_of_const(layout, account, i),
                                              cost->amount[rule->unit], now_ns, since_ns);
        if (status.refused && !rule->dry_run &&
            (out->allowed || status.retry_after_ms > out->retry_after_ms)) {
            out->allowed = false;
            out->refused_by = rule;
            out->retry_after_ms = status.retry_after_ms;
        }
        out->statuses[out->statuses_len++] = status;
    }
}

/* A dry-run rule that would have refused takes nothing, as it would if it were enforced: so its
 * counts show what enforcing it would do. */
static void charge(const struct account_layout *layout, void *account,
                   const struct limit_cost *cost, uint64_t now_ns, struct limit_decision *out)
{
    out->reservation.cost = *cost;
    for (size_t s = 0; s < out->statuses_len; s++) {
        const struct limit_rule *rule = out->statuses[s].rule;
        size_t i = (size_t)(rule - layout->rules->rules);
        if (!out->statuses[s].refused) {
            rule->algorithm->take(rule, state_of(layout, account, i), cost->amount[rule->unit],
                                  now_ns);
            out->reservation.charged |= UINT32_C(1) << i;
        }
    }
}

void account__check(const struct account_layout *layout, void *account,
                    const struct limit_cost *cost, uint64_t now_ns, uint64_t since_ns,
                    struct limit_decision *out)
{
    assert(since_ns <= now_ns);
    *out = (struct limit_decision){ 0 };
    ask_rules(layout, account, cost, now_ns, since_ns, out);
    if (out->allowed) {
        charge(layout, account, cost, now_ns, out);
    }
    for (size_t s = 0; s < out->statuses_len; s++) {
        struct limit_status *status = &out->statuses[s];
        const struct limit_rule *rule = status->rule;
        const void *state = state_of_const(layout, account, (size_t)(rule - layout->rules->rules));
        status->remaining = rule->algorithm->left(rule, state, now_ns);
        status->reset_after_ms = ms_until(rule->algorithm->full_at_ns(rule, state), since_ns);
    }
    assert(out->allowed == (out->refused_by == NULL));
}

/* --- afterwards ------------------------------------------------------------------------------- */

void account__settle(const struct account_layout *layout, void *account,
                     const struct limit_reservation *reservation, const struct limit_cost *actual,
                     bool give_back, uint64_t now_ns)
{
    for (size_t i = 0; i < layout->rules->len; i++) {
        const struct limit_rule *rule = &layout->rules->rules[i];
        uint64_t reserved = reservation->cost.amount[rule->unit];
        uint64_t used = actual->amount[rule->unit];
        if ((reservation->charged & (UINT32_C(1) << i)) == 0) {
            continue;
        }
        if (used > reserved) {
            rule->algorithm->take(rule, state_of(layout, account, i), used - reserved, now_ns);
        } else if (used < reserved && give_back) {
            rule->algorithm->give(rule, state_of(layout, account, i), reserved - used, now_ns);
        }
    }
}

uint64_t account__full_at_ns(const struct account_layout *layout, const void *account)
{
    uint64_t latest = 0;
    for (size_t i = 0; i < layout->rules->len; i++) {
        const struct limit_rule *rule = &layout->rules->rules[i];
        uint64_t at_ns = rule->algorithm->full_at_ns(rule, state_of_const(layout, account, i));
        latest = at_ns > latest ? at_ns : latest;
    }
    return latest;
}
