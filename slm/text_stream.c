#include "slm/text_stream.h"

#include "slm/utf8.h"

#include <string.h>

/* Held text is at most a stop string and what one push brings. */
#define HELD_BYTES_MAX (1u << 20)

void text_stream__init(struct text_stream *ts, const struct slice *stops, size_t stops_len)
{
    *ts = (struct text_stream){ .stops = stops, .stops_len = stops_len };
    buf_init(&ts->held, HELD_BYTES_MAX);
}

void text_stream__release(struct text_stream *ts)
{
    buf_release(&ts->held);
}

/* Moves whole characters from partial and bytes to held; what is left over becomes partial. */
static enum shoal_err take_chars(struct text_stream *ts, struct slice bytes)
{
    size_t i = 0;
    while (i < bytes.len) {
        /* A character in pieces is put together byte by byte. */
        bool joining = ts->partial_len > 0;
        struct slice at = slice_make(bytes.data + i, bytes.len - i);
        if (joining) {
            ts->partial[ts->partial_len++] = bytes.data[i];
            at = slice_make(ts->partial, ts->partial_len);
        }
        struct utf8_step step = utf8__step(at.data, at.len);
        if (step.kind == UTF8_INCOMPLETE) {
            if (!joining) {
                memcpy(ts->partial, at.data, at.len);
                ts->partial_len = at.len;
                return SHOAL_OK;
            }
            i++;
            continue;
        }
        struct slice text = step.kind == UTF8_CHAR ? slice_make(at.data, step.len)
                                                   : SLICE_LIT(UTF8_REPLACEMENT);
        enum shoal_err rc = buf_append_slice(&ts->held, text);
        if (rc != SHOAL_OK) {
            return rc;
        }
        /* What an invalid byte was joined to stands for one U+FFFD; the byte is looked at anew. */
        i += joining ? (step.kind == UTF8_CHAR ? 1 : 0) : step.len;
        ts->partial_len = 0;
    }
    return SHOAL_OK;
}

/* Where the first stop string begins in held; false when there is none. */
static bool find_stop(const struct text_stream *ts, size_t *at)
{
    bool found = false;
    for (size_t i = 0; i < ts->stops_len; i++) {
        const char *p = ts->held.len == 0 ? NULL
                                          : memmem(ts->held.data, ts->held.len, ts->stops[i].data,
                                                   ts->stops[i].len);
        if (p != NULL && (!found || (size_t)(p - ts->held.data) < *at)) {
            *at = (size_t)(p - ts->held.data);
            found = true;
        }
    }
    return found;
}

/* How many bytes at the end of held are the beginning of a stop string. */
static size_t stop_begun(const struct text_stream *ts)
{
    size_t longest = 0;
    for (size_t i = 0; i < ts->stops_len; i++) {
        struct slice stop = ts->stops[i];
        size_t n = stop.len - 1 < ts->held.len ? stop.len - 1 : ts->held.len;
        while (n > longest && memcmp(ts->held.data + ts->held.len - n, stop.data, n) != 0) {
            n--;
        }
        longest = n > longest ? n : longest;
    }
    return longest;
}

enum shoal_err text_stream__push(struct text_stream *ts, struct slice bytes, struct buf *out)
{
    if (ts->stopped) {
        return SHOAL_OK;
    }
    enum shoal_err rc = take_chars(ts, bytes);
    if (rc != SHOAL_OK || ts->held.len == 0) {
        return rc;
    }
    size_t clear = 0;
    ts->stopped = find_stop(ts, &clear);
    if (!ts->stopped) {
        clear = ts->held.len - stop_begun(ts);
    }
    rc = buf_append(out, ts->held.data, clear);
    if (rc == SHOAL_OK) {
        ts->held.len -= clear;
        memmove(ts->held.data, ts->held.data + clear, ts->held.len);
    }
    return rc;
}

enum shoal_err text_stream__end(struct text_stream *ts, struct buf *out)
{
    enum shoal_err rc = ts->stopped ? SHOAL_OK : buf_append_slice(out, buf_slice(&ts->held));
    ts->stopped = true;
    return rc;
}
