/* shoal status: the server, its nodes, its models and its collections. */
#include "client/cli.h"

#include <stdio.h>

#define STATUS_BYTES_MAX (4u << 20)
/* Columns, in characters. */
#define NAME_WIDTH 40
#define COUNT_WIDTH 20
#define TEXT_WIDTH 80

static void print_server(struct json_value result)
{
    struct json_value ready;
    bool is_ready = false;
    if (json_get(result, "ready", &ready)) {
        (void)json_bool(ready, &is_ready);
    }
    struct slice version = cli_text(result, "version", "?");
    struct slice name = cli_text(result, "name", "?");
    struct slice roles = cli_text(result, "roles", "");
    printf("shoald %.*s, %.*s (%.*s): %s\n", (int)version.len, version.data, (int)name.len,
           name.data, (int)roles.len, roles.data, is_ready ? "ready" : "not ready yet");
}

/* Every row begins with what it tells of, so that scripts find it. */
static void begin_row(const char *what, struct json_value v)
{
    cli_cell(slice_from_str(what), 10);
    cli_cell(cli_text(v, "name", "?"), NAME_WIDTH);
}

/* "3 shards" */
static void print_count(struct json_value v, const char *key, const char *unit)
{
    char text[48];
    int n = snprintf(text, sizeof(text), "%.0f %s", cli_number(v, key), unit);
    cli_cell(slice_make(text, (size_t)n), COUNT_WIDTH);
}

static void print_node(struct json_value v)
{
    begin_row("node", v);
    print_count(v, "shards", "shards");
    cli_last_cell(cli_text(v, "url", ""), TEXT_WIDTH);
}

static void print_collection(struct json_value v)
{
    struct slice trouble = cli_text(v, "trouble", "");
    begin_row("collection", v);
    print_count(v, "points", "points");
    cli_cell(cli_text(v, "status", "?"), 6);
    printf("%.0f of %.0f shards%s", cli_number(v, "shards_answered"), cli_number(v, "shards_asked"),
           trouble.len > 0 ? "  " : "");
    cli_last_cell(trouble, TEXT_WIDTH);
}

static void print_model(struct json_value v)
{
    bool generates = slice_is(cli_text(v, "kind", ""), "generator");
    begin_row("model", v);
    print_count(v, "context", "tokens");
    printf("%s\n", generates ? "generates" : "embeds");
}

static size_t print_each(struct json_value result, const char *key,
                         void (*print)(struct json_value v))
{
    struct json_value list;
    struct json_value v;
    if (!json_get(result, key, &list)) {
        return 0;
    }
    for (struct json_iter it = json_iter(list); json_next(&it, NULL, &v);) {
        print(v);
    }
    return json_len(list);
}

static void print_status(struct json_value result)
{
    print_server(result);
    (void)print_each(result, "nodes", print_node);
    (void)print_each(result, "collections", print_collection);
    if (print_each(result, "models", print_model) == 0) {
        printf("no generator: texts are neither embedded nor generated\n");
    }
}

int cli_status(struct cli *cli)
{
    struct json_doc *doc = NULL;
    struct json_value result;
    if (cli->words_len != 0) {
        return cli_usage("status");
    }
    int code = cli_call(cli, "GET", "/v1/status", NULL, &doc, &result);
    if (code == CLI_OK && config_bool(cli->options, "json")) {
        code = cli_print_json(result, STATUS_BYTES_MAX);
    } else if (code == CLI_OK) {
        print_status(result);
    }
    json_free(doc);
    return code;
}
