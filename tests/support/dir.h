/* A directory of a test's own, and its seed. */
#ifndef SHOAL_TESTS_SUPPORT_DIR_H
#define SHOAL_TESTS_SUPPORT_DIR_H

#include <stddef.h>
#include <stdint.h>

/* Makes a new directory under $TMPDIR (or /tmp) and writes its path. 0, or -1. */
int test_dir_make(char *out, size_t out_len);
/* Removes it with all below. */
void test_dir_remove(const char *path);

/* SHOAL_TEST_SEED, or a new one; printed once, so that a failure can be repeated. */
uint64_t test_seed(void);

#endif
