/* Fan-out: one request to several shards at the same time. Private to query/.
 *
 * Remote shards are begun first and work while the local ones use the caller's thread; then all
 * are awaited. Every call is released by fanout_release, whatever happened. */
#ifndef SHOAL_QUERY_FANOUT_H
#define SHOAL_QUERY_FANOUT_H

#include "query/query.h"

struct fanout {
    const struct collection *collection;
    struct channel_call *calls; /* one per shard of the collection; begun where asked */
    size_t len;
};

/* Memory comes from ctx->arena. SHOAL_ENOMEM. */
enum shoal_err fanout_init(struct fanout *f, const struct collection *c,
                           const struct query_context *ctx);
/* requests[i] for shard i; a NULL entry leaves that shard out. Returns when all have ended. */
void fanout_run(struct fanout *f, const struct channel_request *const *requests);
void fanout_release(struct fanout *f);

static inline bool fanout_asked(const struct fanout *f, size_t shard)
{
    return f->calls[shard].begun;
}

/* The first failure among the shards asked, with its text in `why`; SHOAL_OK when there is none. */
enum shoal_err fanout_first_error(const struct fanout *f, struct errbuf *why);
/* True for codes that tell of the request rather than of the shard: they fail the whole request. */
bool fanout_is_refusal(enum shoal_err rc);

#endif
