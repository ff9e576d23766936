/* Token bucket, kept the way of the generic cell rate algorithm (ITU-T I.371, ATM Forum TM 4.0):
 * not how full the bucket is but how much is missing from the brim, so that zero means full.
 *
 * One token counts as `window` grains, with the window in nanoseconds; then a bucket refills by
 * exactly `quota` grains a nanosecond and nothing is ever rounded. The sums need more than 64 bits:
 * burst * window <= 2^40 * 2^46.3 grains, a debit of any 64-bit amount <= 2^110.3, a refill over
 * any 64-bit time <= 2^104. */
#include "limit/algorithm.h"

#include <assert.h>

#define NS_PER_S UINT64_C(1000000000)

__extension__ typedef unsigned __int128 grains; /* ISO C knows no type of 128 bits */

struct bucket {
    grains missing; /* as of as_of_ns; beyond the bucket's depth it is debt */
    uint64_t as_of_ns;
};

static grains grains_of(const struct limit_rule *rule, uint64_t tokens)
{
    return (grains)tokens * rule->window_s * NS_PER_S;
}

static grains refill(const struct limit_rule *rule, uint64_t ns)
{
    return (grains)rule->quota * ns;
}

static grains less(grains a, grains b)
{
    return a > b ? a - b : 0;
}

/* What is missing at now_ns, or at the latest time the bucket knows. */
static grains missing_at(const struct limit_rule *rule, const struct bucket *b, uint64_t now_ns)
{
    return now_ns <= b->as_of_ns ? b->missing
                                 : less(b->missing, refill(rule, now_ns - b->as_of_ns));
}

static void advance(const struct limit_rule *rule, struct bucket *b, uint64_t now_ns)
{
    b->missing = missing_at(rule, b, now_ns);
    b->as_of_ns = now_ns > b->as_of_ns ? now_ns : b->as_of_ns;
}

/* When `much` will have been refilled, counted from as_of_ns and rounded up; LIMIT_AT_NEVER when
 * no clock reaches that time. */
static uint64_t refilled_at_ns(const struct limit_rule *rule, const struct bucket *b, grains much)
{
    grains ns = much / rule->quota + (much % rule->quota != 0);
    return ns < LIMIT_AT_NEVER - b->as_of_ns ? b->as_of_ns + (uint64_t)ns : LIMIT_AT_NEVER;
}

static size_t bucket_state_size(const struct limit_rule *rule)
{
    (void)rule;
    return sizeof(struct bucket);
}

static uint64_t bucket_ready_at_ns(const struct limit_rule *rule, const void *state,
                                   uint64_t amount, uint64_t now_ns)
{
    const struct bucket *b = state;
    if (amount > rule->burst) {
        return LIMIT_AT_NEVER;
    }
    grains allowed = grains_of(rule, rule->burst - amount);
    if (missing_at(rule, b, now_ns) <= allowed) {
        return now_ns;
    }
    uint64_t at_ns = refilled_at_ns(rule, b, b->missing - allowed);
    return at_ns < LIMIT_AT_NEVER ? at_ns : LIMIT_AT_NEVER - 1;
}

static void bucket_take(const struct limit_rule *rule, void *state, uint64_t amount,
                        uint64_t now_ns)
{
    struct bucket *b = state;
    advance(rule, b, now_ns);
    grains most = grains_of(rule, rule->burst) + refill(rule, LIMIT_DEBT_S_MAX * NS_PER_S);
    b->missing += grains_of(rule, amount);
    b->missing = b->missing < most ? b->missing : most;
}

static void bucket_give(const struct limit_rule *rule, void *state, uint64_t amount,
                        uint64_t now_ns)
{
    struct bucket *b = state;
    advance(rule, b, now_ns);
    b->missing = less(b->missing, grains_of(rule, amount));
}

static uint64_t bucket_left(const struct limit_rule *rule, const void *state, uint64_t now_ns)
{
    grains there = less(grains_of(rule, rule->burst),
                        missing_at(rule, (const struct bucket *)state, now_ns));
    uint64_t left = (uint64_t)(there / grains_of(rule, 1));
    assert(left <= rule->burst);
    return left;
}

static uint64_t bucket_full_at_ns(const struct limit_rule *rule, const void *state)
{
    const struct bucket *b = state;
    return refilled_at_ns(rule, b, b->missing);
}

const struct limit_algorithm limit_token_bucket = {
    .name = "token_bucket",
    .state_size = bucket_state_size,
    .ready_at_ns = bucket_ready_at_ns,
    .take = bucket_take,
    .give = bucket_give,
    .left = bucket_left,
    .full_at_ns = bucket_full_at_ns,
};
