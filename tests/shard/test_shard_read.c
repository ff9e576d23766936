/* Reading points by id: fetch, scroll and count, beside filters and writers. */
#include "tests/shard/test_shard_rig.h"

#define PAGE_MAX 64

/* Numbers 1..n and UUIDs 1..n, with payload {"n":i,"odd":...}. */
static void fill(struct rig *r, uint32_t n)
{
    for (uint32_t i = 1; i <= n; i++) {
        char payload[64];
        snprintf(payload, sizeof(payload), "{\"n\":%" PRIu32 ",\"odd\":%s}", i,
                 i % 2 == 1 ? "true" : "false");
        rig_upsert(r, rig_uuid((uint8_t)i), 1000 + i, payload);
        rig_upsert(r, point_id_num(i), i, payload);
    }
}

static void test_fetch_answers_in_the_order_asked(void **state)
{
    struct rig *r = *state;
    fill(r, 3);
    const struct point_id ids[] = { rig_uuid(2), point_id_num(9), point_id_num(1), rig_uuid(2) };
    struct shard_record records[4];
    struct arena arena;
    arena_init(&arena, 1u << 20);
    struct errbuf why = { 0 };
    const struct shard_fetch bare = { .with_payload = false };
    assert_int_equal(shard_fetch(r->shard, ids, 4, &bare, &arena, records, &why), SHOAL_OK);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(point_id_compare(&records[i].id, &ids[i]), 0);
        assert_int_equal(records[i].found, i != 1);
        assert_int_equal(records[i].payload.len, 0);
        assert_null(records[i].vector);
        assert_int_equal(records[i].version > 0, i != 1);
    }
    const struct shard_fetch all = { .with_payload = true, .with_vector = true };
    assert_int_equal(shard_fetch(r->shard, ids, 4, &all, &arena, records, &why), SHOAL_OK);
    assert_true(slice_is(records[3].payload, "{\"n\":2,\"odd\":false}"));
    float v[RIG_DIM];
    rig_vector(1002, v);
    assert_memory_equal(records[3].vector, v, sizeof(v));
    arena_release(&arena);
}

static void test_fetch_tells_when_the_answer_does_not_fit(void **state)
{
    struct rig *r = *state;
    struct errbuf why = { 0 };
    fill(r, 1);
    struct arena arena;
    arena_init(&arena, 16);
    struct shard_record record;
    const struct point_id id = point_id_num(1);
    const struct shard_fetch all = { .with_payload = true, .with_vector = true };
    assert_int_equal(shard_fetch(r->shard, &id, 1, &all, &arena, &record, &why), SHOAL_ENOMEM);
    arena_release(&arena);
}

/* Changes the text wherever it lies in the closed shard's state. */
static void damage_text(const struct rig *r, const char *text)
{
    char path[DISK_PATH_MAX];
    assert_int_equal(disk_join(path, sizeof(path), r->shard_dir, "state.mdb"), SHOAL_OK);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    static char bytes[8u << 20];
    const size_t len = fread(bytes, 1, sizeof(bytes), f);
    assert_true(len > 0 && len < sizeof(bytes));
    char *at = bytes;
    while ((at = memmem(at, len - (size_t)(at - bytes), text, strlen(text))) != NULL) {
        *at++ ^= 1;
    }
    rewind(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void test_damage_that_a_read_meets_makes_the_shard_red(void **state)
{
    struct rig *r = *state;
    struct errbuf why = { 0 };
    rig_upsert(r, point_id_num(1), 1, "{\"a\":\"whole\"}");
    rig_upsert(r, point_id_num(2), 2, "{\"a\":\"touched\"}");
    rig_close(r);
    damage_text(r, "touched");
    rig_open(r);
    assert_int_equal(rig_info(r).status, SHARD_GREEN);
    const struct point_id ids[] = { point_id_num(1), point_id_num(2) };
    struct shard_record records[2];
    struct arena arena;
    arena_init(&arena, 1u << 20);
    const struct shard_fetch what = { .with_payload = true };
    assert_int_equal(shard_fetch(r->shard, ids, 2, &what, &arena, records, &why), SHOAL_ECORRUPT);
    assert_int_equal(rig_info(r).status, SHARD_RED);
    assert_string_equal(rig_info(r).trouble, why.text);
    /* What is not damaged is served. */
    assert_int_equal(shard_fetch(r->shard, ids, 1, &what, &arena, records, &why), SHOAL_OK);
    assert_true(slice_is(records[0].payload, "{\"a\":\"whole\"}"));
    arena_release(&arena);
}

/* --- scroll ----------------------------------------------------------------------------------- */

struct page {
    struct arena arena;
    struct shard_record records[PAGE_MAX];
    size_t len;
    const struct point_id *next;
};

static void scroll(struct rig *r, struct page *p, const struct point_id *offset, uint32_t limit,
                   const char *filter)
{
    struct errbuf why = { 0 };
    assert_true(limit <= PAGE_MAX);
    arena_init(&p->arena, 1u << 20);
    const struct shard_scroll q = { .offset = offset,
                                    .limit = limit,
                                    .filter = slice_from_str(filter),
                                    .what = { .with_payload = true, .with_vector = true } };
    if (shard_scroll(r->shard, &q, &p->arena, p->records, &p->len, &p->next, &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
}

/* All pages of this size: how many points, each after the one before. */
static size_t scroll_all(struct rig *r, uint32_t limit, const char *filter)
{
    struct point_id last = { .kind = POINT_ID_NUM };
    struct point_id offset = { .kind = POINT_ID_NUM };
    size_t n = 0;
    for (bool more = true; more;) {
        struct page p;
        scroll(r, &p, n == 0 ? NULL : &offset, limit, filter);
        for (size_t i = 0; i < p.len; i++, n++) {
            assert_true(p.records[i].found);
            assert_true(n == 0 || point_id_compare(&last, &p.records[i].id) < 0);
            assert_true(p.records[i].payload.len > 0);
            assert_non_null(p.records[i].vector);
            last = p.records[i].id;
        }
        more = p.next != NULL;
        if (more) {
            assert_int_equal(p.len, limit);
            offset = *p.next;
        }
        arena_release(&p.arena);
    }
    return n;
}

static void test_scroll_pages_go_over_numbers_and_uuids_in_order(void **state)
{
    static const uint32_t limits[] = { 1, 3, 20, 40, 41 };
    struct rig *r = *state;
    fill(r, 20);
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        assert_int_equal(scroll_all(r, limits[i], ""), 40);
        assert_int_equal(
            scroll_all(r, limits[i], "{\"must\":[{\"key\":\"odd\",\"match\":{\"value\":true}}]}"),
            20);
    }
    rig_optimize(r);
    rig_reopen(r);
    assert_int_equal(scroll_all(r, 7, ""), 40);
}

static void test_scroll_begins_at_an_offset_that_need_not_be_there(void **state)
{
    struct rig *r = *state;
    struct page p;
    fill(r, 6);
    rig_delete(r, point_id_num(4));
    const struct point_id gone = point_id_num(4);
    scroll(r, &p, &gone, 2, "");
    assert_int_equal(p.len, 2);
    assert_int_equal(p.records[0].id.value.num, 5);
    const struct point_id first_uuid = rig_uuid(1);
    assert_non_null(p.next);
    assert_int_equal(point_id_compare(p.next, &first_uuid), 0);
    arena_release(&p.arena);
    const struct point_id beyond = rig_uuid(200);
    scroll(r, &p, &beyond, 2, "");
    assert_int_equal(p.len, 0);
    assert_null(p.next);
    arena_release(&p.arena);
}

static void test_scroll_by_named_ids(void **state)
{
    struct rig *r = *state;
    struct page p;
    fill(r, 6);
    const char *filter = "{\"must\":[{\"has_id\":[5,1,99,3]},"
                         "{\"key\":\"n\",\"range\":{\"gte\":2}}]}";
    scroll(r, &p, NULL, 1, filter);
    assert_int_equal(p.len, 1);
    assert_int_equal(p.records[0].id.value.num, 3);
    assert_int_equal(p.next->value.num, 5);
    const struct point_id offset = *p.next;
    arena_release(&p.arena);
    scroll(r, &p, &offset, 4, filter);
    assert_int_equal(p.len, 1);
    assert_null(p.next);
    arena_release(&p.arena);
}

static void test_bad_reads_are_refused(void **state)
{
    struct rig *r = *state;
    struct errbuf why = { 0 };
    struct shard_record record;
    struct arena arena;
    arena_init(&arena, 1u << 20);
    size_t n = 1;
    uint64_t count = 1;
    const struct point_id *next = NULL;
    struct shard_scroll q = { .limit = 0 };
    assert_int_equal(shard_scroll(r->shard, &q, &arena, &record, &n, &next, &why), SHOAL_EINVAL);
    q.limit = 1;
    q.filter = SLICE_LIT("{\"must\":[{\"nothing\":1}]}");
    assert_int_equal(shard_scroll(r->shard, &q, &arena, &record, &n, &next, &why), SHOAL_EPARSE);
    assert_int_equal(n, 0);
    assert_int_equal(shard_count(r->shard, SLICE_LIT("{"), &count, &why), SHOAL_EPARSE);
    assert_int_equal(count, 0);
    arena_release(&arena);
}

static void test_count_is_exact(void **state)
{
    struct rig *r = *state;
    fill(r, 15);
    assert_int_equal(rig_count(r, ""), 30);
    assert_int_equal(rig_count(r, "{}"), 30);
    assert_int_equal(rig_count(r, "{\"must\":[{\"key\":\"n\",\"range\":{\"lt\":4}}]}"), 6);
    assert_int_equal(rig_count(r, "{\"must_not\":[{\"has_id\":[1,2]}]}"), 28);
    assert_int_equal(rig_count(r, "{\"must\":[{\"has_id\":[1,2,55]}]}"), 2);
    assert_int_equal(rig_count(r, "{\"must\":[{\"is_empty\":{\"key\":\"zzz\"}}]}"), 30);
}

static void test_reads_survive_each_failed_allocation(void **state)
{
    struct rig *r = *state;
    struct errbuf why;
    fill(r, 4);
    const struct shard_scroll q = { .limit = 5,
                                    .filter = SLICE_LIT("{\"must\":[{\"key\":\"odd\","
                                                        "\"match\":{\"value\":true}}]}"),
                                    .what = { .with_payload = true, .with_vector = true } };
    size_t live = mem_live();
    bool failed = true;
    long nth = 0;
    for (; failed; nth++) {
        struct page p;
        arena_init(&p.arena, 1u << 20);
        test_heap_fail_at(nth);
        enum shoal_err rc = shard_scroll(r->shard, &q, &p.arena, p.records, &p.len, &p.next, &why);
        failed = test_heap_fail_never();
        assert_int_equal(rc, failed ? SHOAL_ENOMEM : SHOAL_OK);
        assert_true(failed || p.len == 4);
        arena_release(&p.arena);
        assert_true(mem_live() <= live); /* the log's thread frees a proposal after its answer */
        live = mem_live();
    }
    assert_true(nth > 5);
}

/* --- readers beside a writer ------------------------------------------------------------------ */

/* Every operation writes the same n to all points, with the vector of n: a reader that sees two
 * different ones has seen two moments. */
#define PAIR_POINTS 40

struct readers {
    struct rig *r;
    atomic_bool stop;
    _Atomic uint64_t looks;
};

static void look(struct readers *all, struct page *p)
{
    struct errbuf why = { 0 };
    const struct shard_scroll q = { .limit = PAIR_POINTS,
                                    .what = { .with_payload = true, .with_vector = true } };
    arena_init(&p->arena, 1u << 20);
    if (shard_scroll(all->r->shard, &q, &p->arena, p->records, &p->len, &p->next, &why) !=
            SHOAL_OK ||
        p->len != PAIR_POINTS) {
        abort();
    }
    for (size_t i = 0; i < p->len; i++) {
        char expected[32];
        snprintf(expected, sizeof(expected), "{\"n\":%.0f}", (double)p->records[i].vector[0]);
        if (!slice_is(p->records[i].payload, expected) ||
            p->records[i].version != p->records[0].version) {
            abort();
        }
    }
    arena_release(&p->arena);
}

static void reader_run(void *arg)
{
    struct readers *all = arg;
    struct page *p = malloc(sizeof(*p));
    if (p == NULL) {
        abort();
    }
    while (!atomic_load(&all->stop)) {
        look(all, p);
        atomic_fetch_add(&all->looks, 1);
    }
    free(p);
}

static void write_all(struct rig *r, uint64_t n)
{
    struct point_id ids[PAIR_POINTS];
    struct slice payloads[PAIR_POINTS];
    float v[PAIR_POINTS * RIG_DIM];
    char text[32];
    snprintf(text, sizeof(text), "{\"n\":%" PRIu64 "}", n);
    for (uint32_t i = 0; i < PAIR_POINTS; i++) {
        ids[i] = point_id_num(i);
        payloads[i] = slice_from_str(text);
        rig_vector(n, v + i * RIG_DIM);
    }
    const struct op op = { .kind = OP_UPSERT,
                           .points_len = PAIR_POINTS,
                           .points = ids,
                           .dim = RIG_DIM,
                           .vectors = v,
                           .payloads = payloads };
    assert_int_equal(rig_do(r, &op), PAIR_POINTS);
}

static void test_a_reader_sees_one_moment_beside_writes_and_builds(void **state)
{
    enum { READERS = 2, WRITES = 150 };
    struct rig *r = *state;
    struct readers all = { .r = r };
    struct thread threads[READERS] = { 0 };
    rig_close(r);
    r->config.options.seal_rows = 500;
    rig_open(r);
    write_all(r, 1);
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(thread_start(&threads[i], "reader", reader_run, &all, NULL), SHOAL_OK);
    }
    for (uint64_t n = 2; n < WRITES || atomic_load(&all.looks) < 10; n++) {
        write_all(r, n % 900);
    }
    atomic_store(&all.stop, true);
    for (int i = 0; i < READERS; i++) {
        thread_join(&threads[i]);
    }
    assert_int_equal(rig_info(r).status == SHARD_RED, 0);
    rig_verify(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
        TEST(test_fetch_answers_in_the_order_asked),
        TEST(test_fetch_tells_when_the_answer_does_not_fit),
        TEST(test_damage_that_a_read_meets_makes_the_shard_red),
        TEST(test_scroll_pages_go_over_numbers_and_uuids_in_order),
        TEST(test_scroll_begins_at_an_offset_that_need_not_be_there),
        TEST(test_scroll_by_named_ids),
        TEST(test_bad_reads_are_refused),
        TEST(test_count_is_exact),
        TEST(test_reads_survive_each_failed_allocation),
        TEST(test_a_reader_sees_one_moment_beside_writes_and_builds),
#undef TEST
    };
    test_heap_install();
    return cmocka_run_group_tests_name("shard_read", tests, NULL, NULL);
}
