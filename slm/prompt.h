/* Prompt: from a question and the passages that were found to the messages for the model.
 *
 * The prompt fits the model. A small model (SmolLM2-135M) answers well from one short passage and
 * badly from several numbered ones, so it gets the one passage that fits the question best, under
 * an instruction of one line. A larger one gets as many passages as the budget holds, numbered, and
 * is told to cite them by number.
 *
 * Passages are data. Each stands between marks that carry a nonce of the request, and the nonce
 * itself is taken out of them. (That control tokens of the model in a passage stay
 * plain text is the generator's business.)
 *
 * Pure: the same input gives the same bytes. Threads: any. */
#ifndef SHOAL_SLM_PROMPT_H
#define SHOAL_SLM_PROMPT_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "slm/generator.h"

#include <stddef.h>
#include <stdint.h>

#define PROMPT_PASSAGES_MAX 64
#define PROMPT_QUESTION_BYTES_MAX 8192
#define PROMPT_NONCE_BYTES_MAX 32
/* Below so many parameters a model is small. */
#define PROMPT_SMALL_PARAMETERS 1000000000u
#define PROMPT_ANSWER_TOKENS_DEFAULT 96

enum prompt_style {
    PROMPT_SINGLE,   /* one passage; every sentence of the answer cites it */
    PROMPT_NUMBERED, /* passages [1], [2], ...; the answer cites them by number */
};

struct prompt_model {
    uint64_t parameters;     /* 0: not known, taken for small */
    uint32_t context_tokens; /* 0: not known, taken for 2048 */
};

/* Best first, as retrieval ranked them. */
struct prompt_passage {
    struct slice title; /* of the document and section; may be empty */
    struct slice text;
    float score; /* cosine of the retrieval */
};

struct prompt_config {
    struct slice question;
    const struct prompt_passage *passages;
    size_t passages_len;
    struct prompt_model model;
    uint32_t answer_tokens_max; /* kept free for the answer; 0: the default */
    struct slice nonce;         /* letters and digits, unguessable, new for each request */
    /* Counts tokens as the model does; NULL: a careful estimate from the bytes. */
    uint32_t (*count_tokens)(void *arg, struct slice text);
    void *count_arg;
};

struct prompt {
    enum prompt_style style;
    struct chat_message messages[2]; /* in the arena */
    size_t messages_len;
    size_t messages_constant; /* for generator_request: the instruction is the same each time */
    /* used[i] is the index in config->passages of the passage that the model sees as number i + 1
     * (style numbered), or of the only one (style single). */
    uint32_t used[PROMPT_PASSAGES_MAX];
    size_t used_len;
    uint32_t tokens;     /* of the whole, counted or estimated */
    uint32_t max_tokens; /* for generator_request */
    bool truncated;      /* the last passage used was cut, at a sentence or a word */
};

enum prompt_style prompt_style_for(struct prompt_model model);

/* Builds *out in the arena; passages without text are left out. SHOAL_EINVAL none with text, an
 * empty question, or a bad nonce; SHOAL_ETOOBIG the question leaves no room; SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err prompt_build(const struct prompt_config *config,
                                             struct arena *arena, struct prompt *out,
                                             struct errbuf *why);

/* Never less than what the usual tokenizers need for ordinary text. */
uint32_t prompt_estimate_tokens(struct slice text);

#endif
