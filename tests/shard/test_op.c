/* Ops: what is encoded decodes to the same, and only that decodes. */
#include "tests/shard/test_store_support.h"

#include "base/rand.h"
#include "shard/op.h"
#include "shard/rlog.h"

#include <math.h>

#define DIM 3

static const float rows[2 * DIM] = { 1, 0, 0, 0, 0.6f, 0.8f };

static struct op upsert(struct point_id *ids, struct slice *payloads)
{
    ids[0] = point_id_num(42);
    assert_int_equal(point_id_parse(SLICE_LIT("550e8400-e29b-41d4-a716-446655440000"), &ids[1]),
                     SHOAL_OK);
    payloads[0] = SLICE_LIT("{\"a\":1}");
    payloads[1] = slice_make(NULL, 0);
    return (struct op){ .kind = OP_UPSERT,
                        .id = { 1, 2, 3 },
                        .points_len = 2,
                        .points = ids,
                        .dim = DIM,
                        .vectors = rows,
                        .payloads = payloads };
}

static void encode(const struct op *op, struct buf *out)
{
    buf_init(out, RLOG_ENTRY_MAX);
    assert_int_equal(op_encode(out, op), SHOAL_OK);
}

static void assert_same(const struct op *a, const struct op *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_memory_equal(a->id, b->id, OP_ID_LEN);
    assert_int_equal(a->points_len, b->points_len);
    assert_int_equal(a->dim, b->dim);
    for (uint32_t i = 0; i < a->points_len; i++) {
        assert_int_equal(point_id_compare(&a->points[i], &b->points[i]), 0);
    }
    if (a->dim > 0) {
        assert_memory_equal(a->vectors, b->vectors, a->points_len * a->dim * sizeof(float));
    }
    assert_true(slice_equal(a->filter, b->filter));
}

static void test_upsert_comes_back(void **state)
{
    (void)state;
    struct point_id ids[2];
    struct slice payloads[2];
    struct op op = upsert(ids, payloads);
    struct buf b;
    encode(&op, &b);
    for (size_t shift = 0; shift < 3; shift++) { /* also where floats cannot lie */
        char *copy = mem_aligned(b.len + shift);
        memcpy(copy + shift, b.data, b.len);
        struct arena arena;
        arena_init(&arena, 1u << 20);
        struct op back;
        assert_int_equal(op_decode(slice_make(copy + shift, b.len), &arena, &back, NULL), SHOAL_OK);
        assert_same(&op, &back);
        assert_true(slice_equal(back.payloads[0], payloads[0]));
        assert_int_equal(back.payloads[1].len, 0);
        assert_int_equal((uintptr_t)back.vectors % _Alignof(float), 0);
        assert_true(shift > 0 || ((const char *)back.vectors - copy) % 16 == 0);
        assert_int_equal(op_check(&back, DIM, DISTANCE_COSINE, NULL), SHOAL_OK);
        arena_release(&arena);
        mem_free(copy);
    }
    buf_release(&b);
}

static void test_other_kinds_come_back(void **state)
{
    (void)state;
    struct point_id id = point_id_num(UINT64_MAX);
    struct slice payload = SLICE_LIT("{\"k\":null}");
    struct slice keys = SLICE_LIT("[\"k\"]");
    const struct op ops[] = {
        { .kind = OP_DELETE, .points_len = 1, .points = &id },
        { .kind = OP_DELETE, .filter = SLICE_LIT("{}") },
        { .kind = OP_SET_PAYLOAD, .points_len = 1, .points = &id, .payloads = &payload },
        { .kind = OP_OVERWRITE_PAYLOAD, .filter = SLICE_LIT("{}"), .payloads = &payload },
        { .kind = OP_DELETE_PAYLOAD, .points_len = 1, .points = &id, .payloads = &keys },
        { .kind = OP_CLEAR_PAYLOAD, .points_len = 1, .points = &id },
    };
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        struct buf b;
        struct buf again;
        struct arena arena;
        struct op back;
        arena_init(&arena, 1u << 20);
        encode(&ops[i], &b);
        assert_int_equal(op_decode(buf_slice(&b), &arena, &back, NULL), SHOAL_OK);
        assert_same(&ops[i], &back);
        assert_int_equal(op_check(&back, DIM, DISTANCE_DOT, NULL), SHOAL_OK);
        encode(&back, &again);
        assert_true(slice_equal(buf_slice(&b), buf_slice(&again)));
        buf_release(&again);
        buf_release(&b);
        arena_release(&arena);
    }
}

static void test_what_is_no_op_is_not_encoded(void **state)
{
    (void)state;
    struct point_id ids[2];
    struct slice payloads[2];
    struct op good = upsert(ids, payloads);
    struct buf b;
    buf_init(&b, RLOG_ENTRY_MAX);
    struct op bad = good;
    bad.kind = (enum op_kind)9;
    assert_int_equal(op_encode(&b, &bad), SHOAL_EINVAL);
    bad = good;
    bad.points_len = 0;
    assert_int_equal(op_encode(&b, &bad), SHOAL_EINVAL);
    bad = good;
    bad.dim = VECTOR_DIM_MAX + 1;
    assert_int_equal(op_encode(&b, &bad), SHOAL_EINVAL);
    bad = (struct op){ .kind = OP_DELETE };
    assert_int_equal(op_encode(&b, &bad), SHOAL_EINVAL); /* everything, by an oversight? */
    bad.points_len = 1;
    bad.points = ids;
    bad.filter = SLICE_LIT("{}");
    assert_int_equal(op_encode(&b, &bad), SHOAL_EINVAL);
    payloads[0].len = (size_t)RLOG_ENTRY_MAX + 1;
    assert_int_equal(op_encode(&b, &good), SHOAL_ETOOBIG);
    assert_int_equal(b.len, 0);
    buf_release(&b);
}

static void test_damage_is_refused_or_harmless(void **state)
{
    (void)state;
    struct point_id ids[2];
    struct slice payloads[2];
    struct op op = upsert(ids, payloads);
    struct buf b;
    encode(&op, &b);
    struct arena arena;
    arena_init(&arena, 1u << 20);
    struct op back;
    for (size_t len = 0; len < b.len; len++) {
        char *cut = mem_alloc(len == 0 ? 1 : len); /* its own block: a read past it is seen */
        memcpy(cut, b.data, len);
        assert_int_equal(op_decode(slice_make(cut, len), &arena, &back, NULL), SHOAL_ECORRUPT);
        mem_free(cut);
        arena_reset(&arena);
    }
    for (size_t at = 0; at < b.len; at++) {
        for (int bit = 0; bit < 8; bit++) {
            b.data[at] = (char)(b.data[at] ^ (1 << bit));
            enum shoal_err rc = op_decode(buf_slice(&b), &arena, &back, NULL);
            if (rc == SHOAL_OK) { /* then it is another op, in its only encoding */
                struct buf again;
                encode(&back, &again);
                assert_true(slice_equal(buf_slice(&b), buf_slice(&again)));
                buf_release(&again);
            } else {
                assert_true(rc == SHOAL_ECORRUPT || rc == SHOAL_EUNSUPPORTED);
            }
            b.data[at] = (char)(b.data[at] ^ (1 << bit));
            arena_reset(&arena);
        }
    }
    b.data[4] = 2;
    assert_int_equal(op_decode(buf_slice(&b), &arena, &back, NULL), SHOAL_EUNSUPPORTED);
    arena_release(&arena);
    buf_release(&b);
}

static void test_check_holds_points_to_the_schema(void **state)
{
    (void)state;
    struct point_id ids[2];
    struct slice payloads[2];
    struct op op = upsert(ids, payloads);
    struct errbuf why = { 0 };
    assert_int_equal(op_check(&op, DIM, DISTANCE_COSINE, &why), SHOAL_OK);
    assert_int_equal(op_check(&op, DIM + 1, DISTANCE_DOT, &why), SHOAL_EINVAL);
    assert_string_equal(why.text, "Vector dimension error: expected dim: 4, got 3");
    float bad[2 * DIM];
    const float unfit[] = { NAN, INFINITY, -INFINITY, 2e18f };
    for (size_t i = 0; i < sizeof(unfit) / sizeof(unfit[0]); i++) {
        memcpy(bad, rows, sizeof(bad));
        bad[4] = unfit[i];
        op.vectors = bad;
        assert_int_equal(op_check(&op, DIM, DISTANCE_DOT, &why), SHOAL_EVALIDATION);
        assert_non_null(strstr(why.text, "550e8400-e29b-41d4-a716-446655440000 (number 2"));
    }
    memcpy(bad, rows, sizeof(bad));
    bad[0] = 2;
    assert_int_equal(op_check(&op, DIM, DISTANCE_DOT, &why), SHOAL_OK);
    assert_int_equal(op_check(&op, DIM, DISTANCE_COSINE, &why), SHOAL_EVALIDATION);
    op.vectors = rows;
    payloads[0] = SLICE_LIT("[1]");
    assert_int_equal(op_check(&op, DIM, DISTANCE_DOT, &why), SHOAL_EPARSE);
    assert_non_null(strstr(why.text, "array where an object is expected"));
    payloads[0] = SLICE_LIT("{");
    assert_int_equal(op_check(&op, DIM, DISTANCE_DOT, &why), SHOAL_EPARSE);
    struct op filtered = { .kind = OP_DELETE, .filter = SLICE_LIT("{\"must\":[{\"key\":\"a\"}]}") };
    assert_int_equal(op_check(&filtered, DIM, DISTANCE_DOT, &why), SHOAL_EVALIDATION);
}

static void test_decode_survives_each_failed_allocation(void **state)
{
    (void)state;
    struct point_id ids[2];
    struct slice payloads[2];
    struct op op = upsert(ids, payloads);
    struct buf b;
    encode(&op, &b);
    size_t live = mem_live();
    enum shoal_err rc = SHOAL_ENOMEM;
    for (long nth = 0; rc == SHOAL_ENOMEM && nth < ALLOCS_MAX; nth++) {
        struct arena arena;
        struct op back;
        arena_init(&arena, 1u << 20);
        test_heap_fail_at(nth);
        rc = op_decode(buf_slice(&b), &arena, &back, NULL);
        (void)test_heap_fail_never();
        arena_release(&arena);
        assert_int_equal(mem_live(), live);
    }
    assert_int_equal(rc, SHOAL_OK);
    buf_release(&b);
}

int main(void)
{
    test_heap_install();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upsert_comes_back),
        cmocka_unit_test(test_other_kinds_come_back),
        cmocka_unit_test(test_what_is_no_op_is_not_encoded),
        cmocka_unit_test(test_damage_is_refused_or_harmless),
        cmocka_unit_test(test_check_holds_points_to_the_schema),
        cmocka_unit_test(test_decode_survives_each_failed_allocation),
    };
    return cmocka_run_group_tests_name("op", tests, NULL, NULL);
}
