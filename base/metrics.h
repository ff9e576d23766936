/* Metrics: counters, gauges and histograms in a registry, printed in Prometheus' text form.
 *
 * A series is made once (usually at start) and then updated without locks. The same name and
 * labels give the same series. Names are snake_case with the unit last: shoal_search_seconds.
 *
 * Threads: all calls from any thread. Series live as long as the registry. */
#ifndef SHOAL_BASE_METRICS_H
#define SHOAL_BASE_METRICS_H

#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* Series of one registry; a series beyond it is refused with SHOAL_EFULL, so that labels made
 * from user input cannot eat the memory. */
#define METRICS_SERIES_MAX 20000
#define METRICS_BUCKETS_MAX 32
#define METRICS_LABELS_MAX 6

struct metrics;
struct metric_counter;
struct metric_gauge;
struct metric_histogram;

struct metric_label {
    const char *name;  /* literal */
    const char *value; /* copied; escaped when printed */
};

struct metric_desc {
    const char *name; /* literal */
    const char *help; /* literal, one sentence */
    const struct metric_label *labels;
    size_t labels_len;
};

SHOAL_MUST_CHECK enum shoal_err metrics_new(struct metrics **out);
void metrics_free(struct metrics *m);

/* Find or make. *out is NULL on failure, and every update call takes NULL as "do nothing", so a
 * metric can never make a request fail. */
enum shoal_err metrics_counter(struct metrics *m, const struct metric_desc *desc,
                               struct metric_counter **out);
enum shoal_err metrics_gauge(struct metrics *m, const struct metric_desc *desc,
                             struct metric_gauge **out);
/* Upper bounds ascending, without +Inf; len 1..METRICS_BUCKETS_MAX. */
enum shoal_err metrics_histogram(struct metrics *m, const struct metric_desc *desc,
                                 const double *bounds, size_t bounds_len,
                                 struct metric_histogram **out);
/* 50 us to 30 s in 1-2-5 steps. */
enum shoal_err metrics_seconds(struct metrics *m, const struct metric_desc *desc,
                               struct metric_histogram **out);

void metric_add(struct metric_counter *c, uint64_t by);
void metric_set(struct metric_gauge *g, double value);
void metric_gauge_add(struct metric_gauge *g, double by);
void metric_observe(struct metric_histogram *h, double value);
uint64_t metric_counter_value(const struct metric_counter *c);

/* Appends all series in Prometheus' text exposition format 0.0.4, grouped by name. */
enum shoal_err metrics_print(const struct metrics *m, struct buf *out);

#endif
