#include "server/route.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* The next part of a pattern, and moves *at behind it; false at its end. */
static bool next_part(const char **at, struct slice *out)
{
    if (**at != '/' || (*at)[1] == '\0') {
        return false;
    }
    const char *begin = *at + 1;
    size_t len = strcspn(begin, "/");
    *out = slice_make(begin, len);
    *at = begin + len;
    return true;
}

static bool is_param(struct slice part)
{
    return part.len > 1 && part.data[0] == '{';
}

static bool fits(const char *pattern, const struct http_request *req)
{
    struct slice part;
    size_t i = 0;
    for (; next_part(&pattern, &part); i++) {
        if (i == req->segments_len) {
            return false;
        }
        if (is_param(part) ? req->segments[i].len == 0 : !slice_equal(part, req->segments[i])) {
            return false;
        }
    }
    return i == req->segments_len;
}

void route_find(const struct route *table, size_t len, const struct http_request *req,
                struct route_match *out)
{
    *out = (struct route_match){ 0 };
    for (size_t i = 0; i < len; i++) {
        if (!fits(table[i].pattern, req)) {
            continue;
        }
        if (table[i].method == req->method) {
            out->route = &table[i];
            return;
        }
        out->methods |= 1u << table[i].method;
    }
}

struct slice route_param(const struct route *route, const struct http_request *req, size_t n)
{
    const char *at = route->pattern;
    struct slice part;
    for (size_t i = 0; next_part(&at, &part); i++) {
        if (is_param(part) && n-- == 0) {
            assert(i < req->segments_len);
            return req->segments[i];
        }
    }
    assert(false && "the route has no such part");
    return (struct slice){ 0 };
}

void route_print_methods(unsigned methods, char out[ROUTE_ALLOW_MAX])
{
    size_t at = 0;
    out[0] = '\0';
    for (unsigned m = 0; m < HTTP_OTHER; m++) {
        if ((methods & 1u << m) != 0) {
            int n = snprintf(out + at, ROUTE_ALLOW_MAX - at, "%s%s%s", at == 0 ? "" : ", ",
                             http_method_name((enum http_method)m), m == HTTP_GET ? ", HEAD" : "");
            assert(n > 0 && (size_t)n < ROUTE_ALLOW_MAX - at);
            at += (size_t)n;
        }
    }
}
