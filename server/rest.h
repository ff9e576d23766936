/* REST: the HTTP API as an application over any carrier. It finds the route of a request, holds the
 * request against the tenant's limits, runs the route's handler under a deadline, and puts the
 * answer or the error into the form of that API. HTTP is one carrier (rest_http_app), calls over
 * the wire and the embedded client are another (rest_front_routes); handlers see no difference.
 *
 * A tenant is named by the request's key: the field "api-key", or "Authorization: Bearer <key>".
 * Requests without one are the tenant "default", as are those over the wire. Who holds a key is not
 * checked yet: a key separates budgets, it opens no doors.
 *
 * Threads: new, stop and free from one thread; the interfaces it hands out from any. */
#ifndef SHOAL_SERVER_REST_H
#define SHOAL_SERVER_REST_H

#include "base/err.h"
#include "server/front_nng.h"
#include "server/gateway.h"
#include "server/http.h"

#include <stdbool.h>

/* Default time of a request on a route that may take seconds. */
#define REST_SLOW_TIMEOUT_MS 300000u
/* Answers in pieces under way at once over the wire, and waiting for a thread. */
#define REST_STREAM_THREADS 16
#define REST_STREAM_QUEUE_MAX 64

struct rest;

/* What it points to outlives the rest. */
struct rest_config {
    struct gateway *gateway; /* brings limiter, generators, metrics, clock and randomness */
    const char *version;     /* "0.1.0" */
    const char *name;        /* of this process's node */
    const char *roles;       /* "gateway,node", as told by the status */
    /* True when this process takes requests; asked by /readyz on a socket's thread, so it must not
     * block. NULL: when the gateway is ready. */
    bool (*ready)(void *arg);
    /* Brings gauges up to date before the metrics are printed; NULL: nothing to do. */
    void (*observe)(void *arg);
    void *arg;
};

SHOAL_MUST_CHECK enum shoal_err rest_new(const struct rest_config *config, struct rest **out,
                                         struct errbuf *why);
/* Answers in pieces end at their next piece, and no new ones begin. Idempotent, never blocks. */
void rest_stop(struct rest *r);
/* Stops, and waits for answers over the wire that are under way. The servers that were given the
 * interfaces below are gone. NULL is fine. */
void rest_free(struct rest *r);

struct http_app rest_http_app(struct rest *r);
/* Lives as long as the rest. */
const struct front_routes *rest_front_routes(struct rest *r);

#endif
