/* HTTP request: what an application sees of one, and how a target and fields become it.
 *
 * Pure functions over bytes: no socket, no thread. The path is split on '/' first and its segments
 * are percent-decoded after that, so that an encoded slash stays inside its segment.
 *
 * Threads: a request belongs to one thread at a time. */
#ifndef SHOAL_SERVER_HTTP_REQUEST_H
#define SHOAL_SERVER_HTTP_REQUEST_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More of them in one request is refused. */
#define HTTP_SEGMENTS_MAX 16
#define HTTP_ARGS_MAX 32
#define HTTP_FIELDS_MAX 64

enum http_method {
    HTTP_GET,
    HTTP_PUT,
    HTTP_POST,
    HTTP_DELETE,
    HTTP_PATCH,
    HTTP_OPTIONS,
    HTTP_OTHER /* a method that no route has */
};

struct http_field {
    struct slice name;
    struct slice value;
};

struct http_request {
    enum http_method method; /* HEAD is GET with `head` set: only the answer's body is left out */
    bool head;
    struct slice target;          /* as it was sent */
    const struct slice *segments; /* decoded; slashes at the end of the path are dropped */
    size_t segments_len;
    const struct http_field *args; /* of the query string, decoded */
    size_t args_len;
    const struct http_field *fields; /* header fields, in their order */
    size_t fields_len;
    struct slice body;
    uint64_t arrived_ns;  /* real monotonic clock: when the request line was read */
    uint64_t deadline_ns; /* the server's default; the application may move it */
    uint64_t trace_id;    /* never 0 */
    struct arena *arena;  /* scratch of this request; all of the above lives as long */
    const void *route;    /* the application's own, set by its admit() */
};

/* "GET", ..; anything unknown is HTTP_OTHER. "HEAD" gives HTTP_GET and sets *head. */
enum http_method http_method_parse(const char *name, bool *head);
/* The name in capitals; "?" for HTTP_OTHER. */
const char *http_method_name(enum http_method method);

/* Fills target, segments and args of `req` from a request target in origin or absolute form.
 * req->arena must be set; `target` must live as long. SHOAL_EPARSE: a bad percent sequence, a NUL,
 * too many parts; SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err http_request_set_target(struct http_request *req,
                                                        struct slice target, struct errbuf *why);

/* What the fields say about the body that follows. */
struct http_body_plan {
    bool present;
    bool chunked;
    uint64_t length; /* when not chunked */
};

/* Refuses with SHOAL_EPARSE what different readers could take differently (RFC 9112, section 6.3):
 * Content-Length beside Transfer-Encoding, or twice, or no plain number; a transfer coding other
 * than "chunked"; a field name that is no token; Host twice. */
SHOAL_MUST_CHECK enum shoal_err http_request_plan_body(const struct http_request *req,
                                                       struct http_body_plan *out,
                                                       struct errbuf *why);

/* The first field of that name, in any case; false when there is none. */
bool http_request_field(const struct http_request *req, const char *name, struct slice *out);
/* The query argument of that name, exact; false when there is none. */
bool http_request_arg(const struct http_request *req, const char *name, struct slice *out);

#endif
