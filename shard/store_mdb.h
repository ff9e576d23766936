/* What store.c (environments, transactions) and store_data.c (values, cursors) share: the only
 * files that see LMDB. */
#ifndef SHOAL_SHARD_STORE_MDB_H
#define SHOAL_SHARD_STORE_MDB_H

#include "shard/store.h"

#include <lmdb.h>

struct store_txn {
    struct store *store;
    MDB_txn *mdb;
    bool map_full;         /* some call met a full map: the whole transaction is run again */
    enum shoal_err failed; /* first failure that spoilt the transaction */
};

const char *store__path(const struct store *s);

/* Translates LMDB's code and says what was being done. */
enum shoal_err store__fail(const struct store *s, int mrc, struct errbuf *why, const char *doing);

/* The same for a call inside a transaction. LMDB spoils a write transaction at its first failure
 * and answers every later call with MDB_BAD_TXN; then the first cause is repeated. */
enum shoal_err store__txn_failed(struct store_txn *txn, int mrc, struct errbuf *why,
                                 const char *doing);

#endif
