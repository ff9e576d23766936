#include "query/fanout.h"
#include "query/query.h"

#include <inttypes.h>
#include <stdio.h>

static void add(struct shard_info *sum, const struct shard_info *one)
{
    if (one->status > sum->status) {
        sum->status = one->status;
        memcpy(sum->trouble, one->trouble, sizeof(sum->trouble));
    }
    sum->points += one->points;
    sum->indexed += one->indexed;
    sum->segments += one->segments;
    sum->growing_rows += one->growing_rows;
    sum->dead_rows += one->dead_rows;
    sum->disk_bytes += one->disk_bytes;
    if (one->applied_index > sum->applied_index) {
        sum->applied_index = one->applied_index;
    }
}

static enum shoal_err run(struct fanout *f, const struct query_context *ctx, struct query_info *out,
                          struct errbuf *why)
{
    const struct channel_request request = { .kind = CHANNEL_INFO,
                                             .deadline_ns = ctx->deadline_ns,
                                             .trace_id = ctx->trace_id };
    const struct channel_request **requests = arena_array(ctx->arena, f->len, sizeof(*requests));
    if (requests == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t s = 0; s < f->len; s++) {
        requests[s] = &request;
    }
    fanout_run(f, requests);
    out->coverage.asked = (uint32_t)f->len;
    for (size_t s = 0; s < f->len; s++) {
        const struct channel_result *r = &f->calls[s].result;
        if (r->rc == SHOAL_OK) {
            out->coverage.answered++;
            add(&out->sum, &r->info);
            continue;
        }
        out->sum.status = SHARD_RED;
        snprintf(out->sum.trouble, sizeof(out->sum.trouble), "shard %" PRIu64 ": %.200s",
                 f->collection->shards[s].id, err_why(&r->why, r->rc));
    }
    return out->coverage.answered > 0 ? SHOAL_OK : fanout_first_error(f, why);
}

enum shoal_err query_info(const struct collection *c, const struct query_context *ctx,
                          struct query_info *out, struct errbuf *why)
{
    *out = (struct query_info){ 0 };
    struct fanout f;
    enum shoal_err rc = fanout_init(&f, c, ctx);
    if (rc == SHOAL_OK) {
        rc = run(&f, ctx, out, why);
        fanout_release(&f);
    }
    return rc;
}
