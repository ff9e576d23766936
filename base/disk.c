#include "base/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum shoal_err disk_join(char *out, size_t out_len, const char *dir, const char *name)
{
    size_t dir_len = strlen(dir);
    const char *slash = dir_len > 0 && dir[dir_len - 1] == '/' ? "" : "/";
    int n = snprintf(out, out_len, "%s%s%s", dir, slash, name);
    return n >= 0 && (size_t)n < out_len ? SHOAL_OK : SHOAL_ETOOBIG;
}

static enum shoal_err real_make_dir(void *arg, const char *path, struct errbuf *why)
{
    (void)arg;
    char part[DISK_PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof(part)) {
        return err_set(why, SHOAL_EINVAL, "a directory's path has 1 to %d bytes",
                       DISK_PATH_MAX - 1);
    }
    memcpy(part, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (part[i] != '/' && part[i] != '\0') {
            continue;
        }
        char held = part[i];
        part[i] = '\0';
        if (mkdir(part, 0755) != 0 && errno != EEXIST) {
            return err_errno(why, errno, "cannot make the directory %s", part);
        }
        part[i] = held;
    }
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        return err_set(why, SHOAL_EIO, "%s is not a directory", path);
    }
    return SHOAL_OK;
}

static enum shoal_err real_list_dir(void *arg, const char *path,
                                    bool (*each)(void *each_arg, const char *name), void *each_arg,
                                    struct errbuf *why)
{
    (void)arg;
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return err_errno(why, errno, "cannot list %s", path);
    }
    enum shoal_err rc = SHOAL_OK;
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            rc = errno == 0 ? SHOAL_OK : err_errno(why, errno, "cannot list %s", path);
            break;
        }
        bool dots = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        if (!dots && !each(each_arg, entry->d_name)) {
            break;
        }
    }
    closedir(dir);
    return rc;
}

/* Opens, syncs, closes: for files and for directories. */
static enum shoal_err sync_path(const char *path, int flags, struct errbuf *why)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0) {
        return err_errno(why, errno, "cannot open %s", path);
    }
    enum shoal_err rc = fsync(fd) == 0 ? SHOAL_OK : err_errno(why, errno, "cannot sync %s", path);
    close(fd);
    return rc;
}

static enum shoal_err real_sync_file(void *arg, const char *path, struct errbuf *why)
{
    (void)arg;
    return sync_path(path, O_RDWR, why);
}

static enum shoal_err real_sync_dir(void *arg, const char *path, struct errbuf *why)
{
    (void)arg;
    return sync_path(path, O_RDONLY | O_DIRECTORY, why);
}

static enum shoal_err real_rename(void *arg, const char *from, const char *to, struct errbuf *why)
{
    (void)arg;
    return rename(from, to) == 0 ? SHOAL_OK
                                 : err_errno(why, errno, "cannot rename %s to %s", from, to);
}

static enum shoal_err real_remove_file(void *arg, const char *path, struct errbuf *why)
{
    (void)arg;
    return unlink(path) == 0 ? SHOAL_OK : err_errno(why, errno, "cannot remove %s", path);
}

static enum shoal_err write_all(int fd, const char *path, const char *data, size_t len,
                                struct errbuf *why)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return err_errno(why, n == 0 ? ENOSPC : errno, "cannot write %s", path);
        }
        data += n;
        len -= (size_t)n;
    }
    return fsync(fd) == 0 ? SHOAL_OK : err_errno(why, errno, "cannot sync %s", path);
}

static enum shoal_err sync_parent(const char *path, struct errbuf *why)
{
    char dir[DISK_PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);
    if (slash == NULL) {
        return sync_path(".", O_RDONLY | O_DIRECTORY, why);
    }
    memcpy(dir, path, len);
    dir[len] = '\0';
    return sync_path(len == 0 ? "/" : dir, O_RDONLY | O_DIRECTORY, why);
}

static enum shoal_err real_write_whole(void *arg, const char *path, const void *data, size_t len,
                                       struct errbuf *why)
{
    char aside[DISK_PATH_MAX];
    int n = snprintf(aside, sizeof(aside), "%s.tmp", path);
    if (n < 0 || (size_t)n >= sizeof(aside)) {
        return err_set(why, SHOAL_EINVAL, "the path is too long");
    }
    int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        return err_errno(why, errno, "cannot create %s", aside);
    }
    enum shoal_err rc = write_all(fd, aside, data, len, why);
    if (close(fd) != 0 && rc == SHOAL_OK) {
        rc = err_errno(why, errno, "cannot write %s", aside);
    }
    if (rc == SHOAL_OK) {
        rc = real_rename(arg, aside, path, why);
    }
    if (rc != SHOAL_OK) {
        (void)unlink(aside);
        return rc;
    }
    return sync_parent(path, why);
}

static enum shoal_err real_read_whole(void *arg, const char *path, struct buf *out,
                                      struct errbuf *why)
{
    (void)arg;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return err_errno(why, errno, "cannot open %s", path);
    }
    enum shoal_err rc = SHOAL_OK;
    char piece[16384];
    for (;;) {
        ssize_t n = read(fd, piece, sizeof(piece));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            rc = err_errno(why, errno, "cannot read %s", path);
        } else if (n > 0) {
            rc = buf_append(out, piece, (size_t)n);
            if (rc != SHOAL_OK) {
                (void)err_set(why, rc, "%s: %s", path, err_text(rc));
            }
        }
        if (n <= 0 || rc != SHOAL_OK) {
            break;
        }
    }
    close(fd);
    return rc;
}

/* Depth first, by directory descriptors, so that no link is followed on the way. */
static enum shoal_err remove_below(int dir_fd, const char *path, struct errbuf *why)
{
    DIR *dir = fdopendir(dir_fd); /* takes dir_fd over */
    if (dir == NULL) {
        enum shoal_err failed = err_errno(why, errno, "cannot list %s", path);
        close(dir_fd);
        return failed;
    }
    enum shoal_err rc = SHOAL_OK;
    struct dirent *entry;
    while (rc == SHOAL_OK && (entry = readdir(dir)) != NULL) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
            continue;
        }
        int flags = 0;
        int below = openat(dirfd(dir), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (below >= 0) {
            rc = remove_below(below, name, why);
            flags = AT_REMOVEDIR;
        }
        if (rc == SHOAL_OK && unlinkat(dirfd(dir), name, flags) != 0) {
            rc = err_errno(why, errno, "cannot remove %s in %s", name, path);
        }
    }
    closedir(dir);
    return rc;
}

static enum shoal_err real_remove_tree(void *arg, const char *path, struct errbuf *why)
{
    (void)arg;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? SHOAL_OK : err_errno(why, errno, "cannot open %s", path);
    }
    enum shoal_err rc = remove_below(fd, path, why);
    if (rc == SHOAL_OK && rmdir(path) != 0) {
        rc = err_errno(why, errno, "cannot remove %s", path);
    }
    return rc;
}

static enum shoal_err real_size(void *arg, const char *path, uint64_t *bytes_out,
                                struct errbuf *why)
{
    (void)arg;
    struct stat st;
    if (stat(path, &st) != 0) {
        return err_errno(why, errno, "cannot look at %s", path);
    }
    *bytes_out = (uint64_t)st.st_size;
    return SHOAL_OK;
}

static enum shoal_err real_space(void *arg, const char *path, struct disk_space *out,
                                 struct errbuf *why)
{
    (void)arg;
    struct statvfs st;
    if (statvfs(path, &st) != 0) {
        return err_errno(why, errno, "cannot look at the file system of %s", path);
    }
    out->free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
    out->total_bytes = (uint64_t)st.f_blocks * st.f_frsize;
    return SHOAL_OK;
}

const struct disk *disk_real(void)
{
    static const struct disk real = {
        .make_dir = real_make_dir,
        .list_dir = real_list_dir,
        .write_whole = real_write_whole,
        .read_whole = real_read_whole,
        .sync_file = real_sync_file,
        .sync_dir = real_sync_dir,
        .rename = real_rename,
        .remove_file = real_remove_file,
        .remove_tree = real_remove_tree,
        .size = real_size,
        .space = real_space,
    };
    return &real;
}
