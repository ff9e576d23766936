/* Limit: how much of something a tenant may use in a time, by rules such as "100 requests a
 * second" or "5000 generated tokens a minute".
 *
 * A rule has a name, a unit, and a token bucket: `burst` tokens deep, refilled evenly at `quota`
 * tokens a window. One check asks several rules at once, all or nothing. What an answer will cost
 * is not always known before: then an estimate is reserved by the check, and the actual cost is
 * settled afterwards; a refund fills the bucket again (never over its brim), an extra debit may
 * take it below empty, and then nothing is allowed until it is back.
 *
 * The arithmetic is exact, in integers, without rounding per request: over any span of T ns a
 * tenant is granted at most burst + quota * T / window tokens, refunds aside.
 *
 * Time is the caller's (base/clock.h, monotonic): a check reads no clock and never blocks for
 * longer than a short lock. A clock that stands still or steps back grants nothing extra.
 *
 * Memory is bounded: a tenant whose buckets are all full again is forgotten, which changes nothing
 * for it. When there are more active tenants than `tenants_max`, those without a place of their
 * own share one; they may be refused early but can never get more than their rules say.
 *
 * Behind the limiter stands a store (in this process; others can follow) and behind each rule an
 * algorithm (limit/algorithm.h); callers see neither.
 *
 * Threads: all calls from any thread. Rules are immutable. */
#ifndef SHOAL_LIMIT_LIMIT_H
#define SHOAL_LIMIT_LIMIT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIMIT_RULES_MAX 16
#define LIMIT_NAME_MAX 32    /* bytes of a rule's name: letters, digits, '_', '-' */
#define LIMIT_TENANT_MAX 255 /* bytes of a tenant's name; more of them are ignored */
/* Bounds that keep all sums within 128 bits. */
#define LIMIT_AMOUNT_MAX (UINT64_C(1) << 40) /* quota and burst, tokens */
#define LIMIT_WINDOW_S_MAX 86400u
/* A debt is cut to what this time refills, so that one wrong number cannot shut a tenant out for
 * longer. */
#define LIMIT_DEBT_S_MAX 3600u

/* What is counted. Name in rules' text. */
#define LIMIT_UNIT_LIST(X)        \
    X(LIMIT_REQUESTS, "requests") \
    X(LIMIT_GENERATED_TOKENS, "generated_tokens")
#define LIMIT_UNIT_ENUM(name, text) name,
enum limit_unit { LIMIT_UNIT_LIST(LIMIT_UNIT_ENUM) LIMIT_UNITS_LEN };
#undef LIMIT_UNIT_ENUM

struct limit_algorithm;

struct limit_rule {
    char name[LIMIT_NAME_MAX + 1];
    enum limit_unit unit;
    uint64_t quota;                          /* tokens a window, 1..LIMIT_AMOUNT_MAX */
    uint32_t window_s;                       /* 1..LIMIT_WINDOW_S_MAX */
    uint64_t burst;                          /* tokens at once, 1..LIMIT_AMOUNT_MAX */
    bool dry_run;                            /* counts and reports, never refuses */
    const struct limit_algorithm *algorithm; /* static; set by limit_rules_parse */
};

struct limit_rules {
    size_t len;
    struct limit_rule rules[LIMIT_RULES_MAX];
};

/* Amounts by unit. A rule whose unit has amount 0 is not asked. */
struct limit_cost {
    uint64_t amount[LIMIT_UNITS_LEN];
};

/* One rule's answer. Times count from the check's now_ns and are rounded up. */
struct limit_status {
    const struct limit_rule *rule; /* lives as long as the limiter */
    bool refused;                  /* also set, without effect, for a dry-run rule */
    uint64_t remaining;            /* tokens left after this check; 0 when in debt */
    uint64_t reset_after_ms;       /* until the bucket is full, if nothing more is taken */
    uint64_t retry_after_ms;       /* until the same check passes; LIMIT_NEVER: it cannot */
};
#define LIMIT_NEVER UINT64_MAX

/* What a check took, to be settled once. Plain data; letting it go keeps the estimate as cost. */
struct limit_reservation {
    uint32_t charged; /* bit i: rule i was charged */
    struct limit_cost cost;
};

struct limit_decision {
    bool allowed;
    const struct limit_rule *refused_by; /* the rule that makes it wait longest; NULL if allowed */
    uint64_t retry_after_ms;             /* least wait after which all rules allow; 0 if allowed */
    size_t statuses_len;                 /* rules asked, in the order of the configuration */
    struct limit_status statuses[LIMIT_RULES_MAX];
    struct limit_reservation reservation; /* empty when refused */
};

/* --- rules ------------------------------------------------------------------------------------ */

/* Rules from text: "search=requests:100/s,burst=200; gen=generated_tokens:5000/min".
 *
 *     rules = rule *( ";" rule )                    blanks around every word are skipped
 *     rule  = name "=" unit ":" quota "/" [count] ( "s" | "min" | "h" ) *( "," option )
 *     option = "burst=" tokens                      default: quota
 *            | "algorithm=" name                    default and only one yet: token_bucket
 *            | "dry_run"
 *
 * Empty text gives no rules. SHOAL_EPARSE (says where and what is allowed), SHOAL_EVALIDATION (a
 * number out of range, a name twice), SHOAL_EUNSUPPORTED (an algorithm that is not built),
 * SHOAL_ETOOBIG (more than LIMIT_RULES_MAX). On failure *out has no rules. */
SHOAL_MUST_CHECK enum shoal_err limit_rules_parse(struct slice text, struct limit_rules *out,
                                                  struct errbuf *why);
const char *limit_unit_name(enum limit_unit unit);

/* --- limiter ---------------------------------------------------------------------------------- */

struct limiter;

struct limiter_config {
    const struct limit_rules *rules; /* copied */
    size_t tenants_max;              /* tenants with buckets of their own, >= 1 */
};

/* Buckets in this process. SHOAL_EINVAL, SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err limiter_local_new(const struct limiter_config *config,
                                                  struct limiter **out, struct errbuf *why);
void limiter_free(struct limiter *l); /* no call under way; NULL is fine */

/* Asks all rules whose unit has a cost and takes it from each, or from none. SHOAL_OK also when
 * refused: *out tells. Failures are of the store (the local one has none): nothing was taken, and
 * *out says refused. */
SHOAL_MUST_CHECK enum shoal_err limiter_check(struct limiter *l, struct slice tenant,
                                              const struct limit_cost *cost, uint64_t now_ns,
                                              struct limit_decision *out);
/* Puts the actual cost in the place of what was reserved for the same tenant, and empties the
 * reservation, so that a second call does nothing. */
void limiter_settle(struct limiter *l, struct slice tenant, struct limit_reservation *reservation,
                    const struct limit_cost *actual, uint64_t now_ns);
/* Tenants remembered now. */
size_t limiter_tenants(struct limiter *l);

/* --- HTTP fields ------------------------------------------------------------------------------ */

/* Values of the fields of draft-ietf-httpapi-ratelimit-headers, one item for each enforced rule
 * that was asked:
 *     RateLimit-Policy: "search";q=100;w=1, "gen";q=5000;w=60
 *     RateLimit: "search";r=199;t=1, "gen";r=0;t=42
 * Nothing is appended when no enforced rule was asked. SHOAL_ENOMEM, SHOAL_ETOOBIG. */
enum shoal_err limit_print_policy(const struct limit_decision *d, struct buf *out);
enum shoal_err limit_print_state(const struct limit_decision *d, struct buf *out);
/* Retry-After in whole seconds, at least 1, for a decision that refused; 0 when it never passes
 * (the request asks for more than the rule ever holds). */
uint64_t limit_retry_after_s(const struct limit_decision *d);

#endif
