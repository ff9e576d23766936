/* Words: what is one, what has content, which are numbers and names, and which are equal. */
#include "base/rand.h"
#include "slm/words.h"
#include "tests/support/dir.h"
#include "tests/support/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 64u << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_release(&arena);
    return test_heap_live() == 0 ? 0 : -1;
}

static struct words words_of(const char *text)
{
    struct words w;
    assert_int_equal(words__of(slice_from_str(text), &arena, &w), SHOAL_OK);
    return w;
}

/* The words of `text` by bars: content words marked +, numbers #, names @. */
static void check(const char *text, const char *expected)
{
    char got[512] = "";
    size_t used = 0;
    struct words w = words_of(text);
    for (size_t i = 0; i < w.len; i++) {
        const struct word *word = &w.list[i];
        used += (size_t)snprintf(got + used, sizeof(got) - used, "%s%s%s%s%.*s",
                                 used == 0 ? "" : "|", word->number ? "#" : "",
                                 word->name ? "@" : "", word->content ? "+" : "",
                                 (int)(word->end - word->begin), text + word->begin);
    }
    if (strcmp(got, expected) != 0) {
        fail_msg("%s\n  gives %s\n  not   %s", text, got, expected);
    }
}

static void test_words_are_told_apart(void **state)
{
    (void)state;
    check("", "");
    check(" .,;-- ", "");
    check("The river flows.", "The|+river|+flows");
    check("It cost 1,000.5 dollars in 1999.", "It|+cost|#+1,000.5|+dollars|in|#+1999");
    check("The king's men don't go", "The|+king|+men|+don|+go");
    check("He met O'Neil in Paris.", "He|+met|@+O|@+Neil|in|@+Paris");
    check("Rivers. Then NASA came", "+Rivers|Then|@+NASA|+came");
    check("\"Rivers\" (Lakes) and Seas", "+Rivers|@+Lakes|and|@+Seas");
    check("four of one", "#+four|of|one");
    check("Der Fl\xc3\xbcgel", "+Der|@+Fl\xc3\xbcgel");
}

static void test_equal_words_have_equal_stems(void **state)
{
    (void)state;
    static const char *const same[][2] = {
        { "River", "rivers" },
        { "installing", "Installed" },
        { "1,000", "1000" },
        { "twelve", "12" },
        { "ten", "10" },
        { "KING'S", "kings" },
        { "\xc3\x89tat", "\xc3\xa9tat" },
    };
    static const char *const other[][2] = {
        { "river", "lake" }, { "1000", "100" }, { "1.5", "15" }, { "ten", "1" }
    };
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        if (words_of(same[i][0]).list[0].stem != words_of(same[i][1]).list[0].stem) {
            fail_msg("%s is not %s", same[i][0], same[i][1]);
        }
    }
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        assert_true(words_of(other[i][0]).list[0].stem != words_of(other[i][1]).list[0].stem);
    }
}

static void test_distinct_counts_content_words_once(void **state)
{
    (void)state;
    struct words w = words_of("The river and the rivers of the land");
    assert_int_equal(words__distinct(&w), 2);
    assert_true(words__has(&w, words_of("lands").list[0].stem));
    assert_false(words__has(&w, words_of("sea").list[0].stem));
}

/* Any bytes: words are in order, inside the text and not empty, and long ones are no trouble. */
static void test_any_bytes_are_taken(void **state)
{
    (void)state;
    static const char alphabet[] = "aB1.,' \xc3\xa9\xff\xe2\x80\x99\0-";
    struct rand_seeded r;
    char text[256];
    rand_seeded_init(&r, test_seed());
    for (int round = 0; round < 2000; round++) {
        size_t len = rand_below(&r.source, sizeof(text));
        size_t before = 0;
        struct words w;
        for (size_t i = 0; i < len; i++) {
            text[i] = alphabet[rand_below(&r.source, sizeof(alphabet) - 1)];
        }
        assert_int_equal(words__of(slice_make(text, len), &arena, &w), SHOAL_OK);
        for (size_t i = 0; i < w.len; i++) {
            assert_true(w.list[i].begin >= before && w.list[i].begin < w.list[i].end);
            before = w.list[i].end;
        }
        assert_true(before <= len);
        arena_reset(&arena);
    }
    static char long_word[5000];
    struct words w;
    memset(long_word, 'x', sizeof(long_word));
    assert_int_equal(words__of(slice_make(long_word, sizeof(long_word)), &arena, &w), SHOAL_OK);
    assert_int_equal(w.len, 1);
}

static void test_each_failed_allocation_is_reported(void **state)
{
    (void)state;
    enum shoal_err rc = SHOAL_ENOMEM;
    for (size_t nth = 0; rc == SHOAL_ENOMEM && nth < TEST_ALLOCS_MAX; nth++) {
        struct words w;
        arena_release(&arena);
        arena_init(&arena, 1u << 20);
        test_heap_fail_at(nth);
        rc = words__of(SLICE_LIT("a few words of text"), &arena, &w);
        test_heap_fail_never();
        assert_int_equal(w.len, rc == SHOAL_OK ? 5 : 0);
    }
    assert_int_equal(rc, SHOAL_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_words_are_told_apart),
        TEST(test_equal_words_have_equal_stems),
        TEST(test_distinct_counts_content_words_once),
        TEST(test_any_bytes_are_taken),
        TEST(test_each_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("words", tests, NULL, NULL);
}
