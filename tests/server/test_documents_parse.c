/* Bodies of the documents' routes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "server/documents.h"
#include "server/documents_parse.h"
#include "tests/support/heap.h"

#include <string.h>

struct fixture {
    struct arena arena;
    struct json_doc *doc;
    struct documents_in in;
    struct errbuf why;
};

static int setup(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof(*f));
    if (f == NULL) {
        return -1;
    }
    arena_init(&f->arena, 64u << 20);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    json_free(f->doc);
    arena_release(&f->arena);
    mem_free(f);
    return mem_live() == 0 ? 0 : -1;
}

static void load(struct fixture *f, const char *json)
{
    json_free(f->doc);
    f->doc = NULL;
    err_clear(&f->why);
    if (json_parse(slice_from_str(json), &f->doc, &f->why) != SHOAL_OK) {
        fail_msg("%s: %s", json, f->why.text);
    }
}

static enum shoal_err parse(struct fixture *f, const char *json)
{
    load(f, json);
    return documents_parse(json_root(f->doc), &f->arena, &f->in, &f->why);
}

static void test_documents_are_read_and_cut(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, "{\"documents\":[{\"id\":\"a\",\"text\":\"One. Two.\"},"
                              "{\"id\":\"b\",\"type\":\"text/markdown\",\"hash\":\"h\","
                              "\"text\":\"# Top\\n\\nSome words.\",\"metadata\":{\"k\":[1]}},"
                              "{\"id\":\"c\",\"title\":\"T\",\"text\":\"\",\"metadata\":null}]}"),
                     SHOAL_OK);
    assert_int_equal(f->in.len, 3);
    assert_int_equal(f->in.chunks_len, 2);
    assert_int_equal(f->in.list[0].hash.len, 16);
    assert_true(slice_is(f->in.list[0].chunks[0].text, "One. Two."));
    assert_true(slice_is(f->in.list[1].hash, "h"));
    assert_true(slice_is(f->in.list[1].title, "Top"));
    assert_true(slice_is(f->in.list[1].metadata, "{\"k\":[1]}"));
    assert_true(slice_is(f->in.list[2].title, "T"));
    assert_int_equal(f->in.list[2].chunks_len, 0);
}

static void test_the_same_text_gives_the_same_hash_and_another_another(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, "{\"documents\":[{\"id\":\"a\",\"text\":\"x\"},"
                              "{\"id\":\"b\",\"text\":\"x\"},{\"id\":\"c\",\"text\":\"y\"}]}"),
                     SHOAL_OK);
    assert_true(slice_equal(f->in.list[0].hash, f->in.list[1].hash));
    assert_false(slice_equal(f->in.list[0].hash, f->in.list[2].hash));
}

static void test_a_bad_document_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *json;
        enum shoal_err rc;
        const char *says;
    } cases[] = {
        { "[]", SHOAL_EINVAL, "the body must be" },
        { "{}", SHOAL_EINVAL, "the body must be" },
        { "{\"documents\":{}}", SHOAL_EINVAL, "the body must be" },
        { "{\"documents\":[],\"more\":1}", SHOAL_EINVAL, "the body must be" },
        { "{\"documents\":[7]}", SHOAL_EINVAL, "documents[0]: must be an object" },
        { "{\"documents\":[{\"id\":\"a\"}]}", SHOAL_EINVAL, "documents[0]: text: missing" },
        { "{\"documents\":[{\"text\":\"x\"}]}", SHOAL_EVALIDATION,
          "documents[0]: id: must have 1" },
        { "{\"documents\":[{\"id\":7,\"text\":\"x\"}]}", SHOAL_EINVAL, "id: must be a string" },
        { "{\"documents\":[{\"id\":\"a\",\"text\":\"x\",\"titel\":\"\"}]}", SHOAL_EINVAL,
          "unknown key \"titel\"" },
        { "{\"documents\":[{\"id\":\"a\",\"text\":\"x\",\"metadata\":[]}]}", SHOAL_EINVAL,
          "metadata: must be an object" },
        { "{\"documents\":[{\"id\":\"a\",\"text\":\"x\",\"type\":\"image/png\"}]}",
          SHOAL_EUNSUPPORTED, "documents[0]" },
        { "{\"documents\":[{\"id\":\"a\",\"text\":\"x\"},{\"id\":\"b\",\"text\":\"x\"},"
          "{\"id\":\"a\",\"text\":\"y\"}]}",
          SHOAL_EINVAL, "documents[2]: has the id of documents[0]" },
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum shoal_err rc = parse(f, cases[i].json);
        if (rc != cases[i].rc || strstr(f->why.text, cases[i].says) == NULL) {
            fail_msg("%s: %s, \"%s\"", cases[i].json, err_word(rc), f->why.text);
        }
    }
}

static void test_lists_of_ids_are_of_two_forms(void **state)
{
    struct fixture *f = *state;
    load(f, "{\"documents\":[{\"id\":\"a\",\"hash\":\"h\"}]}");
    assert_int_equal(documents_parse_ids(json_root(f->doc), false, &f->arena, &f->in, &f->why),
                     SHOAL_OK);
    assert_true(slice_is(f->in.list[0].hash, "h"));
    assert_int_equal(documents_parse_ids(json_root(f->doc), true, &f->arena, &f->in, &f->why),
                     SHOAL_EINVAL);
    load(f, "{\"documents\":[\"a\",\"a\"]}");
    assert_int_equal(documents_parse_ids(json_root(f->doc), true, &f->arena, &f->in, &f->why),
                     SHOAL_OK);
    assert_int_equal(f->in.len, 2);
    load(f, "{\"documents\":[{\"id\":\"a\",\"text\":\"x\"}]}");
    assert_int_equal(documents_parse_ids(json_root(f->doc), false, &f->arena, &f->in, &f->why),
                     SHOAL_EINVAL);
}

static void test_too_many_documents_are_refused(void **state)
{
    struct fixture *f = *state;
    struct buf json;
    buf_init(&json, 1u << 20);
    (void)buf_append_str(&json, "{\"documents\":[");
    for (int i = 0; i <= DOCUMENTS_MAX; i++) {
        (void)buf_printf(&json, "%s\"%d\"", i == 0 ? "" : ",", i);
    }
    (void)buf_append_str(&json, "]}");
    load(f, buf_cstr(&json));
    assert_int_equal(documents_parse_ids(json_root(f->doc), true, &f->arena, &f->in, &f->why),
                     SHOAL_ETOOBIG);
    buf_release(&json);
}

static void test_each_failed_allocation_is_told(void **state)
{
    struct fixture *f = *state;
    enum shoal_err rc = SHOAL_ENOMEM;
    load(f, "{\"documents\":[{\"id\":\"a\",\"text\":\"One. Two.\",\"metadata\":{\"k\":1}}]}");
    size_t live = mem_live();
    for (size_t nth = 0; rc == SHOAL_ENOMEM && nth < TEST_ALLOCS_MAX; nth++) {
        test_heap_fail_at(nth);
        rc = documents_parse(json_root(f->doc), &f->arena, &f->in, &f->why);
        test_heap_fail_never();
        arena_release(&f->arena);
        assert_int_equal(mem_live(), live);
        arena_init(&f->arena, 64u << 20);
    }
    assert_int_equal(rc, SHOAL_OK);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_documents_are_read_and_cut),
        WITH(test_the_same_text_gives_the_same_hash_and_another_another),
        WITH(test_a_bad_document_is_refused_with_its_place),
        WITH(test_lists_of_ids_are_of_two_forms),
        WITH(test_too_many_documents_are_refused),
        WITH(test_each_failed_allocation_is_told),
    };
    return cmocka_run_group_tests_name("documents_parse", tests, NULL, NULL);
}
