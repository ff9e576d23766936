/* Applying: what each kind of operation does and is refused for, and that an operation id counts
 * once. */
#include "tests/shard/test_shard_rig.h"

#include "shard/shard_private.h"

/* --- upsert ----------------------------------------------------------------------------------- */

static void test_upsert_inserts_and_replaces_whole_points(void **state)
{
    struct rig *r = *state;
    const struct point_id id = point_id_num(5);
    assert_int_equal(rig_upsert(r, id, 1, "{\"a\":1}"), 1);
    uint64_t first = rig_expect(r, id, 1, "{\"a\":1}");
    assert_int_equal(rig_upsert(r, id, 2, ""), 1);
    uint64_t second = rig_expect(r, id, 2, "");
    assert_true(second > first);
    assert_int_equal(rig_count(r, ""), 1);
    assert_int_equal(rig_info(r).points, 1);
    assert_int_equal(rig_info(r).growing_rows, 2); /* one of them dead */
    rig_verify(r);
}

static void test_of_two_equal_ids_in_one_upsert_the_later_wins(void **state)
{
    struct rig *r = *state;
    const struct point_id ids[] = { point_id_num(1), point_id_num(2), point_id_num(1) };
    const struct slice payloads[] = { SLICE_LIT("{\"n\":1}"), SLICE_LIT("{\"n\":2}"),
                                      SLICE_LIT("{\"n\":3}") };
    float v[3 * RIG_DIM];
    for (uint32_t i = 0; i < 3; i++) {
        rig_vector(10 + i, v + i * RIG_DIM);
    }
    const struct op op = { .kind = OP_UPSERT,
                           .points_len = 3,
                           .points = ids,
                           .dim = RIG_DIM,
                           .vectors = v,
                           .payloads = payloads };
    assert_int_equal(rig_do(r, &op), 2); /* two points, one of them written twice */
    (void)rig_expect(r, ids[0], 12, "{\"n\":3}");
    (void)rig_expect(r, ids[1], 11, "{\"n\":2}");
    assert_int_equal(rig_count(r, ""), 2);
    rig_verify(r);
}

static void test_unfit_upserts_are_refused_and_leave_no_trace(void **state)
{
    struct rig *r = *state;
    struct errbuf why;
    const struct point_id id = point_id_num(1);
    float v[RIG_DIM + 1] = { 0 };
    struct slice payload = SLICE_LIT("");
    struct op op = { .kind = OP_UPSERT,
                     .points_len = 1,
                     .points = &id,
                     .dim = RIG_DIM + 1,
                     .vectors = v,
                     .payloads = &payload };
    uint64_t applied = rig_info(r).applied_index;
    assert_int_equal(rig_refused(r, &op, &why), SHOAL_EINVAL);
    assert_non_null(strstr(why.text, "dimension"));
    op.dim = RIG_DIM;
    v[1] = NAN;
    assert_int_not_equal(rig_refused(r, &op, &why), SHOAL_OK);
    v[1] = 0;
    payload = SLICE_LIT("[1]");
    assert_int_equal(rig_refused(r, &op, &why), SHOAL_EPARSE);
    assert_int_equal(rig_info(r).applied_index, applied);
    assert_int_equal(rig_count(r, ""), 0);
}

static void test_bytes_that_are_no_operation_are_refused(void **state)
{
    struct rig *r = *state;
    struct shard_written w;
    struct errbuf why = { 0 };
    assert_int_equal(shard_write(r->shard, SLICE_LIT("not an operation at all, by any measure"),
                                 SHARD_VISIBLE, rig_deadline(), &w, &why),
                     SHOAL_EINVAL);
    assert_int_equal(rig_info(r).status, SHARD_GREEN);
    assert_int_equal(rig_upsert(r, point_id_num(1), 1, ""), 1);
}

/* --- delete ----------------------------------------------------------------------------------- */

static void test_delete_by_ids_takes_those_that_are_there(void **state)
{
    struct rig *r = *state;
    rig_upsert_many(r, 1, 5);
    const struct point_id ids[] = { point_id_num(2), point_id_num(9), point_id_num(4),
                                    point_id_num(2) };
    const struct op op = rig_ids_op(OP_DELETE, ids, 4, NULL);
    assert_int_equal(rig_do(r, &op), 2);
    assert_int_equal(rig_do(r, &op), 0);
    rig_expect_none(r, ids[0]);
    (void)rig_expect(r, point_id_num(3), 3, "");
    assert_int_equal(rig_count(r, ""), 3);
    rig_verify(r);
}

static void test_delete_by_filter_takes_what_matches(void **state)
{
    struct rig *r = *state;
    for (uint64_t i = 1; i <= 10; i++) {
        char payload[32];
        snprintf(payload, sizeof(payload), "{\"n\":%" PRIu64 "}", i);
        rig_upsert(r, point_id_num(i), i, payload);
    }
    struct op op = rig_filter_op(OP_DELETE, "{\"must\":[{\"key\":\"n\",\"range\":{\"gt\":6}}]}",
                                 NULL);
    assert_int_equal(rig_do(r, &op), 4);
    assert_int_equal(rig_count(r, ""), 6);
    rig_expect_none(r, point_id_num(7));
    op = rig_filter_op(OP_DELETE, "{\"must\":[{\"has_id\":[1,2,77]}]}", NULL);
    assert_int_equal(rig_do(r, &op), 2);
    op = rig_filter_op(OP_DELETE, "{}", NULL);
    assert_int_equal(rig_do(r, &op), 4);
    assert_int_equal(rig_count(r, ""), 0);
    rig_verify(r);
}

static void test_a_deleted_point_that_comes_back_has_no_old_payload(void **state)
{
    struct rig *r = *state;
    const struct point_id id = point_id_num(3);
    rig_upsert(r, id, 1, "{\"old\":true}");
    assert_int_equal(rig_delete(r, id), 1);
    rig_upsert(r, id, 2, "");
    (void)rig_expect(r, id, 2, "");
}

static void test_sealed_rows_die_too(void **state)
{
    struct rig *r = *state;
    rig_upsert_many(r, 1, 40);
    rig_optimize(r);
    assert_int_equal(rig_info(r).segments, 1);
    assert_int_equal(rig_delete(r, point_id_num(7)), 1);
    assert_int_equal(rig_upsert(r, point_id_num(8), 800, "{}"), 1);
    struct shard_info info = rig_info(r);
    assert_int_equal(info.dead_rows, 2);
    assert_int_equal(info.points, 39);
    for (int i = 0; i < 2; i++) {
        rig_expect_none(r, point_id_num(7));
        (void)rig_expect(r, point_id_num(8), 800, "");
        (void)rig_expect(r, point_id_num(9), 9, "");
        rig_verify(r);
        rig_reopen(r);
    }
    assert_int_equal(rig_info(r).dead_rows, 2);
}

/* --- payloads --------------------------------------------------------------------------------- */

static void test_set_payload_merges_and_null_removes(void **state)
{
    struct rig *r = *state;
    const struct point_id id = point_id_num(1);
    rig_upsert(r, id, 1, "{\"a\":1,\"b\":2}");
    uint64_t before = rig_expect(r, id, 1, "{\"a\":1,\"b\":2}");
    struct slice patch = SLICE_LIT("{\"a\":null,\"c\":[3]}");
    const struct op op = rig_ids_op(OP_SET_PAYLOAD, &id, 1, &patch);
    assert_int_equal(rig_do(r, &op), 1);
    assert_true(rig_expect(r, id, 1, "{\"b\":2,\"c\":[3]}") > before);
    assert_int_equal(rig_info(r).growing_rows, 1); /* the vector stays where it is */
}

static void test_overwrite_clear_and_delete_keys(void **state)
{
    struct rig *r = *state;
    const struct point_id ids[] = { point_id_num(1), rig_uuid(9) };
    rig_upsert(r, ids[0], 1, "{\"a\":1}");
    rig_upsert(r, ids[1], 2, "{\"a\":{\"x\":1,\"y\":2},\"b\":5}");
    struct slice keys = SLICE_LIT("[\"a.x\",\"b\"]");
    struct op op = rig_ids_op(OP_DELETE_PAYLOAD, ids, 2, &keys);
    assert_int_equal(rig_do(r, &op), 2);
    (void)rig_expect(r, ids[0], 1, "{\"a\":1}");
    (void)rig_expect(r, ids[1], 2, "{\"a\":{\"y\":2}}");
    struct slice whole = SLICE_LIT("{\"z\":0}");
    op = rig_ids_op(OP_OVERWRITE_PAYLOAD, ids, 1, &whole);
    assert_int_equal(rig_do(r, &op), 1);
    (void)rig_expect(r, ids[0], 1, "{\"z\":0}");
    op = rig_filter_op(OP_CLEAR_PAYLOAD, "{\"must\":[{\"key\":\"a.y\",\"match\":{\"value\":2}}]}",
                       NULL);
    assert_int_equal(rig_do(r, &op), 1);
    (void)rig_expect(r, ids[1], 2, "");
    rig_verify(r);
}

static void test_payload_operation_on_a_missing_point_changes_nothing(void **state)
{
    static const enum op_kind kinds[] = { OP_SET_PAYLOAD, OP_OVERWRITE_PAYLOAD, OP_CLEAR_PAYLOAD };
    struct rig *r = *state;
    struct errbuf why;
    const struct point_id ids[] = { point_id_num(1), point_id_num(404) };
    struct slice payload = SLICE_LIT("{\"b\":2}");
    rig_upsert(r, ids[0], 1, "{\"a\":1}");
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const struct op op = rig_ids_op(kinds[i], ids, 2, &payload);
        assert_int_equal(rig_refused(r, &op, &why), SHOAL_ENOTFOUND);
        assert_string_equal(why.text, "No point with id 404 found");
    }
    struct slice keys = SLICE_LIT("[\"a\"]");
    const struct op op = rig_ids_op(OP_DELETE_PAYLOAD, ids, 2, &keys);
    assert_int_equal(rig_refused(r, &op, &why), SHOAL_ENOTFOUND);
    (void)rig_expect(r, ids[0], 1, "{\"a\":1}");
    /* By filter there is nothing to miss. */
    const struct op none = rig_filter_op(OP_SET_PAYLOAD, "{\"must\":[{\"has_id\":[404]}]}",
                                         &payload);
    assert_int_equal(rig_do(r, &none), 0);
}

static void test_unfit_payload_operations_are_refused(void **state)
{
    struct rig *r = *state;
    struct errbuf why;
    const struct point_id id = point_id_num(1);
    rig_upsert(r, id, 1, "");
    struct slice bad = SLICE_LIT("7");
    struct op op = rig_ids_op(OP_SET_PAYLOAD, &id, 1, &bad);
    assert_int_equal(rig_refused(r, &op, &why), SHOAL_EPARSE);
    op = rig_ids_op(OP_DELETE_PAYLOAD, &id, 1, &bad);
    assert_int_equal(rig_refused(r, &op, &why), SHOAL_EPARSE);
    op = rig_filter_op(OP_DELETE, "{\"must\":[{\"kee\":1}]}", NULL);
    assert_int_equal(rig_refused(r, &op, &why), SHOAL_EPARSE);
    assert_int_equal(rig_count(r, ""), 1);
}

/* A payload grows by merging, but not without end: the refusal is found before the first change. */
static void test_a_merge_over_the_limit_is_refused_whole(void **state)
{
    struct rig *r = *state;
    struct errbuf why;
    const size_t half = RLOG_ENTRY_MAX / 2 + 1024;
    char *text = malloc(half + 16);
    assert_non_null(text);
    memset(text, 'x', half + 16);
    memcpy(text, "{\"a\":\"", 6);
    memcpy(text + half, "\"}", 2);
    struct slice payload = slice_make(text, half + 2);
    float v[RIG_DIM];
    rig_vector(1, v);
    const struct point_id ids[] = { point_id_num(1), point_id_num(2) };
    rig_upsert(r, ids[0], 1, "");
    const struct op op = { .kind = OP_UPSERT,
                           .points_len = 1,
                           .points = &ids[1],
                           .dim = RIG_DIM,
                           .vectors = v,
                           .payloads = &payload };
    assert_int_equal(rig_do(r, &op), 1);
    text[2] = 'b';
    const struct op set = rig_ids_op(OP_SET_PAYLOAD, ids, 2, &payload);
    assert_int_equal(rig_refused(r, &set, &why), SHOAL_ETOOBIG);
    (void)rig_expect(r, ids[0], 1, "");
    free(text);
}

/* --- the transaction runs again --------------------------------------------------------------- */

/* The map begins at 64 MiB: a batch that meets its end is rolled back and applied anew. */
static void test_a_map_that_grows_applies_each_operation_once(void **state)
{
    enum { TEXT = 900000, POINTS = 90 };
    struct rig *r = *state;
    struct store_stats stats;
    char *text = malloc(TEXT + 1);
    assert_non_null(text);
    memset(text, 'x', TEXT);
    memcpy(text, "{\"t\":\"", 6);
    memcpy(text + TEXT - 2, "\"}", 3);
    rig_upsert_many(r, 1, 200);
    store_stats(state_store(r->shard->state), &stats);
    const uint64_t map_before = stats.map_bytes;
    for (uint64_t i = 1; i <= POINTS; i++) {
        assert_int_equal(rig_upsert(r, point_id_num(i), i, text), 1);
    }
    store_stats(state_store(r->shard->state), &stats);
    assert_true(stats.map_bytes > map_before);
    assert_int_equal(rig_info(r).growing_rows, 200 + POINTS);
    assert_int_equal(rig_info(r).points, 200);
    rig_verify(r);
    rig_reopen(r);
    assert_int_equal(rig_info(r).points, 200);
    (void)rig_expect(r, point_id_num(POINTS), POINTS, text);
    free(text);
}

/* --- operation ids ---------------------------------------------------------------------------- */

static void test_a_retry_applies_once_and_answers_the_same(void **state)
{
    struct rig *r = *state;
    struct shard_written first;
    struct shard_written again;
    struct errbuf why;
    rig_upsert_many(r, 1, 6);
    struct op op = rig_filter_op(OP_DELETE, "{\"must\":[{\"has_id\":[1,2,3]}]}", NULL);
    rig_op_id(r, &op);
    assert_int_equal(rig_write(r, &op, SHARD_VISIBLE, &first, &why), SHOAL_OK);
    assert_int_equal(first.changed, 3);
    rig_upsert_many(r, 1, 3); /* they come back, and a retry must not take them again */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rig_write(r, &op, SHARD_VISIBLE, &again, &why), SHOAL_OK);
        assert_int_equal(again.index, first.index);
        assert_int_equal(again.changed, 3);
        assert_true(again.visible);
        assert_int_equal(rig_write(r, &op, SHARD_DURABLE, &again, &why), SHOAL_OK);
        assert_int_equal(again.index, first.index);
        assert_int_equal(rig_count(r, ""), 6);
        rig_reopen(r);
    }
}

static void test_a_retry_of_a_refused_operation_is_refused_again(void **state)
{
    struct rig *r = *state;
    struct errbuf why;
    const struct point_id id = point_id_num(1);
    struct slice payload = SLICE_LIT("{\"a\":1}");
    struct op op = rig_ids_op(OP_SET_PAYLOAD, &id, 1, &payload);
    rig_op_id(r, &op);
    assert_int_equal(rig_refused(r, &op, &why), SHOAL_ENOTFOUND);
    rig_upsert(r, id, 1, "");
    assert_int_equal(rig_refused(r, &op, &why), SHOAL_ENOTFOUND);
    assert_string_equal(why.text, "No point with id 1 found");
    (void)rig_expect(r, id, 1, "");
}

/* The same operation twice in one batch: both are logged before either is applied. */
static void race_run(void *arg)
{
    struct rig *r = arg;
    struct errbuf why;
    struct shard_written w;
    const struct point_id id = point_id_num(1);
    struct slice patch = SLICE_LIT("{\"n\":1}");
    struct op op = rig_ids_op(OP_OVERWRITE_PAYLOAD, &id, 1, &patch);
    memset(op.id, 0xaa, sizeof(op.id));
    for (int i = 0; i < 20; i++) {
        op.id[0] = (uint8_t)i;
        if (rig_write(r, &op, SHARD_VISIBLE, &w, &why) != SHOAL_OK || w.changed != 1) {
            abort();
        }
    }
}

static void test_retries_that_race_are_applied_once(void **state)
{
    struct rig *r = *state;
    struct thread threads[3] = { 0 };
    rig_upsert(r, point_id_num(1), 1, "");
    struct shard_info before = rig_info(r);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(thread_start(&threads[i], "racer", race_run, r, NULL), SHOAL_OK);
    }
    for (int i = 0; i < 3; i++) {
        thread_join(&threads[i]);
    }
    (void)rig_expect(r, point_id_num(1), 1, "{\"n\":1}");
    assert_true(rig_info(r).applied_index >= before.applied_index + 20);
    rig_verify(r);
}

static void test_a_durable_write_becomes_visible(void **state)
{
    struct rig *r = *state;
    struct shard_written w;
    struct errbuf why;
    float v[RIG_DIM];
    struct slice none = SLICE_LIT("");
    const struct point_id id = point_id_num(77);
    rig_vector(3, v);
    const struct op op = { .kind = OP_UPSERT,
                           .points_len = 1,
                           .points = &id,
                           .dim = RIG_DIM,
                           .vectors = v,
                           .payloads = &none };
    assert_int_equal(rig_write(r, &op, SHARD_DURABLE, &w, &why), SHOAL_OK);
    assert_false(w.visible);
    assert_true(w.index > 0);
    rig_upsert(r, point_id_num(1), 1, ""); /* a later one that is visible */
    assert_int_equal(rig_expect(r, id, 3, ""), w.index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
        TEST(test_upsert_inserts_and_replaces_whole_points),
        TEST(test_of_two_equal_ids_in_one_upsert_the_later_wins),
        TEST(test_unfit_upserts_are_refused_and_leave_no_trace),
        TEST(test_bytes_that_are_no_operation_are_refused),
        TEST(test_delete_by_ids_takes_those_that_are_there),
        TEST(test_delete_by_filter_takes_what_matches),
        TEST(test_a_deleted_point_that_comes_back_has_no_old_payload),
        TEST(test_sealed_rows_die_too),
        TEST(test_set_payload_merges_and_null_removes),
        TEST(test_overwrite_clear_and_delete_keys),
        TEST(test_payload_operation_on_a_missing_point_changes_nothing),
        TEST(test_unfit_payload_operations_are_refused),
        TEST(test_a_merge_over_the_limit_is_refused_whole),
        TEST(test_a_map_that_grows_applies_each_operation_once),
        TEST(test_a_retry_applies_once_and_answers_the_same),
        TEST(test_a_retry_of_a_refused_operation_is_refused_again),
        TEST(test_retries_that_race_are_applied_once),
        TEST(test_a_durable_write_becomes_visible),
#undef TEST
    };
    return cmocka_run_group_tests_name("shard_apply", tests, NULL, NULL);
}
