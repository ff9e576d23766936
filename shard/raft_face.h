/* Raft face: one member of a raft group as a step machine, raft-rs behind C functions.
 *
 * In go ticks, messages and proposals; out come entries to write, messages to send and entries to
 * apply. It does no I/O but one callback that reads old entries, holds no lock, and knows no time
 * but its ticks. The code is Rust in deps/native/src; it decides nothing that raft-rs does not.
 *
 * The log itself lies in log.mdb. The node mirrors what raft-rs reads at every step: the terms of
 * all entries, and the entries that are not applied; the latter at least are in memory twice while
 * they are written. Rejected: serving raft-rs from log.mdb alone. It reads entries before they are
 * synced, and a read transaction for each term it compares costs more than the mirror.
 *
 * The round of whoever drives it:
 *     raft_node_tick, _step, _propose     any number of times
 *     raft_node_take                      when raft_node_has_ready and the last one is persisted
 *       send the messages now, or after the sync when messages_wait
 *       write entries and hard state, sync (may be put off to the next round unless must_sync)
 *     raft_node_persisted
 *     raft_node_unapplied, apply, raft_node_applied    at any time
 *
 * Pre-vote and check-quorum are on. Voters are fixed; snapshots are neither sent nor taken, so a
 * log with followers must not be cut. A member that restarts from what it has synced is correct at
 * any point. Out of memory in Rust and broken invariants of raft-rs abort the process.
 *
 * Threads: a node belongs to one thread at a time. */
#ifndef SHOAL_SHARD_RAFT_FACE_H
#define SHOAL_SHARD_RAFT_FACE_H

#include "base/slice.h"
#include "shard/log_store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* log_entry.type of what was proposed; others are changes of members, which this version does not
 * make. */
#define RAFT_ENTRY_NORMAL 0u

struct raft_node;
struct raft_sink;

/* Gives entries from lo on, below hi, until bytes_max are exceeded (one at least), to
 * raft_sink_push. False when it failed. */
typedef bool raft_read_fn(void *arg, uint64_t lo, uint64_t hi, uint64_t bytes_max,
                          struct raft_sink *sink);

struct raft_node_config {
    uint64_t id;            /* 1.. */
    const uint64_t *voters; /* id among them */
    size_t voters_len;
    struct log_hard_state hard_state; /* commit <= last_index */
    uint64_t cut_index;               /* entries up to it are gone */
    uint64_t cut_term;
    uint64_t last_index;
    const struct log_term_run *runs; /* terms of the entries cut_index + 1 .. last_index */
    size_t runs_len;
    uint64_t applied; /* cut_index <= applied <= hard_state.commit */
    /* Without word from a leader for election_ticks to twice that, a member campaigns. Where in
     * between is drawn from seed, id and term alone. */
    uint32_t election_ticks; /* more than heartbeat_ticks */
    uint32_t heartbeat_ticks;
    uint64_t seed;
    raft_read_fn *read; /* called in raft_node_new, and when a follower fell behind */
    void *read_arg;
};

/* All slices are borrowed during the call. NULL: the configuration is wrong or `read` failed. */
struct raft_node *raft_node_new(const struct raft_node_config *config);
void raft_node_free(struct raft_node *node); /* NULL is fine */
/* Copies the entry. False: of a type that raft-rs does not know. */
bool raft_sink_push(struct raft_sink *sink, const struct log_entry *entry);

void raft_node_tick(struct raft_node *node);
/* Stands for election now. The only voter of a group is leader when it returns. */
void raft_node_campaign(struct raft_node *node);
/* A message of another member. False: refused, malformed or not from a member. */
bool raft_node_step(struct raft_node *node, struct slice message);
/* Copies data; the entry's index, or 0 when this member does not lead or too much is uncommitted.
 */
uint64_t raft_node_propose(struct raft_node *node, struct slice data);

struct raft_message {
    uint64_t to;
    struct slice bytes;
};

struct raft_ready {
    const struct log_entry *entries; /* to write: these replace what lies at and after the first */
    size_t entries_len;
    struct log_hard_state hard_state; /* to write, when has_hard_state */
    bool has_hard_state;
    bool must_sync;     /* false: only hard_state.commit differs */
    bool messages_wait; /* until entries and hard state are synced */
    const struct raft_message *messages;
    size_t messages_len;
};

bool raft_node_has_ready(const struct raft_node *node);
/* What there is to do. Borrowed until the next take; the entries' data also ends when they are
 * applied. The next take comes after raft_node_persisted. */
void raft_node_take(struct raft_node *node, struct raft_ready *out);
/* What was taken last is synced (or needs no sync). */
void raft_node_persisted(struct raft_node *node);

/* The next committed and synced entries to apply: at most len_max, and bytes_max of data beyond
 * the first. Borrowed until raft_node_applied. */
size_t raft_node_unapplied(const struct raft_node *node, struct log_entry *out, size_t len_max,
                           size_t bytes_max);
/* Entries up to `index`, which raft_node_unapplied gave, are applied. */
void raft_node_applied(struct raft_node *node, uint64_t index);
/* Entries up to `index`, all applied, were cut off the stored log; term is the last one's. */
void raft_node_cut(struct raft_node *node, uint64_t index, uint64_t term);

struct raft_node_status {
    uint64_t term;
    uint64_t leader; /* 0: unknown */
    uint64_t commit;
    uint64_t last_index;
    bool is_leader;
};
void raft_node_status(const struct raft_node *node, struct raft_node_status *out);

#endif
