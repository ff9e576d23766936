/* shoal ask */
#include "client/cli.h"

#include <stdio.h>
#include <string.h>

#define BODY_MAX (1u << 20)

/* {"question": "<text>", "limit": n} */
static enum shoal_err print_body(struct buf *out, const char *question, uint64_t limit)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key(&w, "question");
    json_put_str(&w, question);
    json_key(&w, "limit");
    json_put_u64(&w, limit);
    json_end_object(&w);
    return buf_cstr(out) == NULL ? out->failed : SHOAL_OK;
}

/* As a citation: the number is what the answer's text refers to. */
static void print_passage(struct json_value v)
{
    struct slice title = cli_text(v, "title", "");
    struct slice section = cli_text(v, "section", "");
    struct slice document = cli_text(v, "document", "");
    printf("[%.0f] %.*s%s%.*s  (score %.3f)\n    %.*s\n", cli_number(v, "number"), (int)title.len,
           title.data, title.len > 0 && section.len > 0 ? ", " : "", (int)section.len, section.data,
           cli_number(v, "score"), (int)document.len, document.data);
}

struct answer {
    bool json;
    bool failed;
    bool in_line; /* the answer's text has not ended its line */
};

static void end_line(struct answer *a)
{
    if (a->in_line) {
        printf("\n");
        a->in_line = false;
    }
}

static void print_citations(struct json_value v)
{
    struct json_value list;
    struct json_value c;
    if (json_get(v, "citations", &list) && json_len(list) > 0) {
        printf("\n");
        for (struct json_iter it = json_iter(list); json_next(&it, NULL, &c);) {
            print_passage(c);
        }
    }
    if (json_get(v, "sentences", &list)) {
        for (struct json_iter it = json_iter(list); json_next(&it, NULL, &c);) {
            struct json_value supported;
            bool ok = true;
            if (json_get(c, "supported", &supported) && json_bool(supported, &ok) && !ok) {
                struct slice text = cli_text(c, "text", "");
                printf("    not supported by its passage: \"%.*s\"\n", (int)text.len, text.data);
            }
        }
    }
}

static void print_timings(struct json_value v)
{
    struct json_value t;
    struct json_value shards;
    struct json_value s;
    if (!json_get(v, "timings", &t)) {
        return;
    }
    printf("    embed %.1f ms, search %.1f ms", cli_number(t, "embed_ms"),
           cli_number(t, "search_ms"));
    if (json_get(t, "shards", &shards) && json_len(shards) > 0) {
        const char *before = " (shards";
        for (struct json_iter it = json_iter(shards); json_next(&it, NULL, &s);) {
            printf("%s %.0f: %.1f ms", before, cli_number(s, "shard"), cli_number(s, "ms"));
            before = ",";
        }
        printf(")");
    }
    printf(", merge %.2f ms, prompt %.1f ms, first token %.0f ms, %.0f tokens at %.1f/s\n",
           cli_number(t, "merge_ms"), cli_number(t, "prompt_ms"), cli_number(t, "first_token_ms"),
           cli_number(t, "tokens"), cli_number(t, "tokens_per_second"));
}

static bool on_event(void *arg, const char *json)
{
    struct answer *a = arg;
    struct json_doc *doc = NULL;
    if (a->json) {
        printf("%s\n", json);
        fflush(stdout);
    }
    if (json_parse(slice_from_str(json), &doc, NULL) != SHOAL_OK) {
        return true;
    }
    struct json_value v = json_root(doc);
    struct slice type = cli_text(v, "type", "");
    if (slice_is(type, "error")) {
        struct slice message = cli_text(v, "message", "the answer failed");
        end_line(a);
        fprintf(stderr, "shoal: %.*s\n", (int)message.len, message.data);
        a->failed = true;
    } else if (!a->json && slice_is(type, "token")) {
        struct slice text = cli_text(v, "text", "");
        printf("%.*s", (int)text.len, text.data);
        fflush(stdout);
        a->in_line = true;
    } else if (!a->json && slice_is(type, "citations")) {
        end_line(a);
        print_citations(v);
    } else if (!a->json && slice_is(type, "done")) {
        end_line(a);
        print_timings(v);
    }
    json_free(doc);
    return true;
}

int cli_ask(struct cli *cli)
{
    char why[SHOAL_WHY_MAX];
    if (cli->words_len != 2) {
        return cli_usage("ask NAME QUESTION");
    }
    struct buf body;
    struct answer a = { .json = config_bool(cli->options, "json") };
    buf_init(&body, BODY_MAX);
    enum shoal_err rc = print_body(&body, cli->words[1], config_u64(cli->options, "limit"));
    int code = CLI_OK;
    if (rc != SHOAL_OK) {
        code = cli_fail(err_text(rc));
    } else if (shoal_ask(cli->db, cli->words[0], body.data, on_event, &a, why) != SHOAL_E_OK) {
        end_line(&a);
        code = cli_fail(why);
    } else if (a.failed) {
        code = CLI_FAILED;
    }
    buf_release(&body);
    return code;
}
