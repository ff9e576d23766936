#include "base/buf.h"

#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FIRST_CAP 256

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){ .max = max };
}

void buf_release(struct buf *b)
{
    mem_free(b->data);
    *b = (struct buf){ .max = b->max };
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->failed = SHOAL_OK;
}

static enum shoal_err grow(struct buf *b, size_t need)
{
    size_t cap = b->cap < FIRST_CAP ? FIRST_CAP : b->cap;
    while (cap < need) {
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    }
    if (cap > b->max + 1) { /* room for the terminator of buf_cstr */
        cap = b->max + 1;
    }
    char *data = mem_realloc(b->data, cap);
    if (data == NULL) {
        return SHOAL_ENOMEM;
    }
    b->data = data;
    b->cap = cap;
    return SHOAL_OK;
}

enum shoal_err buf_reserve(struct buf *b, size_t more)
{
    assert(b->max < SIZE_MAX);
    if (b->failed != SHOAL_OK) {
        return b->failed;
    }
    size_t need;
    if (!size_add(b->len, more, &need) || need > b->max) {
        return b->failed = SHOAL_ETOOBIG;
    }
    if (need > b->cap || b->data == NULL) {
        b->failed = grow(b, need == 0 ? 1 : need);
    }
    return b->failed;
}

enum shoal_err buf_append(struct buf *b, const void *data, size_t len)
{
    enum shoal_err rc = buf_reserve(b, len);
    if (rc == SHOAL_OK && len > 0) {
        memcpy(b->data + b->len, data, len);
        b->len += len;
    }
    return rc;
}

enum shoal_err buf_append_slice(struct buf *b, struct slice s)
{
    return buf_append(b, s.data, s.len);
}

enum shoal_err buf_append_str(struct buf *b, const char *s)
{
    return buf_append(b, s, strlen(s));
}

enum shoal_err buf_append_char(struct buf *b, char c)
{
    return buf_append(b, &c, 1);
}

enum shoal_err buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int wanted = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    assert(wanted >= 0);
    size_t before = b->len;
    enum shoal_err rc = buf_reserve(b, (size_t)wanted);
    size_t room = 0;
    if (rc == SHOAL_OK && b->cap == b->len + (size_t)wanted) {
        rc = b->failed = grow(b, b->cap + 1); /* vsnprintf writes a terminator */
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    room = b->cap - before;
    va_start(args, fmt);
    (void)vsnprintf(b->data + before, room, fmt, args);
    va_end(args);
    b->len = before + (size_t)wanted;
    return SHOAL_OK;
}

const char *buf_cstr(struct buf *b)
{
    if (b->failed != SHOAL_OK) {
        return NULL;
    }
    if (b->data == NULL || b->len == b->cap) {
        b->failed = grow(b, b->len + 1);
        if (b->failed != SHOAL_OK) {
            return NULL;
        }
    }
    b->data[b->len] = '\0';
    return b->data;
}

char *buf_detach(struct buf *b, size_t *len_out)
{
    char *data = b->data;
    *len_out = b->len;
    *b = (struct buf){ .max = b->max };
    return data;
}
