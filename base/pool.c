/* A linked list of jobs under one lock. Places are counted, not allocated: a reserved place is one
 * that ordinary submissions may not take. */
#include "base/pool.h"

#include "base/mem.h"
#include "base/thread.h"

#include <assert.h>

struct pool {
    size_t queue_len_max;
    bool low_priority;
    unsigned threads_len;
    struct mutex mutex;
    struct cond work;
    /* guarded by mutex */
    struct pool_job *head;
    struct pool_job **tail;
    size_t queued;
    size_t reserved;
    bool closed;
    struct thread threads[];
};

static void run(void *arg)
{
    struct pool *p = arg;
    if (p->low_priority) {
        thread_lower_priority();
    }
    mutex_lock(&p->mutex);
    /* A reserved place is a job that will still come, also after closing. */
    while (p->head != NULL || !p->closed || p->reserved > 0) {
        struct pool_job *job = p->head;
        if (job == NULL) {
            cond_wait(&p->work, &p->mutex);
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
    struct pool *p = mem_calloc(1, sizeof(*p) + config->threads_len * sizeof(p->threads[0]));
    if (p == NULL) {
        return SHOAL_ENOMEM;
    }
    p->queue_len_max = config->queue_len_max;
    p->low_priority = config->low_priority;
    p->tail = &p->head;
    mutex_init(&p->mutex);
    cond_init(&p->work);
    enum shoal_err rc = SHOAL_OK;
    while (p->threads_len < config->threads_len && rc == SHOAL_OK) {
        rc = thread_start(&p->threads[p->threads_len], config->name, run, p, why);
        p->threads_len += rc == SHOAL_OK;
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
    cond_signal(&p->work);
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
        cond_broadcast(&p->work); /* threads that stayed for the reservation may end now */
    }
    mutex_unlock(&p->mutex);
}

void pool_cancel_reserved(struct pool *p)
{
    mutex_lock(&p->mutex);
    assert(p->reserved > 0);
    p->reserved--;
    cond_broadcast(&p->work);
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
    cond_broadcast(&p->work);
    mutex_unlock(&p->mutex);
}

void pool_stop(struct pool *p)
{
    pool_close(p);
    for (unsigned i = 0; i < p->threads_len; i++) {
        thread_join(&p->threads[i]);
    }
}

void pool_free(struct pool *p)
{
    if (p == NULL) {
        return;
    }
    pool_stop(p);
    assert(p->head == NULL && p->reserved == 0);
    cond_release(&p->work);
    mutex_release(&p->mutex);
    mem_free(p);
}
