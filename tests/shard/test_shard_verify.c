/* Checking a shard: each invariant of the state, broken, is found; and the hash of the content
 * tells contents apart and nothing else. */
#include "tests/shard/test_shard_world.h"

#include "shard/shard_private.h"

static uint64_t seed;

static int setup(void **state)
{
    *state = world_new(seed);
    return 0;
}

static int teardown(void **state)
{
    return world_free(*state) ? 0 : -1;
}

/* Sealed 0..299 of which every seventh is dead, growing 300..399. */
static void fill(struct world *w)
{
    world_open_shard(w);
    world_upsert(w, 0, 300, 1);
    world_optimize(w);
    world_delete(w, 0, 300, 7);
    world_upsert(w, 300, 400, 1);
}

/* --- what may be wrong ------------------------------------------------------------------------ */

typedef enum shoal_err break_fn(struct shard *s, struct store_txn *txn, struct errbuf *why);

static struct state_point point_of(struct shard *s, struct store_txn *txn, uint32_t n)
{
    struct state_point p = { 0 };
    const struct point_id id = world_id(n);
    assert_int_equal(state_point_get(s->state, txn, &id, &p, NULL), SHOAL_OK);
    return p;
}

static enum shoal_err swap_rows(struct shard *s, struct store_txn *txn, struct errbuf *why)
{
    const struct point_id a = world_id(1);
    const struct point_id b = world_id(302);
    const struct state_point pa = point_of(s, txn, 1);
    const struct state_point pb = point_of(s, txn, 302);
    enum shoal_err rc = state_point_put(s->state, txn, &a, &pb, why);
    return rc == SHOAL_OK ? state_point_put(s->state, txn, &b, &pa, why) : rc;
}

static enum shoal_err lose_point(struct shard *s, struct store_txn *txn, struct errbuf *why)
{
    const struct point_id id = world_id(10);
    return state_point_delete(s->state, txn, &id, why);
}

static enum shoal_err point_to_dead_row(struct shard *s, struct store_txn *txn, struct errbuf *why)
{
    const struct point_id id = world_id(1);
    const struct state_point p = { .row = 1, .version = 1 }; /* of point 0, which was deleted */
    return state_point_put(s->state, txn, &id, &p, why);
}

static enum shoal_err version_from_the_future(struct shard *s, struct store_txn *txn,
                                              struct errbuf *why)
{
    const struct point_id id = world_id(1);
    struct state_point p = point_of(s, txn, 1);
    p.version = 1u << 30;
    return state_point_put(s->state, txn, &id, &p, why);
}

static enum shoal_err payload_that_is_none(struct shard *s, struct store_txn *txn,
                                           struct errbuf *why)
{
    const struct point_id id = world_id(1);
    return state_payload_put(s->state, txn, &id, SLICE_LIT("[1]"), why);
}

static enum shoal_err lose_growing_row(struct shard *s, struct store_txn *txn, struct errbuf *why)
{
    return state_row_delete(s->state, txn, point_of(s, txn, 310).row, why);
}

static enum shoal_err change_growing_row(struct shard *s, struct store_txn *txn, struct errbuf *why)
{
    const float vector[WORLD_DIM] = { 1 };
    const struct point_id id = world_id(310);
    return state_row_append(s->state, txn, point_of(s, txn, 310).row, &id, vector, WORLD_DIM, why);
}

static enum shoal_err mark_living_row_dead(struct shard *s, struct store_txn *txn,
                                           struct errbuf *why)
{
    struct row_place place;
    assert_true(generation_find(s->generation, point_of(s, txn, 1).row, &place));
    return state_dead_put(s->state, txn, 1, place.position, why);
}

static enum shoal_err lose_segment(struct shard *s, struct store_txn *txn, struct errbuf *why)
{
    return state_segment_delete(s->state, txn, 1, why);
}

static enum shoal_err change_manifest(struct shard *s, struct store_txn *txn, struct errbuf *why)
{
    struct segment_manifest m = *segment_info(s->generation->segments[0].segment);
    m.parts[SEGMENT_IDS].checksum ^= 1;
    return state_segment_put(s->state, txn, &m, why);
}

static enum shoal_err miscount_points(struct shard *s, struct store_txn *txn, struct errbuf *why)
{
    struct state_meta m;
    assert_int_equal(state_meta_get(s->state, txn, &m, why), SHOAL_OK);
    m.points--;
    return state_meta_put(s->state, txn, &m, why);
}

static enum shoal_err move_growing_begin(struct shard *s, struct store_txn *txn, struct errbuf *why)
{
    struct state_meta m;
    assert_int_equal(state_meta_get(s->state, txn, &m, why), SHOAL_OK);
    m.growing_begin++;
    return state_meta_put(s->state, txn, &m, why);
}

static const struct breakage {
    break_fn *fn;
    const char *says;
} breakages[] = {
    { swap_rows, "its row is another's" },
    { lose_point, "points are missing" },
    { point_to_dead_row, "its row is not alive" },
    { version_from_the_future, "newer than what was applied" },
    { payload_that_is_none, "no JSON object" },
    { lose_growing_row, "growing rows are not stored" },
    { change_growing_row, "not as it was stored" },
    { mark_living_row_dead, "marked dead is alive" },
    { lose_segment, "not listed" },
    { change_manifest, "not the one that is searched" },
    { miscount_points, "another number of points" },
    { move_growing_begin, "other rows are counted" },
};

struct breaking {
    struct shard *s;
    break_fn *fn;
};

static enum shoal_err run_break(void *arg, struct store_txn *txn, struct errbuf *why)
{
    struct breaking *b = arg;
    return b->fn(b->s, txn, why);
}

static void test_each_broken_invariant_is_named(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < sizeof(breakages) / sizeof(breakages[0]); i++) {
        w->config.id = 100 + i;
        (void)snprintf(w->shard_dir, sizeof(w->shard_dir), "%s/b%zu", w->dir.path, i);
        memset(w->points, 0, sizeof(w->points));
        fill(w);
        world_verify(w);
        struct errbuf why = { 0 };
        struct breaking b = { .s = w->shard, .fn = breakages[i].fn };
        assert_int_equal(store_write(state_store(w->shard->state), run_break, &b, &why), SHOAL_OK);
        assert_int_equal(shard_verify(w->shard, &why), SHOAL_ECORRUPT);
        if (strstr(why.text, breakages[i].says) == NULL) {
            fail_msg("%zu: \"%s\" does not say \"%s\"", i, why.text, breakages[i].says);
        }
        shard_close(w->shard);
        w->shard = NULL;
    }
}

/* --- hash ------------------------------------------------------------------------------------- */

/* The same writes, from the same seed, into shards that are laid out differently. */
static uint64_t hash_of_layout(struct world *w, uint64_t shard, uint32_t seal_rows, bool optimize)
{
    rand_seeded_init(&w->rand, seed);
    memset(w->points, 0, sizeof(w->points));
    w->config.id = shard;
    w->config.options.seal_rows = seal_rows;
    w->config.options.index = seal_rows < 100 ? INDEX_FLAT : INDEX_HNSW;
    (void)snprintf(w->shard_dir, sizeof(w->shard_dir), "%s/h%" PRIu64, w->dir.path, shard);
    world_open_shard(w);
    for (uint32_t i = 0; i < 4; i++) {
        world_upsert(w, i * 150, i * 150 + 200, 1);
        world_delete(w, i, i * 150 + 100, 13);
        if (optimize) {
            world_optimize(w);
        }
    }
    const uint64_t hash = world_hash(w);
    shard_close(w->shard);
    w->shard = NULL;
    return hash;
}

static void test_hash_does_not_depend_on_the_layout(void **state)
{
    struct world *w = *state;
    const uint64_t growing = hash_of_layout(w, 1, 1u << 30, false);
    assert_true(growing == hash_of_layout(w, 2, 1u << 30, true));
    assert_true(growing == hash_of_layout(w, 3, 90, false));
    assert_true(growing == hash_of_layout(w, 4, 300, false));
}

static void write_payload(struct world *w, uint32_t n, const char *text)
{
    const struct point_id id = world_id(n);
    const struct slice payload = slice_from_str(text);
    struct op op = {
        .kind = OP_OVERWRITE_PAYLOAD, .points_len = 1, .points = &id, .payloads = &payload
    };
    world_write(w, &op);
}

static void test_hash_tells_contents_apart(void **state)
{
    struct world *w = *state;
    uint64_t hashes[6];
    const uint32_t one = 1;
    world_open_shard(w);
    hashes[0] = world_hash(w);
    world_upsert(w, 0, 50, 1);
    hashes[1] = world_hash(w);
    write_payload(w, 1, "{\"a\":1}");
    hashes[2] = world_hash(w);
    write_payload(w, 1, "{\"a\":2}");
    hashes[3] = world_hash(w);
    world_draw(w, 1);
    world_put(w, &one, 1);
    hashes[4] = world_hash(w);
    world_delete(w, 1, 2, 1);
    hashes[5] = world_hash(w);
    for (size_t i = 0; i < 6; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_true(hashes[i] != hashes[j]);
        }
    }
    assert_true(hashes[5] == world_hash(w));
}

static void test_checks_survive_each_failed_allocation(void **state)
{
    struct world *w = *state;
    fill(w);
    const uint64_t hash = world_hash(w);
    bool failed = true;
    for (long nth = 0; failed && nth < 2000; nth++) {
        const size_t live = mem_live();
        uint64_t out = 1;
        test_heap_fail_at(nth);
        enum shoal_err verified = shard_verify(w->shard, NULL);
        enum shoal_err hashed = shard_state_hash(w->shard, &out, NULL);
        failed = test_heap_fail_never();
        assert_true(verified == SHOAL_OK || (failed && verified == SHOAL_ENOMEM));
        assert_true(hashed == SHOAL_OK || (failed && hashed == SHOAL_ENOMEM));
        assert_true(out == (hashed == SHOAL_OK ? hash : 0));
        assert_true(mem_live() <= live); /* the log's thread may free */
    }
    assert_false(failed);
}

int main(void)
{
    test_heap_install();
    seed = test_seed("shard_verify");
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_each_broken_invariant_is_named),
        CASE(test_hash_does_not_depend_on_the_layout),
        CASE(test_hash_tells_contents_apart),
        CASE(test_checks_survive_each_failed_allocation),
    };
    return cmocka_run_group_tests_name("shard verify", tests, NULL, NULL);
}
