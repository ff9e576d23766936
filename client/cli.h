/* The `shoal` command line: what its commands share. Private to the program.
 *
 * A command returns the program's exit code: 0 success, 1 the request failed, 2 the words on the
 * command line are wrong. What people asked for goes to standard output, progress and errors to
 * standard error. */
#ifndef SHOAL_CLIENT_CLI_H
#define SHOAL_CLIENT_CLI_H

#include "base/config.h"
#include "base/json.h"
#include "client/shoal.h"

struct cli {
    struct shoal *db;
    const struct config *options;
    const char *const *words; /* after the command's name */
    size_t words_len;
};

/* Room for a route's path. */
#define CLI_PATH_MAX 1024

#define CLI_OK 0
#define CLI_FAILED 1
#define CLI_USAGE 2

int cli_collection(struct cli *cli);
int cli_ingest(struct cli *cli);
int cli_search(struct cli *cli);
int cli_ask(struct cli *cli);
int cli_status(struct cli *cli);

/* Prints "shoal: <why>" and gives CLI_FAILED. */
int cli_fail(const char *why);
/* Prints how the command is used and gives CLI_USAGE. */
int cli_usage(const char *usage);
/* Calls a route and parses its answer; *result is its "result". On failure says why. */
int cli_call(struct cli *cli, const char *method, const char *path, const char *body,
             struct json_doc **doc, struct json_value *result);
/* "/<prefix>/collections/<name><rest>" with the name percent-encoded; false when too long. */
bool cli_path(char *out, size_t out_len, const char *prefix, const char *name, const char *rest);
/* The member as text, or `fallback`; borrowed from the document. */
struct slice cli_text(struct json_value v, const char *key, const char *fallback);
double cli_number(struct json_value v, const char *key);

/* One cell of a table: the text on one line, cut to `width` characters (at least 4) or filled up to
 * it, and two blanks. */
void cli_cell(struct slice text, size_t width);
/* The last of a row: not filled up, and the line ends. */
void cli_last_cell(struct slice text, size_t width);
/* The same with a member that is a whole number; "?" when it is none. */
void cli_cell_u64(struct json_value v, const char *key, size_t width);
/* The value as one line of JSON. Gives the exit code. */
int cli_print_json(struct json_value v, size_t bytes_max);

#endif
