/* Passages: what a text finds in a collection of documents.
 *
 * Threads: any; blocks. Everything lies in ctx->arena. */
#ifndef SHOAL_SERVER_PASSAGES_H
#define SHOAL_SERVER_PASSAGES_H

#include "base/err.h"
#include "base/json.h"
#include "query/query.h"
#include "server/gateway.h"

#include <stddef.h>
#include <stdint.h>

#define PASSAGES_MAX 64

struct passage {
    struct point_id id;
    float score;
    struct slice document; /* the document's id */
    struct slice title;
    struct slice section;
    struct slice text;
    uint64_t begin, end; /* of the text in the document's plain text */
};

struct passages {
    struct passage list[PASSAGES_MAX]; /* best first */
    size_t len;
    struct query_coverage coverage;
    const struct query_shard_trace *shards;
    uint64_t embed_ns, search_ns, merge_ns, fetch_ns;
};

struct passages_query {
    struct slice text;
    uint32_t limit;      /* 1..PASSAGES_MAX */
    struct slice filter; /* JSON; empty: none */
};

/* Points that are no chunk of a document (no "text" in the payload) are left out. */
SHOAL_MUST_CHECK enum shoal_err passages_find(struct gateway *g, struct slice collection,
                                              const struct query_context *ctx,
                                              const struct passages_query *q, struct passages *out,
                                              struct errbuf *why);
/* {"number", "document", "title", "section", "score", "id", "begin", "end"}, with the text when
 * asked. `number` counts from 1. */
void passage_print(struct json_writer *w, const struct passage *p, size_t number, bool with_text);
/* "coverage" and the times, as members of an object that is open. */
void passages_print_coverage(struct json_writer *w, const struct passages *p);
void passages_print_timings(struct json_writer *w, const struct passages *p);

#endif
