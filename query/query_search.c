/* Search: fan out, merge, fetch the winners' records. See query.h for what an answer promises. */
#include "base/clock.h"
#include "query/fanout.h"
#include "query/merge.h"
#include "query/query.h"
#include "query/query_read.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

static enum shoal_err check(const struct collection *c, const struct query_search *q,
                            struct errbuf *why)
{
    if (q->k == 0) {
        return err_set(why, SHOAL_EVALIDATION, "limit: value 0 invalid, must be 1 or larger");
    }
    if ((uint64_t)q->k + q->offset > SEARCH_K_MAX) {
        return err_set(why, SHOAL_EVALIDATION,
                       "limit + offset: value %" PRIu64 " invalid, must be at most %d",
                       (uint64_t)q->k + q->offset, SEARCH_K_MAX);
    }
    return vector_check(q->vector, c->dim, c->distance, why);
}

static bool wants_records(const struct shard_fetch *what)
{
    return what->with_payload || what->with_vector;
}

/* First round: every shard's best k + offset. */
static enum shoal_err run_search(struct fanout *f, const struct query_context *ctx,
                                 const struct query_search *q)
{
    struct shard_query *query = arena_array(ctx->arena, 1, sizeof(*query));
    struct channel_request *request = arena_array(ctx->arena, 1, sizeof(*request));
    const struct channel_request **requests = arena_array(ctx->arena, f->len, sizeof(*requests));
    if (query == NULL || request == NULL || requests == NULL) {
        return SHOAL_ENOMEM;
    }
    *query = (struct shard_query){
        .vector = q->vector,
        .k = q->k + q->offset,
        .ef = q->ef,
        .nprobe = q->nprobe,
        .exact = q->exact,
        .indexed_only = q->indexed_only,
        .has_threshold = q->has_threshold,
        .threshold = q->threshold,
        .filter = q->filter,
        .deadline_ns = ctx->deadline_ns,
    };
    *request = (struct channel_request){
        .kind = CHANNEL_SEARCH,
        .deadline_ns = ctx->deadline_ns,
        .trace_id = ctx->trace_id,
        .search = query,
    };
    if (f->len == 1) {
        request->what = q->what; /* every hit of the only shard is a winner */
    }
    for (size_t i = 0; i < f->len; i++) {
        requests[i] = request;
    }
    fanout_run(f, requests);
    return SHOAL_OK;
}

/* Decides whether what came back is an answer at all. */
static enum shoal_err judge(const struct fanout *f, bool complete_only,
                            struct query_coverage *coverage, struct errbuf *why)
{
    coverage->asked = (uint32_t)f->len;
    coverage->answered = 0;
    for (size_t i = 0; i < f->len; i++) {
        const struct channel_result *r = &f->calls[i].result;
        if (r->rc == SHOAL_OK) {
            coverage->answered++;
        } else if (fanout_is_refusal(r->rc)) {
            return err_set(why, r->rc, "%s", err_why(&r->why, r->rc));
        }
    }
    if (coverage->answered == coverage->asked) {
        return SHOAL_OK;
    }
    if (coverage->answered > 0 && !complete_only) {
        return SHOAL_OK;
    }
    enum shoal_err rc = fanout_first_error(f, why);
    if (rc == SHOAL_ETIMEOUT) {
        return err_prefix(why, rc, "%u of %u shards answered", coverage->answered, coverage->asked);
    }
    return err_prefix(why, SHOAL_EUNAVAILABLE, "%u of %u shards answered", coverage->answered,
                      coverage->asked);
}

static enum shoal_err trace(const struct fanout *f, const struct query_context *ctx,
                            struct query_answer *out)
{
    struct query_shard_trace *shards = arena_array(ctx->arena, f->len, sizeof(*shards));
    if (shards == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t i = 0; i < f->len; i++) {
        const struct channel_result *r = &f->calls[i].result;
        shards[i] = (struct query_shard_trace){ .shard = f->collection->shards[i].id,
                                                .rc = r->rc,
                                                .took_ns = r->took_ns };
        snprintf(shards[i].plan, sizeof(shards[i].plan), "%s", r->plan.text);
    }
    out->shards = shards;
    return SHOAL_OK;
}

/* Merges the shards' hits into picks; the picks' lists are the shards' places. */
static enum shoal_err merge(const struct fanout *f, const struct query_context *ctx,
                            const struct query_search *q, struct merge_pick **picks_out,
                            size_t *n_out)
{
    struct merge_list *lists = arena_array(ctx->arena, f->len, sizeof(*lists));
    size_t *cursors = arena_array(ctx->arena, 2 * f->len, sizeof(*cursors));
    size_t total = 0;
    for (size_t i = 0; lists != NULL && i < f->len; i++) {
        const struct channel_result *r = &f->calls[i].result;
        lists[i] = (struct merge_list){ .hits = r->hits, .len = r->len };
        total += r->len;
    }
    size_t k = q->k < total ? q->k : total;
    struct merge_pick *picks = arena_array(ctx->arena, k, sizeof(*picks));
    if (lists == NULL || cursors == NULL || picks == NULL) {
        return SHOAL_ENOMEM;
    }
    *n_out = merge_top(f->collection->distance, lists, f->len, q->offset, k, cursors, picks);
    *picks_out = picks;
    return SHOAL_OK;
}

static enum shoal_err take_hits(const struct fanout *f, const struct query_context *ctx,
                                const struct query_search *q, const struct merge_pick *picks,
                                size_t n, struct query_answer *out)
{
    bool records_came = f->len == 1 && wants_records(&q->what);
    out->hits = arena_array(ctx->arena, n, sizeof(*out->hits));
    if (out->hits == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        const struct channel_result *r = &f->calls[picks[i].list].result;
        const struct shard_hit *hit = &r->hits[picks[i].place];
        struct query_hit *to = &out->hits[out->len];
        *to = (struct query_hit){ .id = hit->id, .version = hit->version, .score = hit->score };
        if (records_came) {
            const struct shard_record *record = &r->records[picks[i].place];
            if (!record->found) {
                continue; /* deleted between the search and the fetch */
            }
            struct shard_record copy;
            enum shoal_err rc = query__copy_record(ctx, record, f->collection->dim, &copy);
            if (rc != SHOAL_OK) {
                return rc;
            }
            to->payload = copy.payload;
            to->vector = copy.vector;
        }
        out->len++;
    }
    return SHOAL_OK;
}

/* Second round, for several shards: the winners' records. A winner that is gone by now, or whose
 * shard no longer answers, is left out. */
static enum shoal_err fetch_winners(const struct collection *c, const struct query_context *ctx,
                                    const struct query_search *q, struct query_answer *out,
                                    struct errbuf *why)
{
    struct point_id *ids = arena_array(ctx->arena, out->len, sizeof(*ids));
    if (ids == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t i = 0; i < out->len; i++) {
        ids[i] = out->hits[i].id;
    }
    struct query_records records;
    uint32_t failed = 0;
    enum shoal_err rc = query__fetch_partial(c, ctx, ids, out->len, &q->what, &failed, &records,
                                             why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    out->coverage.answered -= failed;
    if (out->coverage.answered == 0 || (failed > 0 && q->complete_only)) {
        return err_set(why, SHOAL_EUNAVAILABLE, "%u of %u shards did not bring their records",
                       failed, out->coverage.asked);
    }
    size_t kept = 0;
    size_t at = 0; /* both lists are in the same order; records may lack some */
    for (size_t i = 0; i < out->len && at < records.len; i++) {
        if (point_id_compare(&out->hits[i].id, &records.records[at].id) != 0) {
            continue;
        }
        struct query_hit hit = out->hits[i];
        hit.payload = records.records[at].payload;
        hit.vector = records.records[at].vector;
        out->hits[kept++] = hit;
        at++;
    }
    out->len = kept;
    return SHOAL_OK;
}

static enum shoal_err answer(struct fanout *f, const struct query_context *ctx,
                             const struct query_search *q, struct query_answer *out,
                             struct errbuf *why)
{
    const struct clock *clock = clock_real();
    uint64_t start_ns = clock_mono_ns(clock);
    enum shoal_err rc = run_search(f, ctx, q);
    out->search_ns = clock_mono_ns(clock) - start_ns;
    if (rc == SHOAL_OK) {
        rc = judge(f, q->complete_only, &out->coverage, why);
    }
    if (rc == SHOAL_OK) {
        rc = trace(f, ctx, out);
    }
    struct merge_pick *picks = NULL;
    size_t n = 0;
    if (rc == SHOAL_OK) {
        start_ns = clock_mono_ns(clock);
        rc = merge(f, ctx, q, &picks, &n);
    }
    if (rc == SHOAL_OK) {
        rc = take_hits(f, ctx, q, picks, n, out);
        out->merge_ns = clock_mono_ns(clock) - start_ns;
    }
    if (rc == SHOAL_OK && f->len > 1 && wants_records(&q->what) && out->len > 0) {
        start_ns = clock_mono_ns(clock);
        rc = fetch_winners(f->collection, ctx, q, out, why);
        out->fetch_ns = clock_mono_ns(clock) - start_ns;
    }
    return rc;
}

enum shoal_err query_search(const struct collection *c, const struct query_context *ctx,
                            const struct query_search *q, struct query_answer *out,
                            struct errbuf *why)
{
    *out = (struct query_answer){ 0 };
    enum shoal_err rc = check(c, q, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct fanout f;
    rc = fanout_init(&f, c, ctx);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = answer(&f, ctx, q, out, why);
    fanout_release(&f);
    assert(rc != SHOAL_OK || out->len <= q->k);
    return rc;
}
