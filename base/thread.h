/* Threads, mutexes and conditions: pthread with our error style and monotonic deadlines.
 *
 * Locking and unlocking cannot fail for us: a failure is a bug of ours and aborts. */
#ifndef SHOAL_BASE_THREAD_H
#define SHOAL_BASE_THREAD_H

#include "base/err.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct mutex {
    pthread_mutex_t m;
};

struct cond {
    pthread_cond_t c; /* waits on CLOCK_MONOTONIC */
};

struct thread {
    pthread_t t;
    bool started;
};

void mutex_init(struct mutex *m);
void mutex_release(struct mutex *m);
void mutex_lock(struct mutex *m);
void mutex_unlock(struct mutex *m);

void cond_init(struct cond *c);
void cond_release(struct cond *c);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);
void cond_wait(struct cond *c, struct mutex *m);
/* deadline_ns on the real monotonic clock. False when it passed first. */
bool cond_wait_until(struct cond *c, struct mutex *m, uint64_t deadline_ns);

/* `name` (15 bytes at most count) shows in ps and gdb. All signals are blocked in it.
 * SHOAL_ENOMEM or SHOAL_EBUSY when the system has no room for a thread. */
enum shoal_err thread_start(struct thread *t, const char *name, void (*run)(void *arg), void *arg,
                            struct errbuf *why);
/* Waits for its end; nothing when it was never started. */
void thread_join(struct thread *t);
/* Lowest CPU and I/O priority for the calling thread: builders, samplers. */
void thread_lower_priority(void);

#endif
