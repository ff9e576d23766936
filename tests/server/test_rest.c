/* What happens to a request around its handler: routes, forms, limits, metrics, carriers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/streams.h"
#include "tests/server/rest_fixture.h"

static int setup(void **state)
{
    return rest_setup(state, NULL);
}

static int setup_limited(void **state)
{
    return rest_setup(state, "req=requests:2/h; gen=generated_tokens:20/h");
}

/* --- routes and forms ------------------------------------------------------------------------ */

static void test_an_unknown_path_is_told_in_the_form_of_its_api(void **state)
{
    struct rest_fixture *f = *state;
    struct http_reply r = ask(f, "GET /collectionz", "");
    assert_status(r, 404);
    assert_has(r, "\"status\":{\"error\":\"Not found: no such path: /collectionz\"");
    r = ask(f, "POST /v1/chat/nonsense", "{}");
    assert_status(r, 404);
    assert_has(r, "\"error\":{\"message\":\"no such path");
}

static void test_a_wrong_method_names_the_right_ones(void **state)
{
    struct rest_fixture *f = *state;
    struct http_reply r = ask(f, "DELETE /v1/chat/completions", "");
    assert_status(r, 405);
    assert_field(r, "Allow", "POST");
    r = ask(f, "POST /healthz", "");
    assert_status(r, 405);
    assert_field(r, "Allow", "GET, HEAD");
}

static void test_a_route_that_is_not_built_says_what_it_would_be(void **state)
{
    struct rest_fixture *f = *state;
    struct http_reply r = ask(f, "POST /v1/completions", "{}");
    assert_status(r, 501);
    assert_has(r, "use /v1/chat/completions");
}

static void test_arguments_are_checked_before_the_handler_runs(void **state)
{
    struct rest_fixture *f = *state;
    assert_status(ask(f, "POST /v1/embeddings?tmeout=3", "{\"input\":\"x\"}"), 400);
    assert_status(ask(f, "POST /v1/embeddings?timeout=0", "{\"input\":\"x\"}"), 400);
    assert_int_equal(f->script.embedded, 0);
    assert_status(ask(f, "POST /v1/embeddings?timeout=3", "{\"input\":\"x\"}"), 200);
    assert_status(ask(f, "GET /healthz?whatever=1", ""), 200);
}

static void test_a_body_that_is_missing_or_no_json_is_refused(void **state)
{
    struct rest_fixture *f = *state;
    assert_status(ask(f, "POST /v1/embeddings", ""), 400);
    struct http_reply r = ask(f, "POST /v1/collections/c/search", "{\"text\":");
    assert_status(r, 400);
    assert_has(r, "Format error in JSON body: ");
    assert_has(r, "\"code\":\"parse_failed\"");
}

static void test_health_says_whether_the_process_takes_requests(void **state)
{
    struct rest_fixture *f = *state;
    assert_status(ask(f, "GET /healthz", ""), 200);
    assert_status(ask(f, "GET /livez", ""), 200);
    assert_status(ask(f, "GET /readyz", ""), 200);
    f->ready = false;
    assert_status(ask(f, "GET /readyz", ""), 503);
    assert_status(ask(f, "GET /livez", ""), 200);
}

static void test_the_root_tells_versions(void **state)
{
    struct rest_fixture *f = *state;
    struct http_reply r = ask(f, "GET /", "");
    assert_status(r, 200);
    assert_has(r, "\"version\":\"1.");
    assert_has(r, "\"shoal\":\"1.2.3\"");
}

static void test_metrics_count_requests_by_route_and_status(void **state)
{
    struct rest_fixture *f = *state;
    assert_status(ask(f, "GET /v1/models", ""), 200);
    assert_status(ask(f, "GET /v1/models", ""), 200);
    assert_status(ask(f, "GET /v1/models/nobody", ""), 404);
    struct http_reply r = ask(f, "GET /metrics", "");
    assert_status(r, 200);
    assert_field(r, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    assert_has(r,
               "shoal_rest_requests_total{method=\"GET\",route=\"/v1/models\",status=\"200\"} 2");
    assert_has(r, "route=\"/v1/models/{m}\",status=\"404\"} 1");
    assert_has(r, "shoal_rest_request_seconds_count{method=\"GET\",route=\"/v1/models\"} 2");
}

/* --- limits --------------------------------------------------------------------------------- */

static void test_a_tenant_over_its_limit_is_told_when_to_come_again(void **state)
{
    struct rest_fixture *f = *state;
    struct http_reply r = ask(f, "POST /v1/embeddings", "{\"input\":\"x\"}");
    assert_status(r, 200);
    assert_field(r, "RateLimit-Policy", "\"req\";q=2;w=3600");
    const char *left = http_reply_field(&r, "RateLimit");
    assert_non_null(left);
    assert_non_null(strstr(left, "\"req\";r=1;"));
    assert_status(ask(f, "POST /v1/embeddings", "{\"input\":\"x\"}"), 200);
    r = ask(f, "POST /v1/embeddings", "{\"input\":\"x\"}");
    assert_status(r, 429);
    assert_has(r, "\"code\":\"rate_limit_exceeded\"");
    assert_has(r, "is used up; repeat in");
    const char *wait = http_reply_field(&r, "Retry-After");
    assert_non_null(wait);
    assert_in_range(strtol(wait, NULL, 10), 1, 1800);
    assert_non_null(http_reply_field(&r, "RateLimit"));
    assert_int_equal(f->script.embedded, 2);
}

static void test_every_key_has_a_budget_of_its_own(void **state)
{
    struct rest_fixture *f = *state;
    const char *line = "POST /v1/embeddings";
    const char *body = "{\"input\":\"x\"}";
    for (int i = 0; i < 2; i++) {
        assert_status(ask(f, line, body), 200);
        assert_status(ask_with(f, line, "api-key: one\r\n", body), 200);
        assert_status(ask_with(f, line, "Authorization: Bearer two\r\n", body), 200);
    }
    assert_status(ask(f, line, body), 429);
    assert_status(ask_with(f, line, "Authorization: Bearer one\r\n", body), 429);
    assert_status(ask_with(f, line, "api-key: two\r\n", body), 429);
    assert_status(ask_with(f, line, "api-key: three\r\n", body), 200);
}

static void test_health_and_metrics_are_not_limited(void **state)
{
    struct rest_fixture *f = *state;
    for (int i = 0; i < 5; i++) {
        assert_status(ask(f, "GET /healthz", ""), 200);
        assert_status(ask(f, "GET /metrics", ""), 200);
        assert_status(ask(f, "GET /v1/models", ""), 200);
    }
}

static void test_tokens_are_reserved_before_and_settled_after(void **state)
{
    struct rest_fixture *f = *state;
    const char *line = "POST /v1/chat/completions";
    f->script.pieces[0] = "a";
    f->script.pieces[1] = "b";
    f->script.pieces_len = 2;
    /* 500 are more than the rule ever holds: all it holds is reserved, 2 are used. */
    struct http_reply r = ask(
        f, line, "{\"max_tokens\":500,\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]}");
    assert_status(r, 200);
    /* 18 are left: 19 are too many, 18 are not. */
    r = ask(f, line, "{\"max_tokens\":19,\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]}");
    assert_status(r, 429);
    assert_has(r, "generated_tokens");
    assert_non_null(http_reply_field(&r, "Retry-After"));
    const char *left = http_reply_field(&r, "RateLimit");
    assert_non_null(left);
    assert_non_null(strstr(left, "\"req\";r=0;"));
    assert_non_null(strstr(left, "\"gen\";r=18;"));
    r = ask_with(f, line, "api-key: other\r\n",
                 "{\"max_tokens\":18,\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]}");
    assert_status(r, 200);
    assert_int_equal(f->script.opened, 2);
}

/* --- over the wire -------------------------------------------------------------------------- */

static enum shoal_err wire_call(struct rest_fixture *f, const char *method, const char *path,
                                const char *body, struct buf *json, struct errbuf *why)
{
    const struct front_routes *routes = rest_front_routes(f->rest);
    uint64_t deadline_ns = clock_mono_ns(clock_real()) + 10000000000u;
    buf_reset(json);
    return routes->call(routes->arg, slice_from_str(method), slice_from_str(path),
                        slice_from_str(body), deadline_ns, json, why);
}

static void test_the_wire_calls_the_same_routes(void **state)
{
    struct rest_fixture *f = *state;
    struct buf json;
    struct errbuf why = { 0 };
    buf_init(&json, 1u << 20);
    assert_int_equal(wire_call(f, "GET", "/v1/models", "", &json, &why), SHOAL_OK);
    assert_non_null(strstr(buf_cstr(&json), "\"id\":\"talker\""));
    assert_int_equal(wire_call(f, "GET", "/nowhere", "", &json, &why), SHOAL_ENOTFOUND);
    assert_int_equal(wire_call(f, "BREW", "/v1/models", "", &json, &why), SHOAL_EINVAL);
    assert_int_equal(wire_call(f, "GET", "/metrics", "", &json, &why), SHOAL_EUNSUPPORTED);
    assert_int_equal(wire_call(f, "GET", "/%zz", "", &json, &why), SHOAL_EPARSE);
    assert_int_equal(wire_call(f, "POST", "/v1/embeddings", "{\"input\":[]}", &json, &why),
                     SHOAL_EVALIDATION);
    assert_non_null(strstr(why.text, "input"));
    buf_release(&json);
}

static void test_the_wire_is_limited_like_http(void **state)
{
    struct rest_fixture *f = *state;
    struct buf json;
    struct errbuf why = { 0 };
    const char *body = "{\"input\":\"x\"}";
    buf_init(&json, 1u << 20);
    assert_int_equal(wire_call(f, "POST", "/v1/embeddings", body, &json, &why), SHOAL_OK);
    assert_int_equal(wire_call(f, "POST", "/v1/embeddings", body, &json, &why), SHOAL_OK);
    assert_int_equal(wire_call(f, "POST", "/v1/embeddings", body, &json, &why), SHOAL_ELIMITED);
    assert_status(ask(f, "POST /v1/embeddings", body), 429); /* the same tenant */
    buf_release(&json);
}

/* As the NNG front opens one. */
static enum shoal_err open_stream(struct rest_fixture *f, struct streams *streams, const char *path,
                                  const char *body, uint64_t *id, struct errbuf *why)
{
    const struct front_routes *routes = rest_front_routes(f->rest);
    struct stream *stream = NULL;
    assert_int_equal(stream_open(streams, &stream, id), SHOAL_OK);
    enum shoal_err rc = routes->open(routes->arg, SLICE_LIT("POST"), slice_from_str(path),
                                     slice_from_str(body), stream, why);
    if (rc != SHOAL_OK) {
        (void)streams_cancel(streams, *id);
        stream_finish(stream);
    }
    return rc;
}

static void on_stream_request(void *arg, struct transport_exchange *x, struct slice message)
{
    struct frame frame;
    struct arena arena;
    struct errbuf why;
    struct wire_stream_ref ref;
    arena_init(&arena, 1u << 20);
    assert_int_equal(frame_decode(message, &frame, &why), SHOAL_OK);
    assert_int_equal(wire_decode_stream_ref(&frame, &arena, &ref, &why), SHOAL_OK);
    streams_next(arg, x, &frame, &ref);
    arena_release(&arena);
}

/* All pieces of a stream, joined by line breaks. */
static void hear(struct rest_fixture *f, struct streams *streams, uint64_t id, struct buf *out)
{
    struct transport_listener *listener = NULL;
    struct transport_peer *peer = NULL;
    struct errbuf why = { 0 };
    uint32_t from = 0;
    bool done = false;
    must(transport_listen(f->transport, "inproc://streams", on_stream_request, streams, &listener,
                          &why),
         &why);
    must(transport_dial(f->transport, "inproc://streams", &peer, &why), &why);
    while (!done) {
        struct buf request;
        struct arena arena;
        struct transport_reply *reply = NULL;
        struct wire_stream_pieces pieces;
        const struct wire_meta meta = { .timeout_ms = 10000 };
        const struct wire_stream_ref ref = { .stream = id, .from = from, .wait_ms = 5000 };
        buf_init(&request, 4096);
        arena_init(&arena, 1u << 20);
        must(wire_encode_stream_ref(&request, WIRE_STREAM_NEXT, &meta, &ref), &why);
        must(transport_call_wait(peer, buf_slice(&request), 10000, &reply, &why), &why);
        must(wire_read_stream_pieces(transport_reply_bytes(reply), &arena, &pieces, &why), &why);
        for (uint32_t i = 0; i < pieces.pieces_len; i++) {
            (void)buf_append_slice(out, pieces.pieces[i]);
            (void)buf_append_str(out, "\n");
        }
        from += pieces.pieces_len;
        done = pieces.done;
        transport_reply_free(reply);
        arena_release(&arena);
        buf_release(&request);
    }
    transport_peer_free(peer);
    transport_listener_free(listener);
}

static void test_a_stream_of_the_wire_gets_the_pieces(void **state)
{
    struct rest_fixture *f = *state;
    struct streams *streams = NULL;
    struct errbuf why = { 0 };
    struct buf text;
    uint64_t id = 0;
    f->script.pieces[0] = "Hello";
    f->script.pieces_len = 1;
    buf_init(&text, 1u << 20);
    must(streams_new(&streams, &why), &why);
    must(open_stream(f, streams, "/v1/chat/completions",
                     "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]}", &id, &why),
         &why);
    hear(f, streams, id, &text);
    assert_non_null(strstr(buf_cstr(&text), "\"content\":\"Hello\""));
    assert_non_null(strstr(buf_cstr(&text), "\"finish_reason\":\"stop\""));
    assert_null(strstr(buf_cstr(&text), "[DONE]"));
    buf_reset(&text);
    /* An answer that is no stream is one piece; a failure is told as one. */
    must(open_stream(f, streams, "/v1/embeddings", "{\"input\":\"x\"}", &id, &why), &why);
    hear(f, streams, id, &text);
    assert_non_null(strstr(buf_cstr(&text), "\"object\":\"embedding\""));
    buf_reset(&text);
    must(open_stream(f, streams, "/v1/embeddings", "{\"input\":7}", &id, &why), &why);
    hear(f, streams, id, &text);
    assert_non_null(strstr(buf_cstr(&text), "{\"error\":{\"message\":\"input as tokens"));
    assert_int_equal(open_stream(f, streams, "/nowhere", "", &id, &why), SHOAL_ENOTFOUND);
    buf_release(&text);
    rest_stop(f->rest);
    streams_free(streams);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, rest_teardown)
#define LIMITED(test) cmocka_unit_test_setup_teardown(test, setup_limited, rest_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_an_unknown_path_is_told_in_the_form_of_its_api),
        WITH(test_a_wrong_method_names_the_right_ones),
        WITH(test_a_route_that_is_not_built_says_what_it_would_be),
        WITH(test_arguments_are_checked_before_the_handler_runs),
        WITH(test_a_body_that_is_missing_or_no_json_is_refused),
        WITH(test_health_says_whether_the_process_takes_requests),
        WITH(test_the_root_tells_versions),
        WITH(test_metrics_count_requests_by_route_and_status),
        LIMITED(test_a_tenant_over_its_limit_is_told_when_to_come_again),
        LIMITED(test_every_key_has_a_budget_of_its_own),
        LIMITED(test_health_and_metrics_are_not_limited),
        LIMITED(test_tokens_are_reserved_before_and_settled_after),
        WITH(test_the_wire_calls_the_same_routes),
        LIMITED(test_the_wire_is_limited_like_http),
        WITH(test_a_stream_of_the_wire_gets_the_pieces),
    };
    return cmocka_run_group_tests_name("rest", tests, NULL, NULL);
}
