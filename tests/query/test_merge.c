/* Merging against sorting everything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rand.h"
#include "query/merge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LISTS_MAX 7
#define LIST_LEN_MAX 40

static enum distance order; /* for qsort */

static int compare(const void *a, const void *b)
{
    const struct shard_hit *x = a;
    const struct shard_hit *y = b;
    if (distance_better(order, x->score, y->score)) {
        return -1;
    }
    if (distance_better(order, y->score, x->score)) {
        return 1;
    }
    return point_id_compare(&x->id, &y->id);
}

static void check_one(const struct rand_source *r, enum distance d)
{
    struct shard_hit hits[LISTS_MAX][LIST_LEN_MAX];
    struct shard_hit all[LISTS_MAX * LIST_LEN_MAX];
    struct merge_list lists[LISTS_MAX];
    size_t lists_len = rand_below(r, LISTS_MAX) + 1;
    size_t total = 0;
    uint64_t id = 0;
    order = d;
    for (size_t i = 0; i < lists_len; i++) {
        size_t len = rand_below(r, LIST_LEN_MAX + 1);
        for (size_t k = 0; k < len; k++) {
            /* Few distinct scores, so that ties are common. */
            hits[i][k] = (struct shard_hit){ .id = point_id_num(id++ * 7919 % 1009),
                                             .score = (float)rand_below(r, 12) };
        }
        qsort(hits[i], len, sizeof(hits[i][0]), compare);
        memcpy(all + total, hits[i], len * sizeof(hits[i][0]));
        lists[i] = (struct merge_list){ .hits = hits[i], .len = len };
        total += len;
    }
    qsort(all, total, sizeof(all[0]), compare);
    size_t offset = rand_below(r, 20);
    size_t k = rand_below(r, 50) + 1;
    size_t cursors[2 * LISTS_MAX];
    struct merge_pick picks[50];
    size_t n = merge_top(d, lists, lists_len, offset, k, cursors, picks);
    size_t want = total > offset ? total - offset : 0;
    assert_int_equal(n, want < k ? want : k);
    for (size_t i = 0; i < n; i++) {
        const struct shard_hit *got = &lists[picks[i].list].hits[picks[i].place];
        assert_true(got->score == all[offset + i].score);
        assert_int_equal(point_id_compare(&got->id, &all[offset + i].id), 0);
    }
}

static void test_merge_equals_sorting_everything(void **state)
{
    (void)state;
    struct rand_seeded r;
    rand_seeded_init(&r, 20261124);
    for (int round = 0; round < 2000; round++) {
        check_one(&r.source, round % 2 == 0 ? DISTANCE_COSINE : DISTANCE_EUCLID);
    }
}

static void test_merge_of_nothing_is_empty(void **state)
{
    (void)state;
    struct merge_list lists[2] = { { NULL, 0 }, { NULL, 0 } };
    size_t cursors[4];
    struct merge_pick picks[1];
    assert_int_equal(merge_top(DISTANCE_DOT, lists, 2, 0, 1, cursors, picks), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge_equals_sorting_everything),
        cmocka_unit_test(test_merge_of_nothing_is_empty),
    };
    return cmocka_run_group_tests_name("merge", tests, NULL, NULL);
}
