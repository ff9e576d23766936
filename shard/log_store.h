/* Log store: log.mdb, the write-ahead log of every raft group in this process.
 *
 * Layout, in one LMDB file under full sync (log_format.h has the bytes):
 *     entries   (group, index) big-endian -> checksum, term, type, data
 *     terms     (group, first index of a term) -> term, so that a term is known without its entries
 *     groups    group -> hard state (term, vote, commit), what was cut, last index, bytes, members
 *
 * Group commit: groups submit batches; one thread writes all that wait in one transaction and one
 * sync, then answers each. An answer of SHOAL_OK means: on disk.
 *
 * Threads: any. Answers run on the store's thread, with no lock held: be short. A call that reads
 * holds a read transaction while it runs `each`, which must call nothing of this store. */
#ifndef SHOAL_SHARD_LOG_STORE_H
#define SHOAL_SHARD_LOG_STORE_H

#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_store;

struct log_store_config {
    const char *path;     /* of log.mdb */
    size_t map_bytes_max; /* 0: 64 GiB */
};

struct log_entry {
    uint64_t index;
    uint64_t term;
    uint32_t type;     /* raft's own: normal or configuration change */
    struct slice data; /* borrowed until the answer */
};

struct log_hard_state {
    uint64_t term, vote, commit;
};

/* Replaces entries from entries[0].index on (what lay there and beyond is cut), and the hard state
 * when has_hard_state. Entries follow each other and what is there without a hole. Embedded in the
 * caller's struct; it and all it points to live until `done` has run. */
struct log_batch {
    uint64_t group;
    const struct log_entry *entries;
    size_t entries_len;
    bool has_hard_state;
    struct log_hard_state hard_state;
    bool from_reserve; /* may take what is kept back for a full disk: for little, once all is cut */
    void (*done)(void *arg, enum shoal_err rc);
    void *arg;
    /* The store's own: */
    struct log_batch *next;
    enum shoal_err rc;
};

struct log_group_state {
    struct log_hard_state hard_state;
    uint64_t first_index; /* of the entries that are there; last_index + 1 when none */
    uint64_t last_index;
    uint64_t cut_term; /* term of entry first_index - 1 */
    uint64_t bytes;    /* of the entries that are there */
};

/* Entries from first_index on, up to the next run, have this term. */
struct log_term_run {
    uint64_t first_index;
    uint64_t term;
};

struct log_store_stats {
    uint64_t batches; /* answered with SHOAL_OK */
    uint64_t commits; /* transactions they took: one sync each */
    uint64_t map_bytes, used_bytes, free_bytes;
};

SHOAL_MUST_CHECK enum shoal_err log_store_open(const struct log_store_config *config,
                                               struct log_store **out, struct errbuf *why);
/* All groups are closed. Waits for batches under way. NULL is fine. */
void log_store_close(struct log_store *s);

/* What is stored of a group. Checks the entries after index `known`, which the caller does not need
 * (0: all): no hole, each checksum right; the others are checked when they are read, so a start
 * costs what it has to replay. SHOAL_ENOTFOUND: no such group. SHOAL_ECORRUPT names the entry. */
SHOAL_MUST_CHECK enum shoal_err log_store_load(struct log_store *s, uint64_t group, uint64_t known,
                                               struct log_group_state *out, struct errbuf *why);
/* The terms of the entries first_index..last_index, ascending; (mem_free). NULL and 0 when there
 * are no entries. */
SHOAL_MUST_CHECK enum shoal_err log_store_runs(struct log_store *s, uint64_t group,
                                               struct log_term_run **runs, size_t *len,
                                               struct errbuf *why);
/* Begins a group, durably. SHOAL_EEXISTS. */
SHOAL_MUST_CHECK enum shoal_err log_store_begin(struct log_store *s, uint64_t group,
                                                struct slice members, struct errbuf *why);
/* The members given to begin or set later; copied (mem_free). */
SHOAL_MUST_CHECK enum shoal_err log_store_members(struct log_store *s, uint64_t group, char **data,
                                                  size_t *len, struct errbuf *why);
/* Never blocks, cannot fail to start. done(SHOAL_EFULL or SHOAL_ENOMEM): nothing written, try again
 * later; done(SHOAL_EIO): what the disk holds is unknown, and the store takes no more batches;
 * done(SHOAL_EINVAL): the batch would leave a hole or overwrite what was cut;
 * done(SHOAL_ENOTFOUND): no such group. */
void log_store_submit(struct log_store *s, struct log_batch *batch);

/* Calls `each` with the entries lo <= index < hi while it returns true, each checked before. Data
 * is borrowed during the call. SHOAL_ENOTFOUND when one is not there. */
SHOAL_MUST_CHECK enum shoal_err log_store_read(struct log_store *s, uint64_t group, uint64_t lo,
                                               uint64_t hi,
                                               bool (*each)(void *arg, const struct log_entry *e),
                                               void *arg, struct errbuf *why);
/* Of an entry, or of the one before the first. SHOAL_ENOTFOUND. */
SHOAL_MUST_CHECK enum shoal_err log_store_term(struct log_store *s, uint64_t group, uint64_t index,
                                               uint64_t *term, struct errbuf *why);
/* Drops entries up to and with `through` (at most the last), in pieces that do not hold up writers
 * for long; cutting what is cut already is fine. Works on a full disk. */
SHOAL_MUST_CHECK enum shoal_err log_store_cut(struct log_store *s, uint64_t group, uint64_t through,
                                              struct errbuf *why);
/* Removes a group with all its entries. SHOAL_ENOTFOUND. */
SHOAL_MUST_CHECK enum shoal_err log_store_drop(struct log_store *s, uint64_t group,
                                               struct errbuf *why);
void log_store_stats(struct log_store *s, struct log_store_stats *out);

#endif
