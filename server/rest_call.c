#include "server/rest_call.h"

#include "base/hash.h"
#include "server/rest_run.h"
#include "server/streams.h"

#include <assert.h>

/* --- reading -------------------------------------------------------------------------------- */

struct slice rest_param(const struct rest_call *call, size_t n)
{
    return route_param(call->route, call->req, n);
}

static enum shoal_err parse_body(struct rest_call *call, struct slice text, struct json_value *out)
{
    if (call->doc == NULL) {
        enum shoal_err rc = json_parse(text, &call->doc, &call->why);
        if (rc != SHOAL_OK) {
            return rc;
        }
    }
    *out = json_root(call->doc);
    return SHOAL_OK;
}

enum shoal_err rest_body(struct rest_call *call, struct json_value *out)
{
    return call->req->body.len > 0
               ? parse_body(call, call->req->body, out)
               : err_set(&call->why, SHOAL_EPARSE, "the body is missing; send a JSON object");
}

enum shoal_err rest_body_or_empty(struct rest_call *call, struct json_value *out)
{
    return parse_body(call, call->req->body.len > 0 ? call->req->body : SLICE_LIT("{}"), out);
}

enum shoal_err rest_collection(struct rest_call *call, struct collection **out)
{
    enum shoal_err rc = SHOAL_OK;
    if (call->collection == NULL) {
        rc = gateway_collection(call->gateway, rest_param(call, 0), &call->collection, &call->why);
    }
    *out = call->collection;
    return rc;
}

void rest_operation_id(const struct rest_call *call, uint8_t out[16])
{
    struct slice key;
    if (!http_request_field(call->req, "Idempotency-Key", &key) || key.len == 0) {
        const struct rand_source *r = gateway_rand(call->gateway);
        r->fill(r->arg, out, 16);
        return;
    }
    const struct slice parts[] = { call->tenant, call->req->target, key };
    for (uint64_t half = 0; half < 2; half++) {
        uint64_t h = half;
        for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
            h = hash64_seeded(parts[i].data, parts[i].len, h + parts[i].len);
        }
        memcpy(out + 8 * half, &h, sizeof(h));
    }
}

/* --- limits --------------------------------------------------------------------------------- */

/* The most that a request may ask for so that every rule can ever allow it. */
static uint64_t most_allowed(const struct limit_decision *d, uint64_t estimate)
{
    for (size_t i = 0; i < d->statuses_len; i++) {
        const struct limit_status *s = &d->statuses[i];
        if (s->refused && s->retry_after_ms == LIMIT_NEVER && s->rule->burst < estimate) {
            estimate = s->rule->burst;
        }
    }
    return estimate;
}

enum shoal_err rest_reserve_tokens(struct rest_call *call, uint64_t estimate)
{
    if (gateway_limiter(call->gateway) == NULL) {
        return SHOAL_OK;
    }
    struct limit_decision *d = &call->limits[REST_LIMIT_TOKENS];
    struct limit_cost cost = { .amount = { [LIMIT_GENERATED_TOKENS] = estimate } };
    enum shoal_err rc = gateway_admit(call->gateway, call->tenant, &cost, d, &call->why);
    if (rc == SHOAL_ELIMITED && d->retry_after_ms == LIMIT_NEVER) {
        /* The estimate is a guess: what it is over the brim is settled when it is known. */
        cost.amount[LIMIT_GENERATED_TOKENS] = most_allowed(d, estimate);
        rc = gateway_admit(call->gateway, call->tenant, &cost, d, &call->why);
    }
    return rc;
}

void rest_settle_tokens(struct rest_call *call, uint64_t actual)
{
    struct limiter *limiter = gateway_limiter(call->gateway);
    if (limiter != NULL) {
        const struct limit_cost cost = { .amount = { [LIMIT_GENERATED_TOKENS] = actual } };
        limiter_settle(limiter, call->tenant, &call->limits[REST_LIMIT_TOKENS].reservation, &cost,
                       clock_mono_ns(gateway_clock(call->gateway)));
    }
}

/* --- answers other than one JSON value ------------------------------------------------------ */

enum shoal_err rest_text(struct rest_call *call, const char *content_type, struct buf **out)
{
    assert(call->route->form == ROUTE_BARE);
    if (call->res == NULL) {
        return err_set(&call->why, SHOAL_EUNSUPPORTED, "this answer is text; ask for it by HTTP");
    }
    call->res->content_type = content_type;
    *out = call->body;
    return SHOAL_OK;
}

void rest_status(struct rest_call *call, unsigned status)
{
    if (call->res != NULL) {
        call->res->status = status;
    }
}

bool rest_wants_events(const struct rest_call *call)
{
    return call->stream != NULL;
}

enum shoal_err rest_events_begin(struct rest_call *call)
{
    assert(!call->events_begun);
    enum shoal_err rc = call->carrier->begin(call);
    if (rc == SHOAL_OK) {
        call->events_begun = true;
    } else if (rc == SHOAL_EUNSUPPORTED) {
        rc = err_set(&call->why, rc, "an answer in pieces wants HTTP, or a stream of the wire");
    }
    return rc;
}

bool rest_event(struct rest_call *call, struct slice json)
{
    assert(call->events_begun);
    call->events_cut = call->events_cut || rest_is_stopping(call->rest);
    return !call->events_cut && call->carrier->event(call, json);
}

/* --- carriers ------------------------------------------------------------------------------- */

static enum shoal_err http_begin(struct rest_call *call)
{
    struct http_response *res = call->res;
    buf_reset(call->body);
    res->content_type = "text/event-stream; charset=utf-8";
    http_response_field(res, "Cache-Control", "no-cache");
    rest_add_limit_fields(res, call->arena, call->limits);
    return http_stream_begin(res, &call->http_stream);
}

/* Server-sent events, as the WHATWG's HTML standard has them. Our JSON has no line breaks. */
static bool http_event(struct rest_call *call, struct slice json)
{
    struct buf *line = &call->event;
    buf_reset(line);
    (void)buf_append_str(line, "data: ");
    (void)buf_append_slice(line, json);
    (void)buf_append_str(line, "\n\n");
    return line->failed == SHOAL_OK &&
           http_stream_push(call->http_stream, buf_slice(line), call->ctx.deadline_ns);
}

const struct rest_carrier rest_carrier_http = { .begin = http_begin, .event = http_event };

static enum shoal_err wire_begin(struct rest_call *call)
{
    buf_reset(call->body);
    return call->stream == NULL ? SHOAL_EUNSUPPORTED : SHOAL_OK;
}

static bool wire_event(struct rest_call *call, struct slice json)
{
    return clock_mono_ns(clock_real()) < call->ctx.deadline_ns && stream_push(call->stream, json);
}

const struct rest_carrier rest_carrier_wire = { .begin = wire_begin, .event = wire_event };
