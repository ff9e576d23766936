/* Targets and header fields, without a socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "server/http_request.h"

#include <stdio.h>
#include <string.h>

struct fixture {
    struct arena arena;
    struct http_request req;
    struct errbuf why;
    size_t live;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){ .live = mem_live() };
    arena_init(&f.arena, 1u << 20);
    f.req.arena = &f.arena;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    arena_release(&f->arena);
    return mem_live() == f->live ? 0 : -1;
}

static enum shoal_err parse(struct fixture *f, const char *target)
{
    return http_request_set_target(&f->req, slice_from_str(target), &f->why);
}

static void assert_slice(struct slice got, const char *wanted)
{
    if (!slice_is(got, wanted)) {
        fail_msg("got \"%.*s\", wanted \"%s\"", (int)got.len, got.data, wanted);
    }
}

static void test_method_knows_its_names(void **state)
{
    (void)state;
    bool head = true;
    assert_int_equal(http_method_parse("GET", &head), HTTP_GET);
    assert_false(head);
    assert_int_equal(http_method_parse("HEAD", &head), HTTP_GET);
    assert_true(head);
    assert_int_equal(http_method_parse("PATCH", &head), HTTP_PATCH);
    assert_int_equal(http_method_parse("get", &head), HTTP_OTHER);
    assert_int_equal(http_method_parse("BREW", &head), HTTP_OTHER);
    assert_string_equal(http_method_name(HTTP_DELETE), "DELETE");
}

static void test_target_is_split_before_it_is_decoded(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, "/collections/a%2Fb/points/1%20x"), SHOAL_OK);
    assert_int_equal(f->req.segments_len, 4);
    assert_slice(f->req.segments[0], "collections");
    assert_slice(f->req.segments[1], "a/b");
    assert_slice(f->req.segments[3], "1 x");
}

static void test_target_ends_without_its_slashes(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, "/"), SHOAL_OK);
    assert_int_equal(f->req.segments_len, 0);
    assert_int_equal(parse(f, ""), SHOAL_OK);
    assert_int_equal(f->req.segments_len, 0);
    assert_int_equal(parse(f, "/collections/"), SHOAL_OK);
    assert_int_equal(f->req.segments_len, 1);
    assert_int_equal(parse(f, "/collections//?x=1"), SHOAL_OK);
    assert_int_equal(f->req.segments_len, 1);
    assert_int_equal(f->req.args_len, 1);
    assert_int_equal(parse(f, "/a//b"), SHOAL_OK); /* an empty part in between is one */
    assert_int_equal(f->req.segments_len, 3);
    assert_int_equal(f->req.segments[1].len, 0);
    assert_int_equal(parse(f, "/../.."), SHOAL_OK); /* dots mean nothing here */
    assert_slice(f->req.segments[0], "..");
}

static void test_target_in_absolute_form_gives_its_path(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, "http://example.test:6333/collections?a=b"), SHOAL_OK);
    assert_int_equal(f->req.segments_len, 1);
    assert_slice(f->req.segments[0], "collections");
    assert_int_equal(parse(f, "HTTPS://example.test"), SHOAL_OK);
    assert_int_equal(f->req.segments_len, 0);
    assert_int_equal(parse(f, "collections"), SHOAL_EPARSE);
}

static void test_target_arguments_are_decoded(void **state)
{
    struct fixture *f = *state;
    struct slice v;
    assert_int_equal(parse(f, "/x?wait=true&&a%26b=c+d%3D&empty=&bare"), SHOAL_OK);
    assert_int_equal(f->req.args_len, 4);
    assert_true(http_request_arg(&f->req, "wait", &v));
    assert_slice(v, "true");
    assert_true(http_request_arg(&f->req, "a&b", &v));
    assert_slice(v, "c d=");
    assert_true(http_request_arg(&f->req, "bare", &v));
    assert_int_equal(v.len, 0);
    assert_false(http_request_arg(&f->req, "Wait", &v));
}

static void test_target_refuses_what_cannot_be_decoded(void **state)
{
    static const char *const bad[] = { "/a%",  "/a%2",     "/a%zz",  "/a%2",
                                       "/%00", "/x?a=%g0", "/x?%=1", "/a%2 /b" };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (parse(f, bad[i]) != SHOAL_EPARSE) {
            fail_msg("%s was taken", bad[i]);
        }
    }
}

static void test_target_has_a_bound_on_its_parts(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, "/1/2/3/4/5/6/7/8/9/a/b/c/d/e/f/g"), SHOAL_OK);
    assert_int_equal(f->req.segments_len, HTTP_SEGMENTS_MAX);
    assert_int_equal(parse(f, "/1/2/3/4/5/6/7/8/9/a/b/c/d/e/f/g/h"), SHOAL_EPARSE);
    char many[512] = "/x?";
    size_t n = strlen(many);
    for (int i = 0; i <= HTTP_ARGS_MAX; i++) {
        n += (size_t)snprintf(many + n, sizeof(many) - n, "a%d=1&", i);
    }
    assert_int_equal(parse(f, many), SHOAL_EPARSE);
}

/* --- fields --------------------------------------------------------------------------------- */

static struct http_field field(const char *name, const char *value)
{
    return (struct http_field){ .name = slice_from_str(name), .value = slice_from_str(value) };
}

static enum shoal_err plan(struct fixture *f, const struct http_field *fields, size_t len,
                           struct http_body_plan *out)
{
    f->req.fields = fields;
    f->req.fields_len = len;
    return http_request_plan_body(&f->req, out, &f->why);
}

static void test_fields_are_found_in_any_case(void **state)
{
    struct fixture *f = *state;
    const struct http_field fields[] = { field("Api-Key", "k"), field("x", "1"), field("X", "2") };
    struct slice v;
    f->req.fields = fields;
    f->req.fields_len = 3;
    assert_true(http_request_field(&f->req, "api-key", &v));
    assert_slice(v, "k");
    assert_true(http_request_field(&f->req, "x", &v));
    assert_slice(v, "1");
    assert_false(http_request_field(&f->req, "api", &v));
}

static void test_body_plan_reads_length_and_chunks(void **state)
{
    struct fixture *f = *state;
    struct http_body_plan p;
    const struct http_field none[] = { field("Host", "h") };
    assert_int_equal(plan(f, none, 1, &p), SHOAL_OK);
    assert_false(p.present);
    const struct http_field sized[] = { field("content-LENGTH", "12") };
    assert_int_equal(plan(f, sized, 1, &p), SHOAL_OK);
    assert_true(p.present && !p.chunked);
    assert_int_equal(p.length, 12);
    const struct http_field empty[] = { field("Content-Length", "0") };
    assert_int_equal(plan(f, empty, 1, &p), SHOAL_OK);
    assert_false(p.present);
    const struct http_field chunked[] = { field("Transfer-Encoding", "Chunked") };
    assert_int_equal(plan(f, chunked, 1, &p), SHOAL_OK);
    assert_true(p.present && p.chunked);
}

static void test_body_plan_refuses_what_a_proxy_may_read_differently(void **state)
{
    struct fixture *f = *state;
    const struct http_field pairs[][2] = {
        { field("Content-Length", "5"), field("Transfer-Encoding", "chunked") },
        { field("Content-Length", "5"), field("Content-Length", "5") },
        { field("Transfer-Encoding", "chunked"), field("transfer-encoding", "chunked") },
        { field("Host", "a"), field("Host", "b") },
        { field("Host", "a"), field("Transfer-Encoding", "gzip, chunked") },
        { field("Host", "a"), field("Transfer-Encoding", "identity") },
        { field("Host", "a"), field("Content-Length", "+5") },
        { field("Host", "a"), field("Content-Length", "5, 5") },
        { field("Host", "a"), field("Content-Length", "") },
        { field("Host", "a"), field("Content-Length", "18446744073709551616") },
        { field("Host", "a"), field("Transfer-Encoding ", "chunked") },
        { field("Host", "a"), field("", "x") },
        { field("Host", "a"), field("a(b", "x") },
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct http_body_plan p;
        if (plan(f, pairs[i], 2, &p) != SHOAL_EPARSE) {
            fail_msg("pair %zu was taken", i);
        }
    }
}

static void test_target_survives_each_failed_allocation(void **state)
{
    struct fixture *f = *state;
    struct arena tiny;
    for (size_t max = 0; max < 256; max += 16) { /* the ceiling stands for memory that runs out */
        arena_init(&tiny, max);
        f->req.arena = &tiny;
        enum shoal_err rc = parse(f, "/a%20b/c%20d?e=%20f&g=h+i");
        assert_true(rc == SHOAL_OK || rc == SHOAL_ENOMEM);
        arena_release(&tiny);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_method_knows_its_names),
        TEST(test_target_is_split_before_it_is_decoded),
        TEST(test_target_ends_without_its_slashes),
        TEST(test_target_in_absolute_form_gives_its_path),
        TEST(test_target_arguments_are_decoded),
        TEST(test_target_refuses_what_cannot_be_decoded),
        TEST(test_target_has_a_bound_on_its_parts),
        TEST(test_fields_are_found_in_any_case),
        TEST(test_body_plan_reads_length_and_chunks),
        TEST(test_body_plan_refuses_what_a_proxy_may_read_differently),
        TEST(test_target_survives_each_failed_allocation),
    };
    return cmocka_run_group_tests_name("http_request", tests, NULL, NULL);
}
