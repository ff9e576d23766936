#include "server/rest_chat.h"

#include "slm/generator.h"

#include <string.h>

struct parser {
    struct arena *arena;
    struct errbuf *why;
    struct chat_request *out;
};

typedef enum shoal_err take_fn(struct parser *p, const char *key, struct json_value v);

/* --- values --------------------------------------------------------------------------------- */

static enum shoal_err wrong(struct parser *p, const char *key, const char *wanted)
{
    return err_set(p->why, SHOAL_EINVAL, "%s: must be %s", key, wanted);
}

static enum shoal_err take_model(struct parser *p, const char *key, struct json_value v)
{
    return json_string(v, &p->out->model) ? SHOAL_OK : wrong(p, key, "a string");
}

static enum shoal_err take_max_tokens(struct parser *p, const char *key, struct json_value v)
{
    uint64_t n = 0;
    if (!json_u64(v, &n)) {
        return wrong(p, key, "a whole number");
    }
    if (n == 0 || n > CHAT_TOKENS_MAX) {
        return err_set(p->why, SHOAL_EVALIDATION, "%s: must be from 1 to %u", key, CHAT_TOKENS_MAX);
    }
    p->out->max_tokens = (uint32_t)n;
    return SHOAL_OK;
}

static enum shoal_err take_number(struct parser *p, const char *key, struct json_value v,
                                  double max, float *out)
{
    double d = 0;
    if (!json_f64(v, &d)) {
        return wrong(p, key, "a number");
    }
    if (!(d >= 0 && d <= max)) {
        return err_set(p->why, SHOAL_EVALIDATION, "%s: must be from 0 to %g", key, max);
    }
    *out = (float)d;
    return SHOAL_OK;
}

static enum shoal_err take_temperature(struct parser *p, const char *key, struct json_value v)
{
    return take_number(p, key, v, 2, &p->out->temperature);
}

static enum shoal_err take_top_p(struct parser *p, const char *key, struct json_value v)
{
    return take_number(p, key, v, 1, &p->out->top_p);
}

static enum shoal_err take_seed(struct parser *p, const char *key, struct json_value v)
{
    uint64_t u = 0;
    int64_t i = 0;
    if (!json_u64(v, &u) && !json_i64(v, &i)) {
        return wrong(p, key, "a whole number");
    }
    p->out->has_seed = true;
    p->out->seed = (uint32_t)(u | (uint64_t)i);
    return SHOAL_OK;
}

static enum shoal_err take_stream(struct parser *p, const char *key, struct json_value v)
{
    return json_bool(v, &p->out->stream) ? SHOAL_OK : wrong(p, key, "true or false");
}

static enum shoal_err take_stream_options(struct parser *p, const char *key, struct json_value v)
{
    struct slice name;
    struct json_value option;
    if (json_kind(v) != JSON_OBJECT) {
        return wrong(p, key, "an object");
    }
    for (struct json_iter it = json_iter(v); json_next(&it, &name, &option);) {
        bool flag = false;
        bool usage = slice_is(name, "include_usage");
        if (!usage && !slice_is(name, "include_obfuscation")) {
            return err_set(p->why, SHOAL_EINVAL, "%s: unknown option \"%.*s\"", key, (int)name.len,
                           name.data);
        }
        if (json_kind(option) != JSON_NULL && !json_bool(option, &flag)) {
            return err_set(p->why, SHOAL_EINVAL, "%s.%.*s: must be true or false", key,
                           (int)name.len, name.data);
        }
        p->out->include_usage = usage ? flag : p->out->include_usage;
    }
    return SHOAL_OK;
}

/* --- texts ---------------------------------------------------------------------------------- */

static enum shoal_err keep(struct parser *p, struct buf *text, struct slice *out)
{
    char *copy = text->failed == SHOAL_OK ? arena_strndup(p->arena, text->data, text->len) : NULL;
    *out = slice_make(copy, copy == NULL ? 0 : text->len);
    enum shoal_err rc = text->failed;
    return rc == SHOAL_OK && copy == NULL ? SHOAL_ENOMEM : rc;
}

static enum shoal_err take_stop(struct parser *p, const char *key, struct json_value v)
{
    struct json_value s;
    struct slice text;
    struct json_writer w;
    struct buf list;
    enum shoal_err rc = SHOAL_OK;
    bool one = json_string(v, &text);
    if (!one && json_kind(v) != JSON_ARRAY) {
        return wrong(p, key, "a string or a list of strings");
    }
    if (json_len(v) > GENERATOR_STOPS_MAX) {
        return err_set(p->why, SHOAL_EVALIDATION, "%s: at most %d strings", key,
                       GENERATOR_STOPS_MAX);
    }
    buf_init(&list, GENERATOR_PROMPT_BYTES_MAX);
    json_writer_init(&w, &list);
    json_begin_array(&w);
    if (one) {
        json_put_string(&w, text);
    }
    for (struct json_iter it = json_iter(v); rc == SHOAL_OK && json_next(&it, NULL, &s);) {
        if (json_string(s, &text)) {
            json_put_string(&w, text);
        } else {
            rc = wrong(p, key, "a string or a list of strings");
        }
    }
    json_end_array(&w);
    if (rc == SHOAL_OK) {
        rc = keep(p, &list, &p->out->stops);
    }
    buf_release(&list);
    return rc;
}

/* What the API calls "developer" is what models were taught as "system". */
static enum shoal_err put_role(struct parser *p, struct json_value message, size_t i,
                               struct json_writer *w)
{
    struct json_value v;
    struct slice role;
    if (!json_get(message, "role", &v) || !json_string(v, &role)) {
        return err_set(p->why, SHOAL_EINVAL, "messages[%zu].role: must be a string", i);
    }
    if (slice_is(role, "tool") || slice_is(role, "function")) {
        return err_set(p->why, SHOAL_EUNSUPPORTED, "messages[%zu]: tools", i);
    }
    if (slice_is(role, "developer")) {
        role = SLICE_LIT("system");
    } else if (!slice_is(role, "system") && !slice_is(role, "user") &&
               !slice_is(role, "assistant")) {
        return err_set(p->why, SHOAL_EINVAL,
                       "messages[%zu].role: must be system, developer, user or assistant", i);
    }
    json_key(w, "role");
    json_put_string(w, role);
    return SHOAL_OK;
}

/* Joins the text parts of a content that comes in parts. */
static enum shoal_err join_parts(struct parser *p, struct json_value parts, size_t i,
                                 struct buf *out)
{
    struct json_value part;
    struct json_value v;
    struct slice text;
    for (struct json_iter it = json_iter(parts); json_next(&it, NULL, &part);) {
        if (!json_get(part, "type", &v) || !json_string(v, &text)) {
            return err_set(p->why, SHOAL_EINVAL, "messages[%zu].content: a part wants a type", i);
        }
        if (!slice_is(text, "text")) {
            return err_set(p->why, SHOAL_EUNSUPPORTED,
                           "messages[%zu].content: parts of type %.*s; send text", i, (int)text.len,
                           text.data);
        }
        if (!json_get(part, "text", &v) || !json_string(v, &text)) {
            return err_set(p->why, SHOAL_EINVAL, "messages[%zu].content: a part wants a text", i);
        }
        (void)buf_append_slice(out, text);
    }
    return out->failed;
}

static enum shoal_err put_content(struct parser *p, struct json_value message, size_t i,
                                  struct json_writer *w)
{
    struct json_value v;
    struct slice text;
    bool there = json_get(message, "content", &v);
    json_key(w, "content");
    if (there && json_string(v, &text)) {
        json_put_string(w, text);
        return SHOAL_OK;
    }
    if (!there || json_kind(v) != JSON_ARRAY) {
        return err_set(p->why, SHOAL_EINVAL,
                       "messages[%zu].content: must be a string or a list of text parts", i);
    }
    struct buf joined;
    buf_init(&joined, GENERATOR_PROMPT_BYTES_MAX);
    enum shoal_err rc = join_parts(p, v, i, &joined);
    json_put_string(w, buf_slice(&joined));
    buf_release(&joined);
    return rc;
}

static enum shoal_err put_message(struct parser *p, struct json_value message, size_t i,
                                  struct json_writer *w)
{
    static const char *const known[] = { "role", "content", "name", "refusal" };
    struct slice key;
    struct json_value v;
    if (json_kind(message) != JSON_OBJECT) {
        return err_set(p->why, SHOAL_EINVAL, "messages[%zu]: must be an object", i);
    }
    for (struct json_iter it = json_iter(message); json_next(&it, &key, &v);) {
        size_t k = 0;
        while (k < 4 && !slice_is(key, known[k])) {
            k++;
        }
        if (k == 4 && json_kind(v) != JSON_NULL && json_len(v) > 0) {
            return err_set(p->why, SHOAL_EUNSUPPORTED, "messages[%zu].%.*s", i, (int)key.len,
                           key.data);
        }
    }
    json_begin_object(w);
    enum shoal_err rc = put_role(p, message, i, w);
    if (rc == SHOAL_OK) {
        rc = put_content(p, message, i, w);
    }
    if (rc == SHOAL_OK) {
        json_end_object(w);
    }
    return rc;
}

static enum shoal_err take_messages(struct parser *p, const char *key, struct json_value v)
{
    struct json_value message;
    struct json_writer w;
    struct buf list;
    size_t i = 0;
    enum shoal_err rc = SHOAL_OK;
    if (json_kind(v) != JSON_ARRAY) {
        return wrong(p, key, "a list");
    }
    if (json_len(v) == 0 || json_len(v) > GENERATOR_MESSAGES_MAX) {
        return err_set(p->why, SHOAL_EVALIDATION, "%s: from 1 to %d of them", key,
                       GENERATOR_MESSAGES_MAX);
    }
    buf_init(&list, 2 * GENERATOR_PROMPT_BYTES_MAX);
    json_writer_init(&w, &list);
    json_begin_array(&w);
    for (struct json_iter it = json_iter(v); rc == SHOAL_OK && json_next(&it, NULL, &message);) {
        rc = put_message(p, message, i++, &w);
    }
    if (rc == SHOAL_OK) {
        json_end_array(&w);
        rc = keep(p, &list, &p->out->messages);
    }
    buf_release(&list);
    return rc;
}

/* --- arguments that are taken only with the value that changes nothing ----------------------- */

static enum shoal_err take_zero(struct parser *p, const char *key, struct json_value v)
{
    double d = 0;
    if (!json_f64(v, &d)) {
        return wrong(p, key, "a number");
    }
    return d == 0 ? SHOAL_OK : err_set(p->why, SHOAL_EUNSUPPORTED, "%s other than 0", key);
}

static enum shoal_err take_one(struct parser *p, const char *key, struct json_value v)
{
    uint64_t n = 0;
    if (!json_u64(v, &n)) {
        return wrong(p, key, "a whole number");
    }
    return n == 1 ? SHOAL_OK : err_set(p->why, SHOAL_EUNSUPPORTED, "%s other than 1", key);
}

static enum shoal_err take_false(struct parser *p, const char *key, struct json_value v)
{
    bool flag = false;
    if (!json_bool(v, &flag)) {
        return wrong(p, key, "true or false");
    }
    return !flag ? SHOAL_OK : err_set(p->why, SHOAL_EUNSUPPORTED, "%s", key);
}

static enum shoal_err take_format(struct parser *p, const char *key, struct json_value v)
{
    struct json_value type;
    struct slice word;
    if (!json_get(v, "type", &type) || !json_string(type, &word)) {
        return wrong(p, key, "an object with a type");
    }
    return slice_is(word, "text") ? SHOAL_OK
                                  : err_set(p->why, SHOAL_EUNSUPPORTED, "%s other than text", key);
}

static enum shoal_err take_anything(struct parser *p, const char *key, struct json_value v)
{
    (void)p;
    (void)key;
    (void)v;
    return SHOAL_OK;
}

/* An empty list of tools is as good as none. */
static enum shoal_err take_nothing(struct parser *p, const char *key, struct json_value v)
{
    bool empty = (json_kind(v) == JSON_ARRAY || json_kind(v) == JSON_OBJECT) && json_len(v) == 0;
    return empty ? SHOAL_OK : err_set(p->why, SHOAL_EUNSUPPORTED, "%s", key);
}

/* --- the body ------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    take_fn *take;
} arguments[] = {
    { "model", take_model },
    { "messages", take_messages },
    { "max_tokens", take_max_tokens },
    { "max_completion_tokens", take_max_tokens },
    { "temperature", take_temperature },
    { "top_p", take_top_p },
    { "seed", take_seed },
    { "stop", take_stop },
    { "stream", take_stream },
    { "stream_options", take_stream_options },
    { "n", take_one },
    { "presence_penalty", take_zero },
    { "frequency_penalty", take_zero },
    { "top_logprobs", take_zero },
    { "logprobs", take_false },
    { "response_format", take_format },
    { "user", take_anything },
    { "metadata", take_anything },
    { "store", take_false },
    { "service_tier", take_anything },
    { "safety_identifier", take_anything },
    { "prompt_cache_key", take_anything },
    { "prompt_cache_retention", take_anything },
    { "tools", take_nothing },
    { "tool_choice", take_nothing },
    { "parallel_tool_calls", take_anything },
    { "functions", take_nothing },
    { "function_call", take_nothing },
    { "logit_bias", take_nothing },
    { "modalities", take_nothing },
    { "audio", take_nothing },
    { "prediction", take_nothing },
    { "reasoning_effort", take_nothing },
    { "verbosity", take_nothing },
    { "web_search_options", take_nothing },
};
#define ARGUMENTS_LEN (sizeof(arguments) / sizeof(arguments[0]))

enum shoal_err chat_parse(struct json_value body, struct arena *arena, struct chat_request *out,
                          struct errbuf *why)
{
    struct parser p = { .arena = arena, .why = why, .out = out };
    struct slice key;
    struct json_value v;
    *out = (struct chat_request){ .max_tokens = CHAT_TOKENS_DEFAULT, .temperature = 1, .top_p = 1 };
    if (json_kind(body) != JSON_OBJECT) {
        return err_set(why, SHOAL_EINVAL, "the body must be an object");
    }
    for (struct json_iter it = json_iter(body); json_next(&it, &key, &v);) {
        size_t i = 0;
        while (i < ARGUMENTS_LEN && !slice_is(key, arguments[i].name)) {
            i++;
        }
        if (i == ARGUMENTS_LEN) {
            return err_set(why, SHOAL_EINVAL, "Unrecognized request argument supplied: %.*s",
                           (int)(key.len < 200 ? key.len : 200), key.data);
        }
        enum shoal_err rc = json_kind(v) == JSON_NULL ? SHOAL_OK
                                                      : arguments[i].take(&p, arguments[i].name, v);
        if (rc != SHOAL_OK) {
            return rc;
        }
    }
    return out->messages.len > 0 ? SHOAL_OK : err_set(why, SHOAL_EINVAL, "messages: missing");
}
