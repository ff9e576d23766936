/* Select: which parts of a payload an answer shows (with_payload).
 *
 * Threads: pure functions; a select lives in the arena it was parsed into. */
#ifndef SHOAL_SERVER_REST_SELECT_H
#define SHOAL_SERVER_REST_SELECT_H

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "shard/json_path.h"

#include <stdint.h>

#define REST_SELECT_PATHS_MAX 64

enum rest_select_kind {
    REST_SELECT_NONE,
    REST_SELECT_ALL,
    REST_SELECT_INCLUDE, /* only what lies at the paths, with what leads there */
    REST_SELECT_EXCLUDE  /* all but what lies at the paths */
};

struct rest_select {
    enum rest_select_kind kind;
    const struct json_path *paths;
    size_t paths_len;
};

/* true, false, ["a", "b.c"], {"include": [..]}, {"exclude": [..]}. SHOAL_EPARSE, SHOAL_ETOOBIG
 * (more than REST_SELECT_PATHS_MAX), SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err rest_select_parse(struct json_value v, struct arena *arena,
                                                  struct rest_select *out, struct errbuf *why);
/* Writes the selected part of a stored payload (JSON text; empty: the point has none, "{}").
 * For REST_SELECT_NONE it is a bug and asserts. SHOAL_ECORRUPT when the text is no JSON object;
 * SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err rest_select_write(const struct rest_select *select,
                                                  struct slice payload, struct json_writer *w);

#endif
