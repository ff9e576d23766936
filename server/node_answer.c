/* The node's side of the wire: SHARD_* messages in, replies out. Each request decodes into the
 * shard room's structs, runs on the caller's thread, and is answered from there. */
#include "base/json.h"
#include "base/mem.h"
#include "query/info_json.h"
#include "server/node.h"
#include "wire/message.h"

#include <assert.h>

/* Scratch of one request, its results included. */
#define NODE_ARENA_MAX (256u << 20)
/* For a request that came without a deadline. */
#define NODE_TIMEOUT_MS 60000

struct request {
    struct node *node;
    const struct frame *frame;
    struct arena arena;
    struct buf reply;
    struct errbuf why;
    uint64_t deadline_ns;
    struct node_shard *handle; /* held while the request runs */
};

static enum shoal_err acquire(struct request *r, uint64_t shard)
{
    return node_shard_acquire(r->node, shard, r->deadline_ns, &r->handle, &r->why);
}

/* Turns records into the wire's form, leaving out what was not found. */
static enum shoal_err to_wire(struct request *r, const struct shard_record *records, size_t len,
                              struct wire_hit **out, uint32_t *n_out)
{
    struct wire_hit *hits = arena_array(&r->arena, len, sizeof(*hits));
    if (hits == NULL) {
        return SHOAL_ENOMEM;
    }
    uint32_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (records[i].found) {
            hits[n++] = (struct wire_hit){
                .id = records[i].id,
                .version = records[i].version,
                .payload = records[i].payload,
                .vector = records[i].vector,
            };
        }
    }
    *out = hits;
    *n_out = n;
    return SHOAL_OK;
}

/* --- search --------------------------------------------------------------------------------- */

/* The hits' records; a hit deleted since then is dropped from both lists. */
static enum shoal_err bring_records(struct request *r, const struct wire_search *msg,
                                    struct wire_hit *hits, uint32_t *len)
{
    struct point_id *ids = arena_array(&r->arena, *len, sizeof(*ids));
    struct shard_record *records = arena_array(&r->arena, *len, sizeof(*records));
    if (ids == NULL || records == NULL) {
        return SHOAL_ENOMEM;
    }
    for (uint32_t i = 0; i < *len; i++) {
        ids[i] = hits[i].id;
    }
    const struct shard_fetch what = { .with_payload = msg->with_payload,
                                      .with_vector = msg->with_vector };
    enum shoal_err rc = shard_fetch(node_shard_get(r->handle), ids, *len, &what, &r->arena, records,
                                    &r->why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *len; i++) {
        if (records[i].found) {
            hits[kept] = hits[i];
            hits[kept].payload = records[i].payload;
            hits[kept].vector = records[i].vector;
            kept++;
        }
    }
    *len = kept;
    return SHOAL_OK;
}

static enum shoal_err run_search(struct request *r, const struct wire_search *msg,
                                 struct wire_search_reply *reply, struct shard_plan *plan)
{
    if (msg->k == 0 || msg->k > SEARCH_K_MAX) {
        return err_set(&r->why, SHOAL_EVALIDATION, "limit is out of range");
    }
    const struct shard_query q = {
        .vector = msg->vector,
        .k = msg->k,
        .ef = msg->ef,
        .nprobe = msg->nprobe,
        .exact = msg->exact,
        .indexed_only = msg->indexed_only,
        .has_threshold = msg->has_threshold,
        .threshold = msg->threshold,
        .filter = msg->filter,
        .deadline_ns = r->deadline_ns,
    };
    struct shard_hit *found = arena_array(&r->arena, msg->k, sizeof(*found));
    struct wire_hit *hits = arena_array(&r->arena, msg->k, sizeof(*hits));
    if (found == NULL || hits == NULL) {
        return SHOAL_ENOMEM;
    }
    size_t n = 0;
    enum shoal_err rc = shard_search(node_shard_get(r->handle), &q, found, &n, plan, &r->why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    for (size_t i = 0; i < n; i++) {
        hits[i] = (struct wire_hit){ .id = found[i].id,
                                     .version = found[i].version,
                                     .score = found[i].score };
    }
    reply->hits = hits;
    reply->hits_len = (uint32_t)n;
    if (n > 0 && (msg->with_payload || msg->with_vector)) {
        rc = bring_records(r, msg, hits, &reply->hits_len);
    }
    return rc;
}

static enum shoal_err answer_search(struct request *r)
{
    struct wire_search msg;
    uint64_t start_ns = clock_mono_ns(clock_real());
    enum shoal_err rc = wire_decode_search(r->frame, &r->arena, &msg, &r->why);
    if (rc == SHOAL_OK) {
        rc = acquire(r, msg.shard);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct shard_plan plan = { 0 };
    struct wire_search_reply reply = { .shards_asked = 1, .shards_answered = 1 };
    reply.dim = msg.with_vector ? msg.dim : 0;
    rc = run_search(r, &msg, &reply, &plan);
    if (rc != SHOAL_OK) {
        return rc;
    }
    reply.plan = slice_from_str(plan.text);
    reply.took_ns = clock_mono_ns(clock_real()) - start_ns;
    return wire_reply_search_reply(&r->reply, r->frame->kind, r->frame->trace_id, &reply);
}

/* --- the other reads ------------------------------------------------------------------------ */

static enum shoal_err answer_records(struct request *r, const struct shard_record *records,
                                     size_t len, bool with_vector, uint32_t dim,
                                     const struct point_id *next)
{
    struct wire_records reply = { .dim = with_vector ? dim : 0, .has_next = next != NULL };
    if (next != NULL) {
        reply.next = *next;
    }
    struct wire_hit *hits = NULL;
    enum shoal_err rc = to_wire(r, records, len, &hits, &reply.records_len);
    if (rc != SHOAL_OK) {
        return rc;
    }
    reply.records = hits;
    return wire_reply_records(&r->reply, r->frame->kind, r->frame->trace_id, &reply);
}

static enum shoal_err answer_fetch(struct request *r)
{
    struct wire_fetch msg;
    enum shoal_err rc = wire_decode_fetch(r->frame, &r->arena, &msg, &r->why);
    if (rc == SHOAL_OK) {
        rc = acquire(r, msg.shard);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct shard_record *records = arena_array(&r->arena, msg.ids_len, sizeof(*records));
    if (records == NULL) {
        return SHOAL_ENOMEM;
    }
    const struct shard_fetch what = { .with_payload = msg.with_payload,
                                      .with_vector = msg.with_vector };
    struct shard *shard = node_shard_get(r->handle);
    rc = shard_fetch(shard, msg.ids, msg.ids_len, &what, &r->arena, records, &r->why);
    return rc != SHOAL_OK
               ? rc
               : answer_records(r, records, msg.ids_len, msg.with_vector, shard_dim(shard), NULL);
}

static enum shoal_err answer_scroll(struct request *r)
{
    struct wire_scroll msg;
    enum shoal_err rc = wire_decode_scroll(r->frame, &r->arena, &msg, &r->why);
    if (rc == SHOAL_OK && (msg.limit == 0 || msg.limit > WIRE_POINTS_MAX)) {
        rc = err_set(&r->why, SHOAL_EVALIDATION, "limit is out of range");
    }
    if (rc == SHOAL_OK) {
        rc = acquire(r, msg.shard);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct shard_record *records = arena_array(&r->arena, msg.limit, sizeof(*records));
    if (records == NULL) {
        return SHOAL_ENOMEM;
    }
    const struct shard_scroll q = {
        .offset = msg.has_offset ? &msg.offset : NULL,
        .limit = msg.limit,
        .filter = msg.filter,
        .what = { .with_payload = msg.with_payload, .with_vector = msg.with_vector },
    };
    struct shard *shard = node_shard_get(r->handle);
    const struct point_id *next = NULL;
    size_t n = 0;
    rc = shard_scroll(shard, &q, &r->arena, records, &n, &next, &r->why);
    return rc != SHOAL_OK ? rc
                          : answer_records(r, records, n, msg.with_vector, shard_dim(shard), next);
}

static enum shoal_err answer_count(struct request *r)
{
    struct wire_count msg;
    uint64_t count = 0;
    enum shoal_err rc = wire_decode_count(r->frame, &r->arena, &msg, &r->why);
    if (rc == SHOAL_OK) {
        rc = acquire(r, msg.shard);
    }
    if (rc == SHOAL_OK) {
        rc = shard_count(node_shard_get(r->handle), msg.filter, &count, &r->why);
    }
    return rc != SHOAL_OK
               ? rc
               : wire_reply_count_reply(&r->reply, r->frame->kind, r->frame->trace_id, &count);
}

static enum shoal_err answer_info(struct request *r)
{
    struct wire_call msg;
    struct json_doc *doc = NULL;
    struct json_value v;
    uint64_t shard = 0;
    enum shoal_err rc = wire_decode_call(r->frame, &r->arena, &msg, &r->why);
    if (rc == SHOAL_OK) {
        rc = json_parse(msg.json, &doc, &r->why);
    }
    if (rc == SHOAL_OK && (!json_get(json_root(doc), "shard", &v) || !json_u64(v, &shard))) {
        rc = err_set(&r->why, SHOAL_EPROTO, "shard.info wants {\"shard\": id}");
    }
    json_free(doc);
    if (rc == SHOAL_OK) {
        rc = acquire(r, shard);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct shard_info info;
    shard_info(node_shard_get(r->handle), &info);
    struct buf text;
    buf_init(&text, 64u << 10);
    rc = shard_info_print(&info, &text);
    struct slice json = buf_slice(&text);
    if (rc == SHOAL_OK) {
        rc = wire_reply_json(&r->reply, r->frame->kind, r->frame->trace_id, &json);
    }
    buf_release(&text);
    return rc;
}

/* --- writes --------------------------------------------------------------------------------- */

static enum shoal_err answer_write(struct request *r)
{
    struct wire_shard_write msg;
    struct shard_written written = { 0 };
    enum shoal_err rc = wire_decode_shard_write(r->frame, &r->arena, &msg, &r->why);
    if (rc == SHOAL_OK) {
        rc = acquire(r, msg.shard);
    }
    if (rc == SHOAL_OK) {
        rc = shard_write(node_shard_get(r->handle), msg.op,
                         msg.wait ? SHARD_VISIBLE : SHARD_DURABLE, r->deadline_ns, &written,
                         &r->why);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    const struct wire_write_reply reply = { .operation_id = written.index,
                                            .applied = written.visible };
    return wire_reply_write_reply(&r->reply, r->frame->kind, r->frame->trace_id, &reply);
}

static enum shoal_err dispatch(struct request *r)
{
    switch ((enum wire_kind)r->frame->kind) {
    case WIRE_SHARD_SEARCH: return answer_search(r);
    case WIRE_SHARD_FETCH: return answer_fetch(r);
    case WIRE_SHARD_SCROLL: return answer_scroll(r);
    case WIRE_SHARD_COUNT: return answer_count(r);
    case WIRE_SHARD_WRITE: return answer_write(r);
    case WIRE_CALL: return answer_info(r);
    default: return err_set(&r->why, SHOAL_EPROTO, "kind %u is not for a node", r->frame->kind);
    }
}

void node_answer(struct node *n, struct transport_exchange *x, const struct frame *f)
{
    uint64_t timeout_ms = f->timeout_ms == 0 ? NODE_TIMEOUT_MS : f->timeout_ms;
    struct request r = {
        .node = n,
        .frame = f,
        .deadline_ns = clock_mono_ns(clock_real()) + timeout_ms * 1000000u,
    };
    arena_init(&r.arena, NODE_ARENA_MAX);
    buf_init(&r.reply, WIRE_MESSAGE_MAX);
    enum shoal_err rc = dispatch(&r);
    if (rc != SHOAL_OK) {
        buf_reset(&r.reply);
        (void)frame_encode_error(&r.reply, f->kind, f->trace_id, rc, err_why(&r.why, rc));
    }
    transport_answer(x, buf_slice(&r.reply));
    if (r.handle != NULL) {
        node_shard_release(r.handle);
    }
    buf_release(&r.reply);
    arena_release(&r.arena);
}
