/* The catalog's map: how it is copied, found in, printed and parsed. */
#include "server/catalog_map.h"
#include "base/json.h"
#include "base/mem.h"
#include "query/collection.h"

#include <assert.h>
#include <inttypes.h>

/* A map is refused beyond this size; CATALOG_COLLECTIONS_MAX collections stay well below. */
#define MAP_TEXT_MAX (64u << 20)

static void collection_clear(struct catalog_collection *c)
{
    mem_free(c->name);
    mem_free(c->shards);
    mem_free(c->params);
}

static void node_clear(struct catalog_node *n)
{
    mem_free(n->name);
    mem_free(n->identity);
    mem_free(n->url);
}

enum shoal_err catalog_map_new(struct catalog_map **out)
{
    *out = mem_calloc(1, sizeof(**out));
    if (*out == NULL) {
        return SHOAL_ENOMEM;
    }
    (*out)->next_shard = CATALOG_FIRST_SHARD;
    (*out)->next_node = 1;
    atomic_init(&(*out)->refs, 1);
    return SHOAL_OK;
}

void catalog_map_ref(struct catalog_map *m)
{
    unsigned before = atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
}

void catalog_map_unref(struct catalog_map *m)
{
    if (m == NULL || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < m->nodes_len; i++) {
        node_clear(&m->nodes[i]);
    }
    for (size_t i = 0; i < m->collections_len; i++) {
        collection_clear(&m->collections[i]);
    }
    mem_free(m->nodes);
    mem_free(m->collections);
    mem_free(m);
}

static int compare_names(struct slice a, const char *b)
{
    size_t b_len = strlen(b);
    size_t shorter = a.len < b_len ? a.len : b_len;
    int order = shorter == 0 ? 0 : memcmp(a.data, b, shorter);
    return order != 0 ? order : (a.len > b_len) - (a.len < b_len);
}

size_t catalog_map_place(const struct catalog_map *m, struct slice name)
{
    size_t lo = 0;
    size_t hi = m->collections_len;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (compare_names(name, m->collections[mid].name) > 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

const struct catalog_collection *catalog_map_find(const struct catalog_map *m, struct slice name)
{
    size_t at = catalog_map_place(m, name);
    bool found = at < m->collections_len && compare_names(name, m->collections[at].name) == 0;
    return found ? &m->collections[at] : NULL;
}

const struct catalog_node *catalog_map_node(const struct catalog_map *m, uint64_t id)
{
    for (size_t i = 0; i < m->nodes_len; i++) {
        if (m->nodes[i].id == id) {
            return &m->nodes[i];
        }
    }
    return NULL;
}

/* --- changing a copy ------------------------------------------------------------------------ */

enum shoal_err catalog_map_add_node(struct catalog_map *m, uint64_t id, struct slice name,
                                    struct slice identity, struct slice url)
{
    struct catalog_node *nodes = mem_realloc(m->nodes, (m->nodes_len + 1) * sizeof(*nodes));
    if (nodes == NULL) {
        return SHOAL_ENOMEM;
    }
    m->nodes = nodes;
    struct catalog_node *n = &nodes[m->nodes_len];
    *n = (struct catalog_node){ .id = id,
                                .name = mem_strndup(name.data, name.len),
                                .identity = mem_strndup(identity.data, identity.len),
                                .url = mem_strndup(url.data, url.len) };
    if (n->name == NULL || n->identity == NULL || n->url == NULL) {
        node_clear(n);
        return SHOAL_ENOMEM;
    }
    m->nodes_len++;
    return SHOAL_OK;
}

enum shoal_err catalog_map_set_url(struct catalog_map *m, size_t node, struct slice url)
{
    assert(node < m->nodes_len);
    char *copy = mem_strndup(url.data, url.len);
    if (copy == NULL) {
        return SHOAL_ENOMEM;
    }
    mem_free(m->nodes[node].url);
    m->nodes[node].url = copy;
    return SHOAL_OK;
}

enum shoal_err catalog_map_add_collection(struct catalog_map *m,
                                          const struct catalog_create *create,
                                          const struct catalog_shard *shards)
{
    size_t n = m->collections_len;
    struct catalog_collection *list = mem_realloc(m->collections, (n + 1) * sizeof(*list));
    if (list == NULL) {
        return SHOAL_ENOMEM;
    }
    m->collections = list;
    struct catalog_collection c = {
        .name = mem_strndup(create->name.data, create->name.len),
        .dim = create->dim,
        .distance = create->distance,
        .options = create->options,
        .shards_len = create->shards_len,
        .shards = mem_array(create->shards_len, sizeof(*shards)),
        .params = mem_strndup(create->params.data, create->params.len),
    };
    if (c.name == NULL || c.shards == NULL || c.params == NULL) {
        collection_clear(&c);
        return SHOAL_ENOMEM;
    }
    memcpy(c.shards, shards, create->shards_len * sizeof(*shards));
    size_t at = catalog_map_place(m, create->name);
    memmove(&list[at + 1], &list[at], (n - at) * sizeof(*list));
    list[at] = c;
    m->collections_len++;
    return SHOAL_OK;
}

void catalog_map_remove_collection(struct catalog_map *m, size_t at)
{
    assert(at < m->collections_len);
    collection_clear(&m->collections[at]);
    m->collections_len--;
    memmove(&m->collections[at], &m->collections[at + 1],
            (m->collections_len - at) * sizeof(*m->collections));
}

enum shoal_err catalog_map_copy(const struct catalog_map *m, struct catalog_map **out)
{
    *out = NULL;
    struct catalog_map *copy = NULL;
    enum shoal_err rc = catalog_map_new(&copy);
    if (rc != SHOAL_OK) {
        return rc;
    }
    copy->epoch = m->epoch;
    copy->next_shard = m->next_shard;
    copy->next_node = m->next_node;
    for (size_t i = 0; i < m->nodes_len && rc == SHOAL_OK; i++) {
        const struct catalog_node *n = &m->nodes[i];
        rc = catalog_map_add_node(copy, n->id, slice_from_str(n->name), slice_from_str(n->identity),
                                  slice_from_str(n->url));
    }
    for (size_t i = 0; i < m->collections_len && rc == SHOAL_OK; i++) {
        const struct catalog_collection *c = &m->collections[i];
        const struct catalog_create create = {
            .name = slice_from_str(c->name),
            .dim = c->dim,
            .distance = c->distance,
            .options = c->options,
            .shards_len = c->shards_len,
            .params = slice_from_str(c->params),
        };
        rc = catalog_map_add_collection(copy, &create, c->shards);
    }
    if (rc != SHOAL_OK) {
        catalog_map_unref(copy);
        return rc;
    }
    *out = copy;
    return SHOAL_OK;
}

/* --- JSON ----------------------------------------------------------------------------------- */

static void put_u64(struct json_writer *w, const char *key, uint64_t v)
{
    json_key(w, key);
    json_put_u64(w, v);
}

static void put_str(struct json_writer *w, const char *key, const char *v)
{
    json_key(w, key);
    json_put_str(w, v);
}

static void print_collection(struct json_writer *w, const struct catalog_collection *c)
{
    json_begin_object(w);
    put_str(w, "name", c->name);
    put_u64(w, "dim", c->dim);
    put_str(w, "distance", distance_name(c->distance));
    put_str(w, "index", index_kind_name(c->options.index));
    put_u64(w, "m", c->options.m);
    put_u64(w, "ef_construction", c->options.ef_construction);
    put_u64(w, "nlist", c->options.nlist);
    put_u64(w, "ef", c->options.ef);
    put_u64(w, "nprobe", c->options.nprobe);
    put_u64(w, "seal_rows", c->options.seal_rows);
    put_u64(w, "build_threads", c->options.build_threads);
    json_key(w, "shards");
    json_begin_array(w);
    for (size_t i = 0; i < c->shards_len; i++) {
        json_begin_object(w);
        put_u64(w, "id", c->shards[i].id);
        put_u64(w, "node", c->shards[i].node);
        json_end_object(w);
    }
    json_end_array(w);
    json_key(w, "params");
    json_put_raw(w, slice_from_str(c->params));
    json_end_object(w);
}

enum shoal_err catalog_map_print(const struct catalog_map *m, struct buf *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_begin_object(&w);
    put_u64(&w, "epoch", m->epoch);
    put_u64(&w, "next_shard", m->next_shard);
    put_u64(&w, "next_node", m->next_node);
    json_key(&w, "nodes");
    json_begin_array(&w);
    for (size_t i = 0; i < m->nodes_len; i++) {
        json_begin_object(&w);
        put_u64(&w, "id", m->nodes[i].id);
        put_str(&w, "name", m->nodes[i].name);
        put_str(&w, "identity", m->nodes[i].identity);
        put_str(&w, "url", m->nodes[i].url);
        json_end_object(&w);
    }
    json_end_array(&w);
    json_key(&w, "collections");
    json_begin_array(&w);
    for (size_t i = 0; i < m->collections_len; i++) {
        print_collection(&w, &m->collections[i]);
    }
    json_end_array(&w);
    json_end_object(&w);
    return out->failed;
}

static bool get_u64(struct json_value v, const char *key, uint64_t max, uint64_t *out)
{
    struct json_value member;
    return json_get(v, key, &member) && json_u64(member, out) && *out <= max;
}

static bool get_u32(struct json_value v, const char *key, uint32_t *out)
{
    uint64_t wide = 0;
    bool ok = get_u64(v, key, UINT32_MAX, &wide);
    *out = (uint32_t)wide;
    return ok;
}

static bool get_string(struct json_value v, const char *key, struct slice *out)
{
    struct json_value member;
    return json_get(v, key, &member) && json_string(member, out);
}

static bool parse_options(struct json_value v, struct shard_options *o)
{
    struct slice kind;
    return get_string(v, "index", &kind) && index_kind_parse(kind, &o->index) == SHOAL_OK &&
           get_u32(v, "m", &o->m) && get_u32(v, "ef_construction", &o->ef_construction) &&
           get_u32(v, "nlist", &o->nlist) && get_u32(v, "ef", &o->ef) &&
           get_u32(v, "nprobe", &o->nprobe) && get_u32(v, "seal_rows", &o->seal_rows) &&
           get_u32(v, "build_threads", &o->build_threads);
}

static bool parse_shards(struct json_value list, struct catalog_shard *shards, size_t len)
{
    struct json_value v;
    size_t i = 0;
    for (struct json_iter it = json_iter(list); i < len && json_next(&it, NULL, &v); i++) {
        if (!get_u64(v, "id", UINT64_MAX, &shards[i].id) ||
            !get_u64(v, "node", UINT64_MAX, &shards[i].node)) {
            return false;
        }
    }
    return i == len;
}

static enum shoal_err parse_collection(struct json_value v, struct catalog_map *m)
{
    struct catalog_create create = { 0 };
    struct slice distance;
    struct json_value shards;
    struct json_value params;
    if (!get_string(v, "name", &create.name) || !get_u32(v, "dim", &create.dim) ||
        create.dim == 0 || create.dim > VECTOR_DIM_MAX || !get_string(v, "distance", &distance) ||
        distance_parse(distance, &create.distance) != SHOAL_OK ||
        !parse_options(v, &create.options) || !json_get(v, "shards", &shards) ||
        !json_get(v, "params", &params)) {
        return SHOAL_ECORRUPT;
    }
    create.shards_len = json_len(shards);
    struct catalog_shard list[COLLECTION_SHARDS_MAX];
    if (create.shards_len == 0 || create.shards_len > COLLECTION_SHARDS_MAX ||
        !parse_shards(shards, list, create.shards_len) ||
        catalog_map_find(m, create.name) != NULL) {
        return SHOAL_ECORRUPT;
    }
    struct buf text;
    buf_init(&text, MAP_TEXT_MAX);
    enum shoal_err rc = json_print(params, &text);
    if (rc == SHOAL_OK) {
        create.params = buf_slice(&text);
        rc = catalog_map_add_collection(m, &create, list);
    }
    buf_release(&text);
    return rc;
}

static enum shoal_err parse_node(struct json_value v, struct catalog_map *m)
{
    uint64_t id = 0;
    struct slice name;
    struct slice identity;
    struct slice url;
    if (!get_u64(v, "id", UINT64_MAX, &id) || !get_string(v, "name", &name) ||
        !get_string(v, "identity", &identity) || !get_string(v, "url", &url) ||
        catalog_map_node(m, id) != NULL) {
        return SHOAL_ECORRUPT;
    }
    return catalog_map_add_node(m, id, name, identity, url);
}

static enum shoal_err parse_list(struct json_value root, const char *key, size_t max,
                                 enum shoal_err (*each)(struct json_value, struct catalog_map *),
                                 struct catalog_map *m)
{
    struct json_value list;
    if (!json_get(root, key, &list) || json_kind(list) != JSON_ARRAY || json_len(list) > max) {
        return SHOAL_ECORRUPT;
    }
    struct json_value v;
    enum shoal_err rc = SHOAL_OK;
    for (struct json_iter it = json_iter(list); rc == SHOAL_OK && json_next(&it, NULL, &v);) {
        rc = each(v, m);
    }
    return rc;
}

static enum shoal_err parse_map(struct json_value root, struct catalog_map *m)
{
    if (!get_u64(root, "epoch", UINT64_MAX, &m->epoch) ||
        !get_u64(root, "next_shard", UINT64_MAX, &m->next_shard) ||
        !get_u64(root, "next_node", UINT64_MAX, &m->next_node)) {
        return SHOAL_ECORRUPT;
    }
    enum shoal_err rc = parse_list(root, "nodes", CATALOG_NODES_MAX, parse_node, m);
    return rc != SHOAL_OK
               ? rc
               : parse_list(root, "collections", CATALOG_COLLECTIONS_MAX, parse_collection, m);
}

enum shoal_err catalog_map_parse(struct slice json, struct catalog_map **out, struct errbuf *why)
{
    *out = NULL;
    struct json_doc *doc = NULL;
    enum shoal_err rc = json_parse(json, &doc, why);
    if (rc != SHOAL_OK) {
        return rc == SHOAL_EPARSE ? err_prefix(why, SHOAL_ECORRUPT, "the catalog's map") : rc;
    }
    struct catalog_map *m = NULL;
    rc = catalog_map_new(&m);
    if (rc == SHOAL_OK) {
        rc = parse_map(json_root(doc), m);
    }
    json_free(doc);
    if (rc != SHOAL_OK) {
        catalog_map_unref(m);
        return rc == SHOAL_ECORRUPT ? err_set(why, rc, "the catalog's map is malformed") : rc;
    }
    *out = m;
    return SHOAL_OK;
}
