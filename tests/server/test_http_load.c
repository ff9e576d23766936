/* The HTTP server under clients that are slow, many or gone, and while it stops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/server/http_fixture.h"

/* --- deadlines ------------------------------------------------------------------------------ */

/* Sends a byte now and then, which keeps a timeout for inactivity away, until the server hangs up;
 * returns the milliseconds it took. */
static uint64_t drip(struct http_client *c, const char *begin, char byte)
{
    uint64_t start_ns = clock_mono_ns(clock_real());
    struct mutex m;
    struct cond never;
    mutex_init(&m);
    cond_init(&never);
    mutex_lock(&m);
    bool alive = http_client_send(c, begin);
    while (alive && clock_mono_ns(clock_real()) - start_ns < 20 * SECOND_NS) {
        (void)cond_wait_until(&never, &m, clock_mono_ns(clock_real()) + SECOND_NS / 50);
        alive = http_client_send_bytes(c, &byte, 1);
    }
    mutex_unlock(&m);
    assert_false(alive);
    return (clock_mono_ns(clock_real()) - start_ns) / 1000000u;
}

static void test_a_dripping_header_is_cut_off(void **state)
{
    struct fixture *f = *state;
    assert_true(drip(&f->client, "GET /echo HTTP/1.1\r\nX: ", 'x') >= 200);
}

static void test_a_dripping_request_line_is_cut_off(void **state)
{
    struct fixture *f = *state;
    assert_true(drip(&f->client, "GET /", 'x') >= 190);
}

static void test_a_dripping_body_is_cut_off(void **state)
{
    struct fixture *f = *state;
    assert_true(drip(&f->client, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\n",
                     'x') >= 200);
}

static void test_an_idle_connection_is_closed(void **state)
{
    struct fixture *f = *state;
    assert_reply(http_client_ask(&f->client, "GET /echo HTTP/1.1\r\n" HOST "\r\n"), 200,
                 "GET echo|");
    assert_true(http_client_ended(&f->client));
}

static void test_a_slow_handler_is_not_cut_off(void **state)
{
    struct fixture *f = *state;
    assert_true(http_client_send(&f->client, "GET /gate HTTP/1.1\r\n" HOST "\r\n"));
    await_gate(f, 1);
    struct http_client idle; /* outlives every deadline of the fixture */
    http_client_open(&idle, http_server_address(f->server));
    assert_true(http_client_ended(&idle));
    http_client_close(&idle);
    open_gate(f);
    assert_reply(http_client_read(&f->client, false), 200, "GET gate|");
}

/* --- load ----------------------------------------------------------------------------------- */

static void test_a_full_queue_refuses_and_health_still_answers(void **state)
{
    struct fixture *f = *state;
    struct http_client second;
    struct http_client third;
    http_client_open(&second, http_server_address(f->server));
    http_client_open(&third, http_server_address(f->server));
    assert_true(http_client_send(&f->client, "GET /gate/1 HTTP/1.1\r\n" HOST "\r\n"));
    await_gate(f, 1); /* the only thread stands at the gate */
    assert_true(http_client_send(&second, "GET /gate/2 HTTP/1.1\r\n" HOST "\r\n"));
    /* One place in the queue. Who takes it, second or third, is up to the server; the slow lane and
     * inline answers do not care. */
    assert_reply(http_client_ask(&third, "GET /inline HTTP/1.1\r\n" HOST "\r\n"), 200, NULL);
    struct http_reply r = http_client_ask(&third, "GET /echo HTTP/1.1\r\n" HOST "\r\n");
    assert_reply(r, 503, NULL);
    assert_string_equal(http_reply_field(&r, "Retry-After"), "1");
    open_gate(f);
    assert_reply(http_client_read(&f->client, false), 200, "GET gate 1|");
    assert_reply(http_client_read(&second, false), 200, "GET gate 2|");
    http_client_close(&second);
    http_client_close(&third);
}

static void test_the_slow_lane_leaves_the_fast_one_free(void **state)
{
    struct fixture *f = *state;
    struct http_client second;
    http_client_open(&second, http_server_address(f->server));
    assert_true(http_client_send(&f->client, "GET /slow HTTP/1.1\r\n" HOST "\r\n"));
    await_gate(f, 1);
    assert_reply(http_client_ask(&second, "GET /echo HTTP/1.1\r\n" HOST "\r\n"), 200, "GET echo|");
    http_client_close(&second);
    open_gate(f);
    assert_reply(http_client_read(&f->client, false), 200, "GET slow|");
}

static void test_many_clients_at_once(void **state)
{
    struct fixture *f = *state;
    enum { CLIENTS = 20, ROUNDS = 50 };
    struct http_client clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        http_client_open(&clients[i], http_server_address(f->server));
    }
    for (int r = 0; r < ROUNDS; r++) {
        for (int i = 0; i < CLIENTS; i++) {
            char text[128];
            snprintf(text, sizeof(text),
                     "POST /echo/%d HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n%02d", i, r);
            assert_true(http_client_send(&clients[i], text));
        }
        for (int i = 0; i < CLIENTS; i++) {
            char wanted[64];
            snprintf(wanted, sizeof(wanted), "POST echo %d|%02d", i, r);
            assert_reply(http_client_read(&clients[i], false), 200, wanted);
        }
    }
    for (int i = 0; i < CLIENTS; i++) {
        http_client_close(&clients[i]);
    }
}

static void test_connections_from_one_address_are_capped(void **state)
{
    struct fixture *f = *state;
    enum { CLIENTS = 6 };
    struct http_client clients[CLIENTS];
    http_client_close(&f->client);
    http_server_free(f->server);
    start(f, (struct http_config){ .connections_per_address_max = 3 });
    unsigned served = 0;
    for (int i = 0; i < CLIENTS; i++) {
        http_client_open(&clients[i], http_server_address(f->server));
        bool sent = http_client_send(&clients[i], "GET /inline HTTP/1.1\r\n" HOST "\r\n");
        served += sent && http_client_read(&clients[i], false).status == 200;
    }
    assert_in_range(served, 2, 3); /* the fixture's own connection counts, when it was taken yet */
    for (int i = 0; i < CLIENTS; i++) {
        http_client_close(&clients[i]);
    }
}

static void test_all_bodies_together_are_bounded(void **state)
{
    struct fixture *f = *state;
    http_client_close(&f->client);
    http_server_free(f->server);
    start(f, (struct http_config){ .body_bytes_total_max = 4096, .body_bytes_max = 1u << 20 });
    char *text = calloc(1, 70000);
    int n = snprintf(text, 70000, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 60000\r\n\r\n");
    memset(text + n, 'b', 60000);
    assert_true(http_client_send(&f->client, text));
    assert_reply(http_client_read(&f->client, false), 503, NULL);
    assert_reply(
        http_client_ask(&f->client, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nok"),
        200, "POST echo|ok"); /* what was counted is given back */
    free(text);
}

/* --- streams -------------------------------------------------------------------------------- */

static void test_a_stream_comes_piece_by_piece(void **state)
{
    struct fixture *f = *state;
    assert_true(http_client_send(&f->client, "GET /stream HTTP/1.1\r\n" HOST "\r\n"));
    await_gate(f, 1);
    /* Nine pieces are here while the producer waits with the tenth. */
    while (strstr(f->client.data, "piece 8\n") == NULL) {
        assert_true(http_client_await(&f->client, f->client.len));
    }
    open_gate(f);
    struct http_reply r = http_client_read(&f->client, false);
    assert_reply(r, 200,
                 "piece 0\npiece 1\npiece 2\npiece 3\npiece 4\npiece 5\npiece 6\npiece 7\n"
                 "piece 8\npiece 9\n");
    assert_string_equal(http_reply_field(&r, "Content-Type"), "text/plain");
    assert_reply(http_client_ask(&f->client, "GET /echo HTTP/1.1\r\n" HOST "\r\n"), 200,
                 "GET echo|");
}

static void await_stopped(struct fixture *f)
{
    mutex_lock(&f->mutex);
    while (!f->producer_stopped) {
        cond_wait(&f->changed, &f->mutex);
    }
    mutex_unlock(&f->mutex);
}

static void test_a_producer_learns_that_its_client_has_gone(void **state)
{
    struct fixture *f = *state;
    assert_true(http_client_send(&f->client, "GET /flood HTTP/1.1\r\n" HOST "\r\n"));
    assert_true(http_client_await(&f->client, 100000));
    http_client_close(&f->client);
    await_stopped(f);
}

static void test_a_producer_waits_for_a_slow_client(void **state)
{
    struct fixture *f = *state;
    assert_true(http_client_send(&f->client, "GET /flood HTTP/1.1\r\n" HOST "\r\n"));
    assert_true(http_client_await(&f->client, 1000));
    /* The client reads no more: what is pushed stops growing once the sockets' buffers and ours are
     * full. Stopping the server then frees the producer, who was told to stop. */
    size_t before = 0;
    size_t now = 1;
    mutex_lock(&f->mutex);
    while (before != now) {
        before = now;
        uint64_t until = clock_mono_ns(clock_real()) + SECOND_NS / 5;
        while (cond_wait_until(&f->changed, &f->mutex, until)) {
        }
        now = f->pushed;
    }
    mutex_unlock(&f->mutex);
    assert_true(now < ((size_t)64 << 20));
    http_server_stop(f->server, clock_mono_ns(clock_real()) + SECOND_NS / 10);
    await_stopped(f);
}

/* --- stopping ------------------------------------------------------------------------------- */

static void test_draining_answers_and_closes(void **state)
{
    struct fixture *f = *state;
    assert_reply(http_client_ask(&f->client, "GET /echo HTTP/1.1\r\n" HOST "\r\n"), 200, NULL);
    assert_false(http_server_is_draining(f->server));
    http_server_drain(f->server);
    assert_true(http_server_is_draining(f->server));
    struct http_reply r = http_client_ask(&f->client, "GET /echo HTTP/1.1\r\n" HOST "\r\n");
    assert_reply(r, 200, "GET echo|");
    assert_string_equal(http_reply_field(&r, "Connection"), "close");
    assert_true(http_client_ended(&f->client));
}

static void stop_in_background(void *arg)
{
    struct fixture *f = arg;
    http_server_stop(f->server, clock_mono_ns(clock_real()) + 20 * SECOND_NS);
}

static void test_stopping_waits_for_the_answers_under_way(void **state)
{
    struct fixture *f = *state;
    struct thread stopper = { 0 };
    assert_true(http_client_send(&f->client, "GET /gate HTTP/1.1\r\n" HOST "\r\n"));
    await_gate(f, 1);
    assert_int_equal(thread_start(&stopper, "stopper", stop_in_background, f, NULL), SHOAL_OK);
    while (!http_server_is_draining(f->server)) {
    }
    open_gate(f);
    assert_reply(http_client_read(&f->client, false), 200, "GET gate|");
    thread_join(&stopper);
    http_server_stop(f->server, 0); /* idempotent */
}

static void test_addresses_are_checked(void **state)
{
    static const char *const bad[] = {
        "", "6333", ":6333", "127.0.0.1:", "127.0.0.1:x", "[::1]", "no such host:1"
    };
    struct fixture *f = *state;
    struct http_config config = { .app = { .admit = admit, .handle = handle, .refuse = refuse } };
    struct http_server *server = NULL;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        config.address = bad[i];
        struct errbuf why = { 0 };
        assert_int_equal(http_server_new(&config, &server, &why), SHOAL_EINVAL);
        assert_null(server);
        assert_true(why.text[0] != '\0');
    }
    config.address = http_server_address(f->server);
    struct errbuf why = { 0 };
    assert_int_equal(http_server_new(&config, &server, &why), SHOAL_EBUSY);
    assert_non_null(strstr(why.text, "in use"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define HASTY(name) cmocka_unit_test_setup_teardown(name, setup_hasty, teardown)
#define NARROW(name) cmocka_unit_test_setup_teardown(name, setup_narrow, teardown)
    const struct CMUnitTest tests[] = {
        HASTY(test_a_dripping_header_is_cut_off),
        HASTY(test_a_dripping_request_line_is_cut_off),
        HASTY(test_a_dripping_body_is_cut_off),
        HASTY(test_an_idle_connection_is_closed),
        HASTY(test_a_slow_handler_is_not_cut_off),
        NARROW(test_a_full_queue_refuses_and_health_still_answers),
        NARROW(test_the_slow_lane_leaves_the_fast_one_free),
        TEST(test_many_clients_at_once),
        TEST(test_connections_from_one_address_are_capped),
        TEST(test_all_bodies_together_are_bounded),
        TEST(test_a_stream_comes_piece_by_piece),
        TEST(test_a_producer_learns_that_its_client_has_gone),
        TEST(test_a_producer_waits_for_a_slow_client),
        TEST(test_draining_answers_and_closes),
        TEST(test_stopping_waits_for_the_answers_under_way),
        TEST(test_addresses_are_checked),
    };
    return cmocka_run_group_tests_name("http_load", tests, NULL, NULL);
}
