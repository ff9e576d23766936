/* Answerable: near passages with the question's words are asked about, others are not. */
#include "slm/answerable.h"
#include "tests/support/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 1u << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_release(&arena);
    return test_heap_live() == 0 ? 0 : -1;
}

static struct answerable_passage passage(const char *title, const char *text, float cosine)
{
    return (struct answerable_passage){ .title = slice_from_str(title),
                                        .text = slice_from_str(text),
                                        .cosine = cosine };
}

static struct answerable decide(const char *question, const struct answerable_passage *list,
                                size_t len)
{
    struct answerable a;
    assert_int_equal(answerable_decide(slice_from_str(question), list, len, &arena, &a), SHOAL_OK);
    return a;
}

static const char question[] = "Which river flows through Vienna?";

static void test_near_passage_with_the_words_is_enough(void **state)
{
    (void)state;
    const struct answerable_passage p = passage("", "The Danube flows through Vienna, a river town",
                                                0.7f);
    struct answerable a = decide(question, &p, 1);
    assert_true(a.yes);
    assert_true(a.score >= ANSWERABLE_SCORE_MIN);
    assert_true(a.overlap == 1 && a.cosine == 0.7f);
}

static void test_neither_measure_is_enough_alone(void **state)
{
    (void)state;
    const struct answerable_passage list[] = {
        passage("", "Towns of Austria and their waters.", 0.55f),
        passage("", "A river. It flows. Vienna.", 0.05f),
    };
    assert_false(decide(question, &list[0], 1).yes);
    assert_false(decide(question, &list[1], 1).yes);
    assert_false(decide(question, list, 2).yes);
}

static void test_words_of_the_title_count(void **state)
{
    (void)state;
    const struct answerable_passage list[] = {
        passage("", "The Danube flows through the middle.", 0.6f),
        passage("Rivers of Vienna", "The Danube flows through the middle.", 0.6f),
    };
    struct answerable a = decide(question, list, 2);
    assert_int_equal(a.best, 1);
    assert_true(a.overlap == 1);
    assert_true(decide(question, list, 1).overlap < 0.5f);
}

static void test_best_weighs_both(void **state)
{
    (void)state;
    const struct answerable_passage list[] = {
        passage("", "Coffee houses are old.", 0.62f),
        passage("", "The river that flows through Vienna is the Danube.", 0.6f),
        passage("", "Vienna.", 0.1f),
    };
    assert_int_equal(decide(question, list, 3).best, 1);
}

static void test_nothing_found_is_a_no(void **state)
{
    (void)state;
    assert_false(decide(question, NULL, 0).yes);
}

/* A question of stop words alone has nothing to overlap with: the cosine decides. */
static void test_question_without_content(void **state)
{
    (void)state;
    const struct answerable_passage near = passage("", "", 0.95f);
    const struct answerable_passage far = passage("", "who is it", 0.4f);
    assert_true(decide("Who is it?", &near, 1).yes);
    assert_false(decide("Who is it?", &far, 1).yes);
    assert_false(decide("", &far, 1).yes);
    assert_false(decide("\xff\xfe\x80", &far, 1).yes);
}

static void test_each_failed_allocation_is_reported(void **state)
{
    (void)state;
    const struct answerable_passage p = passage("Rivers", "The Danube flows.", 0.9f);
    enum shoal_err rc = SHOAL_ENOMEM;
    for (size_t nth = 0; rc == SHOAL_ENOMEM && nth < TEST_ALLOCS_MAX; nth++) {
        struct answerable a;
        arena_release(&arena);
        arena_init(&arena, 1u << 20);
        test_heap_fail_at(nth);
        rc = answerable_decide(slice_from_str(question), &p, 1, &arena, &a);
        test_heap_fail_never();
        assert_true(a.yes == (rc == SHOAL_OK));
    }
    assert_int_equal(rc, SHOAL_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_near_passage_with_the_words_is_enough),
        TEST(test_neither_measure_is_enough_alone),
        TEST(test_words_of_the_title_count),
        TEST(test_best_weighs_both),
        TEST(test_nothing_found_is_a_no),
        TEST(test_question_without_content),
        TEST(test_each_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("answerable", tests, NULL, NULL);
}
