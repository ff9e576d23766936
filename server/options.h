/* Options of shoald: one table, read from --config FILE, the environment (SHOALD_*) and the command
 * line. */
#ifndef SHOAL_SERVER_OPTIONS_H
#define SHOAL_SERVER_OPTIONS_H

#include "base/config.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum role { ROLE_GATEWAY = 1, ROLE_NODE = 2, ROLE_CATALOG = 4, ROLE_GENERATOR = 8 };

struct options {
    struct config *config; /* owns the strings below */
    bool help;
    bool version;
    unsigned roles;
    const char *data;
    const char *http; /* NULL: off */
    const char *nng;
    const char *advertise; /* NULL: as --nng */
    const char *join;      /* NULL: the catalog is here */
    const char *name;      /* NULL: from the data directory's identity */
    const char *models;    /* directory; NULL: beside the program; "off": none */
    uint64_t model_threads;
    uint64_t threads;
    uint64_t builders;
    uint64_t body_bytes_max;
    const char *limits; /* NULL: none */
    const char *log_level;
    const char *log_format;
};

/* Reads all sources and checks them against each other. SHOAL_EINVAL says what to change. */
SHOAL_MUST_CHECK enum shoal_err options_read(int argc, char *const *argv, char *const *envp,
                                             struct options *out, struct errbuf *why);
void options_release(struct options *o);
/* The text of --help, on standard output. */
enum shoal_err options_print_help(const struct options *o);

#endif
