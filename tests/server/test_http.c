/* The HTTP server over real sockets, with bytes that a polite client never sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/server/http_fixture.h"

/* --- requests and answers ------------------------------------------------------------------- */

static void test_requests_are_answered_on_one_connection(void **state)
{
    struct fixture *f = *state;
    assert_reply(http_client_ask(&f->client, "GET /echo/a%2Fb/ HTTP/1.1\r\n" HOST "\r\n"), 200,
                 "GET echo a/b|");
    assert_reply(http_client_ask(&f->client,
                                 "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello"),
                 200, "POST echo|hello");
    assert_reply(http_client_ask(&f->client, "GET /inline HTTP/1.1\r\n" HOST "\r\n"), 200,
                 "GET inline|");
    assert_reply(http_client_ask(&f->client, "GET /nowhere HTTP/1.1\r\n" HOST "\r\n"), 404, "");
    assert_reply(http_client_ask(&f->client, "PUT /echo HTTP/1.1\r\n" HOST "\r\n"), 200,
                 "PUT echo|");
}

static void test_head_has_the_length_and_no_body(void **state)
{
    struct fixture *f = *state;
    assert_true(http_client_send(&f->client, "HEAD /echo HTTP/1.1\r\n" HOST "\r\n"));
    struct http_reply r = http_client_read(&f->client, true);
    assert_int_equal(r.status, 200);
    assert_string_equal(http_reply_field(&r, "Content-Length"), "9");
    assert_int_equal(f->client.len, 0);
    assert_reply(http_client_ask(&f->client, "GET /echo HTTP/1.1\r\n" HOST "\r\n"), 200,
                 "GET echo|");
}

static void test_options_allows_every_origin(void **state)
{
    struct fixture *f = *state;
    struct http_reply r = http_client_ask(
        &f->client, "OPTIONS /echo HTTP/1.1\r\n" HOST "Origin: http://page.test\r\n"
                    "Access-Control-Request-Method: PUT\r\n"
                    "Access-Control-Request-Headers: api-key, authorization\r\n\r\n");
    assert_reply(r, 204, NULL);
    assert_string_equal(http_reply_field(&r, "Access-Control-Allow-Origin"), "*");
    assert_string_equal(http_reply_field(&r, "Access-Control-Allow-Headers"),
                        "api-key, authorization");
    assert_non_null(strstr(http_reply_field(&r, "Access-Control-Allow-Methods"), "PUT"));
    r = http_client_ask(&f->client, "GET /echo HTTP/1.1\r\n" HOST "\r\n");
    assert_string_equal(http_reply_field(&r, "Access-Control-Allow-Origin"), "*");
}

static void test_fields_come_and_go(void **state)
{
    struct fixture *f = *state;
    struct http_reply r = http_client_ask(&f->client, "GET /fields HTTP/1.1\r\n" HOST
                                                      "X-TEST: some value \r\n\r\n");
    assert_reply(r, 200, NULL);
    assert_string_equal(http_reply_field(&r, "X-Answer"), "some value");
    assert_string_equal(http_reply_field(&r, "Content-Type"), "application/json");
}

static void test_pipelined_requests_are_answered_in_order(void **state)
{
    struct fixture *f = *state;
    assert_true(http_client_send(
        &f->client, "GET /echo/1 HTTP/1.1\r\n" HOST "\r\n"
                    "POST /echo/2 HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\ntwo"
                    "GET /inline/3 HTTP/1.1\r\n" HOST "\r\n"
                    "POST /echo/4 HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
                    "2\r\nfo\r\n2\r\nur\r\n0\r\n\r\n"
                    "GET /echo/5 HTTP/1.1\r\n" HOST "\r\n"));
    assert_reply(http_client_read(&f->client, false), 200, "GET echo 1|");
    assert_reply(http_client_read(&f->client, false), 200, "POST echo 2|two");
    assert_reply(http_client_read(&f->client, false), 200, "GET inline 3|");
    assert_reply(http_client_read(&f->client, false), 200, "POST echo 4|four");
    assert_reply(http_client_read(&f->client, false), 200, "GET echo 5|");
}

static void test_a_request_may_come_byte_by_byte(void **state)
{
    struct fixture *f = *state;
    const char *text = "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nslow";
    for (const char *at = text; *at != '\0'; at++) {
        assert_true(http_client_send_bytes(&f->client, at, 1));
    }
    assert_reply(http_client_read(&f->client, false), 200, "POST echo|slow");
}

static void test_connection_close_is_honoured(void **state)
{
    struct fixture *f = *state;
    assert_reply(
        http_client_ask(&f->client, "GET /echo HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"), 200,
        "GET echo|");
    assert_true(http_client_ended(&f->client));
}

static void test_http_1_0_is_answered(void **state)
{
    struct fixture *f = *state;
    assert_reply(http_client_ask(&f->client, "GET /echo HTTP/1.0\r\n\r\n"), 200, "GET echo|");
    assert_true(http_client_ended(&f->client));
}

/* --- bodies --------------------------------------------------------------------------------- */

static void test_a_body_at_the_limit_is_taken(void **state)
{
    struct fixture *f = *state;
    char *body = malloc(BODY_MAX);
    char head[128];
    memset(body, 'b', BODY_MAX);
    snprintf(head, sizeof(head), "POST /echo HTTP/1.1\r\n" HOST "Content-Length: %u\r\n\r\n",
             BODY_MAX);
    assert_true(http_client_send(&f->client, head));
    assert_true(http_client_send_bytes(&f->client, body, BODY_MAX));
    struct http_reply r = http_client_read(&f->client, false);
    assert_int_equal(r.status, 200);
    assert_int_equal(r.body_len, strlen("POST echo|") + BODY_MAX);
    free(body);
}

static void test_a_length_over_the_limit_is_refused_before_the_body(void **state)
{
    struct fixture *f = *state;
    struct http_reply r = http_client_ask(&f->client, "POST /echo HTTP/1.1\r\n" HOST
                                                      "Content-Length: 100001\r\n\r\n");
    assert_reply(r, 413, NULL);
    assert_non_null(strstr(r.body, "too_big"));
    assert_true(http_client_ended(&f->client));
}

static void test_a_length_over_the_limit_gets_no_continue(void **state)
{
    struct fixture *f = *state;
    assert_reply(http_client_ask(&f->client,
                                 "POST /echo HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n"
                                 "Content-Length: 99999999999\r\n\r\n"),
                 413, NULL);
}

static void test_continue_is_sent_when_it_is_awaited(void **state)
{
    struct fixture *f = *state;
    assert_reply(http_client_ask(&f->client, "POST /echo HTTP/1.1\r\n" HOST
                                             "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"),
                 100, NULL);
    assert_reply(http_client_ask(&f->client, "ok"), 200, "POST echo|ok");
}

static void test_chunks_over_the_limit_are_refused(void **state)
{
    struct fixture *f = *state;
    char chunk[10000];
    memset(chunk, 'c', sizeof(chunk));
    assert_true(http_client_send(&f->client, "POST /echo HTTP/1.1\r\n" HOST
                                             "Transfer-Encoding: chunked\r\n\r\n"));
    for (int i = 0; i < 11; i++) {
        assert_true(http_client_send(&f->client, "2710\r\n"));
        assert_true(http_client_send_bytes(&f->client, chunk, sizeof(chunk)));
        assert_true(http_client_send(&f->client, "\r\n"));
    }
    assert_reply(http_client_ask(&f->client, "0\r\n\r\n"), 413, NULL);
}

static void test_chunks_without_end_are_cut_off(void **state)
{
    struct fixture *f = *state;
    char chunk[65536];
    memset(chunk, 'c', sizeof(chunk));
    assert_true(http_client_send(&f->client, "POST /echo HTTP/1.1\r\n" HOST
                                             "Transfer-Encoding: chunked\r\n\r\n"));
    bool taken = true;
    for (int i = 0; i < 100000 && taken; i++) { /* 6 GB, were they taken */
        taken = http_client_send(&f->client, "10000\r\n") &&
                http_client_send_bytes(&f->client, chunk, sizeof(chunk)) &&
                http_client_send(&f->client, "\r\n");
    }
    assert_false(taken);
}

static void test_an_unwanted_small_body_keeps_the_connection(void **state)
{
    struct fixture *f = *state;
    assert_reply(http_client_ask(&f->client,
                                 "POST /nowhere HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nbody"),
                 404, "");
    assert_reply(http_client_ask(&f->client, "GET /echo HTTP/1.1\r\n" HOST "\r\n"), 200,
                 "GET echo|");
}

/* --- malformed ------------------------------------------------------------------------------ */

static void assert_refused(struct fixture *f, const char *text)
{
    struct http_client c;
    http_client_open(&c, http_server_address(f->server));
    assert_true(http_client_send(&c, text));
    struct http_reply r = http_client_read(&c, false);
    if (r.status != 0 && (r.status < 400 || r.status >= 506)) {
        fail_msg("%s\ngot %d %s", text, r.status, r.body);
    }
    assert_true(http_client_ended(&c)); /* nothing that follows may be read as a request */
    http_client_close(&c);
}

static void test_malformed_requests_end_the_connection(void **state)
{
    static const char *const bad[] = {
        /* what the body is, is not clear */
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        "0\r\n\r\nGET /echo HTTP/1.1\r\n" HOST "\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 4x\r\n\r\nabcd",
        "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        /* chunks */
        "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n2\r\nabXX0\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST
        "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nab\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n-1\r\nab\r\n0\r\n\r\n",
        /* header */
        "GET /echo HTTP/1.1\r\n\r\n",
        "GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /echo HTTP/1.1\r\n" HOST "no colon here\r\n\r\n",
        "GET /echo HTTP/3.7\r\n" HOST "\r\n",
        "GET /echo with space HTTP/1.1\r\n" HOST "\r\n",
        "GET /echo/%zz HTTP/1.1\r\n" HOST "\r\n",
        "GET /echo/%00 HTTP/1.1\r\n" HOST "\r\n",
        "GET echo HTTP/1.1\r\n" HOST "\r\n",
        "\x16\x03\x01\x02\r\n\r\n",
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_refused(f, bad[i]);
    }
}

static void test_a_large_header_is_refused(void **state)
{
    struct fixture *f = *state;
    char *text = malloc(100000);
    int n = snprintf(text, 100000, "GET /echo HTTP/1.1\r\n" HOST "X: ");
    memset(text + n, 'h', 90000);
    snprintf(text + n + 90000, 5, "\r\n\r\n");
    /* The server may hang up while this is still being sent. */
    (void)http_client_send(&f->client, text);
    struct http_reply r = http_client_read(&f->client, false);
    assert_true(r.status == 431 || r.status == 0);
    free(text);
}

static void test_too_many_fields_are_refused(void **state)
{
    struct fixture *f = *state;
    char text[8192];
    int n = snprintf(text, sizeof(text), "GET /echo HTTP/1.1\r\n" HOST);
    for (int i = 0; i < HTTP_FIELDS_MAX; i++) {
        n += snprintf(text + n, sizeof(text) - (size_t)n, "X-%d: y\r\n", i);
    }
    snprintf(text + n, sizeof(text) - (size_t)n, "\r\n");
    assert_reply(http_client_ask(&f->client, text), 431, NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_requests_are_answered_on_one_connection),
        TEST(test_head_has_the_length_and_no_body),
        TEST(test_options_allows_every_origin),
        TEST(test_fields_come_and_go),
        TEST(test_pipelined_requests_are_answered_in_order),
        TEST(test_a_request_may_come_byte_by_byte),
        TEST(test_connection_close_is_honoured),
        TEST(test_http_1_0_is_answered),
        TEST(test_a_body_at_the_limit_is_taken),
        TEST(test_a_length_over_the_limit_is_refused_before_the_body),
        TEST(test_a_length_over_the_limit_gets_no_continue),
        TEST(test_continue_is_sent_when_it_is_awaited),
        TEST(test_chunks_over_the_limit_are_refused),
        TEST(test_chunks_without_end_are_cut_off),
        TEST(test_an_unwanted_small_body_keeps_the_connection),
        TEST(test_malformed_requests_end_the_connection),
        TEST(test_a_large_header_is_refused),
        TEST(test_too_many_fields_are_refused),
    };
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
