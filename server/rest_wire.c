/* The HTTP API without HTTP: a method and a path as the wire and the embedded client call them.
 *
 * A call runs on its caller's thread. A stream is admitted there too, so that a refusal is the
 * answer to its opening; then it moves to a pool of its own, since an answer may take minutes while
 * the wire's threads have microseconds of work. */
#include "base/mem.h"
#include "base/pool.h"
#include "server/rest_run.h"
#include "server/streams.h"
#include "wire/frame.h"

#include <assert.h>

/* Scratch of one call. */
#define WIRE_ARENA_MAX (512u << 20)

struct rest_wire {
    struct rest *rest;
    struct front_routes routes;
    struct pool *pool;
};

/* --- requests ------------------------------------------------------------------------------- */

static bool copy(struct arena *arena, struct slice *s)
{
    s->data = arena_strndup(arena, s->data, s->len);
    return s->data != NULL;
}

/* A request as an HTTP client would have sent it; method and target are copied into the arena. */
static enum shoal_err make_request(struct arena *arena, struct slice method, struct slice target,
                                   uint64_t deadline_ns, struct http_request *out,
                                   struct errbuf *why)
{
    if (!copy(arena, &method) || !copy(arena, &target)) {
        return SHOAL_ENOMEM;
    }
    *out = (struct http_request){
        .arrived_ns = clock_mono_ns(clock_real()),
        .deadline_ns = deadline_ns,
        .trace_id = rand_u64(rand_system()) | 1,
        .arena = arena,
    };
    out->method = http_method_parse(method.data, &out->head);
    return http_request_set_target(out, target, why);
}

/* Runs an admitted request and counts it. */
static enum shoal_err run(struct rest_wire *wire, const struct http_request *req,
                          struct rest_call *call)
{
    const struct rest_admission *a = req->route;
    call->carrier = &rest_carrier_wire;
    enum shoal_err rc = rest_run(call);
    rest_count(wire->rest, a->route, rc == SHOAL_OK ? 200 : rest_form_status(a->route->form, rc),
               clock_mono_ns(clock_real()) - req->arrived_ns);
    return rc;
}

/* --- calls ---------------------------------------------------------------------------------- */

static enum shoal_err call_in(struct rest_wire *wire, struct arena *arena, struct slice method,
                              struct slice path, struct slice body, uint64_t deadline_ns,
                              struct buf *json, struct errbuf *why)
{
    struct http_request req;
    const struct rest_admission *a = NULL;
    enum shoal_err rc = make_request(arena, method, path, deadline_ns, &req, why);
    if (rc == SHOAL_OK) {
        rc = rest_admit(wire->rest, &req, &a, why);
        req.deadline_ns = deadline_ns; /* the caller waits no longer */
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct rest_call call;
    req.body = body;
    rest_call_init(&call, wire->rest, &req, a);
    call.body = json;
    rc = run(wire, &req, &call);
    if (rc != SHOAL_OK) {
        return err_set(why, rc, "%s", err_why(&call.why, rc));
    }
    return json->failed;
}

static enum shoal_err front_call(void *arg, struct slice method, struct slice path,
                                 struct slice body, uint64_t deadline_ns, struct buf *json,
                                 struct errbuf *why)
{
    struct arena arena;
    arena_init(&arena, WIRE_ARENA_MAX);
    enum shoal_err rc = call_in(arg, &arena, method, path, body, deadline_ns, json, why);
    arena_release(&arena);
    return rc;
}

/* --- streams -------------------------------------------------------------------------------- */

struct stream_job {
    struct pool_job base;
    struct rest_wire *wire;
    struct stream *stream;
    struct arena arena;
    struct http_request req;
};

static void job_free(struct stream_job *job)
{
    arena_release(&job->arena);
    mem_free(job);
}

static void push_error(struct rest_call *call, enum shoal_err rc)
{
    struct buf json;
    buf_init(&json, 8 * ERRBUF_TEXT_MAX);
    if (rest_form_event(call->route->form, &json, rc, err_why(&call->why, rc)) == SHOAL_OK) {
        (void)stream_push(call->stream, buf_slice(&json)); /* who cancelled hears no reason */
    }
    buf_release(&json);
}

/* An answer that did not come in pieces is one piece; a failure before the first is told as one. */
static void run_stream(void *arg)
{
    struct stream_job *job = arg;
    struct rest_call call;
    struct buf body;
    buf_init(&body, WIRE_MESSAGE_MAX / 2);
    rest_call_init(&call, job->wire->rest, &job->req, job->req.route);
    call.body = &body;
    call.stream = job->stream;
    enum shoal_err rc = run(job->wire, &job->req, &call);
    if (rc == SHOAL_OK) {
        rc = body.failed;
    }
    if (!call.events_begun && rc == SHOAL_OK) {
        (void)stream_push(job->stream, buf_slice(&body));
    } else if (!call.events_begun) {
        push_error(&call, rc);
    }
    stream_finish(job->stream);
    buf_release(&body);
    job_free(job);
}

static enum shoal_err front_open(void *arg, struct slice method, struct slice path,
                                 struct slice body, struct stream *stream, struct errbuf *why)
{
    struct rest_wire *wire = arg;
    struct stream_job *job = mem_calloc(1, sizeof(*job));
    if (job == NULL) {
        return SHOAL_ENOMEM;
    }
    job->base = (struct pool_job){ .run = run_stream, .arg = job };
    job->wire = wire;
    job->stream = stream;
    arena_init(&job->arena, WIRE_ARENA_MAX);
    const struct rest_admission *a = NULL;
    uint64_t deadline_ns = clock_mono_ns(clock_real()) + REST_SLOW_TIMEOUT_MS * (uint64_t)1000000;
    enum shoal_err rc = make_request(&job->arena, method, path, deadline_ns, &job->req, why);
    if (rc == SHOAL_OK && !copy(&job->arena, &body)) {
        rc = SHOAL_ENOMEM;
    }
    if (rc == SHOAL_OK) {
        job->req.body = body;
        rc = rest_admit(wire->rest, &job->req, &a, why);
    }
    if (rc == SHOAL_OK) {
        rc = pool_submit(wire->pool, &job->base);
        if (rc != SHOAL_OK) {
            rc = err_set(why, rc, "too many answers are under way; repeat later");
        }
    }
    if (rc != SHOAL_OK) {
        job_free(job);
    }
    return rc;
}

/* --- life ----------------------------------------------------------------------------------- */

enum shoal_err rest_wire_new(struct rest *r, struct rest_wire **out, struct errbuf *why)
{
    *out = NULL;
    struct rest_wire *wire = mem_calloc(1, sizeof(*wire));
    if (wire == NULL) {
        return SHOAL_ENOMEM;
    }
    wire->rest = r;
    wire->routes = (struct front_routes){ .call = front_call, .open = front_open, .arg = wire };
    const struct pool_config pool = { .name = "answers",
                                      .threads_len = REST_STREAM_THREADS,
                                      .queue_len_max = REST_STREAM_QUEUE_MAX };
    enum shoal_err rc = pool_new(&pool, &wire->pool, why);
    if (rc != SHOAL_OK) {
        mem_free(wire);
        return rc;
    }
    *out = wire;
    return SHOAL_OK;
}

void rest_wire_free(struct rest_wire *wire)
{
    if (wire != NULL) {
        pool_free(wire->pool);
        mem_free(wire);
    }
}

const struct front_routes *rest_wire_routes(struct rest_wire *wire)
{
    return &wire->routes;
}
