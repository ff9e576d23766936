/* The server: its daemon, pools and sweeper, and their beginning and end. */
#include "server/http.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "server/http_conn.h"

#include <assert.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

/* libmicrohttpd's memory of one connection: the header must fit half of it. */
#define CONNECTION_BYTES 32768u

/* --- libmicrohttpd's callbacks -------------------------------------------------------------- */

static struct http_conn *conn_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info == NULL ? NULL : info->socket_context;
}

static void on_connection(void *arg, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(
            mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        *context = http__conn_new(arg, mhd, info->connect_fd); /* NULL: the first request fails */
    } else if (*context != NULL) {
        http__conn_leave(*context);
        http__conn_unref(*context);
        *context = NULL;
    }
}

static void *on_target(void *arg, const char *target, struct MHD_Connection *mhd)
{
    (void)arg;
    struct http_conn *c = conn_of(mhd);
    if (c != NULL) {
        http__exchange_begin(c, target == NULL ? "" : target);
    }
    return c;
}

/* Nothing is decoded by libmicrohttpd: the path has to be split first. */
static size_t keep_escaped(void *arg, struct MHD_Connection *mhd, char *text)
{
    (void)arg;
    (void)mhd;
    return strlen(text);
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *mhd, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_len, void **context)
{
    (void)arg;
    (void)mhd;
    (void)url;
    (void)version;
    struct http_conn *c = *context;
    return c != NULL && http__on_request(c, method, upload, upload_len) ? MHD_YES : MHD_NO;
}

static void on_completed(void *arg, struct MHD_Connection *mhd, void **context,
                         enum MHD_RequestTerminationCode code)
{
    (void)arg;
    (void)mhd;
    (void)code;
    struct http_conn *c = *context;
    if (c != NULL) {
        http__on_completed(c);
        *context = NULL;
    }
}

static void on_message(void *arg, const char *fmt, va_list args)
{
    (void)arg;
    if (!log_enabled(LOG_LEVEL_DEBUG)) {
        return;
    }
    char text[256];
    int n = vsnprintf(text, sizeof(text), fmt, args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' ')) {
        len--;
    }
    text[len] = '\0';
    log_debug("http", LOG_STR("text", text));
}

/* --- beginning ------------------------------------------------------------------------------ */

static void fill_defaults(struct http_config *c)
{
#define DEFAULT(field, value)   \
    do {                        \
        if (c->field == 0) {    \
            c->field = (value); \
        }                       \
    } while (0)
    DEFAULT(io_threads, 2);
    DEFAULT(fast_threads, 8);
    DEFAULT(slow_threads, 16);
    DEFAULT(fast_queue_len_max, 256);
    DEFAULT(slow_queue_len_max, 64);
    DEFAULT(body_bytes_max, (size_t)32 << 20);
    DEFAULT(body_bytes_total_max, (size_t)1 << 30);
    DEFAULT(answer_bytes_max, (size_t)512 << 20);
    DEFAULT(arena_bytes_max, (size_t)512 << 20);
    DEFAULT(connections_max, 4096);
    DEFAULT(connections_per_address_max, 1024);
    DEFAULT(idle_ms, 75000);
    DEFAULT(head_ms, 10000);
    DEFAULT(body_ms, 60000);
    DEFAULT(send_ms, 60000);
    DEFAULT(request_ms, 60000);
#undef DEFAULT
}

static enum shoal_err start_daemon(struct http_server *s, int fd, struct errbuf *why)
{
    const struct http_config *c = &s->config;
    uint32_t quiet_ms = c->idle_ms > c->send_ms ? c->idle_ms : c->send_ms;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem pool[] = { { MHD_OPTION_END, 0, NULL }, { MHD_OPTION_END, 0, NULL } };
    if (c->io_threads > 1) {
        pool[0] = (struct MHD_OptionItem){ MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)c->io_threads,
                                           NULL };
    }
    /* The logger comes first, so that it hears of the other options. */
    s->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, s, MHD_OPTION_EXTERNAL_LOGGER, on_message, NULL,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_URI_LOG_CALLBACK,
        on_target, s, MHD_OPTION_UNESCAPE_CALLBACK, keep_escaped, NULL,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
        s, MHD_OPTION_CONNECTION_LIMIT, c->connections_max, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        c->connections_per_address_max, MHD_OPTION_CONNECTION_TIMEOUT, quiet_ms / 1000u + 1u,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_ARRAY, pool,
        MHD_OPTION_END);
    if (s->daemon == NULL) {
        (void)close(fd);
        return err_set(why, SHOAL_EBUSY, "%s: no thread or descriptor for the HTTP server",
                       s->address);
    }
    return SHOAL_OK;
}

static enum shoal_err start_pools(struct http_server *s, struct errbuf *why)
{
    const struct pool_config fast = { .name = "http",
                                      .threads_len = s->config.fast_threads,
                                      .queue_len_max = s->config.fast_queue_len_max };
    const struct pool_config slow = { .name = "http-slow",
                                      .threads_len = s->config.slow_threads,
                                      .queue_len_max = s->config.slow_queue_len_max };
    enum shoal_err rc = pool_new(&fast, &s->fast, why);
    return rc != SHOAL_OK ? rc : pool_new(&slow, &s->slow, why);
}

static void make_metrics(struct http_server *s)
{
    struct metrics *m = s->config.metrics;
    if (m == NULL) {
        return;
    }
    const struct metric_desc conns = { .name = "shoal_http_connections",
                                       .help = "Open connections." };
    const struct metric_desc exchanges = { .name = "shoal_http_requests_in_flight",
                                           .help = "Requests being read, handled or answered." };
    const struct metric_label fast = { .name = "lane", .value = "fast" };
    const struct metric_label slow = { .name = "lane", .value = "slow" };
    struct metric_desc queue = { .name = "shoal_http_queue_length",
                                 .help = "Requests that wait for a thread.",
                                 .labels = &fast,
                                 .labels_len = 1 };
    /* A metric that could not be made is NULL and does nothing. */
    (void)metrics_gauge(m, &conns, &s->connections_gauge);
    (void)metrics_gauge(m, &exchanges, &s->exchanges_gauge);
    (void)metrics_gauge(m, &queue, &s->fast_gauge);
    queue.labels = &slow;
    (void)metrics_gauge(m, &queue, &s->slow_gauge);
}

enum shoal_err http_server_new(const struct http_config *config, struct http_server **out,
                               struct errbuf *why)
{
    *out = NULL;
    assert(config->app.admit != NULL && config->app.handle != NULL && config->app.refuse != NULL);
    struct http_server *s = mem_calloc(1, sizeof(*s));
    if (s == NULL) {
        return SHOAL_ENOMEM;
    }
    s->config = *config;
    s->config.address = NULL; /* not kept: the caller's */
    fill_defaults(&s->config);
    s->trace_seed = rand_u64(rand_system());
    mutex_init(&s->conns_mutex);
    cond_init(&s->conns_changed);
    cond_init(&s->all_answered);
    make_metrics(s);
    int fd = -1;
    enum shoal_err rc = start_pools(s, why);
    if (rc == SHOAL_OK) {
        rc = thread_start(&s->sweeper, "http-sweep", http__sweep, s, why);
    }
    if (rc == SHOAL_OK) {
        rc = http__listen(config->address, &fd, s->address, sizeof(s->address), why);
    }
    if (rc == SHOAL_OK) {
        rc = start_daemon(s, fd, why);
    }
    if (rc != SHOAL_OK) {
        http_server_free(s);
        return rc;
    }
    *out = s;
    return SHOAL_OK;
}

const char *http_server_address(const struct http_server *s)
{
    return s->address;
}

void http_server_observe(struct http_server *s)
{
    mutex_lock(&s->conns_mutex);
    size_t conns = s->conns_len;
    size_t exchanges = s->exchanges;
    mutex_unlock(&s->conns_mutex);
    metric_set(s->connections_gauge, (double)conns);
    metric_set(s->exchanges_gauge, (double)exchanges);
    metric_set(s->fast_gauge, (double)pool_queue_len(s->fast));
    metric_set(s->slow_gauge, (double)pool_queue_len(s->slow));
}

/* --- end ------------------------------------------------------------------------------------ */

void http_server_drain(struct http_server *s)
{
    atomic_store(&s->draining, true);
}

bool http_server_is_draining(const struct http_server *s)
{
    return atomic_load(&s->draining);
}

/* Streams may last for ever: after the deadline their producers are told to stop. */
static void abandon_streams(struct http_server *s)
{
    mutex_lock(&s->conns_mutex);
    for (struct http_conn *c = s->conns; c != NULL; c = c->next) {
        (void)http__stream_abandon(c, false);
    }
    mutex_unlock(&s->conns_mutex);
}

void http_server_stop(struct http_server *s, uint64_t deadline_ns)
{
    http_server_drain(s);
    atomic_store(&s->stopping, true);
    mutex_lock(&s->conns_mutex);
    bool in_time = true;
    while (s->exchanges > 0 && in_time) {
        in_time = cond_wait_until(&s->all_answered, &s->conns_mutex, deadline_ns);
    }
    mutex_unlock(&s->conns_mutex);
    if (s->daemon == NULL) {
        return;
    }
    abandon_streams(s);
    /* After this nothing is suspended, which libmicrohttpd insists on. */
    pool_stop(s->fast);
    pool_stop(s->slow);
    MHD_stop_daemon(s->daemon);
    s->daemon = NULL;
}

void http_server_free(struct http_server *s)
{
    if (s == NULL) {
        return;
    }
    http_server_stop(s, 0);
    mutex_lock(&s->conns_mutex);
    s->sweeper_ends = true;
    cond_broadcast(&s->conns_changed);
    mutex_unlock(&s->conns_mutex);
    thread_join(&s->sweeper);
    assert(s->conns == NULL && s->exchanges == 0);
    pool_free(s->slow);
    pool_free(s->fast);
    cond_release(&s->all_answered);
    cond_release(&s->conns_changed);
    mutex_release(&s->conns_mutex);
    mem_free(s);
}
