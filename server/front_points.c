#include "server/front_points.h"

#include "query/query.h"
#include "wire/message.h"

/* Scratch and results of one request. */
#define POINTS_ARENA_MAX (512u << 20)

struct request {
    struct gateway *gateway;
    const struct frame *frame;
    struct arena arena;
    struct buf reply;
    struct errbuf why;
    struct query_context ctx;
    struct collection *collection;
};

static enum shoal_err upsert(struct request *r)
{
    struct wire_upsert msg;
    enum shoal_err rc = wire_decode_upsert(r->frame, &r->arena, &msg, &r->why);
    if (rc == SHOAL_OK) {
        rc = gateway_collection(r->gateway, msg.collection, &r->collection, &r->why);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct op op = {
        .kind = OP_UPSERT,
        .points_len = msg.points_len,
        .points = msg.ids,
        .dim = msg.dim,
        .vectors = msg.vectors,
        .payloads = msg.payloads,
    };
    memcpy(op.id, msg.op_id, sizeof(op.id));
    struct query_written written;
    rc = query_write(r->collection, &r->ctx, &op, msg.wait ? SHARD_VISIBLE : SHARD_DURABLE,
                     &written, &r->why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    const struct wire_write_reply reply = { .operation_id = written.operation_id,
                                            .applied = written.visible };
    return wire_reply_write_reply(&r->reply, r->frame->kind, r->frame->trace_id, &reply);
}

static enum shoal_err reply_hits(struct request *r, const struct query_answer *answer,
                                 bool with_vector, uint64_t start_ns)
{
    struct wire_hit *hits = arena_array(&r->arena, answer->len, sizeof(*hits));
    if (hits == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t i = 0; i < answer->len; i++) {
        const struct query_hit *h = &answer->hits[i];
        hits[i] = (struct wire_hit){
            .id = h->id,
            .version = h->version,
            .score = h->score,
            .payload = h->payload,
            .vector = h->vector,
        };
    }
    const struct wire_search_reply reply = {
        .hits_len = (uint32_t)answer->len,
        .hits = hits,
        .dim = with_vector ? r->collection->dim : 0,
        .shards_asked = answer->coverage.asked,
        .shards_answered = answer->coverage.answered,
        .took_ns = clock_mono_ns(clock_real()) - start_ns,
        .plan = slice_from_str(answer->shards[0].plan),
    };
    return wire_reply_search_reply(&r->reply, r->frame->kind, r->frame->trace_id, &reply);
}

static enum shoal_err search(struct request *r)
{
    struct wire_search msg;
    uint64_t start_ns = clock_mono_ns(clock_real());
    enum shoal_err rc = wire_decode_search(r->frame, &r->arena, &msg, &r->why);
    if (rc == SHOAL_OK) {
        rc = gateway_collection(r->gateway, msg.collection, &r->collection, &r->why);
    }
    if (rc == SHOAL_OK && msg.dim != r->collection->dim) {
        rc = err_set(&r->why, SHOAL_EINVAL, "Vector dimension error: expected dim: %u, got %u",
                     r->collection->dim, msg.dim);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    const struct query_search q = {
        .vector = msg.vector,
        .k = msg.k,
        .offset = msg.offset,
        .ef = msg.ef,
        .nprobe = msg.nprobe,
        .exact = msg.exact,
        .indexed_only = msg.indexed_only,
        .has_threshold = msg.has_threshold,
        .threshold = msg.threshold,
        .filter = msg.filter,
        .what = { .with_payload = msg.with_payload, .with_vector = msg.with_vector },
        .complete_only = msg.complete_only,
    };
    struct query_answer answer;
    rc = query_search(r->collection, &r->ctx, &q, &answer, &r->why);
    return rc != SHOAL_OK ? rc : reply_hits(r, &answer, msg.with_vector, start_ns);
}

void front_points_answer(struct gateway *g, struct transport_exchange *x, const struct frame *f,
                         uint64_t deadline_ns)
{
    struct request r = { .gateway = g, .frame = f };
    arena_init(&r.arena, POINTS_ARENA_MAX);
    buf_init(&r.reply, WIRE_MESSAGE_MAX);
    r.ctx = (struct query_context){ .deadline_ns = deadline_ns,
                                    .trace_id = f->trace_id,
                                    .arena = &r.arena };
    const struct limit_cost cost = { .amount = { [LIMIT_REQUESTS] = 1 } };
    struct limit_decision decision;
    enum shoal_err rc = gateway_admit(g, GATEWAY_TENANT_DEFAULT, &cost, &decision, &r.why);
    if (rc == SHOAL_OK) {
        rc = f->kind == WIRE_UPSERT ? upsert(&r) : search(&r);
    }
    if (rc != SHOAL_OK) {
        buf_reset(&r.reply);
        (void)frame_encode_error(&r.reply, f->kind, f->trace_id, rc, err_why(&r.why, rc));
    }
    transport_answer(x, buf_slice(&r.reply));
    collection_unref(r.collection);
    buf_release(&r.reply);
    arena_release(&r.arena);
}
