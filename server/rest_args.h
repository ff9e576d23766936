/* Query arguments of the HTTP API: wait, ordering, timeout, consistency.
 *
 * Today a shard has one replica, which orders all writes and knows all of them: every ordering and
 * every consistency that can be asked for is kept. An argument that a route does not know is
 * refused, since "wiat=true" would otherwise be lost without a word.
 *
 * Threads: pure functions. */
#ifndef SHOAL_SERVER_REST_ARGS_H
#define SHOAL_SERVER_REST_ARGS_H

#include "base/err.h"
#include "server/http_request.h"

#include <stdbool.h>
#include <stdint.h>

/* Seconds a request may be given. */
#define REST_TIMEOUT_S_MAX 3600u

enum rest_arg {
    REST_ARG_WAIT = 1,
    REST_ARG_ORDERING = 2,
    REST_ARG_TIMEOUT = 4,
    REST_ARG_CONSISTENCY = 8,
    REST_ARG_IGNORED = 16 /* whatever comes, on routes where nothing depends on it */
};
#define REST_ARGS_WRITE (REST_ARG_WAIT | REST_ARG_ORDERING | REST_ARG_TIMEOUT)
#define REST_ARGS_READ (REST_ARG_TIMEOUT | REST_ARG_CONSISTENCY)

struct rest_args {
    bool wait;          /* false unless given */
    uint32_t timeout_s; /* 0: not given */
};

/* `known`: enum rest_arg, or-ed. SHOAL_EINVAL and SHOAL_EVALIDATION name the argument. */
SHOAL_MUST_CHECK enum shoal_err rest_args_parse(const struct http_request *req, unsigned known,
                                                struct rest_args *out, struct errbuf *why);

#endif
