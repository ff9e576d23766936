/* The default models for tests: $SHOAL_MODELS with its models.json. A test that needs a model and
 * has none fails and says how to get it. */
#ifndef SHOAL_TESTS_SLM_MODELS_H
#define SHOAL_TESTS_SLM_MODELS_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/disk.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEST_MODEL_PATH_MAX 1024

struct test_model {
    char path[TEST_MODEL_PATH_MAX];
    char sha256[65];
};

static inline bool test_model_entry(const char *dir, struct json_value entry, const char *kind,
                                    struct test_model *out)
{
    struct json_value v;
    struct slice found = { NULL, 0 };
    struct slice file = { NULL, 0 };
    struct slice sha256 = { NULL, 0 };
    if (!json_get(entry, "kind", &v) || !json_string(v, &found) || !slice_is(found, kind) ||
        !json_get(entry, "file", &v) || !json_string(v, &file) || !json_get(entry, "sha256", &v) ||
        !json_string(v, &sha256)) {
        return false;
    }
    snprintf(out->path, sizeof(out->path), "%s/%.*s", dir, (int)file.len, file.data);
    snprintf(out->sha256, sizeof(out->sha256), "%.*s", (int)sha256.len, sha256.data);
    return true;
}

/* kind is "embedder" or "generator". */
static inline bool test_model_find(const char *kind, struct test_model *out)
{
    const char *dir = getenv("SHOAL_MODELS");
    char path[TEST_MODEL_PATH_MAX];
    bool found = false;
    struct buf text;
    struct json_doc *doc = NULL;
    snprintf(path, sizeof(path), "%s/models.json", dir == NULL ? "" : dir);
    buf_init(&text, 1u << 20);
    if (dir != NULL && disk_real()->read_whole(NULL, path, &text, NULL) == SHOAL_OK &&
        json_parse(buf_slice(&text), &doc, NULL) == SHOAL_OK) {
        struct json_value entry;
        for (struct json_iter it = json_iter(json_root(doc));
             !found && json_next(&it, NULL, &entry);) {
            found = test_model_entry(dir, entry, kind, out);
        }
    }
    json_free(doc);
    buf_release(&text);
    if (!found) {
        printf("no %s in $SHOAL_MODELS: run deps/install.sh, start the tests by ctest\n", kind);
    }
    return found;
}

/* Far enough away for a loaded machine under a sanitizer. */
static inline uint64_t test_deadline_ns(void)
{
    return clock_mono_ns(clock_real()) + 120u * 1000000000ull;
}

#endif
