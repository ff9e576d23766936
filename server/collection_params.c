#include "server/collection_params.h"

#include "query/collection.h"

#include <inttypes.h>

/* What to do with one key of an object. `arg` is the struct being filled. */
typedef enum shoal_err take_fn(struct json_value v, const char *key, void *arg, struct errbuf *why);

struct key {
    const char *name;
    take_fn *take;
};

static enum shoal_err wrong(struct errbuf *why, const char *key, const char *wanted)
{
    return err_set(why, SHOAL_EINVAL, "%s: must be %s", key, wanted);
}

/* Walks an object over a table of keys; null counts as not given, and an unknown key is refused. */
static enum shoal_err walk(struct json_value v, const char *where, const struct key *keys,
                           size_t keys_len, void *arg, struct errbuf *why)
{
    if (json_kind(v) != JSON_OBJECT) {
        return wrong(why, where, "an object");
    }
    struct slice name;
    struct json_value member;
    for (struct json_iter it = json_iter(v); json_next(&it, &name, &member);) {
        size_t i = 0;
        while (i < keys_len && !slice_is(name, keys[i].name)) {
            i++;
        }
        if (i == keys_len) {
            return err_set(why, SHOAL_EINVAL, "%s: unknown key \"%.*s\"", where, (int)name.len,
                           name.data);
        }
        if (json_kind(member) == JSON_NULL) {
            continue;
        }
        enum shoal_err rc = keys[i].take(member, keys[i].name, arg, why);
        if (rc != SHOAL_OK) {
            return rc;
        }
    }
    return SHOAL_OK;
}
#define WALK(v, where, keys, arg, why) \
    walk((v), (where), (keys), sizeof(keys) / sizeof((keys)[0]), (arg), (why))

static enum shoal_err take_range(struct json_value v, const char *key, uint64_t min, uint64_t max,
                                 uint64_t *out, struct errbuf *why)
{
    if (!json_u64(v, out)) {
        return wrong(why, key, "a whole number");
    }
    if (*out < min || *out > max) {
        return err_set(why, SHOAL_EVALIDATION,
                       "%s: value %" PRIu64 " invalid, must be from %" PRIu64 " to %" PRIu64, key,
                       *out, min, max);
    }
    return SHOAL_OK;
}

static enum shoal_err take_u32(struct json_value v, const char *key, uint32_t min, uint32_t max,
                               uint32_t *out, struct errbuf *why)
{
    uint64_t wide = 0;
    enum shoal_err rc = take_range(v, key, min, max, &wide, why);
    if (rc == SHOAL_OK) {
        *out = (uint32_t)wide;
    }
    return rc;
}

static enum shoal_err take_hint(struct json_value v, const char *key, void *arg, struct errbuf *why)
{
    (void)v;
    (void)key;
    (void)arg;
    (void)why;
    return SHOAL_OK;
}

static enum shoal_err take_object_hint(struct json_value v, const char *key, void *arg,
                                       struct errbuf *why)
{
    (void)arg;
    return json_kind(v) == JSON_OBJECT ? SHOAL_OK : wrong(why, key, "an object");
}

static enum shoal_err take_unsupported(struct json_value v, const char *key, void *arg,
                                       struct errbuf *why)
{
    (void)arg;
    if (json_kind(v) == JSON_OBJECT && json_len(v) == 0) {
        return SHOAL_OK;
    }
    return err_set(why, SHOAL_EUNSUPPORTED, "%s is not supported yet; leave it out", key);
}

static enum shoal_err take_one(struct json_value v, const char *key, void *arg, struct errbuf *why)
{
    (void)arg;
    uint64_t n = 0;
    if (!json_u64(v, &n) || n == 0) {
        return wrong(why, key, "a whole number from 1");
    }
    return n == 1 ? SHOAL_OK
                  : err_set(why, SHOAL_EUNSUPPORTED,
                            "%s above 1 is not supported yet: a shard has one replica", key);
}

/* --- hnsw_config ---------------------------------------------------------------------------- */

static enum shoal_err take_m(struct json_value v, const char *key, void *arg, struct errbuf *why)
{
    struct catalog_create *c = arg;
    uint64_t m = 0;
    if (json_u64(v, &m) && m == 0) { /* no graph: every search is a scan */
        c->options.index = INDEX_FLAT;
        return SHOAL_OK;
    }
    return take_u32(v, key, 4, 128, &c->options.m, why);
}

static enum shoal_err take_ef_construct(struct json_value v, const char *key, void *arg,
                                        struct errbuf *why)
{
    struct catalog_create *c = arg;
    return take_u32(v, key, 4, 4096, &c->options.ef_construction, why);
}

static enum shoal_err take_hnsw(struct json_value v, const char *key, void *arg, struct errbuf *why)
{
    static const struct key keys[] = {
        { "m", take_m },
        { "ef_construct", take_ef_construct },
        { "full_scan_threshold", take_hint },
        { "max_indexing_threads", take_hint },
        { "on_disk", take_hint },
        { "memory", take_hint },
        { "payload_m", take_hint },
        { "inline_storage", take_hint },
    };
    return WALK(v, key, keys, arg, why);
}

/* --- vectors -------------------------------------------------------------------------------- */

static enum shoal_err take_size(struct json_value v, const char *key, void *arg, struct errbuf *why)
{
    struct catalog_create *c = arg;
    return take_u32(v, key, 1, VECTOR_DIM_MAX, &c->dim, why);
}

static enum shoal_err take_distance(struct json_value v, const char *key, void *arg,
                                    struct errbuf *why)
{
    struct catalog_create *c = arg;
    struct slice name;
    if (!json_string(v, &name) || distance_parse(name, &c->distance) != SHOAL_OK) {
        return wrong(why, key, "\"Cosine\", \"Dot\", \"Euclid\" or \"Manhattan\"");
    }
    return SHOAL_OK;
}

static enum shoal_err take_datatype(struct json_value v, const char *key, void *arg,
                                    struct errbuf *why)
{
    (void)arg;
    struct slice name;
    if (json_string(v, &name) && slice_is(name, "float32")) {
        return SHOAL_OK;
    }
    return err_set(why, SHOAL_EUNSUPPORTED, "%s: only \"float32\" is supported yet", key);
}

static enum shoal_err take_vector(struct json_value v, const char *where, struct catalog_create *c,
                                  struct errbuf *why)
{
    static const struct key keys[] = {
        { "size", take_size },         { "distance", take_distance },
        { "hnsw_config", take_hnsw },  { "quantization_config", take_unsupported },
        { "on_disk", take_hint },      { "memory", take_hint },
        { "datatype", take_datatype }, { "multivector_config", take_unsupported },
    };
    enum shoal_err rc = WALK(v, where, keys, c, why);
    if (rc == SHOAL_OK && c->dim == 0) {
        rc = wrong(why, "vectors.size", "given");
    }
    if (rc == SHOAL_OK && distance_name(c->distance) == NULL) {
        rc = wrong(why, "vectors.distance", "given");
    }
    return rc;
}

/* One vector {"size": ..}, or a map of names; the name "" means the one vector without a name. */
static enum shoal_err take_vectors(struct json_value v, const char *key, void *arg,
                                   struct errbuf *why)
{
    struct json_value only;
    if (json_kind(v) != JSON_OBJECT) {
        return wrong(why, key, "an object");
    }
    if (json_get(v, "size", &only) && json_kind(only) != JSON_OBJECT) {
        return take_vector(v, key, arg, why);
    }
    if (json_len(v) == 1 && json_get(v, "", &only)) {
        return take_vector(only, key, arg, why);
    }
    if (json_len(v) == 0) {
        return err_set(why, SHOAL_EUNSUPPORTED,
                       "%s: a collection without a vector is not supported yet", key);
    }
    return err_set(why, SHOAL_EUNSUPPORTED,
                   "%s: named vectors are not supported yet; give one vector {\"size\", "
                   "\"distance\"}",
                   key);
}

/* --- the rest ------------------------------------------------------------------------------- */

static enum shoal_err take_shards(struct json_value v, const char *key, void *arg,
                                  struct errbuf *why)
{
    struct catalog_create *c = arg;
    uint64_t n = 0;
    enum shoal_err rc = take_range(v, key, 1, COLLECTION_SHARDS_MAX, &n, why);
    c->shards_len = (size_t)n;
    return rc;
}

static enum shoal_err take_sharding(struct json_value v, const char *key, void *arg,
                                    struct errbuf *why)
{
    (void)arg;
    struct slice method;
    if (json_string(v, &method) && slice_is(method, "auto")) {
        return SHOAL_OK;
    }
    return err_set(why, SHOAL_EUNSUPPORTED, "%s: only \"auto\" is supported yet", key);
}

static enum shoal_err take_strict_mode(struct json_value v, const char *key, void *arg,
                                       struct errbuf *why)
{
    struct json_value enabled;
    bool on = false;
    if (json_kind(v) == JSON_OBJECT && json_len(v) == 1 && json_get(v, "enabled", &enabled) &&
        json_bool(enabled, &on) && !on) {
        return SHOAL_OK;
    }
    return take_unsupported(v, key, arg, why);
}

static enum shoal_err take_index(struct json_value v, const char *key, void *arg,
                                 struct errbuf *why)
{
    struct catalog_create *c = arg;
    struct slice name;
    if (!json_string(v, &name) || index_kind_parse(name, &c->options.index) != SHOAL_OK) {
        return wrong(why, key, "\"hnsw\", \"ivf_flat\" or \"flat\"");
    }
    return SHOAL_OK;
}

static enum shoal_err take_nlist(struct json_value v, const char *key, void *arg,
                                 struct errbuf *why)
{
    struct catalog_create *c = arg;
    return take_u32(v, key, 1, INDEX_NLIST_MAX, &c->options.nlist, why);
}

static enum shoal_err take_nprobe(struct json_value v, const char *key, void *arg,
                                  struct errbuf *why)
{
    struct catalog_create *c = arg;
    return take_u32(v, key, 1, INDEX_NLIST_MAX, &c->options.nprobe, why);
}

static enum shoal_err take_ef(struct json_value v, const char *key, void *arg, struct errbuf *why)
{
    struct catalog_create *c = arg;
    return take_u32(v, key, 1, INDEX_EF_MAX, &c->options.ef, why);
}

static enum shoal_err take_seal_rows(struct json_value v, const char *key, void *arg,
                                     struct errbuf *why)
{
    struct catalog_create *c = arg;
    return take_u32(v, key, 1, INDEX_ROWS_MAX, &c->options.seal_rows, why);
}

static enum shoal_err take_own(struct json_value v, const char *key, void *arg, struct errbuf *why)
{
    static const struct key keys[] = {
        { "index", take_index }, { "nlist", take_nlist },         { "nprobe", take_nprobe },
        { "ef", take_ef },       { "seal_rows", take_seal_rows },
    };
    return WALK(v, key, keys, arg, why);
}

enum shoal_err collection_params_parse(struct json_value body, struct catalog_create *out,
                                       struct errbuf *why)
{
    static const struct key keys[] = {
        { "vectors", take_vectors },
        { "sparse_vectors", take_unsupported },
        { "shard_number", take_shards },
        { "sharding_method", take_sharding },
        { "replication_factor", take_one },
        { "write_consistency_factor", take_one },
        { "on_disk_payload", take_hint },
        { "payload", take_object_hint },
        { "hnsw_config", take_hnsw },
        { "wal_config", take_object_hint },
        { "optimizers_config", take_object_hint },
        { "optimizer_config", take_object_hint },
        { "quantization_config", take_unsupported },
        { "quantization", take_unsupported },
        { "strict_mode_config", take_strict_mode },
        { "metadata", take_object_hint },
        { "init_from", take_unsupported },
        { "shoal", take_own },
    };
    *out = (struct catalog_create){ .options = { .index = INDEX_HNSW }, .shards_len = 1 };
    enum shoal_err rc = WALK(body, "body", keys, out, why);
    if (rc == SHOAL_OK && out->dim == 0) {
        rc = wrong(why, "vectors", "given: {\"size\": .., \"distance\": ..}");
    }
    return rc;
}
