/* The inside of an rlog, shared by its files. Private to them:
 *     rlog.c        opening, closing, and what any thread may call
 *     rlog_queue.c  proposals and mail on their way to the group's thread, and their answers
 *     rlog_loop.c   the group's thread: what it does in which order, and its write to the log
 *     rlog_apply.c  committed entries to the state machine; cutting the log
 *     rlog_node.c   the raft node, begun from what is stored */
#ifndef SHOAL_SHARD_RLOG_GROUP_H
#define SHOAL_SHARD_RLOG_GROUP_H

#include "base/thread.h"
#include "shard/log_store.h"
#include "shard/raft_face.h"
#include "shard/rlog.h"

/* One call of the state machine: what a transaction holds, and what closing may have to wait for.
 */
#define RLOG_APPLY_LEN_MAX 256
#define RLOG_APPLY_BYTES_MAX (16u << 20)
#define RLOG_VOTERS_MAX 9

/* A proposal, or a message from another member. */
struct rlog_item {
    struct rlog_item *next;
    enum rlog_until until;
    rlog_done *done;
    void *arg;
    uint64_t index; /* once raft has it */
    size_t len;
    char data[];
};

struct rlog_list {
    struct rlog_item *head;
    struct rlog_item **tail;
    size_t len;
    size_t bytes;
};

/* Tries again after a failure, later each time. */
struct rlog_retry {
    uint64_t due_ns; /* clock_real(); 0: nothing failed */
    uint64_t wait_ns;
};

/* The one write under way. */
enum rlog_write {
    WRITE_NONE,
    WRITE_HELD, /* to be submitted again */
    WRITE_SENT, /* the log store has it */
};

struct rlog {
    /* Immutable once open. */
    struct rlog_config config;
    uint64_t voters[RLOG_VOTERS_MAX];
    size_t voters_len;
    uint64_t tick_ns;
    uint64_t log_bytes_keep;
    struct thread thread;

    struct mutex mutex; /* guards what follows up to the next heading */
    struct cond wake;
    struct rlog_list queue; /* proposals raft does not have yet */
    struct rlog_list mail;
    size_t held_len; /* proposals without an answer */
    size_t held_bytes;
    bool closing;
    bool written; /* the log store has answered... */
    enum shoal_err written_rc;
    enum shoal_err refuse; /* what a proposal is refused with now */
    struct rlog_status status;

    /* The group's thread (the opener until it runs). */
    struct raft_node *node;
    struct raft_ready ready; /* being written */
    enum rlog_write write;
    struct log_batch batch;
    struct log_hard_state hard_state; /* of a Ready that needed no sync, for the next write */
    bool has_hard_state;
    bool made_room; /* for the write under way, without success so far */
    struct rlog_retry write_retry;
    struct rlog_retry apply_retry;
    bool log_full;
    bool machine_full;
    enum shoal_err stopped;
    struct rlog_list pending; /* proposals raft has, ascending by index */
    uint64_t pending_term;
    uint64_t answered_commit; /* proposals up to it that wait for no more have their answer */
    uint64_t applied;
    uint64_t first_index;
    uint64_t log_bytes;
    uint64_t cut_bytes; /* the log is cut when it holds more */
    uint64_t tick_due_ns;
    struct log_entry unapplied[RLOG_APPLY_LEN_MAX];
    struct rlog_entry entries[RLOG_APPLY_LEN_MAX];
    struct rlog_result results[RLOG_APPLY_LEN_MAX];
};

/* --- rlog_queue.c ----------------------------------------------------------------------------- */

void rlog__list_init(struct rlog_list *l);
void rlog__list_push(struct rlog_list *l, struct rlog_item *item);
struct rlog_item *rlog__list_pop(struct rlog_list *l); /* NULL when empty */
/* Moves items from the front of one to the end of the other until `bytes_max` are exceeded. */
void rlog__list_move(struct rlog_list *from, struct rlog_list *to, size_t bytes_max);
void rlog__list_free(struct rlog_list *l);
/* A copy of the data; NULL when out of memory. */
struct rlog_item *rlog__item_new(struct slice data);

/* Group's thread, no lock held. */
void rlog__answer(struct rlog *log, struct rlog_item *item, enum shoal_err rc,
                  const struct rlog_result *result);
void rlog__answer_all(struct rlog *log, struct rlog_list *items, enum shoal_err rc);
/* Pending proposals beyond an index. */
void rlog__answer_after(struct rlog *log, uint64_t index, enum shoal_err rc);
/* Proposals up to commit that asked for RLOG_COMMITTED. */
void rlog__answer_committed(struct rlog *log, uint64_t commit);
/* Proposals up to `last`: results[i] is of entry first + i. */
void rlog__answer_applied(struct rlog *log, uint64_t first, uint64_t last,
                          const struct rlog_result *results);

/* --- rlog_loop.c ------------------------------------------------------------------------------ */

uint64_t rlog__now_ns(const struct rlog *log);
/* May something that failed be tried (again)? */
bool rlog__retry_due(const struct rlog_retry *r, uint64_t now_ns);
void rlog__retry_later(struct rlog_retry *r, uint64_t now_ns);
void rlog__retry_over(struct rlog_retry *r);
/* The group does nothing more until it is opened again. */
void rlog__stop(struct rlog *log, enum shoal_err rc, const struct errbuf *why);
/* Takes what raft has ready and begins to write it, unless a write is under way. */
void rlog__push(struct rlog *log);
/* Publishes status and refusal. Mutex held, or no other thread yet. */
void rlog__publish(struct rlog *log);
void rlog__run(void *arg);

/* --- rlog_apply.c ----------------------------------------------------------------------------- */

/* Applies all that is committed and synced, unless an earlier failure says to wait. A failure that
 * is tried again later is returned, too; any other has stopped the group. */
enum shoal_err rlog__apply(struct rlog *log, struct errbuf *why);
/* Cuts the log when it holds too much. */
void rlog__cut_if_long(struct rlog *log);
/* Cuts all that may be cut. False when that was nothing. */
bool rlog__cut(struct rlog *log);

/* --- rlog_node.c ------------------------------------------------------------------------------ */

static inline bool rlog__is_alone(const struct rlog *log)
{
    return log->voters_len == 1;
}

/* Reads what is stored of the group; begins it with these voters when nothing is. */
enum shoal_err rlog__group_load(struct rlog *log, const uint64_t *voters, size_t voters_len,
                                struct errbuf *why);
/* Replaces the node by one begun from what is stored; a failure changes nothing. */
enum shoal_err rlog__node_begin(struct rlog *log, struct errbuf *why);

#endif
