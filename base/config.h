/* Config: one table of options, read from a file, the environment and the command line, in that
 * order of strength (the last wins), and printed by --help from the same table.
 *
 * File: `key = value` lines, '#' starts a comment, keys as in the table ("log-level").
 * Environment: prefix and the key in capitals with underscores, for the prefix "SHOALD_":
 * SHOALD_LOG_LEVEL. Flags: `--log-level value` or `--log-level=value`; bool flags may stand alone.
 *
 * Threads: none; used before threads start. */
#ifndef SHOAL_BASE_CONFIG_H
#define SHOAL_BASE_CONFIG_H

#include "base/buf.h"
#include "base/disk.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_kind {
    CONFIG_STRING,
    CONFIG_BOOL,
    CONFIG_U64,
    CONFIG_F64,
    CONFIG_BYTES,      /* 64KiB, 1.5GiB, 100MB, plain digits */
    CONFIG_DURATION_MS /* 250ms, 5s, 2m, 1h; a bare number is refused */
};

struct config_option {
    const char *key; /* "http" */
    enum config_kind kind;
    const char *fallback; /* text of the default; NULL: unset */
    const char *value;    /* name of the value in --help: "HOST:PORT" */
    const char *help;     /* sentences for --help */
    const char *section;  /* heading it stands under in --help */
    uint64_t min, max;    /* for U64, BYTES and DURATION_MS; max 0: no bound */
};

struct config;

/* `options` is a static table that outlives the config. */
SHOAL_MUST_CHECK enum shoal_err config_new(const struct config_option *options, size_t len,
                                           const char *env_prefix, struct config **out);
void config_free(struct config *c);

/* Reads a file. Unknown keys and bad values are refused with file and line. SHOAL_ENOTFOUND. */
enum shoal_err config_load_file(struct config *c, const struct disk *disk, const char *path,
                                struct errbuf *why);
/* Reads every environment variable that starts with the prefix; an unknown one is refused, with
 * the nearest known name. */
enum shoal_err config_load_env(struct config *c, char *const *envp, struct errbuf *why);
/* argv[0] is skipped. Words that are no flags are gathered for config_args. `--` ends the flags.
 * A `--config FILE` among them is not special here: the caller looks for it first. */
enum shoal_err config_load_args(struct config *c, int argc, char *const *argv, struct errbuf *why);

/* A key that is not in the table, or asked with another kind, is a bug and asserts. */
const char *config_string(const struct config *c, const char *key); /* NULL when unset */
bool config_bool(const struct config *c, const char *key);
uint64_t config_u64(const struct config *c, const char *key); /* also BYTES and DURATION_MS */
double config_f64(const struct config *c, const char *key);
bool config_is_set(const struct config *c, const char *key); /* by file, environment or flag */
size_t config_args(const struct config *c, const char *const **out);

/* Appends the options' part of --help: flags, environment names, defaults, wrapped at 80. */
enum shoal_err config_print_help(const struct config *c, struct buf *out);

#endif
