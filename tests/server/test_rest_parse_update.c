/* Bodies of updates, and what holds for all bodies: sizes, failing memory. */
#include "tests/server/rest_parse_fixture.h"

static enum shoal_err query(const struct rest_parser *p, struct json_value v, union parsed *out)
{
    return rest_parse_query(p, v, &out->search);
}

static enum shoal_err query_batch(const struct rest_parser *p, struct json_value v,
                                  union parsed *out)
{
    return rest_parse_query_batch(p, v, &out->searches);
}

static enum shoal_err retrieve(const struct rest_parser *p, struct json_value v, union parsed *out)
{
    return rest_parse_retrieve(p, v, &out->retrieve);
}

static enum shoal_err scroll(const struct rest_parser *p, struct json_value v, union parsed *out)
{
    return rest_parse_scroll(p, v, &out->scroll);
}

static enum shoal_err upsert(const struct rest_parser *p, struct json_value v, union parsed *out)
{
    return rest_parse_upsert(p, v, &out->op);
}

static enum shoal_err delete_points(const struct rest_parser *p, struct json_value v,
                                    union parsed *out)
{
    return rest_parse_delete(p, v, &out->op);
}

static enum shoal_err set_payload(const struct rest_parser *p, struct json_value v,
                                  union parsed *out)
{
    return rest_parse_payload(p, v, OP_SET_PAYLOAD, &out->op);
}

static enum shoal_err delete_payload(const struct rest_parser *p, struct json_value v,
                                     union parsed *out)
{
    return rest_parse_delete_payload(p, v, &out->op);
}

static enum shoal_err clear_payload(const struct rest_parser *p, struct json_value v,
                                    union parsed *out)
{
    return rest_parse_clear_payload(p, v, &out->op);
}

static enum shoal_err update_batch(const struct rest_parser *p, struct json_value v,
                                   union parsed *out)
{
    return rest_parse_update_batch(p, v, &out->updates);
}

/* --- updates ---------------------------------------------------------------------------------- */

static void test_upsert_by_points(void **state)
{
    struct fixture *f = *state;
    run_good(f, upsert,
             "{\"points\":[{\"id\":18446744073709551615,\"vector\":[1,2,3],\"payload\":{\"b\": [1 ,"
             "18446744073709551615, \"\\u00e9\"]}},{\"vector\":[4,5,6],\"id\":\"" UUID "\"},"
             "{\"id\":0,\"vector\":{\"\":[7,8,9]},\"payload\":{}}],\"update_mode\":\"upsert\"}");
    const struct op *op = &f->out.op;
    assert_int_equal(op->kind, OP_UPSERT);
    assert_int_equal(op->points_len, 3);
    assert_int_equal(op->dim, DIM);
    assert_id(&op->points[0], point_id_num(UINT64_MAX));
    assert_id(&op->points[1], uuid(UUID));
    assert_id(&op->points[2], point_id_num(0));
    const float rows[3 * DIM] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
    assert_memory_equal(op->vectors, rows, sizeof(rows));
    assert_slice(op->payloads[0], "{\"b\":[1,18446744073709551615,\"\xc3\xa9\"]}");
    assert_int_equal(op->payloads[1].len, 0);
    assert_slice(op->payloads[2], "{}");
    assert_int_equal(op->filter.len, 0);
}

static void test_upsert_by_columns(void **state)
{
    struct fixture *f = *state;
    run_good(f, upsert,
             "{\"batch\":{\"ids\":[1,\"" UUID "\",3],\"vectors\":[[1,2,3],[4,5,6],"
             "[7,8,9]],\"payloads\":[{\"a\":1},null,{\"c\":3}]}}");
    const struct op *op = &f->out.op;
    assert_int_equal(op->points_len, 3);
    assert_id(&op->points[1], uuid(UUID));
    const float rows[3 * DIM] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
    assert_memory_equal(op->vectors, rows, sizeof(rows));
    assert_slice(op->payloads[0], "{\"a\":1}");
    assert_int_equal(op->payloads[1].len, 0);
    assert_slice(op->payloads[2], "{\"c\":3}");
}

static void test_upsert_keeps_repeated_ids_in_order(void **state)
{
    struct fixture *f = *state; /* the shard applies them one after the other */
    run_good(f, upsert,
             "{\"points\":[{\"id\":1,\"vector\":[1,1,1]},{\"id\":1,\"vector\":[2,2,2]}]}");
    assert_int_equal(f->out.op.points_len, 2);
    const float rows[2 * DIM] = { 1, 1, 1, 2, 2, 2 };
    assert_memory_equal(f->out.op.vectors, rows, sizeof(rows));
}

static void test_nothing_to_do_is_allowed(void **state)
{
    struct fixture *f = *state;
    static const struct {
        parse_fn *parse;
        const char *body;
    } cases[] = {
        { upsert, "{\"points\":[]}" },
        { upsert, "{\"batch\":{\"ids\":[],\"vectors\":[],\"payloads\":[]}}" },
        { delete_points, "{\"points\":[]}" },
        { set_payload, "{\"payload\":{},\"points\":[]}" },
        { clear_payload, "{\"points\":[]}" },
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        run_good(f, cases[i].parse, cases[i].body);
        assert_int_equal(f->out.op.points_len, 0);
        assert_int_equal(f->out.op.filter.len, 0);
    }
}

static void test_updates_choose_points(void **state)
{
    struct fixture *f = *state;
    const struct op *op = &f->out.op;
    run_good(f, delete_points, "{\"points\":[5,6]}");
    assert_int_equal(op->kind, OP_DELETE);
    assert_int_equal(op->points_len, 2);
    assert_null(op->payloads);
    run_good(f, delete_points, "{\"filter\":{}}");
    assert_int_equal(op->points_len, 0);
    assert_slice(op->filter, "{}");
    run_good(f, set_payload, "{\"payload\":{\"a\":null,\"b\":2},\"points\":[5],\"key\":null}");
    assert_int_equal(op->kind, OP_SET_PAYLOAD);
    assert_slice(op->payloads[0], "{\"a\":null,\"b\":2}");
    run_good(f, delete_payload, "{\"keys\":[\"a\",\"b.c[]\"],\"filter\":{\"should\":[]}}");
    assert_int_equal(op->kind, OP_DELETE_PAYLOAD);
    assert_slice(op->payloads[0], "[\"a\",\"b.c[]\"]");
    assert_slice(op->filter, "{\"should\":[]}");
    run_good(f, clear_payload, "{\"points\":[5],\"filter\":null}");
    assert_int_equal(op->kind, OP_CLEAR_PAYLOAD);
}

static void test_update_batch_takes_every_kind(void **state)
{
    struct fixture *f = *state;
    run_good(f, update_batch,
             "{\"operations\":[{\"upsert\":{\"points\":[{\"id\":1,\"vector\":[1,2,3]}]}},"
             "{\"delete\":{\"points\":[1]}},{\"set_payload\":{\"payload\":{},\"points\":[1]}},"
             "{\"overwrite_payload\":{\"payload\":{},\"points\":[1]}},"
             "{\"delete_payload\":{\"keys\":[\"a\"],\"points\":[1]}},"
             "{\"clear_payload\":{\"points\":[1]}}]}");
    static const enum op_kind kinds[] = { OP_UPSERT,         OP_DELETE,
                                          OP_SET_PAYLOAD,    OP_OVERWRITE_PAYLOAD,
                                          OP_DELETE_PAYLOAD, OP_CLEAR_PAYLOAD };
    assert_int_equal(f->out.updates.len, LEN(kinds));
    for (size_t i = 0; i < LEN(kinds); i++) {
        assert_int_equal(f->out.updates.ops[i].kind, kinds[i]);
        assert_int_equal(f->out.updates.ops[i].points_len, 1);
    }
}

static void test_bad_upserts_are_refused(void **state)
{
    static const struct bad cases[] = {
        { upsert, "{}", SHOAL_EPARSE, "key \"points\" or \"batch\" is missing" },
        { upsert, "{\"points\":[],\"batch\":{\"ids\":[],\"vectors\":[]}}", SHOAL_EPARSE,
          "give \"points\" or \"batch\", not both" },
        { upsert, "{\"points\":{}}", SHOAL_EPARSE, "points: must be an array, not object" },
        { upsert, "{\"points\":[7]}", SHOAL_EPARSE, "points[0]: must be an object, not integer" },
        { upsert, "{\"points\":[{\"vector\":[1,2,3]}]}", SHOAL_EPARSE,
          "points[0]: key \"id\" is missing" },
        { upsert, "{\"points\":[{\"id\":1}]}", SHOAL_EPARSE,
          "points[0]: key \"vector\" is missing" },
        { upsert, "{\"points\":[{\"id\":1,\"vector\":[1,2,3],\"payloads\":{}}]}", SHOAL_EPARSE,
          "points[0]: unknown key \"payloads\"" },
        { upsert, "{\"points\":[{\"id\":1,\"vector\":[1,2,3]},{\"id\":-1,\"vector\":[1,2,3]}]}",
          SHOAL_EPARSE,
          "points[1]: id: value -1 is not a valid point ID, valid values are either an unsigned "
          "integer or a UUID" },
        { upsert, "{\"points\":[{\"id\":1,\"vector\":[1,2,3]},{\"id\":2,\"vector\":[1,2,3,4]}]}",
          SHOAL_EINVAL, "points[1]: vector: Vector dimension error: expected dim: 3, got 4" },
        { upsert, "{\"points\":[{\"id\":1,\"vector\":[1,2,3]},{\"id\":2,\"vector\":[1,2,1e300]}]}",
          SHOAL_EVALIDATION, "points[1]: vector: component 2 of the vector is infinite" },
        { upsert, "{\"points\":[{\"id\":1,\"vector\":[1,true,3]}]}", SHOAL_EPARSE,
          "points[0]: vector[1]: must be a number, not boolean" },
        { upsert, "{\"points\":[{\"id\":1,\"vector\":{}}]}", SHOAL_EUNSUPPORTED,
          "points[0]: vector: a point without a vector is not supported yet" },
        { upsert, "{\"points\":[{\"id\":1,\"vector\":{\"a\":[1,2,3]}}]}", SHOAL_EINVAL,
          "points[0]: vector: Not existing vector name error: a" },
        { upsert, "{\"points\":[{\"id\":1,\"vector\":{\"\":{\"indices\":[],\"values\":[]}}}]}",
          SHOAL_EUNSUPPORTED, "points[0]: vector: sparse vectors are not supported yet" },
        { upsert, "{\"points\":[{\"id\":1,\"vector\":[1,2,3],\"payload\":[]}]}", SHOAL_EPARSE,
          "points[0]: payload: must be an object, not array" },
        { upsert, "{\"points\":[],\"update_mode\":\"insert_only\"}", SHOAL_EUNSUPPORTED,
          "update_mode: insert_only is not supported yet" },
        { upsert, "{\"points\":[],\"update_mode\":\"x\"}", SHOAL_EPARSE,
          "update_mode: must be upsert, insert_only or update_only" },
        { upsert, "{\"points\":[],\"update_filter\":{}}", SHOAL_EUNSUPPORTED,
          "update_filter: not supported yet; leave it out" },
        { upsert, "{\"batch\":{\"ids\":[1,2],\"vectors\":[[1,2,3]]}}", SHOAL_EINVAL,
          "batch: number of ids and vectors must be equal (2 != 1)" },
        { upsert, "{\"batch\":{\"ids\":[1],\"vectors\":[[1,2,3]],\"payloads\":[]}}", SHOAL_EINVAL,
          "batch: number of ids and payloads must be equal (1 != 0)" },
        { upsert, "{\"batch\":{\"ids\":[1],\"vectors\":[[1,2]]}}", SHOAL_EINVAL,
          "batch: vectors[0]: Vector dimension error: expected dim: 3, got 2" },
        { upsert, "{\"batch\":{\"ids\":[1],\"vectors\":[[1,2,-1e300]]}}", SHOAL_EVALIDATION,
          "batch: vectors[0]: component 2 of the vector is infinite" },
        { upsert, "{\"batch\":{\"ids\":[1],\"vectors\":[[1,2,3]],\"payloads\":[4]}}", SHOAL_EPARSE,
          "batch: payloads[0]: must be an object, not integer" },
        { upsert, "{\"batch\":{\"ids\":[1],\"vectors\":{\"a\":[[1,2,3]]}}}", SHOAL_EINVAL,
          "batch: vectors: Not existing vector name error: a" },
        { upsert, "{\"batch\":{\"ids\":[1],\"vectors\":5}}", SHOAL_EPARSE,
          "batch: vectors: must be an array of vectors, not integer" },
    };
    run_bad(*state, cases, LEN(cases));
}

static void test_bad_updates_are_refused(void **state)
{
    static const struct bad cases[] = {
        { delete_points, "{}", SHOAL_EPARSE, "key \"points\" or \"filter\" is missing" },
        { delete_points, "{\"points\":null,\"filter\":null}", SHOAL_EPARSE,
          "key \"points\" or \"filter\" is missing" },
        { delete_points, "{\"points\":[1],\"filter\":{}}", SHOAL_EPARSE,
          "give \"points\" or \"filter\", not both" },
        { delete_points, "[1,2]", SHOAL_EPARSE, "must be an object, not array" },
        { delete_points, "{\"filter\":{\"must\":[{\"key\":\"a\",\"match\":{\"valu\":1}}]}}",
          SHOAL_EPARSE, "filter: must[0].match.valu: unknown key \"valu\"" },
        { set_payload, "{\"points\":[1]}", SHOAL_EPARSE, "key \"payload\" is missing" },
        { set_payload, "{\"payload\":[],\"points\":[1]}", SHOAL_EPARSE,
          "payload: must be an object, not array" },
        { set_payload, "{\"payload\":{},\"points\":[1],\"key\":\"a\"}", SHOAL_EUNSUPPORTED,
          "key: not supported yet; leave it out" },
        { set_payload, "{\"payload\":{}}", SHOAL_EPARSE,
          "key \"points\" or \"filter\" is missing" },
        { delete_payload, "{\"keys\":\"a\",\"points\":[1]}", SHOAL_EPARSE,
          "keys: an array of keys is expected" },
        { clear_payload, "{\"points\":[\"x\"]}", SHOAL_EPARSE,
          "points[0]: value \"x\" is not a valid point ID, valid values are either an unsigned "
          "integer or a UUID" },
        { update_batch, "{}", SHOAL_EPARSE, "key \"operations\" is missing" },
        { update_batch, "{\"operations\":[{}]}", SHOAL_EPARSE,
          "operations[0]: must have exactly one key, not 0" },
        { update_batch, "{\"operations\":[{\"upsert\":{\"points\":[]},\"delete\":{}}]}",
          SHOAL_EPARSE, "operations[0]: must have exactly one key, not 2" },
        { update_batch, "{\"operations\":[{\"insert\":{}}]}", SHOAL_EPARSE,
          "operations[0]: unknown key \"insert\"" },
        { update_batch, "{\"operations\":[{\"update_vectors\":{\"points\":[]}}]}",
          SHOAL_EUNSUPPORTED,
          "operations[0]: update_vectors: changing vectors alone is not supported yet" },
        { update_batch, "{\"operations\":[{\"upsert\":{\"points\":[{\"id\":1}]}}]}", SHOAL_EPARSE,
          "operations[0]: upsert: points[0]: key \"vector\" is missing" },
    };
    run_bad(*state, cases, LEN(cases));
}

/* A short text must not make us ask for the memory of vectors that it does not hold. */
static void test_room_is_made_for_what_is_there(void **state)
{
    struct fixture *f = *state;
    struct buf body;
    repeat(&body, "{\"points\":[", "{\"id\":1,\"vector\":[1]}", 10000, "]}");
    f->parser.dim = VECTOR_DIM_MAX; /* 2.6 GB of rows */
    assert_int_equal(run(f, upsert, buf_slice(&body)), SHOAL_EINVAL);
    assert_string_equal(f->why.text, "points[0]: vector: Vector dimension error: expected dim: "
                                     "65536, got 1");
    buf_release(&body);
}

static void test_a_full_arena_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct buf body;
    repeat(&body, "{\"points\":[",
           "{\"id\":1,\"vector\":[1,2,3],\"payload\":{\"a\":\"0123456789\"}}", 1000, "]}");
    assert_int_equal(run(f, upsert, buf_slice(&body)), SHOAL_OK);
    size_t needed = f->arena.used;
    size_t refused = 0;
    for (size_t max = 64; max < needed; max += 1009) {
        struct arena small;
        arena_init(&small, max);
        struct rest_parser parser = f->parser;
        parser.arena = &small;
        refused += upsert(&parser, json_root(f->doc), &f->out) == SHOAL_ENOMEM;
        arena_release(&small);
    }
    assert_true(refused > 0);
    buf_release(&body);
}

/* --- all of them -------------------------------------------------------------------------- */

static void test_sizes_are_limited(void **state)
{
    struct fixture *f = *state;
    static const struct {
        parse_fn *parse;
        const char *head, *item, *tail;
        size_t max;
        const char *text;
    } cases[] = {
        { query_batch, "{\"searches\":[", "{}", "]}", REST_BATCH_MAX,
          "1025 searches in one request; send at most 1024 at a time" },
        { update_batch, "{\"operations\":[", "{\"delete\":{\"points\":[]}}", "]}", REST_BATCH_MAX,
          "1025 operations in one request; send at most 1024 at a time" },
        { retrieve, "{\"ids\":[", "1", "]}", OP_POINTS_MAX,
          "65537 ids in one request; send at most 65536 at a time" },
        { delete_points, "{\"points\":[", "1", "]}", OP_POINTS_MAX,
          "65537 ids in one request; send at most 65536 at a time" },
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        struct buf body;
        repeat(&body, cases[i].head, cases[i].item, cases[i].max, cases[i].tail);
        assert_int_equal(run(f, cases[i].parse, buf_slice(&body)), SHOAL_OK);
        buf_release(&body);
        repeat(&body, cases[i].head, cases[i].item, cases[i].max + 1, cases[i].tail);
        assert_int_equal(run(f, cases[i].parse, buf_slice(&body)), SHOAL_ETOOBIG);
        assert_string_equal(f->why.text, cases[i].text);
        buf_release(&body);
    }
}

static void test_every_failed_allocation_is_told(void **state)
{
    struct fixture *f = *state;
    static const struct {
        parse_fn *parse;
        const char *body;
    } cases[] = {
        { query,
          "{\"query\":[1,2,3],\"filter\":{\"must\":[{\"key\":\"a.b\",\"match\":{\"any\":[1,2]}"
          "}]},\"with_payload\":{\"include\":[\"a.b\",\"c[0]\"]}}" },
        { query, "{\"query\":-1}" },
        { query_batch, "{\"searches\":[{\"query\":[1,2,3]},{\"query\":5}]}" },
        { scroll, "{\"filter\":{\"must_not\":{\"is_empty\":{\"key\":\"a\"}}}}" },
        { retrieve, "{\"ids\":[1,2,3],\"with_payload\":[\"a\"]}" },
        { upsert, "{\"points\":[{\"id\":1,\"vector\":[1,2,3],\"payload\":{\"a\":1}}]}" },
        { upsert, "{\"batch\":{\"ids\":[1],\"vectors\":[[1,2,3]],\"payloads\":[{\"a\":1}]}}" },
        { set_payload, "{\"payload\":{\"a\":1},\"filter\":{}}" },
        { delete_payload, "{\"keys\":[\"a\"],\"points\":[1]}" },
        { update_batch, "{\"operations\":[{\"delete\":{\"points\":[1]}}]}" },
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        (void)run(f, cases[i].parse, slice_from_str(cases[i].body));
        enum shoal_err expected = cases[i].parse(&f->parser, json_root(f->doc), &f->out);
        enum shoal_err rc = SHOAL_ENOMEM;
        for (size_t nth = 0; rc == SHOAL_ENOMEM && nth < TEST_ALLOCS_MAX; nth++) {
            size_t live = test_heap_live();
            struct arena arena;
            arena_init(&arena, ARENA_MAX);
            struct rest_parser parser = f->parser;
            parser.arena = &arena;
            test_heap_fail_at(nth);
            rc = cases[i].parse(&parser, json_root(f->doc), &f->out);
            bool failed = test_heap_failed();
            test_heap_fail_never();
            arena_release(&arena);
            assert_int_equal(test_heap_live(), live);
            assert_int_equal(rc, failed ? SHOAL_ENOMEM : expected);
        }
        assert_int_equal(rc, expected);
    }
}

static void test_a_caller_may_not_want_the_text(void **state)
{
    struct fixture *f = *state;
    f->parser.why = NULL;
    assert_int_equal(run(f, query, SLICE_LIT("{\"limit\":0}")), SHOAL_EVALIDATION);
    assert_int_equal(run(f, upsert, SLICE_LIT("{\"points\":[{\"id\":1}]}")), SHOAL_EPARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sizes_are_limited, setup, teardown),
        cmocka_unit_test_setup_teardown(test_upsert_by_points, setup, teardown),
        cmocka_unit_test_setup_teardown(test_upsert_by_columns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_upsert_keeps_repeated_ids_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_to_do_is_allowed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_updates_choose_points, setup, teardown),
        cmocka_unit_test_setup_teardown(test_update_batch_takes_every_kind, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_upserts_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_updates_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_room_is_made_for_what_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_full_arena_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_failed_allocation_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_caller_may_not_want_the_text, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
