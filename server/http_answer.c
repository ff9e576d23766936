/* Answers as libmicrohttpd wants them. The body is lent, not copied: it lives in the exchange until
 * libmicrohttpd says that the exchange is complete. */
#include "server/http_conn.h"

#include <assert.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>

/* Bytes asked of a stream at once for clients of HTTP/1.0; others get what fits their buffer. */
#define STREAM_BLOCK 16384

void http_response_field(struct http_response *res, const char *name, const char *value)
{
    assert(res->fields_len < HTTP_ANSWER_FIELDS_MAX);
    res->fields[res->fields_len++] = (struct http_answer_field){ .name = name, .value = value };
}

/* Any page in any browser may ask, as with the API this one follows; who must be kept out is kept
 * out by a key, which pages of others do not have. */
static bool add_fields(struct MHD_Response *answer, const struct http_conn *c)
{
    const struct http_response *res = &c->res;
    bool ok = res->content_type == NULL ||
              MHD_add_response_header(answer, "Content-Type", res->content_type) == MHD_YES;
    ok = ok && MHD_add_response_header(answer, "Access-Control-Allow-Origin", "*") == MHD_YES;
    for (size_t i = 0; ok && i < res->fields_len; i++) {
        ok = MHD_add_response_header(answer, res->fields[i].name, res->fields[i].value) == MHD_YES;
    }
    if (ok && atomic_load_explicit(&c->server->draining, memory_order_relaxed)) {
        ok = MHD_add_response_header(answer, "Connection", "close") == MHD_YES;
    }
    return ok;
}

static struct MHD_Response *finish(struct MHD_Response *answer, const struct http_conn *c)
{
    if (answer != NULL && !add_fields(answer, c)) {
        MHD_destroy_response(answer);
        return NULL;
    }
    return answer;
}

struct MHD_Response *http__answer_make(struct http_conn *c)
{
    struct buf *body = &c->res.body;
    if (body->failed != SHOAL_OK) {
        enum shoal_err rc = body->failed;
        buf_reset(body);
        c->res.fields_len = 0;
        c->server->config.app.refuse(
            c->server->config.app.arg, &c->req, &c->res, rc == SHOAL_ETOOBIG ? 500 : 503, rc,
            rc == SHOAL_ETOOBIG ? "the answer is too large; ask for less at a time"
                                : "out of memory; repeat later");
        if (body->failed != SHOAL_OK) {
            return NULL;
        }
    }
    void *data = body->len == 0 ? "" : body->data;
    return finish(MHD_create_response_from_buffer(body->len, data, MHD_RESPMEM_PERSISTENT), c);
}

/* --- streams -------------------------------------------------------------------------------- */

/* Called by libmicrohttpd when the socket has room. With nothing to send the connection is
 * suspended under the stream's lock, so that a push cannot slip between the look and the rest. */
static ssize_t read_stream(void *arg, uint64_t at, char *out, size_t max)
{
    struct http_conn *c = arg;
    struct http_stream *st = &c->stream;
    (void)at;
    ssize_t result = 0;
    mutex_lock(&st->mutex);
    size_t left = st->pending.len - st->sent;
    if (left > 0) {
        size_t n = left < max ? left : max;
        memcpy(out, st->pending.data + st->sent, n);
        st->sent += n;
        if (st->sent == st->pending.len) {
            buf_reset(&st->pending);
            st->sent = 0;
        }
        cond_signal(&st->room);
        result = (ssize_t)n;
    } else if (st->finished) {
        /* A stream that was cut short must not look like one that came to its end. */
        result = st->gone ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        st->waiting = true;
        MHD_suspend_connection(c->mhd);
    }
    mutex_unlock(&st->mutex);
    return result;
}

struct MHD_Response *http__answer_make_stream(struct http_conn *c)
{
    return finish(
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_stream, c, NULL), c);
}
