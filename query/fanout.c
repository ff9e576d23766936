#include "query/fanout.h"

enum shoal_err fanout_init(struct fanout *f, const struct collection *c,
                           const struct query_context *ctx)
{
    f->collection = c;
    f->len = c->shards_len;
    f->calls = arena_array(ctx->arena, f->len, sizeof(*f->calls));
    return f->calls == NULL ? SHOAL_ENOMEM : SHOAL_OK;
}

static void begin_where(struct fanout *f, const struct channel_request *const *requests,
                        bool remote)
{
    for (size_t i = 0; i < f->len; i++) {
        struct channel *ch = f->collection->shards[i].channel;
        if (requests[i] != NULL && channel_is_remote(ch) == remote) {
            channel_begin(ch, requests[i], &f->calls[i]);
        }
    }
}

void fanout_run(struct fanout *f, const struct channel_request *const *requests)
{
    begin_where(f, requests, true);
    begin_where(f, requests, false);
    for (size_t i = 0; i < f->len; i++) {
        if (fanout_asked(f, i)) {
            channel_wait(&f->calls[i]);
        }
    }
}

void fanout_release(struct fanout *f)
{
    for (size_t i = 0; i < f->len; i++) {
        channel_call_release(&f->calls[i]);
    }
}

enum shoal_err fanout_first_error(const struct fanout *f, struct errbuf *why)
{
    for (size_t i = 0; i < f->len; i++) {
        const struct channel_result *r = &f->calls[i].result;
        if (fanout_asked(f, i) && r->rc != SHOAL_OK) {
            return err_set(why, r->rc, "%s", err_why(&r->why, r->rc));
        }
    }
    return SHOAL_OK;
}

bool fanout_is_refusal(enum shoal_err rc)
{
    switch (rc) {
    case SHOAL_EINVAL:
    case SHOAL_EVALIDATION:
    case SHOAL_EPARSE:
    case SHOAL_EUNSUPPORTED:
    case SHOAL_ETOOBIG: return true;
    default: return false;
    }
}
