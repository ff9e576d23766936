/* Payload: changing the JSON object of a point, from text to text.
 *
 * The results depend on the texts alone, byte by byte, so that replicas that apply the same ops
 * hold the same payloads. Keys keep their order; new ones come last. An empty object stands for no
 * payload at all.
 *
 * Threads: no state. */
#ifndef SHOAL_SHARD_PAYLOAD_H
#define SHOAL_SHARD_PAYLOAD_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>

/* Paths in one deletion. Every member of a payload is compared with each of them. */
#define PAYLOAD_KEYS_MAX 1024

/* True for "" and for an object without members. */
bool payload_is_none(struct slice text);

/* Puts `patch` over `text`: members are replaced or added, null removes one; not recursive.
 * Appends to `out`. Scratch memory from the arena. SHOAL_ECORRUPT when `text` (what is stored) is
 * no object, SHOAL_EPARSE when `patch` is none, SHOAL_ETOOBIG, SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err payload_merge(struct slice text, struct slice patch,
                                              struct arena *arena, struct buf *out,
                                              struct errbuf *why);

struct payload_keys;

/* `json` is an array of paths (json_path.h). What is parsed lives in the arena. SHOAL_EPARSE,
 * SHOAL_EVALIDATION (more than PAYLOAD_KEYS_MAX), SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err payload_keys_parse(struct slice json, struct arena *arena,
                                                   struct payload_keys **out, struct errbuf *why);
/* Leaves out what lies at the paths. "a[]" empties the array a; "a[0]" as a last step changes
 * nothing, since applied twice it would take two elements. Errors as payload_merge. */
SHOAL_MUST_CHECK enum shoal_err payload_without(struct slice text, const struct payload_keys *keys,
                                                struct buf *out, struct errbuf *why);

#endif
