/* Routes: which handler serves a method and a path.
 *
 * A pattern is a path whose parts in braces stand for any one non-empty segment:
 * "/collections/{c}/points/{id}". The table is searched from its beginning, so a literal segment
 * that also fits a pattern stands before it.
 *
 * Threads: tables are static and constant. */
#ifndef SHOAL_SERVER_ROUTE_H
#define SHOAL_SERVER_ROUTE_H

#include "base/err.h"
#include "server/http_request.h"
#include "server/rest_args.h"

#include <stddef.h>

struct rest_call;
typedef enum shoal_err route_fn(struct rest_call *call);

enum route_flag {
    ROUTE_INLINE = 1, /* answered at once, whatever the load: never blocks, is never limited */
    ROUTE_SLOW = 2,   /* may take seconds */
    ROUTE_FREE = 4    /* not counted against anybody's limits */
};

/* How an answer and an error of the route look. */
enum route_form {
    ROUTE_RESULT, /* {"result": <value>, "status": "ok", "time": s}; errors as rest_error.h says */
    ROUTE_BARE,   /* the value alone; errors as above */
    ROUTE_OPENAI  /* the value alone; errors as {"error": {"message", "type", "param", "code"}} */
};

struct route {
    enum http_method method;
    const char *pattern;
    route_fn *handle; /* NULL: not built, and then `feature` names what it would be */
    unsigned args;    /* enum rest_arg, or-ed: query arguments that it knows */
    unsigned flags;   /* enum route_flag, or-ed */
    enum route_form form;
    const char *feature;
};

struct route_match {
    const struct route *route; /* NULL: none */
    unsigned methods;          /* bit 1 << method: other methods of this path */
};

void route_find(const struct route *table, size_t len, const struct http_request *req,
                struct route_match *out);
/* The n-th part in braces of a request that fits the route; a missing one is a bug and asserts. */
struct slice route_param(const struct route *route, const struct http_request *req, size_t n);
/* "GET, HEAD, PUT" in `out` (room for ROUTE_ALLOW_MAX): the value of Allow. */
#define ROUTE_ALLOW_MAX 64
void route_print_methods(unsigned methods, char out[ROUTE_ALLOW_MAX]);

#endif
