/* Algorithm: how one rule counts one tenant's use. The state is plain bytes of a fixed size, so
 * that a store can keep many of them in one block, copy them and drop them; all zero is the state
 * of a tenant that never used anything. Private to the room.
 *
 * An amount is in tokens of the rule's unit, time in ns of the caller's clock. An algorithm may be
 * asked about a time before one it has seen: it answers as of the latest it knows.
 *
 * Threads: none of its own; the store's lock guards a state. Nothing allocates, nothing fails. */
#ifndef SHOAL_LIMIT_ALGORITHM_H
#define SHOAL_LIMIT_ALGORITHM_H

#include "limit/limit.h"

/* No instant. One that lies beyond what 64 bits hold counts as the last before it. */
#define LIMIT_AT_NEVER UINT64_MAX

struct limit_algorithm {
    const char *name; /* in rules' text */
    /* Bytes of a state; aligned like max_align_t by the store. */
    size_t (*state_size)(const struct limit_rule *rule);
    /* The first instant at which `amount` passes if nothing else is taken before: not after now_ns
     * when it passes now, LIMIT_AT_NEVER when it is more than the rule ever holds. */
    uint64_t (*ready_at_ns)(const struct limit_rule *rule, const void *state, uint64_t amount,
                            uint64_t now_ns);
    /* Takes without asking; what is not there becomes debt. */
    void (*take)(const struct limit_rule *rule, void *state, uint64_t amount, uint64_t now_ns);
    /* Gives back, up to the brim. */
    void (*give)(const struct limit_rule *rule, void *state, uint64_t amount, uint64_t now_ns);
    /* Whole tokens that could be taken now. */
    uint64_t (*left)(const struct limit_rule *rule, const void *state, uint64_t now_ns);
    /* From here on the state answers as one that is all zero, if nothing more is taken;
     * LIMIT_AT_NEVER when that lies beyond what 64 bits hold. */
    uint64_t (*full_at_ns)(const struct limit_rule *rule, const void *state);
};

extern const struct limit_algorithm limit_token_bucket;

/* The algorithm of that name, or NULL. */
const struct limit_algorithm *limit__algorithm_find(struct slice name);

#endif
