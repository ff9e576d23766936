/* shoal status: the server, its nodes, its models and its collections. */
#include "client/cli.h"

#include <inttypes.h>
#include <stdio.h>

#define STATUS_BYTES_MAX (4u << 20)

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

static void print_nodes(struct json_value list)
{
    struct json_value v;
    printf("\n");
    cli_cell(SLICE_LIT("NODE"), 24);
    cli_cell(SLICE_LIT("SHARDS"), 8);
    printf("ADDRESS\n");
    for (struct json_iter it = json_iter(list); json_next(&it, NULL, &v);) {
        cli_cell(cli_text(v, "name", "?"), 24);
        cli_cell_u64(v, "shards", 8);
        cli_last_cell(cli_text(v, "url", ""), 80);
    }
}

static void print_collections(struct json_value list)
{
    struct json_value v;
    printf("\n");
    cli_cell(SLICE_LIT("COLLECTION"), 24);
    cli_cell(SLICE_LIT("STATUS"), 8);
    cli_cell(SLICE_LIT("POINTS"), 12);
    printf("SHARDS\n");
    for (struct json_iter it = json_iter(list); json_next(&it, NULL, &v);) {
        struct slice trouble = cli_text(v, "trouble", "");
        cli_cell(cli_text(v, "name", "?"), 24);
        cli_cell(cli_text(v, "status", "?"), 8);
        cli_cell_u64(v, "points", 12);
        printf("%.0f of %.0f%s%.*s\n", cli_number(v, "shards_answered"),
               cli_number(v, "shards_asked"), trouble.len > 0 ? "  " : "", (int)trouble.len,
               trouble.data);
    }
}

static void print_models(struct json_value list)
{
    struct json_value v;
    printf("\n");
    if (json_len(list) == 0) {
        printf("No generator: texts are neither embedded nor generated.\n");
        return;
    }
    cli_cell(SLICE_LIT("MODEL"), 40);
    cli_cell(SLICE_LIT("KIND"), 12);
    printf("CONTEXT\n");
    for (struct json_iter it = json_iter(list); json_next(&it, NULL, &v);) {
        cli_cell(cli_text(v, "name", "?"), 40);
        cli_cell(cli_text(v, "kind", "?"), 12);
        printf("%.0f\n", cli_number(v, "context"));
    }
}

int cli_status(struct cli *cli)
{
    struct json_doc *doc = NULL;
    struct json_value result;
    struct json_value list;
    if (cli->words_len != 0) {
        return cli_usage("status");
    }
    int code = cli_call(cli, "GET", "/v1/status", NULL, &doc, &result);
    if (code == CLI_OK && config_bool(cli->options, "json")) {
        code = cli_print_json(result, STATUS_BYTES_MAX);
    } else if (code == CLI_OK) {
        print_server(result);
        if (json_get(result, "nodes", &list)) {
            print_nodes(list);
        }
        if (json_get(result, "collections", &list)) {
            print_collections(list);
        }
        if (json_get(result, "models", &list)) {
            print_models(list);
        }
    }
    json_free(doc);
    return code;
}
