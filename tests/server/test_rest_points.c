/* The handlers of points over scripted shards: the exact answers, what they cover, and what becomes
 * of an update that fails in the middle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "query/channel_ops.h"
#include "server/rest_call.h"
#include "server/rest_routes.h"

#include <string.h>

#define SHARDS 2
#define DIM 2
#define ROOM 8
#define LEN(array) (sizeof(array) / sizeof((array)[0]))

/* A shard with a few points, in the order of their ids as of their scores. */
struct script {
    struct channel base;
    struct shard_record records[ROOM];
    float scores[ROOM];
    size_t len;
    enum shoal_err rc; /* of every call */
    unsigned writes;
    unsigned writes_max; /* the next one fails */
    enum shard_until until;
    uint8_t op_ids[ROOM][OP_ID_LEN];
};

struct fixture {
    struct script *scripts[SHARDS];
    struct arena arena;
    struct buf body;
    struct rest_call call;
    struct http_request req;
    struct http_field field;
    struct slice segments[4];
    struct route route;
};

/* --- the shards ----------------------------------------------------------------------------- */

static const float row[DIM] = { 0.19f, -3 };

static const struct shard_record *find(const struct script *s, const struct point_id *id)
{
    for (size_t i = 0; i < s->len; i++) {
        if (point_id_compare(&s->records[i].id, id) == 0) {
            return &s->records[i];
        }
    }
    return NULL;
}

static void run_search(const struct script *s, struct channel_call *call)
{
    struct shard_hit *hits = arena_array(&call->arena, ROOM, sizeof(*hits));
    assert_non_null(hits);
    size_t n = s->len < call->request.search->k ? s->len : call->request.search->k;
    for (size_t i = 0; i < n; i++) {
        hits[i] = (struct shard_hit){ .id = s->records[i].id,
                                      .version = s->records[i].version,
                                      .score = s->scores[i] };
    }
    call->result.hits = hits;
    call->result.len = n;
}

static void run_fetch(const struct script *s, struct channel_call *call)
{
    struct shard_record *records = arena_array(&call->arena, call->request.ids_len,
                                               sizeof(*records));
    assert_non_null(records);
    for (size_t i = 0; i < call->request.ids_len; i++) {
        const struct shard_record *r = find(s, &call->request.ids[i]);
        records[i] = r != NULL ? *r : (struct shard_record){ .id = call->request.ids[i] };
        records[i].vector = r != NULL && call->request.what.with_vector ? row : NULL;
    }
    call->result.records = records;
    call->result.len = call->request.ids_len;
}

static void run_scroll(const struct script *s, struct channel_call *call)
{
    const struct shard_scroll *q = call->request.scroll;
    size_t at = 0;
    while (at < s->len && q->offset != NULL &&
           point_id_compare(&s->records[at].id, q->offset) < 0) {
        at++;
    }
    struct channel_result *r = &call->result;
    r->records = s->records + at;
    r->len = s->len - at < q->limit ? s->len - at : q->limit;
    r->has_next = at + r->len < s->len;
    if (r->has_next) {
        r->next = s->records[at + r->len].id;
    }
}

static enum shoal_err run_write(struct script *s, struct channel_call *call)
{
    struct channel_result *r = &call->result;
    struct op op;
    if (s->writes == s->writes_max) {
        return err_set(&r->why, SHOAL_EFULL, "the disk is full");
    }
    assert_int_equal(op_decode(call->request.op, &call->arena, &op, &r->why), SHOAL_OK);
    memcpy(s->op_ids[s->writes++], op.id, OP_ID_LEN);
    s->until = call->request.until;
    r->written = (struct shard_written){ .index = 40 + s->writes,
                                         .changed = op.points_len,
                                         .visible = s->until == SHARD_VISIBLE };
    return SHOAL_OK;
}

static void script_begin(struct channel *ch, struct channel_call *call)
{
    struct script *s = (struct script *)ch;
    enum shoal_err rc = s->rc;
    if (rc == SHOAL_OK) {
        switch (call->request.kind) {
        case CHANNEL_SEARCH: run_search(s, call); break;
        case CHANNEL_FETCH: run_fetch(s, call); break;
        case CHANNEL_SCROLL: run_scroll(s, call); break;
        case CHANNEL_COUNT: call->result.count = s->len; break;
        case CHANNEL_WRITE: rc = run_write(s, call); break;
        case CHANNEL_INFO: break;
        }
    }
    call->result.rc = rc;
    channel__finish(call);
}

static void script_free(struct channel *ch)
{
    mem_free(ch);
}

static const struct channel_ops script_ops = { .begin = script_begin, .free = script_free };

/* --- the call ------------------------------------------------------------------------------- */

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
        f->scripts[i]->writes_max = ROOM;
        shards[i] = (struct collection_shard){ .id = 100 + i, .channel = &f->scripts[i]->base };
    }
    const struct collection_config config = { .name = SLICE_LIT("c"),
                                              .dim = DIM,
                                              .distance = DISTANCE_DOT,
                                              .shards_len = SHARDS,
                                              .shards = shards };
    arena_init(&f->arena, 16u << 20);
    buf_init(&f->body, 1u << 20);
    if (collection_new(&config, &f->call.collection) != SHOAL_OK) {
        return -1;
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    json_free(f->call.doc);
    collection_unref(f->call.collection);
    arena_release(&f->arena);
    buf_release(&f->body);
    mem_free(f);
    return mem_live() == 0 ? 0 : -1;
}

/* Puts a point where it belongs. */
static void put(struct fixture *f, const char *id, float score, const char *payload)
{
    struct point_id pid;
    assert_int_equal(point_id_parse(slice_from_str(id), &pid), SHOAL_OK);
    struct script *s = f->scripts[collection_shard_of(f->call.collection, &pid)];
    assert_true(s->len < ROOM);
    s->scores[s->len] = score;
    s->records[s->len++] = (struct shard_record){
        .id = pid, .version = 7, .found = true, .payload = slice_from_str(payload)
    };
}

#define UUID "550e8400-e29b-41d4-a716-446655440000"

static void put_some(struct fixture *f)
{
    put(f, "1", 0.9f, "{\"n\": 1}");
    put(f, "2", 0.8f, "");
    put(f, "3", 0.7f, "{\"n\":3,\"m\":[1]}");
    put(f, "18446744073709551615", 0.19f, "{\"big\":18446744073709551615}");
    put(f, UUID, 0.1f, "{}");
}

static enum shoal_err run(struct fixture *f, route_fn *handle, const char *body)
{
    struct collection *collection = f->call.collection;
    json_free(f->call.doc);
    buf_reset(&f->body);
    f->field = (struct http_field){ SLICE_LIT("idempotency-key"), SLICE_LIT("key") };
    f->route.pattern = "/collections/{c}/points/{id}";
    f->req = (struct http_request){ .body = slice_from_str(body),
                                    .segments = f->segments,
                                    .segments_len = LEN(f->segments),
                                    .fields = &f->field,
                                    .fields_len = 1 };
    bool wait = f->call.args.wait;
    f->call = (struct rest_call){ .route = &f->route,
                                  .req = &f->req,
                                  .collection = collection,
                                  .arena = &f->arena,
                                  .args = { .wait = wait },
                                  .body = &f->body };
    f->call.ctx = (struct query_context){ .deadline_ns = clock_mono_ns(clock_real()) + 60000000000u,
                                          .arena = &f->arena };
    json_writer_init(&f->call.w, &f->body);
    return handle(&f->call);
}

static void answers(struct fixture *f, route_fn *handle, const char *body, const char *expected)
{
    enum shoal_err rc = run(f, handle, body);
    if (rc != SHOAL_OK || !slice_is(buf_slice(&f->body), expected)) {
        fail_msg("%s\n  expected %s\n  got %s %.*s %s", body, expected, err_word(rc),
                 (int)f->body.len, f->body.data, f->call.why.text);
    }
}

static void refuses(struct fixture *f, route_fn *handle, const char *body, enum shoal_err code,
                    const char *text)
{
    assert_int_equal(run(f, handle, body), code);
    assert_string_equal(f->call.why.text, text);
}

/* --- searches ------------------------------------------------------------------------------- */

#define HIT(id, score, more) "{\"id\":" id ",\"version\":7,\"score\":" score more "}"

static void test_a_query_answers_in_its_form(void **state)
{
    struct fixture *f = *state;
    put_some(f);
    answers(f, rest_query_points, "{\"query\":[1,2],\"limit\":2}",
            "{\"points\":[" HIT("1", "0.9", "") "," HIT("2", "0.8", "") "]}");
    answers(f, rest_query_points,
            "{\"query\":[1,2],\"limit\":2,\"offset\":3,\"with_payload\":true}",
            "{\"points\":[" HIT(
                "18446744073709551615", "0.19",
                ",\"payload\":{\"big\":18446744073709551615}") "," HIT("\"" UUID "\"", "0.1",
                                                                       ",\"payload\":{}") "]}");
    answers(
        f, rest_query_points,
        "{\"query\":[1,2],\"limit\":3,\"with_payload\":[\"n\"],\"with_vector\":true}",
        "{\"points\":[" HIT("1", "0.9", ",\"payload\":{\"n\":1},\"vector\":[0.19,-3.0]") "," HIT(
            "2", "0.8",
            ",\"payload\":{},\"vector\":[0.19,-3.0]") "," HIT("3", "0.7",
                                                              ",\"payload\":{\"n\":3},\"vector\":["
                                                              "0.19,-3.0]") "]}");
    assert_int_equal(f->call.coverage.asked, SHARDS);
    assert_int_equal(f->call.coverage.answered, SHARDS);
    answers(f, rest_search_points, "{\"vector\":[1,2],\"limit\":1}", "[" HIT("1", "0.9", "") "]");
    answers(f, rest_query_points_batch,
            "{\"searches\":[{\"query\":[1,2],\"limit\":1},{\"limit\":1}]}",
            "[{\"points\":[" HIT("1", "0.9", "") "]},{\"points\":[" HIT("1", "1.0", "") "]}]");
    answers(f, rest_search_points_batch, "{\"searches\":[{\"vector\":[1,2],\"limit\":1}]}",
            "[[" HIT("1", "0.9", "") "]]");
}

static void test_a_query_by_id_leaves_the_point_out(void **state)
{
    struct fixture *f = *state;
    put_some(f);
    answers(f, rest_query_points, "{\"query\":1,\"limit\":2}",
            "{\"points\":[" HIT("2", "0.8", "") "," HIT("3", "0.7", "") "]}");
    answers(f, rest_query_points, "{\"query\":2,\"limit\":1,\"offset\":1}",
            "{\"points\":[" HIT("3", "0.7", "") "]}");
    answers(f, rest_query_points, "{\"query\":\"" UUID "\",\"limit\":9,\"offset\":9}",
            "{\"points\":[]}");
    refuses(f, rest_query_points, "{\"query\":77}", SHOAL_ENOTFOUND, "No point with id 77 found");
    refuses(f, rest_query_points, "{\"query\":1,\"limit\":16384,\"offset\":1}", SHOAL_EVALIDATION,
            "limit + offset: value 16385 invalid, must be 16384 or smaller");
    assert_int_equal(run(f, rest_query_points, "{\"query\":1,\"limit\":16384}"), SHOAL_OK);
}

static void test_no_query_gives_points_by_id(void **state)
{
    struct fixture *f = *state;
    put_some(f);
    answers(f, rest_query_points, "{\"limit\":2,\"offset\":1}",
            "{\"points\":[" HIT("2", "1.0", "") "," HIT("3", "1.0", "") "]}");
    answers(f, rest_query_points, "{\"offset\":100}", "{\"points\":[]}");
}

static void test_an_answer_tells_what_it_covers(void **state)
{
    struct fixture *f = *state;
    put_some(f);
    f->scripts[1]->rc = SHOAL_EUNAVAILABLE;
    assert_int_equal(run(f, rest_query_points, "{\"query\":[1,2]}"), SHOAL_OK);
    assert_int_equal(f->call.coverage.asked, SHARDS);
    assert_int_equal(f->call.coverage.answered, SHARDS - 1);
    assert_int_equal(run(f, rest_query_points_batch, "{\"searches\":[{\"query\":[1,2]}]}"),
                     SHOAL_OK);
    assert_int_equal(f->call.coverage.answered, SHARDS - 1);
    f->scripts[0]->rc = SHOAL_EUNAVAILABLE;
    assert_int_equal(run(f, rest_query_points, "{\"query\":[1,2]}"), SHOAL_EUNAVAILABLE);
    assert_int_equal(run(f, rest_query_points, "{}"), SHOAL_EUNAVAILABLE);
    assert_int_equal(run(f, rest_query_points_batch, "{\"searches\":[{}]}"), SHOAL_EUNAVAILABLE);
    assert_memory_equal(f->call.why.text, "searches[0]: ", strlen("searches[0]: "));
}

/* --- reads ---------------------------------------------------------------------------------- */

static void test_reads_answer_in_their_form(void **state)
{
    struct fixture *f = *state;
    put_some(f);
    answers(f, rest_retrieve_points, "{\"ids\":[3,1,77,3],\"with_payload\":true}",
            "[{\"id\":3,\"payload\":{\"n\":3,\"m\":[1]}},{\"id\":1,\"payload\":{\"n\": 1}}]");
    answers(f, rest_retrieve_points, "{\"ids\":[]}", "[]");
    answers(f, rest_scroll_points, "{\"limit\":3,\"with_payload\":false}",
            "{\"points\":[{\"id\":1},{\"id\":2},{\"id\":3}],"
            "\"next_page_offset\":18446744073709551615}");
    answers(f, rest_scroll_points,
            "{\"offset\":4,\"limit\":3,\"with_payload\":{\"exclude\":[\"big\"]}}",
            "{\"points\":[{\"id\":18446744073709551615,\"payload\":{}},{\"id\":\"" UUID
            "\",\"payload\":{}}],\"next_page_offset\":null}");
    answers(f, rest_count_points, "{}", "{\"count\":5}");
}

static void test_one_point_by_its_path(void **state)
{
    struct fixture *f = *state;
    put_some(f);
    f->segments[3] = SLICE_LIT("3");
    answers(f, rest_get_point, "",
            "{\"id\":3,\"payload\":{\"n\":3,\"m\":[1]},\"vector\":[0.19,-3.0]}");
    f->segments[3] = SLICE_LIT("550E8400E29B41D4A716446655440000");
    answers(f, rest_get_point, "", "{\"id\":\"" UUID "\",\"payload\":{},\"vector\":[0.19,-3.0]}");
    f->segments[3] = SLICE_LIT("77");
    refuses(f, rest_get_point, "", SHOAL_ENOTFOUND, "No point with id 77 found");
    f->segments[3] = SLICE_LIT("x");
    refuses(f, rest_get_point, "", SHOAL_EINVAL,
            "value x is not a valid point ID, valid values are either an unsigned integer or a "
            "UUID");
}

static void test_a_corrupt_payload_is_told(void **state)
{
    struct fixture *f = *state;
    put(f, "5", 1, "{\"a\":");
    refuses(f, rest_retrieve_points, "{\"ids\":[5],\"with_payload\":[\"a\"]}", SHOAL_ECORRUPT,
            "the payload of point 5: stored data failed validation");
}

/* --- updates -------------------------------------------------------------------------------- */

static void test_updates_tell_how_far_they_came(void **state)
{
    struct fixture *f = *state;
    const char *body = "{\"points\":[{\"id\":1,\"vector\":[1,2]}]}";
    answers(f, rest_upsert_points, body, "{\"operation_id\":41,\"status\":\"acknowledged\"}");
    f->call.args.wait = true;
    answers(f, rest_upsert_points, body, "{\"operation_id\":42,\"status\":\"completed\"}");
    answers(f, rest_upsert_points, "{\"points\":[]}",
            "{\"operation_id\":0,\"status\":\"completed\"}");
    static const struct {
        route_fn *handle;
        const char *body;
    } others[] = {
        { rest_delete_points, "{\"filter\":{}}" },
        { rest_set_payload, "{\"payload\":{\"a\":1},\"filter\":{}}" },
        { rest_overwrite_payload, "{\"payload\":{},\"filter\":{}}" },
        { rest_delete_payload, "{\"keys\":[\"a\"],\"filter\":{}}" },
        { rest_clear_payload, "{\"filter\":{}}" },
    };
    f->scripts[0]->writes = f->scripts[1]->writes = 0;
    for (size_t i = 0; i < LEN(others); i++) {
        assert_int_equal(run(f, others[i].handle, others[i].body), SHOAL_OK);
        assert_int_equal(f->scripts[0]->writes, i + 1); /* a filter goes to every shard */
        assert_int_equal(f->scripts[1]->writes, i + 1);
    }
}

#define ONE "{\"delete\":{\"filter\":{}}}"

static void test_each_operation_of_a_batch_has_an_id_of_its_own(void **state)
{
    struct fixture *f = *state;
    const struct script *s = f->scripts[0];
    answers(f, rest_update_batch, "{\"operations\":[" ONE ",{\"delete\":{\"points\":[]}}," ONE "]}",
            "[{\"operation_id\":41,\"status\":\"acknowledged\"},"
            "{\"operation_id\":0,\"status\":\"completed\"},"
            "{\"operation_id\":42,\"status\":\"acknowledged\"}]");
    assert_memory_not_equal(s->op_ids[0], s->op_ids[1], OP_ID_LEN);
    assert_int_equal(run(f, rest_update_batch,
                         "{\"operations\":[" ONE ",{\"delete\":{\"points\":[]}}," ONE "]}"),
                     SHOAL_OK);
    assert_memory_equal(s->op_ids[0], s->op_ids[2], OP_ID_LEN); /* the same key: a repeat */
    assert_memory_equal(s->op_ids[1], s->op_ids[3], OP_ID_LEN);
}

static void test_a_batch_that_breaks_off_says_where(void **state)
{
    struct fixture *f = *state;
    f->scripts[0]->writes_max = f->scripts[1]->writes_max = 1;
    refuses(f, rest_update_batch, "{\"operations\":[" ONE "," ONE "," ONE "]}", SHOAL_EFULL,
            "operations[1], after those before it were applied: the disk is full");
    refuses(f, rest_update_batch, "{\"operations\":[" ONE "]}", SHOAL_EFULL,
            "operations[0]: the disk is full");
    assert_int_equal(f->scripts[0]->writes, 1);
    refuses(f, rest_update_batch, "{\"operations\":[" ONE ",{\"upsert\":{}}]}", SHOAL_EPARSE,
            "operations[1]: upsert: key \"points\" or \"batch\" is missing");
    refuses(f, rest_upsert_points, "", SHOAL_EPARSE, "the body is missing; send a JSON object");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_query_answers_in_its_form),
        TEST(test_a_query_by_id_leaves_the_point_out),
        TEST(test_no_query_gives_points_by_id),
        TEST(test_an_answer_tells_what_it_covers),
        TEST(test_reads_answer_in_their_form),
        TEST(test_one_point_by_its_path),
        TEST(test_a_corrupt_payload_is_told),
        TEST(test_updates_tell_how_far_they_came),
        TEST(test_each_operation_of_a_batch_has_an_id_of_its_own),
        TEST(test_a_batch_that_breaks_off_says_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
