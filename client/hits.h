/* Hits: the caller's results, in one block of memory. Private to the client. */
#ifndef SHOAL_CLIENT_HITS_H
#define SHOAL_CLIENT_HITS_H

#include "base/arena.h"
#include "base/err.h"
#include "base/point_id.h"
#include "client/shoal.h"

/* The public struct first, so that one pointer serves for both. */
struct hits {
    struct shoal_hits pub;
    struct arena arena; /* everything the hits point to */
};

/* With room for `len` hits, all zero. SHOAL_ENOMEM. */
enum shoal_err hits_new(size_t len, struct hits **out, struct shoal_hit **room);
/* Copies into the hits' own memory. */
enum shoal_err hits_set_payload(struct hits *h, struct shoal_hit *hit, struct slice payload);
enum shoal_err hits_set_vector(struct hits *h, struct shoal_hit *hit, const float *v, size_t dim);

struct shoal_id id_to_public(const struct point_id *id);
struct point_id id_from_public(const struct shoal_id *id);

#endif
