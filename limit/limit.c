/* The public calls: what holds for every store is settled here, the rest is the store's. */
#include "limit/limit.h"

#include "limit/algorithm.h"
#include "limit/store.h"

static struct slice name_of(struct slice tenant)
{
    return slice_make(tenant.data, tenant.len < LIMIT_TENANT_MAX ? tenant.len : LIMIT_TENANT_MAX);
}

/* The last instants stand for "never" and "beyond what 64 bits hold" (algorithm.h); a clock that is
 * set there stands still a little earlier. */
static uint64_t time_of(uint64_t now_ns)
{
    return now_ns < LIMIT_AT_NEVER - 2 ? now_ns : LIMIT_AT_NEVER - 2;
}

static bool asks_any(const struct limit_rules *rules, const struct limit_cost *cost)
{
    for (size_t i = 0; i < rules->len; i++) {
        if (cost->amount[rules->rules[i].unit] != 0) {
            return true;
        }
    }
    return false;
}

enum shoal_err limiter_check(struct limiter *l, struct slice tenant, const struct limit_cost *cost,
                             uint64_t now_ns, struct limit_decision *out)
{
    *out = (struct limit_decision){ .allowed = true };
    if (!asks_any(&l->rules, cost)) {
        return SHOAL_OK;
    }
    enum shoal_err rc = l->ops->check(l, name_of(tenant), cost, time_of(now_ns), out);
    if (rc != SHOAL_OK) {
        *out = (struct limit_decision){ .allowed = false };
    }
    return rc;
}

void limiter_settle(struct limiter *l, struct slice tenant, struct limit_reservation *reservation,
                    const struct limit_cost *actual, uint64_t now_ns)
{
    if (reservation->charged != 0) {
        l->ops->settle(l, name_of(tenant), reservation, actual, time_of(now_ns));
    }
    *reservation = (struct limit_reservation){ 0 };
}

size_t limiter_tenants(struct limiter *l)
{
    return l->ops->tenants(l);
}

void limiter_free(struct limiter *l)
{
    if (l != NULL) {
        l->ops->free(l);
    }
}
