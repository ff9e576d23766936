/* Filter: a condition on points, in the HTTP API's JSON form, parsed once into a tree and then
 * asked of many payloads.
 *
 * The semantics are those that clients of the Qdrant API rely on: must, should, must_not,
 * min_should, nested clauses; a field condition looks at a JSON path ("a.b", "a[].b", "a[0]",
 * "\"quoted.key\"") and holds when any value there satisfies it; types are strict (the string "1"
 * is not the number 1). An empty or missing clause does not constrain. Unknown keys are refused.
 *
 * Threads: a parsed filter is immutable and may be used by any number of threads. */
#ifndef SHOAL_SHARD_FILTER_H
#define SHOAL_SHARD_FILTER_H

#include "base/err.h"
#include "base/json.h"
#include "base/point_id.h"
#include "base/slice.h"

#include <stdbool.h>

/* Depth of nested clauses, and conditions in all. */
#define FILTER_DEPTH_MAX 100
#define FILTER_CONDITIONS_MAX 65536

struct filter;

/* SHOAL_EPARSE: what is wrong and where ("must[0].range.gt: ..."): a 400.
 * SHOAL_EVALIDATION: a constraint fails (a field condition without a test): a 422. */
SHOAL_MUST_CHECK enum shoal_err filter_parse(struct json_value json, struct filter **out,
                                             struct errbuf *why);
SHOAL_MUST_CHECK enum shoal_err filter_parse_text(struct slice text, struct filter **out,
                                                  struct errbuf *why);
void filter_free(struct filter *f); /* NULL is fine */

/* True when the filter constrains nothing. */
bool filter_is_empty(const struct filter *f);
/* False when ids alone decide, so that payloads need not be read. */
bool filter_needs_payload(const struct filter *f);
/* Does the point match? `payload` is its JSON object, or NULL for a point without payload. */
bool filter_matches(const struct filter *f, const struct point_id *id,
                    const struct json_value *payload);

#endif
