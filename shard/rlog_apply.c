#include "shard/rlog_group.h"

#include "base/log.h"

#include <assert.h>
#include <inttypes.h>

/* --- applying --------------------------------------------------------------------------------- */

/* Fills log->entries with what comes next. */
static enum shoal_err entries_next(struct rlog *log, size_t *len, struct errbuf *why)
{
    *len = raft_node_unapplied(log->node, log->unapplied, RLOG_APPLY_LEN_MAX, RLOG_APPLY_BYTES_MAX);
    for (size_t i = 0; i < *len; i++) {
        const struct log_entry *e = &log->unapplied[i];
        assert(e->index == log->applied + 1 + i);
        if (e->type != RAFT_ENTRY_NORMAL) {
            return err_set(why, SHOAL_EUNSUPPORTED,
                           "entry %" PRIu64 " changes the members: a later version wrote it",
                           e->index);
        }
        log->entries[i] =
            (struct rlog_entry){ .index = e->index, .term = e->term, .data = e->data };
        log->results[i] = (struct rlog_result){ .rc = SHOAL_OK };
    }
    return SHOAL_OK;
}

static enum shoal_err apply_some(struct rlog *log, size_t *len, struct errbuf *why)
{
    enum shoal_err rc = entries_next(log, len, why);
    if (rc != SHOAL_OK || *len == 0) {
        return rc;
    }
    const struct rlog_machine *m = log->config.machine;
    rc = m->apply(m->arg, log->entries, *len, log->results, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    const uint64_t first = log->applied + 1;
    log->applied += *len;
    raft_node_applied(log->node, log->applied);
    rlog__answer_applied(log, first, log->applied, log->results);
    return SHOAL_OK;
}

enum shoal_err rlog__apply(struct rlog *log, struct errbuf *why)
{
    if (log->stopped != SHOAL_OK || !rlog__retry_due(&log->apply_retry, rlog__now_ns(log))) {
        return log->stopped;
    }
    size_t len = 0;
    enum shoal_err rc = SHOAL_OK;
    do {
        rc = apply_some(log, &len, why);
    } while (rc == SHOAL_OK && len > 0);
    log->machine_full = rc == SHOAL_EFULL;
    if (rc == SHOAL_OK) {
        rlog__retry_over(&log->apply_retry);
    } else if (rc == SHOAL_EFULL || rc == SHOAL_ENOMEM) {
        if (log->apply_retry.due_ns == 0) {
            log_warn("applying the log waits", LOG_U64("group", log->config.group),
                     LOG_ERR(rc, why));
        }
        rlog__retry_later(&log->apply_retry, rlog__now_ns(log));
    } else {
        rlog__stop(log, rc, why);
    }
    return rc;
}

/* --- cutting ---------------------------------------------------------------------------------- */

/* After a cut, or what may be half of one: what the log holds now. */
static enum shoal_err cut_seen(struct rlog *log, struct errbuf *why)
{
    struct log_group_state state;
    enum shoal_err rc = log_store_load(log->config.store, log->config.group, log->applied, &state,
                                       why);
    if (rc == SHOAL_OK) {
        if (state.first_index > log->first_index) {
            raft_node_cut(log->node, state.first_index - 1, state.cut_term);
        }
        log->first_index = state.first_index;
        log->log_bytes = state.bytes;
    }
    return rc;
}

static enum shoal_err cut(struct rlog *log, struct errbuf *why)
{
    const struct rlog_machine *m = log->config.machine;
    uint64_t durable = 0;
    enum shoal_err rc = m->checkpoint(m->arg, &durable, why);
    if (rc != SHOAL_OK) {
        return err_prefix(why, rc, "checkpoint");
    }
    assert(durable <= log->applied);
    if (durable >= log->first_index) {
        rc = log_store_cut(log->config.store, log->config.group, durable, why);
        if (rc == SHOAL_OK) {
            rc = cut_seen(log, why);
        }
    }
    return rc;
}

bool rlog__cut(struct rlog *log)
{
    if (!rlog__is_alone(log) || log->stopped != SHOAL_OK) {
        return false; /* followers get what they miss from the log: snapshots are not sent yet */
    }
    struct errbuf why;
    err_clear(&why);
    const uint64_t first_before = log->first_index;
    const enum shoal_err rc = cut(log, &why);
    if (rc == SHOAL_EFULL || rc == SHOAL_ENOMEM) {
        log_warn("the log could not be cut", LOG_U64("group", log->config.group),
                 LOG_ERR(rc, &why));
    } else if (rc != SHOAL_OK) {
        rlog__stop(log, rc, &why);
    }
    return log->first_index > first_before;
}

void rlog__cut_if_long(struct rlog *log)
{
    if (log->log_bytes <= log->cut_bytes) {
        return;
    }
    (void)rlog__cut(log);
    /* What is left may not be cut now: not before it grew by a good part. */
    const uint64_t again = log->log_bytes + log->log_bytes_keep / 4;
    log->cut_bytes = again > log->log_bytes_keep ? again : log->log_bytes_keep;
}
