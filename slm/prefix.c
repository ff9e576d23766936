#include "slm/prefix.h"

#include "base/mem.h"

#include <string.h>

static void entry_release(struct prefix_cache *cache, struct prefix_entry *entry)
{
    cache->bytes -= entry->state_bytes;
    mem_free(entry->tokens);
    mem_free(entry->state);
    *entry = (struct prefix_entry){ .tokens = NULL };
}

void prefix__release(struct prefix_cache *cache)
{
    for (size_t i = 0; i < PREFIX_ENTRIES_MAX; i++) {
        entry_release(cache, &cache->entries[i]);
    }
}

static size_t find(const struct prefix_cache *cache, const llama_token *tokens, size_t len)
{
    for (size_t i = 0; i < PREFIX_ENTRIES_MAX; i++) {
        const struct prefix_entry *entry = &cache->entries[i];
        if (entry->tokens != NULL && entry->len == len &&
            memcmp(entry->tokens, tokens, len * sizeof(*tokens)) == 0) {
            return i;
        }
    }
    return PREFIX_ENTRIES_MAX;
}

bool prefix__has(const struct prefix_cache *cache, const llama_token *tokens, size_t len)
{
    return find(cache, tokens, len) < PREFIX_ENTRIES_MAX;
}

bool prefix__restore(struct prefix_cache *cache, const llama_token *tokens, size_t len,
                     struct llama_context *ctx, llama_seq_id seq)
{
    size_t i = find(cache, tokens, len);
    if (i == PREFIX_ENTRIES_MAX) {
        return false;
    }
    struct prefix_entry *entry = &cache->entries[i];
    if (llama_state_seq_set_data(ctx, entry->state, entry->state_bytes, seq) == 0) {
        (void)llama_memory_seq_rm(llama_get_memory(ctx), seq, -1, -1);
        entry_release(cache, entry);
        return false;
    }
    entry->used_at = ++cache->uses;
    return true;
}

static struct prefix_entry *oldest(struct prefix_cache *cache)
{
    struct prefix_entry *found = &cache->entries[0];
    for (size_t i = 1; i < PREFIX_ENTRIES_MAX; i++) {
        struct prefix_entry *entry = &cache->entries[i];
        bool fits_better = entry->tokens == NULL || entry->used_at < found->used_at;
        if (found->tokens != NULL && fits_better) {
            found = entry;
        }
    }
    return found;
}

void prefix__keep(struct prefix_cache *cache, const llama_token *tokens, size_t len,
                  struct llama_context *ctx, llama_seq_id seq)
{
    size_t bytes = llama_state_seq_get_size(ctx, seq);
    if (bytes == 0 || bytes > PREFIX_BYTES_MAX || prefix__has(cache, tokens, len)) {
        return;
    }
    struct prefix_entry made = {
        .tokens = mem_array(len, sizeof(*tokens)),
        .len = len,
        .state = mem_alloc(bytes),
        .state_bytes = bytes,
        .used_at = ++cache->uses,
    };
    if (made.tokens == NULL || made.state == NULL ||
        llama_state_seq_get_data(ctx, made.state, bytes, seq) != bytes) {
        mem_free(made.tokens);
        mem_free(made.state);
        return;
    }
    memcpy(made.tokens, tokens, len * sizeof(*tokens));
    struct prefix_entry *place = oldest(cache);
    entry_release(cache, place);
    while (cache->bytes + bytes > PREFIX_BYTES_MAX) {
        /* The oldest of those that are left; one is, since the sum is over the bound. */
        struct prefix_entry *victim = NULL;
        for (size_t i = 0; i < PREFIX_ENTRIES_MAX; i++) {
            struct prefix_entry *entry = &cache->entries[i];
            if (entry->tokens != NULL && (victim == NULL || entry->used_at < victim->used_at)) {
                victim = entry;
            }
        }
        entry_release(cache, victim);
    }
    *place = made;
    cache->bytes += bytes;
}
