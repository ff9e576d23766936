/* Chat: messages to tokens by the chat template of the model. Private to the room.
 *
 * The template is laid out around place marks, and every content is tokenized by itself as plain
 * text. So no content can bring in a control token, whatever it spells, and the tokens of the
 * constant messages at the beginning are the same whatever follows them. */
#ifndef SHOAL_SLM_CHAT_H
#define SHOAL_SLM_CHAT_H

#include "base/err.h"
#include "slm/generator.h"
#include "slm/model.h"

#include <stdbool.h>
#include <stddef.h>

struct chat_tokens {
    llama_token *tokens; /* mem_free */
    size_t len;
    size_t constant_len; /* tokens before the first content that is not constant */
};

/* True when the model's file has a template that libllama knows. */
bool chat__supported(const struct model *m);

/* SHOAL_EINVAL roles; SHOAL_EUNSUPPORTED the template; SHOAL_ETOOBIG; SHOAL_ENOMEM. On failure *out
 * holds nothing. */
SHOAL_MUST_CHECK enum shoal_err chat__tokenize(const struct model *m,
                                               const struct chat_message *messages, size_t len,
                                               size_t constant, struct chat_tokens *out,
                                               struct errbuf *why);
/* The same for a text as it stands: control tokens are read, and the model's own mark is put before
 * it. Nothing of it is constant. */
SHOAL_MUST_CHECK enum shoal_err chat__tokenize_raw(const struct model *m, struct slice prompt,
                                                   struct chat_tokens *out);

#endif
