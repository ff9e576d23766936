/* Errors of the HTTP API: statuses, kinds and words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "server/rest_error.h"

#include <string.h>

static const char *print(struct buf *b, enum shoal_err code, const char *text)
{
    buf_reset(b);
    assert_int_equal(rest_error_print(b, code, text, 0.25), SHOAL_OK);
    return buf_cstr(b);
}

static void test_the_body_has_kind_code_and_time(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 4096);
    assert_string_equal(print(&b, SHOAL_ENOTFOUND, "Collection `x` doesn't exist!"),
                        "{\"status\":{\"error\":\"Not found: Collection `x` doesn't exist!\","
                        "\"code\":\"not_found\"},\"time\":0.25}");
    assert_string_equal(print(&b, SHOAL_EVALIDATION, "limit: \"0\""),
                        "{\"status\":{\"error\":\"Validation error in JSON body: [limit: "
                        "\\\"0\\\"]\",\"code\":\"validation_failed\"},\"time\":0.25}");
    buf_release(&b);
}

static void test_refusals_are_of_two_kinds(void **state)
{
    struct buf b;
    struct errbuf why = { 0 };
    (void)state;
    buf_init(&b, 4096);
    assert_non_null(strstr(print(&b, SHOAL_EINVAL, "a vector of 3"), "\"Wrong input: a vector"));
    assert_int_equal(rest_bad_request(&why, "no %s", "point"), SHOAL_EINVAL);
    assert_non_null(
        strstr(print(&b, SHOAL_EINVAL, why.text), "\"error\":\"Bad request: no point\""));
    buf_release(&b);
}

static void test_every_code_has_the_status_that_clients_act_upon(void **state)
{
    static const struct {
        enum shoal_err code;
        unsigned status;
    } cases[] = {
        { SHOAL_EPARSE, 400 },    { SHOAL_EDENIED, 403 },      { SHOAL_ETIMEOUT, 408 },
        { SHOAL_EEXISTS, 409 },   { SHOAL_ECONFLICT, 409 },    { SHOAL_ETOOBIG, 413 },
        { SHOAL_ELIMITED, 429 },  { SHOAL_EUNSUPPORTED, 501 }, { SHOAL_EBUSY, 503 },
        { SHOAL_ECANCELED, 503 }, { SHOAL_EUNAVAILABLE, 503 }, { SHOAL_EFULL, 507 },
        { SHOAL_EIO, 500 },       { SHOAL_ECORRUPT, 500 },     { SHOAL_EPROTO, 500 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(rest_error_status(cases[i].code), cases[i].status);
    }
}

static void test_a_body_that_does_not_fit_is_told(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 20);
    assert_int_equal(rest_error_print(&b, SHOAL_EIO, "text", 0), SHOAL_ETOOBIG);
    buf_release(&b);
    assert_int_equal(mem_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_body_has_kind_code_and_time),
        cmocka_unit_test(test_refusals_are_of_two_kinds),
        cmocka_unit_test(test_every_code_has_the_status_that_clients_act_upon),
        cmocka_unit_test(test_a_body_that_does_not_fit_is_told),
    };
    return cmocka_run_group_tests_name("rest_error", tests, NULL, NULL);
}
