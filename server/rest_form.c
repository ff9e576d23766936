/* The forms of the APIs: what stands around an answer, errors, and the fields that tell of limits.
 */
#include "server/rest_error.h"
#include "server/rest_run.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* Values of the limits' fields. */
#define FIELD_MAX 4096

/* --- answers -------------------------------------------------------------------------------- */

void rest_form_begin(struct rest_call *call)
{
    json_writer_init(&call->w, call->body);
    if (call->route->form == ROUTE_RESULT) {
        json_begin_object(&call->w);
        json_key(&call->w, "result");
    }
}

static void put_coverage(struct rest_call *call)
{
    json_key(&call->w, "coverage");
    json_begin_object(&call->w);
    json_key(&call->w, "shards_asked");
    json_put_u64(&call->w, call->coverage.asked);
    json_key(&call->w, "shards_answered");
    json_put_u64(&call->w, call->coverage.answered);
    json_end_object(&call->w);
}

void rest_form_end(struct rest_call *call, double seconds)
{
    struct json_writer *w = &call->w;
    if (call->route->form == ROUTE_RESULT) {
        assert(!w->after_key && "the handler wrote its value");
        if (call->coverage.asked > 0) {
            put_coverage(call);
        }
        json_key(w, "status");
        json_put_str(w, "ok");
        json_key(w, "time");
        json_put_f64(w, seconds);
        json_end_object(w);
    }
    assert(w->depth == 0);
}

/* --- errors --------------------------------------------------------------------------------- */

unsigned rest_form_status(enum route_form form, enum shoal_err code)
{
    return form == ROUTE_OPENAI && code == SHOAL_EVALIDATION ? 400 : rest_error_status(code);
}

/* The `type` that OpenAI's clients know for a status. */
static const char *openai_type(unsigned status)
{
    switch (status) {
    case 429: return "rate_limit_error";
    case 403: return "permission_error";
    default: return status < 500 ? "invalid_request_error" : "server_error";
    }
}

static const char *openai_code(enum shoal_err code)
{
    switch (code) {
    case SHOAL_ENOTFOUND: return "model_not_found";
    case SHOAL_ELIMITED: return "rate_limit_exceeded";
    default: return err_word(code);
    }
}

static enum shoal_err openai_error(struct buf *out, enum shoal_err code, const char *text)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key(&w, "error");
    json_begin_object(&w);
    json_key(&w, "message");
    json_put_str(&w, text);
    json_key(&w, "type");
    json_put_str(&w, openai_type(rest_form_status(ROUTE_OPENAI, code)));
    json_key(&w, "param");
    json_put_null(&w);
    json_key(&w, "code");
    json_put_str(&w, openai_code(code));
    json_end_object(&w);
    json_end_object(&w);
    return out->failed;
}

enum shoal_err rest_form_error(enum route_form form, struct buf *out, enum shoal_err code,
                               const char *text, double seconds)
{
    return form == ROUTE_OPENAI ? openai_error(out, code, text)
                                : rest_error_print(out, code, text, seconds);
}

enum shoal_err rest_form_event(enum route_form form, struct buf *out, enum shoal_err code,
                               const char *text)
{
    struct json_writer w;
    if (form == ROUTE_OPENAI) {
        return openai_error(out, code, text);
    }
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key(&w, "type");
    json_put_str(&w, "error");
    json_key(&w, "code");
    json_put_str(&w, err_word(code));
    json_key(&w, "message");
    json_put_str(&w, text);
    json_end_object(&w);
    return out->failed;
}

/* --- limits --------------------------------------------------------------------------------- */

/* Adds what `print` says of all checks as one field; a field that does not fit is left out. */
static void add_field(struct http_response *res, struct arena *arena, const char *name,
                      const struct limit_decision *limits,
                      enum shoal_err (*print)(const struct limit_decision *d, struct buf *out))
{
    struct buf value;
    buf_init(&value, FIELD_MAX);
    for (size_t i = 0; i < REST_LIMITS_LEN; i++) {
        struct buf one;
        buf_init(&one, FIELD_MAX);
        if (print(&limits[i], &one) == SHOAL_OK && one.len > 0) {
            (void)buf_append_str(&value, value.len > 0 ? ", " : "");
            (void)buf_append_slice(&value, buf_slice(&one));
        }
        buf_release(&one);
    }
    const char *text = value.failed == SHOAL_OK && value.len > 0
                           ? arena_strndup(arena, value.data, value.len)
                           : NULL;
    if (text != NULL) {
        http_response_field(res, name, text);
    }
    buf_release(&value);
}

void rest_add_limit_fields(struct http_response *res, struct arena *arena,
                           const struct limit_decision *limits)
{
    if (limits == NULL) {
        return;
    }
    add_field(res, arena, "RateLimit-Policy", limits, limit_print_policy);
    add_field(res, arena, "RateLimit", limits, limit_print_state);
    for (size_t i = 0; i < REST_LIMITS_LEN; i++) {
        bool refused = limits[i].statuses_len > 0 && !limits[i].allowed;
        uint64_t wait_s = refused ? limit_retry_after_s(&limits[i]) : 0;
        char *text = wait_s > 0 ? arena_alloc(arena, 24) : NULL;
        if (text != NULL) {
            snprintf(text, 24, "%" PRIu64, wait_s);
            http_response_field(res, "Retry-After", text);
            return;
        }
    }
}
