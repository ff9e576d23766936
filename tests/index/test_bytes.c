/* Derived bytes that are not what index_build made: found by open or validate, and harmless even
 * when neither was asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "index/format.h"
#include "tests/index/vectors.h"

#define DIM 6
#define ROWS 1500

static const enum index_kind kinds[] = { INDEX_FLAT, INDEX_HNSW, INDEX_IVF_FLAT };

struct fixture {
    struct test_index t[3];
    float *v;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        return -1;
    }
    f->v = test_vectors(ROWS, DIM, 20, DISTANCE_EUCLID, test_seed());
    /* Some copies, so that those sections are there to be damaged. */
    for (size_t i = 700; i < 760; i++) {
        memcpy(f->v + i * DIM, f->v + i % 7 * DIM, DIM * sizeof(float));
    }
    for (size_t i = 0; i < 3; i++) {
        struct index_config config = {
            .kind = kinds[i],
            .distance = DISTANCE_EUCLID,
            .dim = DIM,
            .m = 4,
            .ef_construction = 20,
            .threads = 1,
            .seed = test_seed(),
        };
        test_index_init(&f->t[i], &config, f->v, ROWS);
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < 3; i++) {
        test_index_release(&f->t[i]);
    }
    free(f->v);
    free(f);
    return mem_live() == 0 ? 0 : -1;
}

/* A copy in an allocation of exactly its size, so that a read past its end is seen. */
static char *copy_bytes(const struct test_index *t, size_t len)
{
    char *bytes = malloc(len > 0 ? len : 1);
    assert_non_null(bytes);
    memcpy(bytes, t->built.bytes, len < t->built.bytes_len ? len : t->built.bytes_len);
    return bytes;
}

static enum shoal_err open_bytes(const struct test_index *t, const char *bytes, size_t len,
                                 struct index **out, struct errbuf *why)
{
    return index_open(&t->config, t->vectors, t->rows, slice_make(bytes, len), out, why);
}

static void test_every_flipped_bit_of_the_header_is_found(void **state)
{
    const struct fixture *f = *state;
    for (size_t i = 0; i < 3; i++) {
        const struct test_index *t = &f->t[i];
        char *bytes = copy_bytes(t, t->built.bytes_len);
        for (size_t bit = 0; bit < (size_t)FORMAT_HEADER_LEN * 8; bit++) {
            bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << (bit % 8)));
            struct index *ix = (void *)bytes;
            struct errbuf why;
            err_clear(&why);
            assert_int_equal(open_bytes(t, bytes, t->built.bytes_len, &ix, &why), SHOAL_ECORRUPT);
            assert_null(ix);
            assert_true(why.text[0] != '\0');
            bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << (bit % 8)));
        }
        free(bytes);
    }
}

static void test_every_truncation_and_growth_is_found(void **state)
{
    const struct fixture *f = *state;
    for (size_t i = 0; i < 3; i++) {
        const struct test_index *t = &f->t[i];
        size_t full = t->built.bytes_len;
        for (size_t len = 0; len < full; len += len < 600 ? 1 : 97) {
            char *bytes = copy_bytes(t, len);
            struct index *ix = NULL;
            assert_int_equal(open_bytes(t, bytes, len, &ix, NULL), SHOAL_ECORRUPT);
            free(bytes);
        }
        char *bytes = copy_bytes(t, full + 8);
        struct index *ix = NULL;
        assert_int_equal(open_bytes(t, bytes, full + 8, &ix, NULL), SHOAL_ECORRUPT);
        free(bytes);
    }
}

static void test_bytes_of_another_shape_are_refused(void **state)
{
    const struct fixture *f = *state;
    for (size_t i = 0; i < 3; i++) {
        const struct test_index *t = &f->t[i];
        struct slice bytes = slice_make(t->built.bytes, t->built.bytes_len);
        struct index *ix = NULL;
        struct index_config other = t->config;
        other.distance = DISTANCE_DOT;
        assert_int_equal(index_open(&other, t->vectors, ROWS, bytes, &ix, NULL), SHOAL_ECORRUPT);
        other = t->config;
        other.dim = DIM - 1;
        assert_int_equal(index_open(&other, t->vectors, ROWS, bytes, &ix, NULL), SHOAL_ECORRUPT);
        other = t->config;
        other.kind = kinds[(i + 1) % 3];
        assert_int_equal(index_open(&other, t->vectors, ROWS, bytes, &ix, NULL), SHOAL_ECORRUPT);
        assert_int_equal(index_open(&t->config, t->vectors, ROWS - 1, bytes, &ix, NULL),
                         SHOAL_ECORRUPT);
        /* Parameters of the build do not matter to what was built. */
        other = t->config;
        other.m = 32;
        other.nlist = 9;
        other.ef_construction = 77;
        assert_int_equal(index_open(&other, t->vectors, ROWS, bytes, &ix, NULL), SHOAL_OK);
        index_close(ix);
    }
}

static void test_misaligned_memory_is_refused(void **state)
{
    const struct fixture *f = *state;
    for (size_t i = 0; i < 3; i++) {
        const struct test_index *t = &f->t[i];
        char *bytes = malloc(t->built.bytes_len + 8);
        assert_non_null(bytes);
        memcpy(bytes + 4, t->built.bytes, t->built.bytes_len);
        struct index *ix = NULL;
        assert_int_equal(open_bytes(t, bytes + 4, t->built.bytes_len, &ix, NULL), SHOAL_EINVAL);
        const float *odd = (const float *)(const void *)((const char *)t->vectors + 2);
        assert_int_equal(index_open(&t->config, odd, ROWS,
                                    slice_make(t->built.bytes, t->built.bytes_len), &ix, NULL),
                         SHOAL_EINVAL);
        free(bytes);
    }
}

static void search_all_ways(const struct test_index *t, const struct index *ix,
                            const struct index_filter *filter)
{
    struct index_hit hits[60];
    for (size_t i = 0; i < 4; i++) {
        const struct index_query queries[] = {
            { .vector = t->vectors + i * DIM, .k = 3, .ef = 10 },
            { .vector = t->vectors + i * DIM, .k = 60, .ef = 60, .filter = filter },
            { .vector = t->vectors + i * DIM, .k = 5, .ef = 5, .nprobe = 3 },
        };
        for (size_t j = 0; j < 3; j++) {
            size_t n = 0;
            assert_int_equal(index_search(ix, &queries[j], hits, &n, NULL), SHOAL_OK);
            assert_true(n <= queries[j].k);
            for (size_t h = 0; h < n; h++) {
                assert_true(hits[h].row < ROWS);
                assert_true(test_allows(queries[j].filter, hits[h].row));
            }
        }
    }
}

/* Sections are not read by open, so damage there is found by validate only. A search must survive
 * it: wrong answers, but never a read outside the rows and bytes (AddressSanitizer watches). */
static void test_damaged_sections_never_lead_outside(void **state)
{
    const struct fixture *f = *state;
    struct rand_seeded rand;
    rand_seeded_init(&rand, test_seed());
    struct test_share share = { .rand = &rand.source, .share = 0.6 };
    struct index_filter filter;
    test_filter_fill(&filter, ROWS, test_want_share, &share);
    size_t found = 0;
    for (size_t i = 1; i < 3; i++) {
        const struct test_index *t = &f->t[i];
        for (size_t round = 0; round < 600; round++) {
            char *bytes = copy_bytes(t, t->built.bytes_len);
            size_t words = (t->built.bytes_len - FORMAT_HEADER_LEN) / 4;
            for (size_t hurt = 0; hurt <= round % 30; hurt++) {
                size_t at = FORMAT_HEADER_LEN + 4 * (size_t)rand_below(&rand.source, words);
                uint32_t value = (uint32_t)rand_u64(&rand.source);
                value = round % 3 == 0 ? value : value % (round % 3 == 1 ? 2 * ROWS : 40000);
                memcpy(bytes + at, &value, sizeof(value));
            }
            struct index *ix = NULL;
            assert_int_equal(open_bytes(t, bytes, t->built.bytes_len, &ix, NULL), SHOAL_OK);
            search_all_ways(t, ix, &filter);
            found += index_validate(ix, NULL) == SHOAL_ECORRUPT;
            index_close(ix);
            free(bytes);
        }
    }
    print_message("validate found %zu of 1200 damages\n", found);
    assert_true(found > 600); /* a link changed into another link is no damage that shows */
    free((void *)(uintptr_t)filter.allowed);
}

static void test_what_was_built_is_valid(void **state)
{
    const struct fixture *f = *state;
    for (size_t i = 0; i < 3; i++) {
        struct errbuf why;
        err_clear(&why);
        assert_int_equal(index_validate(f->t[i].index, &why), SHOAL_OK);
    }
}

int main(void)
{
    test_seed_print();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_flipped_bit_of_the_header_is_found),
        cmocka_unit_test(test_every_truncation_and_growth_is_found),
        cmocka_unit_test(test_bytes_of_another_shape_are_refused),
        cmocka_unit_test(test_misaligned_memory_is_refused),
        cmocka_unit_test(test_damaged_sections_never_lead_outside),
        cmocka_unit_test(test_what_was_built_is_valid),
    };
    return cmocka_run_group_tests_name("bytes", tests, setup, teardown);
}
