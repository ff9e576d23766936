/* MessagePack: round trips, and no truncation or lie about lengths gets through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/msgpack.h"

#include <string.h>

static void write_all(struct buf *out)
{
    struct mp_writer w;
    mp_writer_init(&w, out);
    mp_put_array(&w, 11);
    mp_put_nil(&w);
    mp_put_bool(&w, true);
    mp_put_u64(&w, UINT64_MAX);
    mp_put_i64(&w, INT64_MIN);
    mp_put_i64(&w, 7);
    mp_put_f32(&w, 0.19f);
    mp_put_f64(&w, 1.0);
    mp_put_str(&w, SLICE_LIT("h\0llo"));
    mp_put_bin(&w, "\x00\xff", 2);
    mp_put_map(&w, 1);
    mp_put_cstr(&w, "k");
    mp_put_u64(&w, 300);
    mp_put_str(&w, SLICE_LIT(""));
}

static enum shoal_err read_all(struct slice bytes)
{
    struct mp_reader r;
    mp_reader_init(&r, bytes);
    bool ok = mp_get_array(&r, 11) == 11;
    ok = mp_get_nil(&r) && ok;
    ok = mp_get_bool(&r) && ok;
    ok = mp_get_u64(&r) == UINT64_MAX && ok;
    ok = mp_get_i64(&r) == INT64_MIN && ok;
    ok = mp_get_i64(&r) == 7 && ok;
    ok = mp_get_f32(&r) == 0.19f && ok;
    ok = mp_get_f64(&r) == 1.0 && ok;
    ok = slice_equal(mp_get_str(&r, 5), SLICE_LIT("h\0llo")) && ok;
    ok = slice_equal(mp_get_bin(&r, 2), slice_make("\x00\xff", 2)) && ok;
    ok = mp_get_map(&r, 1) == 1 && ok;
    ok = slice_is(mp_get_str(&r, 1), "k") && ok;
    ok = mp_get_u64_max(&r, 300) == 300 && ok;
    ok = mp_get_str(&r, 0).len == 0 && ok;
    enum shoal_err rc = mp_reader_finish(&r, NULL);
    assert_true(rc != SHOAL_OK || ok);
    return rc;
}

static void test_round_trip(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 4096);
    write_all(&out);
    assert_int_equal(out.failed, SHOAL_OK);
    assert_int_equal(read_all(buf_slice(&out)), SHOAL_OK);
    buf_release(&out);
}

static void test_every_truncation_and_extra_byte_is_refused(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 4096);
    write_all(&out);
    for (size_t len = 0; len < out.len; len++) {
        assert_int_equal(read_all(slice_make(out.data, len)), SHOAL_EPROTO);
    }
    (void)buf_append_char(&out, 'x');
    assert_int_equal(read_all(buf_slice(&out)), SHOAL_EPROTO);
    buf_release(&out);
}

static void test_counts_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct mp_reader r;
    mp_reader_init(&r, slice_make("\xdd\xff\xff\xff\xff", 5)); /* an array of 2^32 - 1 */
    assert_int_equal(mp_get_array(&r, UINT32_MAX), 0);
    assert_int_equal(r.failed, SHOAL_EPROTO);
    mp_reader_init(&r, slice_make("\xc6\xff\xff\xff\xff", 5)); /* a binary of 2^32 - 1 */
    assert_int_equal(mp_get_bin(&r, SIZE_MAX).len, 0);
    assert_int_equal(r.failed, SHOAL_EPROTO);
    mp_reader_init(&r, slice_make("\x93\x01\x02\x03", 4));
    assert_int_equal(mp_get_array(&r, 2), 0);
    assert_int_equal(r.failed, SHOAL_EPROTO);
}

static void test_errors_stick(void **state)
{
    (void)state;
    struct mp_reader r;
    mp_reader_init(&r, slice_make("\xc3\x05", 2));
    assert_int_equal(mp_get_u64(&r), 0);
    assert_int_equal(mp_get_u64(&r), 0);
    assert_int_equal(mp_reader_finish(&r, NULL), SHOAL_EPROTO);
}

static void test_skip_passes_over_any_value(void **state)
{
    (void)state;
    struct buf out;
    struct mp_writer w;
    struct mp_reader r;
    buf_init(&out, 4096);
    write_all(&out);
    mp_writer_init(&w, &out);
    mp_put_u64(&w, 42);
    mp_reader_init(&r, buf_slice(&out));
    mp_skip(&r);
    assert_int_equal(mp_get_u64(&r), 42);
    assert_int_equal(mp_reader_finish(&r, NULL), SHOAL_OK);
    buf_release(&out);
}

static void test_skip_is_bounded_in_depth(void **state)
{
    (void)state;
    char deep[MP_DEPTH_MAX + 8];
    struct mp_reader r;
    memset(deep, '\x91', sizeof(deep)); /* arrays of one array of one ... */
    mp_reader_init(&r, slice_make(deep, sizeof(deep)));
    mp_skip(&r);
    assert_int_equal(r.failed, SHOAL_EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_every_truncation_and_extra_byte_is_refused),
        cmocka_unit_test(test_counts_that_cannot_be_are_refused),
        cmocka_unit_test(test_errors_stick),
        cmocka_unit_test(test_skip_passes_over_any_value),
        cmocka_unit_test(test_skip_is_bounded_in_depth),
    };
    return cmocka_run_group_tests_name("msgpack", tests, NULL, NULL);
}
