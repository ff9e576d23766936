#include "shard/geo.h"

#include <math.h>

/* IUGG mean radius, in metres. */
#define EARTH_RADIUS_M 6371008.8
#define RADIANS (3.14159265358979323846 / 180.0)

bool geo_point_valid(struct geo_point p)
{
    return p.lon >= -180 && p.lon <= 180 && p.lat >= -90 && p.lat <= 90;
}

double geo_distance_m(struct geo_point a, struct geo_point b)
{
    double half_lat = sin((b.lat - a.lat) * RADIANS / 2);
    double half_lon = sin((b.lon - a.lon) * RADIANS / 2);
    double h = half_lat * half_lat +
               cos(a.lat * RADIANS) * cos(b.lat * RADIANS) * half_lon * half_lon;
    return 2 * EARTH_RADIUS_M * asin(sqrt(h > 1 ? 1 : h)); /* rounding may carry h beyond 1 */
}

bool geo_circle_has(const struct geo_circle *c, struct geo_point p)
{
    return geo_distance_m(c->center, p) < c->radius_m;
}

bool geo_box_has(const struct geo_box *b, struct geo_point p)
{
    bool right_of_left = p.lon > b->top_left.lon;
    bool left_of_right = p.lon < b->bottom_right.lon;
    bool lon = b->top_left.lon > b->bottom_right.lon ? right_of_left || left_of_right
                                                     : right_of_left && left_of_right;
    return lon && p.lat < b->top_left.lat && p.lat > b->bottom_right.lat;
}

enum side { OUTSIDE, EDGE, INSIDE };

static bool on_segment(struct geo_point a, struct geo_point b, struct geo_point p)
{
    double cross = (b.lon - a.lon) * (p.lat - a.lat) - (b.lat - a.lat) * (p.lon - a.lon);
    return cross == 0 && fmin(a.lon, b.lon) <= p.lon && p.lon <= fmax(a.lon, b.lon) &&
           fmin(a.lat, b.lat) <= p.lat && p.lat <= fmax(a.lat, b.lat);
}

/* Counts how many edges a ray towards the east crosses: odd is inside. */
static enum side ring_side(const struct geo_ring *ring, struct geo_point p)
{
    bool inside = false;
    for (size_t i = 0; i + 1 < ring->len; i++) {
        struct geo_point a = ring->points[i];
        struct geo_point b = ring->points[i + 1];
        if (on_segment(a, b, p)) {
            return EDGE;
        }
        /* Half open in latitude, so that a ray through a corner counts it once. */
        if ((a.lat > p.lat) != (b.lat > p.lat)) {
            double lon = a.lon + (p.lat - a.lat) / (b.lat - a.lat) * (b.lon - a.lon);
            inside ^= p.lon < lon;
        }
    }
    return inside ? INSIDE : OUTSIDE;
}

bool geo_polygon_has(const struct geo_polygon *g, struct geo_point p)
{
    if (ring_side(&g->exterior, p) != INSIDE) {
        return false;
    }
    for (size_t i = 0; i < g->interiors_len; i++) {
        if (ring_side(&g->interiors[i], p) != OUTSIDE) {
            return false;
        }
    }
    return true;
}
