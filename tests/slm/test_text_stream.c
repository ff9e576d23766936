/* Text stream: whole characters only, nothing of a stop string, whatever the pieces. */
#include "slm/text_stream.h"
#include "slm/utf8.h"
#include "tests/support/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Feeds `text` in pieces of n bytes, and ends the stream. */
static void check(const char *text, size_t n, const struct slice *stops, size_t stops_len,
                  const char *expected)
{
    struct text_stream ts;
    struct buf out;
    size_t len = strlen(text);
    text_stream__init(&ts, stops, stops_len);
    buf_init(&out, 1u << 16);
    for (size_t at = 0; at < len; at += n) {
        struct slice piece = slice_make(text + at, len - at < n ? len - at : n);
        assert_int_equal(text_stream__push(&ts, piece, &out), SHOAL_OK);
        assert_true(utf8__valid(buf_slice(&out)));
    }
    assert_int_equal(text_stream__end(&ts, &out), SHOAL_OK);
    assert_int_equal(out.len, strlen(expected));
    assert_memory_equal(out.data == NULL ? "" : out.data, expected, out.len);
    buf_release(&out);
    text_stream__release(&ts);
}

static void test_pieces_do_not_change_the_text(void **state)
{
    (void)state;
    const struct slice stops[] = { SLICE_LIT("\n\nUser:"), SLICE_LIT("END") };
    for (size_t n = 1; n < 12; n++) {
        check("", n, NULL, 0, "");
        check("plain text", n, NULL, 0, "plain text");
        check("gr\xc3\xbc\xc3\x9f \xe6\xb2\xb3 \xf0\x9f\x90\x9f!", n, NULL, 0,
              "gr\xc3\xbc\xc3\x9f \xe6\xb2\xb3 \xf0\x9f\x90\x9f!");
        check("cut \xe6\xb2", n, NULL, 0, "cut ");
        check("bad \xff\xc3( end", n, NULL, 0, "bad " UTF8_REPLACEMENT UTF8_REPLACEMENT "( end");
        check("It ends. END and on", n, stops, 2, "It ends. ");
        check("It ends.\n\nUser: more END", n, stops, 2, "It ends.");
        check("EN ENE EEN EN", n, stops, 2, "EN ENE EEN EN");
        check("ENEND", n, stops, 2, "EN");
        check("END", n, stops, 2, "");
    }
}

static void test_what_may_be_shown_is_not_held(void **state)
{
    (void)state;
    const struct slice stop = SLICE_LIT("END");
    struct text_stream ts;
    struct buf out;
    text_stream__init(&ts, &stop, 1);
    buf_init(&out, 64);
    assert_int_equal(text_stream__push(&ts, SLICE_LIT("an E"), &out), SHOAL_OK);
    assert_int_equal(out.len, 3);
    assert_int_equal(text_stream__push(&ts, SLICE_LIT("N"), &out), SHOAL_OK);
    assert_int_equal(out.len, 3);
    assert_int_equal(text_stream__push(&ts, SLICE_LIT("d"), &out), SHOAL_OK);
    assert_int_equal(out.len, 6);
    assert_false(ts.stopped);
    assert_int_equal(text_stream__push(&ts, SLICE_LIT(" END no more"), &out), SHOAL_OK);
    assert_true(ts.stopped);
    assert_int_equal(text_stream__push(&ts, SLICE_LIT("nor this"), &out), SHOAL_OK);
    assert_int_equal(out.len, 7);
    buf_release(&out);
    text_stream__release(&ts);
}

static void test_full_buffer_and_memory_are_reported(void **state)
{
    (void)state;
    struct text_stream ts;
    struct buf out;
    size_t live = test_heap_live();
    text_stream__init(&ts, NULL, 0);
    buf_init(&out, 4);
    assert_int_equal(text_stream__push(&ts, SLICE_LIT("too long"), &out), SHOAL_ETOOBIG);
    buf_release(&out);
    text_stream__release(&ts);
    for (size_t nth = 0; nth < 2; nth++) {
        text_stream__init(&ts, NULL, 0);
        buf_init(&out, 64);
        test_heap_fail_at(nth);
        assert_int_equal(text_stream__push(&ts, SLICE_LIT("text"), &out), SHOAL_ENOMEM);
        test_heap_fail_never();
        buf_release(&out);
        text_stream__release(&ts);
        assert_int_equal(test_heap_live(), live);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_do_not_change_the_text),
        cmocka_unit_test(test_what_may_be_shown_is_not_held),
        cmocka_unit_test(test_full_buffer_and_memory_are_reported),
    };
    return cmocka_run_group_tests_name("text_stream", tests, NULL, NULL);
}
