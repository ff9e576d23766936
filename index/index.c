#include "index/index.h"

#include "base/mem.h"
#include "index/hnsw_graph.h"
#include "index/index_ops.h"
#include "index/team.h"

#include <assert.h>
#include <inttypes.h>

/* Queries of at most so many hits need no allocation for their heap. */
#define K_ON_STACK 128

struct index {
    const struct index_ops *ops;
    void *state; /* the kind's own */
    struct index_rows rows;
    size_t bytes_len;
};

static const struct index_ops *const kinds[] = { &index__flat, &index__hnsw, &index__ivf };

#define KINDS_LEN (sizeof(kinds) / sizeof(kinds[0]))

static const struct index_ops *ops_of(enum index_kind kind)
{
    for (size_t i = 0; i < KINDS_LEN; i++) {
        if (kinds[i]->kind == kind) {
            return kinds[i];
        }
    }
    return NULL;
}

const char *index_kind_name(enum index_kind kind)
{
    const struct index_ops *ops = ops_of(kind);
    return ops == NULL ? NULL : ops->name;
}

enum shoal_err index_kind_parse(struct slice name, enum index_kind *out)
{
    for (size_t i = 0; i < KINDS_LEN; i++) {
        if (slice_is(name, kinds[i]->name)) {
            *out = kinds[i]->kind;
            return SHOAL_OK;
        }
    }
    return SHOAL_EPARSE;
}

static enum shoal_err check_range(const char *field, uint64_t value, uint64_t min, uint64_t max,
                                  struct errbuf *why)
{
    if (value >= min && value <= max) {
        return SHOAL_OK;
    }
    return err_set(why, SHOAL_EINVAL, "%s is %" PRIu64 ", not in %" PRIu64 "..%" PRIu64, field,
                   value, min, max);
}

/* What both build and open rely on. */
static enum shoal_err check_config(const struct index_config *config, const float *vectors,
                                   size_t rows, struct errbuf *why)
{
    if (ops_of(config->kind) == NULL) {
        return err_set(why, SHOAL_EINVAL, "kind is %d, which is no index", (int)config->kind);
    }
    if (distance_name(config->distance) == NULL) {
        return err_set(why, SHOAL_EINVAL, "distance is %d, which is none", (int)config->distance);
    }
    if ((uintptr_t)vectors % _Alignof(float) != 0) {
        return err_set(why, SHOAL_EINVAL, "vectors must start at a multiple of %zu",
                       _Alignof(float));
    }
    enum shoal_err rc = check_range("dim", config->dim, 1, VECTOR_DIM_MAX, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    return check_range("rows", rows, 1, INDEX_ROWS_MAX, why);
}

/* What a build relies on beyond that: only what its kind looks at. */
static enum shoal_err check_build(const struct index_config *config, struct errbuf *why)
{
    enum shoal_err rc = check_range("threads", config->threads, 1, TEAM_THREADS_MAX, why);
    if (rc == SHOAL_OK && config->kind == INDEX_HNSW) {
        rc = check_range("m", config->m, HNSW_M_MIN, HNSW_M_MAX, why);
    }
    if (rc == SHOAL_OK && config->kind == INDEX_HNSW) {
        rc = check_range("ef_construction", config->ef_construction, HNSW_EF_CONSTRUCTION_MIN,
                         HNSW_EF_CONSTRUCTION_MAX, why);
    }
    if (rc == SHOAL_OK && config->kind == INDEX_IVF_FLAT) {
        rc = check_range("nlist", config->nlist, 0, INDEX_NLIST_MAX, why);
    }
    return rc;
}

enum shoal_err index_build(const struct index_config *config, const float *vectors, size_t rows,
                           const atomic_bool *cancel, struct index_built *out, struct errbuf *why)
{
    *out = (struct index_built){ 0 };
    enum shoal_err rc = check_config(config, vectors, rows, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = check_build(config, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (index__canceled(cancel)) {
        return err_set(why, SHOAL_ECANCELED, "the build was cancelled");
    }
    rc = ops_of(config->kind)->build(config, vectors, rows, cancel, out, why);
    if (rc != SHOAL_OK) {
        index_built_release(out);
    }
    return rc;
}

void index_built_release(struct index_built *built)
{
    mem_free(built->order);
    mem_free(built->bytes);
    *built = (struct index_built){ 0 };
}

enum shoal_err index_open(const struct index_config *config, const float *vectors, size_t rows,
                          struct slice bytes, struct index **out, struct errbuf *why)
{
    *out = NULL;
    enum shoal_err rc = check_config(config, vectors, rows, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct index *ix = mem_calloc(1, sizeof(*ix));
    if (ix == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for an index");
    }
    ix->ops = ops_of(config->kind);
    ix->rows = (struct index_rows){
        .vectors = vectors, .rows = rows, .dim = config->dim, .distance = config->distance
    };
    ix->bytes_len = bytes.len;
    rc = ix->ops->open(config, &ix->rows, bytes, &ix->state, why);
    if (rc != SHOAL_OK) {
        mem_free(ix);
        return rc;
    }
    *out = ix;
    return SHOAL_OK;
}

void index_close(struct index *ix)
{
    if (ix == NULL) {
        return;
    }
    ix->ops->close(ix->state);
    mem_free(ix);
}

static enum shoal_err check_query(const struct index *ix, const struct index_query *q,
                                  struct errbuf *why)
{
    enum shoal_err rc = check_range("k", q->k, 1, SEARCH_K_MAX, why);
    if (rc == SHOAL_OK) {
        rc = check_range("ef", q->ef, 0, INDEX_EF_MAX, why);
    }
    if (rc == SHOAL_OK) {
        rc = check_range("nprobe", q->nprobe, 0, INDEX_NLIST_MAX, why);
    }
    if (rc == SHOAL_OK && q->filter != NULL) {
        rc = check_range("the filter's allowed rows", q->filter->allowed_len, 0, ix->rows.rows,
                         why);
    }
    return rc;
}

void index__scan(const struct index_rows *rows, const struct index_query *q, struct topk *top)
{
    scan_rows(top, q->vector, rows->vectors, rows->rows, rows->dim, 0,
              q->filter == NULL ? NULL : q->filter->allowed);
}

/* Answers into `room`, which holds k hits, and copies what was found. */
static enum shoal_err search_in(const struct index *ix, const struct index_query *q,
                                struct scan_hit *room, struct index_hit *hits, size_t *n_out,
                                struct errbuf *why)
{
    struct topk top;
    topk_init(&top, ix->rows.distance, room, q->k);
    if (q->exact) {
        index__scan(&ix->rows, q, &top);
    } else {
        enum shoal_err rc = ix->ops->search(ix->state, &ix->rows, q, &top, why);
        if (rc != SHOAL_OK) {
            return rc;
        }
    }
    topk_finish(&top);
    for (size_t i = 0; i < top.len; i++) {
        assert(top.hits[i].row < ix->rows.rows);
        hits[i] = (struct index_hit){ .row = (uint32_t)top.hits[i].row,
                                      .score = top.hits[i].score };
    }
    *n_out = top.len;
    return SHOAL_OK;
}

enum shoal_err index_search(const struct index *ix, const struct index_query *q,
                            struct index_hit *hits, size_t *n_out, struct errbuf *why)
{
    *n_out = 0;
    enum shoal_err rc = check_query(ix, q, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (q->filter != NULL && q->filter->allowed_len == 0) {
        return SHOAL_OK;
    }
    struct index_query clamped = *q;
    if (clamped.k > ix->rows.rows) {
        clamped.k = ix->rows.rows;
    }
    if (clamped.filter != NULL && clamped.filter->allowed_len == ix->rows.rows) {
        clamped.filter = NULL;
    }
    struct scan_hit few[K_ON_STACK];
    if (clamped.k <= K_ON_STACK) {
        return search_in(ix, &clamped, few, hits, n_out, why);
    }
    struct scan_hit *room = mem_array(clamped.k, sizeof(*room));
    if (room == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for %zu hits", clamped.k);
    }
    rc = search_in(ix, &clamped, room, hits, n_out, why);
    mem_free(room);
    return rc;
}

enum shoal_err index_validate(const struct index *ix, struct errbuf *why)
{
    return ix->ops->validate(ix->state, &ix->rows, why);
}

void index_stats(const struct index *ix, struct index_stats *out)
{
    *out = (struct index_stats){
        .rows = ix->rows.rows,
        .derived_bytes = ix->bytes_len,
        .private_bytes = sizeof(*ix) + ix->ops->private_bytes(ix->state),
    };
}
