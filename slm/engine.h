/* Engine: what the embedder and the generator share - model files and the set-up of libllama.
 *
 * A model is one GGUF file. It is checked against a SHA-256 when the caller has one, since a model
 * is code in all but name; a file that is no GGUF, or that libllama refuses, gives SHOAL_EINVAL
 * with libllama's own reason. libllama can still abort() on a model made to hurt, which is why
 * models run in a process of their own.
 *
 * Threads: any. libllama is set up once, by the first model that is opened; its log lines go to our
 * log at debug, from whatever thread they come. */
#ifndef SHOAL_SLM_ENGINE_H
#define SHOAL_SLM_ENGINE_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define MODEL_NAME_MAX 127
#define MODEL_THREADS_MAX 256

/* Which file, and what it must be. Borrowed during the call that takes it. */
struct model_file {
    const char *path;
    const char *sha256; /* 64 hex digits in either case; NULL: not checked, but then every tensor is
                           looked through for NaN and infinity */
};

/* What a model says of itself. */
struct model_info {
    char name[MODEL_NAME_MAX + 1]; /* general.name of the file, or its file name without .gguf */
    char arch[32];                 /* "bert", "llama" */
    uint64_t parameters;
    uint64_t file_bytes;
    uint32_t dim;            /* of an embedding, or of the hidden state */
    uint32_t context_tokens; /* what one request may use here: trained length or our limit */
    bool chat;               /* has a chat template that we can apply */
};

#endif
