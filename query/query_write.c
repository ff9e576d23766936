/* Writes: check everything, split by shard, propose every part, and tell what became of it. */
#include "base/mem.h"
#include "query/fanout.h"
#include "query/query.h"
#include "shard/filter.h"
#include "wire/frame.h"

#include <assert.h>

/* One shard's part of an op, encoded. */
struct part {
    struct buf op;
    size_t points_len;
};

static enum shoal_err check_vectors(const struct collection *c, const struct op *op,
                                    struct errbuf *why)
{
    if (op->dim != c->dim) {
        return err_set(why, SHOAL_EINVAL, "Vector dimension error: expected dim: %u, got %u",
                       c->dim, op->dim);
    }
    for (uint32_t i = 0; i < op->points_len; i++) {
        enum shoal_err rc = vector_check(op->vectors + (size_t)i * op->dim, op->dim, c->distance,
                                         why);
        if (rc != SHOAL_OK) {
            char id[POINT_ID_TEXT_MAX];
            (void)point_id_print(&op->points[i], id);
            return err_prefix(why, rc, "point %s (number %u of the batch)", id, i + 1);
        }
    }
    return SHOAL_OK;
}

static enum shoal_err check(const struct collection *c, const struct op *op, struct errbuf *why)
{
    if (op->points_len > OP_POINTS_MAX) {
        return err_set(why, SHOAL_ETOOBIG, "%u points in one batch; send at most %d at a time",
                       op->points_len, OP_POINTS_MAX);
    }
    if (op->filter.len > 0) {
        struct filter *filter = NULL;
        enum shoal_err rc = filter_parse_text(op->filter, &filter, why);
        filter_free(filter);
        if (rc != SHOAL_OK) {
            return rc;
        }
    }
    return op->kind == OP_UPSERT ? check_vectors(c, op, why) : SHOAL_OK;
}

/* The points of `op` that belong to `shard`, with their rows and payloads, in their order. */
static enum shoal_err gather(const struct collection *c, const struct query_context *ctx,
                             const struct op *op, size_t shard, const uint16_t *shard_of, size_t n,
                             struct op *out)
{
    struct point_id *points = arena_array(ctx->arena, n, sizeof(*points));
    bool upsert = op->kind == OP_UPSERT;
    float *vectors = upsert ? arena_array(ctx->arena, n * op->dim, sizeof(float)) : NULL;
    struct slice *payloads = upsert ? arena_array(ctx->arena, n, sizeof(*payloads)) : NULL;
    if (points == NULL || (upsert && (vectors == NULL || payloads == NULL))) {
        return SHOAL_ENOMEM;
    }
    *out = *op;
    size_t at = 0;
    for (uint32_t i = 0; i < op->points_len; i++) {
        if (shard_of[i] != shard) {
            continue;
        }
        points[at] = op->points[i];
        if (upsert) {
            float *row = vectors + at * op->dim;
            memcpy(row, op->vectors + (size_t)i * op->dim, op->dim * sizeof(float));
            if (c->distance == DISTANCE_COSINE) {
                vector_normalize(row, op->dim);
            }
            payloads[at] = op->payloads[i];
        }
        at++;
    }
    assert(at == n);
    out->points = points;
    out->points_len = (uint32_t)n;
    if (upsert) {
        out->vectors = vectors;
        out->payloads = payloads;
    }
    return SHOAL_OK;
}

/* Encodes the parts; a shard without one keeps an empty buf. */
static enum shoal_err split(const struct collection *c, const struct query_context *ctx,
                            const struct op *op, struct part *parts, struct errbuf *why)
{
    if (op->points_len == 0) {
        enum shoal_err rc = SHOAL_OK;
        for (size_t s = 0; s < c->shards_len && rc == SHOAL_OK; s++) {
            rc = op_encode(&parts[s].op, op);
        }
        return rc;
    }
    uint16_t *shard_of = arena_array(ctx->arena, op->points_len, sizeof(*shard_of));
    if (shard_of == NULL) {
        return SHOAL_ENOMEM;
    }
    for (uint32_t i = 0; i < op->points_len; i++) {
        shard_of[i] = (uint16_t)collection_shard_of(c, &op->points[i]);
        parts[shard_of[i]].points_len++;
    }
    for (size_t s = 0; s < c->shards_len; s++) {
        if (parts[s].points_len == 0) {
            continue;
        }
        struct op part;
        enum shoal_err rc = gather(c, ctx, op, s, shard_of, parts[s].points_len, &part);
        if (rc == SHOAL_OK) {
            rc = op_encode(&parts[s].op, &part);
        }
        if (rc == SHOAL_ETOOBIG) {
            return err_set(why, rc,
                           "the batch is larger than one log entry may be; "
                           "send fewer points at a time");
        }
        if (rc != SHOAL_OK) {
            return rc;
        }
    }
    return SHOAL_OK;
}

static enum shoal_err run(struct fanout *f, const struct query_context *ctx,
                          const struct part *parts, enum shard_until until)
{
    struct channel_request *list = arena_array(ctx->arena, f->len, sizeof(*list));
    const struct channel_request **requests = arena_array(ctx->arena, f->len, sizeof(*requests));
    if (list == NULL || requests == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t s = 0; s < f->len; s++) {
        if (parts[s].op.len == 0) {
            continue;
        }
        list[s] = (struct channel_request){
            .kind = CHANNEL_WRITE,
            .deadline_ns = ctx->deadline_ns,
            .trace_id = ctx->trace_id,
            .op = buf_slice(&parts[s].op),
            .until = until,
        };
        requests[s] = &list[s];
    }
    fanout_run(f, requests);
    return SHOAL_OK;
}

/* One answer out of the shards' answers. */
static enum shoal_err conclude(const struct fanout *f, struct query_written *out,
                               struct errbuf *why)
{
    size_t asked = 0;
    size_t written = 0;
    out->visible = true;
    for (size_t s = 0; s < f->len; s++) {
        const struct channel_result *r = &f->calls[s].result;
        if (!fanout_asked(f, s)) {
            continue;
        }
        asked++;
        if (r->rc == SHOAL_OK) {
            written++;
            out->changed += r->written.changed;
            out->visible = out->visible && r->written.visible;
            if (r->written.index > out->operation_id) {
                out->operation_id = r->written.index;
            }
        }
    }
    enum shoal_err rc = fanout_first_error(f, why);
    if (rc != SHOAL_OK && written > 0) {
        return err_prefix(why, rc,
                          "%zu of %zu shards took their part; repeat the request with the same "
                          "operation id to complete it",
                          written, asked);
    }
    return rc;
}

static enum shoal_err write_parts(const struct collection *c, const struct query_context *ctx,
                                  const struct op *op, struct part *parts, enum shard_until until,
                                  struct query_written *out, struct errbuf *why)
{
    enum shoal_err rc = split(c, ctx, op, parts, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct fanout f;
    rc = fanout_init(&f, c, ctx);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = run(&f, ctx, parts, until);
    if (rc == SHOAL_OK) {
        rc = conclude(&f, out, why);
    }
    fanout_release(&f);
    return rc;
}

enum shoal_err query_write(const struct collection *c, const struct query_context *ctx,
                           const struct op *op, enum shard_until until, struct query_written *out,
                           struct errbuf *why)
{
    *out = (struct query_written){ 0 };
    enum shoal_err rc = check(c, op, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct part *parts = arena_array(ctx->arena, c->shards_len, sizeof(*parts));
    if (parts == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t s = 0; s < c->shards_len; s++) {
        buf_init(&parts[s].op, WIRE_MESSAGE_MAX);
    }
    rc = write_parts(c, ctx, op, parts, until, out, why);
    for (size_t s = 0; s < c->shards_len; s++) {
        buf_release(&parts[s].op);
    }
    return rc;
}
