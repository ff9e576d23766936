/* Citation: which sentences of an answer the passages support, and which they do not. */
#include "base/rand.h"
#include "slm/citation.h"
#include "tests/support/dir.h"
#include "tests/support/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* For what is static; SLICE_LIT is no constant expression. */
#define TEXT(literal)                  \
    {                                  \
        (literal), sizeof(literal) - 1 \
    }

static const struct citation_source sources[] = {
    { TEXT("Amazon rainforest"),
      TEXT("The forest covers most of the basin. It spans seven million square kilometres, of "
           "which 5,500,000 are covered by rainforest. Nine nations share the region. Brazil "
           "has 60% of it, followed by Peru with 13%.") },
    { TEXT("Steam engine"),
      TEXT("James Watt developed an engine in 1781 that produced continuous rotary motion. It "
           "powered mills and factories. Thomas Newcomen had built the first commercial "
           "engine in 1712.") },
};
#define SOURCES 2

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

static size_t check(const char *question, const char *answer, struct cited_sentence **out)
{
    const struct citation_config config = { .answer = slice_from_str(answer),
                                            .question = slice_from_str(question),
                                            .sources = sources,
                                            .sources_len = SOURCES };
    size_t len = 0;
    assert_int_equal(citation_check(&config, &arena, out, &len, NULL), SHOAL_OK);
    return len;
}

struct row {
    const char *question;
    const char *answer; /* one sentence */
    bool supported;
    uint32_t source;
};

static void check_rows(const struct row *rows, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        struct cited_sentence *s = NULL;
        assert_int_equal(check(rows[i].question, rows[i].answer, &s), 1);
        if (s->supported != rows[i].supported ||
            (rows[i].supported && s->source != rows[i].source)) {
            fail_msg("%s: %ssupported (%.2f) by %u", rows[i].answer, s->supported ? "" : "un",
                     (double)s->support, (unsigned)s->source);
        }
        assert_true(s->support >= 0 && s->support <= 1);
        assert_true(!s->supported || s->support >= CITATION_SUPPORT_MIN);
    }
}

#define CHECK(rows) check_rows(rows, sizeof(rows) / sizeof((rows)[0]))

static void test_what_the_passage_says_is_supported(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "Which nation has most?", "Brazil has 60% of the forest [1].", true, 0 },
        { "How many nations share the Amazon?", "Nine.", true, 0 },
        { "How many nations share the Amazon?", "9 nations share the region.", true, 0 },
        { "How large is it?", "5.500.000 or 5500000 square kilometres are rainforest.", false, 0 },
        { "How large is it?", "5500000 square kilometres are covered by rainforest.", true, 0 },
        { "Who built it?", "The first commercial engine was built by Thomas Newcomen [2].", true,
          1 },
        { "", "The Amazon rainforest covers most of its basin.", true, 0 },
        { "When did James Watt develop his engine?", "It was 1781.", true, 1 },
        { "Did James Watt develop an engine in 1781?", "Yes.", true, 1 },
    };
    CHECK(rows);
}

static void test_what_it_does_not_say_is_not(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "Who built it?", "Penguins live on ice and eat fish.", false, 0 },
        { "", "The forest has many kinds of colourful birds and dangerous snakes.", false, 0 },
        { "Did penguins eat fish?", "Yes.", false, 0 },
    };
    CHECK(rows);
}

static void test_other_numbers_and_names_contradict(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "", "Nine nations share the region, and Brazil has 61% of it.", false, 0 },
        { "", "James Watt developed an engine in 1782 that produced continuous rotary motion.",
          false, 1 },
        { "", "The first commercial engine was built by Thomas Savery in 1712.", false, 1 },
        { "", "Nine nations share the region: after Brazil comes Bolivia with 13% of it.", false,
          0 },
    };
    CHECK(rows);
}

/* The question's own words need no support. */
static void test_words_of_the_question_are_granted(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "What did Arkwright's rival James Watt do in 1781?",
          "In 1781 Arkwright's rival James Watt developed an engine.", true, 1 },
        { "", "In 1781 Arkwright's rival James Watt developed an engine.", false, 1 },
    };
    CHECK(rows);
}

static void test_the_cited_passage_is_the_one_that_counts(void **state)
{
    (void)state;
    struct cited_sentence *s = NULL;
    size_t len = check("",
                       "Nine nations share the region [2]. James Watt developed an engine. [2] "
                       "Nine nations share the region.",
                       &s);
    assert_int_equal(len, 3);
    assert_int_equal(s[0].source, 1);
    assert_true(s[0].cited);
    assert_false(s[0].supported);
    assert_int_equal(s[1].source, 1);
    assert_true(s[1].cited && s[1].supported);
    assert_int_equal(s[2].source, 0);
    assert_true(!s[2].cited && s[2].supported);
}

static void test_of_several_marks_the_best_is_taken(void **state)
{
    (void)state;
    struct cited_sentence *s = NULL;
    assert_int_equal(check("", "Nine nations share the region [2][1].", &s), 1);
    assert_int_equal(s->source, 0);
    assert_true(s->cited && s->supported);
}

/* Numbers that are no passage's, and brackets that are no mark. */
static void test_marks_of_no_passage_cite_nothing(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "Nine nations share the region [3].",           "Nine nations share the region [0].",
        "Nine nations share the region [99999999999].", "Nine nations share the region [1",
        "Nine nations share the region [a].",
    };
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct cited_sentence *s = NULL;
        assert_int_equal(check("", answers[i], &s), 1);
        assert_false(s->cited);
        assert_int_equal(s->source, 0);
    }
}

static void test_sentences_lie_in_the_answer_and_spans_in_the_passage(void **state)
{
    (void)state;
    static const char answer[] = " Nine nations share the region. [1]\n\n--\n\nWatt's engine "
                                 "powered mills.";
    struct cited_sentence *s = NULL;
    assert_int_equal(check("", answer, &s), 2);
    assert_int_equal(s[0].begin, 1);
    assert_memory_equal(answer + s[0].end - 3, "[1]", 3);
    assert_int_equal(s[1].end, strlen(answer));
    const char *text = sources[0].text.data;
    assert_int_equal(s[0].span_begin, strstr(text, "Nine") - text);
    assert_int_equal(s[0].span_end, strstr(text, " Brazil") - text);
    text = sources[1].text.data;
    assert_int_equal(s[1].span_begin, strstr(text, "It powered") - text);
}

/* The same words count for less when they stand far apart. */
static void test_scattered_words_count_less(void **state)
{
    (void)state;
    static const struct citation_source apart = {
        { NULL, 0 },
        TEXT("Copper is old. It came. They went. Mines were deep. It came. They went. Wages "
             "were low. It came. They went.")
    };
    static const struct citation_source together = {
        { NULL, 0 }, TEXT("Copper mines had low wages and were deep and old.")
    };
    float support[2];
    for (int i = 0; i < 2; i++) {
        const struct citation_config config = { .answer = SLICE_LIT("copper mines paid low wages"),
                                                .sources = i == 0 ? &apart : &together,
                                                .sources_len = 1 };
        struct cited_sentence *s = NULL;
        size_t len = 0;
        assert_int_equal(citation_check(&config, &arena, &s, &len, NULL), SHOAL_OK);
        support[i] = s->support;
    }
    assert_true(support[0] < CITATION_SUPPORT_MIN && support[1] > CITATION_SUPPORT_MIN);
}

static void test_similarity_lifts_but_not_over_a_number(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "--\n\nA dozen countries hold parts; the region is shared.",
        "--\n\nA dozen countries hold 77 parts; the region is shared.",
    };
    /* "--" is a sentence for sentence_next, so the second row is the one that counts. */
    static const float similarity[] = { 0, 0, 0.95f, 0 };
    for (size_t i = 0; i < 4; i++) {
        const struct citation_config config = { .answer = slice_from_str(answers[i % 2]),
                                                .sources = sources,
                                                .sources_len = SOURCES,
                                                .similarity = i < 2 ? NULL : similarity,
                                                .similarity_len = i < 2 ? 0 : 2 };
        struct cited_sentence *s = NULL;
        size_t len = 0;
        assert_int_equal(citation_check(&config, &arena, &s, &len, NULL), SHOAL_OK);
        assert_int_equal(len, 1);
        assert_int_equal(s->supported, i == 2);
    }
}

static void test_nothing_to_check(void **state)
{
    (void)state;
    struct cited_sentence *s = NULL;
    assert_int_equal(check("", "", &s), 0);
    assert_int_equal(check("", " ... \n [] ", &s), 0);
    struct citation_config config = { .answer = SLICE_LIT("It rains.") };
    size_t len = 0;
    assert_int_equal(citation_check(&config, &arena, &s, &len, NULL), SHOAL_OK);
    assert_int_equal(len, 1);
    assert_int_equal(s->source, CITATION_NONE);
    assert_false(s->supported);
}

static void test_limits_are_held(void **state)
{
    (void)state;
    static struct citation_source many[CITATION_SOURCES_MAX + 1];
    static char answer[4 * (CITATION_SENTENCES_MAX + 1)];
    struct cited_sentence *s = NULL;
    size_t len = 0;
    struct errbuf why;
    for (size_t i = 0; i < sizeof(answer); i += 4) {
        memcpy(answer + i, "Go. ", 4);
    }
    struct citation_config config = { .answer = SLICE_LIT("Go."),
                                      .sources = many,
                                      .sources_len = CITATION_SOURCES_MAX };
    assert_int_equal(citation_check(&config, &arena, &s, &len, &why), SHOAL_OK);
    config.sources_len++;
    assert_int_equal(citation_check(&config, &arena, &s, &len, &why), SHOAL_ETOOBIG);
    assert_null(s);
    config.sources_len = 1;
    config.answer = slice_make(answer, sizeof(answer) - 4);
    assert_int_equal(citation_check(&config, &arena, &s, &len, &why), SHOAL_OK);
    assert_int_equal(len, CITATION_SENTENCES_MAX);
    config.answer.len += 4;
    assert_int_equal(citation_check(&config, &arena, &s, &len, &why), SHOAL_ETOOBIG);
    config.answer = SLICE_LIT("Go.");
    config.similarity_len = 1;
    assert_int_equal(citation_check(&config, &arena, &s, &len, &why), SHOAL_EINVAL);
}

/* Any bytes in every place: sentences stay in order and inside, and numbers are finite. */
static void test_any_bytes_are_taken(void **state)
{
    (void)state;
    static const char alphabet[] = "aB1.[] \n\xc3\xa9\xff\xe3\x80\x82\0-?";
    struct rand_seeded r;
    char text[3][200];
    rand_seeded_init(&r, test_seed());
    for (int round = 0; round < 500; round++) {
        struct slice part[3];
        for (size_t p = 0; p < 3; p++) {
            part[p] = slice_make(text[p], rand_below(&r.source, sizeof(text[p])));
            for (size_t i = 0; i < part[p].len; i++) {
                text[p][i] = alphabet[rand_below(&r.source, sizeof(alphabet) - 1)];
            }
        }
        const struct citation_source source = { .title = part[1], .text = part[2] };
        const struct citation_config config = {
            .answer = part[0], .question = part[1], .sources = &source, .sources_len = 1
        };
        struct cited_sentence *s = NULL;
        size_t len = 0;
        size_t before = 0;
        assert_int_equal(citation_check(&config, &arena, &s, &len, NULL), SHOAL_OK);
        for (size_t i = 0; i < len; i++) {
            assert_true(s[i].begin >= before && s[i].begin < s[i].end);
            assert_true(s[i].support >= 0 && s[i].support <= 1);
            assert_true(s[i].span_begin <= s[i].span_end && s[i].span_end <= part[2].len);
            before = s[i].end;
        }
        assert_true(before <= part[0].len);
        arena_reset(&arena);
    }
}

static void test_each_failed_allocation_is_reported(void **state)
{
    (void)state;
    enum shoal_err rc = SHOAL_ENOMEM;
    for (size_t nth = 0; rc == SHOAL_ENOMEM && nth < TEST_ALLOCS_MAX; nth++) {
        const struct citation_config config = { .answer = SLICE_LIT("Nine nations [1]. Yes. No."),
                                                .question = SLICE_LIT("How many nations?"),
                                                .sources = sources,
                                                .sources_len = SOURCES };
        struct cited_sentence *s = NULL;
        size_t len = 0;
        arena_release(&arena);
        arena_init(&arena, 1u << 20);
        test_heap_fail_at(nth);
        rc = citation_check(&config, &arena, &s, &len, NULL);
        test_heap_fail_never();
        assert_int_equal(len, rc == SHOAL_OK ? 3 : 0);
    }
    assert_int_equal(rc, SHOAL_OK);
    /* And every step of the ceiling, where the arena itself says no. */
    rc = SHOAL_ENOMEM;
    for (size_t max = 64; rc == SHOAL_ENOMEM && max < 1u << 20; max += 64) {
        const struct citation_config config = { .answer = SLICE_LIT("Nine nations [1]. Yes. No."),
                                                .sources = sources,
                                                .sources_len = SOURCES };
        struct cited_sentence *s = NULL;
        size_t len = 0;
        arena_release(&arena);
        arena_init(&arena, max);
        rc = citation_check(&config, &arena, &s, &len, NULL);
    }
    assert_int_equal(rc, SHOAL_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_the_passage_says_is_supported),
        TEST(test_what_it_does_not_say_is_not),
        TEST(test_other_numbers_and_names_contradict),
        TEST(test_words_of_the_question_are_granted),
        TEST(test_the_cited_passage_is_the_one_that_counts),
        TEST(test_of_several_marks_the_best_is_taken),
        TEST(test_marks_of_no_passage_cite_nothing),
        TEST(test_sentences_lie_in_the_answer_and_spans_in_the_passage),
        TEST(test_scattered_words_count_less),
        TEST(test_similarity_lifts_but_not_over_a_number),
        TEST(test_nothing_to_check),
        TEST(test_limits_are_held),
        TEST(test_any_bytes_are_taken),
        TEST(test_each_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("citation", tests, NULL, NULL);
}
