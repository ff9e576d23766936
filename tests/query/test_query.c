/* The coordinator over scripted channels: each stands for a shard that answers, fails or refuses as
 * the test says, so that every partial outcome can be shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "query/channel_ops.h"
#include "query/query.h"

#include <stdio.h>
#include <string.h>

#define SHARDS 3
#define DIM 2
#define ROOM 8

/* One scripted shard. */
struct script {
    struct channel base;
    enum shoal_err rc;       /* of every call */
    enum shoal_err fetch_rc; /* of FETCH */
    struct shard_hit hits[ROOM];
    size_t hits_len;
    uint64_t gone; /* id that FETCH no longer finds; 0: none */
    struct op last_op;
    unsigned calls;
};

struct fixture {
    struct script *scripts[SHARDS];
    struct collection *collection;
    struct arena arena;
    struct query_context ctx;
    struct errbuf why;
};

static enum shoal_err script_fetch(struct script *s, struct channel_call *call)
{
    size_t len = call->request.ids_len;
    struct shard_record *records = arena_array(&call->arena, len, sizeof(*records));
    assert_non_null(records);
    for (size_t i = 0; i < len; i++) {
        const struct point_id *id = &call->request.ids[i];
        char *text = arena_alloc(&call->arena, 32);
        int n = snprintf(text, 32, "{\"n\":%u}", (unsigned)id->value.num);
        records[i] = (struct shard_record){ .id = *id,
                                            .found = id->value.num != s->gone,
                                            .payload = slice_make(text, (size_t)n) };
    }
    call->result.records = records;
    call->result.len = len;
    return s->fetch_rc;
}

static enum shoal_err script_run(struct script *s, struct channel_call *call)
{
    struct channel_result *r = &call->result;
    s->calls++;
    if (s->rc != SHOAL_OK) {
        return err_set(&r->why, s->rc, "scripted");
    }
    switch (call->request.kind) {
    case CHANNEL_SEARCH:
        r->hits = s->hits;
        r->len = s->hits_len < call->request.search->k ? s->hits_len : call->request.search->k;
        return SHOAL_OK;
    case CHANNEL_FETCH: {
        enum shoal_err rc = script_fetch(s, call);
        r->len = rc == SHOAL_OK ? r->len : 0;
        return rc;
    }
    case CHANNEL_COUNT: r->count = s->hits_len; return SHOAL_OK;
    case CHANNEL_WRITE:
        assert_int_equal(op_decode(call->request.op, &call->arena, &s->last_op, &r->why), SHOAL_OK);
        r->written = (struct shard_written){ .index = 5 + s->calls,
                                             .changed = s->last_op.points_len,
                                             .visible = true };
        return SHOAL_OK;
    case CHANNEL_INFO: r->info.points = s->hits_len; return SHOAL_OK;
    case CHANNEL_SCROLL: break;
    }
    return SHOAL_EUNSUPPORTED;
}

static void script_begin(struct channel *ch, struct channel_call *call)
{
    call->result.rc = script_run((struct script *)ch, call);
    channel__finish(call);
}

static void script_free(struct channel *ch)
{
    mem_free(ch);
}

static const struct channel_ops script_ops = { .begin = script_begin, .free = script_free };

static int setup(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof(*f));
    struct collection_shard shards[SHARDS];
    if (f == NULL) {
        return -1;
    }
    for (size_t i = 0; i < SHARDS; i++) {
        f->scripts[i] = mem_calloc(1, sizeof(*f->scripts[i]));
        f->scripts[i]->base.ops = &script_ops;
        shards[i] = (struct collection_shard){ .id = 100 + i, .channel = &f->scripts[i]->base };
    }
    const struct collection_config config = { .name = SLICE_LIT("c"),
                                              .dim = DIM,
                                              .distance = DISTANCE_DOT,
                                              .shards_len = SHARDS,
                                              .shards = shards };
    if (collection_new(&config, &f->collection) != SHOAL_OK) {
        return -1;
    }
    arena_init(&f->arena, 1u << 20);
    f->ctx = (struct query_context){ .deadline_ns = clock_mono_ns(clock_real()) + 60000000000u,
                                     .arena = &f->arena };
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    collection_unref(f->collection);
    arena_release(&f->arena);
    mem_free(f);
    return mem_live() == 0 ? 0 : -1;
}

/* Gives each shard hits with the ids that really belong to it, so that fetches find them. */
static void deal_hits(struct fixture *f, uint64_t ids)
{
    for (uint64_t id = 1; id <= ids; id++) {
        struct point_id pid = point_id_num(id);
        struct script *s = f->scripts[collection_shard_of(f->collection, &pid)];
        if (s->hits_len < ROOM) {
            s->hits[s->hits_len++] =
                (struct shard_hit){ .id = pid, .version = id, .score = 100.0f - (float)id };
        }
    }
}

static const float unit[DIM] = { 1, 0 };

static struct query_search search(void)
{
    return (struct query_search){ .vector = unit, .k = 5, .what = { .with_payload = true } };
}

static void test_search_merges_and_fetches_the_winners(void **state)
{
    struct fixture *f = *state;
    deal_hits(f, 12);
    struct query_search q = search();
    q.offset = 1;
    struct query_answer a;
    assert_int_equal(query_search(f->collection, &f->ctx, &q, &a, &f->why), SHOAL_OK);
    assert_int_equal(a.len, 5);
    assert_int_equal(a.coverage.asked, SHARDS);
    assert_int_equal(a.coverage.answered, SHARDS);
    for (size_t i = 0; i < a.len; i++) {
        char want[32];
        snprintf(want, sizeof(want), "{\"n\":%zu}", i + 2);
        assert_int_equal(a.hits[i].id.value.num, i + 2);
        assert_true(slice_is(a.hits[i].payload, want));
    }
}

static void test_a_failing_shard_is_left_out_and_counted(void **state)
{
    struct fixture *f = *state;
    deal_hits(f, 12);
    f->scripts[1]->rc = SHOAL_EUNAVAILABLE;
    struct query_search q = search();
    struct query_answer a;
    assert_int_equal(query_search(f->collection, &f->ctx, &q, &a, &f->why), SHOAL_OK);
    assert_int_equal(a.coverage.asked, SHARDS);
    assert_int_equal(a.coverage.answered, SHARDS - 1);
    for (size_t i = 0; i < a.len; i++) {
        assert_int_not_equal(collection_shard_of(f->collection, &a.hits[i].id), 1);
    }
    q.complete_only = true;
    assert_int_equal(query_search(f->collection, &f->ctx, &q, &a, &f->why), SHOAL_EUNAVAILABLE);
    assert_non_null(strstr(f->why.text, "2 of 3 shards answered"));
}

static void test_no_shard_at_all_is_an_error(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < SHARDS; i++) {
        f->scripts[i]->rc = SHOAL_ETIMEOUT;
    }
    struct query_search q = search();
    struct query_answer a;
    assert_int_equal(query_search(f->collection, &f->ctx, &q, &a, &f->why), SHOAL_ETIMEOUT);
}

static void test_a_refusal_by_one_shard_fails_the_request(void **state)
{
    struct fixture *f = *state;
    deal_hits(f, 12);
    f->scripts[2]->rc = SHOAL_EPARSE;
    struct query_search q = search();
    struct query_answer a;
    assert_int_equal(query_search(f->collection, &f->ctx, &q, &a, &f->why), SHOAL_EPARSE);
}

static void test_a_winner_deleted_meanwhile_is_dropped(void **state)
{
    struct fixture *f = *state;
    deal_hits(f, 12);
    for (size_t i = 0; i < SHARDS; i++) {
        f->scripts[i]->gone = 3;
    }
    struct query_search q = search();
    struct query_answer a;
    assert_int_equal(query_search(f->collection, &f->ctx, &q, &a, &f->why), SHOAL_OK);
    assert_int_equal(a.len, 4);
    for (size_t i = 0; i < a.len; i++) {
        assert_int_not_equal(a.hits[i].id.value.num, 3);
    }
}

static void test_a_shard_that_loses_its_records_lowers_the_coverage(void **state)
{
    struct fixture *f = *state;
    deal_hits(f, 12);
    struct point_id first = point_id_num(1);
    size_t lost = collection_shard_of(f->collection, &first);
    f->scripts[lost]->fetch_rc = SHOAL_EUNAVAILABLE;
    struct query_search q = search();
    struct query_answer a;
    assert_int_equal(query_search(f->collection, &f->ctx, &q, &a, &f->why), SHOAL_OK);
    assert_int_equal(a.coverage.answered, SHARDS - 1);
    for (size_t i = 0; i < a.len; i++) {
        assert_int_not_equal(collection_shard_of(f->collection, &a.hits[i].id), lost);
    }
}

static void test_bad_requests_reach_no_shard(void **state)
{
    struct fixture *f = *state;
    const float nan_vector[DIM] = { 1, __builtin_nanf("") };
    struct query_search q = search();
    struct query_answer a;
    q.k = 0;
    assert_int_equal(query_search(f->collection, &f->ctx, &q, &a, &f->why), SHOAL_EVALIDATION);
    q = search();
    q.offset = SEARCH_K_MAX;
    assert_int_equal(query_search(f->collection, &f->ctx, &q, &a, &f->why), SHOAL_EVALIDATION);
    q = search();
    q.vector = nan_vector;
    assert_int_equal(query_search(f->collection, &f->ctx, &q, &a, &f->why), SHOAL_EVALIDATION);
    for (size_t i = 0; i < SHARDS; i++) {
        assert_int_equal(f->scripts[i]->calls, 0);
    }
}

static void test_fetch_keeps_the_order_and_drops_repeats(void **state)
{
    struct fixture *f = *state;
    const struct point_id ids[] = { point_id_num(9), point_id_num(2), point_id_num(9),
                                    point_id_num(5), point_id_num(2) };
    const struct shard_fetch what = { .with_payload = true };
    struct query_records r;
    for (size_t i = 0; i < SHARDS; i++) {
        f->scripts[i]->gone = 5;
    }
    assert_int_equal(query_fetch(f->collection, &f->ctx, ids, 5, &what, &r, &f->why), SHOAL_OK);
    assert_int_equal(r.len, 2);
    assert_int_equal(r.records[0].id.value.num, 9);
    assert_int_equal(r.records[1].id.value.num, 2);
}

static void test_a_write_goes_to_the_shards_of_its_points(void **state)
{
    struct fixture *f = *state;
    struct point_id ids[20];
    float vectors[20 * DIM];
    struct slice payloads[20];
    memset(payloads, 0, sizeof(payloads));
    for (unsigned i = 0; i < 20; i++) {
        ids[i] = point_id_num(i);
        vectors[i * DIM] = 1;
        vectors[i * DIM + 1] = (float)i;
    }
    const struct op op = { .kind = OP_UPSERT,
                           .points_len = 20,
                           .points = ids,
                           .dim = DIM,
                           .vectors = vectors,
                           .payloads = payloads };
    struct query_written w;
    assert_int_equal(query_write(f->collection, &f->ctx, &op, SHARD_VISIBLE, &w, &f->why),
                     SHOAL_OK);
    assert_int_equal(w.changed, 20);
    assert_true(w.visible);
    f->scripts[0]->rc = SHOAL_EIO;
    assert_int_equal(query_write(f->collection, &f->ctx, &op, SHARD_VISIBLE, &w, &f->why),
                     SHOAL_EIO);
    assert_non_null(strstr(f->why.text, "repeat the request with the same operation id"));
}

static void test_one_bad_vector_refuses_the_whole_batch(void **state)
{
    struct fixture *f = *state;
    const struct point_id ids[] = { point_id_num(1), point_id_num(2) };
    const float vectors[] = { 1, 2, 3, __builtin_inff() };
    const struct slice payloads[2] = { { NULL, 0 }, { NULL, 0 } };
    struct op op = { .kind = OP_UPSERT,
                     .points_len = 2,
                     .points = ids,
                     .dim = DIM,
                     .vectors = vectors,
                     .payloads = payloads };
    struct query_written w;
    assert_int_equal(query_write(f->collection, &f->ctx, &op, SHARD_VISIBLE, &w, &f->why),
                     SHOAL_EVALIDATION);
    assert_non_null(strstr(f->why.text, "point 2"));
    op.dim = 1;
    assert_int_equal(query_write(f->collection, &f->ctx, &op, SHARD_VISIBLE, &w, &f->why),
                     SHOAL_EINVAL);
    assert_non_null(strstr(f->why.text, "expected dim: 2, got 1"));
    for (size_t i = 0; i < SHARDS; i++) {
        assert_int_equal(f->scripts[i]->calls, 0);
    }
}

static void test_count_and_info_sum_over_shards(void **state)
{
    struct fixture *f = *state;
    deal_hits(f, 12);
    uint64_t count = 0;
    struct slice none = { NULL, 0 };
    assert_int_equal(query_count(f->collection, &f->ctx, none, &count, &f->why), SHOAL_OK);
    assert_int_equal(count, 12);
    f->scripts[0]->rc = SHOAL_EUNAVAILABLE;
    assert_int_equal(query_count(f->collection, &f->ctx, none, &count, &f->why),
                     SHOAL_EUNAVAILABLE);
    struct query_info info;
    assert_int_equal(query_info(f->collection, &f->ctx, &info, &f->why), SHOAL_OK);
    assert_int_equal(info.sum.status, SHARD_RED);
    assert_int_equal(info.coverage.answered, SHARDS - 1);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_search_merges_and_fetches_the_winners),
        CASE(test_a_failing_shard_is_left_out_and_counted),
        CASE(test_no_shard_at_all_is_an_error),
        CASE(test_a_refusal_by_one_shard_fails_the_request),
        CASE(test_a_winner_deleted_meanwhile_is_dropped),
        CASE(test_a_shard_that_loses_its_records_lowers_the_coverage),
        CASE(test_bad_requests_reach_no_shard),
        CASE(test_fetch_keeps_the_order_and_drops_repeats),
        CASE(test_a_write_goes_to_the_shards_of_its_points),
        CASE(test_one_bad_vector_refuses_the_whole_batch),
        CASE(test_count_and_info_sum_over_shards),
    };
    return cmocka_run_group_tests_name("query", tests, NULL, NULL);
}
