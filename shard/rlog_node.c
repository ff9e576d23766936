#include "shard/rlog_group.h"

#include "base/bytes.h"
#include "base/mem.h"

#include <inttypes.h>

/* Ticks are of rlog_config.tick_ms: at 100 ms a leader is heard of every 0.2 s, and missed after
 * one to two seconds. */
#define ELECTION_TICKS 10
#define HEARTBEAT_TICKS 2

/* --- voters: their ids, little-endian, in the group's record ---------------------------------- */

static enum shoal_err voters_check(const struct rlog *log, const uint64_t *voters, size_t len,
                                   struct errbuf *why)
{
    if (len == 0 || len > RLOG_VOTERS_MAX) {
        return err_set(why, SHOAL_EINVAL, "group %" PRIu64 ": %zu voters, 1 to %d may be",
                       log->config.group, len, RLOG_VOTERS_MAX);
    }
    bool is_member = false;
    for (size_t i = 0; i < len; i++) {
        is_member = is_member || voters[i] == log->config.node;
        for (size_t j = 0; j < i; j++) {
            if (voters[i] == voters[j] || voters[i] == 0) {
                return err_set(why, SHOAL_EINVAL, "group %" PRIu64 ": a voter twice, or id 0",
                               log->config.group);
            }
        }
    }
    return is_member ? SHOAL_OK
                     : err_set(why, SHOAL_EINVAL,
                               "group %" PRIu64 ": node %" PRIu64 " is not among its voters",
                               log->config.group, log->config.node);
}

static enum shoal_err voters_load(struct rlog *log, struct errbuf *why)
{
    char *data = NULL;
    size_t len = 0;
    enum shoal_err rc = log_store_members(log->config.store, log->config.group, &data, &len, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (len % 8 != 0 || len / 8 > RLOG_VOTERS_MAX) {
        rc = err_set(why, SHOAL_ECORRUPT, "group %" PRIu64 ": %zu bytes of voters",
                     log->config.group, len);
    } else {
        log->voters_len = len / 8;
        for (size_t i = 0; i < log->voters_len; i++) {
            log->voters[i] = bytes_get_le64(data + 8 * i);
        }
        rc = voters_check(log, log->voters, log->voters_len, why);
    }
    mem_free(data);
    return rc;
}

static enum shoal_err group_begin(struct rlog *log, const uint64_t *voters, size_t len,
                                  struct errbuf *why)
{
    enum shoal_err rc = voters_check(log, voters, len, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    char members[8 * RLOG_VOTERS_MAX];
    for (size_t i = 0; i < len; i++) {
        bytes_put_le64(members + 8 * i, voters[i]);
    }
    return log_store_begin(log->config.store, log->config.group, slice_make(members, 8 * len), why);
}

/* What the machine holds must be a beginning of what the log holds or held. */
static enum shoal_err check_fit(const struct rlog *log, const struct log_group_state *state,
                                struct errbuf *why)
{
    if (log->applied + 1 < state->first_index) {
        return err_set(why, SHOAL_ECORRUPT,
                       "group %" PRIu64 ": the state ends at entry %" PRIu64
                       ", the log begins with %" PRIu64
                       ": what lies between is lost; restore the state from a replica or backup",
                       log->config.group, log->applied, state->first_index);
    }
    if (log->applied > state->last_index) {
        return err_set(why, SHOAL_ECORRUPT,
                       "group %" PRIu64 ": the state holds entry %" PRIu64
                       ", the log ends at %" PRIu64 ": they are not of the same time",
                       log->config.group, log->applied, state->last_index);
    }
    if (state->hard_state.commit > state->last_index) {
        return err_set(why, SHOAL_ECORRUPT,
                       "group %" PRIu64 ": entry %" PRIu64
                       " was committed, and the log ends at %" PRIu64,
                       log->config.group, state->hard_state.commit, state->last_index);
    }
    return SHOAL_OK;
}

enum shoal_err rlog__group_load(struct rlog *log, const uint64_t *voters, size_t voters_len,
                                struct errbuf *why)
{
    const struct rlog_config *c = &log->config;
    log->applied = c->machine->applied_index(c->machine->arg);
    struct log_group_state state;
    enum shoal_err rc = log_store_load(c->store, c->group, log->applied, &state, why);
    if (rc == SHOAL_ENOTFOUND) {
        err_clear(why);
        rc = group_begin(log, voters, voters_len, why);
        state = (struct log_group_state){ .first_index = 1 };
    }
    if (rc == SHOAL_OK) {
        rc = voters_load(log, why);
    }
    return rc != SHOAL_OK ? rc : check_fit(log, &state, why);
}

/* --- the node --------------------------------------------------------------------------------- */

struct reading {
    struct raft_sink *sink;
    uint64_t bytes;
    uint64_t bytes_max;
    bool known;
};

static bool read_one(void *arg, const struct log_entry *e)
{
    struct reading *r = arg;
    r->known = raft_sink_push(r->sink, e);
    r->bytes += e->data.len;
    return r->known && r->bytes < r->bytes_max;
}

static bool read_entries(void *arg, uint64_t lo, uint64_t hi, uint64_t bytes_max,
                         struct raft_sink *sink)
{
    struct rlog *log = arg;
    struct reading r = { .sink = sink, .bytes_max = bytes_max, .known = true };
    const enum shoal_err rc = log_store_read(log->config.store, log->config.group, lo, hi, read_one,
                                             &r, NULL);
    return rc == SHOAL_OK && r.known;
}

static struct raft_node *node_new(struct rlog *log, const struct log_group_state *state,
                                  const struct log_term_run *runs, size_t runs_len)
{
    struct raft_node_config config = {
        .id = log->config.node,
        .voters = log->voters,
        .voters_len = log->voters_len,
        .hard_state = state->hard_state,
        .cut_index = state->first_index - 1,
        .cut_term = state->cut_term,
        .last_index = state->last_index,
        .runs = runs,
        .runs_len = runs_len,
        .applied = log->applied,
        .election_ticks = ELECTION_TICKS,
        .heartbeat_ticks = HEARTBEAT_TICKS,
        .seed = rand_u64(log->config.rand),
        .read = read_entries,
        .read_arg = log,
    };
    /* The stored commit lags: it is written with the next entries. What was applied is committed,
     * and so is all that a group of one has synced. */
    if (rlog__is_alone(log)) {
        config.hard_state.commit = state->last_index;
    } else if (config.hard_state.commit < log->applied) {
        config.hard_state.commit = log->applied;
    }
    return raft_node_new(&config);
}

enum shoal_err rlog__node_begin(struct rlog *log, struct errbuf *why)
{
    const struct rlog_config *c = &log->config;
    struct log_group_state state;
    struct log_term_run *runs = NULL;
    size_t runs_len = 0;
    enum shoal_err rc = log_store_load(c->store, c->group, log->applied, &state, why);
    if (rc == SHOAL_OK) {
        rc = log_store_runs(c->store, c->group, &runs, &runs_len, why);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct raft_node *node = node_new(log, &state, runs, runs_len);
    mem_free(runs);
    if (node == NULL) { /* the entries were checked a moment ago: memory it is, or their types */
        return err_set(why, SHOAL_ENOMEM, "group %" PRIu64 ": its entries cannot be read",
                       c->group);
    }
    raft_node_free(log->node);
    log->node = node;
    log->first_index = state.first_index;
    log->log_bytes = state.bytes;
    log->ready = (struct raft_ready){ .entries = NULL };
    log->has_hard_state = false;
    log->write = WRITE_NONE;
    log->answered_commit = 0;
    return SHOAL_OK;
}
