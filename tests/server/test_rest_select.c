/* Which parts of a payload are shown. */
#include "server/rest_select.h"

#include "tests/support/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define ARENA_MAX (1u << 20)
#define LEN(array) (sizeof(array) / sizeof((array)[0]))

struct fixture {
    struct arena arena;
    struct rest_select select;
    struct buf out;
    struct errbuf why;
    size_t live_before;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){ .live_before = test_heap_live() };
    arena_init(&f.arena, ARENA_MAX);
    buf_init(&f.out, ARENA_MAX);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    arena_release(&f->arena);
    buf_release(&f->out);
    return test_heap_live() == f->live_before ? 0 : -1;
}

static enum shoal_err parse(struct fixture *f, struct slice text)
{
    struct json_doc *doc = NULL;
    arena_reset(&f->arena);
    err_clear(&f->why);
    assert_int_equal(json_parse(text, &doc, NULL), SHOAL_OK);
    enum shoal_err rc = rest_select_parse(json_root(doc), &f->arena, &f->select, &f->why);
    json_free(doc); /* what was parsed does not borrow from the document */
    return rc;
}

static enum shoal_err write_payload(struct fixture *f, const char *payload)
{
    struct json_writer w;
    buf_reset(&f->out);
    json_writer_init(&w, &f->out);
    return rest_select_write(&f->select, slice_from_str(payload), &w);
}

static void test_booleans_select_all_or_none(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, SLICE_LIT("false")), SHOAL_OK);
    assert_int_equal(f->select.kind, REST_SELECT_NONE);
    assert_int_equal(parse(f, SLICE_LIT("true")), SHOAL_OK);
    assert_int_equal(f->select.kind, REST_SELECT_ALL);
    assert_int_equal(write_payload(f, "{ \"a\" : 1 }"), SHOAL_OK);
    assert_true(slice_is(buf_slice(&f->out), "{ \"a\" : 1 }")); /* as it is stored */
    assert_int_equal(write_payload(f, ""), SHOAL_OK);
    assert_true(slice_is(buf_slice(&f->out), "{}"));
}

#define PAYLOAD                                                              \
    "{\"a\":1,\"b\":{\"c\":[1,{\"d\":2,\"e\":3},{\"d\":4}],\"f\":null},\"g " \
    "h\":18446744073709551615,"                                              \
    "\"k\":[]}"

static void test_paths_select_parts(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *select, *expected;
    } cases[] = {
        { "[]", "{}" },
        { "[\"a\"]", "{\"a\":1}" },
        { "[\"b.f\",\"a\"]", "{\"a\":1,\"b\":{\"f\":null}}" },
        { "[\"b.c[].d\"]", "{\"b\":{\"c\":[{\"d\":2},{\"d\":4}]}}" },
        { "[\"b.c[1]\"]", "{\"b\":{\"c\":[{\"d\":2,\"e\":3}]}}" },
        { "[\"b.c[0]\",\"b.c[].e\"]", "{\"b\":{\"c\":[1,{\"e\":3},{}]}}" },
        { "[\"b\",\"b.f\"]", "{\"b\":{\"c\":[1,{\"d\":2,\"e\":3},{\"d\":4}],\"f\":null}}" },
        { "[\"nowhere\",\"b.nowhere\",\"a.b\"]", "{}" },
        { "[\"\\\"g h\\\"\",\"k\"]", "{\"g h\":18446744073709551615,\"k\":[]}" },
        { "{\"include\":[\"a\"]}", "{\"a\":1}" },
        { "{\"exclude\":[\"b\",\"\\\"g h\\\"\"]}", "{\"a\":1,\"k\":[]}" },
        { "{\"exclude\":[\"b.c[].d\",\"a\",\"k\",\"\\\"g h\\\"\"]}",
          "{\"b\":{\"c\":[1,{\"e\":3},{}],\"f\":null}}" },
        { "{\"exclude\":[]}", PAYLOAD },
        { "{\"exclude\":[\"nowhere\",\"b.nowhere\"]}", PAYLOAD },
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        assert_int_equal(parse(f, slice_from_str(cases[i].select)), SHOAL_OK);
        assert_int_equal(write_payload(f, PAYLOAD), SHOAL_OK);
        if (!slice_is(buf_slice(&f->out), cases[i].expected)) {
            fail_msg("%s\n  expected %s\n  got %.*s", cases[i].select, cases[i].expected,
                     (int)f->out.len, f->out.data);
        }
    }
}

static void test_bad_selects_are_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *select, *text;
    } cases[] = {
        { "3", "must be a boolean, an array or an object, not integer" },
        { "\"a\"", "must be a boolean, an array or an object, not string" },
        { "[1]", "must be an array of keys, not of integer" },
        { "{}", "must have one key, \"include\" or \"exclude\"" },
        { "{\"include\":[],\"exclude\":[]}", "must have one key, \"include\" or \"exclude\"" },
        { "{\"includes\":[]}", "must have one key, \"include\" or \"exclude\"" },
        { "{\"exclude\":\"a\"}", "must be an array of keys, not string" },
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        assert_int_equal(parse(f, slice_from_str(cases[i].select)), SHOAL_EPARSE);
        assert_string_equal(f->why.text, cases[i].text);
    }
    assert_int_equal(parse(f, SLICE_LIT("[\"a.\"]")), SHOAL_EPARSE);
    assert_true(f->why.text[0] != '\0');
}

static void test_the_number_of_paths_is_limited(void **state)
{
    struct fixture *f = *state;
    for (size_t n = REST_SELECT_PATHS_MAX; n <= REST_SELECT_PATHS_MAX + 1; n++) {
        struct buf text;
        buf_init(&text, ARENA_MAX);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(buf_printf(&text, "%s\"k%zu\"", i == 0 ? "[" : ",", i), SHOAL_OK);
        }
        assert_int_equal(buf_append_char(&text, ']'), SHOAL_OK);
        assert_int_equal(parse(f, buf_slice(&text)),
                         n == REST_SELECT_PATHS_MAX ? SHOAL_OK : SHOAL_ETOOBIG);
        buf_release(&text);
    }
    assert_non_null(strstr(f->why.text, "64"));
}

static void test_a_payload_that_is_none_is_corrupt(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, SLICE_LIT("[\"a\"]")), SHOAL_OK);
    assert_int_equal(write_payload(f, "[1]"), SHOAL_ECORRUPT);
    assert_int_equal(write_payload(f, "{\"a\":"), SHOAL_ECORRUPT);
}

static void test_every_failed_allocation_is_told(void **state)
{
    (void)state;
    struct json_doc *doc = NULL;
    assert_int_equal(json_parse(SLICE_LIT("[\"a\",\"b.c[].d\"]"), &doc, NULL), SHOAL_OK);
    enum shoal_err rc = SHOAL_ENOMEM;
    for (size_t nth = 0; rc != SHOAL_OK && nth < TEST_ALLOCS_MAX; nth++) {
        struct arena arena;
        struct rest_select select;
        struct buf out;
        struct json_writer w;
        size_t live = test_heap_live();
        arena_init(&arena, ARENA_MAX);
        buf_init(&out, ARENA_MAX);
        json_writer_init(&w, &out);
        test_heap_fail_at(nth);
        rc = rest_select_parse(json_root(doc), &arena, &select, NULL);
        if (rc == SHOAL_OK) {
            rc = rest_select_write(&select, SLICE_LIT(PAYLOAD), &w);
        }
        test_heap_fail_never();
        buf_release(&out);
        arena_release(&arena);
        assert_true(rc == SHOAL_OK || rc == SHOAL_ENOMEM);
        assert_int_equal(test_heap_live(), live);
    }
    assert_int_equal(rc, SHOAL_OK);
    json_free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_booleans_select_all_or_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_paths_select_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_selects_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_number_of_paths_is_limited, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_payload_that_is_none_is_corrupt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_failed_allocation_is_told, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
