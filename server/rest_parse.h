/* From JSON to structs: bodies of the HTTP API.
 *
 * Every parser checks all there is to check without asking a shard, copies what it keeps into the
 * arena, and says on failure where the trouble is ("points[3]: id: ..."):
 *     SHOAL_EPARSE       the JSON does not have the form
 *     SHOAL_EINVAL       the form is right, the content does not fit the collection
 *     SHOAL_EVALIDATION  a number is out of its range, a vector is not fit to be stored
 *     SHOAL_EUNSUPPORTED something of the API that is not built; the text names it
 *     SHOAL_ETOOBIG      more points than one request may carry
 *     SHOAL_ENOMEM       the arena is full
 * A key that is not known is refused, so that nothing a client says is lost without a word; a null
 * counts as not given, since clients send nulls for everything they do not use.
 *
 * Threads: pure functions. */
#ifndef SHOAL_SERVER_REST_PARSE_H
#define SHOAL_SERVER_REST_PARSE_H

#include "base/arena.h"
#include "base/distance.h"
#include "base/err.h"
#include "base/json.h"
#include "base/point_id.h"
#include "server/rest_select.h"
#include "shard/op.h"

#include <stdbool.h>
#include <stdint.h>

/* Searches in one batch, operations in one batch. */
#define REST_BATCH_MAX 1024
#define REST_LIMIT_DEFAULT 10

struct rest_parser {
    struct arena *arena;
    uint32_t dim; /* of the collection's vectors */
    enum distance distance;
    struct errbuf *why;
};

/* --- search --------------------------------------------------------------------------------- */

enum rest_query_kind {
    REST_QUERY_NONE, /* points by id, all with score 1 */
    REST_QUERY_VECTOR,
    REST_QUERY_ID /* the vector of a stored point, which itself is left out */
};

struct rest_search {
    enum rest_query_kind kind;
    const float *vector; /* dim floats */
    struct point_id id;
    uint32_t limit; /* 1.. */
    uint32_t offset;
    uint32_t ef; /* 0: default */
    bool exact;
    bool indexed_only;
    bool has_threshold;
    float threshold;
    struct slice filter; /* JSON; empty: none */
    struct rest_select payload;
    bool with_vector;
};

struct rest_searches {
    const struct rest_search *list;
    size_t len; /* 0..REST_BATCH_MAX */
};

/* The body of points/query, of points/search, and of their batches. */
SHOAL_MUST_CHECK enum shoal_err rest_parse_query(const struct rest_parser *p,
                                                 struct json_value body, struct rest_search *out);
SHOAL_MUST_CHECK enum shoal_err rest_parse_legacy(const struct rest_parser *p,
                                                  struct json_value body, struct rest_search *out);
SHOAL_MUST_CHECK enum shoal_err rest_parse_query_batch(const struct rest_parser *p,
                                                       struct json_value body,
                                                       struct rest_searches *out);
SHOAL_MUST_CHECK enum shoal_err rest_parse_legacy_batch(const struct rest_parser *p,
                                                        struct json_value body,
                                                        struct rest_searches *out);

/* --- reads ---------------------------------------------------------------------------------- */

struct rest_retrieve {
    const struct point_id *ids;
    size_t ids_len;
    struct rest_select payload;
    bool with_vector;
};
SHOAL_MUST_CHECK enum shoal_err rest_parse_retrieve(const struct rest_parser *p,
                                                    struct json_value body,
                                                    struct rest_retrieve *out);

struct rest_scroll {
    bool has_offset;
    struct point_id offset;
    uint32_t limit; /* 1.. */
    struct slice filter;
    struct rest_select payload;
    bool with_vector;
};
SHOAL_MUST_CHECK enum shoal_err rest_parse_scroll(const struct rest_parser *p,
                                                  struct json_value body, struct rest_scroll *out);

struct rest_count {
    struct slice filter;
};
SHOAL_MUST_CHECK enum shoal_err rest_parse_count(const struct rest_parser *p,
                                                 struct json_value body, struct rest_count *out);

/* --- updates -------------------------------------------------------------------------------- */

/* One write without its operation id. An op without points and filter changes nothing. When an id
 * comes twice in an upsert, the later one counts. */
struct rest_updates {
    struct op *ops;
    size_t len; /* 0..REST_BATCH_MAX */
};

SHOAL_MUST_CHECK enum shoal_err rest_parse_upsert(const struct rest_parser *p,
                                                  struct json_value body, struct op *out);
SHOAL_MUST_CHECK enum shoal_err rest_parse_delete(const struct rest_parser *p,
                                                  struct json_value body, struct op *out);
/* `kind` is OP_SET_PAYLOAD or OP_OVERWRITE_PAYLOAD. */
SHOAL_MUST_CHECK enum shoal_err rest_parse_payload(const struct rest_parser *p,
                                                   struct json_value body, enum op_kind kind,
                                                   struct op *out);
SHOAL_MUST_CHECK enum shoal_err rest_parse_delete_payload(const struct rest_parser *p,
                                                          struct json_value body, struct op *out);
SHOAL_MUST_CHECK enum shoal_err rest_parse_clear_payload(const struct rest_parser *p,
                                                         struct json_value body, struct op *out);
SHOAL_MUST_CHECK enum shoal_err rest_parse_update_batch(const struct rest_parser *p,
                                                        struct json_value body,
                                                        struct rest_updates *out);

#endif
