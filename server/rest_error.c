#include "server/rest_error.h"

#include "base/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BAD_REQUEST "Bad request: "

struct kind {
    enum shoal_err code;
    unsigned status;
    const char *before;
    const char *after;
};

/* A code that is not listed is a fault of ours: 500. */
static const struct kind kinds[] = {
    { SHOAL_EINVAL, 400, "Wrong input: ", "" },
    { SHOAL_EPARSE, 400, "Format error in JSON body: ", "" },
    { SHOAL_EVALIDATION, 422, "Validation error in JSON body: [", "]" },
    { SHOAL_EDENIED, 403, "Forbidden: ", "" },
    { SHOAL_ENOTFOUND, 404, "Not found: ", "" },
    { SHOAL_ETIMEOUT, 408, "Timeout: ", "" },
    { SHOAL_EEXISTS, 409, "Wrong input: ", "" },
    { SHOAL_ECONFLICT, 409, "Conflict: ", "" },
    { SHOAL_ETOOBIG, 413, "Payload too large: ", "" },
    { SHOAL_ELIMITED, 429, "Rate limiting exceeded: ", "" },
    { SHOAL_EUNSUPPORTED, 501, "Not supported: ", "" },
    { SHOAL_EBUSY, 503, "Service overloaded: ", "" },
    { SHOAL_ENOMEM, 503, "Out of memory: ", "" },
    { SHOAL_ECANCELED, 503, "Service stopping: ", "" },
    { SHOAL_EUNAVAILABLE, 503, "Shard temporarily unavailable: ", "" },
    { SHOAL_ENOTLEADER, 503, "Shard temporarily unavailable: ", "" },
    { SHOAL_EFULL, 507, "Insufficient storage: ", "" },
};

static const struct kind *kind_of(enum shoal_err code)
{
    static const struct kind internal = { SHOAL_EIO, 500, "Service internal error: ", "" };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].code == code) {
            return &kinds[i];
        }
    }
    return &internal;
}

unsigned rest_error_status(enum shoal_err code)
{
    return kind_of(code)->status;
}

enum shoal_err rest_error_text(struct buf *out, enum shoal_err code, const char *text)
{
    const struct kind *k = kind_of(code);
    bool own_kind = code == SHOAL_EINVAL && strncmp(text, BAD_REQUEST, strlen(BAD_REQUEST)) == 0;
    return buf_printf(out, "%s%s%s", own_kind ? "" : k->before, text, own_kind ? "" : k->after);
}

enum shoal_err rest_error_print(struct buf *out, enum shoal_err code, const char *text,
                                double seconds)
{
    struct buf words;
    buf_init(&words, 4 * ERRBUF_TEXT_MAX);
    enum shoal_err rc = rest_error_text(&words, code, text);
    if (rc == SHOAL_OK) {
        struct json_writer w;
        json_writer_init(&w, out);
        json_begin_object(&w);
        json_key(&w, "status");
        json_begin_object(&w);
        json_key(&w, "error");
        json_put_string(&w, buf_slice(&words));
        json_key(&w, "code");
        json_put_str(&w, err_word(code));
        json_end_object(&w);
        json_key(&w, "time");
        json_put_f64(&w, seconds);
        json_end_object(&w);
        rc = out->failed;
    }
    buf_release(&words);
    return rc;
}

enum shoal_err rest_bad_request(struct errbuf *why, const char *fmt, ...)
{
    char text[ERRBUF_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return err_set(why, SHOAL_EINVAL, BAD_REQUEST "%s", text);
}
