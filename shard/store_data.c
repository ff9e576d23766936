/* Values and cursors inside a store's transactions, and LMDB's codes as ours. */
#include "shard/store_mdb.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>

#define VALUE_BYTES_MAX UINT32_MAX

struct store_cursor {
    struct store_txn *txn;
    MDB_cursor *mdb;
};

/* --- errors ----------------------------------------------------------------------------------- */

static enum shoal_err code_from_mdb(int mrc)
{
    switch (mrc) {
    case MDB_SUCCESS: return SHOAL_OK;
    case MDB_NOTFOUND: return SHOAL_ENOTFOUND;
    case MDB_MAP_FULL:
    case EFBIG: return SHOAL_EFULL; /* EFBIG: a file size limit of the host */
    case MDB_TXN_FULL: return SHOAL_ETOOBIG;
    case MDB_KEYEXIST:
    case MDB_BAD_VALSIZE: return SHOAL_EINVAL;
    case MDB_READERS_FULL:
    case EAGAIN: return SHOAL_EBUSY;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_VERSION_MISMATCH:
    case MDB_INVALID:
    case MDB_INCOMPATIBLE: return SHOAL_ECORRUPT;
    default: return mrc > 0 ? err_errno(NULL, mrc, "lmdb") : SHOAL_EIO;
    }
}

enum shoal_err store__fail(const struct store *s, int mrc, struct errbuf *why, const char *doing)
{
    return err_set(why, code_from_mdb(mrc), "%s: %s: %s", store__path(s), doing, mdb_strerror(mrc));
}

enum shoal_err store__txn_failed(struct store_txn *txn, int mrc, struct errbuf *why,
                                 const char *doing)
{
    assert(mrc != MDB_SUCCESS);
    if (mrc == MDB_BAD_TXN && txn->failed != SHOAL_OK) {
        return err_set(why, txn->failed, "%s: %s: an earlier call of this transaction failed",
                       store__path(txn->store), doing);
    }
    enum shoal_err rc = code_from_mdb(mrc);
    if (rc == SHOAL_ENOTFOUND || rc == SHOAL_EINVAL) {
        return rc == SHOAL_ENOTFOUND ? rc : store__fail(txn->store, mrc, why, doing);
    }
    txn->map_full = txn->map_full || mrc == MDB_MAP_FULL;
    if (txn->failed == SHOAL_OK) {
        txn->failed = rc;
    }
    return store__fail(txn->store, mrc, why, doing);
}

/* --- values ----------------------------------------------------------------------------------- */

static MDB_val val_of(struct slice s)
{
    return (MDB_val){ .mv_size = s.len, .mv_data = (void *)(uintptr_t)s.data };
}

static struct slice slice_of(const MDB_val *v)
{
    return slice_make(v->mv_data, v->mv_size);
}

enum shoal_err store_get(struct store_txn *txn, store_table t, struct slice key,
                         struct slice *value)
{
    MDB_val k = val_of(key);
    MDB_val v = { 0, NULL };
    const int mrc = mdb_get(txn->mdb, t, &k, &v);
    *value = slice_of(&v);
    return mrc == MDB_SUCCESS ? SHOAL_OK : store__txn_failed(txn, mrc, NULL, "get");
}

static enum shoal_err put(struct store_txn *txn, store_table t, struct slice key, MDB_val *v,
                          unsigned flags, struct errbuf *why)
{
    if (v->mv_size > VALUE_BYTES_MAX) {
        return err_set(why, SHOAL_ETOOBIG, "%s: a value of %zu bytes", store__path(txn->store),
                       v->mv_size);
    }
    MDB_val k = val_of(key);
    const int mrc = mdb_put(txn->mdb, t, &k, v, flags);
    return mrc == MDB_SUCCESS ? SHOAL_OK : store__txn_failed(txn, mrc, why, "put");
}

enum shoal_err store_put(struct store_txn *txn, store_table t, struct slice key, struct slice value,
                         struct errbuf *why)
{
    MDB_val v = val_of(value);
    return put(txn, t, key, &v, 0, why);
}

enum shoal_err store_put_reserve(struct store_txn *txn, store_table t, struct slice key, size_t len,
                                 void **room, struct errbuf *why)
{
    MDB_val v = { .mv_size = len, .mv_data = NULL };
    const enum shoal_err rc = put(txn, t, key, &v, MDB_RESERVE, why);
    *room = rc == SHOAL_OK ? v.mv_data : NULL;
    return rc;
}

enum shoal_err store_append(struct store_txn *txn, store_table t, struct slice key,
                            struct slice value, struct errbuf *why)
{
    MDB_val v = val_of(value);
    return put(txn, t, key, &v, MDB_APPEND, why);
}

enum shoal_err store_delete(struct store_txn *txn, store_table t, struct slice key,
                            struct errbuf *why)
{
    MDB_val k = val_of(key);
    const int mrc = mdb_del(txn->mdb, t, &k, NULL);
    return mrc == MDB_SUCCESS ? SHOAL_OK : store__txn_failed(txn, mrc, why, "delete");
}

enum shoal_err store_clear(struct store_txn *txn, store_table t, struct errbuf *why)
{
    const int mrc = mdb_drop(txn->mdb, t, 0);
    return mrc == MDB_SUCCESS ? SHOAL_OK : store__txn_failed(txn, mrc, why, "clear");
}

enum shoal_err store_count(struct store_txn *txn, store_table t, uint64_t *out)
{
    MDB_stat stat = { 0 };
    const int mrc = mdb_stat(txn->mdb, t, &stat);
    *out = stat.ms_entries;
    return mrc == MDB_SUCCESS ? SHOAL_OK : store__txn_failed(txn, mrc, NULL, "count");
}

/* --- cursors ---------------------------------------------------------------------------------- */

enum shoal_err store_cursor_open(struct store_txn *txn, store_table t, struct store_cursor **out,
                                 struct errbuf *why)
{
    *out = NULL;
    struct store_cursor *c = mem_calloc(1, sizeof(*c));
    if (c == NULL) {
        return SHOAL_ENOMEM;
    }
    c->txn = txn;
    const int mrc = mdb_cursor_open(txn->mdb, t, &c->mdb);
    if (mrc != MDB_SUCCESS) {
        mem_free(c);
        return store__txn_failed(txn, mrc, why, "open cursor");
    }
    *out = c;
    return SHOAL_OK;
}

void store_cursor_close(struct store_cursor *c)
{
    if (c != NULL) {
        mdb_cursor_close(c->mdb);
        mem_free(c);
    }
}

static enum shoal_err cursor_move(struct store_cursor *c, MDB_cursor_op op, MDB_val k,
                                  struct slice *key, struct slice *value)
{
    MDB_val v = { 0, NULL };
    const int mrc = mdb_cursor_get(c->mdb, &k, &v, op);
    if (mrc != MDB_SUCCESS) {
        *key = (struct slice){ NULL, 0 };
        *value = (struct slice){ NULL, 0 };
        return store__txn_failed(c->txn, mrc, NULL, "move cursor");
    }
    *key = slice_of(&k);
    *value = slice_of(&v);
    return SHOAL_OK;
}

enum shoal_err store_cursor_seek(struct store_cursor *c, struct slice from, struct slice *key,
                                 struct slice *value)
{
    return cursor_move(c, from.len == 0 ? MDB_FIRST : MDB_SET_RANGE, val_of(from), key, value);
}

enum shoal_err store_cursor_next(struct store_cursor *c, struct slice *key, struct slice *value)
{
    return cursor_move(c, MDB_NEXT, (MDB_val){ 0, NULL }, key, value);
}

enum shoal_err store_cursor_prev(struct store_cursor *c, struct slice *key, struct slice *value)
{
    return cursor_move(c, MDB_PREV, (MDB_val){ 0, NULL }, key, value);
}

enum shoal_err store_cursor_last(struct store_cursor *c, struct slice *key, struct slice *value)
{
    return cursor_move(c, MDB_LAST, (MDB_val){ 0, NULL }, key, value);
}

enum shoal_err store_cursor_delete(struct store_cursor *c, struct errbuf *why)
{
    const int mrc = mdb_cursor_del(c->mdb, 0);
    return mrc == MDB_SUCCESS ? SHOAL_OK : store__txn_failed(c->txn, mrc, why, "delete");
}
