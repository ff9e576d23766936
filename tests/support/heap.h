/* The heap under test: count what is live, and make a chosen allocation fail. Built on the hook of
 * base/mem.h; for tests with one thread at a time. */
#ifndef SHOAL_TESTS_SUPPORT_HEAP_H
#define SHOAL_TESTS_SUPPORT_HEAP_H

#include <stdbool.h>
#include <stddef.h>

/* More allocations than any one call under test makes. */
#define TEST_ALLOCS_MAX 20000

/* The n-th allocation from now on fails (0: the next), once. */
void test_heap_fail_at(size_t nth);
void test_heap_fail_never(void);
/* True when the failure that was asked for has happened. */
bool test_heap_failed(void);
/* Blocks that are allocated and not yet freed. */
size_t test_heap_live(void);

#endif
