/* Account: one tenant's states under all rules, in one block of bytes, and the decision over them.
 * Private to the room; stores keep accounts.
 *
 * Threads: none of its own; the store's lock guards an account. Nothing allocates, nothing fails.
 */
#ifndef SHOAL_LIMIT_ACCOUNT_H
#define SHOAL_LIMIT_ACCOUNT_H

#include "limit/algorithm.h"

/* Where each rule's state lies in an account. */
struct account_layout {
    const struct limit_rules *rules; /* outlives the layout */
    size_t offsets[LIMIT_RULES_MAX];
    size_t size; /* bytes of an account; all zero: a tenant that never used anything */
};

/* SHOAL_ETOOBIG when the sizes do not add up to a size_t. */
SHOAL_MUST_CHECK enum shoal_err account__layout(const struct limit_rules *rules,
                                                struct account_layout *out);
/* Fills all of *out. The account, aligned like max_align_t, changes only when it allows. now_ns is
 * the store's time; times in *out count from since_ns, which is not after it. */
void account__check(const struct account_layout *layout, void *account,
                    const struct limit_cost *cost, uint64_t now_ns, uint64_t since_ns,
                    struct limit_decision *out);
/* Debits what the actual cost has above the reserved one; `give_back`: and refunds what it has
 * below. */
void account__settle(const struct account_layout *layout, void *account,
                     const struct limit_reservation *reservation, const struct limit_cost *actual,
                     bool give_back, uint64_t now_ns);
/* From here on the account is as good as one that is all zero. */
uint64_t account__full_at_ns(const struct account_layout *layout, const void *account);

#endif
