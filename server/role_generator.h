/* The generator role: a process around an embedder and a language model, answering over the wire
 * and registering with a gateway every second.
 *
 *     EMBED                     texts to vectors
 *     STREAM_OPEN "generate"    {"messages": [{"role", "content"}], "messages_constant",
 *                               "max_tokens", "temperature", "top_k", "top_p", "seed", "stop"}
 *                               -> pieces {"text": ".."}, then {"finish": "stop" | "length" |
 *                               "canceled" | "deadline" | "failed", "prompt_tokens",
 *                               "generated_tokens", "code", "error"}
 *     STREAM_NEXT, STREAM_CANCEL
 *
 * Threads: open and close from one thread. */
#ifndef SHOAL_SERVER_ROLE_GENERATOR_H
#define SHOAL_SERVER_ROLE_GENERATOR_H

#include "base/err.h"
#include "server/models.h"
#include "wire/transport.h"

#include <stdint.h>

struct role_generator;

struct role_generator_config {
    struct transport *transport;
    const char *url;  /* to listen on */
    const char *join; /* the gateway's address */
    const char *name;
    const struct models *models; /* of each kind the first is loaded */
    uint32_t threads;            /* of each model; 0: one per core */
};

/* Loads the models, which takes a while. SHOAL_EINVAL when there is none. */
SHOAL_MUST_CHECK enum shoal_err role_generator_open(const struct role_generator_config *config,
                                                    struct role_generator **out,
                                                    struct errbuf *why);
const char *role_generator_url(const struct role_generator *r);
void role_generator_close(struct role_generator *r); /* NULL is fine */

#endif
