/* Thread pool: a fixed number of threads and a bounded queue of jobs.
 *
 * Threads: submit from any thread, also from a job. A job runs exactly once, on a pool thread,
 * with no lock held. Jobs are embedded in the caller's own struct, so submitting allocates
 * nothing. Teardown in three steps: pool_close refuses new jobs and returns at once; pool_stop
 * waits until all accepted jobs have run; pool_free asserts that it stopped. */
#ifndef SHOAL_BASE_POOL_H
#define SHOAL_BASE_POOL_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct pool_job {
    void (*run)(void *arg);
    void *arg;
    struct pool_job *next; /* the pool's own while queued */
};

struct pool_config {
    const char *name;     /* shown in ps; borrowed during pool_new only */
    unsigned threads_len; /* 1..POOL_THREADS_MAX */
    size_t queue_len_max; /* jobs waiting, not those running; >= 1 */
    bool low_priority;
};

#define POOL_THREADS_MAX 256

struct pool;

/* SHOAL_EINVAL, SHOAL_ENOMEM, SHOAL_EBUSY (no thread to be had). */
SHOAL_MUST_CHECK enum shoal_err pool_new(const struct pool_config *config, struct pool **out,
                                         struct errbuf *why);
/* `job` stays the caller's and must live until it has run. SHOAL_EBUSY when the queue is full,
 * SHOAL_ECANCELED after pool_close; then the job will not run. Never blocks. */
SHOAL_MUST_CHECK enum shoal_err pool_submit(struct pool *pool, struct pool_job *job);
/* Takes one place of the queue for later, so that a later pool_submit_reserved cannot fail. */
SHOAL_MUST_CHECK enum shoal_err pool_reserve(struct pool *pool);
void pool_submit_reserved(struct pool *pool, struct pool_job *job);
void pool_cancel_reserved(struct pool *pool);
size_t pool_queue_len(struct pool *pool);
void pool_close(struct pool *pool); /* idempotent */
void pool_stop(struct pool *pool);  /* closes too; not from a job */
void pool_free(struct pool *pool);  /* NULL is fine; stops first if needed */

#endif
