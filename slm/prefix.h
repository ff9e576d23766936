/* Prefix: the KV state of constant beginnings of prompts, kept for the next request that begins the
 * same. Private to the room.
 *
 * Kept are copies outside the model's context, found by their tokens. Only what a caller declared
 * constant comes in here, so no request's own text outlives it.
 *
 * Threads: the generator's. */
#ifndef SHOAL_SLM_PREFIX_H
#define SHOAL_SLM_PREFIX_H

#include "base/err.h"

#include <llama.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PREFIX_ENTRIES_MAX 8
#define PREFIX_BYTES_MAX (64u << 20) /* of all together */

struct prefix_entry {
    llama_token *tokens; /* owned; NULL: unused */
    size_t len;
    uint8_t *state; /* owned */
    size_t state_bytes;
    uint64_t used_at;
};

struct prefix_cache {
    struct prefix_entry entries[PREFIX_ENTRIES_MAX];
    size_t bytes;
    uint64_t uses;
};

/* A zeroed cache is an empty one. */
void prefix__release(struct prefix_cache *cache);
bool prefix__has(const struct prefix_cache *cache, const llama_token *tokens, size_t len);
/* Puts the state of these tokens into the empty sequence; false when it is not kept or libllama
 * refuses it, and then the sequence is empty. */
bool prefix__restore(struct prefix_cache *cache, const llama_token *tokens, size_t len,
                     struct llama_context *ctx, llama_seq_id seq);
/* Keeps the state of the sequence, which holds just these tokens, in place of the one that was
 * unused the longest. A state that cannot be kept is only slower, so this never fails. */
void prefix__keep(struct prefix_cache *cache, const llama_token *tokens, size_t len,
                  struct llama_context *ctx, llama_seq_id seq);

#endif
