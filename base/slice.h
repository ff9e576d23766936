/* Slice: borrowed bytes with a length. It owns nothing; whoever hands one out says how long the
 * bytes live. Strings in slices need not be terminated and may hold NUL. */
#ifndef SHOAL_BASE_SLICE_H
#define SHOAL_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const char *data; /* may be NULL when len is 0 */
    size_t len;
};

#define SLICE_LIT(literal) ((struct slice){ (literal), sizeof(literal) - 1 })

static inline struct slice slice_make(const void *data, size_t len)
{
    struct slice s = { (const char *)data, len };
    return s;
}

static inline struct slice slice_from_str(const char *s)
{
    return slice_make(s, s == NULL ? 0 : strlen(s));
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool slice_is(struct slice a, const char *s)
{
    return slice_equal(a, slice_from_str(s));
}

#endif
