/* A shard with what it stands on: a directory, a log, builders; and short ways to write to it and
 * to look at it. Everything is static: each test is one translation unit. */
#ifndef SHOAL_TESTS_SHARD_TEST_SHARD_RIG_H
#define SHOAL_TESTS_SHARD_TEST_SHARD_RIG_H

#include "tests/shard/test_shard_support.h"

#include "base/buf.h"
#include "base/thread.h"
#include "shard/log_store.h"
#include "shard/rlog.h"
#include "shard/shard.h"

#define RIG_DIM 4
#define RIG_WAIT_NS 30000000000ull

struct rig {
    struct test_dir dir; /* file: of the log */
    char shard_dir[DISK_PATH_MAX + 32];
    struct log_store *log;
    struct pool *builders;
    struct metrics *metrics;
    struct shard_config config;
    struct shard *shard;
    size_t live_before;
    uint8_t next_op; /* of the ids given by rig_op_id */
};

static inline uint64_t rig_deadline(void)
{
    return clock_mono_ns(clock_real()) + RIG_WAIT_NS;
}

/* --- life ------------------------------------------------------------------------------------- */

static inline void rig_lower_open(struct rig *r)
{
    struct errbuf why = { 0 };
    const struct log_store_config log = { .path = r->dir.file, .map_bytes_max = 1u << 30 };
    const struct pool_config pool = { .name = "build", .threads_len = 1, .queue_len_max = 16 };
    if (log_store_open(&log, &r->log, &why) != SHOAL_OK ||
        pool_new(&pool, &r->builders, &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
    r->config.log = r->log;
    r->config.builders = r->builders;
}

static inline void rig_lower_close(struct rig *r)
{
    pool_free(r->builders);
    log_store_close(r->log);
    r->builders = NULL;
    r->log = NULL;
}

static inline enum shoal_err rig_try_open(struct rig *r, struct errbuf *why)
{
    err_clear(why);
    return shard_open(&r->config, &r->shard, why);
}

static inline void rig_open(struct rig *r)
{
    struct errbuf why;
    if (rig_try_open(r, &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
}

static inline void rig_close(struct rig *r)
{
    shard_close(r->shard);
    r->shard = NULL;
}

static inline void rig_reopen(struct rig *r)
{
    rig_close(r);
    rig_open(r);
}

/* Everything but the shard itself. Nothing is sealed unless seal_rows is lowered. */
static inline void rig_init(struct rig *r)
{
    test_dir_make(&r->dir, test_dir_root(), "log.mdb");
    snprintf(r->shard_dir, sizeof(r->shard_dir), "%s/shards/7", r->dir.path);
    r->live_before = mem_live();
    r->config = (struct shard_config){
        .id = 7,
        .dir = r->shard_dir,
        .schema = { .dim = RIG_DIM, .distance = DISTANCE_EUCLID },
        .options = { .index = INDEX_FLAT },
        .disk = disk_real(),
        .clock = clock_real(),
        .rand = rand_system(),
        .map_bytes_max = 256u << 20,
    };
    rig_lower_open(r);
}

/* False when something leaked. */
static inline bool rig_release(struct rig *r)
{
    rig_close(r);
    rig_lower_close(r);
    metrics_free(r->metrics);
    test_dir_remove(&r->dir);
    return mem_live() == r->live_before;
}

static inline int rig_setup(void **state)
{
    struct rig *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    rig_init(r);
    rig_open(r);
    *state = r;
    return 0;
}

static inline int rig_teardown(void **state)
{
    struct rig *r = *state;
    bool clean = rig_release(r);
    free(r);
    return clean ? 0 : -1;
}

/* --- writes ----------------------------------------------------------------------------------- */

static inline void rig_vector(uint64_t seed, float out[RIG_DIM])
{
    for (uint32_t i = 0; i < RIG_DIM; i++) {
        out[i] = (float)(seed % 1000) + 0.25f * (float)i;
    }
}

static inline struct point_id rig_uuid(uint8_t n)
{
    struct point_id id = { .kind = POINT_ID_UUID };
    memset(id.value.uuid, n, sizeof(id.value.uuid));
    return id;
}

static inline void rig_op_id(struct rig *r, struct op *op)
{
    memset(op->id, ++r->next_op, sizeof(op->id));
}

static inline enum shoal_err rig_write(struct rig *r, const struct op *op, enum shard_until until,
                                       struct shard_written *out, struct errbuf *why)
{
    struct buf bytes;
    buf_init(&bytes, RLOG_ENTRY_MAX);
    assert_int_equal(op_encode(&bytes, op), SHOAL_OK);
    err_clear(why);
    enum shoal_err rc = shard_write(r->shard, buf_slice(&bytes), until, rig_deadline(), out, why);
    buf_release(&bytes);
    return rc;
}

/* Visible, and how many points it changed. */
static inline uint64_t rig_do(struct rig *r, const struct op *op)
{
    struct shard_written w;
    struct errbuf why;
    if (rig_write(r, op, SHARD_VISIBLE, &w, &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
    assert_true(w.visible);
    return w.changed;
}

static inline enum shoal_err rig_refused(struct rig *r, const struct op *op, struct errbuf *why)
{
    struct shard_written w;
    return rig_write(r, op, SHARD_VISIBLE, &w, why);
}

/* One point; payload "" for none. The vector is rig_vector(seed). */
static inline uint64_t rig_upsert(struct rig *r, struct point_id id, uint64_t seed,
                                  const char *payload)
{
    float v[RIG_DIM];
    struct slice text = slice_from_str(payload);
    rig_vector(seed, v);
    const struct op op = { .kind = OP_UPSERT,
                           .points_len = 1,
                           .points = &id,
                           .dim = RIG_DIM,
                           .vectors = v,
                           .payloads = &text };
    return rig_do(r, &op);
}

/* Numbers first..first+n-1 in one operation, without payloads. */
static inline void rig_upsert_many(struct rig *r, uint64_t first, uint32_t n)
{
    struct point_id *ids = calloc(n, sizeof(*ids));
    struct slice *payloads = calloc(n, sizeof(*payloads));
    float *vectors = calloc((size_t)n * RIG_DIM, sizeof(*vectors));
    assert_true(ids != NULL && payloads != NULL && vectors != NULL);
    for (uint32_t i = 0; i < n; i++) {
        ids[i] = point_id_num(first + i);
        rig_vector(first + i, vectors + (size_t)i * RIG_DIM);
    }
    const struct op op = { .kind = OP_UPSERT,
                           .points_len = n,
                           .points = ids,
                           .dim = RIG_DIM,
                           .vectors = vectors,
                           .payloads = payloads };
    assert_int_equal(rig_do(r, &op), n);
    free(ids);
    free(payloads);
    free(vectors);
}

static inline struct op rig_ids_op(enum op_kind kind, const struct point_id *ids, uint32_t n,
                                   const struct slice *payload)
{
    return (struct op){ .kind = kind, .points_len = n, .points = ids, .payloads = payload };
}

static inline struct op rig_filter_op(enum op_kind kind, const char *filter,
                                      const struct slice *payload)
{
    return (struct op){ .kind = kind, .filter = slice_from_str(filter), .payloads = payload };
}

static inline uint64_t rig_delete(struct rig *r, struct point_id id)
{
    const struct op op = rig_ids_op(OP_DELETE, &id, 1, NULL);
    return rig_do(r, &op);
}

/* --- looks ------------------------------------------------------------------------------------ */

static inline struct shard_record rig_fetch(struct rig *r, struct arena *arena, struct point_id id)
{
    struct shard_record record;
    struct errbuf why = { 0 };
    const struct shard_fetch what = { .with_payload = true, .with_vector = true };
    if (shard_fetch(r->shard, &id, 1, &what, arena, &record, &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
    return record;
}

/* The point is there with this vector and payload ("" for none); its version. */
static inline uint64_t rig_expect(struct rig *r, struct point_id id, uint64_t seed,
                                  const char *payload)
{
    float v[RIG_DIM];
    struct arena arena;
    arena_init(&arena, 8u << 20);
    struct shard_record record = rig_fetch(r, &arena, id);
    rig_vector(seed, v);
    assert_true(record.found);
    assert_int_equal(point_id_compare(&record.id, &id), 0);
    assert_memory_equal(record.vector, v, sizeof(v));
    assert_int_equal(record.payload.len, strlen(payload));
    assert_memory_equal(record.payload.data == NULL ? "" : record.payload.data, payload,
                        strlen(payload));
    arena_release(&arena);
    return record.version;
}

static inline void rig_expect_none(struct rig *r, struct point_id id)
{
    struct arena arena;
    arena_init(&arena, 1u << 20);
    struct shard_record record = rig_fetch(r, &arena, id);
    assert_false(record.found);
    assert_null(record.vector);
    arena_release(&arena);
}

static inline uint64_t rig_count(struct rig *r, const char *filter)
{
    uint64_t n = 0;
    struct errbuf why = { 0 };
    if (shard_count(r->shard, slice_from_str(filter), &n, &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
    return n;
}

static inline struct shard_info rig_info(struct rig *r)
{
    struct shard_info info;
    shard_info(r->shard, &info);
    return info;
}

static inline void rig_optimize(struct rig *r)
{
    struct errbuf why = { 0 };
    if (shard_optimize(r->shard, rig_deadline(), &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
}

static inline void rig_verify(struct rig *r)
{
    struct errbuf why = { 0 };
    if (shard_verify(r->shard, &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
}

#endif
