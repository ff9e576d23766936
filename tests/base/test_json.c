/* JSON: what is read is what was written, and what is no JSON is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/rand.h"
#include "tests/support/dir.h"
#include "tests/support/heap.h"

#include <math.h>
#include <string.h>

static struct json_doc *parse(const char *text)
{
    struct json_doc *doc = NULL;
    struct errbuf why = { 0 };
    if (json_parse(slice_from_str(text), &doc, &why) != SHOAL_OK) {
        fail_msg("%s: %s", text, why.text);
    }
    return doc;
}

static void check_prints(const char *text, const char *want)
{
    struct json_doc *doc = parse(text);
    struct buf out;
    buf_init(&out, 1u << 20);
    assert_int_equal(json_print(json_root(doc), &out), SHOAL_OK);
    assert_string_equal(buf_cstr(&out), want);
    buf_release(&out);
    json_free(doc);
}

static void test_values_print_as_they_were(void **state)
{
    (void)state;
    check_prints(" { \"a\" : [ 1 , -2 , 3.5 , true , false , null , \"x\" ] } ",
                 "{\"a\":[1,-2,3.5,true,false,null,\"x\"]}");
    check_prints("18446744073709551615", "18446744073709551615");
    check_prints("-9223372036854775808", "-9223372036854775808");
    check_prints("1.0", "1.0");
    check_prints("1e3", "1000.0");
    check_prints("\"\\u00e9\\n\\\"\\\\\\u0000\"", "\"\xc3\xa9\\n\\\"\\\\\\u0000\"");
    check_prints("{}", "{}");
    check_prints("[[],{},[{}]]", "[[],{},[{}]]");
    check_prints("{\"b\":1,\"a\":2,\"b\":3}", "{\"b\":1,\"a\":2,\"b\":3}");
}

static void test_what_is_no_json_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "}",
        "[1,]",
        "{\"a\":}",
        "{\"a\" 1}",
        "01",
        "1.",
        ".5",
        "+1",
        "nul",
        "tru",
        "\"\x01\"",
        "\"\\x\"",
        "\"a",
        "[1 2]",
        "{\"a\":1,}",
        "1 2",
        "NaN",
        "Infinity",
        "1e999",
        "'a'",
        "[1]x",
        "\"\\ud800\"",
        "{1:2}",
        "\xff",
        "\"\xc3\"",
        "-",
        "[\"a\"",
        "\"\xed\xa0\x80\"",
        "18446744073709551616",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct json_doc *doc = NULL;
        struct errbuf why = { 0 };
        assert_int_equal(json_parse(slice_from_str(bad[i]), &doc, &why), SHOAL_EPARSE);
        assert_null(doc);
        assert_true(strlen(why.text) > 0);
    }
}

static void test_every_truncation_is_refused(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":[1,2.5,\"x\\n\",{\"b\":null}],\"c\":true}";
    for (size_t len = 0; len < sizeof(text) - 1; len++) {
        struct json_doc *doc = NULL;
        assert_int_equal(json_parse(slice_make(text, len), &doc, NULL), SHOAL_EPARSE);
    }
}

static void check_depth(size_t depth, enum shoal_err want)
{
    char text[1024];
    assert_true(2 * depth < sizeof(text));
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    struct json_doc *doc = NULL;
    assert_int_equal(json_parse(slice_make(text, 2 * depth), &doc, NULL), want);
    json_free(doc);
}

static void test_nesting_is_bounded(void **state)
{
    (void)state;
    check_depth(100, SHOAL_OK);
    check_depth(JSON_DEPTH_MAX - 1, SHOAL_OK);
    check_depth(JSON_DEPTH_MAX + 1, SHOAL_EPARSE);
    check_depth(500, SHOAL_EPARSE);
}

static void test_numbers_are_strict_by_kind(void **state)
{
    (void)state;
    struct json_doc *doc = parse("[5, -5, 5.0, \"5\", 9223372036854775808]");
    struct json_iter it = json_iter(json_root(doc));
    struct json_value v;
    uint64_t u = 0;
    int64_t i = 0;
    double d = 0;
    assert_true(json_next(&it, NULL, &v));
    assert_int_equal(json_kind(v), JSON_U64);
    assert_true(json_u64(v, &u) && u == 5);
    assert_true(json_i64(v, &i) && i == 5);
    assert_true(json_next(&it, NULL, &v));
    assert_int_equal(json_kind(v), JSON_I64);
    assert_false(json_u64(v, &u));
    assert_true(json_i64(v, &i) && i == -5);
    assert_true(json_next(&it, NULL, &v));
    assert_int_equal(json_kind(v), JSON_F64);
    assert_false(json_u64(v, &u));
    assert_true(json_f64(v, &d) && d == 5.0);
    assert_true(json_next(&it, NULL, &v));
    assert_false(json_f64(v, &d));
    assert_true(json_next(&it, NULL, &v));
    assert_int_equal(json_kind(v), JSON_U64);
    assert_false(json_i64(v, &i));
    assert_false(json_next(&it, NULL, &v));
    json_free(doc);
}

static void test_members_are_found_and_walked(void **state)
{
    (void)state;
    struct json_doc *doc = parse("{\"a\":1,\"b\":[1,2,3],\"\":4,\"a\":5}");
    struct json_value root = json_root(doc);
    struct json_value v;
    uint64_t u = 0;
    assert_int_equal(json_len(root), 4);
    assert_true(json_get(root, "a", &v) && json_u64(v, &u) && u == 1);
    assert_true(json_get(root, "", &v) && json_u64(v, &u) && u == 4);
    assert_true(json_get(root, "b", &v));
    assert_int_equal(json_len(v), 3);
    assert_false(json_get(root, "c", &v));
    assert_false(json_get(v, "a", &v));
    struct slice key;
    size_t n = 0;
    for (struct json_iter it = json_iter(root); json_next(&it, &key, &v);) {
        n++;
    }
    assert_int_equal(n, 4);
    json_free(doc);
}

static void test_float_arrays(void **state)
{
    (void)state;
    struct json_doc *doc = parse("[1, -2.5, 3e38, 1e39, 0.19]");
    float v[5];
    assert_true(json_floats(json_root(doc), v, 5));
    assert_true(v[0] == 1.0f && v[1] == -2.5f && v[2] == 3e38f && isinf(v[3]) && v[4] == 0.19f);
    assert_false(json_floats(json_root(doc), v, 4));
    json_free(doc);
    doc = parse("[1, \"2\"]");
    assert_false(json_floats(json_root(doc), v, 2));
    json_free(doc);
}

static void test_floats_print_shortest_and_read_back(void **state)
{
    (void)state;
    struct rand_seeded r;
    rand_seeded_init(&r, test_seed());
    struct buf out;
    struct json_writer w;
    buf_init(&out, 1u << 20);
    for (int i = 0; i < 20000; i++) {
        uint32_t bits = (uint32_t)rand_u64(&r.source);
        float v;
        memcpy(&v, &bits, sizeof(v));
        if (!isfinite(v)) {
            continue;
        }
        buf_reset(&out);
        json_writer_init(&w, &out);
        json_begin_array(&w);
        json_put_f32(&w, v);
        json_end_array(&w);
        struct json_doc *doc = parse(buf_cstr(&out));
        float back = 0;
        assert_true(json_floats(json_root(doc), &back, 1));
        assert_true(back == v);
        json_free(doc);
    }
    buf_reset(&out);
    json_writer_init(&w, &out);
    json_put_f32(&w, 0.19f);
    assert_string_equal(buf_cstr(&out), "0.19");
    buf_release(&out);
}

static void test_writer_puts_commas_and_escapes(void **state)
{
    (void)state;
    struct buf out;
    struct json_writer w;
    buf_init(&out, 4096);
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_key(&w, "a\"b");
    json_begin_array(&w);
    json_put_u64(&w, UINT64_MAX);
    json_put_i64(&w, INT64_MIN);
    json_put_f64(&w, NAN);
    json_put_bool(&w, true);
    json_put_string(&w, slice_make("\x01\xff\xc3\xa9", 4));
    json_end_array(&w);
    json_key(&w, "raw");
    json_put_raw(&w, SLICE_LIT("{\"x\":1}"));
    json_end_object(&w);
    assert_string_equal(buf_cstr(&out),
                        "{\"a\\\"b\":[18446744073709551615,-9223372036854775808,null,true,"
                        "\"\\u0001\xef\xbf\xbd\xc3\xa9\"],\"raw\":{\"x\":1}}");
    buf_release(&out);
}

static void test_parse_survives_each_failed_allocation(void **state)
{
    (void)state;
    size_t live = test_heap_live();
    enum shoal_err rc = SHOAL_ENOMEM;
    for (size_t nth = 0; rc == SHOAL_ENOMEM && nth < TEST_ALLOCS_MAX; nth++) {
        struct json_doc *doc = NULL;
        test_heap_fail_at(nth);
        rc = json_parse(SLICE_LIT("{\"a\":[1,2]}"), &doc, NULL);
        test_heap_fail_never();
        json_free(doc);
        assert_int_equal(test_heap_live(), live);
    }
    assert_int_equal(rc, SHOAL_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_print_as_they_were),
        cmocka_unit_test(test_what_is_no_json_is_refused),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_nesting_is_bounded),
        cmocka_unit_test(test_numbers_are_strict_by_kind),
        cmocka_unit_test(test_members_are_found_and_walked),
        cmocka_unit_test(test_float_arrays),
        cmocka_unit_test(test_floats_print_shortest_and_read_back),
        cmocka_unit_test(test_writer_puts_commas_and_escapes),
        cmocka_unit_test(test_parse_survives_each_failed_allocation),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
