#include "server/rest_args.h"

#include "server/rest_error.h"

static bool is_one_of(struct slice s, const char *const *words, size_t len)
{
    size_t i = 0;
    while (i < len && !slice_is(s, words[i])) {
        i++;
    }
    return i < len;
}

/* Decimal digits, at most `max`. */
static bool read_number(struct slice s, uint64_t max, uint64_t *out)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9' || n > max) {
            return false;
        }
        n = n * 10 + (uint64_t)(s.data[i] - '0');
    }
    *out = n;
    return s.len > 0 && n <= max;
}

static enum shoal_err take_wait(struct slice v, struct rest_args *out, struct errbuf *why)
{
    out->wait = slice_is(v, "true");
    return out->wait || slice_is(v, "false")
               ? SHOAL_OK
               : rest_bad_request(why, "query argument wait: must be true or false");
}

static enum shoal_err take_ordering(struct slice v, struct rest_args *out, struct errbuf *why)
{
    static const char *const words[] = { "weak", "medium", "strong" };
    (void)out;
    return is_one_of(v, words, 3)
               ? SHOAL_OK
               : rest_bad_request(why, "query argument ordering: must be weak, medium or strong");
}

static enum shoal_err take_timeout(struct slice v, struct rest_args *out, struct errbuf *why)
{
    uint64_t n = 0;
    if (!read_number(v, UINT32_MAX, &n)) {
        return rest_bad_request(why, "query argument timeout: must be a whole number of seconds");
    }
    if (n < 1 || n > REST_TIMEOUT_S_MAX) {
        return err_set(why, SHOAL_EVALIDATION, "timeout: value %llu invalid, must be from 1 to %u",
                       (unsigned long long)n, REST_TIMEOUT_S_MAX);
    }
    out->timeout_s = (uint32_t)n;
    return SHOAL_OK;
}

static enum shoal_err take_consistency(struct slice v, struct rest_args *out, struct errbuf *why)
{
    static const char *const words[] = { "majority", "quorum", "all", "" };
    uint64_t n = 0;
    (void)out;
    return is_one_of(v, words, 4) || (read_number(v, UINT32_MAX, &n) && n > 0)
               ? SHOAL_OK
               : rest_bad_request(why, "query argument consistency: must be a number from 1, "
                                       "majority, quorum or all");
}

enum shoal_err rest_args_parse(const struct http_request *req, unsigned known,
                               struct rest_args *out, struct errbuf *why)
{
    static const struct {
        const char *name;
        enum rest_arg arg;
        enum shoal_err (*take)(struct slice v, struct rest_args *out, struct errbuf *why);
    } args[] = { { "wait", REST_ARG_WAIT, take_wait },
                 { "ordering", REST_ARG_ORDERING, take_ordering },
                 { "timeout", REST_ARG_TIMEOUT, take_timeout },
                 { "consistency", REST_ARG_CONSISTENCY, take_consistency } };
    const size_t len = sizeof(args) / sizeof(args[0]);
    *out = (struct rest_args){ 0 };
    unsigned seen = 0;
    for (size_t i = 0; i < req->args_len; i++) {
        struct slice name = req->args[i].name;
        size_t a = 0;
        while (a < len && !slice_is(name, args[a].name)) {
            a++;
        }
        if (a == len || (known & args[a].arg) == 0) {
            if ((known & REST_ARG_IGNORED) != 0) {
                continue;
            }
            return rest_bad_request(why, "query argument \"%.*s\" is not known here", (int)name.len,
                                    name.data);
        }
        if ((seen & args[a].arg) != 0) {
            return rest_bad_request(why, "query argument %s is given twice", args[a].name);
        }
        seen |= args[a].arg;
        enum shoal_err rc = args[a].take(req->args[i].value, out, why);
        if (rc != SHOAL_OK) {
            return rc;
        }
    }
    return SHOAL_OK;
}
