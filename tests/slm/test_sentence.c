/* Sentences: where they end and where they do not, and what holds for any bytes. */
#include "base/rand.h"
#include "slm/sentence.h"
#include "slm/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The sentences of `text`, put between bars, are `expected`. */
struct row {
    const char *text;
    const char *expected;
};

static void check_rows(const struct row *rows, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char got[1024] = "";
        size_t used = 0;
        struct sentence s;
        struct sentence_iter it = sentence_iter(slice_from_str(rows[i].text));
        while (sentence_next(&it, &s)) {
            used += (size_t)snprintf(got + used, sizeof(got) - used, "%s%.*s", used == 0 ? "" : "|",
                                     (int)(s.end - s.begin), rows[i].text + s.begin);
        }
        if (strcmp(got, rows[i].expected) != 0) {
            fail_msg("row %zu: %s\n  gives %s\n  not   %s", i, rows[i].text, got, rows[i].expected);
        }
    }
}

#define CHECK(rows) check_rows(rows, sizeof(rows) / sizeof((rows)[0]))

static void test_stops_end_sentences(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "", "" },
        { " \n\t ", "" },
        { "One", "One" },
        { " One. Two! Three? ", "One.|Two!|Three?" },
        { "Wait... No. Really?! Yes.", "Wait...|No.|Really?!|Yes." },
        { "He said \"Go.\" She went.", "He said \"Go.\"|She went." },
        { "It is (or was.) Then it is not.", "It is (or was.)|Then it is not." },
        { "**Bold.** `Code.` Text.", "**Bold.**|`Code.`|Text." },
        { "\"Go!\" he said. (See below.)", "\"Go!\" he said.|(See below.)" },
        { "It grew\nand grew. It\nburst.", "It grew\nand grew.|It\nburst." },
        { "In 1999. 12 men came.", "In 1999.|12 men came." },
    };
    CHECK(rows);
}

static void test_other_points_do_not(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "See e.g. Dr. Smith vs. Mr. Jones.", "See e.g. Dr. Smith vs. Mr. Jones." },
        { "J. R. R. Tolkien wrote it.", "J. R. R. Tolkien wrote it." },
        { "The U.S. Army is in the U.S. The rest is not.",
          "The U.S. Army is in the U.S.|The rest is not." },
        { "Acme Inc. Berlin sold it to Ace Inc. They paid.",
          "Acme Inc. Berlin sold it to Ace Inc.|They paid." },
        { "See Fig. 3 and No. 5. No. That is wrong.", "See Fig. 3 and No. 5.|No.|That is wrong." },
        { "Pi is 3.14 in v1.2.3 of main.c. It is.", "Pi is 3.14 in v1.2.3 of main.c.|It is." },
        { "Does Yahoo! pay? yes.", "Does Yahoo! pay? yes." },
        { "1. Install it. 2 is next.", "1. Install it.|2 is next." },
    };
    CHECK(rows);
}

static void test_other_scripts(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "你好。再见！好？好。", "你好。|再见！|好？|好。" },
        { "「行こう。」彼は言った。", "「行こう。」|彼は言った。" },
        { "यह है। वह है॥", "यह है।|वह है॥" },
        { "هل هذا؟ نعم۔ لا.", "هل هذا؟|نعم۔|لا." },
        { "Это дом. Он стоит. «Да.» Нет.", "Это дом.|Он стоит.|«Да.»|Нет." },
        { "Ένα. δύο. Τρία.", "Ένα. δύο.|Τρία." },
    };
    CHECK(rows);
}

static void test_blocks_end_sentences(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "Title\n\nText goes\non", "Title|Text goes\non" },
        { "It has:\n- one\n- two\n  more\nText", "It has:|- one|- two\n  more|Text" },
        { "1. one\n2) two\n10. ten", "1. one|2) two|10. ten" },
        { "a | b\nc | d. E | f\ng", "a | b|c | d. E | f|g" },
        { "# Head\ntext", "# Head|text" },
        { "- A. B c. The d\nnext", "- A. B c.|The d|next" },
        { "a\r\n \r\nb", "a|b" },
    };
    CHECK(rows);
}

static void test_marks_stay_with_what_they_cite_for(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "It is [1]. It was. [2] It will [3].", "It is [1].|It was. [2]|It will [3]." },
        { "It is. [1][2] [3] Then.", "It is. [1][2] [3]|Then." },
        { "It is. [1]", "It is. [1]" },
        { "It is. [1a] is a name.", "It is.|[1a] is a name." },
    };
    CHECK(rows);
}

/* Every byte that is no blank lies in exactly one sentence, in order, with no blank at its ends. */
static void check_covers(struct slice text)
{
    struct sentence_iter it = sentence_iter(text);
    struct sentence s;
    size_t before = 0;
    while (sentence_next(&it, &s)) {
        assert_true(s.begin >= before && s.begin < s.end && s.end <= text.len);
        for (size_t i = before; i < s.begin;) {
            struct utf8_step step = utf8__step(text.data + i, text.len - i);
            assert_true(step.kind == UTF8_CHAR && utf8__is_blank(step.code));
            i += step.len;
        }
        struct utf8_step first = utf8__step(text.data + s.begin, text.len - s.begin);
        assert_false(first.kind == UTF8_CHAR && utf8__is_blank(first.code));
        assert_false(text.data[s.end - 1] == ' ' || text.data[s.end - 1] == '\n');
        before = s.end;
    }
    while (before < text.len) {
        struct utf8_step step = utf8__step(text.data + before, text.len - before);
        assert_true(step.kind == UTF8_CHAR && utf8__is_blank(step.code));
        before += step.len;
    }
}

static void test_all_bytes_are_in_one_sentence(void **state)
{
    (void)state;
    static const char alphabet[] = "aA1. !?\n\n-|[]()\"'#*\xC2\xA0\xE3\x80\x82\xE2\x80\xA6\xFF";
    struct rand_seeded r;
    rand_seeded_init(&r, 20);
    for (size_t round = 0; round < 3000; round++) {
        char text[64];
        size_t len = rand_below(&r.source, sizeof(text));
        for (size_t i = 0; i < len; i++) {
            text[i] = alphabet[rand_below(&r.source, sizeof(alphabet))];
        }
        check_covers(slice_make(text, len));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stops_end_sentences),
        cmocka_unit_test(test_other_points_do_not),
        cmocka_unit_test(test_other_scripts),
        cmocka_unit_test(test_blocks_end_sentences),
        cmocka_unit_test(test_marks_stay_with_what_they_cite_for),
        cmocka_unit_test(test_all_bytes_are_in_one_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
