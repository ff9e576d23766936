/* Log store: one thread writes what all groups of the process submit.
 *
 * The thread takes every batch that waits (up to TXN_BYTES_MAX), writes them in one transaction,
 * and answers them after its sync; what is submitted meanwhile waits for the next round. So the
 * number of syncs follows the disk's speed and not the number of groups.
 *
 * A batch that is wrong in itself is refused alone and changes nothing. A failed transaction fails
 * all its batches: nothing of them is on disk after SHOAL_EFULL and SHOAL_ENOMEM; after anything
 * else nobody knows, and the store refuses all later batches (the store below is sticky as well).
 *
 * Beginning, cutting and dropping a group are transactions of the calling thread. */
#include "shard/log_store.h"

#include "base/mem.h"
#include "base/thread.h"
#include "shard/log_tables.h"
#include "shard/store.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#define MAP_BYTES ((size_t)1 << 30)
#define MAP_BYTES_MAX ((size_t)64 << 30)
#define TABLES_LEN 3
/* Batches beyond it wait for the next transaction; a single larger one goes alone. */
#define TXN_BYTES_MAX ((size_t)64 << 20)

struct log_store {
    /* Immutable once open. */
    struct store *store;
    struct log_tables tables;
    struct thread thread;

    struct mutex mutex; /* guards the queue and closing */
    struct cond wake;
    struct log_batch *head;
    struct log_batch **tail;
    bool closing;

    enum shoal_err failed; /* the thread's own; sticky */

    _Atomic uint64_t batches;
    _Atomic uint64_t commits;
};

/* --- the writing thread ----------------------------------------------------------------------- */

static size_t batch_bytes(const struct log_batch *b)
{
    size_t bytes = 0;
    for (size_t i = 0; i < b->entries_len; i++) {
        bytes += b->entries[i].data.len;
    }
    return bytes;
}

/* Waits for work and takes a transaction's worth. NULL: closing, and nothing is left. */
static struct log_batch *queue_take(struct log_store *s)
{
    mutex_lock(&s->mutex);
    while (s->head == NULL && !s->closing) {
        cond_wait(&s->wake, &s->mutex);
    }
    struct log_batch *first = s->head;
    size_t bytes = 0;
    struct log_batch **end = &s->head;
    while (*end != NULL) {
        bytes += batch_bytes(*end);
        const bool fits = bytes <= TXN_BYTES_MAX && (*end)->from_reserve == first->from_reserve;
        if (!fits && *end != first) {
            break;
        }
        end = &(*end)->next;
    }
    struct log_batch *rest = *end;
    *end = NULL;
    s->head = rest;
    if (rest == NULL) {
        s->tail = &s->head;
    }
    mutex_unlock(&s->mutex);
    return first;
}

struct writing {
    const struct log_tables *tables;
    struct log_batch *first;
};

static enum shoal_err write_in_txn(void *arg, struct store_txn *txn, struct errbuf *why)
{
    struct writing *w = arg;
    for (struct log_batch *b = w->first; b != NULL; b = b->next) {
        enum shoal_err rc = log__batch_write(txn, w->tables, b, why);
        if (rc != SHOAL_OK) {
            return rc;
        }
    }
    return SHOAL_OK;
}

static void answer(struct log_store *s, struct log_batch *first, enum shoal_err txn_rc)
{
    uint64_t written = 0;
    for (struct log_batch *b = first; b != NULL; b = b->next) {
        if (txn_rc != SHOAL_OK) {
            b->rc = txn_rc;
        }
        written += b->rc == SHOAL_OK;
    }
    atomic_fetch_add(&s->batches, written);
    while (first != NULL) {
        struct log_batch *next = first->next; /* done may free the batch */
        first->done(first->arg, first->rc);
        first = next;
    }
}

static void write_batches(void *arg)
{
    struct log_store *s = arg;
    for (struct log_batch *first = queue_take(s); first != NULL; first = queue_take(s)) {
        enum shoal_err rc = s->failed;
        if (rc == SHOAL_OK) {
            struct writing w = { .tables = &s->tables, .first = first };
            rc = first->from_reserve ? store_write_freeing(s->store, write_in_txn, &w, NULL)
                                     : store_write(s->store, write_in_txn, &w, NULL);
            atomic_fetch_add(&s->commits, rc == SHOAL_OK);
            if (rc != SHOAL_OK && rc != SHOAL_EFULL && rc != SHOAL_ENOMEM) {
                s->failed = rc;
            }
        }
        answer(s, first, rc);
    }
}

void log_store_submit(struct log_store *s, struct log_batch *batch)
{
    batch->next = NULL;
    batch->rc = SHOAL_OK;
    mutex_lock(&s->mutex);
    assert(!s->closing);
    *s->tail = batch;
    s->tail = &batch->next;
    cond_signal(&s->wake);
    mutex_unlock(&s->mutex);
}

/* --- open and close --------------------------------------------------------------------------- */

static enum shoal_err tables_open(struct log_store *s, struct errbuf *why)
{
    enum shoal_err rc = store_table_open(s->store, "entries", &s->tables.entries, why);
    if (rc == SHOAL_OK) {
        rc = store_table_open(s->store, "terms", &s->tables.terms, why);
    }
    if (rc == SHOAL_OK) {
        rc = store_table_open(s->store, "groups", &s->tables.groups, why);
    }
    return rc;
}

enum shoal_err log_store_open(const struct log_store_config *config, struct log_store **out,
                              struct errbuf *why)
{
    *out = NULL;
    struct log_store *s = mem_calloc(1, sizeof(*s));
    if (s == NULL) {
        return SHOAL_ENOMEM;
    }
    s->tail = &s->head;
    mutex_init(&s->mutex);
    cond_init(&s->wake);
    const size_t max = config->map_bytes_max == 0 ? MAP_BYTES_MAX : config->map_bytes_max;
    const struct store_config store = {
        .path = config->path,
        .map_bytes = max < MAP_BYTES ? max : MAP_BYTES,
        .map_bytes_max = max,
        .sync = STORE_SYNC_FULL,
        .tables_max = TABLES_LEN,
    };
    enum shoal_err rc = store_open(&store, &s->store, why);
    if (rc == SHOAL_OK) {
        rc = tables_open(s, why);
    }
    if (rc == SHOAL_OK) {
        rc = thread_start(&s->thread, "log", write_batches, s, why);
    }
    if (rc != SHOAL_OK) {
        log_store_close(s);
        return rc;
    }
    *out = s;
    return SHOAL_OK;
}

void log_store_close(struct log_store *s)
{
    if (s == NULL) {
        return;
    }
    mutex_lock(&s->mutex);
    s->closing = true;
    cond_signal(&s->wake);
    mutex_unlock(&s->mutex);
    thread_join(&s->thread);
    store_close(s->store);
    cond_release(&s->wake);
    mutex_release(&s->mutex);
    mem_free(s);
}

/* --- groups ----------------------------------------------------------------------------------- */

static enum shoal_err no_group(struct errbuf *why, uint64_t group)
{
    return err_set(why, SHOAL_ENOTFOUND, "no log of group %" PRIu64, group);
}

/* One transaction's work on one group, in a struct since a store_write_fn takes one argument. */
struct group_work {
    const struct log_tables *tables;
    uint64_t group;
    uint64_t through;
    struct slice members;
    bool more;
};

static enum shoal_err purge_in_txn(void *arg, struct store_txn *txn, struct errbuf *why)
{
    struct group_work *w = arg;
    return log__purge_piece(txn, w->tables, w->group, &w->more, why);
}

static enum shoal_err purge(struct log_store *s, uint64_t group, struct errbuf *why)
{
    struct group_work w = { .tables = &s->tables, .group = group };
    enum shoal_err rc = SHOAL_OK;
    do {
        rc = store_write_freeing(s->store, purge_in_txn, &w, why);
    } while (rc == SHOAL_OK && w.more);
    return rc;
}

static enum shoal_err begin_in_txn(void *arg, struct store_txn *txn, struct errbuf *why)
{
    struct group_work *w = arg;
    const struct log_group g = { .members = w->members };
    return log__group_put(txn, w->tables, w->group, &g, why);
}

enum shoal_err log_store_begin(struct log_store *s, uint64_t group, struct slice members,
                               struct errbuf *why)
{
    if (members.len > LOG_MEMBERS_MAX) {
        return err_set(why, SHOAL_ETOOBIG, "log of group %" PRIu64 ": %zu bytes of members", group,
                       members.len);
    }
    struct store_txn *txn = NULL;
    enum shoal_err rc = store_read_begin(s->store, &txn, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct log_record r;
    rc = log__group_get(txn, &s->tables, group, &r, why);
    store_read_end(txn);
    if (rc != SHOAL_ENOTFOUND) {
        return rc != SHOAL_OK
                   ? rc
                   : err_set(why, SHOAL_EEXISTS, "group %" PRIu64 " has a log already", group);
    }
    rc = purge(s, group, why); /* what a drop that a crash cut short has left */
    if (rc == SHOAL_OK) {
        struct group_work w = { .tables = &s->tables, .group = group, .members = members };
        rc = store_write(s->store, begin_in_txn, &w, why);
    }
    return rc;
}

static enum shoal_err cut_in_txn(void *arg, struct store_txn *txn, struct errbuf *why)
{
    struct group_work *w = arg;
    return log__cut_piece(txn, w->tables, w->group, w->through, &w->more, why);
}

enum shoal_err log_store_cut(struct log_store *s, uint64_t group, uint64_t through,
                             struct errbuf *why)
{
    struct group_work w = { .tables = &s->tables, .group = group, .through = through };
    enum shoal_err rc = SHOAL_OK;
    do {
        rc = store_write_freeing(s->store, cut_in_txn, &w, why);
    } while (rc == SHOAL_OK && w.more);
    return rc == SHOAL_ENOTFOUND ? no_group(why, group) : rc;
}

static enum shoal_err drop_in_txn(void *arg, struct store_txn *txn, struct errbuf *why)
{
    struct group_work *w = arg;
    char key[LOG_KEY_LEN];
    log__key(key, w->group, 0); /* its first 8 bytes are the record's key */
    return store_delete(txn, w->tables->groups, slice_make(key, 8), why);
}

enum shoal_err log_store_drop(struct log_store *s, uint64_t group, struct errbuf *why)
{
    /* The record goes first: a group is there whole or not at all. */
    struct group_work w = { .tables = &s->tables, .group = group };
    const enum shoal_err rc = store_write_freeing(s->store, drop_in_txn, &w, why);
    if (rc != SHOAL_OK && rc != SHOAL_ENOTFOUND) {
        return rc;
    }
    const enum shoal_err purged = purge(s, group, why);
    if (purged != SHOAL_OK) {
        return purged;
    }
    return rc == SHOAL_OK ? SHOAL_OK : no_group(why, group);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Begins a read transaction and reads the group's record in it. On failure there is nothing to
 * end. */
static enum shoal_err group_read_begin(struct log_store *s, uint64_t group, struct store_txn **txn,
                                       struct log_record *r, struct errbuf *why)
{
    enum shoal_err rc = store_read_begin(s->store, txn, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = log__group_get(*txn, &s->tables, group, r, why);
    if (rc != SHOAL_OK) {
        store_read_end(*txn);
        *txn = NULL;
    }
    return rc == SHOAL_ENOTFOUND ? no_group(why, group) : rc;
}

/* Runs `each` (NULL: only checks) over lo <= index < hi, all of which must be there. */
static enum shoal_err entries_walk(struct log_store *s, struct store_txn *txn, uint64_t group,
                                   uint64_t lo, uint64_t hi,
                                   bool (*each)(void *arg, const struct log_entry *e), void *arg,
                                   struct errbuf *why)
{
    struct store_cursor *c = NULL;
    enum shoal_err rc = store_cursor_open(txn, s->tables.entries, &c, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    char from[LOG_KEY_LEN];
    log__key(from, group, lo);
    struct slice key;
    struct slice value;
    rc = store_cursor_seek(c, slice_make(from, sizeof(from)), &key, &value);
    bool go_on = true;
    for (uint64_t want = lo; want < hi && go_on; want++) {
        uint64_t index = 0;
        if (rc == SHOAL_ENOTFOUND ||
            (rc == SHOAL_OK && (!log__key_index(key, group, &index) || index != want))) {
            rc = err_set(why, SHOAL_ECORRUPT,
                         "log of group %" PRIu64 ": entry %" PRIu64 " is missing", group, want);
        }
        struct log_entry e;
        if (rc == SHOAL_OK) {
            rc = log__entry_decode(value, group, index, &e, why);
        }
        if (rc != SHOAL_OK) {
            break;
        }
        go_on = each == NULL || each(arg, &e);
        rc = store_cursor_next(c, &key, &value);
    }
    store_cursor_close(c);
    return rc == SHOAL_ENOTFOUND ? SHOAL_OK : rc;
}

/* No entry lies beyond the last one. */
static enum shoal_err check_end(struct log_store *s, struct store_txn *txn, uint64_t group,
                                uint64_t last, struct errbuf *why)
{
    char from[LOG_KEY_LEN];
    log__key(from, group, last + 1);
    struct store_cursor *c = NULL;
    struct slice key;
    struct slice value;
    uint64_t index = 0;
    enum shoal_err rc = store_cursor_open(txn, s->tables.entries, &c, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = store_cursor_seek(c, slice_make(from, sizeof(from)), &key, &value);
    if (rc == SHOAL_OK && log__key_index(key, group, &index)) {
        rc = err_set(why, SHOAL_ECORRUPT,
                     "log of group %" PRIu64 ": entry %" PRIu64 " lies beyond its end", group,
                     index);
    }
    store_cursor_close(c);
    return rc == SHOAL_ENOTFOUND ? SHOAL_OK : rc;
}

enum shoal_err log_store_load(struct log_store *s, uint64_t group, uint64_t known,
                              struct log_group_state *out, struct errbuf *why)
{
    *out = (struct log_group_state){ .first_index = 1 };
    struct store_txn *txn = NULL;
    struct log_record r;
    enum shoal_err rc = group_read_begin(s, group, &txn, &r, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    const struct log_group *g = &r.group;
    const uint64_t from = known > g->cut_index ? known + 1 : g->cut_index + 1;
    rc = entries_walk(s, txn, group, from, g->last_index + 1, NULL, NULL, why);
    if (rc == SHOAL_OK) {
        rc = check_end(s, txn, group, g->last_index, why);
    }
    store_read_end(txn);
    if (rc == SHOAL_OK) {
        *out = (struct log_group_state){
            .hard_state = g->hard_state,
            .first_index = g->cut_index + 1,
            .last_index = g->last_index,
            .cut_term = g->cut_term,
            .bytes = g->bytes,
        };
    }
    return rc;
}

enum shoal_err log_store_members(struct log_store *s, uint64_t group, char **data, size_t *len,
                                 struct errbuf *why)
{
    *data = NULL;
    *len = 0;
    struct store_txn *txn = NULL;
    struct log_record r;
    enum shoal_err rc = group_read_begin(s, group, &txn, &r, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    store_read_end(txn);
    *data = mem_strndup(r.group.members.data, r.group.members.len);
    *len = *data == NULL ? 0 : r.group.members.len;
    return *data == NULL ? SHOAL_ENOMEM : SHOAL_OK;
}

enum shoal_err log_store_read(struct log_store *s, uint64_t group, uint64_t lo, uint64_t hi,
                              bool (*each)(void *arg, const struct log_entry *e), void *arg,
                              struct errbuf *why)
{
    struct store_txn *txn = NULL;
    struct log_record r;
    enum shoal_err rc = group_read_begin(s, group, &txn, &r, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (lo < hi && (lo <= r.group.cut_index || hi > r.group.last_index + 1)) {
        rc = err_set(why, SHOAL_ENOTFOUND,
                     "log of group %" PRIu64 " holds entries %" PRIu64 " to %" PRIu64, group,
                     r.group.cut_index + 1, r.group.last_index);
    } else {
        rc = entries_walk(s, txn, group, lo, hi, each, arg, why);
    }
    store_read_end(txn);
    return rc;
}

enum shoal_err log_store_term(struct log_store *s, uint64_t group, uint64_t index, uint64_t *term,
                              struct errbuf *why)
{
    *term = 0;
    struct store_txn *txn = NULL;
    struct log_record r;
    enum shoal_err rc = group_read_begin(s, group, &txn, &r, why);
    if (rc == SHOAL_OK) {
        rc = log__term(txn, &s->tables, group, &r.group, index, term, why);
        store_read_end(txn);
    }
    return rc;
}

enum shoal_err log_store_runs(struct log_store *s, uint64_t group, struct log_term_run **runs,
                              size_t *len, struct errbuf *why)
{
    *runs = NULL;
    *len = 0;
    struct store_txn *txn = NULL;
    struct log_record r;
    enum shoal_err rc = group_read_begin(s, group, &txn, &r, why);
    if (rc == SHOAL_OK) {
        rc = log__runs(txn, &s->tables, group, &r.group, runs, len, why);
        store_read_end(txn);
    }
    return rc;
}

void log_store_stats(struct log_store *s, struct log_store_stats *out)
{
    struct store_stats stats;
    store_stats(s->store, &stats);
    *out = (struct log_store_stats){
        .batches = atomic_load(&s->batches),
        .commits = atomic_load(&s->commits),
        .map_bytes = stats.map_bytes,
        .used_bytes = stats.used_bytes,
        .free_bytes = stats.free_bytes,
    };
}
