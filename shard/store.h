/* Store: LMDB behind our errors; store_mdb.h is the only file that includes lmdb.h.
 *
 * A store is one environment: one file with a number of named tables of ordered keys. Keys are
 * 1..STORE_KEY_MAX bytes, compared as bytes; values up to 4 GiB. No duplicate keys.
 *
 * Threads: one write transaction at a time per store (a second one waits); any number of read
 * transactions beside it, each used by one thread at a time but free to move between threads.
 * Slices borrowed from a transaction die with it, and those from a write transaction also die at
 * the next put or delete. A read transaction must be short: a long one pins freed pages.
 *
 * A file is open once at a time, over all processes; any number may open it read-only while no
 * writer has it. The map grows by itself: a write that meets a full map is rolled back, the map is
 * grown between transactions up to map_bytes_max, and the write is run again; so a store_write_fn
 * must be repeatable. Growth waits for the readers inside and holds new ones back: a thread that
 * has a read transaction open must neither write nor begin another one (the growth gives up after
 * a while with SHOAL_EFULL; without growth it would work, which makes it easy to miss).
 *
 * Values begin at even addresses only; those that fill more than half a page begin 16 bytes into
 * one. */
#ifndef SHOAL_SHARD_STORE_H
#define SHOAL_SHARD_STORE_H

#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_KEY_MAX 511
#define STORE_TABLES_MAX 32
#define STORE_READERS_MAX 1024
/* Kept back for store_write_freeing, in the map and (beside the file) on the disk: deleting copies
 * pages before it frees any. */
#define STORE_RESERVE_BYTES (4u << 20)

enum store_sync {
    STORE_SYNC_FULL,    /* a commit that returned survives power loss */
    STORE_SYNC_NO_META, /* power loss may undo the last commit, never an earlier one */
    STORE_SYNC_BUILD /* no sync until store_sync: for a file written aside that is not yet real */
};

struct store_config {
    const char *path;     /* of the file itself; created unless read_only */
    size_t map_bytes;     /* first size of the map; rounded up to pages */
    size_t map_bytes_max; /* ceiling when it grows */
    enum store_sync sync;
    bool read_only;        /* no lock file; the file must not change while open */
    uint32_t tables_max;   /* 1..STORE_TABLES_MAX */
    uint32_t grow_wait_ms; /* how long a growth waits for readers to leave; 0: 10 s */
};

struct store;
struct store_txn;
struct store_cursor;

/* A table's handle, found once after opening. */
typedef uint32_t store_table;

struct store_stats {
    uint64_t map_bytes;
    uint64_t used_bytes; /* pages up to the last one in use, free pages inside included */
    uint64_t free_bytes; /* pages that earlier transactions freed; readers may pin some of them */
    uint64_t file_bytes_max; /* the host's limit on a file of this process; UINT64_MAX: none */
    uint32_t readers;        /* read transactions open now */
    uint64_t commits;        /* write transactions that succeeded since the opening */
};

/* SHOAL_ENOTFOUND (read only and missing, or no such directory), SHOAL_ECORRUPT (no LMDB file, a
 * bad version, or a read-only file cut short), SHOAL_EBUSY (it is open already), SHOAL_EIO,
 * SHOAL_EFULL, SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err store_open(const struct store_config *config, struct store **out,
                                           struct errbuf *why);
/* All transactions have ended. Syncs nothing. NULL is fine. */
void store_close(struct store *s);
/* Makes or finds a table; not while a write transaction is open. */
SHOAL_MUST_CHECK enum shoal_err store_table_open(struct store *s, const char *name,
                                                 store_table *out, struct errbuf *why);

/* Runs fn in one write transaction and commits when it returns SHOAL_OK; any other code rolls
 * back and is returned. fn may run more than once (see map growth above). Blocks for the sync.
 * SHOAL_EFULL: the disk is full, or the map is at its ceiling; nothing was written. */
typedef enum shoal_err store_write_fn(void *arg, struct store_txn *txn, struct errbuf *why);
SHOAL_MUST_CHECK enum shoal_err store_write(struct store *s, store_write_fn *fn, void *arg,
                                            struct errbuf *why);
/* The same for transactions that only take away: they still work when the map is at its ceiling or
 * the disk is full. */
SHOAL_MUST_CHECK enum shoal_err store_write_freeing(struct store *s, store_write_fn *fn, void *arg,
                                                    struct errbuf *why);

SHOAL_MUST_CHECK enum shoal_err store_read_begin(struct store *s, struct store_txn **out,
                                                 struct errbuf *why);
void store_read_end(struct store_txn *txn); /* NULL is fine */

/* SHOAL_ENOTFOUND when absent. */
enum shoal_err store_get(struct store_txn *txn, store_table t, struct slice key,
                         struct slice *value);
enum shoal_err store_put(struct store_txn *txn, store_table t, struct slice key, struct slice value,
                         struct errbuf *why);
/* Gives room for a value to be written in place before the next store call on this txn. */
enum shoal_err store_put_reserve(struct store_txn *txn, store_table t, struct slice key, size_t len,
                                 void **room, struct errbuf *why);
/* As store_put, for a key greater than every key of the table: packs pages full. */
enum shoal_err store_append(struct store_txn *txn, store_table t, struct slice key,
                            struct slice value, struct errbuf *why);
/* SHOAL_ENOTFOUND when absent, without touching `why`. */
enum shoal_err store_delete(struct store_txn *txn, store_table t, struct slice key,
                            struct errbuf *why);
/* Empties the table. */
enum shoal_err store_clear(struct store_txn *txn, store_table t, struct errbuf *why);
enum shoal_err store_count(struct store_txn *txn, store_table t, uint64_t *out);

enum shoal_err store_cursor_open(struct store_txn *txn, store_table t, struct store_cursor **out,
                                 struct errbuf *why);
void store_cursor_close(struct store_cursor *c); /* before its transaction ends */
/* First key >= `from` (an empty slice: the first key), the next, the previous, the last.
 * SHOAL_ENOTFOUND at the end. */
enum shoal_err store_cursor_seek(struct store_cursor *c, struct slice from, struct slice *key,
                                 struct slice *value);
enum shoal_err store_cursor_next(struct store_cursor *c, struct slice *key, struct slice *value);
enum shoal_err store_cursor_prev(struct store_cursor *c, struct slice *key, struct slice *value);
enum shoal_err store_cursor_last(struct store_cursor *c, struct slice *key, struct slice *value);
/* Deletes the entry it stands on; store_cursor_next then gives the one after. */
enum shoal_err store_cursor_delete(struct store_cursor *c, struct errbuf *why);

/* fsync of what STORE_SYNC_NO_META and STORE_SYNC_BUILD left open. */
SHOAL_MUST_CHECK enum shoal_err store_sync(struct store *s, struct errbuf *why);
void store_stats(struct store *s, struct store_stats *out);
/* Frees the slots of readers whose process died; called at open and now and then. */
void store_reader_check(struct store *s);

#endif
