#include "base/mem.h"
#include "base/thread.h"
#include "slm/embedder.h"
#include "tests/slm/models.h"
#include "tests/support/dir.h"
#include "tests/support/heap.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DIM 384

static struct test_model model;
static struct embedder *shared;

static struct embedder *open_embedder(uint32_t queue_texts_max)
{
    const struct embedder_config config = {
        .model = { .path = model.path, .sha256 = model.sha256 },
        .threads = 2,
        .queue_texts_max = queue_texts_max,
    };
    struct embedder *e = NULL;
    struct errbuf why = { .code = SHOAL_OK };
    if (embedder_open(&config, &e, &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
    return e;
}

static int group_setup(void **state)
{
    (void)state;
    if (!test_model_find("embedder", &model)) {
        return -1;
    }
    shared = open_embedder(0);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    embedder_close(shared);
    return mem_live() == 0 ? 0 : -1;
}

static void embed(const char *const *texts, size_t len, float *vectors, struct embedded *each)
{
    struct slice slices[64];
    struct errbuf why = { .code = SHOAL_OK };
    assert_true(len <= 64);
    for (size_t i = 0; i < len; i++) {
        slices[i] = slice_from_str(texts[i]);
    }
    enum shoal_err rc = embedder_embed(shared, slices, len, test_deadline_ns(), vectors, each,
                                       &why);
    if (rc != SHOAL_OK) {
        fail_msg("%s", err_why(&why, rc));
    }
}

static double dot(const float *a, const float *b)
{
    double sum = 0;
    for (size_t i = 0; i < DIM; i++) {
        sum += (double)a[i] * (double)b[i];
    }
    return sum;
}

static void test_info_describes_the_model(void **state)
{
    (void)state;
    const struct model_info *info = embedder_info(shared);
    assert_int_equal(info->dim, DIM);
    assert_int_equal(info->context_tokens, 512);
    assert_string_equal(info->arch, "bert");
    assert_string_equal(info->name, "all-minilm-l6-v2");
    assert_true(info->parameters > 20000000 && info->parameters < 25000000);
}

static void test_vectors_have_unit_length_and_similar_texts_are_near(void **state)
{
    (void)state;
    const char *texts[] = {
        "How do I install a package on Debian?",
        "Use apt to install software packages on a Debian system.",
        "The violin concerto was first performed in Vienna.",
    };
    float v[3 * DIM];
    embed(texts, 3, v, NULL);
    for (size_t i = 0; i < 3; i++) {
        assert_true(fabs(dot(v + i * DIM, v + i * DIM) - 1) < 1e-5);
    }
    assert_true(dot(v, v + DIM) > 0.6);
    assert_true(dot(v, v + 2 * DIM) < 0.2);
}

static void test_alone_is_repeatable_and_batched_is_the_same(void **state)
{
    (void)state;
    const char *texts[] = {
        "One.",
        "A somewhat longer sentence about rivers and their deltas.",
        "",
        "Numbers like 3.14 and 42 are fine.",
        "\xC3\xBC\x62\x65r Stra\xC3\x9F\x65n",
    };
    enum { N = sizeof(texts) / sizeof(texts[0]) };
    float batched[N * DIM];
    float alone[DIM];
    float again[DIM];
    embed(texts, N, batched, NULL);
    for (size_t i = 0; i < N; i++) {
        embed(&texts[i], 1, alone, NULL);
        embed(&texts[i], 1, again, NULL);
        assert_memory_equal(alone, again, sizeof(alone));
        assert_true(dot(alone, batched + i * DIM) > 0.9999);
    }
}

static struct slice next_line(struct slice *rest)
{
    const char *newline = rest->len == 0 ? NULL : memchr(rest->data, '\n', rest->len);
    size_t len = newline == NULL ? rest->len : (size_t)(newline - rest->data);
    struct slice line = slice_make(rest->data, len);
    size_t step = newline == NULL ? len : len + 1;
    *rest = slice_make(rest->data + step, rest->len - step);
    return line;
}

static size_t count_words(struct slice line)
{
    size_t n = line.len > 0;
    for (size_t i = 0; i < line.len; i++) {
        n += line.data[i] == ' ';
    }
    return n;
}

/* The reference was computed from the original weights without libllama: three lines a text, with
 * the text, its tokens and its vector. */
static void test_vectors_agree_with_the_reference(void **state)
{
    (void)state;
    char path[TEST_MODEL_PATH_MAX];
    size_t seen = 0;
    snprintf(path, sizeof(path), "%s/all-minilm-l6-v2.reference.txt", getenv("SHOAL_MODELS"));
    struct buf all;
    buf_init(&all, 1u << 24);
    assert_int_equal(disk_real()->read_whole(NULL, path, &all, NULL), SHOAL_OK);
    assert_non_null(buf_cstr(&all));
    for (struct slice rest = buf_slice(&all); rest.len > 0; seen++) {
        struct slice text = next_line(&rest);
        struct slice tokens = next_line(&rest);
        struct slice numbers = next_line(&rest);
        float expected[DIM];
        float got[DIM];
        struct embedded each;
        char *at = (char *)(uintptr_t)numbers.data;
        for (size_t i = 0; i < DIM; i++) {
            expected[i] = strtof(at, &at);
        }
        assert_ptr_equal(at, numbers.data + numbers.len);
        assert_int_equal(embedder_embed(shared, &text, 1, test_deadline_ns(), got, &each, NULL),
                         SHOAL_OK);
        assert_int_equal(each.tokens, count_words(tokens));
        assert_true(dot(got, expected) > 0.999);
    }
    assert_true(seen >= 5);
    buf_release(&all);
}

static void test_long_text_is_cut_and_said_so(void **state)
{
    (void)state;
    enum { WORD = 6, FITS = 510 }; /* "river " is one token; the model's marks take two of 512 */
    char text[1000 * WORD];
    for (size_t i = 0; i < 1000; i++) {
        memcpy(text + i * WORD, "river ", WORD);
    }
    struct slice texts[] = { slice_make(text, sizeof(text)), slice_make(text, FITS * WORD),
                             slice_make(text, 10 * WORD) };
    struct embedded each[3];
    float v[3 * DIM];
    assert_int_equal(embedder_embed(shared, texts, 3, test_deadline_ns(), v, each, NULL), SHOAL_OK);
    assert_true(each[0].truncated);
    assert_int_equal(each[0].tokens, 512);
    assert_false(each[1].truncated);
    assert_int_equal(each[1].tokens, 512);
    assert_false(each[2].truncated);
    assert_int_equal(each[2].tokens, 12);
    /* What is cut off leaves no trace, and the mark at the end stands where it belongs. */
    assert_true(dot(v, v + DIM) > 0.9999);
}

static void test_bytes_that_are_no_text_are_embedded_all_the_same(void **state)
{
    (void)state;
    char bytes[256];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char)i;
    }
    struct slice text = slice_make(bytes, sizeof(bytes));
    float v[DIM];
    assert_int_equal(embedder_embed(shared, &text, 1, test_deadline_ns(), v, NULL, NULL), SHOAL_OK);
    assert_true(fabs(dot(v, v) - 1) < 1e-5);
}

static void test_limits_are_held(void **state)
{
    (void)state;
    struct embedder *e = open_embedder(4);
    struct slice many[5] = { SLICE_LIT("a"), SLICE_LIT("b"), SLICE_LIT("c"), SLICE_LIT("d"),
                             SLICE_LIT("e") };
    float v[5 * DIM];
    uint64_t deadline = test_deadline_ns();
    assert_int_equal(embedder_embed(e, many, 0, deadline, v, NULL, NULL), SHOAL_EINVAL);
    assert_int_equal(embedder_embed(e, many, EMBEDDER_TEXTS_MAX + 1, deadline, v, NULL, NULL),
                     SHOAL_ETOOBIG);
    assert_int_equal(embedder_embed(e, many, 5, deadline, v, NULL, NULL), SHOAL_EBUSY);
    assert_int_equal(embedder_embed(e, many, 4, deadline, v, NULL, NULL), SHOAL_OK);
    struct slice long_text = slice_make(model.path, EMBEDDER_TEXT_BYTES_MAX + 1);
    assert_int_equal(embedder_embed(e, &long_text, 1, deadline, v, NULL, NULL), SHOAL_ETOOBIG);
    embedder_close(e);
}

static void test_passed_deadline_leaves_nothing_behind(void **state)
{
    (void)state;
    enum { N = 64 };
    struct embedder *e = open_embedder(N);
    struct slice texts[N];
    static float v[N * DIM];
    struct errbuf why;
    for (size_t i = 0; i < N; i++) {
        texts[i] = SLICE_LIT("a text that takes the model some time, times sixty-four");
    }
    assert_int_equal(embedder_embed(e, texts, N, 1, v, NULL, &why), SHOAL_ETIMEOUT);
    /* The queue holds just these: it has to be empty again. */
    assert_int_equal(embedder_embed(e, texts, N, test_deadline_ns(), v, NULL, &why), SHOAL_OK);
    embedder_close(e);
}

struct caller {
    struct thread thread;
    struct embedder *embedder;
    const char *text;
    size_t repeats;
    enum shoal_err rc;
    float vectors[16 * DIM];
};

static void caller_run(void *arg)
{
    struct caller *c = arg;
    struct slice texts[16];
    for (size_t i = 0; i < c->repeats; i++) {
        texts[i] = slice_from_str(c->text);
    }
    c->rc = embedder_embed(c->embedder, texts, c->repeats, test_deadline_ns(), c->vectors, NULL,
                           NULL);
}

static void test_callers_side_by_side_get_their_own(void **state)
{
    (void)state;
    static struct caller callers[4];
    static const char *const texts[] = { "iron ore", "jazz music", "winter storms", "tax law" };
    float alone[4 * DIM];
    embed(texts, 4, alone, NULL);
    for (size_t i = 0; i < 4; i++) {
        callers[i] = (struct caller){ .embedder = shared, .text = texts[i], .repeats = 4 * i + 1 };
        assert_int_equal(thread_start(&callers[i].thread, "caller", caller_run, &callers[i], NULL),
                         SHOAL_OK);
    }
    for (size_t i = 0; i < 4; i++) {
        thread_join(&callers[i].thread);
        assert_int_equal(callers[i].rc, SHOAL_OK);
        for (size_t k = 0; k < callers[i].repeats; k++) {
            assert_true(dot(callers[i].vectors + k * DIM, alone + i * DIM) > 0.9999);
        }
    }
}

static void test_each_failed_allocation_is_reported(void **state)
{
    (void)state;
    const char *texts[] = { "first", "second" };
    struct slice slices[] = { slice_from_str(texts[0]), slice_from_str(texts[1]) };
    float v[2 * DIM];
    enum shoal_err rc = SHOAL_ENOMEM;
    size_t live = test_heap_live();
    for (size_t nth = 0; rc == SHOAL_ENOMEM && nth < TEST_ALLOCS_MAX; nth++) {
        test_heap_fail_at(nth);
        rc = embedder_embed(shared, slices, 2, test_deadline_ns(), v, NULL, NULL);
        test_heap_fail_never();
        assert_int_equal(test_heap_live(), live);
    }
    assert_int_equal(rc, SHOAL_OK);
}

/* --- opening -------------------------------------------------------------------------------- */

static enum shoal_err open_bad(const char *path, const char *sha256, struct errbuf *why)
{
    const struct embedder_config config = { .model = { .path = path, .sha256 = sha256 } };
    struct embedder *e = NULL;
    enum shoal_err rc = embedder_open(&config, &e, why);
    assert_null(e);
    return rc;
}

static void test_files_that_are_no_model_are_refused(void **state)
{
    (void)state;
    char dir[512];
    char path[600];
    struct errbuf why;
    assert_int_equal(test_dir_make(dir, sizeof(dir)), 0);
    snprintf(path, sizeof(path), "%s/model.gguf", dir);
    const struct disk *disk = disk_real();
    assert_int_equal(open_bad(path, NULL, &why), SHOAL_ENOTFOUND);
    assert_int_equal(open_bad(dir, NULL, &why), SHOAL_EINVAL);
    assert_int_equal(disk->write_whole(NULL, path, "", 0, NULL), SHOAL_OK);
    assert_int_equal(open_bad(path, NULL, &why), SHOAL_EINVAL);
    assert_int_equal(disk->write_whole(NULL, path, "<html>not found", 15, NULL), SHOAL_OK);
    assert_int_equal(open_bad(path, NULL, &why), SHOAL_EINVAL);
    assert_non_null(strstr(why.text, "no GGUF file"));
    test_dir_remove(dir);
}

/* The real model cut off at many places, and with bytes of its head changed. */
static void test_damaged_models_are_refused(void **state)
{
    (void)state;
    char dir[512];
    char path[600];
    struct errbuf why;
    struct buf whole;
    assert_int_equal(test_dir_make(dir, sizeof(dir)), 0);
    snprintf(path, sizeof(path), "%s/model.gguf", dir);
    buf_init(&whole, 256u << 20);
    const struct disk *disk = disk_real();
    assert_int_equal(disk->read_whole(NULL, model.path, &whole, NULL), SHOAL_OK);
    static const size_t cuts[] = { 4, 8, 24, 100, 1000, 100000, 500000 };
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        assert_int_equal(disk->write_whole(NULL, path, whole.data, cuts[i], NULL), SHOAL_OK);
        assert_int_equal(open_bad(path, NULL, &why), SHOAL_EINVAL);
    }
    assert_int_equal(disk->write_whole(NULL, path, whole.data, whole.len - 1000, NULL), SHOAL_OK);
    assert_int_equal(open_bad(path, NULL, &why), SHOAL_EINVAL);
    for (size_t at = 8; at < 24; at++) { /* the counts of tensors and of keys */
        memset(whole.data + at, 0xFF, 1);
        assert_int_equal(disk->write_whole(NULL, path, whole.data, 1u << 20, NULL), SHOAL_OK);
        assert_int_equal(open_bad(path, NULL, &why), SHOAL_EINVAL);
    }
    buf_release(&whole);
    test_dir_remove(dir);
}

static void test_another_file_than_expected_is_refused(void **state)
{
    (void)state;
    struct errbuf why;
    char other[65];
    memset(other, '0', 64);
    other[64] = '\0';
    assert_int_equal(open_bad(model.path, other, &why), SHOAL_ECORRUPT);
    assert_non_null(strstr(why.text, model.sha256));
    assert_int_equal(open_bad(model.path, "abc", &why), SHOAL_EINVAL);
}

static void test_language_model_is_no_embedder(void **state)
{
    (void)state;
    struct test_model generator;
    struct errbuf why;
    assert_true(test_model_find("generator", &generator));
    assert_int_equal(open_bad(generator.path, generator.sha256, &why), SHOAL_EINVAL);
    assert_non_null(strstr(why.text, "no embedding model"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_info_describes_the_model),
        cmocka_unit_test(test_vectors_have_unit_length_and_similar_texts_are_near),
        cmocka_unit_test(test_alone_is_repeatable_and_batched_is_the_same),
        cmocka_unit_test(test_vectors_agree_with_the_reference),
        cmocka_unit_test(test_long_text_is_cut_and_said_so),
        cmocka_unit_test(test_bytes_that_are_no_text_are_embedded_all_the_same),
        cmocka_unit_test(test_limits_are_held),
        cmocka_unit_test(test_passed_deadline_leaves_nothing_behind),
        cmocka_unit_test(test_callers_side_by_side_get_their_own),
        cmocka_unit_test(test_each_failed_allocation_is_reported),
        cmocka_unit_test(test_files_that_are_no_model_are_refused),
        cmocka_unit_test(test_damaged_models_are_refused),
        cmocka_unit_test(test_another_file_than_expected_is_refused),
        cmocka_unit_test(test_language_model_is_no_embedder),
    };
    return cmocka_run_group_tests_name("embedder", tests, group_setup, group_teardown);
}
