/* shoal search: passages of documents by a text, or points by a vector. */
#include "client/cli.h"

#include <stdio.h>
#include <string.h>

#define BODY_MAX (4u << 20)
#define ANSWER_BYTES_MAX (64u << 20)
/* Columns of the tables, in characters. */
#define DOCUMENT_WIDTH 32
#define SECTION_WIDTH 28
#define TEXT_WIDTH 64
#define ID_WIDTH 38

static void put_limit(struct json_writer *w, struct cli *cli)
{
    json_key(w, "limit");
    json_put_u64(w, config_u64(cli->options, "limit"));
}

/* {"text": "<text>", "limit": n} */
static void print_text_query(struct cli *cli, struct json_writer *w)
{
    json_begin_object(w);
    json_key(w, "text");
    json_put_str(w, cli->words[1]);
    put_limit(w, cli);
    json_end_object(w);
}

/* {"query": [..], "limit": n, "with_payload": true}. False when the vector is no array of numbers:
 * then it was told. */
static bool print_vector_query(struct cli *cli, struct json_writer *w)
{
    struct json_doc *doc = NULL;
    struct errbuf why = { 0 };
    enum shoal_err rc = json_parse(slice_from_str(config_string(cli->options, "vector")), &doc,
                                   &why);
    if (rc == SHOAL_OK && json_kind(json_root(doc)) != JSON_ARRAY) {
        rc = err_set(&why, SHOAL_EPARSE, "it is not a JSON array of numbers");
    }
    if (rc != SHOAL_OK) {
        (void)err_prefix(&why, rc, "--vector");
        (void)cli_fail(err_why(&why, rc));
        json_free(doc);
        return false;
    }
    json_begin_object(w);
    json_key(w, "query");
    json_put_value(w, json_root(doc));
    put_limit(w, cli);
    json_key(w, "with_payload");
    json_put_bool(w, true);
    json_end_object(w);
    json_free(doc);
    return true;
}

static void print_score(struct json_value v)
{
    char text[32];
    int n = snprintf(text, sizeof(text), "%.4f", cli_number(v, "score"));
    cli_cell(slice_make(text, (size_t)n), 8);
}

static void print_passages(struct json_value list)
{
    struct json_value v;
    if (json_len(list) == 0) {
        printf("Nothing found.\n");
        return;
    }
    cli_cell(SLICE_LIT("SCORE"), 8);
    cli_cell(SLICE_LIT("DOCUMENT"), DOCUMENT_WIDTH);
    cli_cell(SLICE_LIT("SECTION"), SECTION_WIDTH);
    printf("TEXT\n");
    for (struct json_iter it = json_iter(list); json_next(&it, NULL, &v);) {
        print_score(v);
        cli_cell(cli_text(v, "document", ""), DOCUMENT_WIDTH);
        cli_cell(cli_text(v, "section", ""), SECTION_WIDTH);
        cli_last_cell(cli_text(v, "text", ""), TEXT_WIDTH);
    }
}

static void print_id(struct json_value point)
{
    struct json_value id;
    struct slice text;
    if (json_get(point, "id", &id) && json_string(id, &text)) {
        cli_cell(text, ID_WIDTH);
    } else {
        cli_cell_u64(point, "id", ID_WIDTH);
    }
}

static int print_points(struct json_value list)
{
    struct json_value v;
    struct json_value payload;
    struct buf text;
    buf_init(&text, ANSWER_BYTES_MAX);
    if (json_len(list) == 0) {
        printf("Nothing found.\n");
        return CLI_OK;
    }
    cli_cell(SLICE_LIT("SCORE"), 8);
    cli_cell(SLICE_LIT("ID"), ID_WIDTH);
    printf("PAYLOAD\n");
    for (struct json_iter it = json_iter(list);
         text.failed == SHOAL_OK && json_next(&it, NULL, &v);) {
        print_score(v);
        print_id(v);
        buf_reset(&text);
        if (json_get(v, "payload", &payload) && json_kind(payload) == JSON_OBJECT) {
            (void)json_print(payload, &text);
        }
        cli_last_cell(buf_slice(&text), TEXT_WIDTH);
    }
    enum shoal_err rc = text.failed;
    buf_release(&text);
    return rc == SHOAL_OK ? CLI_OK : cli_fail(err_text(rc));
}

static int print_answer(struct cli *cli, struct json_value result)
{
    struct json_value list;
    if (config_bool(cli->options, "json")) {
        return cli_print_json(result, ANSWER_BYTES_MAX);
    }
    if (json_get(result, "passages", &list)) {
        print_passages(list);
        return CLI_OK;
    }
    if (json_get(result, "points", &list)) {
        return print_points(list);
    }
    return cli_fail("the server's answer has neither passages nor points");
}

int cli_search(struct cli *cli)
{
    char path[CLI_PATH_MAX];
    bool by_vector = config_is_set(cli->options, "vector");
    if (cli->words_len != (by_vector ? 1 : 2)) {
        return cli_usage("search NAME TEXT, or shoal search NAME --vector JSON");
    }
    if (!(by_vector ? cli_path(path, sizeof(path), "", cli->words[0], "/points/query")
                    : cli_path(path, sizeof(path), "/v1", cli->words[0], "/search"))) {
        return cli_fail("the collection's name is too long");
    }
    struct buf body;
    struct json_writer w;
    buf_init(&body, BODY_MAX);
    json_writer_init(&w, &body);
    if (by_vector && !print_vector_query(cli, &w)) {
        buf_release(&body);
        return CLI_USAGE;
    }
    if (!by_vector) {
        print_text_query(cli, &w);
    }
    struct json_doc *doc = NULL;
    struct json_value result;
    const char *text = buf_cstr(&body);
    int code = text == NULL ? cli_fail(err_text(body.failed))
                            : cli_call(cli, "POST", path, text, &doc, &result);
    if (code == CLI_OK) {
        code = print_answer(cli, result);
    }
    json_free(doc);
    buf_release(&body);
    return code;
}
