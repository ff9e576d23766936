/* What the handlers of points share: how they begin, and how points look in an answer. Private to
 * rest_points*.c and rest_search.c.
 *
 * Threads: as rest_call.h. */
#ifndef SHOAL_SERVER_REST_POINTS_H
#define SHOAL_SERVER_REST_POINTS_H

#include "server/rest_call.h"
#include "server/rest_parse.h"

/* A request about a collection's points. */
struct rest_points {
    struct collection *collection; /* the call's */
    struct rest_parser parser;     /* into the call's arena and text */
    struct json_value body;
};

/* Finds the collection first, since a body is understood by its dimension. SHOAL_ENOTFOUND,
 * SHOAL_EPARSE. */
SHOAL_MUST_CHECK enum shoal_err rest_points_begin(struct rest_call *call, struct rest_points *out);
/* "<place>[<index>]: " before the text of a part of a batch. Returns rc. */
enum shoal_err rest_points_at(struct rest_call *call, enum shoal_err rc, const char *place,
                              size_t index);

/* What a select makes it necessary to fetch. */
struct shard_fetch rest_points_fetch(const struct rest_select *payload, bool with_vector);
/* SHOAL_ENOTFOUND "No point with id 3 found". */
enum shoal_err rest_points_missing(struct rest_call *call, const struct point_id *id);

void rest_put_id(struct json_writer *w, const struct point_id *id);
/* {"id", "payload"?, "vector"?}. SHOAL_ECORRUPT, SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err rest_put_record(struct rest_call *call,
                                                const struct shard_record *r,
                                                const struct rest_select *payload);
/* {"id", "version", "score", "payload"?, "vector"?} */
SHOAL_MUST_CHECK enum shoal_err rest_put_hit(struct rest_call *call, const struct query_hit *h,
                                             const struct rest_select *payload);

#endif
