/* The files around one LMDB environment.
 *
 * One opener. flock(2) on the data file itself, through a descriptor of our own, keeps a second
 * process and a second open in this process out, under whatever name the file is opened: unlike
 * fcntl locks, flock belongs to the descriptor. LMDB's own fcntl locks are on its lock file, which
 * must not be opened and closed while LMDB has it: that would drop them.
 *
 * Short files. LMDB maps the file and trusts it; a page beyond its end is a SIGBUS. A file may
 * rightly be shorter than its last page number says (pages freed by the transaction that took them
 * are never written), so a writable one is lengthened by a hole: what was lost then reads as zeros,
 * which LMDB and our checksums answer with an error. A file built aside is lengthened when it is
 * synced, so a short read-only one is corrupt.
 *
 * The lock file. LMDB maps it, with the reader table in it, and lengthens it by a hole: a reader
 * that takes a slot in a page not yet allocated dies of SIGBUS when the disk is full. So the room
 * is taken before LMDB opens the file.
 *
 * The reserve. Deleting needs new pages first, also on a full disk. A file of nothing is kept
 * beside the data; ordinary writes need it to be there, and a write that only takes away may give
 * it up. It is taken again when there is space. */
#include "shard/store_disk.h"

#include "base/mem.h"
#include "shard/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MODE 0640
/* LMDB's head and a cache line for each reader. */
#define LOCK_FILE_BYTES (4096 + STORE_READERS_MAX * 64)
#define PROBE_BYTES (1 << 20)

static char *path_with(const char *path, const char *suffix)
{
    const size_t len = strlen(path);
    const size_t suffix_size = strlen(suffix) + 1;
    size_t size = 0;
    char *joined = size_add(len, suffix_size, &size) ? mem_alloc(size) : NULL;
    if (joined != NULL) {
        memcpy(joined, path, len);
        memcpy(joined + len, suffix, suffix_size);
    }
    return joined;
}

static enum shoal_err data_open(struct store_disk *d, struct errbuf *why)
{
    const int flags = d->read_only ? O_RDONLY : O_RDWR | O_CREAT;
    d->fd = open(d->path, flags | O_CLOEXEC, FILE_MODE);
    if (d->fd < 0) {
        return err_errno(why, errno, "open of %s", d->path);
    }
    if (flock(d->fd, (d->read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK
                   ? err_set(why, SHOAL_EBUSY, "%s is open already, here or in another process",
                             d->path)
                   : err_errno(why, errno, "lock of %s", d->path);
    }
    struct stat st;
    if (fstat(d->fd, &st) != 0) {
        return err_errno(why, errno, "stat of %s", d->path);
    }
    if (!S_ISREG(st.st_mode)) {
        return err_set(why, SHOAL_ECORRUPT, "%s is not a regular file", d->path);
    }
    d->is_new = st.st_size == 0;
    return d->is_new && d->read_only ? err_set(why, SHOAL_ECORRUPT, "%s is empty", d->path)
                                     : SHOAL_OK;
}

/* Allocates the first `bytes` of a file, made when missing. */
static enum shoal_err allocate(const char *path, off_t bytes, struct errbuf *why)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, FILE_MODE);
    const int failure = fd < 0 ? errno : posix_fallocate(fd, 0, bytes);
    if (fd >= 0) {
        close(fd);
    }
    if (failure == EFBIG) {
        return err_set(why, SHOAL_EFULL, "room for %s: over the host's limit for a file", path);
    }
    return failure == 0 ? SHOAL_OK : err_errno(why, failure, "room for %s", path);
}

enum shoal_err store_disk__open(struct store_disk *d, const char *path, bool read_only,
                                struct errbuf *why)
{
    *d = (struct store_disk){ .fd = -1, .read_only = read_only };
    d->path = mem_strdup(path);
    d->lock_path = path_with(path, "-lock");
    d->reserve_path = path_with(path, "-reserve");
    if (d->path == NULL || d->lock_path == NULL || d->reserve_path == NULL) {
        return SHOAL_ENOMEM;
    }
    enum shoal_err rc = data_open(d, why);
    if (rc == SHOAL_OK && !read_only) {
        rc = allocate(d->lock_path, LOCK_FILE_BYTES, why);
    }
    return rc;
}

void store_disk__release(struct store_disk *d)
{
    if (d->path != NULL && d->fd >= 0) {
        close(d->fd); /* gives the flock back */
    }
    mem_free(d->reserve_path);
    mem_free(d->lock_path);
    mem_free(d->path);
    *d = (struct store_disk){ .fd = -1 };
}

enum shoal_err store_disk__lengthen(struct store_disk *d, uint64_t bytes, struct errbuf *why)
{
    struct stat st;
    if (fstat(d->fd, &st) != 0) {
        return err_errno(why, errno, "stat of %s", d->path);
    }
    if ((uint64_t)st.st_size >= bytes) {
        return SHOAL_OK;
    }
    if (d->read_only) {
        return err_set(why, SHOAL_ECORRUPT, "%s is cut short: %jd of %" PRIu64 " bytes", d->path,
                       (intmax_t)st.st_size, bytes);
    }
    return ftruncate(d->fd, (off_t)bytes) == 0
               ? SHOAL_OK
               : err_errno(why, errno, "lengthening of %s", d->path);
}

enum shoal_err store_disk__sync_name(const struct store_disk *d, struct errbuf *why)
{
    const char *slash = strrchr(d->path, '/');
    const size_t len = slash == NULL ? 0 : (size_t)(slash - d->path);
    char *dir = slash == NULL ? mem_strdup(".") : mem_strndup(d->path, len == 0 ? 1 : len);
    if (dir == NULL) {
        return SHOAL_ENOMEM;
    }
    enum shoal_err rc = SHOAL_OK;
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) {
        rc = err_errno(why, errno, "sync of directory %s", dir);
    }
    if (fd >= 0) {
        close(fd);
    }
    mem_free(dir);
    return rc;
}

/* The kernel tells each descriptor once when it lost a page it could not write: LMDB's was told
 * by its own sync, ours is told here. */
static bool lost_pages(const struct store_disk *d)
{
    return fdatasync(d->fd) != 0;
}

bool store_disk__is_full(struct store_disk *d)
{
    struct stat st;
    if (lost_pages(d) || fstat(d->fd, &st) != 0) {
        return false;
    }
    /* A file a little longer than its last page is in nobody's way, should this stop half-way. */
    const int failure = posix_fallocate(d->fd, st.st_size, PROBE_BYTES);
    if (failure == 0 && ftruncate(d->fd, st.st_size) != 0) {
        return false;
    }
    return failure == ENOSPC || failure == EDQUOT || failure == EFBIG;
}

uint64_t store_disk__file_bytes_max(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return UINT64_MAX;
    }
    return limit.rlim_cur;
}

enum shoal_err store_disk__reserve_take(struct store_disk *d, struct errbuf *why)
{
    if (d->has_reserve) {
        return SHOAL_OK;
    }
    enum shoal_err rc = allocate(d->reserve_path, STORE_RESERVE_BYTES, why);
    d->has_reserve = rc == SHOAL_OK;
    return rc;
}

bool store_disk__reserve_drop(struct store_disk *d)
{
    const bool had = d->has_reserve;
    d->has_reserve = false;
    return truncate(d->reserve_path, 0) == 0 && had;
}
