/* A linked list of jobs under one lock. Places are counted, not allocated: a reserved place is one
 * that ordinary submissions may not take.
 *
 * Idle threads form a stack, so that the one that worked last works next: its stack, its arenas and
 * its core's caches are warm, where threads that take turns would all be cold. */
#include "base/pool.h"

#include "base/mem.h"
#include "base/thread.h"

#include <assert.h>

struct worker {
    struct pool *pool;
    struct thread thread;
    struct cond wake;
    /* guarded by the pool's mutex */
    struct worker *below; /* on the stack of the idle */
    bool idle;
};

struct pool {
    size_t queue_len_max;
    bool low_priority;
    unsigned threads_len;
    struct mutex mutex;
    /* guarded by mutex */
    struct worker *idle;
    struct pool_job *head;
    struct pool_job **tail;
    size_t queued;
    size_t reserved;
    bool closed;
    struct worker workers[];
};

/* The three below under the lock. */
static void sleep_until_woken(struct pool *p, struct worker *w)
{
    w->below = p->idle;
    p->idle = w;
    w->idle = true;
    while (w->idle) {
        cond_wait(&w->wake, &p->mutex);
    }
}

static void wake_one(struct pool *p)
{
    struct worker *w = p->idle;
    if (w != NULL) {
        p->idle = w->below;
        w->idle = false;
        cond_signal(&w->wake);
    }
}

static void wake_all(struct pool *p)
{
    while (p->idle != NULL) {
        wake_one(p);
    }
}

static void run(void *arg)
{
    struct worker *w = arg;
    struct pool *p = w->pool;
    if (p->low_priority) {
        thread_lower_priority();
    }
    mutex_lock(&p->mutex);
    /* A reserved place is a job that will still come, also after closing. */
    while (p->head != NULL || !p->closed || p->reserved > 0) {
        struct pool_job *job = p->head;
        if (job == NULL) {
            sleep_until_woken(p, w);
            continue;
        }
        p->head = job->next;
        if (p->head == NULL) {
            p->tail = &p->head;
        }
        p->queued--;
        mutex_unlock(&p->mutex);
        job->run(job->arg); /* the job may be gone after this */
        mutex_lock(&p->mutex);
    }
    mutex_unlock(&p->mutex);
}

enum shoal_err pool_new(const struct pool_config *config, struct pool **out, struct errbuf *why)
{
    *out = NULL;
    if (config->threads_len == 0 || config->threads_len > POOL_THREADS_MAX ||
        config->queue_len_max == 0) {
        return err_set(why, SHOAL_EINVAL, "pool \"%s\": threads must be 1..%d and the queue >= 1",
                       config->name, POOL_THREADS_MAX);
    }
    struct pool *p = mem_calloc(1, sizeof(*p) + config->threads_len * sizeof(p->workers[0]));
    if (p == NULL) {
        return SHOAL_ENOMEM;
    }
    p->queue_len_max = config->queue_len_max;
    p->low_priority = config->low_priority;
    p->tail = &p->head;
    mutex_init(&p->mutex);
    enum shoal_err rc = SHOAL_OK;
    while (p->threads_len < config->threads_len && rc == SHOAL_OK) {
        struct worker *w = &p->workers[p->threads_len++];
        w->pool = p;
        cond_init(&w->wake);
        rc = thread_start(&w->thread, config->name, run, w, why);
    }
    if (rc != SHOAL_OK) {
        pool_free(p);
        return rc;
    }
    *out = p;
    return SHOAL_OK;
}

/* Under the lock. */
static void enqueue(struct pool *p, struct pool_job *job)
{
    job->next = NULL;
    *p->tail = job;
    p->tail = &job->next;
    p->queued++;
    wake_one(p);
}

enum shoal_err pool_submit(struct pool *p, struct pool_job *job)
{
    enum shoal_err rc = SHOAL_OK;
    mutex_lock(&p->mutex);
    if (p->closed) {
        rc = SHOAL_ECANCELED;
    } else if (p->queued + p->reserved >= p->queue_len_max) {
        rc = SHOAL_EBUSY;
    } else {
        enqueue(p, job);
    }
    mutex_unlock(&p->mutex);
    return rc;
}

enum shoal_err pool_reserve(struct pool *p)
{
    enum shoal_err rc = SHOAL_OK;
    mutex_lock(&p->mutex);
    if (p->closed) {
        rc = SHOAL_ECANCELED;
    } else if (p->queued + p->reserved >= p->queue_len_max) {
        rc = SHOAL_EBUSY;
    } else {
        p->reserved++;
    }
    mutex_unlock(&p->mutex);
    return rc;
}

void pool_submit_reserved(struct pool *p, struct pool_job *job)
{
    mutex_lock(&p->mutex);
    assert(p->reserved > 0);
    p->reserved--;
    enqueue(p, job);
    if (p->closed) {
        wake_all(p); /* threads that stayed for the reservation may end now */
    }
    mutex_unlock(&p->mutex);
}

void pool_cancel_reserved(struct pool *p)
{
    mutex_lock(&p->mutex);
    assert(p->reserved > 0);
    p->reserved--;
    wake_all(p);
    mutex_unlock(&p->mutex);
}

size_t pool_queue_len(struct pool *p)
{
    mutex_lock(&p->mutex);
    size_t len = p->queued;
    mutex_unlock(&p->mutex);
    return len;
}

void pool_close(struct pool *p)
{
    mutex_lock(&p->mutex);
    p->closed = true;
    wake_all(p);
    mutex_unlock(&p->mutex);
}

void pool_stop(struct pool *p)
{
    pool_close(p);
    for (unsigned i = 0; i < p->threads_len; i++) {
        thread_join(&p->workers[i].thread);
    }
}

void pool_free(struct pool *p)
{
    if (p == NULL) {
        return;
    }
    pool_stop(p);
    assert(p->head == NULL && p->reserved == 0);
    for (unsigned i = 0; i < p->threads_len; i++) {
        cond_release(&p->workers[i].wake);
    }
    mutex_release(&p->mutex);
    mem_free(p);
}
