/* Load harness for a running shoald, over NNG through libshoal or over HTTP.
 *
 *     bench_server --url shoal://HOST:PORT | http://HOST:PORT --collection NAME --dim N
 *         [--load FILE --shards N --m N --ef-construction N --seal-rows N]
 *         [--query FILE --truth FILE --ef N,N,.. --threads N,N,..]
 *
 * --load makes the collection, writes the rows of the file and waits until all are indexed. With
 * --query each setting is asked twice: one pass checks the answers against the truth, the others
 * only measure. The loop is closed: each thread sends its next query when it has its answer.
 * Every line printed is `name key=value ...`. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/thread.h"
#include "client/shoal.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 1000
#define SETTINGS_MAX 16
#define THREADS_MAX 64
#define ANSWER_MAX (1u << 20)
#define LOADED_WAIT_S 1800
/* A hit as good as the k-th best counts; JSON's shortest floats read back exactly, so this is for
 * sums in another order alone. */
#define TOLERANCE 1e-5f

struct options {
    const char *url;
    const char *collection;
    const char *load;
    const char *query;
    const char *truth;
    uint32_t dim, shards, m, ef_construction, seal_rows, k;
    uint32_t efs[SETTINGS_MAX];
    size_t efs_len;
    uint32_t threads[SETTINGS_MAX];
    size_t threads_len;
    unsigned repeat;
    double recall_min;
};

struct rows {
    float *data;
    size_t len;
};

static void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "bench_server: %s: %s\n", what, why);
    exit(1);
}

static struct rows read_rows(const char *path, size_t width)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL || fseek(f, 0, SEEK_END) != 0) {
        perror(path);
        exit(1);
    }
    size_t bytes = (size_t)ftell(f);
    rewind(f);
    struct rows r = { .data = mem_aligned(bytes), .len = bytes / (width * sizeof(float)) };
    if (r.data == NULL || fread(r.data, 1, bytes, f) != bytes) {
        die(path, "cannot be read");
    }
    (void)fclose(f);
    return r;
}

static uint64_t now_ns(void)
{
    return clock_mono_ns(clock_real());
}

/* --- loading -------------------------------------------------------------------------------- */

static void create(struct shoal *db, const struct options *o)
{
    char path[300];
    char body[512];
    char *json = NULL;
    char why[SHOAL_WHY_MAX];
    (void)snprintf(path, sizeof(path), "/collections/%s", o->collection);
    (void)snprintf(body, sizeof(body),
                   "{\"vectors\":{\"size\":%" PRIu32 ",\"distance\":\"Cosine\"},"
                   "\"shard_number\":%" PRIu32 ",\"hnsw_config\":{\"m\":%" PRIu32
                   ",\"ef_construct\":%" PRIu32 "},\"shoal\":{\"seal_rows\":%" PRIu32 "}}",
                   o->dim, o->shards, o->m, o->ef_construction, o->seal_rows);
    if (shoal_call(db, "PUT", path, body, &json, why) != 0) {
        die("create", why);
    }
    shoal_text_free(json);
}

/* Points whose rows lie in segments, and the status, out of the collection's info. */
static uint64_t indexed(struct shoal *db, const char *name, bool *green)
{
    char *json = NULL;
    char why[SHOAL_WHY_MAX];
    if (shoal_collection_info(db, name, &json, why) != 0) {
        die("info", why);
    }
    struct json_doc *doc = NULL;
    struct json_value result;
    struct json_value v;
    uint64_t n = 0;
    struct slice status = { NULL, 0 };
    if (json_parse(slice_from_str(json), &doc, NULL) != SHOAL_OK) {
        die("info", "is no JSON");
    }
    if (!json_get(json_root(doc), "result", &result)) {
        result = json_root(doc);
    }
    if (!json_get(result, "indexed_vectors_count", &v) || !json_u64(v, &n) ||
        !json_get(result, "status", &v) || !json_string(v, &status)) {
        die("info", "lacks indexed_vectors_count or status");
    }
    *green = slice_is(status, "green");
    json_free(doc);
    shoal_text_free(json);
    return n;
}

static void load(struct shoal *db, const struct options *o)
{
    struct rows base = read_rows(o->load, o->dim);
    struct shoal_id ids[BATCH];
    char why[SHOAL_WHY_MAX];
    create(db, o);
    uint64_t start_ns = now_ns();
    for (size_t at = 0; at < base.len; at += BATCH) {
        size_t n = base.len - at < BATCH ? base.len - at : BATCH;
        for (size_t i = 0; i < n; i++) {
            ids[i] = shoal_id_number(at + i);
        }
        const struct shoal_points points = {
            .len = n,
            .dim = o->dim,
            .ids = ids,
            .vectors = base.data + at * o->dim,
            .wait = at + n == base.len, /* the last: then all before it are visible too */
        };
        if (shoal_upsert(db, o->collection, &points, why) != 0) {
            die("upsert", why);
        }
    }
    double write_s = (double)(now_ns() - start_ns) / 1e9;
    bool green = false;
    uint64_t deadline_ns = now_ns() + UINT64_C(1000000000) * LOADED_WAIT_S;
    uint64_t n = indexed(db, o->collection, &green);
    while (!green && now_ns() < deadline_ns) {
        struct timespec pause = { .tv_nsec = 100000000 };
        (void)nanosleep(&pause, NULL); /* style: polls the progress of another process */
        n = indexed(db, o->collection, &green);
    }
    (void)printf("load rows=%zu shards=%" PRIu32 " write_s=%.2f rows_per_s=%.0f indexed_s=%.2f "
                 "indexed=%" PRIu64 " green=%d\n",
                 base.len, o->shards, write_s, (double)base.len / write_s,
                 (double)(now_ns() - start_ns) / 1e9, n, green);
    mem_free(base.data);
}

/* --- one connection ------------------------------------------------------------------------- */

struct connection {
    struct shoal *db; /* NNG; shared by all threads, as the library allows */
    int fd;           /* HTTP */
    char *answer;     /* HTTP: the last one's body, terminated */
    char *body;
    size_t body_len;
};

/* What a worker asks; requests over HTTP are put together before anything is measured. */
struct workload {
    const struct options *o;
    struct rows queries;
    const float *truth;
    struct buf *requests; /* HTTP: one for each query */
    struct shoal *db;
    uint32_t ef;
};

static bool is_http(const struct options *o)
{
    return strncmp(o->url, "http://", 7) == 0;
}

static int dial(const char *url)
{
    char host[64];
    const char *at = url + strlen("http://");
    const char *colon = strrchr(at, ':');
    if (colon == NULL || (size_t)(colon - at) >= sizeof(host)) {
        die(url, "give http://ADDRESS:PORT");
    }
    memcpy(host, at, (size_t)(colon - at));
    host[colon - at] = '\0';
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10)) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    if (fd < 0 || inet_pton(AF_INET, host, &to.sin_addr) != 1 ||
        connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0) {
        perror(url);
        exit(1);
    }
    return fd;
}

/* Reads one answer with a Content-Length; anything but 200 ends the run. */
static void read_answer(struct connection *c)
{
    size_t len = 0;
    char *end = NULL;
    while (end == NULL) {
        ssize_t n = read(c->fd, c->answer + len, ANSWER_MAX - len - 1);
        if (n <= 0) {
            die("answer", "the connection ended");
        }
        len += (size_t)n;
        c->answer[len] = '\0';
        end = strstr(c->answer, "\r\n\r\n");
    }
    const char *field = strcasestr(c->answer, "content-length:");
    if (strncmp(c->answer, "HTTP/1.1 200", 12) != 0 || field == NULL) {
        die("answer", c->answer);
    }
    c->body = end + 4;
    c->body_len = strtoul(field + strlen("content-length:"), NULL, 10);
    size_t whole = (size_t)(c->body - c->answer) + c->body_len;
    while (len < whole && whole < ANSWER_MAX) {
        ssize_t n = read(c->fd, c->answer + len, ANSWER_MAX - len - 1);
        if (n <= 0) {
            die("answer", "the connection ended");
        }
        len += (size_t)n;
    }
    c->body[c->body_len] = '\0';
}

static void ask_http(struct connection *c, const struct workload *w, size_t i)
{
    const struct buf *r = &w->requests[i];
    for (size_t sent = 0; sent < r->len;) {
        ssize_t n = write(c->fd, r->data + sent, r->len - sent);
        if (n <= 0) {
            die("request", "the connection ended");
        }
        sent += (size_t)n;
    }
    read_answer(c);
}

static size_t count_http(const struct connection *c, float worst)
{
    struct json_doc *doc = NULL;
    struct json_value v;
    struct json_value points;
    struct json_value point;
    size_t found = 0;
    if (json_parse(slice_make(c->body, c->body_len), &doc, NULL) != SHOAL_OK ||
        !json_get(json_root(doc), "result", &v) || !json_get(v, "points", &points)) {
        die("answer", c->body);
    }
    struct json_iter it = json_iter(points);
    while (json_next(&it, NULL, &point)) {
        double score = 0;
        if (!json_get(point, "score", &v) || !json_f64(v, &score)) {
            die("answer", "a point without score");
        }
        found += (float)score >= worst - TOLERANCE;
    }
    json_free(doc);
    return found;
}

/* One query; `found` (may be NULL) is set to how many of the true k came back. */
static void ask(struct connection *c, const struct workload *w, size_t i, size_t *found)
{
    if (is_http(w->o)) {
        ask_http(c, w, i);
        if (found != NULL) {
            *found = count_http(c, w->truth[i]);
        }
        return;
    }
    const struct shoal_search search = {
        .vector = w->queries.data + i * w->o->dim, .dim = w->o->dim, .limit = w->o->k, .ef = w->ef
    };
    struct shoal_hits *hits = NULL;
    char why[SHOAL_WHY_MAX];
    if (shoal_search(c->db, w->o->collection, &search, &hits, why) != 0) {
        die("search", why);
    }
    if (found != NULL) {
        *found = 0;
        for (size_t j = 0; j < hits->len; j++) {
            *found += hits->hits[j].score >= w->truth[i] - TOLERANCE;
        }
    }
    shoal_hits_free(hits);
}

static void connection_open(struct connection *c, const struct workload *w)
{
    *c = (struct connection){ .db = w->db, .fd = -1 };
    if (is_http(w->o)) {
        c->fd = dial(w->o->url);
        c->answer = mem_alloc(ANSWER_MAX);
        if (c->answer == NULL) {
            die("connection", "out of memory");
        }
    }
}

static void connection_close(struct connection *c)
{
    if (c->fd >= 0) {
        (void)close(c->fd);
    }
    mem_free(c->answer);
}

/* --- measuring ------------------------------------------------------------------------------ */

static void encode_requests(struct workload *w)
{
    for (size_t i = 0; i < w->queries.len; i++) {
        struct buf body;
        struct json_writer j;
        buf_init(&body, ANSWER_MAX);
        json_writer_init(&j, &body);
        json_begin_object(&j);
        json_key(&j, "query");
        json_put_floats(&j, w->queries.data + i * w->o->dim, w->o->dim);
        json_key(&j, "limit");
        json_put_u64(&j, w->o->k);
        if (w->ef != 0) {
            json_key(&j, "params");
            json_begin_object(&j);
            json_key(&j, "hnsw_ef");
            json_put_u64(&j, w->ef);
            json_end_object(&j);
        }
        json_end_object(&j);
        struct buf *r = &w->requests[i];
        buf_reset(r);
        if (buf_printf(r,
                       "POST /collections/%s/points/query HTTP/1.1\r\nHost: bench\r\n"
                       "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                       w->o->collection, body.len) != SHOAL_OK ||
            buf_append_slice(r, buf_slice(&body)) != SHOAL_OK) {
            die("request", "out of memory");
        }
        buf_release(&body);
    }
}

struct worker {
    const struct workload *w;
    struct thread thread;
    size_t first, step; /* it asks queries first, first + step, .. */
    uint64_t *ns;       /* by query; all workers share it, each writes its own */
};

static void worker_run(void *arg)
{
    struct worker *me = arg;
    struct connection c;
    connection_open(&c, me->w);
    for (size_t i = me->first; i < me->w->queries.len; i += me->step) {
        uint64_t start_ns = now_ns();
        ask(&c, me->w, i, NULL);
        me->ns[i] = now_ns() - start_ns;
    }
    connection_close(&c);
}

/* Wall time of one pass over all queries. */
static uint64_t pass(const struct workload *w, size_t threads, uint64_t *ns)
{
    struct worker workers[THREADS_MAX];
    uint64_t start_ns = now_ns();
    for (size_t t = 0; t < threads; t++) {
        workers[t] = (struct worker){ .w = w, .first = t, .step = threads, .ns = ns };
        if (thread_start(&workers[t].thread, "bench", worker_run, &workers[t], NULL) != SHOAL_OK) {
            die("thread", "cannot be started");
        }
    }
    for (size_t t = 0; t < threads; t++) {
        thread_join(&workers[t].thread);
    }
    return now_ns() - start_ns;
}

static double recall_of(const struct workload *w)
{
    struct connection c;
    size_t found = 0;
    connection_open(&c, w);
    for (size_t i = 0; i < w->queries.len; i++) {
        size_t n = 0;
        ask(&c, w, i, &n);
        found += n;
    }
    connection_close(&c);
    return (double)found / ((double)w->queries.len * w->o->k);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void measure(const struct workload *w, size_t threads, double recall)
{
    size_t n = w->queries.len;
    uint64_t *ns = mem_array(n, sizeof(*ns));
    uint64_t *best = mem_array(n, sizeof(*best));
    if (ns == NULL || best == NULL) {
        die("measure", "out of memory");
    }
    uint64_t best_ns = UINT64_MAX;
    for (unsigned r = 0; r < w->o->repeat; r++) {
        uint64_t wall_ns = pass(w, threads, ns);
        if (wall_ns < best_ns) {
            best_ns = wall_ns;
            memcpy(best, ns, n * sizeof(*ns));
        }
    }
    qsort(best, n, sizeof(*best), compare_u64);
    uint64_t p50_ns = best[n / 2];
    uint64_t p95_ns = best[n * 95 / 100];
    uint64_t p99_ns = best[n * 99 / 100];
    (void)printf("search ef=%" PRIu32 " threads=%zu recall=%.4f qps=%.1f p50_us=%.1f p95_us=%.1f "
                 "p99_us=%.1f queries=%zu\n",
                 w->ef, threads, recall, (double)n / ((double)best_ns / 1e9), (double)p50_ns / 1e3,
                 (double)p95_ns / 1e3, (double)p99_ns / 1e3, n * w->o->repeat);
    (void)fflush(stdout);
    mem_free(ns);
    mem_free(best);
}

static bool run(struct shoal *db, const struct options *o)
{
    struct workload w = { .o = o, .db = db, .queries = read_rows(o->query, o->dim) };
    struct rows truth = read_rows(o->truth, 1);
    bool good = true;
    if (truth.len != w.queries.len) {
        die(o->truth, "is of other queries");
    }
    w.truth = truth.data;
    w.requests = mem_calloc(w.queries.len, sizeof(*w.requests));
    if (w.requests == NULL) {
        die("requests", "out of memory");
    }
    for (size_t i = 0; i < w.queries.len; i++) {
        buf_init(&w.requests[i], ANSWER_MAX);
    }
    for (size_t e = 0; e < o->efs_len; e++) {
        w.ef = o->efs[e];
        encode_requests(&w);
        double recall = recall_of(&w);
        good = good && recall >= o->recall_min;
        for (size_t t = 0; t < o->threads_len; t++) {
            measure(&w, o->threads[t], recall);
        }
    }
    for (size_t i = 0; i < w.queries.len; i++) {
        buf_release(&w.requests[i]);
    }
    mem_free(w.requests);
    mem_free(w.queries.data);
    mem_free(truth.data);
    return good;
}

/* --- command line --------------------------------------------------------------------------- */

static void usage(void)
{
    (void)fputs("bench_server --url shoal://HOST:PORT | http://ADDRESS:PORT --collection NAME\n"
                "    --dim N [--load FILE --shards N --m N --ef-construction N --seal-rows N]\n"
                "    [--query FILE --truth FILE --ef N,N,.. --threads N,N,.. --k N --repeat N\n"
                "     --recall-min R]\n",
                stderr);
    exit(2);
}

static size_t parse_list(const char *text, uint32_t *out, uint32_t max)
{
    size_t len = 0;
    char *end = NULL;
    do {
        out[len] = (uint32_t)strtoul(text, &end, 10);
        if (end == text || out[len] > max) {
            usage();
        }
        len++;
        text = end + 1;
    } while (*end == ',' && len < SETTINGS_MAX);
    return len;
}

static const struct option long_options[] = {
    { "url", 1, NULL, 'u' },
    { "collection", 1, NULL, 'c' },
    { "load", 1, NULL, 'l' },
    { "query", 1, NULL, 'q' },
    { "truth", 1, NULL, 't' },
    { "dim", 1, NULL, 'd' },
    { "shards", 1, NULL, 's' },
    { "m", 1, NULL, 'm' },
    { "ef-construction", 1, NULL, 'C' },
    { "seal-rows", 1, NULL, 'R' },
    { "k", 1, NULL, 'k' },
    { "ef", 1, NULL, 'e' },
    { "threads", 1, NULL, 'T' },
    { "repeat", 1, NULL, 'r' },
    { "recall-min", 1, NULL, 'M' },
    { NULL, 0, NULL, 0 },
};

static void take_option(struct options *o, int id, const char *value)
{
    uint32_t number = (uint32_t)strtoul(value, NULL, 10);
    switch (id) {
    case 'u': o->url = value; break;
    case 'c': o->collection = value; break;
    case 'l': o->load = value; break;
    case 'q': o->query = value; break;
    case 't': o->truth = value; break;
    case 'd': o->dim = number; break;
    case 's': o->shards = number; break;
    case 'm': o->m = number; break;
    case 'C': o->ef_construction = number; break;
    case 'R': o->seal_rows = number; break;
    case 'k': o->k = number; break;
    case 'e': o->efs_len = parse_list(value, o->efs, UINT32_MAX); break;
    case 'T': o->threads_len = parse_list(value, o->threads, THREADS_MAX); break;
    case 'r': o->repeat = number; break;
    case 'M': o->recall_min = strtod(value, NULL); break;
    default: usage();
    }
}

int main(int argc, char **argv)
{
    struct options o = { .shards = 1,
                         .m = 32,
                         .ef_construction = 200,
                         .seal_rows = 20000,
                         .k = 10,
                         .efs_len = 1,
                         .threads = { 1 },
                         .threads_len = 1,
                         .repeat = 3 };
    for (int id = 0; (id = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        take_option(&o, id, optarg == NULL ? "" : optarg);
    }
    if (o.url == NULL || o.collection == NULL || o.dim == 0 || o.k == 0 || o.repeat == 0 ||
        (o.query == NULL) != (o.truth == NULL) || (o.load != NULL && is_http(&o))) {
        usage();
    }
    struct shoal *db = NULL;
    char why[SHOAL_WHY_MAX];
    if (!is_http(&o) && shoal_open(o.url, NULL, &db, why) != 0) {
        die(o.url, why);
    }
    if (o.load != NULL) {
        load(db, &o);
    }
    bool good = o.query == NULL || run(db, &o);
    shoal_close(db);
    return good ? 0 : 1;
}
