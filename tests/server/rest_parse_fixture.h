/* A parser of bodies under test: run it over a text, and compare what it says. */
#ifndef SHOAL_TESTS_SERVER_REST_PARSE_FIXTURE_H
#define SHOAL_TESTS_SERVER_REST_PARSE_FIXTURE_H

#include "server/rest_parse.h"

#include "base/mem.h"
#include "tests/support/heap.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define DIM 3
#define ARENA_MAX (8u << 20)
#define LEN(array) (sizeof(array) / sizeof((array)[0]))

/* --- running a parser ------------------------------------------------------------------------- */

/* What the parsers fill. */
union parsed {
    struct rest_search search;
    struct rest_searches searches;
    struct rest_retrieve retrieve;
    struct rest_scroll scroll;
    struct rest_count count;
    struct rest_updates updates;
    struct op op;
};

typedef enum shoal_err parse_fn(const struct rest_parser *p, struct json_value v,
                                union parsed *out);

struct fixture {
    struct arena arena;
    struct rest_parser parser;
    struct errbuf why;
    struct json_doc *doc;
    union parsed out;
    size_t live_before;
};

static inline int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){ .live_before = test_heap_live() };
    arena_init(&f.arena, ARENA_MAX);
    f.parser = (struct rest_parser){
        .arena = &f.arena, .dim = DIM, .distance = DISTANCE_COSINE, .why = &f.why
    };
    *state = &f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    json_free(f->doc);
    arena_release(&f->arena);
    return test_heap_live() == f->live_before ? 0 : -1;
}

/* What it gives lives until the next call. */
static inline enum shoal_err run(struct fixture *f, parse_fn *parse, struct slice body)
{
    json_free(f->doc);
    f->doc = NULL;
    arena_reset(&f->arena);
    err_clear(&f->why);
    memset(&f->out, 0x5a, sizeof(f->out));
    assert_int_equal(json_parse(body, &f->doc, &f->why), SHOAL_OK);
    return parse(&f->parser, json_root(f->doc), &f->out);
}

static inline void run_good(struct fixture *f, parse_fn *parse, const char *body)
{
    if (run(f, parse, slice_from_str(body)) != SHOAL_OK) {
        fail_msg("%s\n  %s", body, f->why.text);
    }
}

struct bad {
    parse_fn *parse;
    const char *body;
    enum shoal_err code;
    const char *text;
};

static inline void run_bad(struct fixture *f, const struct bad *cases, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        enum shoal_err rc = run(f, cases[i].parse, slice_from_str(cases[i].body));
        if (rc != cases[i].code || strcmp(f->why.text, cases[i].text) != 0) {
            fail_msg("%s\n  expected %s: %s\n  got %s: %s", cases[i].body, err_word(cases[i].code),
                     cases[i].text, err_word(rc), f->why.text);
        }
    }
}

static inline void assert_slice(struct slice s, const char *text)
{
    assert_int_equal(s.len, strlen(text));
    assert_memory_equal(s.data, text, s.len);
}

static inline struct point_id uuid(const char *text)
{
    struct point_id id;
    assert_int_equal(point_id_parse_uuid(slice_from_str(text), &id), SHOAL_OK);
    return id;
}

static inline void assert_id(const struct point_id *id, struct point_id expected)
{
    assert_int_equal(point_id_compare(id, &expected), 0);
}

#define UUID "550e8400-e29b-41d4-a716-446655440000"

/* `n` times `item` between `head` and `tail`, with commas. */
static inline void repeat(struct buf *out, const char *head, const char *item, size_t n,
                          const char *tail)
{
    buf_init(out, ARENA_MAX);
    (void)buf_append_str(out, head);
    for (size_t i = 0; i < n; i++) {
        (void)buf_append_str(out, i == 0 ? "" : ",");
        (void)buf_append_str(out, item);
    }
    assert_int_equal(buf_append_str(out, tail), SHOAL_OK);
}

#endif
