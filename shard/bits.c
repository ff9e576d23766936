#include "shard/bits.h"

#include "base/mem.h"

#include <assert.h>
#include <string.h>

static size_t bytes_for(size_t len)
{
    return len / 8 + (len % 8 != 0);
}

static struct bits *alloc(size_t len)
{
    size_t size;
    if (!size_add(sizeof(struct bits), bytes_for(len), &size)) {
        return NULL;
    }
    struct bits *b = mem_alloc(size);
    if (b != NULL) {
        atomic_init(&b->refs, 1);
        b->len = len;
    }
    return b;
}

struct bits *bits_new(size_t len, bool value)
{
    struct bits *b = alloc(len);
    if (b == NULL) {
        return NULL;
    }
    memset(b->bytes, value ? 0xff : 0, bytes_for(len));
    if (value && len % 8 != 0) {
        b->bytes[len / 8] = (uint8_t)((1u << (len % 8)) - 1);
    }
    return b;
}

struct bits *bits_ref(struct bits *b)
{
    if (b != NULL) {
        atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    }
    return b;
}

void bits_unref(struct bits *b)
{
    if (b != NULL && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1) {
        mem_free(b);
    }
}

bool bits_own(struct bits **b, size_t len)
{
    struct bits *old = *b;
    if (old == NULL) {
        struct bits *new = bits_new(len, true);
        *b = new;
        return new != NULL;
    }
    assert(old->len == len);
    /* Nobody can take a reference beside ours: references are taken from a generation, and the one
     * that this array belongs to is still the writer's own. */
    if (atomic_load_explicit(&old->refs, memory_order_acquire) == 1) {
        return true;
    }
    struct bits *copy = alloc(len);
    if (copy == NULL) {
        return false;
    }
    memcpy(copy->bytes, old->bytes, bytes_for(len));
    bits_unref(old);
    *b = copy;
    return true;
}
