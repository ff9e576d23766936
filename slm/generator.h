/* Generator: a language model that answers many requests at once by continuous batching.
 *
 * One thread owns the model's context. Between two decode steps requests join and leave: a step
 * carries one token of every request that is generating, and fills what is left of it with prompt
 * tokens of those that are starting. A request is admitted when a sequence is free and the context
 * has room for its prompt and all it may generate, so that nothing has to be thrown out half-way;
 * until then it waits in a queue with a bound.
 *
 * Messages are laid out by the chat template of the model's own file. Their contents are tokenized
 * as plain text: what looks like a control token in them ("<|im_end|>") does not become one.
 *
 * Threads: all calls from any thread; callbacks run in the generator's thread and must not block or
 * call back into it except for generator_cancel. */
#ifndef SHOAL_SLM_GENERATOR_H
#define SHOAL_SLM_GENERATOR_H

#include "base/err.h"
#include "base/slice.h"
#include "slm/engine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GENERATOR_SEQUENCES_MAX 64
#define GENERATOR_SEQUENCES_DEFAULT 8
#define GENERATOR_QUEUE_DEFAULT 64
#define GENERATOR_CONTEXT_DEFAULT 8192 /* tokens of all sequences together */
#define GENERATOR_TOKENS_DEFAULT 512
#define GENERATOR_STOPS_MAX 8
#define GENERATOR_STOP_BYTES_MAX 64
#define GENERATOR_MESSAGES_MAX 256
#define GENERATOR_PROMPT_BYTES_MAX (4 << 20)

struct generator;

struct generator_config {
    struct model_file model;
    uint32_t threads;        /* 1..MODEL_THREADS_MAX; 0: as many as the machine has cores */
    uint32_t sequences_max;  /* requests generating at once; 0: the default */
    uint32_t queue_len_max;  /* requests waiting beside them; 0: the default */
    uint32_t context_tokens; /* KV cells shared by all sequences; 0: the default */
};

struct chat_message {
    struct slice role; /* "system", "user", "assistant" */
    struct slice content;
};

enum finish {
    FINISH_STOP,     /* the model ended, or a stop string came */
    FINISH_LENGTH,   /* max_tokens, or the context is full */
    FINISH_CANCELED, /* generator_cancel, or on_piece said so */
    FINISH_DEADLINE, /* deadline_ns passed */
    FINISH_FAILED,   /* `rc` and `why` say how */
};

/* How a request ended. Times are from generator_submit on. */
struct generation {
    enum finish finish;
    enum shoal_err rc; /* SHOAL_OK for stop and length, else SHOAL_ECANCELED, SHOAL_ETIMEOUT, ... */
    const char *why;   /* text to a failure; never NULL; valid during the callback */
    uint32_t prompt_tokens;
    uint32_t cached_tokens; /* of the prompt, taken from a kept prefix */
    uint32_t generated_tokens;
    uint64_t queued_ns;      /* until it was admitted; 0 when it never was */
    uint64_t first_token_ns; /* until its first token; 0 when there was none */
    uint64_t total_ns;
    double tokens_per_s; /* after the first token; 0 with less than two */
};

struct generator_request {
    /* Either messages, or a prompt that is tokenized as it stands (control tokens included: for
     * text of the operator's own only). */
    const struct chat_message *messages;
    size_t messages_len;
    struct slice prompt;

    /* The first so many messages are the program's own constant text. Their part of the KV state
     * is kept and shared between requests; all else is forgotten when the request ends, so that no
     * text of one tenant is ever in another's context. */
    size_t messages_constant;

    uint32_t max_tokens;       /* 0: GENERATOR_TOKENS_DEFAULT; never more than has room */
    float temperature;         /* 0: always the likeliest token */
    uint32_t top_k;            /* 0: all */
    float top_p;               /* in (0, 1]; 0 means 1 */
    uint32_t seed;             /* of the draw at temperature > 0: same seed, same text */
    const struct slice *stops; /* the text ends before the first of these that appears */
    size_t stops_len;
    uint64_t deadline_ns; /* monotonic; 0: none */

    /* A piece of text: whole UTF-8 characters, never empty, borrowed during the call. What could
     * be the beginning of a stop string is held back until it is known. False cancels. */
    bool (*on_piece)(void *arg, struct slice text);
    /* Once for every request that was taken, after its last piece. */
    void (*on_end)(void *arg, const struct generation *end);
    void *arg;
};

/* Loads the model (blocks) and starts the thread. On failure *out is NULL. Errors as
 * embedder_open's. */
SHOAL_MUST_CHECK enum shoal_err generator_open(const struct generator_config *config,
                                               struct generator **out, struct errbuf *why);
/* Ends what is under way (FINISH_CANCELED, within a decode step), waits for its callbacks, frees.
 * No other call may be under way or follow. NULL is fine. */
void generator_close(struct generator *g);

const struct model_info *generator_info(const struct generator *g);

/* Takes a request, copying all it needs, and returns its id (> 0). On failure no callback is ever
 * called and *id_out is 0. May call back before it returns.
 * SHOAL_EINVAL the request; SHOAL_EUNSUPPORTED messages for a model without a chat template;
 * SHOAL_ETOOBIG the prompt has no room in the context; SHOAL_EBUSY queue full; SHOAL_ECANCELED
 * closing; SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err generator_submit(struct generator *g,
                                                 const struct generator_request *request,
                                                 uint64_t *id_out, struct errbuf *why);
/* Asks the request to end; it does within one decode step, or at once when it still waits. An id
 * that has ended already is fine. Never blocks. */
void generator_cancel(struct generator *g, uint64_t id);

/* Tokens of a text as the model counts them, without its marks. SHOAL_ETOOBIG, SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err generator_count_tokens(struct generator *g, struct slice text,
                                                       uint32_t *tokens_out);

struct generator_load {
    uint32_t active; /* generating or reading their prompts */
    uint32_t waiting;
};
struct generator_load generator_load(struct generator *g);

#endif
