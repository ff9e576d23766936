/* POST /v1/chat/completions, whole or in chunks. */
#include "server/rest_openai.h"

#include "server/rest_chat.h"
#include "server/rest_routes.h"
#include "server/rest_run.h"
#include "slm/generator.h"

#include <inttypes.h>
#include <stdio.h>

#define CHUNK_MAX (1u << 20)
#define ANSWER_MAX (16u << 20)

struct chat {
    struct rest_call *call;
    const struct chat_request *request;
    struct generator_model model;
    char id[32];
    uint64_t created;
    bool as_events;
    struct buf text; /* of a whole answer */
    struct generate_stats stats;
    enum shoal_err rc; /* of telling the pieces */
};

/* --- pieces of both forms ------------------------------------------------------------------- */

/* What the API calls the generator's word for the end. */
static const char *finish_reason(const struct generate_stats *stats)
{
    return strcmp(stats->finish, "stop") == 0 ? "stop" : "length";
}

static void put_text(struct json_writer *w, const char *key, const char *value)
{
    json_key(w, key);
    json_put_str(w, value);
}

static void put_head(struct json_writer *w, const struct chat *c, const char *object)
{
    json_begin_object(w);
    put_text(w, "id", c->id);
    put_text(w, "object", object);
    json_key(w, "created");
    json_put_u64(w, c->created);
    put_text(w, "model", c->model.name);
    json_key(w, "system_fingerprint");
    json_put_null(w);
    json_key(w, "choices");
    json_begin_array(w);
}

static void put_usage(struct json_writer *w, const struct generate_stats *stats)
{
    json_key(w, "usage");
    json_begin_object(w);
    json_key(w, "prompt_tokens");
    json_put_u64(w, stats->prompt_tokens);
    json_key(w, "completion_tokens");
    json_put_u64(w, stats->generated_tokens);
    json_key(w, "total_tokens");
    json_put_u64(w, stats->prompt_tokens + stats->generated_tokens);
    json_end_object(w);
}

/* --- chunks --------------------------------------------------------------------------------- */

enum chunk { CHUNK_ROLE, CHUNK_TEXT, CHUNK_FINISH, CHUNK_USAGE };

static void put_choice(struct json_writer *w, const struct chat *c, enum chunk kind,
                       struct slice text)
{
    json_begin_object(w);
    json_key(w, "index");
    json_put_u64(w, 0);
    json_key(w, "delta");
    json_begin_object(w);
    if (kind == CHUNK_ROLE) {
        put_text(w, "role", "assistant");
    }
    if (kind != CHUNK_FINISH) {
        json_key(w, "content");
        json_put_string(w, text);
    }
    json_end_object(w);
    json_key(w, "logprobs");
    json_put_null(w);
    json_key(w, "finish_reason");
    if (kind == CHUNK_FINISH) {
        json_put_str(w, finish_reason(&c->stats));
    } else {
        json_put_null(w);
    }
    json_end_object(w);
}

/* False when nobody listens any more, or with c->rc set. */
static bool send_chunk(struct chat *c, enum chunk kind, struct slice text)
{
    struct buf json;
    struct json_writer w;
    buf_init(&json, CHUNK_MAX);
    json_writer_init(&w, &json);
    put_head(&w, c, "chat.completion.chunk");
    if (kind != CHUNK_USAGE) {
        put_choice(&w, c, kind, text);
    }
    json_end_array(&w);
    if (kind == CHUNK_USAGE) {
        put_usage(&w, &c->stats);
    } else if (c->request->include_usage) {
        json_key(&w, "usage");
        json_put_null(&w);
    }
    json_end_object(&w);
    c->rc = json.failed;
    bool going = c->rc == SHOAL_OK && rest_event(c->call, buf_slice(&json));
    buf_release(&json);
    return going;
}

/* Not before there is something to say: until then a failure has a status of its own. */
static bool begin_chunks(struct chat *c)
{
    struct slice empty = { "", 0 };
    if (c->call->events_begun) {
        return true;
    }
    c->rc = rest_events_begin(c->call);
    return c->rc == SHOAL_OK && send_chunk(c, CHUNK_ROLE, empty);
}

static void end_chunks(struct chat *c)
{
    struct slice none = { NULL, 0 };
    bool going = begin_chunks(c) && send_chunk(c, CHUNK_FINISH, none);
    if (going && c->request->include_usage) {
        going = send_chunk(c, CHUNK_USAGE, none);
    }
    if (going && !rest_wants_events(c->call)) { /* a stream of the wire has an end of its own */
        (void)rest_event(c->call, SLICE_LIT("[DONE]"));
    }
}

/* The clients of the API raise what comes as an error in the place of a chunk. */
static void send_error(struct rest_call *call, enum shoal_err rc)
{
    struct buf json;
    buf_init(&json, CHUNK_MAX);
    if (rest_form_event(ROUTE_OPENAI, &json, rc, err_why(&call->why, rc)) == SHOAL_OK) {
        (void)rest_event(call, buf_slice(&json));
    }
    buf_release(&json);
}

/* --- a whole answer ------------------------------------------------------------------------- */

static void put_answer(struct chat *c)
{
    struct json_writer *w = &c->call->w;
    put_head(w, c, "chat.completion");
    json_begin_object(w);
    json_key(w, "index");
    json_put_u64(w, 0);
    json_key(w, "message");
    json_begin_object(w);
    put_text(w, "role", "assistant");
    json_key(w, "content");
    json_put_string(w, buf_slice(&c->text));
    json_key(w, "refusal");
    json_put_null(w);
    json_end_object(w);
    json_key(w, "logprobs");
    json_put_null(w);
    put_text(w, "finish_reason", finish_reason(&c->stats));
    json_end_object(w);
    json_end_array(w);
    put_usage(w, &c->stats);
    json_end_object(w);
}

/* --- generating ----------------------------------------------------------------------------- */

static bool on_piece(void *arg, struct slice text)
{
    struct chat *c = arg;
    if (c->as_events) {
        return begin_chunks(c) && send_chunk(c, CHUNK_TEXT, text);
    }
    c->rc = buf_append_slice(&c->text, text);
    return c->rc == SHOAL_OK;
}

static void print_request(const struct chat *c, struct buf *out)
{
    const struct chat_request *r = c->request;
    struct json_writer w;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key(&w, "messages");
    json_put_raw(&w, r->messages);
    if (r->stops.len > 0) {
        json_key(&w, "stop");
        json_put_raw(&w, r->stops);
    }
    json_key(&w, "max_tokens");
    json_put_u64(&w, r->max_tokens);
    json_key(&w, "temperature");
    json_put_f32(&w, r->temperature);
    json_key(&w, "top_p");
    json_put_f32(&w, r->top_p);
    json_key(&w, "seed");
    json_put_u64(&w,
                 r->has_seed ? r->seed : rand_below(gateway_rand(c->call->gateway), UINT32_MAX));
    json_end_object(&w);
}

static enum shoal_err generate(struct chat *c)
{
    struct rest_call *call = c->call;
    struct buf json;
    buf_init(&json, 4 * GENERATOR_PROMPT_BYTES_MAX);
    print_request(c, &json);
    const struct generate_request request = { .model = slice_from_str(c->model.name),
                                              .json = buf_slice(&json),
                                              .deadline_ns = call->ctx.deadline_ns };
    enum shoal_err rc = json.failed;
    if (rc == SHOAL_OK) {
        rc = generators_generate(gateway_generators(call->gateway), &request, on_piece, c,
                                 &c->stats, &call->why);
    }
    buf_release(&json);
    return rc == SHOAL_OK ? c->rc : rc;
}

static enum shoal_err answer(struct chat *c)
{
    struct rest_call *call = c->call;
    enum shoal_err rc = rest_reserve_tokens(call, c->request->max_tokens);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = generate(c);
    rest_settle_tokens(call, c->stats.generated_tokens);
    if (rc == SHOAL_OK && c->as_events) {
        end_chunks(c);
        rc = c->rc;
    } else if (rc == SHOAL_OK) {
        put_answer(c);
    } else if (call->events_begun) {
        send_error(call, rc);
    }
    return rc;
}

enum shoal_err rest_chat(struct rest_call *call)
{
    struct json_value body;
    struct chat_request request;
    enum shoal_err rc = rest_body(call, &body);
    if (rc == SHOAL_OK) {
        rc = chat_parse(body, call->arena, &request, &call->why);
    }
    struct chat c = {
        .call = call,
        .request = &request,
        .created = openai_created(call),
        .as_events = rc == SHOAL_OK && (request.stream || rest_wants_events(call)),
    };
    if (rc == SHOAL_OK) {
        rc = openai_find_model(call, true, request.model, &c.model);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    snprintf(c.id, sizeof(c.id), "chatcmpl-%016" PRIx64, rand_u64(gateway_rand(call->gateway)));
    buf_init(&c.text, ANSWER_MAX);
    rc = answer(&c);
    buf_release(&c.text);
    return rc;
}
