/* HNSW behind the vtable: which way a query is answered.
 *
 * A walk compares rows that lie anywhere, about ROW_VISIT times as dear as comparing rows in
 * order. It visits some VISITS_PER_LINK of a list for each of the ef rows it collects, and to
 * collect ef allowed rows it must find ef / share of all. When a scan of the allowed rows costs no
 * more than the walk would, the scan answers, exactly. Estimates fail when the filter goes against
 * the query (the allowed rows all lie elsewhere), so a filtered walk stops when it has cost as
 * much as the scan, and the scan answers then: recall holds under any filter, at twice the price
 * of the better way at most. */
#include "base/mem.h"
#include "index/hnsw_build.h"
#include "index/hnsw_walk.h"

#include <assert.h>

/* Recall@10 of .95 on GloVe (340k x 100); MiniLM (117k x 384) has it from 16 on. */
#define EF_DEFAULT 128
#define ROW_VISIT 2
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

/* Rows that a walk will compare to collect ef of a share of all rows. */
static double visits_expected(const struct hnsw *h, size_t ef, double share)
{
    double list = (double)h->graph.layers[0].links / (double)h->graph.layers[0].nodes;
    return (double)ef / share * list * VISITS_PER_LINK;
}

static enum shoal_err hnsw_search(const void *state, const struct index_rows *rows,
                                  const struct index_query *q, struct topk *top, struct errbuf *why)
{
    const struct hnsw *h = state;
    size_t ef = q->ef == 0 ? EF_DEFAULT : q->ef;
    ef = ef < q->k ? q->k : ef;
    size_t allowed = q->filter == NULL ? rows->rows : q->filter->allowed_len;
    double share = (double)allowed / (double)rows->rows;
    if (visits_expected(h, ef, share) * ROW_VISIT >= (double)allowed) {
        index__scan(rows, q, top);
        return SHOAL_OK;
    }
    if (q->filter == NULL) {
        return hnsw_walk(h, q->vector, ef, top, why);
    }
    bool gave_up = false;
    enum shoal_err rc = hnsw_walk_filtered(h, q->vector, ef, q->filter, allowed / ROW_VISIT, top,
                                           &gave_up, why);
    if (rc == SHOAL_OK && gave_up) {
        index__scan(rows, q, top);
    }
    return rc;
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
