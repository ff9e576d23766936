/* The files around one LMDB environment: the data file's own descriptor with its lock, LMDB's lock
 * file beside it, and a reserve of disk space. Private to the store.
 *
 * Threads: the store's writer, or whoever opens and closes it. */
#ifndef SHOAL_SHARD_STORE_DISK_H
#define SHOAL_SHARD_STORE_DISK_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct store_disk {
    char *path;         /* of the data file */
    char *lock_path;    /* LMDB's: "<path>-lock" */
    char *reserve_path; /* "<path>-reserve" */
    int fd;             /* of the data file; carries the flock; -1 when not open */
    bool read_only;
    bool is_new; /* the data file was empty when it was opened */
    bool has_reserve;
};

/* Opens and locks the data file, and makes room for LMDB's lock file. Errors as store_open's; the
 * caller ends it with store_disk__release in any case. */
enum shoal_err store_disk__open(struct store_disk *d, const char *path, bool read_only,
                                struct errbuf *why);
void store_disk__release(struct store_disk *d);

/* Makes the data file at least so long. A short read-only file is SHOAL_ECORRUPT. */
enum shoal_err store_disk__lengthen(struct store_disk *d, uint64_t bytes, struct errbuf *why);
/* Makes the data file's name durable. */
enum shoal_err store_disk__sync_name(const struct store_disk *d, struct errbuf *why);

/* After LMDB answered EIO: whether no page was lost and the disk is full. No transaction is live.
 */
bool store_disk__is_full(struct store_disk *d);

/* What the host lets any file of this process grow to (ulimit -f); UINT64_MAX: no limit. */
uint64_t store_disk__file_bytes_max(void);

/* Takes STORE_RESERVE_BYTES of disk space, if not held yet; SHOAL_EFULL. */
enum shoal_err store_disk__reserve_take(struct store_disk *d, struct errbuf *why);
/* Gives it back to the disk. False when there was none. */
bool store_disk__reserve_drop(struct store_disk *d);

#endif
