/* Ask: a question answered from a collection of documents.
 *
 * Find passages; when none is good enough, say that the documents do not say it, without asking the
 * model. Otherwise build a prompt that fits the model, stream its answer, and hold every sentence
 * against the passage it cites.
 *
 * The answer comes as events, one JSON object each:
 *     {"type": "passages", "passages": [..], "coverage"}
 *     {"type": "token", "text"}                               many
 *     {"type": "citations", "citations": [passage..], "sentences": [{"text", "passage",
 *              "supported", "support", "quote"}], "supported": n, "unsupported": n}
 *     {"type": "done", "abstained", "answer", "finish", "timings": {..}}
 *     {"type": "error", "code", "message"}                    in the place of what could not come
 *
 * Threads: any; ask_run blocks until the answer has ended. */
#ifndef SHOAL_SERVER_ASK_H
#define SHOAL_SERVER_ASK_H

#include "base/err.h"
#include "base/json.h"
#include "query/query.h"
#include "server/gateway.h"

#include <stdbool.h>
#include <stdint.h>

#define ASK_QUESTION_MAX 8192
#define ASK_PASSAGES_DEFAULT 5
/* What is said when the documents do not say it. */
#define ASK_ABSTAIN_TEXT "The documents do not say."

struct ask_request {
    struct slice question; /* borrowed from the parsed body */
    uint32_t limit;        /* passages to look at */
    char *filter;          /* JSON in the arena; NULL: none */
    uint32_t max_tokens;   /* 0: the prompt's own */
    float temperature;
    uint32_t seed;
    bool stream;
};

/* {"question", "limit"?, "filter"?, "max_tokens"?, "temperature"?, "seed"?, "stream"?}; unknown
 * keys are refused. SHOAL_EINVAL, SHOAL_EVALIDATION. */
SHOAL_MUST_CHECK enum shoal_err ask_parse(struct json_value body, struct arena *arena,
                                          struct ask_request *out, struct errbuf *why);

/* Hands each event to `emit` (its text borrowed during the call); false ends the answer. A failure
 * before the first event is returned and no event comes; a later one is told as an error event, and
 * returned as well. *tokens_out (may be NULL) is what was generated, for the limits. */
SHOAL_MUST_CHECK enum shoal_err ask_run(struct gateway *g, struct slice collection,
                                        const struct query_context *ctx,
                                        const struct ask_request *request,
                                        bool (*emit)(void *arg, struct slice json), void *arg,
                                        uint64_t *tokens_out, struct errbuf *why);

#endif
