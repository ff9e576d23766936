/* Distance: how two vectors are compared, and which vectors are fit to be stored or asked with.
 *
 * A score is what users see: for cosine and dot the similarity (higher is better), for euclid and
 * manhattan the distance itself (lower is better). Cosine vectors are normalised once, when they
 * enter, so that cosine is the dot product everywhere below. */
#ifndef SHOAL_BASE_DISTANCE_H
#define SHOAL_BASE_DISTANCE_H

#include "base/err.h"
#include "base/slice.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Stored and on the wire: never renumber. */
enum distance {
    DISTANCE_COSINE = 1,
    DISTANCE_DOT = 2,
    DISTANCE_EUCLID = 3,
    DISTANCE_MANHATTAN = 4
};

/* Components of one vector. */
#define VECTOR_DIM_MAX 65536
/* A component beyond it would overflow a float when squared and summed. */
#define VECTOR_ABS_MAX 1e18f
/* Results of one query. */
#define SEARCH_K_MAX 16384

static inline bool distance_higher_is_better(enum distance d)
{
    return d == DISTANCE_COSINE || d == DISTANCE_DOT;
}

/* True when score a ranks before score b. */
static inline bool distance_better(enum distance d, float a, float b)
{
    return distance_higher_is_better(d) ? a > b : a < b;
}

/* "Cosine", "Dot", "Euclid", "Manhattan"; NULL for anything else. */
const char *distance_name(enum distance d);
/* Exact case, as in the HTTP API. SHOAL_EPARSE. */
enum shoal_err distance_parse(struct slice name, enum distance *out);

/* SHOAL_EVALIDATION with the component's place when one is NaN, infinite or beyond
 * VECTOR_ABS_MAX, or when d is cosine and the norm is zero. */
enum shoal_err vector_check(const float *v, size_t dim, enum distance d, struct errbuf *why);
/* Scales to unit length in place; a zero vector stays zero. Sums in double. */
void vector_normalize(float *v, size_t dim);

#endif
