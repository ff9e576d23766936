#include "tests/support/heap.h"

#include "base/mem.h"

static size_t left;
static bool armed;
static bool failed;

static bool may_alloc(void *arg, size_t size)
{
    (void)arg;
    (void)size;
    if (!armed) {
        return true;
    }
    if (left-- > 0) {
        return true;
    }
    armed = false;
    failed = true;
    return false;
}

void test_heap_fail_at(size_t nth)
{
    static const struct mem_hook hook = { .may_alloc = may_alloc };
    left = nth;
    armed = true;
    failed = false;
    mem_hook_set(&hook);
}

void test_heap_fail_never(void)
{
    armed = false;
    mem_hook_set(NULL);
}

bool test_heap_failed(void)
{
    return failed;
}

size_t test_heap_live(void)
{
    return mem_live();
}
