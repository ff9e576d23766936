#include "index/walker.h"

#include "base/mem.h"
#include "base/thread.h"
#include "index/hnsw_walk.h"

#include <assert.h>
#include <string.h>

struct walker_pool {
    size_t words; /* immutable: of a walker's `seen` */

    struct mutex lock; /* guards all below */
    struct walker *idle;
    size_t walkers_len; /* idle and lent */
    size_t lent_len;
};

enum shoal_err walker_pool_new(size_t rows, struct walker_pool **out, struct errbuf *why)
{
    *out = NULL;
    struct walker_pool *pool = mem_calloc(1, sizeof(*pool));
    if (pool == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for an index");
    }
    pool->words = rows / 64 + 1;
    mutex_init(&pool->lock);
    *out = pool;
    return SHOAL_OK;
}

static void walker_free(struct walker *w)
{
    if (w == NULL) {
        return;
    }
    mem_free(w->seen);
    mem_free(w->touched);
    mem_free(w->nearest.items);
    mem_free(w->candidates.items);
    mem_free(w);
}

void walker_pool_free(struct walker_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    assert(pool->lent_len == 0);
    while (pool->idle != NULL) {
        struct walker *w = pool->idle;
        pool->idle = w->next;
        walker_free(w);
    }
    mutex_release(&pool->lock);
    mem_free(pool);
}

uint64_t walker_pool_bytes(struct walker_pool *pool)
{
    mutex_lock(&pool->lock);
    uint64_t each = sizeof(struct walker) + pool->words * (sizeof(uint64_t) + sizeof(uint32_t));
    uint64_t total = sizeof(*pool) + pool->walkers_len * each;
    for (const struct walker *w = pool->idle; w != NULL; w = w->next) {
        total += (w->nearest.cap + w->candidates.cap) * sizeof(struct near);
    }
    mutex_unlock(&pool->lock);
    return total;
}

static struct walker *walker_new(size_t words)
{
    struct walker *w = mem_calloc(1, sizeof(*w));
    if (w == NULL) {
        return NULL;
    }
    w->seen = mem_calloc(words, sizeof(*w->seen));
    /* One more than there are words: the place written to when nothing is to be kept. */
    w->touched = mem_array(words + 1, sizeof(*w->touched));
    if (w->seen == NULL || w->touched == NULL) {
        walker_free(w);
        return NULL;
    }
    return w;
}

enum shoal_err walker__take(struct walker_pool *pool, struct walker **out, struct errbuf *why)
{
    mutex_lock(&pool->lock);
    struct walker *w = pool->idle;
    if (w != NULL) {
        pool->idle = w->next;
        pool->lent_len++;
    }
    mutex_unlock(&pool->lock);
    if (w == NULL) {
        w = walker_new(pool->words);
        if (w == NULL) {
            return err_set(why, SHOAL_ENOMEM, "out of memory for a search");
        }
        mutex_lock(&pool->lock);
        pool->walkers_len++;
        pool->lent_len++;
        mutex_unlock(&pool->lock);
    }
    *out = w;
    return SHOAL_OK;
}

void walker__give(struct walker_pool *pool, struct walker *w)
{
    for (size_t i = 0; i < w->touched_len; i++) {
        w->seen[w->touched[i]] = 0;
    }
    w->touched_len = 0;
    mutex_lock(&pool->lock);
    w->next = pool->idle;
    pool->idle = w;
    assert(pool->lent_len > 0);
    pool->lent_len--;
    mutex_unlock(&pool->lock);
}

enum shoal_err near_array__reserve(struct near_array *a, size_t len, struct errbuf *why)
{
    if (len <= a->cap) {
        return SHOAL_OK;
    }
    size_t cap = a->cap == 0 ? 64 : a->cap;
    while (cap < len) {
        cap *= 2;
    }
    size_t bytes = 0;
    struct near *items = NULL;
    if (size_mul(cap, sizeof(*items), &bytes)) {
        items = mem_realloc(a->items, bytes);
    }
    if (items == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for %zu candidates of a search", len);
    }
    a->items = items;
    a->cap = cap;
    return SHOAL_OK;
}
