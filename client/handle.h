/* Handle: what the public calls share. Private to the client. */
#ifndef SHOAL_CLIENT_HANDLE_H
#define SHOAL_CLIENT_HANDLE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "client/backend.h"
#include "client/shoal.h"

#include <stdbool.h>
#include <stdint.h>

/* A request's body, and a path with an encoded collection name. */
#define HANDLE_BODY_MAX (32u << 20)
#define HANDLE_PATH_MAX 1024

/* Immutable once open. */
struct shoal {
    struct backend *backend;
    uint32_t timeout_ms;
};

/* Writes the text to `why` (may be NULL) and gives the public code: the codes of the public API are
 * the numbers of the inner ones; a refusal of any kind reads as invalid. */
int handle__finish(enum shoal_err rc, const struct errbuf *from, char *why);

/* "/collections/<name><rest>", the name percent-encoded. SHOAL_EINVAL: no name, or too long. */
enum shoal_err handle__path(char out[HANDLE_PATH_MAX], const char *name, const char *rest,
                            struct errbuf *why);
/* Calls a collection's route and gives the parsed answer (json_free) with its "result". */
enum shoal_err handle__call(struct shoal *db, const char *method, const char *name,
                            const char *rest, const struct buf *body, struct json_doc **doc,
                            struct json_value *result, struct errbuf *why);
/* As handle__call, when only success matters. */
enum shoal_err handle__call_plain(struct shoal *db, const char *method, const char *name,
                                  const char *rest, const struct buf *body, struct errbuf *why);

/* An id as the HTTP API has it: a number, or a UUID as a string. */
void id__put(struct json_writer *w, const struct shoal_id *id);
bool id__get(struct json_value v, struct shoal_id *out);

#endif
