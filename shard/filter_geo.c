/* The geographic tests of a field condition. */
#include "shard/filter_parser.h"

#define POLYGON_POINTS_MIN 4

/* --- geo -------------------------------------------------------------------------------------- */

struct point_members {
    struct geo_point point;
    bool has_lon, has_lat;
};

static enum shoal_err point_member(struct filter_parser *p, struct slice key, struct json_value v,
                                   void *out)
{
    struct point_members *m = out;
    if (slice_is(key, "lon")) {
        m->has_lon = true;
        return filter__number(p, v, &m->point.lon);
    }
    if (slice_is(key, "lat")) {
        m->has_lat = true;
        return filter__number(p, v, &m->point.lat);
    }
    return filter__unknown_key(p, key);
}

static enum shoal_err parse_point(struct filter_parser *p, struct json_value v,
                                  struct geo_point *out)
{
    struct point_members m = { .has_lon = false };
    enum shoal_err rc = filter__members(p, v, point_member, &m);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (!m.has_lon || !m.has_lat || !geo_point_valid(m.point)) {
        return filter__refuse(p, SHOAL_EPARSE, "lon in -180..180 and lat in -90..90 are expected");
    }
    *out = m.point;
    return SHOAL_OK;
}

struct circle_members {
    struct geo_circle circle;
    bool has_center, has_radius;
};

static enum shoal_err circle_member(struct filter_parser *p, struct slice key, struct json_value v,
                                    void *out)
{
    struct circle_members *m = out;
    if (slice_is(key, "center")) {
        m->has_center = true;
        return parse_point(p, v, &m->circle.center);
    }
    if (slice_is(key, "radius")) {
        m->has_radius = true;
        return filter__number(p, v, &m->circle.radius_m);
    }
    return filter__unknown_key(p, key);
}

enum shoal_err filter__circle(struct filter_parser *p, struct json_value v,
                              const struct geo_circle **out)
{
    struct circle_members m = { .has_center = false };
    enum shoal_err rc = filter__members(p, v, circle_member, &m);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (!m.has_center || !m.has_radius) {
        return filter__refuse(p, SHOAL_EPARSE, "center and radius are expected");
    }
    if (m.circle.radius_m < 0) {
        return filter__refuse(p, SHOAL_EVALIDATION, "the radius must not be negative");
    }
    struct geo_circle *c = filter__take(p, 1, sizeof(*c), &rc);
    if (c != NULL) {
        *c = m.circle;
        *out = c;
    }
    return rc;
}

struct box_members {
    struct geo_box box;
    bool has_top_left, has_bottom_right;
};

static enum shoal_err box_member(struct filter_parser *p, struct slice key, struct json_value v,
                                 void *out)
{
    struct box_members *m = out;
    if (slice_is(key, "top_left")) {
        m->has_top_left = true;
        return parse_point(p, v, &m->box.top_left);
    }
    if (slice_is(key, "bottom_right")) {
        m->has_bottom_right = true;
        return parse_point(p, v, &m->box.bottom_right);
    }
    return filter__unknown_key(p, key);
}

enum shoal_err filter__box(struct filter_parser *p, struct json_value v, const struct geo_box **out)
{
    struct box_members m = { .has_top_left = false };
    enum shoal_err rc = filter__members(p, v, box_member, &m);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (!m.has_top_left || !m.has_bottom_right) {
        return filter__refuse(p, SHOAL_EPARSE, "top_left and bottom_right are expected");
    }
    struct geo_box *b = filter__take(p, 1, sizeof(*b), &rc);
    if (b != NULL) {
        *b = m.box;
        *out = b;
    }
    return rc;
}

static enum shoal_err ring_element(struct filter_parser *p, size_t i, struct json_value v,
                                   void *out)
{
    struct geo_point *points = out;
    return parse_point(p, v, &points[i]);
}

static enum shoal_err ring_points(struct filter_parser *p, struct json_value v,
                                  struct geo_ring *out)
{
    size_t len = json_kind(v) == JSON_ARRAY ? json_len(v) : 0;
    enum shoal_err rc = SHOAL_OK;
    struct geo_point *points = filter__take(p, len, sizeof(*points), &rc);
    if (points == NULL) {
        return rc;
    }
    rc = filter__elements(p, v, ring_element, points);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (len < POLYGON_POINTS_MIN || points[0].lon != points[len - 1].lon ||
        points[0].lat != points[len - 1].lat) {
        return filter__refuse(p, SHOAL_EVALIDATION,
                              "a line of at least %d points is expected, the last the same as the "
                              "first",
                              POLYGON_POINTS_MIN);
    }
    *out = (struct geo_ring){ .points = points, .len = len };
    return SHOAL_OK;
}

static enum shoal_err ring_member(struct filter_parser *p, struct slice key, struct json_value v,
                                  void *out)
{
    return slice_is(key, "points") ? ring_points(p, v, out) : filter__unknown_key(p, key);
}

static enum shoal_err parse_ring(struct filter_parser *p, struct json_value v, struct geo_ring *out)
{
    enum shoal_err rc = filter__members(p, v, ring_member, out);
    return rc == SHOAL_OK && out->len == 0 ? filter__refuse(p, SHOAL_EPARSE, "points are expected")
                                           : rc;
}

static enum shoal_err interior_element(struct filter_parser *p, size_t i, struct json_value v,
                                       void *out)
{
    struct geo_ring *rings = out;
    return parse_ring(p, v, &rings[i]);
}

static enum shoal_err parse_interiors(struct filter_parser *p, struct json_value v,
                                      struct geo_polygon *out)
{
    if (json_kind(v) == JSON_NULL) {
        return SHOAL_OK;
    }
    size_t len = json_kind(v) == JSON_ARRAY ? json_len(v) : 0;
    enum shoal_err rc = SHOAL_OK;
    struct geo_ring *rings = filter__take(p, len, sizeof(*rings), &rc);
    if (rings == NULL) {
        return rc;
    }
    out->interiors = rings;
    out->interiors_len = len;
    return filter__elements(p, v, interior_element, rings);
}

static enum shoal_err polygon_member(struct filter_parser *p, struct slice key, struct json_value v,
                                     void *out)
{
    struct geo_polygon *g = out;
    if (slice_is(key, "exterior")) {
        return parse_ring(p, v, &g->exterior);
    }
    return slice_is(key, "interiors") ? parse_interiors(p, v, g) : filter__unknown_key(p, key);
}

enum shoal_err filter__polygon(struct filter_parser *p, struct json_value v,
                               const struct geo_polygon **out)
{
    enum shoal_err rc = SHOAL_OK;
    struct geo_polygon *g = filter__take(p, 1, sizeof(*g), &rc);
    if (g == NULL) {
        return rc;
    }
    rc = filter__members(p, v, polygon_member, g);
    if (rc == SHOAL_OK && g->exterior.len == 0) {
        return filter__refuse(p, SHOAL_EPARSE, "exterior is expected");
    }
    *out = g;
    return rc;
}
