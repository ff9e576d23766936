/* Query: the coordinator. It checks a request, fans it out to every shard of a collection at the
 * same time under one deadline, merges what comes back, brings payloads for the winners only, and
 * says what the answer covers.
 *
 * With one shard the payloads come along with the hits; with several, a second round asks each
 * shard for its winners. A shard that fails or is late is left out of the answer, which says so
 * (coverage), unless the caller asked for complete answers only.
 *
 * A write is split by shard. Each shard applies its part whole or not at all; all parts are checked
 * before the first is sent, so a refusal happens before anything is written. When a shard fails
 * after that, the error says that the outcome is unknown, and a repeat with the same operation id
 * completes it without applying anything twice.
 *
 * Threads: any; each call blocks its thread until the answer or the deadline. Results live in the
 * caller's arena. */
#ifndef SHOAL_QUERY_QUERY_H
#define SHOAL_QUERY_QUERY_H

#include "base/arena.h"
#include "base/err.h"
#include "query/collection.h"
#include "shard/op.h"

#include <stdbool.h>
#include <stdint.h>

struct query_context {
    uint64_t deadline_ns; /* real monotonic clock */
    uint64_t trace_id;
    struct arena *arena;
};

struct query_search {
    const float *vector; /* collection's dim floats */
    uint32_t k;          /* 1.. ; k + offset <= SEARCH_K_MAX */
    uint32_t offset;
    uint32_t ef, nprobe;
    bool exact;
    bool indexed_only;
    bool has_threshold;
    float threshold;
    struct slice filter;
    struct shard_fetch what;
    bool complete_only; /* SHOAL_EUNAVAILABLE instead of a partial answer */
};

struct query_coverage {
    uint32_t asked;
    uint32_t answered;
};

struct query_shard_trace {
    uint64_t shard;
    enum shoal_err rc;
    uint64_t took_ns;
    char plan[160];
};

struct query_hit {
    struct point_id id;
    uint64_t version;
    float score;
    struct slice payload;
    const float *vector;
};

struct query_answer {
    struct query_hit *hits; /* best first; ties by id */
    size_t len;
    struct query_coverage coverage;
    const struct query_shard_trace *shards; /* coverage.asked of them */
    uint64_t search_ns, merge_ns, fetch_ns;
};

SHOAL_MUST_CHECK enum shoal_err query_search(const struct collection *c,
                                             const struct query_context *ctx,
                                             const struct query_search *q, struct query_answer *out,
                                             struct errbuf *why);

struct query_records {
    struct shard_record *records;
    size_t len;
    bool has_next;
    struct point_id next;
};

/* In the order asked; ids that are not there and repeats are left out. */
SHOAL_MUST_CHECK enum shoal_err query_fetch(const struct collection *c,
                                            const struct query_context *ctx,
                                            const struct point_id *ids, size_t len,
                                            const struct shard_fetch *what,
                                            struct query_records *out, struct errbuf *why);
/* One page in id order over all shards; needs every shard. */
SHOAL_MUST_CHECK enum shoal_err query_scroll(const struct collection *c,
                                             const struct query_context *ctx,
                                             const struct shard_scroll *q,
                                             struct query_records *out, struct errbuf *why);
/* Exact; needs every shard. */
SHOAL_MUST_CHECK enum shoal_err query_count(const struct collection *c,
                                            const struct query_context *ctx, struct slice filter,
                                            uint64_t *out, struct errbuf *why);

/* Sums over the shards that answer; the worst status, and red when one does not. Fails only when
 * none answers. */
struct query_info {
    struct query_coverage coverage;
    struct shard_info sum;
};
SHOAL_MUST_CHECK enum shoal_err query_info(const struct collection *c,
                                           const struct query_context *ctx, struct query_info *out,
                                           struct errbuf *why);

struct query_written {
    uint64_t operation_id; /* the highest log index among the shards */
    uint64_t changed;
    bool visible;
};

/* `op` as for op_encode, with every vector checked and, for cosine, not yet normalised (done here,
 * in a copy). SHOAL_EVALIDATION names the point. */
SHOAL_MUST_CHECK enum shoal_err query_write(const struct collection *c,
                                            const struct query_context *ctx, const struct op *op,
                                            enum shard_until until, struct query_written *out,
                                            struct errbuf *why);

#endif
