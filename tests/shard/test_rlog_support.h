/* What the tests of the replicated log share: a state machine in memory that outlives the log, as
 * a store on disk would, and can be told to fail. Everything is static. */
#ifndef SHOAL_TESTS_SHARD_TEST_RLOG_SUPPORT_H
#define SHOAL_TESTS_SHARD_TEST_RLOG_SUPPORT_H

#include "tests/shard/test_store_support.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/thread.h"
#include "shard/log_store.h"
#include "shard/rlog.h"

#include <inttypes.h>

/* Long enough for any machine; a test that gets there fails. */
#define TEST_WAIT_NS (20u * 1000000000ull)

static inline uint64_t test_deadline_ns(void)
{
    return clock_mono_ns(clock_real()) + TEST_WAIT_NS;
}

/* Sums what it applies, in order: two machines that applied the same have the same hash. */
struct test_machine {
    struct rlog_machine machine;
    struct mutex mutex;
    struct cond changed;
    uint64_t applied;
    uint64_t hash;
    uint64_t entries; /* with data */
    uint64_t calls;
    uint64_t len_max; /* of one call */
    uint64_t durable; /* what checkpoint answers is applied; this is the last answer */
    uint64_t checkpoints;
    enum shoal_err fail; /* what apply answers; SHOAL_OK: works */
    uint64_t failures;
    bool held; /* apply waits */
};

static inline enum shoal_err test_machine_apply(void *arg, const struct rlog_entry *entries,
                                                size_t len, struct rlog_result *results,
                                                struct errbuf *why)
{
    struct test_machine *m = arg;
    mutex_lock(&m->mutex);
    while (m->held) {
        cond_wait(&m->changed, &m->mutex);
    }
    const enum shoal_err rc = m->fail;
    if (rc != SHOAL_OK) {
        m->failures++;
        cond_broadcast(&m->changed);
        mutex_unlock(&m->mutex);
        return err_set(why, rc, "told to fail");
    }
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(entries[i].index, m->applied + 1);
        m->applied = entries[i].index;
        if (entries[i].data.len > 0) {
            m->hash = hash64_seeded(entries[i].data.data, entries[i].data.len, m->hash);
            m->entries++;
        }
        results[i].value = m->hash;
        if (slice_is(entries[i].data, "refuse me")) {
            results[i].rc = SHOAL_ECONFLICT;
            snprintf(results[i].text, sizeof(results[i].text), "refused at %" PRIu64,
                     entries[i].index);
        }
    }
    m->calls++;
    m->len_max = len > m->len_max ? len : m->len_max;
    cond_broadcast(&m->changed);
    mutex_unlock(&m->mutex);
    return SHOAL_OK;
}

static inline uint64_t test_machine_applied(void *arg)
{
    struct test_machine *m = arg;
    mutex_lock(&m->mutex);
    const uint64_t applied = m->applied;
    mutex_unlock(&m->mutex);
    return applied;
}

static inline enum shoal_err test_machine_checkpoint(void *arg, uint64_t *durable_index,
                                                     struct errbuf *why)
{
    struct test_machine *m = arg;
    (void)why;
    mutex_lock(&m->mutex);
    m->durable = m->applied;
    m->checkpoints++;
    *durable_index = m->durable;
    mutex_unlock(&m->mutex);
    return SHOAL_OK;
}

static inline void test_machine_init(struct test_machine *m)
{
    *m = (struct test_machine){
        .machine = { .applied_index = test_machine_applied,
                     .apply = test_machine_apply,
                     .checkpoint = test_machine_checkpoint,
                     .arg = m },
    };
    mutex_init(&m->mutex);
    cond_init(&m->changed);
}

static inline void test_machine_release(struct test_machine *m)
{
    cond_release(&m->changed);
    mutex_release(&m->mutex);
}

static inline void test_machine_set(struct test_machine *m, enum shoal_err fail, bool held)
{
    mutex_lock(&m->mutex);
    m->fail = fail;
    m->held = held;
    cond_broadcast(&m->changed);
    mutex_unlock(&m->mutex);
}

/* Waits until so many entries with data are applied. */
static inline void test_machine_wait(struct test_machine *m, uint64_t entries)
{
    const uint64_t deadline_ns = test_deadline_ns();
    mutex_lock(&m->mutex);
    bool in_time = true;
    while (m->entries < entries && in_time) {
        in_time = cond_wait_until(&m->changed, &m->mutex, deadline_ns);
    }
    const uint64_t seen = m->entries;
    mutex_unlock(&m->mutex);
    assert_true(seen >= entries);
}

#endif
