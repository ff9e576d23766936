/* From state.mdb to a generation.
 *
 * What is read: the growing rows with their vectors, the segments' manifests, and the dead
 * positions. Of a segment's file only the manifest and the index's header are looked at, so a start
 * costs what grows, not what is sealed.
 *
 * Everything that the tables say of each other is checked on the way: ranges of rows that overlap,
 * a dead position beyond its segment, a number of living rows that is not the number of points. */
#include "shard/shard_private.h"

#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct loading {
    struct shard *shard;
    struct store_txn *txn;
    const struct state_meta *meta;
    struct generation *g;
    struct segment_manifest *manifests;
    size_t manifests_len;
    float *vector; /* one, aligned */
    /* The segment whose dead positions are being read: */
    struct segment_view view;
};

static enum shoal_err misfit(struct errbuf *why, const char *what, uint64_t of)
{
    return err_set(why, SHOAL_ECORRUPT, "state.mdb: %s %" PRIu64, what, of);
}

/* --- segments --------------------------------------------------------------------------------- */

static enum shoal_err take_manifest(void *arg, const struct segment_manifest *m, struct errbuf *why)
{
    struct loading *l = arg;
    if (m->row_end > l->meta->growing_begin || m->id >= l->meta->next_segment ||
        m->index.dim != l->meta->dim) {
        return misfit(why, "meta and segments do not fit: segment", m->id);
    }
    size_t size;
    struct segment_manifest *grown = NULL;
    if (size_mul(l->manifests_len + 1, sizeof(*grown), &size)) {
        grown = mem_realloc(l->manifests, size);
    }
    if (grown == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for the list of segments");
    }
    l->manifests = grown;
    l->manifests[l->manifests_len++] = *m;
    return SHOAL_OK;
}

static int by_rows(const void *a, const void *b)
{
    const struct segment_manifest *x = a;
    const struct segment_manifest *y = b;
    return (x->row_begin > y->row_begin) - (x->row_begin < y->row_begin);
}

static enum shoal_err take_dead(void *arg, uint32_t position, struct errbuf *why)
{
    struct loading *l = arg;
    const struct segment_manifest *m = segment_info(l->view.segment);
    if (position >= m->rows || l->view.live == 0) {
        return misfit(why, "a dead position lies outside of segment", m->id);
    }
    if (!bits_own(&l->view.alive, m->rows)) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for the dead rows of a segment");
    }
    bits_clear(l->view.alive, position); /* each is listed once: it is a key */
    l->view.live--;
    return SHOAL_OK;
}

static enum shoal_err load_segment(struct loading *l, const struct segment_manifest *m,
                                   struct errbuf *why)
{
    struct shard *s = l->shard;
    struct errbuf lost;
    err_clear(&lost);
    l->view = (struct segment_view){ .live = m->rows };
    enum shoal_err rc = segment_open(s->segments_dir, s->config.disk, m, &l->view.segment, &lost);
    if (rc == SHOAL_ENOMEM) {
        return err_prefix(why, rc, "segment %" PRIu64, m->id);
    }
    if (rc != SHOAL_OK) { /* the file's trouble, not the shard's: the others may be served */
        s->lost_segments++;
        shard__trouble_set(s, rc, &lost);
        return SHOAL_OK;
    }
    rc = state_dead_each(s->state, l->txn, m->id, take_dead, l, why);
    if (rc == SHOAL_OK) {
        rc = generation_add_segment(l->g, l->view);
    }
    if (rc != SHOAL_OK) {
        segment_unref(l->view.segment);
        bits_unref(l->view.alive);
    }
    return rc;
}

static enum shoal_err load_segments(struct loading *l, struct errbuf *why)
{
    enum shoal_err rc = state_segments_each(l->shard->state, l->txn, take_manifest, l, why);
    if (rc != SHOAL_OK || l->manifests_len == 0) {
        return rc;
    }
    qsort(l->manifests, l->manifests_len, sizeof(*l->manifests), by_rows);
    for (size_t i = 1; i < l->manifests_len; i++) {
        if (l->manifests[i].row_begin < l->manifests[i - 1].row_end) {
            return misfit(why, "segments overlap at row", l->manifests[i].row_begin);
        }
    }
    for (size_t i = 0; i < l->manifests_len && rc == SHOAL_OK; i++) {
        rc = load_segment(l, &l->manifests[i], why);
    }
    return rc;
}

/* --- growing rows ----------------------------------------------------------------------------- */

static enum shoal_err take_row(void *arg, uint64_t row, const struct point_id *id,
                               const void *vector, struct errbuf *why)
{
    struct loading *l = arg;
    if (row < l->g->next_row || row >= l->meta->next_row) {
        return misfit(why, "meta and rows do not fit: row", row);
    }
    memcpy(l->vector, vector, l->meta->dim * sizeof(float));
    uint64_t given = 0;
    enum shoal_err rc = generation_skip_to(l->g, row);
    if (rc == SHOAL_OK) {
        rc = generation_append(l->g, id, l->vector, &given);
    }
    return rc == SHOAL_OK ? rc : err_set(why, rc, "out of memory for growing rows");
}

static enum shoal_err load_rows(struct loading *l, struct errbuf *why)
{
    l->vector = mem_array(l->meta->dim, sizeof(*l->vector));
    if (l->vector == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for growing rows");
    }
    enum shoal_err rc = state_rows_each(l->shard->state, l->txn, l->meta->growing_begin,
                                        l->meta->dim, take_row, l, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = generation_skip_to(l->g, l->meta->next_row);
    return rc == SHOAL_OK ? rc : err_set(why, rc, "out of memory for growing rows");
}

/* --- all of it -------------------------------------------------------------------------------- */

static enum shoal_err check_points(const struct loading *l, struct errbuf *why)
{
    struct shard *s = l->shard;
    const uint64_t points = l->meta->points;
    if (points == l->g->points || (s->lost_segments > 0 && points > l->g->points)) {
        s->lost_points = points - l->g->points;
        return SHOAL_OK;
    }
    return err_set(why, SHOAL_ECORRUPT,
                   "state.mdb: %" PRIu64 " points, but %" PRIu64 " rows are alive", points,
                   l->g->points);
}

enum shoal_err shard__load(struct shard *s, const struct state_meta *meta, struct generation **out,
                           struct errbuf *why)
{
    *out = NULL;
    struct loading l = { .shard = s, .meta = meta };
    enum shoal_err rc = store_read_begin(state_store(s->state), &l.txn, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = generation_new(meta->dim, meta->growing_begin, &l.g);
    if (rc == SHOAL_OK) {
        rc = load_segments(&l, why);
    }
    if (rc == SHOAL_OK) {
        rc = load_rows(&l, why);
    }
    if (rc == SHOAL_OK) {
        rc = check_points(&l, why);
    }
    store_read_end(l.txn);
    mem_free(l.vector);
    mem_free(l.manifests);
    if (rc != SHOAL_OK) {
        generation_unref(l.g);
        return rc;
    }
    l.g->applied = meta->applied;
    *out = l.g;
    return SHOAL_OK;
}

/* --- strays ----------------------------------------------------------------------------------- */

struct strays {
    const struct shard *shard;
    char path[DISK_PATH_MAX]; /* one that was found; empty: none */
};

static bool is_listed(const struct generation *g, const char *name)
{
    for (size_t i = 0; i < g->segments_len; i++) {
        char expected[32];
        (void)snprintf(expected, sizeof(expected), "%" PRIu64 ".mdb",
                       segment_info(g->segments[i].segment)->id);
        if (strcmp(name, expected) == 0) {
            return true;
        }
    }
    return false;
}

/* Names that building gives; whatever else lies there is somebody's. */
static bool is_ours(const char *name)
{
    static const char *const endings[] = { ".mdb", ".mdb.tmp", ".mdb.tmp-lock" };
    const char *end = name + strspn(name, "0123456789");
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]) && end != name; i++) {
        if (strcmp(end, endings[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool find_stray(void *arg, const char *name)
{
    struct strays *f = arg;
    if (!is_ours(name) || is_listed(f->shard->generation, name)) {
        return true;
    }
    if (disk_join(f->path, sizeof(f->path), f->shard->segments_dir, name) != SHOAL_OK) {
        f->path[0] = '\0';
        return true;
    }
    return false;
}

/* One at a time: a directory is not changed while it is listed. */
enum shoal_err shard__remove_strays(struct shard *s, struct errbuf *why)
{
    assert(s->lost_segments == 0); /* their files are named by no generation */
    const struct disk *disk = s->config.disk;
    for (bool synced = false;;) {
        struct strays f = { .shard = s };
        enum shoal_err rc = disk->list_dir(disk->arg, s->segments_dir, find_stray, &f, why);
        if (rc != SHOAL_OK || f.path[0] == '\0') {
            return rc;
        }
        /* What this state does not name, the state that a power loss would bring back might. */
        rc = synced ? SHOAL_OK : store_sync(state_store(s->state), why);
        synced = true;
        if (rc == SHOAL_OK) {
            rc = disk->remove_file(disk->arg, f.path, why);
        }
        if (rc != SHOAL_OK) {
            return rc;
        }
        log_info("removed a file that no segment has", LOG_U64("shard", s->config.id),
                 LOG_STR("path", f.path));
    }
}
