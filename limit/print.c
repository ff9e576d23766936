#include "limit/limit.h"

#include <inttypes.h>

static uint64_t seconds_up(uint64_t ms)
{
    return ms / 1000 + (ms % 1000 != 0);
}

typedef enum shoal_err print_fn(struct buf *out, const struct limit_status *status);

static enum shoal_err print_policy_item(struct buf *out, const struct limit_status *status)
{
    const struct limit_rule *rule = status->rule;
    return buf_printf(out, "\"%s\";q=%" PRIu64 ";w=%" PRIu32, rule->name, rule->quota,
                      rule->window_s);
}

static enum shoal_err print_state_item(struct buf *out, const struct limit_status *status)
{
    return buf_printf(out, "\"%s\";r=%" PRIu64 ";t=%" PRIu64, status->rule->name, status->remaining,
                      seconds_up(status->reset_after_ms));
}

/* A list of structured fields (RFC 9651); a name needs no escapes, so it stands in quotes as it
 * is. What was appended before a failure is taken back. */
static enum shoal_err print_list(const struct limit_decision *d, print_fn *item, struct buf *out)
{
    size_t start = out->len;
    enum shoal_err rc = SHOAL_OK;
    for (size_t i = 0; rc == SHOAL_OK && i < d->statuses_len; i++) {
        if (d->statuses[i].rule->dry_run) {
            continue;
        }
        if (out->len > start) {
            rc = buf_append_str(out, ", ");
        }
        if (rc == SHOAL_OK) {
            rc = item(out, &d->statuses[i]);
        }
    }
    if (rc != SHOAL_OK) {
        out->len = start;
    }
    return rc;
}

enum shoal_err limit_print_policy(const struct limit_decision *d, struct buf *out)
{
    return print_list(d, print_policy_item, out);
}

enum shoal_err limit_print_state(const struct limit_decision *d, struct buf *out)
{
    return print_list(d, print_state_item, out);
}

uint64_t limit_retry_after_s(const struct limit_decision *d)
{
    if (d->retry_after_ms == LIMIT_NEVER) {
        return 0;
    }
    uint64_t seconds = seconds_up(d->retry_after_ms);
    return seconds > 0 ? seconds : 1;
}
