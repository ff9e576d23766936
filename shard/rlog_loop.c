/* The group's thread.
 *
 * One round: take what others left (mail, the log store's answer, time), let raft see it, begin the
 * next write, and only then apply what the last one committed: so the state machine works while the
 * disk syncs. Proposals are handed to raft only when no write is under way, as many as one batch
 * holds; what comes meanwhile makes the next batch. So there is one write under way at most, the
 * batches grow with the load, and a failed write has an end: what it held is known.
 *
 * Failures of a write:
 *     SHOAL_ENOMEM   the same batch again, later.
 *     SHOAL_EFULL    room is sought; see below.
 *     anything else  the group stops: what the disk holds is unknown.
 *
 * A full disk. What is applied is cut off the log, and the batch goes again at once; a small one,
 * as deletes are, out of the store's reserve. When that gives no room, the batch is taken back: the
 * raft node is thrown away and begun again from what is stored, which is what a crash at this
 * moment would do, and is correct as that is. The proposals of the batch are answered: with
 * SHOAL_EFULL in a group of one; in a larger group, where followers may have them, with
 * SHOAL_EUNAVAILABLE. Unless the batch was just too large for the reserve, new ones are refused
 * until a write succeeds.
 *
 * While the state machine is out of room or memory the thread takes no mail, no proposals and no
 * ticks: what waits is bounded, and a member that cannot apply should not lead.
 *
 * An idle group of one never wakes up; members of a larger one wake up at every tick.
 *
 * Measured on 2 cores with a virtual disk of 0.4 ms a sync, entries of 1.6 KB, waiting until they
 * are applied: one proposer 2,200 a second, 64 proposers 46,000 at 32 entries a sync and 17 us of
 * CPU each; three groups with 64 each 58,000. Entries of 1 MiB: 700 a second. */
#include "shard/rlog_group.h"

#include "base/log.h"
#include "base/mem.h"
#include "shard/log_format.h"
#include "shard/store.h"

#include <assert.h>
#include <inttypes.h>

/* Data of one batch, beyond the first proposal: what one sync writes, and how long the others
 * wait. */
#define BATCH_BYTES_MAX (16u << 20)
/* What may go out of the reserve. A group of one has cut its log before, so it never holds more of
 * the reserve than one batch. */
#define SMALL_BYTES_MAX ((size_t)STORE_RESERVE_BYTES / 16)
#define RETRY_MIN_NS (20u * 1000000u)
#define RETRY_MAX_NS (1000u * 1000000u)

/* --- time ------------------------------------------------------------------------------------- */

uint64_t rlog__now_ns(const struct rlog *log)
{
    return clock_mono_ns(log->config.clock);
}

bool rlog__retry_due(const struct rlog_retry *r, uint64_t now_ns)
{
    return r->due_ns == 0 || now_ns >= r->due_ns;
}

void rlog__retry_later(struct rlog_retry *r, uint64_t now_ns)
{
    const uint64_t doubled = r->due_ns == 0 ? RETRY_MIN_NS : r->wait_ns * 2;
    r->wait_ns = doubled < RETRY_MAX_NS ? doubled : RETRY_MAX_NS;
    r->due_ns = now_ns + r->wait_ns;
}

void rlog__retry_over(struct rlog_retry *r)
{
    *r = (struct rlog_retry){ 0 };
}

static void sooner(uint64_t *due_ns, uint64_t other_ns)
{
    if (other_ns != 0 && (*due_ns == 0 || other_ns < *due_ns)) {
        *due_ns = other_ns;
    }
}

/* When the thread must wake up by itself; 0: never. */
static uint64_t next_due_ns(const struct rlog *log)
{
    uint64_t due_ns = 0;
    if (log->stopped != SHOAL_OK) {
        return 0;
    }
    sooner(&due_ns, log->apply_retry.due_ns);
    if (log->write != WRITE_SENT) {
        sooner(&due_ns, log->write_retry.due_ns);
    }
    if (!rlog__is_alone(log) && log->apply_retry.due_ns == 0) {
        sooner(&due_ns, log->tick_due_ns);
    }
    return due_ns;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void send_messages(struct rlog *log)
{
    for (size_t i = 0; i < log->ready.messages_len; i++) {
        const struct raft_message *m = &log->ready.messages[i];
        if (log->config.send != NULL) {
            log->config.send(log->config.send_arg, m->to, m->bytes);
        }
    }
    log->ready.messages_len = 0;
}

/* On the log store's thread. */
static void on_written(void *arg, enum shoal_err rc)
{
    struct rlog *log = arg;
    mutex_lock(&log->mutex);
    log->written = true;
    log->written_rc = rc;
    cond_signal(&log->wake);
    mutex_unlock(&log->mutex); /* the last touch: the group's thread may free all now */
}

static bool is_small(const struct rlog *log)
{
    size_t bytes = 0;
    for (size_t i = 0; i < log->ready.entries_len; i++) {
        bytes += log__entry_bytes(log->ready.entries[i].data.len);
    }
    return bytes <= SMALL_BYTES_MAX;
}

static void submit(struct rlog *log)
{
    log->batch = (struct log_batch){
        .group = log->config.group,
        .entries = log->ready.entries,
        .entries_len = log->ready.entries_len,
        .has_hard_state = log->has_hard_state,
        .hard_state = log->hard_state,
        .from_reserve = log->made_room && rlog__is_alone(log) && is_small(log),
        .done = on_written,
        .arg = log,
    };
    log->write = WRITE_SENT;
    log_store_submit(log->config.store, &log->batch);
}

void rlog__push(struct rlog *log)
{
    while (log->write == WRITE_NONE && raft_node_has_ready(log->node)) {
        raft_node_take(log->node, &log->ready);
        if (log->ready.has_hard_state) {
            log->hard_state = log->ready.hard_state;
            log->has_hard_state = true;
        }
        if (!log->ready.messages_wait) {
            send_messages(log);
        }
        if (log->ready.entries_len > 0 || log->ready.must_sync) {
            submit(log);
        } else { /* a commit index waits for the next write: it can be found again without */
            raft_node_persisted(log->node);
            send_messages(log);
        }
    }
}

static void write_succeeded(struct rlog *log)
{
    for (size_t i = 0; i < log->ready.entries_len; i++) {
        log->log_bytes += log__entry_bytes(log->ready.entries[i].data.len);
    }
    log->write = WRITE_NONE;
    log->has_hard_state = false;
    log->made_room = false;
    if (log->log_full) {
        log_info("the log has room again", LOG_U64("group", log->config.group));
    }
    log->log_full = false;
    rlog__retry_over(&log->write_retry);
    raft_node_persisted(log->node);
    send_messages(log);
}

/* The node forgets what could not be written; what an earlier write holds still is to be applied.
 */
static void take_back(struct rlog *log)
{
    struct errbuf why;
    err_clear(&why);
    const enum shoal_err rc = rlog__node_begin(log, &why);
    if (rc != SHOAL_OK) {
        if (rc != SHOAL_ENOMEM) { /* else the batch waits, and this is tried again */
            rlog__stop(log, rc, &why);
        }
        return;
    }
    struct raft_node_status s;
    raft_node_status(log->node, &s);
    rlog__answer_after(log, s.last_index, rlog__is_alone(log) ? SHOAL_EFULL : SHOAL_EUNAVAILABLE);
    if (rlog__is_alone(log)) {
        raft_node_campaign(log->node);
        raft_node_status(log->node, &s);
        log->pending_term = s.term; /* its entries stay committed, whatever the term */
    }
}

static void write_found_no_room(struct rlog *log)
{
    const bool first_try = !log->made_room;
    const bool was_cut = first_try && rlog__cut(log);
    if (log->stopped != SHOAL_OK) {
        return;
    }
    if (was_cut || (first_try && rlog__is_alone(log) && is_small(log))) {
        log->made_room = true; /* once: another group may have taken it */
        submit(log);
        return;
    }
    log->made_room = false;
    if (rlog__is_alone(log) && !is_small(log) && log->pending.head != NULL) {
        take_back(log); /* what is smaller may still find room */
        return;
    }
    if (!log->log_full) {
        log_warn("the log is full: writes are refused until there is room",
                 LOG_U64("group", log->config.group));
    }
    log->log_full = true;
    if (log->pending.head != NULL) {
        take_back(log);
    }
}

static void write_done(struct rlog *log, enum shoal_err rc)
{
    assert(log->write == WRITE_SENT);
    log->write = WRITE_HELD;
    if (rc == SHOAL_OK) {
        write_succeeded(log);
    } else if (rc == SHOAL_EFULL) {
        write_found_no_room(log);
    } else if (rc != SHOAL_ENOMEM) {
        struct errbuf why;
        err_set(&why, rc, "its log cannot be written");
        rlog__stop(log, rc, &why);
    }
    if (rc != SHOAL_OK && (log->write == WRITE_HELD || log->log_full)) {
        rlog__retry_later(&log->write_retry, rlog__now_ns(log));
    }
}

/* --- proposals -------------------------------------------------------------------------------- */

static void propose_some(struct rlog *log, struct rlog_list *items)
{
    for (struct rlog_item *i = rlog__list_pop(items); i != NULL; i = rlog__list_pop(items)) {
        i->index = raft_node_propose(log->node, slice_make(i->data, i->len));
        if (i->index != 0) {
            rlog__list_push(&log->pending, i);
            continue;
        }
        struct raft_node_status s;
        raft_node_status(log->node, &s);
        rlog__answer(log, i, s.is_leader ? SHOAL_EBUSY : SHOAL_ENOTLEADER, NULL);
    }
}

/* Entries that raft got in a term that is over may be committed by another leader, or not. */
static void check_leadership(struct rlog *log)
{
    struct raft_node_status s;
    raft_node_status(log->node, &s);
    if (!s.is_leader || s.term != log->pending_term) {
        rlog__answer_all(log, &log->pending, SHOAL_EUNAVAILABLE);
        log->pending_term = s.term;
    }
    rlog__answer_committed(log, s.commit);
}

/* --- the rounds ------------------------------------------------------------------------------- */

void rlog__stop(struct rlog *log, enum shoal_err rc, const struct errbuf *why)
{
    assert(rc != SHOAL_OK);
    log->stopped = rc;
    log_error("the group stops until it is opened again", LOG_U64("group", log->config.group),
              LOG_ERR(rc, why));
    rlog__answer_all(log, &log->pending, rc);
}

static enum shoal_err refusal(const struct rlog *log, const struct raft_node_status *s)
{
    if (log->stopped != SHOAL_OK) {
        return log->stopped;
    }
    if (log->log_full || log->machine_full) {
        return SHOAL_EFULL;
    }
    return s->is_leader ? SHOAL_OK : SHOAL_ENOTLEADER;
}

void rlog__publish(struct rlog *log)
{
    struct raft_node_status s;
    raft_node_status(log->node, &s);
    log->refuse = refusal(log, &s);
    log->status = (struct rlog_status){
        .term = s.term,
        .leader = s.leader,
        .last_index = s.last_index,
        .committed_index = s.commit,
        .applied_index = log->applied,
        .first_index = log->first_index,
        .log_bytes = log->log_bytes,
        .stopped = log->stopped,
    };
}

/* What one round takes from the others. */
struct round {
    bool written;
    enum shoal_err written_rc;
    enum shoal_err refuse; /* the proposals, when not SHOAL_OK */
    struct rlog_list proposals;
    struct rlog_list mail;
};

static bool has_work(const struct rlog *log)
{
    const bool may_propose = log->refuse != SHOAL_OK ||
                             (log->write == WRITE_NONE && log->apply_retry.due_ns == 0);
    return log->written || (log->queue.head != NULL && may_propose) ||
           (log->mail.head != NULL && log->apply_retry.due_ns == 0);
}

static void round_init(struct round *r)
{
    *r = (struct round){ .written = false };
    rlog__list_init(&r->proposals);
    rlog__list_init(&r->mail);
}

/* Waits for something to do. False: closing. */
static bool round_begin(struct rlog *log, struct round *r)
{
    round_init(r);
    const uint64_t due_ns = next_due_ns(log);
    mutex_lock(&log->mutex);
    rlog__publish(log);
    while (!log->closing && !has_work(log)) {
        if (due_ns == 0) {
            cond_wait(&log->wake, &log->mutex);
            continue;
        }
        const uint64_t now_ns = rlog__now_ns(log);
        if (now_ns >= due_ns) {
            break;
        }
        const uint64_t real_ns = clock_mono_ns(clock_real());
        (void)cond_wait_until(&log->wake, &log->mutex, real_ns + (due_ns - now_ns));
    }
    r->written = log->written;
    r->written_rc = log->written_rc;
    log->written = false;
    r->refuse = log->refuse;
    if (log->refuse != SHOAL_OK) {
        rlog__list_move(&log->queue, &r->proposals, SIZE_MAX);
    }
    if (log->apply_retry.due_ns == 0) {
        rlog__list_move(&log->mail, &r->mail, SIZE_MAX);
    }
    const bool closing = log->closing;
    mutex_unlock(&log->mutex);
    return !closing;
}

/* Takes a batch's worth of proposals when raft may have them. */
static void round_propose(struct rlog *log)
{
    if (log->write != WRITE_NONE || log->write_retry.due_ns != 0 || log->apply_retry.due_ns != 0) {
        return;
    }
    struct rlog_list some;
    rlog__list_init(&some);
    mutex_lock(&log->mutex);
    rlog__list_move(&log->queue, &some, BATCH_BYTES_MAX);
    mutex_unlock(&log->mutex);
    propose_some(log, &some);
}

static void step_mail(struct rlog *log, struct rlog_list *mail)
{
    for (struct rlog_item *m = rlog__list_pop(mail); m != NULL; m = rlog__list_pop(mail)) {
        if (!raft_node_step(log->node, slice_make(m->data, m->len))) {
            log_debug("a raft message was refused", LOG_U64("group", log->config.group));
        }
        mem_free(m);
    }
}

/* One tick at most: a thread that was held up must not find its leader missed at once. */
static void tick(struct rlog *log)
{
    const uint64_t now_ns = rlog__now_ns(log);
    if (!rlog__is_alone(log) && log->apply_retry.due_ns == 0 && now_ns >= log->tick_due_ns) {
        raft_node_tick(log->node);
        log->tick_due_ns = now_ns + log->tick_ns;
    }
}

/* Begins the next write, or the last one again, unless it is too early for that. */
static void write_some(struct rlog *log)
{
    if (!rlog__retry_due(&log->write_retry, rlog__now_ns(log))) {
        return;
    }
    if (log->write == WRITE_HELD) {
        submit(log);
        return;
    }
    rlog__push(log);
    if (log->write == WRITE_NONE) { /* what failed was taken back, and there is nothing else */
        rlog__retry_over(&log->write_retry);
        log->log_full = false;
    }
}

static void round_run(struct rlog *log, struct round *r)
{
    if (r->written) {
        write_done(log, r->written_rc);
    }
    if (r->proposals.head != NULL) {
        rlog__answer_all(log, &r->proposals, r->refuse);
    }
    if (log->stopped != SHOAL_OK) {
        rlog__list_free(&r->mail);
        return;
    }
    step_mail(log, &r->mail);
    tick(log);
    check_leadership(log);
    round_propose(log);
    write_some(log);
    check_leadership(log);
    struct errbuf why;
    err_clear(&why);
    (void)rlog__apply(log, &why); /* it keeps what came of it */
    rlog__cut_if_long(log);
}

/* The batch lies in *log: the log store must be done with it. */
static void write_wait(struct rlog *log)
{
    mutex_lock(&log->mutex);
    while (log->write == WRITE_SENT && !log->written) {
        cond_wait(&log->wake, &log->mutex);
    }
    mutex_unlock(&log->mutex);
}

void rlog__run(void *arg)
{
    struct rlog *log = arg;
    struct round r;
    round_init(&r);
    do {
        round_run(log, &r);
    } while (round_begin(log, &r));
    if (!r.written) {
        write_wait(log);
    }
    rlog__list_free(&r.mail);
    rlog__answer_all(log, &r.proposals, SHOAL_ECANCELED);
    rlog__answer_all(log, &log->pending, SHOAL_ECANCELED);
    mutex_lock(&log->mutex);
    rlog__list_move(&log->queue, &r.proposals, SIZE_MAX);
    mutex_unlock(&log->mutex);
    rlog__answer_all(log, &r.proposals, SHOAL_ECANCELED);
}
