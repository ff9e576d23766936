/* Clock: where all time comes from, so that tests and simulations can turn it by hand.
 * Monotonic time for deadlines, intervals and rates; wall time only for what people read.
 *
 * Threads: calls from any thread, provided the implementation says so; clock_real() does. */
#ifndef SHOAL_BASE_CLOCK_H
#define SHOAL_BASE_CLOCK_H

#include <stdint.h>

struct clock {
    uint64_t (*mono_ns)(void *arg); /* never goes back; origin unspecified */
    uint64_t (*wall_ns)(void *arg); /* since 1970-01-01 UTC; may jump */
    void *arg;
};

/* The machine's clock. Static, thread-safe. */
const struct clock *clock_real(void);

static inline uint64_t clock_mono_ns(const struct clock *c)
{
    return c->mono_ns(c->arg);
}

static inline uint64_t clock_mono_ms(const struct clock *c)
{
    return c->mono_ns(c->arg) / 1000000u;
}

static inline uint64_t clock_wall_ns(const struct clock *c)
{
    return c->wall_ns(c->arg);
}

/* CPU time used by the calling thread, in ns; for traces and benchmarks only. */
uint64_t clock_thread_cpu_ns(void);

/* A clock turned by hand. Both times start at the value given to init. Not thread-safe. */
struct clock_manual {
    struct clock clock; /* pass &m.clock */
    uint64_t now_ns;
};
void clock_manual_init(struct clock_manual *m, uint64_t start_ns);
void clock_manual_advance_ns(struct clock_manual *m, uint64_t by_ns);

#endif
