/* The life of a request: admit decides on a socket's thread with what the header says; run does the
 * work on a pool's thread. Between the two nothing is shared but the admission in the request's
 * arena. */
#include "server/rest.h"

#include "base/mem.h"
#include "server/rest_routes.h"
#include "server/rest_run.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>

/* One event of an answer in pieces. */
#define EVENT_MAX (16u << 20)

/* Statuses with a counter at hand; others are looked up each time. */
static const unsigned statuses[] = { 200, 400, 403, 404, 405, 408, 409,
                                     413, 422, 429, 500, 501, 503, 507 };
#define STATUSES_LEN (sizeof(statuses) / sizeof(statuses[0]))

/* Made when first needed, so that /metrics tells of routes that are used. */
struct route_stats {
    struct metric_counter *_Atomic by_status[STATUSES_LEN];
    struct metric_histogram *_Atomic seconds;
};

struct rest {
    struct rest_config config;
    struct rest_wire *wire;
    struct route_stats *stats; /* one a route, and one for what has none */
    atomic_bool stopping;
};

static uint64_t now_ns(void)
{
    return clock_mono_ns(clock_real());
}

static double seconds_since(uint64_t start_ns)
{
    uint64_t now = now_ns();
    return now > start_ns ? (double)(now - start_ns) / 1e9 : 0;
}

/* --- metrics -------------------------------------------------------------------------------- */

static struct metric_counter *make_counter(struct rest *r, const struct route *route,
                                           unsigned status)
{
    char text[16];
    snprintf(text, sizeof(text), "%u", status);
    const struct metric_label labels[] = {
        { "method", route == NULL ? "any" : http_method_name(route->method) },
        { "route", route == NULL ? "none" : route->pattern },
        { "status", text },
    };
    const struct metric_desc desc = { .name = "shoal_rest_requests_total",
                                      .help = "Requests of the HTTP API, by any carrier.",
                                      .labels = labels,
                                      .labels_len = 3 };
    struct metric_counter *counter = NULL;
    (void)metrics_counter(gateway_metrics(r->config.gateway), &desc, &counter);
    return counter;
}

static struct metric_histogram *make_seconds(struct rest *r, const struct route *route)
{
    const struct metric_label labels[] = {
        { "method", route == NULL ? "any" : http_method_name(route->method) },
        { "route", route == NULL ? "none" : route->pattern },
    };
    const struct metric_desc desc = { .name = "shoal_rest_request_seconds",
                                      .help = "Time from a request's first line to its answer.",
                                      .labels = labels,
                                      .labels_len = 2 };
    struct metric_histogram *seconds = NULL;
    (void)metrics_seconds(gateway_metrics(r->config.gateway), &desc, &seconds);
    return seconds;
}

void rest_count(struct rest *r, const struct route *route, unsigned status, uint64_t took_ns)
{
    struct route_stats *stats =
        &r->stats[route == NULL ? rest_routes_len : (size_t)(route - rest_routes)];
    size_t i = 0;
    while (i < STATUSES_LEN && statuses[i] != status) {
        i++;
    }
    /* Two threads may both make a series: the registry gives both the same. */
    struct metric_counter *counter = i < STATUSES_LEN ? stats->by_status[i] : NULL;
    if (counter == NULL) {
        counter = make_counter(r, route, status);
        if (i < STATUSES_LEN) {
            stats->by_status[i] = counter;
        }
    }
    struct metric_histogram *seconds = stats->seconds;
    if (seconds == NULL) {
        seconds = make_seconds(r, route);
        stats->seconds = seconds;
    }
    metric_add(counter, 1);
    metric_observe(seconds, (double)took_ns / 1e9);
}

/* --- admit ---------------------------------------------------------------------------------- */

static struct slice tenant_of(const struct http_request *req)
{
    static const char bearer[] = "Bearer ";
    struct slice key;
    if (http_request_field(req, "api-key", &key) && key.len > 0) {
        return key;
    }
    if (http_request_field(req, "Authorization", &key) && key.len > sizeof(bearer) - 1 &&
        memcmp(key.data, bearer, sizeof(bearer) - 1) == 0) {
        return slice_make(key.data + sizeof(bearer) - 1, key.len - (sizeof(bearer) - 1));
    }
    return GATEWAY_TENANT_DEFAULT;
}

static enum shoal_err find_route(const struct http_request *req, struct rest_admission *a,
                                 struct errbuf *why)
{
    struct route_match match;
    route_find(rest_routes, rest_routes_len, req, &match);
    a->route = match.route;
    a->methods = match.methods;
    if (match.route == NULL && match.methods != 0) {
        char allowed[ROUTE_ALLOW_MAX];
        route_print_methods(match.methods, allowed);
        return err_set(why, SHOAL_EINVAL, "this path takes %s", allowed);
    }
    if (match.route == NULL) {
        return err_set(why, SHOAL_ENOTFOUND, "no such path: %.*s",
                       (int)(req->target.len < 200 ? req->target.len : 200), req->target.data);
    }
    return match.route->handle != NULL
               ? SHOAL_OK
               : err_set(why, SHOAL_EUNSUPPORTED, "%s", match.route->feature);
}

static enum shoal_err check_limits(struct rest *r, struct rest_admission *a, struct arena *arena,
                                   struct errbuf *why)
{
    if (gateway_limiter(r->config.gateway) == NULL) {
        return SHOAL_OK;
    }
    a->limits = arena_array(arena, REST_LIMITS_LEN, sizeof(*a->limits));
    if (a->limits == NULL) {
        return SHOAL_ENOMEM;
    }
    if ((a->route->flags & (ROUTE_INLINE | ROUTE_FREE)) != 0) {
        return SHOAL_OK;
    }
    const struct limit_cost cost = { .amount = { [LIMIT_REQUESTS] = 1 } };
    return gateway_admit(r->config.gateway, a->tenant, &cost, &a->limits[REST_LIMIT_REQUEST], why);
}

enum shoal_err rest_admit(struct rest *r, struct http_request *req,
                          const struct rest_admission **out, struct errbuf *why)
{
    *out = NULL;
    struct rest_admission *a = arena_array(req->arena, 1, sizeof(*a));
    if (a == NULL) {
        return SHOAL_ENOMEM;
    }
    a->tenant = tenant_of(req);
    *out = a;
    req->route = a;
    enum shoal_err rc = find_route(req, a, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if ((a->route->flags & ROUTE_SLOW) != 0) {
        req->deadline_ns = req->arrived_ns + REST_SLOW_TIMEOUT_MS * (uint64_t)1000000;
    }
    return check_limits(r, a, req->arena, why);
}

/* --- run ------------------------------------------------------------------------------------ */

void rest_call_init(struct rest_call *call, struct rest *r, const struct http_request *req,
                    const struct rest_admission *a)
{
    *call = (struct rest_call){
        .config = &r->config,
        .rest = r,
        .route = a->route,
        .req = req,
        .gateway = r->config.gateway,
        .tenant = a->tenant,
        .arena = req->arena,
        .ctx = { .deadline_ns = req->deadline_ns, .trace_id = req->trace_id, .arena = req->arena },
        .start_ns = req->arrived_ns,
        .limits = a->limits,
    };
    buf_init(&call->event, EVENT_MAX);
}

/* An answer that was cut must not look like one that came to its end. */
static enum shoal_err tell_cut(struct rest_call *call)
{
    struct buf json;
    enum shoal_err rc = err_set(&call->why, SHOAL_ECANCELED, "the server is stopping");
    buf_init(&json, EVENT_MAX);
    if (rest_form_event(call->route->form, &json, rc, call->why.text) == SHOAL_OK) {
        (void)call->carrier->event(call, buf_slice(&json)); /* the last try */
    }
    buf_release(&json);
    return rc;
}

enum shoal_err rest_run(struct rest_call *call)
{
    enum shoal_err rc = rest_args_parse(call->req, call->route->args, &call->args, &call->why);
    if (rc == SHOAL_OK && call->args.timeout_s > 0) {
        call->ctx.deadline_ns = call->start_ns + call->args.timeout_s * UINT64_C(1000000000);
    }
    if (rc == SHOAL_OK) {
        rest_form_begin(call);
        rc = call->route->handle(call);
    }
    if (rc == SHOAL_OK && !call->events_begun) {
        rest_form_end(call, seconds_since(call->start_ns));
    }
    if (call->events_cut) {
        rc = tell_cut(call);
    }
    buf_release(&call->event);
    json_free(call->doc);
    call->doc = NULL;
    collection_unref(call->collection);
    call->collection = NULL;
    return rc;
}

/* --- HTTP ----------------------------------------------------------------------------------- */

/* The form of a path that has no route. */
static enum route_form form_of(const struct http_request *req)
{
    const struct rest_admission *a = req->route;
    if (a != NULL && a->route != NULL) {
        return a->route->form;
    }
    return req->segments_len > 1 && slice_is(req->segments[0], "v1") &&
                   !slice_is(req->segments[1], "collections")
               ? ROUTE_OPENAI
               : ROUTE_RESULT;
}

static void put_error(struct rest *r, const struct http_request *req, struct http_response *res,
                      unsigned status, enum shoal_err code, const char *text)
{
    const struct rest_admission *a = req->route;
    buf_reset(&res->body);
    res->status = status;
    res->content_type = "application/json";
    (void)rest_form_error(form_of(req), &res->body, code, text, seconds_since(req->arrived_ns));
    uint64_t took_ns = now_ns() - req->arrived_ns;
    rest_count(r, a == NULL ? NULL : a->route, status, took_ns);
}

static void http_refuse(void *arg, const struct http_request *req, struct http_response *res,
                        unsigned status, enum shoal_err code, const char *text)
{
    put_error(arg, req, res, status, code, text);
}

static unsigned status_of(const struct http_request *req, enum shoal_err rc)
{
    const struct rest_admission *a = req->route;
    return a != NULL && a->route == NULL && a->methods != 0 ? 405
                                                            : rest_form_status(form_of(req), rc);
}

static void add_error_fields(const struct http_request *req, struct http_response *res,
                             const struct rest_admission *a)
{
    if (a != NULL) {
        rest_add_limit_fields(res, req->arena, a->limits);
    }
    char *allowed = res->status == 405 ? arena_alloc(req->arena, ROUTE_ALLOW_MAX) : NULL;
    if (allowed != NULL) {
        route_print_methods(a->methods, allowed);
        http_response_field(res, "Allow", allowed);
    }
    if (res->status == 503) {
        http_response_field(res, "Retry-After", "1");
    }
}

static enum http_lane http_admit(void *arg, struct http_request *req, struct http_response *res)
{
    struct rest *r = arg;
    struct errbuf why = { 0 };
    const struct rest_admission *a = NULL;
    enum shoal_err rc = rest_admit(r, req, &a, &why);
    if (rc != SHOAL_OK) {
        put_error(r, req, res, status_of(req, rc), rc, err_why(&why, rc));
        add_error_fields(req, res, a);
        return HTTP_LANE_REFUSED;
    }
    if ((a->route->flags & ROUTE_INLINE) != 0) {
        return HTTP_LANE_INLINE;
    }
    return (a->route->flags & ROUTE_SLOW) != 0 ? HTTP_LANE_SLOW : HTTP_LANE_FAST;
}

static void http_handle(void *arg, struct http_request *req, struct http_response *res)
{
    struct rest *r = arg;
    const struct rest_admission *a = req->route;
    struct rest_call call;
    rest_call_init(&call, r, req, a);
    call.body = &res->body;
    call.res = res;
    call.carrier = &rest_carrier_http;
    enum shoal_err rc = rest_run(&call);
    if (call.events_begun) { /* the status went out with the head */
        rest_count(r, a->route, rc == SHOAL_OK ? 200 : rest_form_status(a->route->form, rc),
                   now_ns() - req->arrived_ns);
    } else if (rc != SHOAL_OK) {
        res->fields_len = 0;
        put_error(r, req, res, status_of(req, rc), rc, err_why(&call.why, rc));
        add_error_fields(req, res, a);
    } else {
        rest_add_limit_fields(res, req->arena, a->limits);
        rest_count(r, a->route, res->status, now_ns() - req->arrived_ns);
    }
}

struct http_app rest_http_app(struct rest *r)
{
    return (struct http_app){
        .admit = http_admit, .handle = http_handle, .refuse = http_refuse, .arg = r
    };
}

/* --- life ----------------------------------------------------------------------------------- */

enum shoal_err rest_new(const struct rest_config *config, struct rest **out, struct errbuf *why)
{
    *out = NULL;
    assert(config->gateway != NULL && config->version != NULL);
    struct rest *r = mem_calloc(1, sizeof(*r));
    if (r == NULL) {
        return SHOAL_ENOMEM;
    }
    r->config = *config;
    r->stats = mem_calloc(rest_routes_len + 1, sizeof(*r->stats));
    enum shoal_err rc = r->stats == NULL ? SHOAL_ENOMEM : rest_wire_new(r, &r->wire, why);
    if (rc != SHOAL_OK) {
        rest_free(r);
        return rc;
    }
    *out = r;
    return SHOAL_OK;
}

void rest_stop(struct rest *r)
{
    atomic_store_explicit(&r->stopping, true, memory_order_relaxed);
}

bool rest_is_stopping(struct rest *r)
{
    return atomic_load_explicit(&r->stopping, memory_order_relaxed);
}

void rest_free(struct rest *r)
{
    if (r == NULL) {
        return;
    }
    rest_stop(r);
    rest_wire_free(r->wire);
    mem_free(r->stats);
    mem_free(r);
}

const struct front_routes *rest_front_routes(struct rest *r)
{
    return rest_wire_routes(r->wire);
}
