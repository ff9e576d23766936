/* What the tests of the log store share: a store with one group, batches that are waited for, and
 * entries whose data tells where they belong. Everything is static. */
#ifndef SHOAL_TESTS_SHARD_TEST_LOG_SUPPORT_H
#define SHOAL_TESTS_SHARD_TEST_LOG_SUPPORT_H

#include "tests/shard/test_store_support.h"

#include "base/thread.h"
#include "shard/log_format.h"
#include "shard/log_store.h"

#define MIB (1u << 20)
#define ENTRIES_MAX 4096
#define GROUP 5u

struct log_fixture {
    struct test_dir dir;
    struct log_store_config config;
    struct log_store *log;
    size_t live_before;
};

static inline void open_log(struct log_fixture *f)
{
    struct errbuf why;
    err_clear(&why);
    if (log_store_open(&f->config, &f->log, &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
}

static inline void close_log(struct log_fixture *f)
{
    log_store_close(f->log);
    f->log = NULL;
}

static inline int log_setup(void **state)
{
    struct log_fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->live_before = mem_live();
    test_dir_make(&f->dir, test_dir_root(), "log.mdb");
    f->config = (struct log_store_config){ .path = f->dir.file };
    open_log(f);
    assert_int_equal(log_store_begin(f->log, GROUP, SLICE_LIT("members"), NULL), SHOAL_OK);
    *state = f;
    return 0;
}

static inline int log_teardown(void **state)
{
    struct log_fixture *f = *state;
    close_log(f);
    test_dir_remove(&f->dir);
    const int leaked = mem_live() != f->live_before;
    free(f);
    return leaked;
}

/* --- batches ---------------------------------------------------------------------------------- */

struct sending {
    struct log_batch batch;
    struct log_entry entries[ENTRIES_MAX];
    struct mutex mutex;
    struct cond changed;
    bool answered;
    enum shoal_err rc;
};

static inline void on_answer(void *arg, enum shoal_err rc)
{
    struct sending *s = arg;
    mutex_lock(&s->mutex);
    s->answered = true;
    s->rc = rc;
    cond_signal(&s->changed);
    mutex_unlock(&s->mutex);
}

/* An entry's data follows from its index and term, and its length from the index. */
static char data_of_entries[8192];

/* Once, before the tests. */
static inline void data_of_entries_fill(void)
{
    for (size_t i = 0; i < sizeof(data_of_entries); i++) {
        data_of_entries[i] = (char)(i * 2654435761u >> 13);
    }
}

static inline struct slice data_of(uint64_t index, uint64_t term)
{
    const size_t at = (size_t)((index * 131 + term * 17) % 4096);
    return slice_make(data_of_entries + at, (size_t)(index % 300));
}

static inline struct sending *sending_new(uint64_t group, uint64_t first, size_t len, uint64_t term)
{
    assert_true(len <= ENTRIES_MAX);
    struct sending *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    mutex_init(&s->mutex);
    cond_init(&s->changed);
    for (size_t i = 0; i < len; i++) {
        s->entries[i] = (struct log_entry){ .index = first + i,
                                            .term = term,
                                            .data = data_of(first + i, term) };
    }
    s->batch = (struct log_batch){
        .group = group, .entries = s->entries, .entries_len = len, .done = on_answer, .arg = s
    };
    return s;
}

static inline enum shoal_err sending_end(struct sending *s)
{
    mutex_lock(&s->mutex);
    while (!s->answered) {
        cond_wait(&s->changed, &s->mutex);
    }
    const enum shoal_err rc = s->rc;
    mutex_unlock(&s->mutex);
    cond_release(&s->changed);
    mutex_release(&s->mutex);
    free(s);
    return rc;
}

static inline enum shoal_err write_entries(struct log_fixture *f, uint64_t group, uint64_t first,
                                           size_t len, uint64_t term)
{
    struct sending *s = sending_new(group, first, len, term);
    log_store_submit(f->log, &s->batch);
    return sending_end(s);
}

struct checking {
    uint64_t want;
    const uint64_t *terms; /* by index */
    uint64_t stop_at;
};

static inline bool check_entry(void *arg, const struct log_entry *e)
{
    struct checking *c = arg;
    assert_int_equal(e->index, c->want);
    assert_int_equal(e->term, c->terms[e->index]);
    assert_true(slice_equal(e->data, data_of(e->index, e->term)));
    c->want++;
    return c->want != c->stop_at;
}

static inline void check_all(struct log_fixture *f, uint64_t first, uint64_t last,
                             const uint64_t *terms)
{
    struct log_group_state state;
    assert_int_equal(log_store_load(f->log, GROUP, 0, &state, NULL), SHOAL_OK);
    assert_int_equal(state.first_index, first);
    assert_int_equal(state.last_index, last);
    struct checking c = { .want = first, .terms = terms };
    assert_int_equal(log_store_read(f->log, GROUP, first, last + 1, check_entry, &c, NULL),
                     SHOAL_OK);
    assert_int_equal(c.want, last + 1);
    uint64_t bytes = 0;
    for (uint64_t i = first; i <= last; i++) {
        uint64_t term = 0;
        assert_int_equal(log_store_term(f->log, GROUP, i, &term, NULL), SHOAL_OK);
        assert_int_equal(term, terms[i]);
        bytes += log__entry_bytes((size_t)(i % 300));
    }
    assert_int_equal(state.bytes, bytes);
}

static inline void fill_terms(uint64_t *terms, uint64_t first, uint64_t last, uint64_t term)
{
    for (uint64_t i = first; i <= last; i++) {
        terms[i] = term;
    }
}

static inline void load_finds(struct log_fixture *f, uint64_t known, enum shoal_err rc,
                              const char *text)
{
    struct errbuf why;
    err_clear(&why);
    struct log_group_state g;
    assert_int_equal(log_store_load(f->log, GROUP, known, &g, &why), rc);
    if (text != NULL && strstr(why.text, text) == NULL) {
        fail_msg("\"%s\" does not tell of %s", why.text, text);
    }
}

#endif
