/* Damage to log.mdb is found before it is used: changed bytes, holes, and records of later
 * versions. */
#include "tests/shard/test_log_support.h"

#include "shard/store.h"

struct harm {
    const char *table;
    char key[LOG_KEY_LEN];
    size_t key_len;
    bool remove; /* the key; else: its value is changed */
    size_t flip; /* a byte of the value */
    bool add;    /* the key, with an empty value */
};

static enum shoal_err harm_in_txn(void *arg, struct store_txn *txn, struct errbuf *why)
{
    const struct harm *h = ((void **)arg)[0];
    const store_table *table = ((void **)arg)[1];
    const struct slice key = slice_make(h->key, h->key_len);
    if (h->remove) {
        return store_delete(txn, *table, key, why);
    }
    if (h->add) {
        return store_put(txn, *table, key, SLICE_LIT("x"), why);
    }
    struct slice value;
    assert_int_equal(store_get(txn, *table, key, &value), SHOAL_OK);
    char *copy = mem_strndup(value.data, value.len);
    assert_non_null(copy);
    copy[h->flip] ^= 1;
    const enum shoal_err rc = store_put(txn, *table, key, slice_make(copy, value.len), why);
    mem_free(copy);
    return rc;
}

/* Changes the closed file as no log store would. */
static void harm(struct log_fixture *f, const struct harm *h)
{
    close_log(f);
    const struct store_config config = {
        .path = f->dir.file, .map_bytes = MIB, .map_bytes_max = 64 * MIB, .tables_max = 3
    };
    struct store *store = NULL;
    store_table table = 0;
    assert_int_equal(store_open(&config, &store, NULL), SHOAL_OK);
    assert_int_equal(store_table_open(store, h->table, &table, NULL), SHOAL_OK);
    const void *args[2] = { h, &table };
    assert_int_equal(store_write(store, harm_in_txn, (void *)args, NULL), SHOAL_OK);
    store_close(store);
    open_log(f);
}

static struct harm harm_entry(uint64_t index)
{
    struct harm h = { .table = "entries", .key_len = LOG_KEY_LEN };
    log__key(h.key, GROUP, index);
    return h;
}

static void test_a_changed_entry_is_found(void **state)
{
    struct log_fixture *f = *state;
    assert_int_equal(write_entries(f, GROUP, 1, 20, 1), SHOAL_OK);
    const size_t places[] = { 0, 8, 16, 20, LOG_ENTRY_HEAD };
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct harm h = harm_entry(7);
        h.flip = places[i];
        harm(f, &h);
        load_finds(f, 0, SHOAL_ECORRUPT, "entry 7");
        load_finds(f, 6, SHOAL_ECORRUPT, "entry 7");
        load_finds(f, 7, SHOAL_OK, NULL);
        static const uint64_t terms[21] = { 0, 1, 1, 1, 1, 1, 1 };
        struct checking c = { .want = 1, .terms = terms };
        assert_int_equal(log_store_read(f->log, GROUP, 1, 21, check_entry, &c, NULL),
                         SHOAL_ECORRUPT);
        assert_int_equal(c.want, 7);
        harm(f, &h); /* turns it back */
        load_finds(f, 0, SHOAL_OK, NULL);
    }
}

static void test_holes_are_found(void **state)
{
    struct log_fixture *f = *state;
    assert_int_equal(write_entries(f, GROUP, 1, 20, 1), SHOAL_OK);
    struct harm beyond = harm_entry(21);
    beyond.add = true;
    harm(f, &beyond);
    load_finds(f, 0, SHOAL_ECORRUPT, "beyond its end");
    beyond.add = false;
    beyond.remove = true;
    harm(f, &beyond);
    struct harm hole = harm_entry(20);
    hole.remove = true;
    harm(f, &hole);
    load_finds(f, 0, SHOAL_ECORRUPT, "entry 20 is missing");
    assert_int_equal(log_store_cut(f->log, GROUP, 20, NULL), SHOAL_ECORRUPT);
}

static void test_a_changed_record_or_term_is_found(void **state)
{
    struct log_fixture *f = *state;
    assert_int_equal(write_entries(f, GROUP, 1, 20, 1), SHOAL_OK);
    struct harm h = { .table = "groups", .key_len = 8, .flip = 40 };
    log__key(h.key, GROUP, 0);
    harm(f, &h);
    load_finds(f, 20, SHOAL_ECORRUPT, "record");
    assert_int_equal(write_entries(f, GROUP, 21, 1, 1), SHOAL_ECORRUPT);
    harm(f, &h);
    h.flip = 9; /* of the version */
    harm(f, &h);
    load_finds(f, 20, SHOAL_EUNSUPPORTED, "later version");
    harm(f, &h);
    load_finds(f, 0, SHOAL_OK, NULL);
    struct harm run = { .table = "terms", .key_len = LOG_KEY_LEN, .flip = 8 };
    log__key(run.key, GROUP, 1);
    harm(f, &run);
    uint64_t term = 0;
    assert_int_equal(log_store_term(f->log, GROUP, 5, &term, NULL), SHOAL_ECORRUPT);
    struct log_term_run *runs = NULL;
    size_t len = 0;
    assert_int_equal(log_store_runs(f->log, GROUP, &runs, &len, NULL), SHOAL_ECORRUPT);
    assert_null(runs);
}

int main(void)
{
    test_heap_install();
    data_of_entries_fill();
#define TEST(function) cmocka_unit_test_setup_teardown(function, log_setup, log_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_changed_entry_is_found),
        TEST(test_holes_are_found),
        TEST(test_a_changed_record_or_term_is_found),
    };
    return cmocka_run_group_tests_name("log_damage", tests, NULL, NULL);
}
