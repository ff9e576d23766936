/* In-process benchmark of index/: builds an index over raw vectors, or maps one built before, and
 * measures queries one after another on one thread.
 *
 *     bench_index --base FILE --query FILE --dim N [--kind hnsw] [--distance Cosine] ...
 *
 * FILEs hold rows of little-endian 32-bit floats and nothing else. Every line printed is
 * `name key=value ...`. Recall is against an exact scan of the same rows, made here or read from
 * the file that an earlier run left with --truth; a run below --recall-min fails. */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rand.h"
#include "index/index.h"

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SETTINGS_MAX 32

struct options {
    const char *base;
    const char *query;
    const char *truth;
    const char *stored; /* prefix of the files <stored>.rows and <stored>.index */
    struct index_config config;
    size_t k;
    size_t rows_max;
    uint32_t settings[SETTINGS_MAX]; /* ef or nprobe */
    size_t settings_len;
    double allow; /* share of rows that a drawn filter lets through; 1: no filter */
    unsigned repeat;
    double recall_min;
};

struct mapping {
    const char *data;
    size_t len;
};

struct bench {
    struct options opt;
    struct mapping base;
    struct mapping query;
    size_t rows;
    size_t queries;
    struct mapping vectors; /* in stored order */
    struct mapping bytes;
    struct index *index;
    uint8_t *allowed;
    struct index_filter filter;
    float *truth; /* queries: the k-th best exact score */
};

static void die(const char *what, enum shoal_err rc, const struct errbuf *why)
{
    (void)fprintf(stderr, "bench_index: %s: %s\n", what, err_why(why, rc));
    exit(1);
}

static struct mapping map_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size == 0) {
        perror(path);
        exit(1);
    }
    struct mapping m = { .len = (size_t)st.st_size };
    void *data = mmap(NULL, m.len, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (data == MAP_FAILED) {
        perror(path);
        exit(1);
    }
    m.data = data;
    (void)close(fd);
    return m;
}

static void write_all(FILE *f, const void *data, size_t len)
{
    if (fwrite(data, 1, len, f) != len) {
        perror("bench_index: write");
        exit(1);
    }
}

static FILE *create(const char *path)
{
    FILE *f = fopen(path, "wb");
    if (f == NULL) {
        perror(path);
        exit(1);
    }
    return f;
}

static void finish(FILE *f)
{
    if (fclose(f) != 0) {
        perror("bench_index: close");
        exit(1);
    }
}

static const float *query_at(const struct bench *b, size_t i)
{
    return (const float *)(const void *)b->query.data + i * b->opt.config.dim;
}

/* Resident memory of this process now and at its peak, in MB, from the kernel's own count. */
static void print_memory(const char *when)
{
    static const struct {
        const char *field;
        const char *name;
    } fields[] = { { "VmHWM:", "peak_mb" },
                   { "RssAnon:", "private_mb" },
                   { "RssFile:", "file_mb" } };
    FILE *f = fopen("/proc/self/status", "r");
    if (f == NULL) {
        return;
    }
    char line[256];
    (void)printf("memory when=%s", when);
    while (fgets(line, sizeof(line), f) != NULL) {
        for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
            size_t len = strlen(fields[i].field);
            if (strncmp(line, fields[i].field, len) == 0) {
                (void)printf(" %s=%lu", fields[i].name, strtoul(line + len, NULL, 10) / 1024);
            }
        }
    }
    (void)printf("\n");
    (void)fclose(f);
}

static void store(const struct bench *b, const struct index_built *built)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s.rows", b->opt.stored);
    FILE *f = create(path);
    size_t row_bytes = b->opt.config.dim * sizeof(float);
    for (size_t i = 0; i < b->rows; i++) {
        size_t row = built->order == NULL ? i : built->order[i];
        write_all(f, b->base.data + row * row_bytes, row_bytes);
    }
    finish(f);
    (void)snprintf(path, sizeof(path), "%s.index", b->opt.stored);
    f = create(path);
    write_all(f, built->bytes, built->bytes_len);
    finish(f);
}

/* Builds unless --stored names files that are there already. */
static void prepare_index(struct bench *b)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s.index", b->opt.stored);
    struct errbuf why;
    err_clear(&why);
    if (access(path, R_OK) != 0) {
        struct index_built built;
        uint64_t start_ns = clock_mono_ns(clock_real());
        enum shoal_err rc = index_build(&b->opt.config, (const void *)b->base.data, b->rows, NULL,
                                        &built, &why);
        if (rc != SHOAL_OK) {
            die("build", rc, &why);
        }
        double s = (double)(clock_mono_ns(clock_real()) - start_ns) / 1e9;
        (void)printf("build kind=%s rows=%zu dim=%" PRIu32 " threads=%" PRIu32
                     " seconds=%.2f derived_mb=%.1f\n",
                     index_kind_name(b->opt.config.kind), b->rows, b->opt.config.dim,
                     b->opt.config.threads, s, (double)built.bytes_len / 1e6);
        print_memory("built");
        store(b, &built);
        index_built_release(&built);
    }
    b->bytes = map_file(path);
    (void)snprintf(path, sizeof(path), "%s.rows", b->opt.stored);
    b->vectors = map_file(path);
    uint64_t start_ns = clock_mono_ns(clock_real());
    enum shoal_err rc = index_open(&b->opt.config, (const void *)b->vectors.data, b->rows,
                                   (struct slice){ b->bytes.data, b->bytes.len }, &b->index, &why);
    if (rc != SHOAL_OK) {
        die("open", rc, &why);
    }
    uint64_t opened_ns = clock_mono_ns(clock_real()) - start_ns;
    start_ns = clock_mono_ns(clock_real());
    rc = index_validate(b->index, &why);
    if (rc != SHOAL_OK) {
        die("validate", rc, &why);
    }
    (void)printf("open us=%.1f validate_ms=%.1f\n", (double)opened_ns / 1e3,
                 (double)(clock_mono_ns(clock_real()) - start_ns) / 1e6);
}

static void draw_filter(struct bench *b)
{
    if (b->opt.allow >= 1) {
        return;
    }
    b->allowed = mem_calloc(b->rows / 8 + 1, 1);
    if (b->allowed == NULL) {
        die("filter", SHOAL_ENOMEM, NULL);
    }
    struct rand_seeded rand;
    rand_seeded_init(&rand, b->opt.config.seed);
    for (size_t i = 0; i < b->rows; i++) {
        if (rand_unit(&rand.source) < b->opt.allow) {
            b->allowed[i / 8] |= (uint8_t)(1u << (i % 8));
            b->filter.allowed_len++;
        }
    }
    b->filter.allowed = b->allowed;
}

static size_t search(const struct bench *b, const struct index_query *q, struct index_hit *hits)
{
    struct errbuf why;
    err_clear(&why);
    size_t n = 0;
    enum shoal_err rc = index_search(b->index, q, hits, &n, &why);
    if (rc != SHOAL_OK) {
        die("search", rc, &why);
    }
    return n;
}

static struct index_query query_for(const struct bench *b, size_t i)
{
    return (struct index_query){
        .vector = query_at(b, i),
        .k = b->opt.k,
        .filter = b->allowed == NULL ? NULL : &b->filter,
    };
}

/* The truth is kept as the k-th best score: any row at least that good counts as found, so equal
 * rows are no misses and the order of the rows does not matter. */
static void prepare_truth(struct bench *b, struct index_hit *hits)
{
    b->truth = mem_array(b->queries, sizeof(float));
    if (b->truth == NULL) {
        die("truth", SHOAL_ENOMEM, NULL);
    }
    if (b->opt.truth != NULL && access(b->opt.truth, R_OK) == 0) {
        struct mapping m = map_file(b->opt.truth);
        if (m.len != b->queries * sizeof(float)) {
            (void)fprintf(stderr, "bench_index: %s is of another run\n", b->opt.truth);
            exit(1);
        }
        memcpy(b->truth, m.data, m.len);
        return;
    }
    uint64_t start_ns = clock_mono_ns(clock_real());
    for (size_t i = 0; i < b->queries; i++) {
        struct index_query q = query_for(b, i);
        q.exact = true;
        size_t n = search(b, &q, hits);
        b->truth[i] = n == 0 ? 0 : hits[n - 1].score;
    }
    double s = (double)(clock_mono_ns(clock_real()) - start_ns) / 1e9;
    (void)printf("exact qps=%.1f\n", (double)b->queries / s);
    if (b->opt.truth != NULL) {
        FILE *f = create(b->opt.truth);
        write_all(f, b->truth, b->queries * sizeof(float));
        finish(f);
    }
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* One pass over all queries: fills ns (queries), returns how many true neighbours were found. */
static size_t pass(const struct bench *b, uint32_t setting, uint64_t *ns, struct index_hit *hits)
{
    size_t found = 0;
    for (size_t i = 0; i < b->queries; i++) {
        struct index_query q = query_for(b, i);
        q.ef = setting;
        q.nprobe = setting;
        uint64_t start_ns = clock_mono_ns(clock_real());
        size_t n = search(b, &q, hits);
        ns[i] = clock_mono_ns(clock_real()) - start_ns;
        for (size_t j = 0; j < n; j++) {
            found += !distance_better(b->opt.config.distance, b->truth[i], hits[j].score);
        }
    }
    return found;
}

static size_t truth_len(const struct bench *b)
{
    size_t rows = b->allowed == NULL ? b->rows : b->filter.allowed_len;
    return b->queries * (rows < b->opt.k ? rows : b->opt.k);
}

/* The best of the passes, since other work shares the machine. False below --recall-min. */
static bool measure(const struct bench *b, uint32_t setting, struct index_hit *hits)
{
    uint64_t *ns = mem_array(b->queries, sizeof(*ns));
    if (ns == NULL) {
        die("search", SHOAL_ENOMEM, NULL);
    }
    double best_s = 0;
    double recall = 0;
    uint64_t p50 = 0;
    uint64_t p95 = 0;
    uint64_t p99 = 0;
    for (unsigned r = 0; r < b->opt.repeat; r++) {
        recall = (double)pass(b, setting, ns, hits) / (double)truth_len(b);
        uint64_t total_ns = 0;
        for (size_t i = 0; i < b->queries; i++) {
            total_ns += ns[i];
        }
        if (r == 0 || (double)total_ns / 1e9 < best_s) {
            best_s = (double)total_ns / 1e9;
            qsort(ns, b->queries, sizeof(*ns), compare_u64);
            p50 = ns[b->queries / 2];
            p95 = ns[b->queries * 95 / 100];
            p99 = ns[b->queries * 99 / 100];
        }
    }
    mem_free(ns);
    (void)printf("search kind=%s setting=%" PRIu32 " allow=%g k=%zu recall=%.4f qps=%.1f "
                 "p50_us=%.1f p95_us=%.1f p99_us=%.1f\n",
                 index_kind_name(b->opt.config.kind), setting, b->opt.allow, b->opt.k, recall,
                 (double)b->queries / best_s, (double)p50 / 1e3, (double)p95 / 1e3,
                 (double)p99 / 1e3);
    (void)fflush(stdout);
    return recall >= b->opt.recall_min;
}

static void parse_settings(struct options *o, const char *text)
{
    char *end = NULL;
    o->settings_len = 0;
    do {
        o->settings[o->settings_len++] = (uint32_t)strtoul(text, &end, 10);
        text = end + 1;
    } while (*end == ',' && o->settings_len < SETTINGS_MAX);
}

static void usage(void)
{
    (void)fputs(
        "bench_index --base FILE --query FILE --dim N [options]\n"
        "  --base FILE --query FILE   rows of 32-bit floats\n"
        "  --dim N                    components of a row\n"
        "  --kind NAME                flat, hnsw (default) or ivf_flat\n"
        "  --distance NAME            Cosine (default; rows must be normalised), Dot, Euclid,\n"
        "                             Manhattan\n"
        "  --m N --ef-construction N --nlist N --threads N --seed N   of the build\n"
        "  --settings N,N,...         ef or nprobe of the searches; 0: the default\n"
        "  --k N                      hits a query (10)\n"
        "  --rows N                   use the first rows only\n"
        "  --allow SHARE              filter that lets this share of rows through, drawn by seed\n"
        "  --repeat N                 passes over the queries; the fastest counts (3)\n"
        "  --stored PREFIX            where the index is kept; reused when it is there\n"
        "  --truth FILE               where exact answers are kept; reused when it is there\n"
        "  --recall-min R             fail when a recall is below\n",
        stderr);
    exit(2);
}

enum option_id {
    OPT_BASE = 1,
    OPT_QUERY,
    OPT_DIM,
    OPT_KIND,
    OPT_DISTANCE,
    OPT_M,
    OPT_EFC,
    OPT_NLIST,
    OPT_THREADS,
    OPT_SEED,
    OPT_SETTINGS,
    OPT_K,
    OPT_ROWS,
    OPT_ALLOW,
    OPT_REPEAT,
    OPT_STORED,
    OPT_TRUTH,
    OPT_RECALL_MIN
};

static const struct option long_options[] = {
    { "base", 1, NULL, OPT_BASE },
    { "query", 1, NULL, OPT_QUERY },
    { "dim", 1, NULL, OPT_DIM },
    { "kind", 1, NULL, OPT_KIND },
    { "distance", 1, NULL, OPT_DISTANCE },
    { "m", 1, NULL, OPT_M },
    { "ef-construction", 1, NULL, OPT_EFC },
    { "nlist", 1, NULL, OPT_NLIST },
    { "threads", 1, NULL, OPT_THREADS },
    { "seed", 1, NULL, OPT_SEED },
    { "settings", 1, NULL, OPT_SETTINGS },
    { "k", 1, NULL, OPT_K },
    { "rows", 1, NULL, OPT_ROWS },
    { "allow", 1, NULL, OPT_ALLOW },
    { "repeat", 1, NULL, OPT_REPEAT },
    { "stored", 1, NULL, OPT_STORED },
    { "truth", 1, NULL, OPT_TRUTH },
    { "recall-min", 1, NULL, OPT_RECALL_MIN },
    { NULL, 0, NULL, 0 },
};

static void take_option(struct options *o, int id, const char *value)
{
    uint32_t number = (uint32_t)strtoul(value, NULL, 10);
    struct slice name = slice_from_str(value);
    switch (id) {
    case OPT_BASE: o->base = value; break;
    case OPT_QUERY: o->query = value; break;
    case OPT_DIM: o->config.dim = number; break;
    case OPT_M: o->config.m = number; break;
    case OPT_EFC: o->config.ef_construction = number; break;
    case OPT_NLIST: o->config.nlist = number; break;
    case OPT_THREADS: o->config.threads = number; break;
    case OPT_SEED: o->config.seed = number; break;
    case OPT_SETTINGS: parse_settings(o, value); break;
    case OPT_K: o->k = number; break;
    case OPT_ROWS: o->rows_max = number; break;
    case OPT_ALLOW: o->allow = strtod(value, NULL); break;
    case OPT_REPEAT: o->repeat = number; break;
    case OPT_STORED: o->stored = value; break;
    case OPT_TRUTH: o->truth = value; break;
    case OPT_RECALL_MIN: o->recall_min = strtod(value, NULL); break;
    case OPT_KIND:
        if (index_kind_parse(name, &o->config.kind) != SHOAL_OK) {
            usage();
        }
        break;
    case OPT_DISTANCE:
        if (distance_parse(name, &o->config.distance) != SHOAL_OK) {
            usage();
        }
        break;
    default: usage();
    }
}

static struct options parse_options(int argc, char **argv)
{
    struct options o = {
        .stored = "bench_index",
        .config = { .kind = INDEX_HNSW,
                    .distance = DISTANCE_COSINE,
                    .m = 32,
                    .ef_construction = 200,
                    .threads = 2,
                    .seed = 1 },
        .k = 10,
        .settings_len = 1,
        .allow = 1,
        .repeat = 3,
    };
    for (int id = 0; (id = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        take_option(&o, id, optarg == NULL ? "" : optarg);
    }
    if (o.base == NULL || o.query == NULL || o.config.dim == 0 || o.k == 0 || o.repeat == 0) {
        usage();
    }
    return o;
}

int main(int argc, char **argv)
{
    struct bench b = { .opt = parse_options(argc, argv) };
    size_t row_bytes = b.opt.config.dim * sizeof(float);
    b.base = map_file(b.opt.base);
    b.query = map_file(b.opt.query);
    b.rows = b.base.len / row_bytes;
    b.queries = b.query.len / row_bytes;
    if (b.opt.rows_max != 0 && b.opt.rows_max < b.rows) {
        b.rows = b.opt.rows_max;
    }
    prepare_index(&b);
    draw_filter(&b);
    struct index_hit *hits = mem_array(b.opt.k, sizeof(*hits));
    if (hits == NULL) {
        die("search", SHOAL_ENOMEM, NULL);
    }
    prepare_truth(&b, hits);
    bool good = true;
    for (size_t s = 0; s < b.opt.settings_len; s++) {
        good = measure(&b, b.opt.settings[s], hits) && good;
    }
    print_memory("searched");
    index_close(b.index);
    mem_free(hits);
    mem_free(b.truth);
    mem_free(b.allowed);
    return good ? 0 : 1;
}
