#include "base/thread.h"

#include "base/mem.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What pthread refuses here is a bug of ours: a lock never made, or not held. */
static void must(int rc)
{
    if (rc != 0) {
        abort();
    }
}

void mutex_init(struct mutex *m)
{
    must(pthread_mutex_init(&m->m, NULL));
}

void mutex_release(struct mutex *m)
{
    must(pthread_mutex_destroy(&m->m));
}

void mutex_lock(struct mutex *m)
{
    must(pthread_mutex_lock(&m->m));
}

void mutex_unlock(struct mutex *m)
{
    must(pthread_mutex_unlock(&m->m));
}

void cond_init(struct cond *c)
{
    pthread_condattr_t attr;
    must(pthread_condattr_init(&attr));
    must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
    must(pthread_cond_init(&c->c, &attr));
    must(pthread_condattr_destroy(&attr));
}

void cond_release(struct cond *c)
{
    must(pthread_cond_destroy(&c->c));
}

void cond_signal(struct cond *c)
{
    must(pthread_cond_signal(&c->c));
}

void cond_broadcast(struct cond *c)
{
    must(pthread_cond_broadcast(&c->c));
}

void cond_wait(struct cond *c, struct mutex *m)
{
    must(pthread_cond_wait(&c->c, &m->m));
}

bool cond_wait_until(struct cond *c, struct mutex *m, uint64_t deadline_ns)
{
    const struct timespec t = {
        .tv_sec = (time_t)(deadline_ns / 1000000000u),
        .tv_nsec = (long)(deadline_ns % 1000000000u),
    };
    int rc = pthread_cond_timedwait(&c->c, &m->m, &t);
    if (rc != ETIMEDOUT) {
        must(rc);
    }
    return rc == 0;
}

/* What a new thread needs to know; freed by the thread itself. */
struct start {
    void (*run)(void *arg);
    void *arg;
    char name[16];
};

static void *begin(void *arg)
{
    struct start s = *(struct start *)arg;
    mem_free(arg);
    (void)pthread_setname_np(pthread_self(), s.name);
    s.run(s.arg);
    return NULL;
}

enum shoal_err thread_start(struct thread *t, const char *name, void (*run)(void *arg), void *arg,
                            struct errbuf *why)
{
    t->started = false;
    struct start *s = mem_calloc(1, sizeof(*s));
    if (s == NULL) {
        return SHOAL_ENOMEM;
    }
    s->run = run;
    s->arg = arg;
    size_t len = strnlen(name, sizeof(s->name) - 1);
    memcpy(s->name, name, len);
    /* The new thread inherits the mask: signals stay with the thread that waits for them. */
    sigset_t all;
    sigset_t old;
    sigfillset(&all);
    must(pthread_sigmask(SIG_SETMASK, &all, &old));
    int rc = pthread_create(&t->t, NULL, begin, s);
    must(pthread_sigmask(SIG_SETMASK, &old, NULL));
    if (rc != 0) {
        mem_free(s);
        return err_errno(why, rc, "no room for the thread \"%s\"", name);
    }
    t->started = true;
    return SHOAL_OK;
}

void thread_join(struct thread *t)
{
    if (t->started) {
        must(pthread_join(t->t, NULL));
        t->started = false;
    }
}

void thread_lower_priority(void)
{
    /* On Linux niceness belongs to the thread when asked by its id. Best effort: a container may
     * forbid it, and then builders just compete. */
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 19);
    enum { IOPRIO_WHO_PROCESS = 1, IOPRIO_CLASS_IDLE = 3, IOPRIO_CLASS_SHIFT = 13 };
    (void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_CLASS_IDLE << IOPRIO_CLASS_SHIFT);
}
