/* Any text as a body of the HTTP API, for every parser: none may crash; a refusal has a code of
 * server/rest_parse.h and a text; and what a parser lets through, a shard accepts. */
#include "server/rest_parse.h"
#include "shard/filter.h"
#include "shard/rlog.h"

#include <stdint.h>
#include <stdlib.h>

#define DIM 2
#define ARENA_MAX (64u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* True when the parser understood the body. */
static bool understood(const struct rest_parser *p, enum shoal_err rc)
{
    bool known = rc == SHOAL_OK || rc == SHOAL_EPARSE || rc == SHOAL_EINVAL ||
                 rc == SHOAL_EVALIDATION || rc == SHOAL_EUNSUPPORTED || rc == SHOAL_ETOOBIG ||
                 rc == SHOAL_ENOMEM;
    check(known);
    check(rc == SHOAL_OK || rc == SHOAL_ENOMEM || p->why->text[0] != '\0');
    err_clear(p->why);
    return rc == SHOAL_OK;
}

static void check_filter(struct slice text)
{
    struct filter *filter = NULL;
    if (text.len > 0) {
        check(filter_parse_text(text, &filter, NULL) == SHOAL_OK);
        filter_free(filter);
    }
}

static void check_select(const struct rest_select *select)
{
    const struct slice payload = SLICE_LIT("{\"a\":{\"b\":[1,{\"c\":null}]},\"d\":[]}");
    if (select->kind == REST_SELECT_NONE) {
        return;
    }
    struct buf out;
    struct json_writer w;
    struct json_doc *doc = NULL;
    buf_init(&out, 1024);
    json_writer_init(&w, &out);
    check(rest_select_write(select, payload, &w) == SHOAL_OK);
    check(json_parse(buf_slice(&out), &doc, NULL) == SHOAL_OK);
    check(json_kind(json_root(doc)) == JSON_OBJECT);
    json_free(doc);
    buf_release(&out);
}

static void check_search(const struct rest_search *s)
{
    check(s->limit >= 1);
    check(s->kind != REST_QUERY_VECTOR ||
          vector_check(s->vector, DIM, DISTANCE_DOT, NULL) == SHOAL_OK);
    check_filter(s->filter);
    check_select(&s->payload);
}

static void check_op(const struct op *op)
{
    if (op->points_len == 0 && op->filter.len == 0) {
        return; /* nothing to do */
    }
    struct buf text;
    buf_init(&text, RLOG_ENTRY_MAX);
    check(op_encode(&text, op) == SHOAL_OK);
    check(op_check(op, DIM, DISTANCE_DOT, NULL) == SHOAL_OK);
    buf_release(&text);
}

static void try_searches(const struct rest_parser *p, struct json_value v)
{
    struct rest_search one;
    struct rest_searches many;
    if (understood(p, rest_parse_query(p, v, &one))) {
        check_search(&one);
    }
    if (understood(p, rest_parse_legacy(p, v, &one))) {
        check_search(&one);
    }
    if (understood(p, rest_parse_query_batch(p, v, &many))) {
        for (size_t i = 0; i < many.len; i++) {
            check_search(&many.list[i]);
        }
    }
    if (understood(p, rest_parse_legacy_batch(p, v, &many))) {
        for (size_t i = 0; i < many.len; i++) {
            check_search(&many.list[i]);
        }
    }
}

static void try_reads(const struct rest_parser *p, struct json_value v)
{
    struct rest_retrieve retrieve;
    struct rest_scroll scroll;
    struct rest_count count;
    if (understood(p, rest_parse_retrieve(p, v, &retrieve))) {
        check_select(&retrieve.payload);
    }
    if (understood(p, rest_parse_scroll(p, v, &scroll))) {
        check(scroll.limit >= 1);
        check_filter(scroll.filter);
    }
    if (understood(p, rest_parse_count(p, v, &count))) {
        check_filter(count.filter);
    }
}

static void try_updates(const struct rest_parser *p, struct json_value v)
{
    struct op op;
    struct rest_updates many;
    if (understood(p, rest_parse_upsert(p, v, &op))) {
        check_op(&op);
    }
    if (understood(p, rest_parse_delete(p, v, &op))) {
        check_op(&op);
    }
    if (understood(p, rest_parse_payload(p, v, OP_OVERWRITE_PAYLOAD, &op))) {
        check_op(&op);
    }
    if (understood(p, rest_parse_delete_payload(p, v, &op))) {
        check_op(&op);
    }
    if (understood(p, rest_parse_update_batch(p, v, &many))) {
        for (size_t i = 0; i < many.len; i++) {
            check_op(&many.ops[i]);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct json_doc *doc = NULL;
    struct errbuf why = { 0 };
    if (json_parse(slice_make(data, len), &doc, &why) != SHOAL_OK) {
        return 0;
    }
    err_clear(&why);
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    const struct rest_parser p = {
        .arena = &arena, .dim = DIM, .distance = DISTANCE_DOT, .why = &why
    };
    try_searches(&p, json_root(doc));
    try_reads(&p, json_root(doc));
    try_updates(&p, json_root(doc));
    arena_release(&arena);
    json_free(doc);
    return 0;
}
