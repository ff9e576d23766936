/* The transport over NNG: calls, limits and ends, each promise over inproc, ipc and tcp. What
 * happens without a connection is in test_transport_connection.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/wire/transport_support.h"

#define THREADS 4
#define CALLS_EACH 300

static struct slice pattern(size_t len, unsigned seed)
{
    char *bytes = malloc(len > 0 ? len : 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (char)((i * 31u + seed) >> 3);
    }
    return slice_make(bytes, len);
}

/* --- answers ---------------------------------------------------------------------------------- */

static void test_call_brings_back_what_was_answered(void **state)
{
    static const size_t lens[] = { 0, 1, 3, 4, 31, 1020, 1024, 4096, 65537, 3u << 20 };
    struct fixture *f = *state;
    for (int scheme = 0; scheme < SCHEMES; scheme++) {
        struct link l;
        link_open(f, &l, (enum scheme)scheme);
        for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
            struct slice m = pattern(lens[i], (unsigned)i);
            struct transport_reply *reply = NULL;
            enum shoal_err rc = transport_call_wait(l.peer, m, PATIENCE_MS, &reply, &f->why);
            assert_int_equal(rc, SHOAL_OK);
            assert_true(slice_equal(transport_reply_bytes(reply), m));
            assert_int_equal((uintptr_t)transport_reply_bytes(reply).data % 4, 0);
            transport_reply_free(reply);
            free((void *)m.data);
        }
        assert_int_equal(l.server.misaligned, 0);
        link_close(&l);
    }
}

static void test_message_limit_is_exact(void **state)
{
    struct fixture *f = *state;
    struct slice m = pattern((size_t)WIRE_MESSAGE_MAX + 1, 7);
    for (int scheme = 0; scheme < SCHEMES; scheme++) {
        struct link l;
        struct transport_reply *reply = NULL;
        link_open(f, &l, (enum scheme)scheme);
        assert_true(echoes(l.peer, slice_make(m.data, WIRE_MESSAGE_MAX), PATIENCE_MS));
        assert_int_equal(transport_call_wait(l.peer, m, PATIENCE_MS, &reply, &f->why),
                         SHOAL_ETOOBIG);
        assert_null(reply);
        assert_true(echoes(l.peer, SLICE_LIT("still there"), PATIENCE_MS));
        link_close(&l);
    }
    free((void *)m.data);
}

static void answer_too_much(void *arg, struct transport_exchange *x, struct slice message)
{
    struct slice *much = arg;
    (void)message;
    transport_answer(x, *much);
}

static void test_answer_over_the_limit_becomes_an_error_reply(void **state)
{
    struct fixture *f = *state;
    struct slice much = pattern((size_t)WIRE_MESSAGE_MAX + 1, 7);
    struct transport_listener *listener = NULL;
    struct transport_peer *peer = NULL;
    struct transport_reply *reply = NULL;
    struct buf request;
    struct frame got;
    char url[URL_ROOM];
    url_make(INPROC, f->dir, f->urls++, url);
    buf_init(&request, 1024);
    const struct frame asked = { .kind = WIRE_SEARCH, .timeout_ms = 5, .trace_id = 77 };
    assert_int_equal(frame_encode(&request, &asked), SHOAL_OK);
    assert_int_equal(transport_listen(f->transport, url, answer_too_much, &much, &listener, NULL),
                     SHOAL_OK);
    assert_int_equal(transport_dial(f->transport, url, &peer, NULL), SHOAL_OK);
    assert_int_equal(transport_call_wait(peer, buf_slice(&request), PATIENCE_MS, &reply, NULL),
                     SHOAL_OK);
    assert_int_equal(frame_decode(transport_reply_bytes(reply), &got, NULL), SHOAL_OK);
    assert_int_equal(got.status, SHOAL_ETOOBIG);
    assert_int_equal(got.trace_id, 77);
    assert_true(got.is_reply);
    transport_reply_free(reply);
    transport_peer_free(peer);
    transport_listener_free(listener);
    buf_release(&request);
    free((void *)much.data);
}

struct caller {
    struct thread thread;
    struct transport_peer *peer;
    unsigned id;
    unsigned wrong;
};

static void call_many(void *arg)
{
    struct caller *c = arg;
    for (unsigned i = 0; i < CALLS_EACH; i++) {
        char text[64];
        int n = snprintf(text, sizeof(text), "caller %u call %u", c->id, i);
        c->wrong += !echoes(c->peer, slice_make(text, (size_t)n), PATIENCE_MS);
    }
}

static void test_concurrent_callers_each_get_their_own_answer(void **state)
{
    struct fixture *f = *state;
    for (int scheme = 0; scheme < SCHEMES; scheme++) {
        struct link l;
        struct caller callers[THREADS];
        link_open(f, &l, (enum scheme)scheme);
        for (unsigned i = 0; i < THREADS; i++) {
            callers[i] = (struct caller){ .peer = l.peer, .id = i };
            assert_int_equal(
                thread_start(&callers[i].thread, "caller", call_many, &callers[i], NULL), SHOAL_OK);
        }
        for (unsigned i = 0; i < THREADS; i++) {
            thread_join(&callers[i].thread);
            assert_int_equal(callers[i].wrong, 0);
        }
        assert_true(gate_wait(&l.server.requests, THREADS * CALLS_EACH));
        link_close(&l);
    }
}

/* Each call's own bytes: its number, and more than a connection takes at once when all answer. */
static struct slice numbered(uint32_t i)
{
    static char bytes[64u << 10];
    memcpy(bytes, &i, sizeof(i));
    return slice_make(bytes, sizeof(bytes));
}

static void hold_and_answer(struct link *l, struct outcome *outcomes, uint32_t calls, size_t seen)
{
    struct gate answered;
    gate_init(&answered);
    server_hold(&l->server, true);
    for (uint32_t i = 0; i < calls; i++) {
        outcomes[i] = (struct outcome){ .gate = &answered };
        assert_int_equal(
            transport_call(l->peer, numbered(i), PATIENCE_MS, outcome_on_reply, &outcomes[i]),
            SHOAL_OK);
    }
    assert_true(gate_wait(&l->server.requests, seen + calls));
    assert_int_equal(server_answer_all(&l->server), calls);
    assert_true(gate_wait(&answered, calls));
    for (uint32_t i = 0; i < calls; i++) {
        assert_int_equal(outcomes[i].rc, SHOAL_OK);
        assert_int_equal(outcomes[i].times, 1);
        assert_true(slice_equal(transport_reply_bytes(outcomes[i].reply), numbered(i)));
        transport_reply_free(outcomes[i].reply);
    }
    gate_release(&answered);
}

/* All are held at once, so answers come in another order than requests; and again, so that every
 * exchange has come round. */
static void test_many_exchanges_are_held_and_answered_in_any_order(void **state)
{
    enum { CALLS = TRANSPORT_EXCHANGES_MAX, ROUNDS = 3 };
    struct fixture *f = *state;
    for (int scheme = 0; scheme < SCHEMES; scheme++) {
        static struct outcome outcomes[CALLS];
        struct link l;
        link_open(f, &l, (enum scheme)scheme);
        for (size_t round = 0; round < ROUNDS; round++) {
            hold_and_answer(&l, outcomes, CALLS, round * CALLS);
        }
        link_close(&l);
    }
}

struct chain {
    struct transport_peer *peer;
    unsigned left;
    unsigned failed;
    struct gate done;
};

static void chain_next(void *arg, enum shoal_err rc, struct transport_reply *reply)
{
    struct chain *c = arg;
    transport_reply_free(reply);
    c->failed += rc != SHOAL_OK;
    if (c->left-- == 0 || rc != SHOAL_OK ||
        transport_call(c->peer, SLICE_LIT("next"), PATIENCE_MS, chain_next, c) != SHOAL_OK) {
        gate_pass(&c->done);
    }
}

static void test_callback_may_call_again(void **state)
{
    struct fixture *f = *state;
    for (int scheme = 0; scheme < SCHEMES; scheme++) {
        struct link l;
        struct chain c = { .left = 3000 };
        gate_init(&c.done);
        link_open(f, &l, (enum scheme)scheme);
        c.peer = l.peer;
        chain_next(&c, SHOAL_OK, NULL);
        assert_true(gate_wait(&c.done, 1));
        assert_int_equal(c.failed, 0);
        assert_true(gate_wait(&l.server.requests, 3000));
        link_close(&l);
        gate_release(&c.done);
    }
}

/* --- limits and ends -------------------------------------------------------------------------- */

static void test_calls_under_way_are_bounded_and_close_ends_them(void **state)
{
    struct fixture *f = *state;
    static struct outcome outcomes[TRANSPORT_CALLS_MAX];
    struct gate answered;
    struct link l;
    memset(outcomes, 0, sizeof(outcomes));
    gate_init(&answered);
    link_open(f, &l, INPROC);
    server_hold(&l.server, true);
    for (size_t i = 0; i < TRANSPORT_CALLS_MAX; i++) {
        outcomes[i].gate = &answered;
        assert_int_equal(
            transport_call(l.peer, SLICE_LIT("x"), PATIENCE_MS, outcome_on_reply, &outcomes[i]),
            SHOAL_OK);
    }
    assert_int_equal(transport_call(l.peer, SLICE_LIT("x"), PATIENCE_MS, outcome_on_reply, NULL),
                     SHOAL_EBUSY);
    transport_peer_close(l.peer);
    transport_peer_close(l.peer);
    assert_int_equal(transport_call(l.peer, SLICE_LIT("x"), PATIENCE_MS, outcome_on_reply, NULL),
                     SHOAL_ECANCELED);
    assert_true(gate_wait(&answered, TRANSPORT_CALLS_MAX));
    transport_peer_free(l.peer);
    for (size_t i = 0; i < TRANSPORT_CALLS_MAX; i++) {
        assert_int_equal(outcomes[i].times, 1);
        assert_int_equal(outcomes[i].rc, SHOAL_ECANCELED);
    }
    server_hold(&l.server, false);
    (void)server_answer_all(&l.server); /* nobody waits: dropped */
    server_close(&l.server);
    gate_release(&answered);
}

static void test_peer_free_ends_calls_that_are_being_answered(void **state)
{
    enum { CALLS = 20 };
    struct fixture *f = *state;
    for (int scheme = 0; scheme < SCHEMES; scheme++) {
        struct outcome outcomes[CALLS] = { { 0 } };
        struct link l;
        struct gate answered;
        gate_init(&answered);
        link_open(f, &l, (enum scheme)scheme);
        server_hold(&l.server, true);
        for (size_t i = 0; i < CALLS; i++) {
            outcomes[i].gate = &answered;
            assert_int_equal(
                transport_call(l.peer, SLICE_LIT("x"), PATIENCE_MS, outcome_on_reply, &outcomes[i]),
                SHOAL_OK);
        }
        assert_true(gate_wait(&l.server.requests, CALLS));
        transport_peer_free(l.peer);
        for (size_t i = 0; i < CALLS; i++) {
            assert_int_equal(outcomes[i].times, 1);
            assert_int_equal(outcomes[i].rc, SHOAL_ECANCELED);
        }
        assert_int_equal(server_answer_all(&l.server), CALLS); /* nobody waits: dropped */
        server_close(&l.server);
        gate_release(&answered);
    }
}

struct closer {
    struct thread thread;
    struct server *server;
    struct gate closed;
};

static void close_listener(void *arg)
{
    struct closer *c = arg;
    transport_listener_free(c->server->listener);
    gate_pass(&c->closed);
}

static void test_listener_free_waits_for_exchanges_under_way(void **state)
{
    enum { CALLS = 12 };
    struct fixture *f = *state;
    for (int scheme = 0; scheme < SCHEMES; scheme++) {
        struct outcome outcomes[CALLS] = { { 0 } };
        struct link l;
        struct gate answered;
        struct closer closer = { .server = &l.server };
        gate_init(&answered);
        gate_init(&closer.closed);
        link_open(f, &l, (enum scheme)scheme);
        server_hold(&l.server, true);
        for (size_t i = 0; i < CALLS; i++) {
            outcomes[i].gate = &answered;
            assert_int_equal(
                transport_call(l.peer, SLICE_LIT("x"), PATIENCE_MS, outcome_on_reply, &outcomes[i]),
                SHOAL_OK);
        }
        assert_true(gate_wait(&l.server.requests, CALLS));
        assert_int_equal(thread_start(&closer.thread, "closer", close_listener, &closer, NULL),
                         SHOAL_OK);
        assert_int_equal(gate_count(&closer.closed), 0); /* it cannot pass: 12 are held */
        assert_int_equal(server_answer_all(&l.server), CALLS);
        assert_true(gate_wait(&closer.closed, 1));
        thread_join(&closer.thread);
        assert_true(gate_wait(&answered, CALLS));
        for (size_t i = 0; i < CALLS; i++) {
            assert_int_equal(outcomes[i].rc, SHOAL_OK);
            transport_reply_free(outcomes[i].reply);
        }
        transport_peer_free(l.peer);
        l.server.listener = NULL;
        server_close(&l.server);
        gate_release(&answered);
        gate_release(&closer.closed);
    }
}

static void test_taken_and_bad_addresses_are_refused(void **state)
{
    static const char *const bad[] = { "",          "tcp://",        "127.0.0.1:1", "ws://h:1/x",
                                       "tcp://h:x", "tcp://h:99999", "ipc://",      "nonsense" };
    struct fixture *f = *state;
    for (int scheme = 0; scheme < SCHEMES; scheme++) {
        struct link l;
        struct transport_listener *second = NULL;
        link_open(f, &l, (enum scheme)scheme);
        const char *url = transport_listener_url(l.server.listener);
        assert_int_equal(
            transport_listen(f->transport, url, server_on_request, NULL, &second, &f->why),
            SHOAL_EEXISTS);
        assert_null(second);
        assert_non_null(strstr(f->why.text, url));
        assert_true(echoes(l.peer, SLICE_LIT("the first goes on"), PATIENCE_MS));
        link_close(&l);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct transport_listener *listener = NULL;
        enum shoal_err rc = transport_listen(f->transport, bad[i], server_on_request, NULL,
                                             &listener, &f->why);
        if (rc == SHOAL_OK) {
            fail_msg("\"%s\" was accepted", bad[i]);
        }
        assert_null(listener);
    }
    struct transport_peer *peer = NULL;
    assert_int_equal(transport_dial(f->transport, "tls+tcp://h:1", &peer, &f->why),
                     SHOAL_EUNSUPPORTED);
    assert_int_equal(transport_dial(f->transport, "nonsense", &peer, &f->why), SHOAL_EINVAL);
}

static void test_port_zero_takes_a_free_port(void **state)
{
    struct fixture *f = *state;
    struct link a;
    struct link b;
    link_open(f, &a, TCP);
    link_open(f, &b, TCP);
    /* Also because NNG 1.12 leaks a connection whose dialer is closed before it is known. */
    assert_true(echoes(a.peer, SLICE_LIT("a"), PATIENCE_MS));
    assert_true(echoes(b.peer, SLICE_LIT("b"), PATIENCE_MS));
    assert_string_not_equal(transport_listener_url(a.server.listener), "tcp://127.0.0.1:0");
    assert_string_not_equal(transport_listener_url(a.server.listener),
                            transport_listener_url(b.server.listener));
    link_close(&a);
    link_close(&b);
}

/* --- memory ----------------------------------------------------------------------------------- */

struct nth {
    size_t at;
    size_t seen;
};

static bool fail_nth(void *arg, size_t size)
{
    struct nth *n = arg;
    (void)size;
    return n->seen++ != n->at;
}

/* One round of everything; returns the first failure. No other thread allocates through mem.h
 * before the call, and the exchange that grows a listener does without. */
static enum shoal_err round_of_everything(struct fixture *f, const char *url)
{
    struct transport_listener *listener = NULL;
    struct transport_peer *peer = NULL;
    struct transport_reply *reply = NULL;
    static struct server s;
    memset(&s, 0, sizeof(s));
    gate_init(&s.requests);
    mutex_init(&s.mutex);
    enum shoal_err rc = transport_listen(f->transport, url, server_on_request, &s, &listener,
                                         &f->why);
    if (rc == SHOAL_OK) {
        rc = transport_dial(f->transport, url, &peer, &f->why);
    }
    if (rc == SHOAL_OK) {
        rc = transport_call_wait(peer, SLICE_LIT("x"), PATIENCE_MS, &reply, &f->why);
    }
    transport_reply_free(reply);
    transport_peer_free(peer);
    transport_listener_free(listener);
    gate_release(&s.requests);
    mutex_release(&s.mutex);
    return rc;
}

static void test_each_failed_allocation_is_survived(void **state)
{
    struct fixture *f = *state;
    char url[URL_ROOM];
    enum shoal_err rc = SHOAL_ENOMEM;
    size_t rounds = 0;
    url_make(INPROC, f->dir, f->urls++, url);
    size_t live = mem_live();
    for (; rc == SHOAL_ENOMEM && rounds < 1000; rounds++) {
        struct nth nth = { .at = rounds };
        const struct mem_hook hook = { .may_alloc = fail_nth, .arg = &nth };
        mem_hook_set(&hook);
        rc = round_of_everything(f, url);
        mem_hook_set(NULL);
        assert_int_equal(mem_live(), live);
    }
    assert_int_equal(rc, SHOAL_OK);
    assert_true(rounds > 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_call_brings_back_what_was_answered),
        TEST(test_message_limit_is_exact),
        TEST(test_answer_over_the_limit_becomes_an_error_reply),
        TEST(test_concurrent_callers_each_get_their_own_answer),
        TEST(test_many_exchanges_are_held_and_answered_in_any_order),
        TEST(test_callback_may_call_again),
        TEST(test_calls_under_way_are_bounded_and_close_ends_them),
        TEST(test_peer_free_ends_calls_that_are_being_answered),
        TEST(test_listener_free_waits_for_exchanges_under_way),
        TEST(test_taken_and_bad_addresses_are_refused),
        TEST(test_port_zero_takes_a_free_port),
        TEST(test_each_failed_allocation_is_survived),
    };
    return cmocka_run_group_tests_name("transport over NNG", tests, NULL, NULL);
}
