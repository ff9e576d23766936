/* Commands of the catalog: printed as JSON by whoever asks, applied to a copy of the map by the
 * state machine. Applying decides everything that could differ between two askers (ids, places),
 * so that the log alone determines the map. */
#include "server/catalog_command.h"

#include "base/json.h"
#include "query/collection.h"
#include "server/catalog_map.h"

#include <ctype.h>
#include <inttypes.h>

static void put(struct json_writer *w, const char *key, uint64_t v)
{
    json_key(w, key);
    json_put_u64(w, v);
}

enum shoal_err catalog_command_create(struct buf *out, const struct catalog_create *create)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key(&w, "do");
    json_put_str(&w, "create");
    json_key(&w, "name");
    json_put_string(&w, create->name);
    put(&w, "dim", create->dim);
    put(&w, "distance", (uint64_t)create->distance);
    put(&w, "index", (uint64_t)create->options.index);
    put(&w, "m", create->options.m);
    put(&w, "ef_construction", create->options.ef_construction);
    put(&w, "nlist", create->options.nlist);
    put(&w, "ef", create->options.ef);
    put(&w, "nprobe", create->options.nprobe);
    put(&w, "seal_rows", create->options.seal_rows);
    put(&w, "build_threads", create->options.build_threads);
    put(&w, "shards", create->shards_len);
    json_key(&w, "params");
    json_put_raw(&w, create->params);
    json_end_object(&w);
    return out->failed;
}

enum shoal_err catalog_command_delete(struct buf *out, struct slice name, uint64_t first_shard)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key(&w, "do");
    json_put_str(&w, "delete");
    json_key(&w, "name");
    json_put_string(&w, name);
    if (first_shard != 0) {
        put(&w, "first_shard", first_shard);
    }
    json_end_object(&w);
    return out->failed;
}

enum shoal_err catalog_command_join(struct buf *out, const char *name, const char *identity,
                                    const char *url)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key(&w, "do");
    json_put_str(&w, "join");
    json_key(&w, "name");
    json_put_str(&w, name);
    json_key(&w, "identity");
    json_put_str(&w, identity);
    json_key(&w, "url");
    json_put_str(&w, url);
    json_end_object(&w);
    return out->failed;
}

/* --- applying ------------------------------------------------------------------------------- */

static bool get_string(struct json_value v, const char *key, struct slice *out)
{
    struct json_value member;
    return json_get(v, key, &member) && json_string(member, out);
}

static uint32_t get_u32(struct json_value v, const char *key)
{
    struct json_value member;
    uint64_t n = 0;
    bool ok = json_get(v, key, &member) && json_u64(member, &n) && n <= UINT32_MAX;
    return ok ? (uint32_t)n : 0;
}

enum shoal_err catalog_check_name(struct slice name, struct errbuf *why)
{
    if (name.len == 0 || name.len > CATALOG_NAME_MAX) {
        return err_set(why, SHOAL_EVALIDATION, "collection name: %zu bytes; must be from 1 to %d",
                       name.len, CATALOG_NAME_MAX);
    }
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] == '/' || iscntrl((unsigned char)name.data[i])) {
            return err_set(why, SHOAL_EVALIDATION,
                           "collection name: '/' and control characters are not allowed");
        }
    }
    return SHOAL_OK;
}

static enum shoal_err check_create(const struct catalog_map *m, const struct catalog_create *c,
                                   struct errbuf *why)
{
    enum shoal_err rc = catalog_check_name(c->name, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (catalog_map_find(m, c->name) != NULL) {
        return err_set(why, SHOAL_EEXISTS, "Collection `%.*s` already exists!", (int)c->name.len,
                       c->name.data);
    }
    if (m->collections_len >= CATALOG_COLLECTIONS_MAX) {
        return err_set(why, SHOAL_EFULL, "there are %d collections already; delete one first",
                       CATALOG_COLLECTIONS_MAX);
    }
    if (c->dim == 0 || c->dim > VECTOR_DIM_MAX || distance_name(c->distance) == NULL ||
        index_kind_name(c->options.index) == NULL) {
        return err_set(why, SHOAL_EVALIDATION, "vector size, distance or index is out of range");
    }
    if (c->shards_len == 0 || c->shards_len > COLLECTION_SHARDS_MAX) {
        return err_set(why, SHOAL_EVALIDATION,
                       "shard_number: value %zu invalid, must be from 1 to %d", c->shards_len,
                       COLLECTION_SHARDS_MAX);
    }
    if (m->nodes_len == 0) {
        return err_set(why, SHOAL_EUNAVAILABLE,
                       "no node has joined yet to hold shards; start one and repeat");
    }
    return SHOAL_OK;
}

/* Round robin, beginning at the node that holds the fewest shards. */
static void place_shards(struct catalog_map *m, struct catalog_shard *shards, size_t len)
{
    size_t held[CATALOG_NODES_MAX] = { 0 };
    for (size_t i = 0; i < m->collections_len; i++) {
        const struct catalog_collection *c = &m->collections[i];
        for (size_t s = 0; s < c->shards_len; s++) {
            for (size_t n = 0; n < m->nodes_len; n++) {
                held[n] += m->nodes[n].id == c->shards[s].node;
            }
        }
    }
    size_t at = 0;
    for (size_t n = 1; n < m->nodes_len; n++) {
        at = held[n] < held[at] ? n : at;
    }
    for (size_t s = 0; s < len; s++) {
        shards[s] = (struct catalog_shard){ .id = m->next_shard++,
                                            .node = m->nodes[(at + s) % m->nodes_len].id };
    }
}

static enum shoal_err apply_create(struct catalog_map *m, struct json_value v, uint64_t *value,
                                   struct errbuf *why)
{
    struct catalog_create c = {
        .dim = get_u32(v, "dim"),
        .distance = (enum distance)get_u32(v, "distance"),
        .options =
            {
                .index = (enum index_kind)get_u32(v, "index"),
                .m = get_u32(v, "m"),
                .ef_construction = get_u32(v, "ef_construction"),
                .nlist = get_u32(v, "nlist"),
                .ef = get_u32(v, "ef"),
                .nprobe = get_u32(v, "nprobe"),
                .seal_rows = get_u32(v, "seal_rows"),
                .build_threads = get_u32(v, "build_threads"),
            },
        .shards_len = get_u32(v, "shards"),
    };
    struct json_value params;
    if (!get_string(v, "name", &c.name) || !json_get(v, "params", &params) ||
        json_kind(params) != JSON_OBJECT) {
        return err_set(why, SHOAL_EPROTO, "the create command lacks its name or parameters");
    }
    enum shoal_err rc = check_create(m, &c, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct buf text;
    buf_init(&text, CATALOG_COMMAND_MAX);
    rc = json_print(params, &text);
    if (rc == SHOAL_OK) {
        struct catalog_shard shards[COLLECTION_SHARDS_MAX];
        place_shards(m, shards, c.shards_len);
        *value = shards[0].id;
        c.params = buf_slice(&text);
        rc = catalog_map_add_collection(m, &c, shards);
    }
    buf_release(&text);
    return rc;
}

static enum shoal_err apply_delete(struct catalog_map *m, struct json_value v, struct errbuf *why)
{
    struct slice name;
    if (!get_string(v, "name", &name)) {
        return err_set(why, SHOAL_EPROTO, "the delete command lacks its name");
    }
    struct json_value member;
    uint64_t first_shard = 0;
    if (json_get(v, "first_shard", &member) && !json_u64(member, &first_shard)) {
        return err_set(why, SHOAL_EPROTO, "the delete command's first_shard is no number");
    }
    const struct catalog_collection *c = catalog_map_find(m, name);
    if (c == NULL || (first_shard != 0 && c->shards[0].id != first_shard)) {
        return err_set(why, SHOAL_ENOTFOUND, "Collection `%.*s` doesn't exist!", (int)name.len,
                       name.data);
    }
    catalog_map_remove_collection(m, catalog_map_place(m, name));
    return SHOAL_OK;
}

static enum shoal_err apply_join(struct catalog_map *m, struct json_value v, uint64_t *value,
                                 struct errbuf *why)
{
    struct slice name;
    struct slice identity;
    struct slice url;
    if (!get_string(v, "name", &name) || name.len == 0 || name.len > CATALOG_NAME_MAX ||
        !get_string(v, "identity", &identity) || identity.len == 0 || !get_string(v, "url", &url)) {
        return err_set(why, SHOAL_EPROTO, "the join command lacks its name, identity or address");
    }
    for (size_t i = 0; i < m->nodes_len; i++) {
        if (slice_is(identity, m->nodes[i].identity)) {
            *value = m->nodes[i].id;
            return catalog_map_set_url(m, i, url);
        }
        if (slice_is(name, m->nodes[i].name)) {
            return err_set(why, SHOAL_ECONFLICT,
                           "another node is called \"%.*s\"; give this one a --name of its own",
                           (int)name.len, name.data);
        }
    }
    if (m->nodes_len == CATALOG_NODES_MAX) {
        return err_set(why, SHOAL_EFULL, "%d nodes have joined already", CATALOG_NODES_MAX);
    }
    *value = m->next_node;
    enum shoal_err rc = catalog_map_add_node(m, m->next_node, name, identity, url);
    m->next_node += rc == SHOAL_OK;
    return rc;
}

enum shoal_err catalog_command_apply(struct catalog_map *m, struct slice command, uint64_t *value,
                                     struct errbuf *why)
{
    *value = 0;
    struct json_doc *doc = NULL;
    enum shoal_err rc = json_parse(command, &doc, why);
    if (rc != SHOAL_OK) {
        return rc == SHOAL_EPARSE ? err_set(why, SHOAL_EPROTO, "the command is not JSON") : rc;
    }
    struct json_value v = json_root(doc);
    struct slice what = { 0 };
    (void)get_string(v, "do", &what);
    if (slice_is(what, "create")) {
        rc = apply_create(m, v, value, why);
    } else if (slice_is(what, "delete")) {
        rc = apply_delete(m, v, why);
    } else if (slice_is(what, "join")) {
        rc = apply_join(m, v, value, why);
    } else {
        rc = err_set(why, SHOAL_EPROTO, "unknown catalog command \"%.*s\"", (int)what.len,
                     what.data == NULL ? "" : what.data);
    }
    json_free(doc);
    if (rc == SHOAL_OK) {
        m->epoch++;
    }
    return rc;
}
