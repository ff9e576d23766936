/* A shard behind a node's address: requests are encoded, sent by the transport, and the reply is
 * read in place on the waiting thread. */
#include "base/mem.h"
#include "query/channel_ops.h"
#include "query/info_json.h"
#include "wire/message.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

struct remote {
    struct channel base;
    struct channel_peer peer;
    uint64_t shard;
    uint32_t dim;
};

static enum shoal_err encode_search(const struct remote *r, const struct channel_request *q,
                                    const struct wire_meta *meta, struct buf *out)
{
    const struct shard_query *s = q->search;
    struct wire_search msg = {
        .shard = r->shard,
        .dim = r->dim,
        .vector = s->vector,
        .k = s->k,
        .ef = s->ef,
        .nprobe = s->nprobe,
        .exact = s->exact,
        .indexed_only = s->indexed_only,
        .has_threshold = s->has_threshold,
        .threshold = s->threshold,
        .with_payload = q->what.with_payload,
        .with_vector = q->what.with_vector,
        .filter = s->filter,
    };
    return wire_encode_search(out, WIRE_SHARD_SEARCH, meta, &msg);
}

static enum shoal_err encode_fetch(const struct remote *r, const struct channel_request *q,
                                   const struct wire_meta *meta, struct buf *out)
{
    if (q->ids_len > WIRE_POINTS_MAX) {
        return SHOAL_ETOOBIG;
    }
    struct wire_fetch msg = {
        .shard = r->shard,
        .with_payload = q->what.with_payload,
        .with_vector = q->what.with_vector,
        .ids_len = (uint32_t)q->ids_len,
        .ids = q->ids,
    };
    return wire_encode_fetch(out, WIRE_SHARD_FETCH, meta, &msg);
}

static enum shoal_err encode_scroll(const struct remote *r, const struct channel_request *q,
                                    const struct wire_meta *meta, struct buf *out)
{
    const struct shard_scroll *s = q->scroll;
    struct wire_scroll msg = {
        .shard = r->shard,
        .has_offset = s->offset != NULL,
        .limit = s->limit,
        .with_payload = s->what.with_payload,
        .with_vector = s->what.with_vector,
        .filter = s->filter,
    };
    if (s->offset != NULL) {
        msg.offset = *s->offset;
    }
    return wire_encode_scroll(out, WIRE_SHARD_SCROLL, meta, &msg);
}

static enum shoal_err encode(const struct remote *r, const struct channel_request *q,
                             uint32_t timeout_ms, struct buf *out)
{
    const struct wire_meta meta = { .timeout_ms = timeout_ms, .trace_id = q->trace_id };
    switch (q->kind) {
    case CHANNEL_SEARCH: return encode_search(r, q, &meta, out);
    case CHANNEL_FETCH: return encode_fetch(r, q, &meta, out);
    case CHANNEL_SCROLL: return encode_scroll(r, q, &meta, out);
    case CHANNEL_COUNT: {
        struct wire_count msg = { .shard = r->shard, .filter = q->filter };
        return wire_encode_count(out, WIRE_SHARD_COUNT, &meta, &msg);
    }
    case CHANNEL_INFO: {
        char json[48];
        int n = snprintf(json, sizeof(json), "{\"shard\":%" PRIu64 "}", r->shard);
        struct wire_call msg = { .op = SLICE_LIT("shard.info"),
                                 .json = slice_make(json, (size_t)n) };
        return wire_encode_call(out, WIRE_CALL, &meta, &msg);
    }
    case CHANNEL_WRITE: {
        struct wire_shard_write msg = { .shard = r->shard,
                                        .wait = q->until == SHARD_VISIBLE,
                                        .op = q->op };
        return wire_encode_shard_write(out, WIRE_SHARD_WRITE, &meta, &msg);
    }
    }
    assert(false && "unknown channel request");
    return SHOAL_EINVAL;
}

static void on_reply(void *arg, enum shoal_err rc, struct transport_reply *reply)
{
    struct channel_call *call = arg;
    call->result.rc = rc;
    call->reply = reply;
    if (rc != SHOAL_OK) {
        err_set(&call->result.why, rc, "shard %llu: %s",
                (unsigned long long)((struct remote *)call->channel)->shard, err_text(rc));
    }
    channel__finish(call);
}

static void remote_begin(struct channel *ch, struct channel_call *call)
{
    struct remote *r = (struct remote *)ch;
    struct buf message;
    buf_init(&message, WIRE_MESSAGE_MAX);
    uint32_t timeout_ms = channel__timeout_ms(call->request.deadline_ns);
    enum shoal_err rc = SHOAL_ETIMEOUT;
    if (timeout_ms > 0) {
        rc = encode(r, &call->request, timeout_ms, &message);
    }
    if (rc == SHOAL_OK) {
        rc = transport_call(r->peer.peer, buf_slice(&message), timeout_ms, on_reply, call);
    }
    buf_release(&message);
    if (rc != SHOAL_OK) {
        on_reply(call, rc, NULL);
    }
}

static enum shoal_err read_hits(struct channel_call *call, const struct wire_hit *in, uint32_t len,
                                bool scored)
{
    struct channel_result *r = &call->result;
    bool with_records = !scored || call->request.what.with_payload ||
                        call->request.what.with_vector;
    struct shard_hit *hits = scored ? arena_array(&call->arena, len, sizeof(*hits)) : NULL;
    struct shard_record *records = with_records ? arena_array(&call->arena, len, sizeof(*records))
                                                : NULL;
    if ((scored && hits == NULL) || (with_records && records == NULL)) {
        return SHOAL_ENOMEM;
    }
    for (uint32_t i = 0; i < len; i++) {
        if (scored) {
            hits[i] = (struct shard_hit){ .id = in[i].id,
                                          .version = in[i].version,
                                          .score = in[i].score };
        }
        if (with_records) {
            records[i] = (struct shard_record){
                .id = in[i].id,
                .version = in[i].version,
                .found = true,
                .payload = in[i].payload,
                .vector = in[i].vector,
            };
        }
    }
    r->hits = hits;
    r->records = records;
    r->len = len;
    return SHOAL_OK;
}

static enum shoal_err read_search(struct channel_call *call, struct slice bytes)
{
    struct wire_search_reply msg;
    struct channel_result *r = &call->result;
    enum shoal_err rc = wire_read_search_reply(bytes, &call->arena, &msg, &r->why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (msg.hits_len > call->request.search->k) {
        return err_set(&r->why, SHOAL_EPROTO, "a shard answered more hits than were asked for");
    }
    size_t n = msg.plan.len < sizeof(r->plan.text) - 1 ? msg.plan.len : sizeof(r->plan.text) - 1;
    if (n > 0) {
        memcpy(r->plan.text, msg.plan.data, n);
    }
    r->plan.text[n] = '\0';
    return read_hits(call, msg.hits, msg.hits_len, true);
}

static enum shoal_err read_records(struct channel_call *call, struct slice bytes)
{
    struct wire_records msg;
    struct channel_result *r = &call->result;
    enum shoal_err rc = wire_read_records(bytes, &call->arena, &msg, &r->why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    r->has_next = msg.has_next;
    r->next = msg.next;
    return read_hits(call, msg.records, msg.records_len, false);
}

static enum shoal_err remote_read(struct channel_call *call)
{
    struct slice bytes = transport_reply_bytes(call->reply);
    struct channel_result *r = &call->result;
    switch (call->request.kind) {
    case CHANNEL_SEARCH: return read_search(call, bytes);
    case CHANNEL_FETCH:
    case CHANNEL_SCROLL: return read_records(call, bytes);
    case CHANNEL_COUNT: return wire_read_count_reply(bytes, &call->arena, &r->count, &r->why);
    case CHANNEL_INFO: {
        struct slice json;
        enum shoal_err rc = wire_read_json(bytes, &call->arena, &json, &r->why);
        return rc != SHOAL_OK ? rc : shard_info_parse(json, &r->info, &r->why);
    }
    case CHANNEL_WRITE: {
        struct wire_write_reply msg;
        enum shoal_err rc = wire_read_write_reply(bytes, &call->arena, &msg, &r->why);
        if (rc == SHOAL_OK) {
            r->written = (struct shard_written){ .index = msg.operation_id,
                                                 .visible = msg.applied };
        }
        return rc;
    }
    }
    return SHOAL_EPROTO;
}

static void remote_free(struct channel *ch)
{
    struct remote *r = (struct remote *)ch;
    if (r->peer.release != NULL) {
        r->peer.release(r->peer.arg);
    }
    mem_free(r);
}

static const struct channel_ops remote_ops = {
    .is_remote = true,
    .begin = remote_begin,
    .read = remote_read,
    .free = remote_free,
};

enum shoal_err channel_remote_new(const struct channel_peer *peer, uint64_t shard, uint32_t dim,
                                  struct channel **out)
{
    *out = NULL;
    struct remote *r = mem_calloc(1, sizeof(*r));
    if (r == NULL) {
        return SHOAL_ENOMEM;
    }
    r->base.ops = &remote_ops;
    r->peer = *peer;
    r->shard = shard;
    r->dim = dim;
    *out = &r->base;
    return SHOAL_OK;
}
