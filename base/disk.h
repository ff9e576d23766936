/* Disk: the file system behind a small interface, so that tests can fill it, fail it and count
 * its calls. (LMDB does its own I/O; its crash tests inject at system calls.)
 *
 * All paths are plain strings. Calls block. Threads: any, if the implementation says so;
 * disk_real() does. Errors: SHOAL_EIO, SHOAL_EFULL (no space), SHOAL_ENOTFOUND, SHOAL_EEXISTS,
 * SHOAL_ENOMEM, each with the path in `why`. */
#ifndef SHOAL_BASE_DISK_H
#define SHOAL_BASE_DISK_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Longest path we build, terminator included. */
#define DISK_PATH_MAX 1024

struct disk_space {
    uint64_t free_bytes; /* what an ordinary user may still write */
    uint64_t total_bytes;
};

struct disk {
    /* Creates the directory and its missing parents; existing is fine. */
    enum shoal_err (*make_dir)(void *arg, const char *path, struct errbuf *why);
    /* Names in the directory, without "." and "..", through `each`; stops when it returns false. */
    enum shoal_err (*list_dir)(void *arg, const char *path,
                               bool (*each)(void *each_arg, const char *name), void *each_arg,
                               struct errbuf *why);
    /* Writes aside, syncs, renames over `path`, syncs the directory: after success the content is
     * durable, after failure or a crash the old content stands. */
    enum shoal_err (*write_whole)(void *arg, const char *path, const void *data, size_t len,
                                  struct errbuf *why);
    /* Appends the whole file to `out` (whose max bounds it). */
    enum shoal_err (*read_whole)(void *arg, const char *path, struct buf *out, struct errbuf *why);
    /* Makes an existing file's bytes durable. */
    enum shoal_err (*sync_file)(void *arg, const char *path, struct errbuf *why);
    enum shoal_err (*sync_dir)(void *arg, const char *path, struct errbuf *why);
    /* Replaces `to` if it exists; durable only after sync_dir. */
    enum shoal_err (*rename)(void *arg, const char *from, const char *to, struct errbuf *why);
    enum shoal_err (*remove_file)(void *arg, const char *path, struct errbuf *why);
    /* Removes a directory and all below it; a missing one is fine. Follows no links. */
    enum shoal_err (*remove_tree)(void *arg, const char *path, struct errbuf *why);
    enum shoal_err (*size)(void *arg, const char *path, uint64_t *bytes_out, struct errbuf *why);
    enum shoal_err (*space)(void *arg, const char *path, struct disk_space *out,
                            struct errbuf *why);
    void *arg;
};

/* The real file system. Static, thread-safe. */
const struct disk *disk_real(void);

/* Joins with one '/'. SHOAL_ETOOBIG when it does not fit. */
enum shoal_err disk_join(char *out, size_t out_len, const char *dir, const char *name);

#endif
