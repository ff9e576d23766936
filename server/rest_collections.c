/* Routes of collections.
 *
 * What a collection was made with is shown as it was given. Clients expect settings that were not
 * given to be there as well: the tables below hold what then is in force, or, for settings that
 * have no counterpart here, the value that clients know as their default. */
#include "base/clock.h"
#include "server/rest_call.h"
#include "server/rest_routes.h"

/* What a collection's state waits for shards that do not answer: a shard that is away is itself the
 * news, and clients give a request 5 s unless they are told otherwise. */
#define INFO_WAIT_NS UINT64_C(3000000000)

/* --- names ---------------------------------------------------------------------------------- */

enum shoal_err rest_list_collections(struct rest_call *call)
{
    struct json_writer *w = &call->w;
    struct catalog_map *map = gateway_map(call->gateway);
    json_begin_object(w);
    json_key(w, "collections");
    json_begin_array(w);
    for (size_t i = 0; i < map->collections_len; i++) {
        json_begin_object(w);
        json_key(w, "name");
        json_put_str(w, map->collections[i].name);
        json_end_object(w);
    }
    json_end_array(w);
    json_end_object(w);
    catalog_map_unref(map);
    return SHOAL_OK;
}

enum shoal_err rest_collection_exists(struct rest_call *call)
{
    struct catalog_map *map = gateway_map(call->gateway);
    bool exists = catalog_map_find(map, rest_param(call, 0)) != NULL;
    catalog_map_unref(map);
    json_begin_object(&call->w);
    json_key(&call->w, "exists");
    json_put_bool(&call->w, exists);
    json_end_object(&call->w);
    return SHOAL_OK;
}

enum shoal_err rest_create_collection(struct rest_call *call)
{
    struct json_value body;
    enum shoal_err rc = rest_body(call, &body);
    if (rc == SHOAL_OK) {
        rc = gateway_create_collection(call->gateway, rest_param(call, 0), body,
                                       call->ctx.deadline_ns, &call->why);
    }
    if (rc == SHOAL_OK) {
        json_put_bool(&call->w, true);
    }
    return rc;
}

/* One that is not there is no error: the answer is false. */
enum shoal_err rest_delete_collection(struct rest_call *call)
{
    enum shoal_err rc = gateway_delete_collection(call->gateway, rest_param(call, 0),
                                                  call->ctx.deadline_ns, &call->why);
    if (rc != SHOAL_OK && rc != SHOAL_ENOTFOUND) {
        return rc;
    }
    json_put_bool(&call->w, rc == SHOAL_OK);
    return SHOAL_OK;
}

/* --- settings --------------------------------------------------------------------------------- */

struct setting {
    const char *name;
    const char *json; /* when it was not given */
};

#define LEN(array) (sizeof(array) / sizeof((array)[0]))

static const struct setting hnsw_settings[] = {
    { "m", "16" },
    { "ef_construct", "100" },
    { "full_scan_threshold", "10000" },
    { "max_indexing_threads", "0" },
    { "on_disk", "false" },
};

static const struct setting optimizer_settings[] = {
    { "deleted_threshold", "0.2" },    { "vacuum_min_vector_number", "1000" },
    { "default_segment_number", "0" }, { "max_segment_size", "null" },
    { "memmap_threshold", "null" },    { "indexing_threshold", "10000" },
    { "flush_interval_sec", "5" },     { "max_optimization_threads", "null" },
};

static const struct setting wal_settings[] = {
    { "wal_capacity_mb", "32" },
    { "wal_segments_ahead", "0" },
    { "wal_retain_closed", "1" },
};

static const struct setting param_settings[] = {
    { "shard_number", "1" },
    { "replication_factor", "1" },
    { "write_consistency_factor", "1" },
    { "on_disk_payload", "true" },
};

/* False when v is NULL, and for a null, which counts as not given. */
static bool get_given(const struct json_value *v, const char *key, struct json_value *out)
{
    return v != NULL && json_get(*v, key, out) && json_kind(*out) != JSON_NULL;
}

static bool is_listed(struct slice key, const struct setting *settings, size_t len)
{
    size_t i = 0;
    while (i < len && !slice_is(key, settings[i].name)) {
        i++;
    }
    return i < len;
}

static void put_settings(struct json_writer *w, const struct json_value *given,
                         const struct setting *settings, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        struct json_value v;
        json_key(w, settings[i].name);
        if (get_given(given, settings[i].name, &v)) {
            json_put_value(w, v);
        } else {
            json_put_raw(w, slice_from_str(settings[i].json));
        }
    }
}

/* An object of settings: the listed ones, and all else that was given. */
static void put_config(struct json_writer *w, const struct json_value *given,
                       const struct setting *settings, size_t len)
{
    json_begin_object(w);
    put_settings(w, given, settings, len);
    struct slice key;
    struct json_value v;
    struct json_iter it = { 0 };
    if (given != NULL) {
        it = json_iter(*given);
    }
    while (given != NULL && json_next(&it, &key, &v)) {
        if (json_kind(v) != JSON_NULL && !is_listed(key, settings, len)) {
            json_key_slice(w, key);
            json_put_value(w, v);
        }
    }
    json_end_object(w);
}

static void put_given(struct json_writer *w, const struct json_value *given, const char *key)
{
    struct json_value v;
    if (get_given(given, key, &v)) {
        json_key(w, key);
        json_put_value(w, v);
    }
}

static void put_params(struct json_writer *w, const struct json_value *given)
{
    json_begin_object(w);
    put_given(w, given, "vectors");
    put_settings(w, given, param_settings, LEN(param_settings));
    put_given(w, given, "sharding_method");
    put_given(w, given, "payload");
    json_end_object(w);
}

static void put_whole_config(struct json_writer *w, const struct json_value *given)
{
    struct json_value v;
    json_begin_object(w);
    json_key(w, "params");
    put_params(w, given);
    json_key(w, "hnsw_config");
    put_config(w, get_given(given, "hnsw_config", &v) ? &v : NULL, hnsw_settings,
               LEN(hnsw_settings));
    json_key(w, "optimizer_config");
    bool optimizer = get_given(given, "optimizers_config", &v) ||
                     get_given(given, "optimizer_config", &v);
    put_config(w, optimizer ? &v : NULL, optimizer_settings, LEN(optimizer_settings));
    json_key(w, "wal_config");
    put_config(w, get_given(given, "wal_config", &v) ? &v : NULL, wal_settings, LEN(wal_settings));
    json_key(w, "quantization_config");
    json_put_null(w);
    put_given(w, given, "strict_mode_config");
    put_given(w, given, "metadata");
    put_given(w, given, "shoal");
    json_end_object(w);
}

/* --- info ----------------------------------------------------------------------------------- */

static const char *status_name(enum shard_status status)
{
    switch (status) {
    case SHARD_GREEN: return "green";
    case SHARD_YELLOW: return "yellow";
    case SHARD_GREY: return "grey";
    case SHARD_RED: break;
    }
    return "red";
}

static void put_state(struct json_writer *w, const struct gateway_collection_info *info)
{
    json_key(w, "status");
    json_put_str(w, status_name(info->status));
    json_key(w, "optimizer_status");
    if (info->trouble[0] == '\0') {
        json_put_str(w, "ok");
    } else {
        json_begin_object(w);
        json_key(w, "error");
        json_put_str(w, info->trouble);
        json_end_object(w);
    }
    json_key(w, "points_count");
    json_put_u64(w, info->points);
    json_key(w, "indexed_vectors_count");
    json_put_u64(w, info->indexed);
    json_key(w, "segments_count");
    json_put_u64(w, info->segments);
}

static void put_info(struct json_writer *w, const struct gateway_collection_info *info,
                     const struct json_value *given)
{
    json_begin_object(w);
    put_state(w, info);
    json_key(w, "config");
    put_whole_config(w, given);
    json_key(w, "payload_schema");
    json_begin_object(w);
    json_end_object(w);
    json_end_object(w);
}

/* The create body of a collection; the caller frees it. */
static enum shoal_err read_given(struct rest_call *call, struct json_doc **out)
{
    struct catalog_map *map = gateway_map(call->gateway);
    struct slice name = rest_param(call, 0);
    const struct catalog_collection *c = catalog_map_find(map, name);
    enum shoal_err rc = c == NULL
                            ? err_set(&call->why, SHOAL_ENOTFOUND,
                                      "Collection `%.*s` doesn't exist!", (int)name.len, name.data)
                            : json_parse(slice_from_str(c->params), out, &call->why);
    catalog_map_unref(map);
    return rc == SHOAL_EPARSE ? SHOAL_ECORRUPT : rc; /* our own record, not the client's text */
}

enum shoal_err rest_get_collection(struct rest_call *call)
{
    struct gateway_collection_info info;
    struct json_doc *doc = NULL;
    enum shoal_err rc = read_given(call, &doc);
    if (rc != SHOAL_OK) {
        return rc;
    }
    uint64_t deadline_ns = clock_mono_ns(clock_real()) + INFO_WAIT_NS;
    if (deadline_ns > call->ctx.deadline_ns) {
        deadline_ns = call->ctx.deadline_ns;
    }
    rc = gateway_collection_info(call->gateway, rest_param(call, 0), deadline_ns, &info,
                                 &call->why);
    if (rc == SHOAL_OK) {
        const struct json_value given = json_root(doc);
        put_info(&call->w, &info, &given);
        call->coverage = (struct query_coverage){ .asked = info.shards_asked,
                                                  .answered = info.shards_answered };
    }
    json_free(doc);
    return rc;
}
