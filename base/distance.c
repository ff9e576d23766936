#include "base/distance.h"

#include <assert.h>

struct distance_entry {
    enum distance distance;
    const char *name;
};

static const struct distance_entry distances[] = {
    { DISTANCE_COSINE, "Cosine" },
    { DISTANCE_DOT, "Dot" },
    { DISTANCE_EUCLID, "Euclid" },
    { DISTANCE_MANHATTAN, "Manhattan" },
};

#define DISTANCES_LEN (sizeof(distances) / sizeof(distances[0]))

const char *distance_name(enum distance d)
{
    for (size_t i = 0; i < DISTANCES_LEN; i++) {
        if (distances[i].distance == d) {
            return distances[i].name;
        }
    }
    return NULL;
}

enum shoal_err distance_parse(struct slice name, enum distance *out)
{
    for (size_t i = 0; i < DISTANCES_LEN; i++) {
        if (slice_is(name, distances[i].name)) {
            *out = distances[i].distance;
            return SHOAL_OK;
        }
    }
    return SHOAL_EPARSE;
}

/* Written so that a NaN, which compares false with everything, counts as unfit. */
static bool component_is_fit(float x)
{
    return fabsf(x) <= VECTOR_ABS_MAX;
}

/* Tells which component is unfit; called only once it is known that one is. */
static enum shoal_err report_unfit(const float *v, size_t dim, struct errbuf *why)
{
    size_t at = 0;
    while (at < dim && component_is_fit(v[at])) {
        at++;
    }
    assert(at < dim);
    if (isnan(v[at])) {
        return err_set(why, SHOAL_EVALIDATION, "component %zu of the vector is not a number", at);
    }
    if (isinf(v[at])) {
        return err_set(why, SHOAL_EVALIDATION, "component %zu of the vector is infinite", at);
    }
    return err_set(why, SHOAL_EVALIDATION,
                   "component %zu of the vector is %g: its magnitude must not exceed %g", at,
                   (double)v[at], (double)VECTOR_ABS_MAX);
}

enum shoal_err vector_check(const float *v, size_t dim, enum distance d, struct errbuf *why)
{
    /* No early exit: the loops stay free of branches, so that the compiler vectorises them. Nearly
     * every vector is fit. */
    unsigned unfit = 0;
    unsigned nonzero = 0;
    for (size_t i = 0; i < dim; i++) {
        unfit |= (unsigned)!component_is_fit(v[i]);
        nonzero |= (unsigned)(v[i] != 0.0f);
    }
    if (unfit != 0) {
        return report_unfit(v, dim, why);
    }
    /* The square of any float that is not zero is above zero in double, so a norm is zero only
     * when every component is. */
    if (d == DISTANCE_COSINE && nonzero == 0) {
        return err_set(why, SHOAL_EVALIDATION, "the vector is all zeros: cosine needs a direction");
    }
    return SHOAL_OK;
}

void vector_normalize(float *v, size_t dim)
{
    double sum = 0;
    for (size_t i = 0; i < dim; i++) {
        sum += (double)v[i] * (double)v[i];
    }
    if (sum == 0) {
        return;
    }
    double norm = sqrt(sum);
    for (size_t i = 0; i < dim; i++) {
        v[i] = (float)((double)v[i] / norm);
    }
}
