#include "server/engine.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "server/gateway_config.h"

#include <assert.h>
#include <stdio.h>

/* Sealing and merging jobs that may wait for a builder. */
#define BUILD_QUEUE_MAX 1024
#define IDENTITY_LEN 16

struct engine {
    struct log_store *log;
    struct pool *builders;
    struct catalog *catalog;
    struct directory *directory;
    struct node *node;
    struct gateway *gateway;
    char identity[IDENTITY_LEN + 1];
    char name[CATALOG_NAME_MAX + 1];
    bool stopped;
};

/* --- identity ------------------------------------------------------------------------------- */

static bool is_identity(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
    }
    return s.len == IDENTITY_LEN;
}

static enum shoal_err load_identity(struct engine *e, const char *data_dir, struct errbuf *why)
{
    const struct disk *disk = disk_real();
    char path[DISK_PATH_MAX];
    enum shoal_err rc = disk_join(path, sizeof(path), data_dir, "identity");
    if (rc != SHOAL_OK) {
        return err_set(why, rc, "the data directory's path is too long");
    }
    struct buf text;
    buf_init(&text, 256);
    rc = disk->read_whole(disk->arg, path, &text, why);
    if (rc == SHOAL_OK && !is_identity(buf_slice(&text))) {
        rc = err_set(why, SHOAL_ECORRUPT, "%s does not hold %d hex digits", path, IDENTITY_LEN);
    } else if (rc == SHOAL_OK) {
        memcpy(e->identity, text.data, IDENTITY_LEN);
    } else if (rc == SHOAL_ENOTFOUND) {
        snprintf(e->identity, sizeof(e->identity), "%016llx",
                 (unsigned long long)rand_u64(rand_system()));
        rc = disk->write_whole(disk->arg, path, e->identity, IDENTITY_LEN, why);
    }
    buf_release(&text);
    return rc;
}

/* --- opening -------------------------------------------------------------------------------- */

static enum shoal_err open_log(struct engine *e, const struct engine_config *config,
                               struct errbuf *why)
{
    char path[DISK_PATH_MAX];
    enum shoal_err rc = disk_join(path, sizeof(path), config->data_dir, "log.mdb");
    if (rc != SHOAL_OK) {
        return err_set(why, rc, "the data directory's path is too long");
    }
    const struct log_store_config log = { .path = path };
    rc = log_store_open(&log, &e->log, why);
    return rc == SHOAL_EBUSY
               ? err_prefix(why, rc,
                            "%s is in use by another process; stop it, or give this one "
                            "another --data",
                            config->data_dir)
               : rc;
}

static enum shoal_err open_directory(struct engine *e, const struct engine_config *config,
                                     struct errbuf *why)
{
    if ((config->roles & ENGINE_CATALOG) == 0) {
        return directory_open_remote(config->transport, config->catalog_url, &e->directory, why);
    }
    const struct catalog_config catalog = {
        .dir = config->data_dir,
        .log = e->log,
        .clock = clock_real(),
        .rand = rand_system(),
    };
    enum shoal_err rc = catalog_open(&catalog, &e->catalog, why);
    return rc != SHOAL_OK ? rc : directory_open_local(e->catalog, &e->directory, why);
}

static enum shoal_err open_node(struct engine *e, const struct engine_config *config,
                                struct errbuf *why)
{
    const struct pool_config builders = {
        .name = "build",
        .threads_len = config->builder_threads == 0 ? 1 : config->builder_threads,
        .queue_len_max = BUILD_QUEUE_MAX,
        .low_priority = true,
    };
    enum shoal_err rc = pool_new(&builders, &e->builders, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    const struct node_config node = {
        .name = e->name,
        .identity = e->identity,
        .url = config->url,
        .dir = config->data_dir,
        .directory = e->directory,
        .log = e->log,
        .builders = e->builders,
        .disk = disk_real(),
        .clock = clock_real(),
        .rand = rand_system(),
        .metrics = config->metrics,
    };
    return node_open(&node, &e->node, why);
}

static enum shoal_err open_gateway(struct engine *e, const struct engine_config *config)
{
    const struct gateway_config gateway = {
        .directory = e->directory,
        .node = e->node,
        .peers = config->peers,
        .limiter = config->limiter,
        .generators = config->generators,
        .metrics = config->metrics,
        .clock = clock_real(),
        .rand = rand_system(),
    };
    return gateway_new(&gateway, &e->gateway);
}

static enum shoal_err open_parts(struct engine *e, const struct engine_config *config,
                                 struct errbuf *why)
{
    const struct disk *disk = disk_real();
    enum shoal_err rc = disk->make_dir(disk->arg, config->data_dir, why);
    if (rc == SHOAL_OK) {
        rc = load_identity(e, config->data_dir, why);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (config->name != NULL) {
        snprintf(e->name, sizeof(e->name), "%s", config->name);
    } else {
        snprintf(e->name, sizeof(e->name), "node-%.8s", e->identity);
    }
    if ((config->roles & (ENGINE_NODE | ENGINE_CATALOG)) != 0) {
        rc = open_log(e, config, why);
    }
    if (rc == SHOAL_OK) {
        rc = open_directory(e, config, why);
    }
    if (rc == SHOAL_OK && (config->roles & ENGINE_NODE) != 0) {
        rc = open_node(e, config, why);
    }
    if (rc == SHOAL_OK && (config->roles & ENGINE_GATEWAY) != 0) {
        rc = open_gateway(e, config);
    }
    return rc;
}

enum shoal_err engine_open(const struct engine_config *config, struct engine **out,
                           struct errbuf *why)
{
    *out = NULL;
    assert(config->roles != 0);
    assert((config->roles & ENGINE_CATALOG) != 0 || config->catalog_url != NULL);
    struct engine *e = mem_calloc(1, sizeof(*e));
    if (e == NULL) {
        return SHOAL_ENOMEM;
    }
    enum shoal_err rc = open_parts(e, config, why);
    if (rc != SHOAL_OK) {
        engine_close(e);
        return rc;
    }
    *out = e;
    return SHOAL_OK;
}

void engine_stop(struct engine *e)
{
    if (e->stopped) {
        return;
    }
    e->stopped = true;
    if (e->directory != NULL) {
        directory_stop(e->directory);
    }
    if (e->node != NULL) {
        node_stop(e->node);
    }
}

void engine_close(struct engine *e)
{
    if (e == NULL) {
        return;
    }
    engine_stop(e);
    gateway_free(e->gateway);
    node_close(e->node);
    directory_close(e->directory);
    catalog_close(e->catalog);
    pool_free(e->builders);
    log_store_close(e->log);
    mem_free(e);
}

/* --- use ------------------------------------------------------------------------------------ */

enum shoal_err engine_wait_ready(struct engine *e, uint64_t deadline_ns, struct errbuf *why)
{
    enum shoal_err rc = directory_wait(e->directory, 0, deadline_ns);
    if (rc == SHOAL_ETIMEOUT) {
        return err_set(why, rc, "the catalog has not answered yet");
    }
    if (rc == SHOAL_OK && e->node != NULL) {
        rc = node_wait_ready(e->node, deadline_ns, why);
    }
    return rc;
}

struct gateway *engine_gateway(struct engine *e)
{
    return e->gateway;
}

struct node *engine_node(struct engine *e)
{
    return e->node;
}

struct directory *engine_directory(struct engine *e)
{
    return e->directory;
}

const char *engine_name(const struct engine *e)
{
    return e->name;
}
