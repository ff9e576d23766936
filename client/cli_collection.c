/* shoal collection ... */
#include "client/cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BODY_MAX 4096
#define INFO_BYTES_MAX (1u << 20)

/* A collection of vectors when a dimension was given, else one of documents. */
static const char *print_create(struct cli *cli, uint64_t dim, struct buf *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_begin_object(&w);
    if (dim != 0) {
        json_key(&w, "vectors");
        json_begin_object(&w);
        json_key(&w, "size");
        json_put_u64(&w, dim);
        json_key(&w, "distance");
        json_put_str(&w, config_string(cli->options, "distance"));
        json_end_object(&w);
    }
    json_key(&w, "shard_number");
    json_put_u64(&w, config_u64(cli->options, "shards"));
    json_end_object(&w);
    return buf_cstr(out);
}

static int create(struct cli *cli, const char *name)
{
    char path[CLI_PATH_MAX];
    uint64_t dim = config_u64(cli->options, "dim");
    struct json_doc *doc = NULL;
    struct json_value result;
    if (!cli_path(path, sizeof(path), dim == 0 ? "/v1" : "", name, "")) {
        return cli_fail("the name is too long");
    }
    struct buf body;
    buf_init(&body, BODY_MAX);
    const char *text = print_create(cli, dim, &body);
    int code = text == NULL ? cli_fail(err_text(body.failed))
                            : cli_call(cli, "PUT", path, text, &doc, &result);
    json_free(doc);
    buf_release(&body);
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
    char path[CLI_PATH_MAX];
    struct json_doc *doc = NULL;
    struct json_value result;
    if (!cli_path(path, sizeof(path), "", name, "")) {
        return cli_fail("the name is too long");
    }
    int code = cli_call(cli, "GET", path, NULL, &doc, &result);
    if (code == CLI_OK) {
        if (config_bool(cli->options, "json")) {
            code = cli_print_json(result, INFO_BYTES_MAX);
        } else {
            struct slice status = cli_text(result, "status", "?");
            printf("%s: %.*s, %.0f points, %.0f indexed, %.0f segments\n", name, (int)status.len,
                   status.data, cli_number(result, "points_count"),
                   cli_number(result, "indexed_vectors_count"),
                   cli_number(result, "segments_count"));
        }
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
