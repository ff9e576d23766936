/* Finding routes, and reading query arguments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "server/route.h"

#include <string.h>

static enum shoal_err handle(struct rest_call *call)
{
    (void)call;
    return SHOAL_OK;
}

static const struct route table[] = {
    { HTTP_GET, "/", handle, 0, 0, ROUTE_BARE, NULL },
    { HTTP_GET, "/things", handle, 0, 0, ROUTE_RESULT, NULL },
    { HTTP_GET, "/things/all", handle, 0, ROUTE_FREE, ROUTE_RESULT, NULL },
    { HTTP_GET, "/things/{t}", handle, 0, 0, ROUTE_RESULT, NULL },
    { HTTP_PUT, "/things/{t}", handle, 0, 0, ROUTE_RESULT, NULL },
    { HTTP_POST, "/things/{t}/parts/{p}", handle, 0, 0, ROUTE_RESULT, NULL },
};
#define TABLE_LEN (sizeof(table) / sizeof(table[0]))

struct fixture {
    struct arena arena;
    struct http_request req;
    struct errbuf why;
};

static int setup(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof(*f));
    if (f == NULL) {
        return -1;
    }
    arena_init(&f->arena, 1u << 20);
    f->req.arena = &f->arena;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    arena_release(&f->arena);
    mem_free(f);
    return mem_live() == 0 ? 0 : -1;
}

static struct route_match find(struct fixture *f, enum http_method method, const char *target)
{
    struct route_match match;
    f->req.method = method;
    assert_int_equal(http_request_set_target(&f->req, slice_from_str(target), &f->why), SHOAL_OK);
    route_find(table, TABLE_LEN, &f->req, &match);
    return match;
}

static void test_a_path_finds_its_route(void **state)
{
    struct fixture *f = *state;
    assert_ptr_equal(find(f, HTTP_GET, "/").route, &table[0]);
    assert_ptr_equal(find(f, HTTP_GET, "/things").route, &table[1]);
    assert_ptr_equal(find(f, HTTP_GET, "/things/").route, &table[1]);
    assert_ptr_equal(find(f, HTTP_GET, "/things/all").route, &table[2]);
    assert_ptr_equal(find(f, HTTP_GET, "/things/one?x=y").route, &table[3]);
    assert_ptr_equal(find(f, HTTP_PUT, "/things/all").route, &table[4]);
    assert_null(find(f, HTTP_GET, "/thing").route);
    assert_null(find(f, HTTP_GET, "/things/one/parts").route);
    assert_null(find(f, HTTP_POST, "/things//parts/3").route);
}

static void test_parts_are_decoded_and_keep_their_slashes(void **state)
{
    struct fixture *f = *state;
    struct route_match m = find(f, HTTP_POST, "/things/a%2Fb%20c/parts/7");
    assert_ptr_equal(m.route, &table[5]);
    assert_true(slice_is(route_param(m.route, &f->req, 0), "a/b c"));
    assert_true(slice_is(route_param(m.route, &f->req, 1), "7"));
}

static void test_other_methods_of_a_path_are_told(void **state)
{
    struct fixture *f = *state;
    char text[ROUTE_ALLOW_MAX];
    struct route_match m = find(f, HTTP_DELETE, "/things/one");
    assert_null(m.route);
    assert_int_equal(m.methods, 1u << HTTP_GET | 1u << HTTP_PUT);
    route_print_methods(m.methods, text);
    assert_string_equal(text, "GET, HEAD, PUT");
    route_print_methods(0x3f, text); /* all of them have room */
    assert_int_equal(find(f, HTTP_DELETE, "/nowhere").methods, 0);
}

/* --- arguments ------------------------------------------------------------------------------ */

static enum shoal_err args(struct fixture *f, const char *target, unsigned known,
                           struct rest_args *out)
{
    assert_int_equal(http_request_set_target(&f->req, slice_from_str(target), &f->why), SHOAL_OK);
    return rest_args_parse(&f->req, known, out, &f->why);
}

static void test_known_arguments_are_read(void **state)
{
    struct fixture *f = *state;
    struct rest_args a;
    assert_int_equal(args(f, "/x?wait=true&ordering=strong&timeout=7", REST_ARGS_WRITE, &a),
                     SHOAL_OK);
    assert_true(a.wait);
    assert_int_equal(a.timeout_s, 7);
    assert_int_equal(args(f, "/x?consistency=majority", REST_ARGS_READ, &a), SHOAL_OK);
    assert_int_equal(args(f, "/x?consistency=3", REST_ARGS_READ, &a), SHOAL_OK);
    assert_int_equal(args(f, "/x?wait=false", REST_ARGS_WRITE, &a), SHOAL_OK);
    assert_false(a.wait);
    assert_int_equal(args(f, "/x", REST_ARGS_WRITE, &a), SHOAL_OK);
    assert_int_equal(a.timeout_s, 0);
}

static void test_arguments_that_would_be_lost_are_refused(void **state)
{
    static const struct {
        const char *target;
        enum shoal_err rc;
    } cases[] = {
        { "/x?wiat=true", SHOAL_EINVAL },
        { "/x?consistency=all", SHOAL_EINVAL },
        { "/x?wait=1", SHOAL_EINVAL },
        { "/x?wait", SHOAL_EINVAL },
        { "/x?ordering=odd", SHOAL_EINVAL },
        { "/x?timeout=-1", SHOAL_EINVAL },
        { "/x?timeout=", SHOAL_EINVAL },
        { "/x?timeout=99999999999", SHOAL_EINVAL },
        { "/x?timeout=0", SHOAL_EVALIDATION },
        { "/x?timeout=3601", SHOAL_EVALIDATION },
        { "/x?wait=true&wait=true", SHOAL_EINVAL },
    };
    struct fixture *f = *state;
    struct rest_args a;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (args(f, cases[i].target, REST_ARGS_WRITE, &a) != cases[i].rc) {
            fail_msg("%s", cases[i].target);
        }
    }
    assert_int_equal(args(f, "/x?consistency=0", REST_ARGS_READ, &a), SHOAL_EINVAL);
    assert_int_equal(args(f, "/x?whatever=1", REST_ARG_IGNORED, &a), SHOAL_OK);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_a_path_finds_its_route),
        WITH(test_parts_are_decoded_and_keep_their_slashes),
        WITH(test_other_methods_of_a_path_are_told),
        WITH(test_known_arguments_are_read),
        WITH(test_arguments_that_would_be_lost_are_refused),
    };
    return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
