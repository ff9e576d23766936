/* Collections by name. A cached collection serves until a map of a later epoch names other shards
 * or other addresses for it; it is then replaced, and the old one goes with its last user. */
#include "server/gateway.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "query/query.h"
#include "server/collection_params.h"
#include "server/gateway_config.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* Parameters of one collection, and a command with them. */
#define PARAMS_MAX (512u << 10)
/* Scratch of one info request. */
#define INFO_ARENA_MAX (8u << 20)

struct cached {
    struct collection *collection;
    uint64_t layout; /* hash of shard ids, their nodes and addresses */
};

struct gateway {
    struct gateway_config config;
    struct mutex mutex;
    /* guarded by mutex */
    struct cached *cached; /* sorted by nothing: few, looked up by name */
    size_t cached_len;
    uint64_t epoch; /* of the map the cache was last held against */
};

/* --- building ------------------------------------------------------------------------------- */

/* What a cached collection depends on. */
static uint64_t layout_of(const struct catalog_map *m, const struct catalog_collection *c)
{
    uint64_t h = c->dim;
    for (size_t i = 0; i < c->shards_len; i++) {
        const struct catalog_node *n = catalog_map_node(m, c->shards[i].node);
        h = hash64_seeded(&c->shards[i].id, sizeof(c->shards[i].id), h);
        h = n == NULL ? h : hash64_seeded(n->url, strlen(n->url), h ^ n->id);
    }
    return h;
}

static enum shoal_err make_channel(struct gateway *g, const struct catalog_map *m,
                                   const struct catalog_collection *c,
                                   const struct catalog_shard *s, struct channel **out,
                                   struct errbuf *why)
{
    if (g->config.node != NULL && node_id(g->config.node) == s->node) {
        return channel_local_new(node_source(g->config.node), s->id, out);
    }
    const struct catalog_node *n = catalog_map_node(m, s->node);
    if (n == NULL) {
        return err_set(why, SHOAL_ECORRUPT, "shard %" PRIu64 " lies on a node that is not known",
                       s->id);
    }
    struct channel_peer peer;
    enum shoal_err rc = peers_get(g->config.peers, n->url, &peer, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = channel_remote_new(&peer, s->id, c->dim, out);
    if (rc != SHOAL_OK) {
        peer.release(peer.arg);
    }
    return rc;
}

static enum shoal_err build(struct gateway *g, const struct catalog_map *m,
                            const struct catalog_collection *c, struct collection **out,
                            struct errbuf *why)
{
    struct collection_shard shards[COLLECTION_SHARDS_MAX];
    assert(c->shards_len <= COLLECTION_SHARDS_MAX);
    enum shoal_err rc = SHOAL_OK;
    size_t made = 0;
    while (made < c->shards_len && rc == SHOAL_OK) {
        shards[made].id = c->shards[made].id;
        rc = make_channel(g, m, c, &c->shards[made], &shards[made].channel, why);
        made += rc == SHOAL_OK;
    }
    if (rc == SHOAL_OK) {
        const struct collection_config config = {
            .name = slice_from_str(c->name),
            .dim = c->dim,
            .distance = c->distance,
            .shards_len = c->shards_len,
            .shards = shards,
        };
        rc = collection_new(&config, out);
    }
    if (rc != SHOAL_OK) {
        while (made > 0) {
            channel_free(shards[--made].channel);
        }
    }
    return rc;
}

/* --- the cache ------------------------------------------------------------------------------ */

static struct cached *find(struct gateway *g, struct slice name)
{
    for (size_t i = 0; i < g->cached_len; i++) {
        if (slice_is(name, g->cached[i].collection->name)) {
            return &g->cached[i];
        }
    }
    return NULL;
}

/* Drops what the map no longer has, or has elsewhere. */
static void sweep(struct gateway *g, const struct catalog_map *m)
{
    size_t kept = 0;
    for (size_t i = 0; i < g->cached_len; i++) {
        struct cached e = g->cached[i];
        const struct catalog_collection *c = catalog_map_find(m,
                                                              slice_from_str(e.collection->name));
        if (c != NULL && layout_of(m, c) == e.layout) {
            g->cached[kept++] = e;
        } else {
            collection_unref(e.collection);
        }
    }
    g->cached_len = kept;
    g->epoch = m->epoch;
}

static enum shoal_err look_up(struct gateway *g, const struct catalog_map *m, struct slice name,
                              struct collection **out, struct errbuf *why)
{
    if (m->epoch > g->epoch) {
        sweep(g, m);
    }
    struct cached *e = find(g, name);
    if (e == NULL) {
        const struct catalog_collection *c = catalog_map_find(m, name);
        if (c == NULL) {
            return err_set(why, SHOAL_ENOTFOUND, "Collection `%.*s` doesn't exist!", (int)name.len,
                           name.data);
        }
        struct cached *grown = mem_realloc(g->cached, (g->cached_len + 1) * sizeof(*grown));
        if (grown == NULL) {
            return SHOAL_ENOMEM;
        }
        g->cached = grown;
        e = &grown[g->cached_len];
        e->layout = layout_of(m, c);
        enum shoal_err rc = build(g, m, c, &e->collection, why);
        if (rc != SHOAL_OK) {
            return rc;
        }
        g->cached_len++;
    }
    collection_ref(e->collection);
    *out = e->collection;
    return SHOAL_OK;
}

enum shoal_err gateway_collection(struct gateway *g, struct slice name, struct collection **out,
                                  struct errbuf *why)
{
    *out = NULL;
    struct catalog_map *m = directory_map(g->config.directory);
    mutex_lock(&g->mutex);
    enum shoal_err rc = look_up(g, m, name, out, why);
    mutex_unlock(&g->mutex);
    catalog_map_unref(m);
    return rc;
}

/* --- create and delete ---------------------------------------------------------------------- */

/* Waits until every shard answers; the nodes open them as they see the new map. */
static enum shoal_err await_shards(struct gateway *g, struct slice name, uint64_t deadline_ns,
                                   struct errbuf *why)
{
    struct collection *c = NULL;
    enum shoal_err rc = gateway_collection(g, name, &c, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct arena arena;
    arena_init(&arena, INFO_ARENA_MAX);
    const struct query_context ctx = { .deadline_ns = deadline_ns, .arena = &arena };
    uint64_t count = 0;
    rc = query_count(c, &ctx, (struct slice){ 0 }, &count, why);
    arena_release(&arena);
    collection_unref(c);
    return rc;
}

/* first_shard as catalog_command_delete takes it. */
static enum shoal_err propose_delete(struct gateway *g, struct slice name, uint64_t first_shard,
                                     uint64_t deadline_ns, struct errbuf *why)
{
    struct buf command;
    buf_init(&command, PARAMS_MAX);
    uint64_t value = 0;
    enum shoal_err rc = catalog_command_delete(&command, name, first_shard);
    if (rc == SHOAL_OK) {
        rc = directory_propose(g->config.directory, buf_slice(&command), deadline_ns, &value, why);
    }
    buf_release(&command);
    return rc;
}

/* Whether nothing is left of a collection that found no room: whoever was refused may repeat the
 * request. */
static bool take_back(struct gateway *g, struct slice name, uint64_t first_shard,
                      uint64_t deadline_ns)
{
    struct errbuf why = { 0 };
    enum shoal_err rc = propose_delete(g, name, first_shard, deadline_ns, &why);
    if (rc != SHOAL_OK && rc != SHOAL_ENOTFOUND) {
        char text[CATALOG_NAME_MAX + 1];
        snprintf(text, sizeof(text), "%.*s", (int)name.len, name.data);
        log_warn("a collection without room for its shards could not be taken back",
                 LOG_STR("collection", text), LOG_ERR(rc, &why));
    }
    return rc == SHOAL_OK || rc == SHOAL_ENOTFOUND;
}

/* Full is the one failure that time does not heal; after any other the shards open by
 * themselves. */
static enum shoal_err await_or_take_back(struct gateway *g, struct slice name, uint64_t first_shard,
                                         uint64_t deadline_ns, struct errbuf *why)
{
    enum shoal_err rc = await_shards(g, name, deadline_ns, why);
    if (rc == SHOAL_OK) {
        return SHOAL_OK;
    }
    if (rc == SHOAL_EFULL && take_back(g, name, first_shard, deadline_ns)) {
        return err_prefix(why, rc, "the collection is not created; make room and repeat");
    }
    return err_prefix(why, rc, "the collection is created, but not all of its shards answer yet");
}

enum shoal_err gateway_create_collection(struct gateway *g, struct slice name,
                                         struct json_value params, uint64_t deadline_ns,
                                         struct errbuf *why)
{
    struct catalog_create create;
    enum shoal_err rc = collection_params_parse(params, &create, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct buf text;
    struct buf command;
    buf_init(&text, PARAMS_MAX);
    buf_init(&command, 2 * PARAMS_MAX);
    rc = json_print(params, &text);
    if (rc == SHOAL_OK) {
        create.name = name;
        create.params = buf_slice(&text);
        rc = catalog_command_create(&command, &create);
    }
    uint64_t first_shard = 0;
    if (rc == SHOAL_OK) {
        rc = directory_propose(g->config.directory, buf_slice(&command), deadline_ns, &first_shard,
                               why);
    }
    buf_release(&command);
    buf_release(&text);
    return rc == SHOAL_OK ? await_or_take_back(g, name, first_shard, deadline_ns, why) : rc;
}

enum shoal_err gateway_delete_collection(struct gateway *g, struct slice name, uint64_t deadline_ns,
                                         struct errbuf *why)
{
    return propose_delete(g, name, 0, deadline_ns, why);
}

struct catalog_map *gateway_map(struct gateway *g)
{
    return directory_map(g->config.directory);
}

enum shoal_err gateway_collection_info(struct gateway *g, struct slice name, uint64_t deadline_ns,
                                       struct gateway_collection_info *out, struct errbuf *why)
{
    *out = (struct gateway_collection_info){ 0 };
    struct collection *c = NULL;
    enum shoal_err rc = gateway_collection(g, name, &c, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct arena arena;
    arena_init(&arena, INFO_ARENA_MAX);
    const struct query_context ctx = { .deadline_ns = deadline_ns, .arena = &arena };
    struct query_info info;
    rc = query_info(c, &ctx, &info, why);
    if (rc == SHOAL_OK) {
        out->status = info.sum.status;
        snprintf(out->trouble, sizeof(out->trouble), "%s", info.sum.trouble);
        out->points = info.sum.points;
        out->indexed = info.sum.indexed;
        out->segments = info.sum.segments;
        out->shards_asked = info.coverage.asked;
        out->shards_answered = info.coverage.answered;
    }
    arena_release(&arena);
    collection_unref(c);
    return rc;
}

/* --- admission ------------------------------------------------------------------------------ */

static enum shoal_err refuse(const struct limit_decision *d, struct errbuf *why)
{
    const struct limit_rule *rule = d->refused_by;
    assert(!d->allowed && rule != NULL);
    uint64_t wait_s = limit_retry_after_s(d);
    if (wait_s == 0) {
        return err_set(why, SHOAL_ELIMITED,
                       "the limit \"%s\" never holds so many %s at once: it holds %" PRIu64,
                       rule->name, limit_unit_name(rule->unit), rule->burst);
    }
    return err_set(why, SHOAL_ELIMITED,
                   "the limit \"%s\" of %" PRIu64 " %s in %" PRIu32 " s is used up; repeat in "
                   "%" PRIu64 " s",
                   rule->name, rule->quota, limit_unit_name(rule->unit), rule->window_s, wait_s);
}

enum shoal_err gateway_admit(struct gateway *g, struct slice tenant, const struct limit_cost *cost,
                             struct limit_decision *out, struct errbuf *why)
{
    *out = (struct limit_decision){ .allowed = true };
    if (g->config.limiter == NULL) {
        return SHOAL_OK;
    }
    enum shoal_err rc = limiter_check(g->config.limiter, tenant, cost,
                                      clock_mono_ns(g->config.clock), out);
    if (rc != SHOAL_OK) {
        return err_set(why, rc, "the limits cannot be asked: %s", err_text(rc));
    }
    return out->allowed ? SHOAL_OK : refuse(out, why);
}

/* --- life and the rest ---------------------------------------------------------------------- */

enum shoal_err gateway_new(const struct gateway_config *config, struct gateway **out)
{
    *out = mem_calloc(1, sizeof(**out));
    if (*out == NULL) {
        return SHOAL_ENOMEM;
    }
    (*out)->config = *config;
    mutex_init(&(*out)->mutex);
    return SHOAL_OK;
}

void gateway_free(struct gateway *g)
{
    if (g == NULL) {
        return;
    }
    for (size_t i = 0; i < g->cached_len; i++) {
        collection_unref(g->cached[i].collection);
    }
    mem_free(g->cached);
    mutex_release(&g->mutex);
    mem_free(g);
}

struct limiter *gateway_limiter(struct gateway *g)
{
    return g->config.limiter;
}

struct generators *gateway_generators(struct gateway *g)
{
    return g->config.generators;
}

struct metrics *gateway_metrics(struct gateway *g)
{
    return g->config.metrics;
}

const struct clock *gateway_clock(struct gateway *g)
{
    return g->config.clock;
}

const struct rand_source *gateway_rand(struct gateway *g)
{
    return g->config.rand;
}

bool gateway_ready(struct gateway *g)
{
    struct catalog_map *m = directory_map(g->config.directory);
    bool known = m->epoch > 0;
    catalog_map_unref(m);
    return known && (g->config.node == NULL || node_ready(g->config.node));
}
