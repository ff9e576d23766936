/* Bodies of searches and reads: what is understood, what is refused, and in which words. */
#include "tests/server/rest_parse_fixture.h"

static enum shoal_err query(const struct rest_parser *p, struct json_value v, union parsed *out)
{
    return rest_parse_query(p, v, &out->search);
}

static enum shoal_err legacy(const struct rest_parser *p, struct json_value v, union parsed *out)
{
    return rest_parse_legacy(p, v, &out->search);
}

static enum shoal_err query_batch(const struct rest_parser *p, struct json_value v,
                                  union parsed *out)
{
    return rest_parse_query_batch(p, v, &out->searches);
}

static enum shoal_err legacy_batch(const struct rest_parser *p, struct json_value v,
                                   union parsed *out)
{
    return rest_parse_legacy_batch(p, v, &out->searches);
}

static enum shoal_err retrieve(const struct rest_parser *p, struct json_value v, union parsed *out)
{
    return rest_parse_retrieve(p, v, &out->retrieve);
}

static enum shoal_err scroll(const struct rest_parser *p, struct json_value v, union parsed *out)
{
    return rest_parse_scroll(p, v, &out->scroll);
}

static enum shoal_err count(const struct rest_parser *p, struct json_value v, union parsed *out)
{
    return rest_parse_count(p, v, &out->count);
}

static enum shoal_err upsert(const struct rest_parser *p, struct json_value v, union parsed *out)
{
    return rest_parse_upsert(p, v, &out->op);
}

/* --- searches --------------------------------------------------------------------------------- */

static void test_query_has_defaults(void **state)
{
    struct fixture *f = *state;
    run_good(f, query, "{}");
    const struct rest_search *s = &f->out.search;
    assert_int_equal(s->kind, REST_QUERY_NONE);
    assert_int_equal(s->limit, 10);
    assert_int_equal(s->offset, 0);
    assert_int_equal(s->payload.kind, REST_SELECT_NONE);
    assert_false(s->with_vector);
    assert_false(s->has_threshold);
    assert_int_equal(s->filter.len, 0);
}

static void test_query_takes_everything(void **state)
{
    struct fixture *f = *state;
    run_good(
        f, query,
        "{\"query\":[1,-2.5,3e-1],\"using\":\"\",\"prefetch\":[],\"filter\":{\"must\":[{\"key\":"
        "\"a\", \"match\":{\"value\":1}}]},\"params\":{\"hnsw_ef\":99,\"exact\":true,"
        "\"indexed_only\":true,\"quantization\":{\"ignore\":true},\"acorn\":{}},\"limit\":7,"
        "\"offset\":4294967295,\"score_threshold\":-0.5,\"with_payload\":[\"a\"],"
        "\"with_vector\":[\"\"],\"lookup_from\":null,\"shard_key\":null}");
    const struct rest_search *s = &f->out.search;
    assert_int_equal(s->kind, REST_QUERY_VECTOR);
    const float expected[DIM] = { 1, -2.5f, 0.3f };
    assert_memory_equal(s->vector, expected, sizeof(expected));
    assert_slice(s->filter, "{\"must\":[{\"key\":\"a\",\"match\":{\"value\":1}}]}");
    assert_int_equal(s->ef, 99);
    assert_true(s->exact && s->indexed_only && s->has_threshold && s->with_vector);
    assert_int_equal(s->limit, 7);
    assert_int_equal(s->offset, UINT32_MAX);
    assert_true(s->threshold < -0.49f && s->threshold > -0.51f);
    assert_int_equal(s->payload.kind, REST_SELECT_INCLUDE);
}

static void test_nulls_count_as_absent(void **state)
{
    struct fixture *f = *state;
    run_good(f, query,
             "{\"query\":null,\"using\":null,\"prefetch\":null,\"filter\":null,\"params\":null,"
             "\"limit\":null,\"offset\":null,\"score_threshold\":null,\"with_payload\":null,"
             "\"with_vector\":null}");
    assert_int_equal(f->out.search.kind, REST_QUERY_NONE);
    assert_int_equal(f->out.search.limit, 10);
    run_good(f, query, "{\"params\":{\"hnsw_ef\":null,\"exact\":null,\"idf\":null}}");
    assert_int_equal(f->out.search.ef, 0);
    run_good(f, scroll, "{\"offset\":null,\"limit\":null,\"order_by\":null}");
    assert_false(f->out.scroll.has_offset);
    assert_int_equal(f->out.scroll.limit, 10);
    run_good(f, upsert,
             "{\"points\":[{\"id\":1,\"vector\":[1,2,3],\"payload\":null}],"
             "\"batch\":null,\"update_mode\":null,\"update_filter\":null}");
    assert_int_equal(f->out.op.payloads[0].len, 0);
}

static void test_ids_are_exact(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text;
        uint64_t num;
    } nums[] = {
        { "0", 0 },
        { "9007199254740993", UINT64_C(9007199254740993) }, /* 2^53 + 1: no double */
        { "9223372036854775808", UINT64_C(9223372036854775808) },
        { "18446744073709551615", UINT64_MAX },
    };
    for (size_t i = 0; i < LEN(nums); i++) {
        char body[128];
        snprintf(body, sizeof(body), "{\"query\":%s}", nums[i].text);
        run_good(f, query, body);
        assert_int_equal(f->out.search.kind, REST_QUERY_ID);
        assert_id(&f->out.search.id, point_id_num(nums[i].num));
    }
    static const char *const forms[] = { UUID, "550E8400E29B41D4A716446655440000", "urn:uuid:" UUID,
                                         "{" UUID "}" };
    for (size_t i = 0; i < LEN(forms); i++) {
        char body[128];
        snprintf(body, sizeof(body), "{\"query\":{\"nearest\":\"%s\"}}", forms[i]);
        run_good(f, query, body);
        assert_id(&f->out.search.id, uuid(UUID));
    }
}

static void test_vectors_come_in_every_form(void **state)
{
    struct fixture *f = *state;
    const float expected[DIM] = { 1, 2, 3 };
    static const char *const queries[] = {
        "{\"query\":[1,2,3]}",
        "{\"query\":{\"nearest\":[1,2,3]}}",
        "{\"query\":{\"nearest\":[1.0,2e0,3],\"mmr\":null}}",
    };
    for (size_t i = 0; i < LEN(queries); i++) {
        run_good(f, query, queries[i]);
        assert_memory_equal(f->out.search.vector, expected, sizeof(expected));
    }
    static const char *const legacies[] = {
        "{\"vector\":[1,2,3],\"limit\":3}",
        "{\"vector\":{\"name\":\"\",\"vector\":[1,2,3]},\"top\":3}",
    };
    for (size_t i = 0; i < LEN(legacies); i++) {
        run_good(f, legacy, legacies[i]);
        assert_memory_equal(f->out.search.vector, expected, sizeof(expected));
        assert_int_equal(f->out.search.limit, 3);
    }
    static const char *const upserts[] = {
        "{\"points\":[{\"id\":1,\"vector\":[1,2,3]}]}",
        "{\"points\":[{\"id\":1,\"vectors\":{\"\":[1,2,3]}}]}",
        "{\"batch\":{\"ids\":[1],\"vectors\":[[1,2,3]]}}",
        "{\"batch\":{\"ids\":[1],\"vectors\":{\"\":[[1,2,3]]},\"payloads\":null}}",
    };
    for (size_t i = 0; i < LEN(upserts); i++) {
        run_good(f, upsert, upserts[i]);
        assert_int_equal(f->out.op.points_len, 1);
        assert_int_equal(f->out.op.dim, DIM);
        assert_memory_equal(f->out.op.vectors, expected, sizeof(expected));
        assert_int_equal(f->out.op.payloads[0].len, 0);
    }
}

static void test_bad_searches_are_refused(void **state)
{
    static const struct bad cases[] = {
        { query, "[]", SHOAL_EPARSE, "must be an object, not array" },
        { query, "{\"limt\":3}", SHOAL_EPARSE, "unknown key \"limt\"" },
        { query, "{\"limit\":3,\"limit\":4}", SHOAL_EPARSE, "key \"limit\" is given twice" },
        { query, "{\"with_vector\":true,\"with_vectors\":true}", SHOAL_EPARSE,
          "key \"with_vector\" is given twice" },
        { query, "{\"limit\":0}", SHOAL_EVALIDATION,
          "limit: value 0 invalid, must be 1 or larger" },
        { query, "{\"limit\":-3}", SHOAL_EVALIDATION,
          "limit: value -3 invalid, must be 1 or larger" },
        { query, "{\"limit\":4294967296}", SHOAL_EVALIDATION,
          "limit: value 4294967296 invalid, must be 4294967295 or smaller" },
        { query, "{\"limit\":1.5}", SHOAL_EPARSE, "limit: must be a whole number, not number" },
        { query, "{\"offset\":\"1\"}", SHOAL_EPARSE, "offset: must be a whole number, not string" },
        { query, "{\"params\":{\"hnsw_ef\":0}}", SHOAL_EVALIDATION,
          "params: hnsw_ef: value 0 invalid, must be 1 or larger" },
        { query, "{\"params\":{\"exact\":1}}", SHOAL_EPARSE,
          "params: exact: must be true or false, not integer" },
        { query, "{\"params\":{\"idf\":\"global\"}}", SHOAL_EUNSUPPORTED,
          "params: idf: not supported yet; leave it out" },
        { query, "{\"using\":\"image\"}", SHOAL_EINVAL,
          "using: Not existing vector name error: image" },
        { query, "{\"using\":3}", SHOAL_EPARSE, "using: must be a string, not integer" },
        { query, "{\"with_vector\":[\"\",\"a\"]}", SHOAL_EINVAL,
          "with_vector[1]: Not existing vector name error: a" },
        { query, "{\"prefetch\":{\"query\":[1,2,3]}}", SHOAL_EUNSUPPORTED,
          "prefetch: queries in several stages are not supported yet" },
        { query, "{\"lookup_from\":{\"collection\":\"c\"}}", SHOAL_EUNSUPPORTED,
          "lookup_from: not supported yet; leave it out" },
        { query, "{\"shard_key\":\"a\"}", SHOAL_EUNSUPPORTED,
          "shard_key: not supported yet; leave it out" },
        { query, "{\"score_threshold\":0.5}", SHOAL_EINVAL,
          "score_threshold needs a query to score by" },
        { query, "{\"query\":[1,2,3],\"score_threshold\":\"x\"}", SHOAL_EPARSE,
          "score_threshold: must be a number, not string" },
        { query, "{\"query\":[1,2,3],\"score_threshold\":1e39}", SHOAL_EVALIDATION,
          "score_threshold: value 1e+39 invalid, must fit a 32-bit float" },
        { query, "{\"filter\":{\"must\":[{\"key\":\"a\"}]}}", SHOAL_EVALIDATION,
          "filter: must[0]: At least one field condition must be specified" },
        { legacy, "{\"limit\":3}", SHOAL_EPARSE, "key \"vector\" is missing" },
        { legacy, "{\"vector\":[1,2,3]}", SHOAL_EPARSE, "key \"limit\" is missing" },
        { legacy, "{\"vector\":[1,2,3],\"limit\":1,\"top\":2}", SHOAL_EPARSE,
          "key \"limit\" is given twice" },
        { legacy, "{\"vector\":{\"name\":\"a\",\"vector\":[1,2,3]},\"limit\":1}", SHOAL_EINVAL,
          "vector: name: Not existing vector name error: a" },
        { legacy, "{\"vector\":5,\"limit\":1}", SHOAL_EPARSE,
          "vector: must be an array of numbers, not integer" },
        { query_batch, "{}", SHOAL_EPARSE, "key \"searches\" is missing" },
        { query_batch, "{\"searches\":{}}", SHOAL_EPARSE,
          "searches: must be an array, not object" },
        { query_batch, "{\"searches\":[{},{\"limit\":0}]}", SHOAL_EVALIDATION,
          "searches[1]: limit: value 0 invalid, must be 1 or larger" },
        { legacy_batch, "{\"searches\":[{\"vector\":[1],\"limit\":1}]}", SHOAL_EINVAL,
          "searches[0]: vector: Vector dimension error: expected dim: 3, got 1" },
    };
    run_bad(*state, cases, LEN(cases));
}

static void test_bad_queries_are_refused(void **state)
{
    static const struct bad cases[] = {
        { query, "{\"query\":[1,2]}", SHOAL_EINVAL,
          "query: Vector dimension error: expected dim: 3, got 2" },
        { query, "{\"query\":[]}", SHOAL_EINVAL,
          "query: Vector dimension error: expected dim: 3, got 0" },
        { query, "{\"query\":[1,\"2\",3]}", SHOAL_EPARSE,
          "query[1]: must be a number, not string" },
        { query, "{\"query\":[1,null,3]}", SHOAL_EPARSE, "query[1]: must be a number, not null" },
        { query, "{\"query\":[1,1e300,3]}", SHOAL_EVALIDATION,
          "query: component 1 of the vector is infinite" },
        { query, "{\"query\":[[1,2,3]]}", SHOAL_EUNSUPPORTED,
          "query: multivectors are not supported yet" },
        { query, "{\"query\":{\"indices\":[1],\"values\":[1]}}", SHOAL_EUNSUPPORTED,
          "query: sparse vectors are not supported yet" },
        { query, "{\"query\":{\"text\":\"x\",\"model\":\"m\"}}", SHOAL_EUNSUPPORTED,
          "query: vectors made from a document, an image or an object are not supported yet; send "
          "the vector itself" },
        { query, "{\"query\":{\"recommend\":{\"positive\":[1]}}}", SHOAL_EUNSUPPORTED,
          "query: recommend queries are not supported yet" },
        { query, "{\"query\":{\"fusion\":\"rrf\"}}", SHOAL_EUNSUPPORTED,
          "query: fusion queries are not supported yet" },
        { query, "{\"query\":{\"nearest\":[1,2,3],\"mmr\":{}}}", SHOAL_EUNSUPPORTED,
          "query: mmr: not supported yet; leave it out" },
        { query, "{\"query\":{\"nearest\":null}}", SHOAL_EPARSE,
          "query: key \"nearest\" is missing" },
        { query, "{\"query\":-1}", SHOAL_EPARSE,
          "query: value -1 is not a valid point ID, valid values are either an unsigned integer or "
          "a UUID" },
        { query, "{\"query\":2e19}", SHOAL_EPARSE,
          "query: value 2e+19 is not a valid point ID, valid values are either an "
          "unsigned integer or a UUID" },
        { query, "{\"query\":\"42\"}", SHOAL_EPARSE,
          "query: value \"42\" is not a valid point ID, valid values are either an unsigned "
          "integer "
          "or a UUID" },
        { query, "{\"query\":true}", SHOAL_EPARSE,
          "query: value true is not a valid point ID, valid values are either an unsigned integer "
          "or a UUID" },
    };
    run_bad(*state, cases, LEN(cases));
}

static void test_a_zero_vector_has_no_direction(void **state)
{
    struct fixture *f = *state;
    const char *body = "{\"query\":[0,0,0]}";
    assert_int_equal(run(f, query, slice_from_str(body)), SHOAL_EVALIDATION);
    f->parser.distance = DISTANCE_EUCLID;
    run_good(f, query, body);
}

static void test_batches_keep_their_order(void **state)
{
    struct fixture *f = *state;
    run_good(f, query_batch, "{\"searches\":[{\"limit\":1},{\"query\":[1,2,3]},{\"query\":5}]}");
    const struct rest_searches *s = &f->out.searches;
    assert_int_equal(s->len, 3);
    assert_int_equal(s->list[0].limit, 1);
    assert_int_equal(s->list[1].kind, REST_QUERY_VECTOR);
    assert_int_equal(s->list[2].kind, REST_QUERY_ID);
    run_good(f, legacy_batch, "{\"searches\":[]}");
    assert_int_equal(f->out.searches.len, 0);
}

/* --- reads ------------------------------------------------------------------------------------ */

static void test_retrieve_keeps_order_and_repeats(void **state)
{
    struct fixture *f = *state;
    run_good(f, retrieve,
             "{\"ids\":[7,\"" UUID "\",7],\"with_payload\":true,\"with_vector\":true}");
    const struct rest_retrieve *r = &f->out.retrieve;
    assert_int_equal(r->ids_len, 3);
    assert_id(&r->ids[0], point_id_num(7));
    assert_id(&r->ids[1], uuid(UUID));
    assert_id(&r->ids[2], point_id_num(7));
    assert_int_equal(r->payload.kind, REST_SELECT_ALL);
    assert_true(r->with_vector);
    run_good(f, retrieve, "{\"ids\":[]}");
    assert_int_equal(r->ids_len, 0);
    assert_int_equal(r->payload.kind, REST_SELECT_NONE);
}

static void test_scroll_and_count(void **state)
{
    struct fixture *f = *state;
    run_good(f, scroll, "{}");
    assert_int_equal(f->out.scroll.limit, 10);
    assert_int_equal(f->out.scroll.payload.kind, REST_SELECT_ALL);
    assert_false(f->out.scroll.has_offset || f->out.scroll.with_vector);
    run_good(f, scroll,
             "{\"offset\":18446744073709551615,\"limit\":3,\"filter\":{},"
             "\"with_payload\":false,\"with_vectors\":true}");
    assert_true(f->out.scroll.has_offset && f->out.scroll.with_vector);
    assert_id(&f->out.scroll.offset, point_id_num(UINT64_MAX));
    assert_slice(f->out.scroll.filter, "{}");
    assert_int_equal(f->out.scroll.payload.kind, REST_SELECT_NONE);
    run_good(f, count, "{\"filter\":{\"must\":{\"has_id\":[1]}},\"exact\":false}");
    assert_slice(f->out.count.filter, "{\"must\":{\"has_id\":[1]}}");
}

static void test_bad_reads_are_refused(void **state)
{
    static const struct bad cases[] = {
        { retrieve, "{}", SHOAL_EPARSE, "key \"ids\" is missing" },
        { retrieve, "{\"ids\":5}", SHOAL_EPARSE, "ids: must be an array, not integer" },
        { retrieve, "{\"ids\":[1,{}]}", SHOAL_EPARSE,
          "ids[1]: must be an unsigned integer or a UUID, not object" },
        { retrieve, "{\"ids\":[1,-7]}", SHOAL_EPARSE,
          "ids[1]: value -7 is not a valid point ID, valid values are either an unsigned integer "
          "or "
          "a UUID" },
        { retrieve, "{\"ids\":[1],\"with_payload\":3}", SHOAL_EPARSE,
          "with_payload: must be a boolean, an array or an object, not integer" },
        { scroll, "{\"order_by\":\"a\"}", SHOAL_EUNSUPPORTED,
          "order_by: not supported yet; leave it out" },
        { scroll, "{\"limit\":0}", SHOAL_EVALIDATION,
          "limit: value 0 invalid, must be 1 or larger" },
        { scroll, "{\"offset\":1.5}", SHOAL_EPARSE,
          "offset: value 1.5 is not a valid point ID, valid values are either an unsigned integer "
          "or a UUID" },
        { scroll, "{\"filter\":{\"most\":[]}}", SHOAL_EPARSE,
          "filter: most: unknown key \"most\"" },
        { count, "{\"exact\":\"yes\"}", SHOAL_EPARSE, "exact: must be true or false, not string" },
    };
    run_bad(*state, cases, LEN(cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_query_has_defaults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_query_takes_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nulls_count_as_absent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ids_are_exact, setup, teardown),
        cmocka_unit_test_setup_teardown(test_vectors_come_in_every_form, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_searches_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_queries_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_zero_vector_has_no_direction, setup, teardown),
        cmocka_unit_test_setup_teardown(test_batches_keep_their_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_retrieve_keeps_order_and_repeats, setup, teardown),
        cmocka_unit_test_setup_teardown(test_scroll_and_count, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_reads_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
