/* Pool: every accepted job runs once; bounds, reservations and teardown hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/pool.h"
#include "base/thread.h"

#include <stdatomic.h>

#define JOBS 2000

struct gate {
    struct mutex mutex;
    struct cond cond;
    bool open;
    unsigned waiting;
};

static void gate_wait(void *arg)
{
    struct gate *g = arg;
    mutex_lock(&g->mutex);
    g->waiting++;
    cond_broadcast(&g->cond);
    while (!g->open) {
        cond_wait(&g->cond, &g->mutex);
    }
    g->waiting--;
    cond_broadcast(&g->cond);
    mutex_unlock(&g->mutex);
}

static void gate_open(struct gate *g)
{
    mutex_lock(&g->mutex);
    g->open = true;
    cond_broadcast(&g->cond);
    mutex_unlock(&g->mutex);
}

static void add_one(void *arg)
{
    atomic_fetch_add((atomic_uint *)arg, 1);
}

static struct pool *make(unsigned threads, size_t queue)
{
    const struct pool_config config = { .name = "test",
                                        .threads_len = threads,
                                        .queue_len_max = queue };
    struct pool *p = NULL;
    assert_int_equal(pool_new(&config, &p, NULL), SHOAL_OK);
    return p;
}

static void test_every_job_runs_once(void **state)
{
    (void)state;
    struct pool_job *jobs = mem_calloc(JOBS, sizeof(*jobs));
    atomic_uint ran = 0;
    struct pool *p = make(4, JOBS);
    for (size_t i = 0; i < JOBS; i++) {
        jobs[i] = (struct pool_job){ .run = add_one, .arg = &ran };
        assert_int_equal(pool_submit(p, &jobs[i]), SHOAL_OK);
    }
    pool_stop(p);
    assert_int_equal(atomic_load(&ran), JOBS);
    assert_int_equal(pool_submit(p, &jobs[0]), SHOAL_ECANCELED);
    pool_free(p);
    mem_free(jobs);
}

/* Jobs that wait for each other end only when each of them has a thread: none sleeps on. */
static void test_all_threads_wake_when_they_are_needed(void **state)
{
    enum { THREADS = 6, ROUNDS = 300 };
    (void)state;
    struct gate g;
    mutex_init(&g.mutex);
    cond_init(&g.cond);
    struct pool *p = make(THREADS, THREADS);
    for (int round = 0; round < ROUNDS; round++) {
        struct pool_job jobs[THREADS];
        g.open = false;
        g.waiting = 0;
        for (size_t i = 0; i < THREADS; i++) {
            jobs[i] = (struct pool_job){ .run = gate_wait, .arg = &g };
            enum shoal_err rc = SHOAL_EBUSY; /* while the last round's threads are on their way */
            while (rc == SHOAL_EBUSY) {
                rc = pool_submit(p, &jobs[i]);
            }
            assert_int_equal(rc, SHOAL_OK);
        }
        mutex_lock(&g.mutex);
        while (g.waiting < THREADS) {
            cond_wait(&g.cond, &g.mutex);
        }
        g.open = true;
        cond_broadcast(&g.cond);
        while (g.waiting > 0) {
            cond_wait(&g.cond, &g.mutex);
        }
        mutex_unlock(&g.mutex);
    }
    pool_free(p);
    cond_release(&g.cond);
    mutex_release(&g.mutex);
}

static void test_the_queue_is_bounded_and_places_can_be_reserved(void **state)
{
    (void)state;
    struct gate g = { .open = false };
    mutex_init(&g.mutex);
    cond_init(&g.cond);
    struct pool *p = make(1, 2);
    struct pool_job blocker = { .run = gate_wait, .arg = &g };
    atomic_uint ran = 0;
    struct pool_job jobs[3];
    assert_int_equal(pool_submit(p, &blocker), SHOAL_OK);
    mutex_lock(&g.mutex);
    while (g.waiting == 0) {
        cond_wait(&g.cond, &g.mutex);
    }
    mutex_unlock(&g.mutex);
    for (size_t i = 0; i < 3; i++) {
        jobs[i] = (struct pool_job){ .run = add_one, .arg = &ran };
    }
    assert_int_equal(pool_reserve(p), SHOAL_OK);
    assert_int_equal(pool_submit(p, &jobs[0]), SHOAL_OK);
    assert_int_equal(pool_queue_len(p), 1);
    assert_int_equal(pool_submit(p, &jobs[1]), SHOAL_EBUSY);
    assert_int_equal(pool_reserve(p), SHOAL_EBUSY);
    pool_close(p);
    assert_int_equal(pool_submit(p, &jobs[1]), SHOAL_ECANCELED);
    pool_submit_reserved(p, &jobs[2]); /* promised before closing */
    gate_open(&g);
    pool_free(p);
    assert_int_equal(atomic_load(&ran), 2);
    cond_release(&g.cond);
    mutex_release(&g.mutex);
}

static void test_a_canceled_reservation_lets_the_pool_end(void **state)
{
    (void)state;
    struct pool *p = make(2, 4);
    assert_int_equal(pool_reserve(p), SHOAL_OK);
    pool_close(p);
    pool_cancel_reserved(p);
    pool_free(p);
}

static void test_bad_configurations_are_refused(void **state)
{
    (void)state;
    struct pool *p = NULL;
    const struct pool_config none = { .name = "x", .threads_len = 0, .queue_len_max = 1 };
    const struct pool_config many = { .name = "x",
                                      .threads_len = POOL_THREADS_MAX + 1,
                                      .queue_len_max = 1 };
    const struct pool_config no_queue = { .name = "x", .threads_len = 1, .queue_len_max = 0 };
    assert_int_equal(pool_new(&none, &p, NULL), SHOAL_EINVAL);
    assert_int_equal(pool_new(&many, &p, NULL), SHOAL_EINVAL);
    assert_int_equal(pool_new(&no_queue, &p, NULL), SHOAL_EINVAL);
    assert_null(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_job_runs_once),
        cmocka_unit_test(test_all_threads_wake_when_they_are_needed),
        cmocka_unit_test(test_the_queue_is_bounded_and_places_can_be_reserved),
        cmocka_unit_test(test_a_canceled_reservation_lets_the_pool_end),
        cmocka_unit_test(test_bad_configurations_are_refused),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
