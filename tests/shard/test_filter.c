/* Filters: what each condition lets through, what is refused and how the refusal names its place,
 * and the parts below: paths, dates, the globe. */
#include "tests/shard/test_store_support.h"

#include "shard/datetime.h"
#include "shard/filter.h"
#include "shard/filter_ast.h"
#include "shard/geo.h"
#include "shard/json_path.h"

static struct json_doc *parse(const char *text)
{
    struct json_doc *doc = NULL;
    struct errbuf why = { 0 };
    if (json_parse(slice_from_str(text), &doc, &why) != SHOAL_OK) {
        fail_msg("%s: %s", text, why.text);
    }
    return doc;
}

static bool matches(const char *filter, const char *payload, uint64_t id)
{
    struct filter *f = NULL;
    struct errbuf why = { 0 };
    if (filter_parse_text(slice_from_str(filter), &f, &why) != SHOAL_OK) {
        fail_msg("%s: %s", filter, why.text);
    }
    struct point_id point = point_id_num(id);
    bool answer;
    if (payload == NULL) {
        answer = filter_matches(f, &point, NULL);
    } else {
        struct json_doc *doc = parse(payload);
        struct json_value root = json_root(doc);
        answer = filter_matches(f, &point, &root);
        json_free(doc);
    }
    filter_free(f);
    return answer;
}

struct row {
    const char *condition; /* put under must */
    const char *payload;   /* NULL: a point without */
    bool expected;
};

static void check_rows(const struct row *rows, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char filter[1024];
        snprintf(filter, sizeof(filter), "{\"must\":[%s]}", rows[i].condition);
        if (matches(filter, rows[i].payload, 7) != rows[i].expected) {
            fail_msg("row %zu: %s on %s is not %d", i, rows[i].condition,
                     rows[i].payload == NULL ? "no payload" : rows[i].payload, rows[i].expected);
        }
    }
}

#define CHECK(rows) check_rows(rows, sizeof(rows) / sizeof((rows)[0]))

static void test_match_is_strict_about_types(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "{\"key\":\"a\",\"match\":{\"value\":\"x\"}}", "{\"a\":\"x\"}", true },
        { "{\"key\":\"a\",\"match\":{\"value\":\"x\"}}", "{\"a\":\"X\"}", false },
        { "{\"key\":\"a\",\"match\":{\"value\":\"x\"}}", "{\"a\":[\"y\",\"x\"]}", true },
        { "{\"key\":\"a\",\"match\":{\"value\":\"x\"}}", "{\"a\":[[\"x\"]]}", false },
        { "{\"key\":\"a\",\"match\":{\"value\":\"1\"}}", "{\"a\":1}", false },
        { "{\"key\":\"a\",\"match\":{\"value\":1}}", "{\"a\":\"1\"}", false },
        { "{\"key\":\"a\",\"match\":{\"value\":1}}", "{\"a\":1}", true },
        { "{\"key\":\"a\",\"match\":{\"value\":1}}", "{\"a\":true}", false },
        { "{\"key\":\"a\",\"match\":{\"value\":10}}", "{\"a\":10.0}", false },
        { "{\"key\":\"a\",\"match\":{\"value\":-5}}", "{\"a\":-5}", true },
        { "{\"key\":\"a\",\"match\":{\"value\":-5}}", "{\"a\":5}", false },
        { "{\"key\":\"a\",\"match\":{\"value\":18446744073709551615}}",
          "{\"a\":18446744073709551615}", true },
        { "{\"key\":\"a\",\"match\":{\"value\":18446744073709551615}}", "{\"a\":-1}", false },
        { "{\"key\":\"a\",\"match\":{\"value\":true}}", "{\"a\":true}", true },
        { "{\"key\":\"a\",\"match\":{\"value\":true}}", "{\"a\":false}", false },
        { "{\"key\":\"a\",\"match\":{\"value\":true}}", "{\"a\":1}", false },
        { "{\"key\":\"a\",\"match\":{\"value\":\"\"}}", "{\"a\":\"\"}", true },
        { "{\"key\":\"a\",\"match\":{\"value\":\"x\"}}", "{}", false },
        { "{\"key\":\"a\",\"match\":{\"value\":\"x\"}}", NULL, false },
        { "{\"key\":\"a\",\"match\":{\"value\":\"x\"}}", "{\"a\":null}", false },
    };
    CHECK(rows);
}

static void test_match_lists(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "{\"key\":\"a\",\"match\":{\"any\":[\"x\",\"y\"]}}", "{\"a\":\"y\"}", true },
        { "{\"key\":\"a\",\"match\":{\"any\":[1,-2,3]}}", "{\"a\":[9,-2]}", true },
        { "{\"key\":\"a\",\"match\":{\"any\":[1,-2,3]}}", "{\"a\":2}", false },
        { "{\"key\":\"a\",\"match\":{\"any\":[]}}", "{\"a\":1}", false },
        { "{\"key\":\"a\",\"match\":{\"any\":[9,8,7,6,5,4,3,2,1,0,-1,-2]}}", "{\"a\":-2}", true },
        { "{\"key\":\"a\",\"match\":{\"any\":[9,8,7,6,5,4,3,2,1,0,-1,-2]}}", "{\"a\":10}", false },
        { "{\"key\":\"a\",\"match\":{\"any\":[\"i\",\"hh\",\"g\",\"f\",\"e\",\"d\",\"c\",\"bb\","
          "\"a\"]}}",
          "{\"a\":\"hh\"}", true },
        { "{\"key\":\"a\",\"match\":{\"except\":[\"x\"]}}", "{\"a\":\"y\"}", true },
        { "{\"key\":\"a\",\"match\":{\"except\":[\"x\"]}}", "{\"a\":\"x\"}", false },
        { "{\"key\":\"a\",\"match\":{\"except\":[\"x\"]}}", "{\"a\":[\"x\",\"y\"]}", true },
        { "{\"key\":\"a\",\"match\":{\"except\":[\"x\"]}}", "{\"a\":[\"x\"]}", false },
        { "{\"key\":\"a\",\"match\":{\"except\":[\"x\"]}}", "{\"a\":5}", true },
        { "{\"key\":\"a\",\"match\":{\"except\":[5]}}", "{\"a\":5.0}", true },
        { "{\"key\":\"a\",\"match\":{\"except\":[\"x\"]}}", "{\"a\":null}", false },
        { "{\"key\":\"a\",\"match\":{\"except\":[\"x\"]}}", "{\"b\":1}", false },
        { "{\"key\":\"a\",\"match\":{\"except\":[]}}", "{\"a\":\"x\"}", true },
        { "{\"key\":\"a\",\"match\":{\"except\":[]}}", "{\"a\":[]}", false },
    };
    CHECK(rows);
}

static void test_match_text(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "{\"key\":\"a\",\"match\":{\"text\":\"good ch\"}}", "{\"a\":\"a good choice\"}", true },
        { "{\"key\":\"a\",\"match\":{\"text\":\"Good\"}}", "{\"a\":\"a good choice\"}", false },
        { "{\"key\":\"a\",\"match\":{\"text\":\"\"}}", "{\"a\":\"\"}", true },
        { "{\"key\":\"a\",\"match\":{\"phrase\":\"good choice\"}}", "{\"a\":\"good choice\"}",
          true },
        { "{\"key\":\"a\",\"match\":{\"text_any\":\"bad  choice \"}}", "{\"a\":\"a choice\"}",
          true },
        { "{\"key\":\"a\",\"match\":{\"text_any\":\"bad worse\"}}", "{\"a\":\"a choice\"}", false },
        { "{\"key\":\"a\",\"match\":{\"text_any\":\"  \"}}", "{\"a\":\"a choice\"}", false },
        { "{\"key\":\"a\",\"match\":{\"prefix\":\"ch\"}}", "{\"a\":\"choice\"}", true },
        { "{\"key\":\"a\",\"match\":{\"prefix\":\"ho\"}}", "{\"a\":\"choice\"}", false },
        { "{\"key\":\"a\",\"match\":{\"prefix\":\"choices\"}}", "{\"a\":\"choice\"}", false },
        { "{\"key\":\"a\",\"match\":{\"text\":\"1\"}}", "{\"a\":1}", false },
    };
    CHECK(rows);
}

static void test_range_of_numbers_and_datetimes(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "{\"key\":\"a\",\"range\":{\"gt\":1,\"lt\":3}}", "{\"a\":2}", true },
        { "{\"key\":\"a\",\"range\":{\"gt\":1}}", "{\"a\":1}", false },
        { "{\"key\":\"a\",\"range\":{\"gte\":1}}", "{\"a\":1.0}", true },
        { "{\"key\":\"a\",\"range\":{\"lt\":1}}", "{\"a\":1}", false },
        { "{\"key\":\"a\",\"range\":{\"lte\":1,\"gt\":null}}", "{\"a\":1}", true },
        { "{\"key\":\"a\",\"range\":{\"lt\":-1.5}}", "{\"a\":[5,-2]}", true },
        { "{\"key\":\"a\",\"range\":{}}", "{\"a\":5}", true },
        { "{\"key\":\"a\",\"range\":{}}", "{\"a\":\"5\"}", false },
        { "{\"key\":\"a\",\"range\":{\"gt\":1}}", "{\"a\":\"2\"}", false },
        { "{\"key\":\"a\",\"range\":{\"gt\":\"2024-01-01\"}}", "{\"a\":\"2024-01-01T00:00:01Z\"}",
          true },
        { "{\"key\":\"a\",\"range\":{\"gt\":\"2024-01-01\"}}", "{\"a\":\"2024-01-01\"}", false },
        { "{\"key\":\"a\",\"range\":{\"gte\":\"2024-01-01T02:00:00+02:00\"}}",
          "{\"a\":\"2024-01-01\"}", true },
        { "{\"key\":\"a\",\"range\":{\"lt\":\"2024-01-01\"}}", "{\"a\":\"soon\"}", false },
        { "{\"key\":\"a\",\"range\":{\"lt\":\"2024-01-01\"}}", "{\"a\":5}", false },
    };
    CHECK(rows);
}

static void test_geo_shapes(void **state)
{
    (void)state;
#define BERLIN "{\"a\":{\"lon\":13.404954,\"lat\":52.520008}}"
#define BOTH "{\"a\":[{\"lon\":37.6,\"lat\":55.75},{\"lon\":13.404954,\"lat\":52.520008}]}"
    static const struct row rows[] = {
        { "{\"key\":\"a\",\"geo_radius\":{\"center\":{\"lon\":13.4,\"lat\":52.5},"
          "\"radius\":3000}}",
          BERLIN, true },
        { "{\"key\":\"a\",\"geo_radius\":{\"center\":{\"lon\":13.4,\"lat\":52.5},"
          "\"radius\":2000}}",
          BERLIN, false },
        { "{\"key\":\"a\",\"geo_radius\":{\"center\":{\"lon\":13.4,\"lat\":52.5},"
          "\"radius\":3000}}",
          BOTH, true },
        { "{\"key\":\"a\",\"geo_bounding_box\":{\"top_left\":{\"lon\":13,\"lat\":53},"
          "\"bottom_right\":{\"lon\":14,\"lat\":52}}}",
          BERLIN, true },
        { "{\"key\":\"a\",\"geo_bounding_box\":{\"top_left\":{\"lon\":170,\"lat\":53},"
          "\"bottom_right\":{\"lon\":-170,\"lat\":52}}}",
          "{\"a\":{\"lon\":-175,\"lat\":52.5}}", true },
        { "{\"key\":\"a\",\"geo_bounding_box\":{\"top_left\":{\"lon\":170,\"lat\":53},"
          "\"bottom_right\":{\"lon\":-170,\"lat\":52}}}",
          BERLIN, false },
        { "{\"key\":\"a\",\"geo_polygon\":{\"exterior\":{\"points\":[{\"lon\":13,\"lat\":52},"
          "{\"lon\":14,\"lat\":52},{\"lon\":13.5,\"lat\":53},{\"lon\":13,\"lat\":52}]}}}",
          BERLIN, true },
        { "{\"key\":\"a\",\"geo_polygon\":{\"exterior\":{\"points\":[{\"lon\":13,\"lat\":52},"
          "{\"lon\":14,\"lat\":52},{\"lon\":13.5,\"lat\":53},{\"lon\":13,\"lat\":52}]},"
          "\"interiors\":[{\"points\":[{\"lon\":13.3,\"lat\":52.5},{\"lon\":13.5,\"lat\":52.5},"
          "{\"lon\":13.4,\"lat\":52.6},{\"lon\":13.3,\"lat\":52.5}]}]}}",
          BERLIN, false },
        { "{\"key\":\"a\",\"geo_radius\":{\"center\":{\"lon\":13.4,\"lat\":52.5},"
          "\"radius\":3000}}",
          "{\"a\":{\"lon\":\"13.4\",\"lat\":52.5}}", false },
        { "{\"key\":\"a\",\"geo_radius\":{\"center\":{\"lon\":13.4,\"lat\":52.5},"
          "\"radius\":3000}}",
          "{\"a\":5}", false },
    };
    CHECK(rows);
}

static void test_counting_and_emptiness(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "{\"key\":\"a\",\"values_count\":{\"gt\":1}}", "{\"a\":[1,2]}", true },
        { "{\"key\":\"a\",\"values_count\":{\"gt\":1}}", "{\"a\":\"xx\"}", false },
        { "{\"key\":\"a\",\"values_count\":{\"gte\":1,\"lte\":1}}", "{\"a\":{}}", true },
        { "{\"key\":\"a\",\"values_count\":{\"lt\":1}}", "{}", true },
        { "{\"key\":\"a\",\"values_count\":{\"lt\":1}}", NULL, true },
        { "{\"key\":\"a\",\"values_count\":{\"lt\":1}}", "{\"a\":null}", true },
        { "{\"is_empty\":{\"key\":\"a\"}}", "{}", true },
        { "{\"is_empty\":{\"key\":\"a\"}}", NULL, true },
        { "{\"is_empty\":{\"key\":\"a\"}}", "{\"a\":null}", true },
        { "{\"is_empty\":{\"key\":\"a\"}}", "{\"a\":[]}", true },
        { "{\"is_empty\":{\"key\":\"a\"}}", "{\"a\":[null]}", false },
        { "{\"is_empty\":{\"key\":\"a\"}}", "{\"a\":{}}", false },
        { "{\"is_empty\":{\"key\":\"a[].b\"}}", "{\"a\":[{\"b\":null},{\"b\":1}]}", false },
        { "{\"is_null\":{\"key\":\"a\"}}", "{\"a\":null}", true },
        { "{\"is_null\":{\"key\":\"a\"}}", "{\"a\":[1,null]}", true },
        { "{\"is_null\":{\"key\":\"a\"}}", "{\"a\":[]}", false },
        { "{\"is_null\":{\"key\":\"a\"}}", "{}", false },
        { "{\"key\":\"a\",\"is_empty\":false}", "{\"a\":1}", true },
        { "{\"key\":\"a\",\"is_empty\":false}", "{}", false },
        { "{\"key\":\"a\",\"is_empty\":true}", "{}", true },
        { "{\"key\":\"a\",\"is_null\":false}", "{}", true },
        { "{\"key\":\"a\",\"is_null\":false}", "{\"a\":null}", false },
        { "{\"key\":\"a\",\"is_null\":true}", "{\"a\":null}", true },
    };
    CHECK(rows);
}

static void test_paths_in_conditions(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "{\"key\":\"a.b\",\"match\":{\"value\":1}}", "{\"a\":{\"b\":1}}", true },
        { "{\"key\":\"a.b\",\"match\":{\"value\":1}}", "{\"a\":{\"b\":[2,1]}}", true },
        { "{\"key\":\"a.b\",\"match\":{\"value\":1}}", "{\"a\":[{\"b\":1}]}", false },
        { "{\"key\":\"a[].b\",\"match\":{\"value\":1}}", "{\"a\":[{\"b\":2},{\"b\":1}]}", true },
        { "{\"key\":\"a[].b\",\"match\":{\"value\":1}}", "{\"a\":{\"b\":1}}", false },
        { "{\"key\":\"a[1].b\",\"match\":{\"value\":1}}", "{\"a\":[{\"b\":2},{\"b\":1}]}", true },
        { "{\"key\":\"a[0].b\",\"match\":{\"value\":1}}", "{\"a\":[{\"b\":2},{\"b\":1}]}", false },
        { "{\"key\":\"\\\"a.b\\\"\",\"match\":{\"value\":1}}", "{\"a.b\":1}", true },
        { "{\"key\":\"\\\"a.b\\\".c\",\"match\":{\"value\":1}}", "{\"a.b\":{\"c\":1}}", true },
        { "{\"key\":\"\\u00fc\",\"match\":{\"value\":1}}", "{\"\\u00fc\":1}", true },
    };
    CHECK(rows);
}

static void test_clauses_combine(void **state)
{
    (void)state;
#define A1 "{\"key\":\"a\",\"match\":{\"value\":1}}"
#define B1 "{\"key\":\"b\",\"match\":{\"value\":1}}"
#define C1 "{\"key\":\"c\",\"match\":{\"value\":1}}"
    static const struct row rows[] = {
        { "{\"must\":" A1 "}", "{\"a\":1}", true }, /* one condition without a list */
        { "{\"should\":[" A1 "," B1 "]}", "{\"b\":1}", true },
        { "{\"should\":[" A1 "," B1 "]}", "{\"c\":1}", false },
        { "{\"should\":[],\"must\":[" A1 "]}", "{\"a\":1}", true },
        { "{\"should\":null,\"must\":[" A1 "]}", "{\"a\":1}", true },
        { "{\"must_not\":[" A1 "," B1 "]}", "{\"c\":1}", true },
        { "{\"must_not\":[" A1 "," B1 "]}", "{\"b\":1}", false },
        { "{\"min_should\":{\"conditions\":[" A1 "," B1 "," C1 "],\"min_count\":2}}",
          "{\"a\":1,\"c\":1}", true },
        { "{\"min_should\":{\"conditions\":[" A1 "," B1 "," C1 "],\"min_count\":2}}", "{\"a\":1}",
          false },
        { "{\"min_should\":{\"conditions\":[" A1 "],\"min_count\":2}}", "{\"a\":1}", false },
        { "{\"must\":[{\"should\":[" A1 "," B1 "]},{\"must_not\":[" C1 "]}]}", "{\"b\":1}", true },
        { "{\"must\":[{\"should\":[" A1 "," B1 "]},{\"must_not\":[" C1 "]}]}", "{\"b\":1,\"c\":1}",
          false },
        { "{}", NULL, true },
        { "{\"has_id\":[1,7]}", NULL, true },
        { "{\"has_id\":[1,2,3,4,5,6,8,9,10]}", NULL, false },
        { "{\"has_id\":[]}", NULL, false },
        { "{\"has_vector\":\"\"}", NULL, true },
        { "{\"has_vector\":\"image\"}", NULL, false },
        { "{\"slice\":{\"total\":1,\"index\":0}}", NULL, true },
        { "{\"nested\":{\"key\":\"d\",\"filter\":{\"must\":[" A1 "," B1 "]}}}",
          "{\"d\":[{\"a\":1},{\"b\":1}]}", false },
        { "{\"nested\":{\"key\":\"d\",\"filter\":{\"must\":[" A1 "," B1 "]}}}",
          "{\"d\":[{\"a\":1},{\"a\":1,\"b\":1}]}", true },
        { "{\"nested\":{\"key\":\"d[]\",\"filter\":{\"must\":[" A1 "]}}}", "{\"d\":[{\"a\":1}]}",
          true },
        { "{\"nested\":{\"key\":\"d\",\"filter\":{\"must_not\":[" A1 "]}}}", "{\"d\":[{\"a\":1}]}",
          false },
        { "{\"nested\":{\"key\":\"d\",\"filter\":{\"must_not\":[" A1 "]}}}", "{}", false },
    };
    CHECK(rows);
}

static void test_empty_filters_constrain_nothing(void **state)
{
    (void)state;
    static const char *const empty[] = { "{}", "null", "{\"must\":[]}",
                                         "{\"must\":null,\"should\":[],\"must_not\":[]}" };
    for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
        struct filter *f = NULL;
        assert_int_equal(filter_parse_text(slice_from_str(empty[i]), &f, NULL), SHOAL_OK);
        assert_true(filter_is_empty(f));
        assert_false(filter_needs_payload(f));
        assert_true(matches(empty[i], NULL, 1));
        filter_free(f);
    }
}

static void test_slices_partition_the_ids(void **state)
{
    (void)state;
    for (uint64_t id = 0; id < 300; id++) {
        unsigned in = 0;
        for (unsigned i = 0; i < 5; i++) {
            char text[96];
            snprintf(text, sizeof(text), "{\"must\":[{\"slice\":{\"total\":5,\"index\":%u}}]}", i);
            in += matches(text, NULL, id);
        }
        assert_int_equal(in, 1);
    }
}

static void test_ids_alone_need_no_payload_and_name_candidates(void **state)
{
    (void)state;
    struct filter *f = NULL;
    struct filter_ids ids;
    const char *text = "{\"must\":[{\"has_id\":[5,3,5,\"550e8400-e29b-41d4-a716-446655440000\"]}]}";
    assert_int_equal(filter_parse_text(slice_from_str(text), &f, NULL), SHOAL_OK);
    assert_false(filter_needs_payload(f));
    assert_true(filter_candidates(f, &ids));
    assert_int_equal(ids.len, 3);
    assert_int_equal(ids.ids[0].value.num, 3);
    assert_int_equal(ids.ids[1].value.num, 5);
    filter_free(f);
    text = "{\"should\":[{\"has_id\":[5]}]}";
    assert_int_equal(filter_parse_text(slice_from_str(text), &f, NULL), SHOAL_OK);
    assert_false(filter_candidates(f, &ids));
    filter_free(f);
}

struct refusal {
    const char *filter;
    enum shoal_err rc;
    const char *text; /* occurs in the refusal */
};

static void test_refusals_name_the_place(void **state)
{
    (void)state;
    static const struct refusal rows[] = {
        { "{\"must\":[", SHOAL_EPARSE, "filter" },
        { "[]", SHOAL_EPARSE, "an object is expected, not array" },
        { "{\"musst\":[]}", SHOAL_EPARSE, "unknown key \"musst\"" },
        { "{\"must\":5}", SHOAL_EPARSE, "must: an array is expected, not integer" },
        { "{\"must\":[5]}", SHOAL_EPARSE, "must[0]: an object is expected" },
        { "{\"must\":[],\"must\":[]}", SHOAL_EPARSE, "must: given twice" },
        { "{\"must\":[{\"key\":\"a\"}]}", SHOAL_EVALIDATION,
          "must[0]: At least one field condition must be specified" },
        { "{\"must\":[{\"key\":\"a\",\"match\":null}]}", SHOAL_EVALIDATION, "At least one" },
        { "{\"must\":[{\"key\":5,\"is_null\":true}]}", SHOAL_EPARSE, "must[0].key: a string" },
        { "{\"must\":[{\"key\":\"a..b\",\"is_null\":true}]}", SHOAL_EPARSE,
          "must[0].key: the path" },
        { "{\"must\":[{\"key\":\"a\",\"mach\":{}}]}", SHOAL_EPARSE, "unknown key \"mach\"" },
        { "{\"must\":[{\"key\":\"a\",\"match\":{}}]}", SHOAL_EPARSE, "must[0].match: one of" },
        { "{\"must\":[{\"key\":\"a\",\"match\":{\"value\":1.5}}]}", SHOAL_EPARSE,
          "must[0].match.value: a string, an integer or a boolean is expected, not number" },
        { "{\"must\":[{\"key\":\"a\",\"match\":{\"any\":[1,\"x\"]}}]}", SHOAL_EPARSE,
          "must[0].match.any[1]: either strings or integers" },
        { "{\"must\":[{\"key\":\"a\",\"match\":{\"any\":[1.5]}}]}", SHOAL_EPARSE, "any[0]" },
        { "{\"must\":[{\"key\":\"a\",\"match\":{\"any\":[1],\"value\":1}}]}", SHOAL_EPARSE,
          "match.value: one test only" },
        { "{\"must\":[{\"key\":\"a\",\"range\":{\"gt\":\"soon\"}}]}", SHOAL_EPARSE,
          "must[0].range.gt: not a date" },
        { "{\"must\":[{\"key\":\"a\",\"range\":{\"gt\":1,\"lt\":\"2024-01-01\"}}]}", SHOAL_EPARSE,
          "must[0].range.lt: all bounds" },
        { "{\"must\":[{\"key\":\"a\",\"range\":{\"ge\":1}}]}", SHOAL_EPARSE, "range.ge: unknown" },
        { "{\"should\":[{\"must\":[{\"key\":\"a\",\"range\":{\"gt\":true}}]}]}", SHOAL_EPARSE,
          "should[0].must[0].range.gt: a number or a datetime string is expected, not boolean" },
        { "{\"must\":[{\"key\":\"a\",\"values_count\":{\"gt\":-1}}]}", SHOAL_EPARSE,
          "values_count.gt: an integer" },
        { "{\"must\":[{\"key\":\"a\",\"geo_radius\":{\"center\":{\"lon\":1},\"radius\":1}}]}",
          SHOAL_EPARSE, "geo_radius.center: lon" },
        { "{\"must\":[{\"key\":\"a\",\"geo_radius\":{\"center\":{\"lon\":1,\"lat\":99},"
          "\"radius\":1}}]}",
          SHOAL_EPARSE, "lat in -90..90" },
        { "{\"must\":[{\"key\":\"a\",\"geo_radius\":{\"center\":{\"lon\":1,\"lat\":9},"
          "\"radius\":-1}}]}",
          SHOAL_EVALIDATION, "radius must not be negative" },
        { "{\"must\":[{\"key\":\"a\",\"geo_bounding_box\":{\"top_left\":{\"lon\":1,\"lat\":9}}}]}",
          SHOAL_EPARSE, "top_left and bottom_right" },
        { "{\"must\":[{\"key\":\"a\",\"geo_polygon\":{\"exterior\":{\"points\":["
          "{\"lon\":1,\"lat\":9}]}}}]}",
          SHOAL_EVALIDATION, "geo_polygon.exterior.points: a line of at least 4" },
        { "{\"must\":[{\"has_id\":[1,-1]}]}", SHOAL_EPARSE, "must[0].has_id[1]: a point id" },
        { "{\"must\":[{\"has_id\":7}]}", SHOAL_EPARSE, "must[0].has_id: an array" },
        { "{\"must\":[{\"has_id\":[1],\"has_vector\":\"\"}]}", SHOAL_EPARSE, "nothing may stand" },
        { "{\"must\":[{\"nested\":{\"key\":\"a\",\"filter\":{\"must\":[{\"has_id\":[1]}]}}}]}",
          SHOAL_EPARSE, "must[0].nested.filter.must[0].has_id: has_id is not possible" },
        { "{\"must\":[{\"nested\":{\"key\":\"a\"}}]}", SHOAL_EPARSE, "key and filter" },
        { "{\"must\":[{\"is_empty\":{}}]}", SHOAL_EPARSE, "must[0].is_empty: key is expected" },
        { "{\"min_should\":{\"conditions\":[],\"min_count\":0}}", SHOAL_EVALIDATION, "min_count" },
        { "{\"min_should\":{\"conditions\":[]}}", SHOAL_EPARSE, "conditions and min_count" },
        { "{\"must\":[{\"slice\":{\"total\":2,\"index\":2}}]}", SHOAL_EVALIDATION,
          "index < total" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct filter *f = NULL;
        struct errbuf why = { 0 };
        enum shoal_err rc = filter_parse_text(slice_from_str(rows[i].filter), &f, &why);
        assert_null(f);
        if (rc != rows[i].rc || strstr(why.text, rows[i].text) == NULL) {
            fail_msg("%s: %s (%s), not \"%s\"", rows[i].filter, err_word(rc), why.text,
                     rows[i].text);
        }
    }
}

/* Depth, width and the number of conditions are bounded. */
static void test_limits_hold(void **state)
{
    (void)state;
    struct buf b;
    struct filter *f = NULL;
    struct errbuf why = { 0 };
    buf_init(&b, 16u << 20);
    for (int i = 0; i < FILTER_DEPTH_MAX + 1; i++) {
        buf_append_str(&b, "{\"must\":");
    }
    buf_append_str(&b, "{}");
    for (int i = 0; i < FILTER_DEPTH_MAX + 1; i++) {
        buf_append_str(&b, "}");
    }
    assert_int_equal(filter_parse_text(buf_slice(&b), &f, &why), SHOAL_EPARSE);
    assert_non_null(strstr(why.text, "nested deeper"));
    buf_reset(&b);
    buf_append_str(&b, "{\"must\":[{}");
    for (int i = 0; i < FILTER_CONDITIONS_MAX; i++) {
        buf_append_str(&b, ",{}");
    }
    buf_append_str(&b, "]}");
    assert_int_equal(filter_parse_text(buf_slice(&b), &f, &why), SHOAL_EPARSE);
    assert_non_null(strstr(why.text, "more than"));
    buf_release(&b);
}

static void test_parse_survives_each_failed_allocation(void **state)
{
    (void)state;
    const char *text =
        "{\"must\":[{\"key\":\"a.\\\"b\\\"\",\"match\":{\"any\":[\"x\",\"y\"]}},"
        "{\"nested\":{\"key\":\"d\",\"filter\":{\"must_not\":[{\"key\":\"e\",\"range\":{\"gt\":1}}]"
        "}}},{\"has_id\":[1,2]}],\"should\":[{\"key\":\"g\",\"geo_radius\":{\"center\":{\"lon\":1,"
        "\"lat\":2},\"radius\":3}}],\"min_should\":{\"conditions\":[{\"is_null\":{\"key\":\"z\"}}],"
        "\"min_count\":1}}";
    struct filter *f = NULL;
    enum shoal_err rc = SHOAL_ENOMEM;
    size_t live = mem_live();
    long nth = 0;
    for (; rc == SHOAL_ENOMEM && nth < ALLOCS_MAX; nth++) {
        test_heap_fail_at(nth);
        rc = filter_parse_text(slice_from_str(text), &f, NULL);
        (void)test_heap_fail_never();
        if (rc != SHOAL_OK) {
            assert_null(f);
            assert_int_equal(mem_live(), live);
        }
    }
    assert_int_equal(rc, SHOAL_OK);
    assert_true(nth > 2);
    filter_free(f);
    assert_int_equal(mem_live(), live);
}

static void test_datetimes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
        int64_t us;
    } rows[] = {
        { "1970-01-01", true, 0 },
        { "1970-01-01T00:00:00Z", true, 0 },
        { "1970-01-01T00:00:01.5Z", true, 1500000 },
        { "1970-01-01 00:01", true, 60000000 },
        { "1970-01-01 00:00:01", true, 1000000 },
        { "1970-01-01T02:00:00+02:00", true, 0 },
        { "1969-12-31T22:30:00-0130", true, 0 },
        { "1970-01-01T00:00:00.0000019Z", true, 1 },
        { "2000-02-29", true, INT64_C(951782400000000) },
        { "2024-12-31T23:59:60Z", true, INT64_C(1735689600000000) },
        { "0000-01-01", true, INT64_C(-62167219200000000) },
        { "9999-12-31T23:59:59.999999Z", true, INT64_C(253402300799999999) },
        { "1900-02-29", false, 0 },
        { "2023-02-29", false, 0 },
        { "2023-13-01", false, 0 },
        { "2023-00-01", false, 0 },
        { "2023-01-00", false, 0 },
        { "2023-1-1", false, 0 },
        { "2023-01-01T24:00:00Z", false, 0 },
        { "2023-01-01T", false, 0 },
        { "2023-01-01T00:00:00.Z", false, 0 },
        { "2023-01-01T00:00:00Zx", false, 0 },
        { "2023-01-01T00:00:00+1", false, 0 },
        { "20230101", false, 0 },
        { "", false, 0 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t us = 0;
        bool valid = datetime_parse(slice_from_str(rows[i].text), &us);
        if (valid != rows[i].valid || (valid && us != rows[i].us)) {
            fail_msg("%s: %d %lld", rows[i].text, valid, (long long)us);
        }
    }
}

static void test_the_globe(void **state)
{
    (void)state;
    struct geo_point paris = { 2.3522, 48.8566 };
    struct geo_point london = { -0.1276, 51.5072 };
    double m = geo_distance_m(paris, london);
    assert_true(m > 343000 && m < 344500);
    assert_true(geo_distance_m((struct geo_point){ 0, 0 }, (struct geo_point){ 180, 0 }) > 2e7);
    assert_true(geo_distance_m(paris, paris) == 0);
    struct geo_point square[] = { { 0, 0 }, { 4, 0 }, { 4, 4 }, { 0, 4 }, { 0, 0 } };
    struct geo_polygon g = { .exterior = { square, 5 } };
    assert_true(geo_polygon_has(&g, (struct geo_point){ 2, 2 }));
    assert_false(geo_polygon_has(&g, (struct geo_point){ 4, 2 })); /* an edge is outside */
    assert_false(geo_polygon_has(&g, (struct geo_point){ 0, 0 }));
    assert_false(geo_polygon_has(&g, (struct geo_point){ 5, 4 })); /* level with a corner */
    assert_false(geo_polygon_has(&g, (struct geo_point){ -1, 0 }));
}

static void test_paths_parse_or_name_the_byte(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t steps; /* 0: refused */
    } rows[] = {
        { "a", 1 },        { "a.b", 2 },       { "a[]", 2 },  { "a[].b[3].c-d_e", 5 },
        { "\"\"", 1 },     { "a.\"b c\"", 2 }, { "", 0 },     { ".a", 0 },
        { "a.", 0 },       { "a[", 0 },        { "a[x]", 0 }, { "a[99999999999]", 0 },
        { "a b", 0 },      { "\"a", 0 },       { "[0]", 0 },  { "a]", 0 },
        { "\"a\\x\"", 0 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct arena arena;
        struct json_path path;
        struct errbuf why = { 0 };
        arena_init(&arena, 1u << 20);
        enum shoal_err rc = json_path_parse(slice_from_str(rows[i].text), &arena, &path, &why);
        if ((rc == SHOAL_OK) != (rows[i].steps > 0) || path.len != rows[i].steps) {
            fail_msg("%s: %s, %zu steps", rows[i].text, err_word(rc), path.len);
        }
        assert_true(rc == SHOAL_OK || strstr(why.text, "at byte") != NULL);
        arena_release(&arena);
    }
}

int main(void)
{
    test_heap_install();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_match_is_strict_about_types),
        cmocka_unit_test(test_match_lists),
        cmocka_unit_test(test_match_text),
        cmocka_unit_test(test_range_of_numbers_and_datetimes),
        cmocka_unit_test(test_geo_shapes),
        cmocka_unit_test(test_counting_and_emptiness),
        cmocka_unit_test(test_paths_in_conditions),
        cmocka_unit_test(test_clauses_combine),
        cmocka_unit_test(test_empty_filters_constrain_nothing),
        cmocka_unit_test(test_slices_partition_the_ids),
        cmocka_unit_test(test_ids_alone_need_no_payload_and_name_candidates),
        cmocka_unit_test(test_refusals_name_the_place),
        cmocka_unit_test(test_limits_hold),
        cmocka_unit_test(test_parse_survives_each_failed_allocation),
        cmocka_unit_test(test_datetimes),
        cmocka_unit_test(test_the_globe),
        cmocka_unit_test(test_paths_parse_or_name_the_byte),
    };
    return cmocka_run_group_tests_name("filter", tests, NULL, NULL);
}
