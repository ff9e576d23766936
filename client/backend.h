/* Backend: the way from a client handle to the data: over the network (remote.c) or in this
 * process (embedded.c). Private to the client.
 *
 * Threads: calls from any number of threads. Texts and hits are the caller's on success. */
#ifndef SHOAL_CLIENT_BACKEND_H
#define SHOAL_CLIENT_BACKEND_H

#include "base/err.h"
#include "base/slice.h"
#include "client/shoal.h"

#include <stdint.h>

struct backend;

struct backend_ops {
    /* A route of the HTTP API without HTTP. *json by mem_alloc, terminated. */
    enum shoal_err (*call)(struct backend *b, const char *method, const char *path,
                           struct slice body, uint32_t timeout_ms, char **json, struct errbuf *why);
    enum shoal_err (*upsert)(struct backend *b, const char *collection,
                             const struct shoal_points *points, const uint8_t op_id[16],
                             uint32_t timeout_ms, struct errbuf *why);
    enum shoal_err (*search)(struct backend *b, const char *collection,
                             const struct shoal_search *search, uint32_t timeout_ms,
                             struct shoal_hits **out, struct errbuf *why);
    /* A route whose answer comes in pieces; each goes to `piece`, which may end it. */
    enum shoal_err (*stream)(struct backend *b, const char *method, const char *path,
                             struct slice body, uint32_t timeout_ms,
                             bool (*piece)(void *arg, struct slice json), void *arg,
                             struct errbuf *why);
    void (*close)(struct backend *b);
};

struct backend {
    const struct backend_ops *ops;
};

/* `address` is what follows "shoal://". */
enum shoal_err backend_remote_open(const char *address, struct backend **out, struct errbuf *why);
/* `dir` is what follows "file://". In libshoal this answers SHOAL_EUNSUPPORTED; the library with
 * the engine answers for real. */
enum shoal_err backend_embedded_open(const char *dir, struct backend **out, struct errbuf *why);

#endif
