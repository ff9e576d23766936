/* Building: growing rows into segments, segments into larger ones.
 *
 *     wake -> job in the builders' pool -> plan (build_plan.h) over a pinned generation
 *          -> gather, check, segment_build: the long part, under no lock
 *          -> publish: under `writer`, one small transaction of state.mdb and a new generation
 *          -> state_sync -> retire what was replaced -> state_trim
 *
 * Rows that die while the segment is built are found when it is published, by comparing the
 * generation it was made from with the current one, and are marked dead in the new segment. Writers
 * wait for the publication only, which looks at no row in whose chunk or segment nothing died.
 *
 * A job does one piece of work and goes to the end of the pool's queue, so that shards take turns.
 * Only one job of a shard is queued or running, so segments and growing_begin change under nobody.
 *
 * Failures. Until the transaction has committed nothing has happened: the new file is removed and
 * the rows are where they were. When it is unknown whether it committed (SHOAL_EIO), the file
 * stays, and the next opening of the shard removes it if it is not listed. Whatever failed is tried
 * again, after one second, then two, and so on to a minute; the job waits for that in short turns,
 * so that it holds no thread of the pool for long. A source segment whose bytes are damaged is not
 * copied into a new one: the shard turns red and goes on sealing, but merges no more.
 *
 * The sync before retiring is there because state.mdb may lose its last commit to a power failure:
 * the old segment list must not come back when its files are gone. */
#include "base/log.h"
#include "base/mem.h"
#include "shard/build_plan.h"
#include "shard/shard_private.h"

#include <assert.h>
#include <inttypes.h>

#define RETRY_FIRST_NS 1000000000ull
#define RETRY_MAX_NS 60000000000ull
/* The longest that a job holds a thread of the pool for nothing. */
#define TURN_NS 100000000ull

struct build {
    struct shard *s;
    const struct generation *from; /* pinned */
    struct build_plan plan;
    struct segment_row *rows;
    size_t rows_len;
    struct segment_manifest m;
    struct segment *segment; /* NULL: no row of the plan lives */
    uint64_t id;
    /* Of one run of the publishing transaction. */
    const struct generation *now;
    struct generation *next;
    struct segment_view view;
};

static uint64_t now_ns(void)
{
    return clock_mono_ns(clock_real());
}

/* --- the new segment -------------------------------------------------------------------------- */

static enum shoal_err check_sources(const struct build *b, struct errbuf *why)
{
    enum shoal_err rc = SHOAL_OK;
    for (size_t i = b->plan.first; i < b->plan.first + b->plan.len && rc == SHOAL_OK; i++) {
        rc = segment_verify_truth(b->from->segments[i].segment, why);
    }
    return rc;
}

static enum shoal_err next_id(const struct build *b, uint64_t *out, struct errbuf *why)
{
    struct store_txn *txn = NULL;
    struct state_meta meta;
    enum shoal_err rc = store_read_begin(state_store(b->s->state), &txn, why);
    if (rc == SHOAL_OK) {
        rc = state_meta_get(b->s->state, txn, &meta, why);
        store_read_end(txn);
    }
    *out = rc == SHOAL_OK ? meta.next_segment : 0;
    return rc;
}

static enum shoal_err build_segment(struct build *b, struct errbuf *why)
{
    const struct shard *s = b->s;
    const struct shard_options *o = &s->options;
    enum shoal_err rc = next_id(b, &b->id, why);
    if (rc != SHOAL_OK || b->rows_len == 0) {
        return rc;
    }
    const struct segment_build build = {
        .dir = s->segments_dir,
        .disk = s->config.disk,
        .id = b->id,
        .row_begin = b->plan.row_begin,
        .row_end = b->plan.row_end,
        .index = { .kind = o->index,
                   .distance = s->config.schema.distance,
                   .dim = s->config.schema.dim,
                   .m = o->m,
                   .ef_construction = o->ef_construction,
                   .nlist = o->nlist,
                   .threads = o->build_threads,
                   .seed = b->id },
        .rows = b->rows,
        .rows_len = b->rows_len,
        .cancel = &s->builder.cancel,
    };
    rc = segment_build(&build, &b->m, why);
    return rc == SHOAL_OK ? segment_open(s->segments_dir, s->config.disk, &b->m, &b->segment, why)
                          : rc;
}

/* --- publication ------------------------------------------------------------------------------ */

static void mark_died(void *arg, uint64_t row)
{
    struct build *b = arg;
    uint32_t at;
    if (segment_find(b->segment, row, &at) && bits_get(b->view.alive, at)) {
        bits_clear(b->view.alive, at);
        b->view.live--;
    }
}

/* The new segment as the current generation sees it. */
static enum shoal_err make_view(struct build *b, struct errbuf *why)
{
    b->view = (struct segment_view){ .segment = NULL };
    if (b->segment == NULL) {
        return SHOAL_OK;
    }
    b->view.alive = bits_new(b->m.rows, true);
    if (b->view.alive == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for the living rows of a segment");
    }
    b->view.segment = segment_ref(b->segment);
    b->view.live = b->m.rows;
    build_rows_died(b->from, b->now, &b->plan, mark_died, b);
    if (b->view.live == b->m.rows) {
        bits_unref(b->view.alive);
        b->view.alive = NULL;
    }
    return SHOAL_OK;
}

static void drop_view(struct build *b)
{
    segment_unref(b->view.segment);
    bits_unref(b->view.alive);
    b->view = (struct segment_view){ .segment = NULL };
}

static enum shoal_err make_next(struct build *b, struct errbuf *why)
{
    generation_unref(b->next); /* of an earlier run of the transaction */
    b->next = NULL;
    enum shoal_err rc = make_view(b, why);
    if (rc == SHOAL_OK) {
        rc = generation_copy(b->now, &b->next);
    }
    if (rc == SHOAL_OK && b->plan.kind == BUILD_MERGE) {
        generation_replace(b->next, b->plan.first, b->plan.len, b->view); /* takes the view */
        return SHOAL_OK;
    }
    if (rc == SHOAL_OK) {
        rc = generation_drop_growing(b->next, b->plan.row_end);
    }
    if (rc == SHOAL_OK && b->view.segment != NULL) {
        rc = generation_add_segment(b->next, b->view);
    }
    if (rc != SHOAL_OK) {
        drop_view(b);
        return err_set(why, rc, "out of memory for a generation");
    }
    return SHOAL_OK;
}

static enum shoal_err put_segment(const struct build *b, struct store_txn *txn, struct errbuf *why)
{
    const struct state *state = b->s->state;
    enum shoal_err rc = state_segment_put(state, txn, &b->m, why);
    for (uint32_t at = 0; b->view.alive != NULL && at < b->m.rows && rc == SHOAL_OK; at++) {
        if (!bits_get(b->view.alive, at)) {
            rc = state_dead_put(state, txn, b->id, at, why);
        }
    }
    return rc;
}

static enum shoal_err put_all(void *arg, struct store_txn *txn, struct errbuf *why)
{
    struct build *b = arg;
    const struct state *state = b->s->state;
    struct state_meta meta;
    enum shoal_err rc = make_next(b, why);
    if (rc == SHOAL_OK) {
        rc = state_meta_get(state, txn, &meta, why);
    }
    if (rc == SHOAL_OK && b->segment != NULL) {
        rc = put_segment(b, txn, why);
    }
    for (size_t i = b->plan.first; i < b->plan.first + b->plan.len && rc == SHOAL_OK; i++) {
        rc = state_segment_delete(state, txn, segment_info(b->from->segments[i].segment)->id, why);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    meta.growing_begin = b->next->growing_begin;
    meta.next_segment = b->id + (b->segment != NULL);
    return state_meta_put(state, txn, &meta, why);
}

static enum shoal_err publish(struct build *b, struct errbuf *why)
{
    struct shard *s = b->s;
    mutex_lock(&s->writer);
    struct generation *now = shard__pin(s);
    b->now = now;
    /* Without a new segment the transaction only takes away, and works on a full disk. */
    enum shoal_err rc = b->segment == NULL
                            ? store_write_freeing(state_store(s->state), put_all, b, why)
                            : store_write(state_store(s->state), put_all, b, why);
    if (rc == SHOAL_OK) {
        assert(b->next->points == now->points);
        shard__publish(s, b->next);
        b->next = NULL;
    }
    mutex_unlock(&s->writer);
    generation_unref(now);
    generation_unref(b->next);
    return rc;
}

/* --- afterwards ------------------------------------------------------------------------------- */

/* What the new segment replaces goes with its last reader. When the state cannot be synced, the
 * files stay until the next opening, which knows which list is the durable one. */
static void retire_replaced(const struct build *b)
{
    struct errbuf why;
    err_clear(&why);
    enum shoal_err rc = store_sync(state_store(b->s->state), &why);
    if (rc == SHOAL_OK) {
        for (size_t i = b->plan.first; i < b->plan.first + b->plan.len; i++) {
            segment_retire(b->from->segments[i].segment);
        }
        rc = state_trim(b->s->state, &why);
    }
    if (rc != SHOAL_OK) {
        log_warn("what a new segment replaced is still there", LOG_U64("shard", b->s->config.id),
                 LOG_ERR(rc, &why));
    }
}

static void log_built(const struct build *b, uint64_t begun_ns)
{
    log_info(b->plan.kind == BUILD_SEAL ? "growing rows sealed" : "segments merged",
             LOG_U64("shard", b->s->config.id), LOG_U64("segment", b->segment == NULL ? 0 : b->id),
             LOG_U64("rows", b->rows_len), LOG_U64("replaced", b->plan.len),
             LOG_U64("ms", (now_ns() - begun_ns) / 1000000u));
}

static enum shoal_err carry_out(struct build *b, struct errbuf *why)
{
    const uint64_t begun_ns = now_ns();
    enum shoal_err rc = check_sources(b, why);
    if (rc == SHOAL_OK) {
        rc = build_rows_gather(b->from, &b->plan, &b->rows, &b->rows_len, why);
    }
    if (rc == SHOAL_OK) {
        rc = build_segment(b, why);
    }
    if (rc == SHOAL_OK) {
        rc = publish(b, why);
        if (rc == SHOAL_OK) {
            log_built(b, begun_ns);
            retire_replaced(b);
        } else if (b->segment != NULL && rc != SHOAL_EIO && rc != SHOAL_ECORRUPT) {
            segment_retire(b->segment); /* certainly not listed */
        }
    }
    segment_unref(b->segment);
    mem_free(b->rows);
    return rc;
}

/* --- jobs ------------------------------------------------------------------------------------- */

/* Under `lock`. */
static struct build_rules rules_now(const struct shard *s)
{
    const struct shard_builder *b = &s->builder;
    return (struct build_rules){
        .seal_rows = s->options.seal_rows,
        .seal_to = b->seal_to,
        .rows_max = build_rows_max(s->config.schema.dim),
        .merge_all = b->optimizing > 0,
        .seal_only = b->seal_only,
    };
}

/* What is to be done now, over a generation that the caller then holds. */
static struct build_plan plan_now(struct shard *s, struct generation **g)
{
    mutex_lock(&s->lock);
    struct build_rules rules = rules_now(s);
    mutex_unlock(&s->lock);
    *g = shard__pin(s);
    return build_plan_choose(*g, &rules);
}

static enum shoal_err work_once(struct shard *s, bool *worked, struct errbuf *why)
{
    struct generation *g = NULL;
    struct build b = { .s = s };
    b.plan = plan_now(s, &g);
    b.from = g;
    *worked = b.plan.kind != BUILD_NOTHING;
    enum shoal_err rc = *worked ? carry_out(&b, why) : SHOAL_OK;
    generation_unref(g);
    return rc;
}

/* After a failure, up to a turn. False when it is still too early. */
static bool wait_turn(struct shard *s)
{
    struct shard_builder *b = &s->builder;
    mutex_lock(&s->lock);
    const uint64_t turn_ends_ns = now_ns() + TURN_NS;
    uint64_t now = now_ns();
    while (!b->stopping && now < b->retry_ns && now < turn_ends_ns) {
        const uint64_t until = b->retry_ns < turn_ends_ns ? b->retry_ns : turn_ends_ns;
        (void)cond_wait_until(&b->ended, &s->lock, until);
        now = now_ns();
    }
    const bool ready = !b->stopping && now >= b->retry_ns;
    mutex_unlock(&s->lock);
    return ready;
}

static void note_failure(struct shard *s, enum shoal_err rc, const struct errbuf *why)
{
    log_warn("a segment could not be built; it is tried again", LOG_U64("shard", s->config.id),
             LOG_ERR(rc, why));
    if (rc == SHOAL_ECORRUPT) {
        shard__trouble_set(s, rc, why);
    }
}

/* Under `lock`. */
static void count_failure(struct shard_builder *b, enum shoal_err rc)
{
    uint64_t wait_ns = RETRY_FIRST_NS;
    for (uint32_t i = 0; i < b->failures && wait_ns < RETRY_MAX_NS; i++) {
        wait_ns *= 2;
    }
    b->failures++;
    b->retry_ns = now_ns() + (wait_ns < RETRY_MAX_NS ? wait_ns : RETRY_MAX_NS);
    b->seal_only = b->seal_only || rc == SHOAL_ECORRUPT;
}

/* One round. True when there is more to do; otherwise the builder is idle, and the shard may be
 * gone. */
static bool round_of(struct shard *s)
{
    struct shard_builder *b = &s->builder;
    struct errbuf why;
    err_clear(&why);
    bool worked = true;
    const bool ready = wait_turn(s);
    enum shoal_err rc = ready ? work_once(s, &worked, &why) : SHOAL_OK;
    const bool failed = rc != SHOAL_OK && rc != SHOAL_ECANCELED;
    if (failed) {
        note_failure(s, rc, &why);
    }
    mutex_lock(&s->lock);
    if (failed) {
        count_failure(b, rc);
    } else if (ready && rc == SHOAL_OK) {
        b->failures = 0;
        b->retry_ns = 0;
    }
    if (ready) {
        b->rounds++;
        b->rc = rc;
        b->why = why;
    }
    const bool more = (worked || b->again) && !b->stopping;
    b->again = false;
    b->active = more;
    cond_broadcast(&b->ended);
    mutex_unlock(&s->lock);
    return more;
}

static void go_idle(struct shard *s)
{
    mutex_lock(&s->lock);
    s->builder.active = false;
    cond_broadcast(&s->builder.ended);
    mutex_unlock(&s->lock);
}

static void run_job(void *arg)
{
    struct shard *s = arg;
    while (round_of(s)) {
        enum shoal_err rc = pool_submit(s->config.builders, &s->builder.job);
        if (rc == SHOAL_OK) {
            return;
        }
        if (rc != SHOAL_EBUSY) { /* the pool is closing */
            go_idle(s);
            return;
        }
    }
}

void shard__build_wake(struct shard *s)
{
    struct shard_builder *b = &s->builder;
    struct generation *g = NULL;
    if (s->lost_segments > 0) {
        return;
    }
    const struct build_plan plan = plan_now(s, &g);
    generation_unref(g);
    if (plan.kind == BUILD_NOTHING) {
        return;
    }
    mutex_lock(&s->lock);
    const bool start = !b->active && !b->stopping;
    b->again = b->active;
    b->active = b->active || start;
    mutex_unlock(&s->lock);
    if (start) {
        b->job = (struct pool_job){ .run = run_job, .arg = s };
        if (pool_submit(s->config.builders, &b->job) != SHOAL_OK) {
            go_idle(s); /* a full queue: the next batch wakes again */
        }
    }
}

void shard__build_stop(struct shard *s)
{
    struct shard_builder *b = &s->builder;
    atomic_store(&b->cancel, true);
    mutex_lock(&s->lock);
    b->stopping = true;
    cond_broadcast(&b->ended);
    while (b->active) {
        cond_wait(&b->ended, &s->lock);
    }
    mutex_unlock(&s->lock);
}

/* --- optimize --------------------------------------------------------------------------------- */

static bool nothing_left(struct shard *s)
{
    struct generation *g = NULL;
    const bool nothing = plan_now(s, &g).kind == BUILD_NOTHING;
    generation_unref(g);
    return nothing;
}

/* Waits for the end of a round after `*rounds`. */
static enum shoal_err await_round(struct shard *s, uint64_t *rounds, uint64_t deadline_ns,
                                  struct errbuf *why)
{
    struct shard_builder *b = &s->builder;
    enum shoal_err rc = SHOAL_OK;
    mutex_lock(&s->lock);
    while (rc == SHOAL_OK && b->rounds == *rounds) {
        if (b->stopping) {
            rc = err_set(why, SHOAL_ECANCELED, "the shard is closing");
        } else if (!b->active) {
            rc = err_set(why, SHOAL_EBUSY, "the builders' queue is full");
        } else if (deadline_ns == 0) {
            cond_wait(&b->ended, &s->lock);
        } else if (!cond_wait_until(&b->ended, &s->lock, deadline_ns)) {
            rc = err_set(why, SHOAL_ETIMEOUT, "the shard is still being optimized");
        }
    }
    if (rc == SHOAL_OK && b->rc != SHOAL_OK) {
        rc = err_set(why, b->rc, "%s", err_why(&b->why, b->rc));
    }
    *rounds = b->rounds;
    mutex_unlock(&s->lock);
    return rc;
}

/* The last piece of work is published before it is tidied up: waits for the end of that. */
static enum shoal_err await_tidied(struct shard *s, uint64_t deadline_ns, struct errbuf *why)
{
    mutex_lock(&s->lock);
    const bool active = s->builder.active;
    uint64_t rounds = s->builder.rounds;
    mutex_unlock(&s->lock);
    return active ? await_round(s, &rounds, deadline_ns, why) : SHOAL_OK;
}

enum shoal_err shard_optimize(struct shard *s, uint64_t deadline_ns, struct errbuf *why)
{
    struct shard_builder *b = &s->builder;
    struct generation *g = shard__enter(s);
    enum shoal_err rc = shard__whole(s, why);
    mutex_lock(&s->lock);
    uint64_t rounds = b->rounds;
    b->optimizing++;
    b->seal_to = g->next_row > b->seal_to ? g->next_row : b->seal_to;
    b->retry_ns = 0;
    cond_broadcast(&b->ended);
    mutex_unlock(&s->lock);
    generation_unref(g); /* what is replaced meanwhile may go */
    while (rc == SHOAL_OK && !nothing_left(s)) {
        shard__build_wake(s);
        rc = await_round(s, &rounds, deadline_ns, why);
    }
    if (rc == SHOAL_OK) {
        rc = await_tidied(s, deadline_ns, why);
    }
    mutex_lock(&s->lock);
    b->optimizing--;
    if (rc == SHOAL_OK && b->seal_only) {
        rc = err_set(why, SHOAL_ECORRUPT, "nothing can be merged: %s", s->trouble);
    }
    mutex_unlock(&s->lock);
    shard__leave(s, shard__pin(s));
    return rc;
}
