/* A shard's life: opening, closing, and what its other files need of it.
 *
 * Opening, in this order: state.mdb; the generation it describes; files left over by builds that
 * did not finish; the log, which applies what state.mdb lacks. Each step names what it found bad
 * and undoes the ones before; nothing on disk is changed for it.
 *
 * Closing goes the other way: builds are cancelled, calls inside are waited for, the log's thread
 * ends, and then no one is left who could touch the generation or the state. */
#include "shard/shard.h"

#include "base/log.h"
#include "base/mem.h"
#include "shard/log_store.h"
#include "shard/shard_private.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define MAP_BYTES_MAX ((size_t)256 << 30)
#define HNSW_M 16u
#define HNSW_EF_CONSTRUCTION 100u
/* Of the raft group: one voter, until replicas come. */
#define NODE 1u

/* --- generations ------------------------------------------------------------------------------ */

struct generation *shard__enter(struct shard *s)
{
    mutex_lock(&s->lock);
    assert(!s->closing);
    s->readers++;
    struct generation *g = generation_ref(s->generation);
    mutex_unlock(&s->lock);
    return g;
}

void shard__leave(struct shard *s, struct generation *g)
{
    generation_unref(g);
    mutex_lock(&s->lock);
    assert(s->readers > 0);
    if (--s->readers == 0) {
        cond_broadcast(&s->readers_left);
    }
    mutex_unlock(&s->lock);
}

struct generation *shard__pin(struct shard *s)
{
    mutex_lock(&s->lock);
    struct generation *g = generation_ref(s->generation);
    mutex_unlock(&s->lock);
    return g;
}

void shard__publish(struct shard *s, struct generation *g)
{
    mutex_lock(&s->lock);
    struct generation *old = s->generation;
    s->generation = g;
    mutex_unlock(&s->lock);
    metric_set(s->metrics.points, (double)g->points);
    generation_unref(old);
}

/* --- trouble ---------------------------------------------------------------------------------- */

void shard__trouble_set(struct shard *s, enum shoal_err rc, const struct errbuf *why)
{
    log_error("a part of a shard is out of service", LOG_U64("shard", s->config.id),
              LOG_ERR(rc, why));
    mutex_lock(&s->lock);
    if (s->trouble[0] == '\0') {
        (void)snprintf(s->trouble, sizeof(s->trouble), "%s", err_why(why, rc));
    }
    mutex_unlock(&s->lock);
}

enum shoal_err shard__seen(struct shard *s, enum shoal_err rc, const struct errbuf *why)
{
    if (rc != SHOAL_ECORRUPT) {
        return rc;
    }
    mutex_lock(&s->lock);
    const bool known = s->trouble[0] != '\0';
    mutex_unlock(&s->lock);
    if (!known) {
        shard__trouble_set(s, rc, why);
    }
    return rc;
}

enum shoal_err shard__whole(struct shard *s, struct errbuf *why)
{
    if (s->lost_segments == 0) {
        return SHOAL_OK;
    }
    mutex_lock(&s->lock);
    enum shoal_err rc = err_set(why, SHOAL_ECORRUPT, "shard %" PRIu64 " is read-only: %s",
                                s->config.id, s->trouble);
    mutex_unlock(&s->lock);
    return rc;
}

enum shoal_err shard__check_deadline(uint64_t deadline_ns, struct errbuf *why)
{
    if (deadline_ns == 0 || clock_mono_ns(clock_real()) < deadline_ns) {
        return SHOAL_OK;
    }
    return err_set(why, SHOAL_ETIMEOUT, "the deadline passed");
}

/* --- open ------------------------------------------------------------------------------------- */

static enum shoal_err check_config(const struct shard_config *c, struct errbuf *why)
{
    if (c->id == 0 || c->dir == NULL || c->log == NULL || c->builders == NULL || c->disk == NULL ||
        c->clock == NULL || c->rand == NULL) {
        return err_set(why, SHOAL_EINVAL, "shard: an id, a directory and its helpers are needed");
    }
    if (c->schema.dim == 0 || c->schema.dim > VECTOR_DIM_MAX) {
        return err_set(why, SHOAL_EINVAL, "shard: dim %" PRIu32 " is not in 1..%d", c->schema.dim,
                       VECTOR_DIM_MAX);
    }
    return SHOAL_OK;
}

static struct shard_options with_defaults(struct shard_options o)
{
    o.m = o.m == 0 ? HNSW_M : o.m;
    o.ef_construction = o.ef_construction == 0 ? HNSW_EF_CONSTRUCTION : o.ef_construction;
    o.seal_rows = o.seal_rows == 0 ? SHARD_SEAL_ROWS : o.seal_rows;
    o.build_threads = o.build_threads == 0 ? 1 : o.build_threads;
    return o;
}

static enum shoal_err join(char **out, const char *dir, const char *name, struct errbuf *why)
{
    char path[DISK_PATH_MAX];
    if (disk_join(path, sizeof(path), dir, name) != SHOAL_OK) {
        return err_set(why, SHOAL_ETOOBIG, "the path of %s/%s is too long", dir, name);
    }
    *out = mem_strdup(path);
    return *out == NULL ? err_set(why, SHOAL_ENOMEM, "out of memory for a shard") : SHOAL_OK;
}

static enum shoal_err take_config(struct shard *s, const struct shard_config *config,
                                  struct errbuf *why)
{
    s->config = *config;
    s->options = with_defaults(config->options);
    if (s->config.map_bytes_max == 0) {
        s->config.map_bytes_max = MAP_BYTES_MAX;
    }
    s->dir = mem_strdup(config->dir);
    if (s->dir == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for a shard");
    }
    s->config.dir = s->dir;
    return join(&s->segments_dir, s->dir, "segments", why);
}

static bool is_file_of_segment(void *arg, const char *name)
{
    bool *found = arg;
    const size_t len = strlen(name);
    *found = len > 4 && strcmp(name + len - 4, ".mdb") == 0;
    return !*found;
}

/* Made anew beside segments, state.mdb would name none of them, and they would be cleared away. */
static enum shoal_err check_state_there(struct shard *s, const char *path, struct errbuf *why)
{
    const struct disk *disk = s->config.disk;
    struct errbuf size_why;
    uint64_t bytes = 0;
    bool found = false;
    err_clear(&size_why);
    enum shoal_err rc = disk->size(disk->arg, path, &bytes, &size_why);
    if (rc == SHOAL_ENOTFOUND || (rc == SHOAL_OK && bytes == 0)) {
        rc = disk->list_dir(disk->arg, s->segments_dir, is_file_of_segment, &found, why);
        return rc == SHOAL_OK && found
                   ? err_set(why, SHOAL_ECORRUPT, "%s is gone, but its segments are there", path)
                   : rc;
    }
    return rc == SHOAL_OK ? rc : err_set(why, rc, "%s", err_why(&size_why, rc));
}

static enum shoal_err open_state(struct shard *s, struct errbuf *why)
{
    const struct disk *disk = s->config.disk;
    struct state_meta meta = { .dim = s->config.schema.dim, .distance = s->config.schema.distance };
    char path[DISK_PATH_MAX];
    if (disk_join(path, sizeof(path), s->dir, "state.mdb") != SHOAL_OK) {
        return err_set(why, SHOAL_ETOOBIG, "the path of %s/state.mdb is too long", s->dir);
    }
    enum shoal_err rc = disk->make_dir(disk->arg, s->segments_dir, why);
    if (rc == SHOAL_OK) {
        rc = check_state_there(s, path, why);
    }
    if (rc == SHOAL_OK) {
        rc = state_open(path, s->config.map_bytes_max, &meta, &s->state, why);
    }
    return rc == SHOAL_OK ? shard__load(s, &meta, &s->generation, why) : rc;
}

static enum shoal_err open_log(struct shard *s, struct errbuf *why)
{
    static const uint64_t voters[] = { NODE };
    shard__machine_init(s);
    const struct rlog_config config = {
        .group = s->config.id,
        .node = NODE,
        .voters = voters,
        .voters_len = 1,
        .store = s->config.log,
        .machine = &s->machine,
        .clock = s->config.clock,
        .rand = s->config.rand,
    };
    return rlog_open(&config, &s->rlog, why);
}

/* A metric that cannot be made is NULL, which every update takes. */
static void open_metrics(struct shard *s)
{
    struct metrics *m = s->config.metrics;
    if (m == NULL) {
        return;
    }
    char id[24];
    (void)snprintf(id, sizeof(id), "%" PRIu64, s->config.id);
    const struct metric_label label = { .name = "shard", .value = id };
    const struct metric_desc applied = { .name = "shoal_shard_applied_ops_total",
                                         .help = "Operations applied to a shard.",
                                         .labels = &label,
                                         .labels_len = 1 };
    const struct metric_desc refused = { .name = "shoal_shard_refused_ops_total",
                                         .help = "Operations refused when they were applied.",
                                         .labels = &label,
                                         .labels_len = 1 };
    const struct metric_desc points = { .name = "shoal_shard_points",
                                        .help = "Points in a shard.",
                                        .labels = &label,
                                        .labels_len = 1 };
    const struct metric_desc seconds = { .name = "shoal_shard_apply_seconds",
                                         .help = "Time to apply one batch of operations.",
                                         .labels = &label,
                                         .labels_len = 1 };
    (void)metrics_counter(m, &applied, &s->metrics.applied_ops);
    (void)metrics_counter(m, &refused, &s->metrics.refused_ops);
    (void)metrics_gauge(m, &points, &s->metrics.points);
    (void)metrics_seconds(m, &seconds, &s->metrics.apply_seconds);
}

static enum shoal_err open_all(struct shard *s, const struct shard_config *config,
                               struct errbuf *why)
{
    enum shoal_err rc = take_config(s, config, why);
    if (rc == SHOAL_OK) {
        open_metrics(s);
        rc = open_state(s, why);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    metric_set(s->metrics.points, (double)s->generation->points);
    if (s->lost_segments > 0) {
        return SHOAL_OK; /* see shard_private.h */
    }
    rc = shard__remove_strays(s, why);
    if (rc == SHOAL_OK) {
        rc = open_log(s, why);
    }
    if (rc == SHOAL_OK) {
        shard__build_wake(s);
    }
    return rc;
}

enum shoal_err shard_open(const struct shard_config *config, struct shard **out, struct errbuf *why)
{
    *out = NULL;
    enum shoal_err rc = check_config(config, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct shard *s = mem_calloc(1, sizeof(*s));
    if (s == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for a shard");
    }
    mutex_init(&s->writer);
    mutex_init(&s->lock);
    cond_init(&s->readers_left);
    cond_init(&s->builder.ended);
    atomic_init(&s->builder.cancel, false);
    rc = open_all(s, config, why);
    if (rc != SHOAL_OK) {
        shard_close(s);
        return err_prefix(why, rc, "shard %" PRIu64, config->id);
    }
    *out = s;
    return SHOAL_OK;
}

/* --- close and remove ------------------------------------------------------------------------- */

void shard_close(struct shard *s)
{
    if (s == NULL) {
        return;
    }
    shard__build_stop(s);
    mutex_lock(&s->lock);
    s->closing = true;
    while (s->readers > 0) { /* each has its own deadline */
        cond_wait(&s->readers_left, &s->lock);
    }
    mutex_unlock(&s->lock);
    rlog_close(s->rlog);
    generation_unref(s->generation);
    state_close(s->state);
    cond_release(&s->builder.ended);
    cond_release(&s->readers_left);
    mutex_release(&s->lock);
    mutex_release(&s->writer);
    mem_free(s->segments_dir);
    mem_free(s->dir);
    mem_free(s);
}

/* The log goes first: entries without a state would be applied to an empty one. */
enum shoal_err shard_remove(const struct shard_config *config, struct errbuf *why)
{
    enum shoal_err rc = log_store_drop(config->log, config->id, why);
    if (rc == SHOAL_ENOTFOUND) { /* never opened, or removed halfway before */
        err_clear(why);
        rc = SHOAL_OK;
    }
    if (rc == SHOAL_OK) {
        rc = config->disk->remove_tree(config->disk->arg, config->dir, why);
    }
    return rc == SHOAL_OK ? rc : err_prefix(why, rc, "shard %" PRIu64, config->id);
}

/* --- info ------------------------------------------------------------------------------------- */

static void count_segments(const struct generation *g, struct shard_info *out, bool *rebuild)
{
    out->segments = g->segments_len;
    for (size_t i = 0; i < g->segments_len; i++) {
        const struct segment_view *v = &g->segments[i];
        out->indexed += v->live;
        out->dead_rows += segment_info(v->segment)->rows - v->live;
        out->disk_bytes += segment_bytes(v->segment);
        *rebuild = *rebuild || segment_needs_rebuild(v->segment);
    }
}

/* What stopped the log has told its text already when it came from applying. */
static void tell_trouble(struct shard *s, struct shard_info *out)
{
    mutex_lock(&s->lock);
    memcpy(out->trouble, s->trouble, sizeof(out->trouble));
    mutex_unlock(&s->lock);
    if (out->trouble[0] == '\0' && s->rlog != NULL) {
        struct rlog_status status;
        rlog_status(s->rlog, &status);
        if (status.stopped != SHOAL_OK) {
            (void)snprintf(out->trouble, sizeof(out->trouble), "the log has stopped: %s",
                           err_text(status.stopped));
        }
    }
}

/* Whether a segment is being built, and why that fails for now. */
static bool tell_building(struct shard *s, struct shard_info *out)
{
    const struct shard_builder *b = &s->builder;
    mutex_lock(&s->lock);
    const bool active = b->active;
    if (b->failures > 0) {
        (void)snprintf(out->trouble, sizeof(out->trouble), "%.255s", err_why(&b->why, b->rc));
    }
    mutex_unlock(&s->lock);
    return active;
}

void shard_info(struct shard *s, struct shard_info *out)
{
    *out = (struct shard_info){ .status = SHARD_GREEN };
    struct generation *g = shard__enter(s);
    bool waiting = generation_growing_rows(g) >= s->options.seal_rows;
    count_segments(g, out, &waiting);
    out->points = g->points + s->lost_points;
    out->growing_rows = generation_growing_rows(g);
    out->applied_index = g->applied;
    struct store_stats stats;
    store_stats(state_store(s->state), &stats);
    out->disk_bytes += stats.used_bytes;
    tell_trouble(s, out);
    if (out->trouble[0] != '\0') {
        out->status = SHARD_RED;
    } else if (tell_building(s, out) || waiting) {
        out->status = SHARD_YELLOW;
    }
    shard__leave(s, g);
}

uint32_t shard_dim(const struct shard *s)
{
    return s->config.schema.dim;
}
