/* JSON path: where in a payload a condition or a deletion looks.
 *
 *     path  = key { "." key | "[]" | "[" digits "]" }
 *     key   = letters, digits, "_", "-" (any of them, also outside ASCII), or a quoted string in
 *             which \" and \\ stand for themselves
 *
 * "a.b" goes through objects only; "a[].b" through every element of an array, "a[2].b" through one.
 *
 * Threads: a parsed path is immutable. */
#ifndef SHOAL_SHARD_JSON_PATH_H
#define SHOAL_SHARD_JSON_PATH_H

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

#define JSON_PATH_BYTES_MAX 4096
#define JSON_PATH_STEPS_MAX 64

enum json_step_kind { JSON_STEP_KEY, JSON_STEP_INDEX, JSON_STEP_EACH };

struct json_step {
    enum json_step_kind kind;
    struct slice key; /* JSON_STEP_KEY: unescaped */
    uint32_t index;   /* JSON_STEP_INDEX */
};

struct json_path {
    const struct json_step *steps; /* the first is a key */
    size_t len;                    /* 1..JSON_PATH_STEPS_MAX */
};

/* Steps and keys live in the arena. SHOAL_EPARSE with the place, SHOAL_ETOOBIG, SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err json_path_parse(struct slice text, struct arena *arena,
                                                struct json_path *out, struct errbuf *why);
/* The path with one more JSON_STEP_EACH, unless it ends in one. */
SHOAL_MUST_CHECK enum shoal_err json_path_each_element(const struct json_path *path,
                                                       struct arena *arena, struct json_path *out);

/* Calls `found` with every value at the path, in the document's order, while it returns true.
 * Returns how many there were (the one that stopped it included). */
typedef bool json_path_found(void *arg, struct json_value value);
size_t json_path_walk(const struct json_path *path, struct json_value root, json_path_found *found,
                      void *arg);

#endif
