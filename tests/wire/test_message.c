/* Messages: what is encoded is read back, and nothing else is. */
#include "base/bytes.h"
#include "base/mem.h"
#include "base/msgpack.h"
#include "base/rand.h"
#include "tests/support/dir.h"
#include "tests/support/heap.h"
#include "tests/wire/messages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ARENA_MAX (1u << 20)

static size_t live_before;

static int setup(void **state)
{
    (void)state;
    live_before = test_heap_live();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    test_heap_fail_never();
    return test_heap_live() == live_before ? 0 : -1;
}

static struct buf sample_of(const struct message_case *c)
{
    struct buf b;
    buf_init(&b, WIRE_MESSAGE_MAX);
    assert_int_equal(c->sample(&b), SHOAL_OK);
    return b;
}

/* Reads and writes again; `message` lies in a block of exactly its size. */
static enum shoal_err again(const struct message_case *c, struct slice message, struct buf *out,
                            struct errbuf *why)
{
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    char *copy = mem_aligned(message.len + 1);
    assert_non_null(copy);
    memcpy(copy, message.data, message.len);
    enum shoal_err rc = c->again(slice_make(copy, message.len), &arena, out, why);
    mem_free(copy);
    arena_release(&arena);
    return rc;
}

static void test_every_message_comes_back_as_it_was_sent(void **state)
{
    (void)state;
    for (size_t i = 0; i < MESSAGE_CASES; i++) {
        struct buf b = sample_of(&message_cases[i]);
        struct buf out;
        struct errbuf why = { 0 };
        buf_init(&out, WIRE_MESSAGE_MAX);
        if (again(&message_cases[i], buf_slice(&b), &out, &why) != SHOAL_OK) {
            fail_msg("%s: %s", message_cases[i].name, why.text);
        }
        assert_int_equal(out.len, b.len);
        assert_memory_equal(out.data, b.data, b.len);
        buf_release(&out);
        buf_release(&b);
    }
}

static void test_rows_are_read_in_place(void **state)
{
    (void)state;
    struct buf b;
    struct frame f;
    struct wire_search s;
    struct arena arena;
    buf_init(&b, WIRE_MESSAGE_MAX);
    arena_init(&arena, ARENA_MAX);
    assert_int_equal(wire_encode_search(&b, WIRE_SEARCH, &meta_sample, &search_sample), SHOAL_OK);
    assert_int_equal(frame_decode(buf_slice(&b), &f, NULL), SHOAL_OK);
    assert_int_equal(f.timeout_ms, meta_sample.timeout_ms);
    assert_int_equal(f.trace_id, meta_sample.trace_id);
    assert_int_equal((f.raw.data - b.data) % 16, 0);
    assert_int_equal(wire_decode_search(&f, &arena, &s, NULL), SHOAL_OK);
    assert_ptr_equal(s.vector, f.raw.data);
    assert_memory_equal(s.vector, floats_sample, sizeof(floats_sample));
    assert_true(s.filter.data > b.data && s.filter.data < b.data + b.len);
    arena_release(&arena);
    buf_release(&b);
}

static void test_every_truncation_and_addition_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < MESSAGE_CASES; i++) {
        struct buf b = sample_of(&message_cases[i]);
        struct buf out;
        buf_init(&out, WIRE_MESSAGE_MAX);
        for (size_t len = 0; len < b.len; len++) {
            struct errbuf why = { 0 };
            assert_int_equal(again(&message_cases[i], slice_make(b.data, len), &out, &why),
                             SHOAL_EPROTO);
            assert_true(why.text[0] != '\0');
        }
        assert_int_equal(buf_append_char(&b, 0), SHOAL_OK);
        assert_int_equal(again(&message_cases[i], buf_slice(&b), &out, NULL), SHOAL_EPROTO);
        assert_int_equal(out.len, 0);
        buf_release(&out);
        buf_release(&b);
    }
}

/* Any damage is either found, or gives a message that is one by all rules. */
static void test_damage_never_gives_half_a_message(void **state)
{
    (void)state;
    struct rand_seeded r;
    rand_seeded_init(&r, test_seed());
    for (size_t round = 0; round < 20000; round++) {
        const struct message_case *c = &message_cases[rand_below(&r.source, MESSAGE_CASES)];
        struct buf b = sample_of(c);
        for (uint64_t n = 1 + rand_below(&r.source, 3); n > 0; n--) {
            b.data[rand_below(&r.source, b.len)] = (char)rand_u64(&r.source);
        }
        struct buf out;
        struct buf out2;
        buf_init(&out, WIRE_MESSAGE_MAX);
        buf_init(&out2, WIRE_MESSAGE_MAX);
        enum shoal_err rc = again(c, buf_slice(&b), &out, NULL);
        if (rc == SHOAL_OK) {
            assert_int_equal(again(c, buf_slice(&out), &out2, NULL), SHOAL_OK);
            assert_true(slice_equal(buf_slice(&out), buf_slice(&out2)));
        } else {
            assert_int_equal(out.len, 0);
        }
        buf_release(&out2);
        buf_release(&out);
        buf_release(&b);
    }
}

static void test_a_message_is_not_taken_for_another(void **state)
{
    (void)state;
    for (size_t i = 0; i < MESSAGE_CASES; i++) {
        struct buf b = sample_of(&message_cases[i]);
        for (size_t j = 0; j < MESSAGE_CASES; j++) {
            if (message_cases[i].is_reply && message_cases[j].is_reply) {
                continue; /* replies are told apart by what was asked */
            }
            struct buf out;
            buf_init(&out, WIRE_MESSAGE_MAX);
            enum shoal_err rc = again(&message_cases[j], buf_slice(&b), &out, NULL);
            assert_int_equal(rc, i == j ? SHOAL_OK : SHOAL_EPROTO);
            buf_release(&out);
        }
        buf_release(&b);
    }
}

static void test_a_failure_travels_with_its_reason(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, WIRE_MESSAGE_MAX);
    assert_int_equal(frame_encode_error(&b, WIRE_SEARCH, 5, SHOAL_ENOTFOUND, "no such thing"),
                     SHOAL_OK);
    for (size_t i = 0; i < MESSAGE_CASES; i++) {
        struct errbuf why = { 0 };
        struct buf out;
        buf_init(&out, WIRE_MESSAGE_MAX);
        enum shoal_err rc = again(&message_cases[i], buf_slice(&b), &out, &why);
        if (message_cases[i].is_reply) {
            assert_int_equal(rc, SHOAL_ENOTFOUND);
            assert_string_equal(why.text, "no such thing");
        } else {
            assert_int_equal(rc, SHOAL_EPROTO);
        }
        buf_release(&out);
    }
    buf_release(&b);
}

static void test_fields_of_a_later_version_are_skipped(void **state)
{
    (void)state;
    struct buf head;
    struct mp_writer w;
    buf_init(&head, 4096);
    mp_writer_init(&w, &head);
    mp_put_array(&w, 4);
    mp_put_u64(&w, 16);
    mp_put_str(&w, SLICE_LIT("{}"));
    mp_put_map(&w, 1);
    mp_put_cstr(&w, "new");
    mp_put_array(&w, 2);
    mp_put_nil(&w);
    mp_put_bool(&w, true);
    mp_put_u64(&w, 1);
    struct frame f = { .kind = WIRE_SHARD_COUNT, .head = buf_slice(&head) };
    struct wire_count msg;
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    assert_int_equal(wire_decode_count(&f, &arena, &msg, NULL), SHOAL_OK);
    assert_int_equal(msg.shard, 16);
    assert_true(slice_is(msg.filter, "{}"));
    arena_release(&arena);
    buf_release(&head);
}

static void test_what_is_over_a_limit_is_not_written(void **state)
{
    (void)state;
    struct buf b;
    char *name = mem_calloc(1, WIRE_NAME_MAX + 2);
    assert_non_null(name);
    memset(name, 'n', WIRE_NAME_MAX + 1);
    buf_init(&b, WIRE_MESSAGE_MAX);
    assert_int_equal(buf_append_str(&b, "before"), SHOAL_OK);
    struct wire_search s = search_sample;
    s.collection = slice_make(name, WIRE_NAME_MAX + 1);
    assert_int_equal(wire_encode_search(&b, WIRE_SEARCH, &meta_sample, &s), SHOAL_ETOOBIG);
    assert_int_equal(b.len, strlen("before"));
    s.collection.len--;
    assert_int_equal(wire_encode_search(&b, WIRE_SEARCH, &meta_sample, &s), SHOAL_OK);
    mem_free(name);
    buf_release(&b);
}

static void test_what_is_over_a_limit_is_not_read(void **state)
{
    (void)state;
    /* Counts are checked against the bytes that are there before anything is allocated. */
    struct buf head;
    struct mp_writer w;
    buf_init(&head, 4096);
    mp_writer_init(&w, &head);
    mp_put_array(&w, 2);
    mp_put_str(&w, SLICE_LIT("m"));
    static const char many[] = { (char)0xdd, 0, 0, 4, 0 }; /* array of 1024 */
    assert_int_equal(buf_append(&head, many, sizeof(many)), SHOAL_OK);
    struct frame f = { .kind = WIRE_EMBED, .head = buf_slice(&head) };
    struct wire_embed out;
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    assert_int_equal(wire_decode_embed(&f, &arena, &out, NULL), SHOAL_EPROTO);
    assert_int_equal(arena.used, 0);
    /* A name that is too long is refused by the reader as well. */
    buf_reset(&head);
    mp_writer_init(&w, &head);
    mp_put_array(&w, 2);
    char *name = mem_calloc(1, WIRE_NAME_MAX + 1);
    assert_non_null(name);
    mp_put_str(&w, slice_make(name, WIRE_NAME_MAX + 1));
    mp_put_array(&w, 0);
    f.head = buf_slice(&head);
    assert_int_equal(wire_decode_embed(&f, &arena, &out, NULL), SHOAL_ETOOBIG);
    mem_free(name);
    arena_release(&arena);
    buf_release(&head);
}

static void test_headers_that_lie_are_refused(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint32_t value;
        const char *why;
    } lies[] = {
        { 0, 0x314c4853 + 0x01000000, "version" }, /* "SHL2" */
        { 6, 0x00000002, "flags" },
        { 8, 5, "status" },
        { 24, 0xffffffff, "header" },
        { 28, 0xfffffffc, "header" },
    };
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct buf b = sample_of(&message_cases[0]);
        bytes_put_le32(b.data + lies[i].at, lies[i].value);
        struct frame f;
        struct errbuf why = { 0 };
        assert_int_equal(frame_decode(buf_slice(&b), &f, &why), SHOAL_EPROTO);
        assert_non_null(strstr(why.text, lies[i].why));
        buf_release(&b);
    }
}

static void test_each_failed_allocation_is_survived(void **state)
{
    (void)state;
    for (size_t i = 0; i < MESSAGE_CASES; i++) {
        struct buf b = sample_of(&message_cases[i]);
        enum shoal_err rc = SHOAL_ENOMEM;
        for (size_t nth = 0; rc == SHOAL_ENOMEM; nth++) {
            assert_true(nth < TEST_ALLOCS_MAX);
            size_t live = test_heap_live();
            struct arena arena;
            struct buf out;
            arena_init(&arena, ARENA_MAX);
            buf_init(&out, WIRE_MESSAGE_MAX);
            test_heap_fail_at(nth);
            rc = message_cases[i].again(buf_slice(&b), &arena, &out, NULL);
            test_heap_fail_never();
            arena_release(&arena);
            buf_release(&out);
            assert_int_equal(test_heap_live(), live);
        }
        assert_int_equal(rc, SHOAL_OK);
        buf_release(&b);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_every_message_comes_back_as_it_was_sent),
        CASE(test_rows_are_read_in_place),
        CASE(test_every_truncation_and_addition_is_refused),
        CASE(test_damage_never_gives_half_a_message),
        CASE(test_a_message_is_not_taken_for_another),
        CASE(test_a_failure_travels_with_its_reason),
        CASE(test_fields_of_a_later_version_are_skipped),
        CASE(test_what_is_over_a_limit_is_not_written),
        CASE(test_what_is_over_a_limit_is_not_read),
        CASE(test_headers_that_lie_are_refused),
        CASE(test_each_failed_allocation_is_survived),
    };
    return cmocka_run_group_tests_name("wire/message", tests, NULL, NULL);
}
