/* Rest run: how a request becomes a call and a call an answer, whatever carried it. Private to
 * rest*.c.
 *
 *     admit    the route, the tenant, the limits: quick, never blocks
 *     run      the handler, and the answer or the error in the route's form
 *
 * Threads: any; a request belongs to one at a time. */
#ifndef SHOAL_SERVER_REST_RUN_H
#define SHOAL_SERVER_REST_RUN_H

#include "server/rest_call.h"

/* Places of rest_call.limits. */
enum rest_limit { REST_LIMIT_REQUEST, REST_LIMIT_TOKENS, REST_LIMITS_LEN };

/* What admit found out; in the request's arena, and the request's `route`. */
struct rest_admission {
    const struct route *route; /* NULL: none */
    unsigned methods;          /* that the path would have had, when there is no route */
    struct slice tenant;
    struct limit_decision *limits; /* REST_LIMITS_LEN of them; NULL: no limits are set */
};

extern const struct rest_carrier rest_carrier_http;
extern const struct rest_carrier rest_carrier_wire;

/* Sets req->route and moves its deadline. *out is set also when the request is refused, unless
 * there is no memory: SHOAL_ENOTFOUND (no such path), SHOAL_EINVAL (not by this method),
 * SHOAL_EUNSUPPORTED (not built), SHOAL_ELIMITED, SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err rest_admit(struct rest *r, struct http_request *req,
                                           const struct rest_admission **out, struct errbuf *why);
/* Fills what every call has. The carrier, its members and `body` are the caller's to set. */
void rest_call_init(struct rest_call *call, struct rest *r, const struct http_request *req,
                    const struct rest_admission *a);
/* Runs the handler and gives back all that the call holds. On success the answer's body is whole,
 * or its events were sent. */
SHOAL_MUST_CHECK enum shoal_err rest_run(struct rest_call *call);

bool rest_is_stopping(struct rest *r);
/* Counts one finished request; `route` may be NULL. */
void rest_count(struct rest *r, const struct route *route, unsigned status, uint64_t took_ns);

/* --- rest_form.c: what stands around answers ------------------------------------------------ */

/* Opens and closes what the form puts around the handler's value. */
void rest_form_begin(struct rest_call *call);
void rest_form_end(struct rest_call *call, double seconds);
unsigned rest_form_status(enum route_form form, enum shoal_err code);
/* Appends the whole body of an error. */
enum shoal_err rest_form_error(enum route_form form, struct buf *out, enum shoal_err code,
                               const char *text, double seconds);

/* Appends an error as an event in the place of those that do not come: an OpenAI error, or
 * {"type": "error", "code", "message"}. */
enum shoal_err rest_form_event(enum route_form form, struct buf *out, enum shoal_err code,
                               const char *text);

/* RateLimit, RateLimit-Policy and, when a check refused, Retry-After. `limits` may be NULL. */
void rest_add_limit_fields(struct http_response *res, struct arena *arena,
                           const struct limit_decision *limits);

/* --- rest_wire.c: calls and streams over the wire ------------------------------------------- */

struct rest_wire;
SHOAL_MUST_CHECK enum shoal_err rest_wire_new(struct rest *r, struct rest_wire **out,
                                              struct errbuf *why);
/* Waits for the streams under way. NULL is fine. */
void rest_wire_free(struct rest_wire *wire);
const struct front_routes *rest_wire_routes(struct rest_wire *wire);

#endif
