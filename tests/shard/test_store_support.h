/* What the tests of the store, the log and raft share: a directory of their own, and allocations
 * that fail on demand. Everything is static: each test is one translation unit. */
#ifndef SHOAL_TESTS_SHARD_TEST_STORE_SUPPORT_H
#define SHOAL_TESTS_SHARD_TEST_STORE_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/disk.h"
#include "base/mem.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALLOCS_MAX 10000

struct test_dir {
    char path[DISK_PATH_MAX];
    char file[DISK_PATH_MAX + 32]; /* the file under test */
};

static inline void test_dir_make(struct test_dir *d, const char *under, const char *file)
{
    snprintf(d->path, sizeof(d->path), "%s/shoal-test-XXXXXX", under);
    assert_non_null(mkdtemp(d->path));
    snprintf(d->file, sizeof(d->file), "%s/%s", d->path, file);
}

static inline const char *test_dir_root(void)
{
    const char *root = getenv("TMPDIR");
    return root == NULL ? "/tmp" : root;
}

static inline void test_dir_remove(struct test_dir *d)
{
    const struct disk *disk = disk_real();
    assert_int_equal(disk->remove_tree(disk->arg, d->path, NULL), SHOAL_OK);
}

/* Refuses one allocation, counted from the call on over all threads. */
static _Atomic long test_heap_left = -1;

static inline bool test_heap_may(void *arg, size_t size)
{
    (void)arg;
    (void)size;
    return atomic_load(&test_heap_left) < 0 || atomic_fetch_sub(&test_heap_left, 1) != 0;
}

static const struct mem_hook test_heap_hook = { .may_alloc = test_heap_may };

/* Once, before threads start. */
static inline void test_heap_install(void)
{
    mem_hook_set(&test_heap_hook);
}

static inline void test_heap_fail_at(long nth)
{
    atomic_store(&test_heap_left, nth);
}

/* Whether the failure asked for has happened. */
static inline bool test_heap_fail_never(void)
{
    return atomic_exchange(&test_heap_left, -1) < 0;
}

#endif
