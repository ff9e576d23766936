/* The forms of OpenAI's API, over a generator that answers by script. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "tests/server/rest_fixture.h"

#define CHAT "POST /v1/chat/completions"
#define QUESTION "\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]"

static int setup(void **state)
{
    int rc = rest_setup(state, NULL);
    struct rest_fixture *f = *state;
    if (rc == 0) {
        f->script.pieces[0] = "Hel";
        f->script.pieces[1] = "lo \"you\"";
        f->script.pieces_len = 2;
    }
    return rc;
}

/* --- chat ----------------------------------------------------------------------------------- */

static void test_a_whole_answer_has_the_form(void **state)
{
    struct rest_fixture *f = *state;
    struct http_reply r = ask(f, CHAT, "{\"model\":\"talker\"," QUESTION "}");
    assert_status(r, 200);
    assert_field(r, "Content-Type", "application/json");
    assert_has(r, "{\"id\":\"chatcmpl-");
    assert_has(r, "\"object\":\"chat.completion\",\"created\":1");
    assert_has(r, "\"model\":\"talker\"");
    assert_has(r, "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
                  "\"Hello \\\"you\\\"\",\"refusal\":null},\"logprobs\":null,"
                  "\"finish_reason\":\"stop\"}]");
    assert_has(r, "\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,\"total_tokens\":9}}");
}

static void test_what_is_asked_reaches_the_generator(void **state)
{
    struct rest_fixture *f = *state;
    struct http_reply r = ask(
        f, CHAT,
        "{\"messages\":[{\"role\":\"developer\",\"content\":\"be brief\"},{\"role\":\"user\","
        "\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]}],"
        "\"max_completion_tokens\":33,\"temperature\":0.5,\"top_p\":0.25,\"seed\":9,"
        "\"stop\":\"END\",\"n\":1,\"user\":\"u\",\"tools\":[],\"logprobs\":false}");
    assert_status(r, 200);
    assert_string_equal(
        f->script.request,
        "{\"messages\":[{\"role\":\"system\",\"content\":\"be brief\"},{\"role\":\"user\","
        "\"content\":\"ab\"}],\"stop\":[\"END\"],\"max_tokens\":33,\"temperature\":0.5,"
        "\"top_p\":0.25,\"seed\":9}");
}

static void test_an_answer_that_was_cut_says_length(void **state)
{
    struct rest_fixture *f = *state;
    f->script.finish = "length";
    assert_has(ask(f, CHAT, "{" QUESTION "}"), "\"finish_reason\":\"length\"");
}

static void test_chunks_have_the_form(void **state)
{
    struct rest_fixture *f = *state;
    struct http_reply r = ask(f, CHAT, "{\"stream\":true," QUESTION "}");
    assert_status(r, 200);
    assert_field(r, "Content-Type", "text/event-stream; charset=utf-8");
    assert_true(strncmp(r.body, "data: {\"id\":\"chatcmpl-", 22) == 0);
    assert_has(r, "\"object\":\"chat.completion.chunk\"");
    assert_has(r, "\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
                  "\"finish_reason\":null}]}\n\n");
    assert_has(r, "\"delta\":{\"content\":\"Hel\"}");
    assert_has(r, "\"delta\":{\"content\":\"lo \\\"you\\\"\"}");
    assert_has(r, "\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n");
    assert_lacks(r, "usage");
    assert_string_equal(r.body + r.body_len - 14, "data: [DONE]\n\n");
}

static void test_usage_comes_last_when_asked_for(void **state)
{
    struct rest_fixture *f = *state;
    struct http_reply r = ask(
        f, CHAT, "{\"stream\":true,\"stream_options\":{\"include_usage\":true}," QUESTION "}");
    assert_status(r, 200);
    assert_has(r, "\"finish_reason\":null}],\"usage\":null}\n\n");
    assert_has(r, "\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,"
                  "\"total_tokens\":9}}\n\ndata: [DONE]\n\n");
}

static void test_a_failure_before_the_first_token_has_a_status(void **state)
{
    struct rest_fixture *f = *state;
    f->script.fail = SHOAL_EBUSY;
    struct http_reply r = ask(f, CHAT, "{\"stream\":true," QUESTION "}");
    assert_status(r, 503);
    assert_field(r, "Retry-After", "1");
    assert_has(r, "\"type\":\"server_error\",\"param\":null,\"code\":\"busy\"}}");
    assert_has(r, "scripted failure");
}

static void test_a_failure_after_it_comes_in_the_place_of_a_chunk(void **state)
{
    struct rest_fixture *f = *state;
    f->script.breaks = true;
    struct http_reply r = ask(f, CHAT, "{\"stream\":true," QUESTION "}");
    assert_status(r, 200);
    assert_has(r, "\"delta\":{\"content\":\"Hel\"}");
    assert_has(r, "data: {\"error\":{\"message\":\"generator g: the model broke\"");
    assert_lacks(r, "[DONE]");
    r = ask(f, CHAT, "{" QUESTION "}");
    assert_status(r, 500);
}

static void test_a_client_that_leaves_stops_the_generation(void **state)
{
    struct rest_fixture *f = *state;
    f->script.endless = true;
    static const char body[] = "{\"stream\":true," QUESTION "}";
    char text[512];
    snprintf(text, sizeof(text), CHAT " HTTP/1.1\r\nHost: t\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(body), body);
    assert_true(http_client_send(&f->client, text));
    assert_true(http_client_await(&f->client, 2000));
    http_client_close(&f->client);
    await_cancel(&f->script);
    http_client_open(&f->client, http_server_address(f->server));
}

static void test_a_bad_request_is_refused_with_the_argument(void **state)
{
    static const struct {
        const char *body;
        int status;
        const char *says;
    } cases[] = {
        { "{}", 400, "messages: missing" },
        { "[]", 400, "the body must be an object" },
        { "{\"messages\":[]}", 400, "messages: from 1" },
        { "{\"messages\":[{\"role\":\"king\",\"content\":\"x\"}]}", 400, "messages[0].role" },
        { "{\"messages\":[{\"role\":\"user\"}]}", 400, "messages[0].content" },
        { "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}", 501,
          "parts of type image_url" },
        { "{\"max_tokens\":0," QUESTION "}", 400, "max_tokens: must be from 1" },
        { "{\"temperature\":3," QUESTION "}", 400, "temperature: must be from 0 to 2" },
        { "{\"stop\":[1]," QUESTION "}", 400, "stop: must be" },
        { "{\"n\":2," QUESTION "}", 501, "n other than 1" },
        { "{\"tools\":[{}]," QUESTION "}", 501, "tools" },
        { "{\"response_format\":{\"type\":\"json_object\"}," QUESTION "}", 501, "response_format" },
        { "{\"stream_options\":{\"x\":1}," QUESTION "}", 400, "unknown option" },
        { "{\"maxtokens\":3," QUESTION "}", 400,
          "Unrecognized request argument supplied: maxtokens" },
        { "{\"model\":\"nobody\"," QUESTION "}", 404, "The model `nobody` does not exist" },
        { "{\"model\":\"mapper\"," QUESTION "}", 404, "The model `mapper` does not exist" },
    };
    struct rest_fixture *f = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_reply r = ask(f, CHAT, cases[i].body);
        assert_status(r, cases[i].status);
        assert_has(r, "{\"error\":{\"message\":\"");
        assert_has(r, cases[i].says);
    }
    assert_int_equal(f->script.opened, 0);
}

/* --- embeddings and models ------------------------------------------------------------------ */

static void test_embeddings_come_as_floats_or_base64(void **state)
{
    struct rest_fixture *f = *state;
    struct http_reply r = ask(f, "POST /v1/embeddings", "{\"input\":\"x\",\"model\":\"mapper\"}");
    assert_status(r, 200);
    assert_string_equal(r.body, "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\","
                                "\"index\":0,\"embedding\":[1.0,0.25,0.5]}],\"model\":\"mapper\","
                                "\"usage\":{\"prompt_tokens\":5,\"total_tokens\":5}}");
    r = ask(f, "POST /v1/embeddings",
            "{\"input\":[\"x\",\"y\"],\"encoding_format\":\"base64\",\"dimensions\":3}");
    assert_status(r, 200);
    /* 0000803f 0000803e 0000003f */
    assert_has(r, "\"index\":1,\"embedding\":\"AACAPwAAgD4AAAA/\"}]");
}

static void test_many_inputs_are_embedded_in_their_order(void **state)
{
    struct rest_fixture *f = *state;
    struct buf body;
    buf_init(&body, 1u << 16);
    (void)buf_append_str(&body, "{\"input\":[");
    for (int i = 0; i < 60; i++) {
        (void)buf_printf(&body, "%s\"text %d\"", i == 0 ? "" : ",", i);
    }
    (void)buf_append_str(&body, "]}");
    struct http_reply r = ask(f, "POST /v1/embeddings", buf_cstr(&body));
    assert_status(r, 200);
    assert_has(r, "\"index\":59,");
    assert_int_equal(f->script.embedded, 60);
    buf_release(&body);
}

static void test_bad_inputs_are_refused(void **state)
{
    static const struct {
        const char *body;
        int status;
    } cases[] = {
        { "{}", 400 },
        { "{\"input\":\"\"}", 400 },
        { "{\"input\":[]}", 400 },
        { "{\"input\":[\"a\",null]}", 400 },
        { "{\"input\":[1,2]}", 501 },
        { "{\"input\":\"x\",\"encoding_format\":\"hex\"}", 400 },
        { "{\"input\":\"x\",\"dimensions\":2}", 501 },
        { "{\"input\":\"x\",\"colour\":2}", 400 },
        { "{\"input\":\"x\",\"model\":\"talker\"}", 404 },
    };
    struct rest_fixture *f = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_status(ask(f, "POST /v1/embeddings", cases[i].body), cases[i].status);
    }
    assert_int_equal(f->script.embedded, 0);
}

static void test_models_are_listed_and_found(void **state)
{
    struct rest_fixture *f = *state;
    struct http_reply r = ask(f, "GET /v1/models", "");
    assert_status(r, 200);
    assert_has(r, "{\"object\":\"list\",\"data\":[{\"id\":\"talker\",\"object\":\"model\"");
    assert_has(r, "\"id\":\"mapper\"");
    assert_status(ask(f, "GET /v1/models/mapper", ""), 200);
    r = ask(f, "GET /v1/models/nobody", "");
    assert_status(r, 404);
    assert_has(r, "\"code\":\"model_not_found\"");
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, rest_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_a_whole_answer_has_the_form),
        WITH(test_what_is_asked_reaches_the_generator),
        WITH(test_an_answer_that_was_cut_says_length),
        WITH(test_chunks_have_the_form),
        WITH(test_usage_comes_last_when_asked_for),
        WITH(test_a_failure_before_the_first_token_has_a_status),
        WITH(test_a_failure_after_it_comes_in_the_place_of_a_chunk),
        WITH(test_a_client_that_leaves_stops_the_generation),
        WITH(test_a_bad_request_is_refused_with_the_argument),
        WITH(test_embeddings_come_as_floats_or_base64),
        WITH(test_many_inputs_are_embedded_in_their_order),
        WITH(test_bad_inputs_are_refused),
        WITH(test_models_are_listed_and_found),
    };
    return cmocka_run_group_tests_name("rest_openai", tests, NULL, NULL);
}
