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
    uint64_t len_max;     /* of one call */
    uint64_t durable_max; /* checkpoint answers no more than this */
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
    m->checkpoints++;
    *durable_index = m->applied < m->durable_max ? m->applied : m->durable_max;
    mutex_unlock(&m->mutex);
    return SHOAL_OK;
}

static inline void test_machine_init(struct test_machine *m)
{
    *m = (struct test_machine){
        .durable_max = UINT64_MAX,
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

/* The store behind it is lost. */
static inline void test_machine_forget(struct test_machine *m)
{
    m->applied = 0;
    m->hash = 0;
    m->entries = 0;
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

/* --- one group of one on a store of its own --------------------------------------------------- */

struct rlog_fixture {
    struct test_dir dir;
    struct log_store *store;
    struct test_machine machine;
    struct rlog_config config;
    struct rlog *log;
    size_t map_bytes_max; /* of the log; 0: its default */
    size_t live_before;
};

static const uint64_t only_voter = 1;

static inline void rlog_fixture_store(struct rlog_fixture *f)
{
    const struct log_store_config config = { .path = f->dir.file,
                                             .map_bytes_max = f->map_bytes_max };
    assert_int_equal(log_store_open(&config, &f->store, NULL), SHOAL_OK);
    f->config.store = f->store;
}

static inline void rlog_fixture_open(struct rlog_fixture *f)
{
    struct errbuf why;
    err_clear(&why);
    if (rlog_open(&f->config, &f->log, &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
}

static inline int rlog_setup(void **state)
{
    struct rlog_fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->live_before = mem_live();
    test_dir_make(&f->dir, test_dir_root(), "log.mdb");
    test_machine_init(&f->machine);
    f->config = (struct rlog_config){ .group = 7,
                                      .node = only_voter,
                                      .voters = &only_voter,
                                      .voters_len = 1,
                                      .machine = &f->machine.machine,
                                      .clock = clock_real(),
                                      .rand = rand_system() };
    rlog_fixture_store(f);
    rlog_fixture_open(f);
    *state = f;
    return 0;
}

static inline int rlog_teardown(void **state)
{
    struct rlog_fixture *f = *state;
    rlog_close(f->log);
    log_store_close(f->store);
    test_machine_release(&f->machine);
    test_dir_remove(&f->dir);
    const int leaked = mem_live() != f->live_before;
    free(f);
    return leaked;
}

static inline void rlog_fixture_close(struct rlog_fixture *f)
{
    rlog_close(f->log);
    f->log = NULL;
}

static inline void rlog_fixture_reopen(struct rlog_fixture *f)
{
    rlog_fixture_close(f);
    log_store_close(f->store);
    rlog_fixture_store(f);
    rlog_fixture_open(f);
}

static inline enum shoal_err propose(struct rlog_fixture *f, const char *text, uint64_t *index,
                                     struct rlog_result *result, struct errbuf *why)
{
    return rlog_propose_wait(f->log, slice_from_str(text), RLOG_APPLIED, test_deadline_ns(), index,
                             result, why);
}

static inline void must_propose(struct rlog_fixture *f, const char *text)
{
    uint64_t index = 0;
    struct rlog_result result;
    assert_int_equal(propose(f, text, &index, &result, NULL), SHOAL_OK);
}

#endif
