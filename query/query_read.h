/* What search borrows from the reads by id. Private to query/. */
#ifndef SHOAL_QUERY_QUERY_READ_H
#define SHOAL_QUERY_QUERY_READ_H

#include "query/query.h"

/* Copies a record with its payload and vector into ctx->arena. SHOAL_ENOMEM. */
enum shoal_err query__copy_record(const struct query_context *ctx, const struct shard_record *from,
                                  uint32_t dim, struct shard_record *to);

/* As query_fetch, for ids without repeats; a shard that does not answer is counted in *failed and
 * its records are left out. With `failed` NULL it fails the call. */
enum shoal_err query__fetch_partial(const struct collection *c, const struct query_context *ctx,
                                    const struct point_id *ids, size_t len,
                                    const struct shard_fetch *what, uint32_t *failed,
                                    struct query_records *out, struct errbuf *why);

#endif
