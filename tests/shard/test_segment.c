/* Segment files: what is built opens as it was, damage is found, and a segment whose index is
 * unfit still answers. */
#include "tests/shard/test_shard_support.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "index/scan.h"
#include "shard/segment.h"
#include "shard/segment_file.h"
#include "shard/store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIM 12
#define ROWS 600
#define ROW_BEGIN 1000

struct fixture {
    struct test_dir dir;
    struct rand_seeded rand;
    float *vectors;
    struct segment_row *rows;
    struct segment_build build;
    struct segment_manifest manifest;
    size_t live_before;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    test_dir_make(&f->dir, test_dir_root(), "1.mdb");
    rand_seeded_init(&f->rand, 7);
    f->vectors = calloc(ROWS * DIM, sizeof(float));
    f->rows = calloc(ROWS, sizeof(*f->rows));
    assert_true(f->vectors != NULL && f->rows != NULL);
    for (size_t i = 0; i < ROWS; i++) {
        test_vector(&f->rand.source, DISTANCE_COSINE, DIM, f->vectors + i * DIM);
        f->rows[i] = (struct segment_row){ .row = ROW_BEGIN + i * 3,
                                           .id = point_id_num(ROWS - i),
                                           .vector = f->vectors + i * DIM };
        if (i % 5 == 0) {
            f->rows[i].id.kind = POINT_ID_UUID;
            rand_system()->fill(NULL, f->rows[i].id.value.uuid, 16);
        }
    }
    f->build = (struct segment_build){
        .dir = f->dir.path,
        .disk = disk_real(),
        .id = 1,
        .row_begin = ROW_BEGIN,
        .row_end = ROW_BEGIN + ROWS * 3,
        .index = { .kind = INDEX_HNSW,
                   .distance = DISTANCE_COSINE,
                   .dim = DIM,
                   .m = 8,
                   .ef_construction = 60,
                   .threads = 1,
                   .seed = 1 },
        .rows = f->rows,
        .rows_len = ROWS,
    };
    f->live_before = mem_live();
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int leaked = mem_live() != f->live_before;
    test_dir_remove(&f->dir);
    free(f->rows);
    free(f->vectors);
    free(f);
    return leaked ? -1 : 0;
}

static void build(struct fixture *f)
{
    struct errbuf why = { 0 };
    if (segment_build(&f->build, &f->manifest, &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
}

static struct segment *open_it(struct fixture *f)
{
    struct segment *s = NULL;
    struct errbuf why = { 0 };
    if (segment_open(f->dir.path, disk_real(), &f->manifest, &s, &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
    return s;
}

static void assert_holds_the_rows(const struct fixture *f, const struct segment *s)
{
    uint32_t at;
    for (size_t i = 0; i < f->build.rows_len; i++) {
        struct point_id id;
        assert_true(segment_find(s, f->rows[i].row, &at));
        assert_memory_equal(segment_vector(s, at), f->rows[i].vector, DIM * sizeof(float));
        assert_int_equal(segment_id(s, at, &id), SHOAL_OK);
        assert_int_equal(point_id_compare(&id, &f->rows[i].id), 0);
        assert_false(segment_find(s, f->rows[i].row + 1, &at));
    }
    assert_false(segment_find(s, 0, &at));
    assert_false(segment_find(s, UINT64_MAX, &at));
}

static void test_built_opens_as_it_was(void **state)
{
    struct fixture *f = *state;
    static const enum index_kind kinds[] = { INDEX_FLAT, INDEX_HNSW, INDEX_IVF_FLAT };
    static const size_t lens[] = { 1, 2, 255, 256, ROWS };
    for (size_t k = 0; k < 3; k++) {
        for (size_t l = 0; l < 5; l++) {
            f->build.id++;
            f->build.index.kind = kinds[k];
            f->build.rows_len = lens[l];
            build(f);
            struct segment *s = open_it(f);
            struct errbuf why = { 0 };
            if (segment_verify(s, &why) != SHOAL_OK) {
                fail_msg("%s", why.text);
            }
            assert_false(segment_needs_rebuild(s));
            assert_holds_the_rows(f, s);
            segment_unref(s);
        }
    }
}

static void test_search_finds_each_vector(void **state)
{
    struct fixture *f = *state;
    build(f);
    struct segment *s = open_it(f);
    for (size_t i = 0; i < ROWS; i++) {
        struct index_hit hit;
        size_t n = 0;
        const struct index_query q = { .vector = f->vectors + i * DIM, .k = 1, .ef = 64 };
        uint32_t at;
        assert_int_equal(segment_search(s, &q, &hit, &n, NULL), SHOAL_OK);
        assert_int_equal(n, 1);
        assert_true(segment_find(s, f->rows[i].row, &at));
        assert_int_equal(hit.row, at);
    }
    segment_unref(s);
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static void test_retired_file_goes_with_the_last_reference(void **state)
{
    struct fixture *f = *state;
    build(f);
    struct segment *s = open_it(f);
    struct segment *reader = segment_ref(s);
    segment_retire(s);
    segment_unref(s);
    assert_true(exists(f->dir.file));
    assert_holds_the_rows(f, reader);
    segment_unref(reader);
    assert_false(exists(f->dir.file));
}

static void test_another_manifest_is_refused(void **state)
{
    struct fixture *f = *state;
    struct segment *s = NULL;
    build(f);
    struct segment_manifest other = f->manifest;
    other.parts[SEGMENT_VECTORS].checksum++;
    assert_int_equal(segment_open(f->dir.path, disk_real(), &other, &s, NULL), SHOAL_ECORRUPT);
    assert_null(s);
    other = f->manifest;
    other.id = 2;
    assert_int_equal(segment_open(f->dir.path, disk_real(), &other, &s, NULL), SHOAL_ENOTFOUND);
    assert_int_equal(truncate(f->dir.file, 3 * 4096), 0);
    assert_int_equal(segment_open(f->dir.path, disk_real(), &f->manifest, &s, NULL),
                     SHOAL_ECORRUPT);
    assert_null(s);
}

static void test_manifest_finds_every_flipped_bit(void **state)
{
    struct fixture *f = *state;
    build(f);
    uint8_t bytes[SEGMENT_MANIFEST_LEN];
    struct segment_manifest back;
    segment_manifest_encode(&f->manifest, bytes);
    assert_int_equal(segment_manifest_decode(slice_make(bytes, sizeof(bytes)), &back, NULL),
                     SHOAL_OK);
    assert_int_equal(back.rows, ROWS);
    assert_int_equal(back.row_end, ROW_BEGIN + ROWS * 3);
    for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
        bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ 1u << (bit % 8));
        enum shoal_err rc = segment_manifest_decode(slice_make(bytes, sizeof(bytes)), &back, NULL);
        assert_true(rc == SHOAL_ECORRUPT || rc == SHOAL_EUNSUPPORTED);
        bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ 1u << (bit % 8));
    }
    for (size_t len = 0; len < sizeof(bytes); len++) {
        assert_int_equal(segment_manifest_decode(slice_make(bytes, len), &back, NULL),
                         SHOAL_ECORRUPT);
    }
}

/* The parts of a built segment, copied so that they can be damaged. */
static void copy_parts(const struct fixture *f, char *copies[SEGMENT_PARTS_LEN],
                       struct slice parts[SEGMENT_PARTS_LEN])
{
    const struct store_config config = { .path = f->dir.file, .read_only = true, .tables_max = 1 };
    struct store *store = NULL;
    struct store_txn *txn = NULL;
    store_table table;
    assert_int_equal(store_open(&config, &store, NULL), SHOAL_OK);
    assert_int_equal(store_table_open(store, SEGMENT_TABLE, &table, NULL), SHOAL_OK);
    assert_int_equal(store_read_begin(store, &txn, NULL), SHOAL_OK);
    for (int i = 0; i < SEGMENT_PARTS_LEN; i++) {
        const char *name = segment__part_name((enum segment_part)i);
        assert_int_equal(store_get(txn, table, slice_from_str(name), &parts[i]), SHOAL_OK);
        assert_int_equal((uintptr_t)parts[i].data % 16, 0);
        size_t len = (size_t)f->manifest.parts[i].len;
        copies[i] = mem_aligned(len);
        memcpy(copies[i], parts[i].data, len);
        parts[i] = slice_make(copies[i], len);
    }
    store_read_end(txn);
    store_close(store);
}

static void test_verify_finds_a_flipped_bit_in_any_part(void **state)
{
    struct fixture *f = *state;
    build(f);
    char *copies[SEGMENT_PARTS_LEN];
    struct slice parts[SEGMENT_PARTS_LEN];
    copy_parts(f, copies, parts);
    for (int i = 0; i < SEGMENT_PARTS_LEN; i++) {
        for (int round = 0; round < 20; round++) {
            size_t at = rand_below(&f->rand.source, parts[i].len);
            copies[i][at] = (char)(copies[i][at] ^ 0x10);
            struct segment *s = NULL;
            struct errbuf why = { 0 };
            assert_int_equal(segment_open_parts(&f->manifest, parts, &s, &why), SHOAL_OK);
            assert_int_equal(segment_verify(s, &why), SHOAL_ECORRUPT);
            assert_non_null(strstr(why.text, segment__part_name((enum segment_part)i)));
            assert_int_equal(segment_verify_truth(s, &why),
                             i == SEGMENT_INDEX ? SHOAL_OK : SHOAL_ECORRUPT);
            segment_unref(s);
            copies[i][at] = (char)(copies[i][at] ^ 0x10);
        }
    }
    for (int i = 0; i < SEGMENT_PARTS_LEN; i++) {
        mem_free(copies[i]);
    }
}

/* Checksums prove only that bytes are what was written: what was written wrongly is found too. */
static void test_verify_finds_nonsense_with_right_checksums(void **state)
{
    struct fixture *f = *state;
    build(f);
    char *copies[SEGMENT_PARTS_LEN];
    struct slice parts[SEGMENT_PARTS_LEN];
    copy_parts(f, copies, parts);
    const struct {
        enum segment_part part;
        uint8_t byte; /* put over the part's first bytes */
        size_t len;
    } damages[] = { { SEGMENT_VECTORS, 0xff, 4 },
                    { SEGMENT_IDS, 9, 1 },
                    { SEGMENT_ROWS, 0xff, 8 },
                    { SEGMENT_POSITIONS, 0xff, 4 } };
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        enum segment_part part = damages[i].part;
        char before[8];
        memcpy(before, copies[part], sizeof(before));
        memset(copies[part], damages[i].byte, damages[i].len);
        struct segment_manifest m = f->manifest;
        m.parts[part].checksum = hash64(parts[part].data, parts[part].len);
        struct segment *s = NULL;
        assert_int_equal(segment_open_parts(&m, parts, &s, NULL), SHOAL_OK);
        assert_int_equal(segment_verify(s, NULL), SHOAL_ECORRUPT);
        uint32_t at; /* looking up stays inside the segment */
        for (size_t r = 0; r < ROWS; r++) {
            assert_true(!segment_find(s, f->rows[r].row, &at) || at < ROWS);
        }
        segment_unref(s);
        memcpy(copies[part], before, sizeof(before));
    }
    for (int i = 0; i < SEGMENT_PARTS_LEN; i++) {
        mem_free(copies[i]);
    }
}

static void test_unfit_index_is_replaced_by_a_scan(void **state)
{
    struct fixture *f = *state;
    build(f);
    char *copies[SEGMENT_PARTS_LEN];
    struct slice parts[SEGMENT_PARTS_LEN];
    copy_parts(f, copies, parts);
    copies[SEGMENT_INDEX][0] ^= 1;
    struct segment *s = NULL;
    assert_int_equal(segment_open_parts(&f->manifest, parts, &s, NULL), SHOAL_OK);
    assert_true(segment_needs_rebuild(s));
    struct index_hit hits[3];
    size_t n = 0;
    const struct index_query q = { .vector = f->vectors, .k = 3 };
    uint32_t at;
    assert_int_equal(segment_search(s, &q, hits, &n, NULL), SHOAL_OK);
    assert_int_equal(n, 3);
    assert_true(segment_find(s, f->rows[0].row, &at));
    assert_int_equal(hits[0].row, at);
    segment_unref(s);
    for (int i = 0; i < SEGMENT_PARTS_LEN; i++) {
        mem_free(copies[i]);
    }
}

static void test_cancelled_build_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    atomic_bool cancel;
    atomic_init(&cancel, true);
    f->build.cancel = &cancel;
    assert_int_equal(segment_build(&f->build, &f->manifest, NULL), SHOAL_ECANCELED);
    assert_false(exists(f->dir.file));
    assert_int_equal(rmdir(f->dir.path), 0); /* empty */
    assert_int_equal(mkdir(f->dir.path, 0750), 0);
}

static void test_open_survives_each_failed_allocation(void **state)
{
    struct fixture *f = *state;
    build(f);
    struct segment *s = NULL;
    enum shoal_err rc = SHOAL_ENOMEM;
    long nth = 0;
    for (; rc == SHOAL_ENOMEM && nth < ALLOCS_MAX; nth++) {
        test_heap_fail_at(nth);
        rc = segment_open(f->dir.path, disk_real(), &f->manifest, &s, NULL);
        (void)test_heap_fail_never();
        if (rc != SHOAL_OK) {
            assert_null(s);
            assert_int_equal(mem_live(), f->live_before);
        }
    }
    assert_int_equal(rc, SHOAL_OK);
    assert_true(nth > 3);
    segment_unref(s);
}

static void test_build_survives_each_failed_allocation(void **state)
{
    struct fixture *f = *state;
    enum shoal_err rc = SHOAL_ENOMEM;
    f->build.rows_len = 300;
    for (long nth = 0; rc == SHOAL_ENOMEM && nth < ALLOCS_MAX; nth++) {
        test_heap_fail_at(nth);
        rc = segment_build(&f->build, &f->manifest, NULL);
        (void)test_heap_fail_never();
        assert_int_equal(mem_live(), f->live_before);
        assert_int_equal(exists(f->dir.file), rc == SHOAL_OK);
    }
    assert_int_equal(rc, SHOAL_OK);
    segment_unref(open_it(f));
}

int main(void)
{
    test_heap_install();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_built_opens_as_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(test_search_finds_each_vector, setup, teardown),
        cmocka_unit_test_setup_teardown(test_retired_file_goes_with_the_last_reference, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_another_manifest_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_manifest_finds_every_flipped_bit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_verify_finds_a_flipped_bit_in_any_part, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_verify_finds_nonsense_with_right_checksums, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_unfit_index_is_replaced_by_a_scan, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancelled_build_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_survives_each_failed_allocation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_build_survives_each_failed_allocation, setup,
                                        teardown),
    };
    return cmocka_run_group_tests_name("segment", tests, NULL, NULL);
}
