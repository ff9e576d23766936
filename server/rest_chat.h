/* Chat: the body of OpenAI's chat completions, as far as a local model can follow it.
 *
 * Arguments that would change the answer and are not built are refused, those that would not (who
 * the end user is, how to bill) are accepted; what the API does not know is refused.
 *
 * Threads: pure functions. */
#ifndef SHOAL_SERVER_REST_CHAT_H
#define SHOAL_SERVER_REST_CHAT_H

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>

/* Tokens when the request does not bound them: the generator's own default. */
#define CHAT_TOKENS_DEFAULT 512u
#define CHAT_TOKENS_MAX 1000000u

struct chat_request {
    struct slice model; /* empty: the default */
    uint32_t max_tokens;
    float temperature; /* 1 unless given, as the API has it */
    float top_p;
    bool has_seed;
    uint32_t seed;
    bool stream;
    bool include_usage;
    struct slice messages; /* JSON: [{"role", "content"}] with plain texts */
    struct slice stops;    /* JSON: [".."]; empty: none */
};

/* Texts lie in the arena or in the body. SHOAL_EINVAL (the form), SHOAL_EVALIDATION (a number out
 * of its range), SHOAL_EUNSUPPORTED, SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err chat_parse(struct json_value body, struct arena *arena,
                                           struct chat_request *out, struct errbuf *why);

#endif
