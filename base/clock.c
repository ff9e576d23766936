#include "base/clock.h"

#include <stddef.h>
#include <time.h>

static uint64_t read_ns(clockid_t id)
{
    struct timespec t;
    (void)clock_gettime(id, &t); /* cannot fail for these clocks */
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t real_mono_ns(void *arg)
{
    (void)arg;
    return read_ns(CLOCK_MONOTONIC);
}

static uint64_t real_wall_ns(void *arg)
{
    (void)arg;
    return read_ns(CLOCK_REALTIME);
}

const struct clock *clock_real(void)
{
    static const struct clock real = { .mono_ns = real_mono_ns, .wall_ns = real_wall_ns };
    return &real;
}

uint64_t clock_thread_cpu_ns(void)
{
    return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

static uint64_t manual_ns(void *arg)
{
    const struct clock_manual *m = arg;
    return m->now_ns;
}

void clock_manual_init(struct clock_manual *m, uint64_t start_ns)
{
    m->clock = (struct clock){ .mono_ns = manual_ns, .wall_ns = manual_ns, .arg = m };
    m->now_ns = start_ns;
}

void clock_manual_advance_ns(struct clock_manual *m, uint64_t by_ns)
{
    m->now_ns += by_ns;
}
