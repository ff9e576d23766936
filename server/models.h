/* Models: the files a generator may load, as models.json in their directory lists them:
 * [{"name", "kind": "embedder" | "generator", "file", "sha256", "context", "dims"}].
 *
 * Threads: none; read at start-up. */
#ifndef SHOAL_SERVER_MODELS_H
#define SHOAL_SERVER_MODELS_H

#include "base/disk.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODELS_MAX 16

struct listed_model {
    char name[128];
    char path[DISK_PATH_MAX];
    char sha256[65];
    bool generates; /* else it embeds */
    uint32_t context;
    uint32_t dim;
};

struct models {
    struct listed_model files[MODELS_MAX];
    size_t len;
};

/* `dir` as given by --models: NULL looks beside the program and takes none when there are none;
 * "off" takes none. A directory that was named must be there and well-formed. */
SHOAL_MUST_CHECK enum shoal_err models_load(const char *dir, struct models *out,
                                            struct errbuf *why);
/* The first of the kind; NULL when there is none. */
const struct listed_model *models_find(const struct models *m, bool generates);

#endif
