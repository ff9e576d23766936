/* Routes about the process itself: what it is, how it is, and what it counts. */
#include "server/generators.h"
#include "server/rest_call.h"
#include "server/rest_routes.h"

/* The version of the API that clients of it ask for, and hold against their own. */
#define API_VERSION "1.18.0"
/* How long the status waits for the shards of one collection. */
#define STATUS_WAIT_MS 500
/* Models told of by the status. */
#define MODELS_MAX_TOLD 64

static void put_text(struct json_writer *w, const char *key, const char *value)
{
    json_key(w, key);
    json_put_str(w, value);
}

static void put_u64(struct json_writer *w, const char *key, uint64_t value)
{
    json_key(w, key);
    json_put_u64(w, value);
}

enum shoal_err rest_get_root(struct rest_call *call)
{
    json_begin_object(&call->w);
    put_text(&call->w, "title", "shoal - vector search engine");
    put_text(&call->w, "version", API_VERSION);
    put_text(&call->w, "shoal", call->config->version);
    json_end_object(&call->w);
    return SHOAL_OK;
}

/* --- health --------------------------------------------------------------------------------- */

static bool is_ready(struct rest_call *call)
{
    const struct rest_config *config = call->config;
    return config->ready == NULL ? gateway_ready(call->gateway) : config->ready(config->arg);
}

static enum shoal_err answer_text(struct rest_call *call, unsigned status, const char *text)
{
    struct buf *out = NULL;
    enum shoal_err rc = rest_text(call, "text/plain; charset=utf-8", &out);
    if (rc == SHOAL_OK) {
        rest_status(call, status);
        rc = buf_append_str(out, text);
    }
    return rc;
}

enum shoal_err rest_get_health(struct rest_call *call)
{
    return answer_text(call, 200, "healthz check passed");
}

enum shoal_err rest_get_ready(struct rest_call *call)
{
    return is_ready(call) ? answer_text(call, 200, "all shards are ready")
                          : answer_text(call, 503,
                                        "some shards are not ready, or this process "
                                        "is stopping");
}

enum shoal_err rest_get_metrics(struct rest_call *call)
{
    struct buf *out = NULL;
    enum shoal_err rc = rest_text(call, "text/plain; version=0.0.4; charset=utf-8", &out);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (call->config->observe != NULL) {
        call->config->observe(call->config->arg);
    }
    return metrics_print(gateway_metrics(call->gateway), out);
}

enum shoal_err rest_get_telemetry(struct rest_call *call)
{
    struct json_writer *w = &call->w;
    struct catalog_map *m = gateway_map(call->gateway);
    json_begin_object(w);
    put_text(w, "id", call->config->name);
    json_key(w, "app");
    json_begin_object(w);
    put_text(w, "name", "shoal");
    put_text(w, "version", call->config->version);
    json_end_object(w);
    json_key(w, "collections");
    json_begin_object(w);
    put_u64(w, "number_of_collections", m->collections_len);
    json_end_object(w);
    json_end_object(w);
    catalog_map_unref(m);
    return SHOAL_OK;
}

/* --- status --------------------------------------------------------------------------------- */

static uint64_t shards_of(const struct catalog_map *m, uint64_t node)
{
    uint64_t n = 0;
    for (size_t i = 0; i < m->collections_len; i++) {
        for (size_t k = 0; k < m->collections[i].shards_len; k++) {
            n += m->collections[i].shards[k].node == node;
        }
    }
    return n;
}

static void put_nodes(struct json_writer *w, const struct catalog_map *m)
{
    json_key(w, "nodes");
    json_begin_array(w);
    for (size_t i = 0; i < m->nodes_len; i++) {
        json_begin_object(w);
        put_text(w, "name", m->nodes[i].name);
        put_text(w, "url", m->nodes[i].url);
        put_u64(w, "shards", shards_of(m, m->nodes[i].id));
        json_end_object(w);
    }
    json_end_array(w);
}

static void put_models(struct json_writer *w, struct generators *g)
{
    struct generator_model models[MODELS_MAX_TOLD];
    size_t len = generators_models(g, models, MODELS_MAX_TOLD);
    json_key(w, "models");
    json_begin_array(w);
    for (size_t i = 0; i < len; i++) {
        json_begin_object(w);
        put_text(w, "name", models[i].name);
        put_text(w, "kind", models[i].generates ? "generator" : "embedder");
        put_u64(w, "context", models[i].context);
        if (!models[i].generates) {
            put_u64(w, "dim", models[i].dim);
        }
        json_end_object(w);
    }
    json_end_array(w);
}

static const char *status_word(enum shard_status status)
{
    switch (status) {
    case SHARD_GREEN: return "green";
    case SHARD_YELLOW: return "yellow";
    case SHARD_GREY: return "grey";
    case SHARD_RED: break;
    }
    return "red";
}

/* A collection whose shards do not answer is told of as red: the status is for just that time. */
static void put_collection(struct rest_call *call, const char *name)
{
    struct json_writer *w = &call->w;
    struct gateway_collection_info info;
    struct errbuf why = { 0 };
    uint64_t until_ns = clock_mono_ns(clock_real()) + STATUS_WAIT_MS * UINT64_C(1000000);
    enum shoal_err rc = gateway_collection_info(
        call->gateway, slice_from_str(name),
        until_ns < call->ctx.deadline_ns ? until_ns : call->ctx.deadline_ns, &info, &why);
    json_begin_object(w);
    put_text(w, "name", name);
    put_text(w, "status", rc == SHOAL_OK ? status_word(info.status) : "red");
    put_u64(w, "points", info.points);
    put_u64(w, "shards_asked", info.shards_asked);
    put_u64(w, "shards_answered", info.shards_answered);
    if (rc != SHOAL_OK || info.trouble[0] != '\0') {
        put_text(w, "trouble", rc == SHOAL_OK ? info.trouble : err_why(&why, rc));
    }
    json_end_object(w);
}

enum shoal_err rest_get_status(struct rest_call *call)
{
    struct json_writer *w = &call->w;
    struct catalog_map *m = gateway_map(call->gateway);
    json_begin_object(w);
    put_text(w, "version", call->config->version);
    put_text(w, "name", call->config->name);
    put_text(w, "roles", call->config->roles);
    json_key(w, "ready");
    json_put_bool(w, is_ready(call));
    put_nodes(w, m);
    put_models(w, gateway_generators(call->gateway));
    json_key(w, "collections");
    json_begin_array(w);
    for (size_t i = 0; i < m->collections_len; i++) {
        put_collection(call, m->collections[i].name);
    }
    json_end_array(w);
    json_end_object(w);
    catalog_map_unref(m);
    return SHOAL_OK;
}
