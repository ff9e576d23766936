#include "tests/support/dir.h"

#include "base/disk.h"
#include "base/rand.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

int test_dir_make(char *out, size_t out_len)
{
    const char *tmp = getenv("TMPDIR");
    int n = snprintf(out, out_len, "%s/shoal-test-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    return n < 0 || (size_t)n >= out_len || mkdtemp(out) == NULL ? -1 : 0;
}

void test_dir_remove(const char *path)
{
    const struct disk *disk = disk_real();
    struct errbuf why = { 0 };
    if (disk->remove_tree(disk->arg, path, &why) != SHOAL_OK) {
        fprintf(stderr, "%s\n", why.text);
    }
}

uint64_t test_seed(void)
{
    static uint64_t seed;
    static int known;
    if (!known) {
        const char *text = getenv("SHOAL_TEST_SEED");
        seed = text == NULL ? rand_u64(rand_system()) : strtoull(text, NULL, 10);
        known = 1;
        printf("SHOAL_TEST_SEED=%" PRIu64 "\n", seed);
        fflush(stdout);
    }
    return seed;
}
