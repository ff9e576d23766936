/* State: what was applied comes back after a reopening, damage is found, and what has no meaning
 * any more is trimmed. */
#include "tests/shard/test_shard_support.h"

#include "shard/state.h"
#include "shard/state_tables.h"

#define DIM 6
#define MAP_MAX (64u << 20)

struct fixture {
    struct test_dir dir;
    struct state *state;
    struct state_meta meta;
    size_t live_before;
};

static void open_it(struct fixture *f)
{
    struct errbuf why = { 0 };
    f->meta = (struct state_meta){ .dim = DIM, .distance = DISTANCE_COSINE };
    if (state_open(f->dir.file, MAP_MAX, &f->meta, &f->state, &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
}

static void reopen(struct fixture *f)
{
    state_close(f->state);
    open_it(f);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    test_dir_make(&f->dir, test_dir_root(), "state.mdb");
    f->live_before = mem_live();
    open_it(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    state_close(f->state);
    int leaked = mem_live() != f->live_before;
    test_dir_remove(&f->dir);
    free(f);
    return leaked ? -1 : 0;
}

typedef enum shoal_err work_fn(struct fixture *f, struct store_txn *txn, struct errbuf *why);

struct work {
    struct fixture *f;
    work_fn *fn;
};

static enum shoal_err run_work(void *arg, struct store_txn *txn, struct errbuf *why)
{
    struct work *w = arg;
    return w->fn(w->f, txn, why);
}

static void write_it(struct fixture *f, work_fn *fn)
{
    struct work w = { .f = f, .fn = fn };
    struct errbuf why = { 0 };
    if (store_write(state_store(f->state), run_work, &w, &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
}

static enum shoal_err read_it(struct fixture *f, work_fn *fn, struct errbuf *why)
{
    struct store_txn *txn = NULL;
    err_clear(why);
    assert_int_equal(store_read_begin(state_store(f->state), &txn, why), SHOAL_OK);
    enum shoal_err rc = fn(f, txn, why);
    store_read_end(txn);
    return rc;
}

static void read_ok(struct fixture *f, work_fn *fn)
{
    struct errbuf why = { 0 };
    if (read_it(f, fn, &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
}

static struct point_id uuid_of(uint8_t n)
{
    struct point_id id = { .kind = POINT_ID_UUID };
    memset(id.value.uuid, n, sizeof(id.value.uuid));
    return id;
}

/* --- meta ------------------------------------------------------------------------------------- */

static void test_new_state_begins_at_row_one(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(f->meta.next_row, 1);
    assert_int_equal(f->meta.growing_begin, 1);
    assert_int_equal(f->meta.next_segment, 1);
    assert_int_equal(f->meta.points, 0);
    assert_int_equal(f->meta.applied, 0);
    assert_int_equal(f->meta.dim, DIM);
}

static enum shoal_err put_meta(struct fixture *f, struct store_txn *txn, struct errbuf *why)
{
    f->meta = (struct state_meta){ .dim = DIM,
                                   .distance = DISTANCE_COSINE,
                                   .applied = 1u << 31,
                                   .next_row = 90,
                                   .growing_begin = 30,
                                   .next_segment = 4,
                                   .points = 55,
                                   .ops = 7 };
    return state_meta_put(f->state, txn, &f->meta, why);
}

static void test_meta_comes_back(void **state)
{
    struct fixture *f = *state;
    write_it(f, put_meta);
    struct state_meta written = f->meta;
    reopen(f);
    assert_memory_equal(&written, &f->meta, sizeof(written));
}

static void test_other_schema_is_a_conflict(void **state)
{
    struct fixture *f = *state;
    state_close(f->state);
    f->state = NULL;
    struct errbuf why = { 0 };
    struct state_meta meta = { .dim = DIM + 1, .distance = DISTANCE_COSINE };
    assert_int_equal(state_open(f->dir.file, MAP_MAX, &meta, &f->state, &why), SHOAL_ECONFLICT);
    assert_non_null(strstr(why.text, "dim 6"));
    meta = (struct state_meta){ .dim = DIM, .distance = DISTANCE_EUCLID };
    assert_int_equal(state_open(f->dir.file, MAP_MAX, &meta, &f->state, &why), SHOAL_ECONFLICT);
    assert_null(f->state);
}

/* --- points and payloads ---------------------------------------------------------------------- */

static enum shoal_err put_points(struct fixture *f, struct store_txn *txn, struct errbuf *why)
{
    enum shoal_err rc = SHOAL_OK;
    for (uint64_t i = 1; i <= 100 && rc == SHOAL_OK; i++) {
        struct point_id id = i % 10 == 0 ? uuid_of((uint8_t)i) : point_id_num(i);
        const struct state_point p = { .row = i * 2, .version = i * 3 };
        rc = state_point_put(f->state, txn, &id, &p, why);
        if (rc == SHOAL_OK && i % 4 == 0) {
            char text[32];
            int len = snprintf(text, sizeof(text), "{\"n\":%" PRIu64 "}", i);
            rc = state_payload_put(f->state, txn, &id, slice_make(text, (size_t)len), why);
        }
    }
    return rc;
}

static enum shoal_err check_points(struct fixture *f, struct store_txn *txn, struct errbuf *why)
{
    for (uint64_t i = 1; i <= 100; i++) {
        struct point_id id = i % 10 == 0 ? uuid_of((uint8_t)i) : point_id_num(i);
        struct state_point p = { 0 };
        struct slice payload;
        assert_int_equal(state_point_get(f->state, txn, &id, &p, why), SHOAL_OK);
        assert_int_equal(p.row, i * 2);
        assert_int_equal(p.version, i * 3);
        assert_int_equal(state_payload_get(f->state, txn, &id, &payload, why), SHOAL_OK);
        assert_int_equal(payload.len > 0, i % 4 == 0);
    }
    struct state_point p;
    struct point_id none = point_id_num(101);
    assert_int_equal(state_point_get(f->state, txn, &none, &p, why), SHOAL_ENOTFOUND);
    assert_int_equal(why->text[0], '\0');
    return SHOAL_OK;
}

static enum shoal_err delete_points(struct fixture *f, struct store_txn *txn, struct errbuf *why)
{
    struct point_id id = point_id_num(4);
    struct slice payload;
    assert_int_equal(state_payload_put(f->state, txn, &id, SLICE_LIT("{}"), why), SHOAL_OK);
    assert_int_equal(state_payload_put(f->state, txn, &id, SLICE_LIT(""), why), SHOAL_OK);
    assert_int_equal(state_payload_get(f->state, txn, &id, &payload, why), SHOAL_OK);
    assert_int_equal(payload.len, 0);
    assert_int_equal(state_point_delete(f->state, txn, &id, why), SHOAL_OK);
    assert_int_equal(state_point_delete(f->state, txn, &id, why), SHOAL_ENOTFOUND);
    struct state_point p;
    assert_int_equal(state_point_get(f->state, txn, &id, &p, why), SHOAL_ENOTFOUND);
    return SHOAL_OK;
}

static void test_points_come_back(void **state)
{
    struct fixture *f = *state;
    write_it(f, put_points);
    reopen(f);
    read_ok(f, check_points);
    write_it(f, delete_points);
}

/* From an id on; each point with its own payload, also where the payload table has others. */
static enum shoal_err walk_points(struct fixture *f, struct store_txn *txn, struct errbuf *why)
{
    const struct point_id *froms[] = { NULL, &(struct point_id){ .value.num = 57 },
                                       &(struct point_id){ .value.num = 60 } };
    const size_t lens[] = { 100, 49, 46 };
    for (size_t i = 0; i < 3; i++) {
        for (int payloads = 0; payloads < 2; payloads++) {
            struct state_walk w;
            struct state_seen seen;
            struct point_id last = { 0 };
            size_t n = 0;
            assert_int_equal(state_walk_begin(&w, f->state, txn, froms[i], payloads != 0, why),
                             SHOAL_OK);
            enum shoal_err rc;
            while ((rc = state_walk_next(&w, &seen, why)) == SHOAL_OK) {
                assert_true(n++ == 0 || point_id_compare(&last, &seen.id) < 0);
                last = seen.id;
                uint64_t number = seen.point.row / 2;
                char text[32] = "";
                if (number % 4 == 0 && payloads != 0) {
                    (void)snprintf(text, sizeof(text), "{\"n\":%" PRIu64 "}", number);
                }
                assert_true(slice_is(seen.payload, text));
            }
            assert_int_equal(rc, SHOAL_ENOTFOUND);
            assert_int_equal(n, lens[i]);
            state_walk_end(&w);
            state_walk_end(&w);
        }
    }
    return SHOAL_OK;
}

static void test_walk_pairs_points_with_payloads(void **state)
{
    struct fixture *f = *state;
    write_it(f, put_points);
    read_ok(f, walk_points);
}

/* --- rows, segments, dead --------------------------------------------------------------------- */

static struct segment_manifest manifest_of(uint64_t id)
{
    struct segment_manifest m = {
        .id = id,
        .row_begin = id * 10,
        .row_end = id * 10 + 10,
        .rows = 5,
        .index = { .kind = INDEX_FLAT, .distance = DISTANCE_COSINE, .dim = DIM },
    };
    m.parts[SEGMENT_VECTORS].len = 5 * DIM * sizeof(float);
    m.parts[SEGMENT_IDS].len = 5 * SEGMENT_ID_LEN;
    m.parts[SEGMENT_ROWS].len = 5 * sizeof(uint64_t);
    m.parts[SEGMENT_POSITIONS].len = 5 * sizeof(uint32_t);
    return m;
}

#define ROWS 9000u

static enum shoal_err put_rows(struct fixture *f, struct store_txn *txn, struct errbuf *why)
{
    enum shoal_err rc = SHOAL_OK;
    float v[DIM] = { 0 };
    for (uint64_t row = 1; row <= ROWS && rc == SHOAL_OK; row++) {
        v[0] = (float)row;
        struct point_id id = row % 3 == 0 ? uuid_of((uint8_t)row) : point_id_num(row);
        rc = state_row_append(f->state, txn, row, &id, v, DIM, why);
    }
    for (uint64_t id = 1; id <= 300 && rc == SHOAL_OK; id += 256 - 1) { /* order is by number */
        struct segment_manifest m = manifest_of(id);
        rc = state_segment_put(f->state, txn, &m, why);
        for (uint32_t at = 0; at < 300 && rc == SHOAL_OK; at += 3) {
            rc = state_dead_put(f->state, txn, id, at, why);
        }
    }
    struct state_meta m = f->meta;
    m.next_row = ROWS + 1;
    return rc == SHOAL_OK ? state_meta_put(f->state, txn, &m, why) : rc;
}

struct counted {
    uint64_t last;
    uint64_t len;
};

static enum shoal_err count_row(void *arg, uint64_t row, const struct point_id *id,
                                const void *vector, struct errbuf *why)
{
    (void)why;
    struct counted *c = arg;
    float v[DIM];
    assert_true(row > c->last);
    c->last = row;
    c->len++;
    memcpy(v, vector, sizeof(v));
    assert_int_equal((uint64_t)v[0], row);
    struct point_id expected = row % 3 == 0 ? uuid_of((uint8_t)row) : point_id_num(row);
    assert_int_equal(point_id_compare(id, &expected), 0);
    return SHOAL_OK;
}

static enum shoal_err count_segment(void *arg, const struct segment_manifest *m, struct errbuf *why)
{
    (void)why;
    struct counted *c = arg;
    assert_true(m->id > c->last);
    struct segment_manifest expected = manifest_of(m->id);
    assert_memory_equal(m, &expected, sizeof(expected));
    c->last = m->id;
    c->len++;
    return SHOAL_OK;
}

static enum shoal_err count_dead(void *arg, uint32_t position, struct errbuf *why)
{
    (void)why;
    struct counted *c = arg;
    assert_int_equal(position % 3, 0);
    assert_true(c->len == 0 || position > c->last);
    c->last = position;
    c->len++;
    return SHOAL_OK;
}

static uint64_t count_rows_from(struct fixture *f, struct store_txn *txn, uint64_t from)
{
    struct counted c = { 0 };
    assert_int_equal(state_rows_each(f->state, txn, from, DIM, count_row, &c, NULL), SHOAL_OK);
    return c.len;
}

static uint64_t count_dead_of(struct fixture *f, struct store_txn *txn, uint64_t segment)
{
    struct counted c = { 0 };
    assert_int_equal(state_dead_each(f->state, txn, segment, count_dead, &c, NULL), SHOAL_OK);
    return c.len;
}

static enum shoal_err check_rows(struct fixture *f, struct store_txn *txn, struct errbuf *why)
{
    assert_int_equal(count_rows_from(f, txn, 1), ROWS);
    assert_int_equal(count_rows_from(f, txn, ROWS - 10), 11);
    assert_int_equal(count_rows_from(f, txn, ROWS + 1), 0);
    struct counted c = { 0 };
    assert_int_equal(state_segments_each(f->state, txn, count_segment, &c, why), SHOAL_OK);
    assert_int_equal(c.len, 2);
    assert_int_equal(count_dead_of(f, txn, 1), 100);
    assert_int_equal(count_dead_of(f, txn, 2), 0);
    assert_int_equal(count_dead_of(f, txn, 256), 100);
    return state_rows_each(f->state, txn, 1, DIM + 1, count_row, &c, why);
}

static void test_rows_and_segments_come_back_in_order(void **state)
{
    struct fixture *f = *state;
    struct errbuf why = { 0 };
    write_it(f, put_rows);
    reopen(f);
    /* Last of all it reads with another dim. */
    assert_int_equal(read_it(f, check_rows, &why), SHOAL_ECORRUPT);
}

static enum shoal_err publish(struct fixture *f, struct store_txn *txn, struct errbuf *why)
{
    struct state_meta m;
    assert_int_equal(state_segment_delete(f->state, txn, 1, why), SHOAL_OK);
    assert_int_equal(state_segment_delete(f->state, txn, 1, why), SHOAL_ENOTFOUND);
    assert_int_equal(state_meta_get(f->state, txn, &m, why), SHOAL_OK);
    m.growing_begin = ROWS - 4;
    return state_meta_put(f->state, txn, &m, why);
}

static enum shoal_err check_trimmed(struct fixture *f, struct store_txn *txn, struct errbuf *why)
{
    (void)why;
    assert_int_equal(count_rows_from(f, txn, 0), 5);
    assert_int_equal(count_dead_of(f, txn, 1), 0);
    assert_int_equal(count_dead_of(f, txn, 256), 100);
    return SHOAL_OK;
}

static void test_trim_removes_what_has_no_meaning(void **state)
{
    struct fixture *f = *state;
    write_it(f, put_rows);
    write_it(f, publish);
    assert_int_equal(state_trim(f->state, NULL), SHOAL_OK);
    read_ok(f, check_trimmed);
    assert_int_equal(state_trim(f->state, NULL), SHOAL_OK);
    read_ok(f, check_trimmed);
}

/* --- operations ------------------------------------------------------------------------------- */

static void op_id(uint64_t n, uint8_t out[OP_ID_LEN])
{
    memset(out, 7, OP_ID_LEN);
    memcpy(out, &n, sizeof(n));
}

static enum shoal_err put_ops(struct fixture *f, struct store_txn *txn, struct errbuf *why)
{
    enum shoal_err rc = SHOAL_OK;
    struct state_meta meta = f->meta;
    for (uint64_t i = 1; i <= STATE_OPS_MAX + 10 && rc == SHOAL_OK; i++) {
        uint8_t id[OP_ID_LEN];
        op_id(i, id);
        struct state_outcome outcome = { .index = i, .result.value = i * 5 };
        if (i % 2 == 0) {
            outcome.result.rc = SHOAL_ENOTFOUND;
            (void)snprintf(outcome.result.text, sizeof(outcome.result.text), "no point");
        }
        rc = state_op_put(f->state, txn, &meta, id, &outcome, why);
    }
    assert_int_equal(meta.ops, STATE_OPS_MAX);
    return rc == SHOAL_OK ? state_meta_put(f->state, txn, &meta, why) : rc;
}

static enum shoal_err check_ops(struct fixture *f, struct store_txn *txn, struct errbuf *why)
{
    for (uint64_t i = 1; i <= STATE_OPS_MAX + 11; i += 5) {
        uint8_t id[OP_ID_LEN];
        struct state_outcome o;
        op_id(i, id);
        bool known = i > 10 && i <= STATE_OPS_MAX + 10;
        assert_int_equal(state_op_get(f->state, txn, id, &o, why),
                         known ? SHOAL_OK : SHOAL_ENOTFOUND);
        if (known) {
            assert_int_equal(o.index, i);
            assert_int_equal(o.result.value, i * 5);
            assert_int_equal(o.result.rc, i % 2 == 0 ? SHOAL_ENOTFOUND : SHOAL_OK);
            assert_string_equal(o.result.text, i % 2 == 0 ? "no point" : "");
        }
    }
    return SHOAL_OK;
}

static void test_recent_operations_are_remembered(void **state)
{
    struct fixture *f = *state;
    write_it(f, put_ops);
    reopen(f);
    assert_int_equal(f->meta.ops, STATE_OPS_MAX);
    read_ok(f, check_ops);
}

/* --- damage ----------------------------------------------------------------------------------- */

static enum shoal_err put_one_of_each(struct fixture *f, struct store_txn *txn, struct errbuf *why)
{
    struct point_id id = point_id_num(1);
    const struct state_point p = { .row = 1, .version = 2 };
    const struct state_outcome outcome = { .index = 3 };
    const uint8_t op[OP_ID_LEN] = { 9 };
    float v[DIM] = { 1 };
    struct segment_manifest m = manifest_of(1);
    struct state_meta meta = f->meta;
    enum shoal_err rc = state_point_put(f->state, txn, &id, &p, why);
    rc = rc != SHOAL_OK ? rc : state_payload_put(f->state, txn, &id, SLICE_LIT("{\"a\":1}"), why);
    rc = rc != SHOAL_OK ? rc : state_row_append(f->state, txn, 1, &id, v, DIM, why);
    rc = rc != SHOAL_OK ? rc : state_segment_put(f->state, txn, &m, why);
    rc = rc != SHOAL_OK ? rc : state_dead_put(f->state, txn, 1, 0, why);
    return rc != SHOAL_OK ? rc : state_op_put(f->state, txn, &meta, op, &outcome, why);
}

static enum shoal_err read_segment(void *arg, const struct segment_manifest *m, struct errbuf *why)
{
    (void)arg;
    (void)m;
    (void)why;
    return SHOAL_OK;
}

static enum shoal_err read_row(void *arg, uint64_t row, const struct point_id *id,
                               const void *vector, struct errbuf *why)
{
    (void)arg;
    (void)row;
    (void)id;
    (void)vector;
    (void)why;
    return SHOAL_OK;
}

static enum shoal_err read_one_of_each(struct fixture *f, struct store_txn *txn, struct errbuf *why)
{
    struct state_meta meta;
    struct state_walk w;
    struct state_seen seen;
    struct state_outcome outcome;
    struct counted dead = { 0 };
    const uint8_t op[OP_ID_LEN] = { 9 };
    enum shoal_err rc = state_meta_get(f->state, txn, &meta, why);
    rc = rc != SHOAL_OK ? rc : state_segments_each(f->state, txn, read_segment, NULL, why);
    rc = rc != SHOAL_OK ? rc : state_rows_each(f->state, txn, 0, DIM, read_row, NULL, why);
    rc = rc != SHOAL_OK ? rc : state_dead_each(f->state, txn, 1, count_dead, &dead, why);
    rc = rc != SHOAL_OK ? rc : state_op_get(f->state, txn, op, &outcome, why);
    if (rc == SHOAL_OK) {
        rc = state_walk_begin(&w, f->state, txn, NULL, true, why);
        rc = rc != SHOAL_OK ? rc : state_walk_next(&w, &seen, why);
        state_walk_end(&w);
    }
    return rc;
}

static enum state_table table_to_spoil;

/* Turns one bit of the first value of a table. */
static enum shoal_err spoil(struct fixture *f, struct store_txn *txn, struct errbuf *why)
{
    struct store_cursor *c = NULL;
    struct slice key;
    struct slice value;
    uint8_t key_copy[STORE_KEY_MAX];
    uint8_t copy[512];
    store_table t = f->state->tables[table_to_spoil];
    assert_int_equal(store_cursor_open(txn, t, &c, why), SHOAL_OK);
    assert_int_equal(store_cursor_seek(c, slice_make(NULL, 0), &key, &value), SHOAL_OK);
    assert_true(value.len <= sizeof(copy));
    memcpy(key_copy, key.data, key.len);
    memcpy(copy, value.data, value.len);
    store_cursor_close(c);
    copy[value.len - 1] ^= 1;
    return store_put(txn, t, slice_make(key_copy, key.len), slice_make(copy, value.len), why);
}

static void test_damage_is_found_in_each_table(void **state)
{
    struct fixture *f = *state;
    write_it(f, put_one_of_each);
    read_ok(f, read_one_of_each);
    for (int t = 0; t < STATE_OP_RING; t++) {
        struct errbuf why = { 0 };
        table_to_spoil = (enum state_table)t;
        write_it(f, spoil);
        assert_int_equal(read_it(f, read_one_of_each, &why), SHOAL_ECORRUPT);
        assert_non_null(strstr(why.text, "state.mdb"));
        write_it(f, spoil); /* turns it back */
        read_ok(f, read_one_of_each);
    }
    /* A good value under another's key. */
    struct errbuf why = { 0 };
    table_to_spoil = STATE_META;
    write_it(f, spoil);
    state_close(f->state);
    f->state = NULL;
    assert_int_equal(state_open(f->dir.file, MAP_MAX, &f->meta, &f->state, &why), SHOAL_ECORRUPT);
    assert_null(f->state);
}

static enum shoal_err move_point(struct fixture *f, struct store_txn *txn, struct errbuf *why)
{
    struct point_id from = point_id_num(1);
    struct point_id to = point_id_num(2);
    struct state_key key = state__id_key(&from);
    struct slice value;
    uint8_t copy[64];
    store_table t = f->state->tables[STATE_POINTS];
    assert_int_equal(store_get(txn, t, state__key(&key), &value), SHOAL_OK);
    memcpy(copy, value.data, value.len);
    key = state__id_key(&to);
    return store_put(txn, t, state__key(&key), slice_make(copy, value.len), why);
}

static enum shoal_err read_moved(struct fixture *f, struct store_txn *txn, struct errbuf *why)
{
    struct point_id id = point_id_num(2);
    struct state_point p;
    return state_point_get(f->state, txn, &id, &p, why);
}

static void test_value_under_anothers_key_is_found(void **state)
{
    struct fixture *f = *state;
    struct errbuf why = { 0 };
    write_it(f, put_one_of_each);
    write_it(f, move_point);
    assert_int_equal(read_it(f, read_moved, &why), SHOAL_ECORRUPT);
}

/* --- no memory -------------------------------------------------------------------------------- */

static void test_open_survives_each_failed_allocation(void **state)
{
    struct fixture *f = *state;
    for (int fresh = 0; fresh < 2; fresh++) {
        state_close(f->state);
        f->state = NULL;
        bool failed = true;
        for (long nth = 0; failed && nth < ALLOCS_MAX; nth++) {
            if (fresh != 0) {
                (void)disk_real()->remove_file(NULL, f->dir.file, NULL);
            }
            test_heap_fail_at(nth);
            enum shoal_err rc = state_open(f->dir.file, MAP_MAX, &f->meta, &f->state, NULL);
            failed = test_heap_fail_never();
            assert_int_equal(rc, failed ? SHOAL_ENOMEM : SHOAL_OK);
            if (failed) {
                assert_null(f->state);
                assert_int_equal(mem_live(), f->live_before);
            }
        }
        assert_false(failed);
    }
}

static void test_reads_survive_each_failed_allocation(void **state)
{
    struct fixture *f = *state;
    write_it(f, put_one_of_each);
    struct store_txn *txn = NULL;
    assert_int_equal(store_read_begin(state_store(f->state), &txn, NULL), SHOAL_OK);
    const size_t live = mem_live();
    bool failed = true;
    for (long nth = 0; failed && nth < ALLOCS_MAX; nth++) {
        struct errbuf why = { 0 };
        test_heap_fail_at(nth);
        enum shoal_err rc = read_one_of_each(f, txn, &why);
        failed = test_heap_fail_never();
        assert_int_equal(rc, failed ? SHOAL_ENOMEM : SHOAL_OK);
        assert_int_equal(mem_live(), live);
    }
    assert_false(failed);
    store_read_end(txn);
}

int main(void)
{
    test_heap_install();
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_new_state_begins_at_row_one),
        CASE(test_meta_comes_back),
        CASE(test_other_schema_is_a_conflict),
        CASE(test_points_come_back),
        CASE(test_walk_pairs_points_with_payloads),
        CASE(test_rows_and_segments_come_back_in_order),
        CASE(test_trim_removes_what_has_no_meaning),
        CASE(test_recent_operations_are_remembered),
        CASE(test_damage_is_found_in_each_table),
        CASE(test_value_under_anothers_key_is_found),
        CASE(test_open_survives_each_failed_allocation),
        CASE(test_reads_survive_each_failed_allocation),
    };
    return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
