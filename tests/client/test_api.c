/* The public calls where no server is needed: ids, codes and texts, arguments, results in memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/hits.h"
#include "client/shoal.h"
#include "tests/support/heap.h"

#include <string.h>

static int teardown(void **state)
{
    (void)state;
    return test_heap_live() == 0 ? 0 : -1; /* a leak fails the test */
}

/* --- codes ------------------------------------------------------------------------------------ */

static void test_public_codes_are_the_inner_ones(void **state)
{
    (void)state;
    static const int codes[][2] = {
        { SHOAL_E_OK, SHOAL_OK },
        { SHOAL_E_NO_MEMORY, SHOAL_ENOMEM },
        { SHOAL_E_INVALID, SHOAL_EINVAL },
        { SHOAL_E_FULL, SHOAL_EFULL },
        { SHOAL_E_CORRUPT, SHOAL_ECORRUPT },
        { SHOAL_E_IO, SHOAL_EIO },
        { SHOAL_E_BUSY, SHOAL_EBUSY },
        { SHOAL_E_NOT_FOUND, SHOAL_ENOTFOUND },
        { SHOAL_E_EXISTS, SHOAL_EEXISTS },
        { SHOAL_E_TIMEOUT, SHOAL_ETIMEOUT },
        { SHOAL_E_UNAVAILABLE, SHOAL_EUNAVAILABLE },
        { SHOAL_E_UNSUPPORTED, SHOAL_EUNSUPPORTED },
        { SHOAL_E_PROTOCOL, SHOAL_EPROTO },
        { SHOAL_E_TOO_BIG, SHOAL_ETOOBIG },
        { SHOAL_E_CANCELED, SHOAL_ECANCELED },
        { SHOAL_E_LIMITED, SHOAL_ELIMITED },
        { SHOAL_E_DENIED, SHOAL_EDENIED },
    };
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        assert_int_equal(codes[i][0], codes[i][1]);
        assert_string_equal(shoal_status_text(codes[i][0]), err_text((enum shoal_err)codes[i][1]));
    }
    assert_non_null(shoal_status_text(12345));
    assert_non_null(shoal_status_text(-1));
    assert_int_equal(strncmp(shoal_version(), "libshoal ", 9), 0);
}

/* --- ids -------------------------------------------------------------------------------------- */

static void test_ids_are_read_and_printed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *printed;
        bool is_uuid;
    } cases[] = {
        { "0", "0", false },
        { "18446744073709551615", "18446744073709551615", false },
        { "936DA01F9ABD4d9d80C702AF85C822A8", "936da01f-9abd-4d9d-80c7-02af85c822a8", true },
        { "{936da01f-9abd-4d9d-80c7-02af85c822a8}", "936da01f-9abd-4d9d-80c7-02af85c822a8", true },
        { "urn:uuid:936da01f-9abd-4d9d-80c7-02af85c822a8", "936da01f-9abd-4d9d-80c7-02af85c822a8",
          true },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct shoal_id id;
        char text[37];
        assert_int_equal(shoal_id_parse(cases[i].text, &id), SHOAL_E_OK);
        assert_true(id.is_uuid == cases[i].is_uuid);
        shoal_id_print(&id, text);
        assert_string_equal(text, cases[i].printed);
    }
    struct shoal_id id = shoal_id_number(7);
    assert_false(id.is_uuid);
    assert_int_equal(id.number, 7);
}

static void test_wrong_ids_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = { "",    "-1",
                                         "1.5", "18446744073709551616",
                                         "x",   "936da01f-9abd-4d9d-80c7-02af85c822a" };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct shoal_id id;
        assert_int_equal(shoal_id_parse(texts[i], &id), SHOAL_E_INVALID);
    }
}

/* --- hits ------------------------------------------------------------------------------------- */

static void test_hits_own_what_they_point_to(void **state)
{
    (void)state;
    struct hits *h = NULL;
    struct shoal_hit *room = NULL;
    char payload[] = "{\"a\":1}";
    float vector[3] = { 1, 2, 3 };
    assert_int_equal(hits_new(2, &h, &room), SHOAL_OK);
    assert_int_equal(h->pub.len, 2);
    assert_ptr_equal(h->pub.hits, room);
    assert_null(room[1].payload);
    assert_int_equal(hits_set_payload(h, &room[0], slice_from_str(payload)), SHOAL_OK);
    assert_int_equal(hits_set_vector(h, &room[0], vector, 3), SHOAL_OK);
    assert_int_equal(hits_set_payload(h, &room[1], slice_make(NULL, 0)), SHOAL_OK);
    assert_int_equal(hits_set_vector(h, &room[1], NULL, 0), SHOAL_OK);
    memset(payload, 'x', sizeof(payload));
    memset(vector, 0, sizeof(vector));
    assert_string_equal(h->pub.hits[0].payload, "{\"a\":1}");
    assert_true(h->pub.hits[0].vector[2] == 3);
    assert_null(h->pub.hits[1].payload);
    assert_null(h->pub.hits[1].vector);
    shoal_hits_free(&h->pub);
    assert_int_equal(hits_new(0, &h, &room), SHOAL_OK);
    assert_int_equal(h->pub.len, 0);
    shoal_hits_free(&h->pub);
    shoal_hits_free(NULL);
}

static void test_hits_survive_each_failed_allocation(void **state)
{
    (void)state;
    enum shoal_err rc = SHOAL_ENOMEM;
    for (size_t nth = 0; rc == SHOAL_ENOMEM && nth < TEST_ALLOCS_MAX; nth++) {
        struct hits *h = NULL;
        struct shoal_hit *room = NULL;
        test_heap_fail_at(nth);
        rc = hits_new(1000, &h, &room);
        test_heap_fail_never();
        assert_true((rc == SHOAL_OK) == (h != NULL));
        if (rc == SHOAL_OK) {
            shoal_hits_free(&h->pub);
        }
        assert_int_equal(test_heap_live(), 0);
    }
    assert_int_equal(rc, SHOAL_OK);
}

static void test_hit_ids_keep_their_kind(void **state)
{
    (void)state;
    struct point_id id = point_id_num(UINT64_MAX);
    struct shoal_id pub = id_to_public(&id);
    struct point_id back = id_from_public(&pub);
    assert_int_equal(point_id_compare(&id, &back), 0);
    assert_int_equal(point_id_parse_uuid(SLICE_LIT("936da01f-9abd-4d9d-80c7-02af85c822a8"), &id),
                     SHOAL_OK);
    pub = id_to_public(&id);
    back = id_from_public(&pub);
    assert_true(pub.is_uuid);
    assert_int_equal(point_id_compare(&id, &back), 0);
}

/* --- opening ---------------------------------------------------------------------------------- */

static void assert_refused(const char *url, const struct shoal_options *options, int code,
                           const char *says)
{
    struct shoal *db = (struct shoal *)&code;
    char why[SHOAL_WHY_MAX] = "";
    assert_int_equal(shoal_open(url, options, &db, why), code);
    assert_null(db);
    assert_non_null(strstr(why, says));
    assert_int_equal(shoal_open(url, options, &db, NULL), code);
}

static void test_wrong_addresses_are_refused(void **state)
{
    (void)state;
    const char *says = "give shoal://HOST:PORT or file:///DIR";
    assert_refused("http://127.0.0.1:6333", NULL, SHOAL_E_INVALID, says);
    assert_refused("", NULL, SHOAL_E_INVALID, says);
    assert_refused(NULL, NULL, SHOAL_E_INVALID, "shoal://HOST:PORT or file:///DIR");
    assert_refused("shoal://nowhere", NULL, SHOAL_E_INVALID, "shoal://nowhere: ");
    assert_refused("file://relative/dir", NULL, SHOAL_E_INVALID, "give the whole path");
    assert_refused("shoal://127.0.0.1:1", &(struct shoal_options){ .api_key = "k" },
                   SHOAL_E_UNSUPPORTED, "API keys");
}

static void test_opening_survives_each_failed_allocation(void **state)
{
    (void)state;
    int code = SHOAL_E_NO_MEMORY;
    for (size_t nth = 0; code == SHOAL_E_NO_MEMORY && nth < TEST_ALLOCS_MAX; nth++) {
        struct shoal *db = NULL;
        char why[SHOAL_WHY_MAX] = "";
        test_heap_fail_at(nth);
        code = shoal_open("shoal://127.0.0.1:1", NULL, &db, why);
        test_heap_fail_never();
        assert_true((code == SHOAL_E_OK) == (db != NULL));
        assert_true(code == SHOAL_E_OK || strstr(why, "memory") != NULL);
        shoal_close(db);
        assert_int_equal(test_heap_live(), 0);
    }
    assert_int_equal(code, SHOAL_E_OK);
}

/* --- arguments -------------------------------------------------------------------------------- */

/* A server that is not there: what is refused here was refused before it was looked for. */
static struct shoal *open_nowhere(uint32_t timeout_ms)
{
    struct shoal *db = NULL;
    char why[SHOAL_WHY_MAX];
    const struct shoal_options options = { .timeout_ms = timeout_ms };
    assert_int_equal(shoal_open("shoal://127.0.0.1:1", &options, &db, why), SHOAL_E_OK);
    return db;
}

static void assert_says(int code, const char *why, const char *says)
{
    assert_int_equal(code, SHOAL_E_INVALID);
    assert_non_null(strstr(why, says));
}

static void test_wrong_arguments_are_refused_before_anything_is_sent(void **state)
{
    (void)state;
    struct shoal *db = open_nowhere(60000);
    char why[SHOAL_WHY_MAX];
    char *json = NULL;
    uint64_t n;
    struct shoal_hits *hits = NULL;
    const struct shoal_id id = shoal_id_number(1);
    const float vector[2] = { 1, 0 };
    const struct shoal_points points = { .len = 1, .dim = 2, .ids = &id, .vectors = vector };
    struct shoal_points bad = points;
    const struct shoal_search search = { .vector = vector, .dim = 2 };
    const char *name = "a collection's name is needed";
    char long_name[2000];
    memset(long_name, 'n', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';

    assert_says(shoal_collection_create(db, "c", &(struct shoal_collection){ .distance = 9 }, why),
                why, "unknown distance");
    assert_says(shoal_collection_create(db, "", &(struct shoal_collection){ .dim = 2 }, why), why,
                name);
    assert_says(shoal_collection_delete(db, NULL, why), why, name);
    assert_says(shoal_collection_info(db, long_name, &json, why), why, "too long");
    assert_says(shoal_upsert(db, "", &points, why), why, name);
    bad.ids = NULL;
    assert_says(shoal_upsert(db, "c", &bad, why), why, "points need ids");
    bad = points;
    bad.dim = 0;
    assert_says(shoal_upsert(db, "c", &bad, why), why, "points need ids");
    bad.len = 0;
    assert_int_equal(shoal_upsert(db, "c", &bad, why), SHOAL_E_OK);
    assert_string_equal(why, "");
    assert_says(shoal_delete_where(db, "c", NULL, why), why, "a filter is needed");
    assert_says(shoal_count(db, "", NULL, &n, why), why, name);
    assert_says(shoal_search(db, "", &search, &hits, why), why, "a collection and a vector");
    assert_says(shoal_search(db, "c", &(struct shoal_search){ .dim = 2 }, &hits, why), why,
                "a collection and a vector");
    assert_null(hits);
    assert_says(shoal_call(db, "GET", "collections", NULL, &json, why), why, "begins with /");
    assert_null(json);
    shoal_close(db);
    shoal_close(NULL);
}

static void test_a_server_that_is_away_is_told_of(void **state)
{
    (void)state;
    struct shoal *db = open_nowhere(200);
    char why[SHOAL_WHY_MAX] = "";
    char *json = NULL;
    int code = shoal_collection_list(db, &json, why);
    assert_true(code == SHOAL_E_UNAVAILABLE || code == SHOAL_E_TIMEOUT);
    assert_null(json);
    assert_true(strlen(why) > 0);
    code = shoal_collection_list(db, &json, NULL);
    assert_true(code == SHOAL_E_UNAVAILABLE || code == SHOAL_E_TIMEOUT);
    shoal_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_public_codes_are_the_inner_ones, teardown),
        cmocka_unit_test_teardown(test_ids_are_read_and_printed, teardown),
        cmocka_unit_test_teardown(test_wrong_ids_are_refused, teardown),
        cmocka_unit_test_teardown(test_hits_own_what_they_point_to, teardown),
        cmocka_unit_test_teardown(test_hits_survive_each_failed_allocation, teardown),
        cmocka_unit_test_teardown(test_hit_ids_keep_their_kind, teardown),
        cmocka_unit_test_teardown(test_wrong_addresses_are_refused, teardown),
        cmocka_unit_test_teardown(test_opening_survives_each_failed_allocation, teardown),
        cmocka_unit_test_teardown(test_wrong_arguments_are_refused_before_anything_is_sent,
                                  teardown),
        cmocka_unit_test_teardown(test_a_server_that_is_away_is_told_of, teardown),
    };
    return cmocka_run_group_tests_name("api", tests, NULL, NULL);
}
