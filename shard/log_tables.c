#include "shard/log_tables.h"

#include "base/bytes.h"
#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

/* Deletes of one transaction: what another group may have to wait for. */
#define PIECE_LEN_MAX 1024
#define PIECE_BYTES_MAX (8u << 20)

static enum shoal_err corrupt(struct errbuf *why, uint64_t group, uint64_t index, const char *what)
{
    return err_set(why, SHOAL_ECORRUPT, "log of group %" PRIu64 ": entry %" PRIu64 ": %s", group,
                   index, what);
}

/* --- records and terms ------------------------------------------------------------------------ */

enum shoal_err log__group_get(struct store_txn *txn, const struct log_tables *t, uint64_t group,
                              struct log_record *r, struct errbuf *why)
{
    r->group = (struct log_group){ .cut_index = 0 };
    char key[8];
    bytes_put_be64(key, group);
    struct slice value;
    enum shoal_err rc = store_get(txn, t->groups, slice_make(key, sizeof(key)), &value);
    if (rc != SHOAL_OK) {
        return rc == SHOAL_ENOTFOUND ? rc : err_set(why, rc, "log of group %" PRIu64, group);
    }
    if (value.len > sizeof(r->bytes)) {
        return err_set(why, SHOAL_ECORRUPT, "log of group %" PRIu64 ": a record of %zu bytes",
                       group, value.len);
    }
    memcpy(r->bytes, value.data, value.len);
    return log__group_decode(slice_make(r->bytes, value.len), group, &r->group, why);
}

enum shoal_err log__group_put(struct store_txn *txn, const struct log_tables *t, uint64_t group,
                              const struct log_group *g, struct errbuf *why)
{
    char key[8];
    bytes_put_be64(key, group);
    char value[LOG_GROUP_HEAD + LOG_MEMBERS_MAX];
    log__group_encode(value, group, g);
    return store_put(txn, t->groups, slice_make(key, sizeof(key)),
                     slice_make(value, LOG_GROUP_HEAD + g->members.len), why);
}

/* The run that holds `index`: the last one that begins at or before it. */
static enum shoal_err run_find(struct store_cursor *c, uint64_t group, uint64_t index,
                               struct log_term_run *run, struct errbuf *why)
{
    *run = (struct log_term_run){ .first_index = 0 };
    char from[LOG_KEY_LEN];
    log__key(from, group, index);
    struct slice key;
    struct slice value;
    uint64_t at = 0;
    enum shoal_err rc = store_cursor_seek(c, slice_make(from, sizeof(from)), &key, &value);
    if (rc == SHOAL_ENOTFOUND) {
        rc = store_cursor_last(c, &key, &value);
    } else if (rc == SHOAL_OK && (!log__key_index(key, group, &at) || at > index)) {
        rc = store_cursor_prev(c, &key, &value);
    }
    if (rc == SHOAL_ENOTFOUND || (rc == SHOAL_OK && !log__key_index(key, group, &at))) {
        return corrupt(why, group, index, "its term is missing");
    }
    return rc != SHOAL_OK ? rc : log__run_decode(value, group, at, run, why);
}

enum shoal_err log__term(struct store_txn *txn, const struct log_tables *t, uint64_t group,
                         const struct log_group *g, uint64_t index, uint64_t *term,
                         struct errbuf *why)
{
    *term = 0;
    if (index == g->cut_index) {
        *term = g->cut_term;
        return SHOAL_OK;
    }
    if (index < g->cut_index || index > g->last_index) {
        return err_set(why, SHOAL_ENOTFOUND, "log of group %" PRIu64 ": no entry %" PRIu64, group,
                       index);
    }
    struct store_cursor *c = NULL;
    enum shoal_err rc = store_cursor_open(txn, t->terms, &c, why);
    if (rc == SHOAL_OK) {
        struct log_term_run run = { 0, 0 };
        rc = run_find(c, group, index, &run, why);
        *term = run.term;
    }
    store_cursor_close(c);
    return rc;
}

/* Appends one run to an array that doubles. */
static enum shoal_err run_push(struct log_term_run **runs, size_t *len, size_t *cap,
                               const struct log_term_run *run)
{
    if (*len == *cap) {
        size_t more = 0;
        size_t bytes = 0;
        if (!size_mul(*cap == 0 ? 8 : *cap, 2, &more) || !size_mul(more, sizeof(**runs), &bytes)) {
            return SHOAL_ENOMEM;
        }
        struct log_term_run *grown = mem_realloc(*runs, bytes);
        if (grown == NULL) {
            return SHOAL_ENOMEM;
        }
        *runs = grown;
        *cap = more;
    }
    (*runs)[(*len)++] = *run;
    return SHOAL_OK;
}

enum shoal_err log__runs(struct store_txn *txn, const struct log_tables *t, uint64_t group,
                         const struct log_group *g, struct log_term_run **runs, size_t *len,
                         struct errbuf *why)
{
    *runs = NULL;
    *len = 0;
    if (g->cut_index == g->last_index) {
        return SHOAL_OK;
    }
    struct store_cursor *c = NULL;
    enum shoal_err rc = store_cursor_open(txn, t->terms, &c, why);
    struct log_term_run run = { 0, 0 };
    if (rc == SHOAL_OK) {
        rc = run_find(c, group, g->cut_index + 1, &run, why);
        run.first_index = g->cut_index + 1; /* its beginning may have been cut */
    }
    size_t cap = 0;
    while (rc == SHOAL_OK) {
        rc = run_push(runs, len, &cap, &run);
        struct slice key;
        struct slice value;
        uint64_t index = 0;
        if (rc == SHOAL_OK) {
            rc = store_cursor_next(c, &key, &value);
        }
        if (rc == SHOAL_OK) {
            rc = log__key_index(key, group, &index)
                     ? log__run_decode(value, group, index, &run, why)
                     : SHOAL_ENOTFOUND;
        }
    }
    store_cursor_close(c);
    if (rc == SHOAL_ENOTFOUND) {
        return SHOAL_OK;
    }
    mem_free(*runs);
    *runs = NULL;
    *len = 0;
    return rc;
}

/* --- batches ---------------------------------------------------------------------------------- */

static enum shoal_err batch_check(const struct log_group *g, const struct log_batch *b)
{
    if (b->entries_len == 0) {
        return SHOAL_OK;
    }
    const uint64_t first = b->entries[0].index;
    if (first <= g->cut_index || first > g->last_index + 1) {
        return SHOAL_EINVAL;
    }
    for (size_t i = 1; i < b->entries_len; i++) {
        if (b->entries[i].index != first + i || b->entries[i].term < b->entries[i - 1].term) {
            return SHOAL_EINVAL;
        }
    }
    return SHOAL_OK;
}

/* Deletes the group's keys from `from` on, at most so many, and counts the values' bytes. */
static enum shoal_err delete_from(struct store_txn *txn, store_table table, uint64_t group,
                                  uint64_t from, size_t len_max, size_t *len, uint64_t *bytes,
                                  struct errbuf *why)
{
    *len = 0;
    *bytes = 0;
    struct store_cursor *c = NULL;
    enum shoal_err rc = store_cursor_open(txn, table, &c, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    char start[LOG_KEY_LEN];
    log__key(start, group, from);
    struct slice key;
    struct slice value;
    uint64_t index = 0;
    rc = store_cursor_seek(c, slice_make(start, sizeof(start)), &key, &value);
    while (rc == SHOAL_OK && *len < len_max && log__key_index(key, group, &index)) {
        *bytes += LOG_KEY_LEN + value.len;
        (*len)++;
        rc = store_cursor_delete(c, why);
        if (rc == SHOAL_OK) {
            rc = store_cursor_next(c, &key, &value);
        }
    }
    store_cursor_close(c);
    return rc == SHOAL_ENOTFOUND ? SHOAL_OK : rc;
}

/* What lies at `from` and beyond was never committed, or is about to be written again. */
static enum shoal_err tail_drop(struct store_txn *txn, const struct log_tables *t, uint64_t group,
                                struct log_group *g, uint64_t from, struct errbuf *why)
{
    if (from > g->last_index) {
        return SHOAL_OK;
    }
    size_t len = 0;
    uint64_t bytes = 0;
    enum shoal_err rc = delete_from(txn, t->terms, group, from, SIZE_MAX, &len, &bytes, why);
    if (rc == SHOAL_OK) {
        rc = delete_from(txn, t->entries, group, from, SIZE_MAX, &len, &bytes, why);
    }
    g->last_index = from - 1;
    g->bytes -= bytes < g->bytes ? bytes : g->bytes;
    return rc;
}

static enum shoal_err entry_put(struct store_txn *txn, const struct log_tables *t, uint64_t group,
                                const struct log_entry *e, struct errbuf *why)
{
    char key[LOG_KEY_LEN];
    log__key(key, group, e->index);
    void *room = NULL;
    enum shoal_err rc = store_put_reserve(txn, t->entries, slice_make(key, sizeof(key)),
                                          log__entry_len(e->data.len), &room, why);
    if (rc == SHOAL_OK) {
        log__entry_encode(room, group, e);
    }
    return rc;
}

static enum shoal_err run_put(struct store_txn *txn, const struct log_tables *t, uint64_t group,
                              const struct log_entry *e, struct errbuf *why)
{
    char key[LOG_KEY_LEN];
    char value[LOG_RUN_LEN];
    const struct log_term_run run = { .first_index = e->index, .term = e->term };
    log__key(key, group, e->index);
    log__run_encode(value, group, &run);
    return store_put(txn, t->terms, slice_make(key, sizeof(key)), slice_make(value, sizeof(value)),
                     why);
}

static enum shoal_err entries_append(struct store_txn *txn, const struct log_tables *t,
                                     struct log_group *g, const struct log_batch *b,
                                     struct errbuf *why)
{
    uint64_t term = 0;
    enum shoal_err rc = log__term(txn, t, b->group, g, g->last_index, &term, why);
    for (size_t i = 0; i < b->entries_len && rc == SHOAL_OK; i++) {
        const struct log_entry *e = &b->entries[i];
        assert(e->index == g->last_index + 1);
        /* The run that held the last cut entry may be gone with it. */
        if (e->term != term || e->index == g->cut_index + 1) {
            rc = run_put(txn, t, b->group, e, why);
        }
        if (rc == SHOAL_OK) {
            rc = entry_put(txn, t, b->group, e, why);
        }
        term = e->term;
        g->last_index = e->index;
        g->bytes += log__entry_bytes(e->data.len);
    }
    return rc;
}

enum shoal_err log__batch_write(struct store_txn *txn, const struct log_tables *t,
                                struct log_batch *b, struct errbuf *why)
{
    struct log_record r;
    b->rc = log__group_get(txn, t, b->group, &r, why);
    if (b->rc == SHOAL_OK) {
        b->rc = batch_check(&r.group, b);
    }
    if (b->rc != SHOAL_OK) {
        return SHOAL_OK;
    }
    enum shoal_err rc = SHOAL_OK;
    if (b->entries_len > 0) {
        rc = tail_drop(txn, t, b->group, &r.group, b->entries[0].index, why);
        if (rc == SHOAL_OK) {
            rc = entries_append(txn, t, &r.group, b, why);
        }
    }
    if (b->has_hard_state) {
        r.group.hard_state = b->hard_state;
    }
    return rc != SHOAL_OK ? rc : log__group_put(txn, t, b->group, &r.group, why);
}

/* --- cutting and purging ---------------------------------------------------------------------- */

/* Deletes entries after g->cut_index up to `through`, as many as make a piece, and moves the cut.
 */
static enum shoal_err entries_cut(struct store_txn *txn, const struct log_tables *t, uint64_t group,
                                  struct log_group *g, uint64_t through, struct errbuf *why)
{
    struct store_cursor *c = NULL;
    enum shoal_err rc = store_cursor_open(txn, t->entries, &c, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    char start[LOG_KEY_LEN];
    log__key(start, group, g->cut_index + 1);
    struct slice key;
    struct slice value;
    uint64_t bytes = 0;
    rc = store_cursor_seek(c, slice_make(start, sizeof(start)), &key, &value);
    for (size_t n = 0;
         rc == SHOAL_OK && n < PIECE_LEN_MAX && bytes < PIECE_BYTES_MAX && g->cut_index < through;
         n++) {
        uint64_t index = 0;
        if (!log__key_index(key, group, &index) || index != g->cut_index + 1) {
            rc = corrupt(why, group, g->cut_index + 1, "missing");
            break;
        }
        bytes += LOG_KEY_LEN + value.len;
        g->cut_index = index;
        rc = store_cursor_delete(c, why);
        if (rc == SHOAL_OK) {
            rc = store_cursor_next(c, &key, &value);
        }
    }
    store_cursor_close(c);
    g->bytes -= bytes < g->bytes ? bytes : g->bytes;
    if (rc == SHOAL_ENOTFOUND) { /* the table ends here: right if the piece does */
        rc = g->cut_index == through ? SHOAL_OK : corrupt(why, group, g->cut_index + 1, "missing");
    }
    return rc;
}

/* Deletes the runs that hold no entry after g->cut_index: all that begin before the last one that
 * begins at or before the first entry. */
static enum shoal_err runs_cut(struct store_txn *txn, const struct log_tables *t, uint64_t group,
                               const struct log_group *g, struct errbuf *why)
{
    uint64_t keep = g->last_index + 1;
    struct store_cursor *c = NULL;
    enum shoal_err rc = store_cursor_open(txn, t->terms, &c, why);
    if (rc == SHOAL_OK && g->cut_index < g->last_index) {
        struct log_term_run run = { 0, 0 };
        rc = run_find(c, group, g->cut_index + 1, &run, why);
        keep = run.first_index;
    }
    char start[LOG_KEY_LEN];
    log__key(start, group, 0);
    struct slice key;
    struct slice value;
    uint64_t index = 0;
    if (rc == SHOAL_OK) {
        rc = store_cursor_seek(c, slice_make(start, sizeof(start)), &key, &value);
    }
    while (rc == SHOAL_OK && log__key_index(key, group, &index) && index < keep) {
        rc = store_cursor_delete(c, why);
        if (rc == SHOAL_OK) {
            rc = store_cursor_next(c, &key, &value);
        }
    }
    store_cursor_close(c);
    return rc == SHOAL_ENOTFOUND ? SHOAL_OK : rc;
}

enum shoal_err log__cut_piece(struct store_txn *txn, const struct log_tables *t, uint64_t group,
                              uint64_t through, bool *more, struct errbuf *why)
{
    *more = false;
    struct log_record r;
    enum shoal_err rc = log__group_get(txn, t, group, &r, why);
    if (rc != SHOAL_OK || through <= r.group.cut_index) {
        return rc;
    }
    if (through > r.group.last_index) {
        return err_set(why, SHOAL_EINVAL,
                       "log of group %" PRIu64 ": cut at %" PRIu64 ", beyond its end %" PRIu64,
                       group, through, r.group.last_index);
    }
    struct log_group g = r.group;
    rc = entries_cut(txn, t, group, &g, through, why);
    if (rc == SHOAL_OK) {
        rc = log__term(txn, t, group, &r.group, g.cut_index, &g.cut_term, why);
    }
    if (rc == SHOAL_OK) {
        rc = runs_cut(txn, t, group, &g, why);
    }
    if (rc == SHOAL_OK) {
        rc = log__group_put(txn, t, group, &g, why);
    }
    *more = g.cut_index < through;
    return rc;
}

enum shoal_err log__purge_piece(struct store_txn *txn, const struct log_tables *t, uint64_t group,
                                bool *more, struct errbuf *why)
{
    *more = false;
    const store_table tables[] = { t->entries, t->terms };
    for (size_t i = 0; i < 2 && !*more; i++) {
        size_t len = 0;
        uint64_t bytes = 0;
        enum shoal_err rc = delete_from(txn, tables[i], group, 0, PIECE_LEN_MAX, &len, &bytes, why);
        if (rc != SHOAL_OK) {
            return rc;
        }
        *more = len == PIECE_LEN_MAX;
    }
    return SHOAL_OK;
}
