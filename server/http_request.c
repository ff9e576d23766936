#include "server/http_request.h"

#include <assert.h>
#include <strings.h>

static const char *const method_names[] = { "GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS" };
#define METHODS_LEN (sizeof(method_names) / sizeof(method_names[0]))
_Static_assert(METHODS_LEN == HTTP_OTHER, "one name a method");

enum http_method http_method_parse(const char *name, bool *head)
{
    *head = strcmp(name, "HEAD") == 0;
    if (*head) {
        return HTTP_GET;
    }
    size_t i = 0;
    while (i < METHODS_LEN && strcmp(name, method_names[i]) != 0) {
        i++;
    }
    return (enum http_method)i;
}

const char *http_method_name(enum http_method method)
{
    return method < HTTP_OTHER ? method_names[method] : "?";
}

/* --- target --------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Into the arena, unless there is nothing to decode. `plus` makes '+' a space. */
static enum shoal_err decode(struct http_request *req, struct slice in, bool plus,
                             struct slice *out, struct errbuf *why)
{
    *out = in;
    if (in.len == 0 ||
        (memchr(in.data, '%', in.len) == NULL && (!plus || memchr(in.data, '+', in.len) == NULL))) {
        return SHOAL_OK;
    }
    char *text = arena_alloc(req->arena, in.len);
    if (text == NULL) {
        return SHOAL_ENOMEM;
    }
    size_t n = 0;
    for (size_t i = 0; i < in.len; i++) {
        char c = in.data[i];
        if (c == '%') {
            int high = i + 2 < in.len ? hex_digit(in.data[i + 1]) : -1;
            int low = i + 2 < in.len ? hex_digit(in.data[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return err_set(why, SHOAL_EPARSE, "the address has a broken percent sequence");
            }
            c = (char)(high * 16 + low);
            i += 2;
            if (c == '\0') {
                return err_set(why, SHOAL_EPARSE, "the address holds a NUL");
            }
        } else if (plus && c == '+') {
            c = ' ';
        }
        text[n++] = c;
    }
    *out = slice_make(text, n);
    return SHOAL_OK;
}

/* Up to `separator`; moves *rest behind it, or sets its data to NULL at the end. */
static struct slice cut(struct slice *rest, char separator)
{
    const char *at = rest->len == 0 ? NULL : memchr(rest->data, separator, rest->len);
    struct slice head = *rest;
    if (at == NULL) {
        *rest = (struct slice){ 0 };
    } else {
        head.len = (size_t)(at - rest->data);
        *rest = slice_make(at + 1, rest->len - head.len - 1);
    }
    return head;
}

static enum shoal_err split_path(struct http_request *req, struct slice path, struct errbuf *why)
{
    while (path.len > 0 && path.data[path.len - 1] == '/') {
        path.len--;
    }
    struct slice raw[HTTP_SEGMENTS_MAX];
    size_t n = 0;
    if (path.len > 0) {
        path = slice_make(path.data + 1, path.len - 1); /* the first slash */
        while (path.data != NULL) {
            if (n == HTTP_SEGMENTS_MAX) {
                return err_set(why, SHOAL_EPARSE, "the path has more than %d parts",
                               HTTP_SEGMENTS_MAX);
            }
            raw[n++] = cut(&path, '/');
        }
    }
    struct slice *segments = arena_array(req->arena, n, sizeof(*segments));
    if (segments == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        enum shoal_err rc = decode(req, raw[i], false, &segments[i], why);
        if (rc != SHOAL_OK) {
            return rc;
        }
    }
    req->segments = segments;
    req->segments_len = n;
    return SHOAL_OK;
}

static enum shoal_err split_args(struct http_request *req, struct slice query, struct errbuf *why)
{
    struct http_field found[HTTP_ARGS_MAX];
    size_t n = 0;
    while (query.data != NULL) {
        struct slice value = cut(&query, '&');
        if (value.len == 0) {
            continue;
        }
        if (n == HTTP_ARGS_MAX) {
            return err_set(why, SHOAL_EPARSE, "the query string has more than %d arguments",
                           HTTP_ARGS_MAX);
        }
        struct slice name = cut(&value, '=');
        enum shoal_err rc = decode(req, name, true, &found[n].name, why);
        if (rc == SHOAL_OK) {
            rc = decode(req, value, true, &found[n].value, why);
        }
        if (rc != SHOAL_OK) {
            return rc;
        }
        n++;
    }
    struct http_field *args = arena_array(req->arena, n, sizeof(*args));
    if (args == NULL) {
        return SHOAL_ENOMEM;
    }
    if (n > 0) {
        memcpy(args, found, n * sizeof(*args));
    }
    req->args = args;
    req->args_len = n;
    return SHOAL_OK;
}

/* "http://host/path" is what a client sends to a proxy; the path is what counts here. */
static struct slice strip_authority(struct slice target)
{
    static const char *const schemes[] = { "http://", "https://" };
    for (size_t i = 0; i < 2; i++) {
        size_t len = strlen(schemes[i]);
        if (target.len < len || strncasecmp(target.data, schemes[i], len) != 0) {
            continue;
        }
        const char *end = target.data + target.len;
        const char *at = target.data + len;
        while (at < end && *at != '/' && *at != '?') {
            at++;
        }
        return slice_make(at, (size_t)(end - at));
    }
    return target;
}

enum shoal_err http_request_set_target(struct http_request *req, struct slice target,
                                       struct errbuf *why)
{
    assert(req->arena != NULL);
    req->target = target;
    struct slice query = strip_authority(target);
    struct slice path = cut(&query, '?');
    if (path.len > 0 && path.data[0] != '/' && !slice_is(path, "*")) {
        return err_set(why, SHOAL_EPARSE, "the address does not begin with a slash");
    }
    enum shoal_err rc = split_path(req, path, why);
    return rc != SHOAL_OK ? rc : split_args(req, query, why);
}

/* --- fields --------------------------------------------------------------------------------- */

static bool same_name(struct slice a, const char *b)
{
    return a.len == strlen(b) && strncasecmp(a.data, b, a.len) == 0;
}

bool http_request_field(const struct http_request *req, const char *name, struct slice *out)
{
    for (size_t i = 0; i < req->fields_len; i++) {
        if (same_name(req->fields[i].name, name)) {
            *out = req->fields[i].value;
            return true;
        }
    }
    return false;
}

bool http_request_arg(const struct http_request *req, const char *name, struct slice *out)
{
    for (size_t i = 0; i < req->args_len; i++) {
        if (slice_is(req->args[i].name, name)) {
            *out = req->args[i].value;
            return true;
        }
    }
    return false;
}

/* RFC 9110, section 5.6.2. */
static bool is_token(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL)) {
            return false;
        }
    }
    return s.len > 0;
}

static enum shoal_err read_length(struct slice text, uint64_t *out, struct errbuf *why)
{
    uint64_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c < '0' || c > '9' || __builtin_mul_overflow(n, 10u, &n) ||
            __builtin_add_overflow(n, (uint64_t)(c - '0'), &n)) {
            return err_set(why, SHOAL_EPARSE, "Content-Length is not a number of bytes");
        }
    }
    *out = n;
    return text.len > 0 ? SHOAL_OK : err_set(why, SHOAL_EPARSE, "Content-Length is empty");
}

enum shoal_err http_request_plan_body(const struct http_request *req, struct http_body_plan *out,
                                      struct errbuf *why)
{
    *out = (struct http_body_plan){ 0 };
    const struct slice *length = NULL;
    const struct slice *coding = NULL;
    const struct slice *host = NULL;
    for (size_t i = 0; i < req->fields_len; i++) {
        const struct http_field *f = &req->fields[i];
        if (!is_token(f->name)) {
            return err_set(why, SHOAL_EPARSE,
                           "a header field's name holds a character that is "
                           "not allowed");
        }
        const struct slice **seen = same_name(f->name, "content-length")      ? &length
                                    : same_name(f->name, "transfer-encoding") ? &coding
                                    : same_name(f->name, "host")              ? &host
                                                                              : NULL;
        if (seen != NULL && *seen != NULL) {
            return err_set(why, SHOAL_EPARSE, "the header field %.*s is given twice",
                           (int)f->name.len, f->name.data);
        }
        if (seen != NULL) {
            *seen = &f->value;
        }
    }
    if (length != NULL && coding != NULL) {
        return err_set(why, SHOAL_EPARSE,
                       "Content-Length and Transfer-Encoding exclude each "
                       "other");
    }
    if (coding != NULL && !same_name(*coding, "chunked")) {
        return err_set(why, SHOAL_EPARSE, "the only transfer coding understood is \"chunked\"");
    }
    out->chunked = coding != NULL;
    enum shoal_err rc = length == NULL ? SHOAL_OK : read_length(*length, &out->length, why);
    out->present = out->chunked || out->length > 0;
    return rc;
}
