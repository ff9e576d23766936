/* What happens to log.mdb's tables inside one transaction. Private to the log store. */
#ifndef SHOAL_SHARD_LOG_TABLES_H
#define SHOAL_SHARD_LOG_TABLES_H

#include "base/err.h"
#include "shard/log_format.h"
#include "shard/store.h"

#include <stdbool.h>
#include <stdint.h>

struct log_tables {
    store_table entries;
    store_table terms;
    store_table groups;
};

/* A group's record, copied out of the transaction. */
struct log_record {
    struct log_group group; /* its members point into bytes */
    char bytes[LOG_GROUP_HEAD + LOG_MEMBERS_MAX];
};

/* SHOAL_ENOTFOUND without touching `why`. */
enum shoal_err log__group_get(struct store_txn *txn, const struct log_tables *t, uint64_t group,
                              struct log_record *r, struct errbuf *why);
enum shoal_err log__group_put(struct store_txn *txn, const struct log_tables *t, uint64_t group,
                              const struct log_group *g, struct errbuf *why);

/* Of an entry that is there, or of the last that was cut; else SHOAL_ENOTFOUND. */
enum shoal_err log__term(struct store_txn *txn, const struct log_tables *t, uint64_t group,
                         const struct log_group *g, uint64_t index, uint64_t *term,
                         struct errbuf *why);

/* The runs of the entries that are there, in an array of the caller's (mem_free). */
enum shoal_err log__runs(struct store_txn *txn, const struct log_tables *t, uint64_t group,
                         const struct log_group *g, struct log_term_run **runs, size_t *len,
                         struct errbuf *why);

/* Writes a batch. What is wrong with the batch itself is left in b->rc, and then nothing was
 * changed; an error returned concerns the whole transaction. */
enum shoal_err log__batch_write(struct store_txn *txn, const struct log_tables *t,
                                struct log_batch *b, struct errbuf *why);

/* Both do a bounded piece of the work and say whether more is left. */
enum shoal_err log__cut_piece(struct store_txn *txn, const struct log_tables *t, uint64_t group,
                              uint64_t through, bool *more, struct errbuf *why);
/* Deletes what there is of a group's entries and terms, right or wrong. */
enum shoal_err log__purge_piece(struct store_txn *txn, const struct log_tables *t, uint64_t group,
                                bool *more, struct errbuf *why);

#endif
