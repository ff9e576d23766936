/* Rlog: one raft group's replicated log, from proposal to applied entry.
 *
 * Consensus is raft-rs behind raft_face.h; entries lie in log.mdb (log_store.h), which all groups
 * of a process share so that one sync serves all that have something to write. Each group has one
 * thread, which alone touches its raft node and its state machine: it takes proposals, ticks and
 * messages, hands new entries to the log store, waits for the sync, sends what may be sent, and
 * applies what is committed in as few state-machine calls as there is backlog.
 *
 * A proposal's callback comes after the entry is committed (synced by a majority), and, when
 * asked, applied. A callback with SHOAL_ETIMEOUT or SHOAL_EUNAVAILABLE means unknown: the entry
 * may still be applied later; the same operation id makes a repeat safe.
 *
 * When the log cannot be written (disk full) proposals fail with SHOAL_EFULL before anything is
 * acknowledged, and the group goes on by itself when there is room. When a sync fails with an I/O
 * error the group stops for good in this process (SHOAL_EIO): what the disk holds is unknown until
 * it is opened again.
 *
 * Threads: all calls from any thread, except from a callback or from the state machine. */
#ifndef SHOAL_SHARD_RLOG_H
#define SHOAL_SHARD_RLOG_H

#include "base/clock.h"
#include "base/err.h"
#include "base/rand.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One proposal; larger batches are split by the caller. */
#define RLOG_ENTRY_MAX (32u << 20)
/* Proposals waiting in one group: beyond either bound rlog_propose answers SHOAL_EBUSY. */
#define RLOG_QUEUE_LEN_MAX 4096
#define RLOG_QUEUE_BYTES_MAX (128u << 20)

struct log_store;
struct rlog;

struct rlog_entry {
    uint64_t index;
    uint64_t term;
    struct slice data; /* as proposed; empty: nothing to do but to advance the applied index */
};

/* Outcome of one applied entry, for whoever proposed it here. */
struct rlog_result {
    enum shoal_err rc; /* the operation was refused by the state machine (and changed nothing) */
    uint64_t value;    /* the state machine's own */
    char text[160];    /* why, when rc is not SHOAL_OK */
};

/* Called on the group's thread, one call at a time. */
struct rlog_machine {
    /* Index of the last entry applied durably (after a crash: what the machine's own store says).
     * Asked once, at open. */
    uint64_t (*applied_index)(void *arg);
    /* Applies entries, in order, as one transaction that also records the last index. results[i]
     * belongs to entries[i]. An error means nothing was applied: SHOAL_EFULL and SHOAL_ENOMEM are
     * tried again later; anything else stops the group. */
    enum shoal_err (*apply)(void *arg, const struct rlog_entry *entries, size_t len,
                            struct rlog_result *results, struct errbuf *why);
    /* Makes all that was applied durable and returns the index up to which the log may be cut. */
    enum shoal_err (*checkpoint)(void *arg, uint64_t *durable_index, struct errbuf *why);
    void *arg;
};

struct rlog_config {
    uint64_t group;         /* 1.. */
    uint64_t node;          /* this replica's id in the group, 1.. */
    const uint64_t *voters; /* used only when the group has no stored state yet */
    size_t voters_len;
    struct log_store *store;            /* shared; outlives the rlog */
    const struct rlog_machine *machine; /* outlives the rlog */
    const struct clock *clock;
    const struct rand_source *rand;
    uint32_t tick_ms; /* 0: 100 */
    /* The log is cut when it holds more than this; 0: 64 MiB. Not with several voters: a member
     * that was away gets what it missed from the log, since snapshots are not sent yet. */
    uint64_t log_bytes_keep;
    /* Sends a raft message to another member; NULL with a single voter. Must not block. */
    void (*send)(void *arg, uint64_t to, struct slice message);
    void *send_arg;
};

/* Loads the group (or begins it), replays what the machine has not applied, starts the thread.
 * With a single voter it returns as leader with everything committed applied. SHOAL_ECORRUPT when
 * the log has a hole or a bad checksum in what was acknowledged (a torn tail is cut). */
SHOAL_MUST_CHECK enum shoal_err rlog_open(const struct rlog_config *config, struct rlog **out,
                                          struct errbuf *why);
/* Ends proposals under way with SHOAL_ECANCELED, stops the thread, frees. NULL is fine. */
void rlog_close(struct rlog *log);

enum rlog_until { RLOG_COMMITTED, RLOG_APPLIED };

/* rc SHOAL_OK: `index` is the entry's; `result` is set when RLOG_APPLIED was asked. Else NULL.
 * Nothing was done: SHOAL_EFULL, SHOAL_ENOTLEADER, SHOAL_EBUSY. Unknown: SHOAL_EUNAVAILABLE (it
 * leads no more), SHOAL_ECANCELED (closing), SHOAL_EIO and others that stop the group. Runs once,
 * on the group's thread: be short. */
typedef void rlog_done(void *arg, enum shoal_err rc, uint64_t index,
                       const struct rlog_result *result);

/* Copies `data`. On failure `done` never runs: SHOAL_EBUSY, SHOAL_ETOOBIG, SHOAL_ENOTLEADER,
 * SHOAL_EFULL, SHOAL_EIO (or what else stopped it), SHOAL_ECANCELED (closing), SHOAL_ENOMEM. Never
 * blocks on the disk. */
SHOAL_MUST_CHECK enum shoal_err rlog_propose(struct rlog *log, struct slice data,
                                             enum rlog_until until, rlog_done *done, void *arg);
/* Waits until the deadline (real monotonic clock). SHOAL_ETIMEOUT: unknown. A refusal by the state
 * machine is returned as its rc with its text in `why`. */
SHOAL_MUST_CHECK enum shoal_err rlog_propose_wait(struct rlog *log, struct slice data,
                                                  enum rlog_until until, uint64_t deadline_ns,
                                                  uint64_t *index, struct rlog_result *result,
                                                  struct errbuf *why);
/* A raft message from another member, copied; raft refuses what is malformed. SHOAL_EBUSY (the
 * sender repeats what matters), SHOAL_ETOOBIG, SHOAL_ENOMEM, SHOAL_ECANCELED, or what stopped the
 * group. Also from another group's `send`. */
enum shoal_err rlog_receive(struct rlog *log, struct slice message);

struct rlog_status {
    uint64_t term, leader, last_index, committed_index, applied_index, first_index;
    uint64_t log_bytes;
    enum shoal_err stopped; /* SHOAL_OK while it works */
};
void rlog_status(struct rlog *log, struct rlog_status *out);

#endif
