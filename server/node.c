/* One thread reconciles what is open with what the map says; requests only look shards up and
 * hold references. A shard leaves in three steps: it is marked as leaving (no new references), its
 * last reference goes, the thread closes and removes it.
 *
 * Lock order: node.mutex alone; it is not held over opening or closing a shard. */
#include "server/node.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "query/channel.h"
#include "server/catalog_command.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* Whoever asks may have seen a newer map than this node, but not for long: who asks for shards that
 * never were must not hold up the threads that answer. */
#define UNKNOWN_WAIT_MS 2000u
/* Wait before a shard that could not be opened is tried again. */
#define REOPEN_MS 2000

struct node_shard {
    struct node *node;
    uint64_t id;
    struct shard_config config;
    char *dir;
    struct shard *shard; /* NULL: out of service, or not yet open */
    enum shoal_err rc;   /* why it is out of service */
    struct errbuf why;
    bool tried;
    bool leaving;
    unsigned refs;
    struct node_shard *next;
};

struct node {
    struct node_config config; /* strings owned */
    struct channel_source source;
    struct thread thread;
    struct mutex mutex;
    struct cond changed;
    /* guarded by mutex */
    uint64_t id;
    uint64_t epoch; /* of the map last reconciled */
    struct node_shard *shards;
    bool stopping;
};

static uint64_t now_ns(void)
{
    return clock_mono_ns(clock_real());
}

/* --- opening and closing, on the node's thread ---------------------------------------------- */

static struct node_shard *find(struct node *n, uint64_t id)
{
    for (struct node_shard *h = n->shards; h != NULL; h = h->next) {
        if (h->id == id) {
            return h;
        }
    }
    return NULL;
}

static void handle_free(struct node_shard *h)
{
    if (h != NULL) {
        mem_free(h->dir);
        mem_free(h);
    }
}

static struct node_shard *handle_new(struct node *n, const struct catalog_collection *c,
                                     uint64_t id)
{
    struct node_shard *h = mem_calloc(1, sizeof(*h));
    char dir[DISK_PATH_MAX];
    int len = snprintf(dir, sizeof(dir), "%s/shards/%" PRIu64, n->config.dir, id);
    if (h == NULL || len < 0 || (size_t)len >= sizeof(dir) || (h->dir = mem_strdup(dir)) == NULL) {
        handle_free(h);
        return NULL;
    }
    h->node = n;
    h->id = id;
    h->config = (struct shard_config){
        .id = id,
        .dir = h->dir,
        .schema = { .dim = c->dim, .distance = c->distance },
        .options = c->options,
        .log = n->config.log,
        .builders = n->config.builders,
        .disk = n->config.disk,
        .clock = n->config.clock,
        .rand = n->config.rand,
        .metrics = n->config.metrics,
    };
    return h;
}

/* Adds handles for the shards that are new in the map, and marks those that are gone from it. */
static void compare(struct node *n, const struct catalog_map *m)
{
    for (struct node_shard *h = n->shards; h != NULL; h = h->next) {
        h->leaving = true;
    }
    for (size_t i = 0; i < m->collections_len; i++) {
        const struct catalog_collection *c = &m->collections[i];
        for (size_t s = 0; s < c->shards_len; s++) {
            if (c->shards[s].node != n->id) {
                continue;
            }
            struct node_shard *h = find(n, c->shards[s].id);
            if (h == NULL && (h = handle_new(n, c, c->shards[s].id)) != NULL) {
                h->next = n->shards;
                n->shards = h;
            }
            if (h != NULL) {
                h->leaving = false;
            }
        }
    }
}

static void open_one(struct node *n, struct node_shard *h)
{
    struct shard *shard = NULL;
    struct errbuf why = { 0 };
    enum shoal_err rc = shard_open(&h->config, &shard, &why);
    if (rc != SHOAL_OK) {
        log_error("shard is out of service", LOG_U64("shard", h->id), LOG_ERR(rc, &why));
    } else {
        log_info("shard open", LOG_U64("shard", h->id));
    }
    mutex_lock(&n->mutex);
    h->shard = shard;
    h->rc = rc;
    h->why = why;
    h->tried = true;
    cond_broadcast(&n->changed);
    mutex_unlock(&n->mutex);
}

static void remove_one(struct node_shard *h)
{
    struct errbuf why = { 0 };
    shard_close(h->shard);
    enum shoal_err rc = shard_remove(&h->config, &why);
    if (rc != SHOAL_OK) {
        log_warn("a deleted shard's files could not be removed", LOG_U64("shard", h->id),
                 LOG_STR("dir", h->dir), LOG_ERR(rc, &why));
    } else {
        log_info("shard removed", LOG_U64("shard", h->id));
    }
    handle_free(h);
}

/* The next handle that wants to be opened; NULL when there is none. */
static struct node_shard *next_to_open(struct node *n, bool again)
{
    for (struct node_shard *h = n->shards; h != NULL; h = h->next) {
        if (h->shard == NULL && !h->leaving && (!h->tried || again)) {
            return h;
        }
    }
    return NULL;
}

/* Unlinks the next handle that nobody uses and that is to leave. */
static struct node_shard *next_to_remove(struct node *n)
{
    for (struct node_shard **at = &n->shards; *at != NULL; at = &(*at)->next) {
        struct node_shard *h = *at;
        if (h->leaving && h->refs == 0) {
            *at = h->next;
            return h;
        }
    }
    return NULL;
}

static void reconcile(struct node *n, bool again)
{
    struct catalog_map *m = directory_map(n->config.directory);
    mutex_lock(&n->mutex);
    if (m->epoch > n->epoch) {
        compare(n, m);
    }
    struct node_shard *h;
    while (!n->stopping && (h = next_to_open(n, again)) != NULL) {
        mutex_unlock(&n->mutex);
        open_one(n, h); /* only this thread adds and removes handles: h stays */
        mutex_lock(&n->mutex);
        if (again && h->shard == NULL) {
            break; /* one new attempt a round is enough */
        }
    }
    while ((h = next_to_remove(n)) != NULL) {
        mutex_unlock(&n->mutex);
        remove_one(h);
        mutex_lock(&n->mutex);
    }
    if (m->epoch > n->epoch) {
        n->epoch = m->epoch;
    }
    cond_broadcast(&n->changed);
    mutex_unlock(&n->mutex);
    catalog_map_unref(m);
}

static enum shoal_err join(struct node *n, uint64_t *id, struct errbuf *why)
{
    struct buf command;
    buf_init(&command, CATALOG_COMMAND_MAX);
    enum shoal_err rc = catalog_command_join(&command, n->config.name, n->config.identity,
                                             n->config.url);
    if (rc == SHOAL_OK) {
        rc = directory_propose(n->config.directory, buf_slice(&command), now_ns() + 5000000000u, id,
                               why);
    }
    buf_release(&command);
    return rc;
}

static bool wait_ms(struct node *n, uint64_t ms)
{
    mutex_lock(&n->mutex);
    uint64_t deadline_ns = now_ns() + ms * 1000000u;
    while (!n->stopping && cond_wait_until(&n->changed, &n->mutex, deadline_ns)) {
    }
    bool stopping = n->stopping;
    mutex_unlock(&n->mutex);
    return !stopping;
}

static void run(void *arg)
{
    struct node *n = arg;
    struct errbuf why = { 0 };
    uint64_t id = 0;
    enum shoal_err rc;
    bool told = false;
    while ((rc = join(n, &id, &why)) != SHOAL_OK) {
        if (!told) {
            log_warn("this node has not joined its cluster yet", LOG_STR("name", n->config.name),
                     LOG_ERR(rc, &why));
            told = true;
        }
        if (!wait_ms(n, 500)) {
            return;
        }
    }
    log_info("node joined", LOG_STR("name", n->config.name), LOG_U64("node", id));
    mutex_lock(&n->mutex);
    n->id = id;
    bool stopping = n->stopping;
    mutex_unlock(&n->mutex);
    bool again = false;
    while (!stopping) {
        reconcile(n, again);
        rc = directory_wait(n->config.directory, n->epoch, now_ns() + REOPEN_MS * 1000000u);
        again = rc == SHOAL_ETIMEOUT;
        mutex_lock(&n->mutex);
        stopping = n->stopping;
        mutex_unlock(&n->mutex);
        if (rc == SHOAL_ECANCELED) {
            return;
        }
    }
}

static enum shoal_err source_acquire(void *arg, uint64_t shard, uint64_t deadline_ns, void **handle,
                                     struct shard **out, struct errbuf *why)
{
    struct node_shard *h = NULL;
    enum shoal_err rc = node_shard_acquire(arg, shard, deadline_ns, &h, why);
    *handle = h;
    *out = rc == SHOAL_OK ? h->shard : NULL;
    return rc;
}

static void source_release(void *arg, void *handle)
{
    (void)arg;
    node_shard_release(handle);
}

const struct channel_source *node_source(struct node *n)
{
    return &n->source;
}

/* --- life ----------------------------------------------------------------------------------- */

enum shoal_err node_open(const struct node_config *config, struct node **out, struct errbuf *why)
{
    *out = NULL;
    struct node *n = mem_calloc(1, sizeof(*n));
    if (n == NULL) {
        return SHOAL_ENOMEM;
    }
    n->config = *config;
    n->source =
        (struct channel_source){ .acquire = source_acquire, .release = source_release, .arg = n };
    mutex_init(&n->mutex);
    cond_init(&n->changed);
    n->config.name = mem_strdup(config->name);
    n->config.identity = mem_strdup(config->identity);
    n->config.url = mem_strdup(config->url);
    n->config.dir = mem_strdup(config->dir);
    enum shoal_err rc = SHOAL_OK;
    if (n->config.name == NULL || n->config.identity == NULL || n->config.url == NULL ||
        n->config.dir == NULL) {
        rc = SHOAL_ENOMEM;
    }
    if (rc == SHOAL_OK) {
        rc = thread_start(&n->thread, "node", run, n, why);
    }
    if (rc != SHOAL_OK) {
        node_close(n);
        return rc;
    }
    *out = n;
    return SHOAL_OK;
}

void node_stop(struct node *n)
{
    mutex_lock(&n->mutex);
    n->stopping = true;
    cond_broadcast(&n->changed);
    mutex_unlock(&n->mutex);
}

void node_close(struct node *n)
{
    if (n == NULL) {
        return;
    }
    node_stop(n);
    thread_join(&n->thread);
    while (n->shards != NULL) {
        struct node_shard *h = n->shards;
        assert(h->refs == 0);
        n->shards = h->next;
        shard_close(h->shard);
        handle_free(h);
    }
    cond_release(&n->changed);
    mutex_release(&n->mutex);
    mem_free((char *)n->config.name);
    mem_free((char *)n->config.identity);
    mem_free((char *)n->config.url);
    mem_free((char *)n->config.dir);
    mem_free(n);
}

uint64_t node_id(struct node *n)
{
    mutex_lock(&n->mutex);
    uint64_t id = n->id;
    mutex_unlock(&n->mutex);
    return id;
}

bool node_ready(struct node *n)
{
    mutex_lock(&n->mutex);
    bool ready = n->id != 0 && n->epoch != 0 && !n->stopping;
    for (const struct node_shard *h = n->shards; h != NULL && ready; h = h->next) {
        ready = h->leaving || h->shard != NULL;
    }
    mutex_unlock(&n->mutex);
    return ready;
}

/* True when the map was looked at and no shard of it still waits for its first opening. */
static bool settled(const struct node *n)
{
    bool done = n->id != 0 && n->epoch != 0;
    for (const struct node_shard *h = n->shards; h != NULL && done; h = h->next) {
        done = h->tried || h->leaving;
    }
    return done;
}

enum shoal_err node_wait_ready(struct node *n, uint64_t deadline_ns, struct errbuf *why)
{
    enum shoal_err rc = SHOAL_OK;
    bool in_time = true;
    mutex_lock(&n->mutex);
    while (!settled(n) && !n->stopping && in_time) {
        in_time = cond_wait_until(&n->changed, &n->mutex, deadline_ns);
    }
    if (n->stopping) {
        rc = SHOAL_ECANCELED;
    } else if (!settled(n)) {
        rc = err_set(why, SHOAL_ETIMEOUT, "%s",
                     n->id == 0 ? "this node has not joined its cluster yet"
                                : "some shards are not open yet");
    }
    mutex_unlock(&n->mutex);
    return rc;
}

/* --- handles -------------------------------------------------------------------------------- */

enum shoal_err node_shard_acquire(struct node *n, uint64_t shard, uint64_t deadline_ns,
                                  struct node_shard **out, struct errbuf *why)
{
    *out = NULL;
    enum shoal_err rc = SHOAL_OK;
    const uint64_t unknown_until_ns = now_ns() + UNKNOWN_WAIT_MS * 1000000u;
    mutex_lock(&n->mutex);
    for (;;) {
        struct node_shard *h = find(n, shard);
        const bool is_unknown = h == NULL && n->epoch > 0 && unknown_until_ns < deadline_ns;
        const uint64_t until_ns = is_unknown ? unknown_until_ns : deadline_ns;
        if (n->stopping) {
            rc = err_set(why, SHOAL_ECANCELED, "the node is stopping");
        } else if (h != NULL && h->leaving) {
            rc = err_set(why, SHOAL_ENOTFOUND, "shard %" PRIu64 " is being removed", shard);
        } else if (h != NULL && h->shard != NULL) {
            h->refs++;
            *out = h;
        } else if (h != NULL && h->tried) {
            rc = err_set(why, h->rc, "shard %" PRIu64 " is out of service: %s", shard,
                         err_why(&h->why, h->rc));
        } else if (now_ns() >= until_ns) {
            rc = err_set(why, SHOAL_ENOTFOUND, "this node does not hold shard %" PRIu64, shard);
        } else {
            (void)cond_wait_until(&n->changed, &n->mutex, until_ns);
            continue;
        }
        break;
    }
    mutex_unlock(&n->mutex);
    return rc;
}

struct shard *node_shard_get(struct node_shard *h)
{
    return h->shard;
}

void node_shard_release(struct node_shard *h)
{
    struct node *n = h->node;
    mutex_lock(&n->mutex);
    assert(h->refs > 0);
    h->refs--;
    cond_broadcast(&n->changed);
    mutex_unlock(&n->mutex);
}
