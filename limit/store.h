/* Store: where a limiter keeps its tenants' accounts. The limiter itself is the rules and a store
 * behind this vtable; a store's own struct has `struct limiter` as its first member. Private to the
 * room. */
#ifndef SHOAL_LIMIT_STORE_H
#define SHOAL_LIMIT_STORE_H

#include "limit/limit.h"

struct limit_store_ops {
    const char *name;
    /* As limiter_check, with at least one rule asked. *out is filled on success only. */
    enum shoal_err (*check)(struct limiter *l, struct slice tenant, const struct limit_cost *cost,
                            uint64_t now_ns, struct limit_decision *out);
    /* As limiter_settle, with something charged; the reservation is emptied by the caller. */
    void (*settle)(struct limiter *l, struct slice tenant,
                   const struct limit_reservation *reservation, const struct limit_cost *actual,
                   uint64_t now_ns);
    size_t (*tenants)(struct limiter *l);
    void (*free)(struct limiter *l);
};

struct limiter {
    const struct limit_store_ops *ops;
    struct limit_rules rules; /* immutable */
};

/* SHOAL_EVALIDATION when the rule is not within its bounds. */
SHOAL_MUST_CHECK enum shoal_err limit__rule_check(const struct limit_rule *rule,
                                                  struct errbuf *why);
/* The same for all of them together: their number, and names that differ. */
SHOAL_MUST_CHECK enum shoal_err limit__rules_check(const struct limit_rules *rules,
                                                   struct errbuf *why);

#endif
