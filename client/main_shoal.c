/* The `shoal` program: options, then one command. */
#include "base/mem.h"
#include "client/cli.h"

#include <stdio.h>
#include <string.h>

extern char **environ;

static const struct config_option table[] = {
    { .key = "help",
      .kind = CONFIG_BOOL,
      .fallback = "false",
      .section = "Options",
      .help = "Prints this text." },
    { .key = "version",
      .kind = CONFIG_BOOL,
      .fallback = "false",
      .section = "Options",
      .help = "Prints the version." },
    { .key = "url",
      .kind = CONFIG_STRING,
      .fallback = "shoal://127.0.0.1:6334",
      .value = "URL",
      .section = "Options",
      .help =
          "The server: shoal://HOST:PORT of its --nng address; or file:///DIR, a data directory "
          "that no server uses." },
    { .key = "timeout",
      .kind = CONFIG_DURATION_MS,
      .fallback = "60s",
      .value = "TIME",
      .section = "Options",
      .min = 1,
      .max = 3600000,
      .help =
          "How long one request may take (ingest: 10m unless given, since texts are embedded)." },
    { .key = "vector",
      .kind = CONFIG_STRING,
      .value = "JSON",
      .section = "Options",
      .help = "search: an array of numbers to search by, in the place of a text." },
    { .key = "json",
      .kind = CONFIG_BOOL,
      .fallback = "false",
      .section = "Options",
      .help = "Prints answers as JSON." },
    { .key = "limit",
      .kind = CONFIG_U64,
      .fallback = "5",
      .value = "N",
      .section = "Options",
      .min = 1,
      .max = 1000,
      .help = "search, ask: how many results or passages." },
    { .key = "shards",
      .kind = CONFIG_U64,
      .fallback = "1",
      .value = "N",
      .section = "Options",
      .min = 1,
      .max = 256,
      .help = "collection create, ingest: shards of a new collection." },
    { .key = "dim",
      .kind = CONFIG_U64,
      .value = "N",
      .fallback = "0",
      .section = "Options",
      .help = "collection create: components of a vector; without it the collection takes "
              "documents, embedded by the server." },
    { .key = "distance",
      .kind = CONFIG_STRING,
      .fallback = "Cosine",
      .value = "NAME",
      .section = "Options",
      .help = "collection create: Cosine, Dot, Euclid or Manhattan." },
};

static const char overview[] =
    "Usage: shoal [OPTIONS] COMMAND\n"
    "\n"
    "Commands:\n"
    "  collection create NAME          makes a collection (of documents, or of vectors: --dim)\n"
    "  collection list                 names all collections\n"
    "  collection info NAME            shows one\n"
    "  collection delete NAME          removes one with all its points\n"
    "  ingest NAME PATH...             stores files and directories (text, Markdown, HTML) as\n"
    "                                  documents; a second run skips what has not changed\n"
    "  search NAME TEXT                finds the passages nearest in meaning\n"
    "  search NAME --vector JSON       finds the points nearest to a vector\n"
    "  ask NAME QUESTION               answers from the documents, with citations\n"
    "  status                          tells how the server is\n"
    "\n";

struct command {
    const char *name;
    int (*run)(struct cli *cli);
    uint32_t timeout_ms; /* unless another is given; 0: the option's own default */
};

static const struct command commands[] = {
    { "collection", cli_collection, 0 }, { "ingest", cli_ingest, 600000 },
    { "search", cli_search, 0 },         { "ask", cli_ask, 0 },
    { "status", cli_status, 0 },
};

int cli_fail(const char *why)
{
    fprintf(stderr, "shoal: %s\n", why);
    return CLI_FAILED;
}

int cli_usage(const char *usage)
{
    fprintf(stderr, "usage: shoal %s\n(`shoal --help` tells more)\n", usage);
    return CLI_USAGE;
}

int cli_call(struct cli *cli, const char *method, const char *path, const char *body,
             struct json_doc **doc, struct json_value *result)
{
    char why[SHOAL_WHY_MAX];
    char *json = NULL;
    *doc = NULL;
    if (shoal_call(cli->db, method, path, body, &json, why) != SHOAL_E_OK) {
        return cli_fail(why);
    }
    struct errbuf err = { 0 };
    enum shoal_err rc = json_parse(slice_from_str(json), doc, &err);
    shoal_text_free(json);
    if (rc == SHOAL_OK && !json_get(json_root(*doc), "result", result)) {
        rc = err_set(&err, SHOAL_EPROTO, "the server's answer has no result");
    }
    if (rc != SHOAL_OK) {
        json_free(*doc);
        *doc = NULL;
        return cli_fail(err_why(&err, rc));
    }
    return CLI_OK;
}

bool cli_path(char *out, size_t out_len, const char *prefix, const char *name, const char *rest)
{
    int n = snprintf(out, out_len, "%s/collections/", prefix);
    size_t at = (size_t)n;
    for (const unsigned char *c = (const unsigned char *)name; *c != '\0'; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || strchr("-_.~", *c) != NULL;
        if (at + 4 >= out_len) {
            return false;
        }
        at += (size_t)snprintf(out + at, out_len - at, plain ? "%c" : "%%%02X", *c);
    }
    n = snprintf(out + at, out_len - at, "%s", rest);
    return at + (size_t)n < out_len;
}

struct slice cli_text(struct json_value v, const char *key, const char *fallback)
{
    struct json_value member;
    struct slice s = slice_from_str(fallback);
    if (json_get(v, key, &member)) {
        (void)json_string(member, &s);
    }
    return s;
}

double cli_number(struct json_value v, const char *key)
{
    struct json_value member;
    double d = 0;
    if (json_get(v, key, &member)) {
        (void)json_f64(member, &d);
    }
    return d;
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(name, commands[i].name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static int run_command(const struct config *options)
{
    const char *const *words = NULL;
    size_t n = config_args(options, &words);
    const struct command *command = n == 0 ? NULL : find_command(words[0]);
    if (command == NULL) {
        fputs(overview, stderr);
        return CLI_USAGE;
    }
    struct shoal_options settings = { .timeout_ms = (uint32_t)config_u64(options, "timeout") };
    if (command->timeout_ms != 0 && !config_is_set(options, "timeout")) {
        settings.timeout_ms = command->timeout_ms;
    }
    struct cli cli = { .options = options, .words = words + 1, .words_len = n - 1 };
    char why[SHOAL_WHY_MAX];
    if (shoal_open(config_string(options, "url"), &settings, &cli.db, why) != SHOAL_E_OK) {
        return cli_fail(why);
    }
    int code = command->run(&cli);
    shoal_close(cli.db);
    return code;
}

static int print_help(const struct config *options)
{
    struct buf text;
    buf_init(&text, 64u << 10);
    enum shoal_err rc = config_print_help(options, &text);
    fputs(overview, stdout);
    if (rc == SHOAL_OK) {
        fwrite(text.data, 1, text.len, stdout);
    }
    buf_release(&text);
    return rc == SHOAL_OK ? CLI_OK : CLI_FAILED;
}

int main(int argc, char **argv)
{
    struct config *options = NULL;
    struct errbuf why = { 0 };
    enum shoal_err rc = config_new(table, sizeof(table) / sizeof(table[0]), "SHOALC_", &options);
    if (rc == SHOAL_OK) {
        rc = config_load_env(options, environ, &why);
    }
    if (rc == SHOAL_OK) {
        rc = config_load_args(options, argc, argv, &why);
    }
    int code;
    if (rc != SHOAL_OK) {
        (void)cli_fail(err_why(&why, rc));
        code = CLI_USAGE;
    } else if (config_bool(options, "help")) {
        code = print_help(options);
    } else if (config_bool(options, "version")) {
        puts(shoal_version());
        code = CLI_OK;
    } else {
        code = run_command(options);
    }
    config_free(options);
    return code;
}
