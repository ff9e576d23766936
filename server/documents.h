/* Documents: text in, chunked, embedded and stored as points; and passages found by text.
 *
 * A document's chunks are points of its collection. The first chunk's point has an id made from the
 * document's own id and is its head: its payload holds the document's hash and the ids of all its
 * chunks. The head is written after the others, so a document that was broken off is seen as not
 * stored and is stored again; then the chunks of the former version are deleted, and until they
 * are, the head names them too.
 *
 *     payload: {"document", "title", "section", "text", "chunk", "chunks", "begin", "end",
 *               "metadata"?, and in the head: "hash", "chunk_ids"}
 *
 * Threads: any; each call blocks its thread. */
#ifndef SHOAL_SERVER_DOCUMENTS_H
#define SHOAL_SERVER_DOCUMENTS_H

#include "base/err.h"
#include "base/json.h"
#include "query/query.h"
#include "server/gateway.h"

#include <stddef.h>
#include <stdint.h>

#define DOCUMENTS_MAX 1000   /* in one request */
#define DOCUMENT_ID_MAX 1024 /* bytes */
#define DOCUMENT_HASH_MAX 128

/* A collection for documents: vectors of the embedder's size, cosine. `params` may hold what a
 * create request may hold but "vectors". */
SHOAL_MUST_CHECK enum shoal_err documents_create(struct gateway *g, struct slice name,
                                                 struct json_value params, uint64_t deadline_ns,
                                                 struct errbuf *why);

/* {"documents": [{"id", "hash"}]} -> {"unchanged": [id, ..]}: those stored with the same hash. */
SHOAL_MUST_CHECK enum shoal_err documents_check(struct gateway *g, struct slice collection,
                                                const struct query_context *ctx,
                                                struct json_value body, struct json_writer *out,
                                                struct errbuf *why);

/* {"documents": [{"id", "text", "type"? ("text/plain"), "title"?, "hash"?, "metadata"?}]}
 * -> {"documents": [{"id", "chunks"}], "chunks", "tokens"}. Checked whole before anything is
 * embedded. An unknown key and an id that comes twice are refused. */
SHOAL_MUST_CHECK enum shoal_err documents_put(struct gateway *g, struct slice collection,
                                              const struct query_context *ctx,
                                              struct json_value body, struct json_writer *out,
                                              struct errbuf *why);

/* {"documents": [id, ..]} -> {"deleted": n}: with all their chunks. */
SHOAL_MUST_CHECK enum shoal_err documents_delete(struct gateway *g, struct slice collection,
                                                 const struct query_context *ctx,
                                                 struct json_value body, struct json_writer *out,
                                                 struct errbuf *why);

#endif
