/* From an empty directory to answers, and again after a restart: with the engine behind the
 * library, and with a server behind the network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "client/shoal.h"
#include "server/options.h"
#include "server/process.h"
#include "tests/support/dir.h"
#include "tests/support/heap.h"

#include <limits.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIM 4
#define POINTS 30

struct fixture {
    char dir[PATH_MAX];
    bool network;
    struct options options;
    struct process *server;
    struct shoal *db;
};

static void must(int code, const char *why)
{
    if (code != SHOAL_E_OK) {
        fail_msg("%s: %s", shoal_status_text(code), why);
    }
}

static void stop(struct fixture *f)
{
    shoal_close(f->db);
    f->db = NULL;
    process_close(f->server);
    f->server = NULL;
    options_release(&f->options);
    f->options = (struct options){ 0 };
}

/* A server on a free port, in this process, with the data directory. */
static void start_server(struct fixture *f, const char *data)
{
    struct errbuf why = { 0 };
    char *const env[] = { NULL };
    char roles[] = "gateway,node,catalog";
    char nng[] = "tcp://127.0.0.1:0";
    char http[] = "127.0.0.1:0";
    char copy[PATH_MAX];
    (void)snprintf(copy, sizeof(copy), "%s", data);
    char *const argv[] = { "shoald", "--data", copy, "--http",  http, "--log-level",
                           "warn",   "--nng",  nng,  "--roles", roles };
    must((int)options_read(sizeof(argv) / sizeof(argv[0]), argv, env, &f->options, &why), why.text);
    must((int)process_open(&f->options, "shoald", &f->server, &why), why.text);
    uint64_t deadline_ns = clock_mono_ns(clock_real()) + 30 * UINT64_C(1000000000);
    must((int)process_wait_ready(f->server, deadline_ns, &why), why.text);
}

static void start(struct fixture *f)
{
    char why[SHOAL_WHY_MAX] = "";
    char data[PATH_MAX];
    char url[PATH_MAX + 16];
    assert_true((size_t)snprintf(data, sizeof(data), "%.4000s/data", f->dir) < sizeof(data));
    if (f->network) {
        start_server(f, data);
        (void)snprintf(url, sizeof(url), "shoal://%s", process_nng(f->server) + strlen("tcp://"));
    } else {
        (void)snprintf(url, sizeof(url), "file://%s", data);
    }
    must(shoal_open(url, NULL, &f->db, why), why);
}

static void reopen(struct fixture *f)
{
    stop(f);
    start(f);
}

static int setup(void **state, bool network)
{
    struct fixture *f = calloc(1, sizeof(*f)); /* libc: the fixture is not under test */
    if (f == NULL || test_dir_make(f->dir, sizeof(f->dir)) != 0) {
        free(f);
        return -1;
    }
    f->network = network;
    start(f);
    *state = f;
    return 0;
}

static int setup_engine(void **state)
{
    return setup(state, false);
}

static int setup_network(void **state)
{
    return setup(state, true);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    stop(f);
    test_dir_remove(f->dir);
    free(f);
    return test_heap_live() == 0 ? 0 : -1; /* a leak fails the test */
}

/* Point i lies at angle i in the plane of the first two axes; every third is red. */
static void fill(struct fixture *f, uint32_t shards)
{
    char why[SHOAL_WHY_MAX];
    const struct shoal_collection c = { .dim = DIM, .distance = SHOAL_EUCLID, .shards = shards };
    struct shoal_id ids[POINTS];
    float vectors[POINTS][DIM] = { { 0 } };
    const char *payloads[POINTS];
    must(shoal_collection_create(f->db, "books", &c, why), why);
    for (size_t i = 0; i < POINTS; i++) {
        ids[i] = shoal_id_number(i);
        vectors[i][0] = (float)i;
        payloads[i] = i % 3 == 0   ? "{\"color\":\"red\"}"
                      : i % 3 == 1 ? "{\"color\":\"blue\"}"
                                   : NULL;
    }
    assert_int_equal(shoal_id_parse("936da01f-9abd-4d9d-80c7-02af85c822a8", &ids[POINTS - 1]), 0);
    const struct shoal_points points = { .len = POINTS,
                                         .dim = DIM,
                                         .ids = ids,
                                         .vectors = &vectors[0][0],
                                         .payloads = payloads,
                                         .wait = true };
    must(shoal_upsert(f->db, "books", &points, why), why);
}

static uint64_t count(struct fixture *f, const char *filter)
{
    char why[SHOAL_WHY_MAX];
    uint64_t n = 0;
    must(shoal_count(f->db, "books", filter, &n, why), why);
    return n;
}

#define RED "{\"must\":[{\"key\":\"color\",\"match\":{\"value\":\"red\"}}]}"

static void check_search(struct fixture *f, uint32_t shards)
{
    char why[SHOAL_WHY_MAX];
    struct shoal_hits *hits = NULL;
    const float vector[DIM] = { 7.2f };
    const struct shoal_search search = {
        .vector = vector, .dim = DIM, .limit = 3, .with_payload = true, .with_vector = true
    };
    must(shoal_search(f->db, "books", &search, &hits, why), why);
    assert_int_equal(hits->len, 3);
    assert_int_equal(hits->hits[0].id.number, 7);
    assert_int_equal(hits->hits[1].id.number, 8);
    assert_int_equal(hits->hits[2].id.number, 6);
    assert_true(hits->hits[0].score > 0.19f && hits->hits[0].score < 0.21f);
    assert_string_equal(hits->hits[0].payload, "{\"color\":\"blue\"}");
    assert_null(hits->hits[1].payload);
    assert_true(hits->hits[0].vector[0] == 7);
    assert_int_equal(hits->shards_asked, shards);
    assert_int_equal(hits->shards_answered, shards);
    shoal_hits_free(hits);
}

static void check_filter_and_threshold(struct fixture *f)
{
    char why[SHOAL_WHY_MAX];
    struct shoal_hits *hits = NULL;
    const float vector[DIM] = { 7.2f };
    const float threshold = 2;
    struct shoal_search search = { .vector = vector, .dim = DIM, .limit = 2, .filter = RED };
    must(shoal_search(f->db, "books", &search, &hits, why), why);
    assert_int_equal(hits->len, 2);
    assert_int_equal(hits->hits[0].id.number, 6);
    assert_int_equal(hits->hits[1].id.number, 9);
    assert_null(hits->hits[0].payload);
    assert_null(hits->hits[0].vector);
    shoal_hits_free(hits);
    search = (struct shoal_search){
        .vector = vector, .dim = DIM, .score_threshold = &threshold, .exact = true
    };
    must(shoal_search(f->db, "books", &search, &hits, why), why);
    assert_int_equal(hits->len, 4); /* 6, 7, 8, 9 lie nearer than 2 */
    shoal_hits_free(hits);
}

/* Every point once and in order, a page at a time. */
static void check_scroll(struct fixture *f, size_t expected)
{
    char why[SHOAL_WHY_MAX];
    struct shoal_id next = shoal_id_number(0);
    bool more = true;
    size_t n = 0;
    uint64_t last = 0;
    while (more) {
        struct shoal_hits *page = NULL;
        must(shoal_scroll(f->db, "books", n == 0 ? NULL : &next, 7, NULL, true, false, &page, &next,
                          &more, why),
             why);
        assert_true(page->len == 7 || !more);
        for (size_t i = 0; i < page->len; i++) {
            const struct shoal_hit *hit = &page->hits[i];
            assert_true(n == 0 || hit->id.is_uuid || hit->id.number > last);
            last = hit->id.number;
            n++;
            assert_true(!hit->id.is_uuid || n == expected);
        }
        shoal_hits_free(page);
    }
    assert_int_equal(n, expected);
}

static void check_get(struct fixture *f)
{
    char why[SHOAL_WHY_MAX];
    struct shoal_id ids[3] = { shoal_id_number(3), shoal_id_number(4711) };
    struct shoal_hits *hits = NULL;
    assert_int_equal(shoal_id_parse("936da01f-9abd-4d9d-80c7-02af85c822a8", &ids[2]), 0);
    must(shoal_get(f->db, "books", ids, 3, true, true, &hits, why), why);
    assert_int_equal(hits->len, 2);
    assert_int_equal(hits->hits[0].id.number, 3);
    assert_string_equal(hits->hits[0].payload, "{\"color\":\"red\"}");
    assert_true(hits->hits[0].vector[0] == 3);
    assert_true(hits->hits[1].id.is_uuid);
    assert_true(hits->hits[1].vector[0] == POINTS - 1);
    shoal_hits_free(hits);
}

static void round_trip(struct fixture *f, uint32_t shards)
{
    char why[SHOAL_WHY_MAX];
    const struct shoal_id gone = shoal_id_number(7);
    fill(f, shards);
    for (int i = 0; i < 2; i++) {
        check_search(f, shards);
        check_filter_and_threshold(f);
        check_scroll(f, POINTS);
        check_get(f);
        assert_int_equal(count(f, NULL), POINTS);
        assert_int_equal(count(f, RED), POINTS / 3);
        reopen(f);
    }
    must(shoal_delete(f->db, "books", &gone, 1, why), why);
    must(shoal_delete_where(f->db, "books", RED, why), why);
    assert_int_equal(count(f, NULL), POINTS - 1 - POINTS / 3);
    reopen(f);
    assert_int_equal(count(f, NULL), POINTS - 1 - POINTS / 3);
    check_scroll(f, POINTS - 1 - POINTS / 3);
    must(shoal_collection_delete(f->db, "books", why), why);
    assert_int_equal(shoal_collection_delete(f->db, "books", why), SHOAL_E_NOT_FOUND);
    reopen(f);
    uint64_t n = 0;
    assert_int_equal(shoal_count(f->db, "books", NULL, &n, why), SHOAL_E_NOT_FOUND);
}

static void test_points_go_in_and_come_out_and_stay_over_a_restart(void **state)
{
    round_trip(*state, 1);
}

static void test_the_same_over_three_shards(void **state)
{
    round_trip(*state, 3);
}

static void test_collections_are_listed_and_shown(void **state)
{
    struct fixture *f = *state;
    char why[SHOAL_WHY_MAX];
    char *json = NULL;
    fill(f, 1);
    must(shoal_collection_list(f->db, &json, why), why);
    assert_non_null(strstr(json, "\"books\""));
    shoal_text_free(json);
    must(shoal_collection_info(f->db, "books", &json, why), why);
    assert_non_null(strstr(json, "\"points_count\":30"));
    shoal_text_free(json);
    must(shoal_call(f->db, "GET", "/v1/status", NULL, &json, why), why);
    assert_non_null(strstr(json, "\"ready\":true"));
    shoal_text_free(json);
    shoal_text_free(NULL);
    const struct shoal_collection again = { .dim = DIM };
    assert_int_equal(shoal_collection_create(f->db, "books", &again, why), SHOAL_E_EXISTS);
}

static int upsert_one(struct fixture *f, const char *name, uint32_t dim, float first,
                      const char *payload, char *why)
{
    const struct shoal_id id = shoal_id_number(99);
    float vector[2 * DIM] = { first, 1 };
    const struct shoal_points points = {
        .len = 1, .dim = dim, .ids = &id, .vectors = vector, .payloads = &payload, .wait = true
    };
    return shoal_upsert(f->db, name, &points, why);
}

static void test_bad_input_gets_its_code_and_a_sentence(void **state)
{
    struct fixture *f = *state;
    char why[SHOAL_WHY_MAX];
    struct shoal_hits *hits = NULL;
    const float vector[DIM + 1] = { 1 };
    fill(f, 1);
    assert_int_equal(upsert_one(f, "nothing", DIM, 1, NULL, why), SHOAL_E_NOT_FOUND);
    assert_non_null(strstr(why, "nothing"));
    assert_int_equal(upsert_one(f, "books", DIM + 1, 1, NULL, why), SHOAL_E_INVALID);
    assert_int_equal(upsert_one(f, "books", DIM, (float)NAN, NULL, why), SHOAL_E_INVALID);
    assert_int_equal(upsert_one(f, "books", DIM, 1, "{\"broken\"", why), SHOAL_E_INVALID);
    assert_int_equal(upsert_one(f, "books", DIM, 1, "[1]", why), SHOAL_E_INVALID);
    assert_int_equal(count(f, NULL), POINTS);
    struct shoal_search search = { .vector = vector, .dim = DIM + 1 };
    assert_int_equal(shoal_search(f->db, "books", &search, &hits, why), SHOAL_E_INVALID);
    assert_non_null(strstr(why, "expected dim: 4, got 5"));
    search = (struct shoal_search){ .vector = vector, .dim = DIM, .filter = "{\"must\":7" };
    assert_int_equal(shoal_search(f->db, "books", &search, &hits, why), SHOAL_E_INVALID);
    assert_null(hits);
    assert_int_equal(shoal_delete_where(f->db, "books", "{\"wants\":1}", why), SHOAL_E_INVALID);
    char *json = NULL;
    assert_int_equal(shoal_call(f->db, "GET", "/no/such/route", NULL, &json, why),
                     SHOAL_E_NOT_FOUND);
    assert_null(json);
}

static void test_a_write_with_the_same_operation_id_is_applied_once(void **state)
{
    struct fixture *f = *state;
    char why[SHOAL_WHY_MAX];
    const uint8_t op_id[16] = "operation-number";
    const struct shoal_id id = shoal_id_number(1000);
    const float vector[DIM] = { 1000 };
    const struct shoal_points points = {
        .len = 1, .dim = DIM, .ids = &id, .vectors = vector, .operation_id = op_id, .wait = true
    };
    fill(f, 1);
    must(shoal_upsert(f->db, "books", &points, why), why);
    must(shoal_delete(f->db, "books", &id, 1, why), why);
    must(shoal_upsert(f->db, "books", &points, why), why); /* a late repeat */
    assert_int_equal(count(f, NULL), POINTS);
}

static bool never(void *arg, const char *json)
{
    (void)arg;
    fail_msg("an event without a model: %s", json);
    return false;
}

/* Over the network a stream may have begun before its failure is known: then it is an event. */
static bool on_failure(void *arg, const char *json)
{
    int *failures = arg;
    assert_non_null(strstr(json, "\"type\":\"error\""));
    assert_non_null(strstr(json, "shoald --roles generator"));
    (*failures)++;
    return true;
}

static void test_what_needs_a_model_says_how_to_get_one(void **state)
{
    struct fixture *f = *state;
    char why[SHOAL_WHY_MAX];
    char *json = NULL;
    int failures = 0;
    const char *question = "{\"question\":\"Why?\"}";
    fill(f, 1);
    if (f->network) {
        must(shoal_ask(f->db, "books", question, on_failure, &failures, why), why);
        assert_int_equal(failures, 1);
    } else {
        assert_int_equal(shoal_ask(f->db, "books", question, never, NULL, why),
                         SHOAL_E_UNSUPPORTED);
        assert_non_null(strstr(why, "start shoald with a generator"));
    }
    int code = shoal_call(f->db, "POST", "/v1/collections/books/search", "{\"text\":\"why\"}",
                          &json, why);
    assert_int_equal(code, SHOAL_E_UNAVAILABLE);
    assert_non_null(strstr(why, "shoald --roles generator"));
}

static void test_a_directory_belongs_to_one_at_a_time(void **state)
{
    struct fixture *f = *state;
    char why[SHOAL_WHY_MAX];
    char url[PATH_MAX + 16];
    struct shoal *second = NULL;
    (void)snprintf(url, sizeof(url), "file://%s/data", f->dir);
    assert_int_equal(shoal_open(url, NULL, &second, why), SHOAL_E_BUSY);
    assert_null(second);
    assert_non_null(strstr(why, "in use"));
}

/* --- memory ----------------------------------------------------------------------------------- */

/* The engine's own threads allocate as well, so the count is atomic and the hook stays set while
 * they run. */
static atomic_long allocs_left;

static bool may_alloc(void *arg, size_t size)
{
    (void)arg;
    (void)size;
    return atomic_fetch_sub(&allocs_left, 1) != 0;
}

/* With some threads' share the n-th allocation is not the same each time; every one is hit. */
static void test_opening_survives_each_failed_allocation(void **state)
{
    struct fixture *f = *state;
    static const struct mem_hook hook = { .may_alloc = may_alloc };
    char why[SHOAL_WHY_MAX];
    char url[PATH_MAX + 16];
    long nth = 0;
    stop(f);
    (void)snprintf(url, sizeof(url), "file://%s/data", f->dir);
    for (bool reached = true; reached; nth++) {
        atomic_store(&allocs_left, nth);
        mem_hook_set(&hook);
        int code = shoal_open(url, NULL, &f->db, why);
        reached = atomic_exchange(&allocs_left, -1) < 0;
        assert_true(code == SHOAL_E_OK || code == SHOAL_E_NO_MEMORY);
        assert_true((code == SHOAL_E_OK) == (f->db != NULL));
        shoal_close(f->db);
        f->db = NULL;
        mem_hook_set(NULL);
        assert_int_equal(test_heap_live(), 0);
    }
    assert_true(nth > 20);
    start(f);
}

#define BOTH(test)                                              \
    { #test " (engine)", test, setup_engine, teardown, NULL },  \
    {                                                           \
#test " (network)", test, setup_network, teardown, NULL \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_points_go_in_and_come_out_and_stay_over_a_restart),
        BOTH(test_the_same_over_three_shards),
        BOTH(test_collections_are_listed_and_shown),
        BOTH(test_bad_input_gets_its_code_and_a_sentence),
        BOTH(test_a_write_with_the_same_operation_id_is_applied_once),
        BOTH(test_what_needs_a_model_says_how_to_get_one),
        cmocka_unit_test_setup_teardown(test_opening_survives_each_failed_allocation, setup_engine,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_directory_belongs_to_one_at_a_time, setup_engine,
                                        teardown),
    };
    return cmocka_run_group_tests_name("round trip", tests, NULL, NULL);
}
