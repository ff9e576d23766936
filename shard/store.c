/* Store over LMDB. See store.h for the contract; this page says how it is kept.
 *
 * Locks, in the order they are taken: `writer`, then `gate`. `writer` is held for the whole of a
 * write transaction, its sync included: LMDB has one writer, and waiting here rather than on LMDB's
 * own process-shared mutex keeps the map's growth under the same lock. `gate` is held for a few
 * instructions only.
 *
 * Growth. LMDB cannot move its map while any transaction of the process is live, and does not check
 * that. So every reader passes the gate: it counts itself in, and a grower, who holds `writer` and
 * has ended its own transaction, closes the gate, waits until the count is zero, moves the map and
 * opens the gate again. A reader that does not leave in time (grow_wait_ms) makes the growth fail
 * with SHOAL_EFULL instead of stopping the store for ever; that happens when a thread writes while
 * it reads.
 *
 * After a failed write or sync. LMDB leaves the old state standing when a commit fails before its
 * meta page is written. With "no space" the store goes on; with any other failure what the disk
 * holds is unknown (the kernel may have dropped pages it could not write), so the store refuses all
 * later writes. Two cases need a closer look (write_failed). A failed meta page makes LMDB itself
 * refuse, also when space was the cause. And LMDB calls a write that a full disk cut short EIO, so
 * store_disk.c looks whether the disk is full and nothing else went wrong.
 *
 * Room for deletes. Deleting copies pages before it frees any. So ordinary writes stop
 * STORE_RESERVE_BYTES early, in the map and on the disk, and store_write_freeing goes on. */
#include "shard/store_disk.h"
#include "shard/store_mdb.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GROW_WAIT_MS 10000u

struct store {
    /* Immutable once open. */
    MDB_env *env;
    size_t map_bytes_max;
    uint32_t grow_wait_ms;
    bool keeps_reserve;

    struct mutex writer;    /* one write transaction; guards the three below */
    struct store_disk disk; /* its paths never change */
    size_t map_bytes;
    enum shoal_err failed; /* sticky; see the top of the file */

    struct mutex gate; /* guards readers and growing */
    struct cond gate_opened;
    struct cond readers_left;
    uint32_t readers;
    bool growing;

    _Atomic uint64_t commits;
};

const char *store__path(const struct store *s)
{
    return s->disk.path;
}

/* --- open and close --------------------------------------------------------------------------- */

static size_t round_to_pages(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t rounded = 0;
    if (!size_add(bytes, page - 1, &rounded)) {
        return SIZE_MAX / page * page;
    }
    return rounded / page * page;
}

static unsigned env_flags(const struct store_config *config)
{
    unsigned flags = MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD;
    if (config->read_only) {
        return flags | MDB_RDONLY | MDB_NOLOCK;
    }
    switch (config->sync) {
    case STORE_SYNC_FULL: break;
    case STORE_SYNC_NO_META: flags |= MDB_NOMETASYNC; break;
    case STORE_SYNC_BUILD: flags |= MDB_NOSYNC; break;
    }
    return flags;
}

static enum shoal_err env_open(struct store *s, const struct store_config *config,
                               struct errbuf *why)
{
    int mrc = mdb_env_create(&s->env);
    if (mrc != MDB_SUCCESS) {
        s->env = NULL;
        return store__fail(s, mrc, why, "create environment");
    }
    mrc = mdb_env_set_maxreaders(s->env, STORE_READERS_MAX);
    if (mrc == MDB_SUCCESS) {
        mrc = mdb_env_set_maxdbs(s->env, config->tables_max);
    }
    if (mrc == MDB_SUCCESS) {
        /* LMDB raises it to what the file already uses; a read-only map is exactly that. */
        const size_t bytes = s->disk.read_only ? 1 : config->map_bytes;
        mrc = mdb_env_set_mapsize(s->env, round_to_pages(bytes));
    }
    if (mrc == MDB_SUCCESS) {
        mrc = mdb_env_open(s->env, s->disk.path, env_flags(config), 0640);
    }
    return mrc == MDB_SUCCESS ? SHOAL_OK : store__fail(s, mrc, why, "open");
}

/* Bytes up to the last page the file's tree may name. */
static uint64_t file_bytes_named(struct store *s)
{
    MDB_envinfo info;
    MDB_stat stat;
    mdb_env_info(s->env, &info);
    mdb_env_stat(s->env, &stat);
    return ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
}

static enum shoal_err open_all(struct store *s, const struct store_config *config,
                               struct errbuf *why)
{
    enum shoal_err rc = store_disk__open(&s->disk, config->path, config->read_only, why);
    if (rc == SHOAL_OK) {
        rc = env_open(s, config, why);
    }
    if (rc == SHOAL_OK) {
        rc = store_disk__lengthen(&s->disk, file_bytes_named(s), why);
    }
    if (rc == SHOAL_OK && s->disk.is_new) {
        rc = store_disk__sync_name(&s->disk, why);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    MDB_envinfo info;
    mdb_env_info(s->env, &info);
    s->map_bytes = info.me_mapsize;
    store_reader_check(s);
    return SHOAL_OK;
}

enum shoal_err store_open(const struct store_config *config, struct store **out, struct errbuf *why)
{
    *out = NULL;
    if (config->path == NULL || config->tables_max == 0 || config->tables_max > STORE_TABLES_MAX) {
        return err_set(why, SHOAL_EINVAL, "store: a path and 1..%d tables are needed",
                       STORE_TABLES_MAX);
    }
    struct store *s = mem_calloc(1, sizeof(*s));
    if (s == NULL) {
        return SHOAL_ENOMEM;
    }
    s->keeps_reserve = !config->read_only && config->sync != STORE_SYNC_BUILD;
    s->grow_wait_ms = config->grow_wait_ms == 0 ? GROW_WAIT_MS : config->grow_wait_ms;
    s->map_bytes_max = round_to_pages(config->map_bytes_max);
    mutex_init(&s->writer);
    mutex_init(&s->gate);
    cond_init(&s->gate_opened);
    cond_init(&s->readers_left);
    enum shoal_err rc = open_all(s, config, why);
    if (rc != SHOAL_OK) {
        store_close(s);
        return rc;
    }
    *out = s;
    return SHOAL_OK;
}

void store_close(struct store *s)
{
    if (s == NULL) {
        return;
    }
    assert(s->readers == 0);
    if (s->env != NULL) {
        mdb_env_close(s->env);
    }
    cond_release(&s->readers_left);
    cond_release(&s->gate_opened);
    mutex_release(&s->gate);
    mutex_release(&s->writer);
    store_disk__release(&s->disk);
    mem_free(s);
}

/* --- the gate and growth ---------------------------------------------------------------------- */

static void gate_enter(struct store *s)
{
    mutex_lock(&s->gate);
    while (s->growing) { /* ends within grow_wait_ms */
        cond_wait(&s->gate_opened, &s->gate);
    }
    s->readers++;
    mutex_unlock(&s->gate);
}

static void gate_leave(struct store *s)
{
    mutex_lock(&s->gate);
    assert(s->readers > 0);
    if (--s->readers == 0) {
        cond_signal(&s->readers_left);
    }
    mutex_unlock(&s->gate);
}

/* Whether the address space has room for a map of this size: LMDB gives its old map up before it
 * asks for the new one, and has none at all when that fails. */
static bool address_space_has(size_t bytes)
{
    void *probe = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (probe == MAP_FAILED) {
        return false;
    }
    munmap(probe, bytes);
    return true;
}

/* With the gate closed and no reader inside. */
static enum shoal_err map_move(struct store *s, size_t bytes, struct errbuf *why)
{
    if (!address_space_has(bytes)) {
        return err_set(why, SHOAL_ENOMEM, "%s: no address space for a map of %zu bytes",
                       s->disk.path, bytes);
    }
    const int mrc = mdb_env_set_mapsize(s->env, bytes);
    if (mrc != MDB_SUCCESS) {
        s->failed = SHOAL_EIO; /* the map is gone */
        return err_set(why, SHOAL_EIO, "%s: map of %zu bytes: %s", s->disk.path, bytes,
                       mdb_strerror(mrc));
    }
    s->map_bytes = bytes;
    return SHOAL_OK;
}

/* Called by the writer between two transactions. */
static enum shoal_err map_grow(struct store *s, size_t ceiling, struct errbuf *why)
{
    if (s->map_bytes >= ceiling) {
        return err_set(why, SHOAL_EFULL,
                       "%s is full: %zu bytes is the most it may hold; delete "
                       "something or raise the limit",
                       s->disk.path, ceiling);
    }
    size_t bytes = 0;
    if (!size_mul(s->map_bytes, 2, &bytes) || bytes > ceiling) {
        bytes = ceiling;
    }
    enum shoal_err rc = SHOAL_OK;
    const uint64_t deadline_ns = clock_mono_ns(clock_real()) + s->grow_wait_ms * 1000000ull;
    mutex_lock(&s->gate);
    s->growing = true;
    while (rc == SHOAL_OK && s->readers > 0) {
        if (!cond_wait_until(&s->readers_left, &s->gate, deadline_ns) && s->readers > 0) {
            rc = err_set(why, SHOAL_EFULL, "%s: the map cannot grow while a reader stays open",
                         s->disk.path);
        }
    }
    if (rc == SHOAL_OK) {
        rc = map_move(s, bytes, why);
    }
    s->growing = false;
    cond_broadcast(&s->gate_opened);
    mutex_unlock(&s->gate);
    return rc;
}

/* --- transactions ----------------------------------------------------------------------------- */

/* After a write transaction that failed with rc and is ended. What it wrote before the meta page
 * is of no account, so a lack of space or memory needs no more than another try. */
static enum shoal_err write_failed(struct store *s, enum shoal_err rc, struct errbuf *why)
{
    if (rc == SHOAL_EIO && store_disk__is_full(&s->disk)) {
        rc = err_set(why, SHOAL_EFULL, "%s: no space left on its disk", s->disk.path);
    }
    MDB_txn *probe = NULL;
    const bool usable = mdb_txn_begin(s->env, NULL, 0, &probe) == MDB_SUCCESS;
    if (usable) {
        mdb_txn_abort(probe);
    }
    if (usable && rc != SHOAL_EIO && rc != SHOAL_ECORRUPT) {
        return rc;
    }
    s->failed = rc == SHOAL_ECORRUPT ? rc : SHOAL_EIO;
    return err_prefix(why, s->failed, "no more writes until it is opened again");
}

static enum shoal_err write_once(struct store *s, store_write_fn *fn, void *arg, bool *map_full,
                                 struct errbuf *why)
{
    *map_full = false;
    if (s->failed != SHOAL_OK) {
        return err_set(why, s->failed, "%s: an earlier write failed; open it again", s->disk.path);
    }
    struct store_txn txn = { .store = s };
    int mrc = mdb_txn_begin(s->env, NULL, 0, &txn.mdb);
    if (mrc != MDB_SUCCESS) {
        return write_failed(s, store__fail(s, mrc, why, "begin writing"), why);
    }
    enum shoal_err rc = fn(arg, &txn, why);
    if (rc == SHOAL_OK) {
        rc = txn.failed; /* fn may have passed over it; LMDB does not commit such a transaction */
    }
    *map_full = txn.map_full;
    if (rc != SHOAL_OK) {
        mdb_txn_abort(txn.mdb);
        /* Pages are also written before the commit, when there are many. */
        return txn.failed == SHOAL_EIO ? write_failed(s, SHOAL_EIO, why) : rc;
    }
    mrc = mdb_txn_commit(txn.mdb); /* ends the transaction in any case */
    if (mrc == MDB_MAP_FULL) {     /* the list of free pages is written at the commit */
        *map_full = true;
        return store__fail(s, mrc, why, "commit");
    }
    if (mrc != MDB_SUCCESS) {
        return write_failed(s, store__fail(s, mrc, why, "commit"), why);
    }
    atomic_fetch_add_explicit(&s->commits, 1, memory_order_relaxed);
    return SHOAL_OK;
}

static enum shoal_err write_growing(struct store *s, size_t ceiling, store_write_fn *fn, void *arg,
                                    struct errbuf *why)
{
    bool map_full = false;
    enum shoal_err rc = write_once(s, fn, arg, &map_full, why);
    while (map_full) { /* each round at least doubles the map or ends */
        err_clear(why);
        rc = map_grow(s, ceiling, why);
        if (rc != SHOAL_OK) {
            break;
        }
        rc = write_once(s, fn, arg, &map_full, why);
    }
    return rc;
}

static enum shoal_err check_writable(const struct store *s, struct errbuf *why)
{
    return s->disk.read_only
               ? err_set(why, SHOAL_EINVAL, "%s is open for reading only", s->disk.path)
               : SHOAL_OK;
}

/* Each value of LMDB's own table 0 begins with the number of pages it names. */
static uint64_t free_pages(struct store_txn *txn)
{
    MDB_cursor *cursor = NULL;
    if (mdb_cursor_open(txn->mdb, 0, &cursor) != MDB_SUCCESS) {
        return 0;
    }
    uint64_t pages = 0;
    MDB_val k;
    MDB_val v;
    while (mdb_cursor_get(cursor, &k, &v, MDB_NEXT) == MDB_SUCCESS) {
        size_t n = 0;
        if (v.mv_size >= sizeof(n)) {
            memcpy(&n, v.mv_data, sizeof(n));
            pages += n;
        }
    }
    mdb_cursor_close(cursor);
    return pages;
}

static uint64_t free_bytes_inside(struct store *s)
{
    struct store_txn *txn = NULL;
    if (store_read_begin(s, &txn, NULL) != SHOAL_OK) {
        return 0;
    }
    MDB_stat stat;
    mdb_env_stat(s->env, &stat);
    const uint64_t bytes = free_pages(txn) * stat.ms_psize;
    store_read_end(txn);
    return bytes;
}

/* Whether an ordinary write leaves enough for deletes: the reserve on the disk, or, on a disk that
 * stays full, as much in free pages of the file itself. */
static enum shoal_err reserve_ensure(struct store *s, struct errbuf *why)
{
    enum shoal_err rc = s->keeps_reserve ? store_disk__reserve_take(&s->disk, why) : SHOAL_OK;
    if (rc == SHOAL_EFULL && free_bytes_inside(s) >= STORE_RESERVE_BYTES) {
        err_clear(why);
        rc = SHOAL_OK;
    }
    return rc;
}

enum shoal_err store_write(struct store *s, store_write_fn *fn, void *arg, struct errbuf *why)
{
    enum shoal_err rc = check_writable(s, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    mutex_lock(&s->writer);
    rc = reserve_ensure(s, why);
    if (rc == SHOAL_OK) {
        rc = write_growing(s, s->map_bytes_max, fn, arg, why);
    }
    mutex_unlock(&s->writer);
    return rc;
}

enum shoal_err store_write_freeing(struct store *s, store_write_fn *fn, void *arg,
                                   struct errbuf *why)
{
    enum shoal_err rc = check_writable(s, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    size_t ceiling = 0;
    if (!size_add(s->map_bytes_max, round_to_pages(STORE_RESERVE_BYTES), &ceiling)) {
        ceiling = s->map_bytes_max;
    }
    mutex_lock(&s->writer);
    rc = write_growing(s, ceiling, fn, arg, why);
    if (rc == SHOAL_EFULL && store_disk__reserve_drop(&s->disk)) {
        err_clear(why);
        rc = write_growing(s, ceiling, fn, arg, why);
    }
    mutex_unlock(&s->writer);
    return rc;
}

enum shoal_err store_read_begin(struct store *s, struct store_txn **out, struct errbuf *why)
{
    *out = NULL;
    struct store_txn *txn = mem_calloc(1, sizeof(*txn));
    if (txn == NULL) {
        return SHOAL_ENOMEM;
    }
    txn->store = s;
    gate_enter(s);
    const int mrc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn->mdb);
    if (mrc != MDB_SUCCESS) {
        gate_leave(s);
        mem_free(txn);
        return store__fail(s, mrc, why, "begin reading");
    }
    *out = txn;
    return SHOAL_OK;
}

void store_read_end(struct store_txn *txn)
{
    if (txn == NULL) {
        return;
    }
    mdb_txn_abort(txn->mdb);
    gate_leave(txn->store);
    mem_free(txn);
}

/* --- tables ----------------------------------------------------------------------------------- */

struct table_opening {
    const char *name;
    MDB_dbi dbi;
};

static enum shoal_err table_open_in_txn(void *arg, struct store_txn *txn, struct errbuf *why)
{
    struct table_opening *o = arg;
    const int mrc = mdb_dbi_open(txn->mdb, o->name, MDB_CREATE, &o->dbi);
    return mrc == MDB_SUCCESS ? SHOAL_OK : store__txn_failed(txn, mrc, why, "open table");
}

/* A handle opened in a read transaction stays when that is committed rather than aborted. */
static enum shoal_err table_find(struct store *s, struct table_opening *o, struct errbuf *why)
{
    MDB_txn *txn = NULL;
    int mrc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
    if (mrc != MDB_SUCCESS) {
        return store__fail(s, mrc, why, "begin reading");
    }
    mrc = mdb_dbi_open(txn, o->name, 0, &o->dbi);
    if (mrc != MDB_SUCCESS) {
        mdb_txn_abort(txn);
        return mrc == MDB_NOTFOUND
                   ? err_set(why, SHOAL_ENOTFOUND, "%s has no table %s", s->disk.path, o->name)
                   : store__fail(s, mrc, why, "open table");
    }
    mrc = mdb_txn_commit(txn);
    return mrc == MDB_SUCCESS ? SHOAL_OK : store__fail(s, mrc, why, "open table");
}

enum shoal_err store_table_open(struct store *s, const char *name, store_table *out,
                                struct errbuf *why)
{
    *out = 0;
    struct table_opening o = { .name = name };
    mutex_lock(&s->writer); /* LMDB opens one handle at a time */
    enum shoal_err rc = table_find(s, &o, why);
    mutex_unlock(&s->writer);
    if (rc == SHOAL_ENOTFOUND && !s->disk.read_only) { /* one that is there opens on a full disk */
        err_clear(why);
        rc = store_write(s, table_open_in_txn, &o, why);
    }
    if (rc == SHOAL_OK) {
        *out = o.dbi;
    }
    return rc;
}

/* --- the rest --------------------------------------------------------------------------------- */

enum shoal_err store_sync(struct store *s, struct errbuf *why)
{
    if (s->disk.read_only) {
        return SHOAL_OK;
    }
    mutex_lock(&s->writer);
    enum shoal_err rc = s->failed;
    if (rc != SHOAL_OK) {
        rc = err_set(why, rc, "%s: an earlier write failed; open it again", s->disk.path);
    } else {
        rc = store_disk__lengthen(&s->disk, file_bytes_named(s), why);
    }
    if (rc == SHOAL_OK) {
        const int mrc = mdb_env_sync(s->env, 1);
        if (mrc != MDB_SUCCESS) {
            rc = store__fail(s, mrc, why, "sync");
            s->failed = SHOAL_EIO; /* commits that returned may be lost: no later one may follow */
        }
    }
    mutex_unlock(&s->writer);
    return rc;
}

void store_stats(struct store *s, struct store_stats *out)
{
    *out = (struct store_stats){ .commits = atomic_load(&s->commits) };
    struct store_txn *txn = NULL;
    if (store_read_begin(s, &txn, NULL) != SHOAL_OK) {
        return;
    }
    MDB_envinfo info;
    MDB_stat stat;
    mdb_env_info(s->env, &info);
    mdb_env_stat(s->env, &stat);
    out->map_bytes = info.me_mapsize;
    out->used_bytes = file_bytes_named(s);
    out->free_bytes = free_pages(txn) * stat.ms_psize;
    out->file_bytes_max = store_disk__file_bytes_max();
    store_read_end(txn);
    mutex_lock(&s->gate);
    out->readers = s->readers;
    mutex_unlock(&s->gate);
}

void store_reader_check(struct store *s)
{
    int dead = 0;
    (void)mdb_reader_check(s->env, &dead); /* nothing to do about a failure: it is asked again */
}
