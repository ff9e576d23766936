/* Series stand in one list, in the order they were made, and are updated by atomics. Making and
 * printing take a lock; updating does not. A histogram's sum is a double changed by
 * compare-and-swap: fine at the rates of requests. */
#include "base/metrics.h"

#include "base/mem.h"
#include "base/thread.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

enum kind { KIND_COUNTER, KIND_GAUGE, KIND_HISTOGRAM };

struct metric_counter {
    _Atomic uint64_t value;
};

struct metric_gauge {
    _Atomic double value;
};

struct metric_histogram {
    double bounds[METRICS_BUCKETS_MAX];
    size_t bounds_len;
    _Atomic uint64_t buckets[METRICS_BUCKETS_MAX + 1]; /* not cumulative; the last is the rest */
    _Atomic double sum;
};

struct series {
    enum kind kind;
    const char *name;
    const char *help;
    char *labels; /* printed: `a="b",c="d"`; owned; "" when none */
    union {
        struct metric_counter counter;
        struct metric_gauge gauge;
        struct metric_histogram histogram;
    } as;
    struct series *next;
};

struct metrics {
    struct mutex mutex;
    struct series *first; /* mutex, as are the two below */
    struct series **last;
    size_t len;
};

enum shoal_err metrics_new(struct metrics **out)
{
    struct metrics *m = mem_calloc(1, sizeof(*m));
    *out = m;
    if (m == NULL) {
        return SHOAL_ENOMEM;
    }
    m->last = &m->first;
    mutex_init(&m->mutex);
    return SHOAL_OK;
}

void metrics_free(struct metrics *m)
{
    if (m == NULL) {
        return;
    }
    while (m->first != NULL) {
        struct series *s = m->first;
        m->first = s->next;
        mem_free(s->labels);
        mem_free(s);
    }
    mutex_release(&m->mutex);
    mem_free(m);
}

/* --- making --------------------------------------------------------------------------------- */

static void put_label_value(struct buf *out, const char *v)
{
    for (; *v != '\0'; v++) {
        if (*v == '\\' || *v == '"') {
            (void)buf_append_char(out, '\\');
            (void)buf_append_char(out, *v);
        } else if (*v == '\n') {
            (void)buf_append_str(out, "\\n");
        } else {
            (void)buf_append_char(out, *v);
        }
    }
}

static enum shoal_err print_labels(const struct metric_desc *desc, char **out)
{
    struct buf text;
    buf_init(&text, 4096);
    assert(desc->labels_len <= METRICS_LABELS_MAX);
    for (size_t i = 0; i < desc->labels_len; i++) {
        (void)buf_printf(&text, "%s%s=\"", i == 0 ? "" : ",", desc->labels[i].name);
        put_label_value(&text, desc->labels[i].value);
        (void)buf_append_char(&text, '"');
    }
    if (buf_cstr(&text) == NULL) {
        enum shoal_err rc = text.failed;
        buf_release(&text);
        return rc;
    }
    size_t len;
    *out = buf_detach(&text, &len);
    return SHOAL_OK;
}

/* Takes `labels` over on success. Under the lock. */
static enum shoal_err add(struct metrics *m, const struct metric_desc *desc, enum kind kind,
                          char *labels, struct series **out)
{
    if (m->len == METRICS_SERIES_MAX) {
        return SHOAL_EFULL;
    }
    struct series *s = mem_calloc(1, sizeof(*s));
    if (s == NULL) {
        return SHOAL_ENOMEM;
    }
    s->kind = kind;
    s->name = desc->name;
    s->help = desc->help;
    s->labels = labels;
    *m->last = s;
    m->last = &s->next;
    m->len++;
    *out = s;
    return SHOAL_OK;
}

static struct series *find(struct metrics *m, const char *name, const char *labels)
{
    struct series *s = m->first;
    assert(name != NULL && labels != NULL);
    while (s != NULL && (strcmp(s->name, name) != 0 || strcmp(s->labels, labels) != 0)) {
        s = s->next;
    }
    return s;
}

static enum shoal_err find_or_make(struct metrics *m, const struct metric_desc *desc,
                                   enum kind kind, const double *bounds, size_t bounds_len,
                                   struct series **out)
{
    *out = NULL;
    char *labels = NULL;
    enum shoal_err rc = print_labels(desc, &labels);
    if (rc != SHOAL_OK) {
        return rc;
    }
    mutex_lock(&m->mutex);
    struct series *s = find(m, desc->name, labels);
    bool known = s != NULL;
    if (!known) {
        rc = add(m, desc, kind, labels, &s);
    }
    if (rc == SHOAL_OK && !known && kind == KIND_HISTOGRAM) {
        s->as.histogram.bounds_len = bounds_len;
        memcpy(s->as.histogram.bounds, bounds, bounds_len * sizeof(*bounds));
    }
    mutex_unlock(&m->mutex);
    if (known || rc != SHOAL_OK) {
        mem_free(labels);
    }
    if (rc == SHOAL_OK) {
        assert(s->kind == kind);
        *out = s;
    }
    return rc;
}

enum shoal_err metrics_counter(struct metrics *m, const struct metric_desc *desc,
                               struct metric_counter **out)
{
    struct series *s = NULL;
    enum shoal_err rc = find_or_make(m, desc, KIND_COUNTER, NULL, 0, &s);
    *out = s == NULL ? NULL : &s->as.counter;
    return rc;
}

enum shoal_err metrics_gauge(struct metrics *m, const struct metric_desc *desc,
                             struct metric_gauge **out)
{
    struct series *s = NULL;
    enum shoal_err rc = find_or_make(m, desc, KIND_GAUGE, NULL, 0, &s);
    *out = s == NULL ? NULL : &s->as.gauge;
    return rc;
}

enum shoal_err metrics_histogram(struct metrics *m, const struct metric_desc *desc,
                                 const double *bounds, size_t bounds_len,
                                 struct metric_histogram **out)
{
    *out = NULL;
    if (bounds_len == 0 || bounds_len > METRICS_BUCKETS_MAX) {
        return SHOAL_EINVAL;
    }
    struct series *s = NULL;
    enum shoal_err rc = find_or_make(m, desc, KIND_HISTOGRAM, bounds, bounds_len, &s);
    *out = s == NULL ? NULL : &s->as.histogram;
    return rc;
}

enum shoal_err metrics_seconds(struct metrics *m, const struct metric_desc *desc,
                               struct metric_histogram **out)
{
    static const double bounds[] = { 50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3,
                                     10e-3, 20e-3,  50e-3,  0.1,    0.2,  0.5,  1,
                                     2,     5,      10,     20,     30 };
    return metrics_histogram(m, desc, bounds, sizeof(bounds) / sizeof(bounds[0]), out);
}

/* --- updating ------------------------------------------------------------------------------- */

void metric_add(struct metric_counter *c, uint64_t by)
{
    if (c != NULL) {
        atomic_fetch_add_explicit(&c->value, by, memory_order_relaxed);
    }
}

static void add_double(_Atomic double *to, double by)
{
    double seen = atomic_load_explicit(to, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(to, &seen, seen + by, memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
}

void metric_set(struct metric_gauge *g, double value)
{
    if (g != NULL) {
        atomic_store_explicit(&g->value, value, memory_order_relaxed);
    }
}

void metric_gauge_add(struct metric_gauge *g, double by)
{
    if (g != NULL) {
        add_double(&g->value, by);
    }
}

void metric_observe(struct metric_histogram *h, double value)
{
    if (h == NULL || isnan(value)) {
        return;
    }
    size_t i = 0;
    while (i < h->bounds_len && value > h->bounds[i]) {
        i++;
    }
    atomic_fetch_add_explicit(&h->buckets[i], 1, memory_order_relaxed);
    add_double(&h->sum, value);
}

uint64_t metric_counter_value(const struct metric_counter *c)
{
    return c == NULL ? 0 : atomic_load_explicit(&c->value, memory_order_relaxed);
}

/* --- printing ------------------------------------------------------------------------------- */

static void print_head(const struct series *s, struct buf *out)
{
    static const char *const kinds[] = { "counter", "gauge", "histogram" };
    (void)buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", s->name, s->help, s->name,
                     kinds[s->kind]);
}

static void print_number(double v, struct buf *out)
{
    if (isnan(v) || isinf(v)) {
        (void)buf_append_str(out, isnan(v) ? "NaN\n" : v > 0 ? "+Inf\n" : "-Inf\n");
    } else {
        (void)buf_printf(out, "%.17g\n", v);
    }
}

static void print_histogram(const struct series *s, struct buf *out)
{
    const struct metric_histogram *h = &s->as.histogram;
    const char *comma = s->labels[0] == '\0' ? "" : ",";
    uint64_t total = 0;
    for (size_t i = 0; i < h->bounds_len; i++) {
        total += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
        (void)buf_printf(out, "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", s->name, s->labels, comma,
                         h->bounds[i], total);
    }
    total += atomic_load_explicit(&h->buckets[h->bounds_len], memory_order_relaxed);
    (void)buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", s->name, s->labels, comma,
                     total);
    const char *open = s->labels[0] == '\0' ? "" : "{";
    const char *close = s->labels[0] == '\0' ? "" : "}";
    (void)buf_printf(out, "%s_sum%s%s%s ", s->name, open, s->labels, close);
    print_number(atomic_load_explicit(&h->sum, memory_order_relaxed), out);
    (void)buf_printf(out, "%s_count%s%s%s %" PRIu64 "\n", s->name, open, s->labels, close, total);
}

static void print_one(const struct series *s, struct buf *out)
{
    if (s->kind == KIND_HISTOGRAM) {
        print_histogram(s, out);
        return;
    }
    if (s->labels[0] == '\0') {
        (void)buf_printf(out, "%s ", s->name);
    } else {
        (void)buf_printf(out, "%s{%s} ", s->name, s->labels);
    }
    if (s->kind == KIND_COUNTER) {
        (void)buf_printf(out, "%" PRIu64 "\n",
                         atomic_load_explicit(&s->as.counter.value, memory_order_relaxed));
    } else {
        print_number(atomic_load_explicit(&s->as.gauge.value, memory_order_relaxed), out);
    }
}

/* True when an earlier series of the same name has already printed them all. */
static bool came_before(const struct metrics *m, const struct series *s)
{
    const struct series *e = m->first;
    while (e != s && strcmp(e->name, s->name) != 0) {
        e = e->next;
    }
    return e != s;
}

enum shoal_err metrics_print(const struct metrics *m, struct buf *out)
{
    struct mutex *mutex = (struct mutex *)&m->mutex;
    mutex_lock(mutex);
    for (const struct series *s = m->first; s != NULL; s = s->next) {
        if (came_before(m, s)) {
            continue;
        }
        print_head(s, out);
        for (const struct series *e = s; e != NULL; e = e->next) {
            if (strcmp(e->name, s->name) == 0) {
                print_one(e, out);
            }
        }
    }
    mutex_unlock(mutex);
    return out->failed;
}
