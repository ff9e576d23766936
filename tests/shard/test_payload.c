/* Changes of payloads, text to text. */
#include "tests/shard/test_store_support.h"

#include "shard/payload.h"

#define BYTES_MAX (1u << 20)

struct row {
    const char *text;
    const char *change;
    const char *expected;
};

static void check(const struct row *row, bool merge)
{
    struct arena arena;
    struct buf out;
    struct errbuf why = { 0 };
    arena_init(&arena, BYTES_MAX);
    buf_init(&out, BYTES_MAX);
    enum shoal_err rc;
    if (merge) {
        rc = payload_merge(slice_from_str(row->text), slice_from_str(row->change), &arena, &out,
                           &why);
    } else {
        struct payload_keys *keys = NULL;
        rc = payload_keys_parse(slice_from_str(row->change), &arena, &keys, &why);
        if (rc == SHOAL_OK) {
            rc = payload_without(slice_from_str(row->text), keys, &out, &why);
        }
    }
    if (rc != SHOAL_OK || !slice_is(buf_slice(&out), row->expected)) {
        fail_msg("%s with %s: %s %s, got %.*s", row->text, row->change, err_word(rc), why.text,
                 (int)out.len, out.data == NULL ? "" : out.data);
    }
    buf_release(&out);
    arena_release(&arena);
}

static void test_merge_replaces_adds_and_removes(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "{\"a\":1,\"b\":2}", "{\"b\":3,\"c\":4}", "{\"a\":1,\"b\":3,\"c\":4}" },
        { "{\"a\":1,\"b\":2}", "{\"a\":null}", "{\"b\":2}" },
        { "{\"a\":1}", "{\"z\":null}", "{\"a\":1}" },
        { "{\"a\":{\"x\":1}}", "{\"a\":{\"y\":2}}", "{\"a\":{\"y\":2}}" },
        { "", "{\"a\":[1,{\"n\":null}]}", "{\"a\":[1,{\"n\":null}]}" },
        { "{\"a\":1}", "{}", "{\"a\":1}" },
        { "{\"a\":1}", "{\"a\":null}", "{}" },
        { "{\"a\":1,\"a\":2,\"b\":3}", "{\"a\":9}", "{\"a\":9,\"b\":3}" },
        { "{\"b\":1}", "{\"c\":1,\"a\":2,\"c\":3}", "{\"b\":1,\"c\":1,\"a\":2}" },
        { "{\"big\":18446744073709551615}", "{\"x\":0.1}",
          "{\"big\":18446744073709551615,\"x\":0.1}" },
        { "{\"\":1}", "{\"\":2}", "{\"\":2}" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        check(&rows[i], true);
    }
}

static void test_removal_follows_paths(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "{\"a\":1,\"b\":2}", "[\"a\"]", "{\"b\":2}" },
        { "{\"a\":1,\"b\":2}", "[\"c\",\"b\"]", "{\"a\":1}" },
        { "{\"a\":{\"b\":1,\"c\":2}}", "[\"a.b\"]", "{\"a\":{\"c\":2}}" },
        { "{\"a\":[{\"b\":1,\"c\":2},{\"b\":3},4]}", "[\"a[].b\"]", "{\"a\":[{\"c\":2},{},4]}" },
        { "{\"a\":[{\"b\":1},{\"b\":3}]}", "[\"a[1].b\"]", "{\"a\":[{\"b\":1},{}]}" },
        { "{\"a\":[1,2]}", "[\"a[]\"]", "{\"a\":[]}" },
        { "{\"a\":[1,2]}", "[\"a[0]\"]", "{\"a\":[1,2]}" },
        { "{\"a\":[{\"b\":1}]}", "[\"a.b\"]", "{\"a\":[{\"b\":1}]}" },
        { "{\"a.b\":1,\"a\":{\"b\":1}}", "[\"\\\"a.b\\\"\"]", "{\"a\":{\"b\":1}}" },
        { "{\"a\":{\"b\":{\"c\":1,\"d\":2}}}", "[\"a.b.c\",\"a.b.d\"]", "{\"a\":{\"b\":{}}}" },
        { "", "[\"a\"]", "{}" },
        { "{\"a\":1}", "[]", "{\"a\":1}" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        check(&rows[i], false);
    }
}

static void test_many_keys_stay_cheap(void **state)
{
    (void)state;
    struct buf text;
    struct buf patch;
    buf_init(&text, 64u << 20);
    buf_init(&patch, 64u << 20);
    for (int i = 0; i < 100000; i++) { /* pairwise comparison would take minutes */
        buf_printf(&text, "%s\"key%d\":%d", i == 0 ? "{" : ",", i, i);
        buf_printf(&patch, "%s\"key%d\":%d", i == 0 ? "{" : ",", i * 2, i);
    }
    buf_append_str(&text, "}");
    buf_append_str(&patch, "}");
    struct arena arena;
    struct buf out;
    arena_init(&arena, 64u << 20);
    buf_init(&out, 64u << 20);
    assert_int_equal(payload_merge(buf_slice(&text), buf_slice(&patch), &arena, &out, NULL),
                     SHOAL_OK);
    buf_release(&out);
    arena_release(&arena);
    buf_release(&patch);
    buf_release(&text);
}

static void test_refusals(void **state)
{
    (void)state;
    struct arena arena;
    struct buf out;
    struct payload_keys *keys = NULL;
    arena_init(&arena, BYTES_MAX);
    buf_init(&out, 8);
    assert_int_equal(payload_merge(SLICE_LIT("[1]"), SLICE_LIT("{}"), &arena, &out, NULL),
                     SHOAL_ECORRUPT);
    assert_int_equal(payload_merge(SLICE_LIT("{"), SLICE_LIT("{}"), &arena, &out, NULL),
                     SHOAL_ECORRUPT);
    assert_int_equal(payload_merge(SLICE_LIT("{}"), SLICE_LIT("5"), &arena, &out, NULL),
                     SHOAL_EPARSE);
    assert_int_equal(
        payload_merge(SLICE_LIT("{\"a\":1}"), SLICE_LIT("{\"b\":2}"), &arena, &out, NULL),
        SHOAL_ETOOBIG);
    assert_int_equal(payload_keys_parse(SLICE_LIT("{}"), &arena, &keys, NULL), SHOAL_EPARSE);
    assert_int_equal(payload_keys_parse(SLICE_LIT("[1]"), &arena, &keys, NULL), SHOAL_EPARSE);
    assert_int_equal(payload_keys_parse(SLICE_LIT("[\"a.\"]"), &arena, &keys, NULL), SHOAL_EPARSE);
    assert_null(keys);
    assert_true(payload_is_none(SLICE_LIT("")));
    assert_true(payload_is_none(SLICE_LIT("{}")));
    assert_true(payload_is_none(SLICE_LIT(" { } ")));
    assert_false(payload_is_none(SLICE_LIT("{\"a\":1}")));
    buf_release(&out);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge_replaces_adds_and_removes),
        cmocka_unit_test(test_removal_follows_paths),
        cmocka_unit_test(test_many_keys_stay_cheap),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("payload", tests, NULL, NULL);
}
