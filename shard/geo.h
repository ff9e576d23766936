/* Geo: points on the globe and the shapes that filters ask about.
 *
 * Coordinates are degrees, longitude first in our own structs. Latitude and longitude are treated
 * as plane coordinates by boxes and polygons, as clients of the HTTP API expect; only the radius
 * follows the sphere.
 *
 * Threads: no state. */
#ifndef SHOAL_SHARD_GEO_H
#define SHOAL_SHARD_GEO_H

#include <stdbool.h>
#include <stddef.h>

struct geo_point {
    double lon; /* -180..180 */
    double lat; /* -90..90 */
};

struct geo_circle {
    struct geo_point center;
    double radius_m;
};

struct geo_box {
    struct geo_point top_left, bottom_right;
};

/* First and last point are the same. */
struct geo_ring {
    const struct geo_point *points;
    size_t len; /* at least 4 */
};

struct geo_polygon {
    struct geo_ring exterior;
    const struct geo_ring *interiors; /* holes */
    size_t interiors_len;
};

bool geo_point_valid(struct geo_point p);
/* Great-circle distance in metres on a sphere of the mean radius (haversine formula). */
double geo_distance_m(struct geo_point a, struct geo_point b);
/* Strictly nearer than the radius. */
bool geo_circle_has(const struct geo_circle *c, struct geo_point p);
/* Strictly inside. A box whose left edge lies east of its right edge crosses the antimeridian. */
bool geo_box_has(const struct geo_box *b, struct geo_point p);
/* Inside the exterior and in no hole; points on an edge are not inside. */
bool geo_polygon_has(const struct geo_polygon *g, struct geo_point p);

#endif
