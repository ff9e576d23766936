/* Opening and closing a group, and what any thread may call. rlog_group.h says where the rest is.
 *
 * Locks: one, the group's, held for a few instructions; no call of the log store, the state machine
 * or a callback is made with it. */
#include "shard/rlog_group.h"

#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define TICK_MS 100u
#define LOG_BYTES_KEEP (64u << 20)
/* Messages waiting for the group's thread; the sender repeats what is dropped. */
#define MAIL_LEN_MAX 1024
#define MAIL_BYTES_MAX (128u << 20)
/* An append message holds one entry, or several of 1 MiB together, and little else. */
#define MESSAGE_BYTES_MAX (RLOG_ENTRY_MAX + (2u << 20))

/* --- open and close --------------------------------------------------------------------------- */

static struct rlog *rlog_new(const struct rlog_config *config)
{
    struct rlog *log = mem_calloc(1, sizeof(*log));
    if (log == NULL) {
        return NULL;
    }
    log->config = *config;
    log->config.voters = NULL; /* borrowed during the opening only */
    log->config.voters_len = 0;
    const uint32_t tick_ms = config->tick_ms == 0 ? TICK_MS : config->tick_ms;
    log->tick_ns = tick_ms * (uint64_t)1000000;
    log->log_bytes_keep = config->log_bytes_keep == 0 ? LOG_BYTES_KEEP : config->log_bytes_keep;
    log->cut_bytes = log->log_bytes_keep;
    mutex_init(&log->mutex);
    cond_init(&log->wake);
    rlog__list_init(&log->queue);
    rlog__list_init(&log->mail);
    rlog__list_init(&log->pending);
    return log;
}

/* Brings the machine up to what is committed, before anything new is written. */
static enum shoal_err replay(struct rlog *log, struct errbuf *why)
{
    rlog__push(log);
    assert(log->write == WRITE_NONE); /* a node that was just begun has nothing to write */
    const enum shoal_err rc = rlog__apply(log, why);
    return rc == SHOAL_EFULL ? SHOAL_OK : rc; /* the group's thread goes on with it */
}

static enum shoal_err open_group(struct rlog *log, const struct rlog_config *config,
                                 struct errbuf *why)
{
    enum shoal_err rc = rlog__group_load(log, config->voters, config->voters_len, why);
    if (rc == SHOAL_OK) {
        rc = rlog__node_begin(log, why);
    }
    if (rc == SHOAL_OK) {
        rc = replay(log, why);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (rlog__is_alone(log)) {
        raft_node_campaign(log->node);
    }
    log->tick_due_ns = rlog__now_ns(log) + log->tick_ns;
    rlog__publish(log);
    char name[16];
    snprintf(name, sizeof(name), "raft-%" PRIu64, config->group % 10000000000u);
    return thread_start(&log->thread, name, rlog__run, log, why);
}

enum shoal_err rlog_open(const struct rlog_config *config, struct rlog **out, struct errbuf *why)
{
    *out = NULL;
    if (config->group == 0 || config->node == 0 || config->store == NULL ||
        config->machine == NULL || config->clock == NULL || config->rand == NULL) {
        return err_set(why, SHOAL_EINVAL,
                       "a group needs its number, node, store, machine, clock and randomness");
    }
    struct rlog *log = rlog_new(config);
    if (log == NULL) {
        return SHOAL_ENOMEM;
    }
    enum shoal_err rc = open_group(log, config, why);
    if (rc != SHOAL_OK) {
        rlog_close(log);
        return rc;
    }
    *out = log;
    return SHOAL_OK;
}

void rlog_close(struct rlog *log)
{
    if (log == NULL) {
        return;
    }
    mutex_lock(&log->mutex);
    log->closing = true;
    cond_signal(&log->wake);
    mutex_unlock(&log->mutex);
    thread_join(&log->thread);
    assert(log->queue.head == NULL && log->pending.head == NULL);
    rlog__list_free(&log->mail);
    raft_node_free(log->node);
    cond_release(&log->wake);
    mutex_release(&log->mutex);
    mem_free(log);
}

/* --- proposals -------------------------------------------------------------------------------- */

static enum shoal_err enqueue(struct rlog *log, struct rlog_item *item)
{
    enum shoal_err rc = SHOAL_OK;
    mutex_lock(&log->mutex);
    if (log->closing) {
        rc = SHOAL_ECANCELED;
    } else if (log->refuse != SHOAL_OK) {
        rc = log->refuse;
    } else if (log->held_len == RLOG_QUEUE_LEN_MAX ||
               log->held_bytes + item->len > RLOG_QUEUE_BYTES_MAX) {
        rc = SHOAL_EBUSY;
    } else {
        log->held_len++;
        log->held_bytes += item->len;
        rlog__list_push(&log->queue, item);
        cond_signal(&log->wake);
    }
    mutex_unlock(&log->mutex);
    return rc;
}

enum shoal_err rlog_propose(struct rlog *log, struct slice data, enum rlog_until until,
                            rlog_done *done, void *arg)
{
    if (data.len > RLOG_ENTRY_MAX) {
        return SHOAL_ETOOBIG;
    }
    struct rlog_item *item = rlog__item_new(data);
    if (item == NULL) {
        return SHOAL_ENOMEM;
    }
    item->until = until;
    item->done = done;
    item->arg = arg;
    const enum shoal_err rc = enqueue(log, item);
    if (rc != SHOAL_OK) {
        mem_free(item);
    }
    return rc;
}

/* Belongs to two: who waits, and the callback. The last one frees it. */
struct waiting {
    struct mutex mutex;
    struct cond answered;
    bool is_answered;
    enum shoal_err rc;
    uint64_t index;
    struct rlog_result result;
    _Atomic int owners;
};

static void waiting_leave(struct waiting *w)
{
    if (atomic_fetch_sub(&w->owners, 1) == 1) {
        cond_release(&w->answered);
        mutex_release(&w->mutex);
        mem_free(w);
    }
}

static void waiting_answer(void *arg, enum shoal_err rc, uint64_t index,
                           const struct rlog_result *result)
{
    struct waiting *w = arg;
    mutex_lock(&w->mutex);
    w->is_answered = true;
    w->rc = rc;
    w->index = index;
    if (result != NULL) {
        w->result = *result;
    }
    cond_signal(&w->answered);
    mutex_unlock(&w->mutex);
    waiting_leave(w);
}

static enum shoal_err waiting_result(struct waiting *w, uint64_t deadline_ns, uint64_t *index,
                                     struct rlog_result *result, struct errbuf *why)
{
    mutex_lock(&w->mutex);
    bool in_time = true;
    while (!w->is_answered && in_time) {
        in_time = cond_wait_until(&w->answered, &w->mutex, deadline_ns);
    }
    enum shoal_err rc = w->is_answered ? w->rc : SHOAL_ETIMEOUT;
    if (rc == SHOAL_OK) {
        *index = w->index;
        *result = w->result;
    }
    mutex_unlock(&w->mutex);
    if (rc == SHOAL_OK && result->rc != SHOAL_OK) {
        rc = err_set(why, result->rc, "%s",
                     result->text[0] == '\0' ? err_text(result->rc) : result->text);
    }
    return rc;
}

enum shoal_err rlog_propose_wait(struct rlog *log, struct slice data, enum rlog_until until,
                                 uint64_t deadline_ns, uint64_t *index, struct rlog_result *result,
                                 struct errbuf *why)
{
    *index = 0;
    *result = (struct rlog_result){ .rc = SHOAL_OK };
    struct waiting *w = mem_calloc(1, sizeof(*w));
    if (w == NULL) {
        return SHOAL_ENOMEM;
    }
    mutex_init(&w->mutex);
    cond_init(&w->answered);
    atomic_init(&w->owners, 2);
    enum shoal_err rc = rlog_propose(log, data, until, waiting_answer, w);
    if (rc != SHOAL_OK) {
        waiting_leave(w); /* there is no callback to do so */
    } else {
        rc = waiting_result(w, deadline_ns, index, result, why);
    }
    waiting_leave(w);
    if (rc == SHOAL_EFULL && result->rc == SHOAL_OK) { /* not the state machine's own refusal */
        return err_set(why, rc, "the log of group %" PRIu64 " has no room on its disk; make room",
                       log->config.group);
    }
    return rc;
}

/* --- the rest --------------------------------------------------------------------------------- */

enum shoal_err rlog_receive(struct rlog *log, struct slice message)
{
    if (message.len > MESSAGE_BYTES_MAX) {
        return SHOAL_ETOOBIG;
    }
    struct rlog_item *item = rlog__item_new(message);
    if (item == NULL) {
        return SHOAL_ENOMEM;
    }
    enum shoal_err rc = SHOAL_OK;
    mutex_lock(&log->mutex);
    if (log->closing) {
        rc = SHOAL_ECANCELED;
    } else if (log->status.stopped != SHOAL_OK) {
        rc = log->status.stopped;
    } else if (log->mail.len == MAIL_LEN_MAX || log->mail.bytes + item->len > MAIL_BYTES_MAX) {
        rc = SHOAL_EBUSY;
    } else {
        rlog__list_push(&log->mail, item);
        cond_signal(&log->wake);
    }
    mutex_unlock(&log->mutex);
    if (rc != SHOAL_OK) {
        mem_free(item);
    }
    return rc;
}

void rlog_status(struct rlog *log, struct rlog_status *out)
{
    mutex_lock(&log->mutex);
    *out = log->status;
    mutex_unlock(&log->mutex);
}
