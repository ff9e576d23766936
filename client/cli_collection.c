/* shoal collection ..., shoal status */
#include "client/cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BODY_MAX 4096

static int create(struct cli *cli, const char *name)
{
    char path[1024];
    char body[BODY_MAX];
    uint64_t dim = config_u64(cli->options, "dim");
    uint64_t shards = config_u64(cli->options, "shards");
    struct json_doc *doc = NULL;
    struct json_value result;
    if (!cli_path(path, sizeof(path), dim == 0 ? "/v1" : "", name, "")) {
        return cli_fail("the name is too long");
    }
    if (dim == 0) {
        snprintf(body, sizeof(body), "{\"shard_number\":%" PRIu64 "}", shards);
    } else {
        struct buf text;
        struct json_writer w;
        buf_init(&text, sizeof(body) - 1);
        json_writer_init(&w, &text);
        json_put_str(&w, config_string(cli->options, "distance"));
        const char *distance = buf_cstr(&text);
        snprintf(body, sizeof(body),
                 "{\"vectors\":{\"size\":%" PRIu64 ",\"distance\":%s},\"shard_number\":%" PRIu64
                 "}",
                 dim, distance == NULL ? "\"\"" : distance, shards);
        buf_release(&text);
    }
    int code = cli_call(cli, "PUT", path, body, &doc, &result);
    json_free(doc);
    if (code == CLI_OK) {
        printf("created %s\n", name);
    }
    return code;
}

static int list(struct cli *cli)
{
    struct json_doc *doc = NULL;
    struct json_value result;
    struct json_value collections;
    struct json_value c;
    int code = cli_call(cli, "GET", "/collections", NULL, &doc, &result);
    if (code == CLI_OK && json_get(result, "collections", &collections)) {
        for (struct json_iter it = json_iter(collections); json_next(&it, NULL, &c);) {
            struct slice name = cli_text(c, "name", "?");
            printf("%.*s\n", (int)name.len, name.data);
        }
    }
    json_free(doc);
    return code;
}

static int info(struct cli *cli, const char *name)
{
    char path[1024];
    struct json_doc *doc = NULL;
    struct json_value result;
    if (!cli_path(path, sizeof(path), "", name, "")) {
        return cli_fail("the name is too long");
    }
    int code = cli_call(cli, "GET", path, NULL, &doc, &result);
    if (code == CLI_OK) {
        struct buf text;
        buf_init(&text, 1u << 20);
        if (config_bool(cli->options, "json") && json_print(result, &text) == SHOAL_OK) {
            printf("%.*s\n", (int)text.len, text.data);
        } else {
            struct slice status = cli_text(result, "status", "?");
            printf("%s: %.*s, %.0f points, %.0f indexed, %.0f segments\n", name, (int)status.len,
                   status.data, cli_number(result, "points_count"),
                   cli_number(result, "indexed_vectors_count"),
                   cli_number(result, "segments_count"));
        }
        buf_release(&text);
    }
    json_free(doc);
    return code;
}

static int delete_one(struct cli *cli, const char *name)
{
    char why[SHOAL_WHY_MAX];
    if (shoal_collection_delete(cli->db, name, why) != SHOAL_E_OK) {
        return cli_fail(why);
    }
    printf("deleted %s\n", name);
    return CLI_OK;
}

int cli_collection(struct cli *cli)
{
    const char *verb = cli->words_len > 0 ? cli->words[0] : "";
    const char *name = cli->words_len == 2 ? cli->words[1] : NULL;
    if (strcmp(verb, "list") == 0 && cli->words_len == 1) {
        return list(cli);
    }
    if (strcmp(verb, "create") == 0 && name != NULL) {
        return create(cli, name);
    }
    if (strcmp(verb, "info") == 0 && name != NULL) {
        return info(cli, name);
    }
    if (strcmp(verb, "delete") == 0 && name != NULL) {
        return delete_one(cli, name);
    }
    return cli_usage("collection create|info|delete NAME, or shoal collection list");
}

int cli_status(struct cli *cli)
{
    struct json_doc *doc = NULL;
    struct json_value result;
    struct json_value list_of;
    struct json_value v;
    if (cli->words_len != 0) {
        return cli_usage("status");
    }
    int code = cli_call(cli, "GET", "/v1/status", NULL, &doc, &result);
    if (code != CLI_OK) {
        return code;
    }
    if (json_get(result, "nodes", &list_of)) {
        for (struct json_iter it = json_iter(list_of); json_next(&it, NULL, &v);) {
            struct slice name = cli_text(v, "name", "?");
            struct slice url = cli_text(v, "url", "");
            printf("node %.*s at %.*s, %.0f shards\n", (int)name.len, name.data, (int)url.len,
                   url.data, cli_number(v, "shards"));
        }
    }
    if (json_get(result, "models", &list_of)) {
        for (struct json_iter it = json_iter(list_of); json_next(&it, NULL, &v);) {
            struct slice name = cli_text(v, "name", "?");
            struct slice kind = cli_text(v, "kind", "?");
            printf("model %.*s (%.*s)\n", (int)name.len, name.data, (int)kind.len, kind.data);
        }
    }
    if (json_get(result, "collections", &list_of)) {
        for (struct json_iter it = json_iter(list_of); json_next(&it, NULL, &v);) {
            struct slice name = cli_text(v, "name", "?");
            struct slice status = cli_text(v, "status", "?");
            printf("collection %.*s: %.*s, %.0f points\n", (int)name.len, name.data,
                   (int)status.len, status.data, cli_number(v, "points"));
        }
    }
    json_free(doc);
    return CLI_OK;
}
