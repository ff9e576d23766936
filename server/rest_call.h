/* Rest call: one request on its way through a handler. Private to rest*.c.
 *
 * A handler reads the request, writes exactly one JSON value to call->w and returns SHOAL_OK; what
 * stands around the value is the route's form and none of the handler's business. Or it returns an
 * error with its text in call->why; what was written until then is dropped. Query arguments were
 * checked against the route's and are in call->args; the deadline is in call->ctx.
 *
 * An answer in pieces: after everything was checked that can be refused, rest_events_begin(), then
 * rest_event() for each piece until it says stop. From the first on the status is out: what goes
 * wrong is told by an event of its own, and returned too, for the metrics.
 *
 * Threads: a call belongs to the thread that runs its handler. */
#ifndef SHOAL_SERVER_REST_CALL_H
#define SHOAL_SERVER_REST_CALL_H

#include "base/json.h"
#include "limit/limit.h"
#include "query/query.h"
#include "server/gateway.h"
#include "server/http.h"
#include "server/rest.h"
#include "server/route.h"

#include <stdbool.h>
#include <stdint.h>

struct rest_call;

/* Where the pieces of an answer go. */
struct rest_carrier {
    enum shoal_err (*begin)(struct rest_call *call);
    bool (*event)(struct rest_call *call, struct slice json);
};

struct rest_call {
    const struct rest_config *config;
    struct rest *rest;
    const struct route *route;
    const struct http_request *req;
    struct gateway *gateway;
    struct slice tenant;
    struct rest_args args;
    struct arena *arena;      /* scratch, also ctx.arena */
    struct query_context ctx; /* deadline, trace, arena */
    struct json_writer w;     /* onto the answer's body */
    struct errbuf why;
    /* Told beside the result when asked > 0. */
    struct query_coverage coverage;

    /* rest*.c's own */
    uint64_t start_ns;
    struct buf *body;          /* of the answer */
    struct http_response *res; /* NULL over the wire */
    struct stream *stream;     /* the wire's stream; NULL: none */
    struct http_stream *http_stream;
    const struct rest_carrier *carrier;
    bool events_begun;
    bool events_cut;      /* by the server's stop: the listener is told */
    struct buf event;     /* the piece being sent; `body` is the server's once events have begun */
    struct json_doc *doc; /* the parsed body */
    struct collection *collection; /* a reference, once asked for */
    struct limit_decision *limits; /* [0] of the request, [1] of its tokens; NULL: no limits */
};

/* --- reading -------------------------------------------------------------------------------- */

/* The n-th part in braces of the route's pattern. */
struct slice rest_param(const struct rest_call *call, size_t n);
/* The body as JSON, parsed once; lives until the handler returns. SHOAL_EPARSE. */
SHOAL_MUST_CHECK enum shoal_err rest_body(struct rest_call *call, struct json_value *out);
/* As rest_body, but a missing body is an empty object. */
SHOAL_MUST_CHECK enum shoal_err rest_body_or_empty(struct rest_call *call, struct json_value *out);
/* The collection named by the route's first part in braces, looked up once and held until the
 * handler returns. SHOAL_ENOTFOUND. */
SHOAL_MUST_CHECK enum shoal_err rest_collection(struct rest_call *call, struct collection **out);
/* The id of a write. A request with the field "Idempotency-Key" gets the same id each time it is
 * sent by that tenant to that target, and so is applied once; others get a random one. */
void rest_operation_id(const struct rest_call *call, uint8_t out[16]);
/* How far a write must have come, by the argument `wait`. */
static inline enum shard_until rest_until(const struct rest_call *call)
{
    return call->args.wait ? SHARD_VISIBLE : SHARD_DURABLE;
}

/* --- limits --------------------------------------------------------------------------------- */

/* Takes an estimate of generated tokens from the tenant's budget. SHOAL_ELIMITED: the budget does
 * not hold it now. */
SHOAL_MUST_CHECK enum shoal_err rest_reserve_tokens(struct rest_call *call, uint64_t estimate);
/* Puts what was generated in the estimate's place. Once; without a reservation nothing happens. */
void rest_settle_tokens(struct rest_call *call, uint64_t actual);

/* --- answers other than one JSON value ------------------------------------------------------ */

/* For an answer that is text of that type: *out takes it. call->w must not be used then.
 * SHOAL_EUNSUPPORTED over the wire, which carries JSON. */
SHOAL_MUST_CHECK enum shoal_err rest_text(struct rest_call *call, const char *content_type,
                                          struct buf **out);
/* The status of the answer over HTTP, 200 unless set. */
void rest_status(struct rest_call *call, unsigned status);

/* True when the carrier wants pieces whatever the body says (a stream of the wire). */
bool rest_wants_events(const struct rest_call *call);
/* Sends the head of the answer. SHOAL_ENOMEM; SHOAL_EUNSUPPORTED when the carrier takes no pieces
 * (a plain call over the wire). Then nothing was sent. */
SHOAL_MUST_CHECK enum shoal_err rest_events_begin(struct rest_call *call);
/* One event, a JSON text. False: nobody listens any more, time is up, or the server stops (which
 * the listener is told when the handler has returned): stop producing. */
bool rest_event(struct rest_call *call, struct slice json);

#endif
