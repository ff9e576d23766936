/* Writing: from a caller's thread into the log.
 *
 * An operation is checked before it is logged, so that what is refused by its own form leaves no
 * trace. A retry of an operation that was applied is answered from what is remembered of it.
 *
 * Admission. What is logged must be applied, and a full disk would hold up everything behind the
 * entry that finds no room, deletes included. So growth is admitted against a budget of bytes:
 *
 *     budget = what disk and map still hold - the reserve - what is under way
 *     each write that grows takes its estimated cost from it
 *
 * The disk is asked when the budget is used up, and at most half of what is free is given out
 * before it is asked again: far from full that is hardly ever, near to full with nearly every
 * write. What is logged and not yet applied shows in no measure, so near to full a write that asked
 * for durability alone waits until it is applied, too. Operations that only take away are never
 * refused here. Nothing has to be reset when there is room again: the next write asks. */
#include "base/mem.h"
#include "shard/shard_private.h"

#include <inttypes.h>

/* Ids and payload slices of OP_POINTS_MAX points, and rows that had to be aligned. */
#define DECODE_BYTES_MAX (2 * (size_t)RLOG_ENTRY_MAX)
/* An operation in state.mdb: values take part of a page, pages are copied when they change. */
#define COST_FACTOR 3
#define COST_LEAST (64 << 10)
#define COST_POINT 64u
/* Others write to the same disk, so no measure of it is good for ever. */
#define BUDGET_BYTES_MAX ((int64_t)1 << 30)
/* With less room than the log may hold in its queue, every write waits until it is applied. */
#define SCARCE_BYTES ((int64_t)RLOG_QUEUE_BYTES_MAX)

struct writing {
    struct shard *s;
    struct slice bytes;
    struct op op;
    enum shard_until until;
    uint64_t deadline_ns;
    const struct generation *inside; /* as the call came in */
};

/* --- admission -------------------------------------------------------------------------------- */

static bool takes_away(enum op_kind kind)
{
    switch (kind) {
    case OP_DELETE:
    case OP_DELETE_PAYLOAD:
    case OP_CLEAR_PAYLOAD: return true;
    case OP_UPSERT:
    case OP_SET_PAYLOAD:
    case OP_OVERWRITE_PAYLOAD: break;
    }
    return false;
}

static int64_t as_bytes(uint64_t n)
{
    return n > INT64_MAX ? INT64_MAX : (int64_t)n;
}

/* May be negative. */
static enum shoal_err measure_room(struct shard *s, int64_t *out, struct errbuf *why)
{
    struct disk_space space;
    const struct disk *disk = s->config.disk;
    enum shoal_err rc = disk->space(disk->arg, s->dir, &space, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct store_stats stats;
    store_stats(state_store(s->state), &stats);
    if (stats.map_bytes == 0) {
        return err_set(why, SHOAL_ENOMEM, "out of memory to measure a shard");
    }
    const int64_t inside = as_bytes(stats.free_bytes);
    const uint64_t map_max = s->config.map_bytes_max;
    const uint64_t file_max = stats.file_bytes_max < map_max ? stats.file_bytes_max : map_max;
    const int64_t map = as_bytes(file_max) - as_bytes(stats.used_bytes) + inside;
    /* The log writes as much to the same disk. */
    const int64_t on_disk = as_bytes(space.free_bytes) / 2 + inside;
    const int64_t under_way = atomic_load(&s->growth_under_way);
    *out = (map < on_disk ? map : on_disk) - (int64_t)STORE_RESERVE_BYTES - under_way;
    return SHOAL_OK;
}

static enum shoal_err admit(struct shard *s, int64_t cost, struct errbuf *why)
{
    if (atomic_fetch_sub(&s->growth_budget, cost) >= cost) {
        return SHOAL_OK;
    }
    int64_t room = 0;
    atomic_fetch_add(&s->growth_budget, cost);
    enum shoal_err rc = measure_room(s, &room, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (room < cost) {
        return err_set(why, SHOAL_EFULL,
                       "shard %" PRIu64 " has no room for more; delete something, or make room",
                       s->config.id);
    }
    room -= cost;
    atomic_store(&s->growth_scarce, room < SCARCE_BYTES);
    atomic_store(&s->growth_budget, room / 2 < BUDGET_BYTES_MAX ? room / 2 : BUDGET_BYTES_MAX);
    return SHOAL_OK;
}

/* When this many points take the operation's payload. */
static int64_t cost_of(const struct writing *w, uint64_t points)
{
    uint64_t bytes = w->bytes.len;
    uint64_t written = 0;
    if (w->op.kind != OP_UPSERT && points > 0 &&
        __builtin_mul_overflow(points, w->op.payloads[0].len + COST_POINT, &written)) {
        written = INT64_MAX;
    }
    bytes = written > INT64_MAX / 2 / COST_FACTOR ? INT64_MAX / 2 / COST_FACTOR : bytes + written;
    return (int64_t)bytes * COST_FACTOR + COST_LEAST;
}

/* A filter may choose any number of points: they are counted only when there is no room for all. */
static enum shoal_err admit_op(const struct writing *w, int64_t *cost, struct errbuf *why)
{
    struct shard *s = w->s;
    const bool by_filter = w->op.filter.len > 0;
    uint64_t points = by_filter ? w->inside->points : w->op.points_len;
    *cost = cost_of(w, points);
    enum shoal_err rc = admit(s, *cost, why);
    if (rc != SHOAL_EFULL || !by_filter) {
        return rc;
    }
    rc = shard__count(s, w->inside, w->op.filter, &points, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    *cost = cost_of(w, points);
    return admit(s, *cost, why);
}

/* --- proposal --------------------------------------------------------------------------------- */

/* What came of the operation when it was applied; SHOAL_ENOTFOUND when it was not. */
static enum shoal_err recall(const struct writing *w, struct state_outcome *out, struct errbuf *why)
{
    if (!shard__op_has_id(&w->op)) {
        return SHOAL_ENOTFOUND;
    }
    struct store_txn *txn = NULL;
    enum shoal_err rc = store_read_begin(state_store(w->s->state), &txn, why);
    if (rc == SHOAL_OK) {
        rc = state_op_get(w->s->state, txn, w->op.id, out, why);
        store_read_end(txn);
    }
    return rc;
}

static enum shoal_err answer_again(const struct state_outcome *o, struct shard_written *out,
                                   struct errbuf *why)
{
    if (o->result.rc != SHOAL_OK) {
        return err_set(why, o->result.rc, "%s", o->result.text);
    }
    *out = (struct shard_written){ .index = o->index, .changed = o->result.value, .visible = true };
    return SHOAL_OK;
}

static enum shoal_err propose(const struct writing *w, struct shard_written *out,
                              struct errbuf *why)
{
    struct rlog_result result = { .rc = SHOAL_OK };
    uint64_t index = 0;
    const bool visible = w->until == SHARD_VISIBLE;
    enum shoal_err rc = rlog_propose_wait(w->s->rlog, w->bytes,
                                          visible ? RLOG_APPLIED : RLOG_COMMITTED, w->deadline_ns,
                                          &index, &result, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    *out = (struct shard_written){ .index = index,
                                   .changed = visible ? result.value : 0,
                                   .visible = visible };
    /* Another try of it may have been applied first; then that one's index is the answer. The write
     * is done in any case, so a failure to look does not fail it. */
    struct state_outcome outcome;
    rc = visible ? recall(w, &outcome, why) : SHOAL_ENOTFOUND;
    return rc == SHOAL_OK ? answer_again(&outcome, out, why) : SHOAL_OK;
}

static enum shoal_err propose_growth(struct writing *w, struct shard_written *out,
                                     struct errbuf *why)
{
    struct shard *s = w->s;
    int64_t cost = 0;
    enum shoal_err rc = admit_op(w, &cost, why);
    if (rc == SHOAL_OK) {
        atomic_fetch_add(&s->growth_under_way, cost);
        w->until = atomic_load(&s->growth_scarce) ? SHARD_VISIBLE : w->until;
        rc = propose(w, out, why);
        atomic_fetch_sub(&s->growth_under_way, cost);
    }
    return rc;
}

static enum shoal_err write_op(struct writing *w, struct arena *arena, struct shard_written *out,
                               struct errbuf *why)
{
    struct shard *s = w->s;
    enum shoal_err rc = shard__whole(s, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = op_decode(w->bytes, arena, &w->op, why);
    if (rc == SHOAL_OK) {
        rc = op_check(&w->op, s->config.schema.dim, s->config.schema.distance, why);
    } else if (rc == SHOAL_ECORRUPT) { /* the caller's bytes, not ours */
        rc = err_set(why, SHOAL_EINVAL, "%s", err_why(why, rc));
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct state_outcome outcome;
    rc = recall(w, &outcome, why);
    if (rc != SHOAL_ENOTFOUND) {
        return rc == SHOAL_OK ? answer_again(&outcome, out, why) : rc;
    }
    return takes_away(w->op.kind) ? propose(w, out, why) : propose_growth(w, out, why);
}

enum shoal_err shard_write(struct shard *s, struct slice op, enum shard_until until,
                           uint64_t deadline_ns, struct shard_written *out, struct errbuf *why)
{
    *out = (struct shard_written){ .index = 0 };
    struct arena arena;
    arena_init(&arena, DECODE_BYTES_MAX);
    struct generation *inside = shard__enter(s);
    struct writing w = {
        .s = s, .bytes = op, .until = until, .deadline_ns = deadline_ns, .inside = inside
    };
    enum shoal_err rc = write_op(&w, &arena, out, why);
    shard__leave(s, inside);
    arena_release(&arena);
    return rc;
}
