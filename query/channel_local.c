/* A shard in this process: every call is a plain function call on the caller's thread, so a
 * laptop's single process pays for no message at all. */
#include "base/mem.h"
#include "query/channel_ops.h"

#include <assert.h>

struct local {
    struct channel base;
    struct channel_source source;
    uint64_t id;
};

static enum shoal_err fetch_into(struct shard *shard, struct channel_call *call,
                                 const struct point_id *ids, size_t len)
{
    struct channel_result *r = &call->result;
    struct shard_record *records = arena_array(&call->arena, len, sizeof(*records));
    if (records == NULL) {
        return SHOAL_ENOMEM;
    }
    enum shoal_err rc = shard_fetch(shard, ids, len, &call->request.what, &call->arena, records,
                                    &r->why);
    r->records = rc == SHOAL_OK ? records : NULL;
    return rc;
}

static enum shoal_err local_search(struct shard *shard, struct channel_call *call)
{
    const struct shard_query *q = call->request.search;
    struct channel_result *r = &call->result;
    struct shard_hit *hits = arena_array(&call->arena, q->k, sizeof(*hits));
    if (hits == NULL) {
        return SHOAL_ENOMEM;
    }
    size_t n = 0;
    enum shoal_err rc = shard_search(shard, q, hits, &n, &r->plan, &r->why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (n > 0 && (call->request.what.with_payload || call->request.what.with_vector)) {
        struct point_id *ids = arena_array(&call->arena, n, sizeof(*ids));
        if (ids == NULL) {
            return SHOAL_ENOMEM;
        }
        for (size_t i = 0; i < n; i++) {
            ids[i] = hits[i].id;
        }
        rc = fetch_into(shard, call, ids, n);
        if (rc != SHOAL_OK) {
            return rc;
        }
    }
    r->hits = hits;
    r->len = n;
    return SHOAL_OK;
}

static enum shoal_err local_fetch(struct shard *shard, struct channel_call *call)
{
    enum shoal_err rc = fetch_into(shard, call, call->request.ids, call->request.ids_len);
    call->result.len = rc == SHOAL_OK ? call->request.ids_len : 0;
    return rc;
}

static enum shoal_err local_scroll(struct shard *shard, struct channel_call *call)
{
    const struct shard_scroll *q = call->request.scroll;
    struct channel_result *r = &call->result;
    struct shard_record *records = arena_array(&call->arena, q->limit, sizeof(*records));
    if (records == NULL) {
        return SHOAL_ENOMEM;
    }
    const struct point_id *next = NULL;
    size_t n = 0;
    enum shoal_err rc = shard_scroll(shard, q, &call->arena, records, &n, &next, &r->why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    r->records = records;
    r->len = n;
    r->has_next = next != NULL;
    if (next != NULL) {
        r->next = *next;
    }
    return SHOAL_OK;
}

static enum shoal_err local_run(struct shard *shard, struct channel_call *call)
{
    const struct channel_request *q = &call->request;
    struct channel_result *r = &call->result;
    switch (q->kind) {
    case CHANNEL_SEARCH: return local_search(shard, call);
    case CHANNEL_FETCH: return local_fetch(shard, call);
    case CHANNEL_SCROLL: return local_scroll(shard, call);
    case CHANNEL_COUNT: return shard_count(shard, q->filter, &r->count, &r->why);
    case CHANNEL_INFO: shard_info(shard, &r->info); return SHOAL_OK;
    case CHANNEL_WRITE:
        return shard_write(shard, q->op, q->until, q->deadline_ns, &r->written, &r->why);
    }
    assert(false && "unknown channel request");
    return SHOAL_EINVAL;
}

static enum shoal_err local_call(const struct local *l, struct channel_call *call)
{
    struct errbuf *why = &call->result.why;
    uint64_t deadline_ns = call->request.deadline_ns;
    if (channel__timeout_ms(deadline_ns) == 0) {
        return err_set(why, SHOAL_ETIMEOUT, "the deadline has passed");
    }
    struct shard *shard = NULL;
    void *handle = NULL;
    enum shoal_err rc = l->source.acquire(l->source.arg, l->id, deadline_ns, &handle, &shard, why);
    if (rc == SHOAL_OK) {
        rc = local_run(shard, call);
        l->source.release(l->source.arg, handle);
    }
    return rc;
}

static void local_begin(struct channel *ch, struct channel_call *call)
{
    call->result.rc = local_call((const struct local *)ch, call);
    channel__finish(call);
}

static void local_free(struct channel *ch)
{
    mem_free(ch);
}

static const struct channel_ops local_ops = {
    .is_remote = false,
    .begin = local_begin,
    .read = NULL, /* a local call has no reply to read */
    .free = local_free,
};

enum shoal_err channel_local_new(const struct channel_source *source, uint64_t shard,
                                 struct channel **out)
{
    *out = NULL;
    struct local *l = mem_calloc(1, sizeof(*l));
    if (l == NULL) {
        return SHOAL_ENOMEM;
    }
    l->base.ops = &local_ops;
    l->source = *source;
    l->id = shard;
    *out = &l->base;
    return SHOAL_OK;
}
