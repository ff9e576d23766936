/* Chunks: whole sentences within the budget, one repeated, and ids that stay. */
#include "base/buf.h"
#include "slm/chunk.h"
#include "tests/support/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ARENA_MAX (256u << 20)

struct cut {
    struct arena arena;
    struct document document;
    struct chunk *chunks;
    size_t len;
};

static void cut(struct slice text, enum document_format format, uint32_t words_max, struct cut *out)
{
    const struct chunk_config config = { .words_max = words_max, .key = SLICE_LIT("key") };
    arena_init(&out->arena, ARENA_MAX);
    assert_int_equal(document_parse(text, format, &out->arena, &out->document, NULL), SHOAL_OK);
    assert_int_equal(
        chunk_document(&out->document, &config, &out->arena, &out->chunks, &out->len, NULL),
        SHOAL_OK);
    for (size_t i = 0; i < out->len; i++) {
        const struct chunk *c = &out->chunks[i];
        assert_true(c->begin < c->end && c->end <= out->document.text.len);
        assert_ptr_equal(c->text.data, out->document.text.data + c->begin);
        assert_int_equal(c->text.len, c->end - c->begin);
        assert_true(c->words >= 1);
        assert_true(c->words <= (words_max == 0 ? CHUNK_WORDS_DEFAULT : words_max));
        for (size_t j = 0; j < i; j++) {
            assert_false(c->id[0] == out->chunks[j].id[0] && c->id[1] == out->chunks[j].id[1]);
        }
    }
}

static void release(struct cut *c)
{
    arena_release(&c->arena);
}

static bool has_id(const struct cut *c, const uint64_t id[2])
{
    for (size_t i = 0; i < c->len; i++) {
        if (c->chunks[i].id[0] == id[0] && c->chunks[i].id[1] == id[1]) {
            return true;
        }
    }
    return false;
}

/* Three sections of ten sentences; `edited` stands in the middle of the second one. */
static void write_document(struct buf *out, const char *edited)
{
    buf_init(out, 1u << 20);
    for (int section = 1; section <= 3; section++) {
        buf_printf(out, "<h1>Section %d</h1>", section);
        for (int i = 0; i < 10; i++) {
            buf_printf(out, "<p>Sentence %d of section %d has nine words here.</p>", i, section);
            buf_append_str(out, section == 2 && i == 5 ? edited : "");
        }
    }
    assert_int_equal(out->failed, SHOAL_OK);
}

static void test_sentences_stay_whole_and_one_is_repeated(void **state)
{
    (void)state;
    struct buf text;
    struct cut c;
    write_document(&text, "");
    cut(buf_slice(&text), DOCUMENT_HTML, 40, &c);
    assert_true(c.len > 6);
    for (size_t i = 0; i < c.len; i++) {
        assert_memory_equal(c.chunks[i].text.data, "Sentence ", 9);
        assert_int_equal(c.chunks[i].text.data[c.chunks[i].text.len - 1], '.');
        bool same = i > 0 && slice_equal(c.chunks[i].heading, c.chunks[i - 1].heading);
        if (same) {
            assert_true(c.chunks[i].begin < c.chunks[i - 1].end);
            assert_true(c.chunks[i].end > c.chunks[i - 1].end);
        }
    }
    release(&c);
    buf_release(&text);
}

static void test_edit_leaves_other_ids(void **state)
{
    (void)state;
    struct buf old_text;
    struct buf new_text;
    struct cut before;
    struct cut after;
    write_document(&old_text, "");
    write_document(&new_text, "<p>A new sentence was put here.</p>");
    cut(buf_slice(&old_text), DOCUMENT_HTML, 40, &before);
    cut(buf_slice(&new_text), DOCUMENT_HTML, 40, &after);
    size_t gone = 0;
    for (size_t i = 0; i < before.len; i++) {
        bool kept = has_id(&after, before.chunks[i].id);
        gone += !kept;
        assert_true(kept || slice_is(before.chunks[i].heading, "Section 2"));
    }
    assert_true(gone > 0);
    release(&before);
    release(&after);
    buf_release(&old_text);
    buf_release(&new_text);
}

static void test_small_sections_share(void **state)
{
    (void)state;
    struct cut c;
    cut(SLICE_LIT("# Top\n## A\nOne.\n## B\nTwo.\n# Other\nThree.\n"), DOCUMENT_MARKDOWN, 60, &c);
    assert_int_equal(c.len, 2);
    assert_true(slice_is(c.chunks[0].heading, "Top"));
    assert_true(slice_is(c.chunks[0].text, "A\n\nOne.\n\nB\n\nTwo."));
    assert_true(slice_is(c.chunks[1].heading, "Other"));
    release(&c);
}

static void test_long_sentences_are_cut(void **state)
{
    (void)state;
    struct buf text;
    struct cut c;
    buf_init(&text, 1u << 20);
    for (int i = 0; i < 100; i++) {
        buf_append_str(&text, "word ");
    }
    for (int i = 0; i < 300; i++) {
        buf_append_str(&text, "\xC3\xA9");
    }
    cut(buf_slice(&text), DOCUMENT_TEXT, 16, &c);
    size_t bytes = 0;
    for (size_t i = 0; i < c.len; i++) {
        assert_true(i == 0 || c.chunks[i].begin >= c.chunks[i - 1].end);
        assert_true(((unsigned char)c.chunks[i].text.data[0] & 0xC0) != 0x80);
        for (size_t at = 0; at < c.chunks[i].text.len; at++) {
            bytes += c.chunks[i].text.data[at] != ' ';
        }
    }
    assert_int_equal(bytes, 100 * 4 + 300 * 2);
    release(&c);
    buf_release(&text);
}

static void test_repetitions_have_ids_of_their_own(void **state)
{
    (void)state;
    struct cut c;
    cut(SLICE_LIT("# A\nSame.\n\n# B\nx\n\n# A\nSame.\n\n# B\nx\n\n# A\nSame.\n"),
        DOCUMENT_MARKDOWN, 0, &c);
    assert_int_equal(c.len, 5); /* cut() saw that all ids differ */
    release(&c);
}

static void test_nothing_gives_nothing(void **state)
{
    (void)state;
    struct cut c;
    cut(SLICE_LIT(" \n"), DOCUMENT_TEXT, 0, &c);
    assert_int_equal(c.len, 0);
    release(&c);
}

static void test_config_is_checked(void **state)
{
    (void)state;
    struct document none = { .sections = NULL };
    struct chunk *chunks;
    size_t len;
    struct errbuf why;
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    static const uint32_t bad[] = { 1, 15, CHUNK_WORDS_MAX + 1 };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct chunk_config config = { .words_max = bad[i] };
        assert_int_equal(chunk_document(&none, &config, &arena, &chunks, &len, &why), SHOAL_EINVAL);
    }
    arena_release(&arena);
}

static void test_embedded_text(void **state)
{
    (void)state;
    static const struct {
        const char *title, *heading, *expected;
    } rows[] = {
        { "", "", "t" },          { "T", "", "T\nt" },          { "", "H", "H\nt" },
        { "T", "H", "T > H\nt" }, { "T", "T > H", "T > H\nt" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct chunk c = { .heading = slice_from_str(rows[i].heading), .text = SLICE_LIT("t") };
        struct buf out;
        buf_init(&out, 100);
        assert_int_equal(chunk_put_embedded(&c, slice_from_str(rows[i].title), &out), SHOAL_OK);
        assert_true(slice_is(buf_slice(&out), rows[i].expected));
        buf_release(&out);
    }
}

static void test_each_failed_allocation(void **state)
{
    (void)state;
    struct buf text;
    struct arena arena;
    struct document d;
    const struct chunk_config config = { .words_max = 40 };
    write_document(&text, "");
    arena_init(&arena, ARENA_MAX);
    assert_int_equal(document_parse(buf_slice(&text), DOCUMENT_HTML, &arena, &d, NULL), SHOAL_OK);
    size_t live = test_heap_live();
    enum shoal_err rc = SHOAL_ENOMEM;
    for (size_t nth = 0; rc != SHOAL_OK; nth++) {
        struct arena own;
        struct chunk *chunks;
        size_t len;
        assert_true(nth < TEST_ALLOCS_MAX);
        arena_init(&own, ARENA_MAX);
        test_heap_fail_at(nth);
        rc = chunk_document(&d, &config, &own, &chunks, &len, NULL);
        test_heap_fail_never();
        assert_int_equal(rc, test_heap_failed() ? SHOAL_ENOMEM : SHOAL_OK);
        assert_true(rc == SHOAL_OK || (chunks == NULL && len == 0));
        arena_release(&own);
        assert_int_equal(test_heap_live(), live);
    }
    arena_release(&arena);
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sentences_stay_whole_and_one_is_repeated),
        cmocka_unit_test(test_edit_leaves_other_ids),
        cmocka_unit_test(test_small_sections_share),
        cmocka_unit_test(test_long_sentences_are_cut),
        cmocka_unit_test(test_repetitions_have_ids_of_their_own),
        cmocka_unit_test(test_nothing_gives_nothing),
        cmocka_unit_test(test_config_is_checked),
        cmocka_unit_test(test_embedded_text),
        cmocka_unit_test(test_each_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
