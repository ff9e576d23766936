/* A shard with all it stands on, and a plain model of what it should hold, for tests that search
 * it. Points are numbered 0..WORLD_POINTS-1; even ones have their number as id, odd ones a UUID.
 * Everything is static: each test is one translation unit. */
#ifndef SHOAL_TESTS_SHARD_TEST_SHARD_WORLD_H
#define SHOAL_TESTS_SHARD_TEST_SHARD_WORLD_H

#include "tests/shard/test_shard_support.h"

#include "base/bytes.h"
#include "index/scan.h"
#include "shard/log_store.h"
#include "shard/shard.h"

#include <sched.h>

#define WORLD_POINTS 8192u
#define WORLD_DIM 16u
#define WORLD_CENTERS 20u
#define WORLD_BATCH 200u

struct world_point {
    bool exists;
    uint32_t cluster;
    float vector[WORLD_DIM];
};

struct world {
    struct test_dir dir;
    char shard_dir[DISK_PATH_MAX + 32];
    struct log_store *log;
    struct pool *builders;
    struct shard_config config;
    struct shard *shard;
    struct rand_seeded rand;
    float centers[WORLD_CENTERS * WORLD_DIM];
    struct world_point points[WORLD_POINTS];
    uint64_t ops;
    size_t live_before;
};

static inline uint64_t world_seconds_from_now(uint64_t s)
{
    return clock_mono_ns(clock_real()) + s * 1000000000u;
}

static inline struct point_id world_id(uint32_t n)
{
    struct point_id id = { .kind = n % 2 == 0 ? POINT_ID_NUM : POINT_ID_UUID };
    if (n % 2 == 0) {
        id.value.num = n;
    } else {
        bytes_put_be64(id.value.uuid, n * 0x9e3779b97f4a7c15ull);
        bytes_put_be64(id.value.uuid + 8, n);
    }
    return id;
}

static inline uint32_t world_number(const struct point_id *id)
{
    return (uint32_t)(id->kind == POINT_ID_NUM ? id->value.num
                                               : bytes_get_be64(id->value.uuid + 8));
}

/* --- life ------------------------------------------------------------------------------------- */

static inline void world_open_shard(struct world *w)
{
    struct errbuf why = { 0 };
    if (shard_open(&w->config, &w->shard, &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
}

static inline void world_open_log(struct world *w)
{
    const struct log_store_config config = { .path = w->dir.file, .map_bytes_max = 1u << 30 };
    assert_int_equal(log_store_open(&config, &w->log, NULL), SHOAL_OK);
    w->config.log = w->log;
}

static inline void world_close(struct world *w)
{
    shard_close(w->shard);
    log_store_close(w->log);
    w->shard = NULL;
    w->log = NULL;
}

static inline void world_reopen(struct world *w)
{
    world_close(w);
    world_open_log(w);
    world_open_shard(w);
}

/* Files below this directory. */
static inline void world_take_dir(struct world *w, const char *dir)
{
    (void)snprintf(w->dir.path, sizeof(w->dir.path), "%s", dir);
    (void)snprintf(w->dir.file, sizeof(w->dir.file), "%s/log.mdb", dir);
    (void)snprintf(w->shard_dir, sizeof(w->shard_dir), "%s/shard", dir);
}

/* Everything but the shard, which the caller opens when its options are set. */
static inline struct world *world_new(uint64_t seed)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    test_dir_make(&w->dir, test_dir_root(), "log.mdb");
    (void)snprintf(w->shard_dir, sizeof(w->shard_dir), "%s/shard", w->dir.path);
    rand_seeded_init(&w->rand, seed);
    for (size_t i = 0; i < WORLD_CENTERS; i++) {
        test_vector(&w->rand.source, DISTANCE_DOT, WORLD_DIM, w->centers + i * WORLD_DIM);
    }
    w->live_before = mem_live();
    const struct pool_config pool = { .name = "builders", .threads_len = 1, .queue_len_max = 8 };
    assert_int_equal(pool_new(&pool, &w->builders, NULL), SHOAL_OK);
    w->config = (struct shard_config){
        .id = 7,
        .dir = w->shard_dir,
        .schema = { .dim = WORLD_DIM, .distance = DISTANCE_COSINE },
        .options = { .index = INDEX_HNSW, .seal_rows = 1u << 30 },
        .builders = w->builders,
        .disk = disk_real(),
        .clock = clock_real(),
        .rand = rand_system(),
        .map_bytes_max = 1u << 30,
    };
    world_open_log(w);
    return w;
}

/* False when memory leaked. */
static inline bool world_free(struct world *w)
{
    world_close(w);
    pool_free(w->builders);
    bool clean = mem_live() == w->live_before;
    test_dir_remove(&w->dir);
    free(w);
    return clean;
}

/* --- writes ----------------------------------------------------------------------------------- */

static inline void world_write(struct world *w, struct op *op)
{
    struct errbuf why = { 0 };
    struct shard_written written;
    struct buf b;
    w->ops++;
    memcpy(op->id, &w->ops, sizeof(w->ops));
    op->id[OP_ID_LEN - 1] = 1;
    buf_init(&b, 64u << 20);
    assert_int_equal(op_encode(&b, op), SHOAL_OK);
    if (shard_write(w->shard, slice_make(b.data, b.len), SHARD_VISIBLE, world_seconds_from_now(60),
                    &written, &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
    buf_release(&b);
}

static inline void world_draw(struct world *w, uint32_t n)
{
    struct world_point *p = &w->points[n];
    p->exists = true;
    p->cluster = (uint32_t)rand_below(&w->rand.source, WORLD_CENTERS);
    test_clustered(&w->rand.source, w->config.schema.distance, WORLD_DIM,
                   w->centers + p->cluster * WORLD_DIM, 1, p->vector);
}

/* Points `numbers` as the model has them. */
static inline void world_put(struct world *w, const uint32_t *numbers, uint32_t len)
{
    static struct point_id ids[WORLD_BATCH];
    static float vectors[WORLD_BATCH * WORLD_DIM];
    static char texts[WORLD_BATCH][96];
    static struct slice payloads[WORLD_BATCH];
    assert_true(len <= WORLD_BATCH);
    for (uint32_t i = 0; i < len; i++) {
        const uint32_t n = numbers[i];
        ids[i] = world_id(n);
        memcpy(vectors + i * WORLD_DIM, w->points[n].vector, sizeof(w->points[n].vector));
        int text_len = snprintf(texts[i], sizeof(texts[i]),
                                "{\"n\":%u,\"half\":%u,\"cent\":%u,\"mil\":%u,\"cluster\":%u}", n,
                                n % 2, n % 100, n % 1000, w->points[n].cluster);
        payloads[i] = slice_make(texts[i], (size_t)text_len);
    }
    struct op op = { .kind = OP_UPSERT,
                     .points_len = len,
                     .points = ids,
                     .dim = WORLD_DIM,
                     .vectors = vectors,
                     .payloads = payloads };
    world_write(w, &op);
}

/* Every `step`-th point from..to-1, newly drawn. */
static inline void world_upsert(struct world *w, uint32_t from, uint32_t to, uint32_t step)
{
    uint32_t numbers[WORLD_BATCH];
    uint32_t len = 0;
    for (uint32_t n = from; n < to; n += step) {
        world_draw(w, n);
        numbers[len++] = n;
        if (len == WORLD_BATCH) {
            world_put(w, numbers, len);
            len = 0;
        }
    }
    if (len > 0) {
        world_put(w, numbers, len);
    }
}

static inline void world_delete(struct world *w, uint32_t from, uint32_t to, uint32_t step)
{
    static struct point_id ids[WORLD_POINTS];
    uint32_t len = 0;
    for (uint32_t n = from; n < to; n += step) {
        w->points[n].exists = false;
        ids[len++] = world_id(n);
    }
    struct op op = { .kind = OP_DELETE, .points_len = len, .points = ids };
    world_write(w, &op);
}

static inline void world_optimize(struct world *w)
{
    struct errbuf why = { 0 };
    if (shard_optimize(w->shard, world_seconds_from_now(120), &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
}

/* --- the model -------------------------------------------------------------------------------- */

static inline uint64_t world_len(const struct world *w)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < WORLD_POINTS; i++) {
        n += w->points[i].exists;
    }
    return n;
}

/* Which points a filter lets through. */
struct world_filter {
    const char *text; /* NULL: no filter */
    bool (*allows)(const struct world *w, uint32_t n);
};

/* The best k scores, best first; returns how many. */
static inline size_t world_truth(const struct world *w, const float *query,
                                 const struct world_filter *f, size_t k, struct scan_hit *room)
{
    const enum distance d = w->config.schema.distance;
    struct topk top;
    topk_init(&top, d, room, k);
    for (uint32_t n = 0; n < WORLD_POINTS; n++) {
        if (w->points[n].exists && (f->text == NULL || f->allows(w, n))) {
            topk_push(&top, n, scan_score(d, query, w->points[n].vector, WORLD_DIM));
        }
    }
    topk_finish(&top);
    return top.len;
}

static inline void world_verify(struct world *w)
{
    struct errbuf why = { 0 };
    if (shard_verify(w->shard, &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
    struct shard_info info;
    shard_info(w->shard, &info);
    assert_int_equal(info.points, world_len(w));
}

static inline uint64_t world_hash(struct world *w)
{
    uint64_t hash = 0;
    struct errbuf why = { 0 };
    if (shard_state_hash(w->shard, &hash, &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
    return hash;
}

static inline struct shard_info world_info(struct world *w)
{
    struct shard_info info;
    shard_info(w->shard, &info);
    return info;
}

/* Waits until the builder has nothing more to do. */
static inline void world_await_green(struct world *w)
{
    const uint64_t deadline_ns = world_seconds_from_now(60);
    while (world_info(w).status == SHARD_YELLOW) {
        assert_true(clock_mono_ns(clock_real()) < deadline_ns);
        (void)sched_yield();
    }
    if (world_info(w).status != SHARD_GREEN) {
        fail_msg("%s", world_info(w).trouble);
    }
}

/* Each point of the model, and no other, as it is. */
static inline void world_assert_model(struct world *w)
{
    struct arena arena;
    struct point_id ids[WORLD_BATCH];
    struct shard_record records[WORLD_BATCH];
    const struct shard_fetch what = { .with_vector = true };
    arena_init(&arena, 64u << 20);
    for (uint32_t from = 0; from < WORLD_POINTS; from += WORLD_BATCH) {
        uint32_t len = WORLD_POINTS - from < WORLD_BATCH ? WORLD_POINTS - from : WORLD_BATCH;
        for (uint32_t i = 0; i < len; i++) {
            ids[i] = world_id(from + i);
        }
        assert_int_equal(shard_fetch(w->shard, ids, len, &what, &arena, records, NULL), SHOAL_OK);
        for (uint32_t i = 0; i < len; i++) {
            const struct world_point *p = &w->points[from + i];
            assert_int_equal(records[i].found, p->exists);
            if (p->exists) {
                assert_memory_equal(records[i].vector, p->vector, sizeof(p->vector));
            }
        }
        arena_reset(&arena);
    }
    arena_release(&arena);
    world_verify(w);
}

static inline bool world_count_name(void *arg, const char *name)
{
    (void)name;
    ++*(uint64_t *)arg;
    return true;
}

static inline uint64_t world_files(const struct world *w)
{
    char dir[DISK_PATH_MAX + 64];
    uint64_t n = 0;
    (void)snprintf(dir, sizeof(dir), "%s/segments", w->shard_dir);
    assert_int_equal(disk_real()->list_dir(NULL, dir, world_count_name, &n, NULL), SHOAL_OK);
    return n;
}

#endif
