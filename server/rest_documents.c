/* Routes of documents: text in, passages and answers out. */
#include "server/ask.h"
#include "server/documents.h"
#include "server/passages.h"
#include "server/rest_call.h"
#include "server/rest_routes.h"
#include "server/rest_take.h"

/* Tokens that an answer is thought to take when its request does not bound it. */
#define ASK_TOKENS_ESTIMATE 256

/* --- documents ------------------------------------------------------------------------------ */

enum shoal_err rest_create_documents(struct rest_call *call)
{
    struct json_value body;
    enum shoal_err rc = rest_body_or_empty(call, &body);
    if (rc == SHOAL_OK) {
        rc = documents_create(call->gateway, rest_param(call, 0), body, call->ctx.deadline_ns,
                              &call->why);
    }
    if (rc == SHOAL_OK) {
        json_put_bool(&call->w, true);
    }
    return rc;
}

typedef enum shoal_err documents_fn(struct gateway *g, struct slice collection,
                                    const struct query_context *ctx, struct json_value body,
                                    struct json_writer *out, struct errbuf *why);

static enum shoal_err run_documents(struct rest_call *call, documents_fn *fn)
{
    struct json_value body;
    enum shoal_err rc = rest_body(call, &body);
    return rc == SHOAL_OK
               ? fn(call->gateway, rest_param(call, 0), &call->ctx, body, &call->w, &call->why)
               : rc;
}

enum shoal_err rest_put_documents(struct rest_call *call)
{
    return run_documents(call, documents_put);
}

enum shoal_err rest_check_documents(struct rest_call *call)
{
    return run_documents(call, documents_check);
}

enum shoal_err rest_delete_documents(struct rest_call *call)
{
    return run_documents(call, documents_delete);
}

/* --- search --------------------------------------------------------------------------------- */

/* {"text", "limit"?, "filter"?} */
static enum shoal_err parse_search(struct rest_call *call, struct json_value body,
                                   struct passages_query *out)
{
    struct slice key;
    struct json_value v;
    *out = (struct passages_query){ .limit = ASK_PASSAGES_DEFAULT };
    if (json_kind(body) != JSON_OBJECT) {
        return err_set(&call->why, SHOAL_EPARSE, "the body must be an object with a \"text\"");
    }
    for (struct json_iter it = json_iter(body); json_next(&it, &key, &v);) {
        uint64_t n = 0;
        if (json_kind(v) == JSON_NULL) {
            continue;
        }
        if (slice_is(key, "text")) {
            if (!json_string(v, &out->text)) {
                return err_set(&call->why, SHOAL_EPARSE, "text: must be a string");
            }
        } else if (slice_is(key, "limit")) {
            if (!json_u64(v, &n)) {
                return err_set(&call->why, SHOAL_EPARSE, "limit: must be a whole number");
            }
            out->limit = n <= PASSAGES_MAX ? (uint32_t)n : PASSAGES_MAX + 1;
        } else if (slice_is(key, "filter")) {
            const struct rest_parser p = { .arena = call->arena, .why = &call->why };
            enum shoal_err rc = rest_take_filter(&p, v, &out->filter);
            if (rc != SHOAL_OK) {
                return rest_at(&p, rc, SLICE_LIT("filter"));
            }
        } else {
            return err_set(&call->why, SHOAL_EPARSE, "unknown key \"%.*s\"", (int)key.len,
                           key.data);
        }
    }
    return SHOAL_OK;
}

static void print_passages(struct rest_call *call, const struct passages *found)
{
    struct json_writer *w = &call->w;
    json_begin_object(w);
    json_key(w, "passages");
    json_begin_array(w);
    for (size_t i = 0; i < found->len; i++) {
        passage_print(w, &found->list[i], i + 1, true);
    }
    json_end_array(w);
    json_key(w, "timings");
    json_begin_object(w);
    passages_print_timings(w, found);
    json_end_object(w);
    json_end_object(w);
    call->coverage = found->coverage;
}

enum shoal_err rest_search_passages(struct rest_call *call)
{
    struct json_value body;
    struct passages_query q;
    struct passages *found = arena_array(call->arena, 1, sizeof(*found));
    if (found == NULL) {
        return SHOAL_ENOMEM;
    }
    enum shoal_err rc = rest_body(call, &body);
    if (rc == SHOAL_OK) {
        rc = parse_search(call, body, &q);
    }
    if (rc == SHOAL_OK) {
        rc = passages_find(call->gateway, rest_param(call, 0), &call->ctx, &q, found, &call->why);
    }
    if (rc == SHOAL_OK) {
        print_passages(call, found);
    }
    return rc;
}

/* --- ask ------------------------------------------------------------------------------------ */

struct asking {
    struct rest_call *call;
    enum shoal_err rc;
    bool as_events;
    bool stopped; /* the listener went away */
};

/* Puts an event's members, all but its type, into the one object that is the answer. Tokens are
 * left out: the last event has them all. */
static enum shoal_err merge_event(struct rest_call *call, struct slice json)
{
    struct json_doc *doc = NULL;
    struct json_value type;
    struct slice word = { NULL, 0 };
    enum shoal_err rc = json_parse(json, &doc, &call->why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (json_get(json_root(doc), "type", &type)) {
        (void)json_string(type, &word);
    }
    if (!slice_is(word, "token") && !slice_is(word, "error")) {
        struct slice key;
        struct json_value v;
        for (struct json_iter it = json_iter(json_root(doc)); json_next(&it, &key, &v);) {
            if (!slice_is(key, "type")) {
                json_key_slice(&call->w, key);
                json_put_value(&call->w, v);
            }
        }
    }
    json_free(doc);
    return SHOAL_OK;
}

static bool on_event(void *arg, struct slice json)
{
    struct asking *a = arg;
    if (!a->as_events) {
        a->rc = merge_event(a->call, json);
    } else if (!a->call->events_begun) {
        a->rc = rest_events_begin(a->call);
    }
    if (a->rc == SHOAL_OK && a->as_events) {
        a->stopped = !rest_event(a->call, json);
    }
    return a->rc == SHOAL_OK && !a->stopped;
}

static enum shoal_err answer(struct rest_call *call, const struct ask_request *request)
{
    struct asking a = { .call = call, .as_events = request->stream || rest_wants_events(call) };
    uint64_t estimate = request->max_tokens == 0 ? ASK_TOKENS_ESTIMATE
                                                 : (uint64_t)request->max_tokens;
    uint64_t tokens = 0;
    enum shoal_err rc = rest_reserve_tokens(call, estimate);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (!a.as_events) {
        json_begin_object(&call->w);
    }
    rc = ask_run(call->gateway, rest_param(call, 0), &call->ctx, request, on_event, &a, &tokens,
                 &call->why);
    rest_settle_tokens(call, tokens);
    if (!a.as_events) {
        json_end_object(&call->w);
    }
    return a.rc != SHOAL_OK ? a.rc : rc;
}

enum shoal_err rest_ask(struct rest_call *call)
{
    struct json_value body;
    struct ask_request request;
    enum shoal_err rc = rest_body(call, &body);
    if (rc == SHOAL_OK) {
        rc = ask_parse(body, call->arena, &request, &call->why);
    }
    return rc == SHOAL_OK ? answer(call, &request) : rc;
}
