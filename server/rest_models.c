/* Models, as OpenAI's API lists them. */
#include "server/rest_openai.h"
#include "server/rest_routes.h"

#define MODELS_MAX_TOLD 64

enum shoal_err openai_find_model(struct rest_call *call, bool generates, struct slice name,
                                 struct generator_model *out)
{
    struct generators *g = gateway_generators(call->gateway);
    struct slice any = { NULL, 0 };
    if (slice_is(name, "default")) {
        name = any;
    }
    enum shoal_err rc = generators_model(g, generates, name, out, &call->why);
    if (rc == SHOAL_EUNAVAILABLE && name.len > 0 &&
        generators_model(g, generates, any, out, NULL) == SHOAL_OK) {
        rc = err_set(&call->why, SHOAL_ENOTFOUND,
                     "The model `%.*s` does not exist here; GET /v1/models lists those that do",
                     (int)(name.len < 200 ? name.len : 200), name.data);
    }
    return rc;
}

uint64_t openai_created(const struct rest_call *call)
{
    return clock_wall_ns(gateway_clock(call->gateway)) / 1000000000u;
}

static void put_model(struct json_writer *w, const struct generator_model *m)
{
    json_begin_object(w);
    json_key(w, "id");
    json_put_str(w, m->name);
    json_key(w, "object");
    json_put_str(w, "model");
    json_key(w, "created");
    json_put_u64(w, 0);
    json_key(w, "owned_by");
    json_put_str(w, "shoal");
    json_end_object(w);
}

enum shoal_err rest_get_models(struct rest_call *call)
{
    struct generator_model models[MODELS_MAX_TOLD];
    size_t len = generators_models(gateway_generators(call->gateway), models, MODELS_MAX_TOLD);
    json_begin_object(&call->w);
    json_key(&call->w, "object");
    json_put_str(&call->w, "list");
    json_key(&call->w, "data");
    json_begin_array(&call->w);
    for (size_t i = 0; i < len; i++) {
        put_model(&call->w, &models[i]);
    }
    json_end_array(&call->w);
    json_end_object(&call->w);
    return SHOAL_OK;
}

enum shoal_err rest_get_model(struct rest_call *call)
{
    struct generator_model models[MODELS_MAX_TOLD];
    struct slice name = rest_param(call, 0);
    size_t len = generators_models(gateway_generators(call->gateway), models, MODELS_MAX_TOLD);
    for (size_t i = 0; i < len; i++) {
        if (slice_is(name, models[i].name)) {
            put_model(&call->w, &models[i]);
            return SHOAL_OK;
        }
    }
    return err_set(&call->why, SHOAL_ENOTFOUND, "The model `%.*s` does not exist here",
                   (int)(name.len < 200 ? name.len : 200), name.data);
}
