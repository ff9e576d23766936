/* Documents parse: bodies of the documents' routes, checked whole: their form, their sizes, and
 * that every text can be read and cut. Private to documents*.c.
 *
 * Threads: pure functions; everything lies in the arena or in the body. */
#ifndef SHOAL_SERVER_DOCUMENTS_PARSE_H
#define SHOAL_SERVER_DOCUMENTS_PARSE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/point_id.h"
#include "slm/chunk.h"
#include "slm/document.h"

#include <stddef.h>

/* One document of a request. */
struct document_in {
    struct slice id;
    struct slice hash; /* of the text when none is given */
    struct slice title;
    struct slice type;
    struct slice text;
    struct slice metadata; /* JSON object; empty: none */
    struct document parsed;
    struct chunk *chunks;
    size_t chunks_len;
    /* documents.c's own: points of the former version */
    struct point_id *old;
    size_t old_len;
};

struct documents_in {
    struct document_in *list;
    size_t len;
    size_t chunks_len; /* of all */
};

/* {"documents": [{"id", "text", "type"?, "title"?, "hash"?, "metadata"?}]}. SHOAL_EINVAL (the form,
 * an unknown key, an id twice), SHOAL_EVALIDATION (a length), SHOAL_ETOOBIG, SHOAL_EUNSUPPORTED (a
 * type), SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err documents_parse(struct json_value body, struct arena *arena,
                                                struct documents_in *out, struct errbuf *why);
/* {"documents": [{"id", "hash"}, ..]}, or with `bare` {"documents": [id, ..]}: then there are no
 * hashes. */
SHOAL_MUST_CHECK enum shoal_err documents_parse_ids(struct json_value body, bool bare,
                                                    struct arena *arena, struct documents_in *out,
                                                    struct errbuf *why);

#endif
