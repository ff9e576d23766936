/* Errors of the HTTP API: which status and which words an error code becomes.
 *
 * The form is {"status": {"error": "<kind>: <text>", "code": "<stable word>"}, "time": 0.0}.
 * Clients of the API look at the status and sometimes at the kind; `code` is base/err.h's word.
 *
 * Threads: pure functions. */
#ifndef SHOAL_SERVER_REST_ERROR_H
#define SHOAL_SERVER_REST_ERROR_H

#include "base/buf.h"
#include "base/err.h"

unsigned rest_error_status(enum shoal_err code);
/* Appends the error's text with its kind, plain. */
enum shoal_err rest_error_text(struct buf *out, enum shoal_err code, const char *text);
/* Appends the whole body. */
enum shoal_err rest_error_print(struct buf *out, enum shoal_err code, const char *text,
                                double seconds);
/* A refusal of what was asked for rather than of how: its kind is "Bad request" where other
 * SHOAL_EINVAL are "Wrong input". */
enum shoal_err rest_bad_request(struct errbuf *why, const char *fmt, ...) SHOAL_PRINTF(2, 3);

#endif
