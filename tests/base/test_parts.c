/* The small parts: errors, buffers, arenas, ids, randomness, clocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/point_id.h"
#include "base/rand.h"
#include "tests/support/heap.h"

#include <errno.h>
#include <string.h>

static void test_errors_carry_their_text_up(void **state)
{
    (void)state;
    struct errbuf why = { 0 };
    assert_int_equal(err_set(&why, SHOAL_EFULL, "no room for %d", 3), SHOAL_EFULL);
    assert_int_equal(err_prefix(&why, SHOAL_EFULL, "shard %d", 7), SHOAL_EFULL);
    assert_string_equal(why.text, "shard 7: no room for 3");
    assert_int_equal(err_set(&why, SHOAL_EIO, "again: %s", why.text), SHOAL_EIO);
    assert_string_equal(why.text, "again: shard 7: no room for 3");
    err_clear(&why);
    assert_string_equal(err_why(&why, SHOAL_EIO), "input or output failed");
    assert_int_equal(err_errno(&why, ENOSPC, "write %s", "x"), SHOAL_EFULL);
    assert_int_equal(err_set(NULL, SHOAL_EIO, "x"), SHOAL_EIO);
    assert_string_equal(err_word(SHOAL_ENOTFOUND), "not_found");
    assert_int_equal(err_from_number(7), SHOAL_ENOTFOUND);
    assert_int_equal(err_from_number(9999), SHOAL_EPROTO);
}

static void test_a_long_error_is_cut_with_dots(void **state)
{
    (void)state;
    char big[2 * ERRBUF_TEXT_MAX];
    struct errbuf why = { 0 };
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    err_set(&why, SHOAL_EIO, "%s", big);
    assert_int_equal(strlen(why.text), ERRBUF_TEXT_MAX - 1);
    assert_string_equal(why.text + ERRBUF_TEXT_MAX - 4, "...");
}

static void test_a_buf_never_grows_beyond_its_maximum(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    assert_int_equal(buf_append_str(&b, "0123456789"), SHOAL_OK);
    assert_string_equal(buf_cstr(&b), "0123456789");
    assert_int_equal(buf_append_char(&b, 'x'), SHOAL_ETOOBIG);
    assert_int_equal(b.len, 10);
    assert_int_equal(buf_append_str(&b, ""), SHOAL_ETOOBIG);
    buf_reset(&b);
    assert_int_equal(buf_printf(&b, "%d-%s", 42, "ok"), SHOAL_OK);
    assert_string_equal(buf_cstr(&b), "42-ok");
    size_t len = 0;
    char *data = buf_detach(&b, &len);
    assert_int_equal(len, 5);
    mem_free(data);
    buf_release(&b);
}

static void test_a_buf_survives_failed_allocations(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1u << 20);
    test_heap_fail_at(0);
    assert_int_equal(buf_append_str(&b, "abc"), SHOAL_ENOMEM);
    test_heap_fail_never();
    assert_int_equal(b.len, 0);
    assert_null(buf_cstr(&b));
    buf_release(&b);
}

static void test_arena_is_aligned_bounded_and_reusable(void **state)
{
    (void)state;
    struct arena a;
    size_t live = test_heap_live();
    arena_init(&a, 64u << 10);
    for (size_t i = 0; i < 200; i++) {
        char *p = arena_alloc(&a, i);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        memset(p, 1, i);
    }
    assert_null(arena_alloc(&a, 65u << 10));
    assert_null(arena_array(&a, SIZE_MAX, 2));
    const uint64_t *zeroed = arena_array(&a, 100, sizeof(*zeroed));
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(zeroed[i], 0);
    }
    arena_reset(&a);
    assert_string_equal(arena_strndup(&a, "hello", 3), "hel");
    arena_release(&a);
    assert_int_equal(test_heap_live(), live);
}

static void check_id(const char *text, const char *want)
{
    struct point_id id;
    char out[POINT_ID_TEXT_MAX];
    assert_int_equal(point_id_parse(slice_from_str(text), &id), SHOAL_OK);
    (void)point_id_print(&id, out);
    assert_string_equal(out, want);
    uint8_t key[POINT_ID_KEY_MAX];
    struct point_id back;
    assert_int_equal(point_id_from_key(key, point_id_key(&id, key), &back), SHOAL_OK);
    assert_int_equal(point_id_compare(&id, &back), 0);
}

static void test_ids_in_all_forms(void **state)
{
    (void)state;
    static const char uuid[] = "936da01f-9abd-4d9d-80c7-02af85c822a8";
    check_id("0", "0");
    check_id("18446744073709551615", "18446744073709551615");
    check_id(uuid, uuid);
    check_id("936DA01F9ABD4D9D80C702AF85C822A8", uuid);
    check_id("urn:uuid:936da01f-9abd-4d9d-80c7-02af85c822a8", uuid);
    check_id("{936da01f-9abd-4d9d-80c7-02af85c822a8}", uuid);
    static const char *const bad[] = { "",
                                       "-1",
                                       "1.5",
                                       "x",
                                       "18446744073709551616",
                                       "936da01f",
                                       "936da01f-9abd-4d9d-80c7-02af85c822ag",
                                       "936da01f-9abd-4d9d-80c702-af85c822a8" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct point_id id;
        assert_int_equal(point_id_parse(slice_from_str(bad[i]), &id), SHOAL_EPARSE);
    }
}

static void test_keys_sort_as_ids_do(void **state)
{
    (void)state;
    struct rand_seeded r;
    rand_seeded_init(&r, 7);
    for (int i = 0; i < 10000; i++) {
        struct point_id a = point_id_num(rand_u64(&r.source) >> rand_below(&r.source, 64));
        struct point_id b = a;
        if (rand_below(&r.source, 2) == 0) {
            b.kind = POINT_ID_UUID;
            r.source.fill(r.source.arg, b.value.uuid, 16);
        } else {
            b = point_id_num(rand_u64(&r.source) >> rand_below(&r.source, 64));
        }
        uint8_t ka[POINT_ID_KEY_MAX];
        uint8_t kb[POINT_ID_KEY_MAX];
        size_t la = point_id_key(&a, ka);
        size_t lb = point_id_key(&b, kb);
        int order = memcmp(ka, kb, la < lb ? la : lb);
        int want = point_id_compare(&a, &b);
        assert_int_equal((order > 0) - (order < 0), want);
    }
}

static void test_seeded_randomness_repeats(void **state)
{
    (void)state;
    struct rand_seeded a;
    struct rand_seeded b;
    rand_seeded_init(&a, 99);
    rand_seeded_init(&b, 99);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(rand_u64(&a.source), rand_u64(&b.source));
        assert_true(rand_below(&a.source, 10) < 10);
        double u = rand_unit(&b.source);
        assert_true(u >= 0 && u < 1);
        rand_seeded_init(&a, (uint64_t)i);
        rand_seeded_init(&b, (uint64_t)i);
    }
}

static void test_a_manual_clock_moves_only_by_hand(void **state)
{
    (void)state;
    struct clock_manual m;
    clock_manual_init(&m, 5000000);
    assert_int_equal(clock_mono_ms(&m.clock), 5);
    clock_manual_advance_ns(&m, 2000000);
    assert_int_equal(clock_mono_ms(&m.clock), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors_carry_their_text_up),
        cmocka_unit_test(test_a_long_error_is_cut_with_dots),
        cmocka_unit_test(test_a_buf_never_grows_beyond_its_maximum),
        cmocka_unit_test(test_a_buf_survives_failed_allocations),
        cmocka_unit_test(test_arena_is_aligned_bounded_and_reusable),
        cmocka_unit_test(test_ids_in_all_forms),
        cmocka_unit_test(test_keys_sort_as_ids_do),
        cmocka_unit_test(test_seeded_randomness_repeats),
        cmocka_unit_test(test_a_manual_clock_moves_only_by_hand),
    };
    return cmocka_run_group_tests_name("parts", tests, NULL, NULL);
}
