/* The catalog's state machine.
 *
 * catalog.mdb holds one table with two values: the map as JSON, and the index of the last entry
 * applied. Each batch of entries is applied to a copy of the map; the copy is written with its
 * index in one transaction and then published by swapping a pointer. A refused command changes
 * nothing but the index. The file runs under full sync: changes are rare. */
#include "server/catalog.h"

#include "base/bytes.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/thread.h"
#include "server/catalog_command.h"
#include "server/catalog_map.h"
#include "shard/rlog.h"
#include "shard/store.h"

#include <assert.h>
#include <stdio.h>

#define CATALOG_FILE_MAX (1u << 30)
#define CATALOG_TEXT_MAX (64u << 20)

struct catalog {
    struct store *store;
    store_table table;
    struct rlog *log;
    struct rlog_machine machine;
    uint64_t applied; /* the log's thread */
    struct mutex mutex;
    struct catalog_map *map; /* mutex; replaced by the log's thread only */
    struct mutex listener_mutex;
    void (*changed)(void *arg); /* listener_mutex */
    void *changed_arg;
};

struct save {
    struct catalog *catalog;
    struct slice text;
    uint64_t index;
};

static const struct slice key_map = { "map", 3 };
static const struct slice key_applied = { "applied", 7 };

static enum shoal_err save_in_txn(void *arg, struct store_txn *txn, struct errbuf *why)
{
    const struct save *s = arg;
    uint8_t index[8];
    bytes_put_le64(index, s->index);
    enum shoal_err rc = store_put(txn, s->catalog->table, key_map, s->text, why);
    return rc != SHOAL_OK ? rc
                          : store_put(txn, s->catalog->table, key_applied,
                                      slice_make(index, sizeof(index)), why);
}

static enum shoal_err save(struct catalog *c, const struct catalog_map *m, uint64_t index,
                           struct errbuf *why)
{
    struct buf text;
    buf_init(&text, CATALOG_TEXT_MAX);
    enum shoal_err rc = catalog_map_print(m, &text);
    if (rc == SHOAL_OK) {
        struct save s = { .catalog = c, .text = buf_slice(&text), .index = index };
        rc = store_write(c->store, save_in_txn, &s, why);
        if (rc == SHOAL_EFULL) {
            /* The entry is in the log for good, also the empty one of a restart: it is applied out
             * of the reserve. The log takes no new one that grows while there is no room. */
            err_clear(why);
            rc = store_write_freeing(c->store, save_in_txn, &s, why);
        }
    }
    buf_release(&text);
    return rc;
}

static void publish(struct catalog *c, struct catalog_map *m)
{
    mutex_lock(&c->mutex);
    struct catalog_map *old = c->map;
    c->map = m;
    mutex_unlock(&c->mutex);
    catalog_map_unref(old);
}

/* Applies one entry to *m, replacing it by a changed copy. */
static enum shoal_err apply_entry(struct catalog_map **m, const struct rlog_entry *e,
                                  struct rlog_result *result)
{
    *result = (struct rlog_result){ .rc = SHOAL_OK };
    if (e->data.len == 0) {
        return SHOAL_OK;
    }
    struct catalog_map *copy = NULL;
    enum shoal_err rc = catalog_map_copy(*m, &copy);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct errbuf why = { 0 };
    result->rc = catalog_command_apply(copy, e->data, &result->value, &why);
    if (result->rc == SHOAL_ENOMEM) {
        catalog_map_unref(copy);
        return SHOAL_ENOMEM; /* this machine's trouble, not the command's: tried again */
    }
    if (result->rc != SHOAL_OK) {
        snprintf(result->text, sizeof(result->text), "%s", err_why(&why, result->rc));
        catalog_map_unref(copy);
        return SHOAL_OK;
    }
    catalog_map_unref(*m);
    *m = copy;
    return SHOAL_OK;
}

/* The lock is the listener's alone and is held over the call, so that who stops listening knows
 * that none is under way any more. */
static void tell_listener(struct catalog *c)
{
    mutex_lock(&c->listener_mutex);
    if (c->changed != NULL) {
        c->changed(c->changed_arg);
    }
    mutex_unlock(&c->listener_mutex);
}

static enum shoal_err machine_apply(void *arg, const struct rlog_entry *entries, size_t len,
                                    struct rlog_result *results, struct errbuf *why)
{
    struct catalog *c = arg;
    struct catalog_map *m = catalog_map_get(c);
    enum shoal_err rc = SHOAL_OK;
    for (size_t i = 0; i < len && rc == SHOAL_OK; i++) {
        assert(entries[i].index == c->applied + 1 + i);
        rc = apply_entry(&m, &entries[i], &results[i]);
    }
    if (rc == SHOAL_OK) {
        rc = save(c, m, entries[len - 1].index, why);
    }
    if (rc != SHOAL_OK) {
        catalog_map_unref(m);
        return rc;
    }
    c->applied = entries[len - 1].index;
    publish(c, m);
    tell_listener(c);
    return SHOAL_OK;
}

static uint64_t machine_applied(void *arg)
{
    const struct catalog *c = arg;
    return c->applied;
}

static enum shoal_err machine_checkpoint(void *arg, uint64_t *durable_index, struct errbuf *why)
{
    (void)why;
    const struct catalog *c = arg;
    *durable_index = c->applied; /* every apply is under full sync */
    return SHOAL_OK;
}

static enum shoal_err load(struct catalog *c, struct errbuf *why)
{
    struct store_txn *txn = NULL;
    enum shoal_err rc = store_read_begin(c->store, &txn, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct slice text;
    struct slice index;
    rc = store_get(txn, c->table, key_map, &text);
    if (rc == SHOAL_ENOTFOUND) {
        rc = catalog_map_new(&c->map);
    } else if (rc == SHOAL_OK) {
        rc = catalog_map_parse(text, &c->map, why);
        if (rc == SHOAL_OK && (store_get(txn, c->table, key_applied, &index) != SHOAL_OK ||
                               index.len != sizeof(uint64_t))) {
            rc = err_set(why, SHOAL_ECORRUPT, "the catalog's applied index is missing");
        }
        if (rc == SHOAL_OK) {
            c->applied = bytes_get_le64(index.data);
        }
    }
    store_read_end(txn);
    return rc;
}

static enum shoal_err open_store(struct catalog *c, const char *dir, struct errbuf *why)
{
    char path[DISK_PATH_MAX];
    enum shoal_err rc = disk_join(path, sizeof(path), dir, "catalog.mdb");
    if (rc != SHOAL_OK) {
        return err_set(why, rc, "the data directory's path is too long");
    }
    const struct store_config config = {
        .path = path,
        .map_bytes = 1u << 20,
        .map_bytes_max = CATALOG_FILE_MAX,
        .sync = STORE_SYNC_FULL,
        .tables_max = 1,
    };
    rc = store_open(&config, &c->store, why);
    return rc != SHOAL_OK ? rc : store_table_open(c->store, "catalog", &c->table, why);
}

static enum shoal_err open_log(struct catalog *c, const struct catalog_config *config,
                               struct errbuf *why)
{
    static const uint64_t only_voter = 1;
    c->machine = (struct rlog_machine){
        .applied_index = machine_applied,
        .apply = machine_apply,
        .checkpoint = machine_checkpoint,
        .arg = c,
    };
    const struct rlog_config log = {
        .group = CATALOG_GROUP,
        .node = only_voter,
        .voters = &only_voter,
        .voters_len = 1,
        .store = config->log,
        .machine = &c->machine,
        .clock = config->clock,
        .rand = config->rand,
    };
    return rlog_open(&log, &c->log, why);
}

enum shoal_err catalog_open(const struct catalog_config *config, struct catalog **out,
                            struct errbuf *why)
{
    *out = NULL;
    struct catalog *c = mem_calloc(1, sizeof(*c));
    if (c == NULL) {
        return SHOAL_ENOMEM;
    }
    mutex_init(&c->mutex);
    mutex_init(&c->listener_mutex);
    enum shoal_err rc = open_store(c, config->dir, why);
    if (rc == SHOAL_OK) {
        rc = load(c, why);
    }
    if (rc == SHOAL_OK) {
        rc = open_log(c, config, why);
    }
    if (rc != SHOAL_OK) {
        catalog_close(c);
        return err_prefix(why, rc, "catalog");
    }
    *out = c;
    return SHOAL_OK;
}

void catalog_close(struct catalog *c)
{
    if (c == NULL) {
        return;
    }
    rlog_close(c->log);
    store_close(c->store);
    catalog_map_unref(c->map);
    mutex_release(&c->listener_mutex);
    mutex_release(&c->mutex);
    mem_free(c);
}

struct catalog_map *catalog_map_get(struct catalog *c)
{
    mutex_lock(&c->mutex);
    struct catalog_map *m = c->map;
    catalog_map_ref(m);
    mutex_unlock(&c->mutex);
    return m;
}

void catalog_listen(struct catalog *c, void (*changed)(void *arg), void *arg)
{
    mutex_lock(&c->listener_mutex);
    c->changed_arg = arg;
    c->changed = changed;
    mutex_unlock(&c->listener_mutex);
}

enum shoal_err catalog_propose(struct catalog *c, struct slice command, uint64_t deadline_ns,
                               uint64_t *value, struct errbuf *why)
{
    *value = 0;
    if (command.len == 0 || command.len > CATALOG_COMMAND_MAX) {
        return err_set(why, SHOAL_ETOOBIG, "a catalog command has 1 to %u bytes",
                       CATALOG_COMMAND_MAX);
    }
    uint64_t index = 0;
    struct rlog_result result;
    enum shoal_err rc = rlog_propose_wait(c->log, command, RLOG_APPLIED, deadline_ns, &index,
                                          &result, why);
    if (rc == SHOAL_OK) {
        *value = result.value;
    }
    return rc;
}
