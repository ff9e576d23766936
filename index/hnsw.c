/* HNSW behind the vtable: which way a query is answered.
 *
 * Without a filter a walk expands about ef nodes. With one, of the nodes it meets only a share is
 * allowed. Expanding ef / share, as many as it takes to meet ef allowed ones, gives far more recall
 * than ef does unfiltered, and expanding ef far less; ef / sqrt(share) with ef * sqrt(share)
 * allowed ones among them keeps recall level (GloVe, recall@10 at ef 112: .953 unfiltered, .957,
 * .958 and .964 at shares of 50, 25 and 10 %). A filter that goes with the query, so that all that
 * is met is allowed, ends the walk earlier, by ef allowed nodes, and one that goes against it ends
 * it later, when enough allowed ones were met.
 *
 * A walk compares rows that lie anywhere, about ROW_VISIT times as dear as comparing rows in
 * order (69 ns against 20 to 32 on GloVe), and some VISITS_PER_LINK of each list it expands. When a
 * scan of the allowed rows costs no more than the walk should, the scan answers, exactly. Estimates
 * fail when the filter goes against the query, so a filtered walk gives up when it has cost more
 * than a scan, and the scan answers then: recall holds under any filter, at the price of two and a
 * half scans at most. */
#include "base/mem.h"
#include "index/hnsw_build.h"
#include "index/hnsw_walk.h"

#include <assert.h>
#include <math.h>

/* Recall@10 of .95 on GloVe (340k x 100); MiniLM (117k x 384) has it from 16 on. */
#define EF_DEFAULT 128
#define ROW_VISIT 3
/* Share of a list that was not yet seen when it is read, by count on GloVe at ef 112. */
#define VISITS_PER_LINK 0.75

static void hnsw_close(void *state)
{
    struct hnsw *h = state;
    if (h == NULL) {
        return;
    }
    walker_pool_free(h->pool);
    mem_free(h);
}

static enum shoal_err hnsw_open(const struct index_config *config, const struct index_rows *rows,
                                struct slice bytes, void **state, struct errbuf *why)
{
    *state = NULL;
    struct hnsw *h = mem_calloc(1, sizeof(*h));
    if (h == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for an index");
    }
    h->rows = *rows;
    h->kernel = kernel_for(rows->distance);
    enum shoal_err rc = hnsw_graph_open(&h->graph, config, rows->rows, bytes, why);
    if (rc != SHOAL_OK) {
        goto fail;
    }
    rc = walker_pool_new(rows->rows, &h->pool, why);
    if (rc != SHOAL_OK) {
        goto fail;
    }
    *state = h;
    return SHOAL_OK;
fail:
    assert(rc != SHOAL_OK);
    hnsw_close(h);
    return rc;
}

/* What comparing the rows of a walk costs, in rows compared in order. */
static double walk_cost(const struct hnsw *h, size_t expanded)
{
    double list = (double)h->graph.layers[0].links / (double)h->graph.layers[0].nodes;
    return (double)expanded * list * VISITS_PER_LINK * ROW_VISIT;
}

static struct hnsw_effort effort_for(size_t ef, size_t k, size_t allowed, size_t rows)
{
    double root = sqrt((double)allowed / (double)rows);
    struct hnsw_effort effort = {
        .ef = ef,
        .expand_min = (size_t)((double)ef / root),
        .allowed_min = (size_t)((double)ef * root),
        .visits_max = allowed / 2, /* ROW_VISIT times that: one and a half scans */
    };
    effort.allowed_min = effort.allowed_min > k ? effort.allowed_min : k;
    return effort;
}

static enum shoal_err search_filtered(const struct hnsw *h, const struct index_rows *rows,
                                      const struct index_query *q, size_t ef, struct topk *top,
                                      struct errbuf *why)
{
    size_t allowed = q->filter->allowed_len;
    struct hnsw_effort effort = effort_for(ef, q->k, allowed, rows->rows);
    bool gave_up = true;
    if (walk_cost(h, effort.expand_min) < (double)allowed) {
        enum shoal_err rc = hnsw_walk_filtered(h, q->vector, &effort, q->filter, top, &gave_up,
                                               why);
        if (rc != SHOAL_OK) {
            return rc;
        }
    }
    if (gave_up) {
        index__scan(rows, q, top);
    }
    return SHOAL_OK;
}

static enum shoal_err hnsw_search(const void *state, const struct index_rows *rows,
                                  const struct index_query *q, struct topk *top, struct errbuf *why)
{
    const struct hnsw *h = state;
    size_t ef = q->ef == 0 ? EF_DEFAULT : q->ef;
    ef = ef < q->k ? q->k : ef;
    if (q->filter != NULL) {
        return search_filtered(h, rows, q, ef, top, why);
    }
    if (walk_cost(h, ef) >= (double)rows->rows) {
        index__scan(rows, q, top);
        return SHOAL_OK;
    }
    return hnsw_walk(h, q->vector, ef, top, why);
}

static enum shoal_err hnsw_validate(const void *state, const struct index_rows *rows,
                                    struct errbuf *why)
{
    (void)rows;
    const struct hnsw *h = state;
    return hnsw_graph_validate(&h->graph, why);
}

static uint64_t hnsw_private_bytes(const void *state)
{
    const struct hnsw *h = state;
    return sizeof(*h) + walker_pool_bytes(h->pool);
}

const struct index_ops index__hnsw = {
    .name = "hnsw",
    .kind = INDEX_HNSW,
    .build = hnsw_build,
    .open = hnsw_open,
    .close = hnsw_close,
    .search = hnsw_search,
    .validate = hnsw_validate,
    .private_bytes = hnsw_private_bytes,
};
