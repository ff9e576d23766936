/* Documents: what is kept of HTML, Markdown and plain text, what is left out, and what hostile
 * input gets. */
#include "base/buf.h"
#include "slm/document.h"
#include "slm/utf8.h"
#include "tests/support/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ARENA_MAX (256u << 20)

struct row {
    const char *source;
    const char *expected; /* "[heading]text" for each section */
};

static void print_sections(const struct document *d, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < d->sections_len; i++) {
        const struct section *s = &d->sections[i];
        assert_true(s->begin < s->end && s->end <= d->text.len);
        used += (size_t)snprintf(out + used, size - used, "[%.*s]%.*s", (int)s->heading.len,
                                 s->heading.data, (int)(s->end - s->begin),
                                 d->text.data + s->begin);
    }
}

static void check_rows(enum document_format format, const struct row *rows, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        struct arena arena;
        struct document d;
        struct errbuf why = { 0 };
        char got[2048];
        arena_init(&arena, ARENA_MAX);
        if (document_parse(slice_from_str(rows[i].source), format, &arena, &d, &why) != SHOAL_OK) {
            fail_msg("row %zu: %s", i, why.text);
        }
        print_sections(&d, got, sizeof(got));
        if (strcmp(got, rows[i].expected) != 0) {
            fail_msg("row %zu: %s\n  gives %s\n  not   %s", i, rows[i].source, got,
                     rows[i].expected);
        }
        arena_release(&arena);
    }
}

#define CHECK(format, rows) check_rows(format, rows, sizeof(rows) / sizeof((rows)[0]))

static void test_formats(void **state)
{
    (void)state;
    enum document_format format = DOCUMENT_TEXT;
    struct errbuf why;
    assert_int_equal(document_format_parse(SLICE_LIT("text/HTML; charset=utf-8"), &format, &why),
                     SHOAL_OK);
    assert_int_equal(format, DOCUMENT_HTML);
    assert_int_equal(document_format_parse(SLICE_LIT("md"), &format, &why), SHOAL_OK);
    assert_int_equal(format, DOCUMENT_MARKDOWN);
    assert_int_equal(document_format_parse(SLICE_LIT("txt"), &format, &why), SHOAL_OK);
    assert_int_equal(format, DOCUMENT_TEXT);
    assert_int_equal(document_format_parse(SLICE_LIT("pdf"), &format, &why), SHOAL_EUNSUPPORTED);
    assert_int_equal(document_format_parse(SLICE_LIT(""), &format, &why), SHOAL_EUNSUPPORTED);
}

static void test_html_blocks(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "", "" },
        { "<p>One\n two</p><p>three<br>four</p>", "[]One two\n\nthree four" },
        { "<h1>A</h1>x<h2>B</h2><p>y<h3>C</h3>z<h2>D</h2>w", "[A]x[A > B]y[A > B > C]z[A > D]w" },
        { "<h2>B</h2><h1>Empty</h1>", "" },
        { "<ul><li>a<li><p>b</p><p>c</p><ul><li>d</ul></ul>", "[]- a\n- b\n\n  c\n\n  - d" },
        { "<ol start=3><li>a<li>b</ol>", "[]3. a\n4. b" },
        { "<dl><dt>t<dd>one<dt>u<dt>v<dd>two</dl>", "[]- t: one\n- u, v: two" },
        { "x<pre>\n a\n\n\tb  \n</pre>", "[]x\n\n a\n\n\tb" },
        { "<div>a</div>b<span>c</span>&amp;d", "[]a\n\nbc&d" },
        { "a<br><br>b", "[]a\n\nb" },
        { "<h1>H<a class=headerlink>&para;</a></h1>x", "[H]x" },
        { "a&nbsp;b&#0;c\xFF", "[]a b\xEF\xBF\xBD"
                               "c\xEF\xBF\xBD" },
    };
    CHECK(DOCUMENT_HTML, rows);
}

static void test_html_tables(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "<table><tr><th>a<th>b<tr><td>1<td><p>2</p></table>", "[]a | b\n1 | 2" },
        { "<table><tr><td>a<td> , <td>c<td></table>", "[]a | | c" },
        { "<table><tr><td><img><th>Tip<tr><td><p>Do.</p><p>So.</p></table>", "[]Tip: Do.\n\nSo." },
        { "<table><caption>T</caption><tr><td>a<td>b</table>", "[]T\n\na | b" },
        { "<table><tr><td>menu<td><pre>x\ny</pre></table>", "[]menu\n\nx\ny" },
    };
    CHECK(DOCUMENT_HTML, rows);
}

static void test_html_leaves_out(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "<script>a</script><style>b</style><nav>c</nav><noscript>d</noscript>x", "[]x" },
        { "<div class='left toc'>a</div><div role=navigation>b</div><p hidden>c</p>x", "[]x" },
        { "<p style='color:red; display: none'>a</p><p aria-hidden=true>b</p>x", "[]x" },
        { "<form><input value=a><label>b</label></form>x", "[]x" },
        { "<form><p>the page</p><button>b</button></form>", "[]the page" },
        { "<p>a</p><main><p>b</p></main><p>c</p>", "[]b" },
        { "<!-- a --><template>b</template><svg><title>c</title></svg>x", "[]x" },
        { "<body style='visibility:hidden'>x", "[]x" },
    };
    CHECK(DOCUMENT_HTML, rows);
}

static void test_markdown(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "# A\nOne *two*\n`three`.\n\n## B\n\n- a\n- b\n  - c\n",
          "[A]One two three.[A > B]- a\n- b\n  - c" },
        { "```c\nint x;\n\n  y();\n```\n", "[]int x;\n\n  y();" },
        { "| a | b |\n|---|:-:|\n| 1 | `2` |\n\nx", "[]a | b\n1 | 2\n\nx" },
        { "Head\n====\n<b>x</b> [link](http://example.org)", "[Head]x link" },
        { "<div>\n<p>raw</p>\n</div>\n", "[]raw" },
    };
    CHECK(DOCUMENT_MARKDOWN, rows);
}

static void test_plain_text(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "", "" },
        { " \n\r\n\t", "" },
        { "\xEF\xBB\xBFOne\n two\r\n\r\nthree", "[]One two\n\nthree" },
        { "It:\n- a\n- b\n  c\n\n# no heading", "[]It:\n\n- a\n- b c\n\n# no heading" },
        { "a\x01\x7F"
          "b\xC3(\xE2\x82",
          "[]a b\xEF\xBF\xBD(\xEF\xBF\xBD" },
    };
    CHECK(DOCUMENT_TEXT, rows);
}

static void test_titles(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "<title> T\n t </title><h1>A</h1>", "T t" },
        { "<h2>B</h2><h1>A</h1><h1>C</h1>", "A" },
        { "<p>x", "" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct arena arena;
        struct document d;
        arena_init(&arena, ARENA_MAX);
        assert_int_equal(
            document_parse(slice_from_str(rows[i].source), DOCUMENT_HTML, &arena, &d, NULL),
            SHOAL_OK);
        assert_true(slice_is(d.title, rows[i].expected));
        arena_release(&arena);
    }
}

/* `unit` n times, parsed; whatever is accepted is UTF-8. */
static enum shoal_err parse_many(const char *before, const char *unit, size_t n,
                                 enum document_format format)
{
    struct buf text;
    struct arena arena;
    struct document d;
    struct errbuf why;
    buf_init(&text, DOCUMENT_BYTES_MAX + 4096u);
    arena_init(&arena, ARENA_MAX);
    buf_append_str(&text, before);
    for (size_t i = 0; i < n; i++) {
        buf_append_str(&text, unit);
    }
    assert_int_equal(text.failed, SHOAL_OK);
    enum shoal_err rc = document_parse(buf_slice(&text), format, &arena, &d, &why);
    if (rc == SHOAL_OK) {
        assert_true(utf8__valid(d.text));
        for (size_t i = 0; i < d.sections_len; i++) {
            assert_true(d.sections[i].heading.len <= DOCUMENT_HEADING_BYTES_MAX);
        }
    } else {
        assert_null(d.sections);
    }
    arena_release(&arena);
    buf_release(&text);
    return rc;
}

static void test_bounds(void **state)
{
    (void)state;
    assert_int_equal(parse_many("", "<div>", 390, DOCUMENT_HTML), SHOAL_OK);
    assert_int_equal(parse_many("", "<div>", 410, DOCUMENT_HTML), SHOAL_ETOOBIG);
    assert_int_equal(parse_many("", "<div>", 100000, DOCUMENT_HTML), SHOAL_ETOOBIG);
    assert_int_equal(parse_many("", "> ", 390, DOCUMENT_MARKDOWN), SHOAL_OK);
    assert_int_equal(parse_many("", "> ", 100000, DOCUMENT_MARKDOWN), SHOAL_ETOOBIG);
    assert_int_equal(parse_many("", "<h1>a</h1>b", 100010, DOCUMENT_HTML), SHOAL_ETOOBIG);
    assert_int_equal(
        parse_many("", "0123456789abcde\n", (DOCUMENT_BYTES_MAX >> 4) + 1, DOCUMENT_TEXT),
        SHOAL_ETOOBIG);
    assert_int_equal(parse_many("<p title='", "attribute ", 100000, DOCUMENT_HTML), SHOAL_OK);
    assert_int_equal(parse_many("<h1>", "heading \xC3\xA9 ", 1000, DOCUMENT_HTML), SHOAL_OK);
    assert_int_equal(parse_many("<h1>h</h1>", "h\xFF<p", 10000, DOCUMENT_HTML), SHOAL_OK);
}

static void test_arena_ceiling_counts(void **state)
{
    (void)state;
    struct arena arena;
    struct document d;
    arena_init(&arena, 64);
    char text[256];
    memset(text, 'a', sizeof(text));
    assert_int_equal(
        document_parse(slice_make(text, sizeof(text)), DOCUMENT_TEXT, &arena, &d, NULL),
        SHOAL_ENOMEM);
    arena_release(&arena);
}

static void test_each_failed_allocation(void **state)
{
    (void)state;
    static const char html[] = "<title>t</title><h1>a</h1><p>b</p><ul><li>c</ul><dl><dt>t<dd>d</dl>"
                               "<table><tr><th>x<th>y<tr><td>1<td>2</table><pre>p\nq</pre>";
    static const char markdown[] = "# a\n\nb *c*\n\n- d\n\n| x | y |\n|---|---|\n| 1 | 2 |\n";
    static const struct {
        struct slice source;
        enum document_format format;
    } cases[] = {
        { { html, sizeof(html) - 1 }, DOCUMENT_HTML },
        { { markdown, sizeof(markdown) - 1 }, DOCUMENT_MARKDOWN },
        { { markdown, sizeof(markdown) - 1 }, DOCUMENT_TEXT },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t live = test_heap_live();
        enum shoal_err rc = SHOAL_ENOMEM;
        for (size_t nth = 0; rc != SHOAL_OK; nth++) {
            struct arena arena;
            struct document d;
            assert_true(nth < TEST_ALLOCS_MAX);
            arena_init(&arena, ARENA_MAX);
            test_heap_fail_at(nth);
            rc = document_parse(cases[i].source, cases[i].format, &arena, &d, NULL);
            test_heap_fail_never();
            assert_int_equal(rc, test_heap_failed() ? SHOAL_ENOMEM : SHOAL_OK);
            arena_release(&arena);
            assert_int_equal(test_heap_live(), live);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_html_blocks),
        cmocka_unit_test(test_html_tables),
        cmocka_unit_test(test_html_leaves_out),
        cmocka_unit_test(test_markdown),
        cmocka_unit_test(test_plain_text),
        cmocka_unit_test(test_titles),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_arena_ceiling_counts),
        cmocka_unit_test(test_each_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
