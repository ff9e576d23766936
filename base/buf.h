/* Buf: growable bytes with a mandatory maximum, so that no input can make it grow without end.
 * A failed append leaves the content as it was and sets `failed`, which stays set: a writer may
 * append many times and ask once at the end.
 *
 * Threads: a buf belongs to one thread at a time. */
#ifndef SHOAL_BASE_BUF_H
#define SHOAL_BASE_BUF_H

#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>

struct buf {
    char *data; /* owned; NULL until the first append */
    size_t len;
    size_t cap;
    size_t max;            /* len never exceeds it */
    enum shoal_err failed; /* SHOAL_ENOMEM or SHOAL_ETOOBIG once an append failed */
};

/* Allocates nothing. */
void buf_init(struct buf *b, size_t max);
void buf_release(struct buf *b);
/* Empties it, keeps the memory, clears `failed`. */
void buf_reset(struct buf *b);
/* Makes room for `more` bytes beyond len. SHOAL_ENOMEM, SHOAL_ETOOBIG. */
enum shoal_err buf_reserve(struct buf *b, size_t more);
enum shoal_err buf_append(struct buf *b, const void *data, size_t len);
enum shoal_err buf_append_slice(struct buf *b, struct slice s);
enum shoal_err buf_append_str(struct buf *b, const char *s);
enum shoal_err buf_append_char(struct buf *b, char c);
enum shoal_err buf_printf(struct buf *b, const char *fmt, ...) SHOAL_PRINTF(2, 3);
/* Terminates the content with a NUL that len does not count, and returns it; NULL if `failed` or
 * out of memory. Borrowed until the next change. */
const char *buf_cstr(struct buf *b);
/* Hands the bytes to the caller (mem_free) and leaves `b` empty. */
char *buf_detach(struct buf *b, size_t *len_out);

static inline struct slice buf_slice(const struct buf *b)
{
    return slice_make(b->data, b->len);
}

#endif
