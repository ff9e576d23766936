/* What a process is made of, in the order in which it opens; it closes the other way round:
 *
 *     transport, peers, generators, limiter, streams, metrics      parts that the others stand on
 *     front (listening)                     its address is what a node tells the catalog
 *     engine                                data, catalog, gateway
 *     rest                                  the HTTP API, over any carrier
 *     front (serving), HTTP server          now requests come in
 *     child                                 the generator, in a process of its own
 *
 * Stopping begins with what makes others wait: health checks fail, waits in the engine end, answers
 * in pieces end at the next piece, the generator's process goes, and whoever waited for it with it.
 * Then the servers have little left to wait for.
 *
 * A process with the generator role alone has a transport and the models, and nothing else. */
#include "server/process.h"

#include "base/log.h"
#include "base/mem.h"
#include "limit/limit.h"
#include "server/child.h"
#include "server/engine.h"
#include "server/front_nng.h"
#include "server/http.h"
#include "server/models.h"
#include "server/rest.h"
#include "server/role_generator.h"
#include "server/streams.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NNG_QUEUE_MAX 1024
/* Tenants with buckets of their own. */
#define TENANTS_MAX 100000
/* From the beginning of the stop: how long answers under way are waited for. */
#define GRACE_MS 1500
/* Room for an address in a socket's path (sun_path, unix(7)). */
#define IPC_PATH_MAX 100

struct process {
    const struct options *options;
    struct metrics *metrics;
    struct transport *transport;
    struct peers *peers;
    struct generators *generators;
    struct limiter *limiter;
    struct streams *streams;
    struct front_nng *front;
    struct engine *engine;
    struct rest *rest;
    struct http_server *_Atomic http; /* asked for by its own threads before it is returned */
    struct child *child;
    struct role_generator *role; /* instead of all from `peers` on */
    struct models models;
    char name[GENERATOR_NAME_MAX + 1];
    char roles[64];
};

/* --- parts that the others stand on ---------------------------------------------------------- */

static enum shoal_err open_limiter(struct process *p, struct errbuf *why)
{
    struct limit_rules rules;
    if (p->options->limits == NULL) {
        return SHOAL_OK;
    }
    enum shoal_err rc = limit_rules_parse(slice_from_str(p->options->limits), &rules, why);
    if (rc != SHOAL_OK) {
        return err_prefix(why, rc, "--limits");
    }
    const struct limiter_config config = { .rules = &rules, .tenants_max = TENANTS_MAX };
    return limiter_local_new(&config, &p->limiter, why);
}

static enum shoal_err open_common(struct process *p, struct errbuf *why)
{
    const struct options *o = p->options;
    enum shoal_err rc = metrics_new(&p->metrics);
    if (rc == SHOAL_OK && (o->roles & ROLE_GENERATOR) != 0) {
        rc = models_load(o->models, &p->models, why);
    }
    return rc == SHOAL_OK ? transport_nng_new(&p->transport, why) : rc;
}

/* --- a process with the generator alone ------------------------------------------------------ */

static enum shoal_err open_generator(struct process *p, struct errbuf *why)
{
    const struct options *o = p->options;
    snprintf(p->name, sizeof(p->name), "%s", o->name == NULL ? "generator" : o->name);
    const struct role_generator_config config = {
        .transport = p->transport,
        .url = o->nng,
        .join = o->join,
        .name = p->name,
        .models = &p->models,
        .threads = (uint32_t)o->model_threads,
    };
    return role_generator_open(&config, &p->role, why);
}

/* --- a process with data, a gateway or both -------------------------------------------------- */

static enum shoal_err open_foundations(struct process *p, struct errbuf *why)
{
    const struct options *o = p->options;
    const struct front_nng_config front = { .transport = p->transport,
                                            .url = o->nng,
                                            .threads_len = (unsigned)o->threads,
                                            .queue_len_max = NNG_QUEUE_MAX };
    enum shoal_err rc = peers_new(p->transport, &p->peers);
    if (rc == SHOAL_OK) {
        rc = generators_new(p->peers, &p->generators);
    }
    if (rc == SHOAL_OK) {
        rc = open_limiter(p, why);
    }
    if (rc == SHOAL_OK) {
        rc = streams_new(&p->streams, why);
    }
    return rc == SHOAL_OK ? front_nng_open(&front, &p->front, why) : rc;
}

static enum shoal_err open_engine(struct process *p, struct errbuf *why)
{
    const struct options *o = p->options;
    unsigned roles = 0;
    roles |= (o->roles & ROLE_GATEWAY) != 0 ? (unsigned)ENGINE_GATEWAY : 0;
    roles |= (o->roles & ROLE_NODE) != 0 ? (unsigned)ENGINE_NODE : 0;
    roles |= (o->roles & ROLE_CATALOG) != 0 ? (unsigned)ENGINE_CATALOG : 0;
    const struct engine_config config = {
        .data_dir = o->data,
        .roles = roles,
        .name = o->name,
        .url = o->advertise != NULL ? o->advertise : front_nng_url(p->front),
        .catalog_url = o->join,
        .transport = p->transport,
        .peers = p->peers,
        .limiter = p->limiter,
        .generators = p->generators,
        .metrics = p->metrics,
        .builder_threads = (unsigned)o->builders,
    };
    enum shoal_err rc = engine_open(&config, &p->engine, why);
    if (rc == SHOAL_OK) {
        snprintf(p->name, sizeof(p->name), "%s", engine_name(p->engine));
    }
    return rc;
}

/* Asked on a socket's thread. */
static bool is_ready(void *arg)
{
    struct process *p = arg;
    return p->http != NULL && !http_server_is_draining(p->http) &&
           gateway_ready(engine_gateway(p->engine));
}

static void observe(void *arg)
{
    struct process *p = arg;
    if (p->http != NULL) {
        http_server_observe(p->http);
    }
}

static void print_roles(unsigned roles, char *out, size_t out_len)
{
    static const char *const names[] = { "gateway", "node", "catalog", "generator" };
    size_t at = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < 4; i++) {
        if ((roles & 1u << i) != 0) {
            int n = snprintf(out + at, out_len - at, "%s%s", at == 0 ? "" : ",", names[i]);
            assert(n > 0 && (size_t)n < out_len - at);
            at += (size_t)n;
        }
    }
}

static enum shoal_err open_rest(struct process *p, struct errbuf *why)
{
    if (engine_gateway(p->engine) == NULL) {
        return SHOAL_OK;
    }
    print_roles(p->options->roles, p->roles, sizeof(p->roles));
    const struct rest_config config = {
        .gateway = engine_gateway(p->engine),
        .version = SHOAL_VERSION,
        .name = p->name,
        .roles = p->roles,
        .ready = is_ready,
        .observe = observe,
        .arg = p,
    };
    return rest_new(&config, &p->rest, why);
}

static enum shoal_err open_http(struct process *p, struct errbuf *why)
{
    const struct options *o = p->options;
    if (o->http == NULL || p->rest == NULL) {
        return SHOAL_OK;
    }
    const struct http_config config = {
        .address = o->http,
        .app = rest_http_app(p->rest),
        .metrics = p->metrics,
        .fast_threads = (unsigned)o->threads,
        .body_bytes_max = (size_t)o->body_bytes_max,
    };
    struct http_server *http = NULL;
    enum shoal_err rc = http_server_new(&config, &http, why);
    p->http = http;
    return rc;
}

/* --- the generator's process ----------------------------------------------------------------- */

/* A socket that only this user can reach, where its path fits; else a port of this machine. */
static void print_generator_url(const struct process *p, char *out, size_t out_len)
{
    int n = snprintf(out, out_len, "ipc://%s/generator.sock", p->options->data);
    if (n < 0 || (size_t)n >= IPC_PATH_MAX || (size_t)n >= out_len) {
        snprintf(out, out_len, "tcp://127.0.0.1:0");
    }
}

static enum shoal_err start_generator(struct process *p, const char *program, struct errbuf *why)
{
    const struct options *o = p->options;
    char url[IPC_PATH_MAX + 32];
    char name[GENERATOR_NAME_MAX + 1];
    char threads[24];
    if ((o->roles & ROLE_GENERATOR) == 0) {
        return SHOAL_OK;
    }
    if (p->models.len == 0) {
        log_info("no models found: no texts are embedded or generated here");
        return SHOAL_OK;
    }
    print_generator_url(p, url, sizeof(url));
    snprintf(name, sizeof(name), "%.100s-generator", p->name);
    snprintf(threads, sizeof(threads), "%" PRIu64, o->model_threads);
    const char *argv[CHILD_ARGS_MAX] = {
        program,
        "--roles",
        "generator",
        "--join",
        front_nng_url(p->front),
        "--nng",
        url,
        "--http",
        "off",
        "--name",
        name,
        "--model-threads",
        threads,
        "--log-level",
        o->log_level,
        "--log-format",
        o->log_format,
    };
    size_t n = 17;
    if (o->models != NULL) {
        argv[n++] = "--models";
        argv[n++] = o->models;
    }
    argv[n] = NULL;
    return child_start("generator", argv, &p->child, why);
}

/* --- life ------------------------------------------------------------------------------------ */

static enum shoal_err open_server(struct process *p, const char *program, struct errbuf *why)
{
    enum shoal_err rc = open_foundations(p, why);
    if (rc == SHOAL_OK) {
        rc = open_engine(p, why);
    }
    if (rc == SHOAL_OK) {
        rc = open_rest(p, why);
    }
    if (rc == SHOAL_OK) {
        const struct front_nng_parts parts = {
            .engine = p->engine,
            .generators = p->generators,
            .streams = p->streams,
            .routes = p->rest == NULL ? NULL : rest_front_routes(p->rest),
        };
        front_nng_serve(p->front, &parts);
        rc = open_http(p, why);
    }
    return rc == SHOAL_OK ? start_generator(p, program, why) : rc;
}

enum shoal_err process_open(const struct options *options, const char *program,
                            struct process **out, struct errbuf *why)
{
    *out = NULL;
    struct process *p = mem_calloc(1, sizeof(*p));
    if (p == NULL) {
        return SHOAL_ENOMEM;
    }
    p->options = options;
    enum shoal_err rc = open_common(p, why);
    if (rc == SHOAL_OK) {
        rc = options->roles == ROLE_GENERATOR ? open_generator(p, why)
                                              : open_server(p, program, why);
    }
    if (rc != SHOAL_OK) {
        process_close(p);
        return rc;
    }
    *out = p;
    return SHOAL_OK;
}

enum shoal_err process_wait_ready(struct process *p, uint64_t deadline_ns, struct errbuf *why)
{
    /* A catalog without a node is ready for nodes to come. */
    bool waits = p->engine != NULL && (p->options->roles & ROLE_NODE) != 0;
    waits = waits || (p->engine != NULL && (p->options->roles & ROLE_CATALOG) == 0);
    return waits ? engine_wait_ready(p->engine, deadline_ns, why) : SHOAL_OK;
}

const char *process_http(const struct process *p)
{
    return p->http == NULL ? "off" : http_server_address(p->http);
}

const char *process_nng(const struct process *p)
{
    return p->role != NULL ? role_generator_url(p->role) : front_nng_url(p->front);
}

const char *process_name(const struct process *p)
{
    return p->name;
}

static void stop(struct process *p)
{
    uint64_t grace_ns = clock_mono_ns(clock_real()) + GRACE_MS * (uint64_t)1000000;
    if (p->http != NULL) {
        http_server_drain(p->http);
    }
    if (p->engine != NULL) {
        engine_stop(p->engine);
    }
    if (p->rest != NULL) {
        rest_stop(p->rest);
    }
    child_stop(p->child);
    p->child = NULL;
    if (p->http != NULL) {
        http_server_stop(p->http, grace_ns);
    }
}

void process_close(struct process *p)
{
    if (p == NULL) {
        return;
    }
    stop(p);
    http_server_free(p->http);
    front_nng_close(p->front);
    rest_free(p->rest);
    role_generator_close(p->role);
    engine_close(p->engine);
    streams_free(p->streams);
    limiter_free(p->limiter);
    generators_free(p->generators);
    peers_free(p->peers);
    if (p->transport != NULL) {
        transport_free(p->transport);
    }
    metrics_free(p->metrics);
    mem_free(p);
}
