/* POST /v1/embeddings: texts to vectors, as OpenAI's API has it. */
#include "server/rest_openai.h"
#include "server/rest_routes.h"
#include "wire/message.h"

#include <inttypes.h>

/* Texts of one request, as OpenAI has it, and of one call to a generator. */
#define INPUTS_MAX 2048
#define INPUTS_BATCH 128

struct embeddings_request {
    struct slice model;
    struct slice *inputs;
    size_t inputs_len;
    uint64_t dimensions; /* 0: the model's */
    bool base64;
};

/* --- parsing -------------------------------------------------------------------------------- */

static enum shoal_err take_text(struct rest_call *call, struct json_value v, size_t i,
                                struct slice *out)
{
    if (!json_string(v, out)) {
        return json_kind(v) == JSON_U64 || json_kind(v) == JSON_ARRAY
                   ? err_set(&call->why, SHOAL_EUNSUPPORTED, "input as tokens; send texts")
                   : err_set(&call->why, SHOAL_EINVAL, "input[%zu]: must be a string", i);
    }
    if (out->len == 0) {
        return err_set(&call->why, SHOAL_EINVAL, "input[%zu]: must not be empty", i);
    }
    return out->len <= WIRE_PAYLOAD_MAX
               ? SHOAL_OK
               : err_set(&call->why, SHOAL_ETOOBIG, "input[%zu]: %zu bytes; at most %u", i,
                         out->len, WIRE_PAYLOAD_MAX);
}

static enum shoal_err take_input(struct rest_call *call, struct json_value v,
                                 struct embeddings_request *out)
{
    bool list = json_kind(v) == JSON_ARRAY;
    size_t len = list ? json_len(v) : 1;
    struct json_value item;
    if (len == 0 || len > INPUTS_MAX) {
        return err_set(&call->why, SHOAL_EVALIDATION, "input: from 1 to %d texts", INPUTS_MAX);
    }
    out->inputs = arena_array(call->arena, len, sizeof(*out->inputs));
    if (out->inputs == NULL) {
        return SHOAL_ENOMEM;
    }
    if (!list) {
        out->inputs_len = 1;
        return take_text(call, v, 0, &out->inputs[0]);
    }
    for (struct json_iter it = json_iter(v); json_next(&it, NULL, &item);) {
        enum shoal_err rc = take_text(call, item, out->inputs_len, &out->inputs[out->inputs_len]);
        if (rc != SHOAL_OK) {
            return rc;
        }
        out->inputs_len++;
    }
    return SHOAL_OK;
}

static enum shoal_err take_format(struct rest_call *call, struct json_value v,
                                  struct embeddings_request *out)
{
    struct slice word;
    if (!json_string(v, &word) || !(slice_is(word, "float") || slice_is(word, "base64"))) {
        return err_set(&call->why, SHOAL_EINVAL, "encoding_format: must be float or base64");
    }
    out->base64 = slice_is(word, "base64");
    return SHOAL_OK;
}

static enum shoal_err take_key(struct rest_call *call, struct slice key, struct json_value v,
                               struct embeddings_request *out)
{
    if (slice_is(key, "input")) {
        return take_input(call, v, out);
    }
    if (slice_is(key, "encoding_format")) {
        return take_format(call, v, out);
    }
    if (slice_is(key, "model")) {
        return json_string(v, &out->model)
                   ? SHOAL_OK
                   : err_set(&call->why, SHOAL_EINVAL, "model: must be a string");
    }
    if (slice_is(key, "dimensions")) {
        return json_u64(v, &out->dimensions) && out->dimensions > 0
                   ? SHOAL_OK
                   : err_set(&call->why, SHOAL_EINVAL, "dimensions: must be a whole number");
    }
    return slice_is(key, "user")
               ? SHOAL_OK
               : err_set(&call->why, SHOAL_EINVAL, "Unrecognized request argument supplied: %.*s",
                         (int)(key.len < 200 ? key.len : 200), key.data);
}

static enum shoal_err parse(struct rest_call *call, struct embeddings_request *out)
{
    struct json_value body;
    struct slice key;
    struct json_value v;
    *out = (struct embeddings_request){ 0 };
    enum shoal_err rc = rest_body(call, &body);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (json_kind(body) != JSON_OBJECT) {
        return err_set(&call->why, SHOAL_EINVAL, "the body must be an object");
    }
    for (struct json_iter it = json_iter(body); json_next(&it, &key, &v);) {
        rc = json_kind(v) == JSON_NULL ? SHOAL_OK : take_key(call, key, v, out);
        if (rc != SHOAL_OK) {
            return rc;
        }
    }
    return out->inputs_len > 0 ? SHOAL_OK : err_set(&call->why, SHOAL_EINVAL, "input: missing");
}

/* --- answering ------------------------------------------------------------------------------ */

/* RFC 4648, section 4; little-endian floats, as the clients of the API decode them. */
static enum shoal_err put_base64(struct rest_call *call, const float *vector, uint32_t dim)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = (const unsigned char *)vector;
    size_t len = (size_t)dim * sizeof(*vector);
    char *text = arena_alloc(call->arena, (len + 2) / 3 * 4);
    size_t n = 0;
    if (text == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t group = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
                         (left > 2 ? (uint32_t)in[i + 2] : 0);
        text[n++] = digits[group >> 18];
        text[n++] = digits[group >> 12 & 63];
        text[n++] = left > 1 ? digits[group >> 6 & 63] : '=';
        text[n++] = left > 2 ? digits[group & 63] : '=';
    }
    json_put_string(&call->w, slice_make(text, n));
    return SHOAL_OK;
}

static enum shoal_err put_vector(struct rest_call *call, const struct embeddings_request *request,
                                 const float *vector, uint32_t dim, size_t index)
{
    struct json_writer *w = &call->w;
    enum shoal_err rc = SHOAL_OK;
    json_begin_object(w);
    json_key(w, "object");
    json_put_str(w, "embedding");
    json_key(w, "index");
    json_put_u64(w, index);
    json_key(w, "embedding");
    if (request->base64) {
        rc = put_base64(call, vector, dim);
    } else {
        json_put_floats(w, vector, dim);
    }
    if (rc == SHOAL_OK) {
        json_end_object(w);
    }
    return rc;
}

/* Embeds and prints batch by batch, so that the vectors of all need not be kept. */
static enum shoal_err put_vectors(struct rest_call *call, const struct embeddings_request *request,
                                  const struct generator_model *model, uint64_t *tokens)
{
    enum shoal_err rc = SHOAL_OK;
    for (size_t at = 0; rc == SHOAL_OK && at < request->inputs_len; at += INPUTS_BATCH) {
        size_t left = request->inputs_len - at;
        size_t len = left < INPUTS_BATCH ? left : INPUTS_BATCH;
        const float *vectors = NULL;
        uint32_t dim = 0;
        uint64_t used = 0;
        rc = generators_embed(gateway_generators(call->gateway), slice_from_str(model->name),
                              request->inputs + at, len, call->ctx.deadline_ns, call->arena,
                              &vectors, &dim, &used, &call->why);
        for (size_t i = 0; rc == SHOAL_OK && i < len; i++) {
            rc = put_vector(call, request, vectors + i * dim, dim, at + i);
        }
        *tokens += used;
    }
    return rc;
}

enum shoal_err rest_embeddings(struct rest_call *call)
{
    struct json_writer *w = &call->w;
    struct embeddings_request request;
    struct generator_model model;
    uint64_t tokens = 0;
    enum shoal_err rc = parse(call, &request);
    if (rc == SHOAL_OK) {
        rc = openai_find_model(call, false, request.model, &model);
    }
    if (rc == SHOAL_OK && request.dimensions != 0 && request.dimensions != model.dim) {
        rc = err_set(&call->why, SHOAL_EUNSUPPORTED,
                     "dimensions other than the model's own %" PRIu32, model.dim);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    json_begin_object(w);
    json_key(w, "object");
    json_put_str(w, "list");
    json_key(w, "data");
    json_begin_array(w);
    rc = put_vectors(call, &request, &model, &tokens);
    if (rc != SHOAL_OK) {
        return rc;
    }
    json_end_array(w);
    json_key(w, "model");
    json_put_str(w, model.name);
    json_key(w, "usage");
    json_begin_object(w);
    json_key(w, "prompt_tokens");
    json_put_u64(w, tokens);
    json_key(w, "total_tokens");
    json_put_u64(w, tokens);
    json_end_object(w);
    json_end_object(w);
    return SHOAL_OK;
}
