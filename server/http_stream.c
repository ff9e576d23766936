/* Answers that come in pieces: one producer, the handler's thread, and one consumer, the socket's
 * thread, with a bounded buffer between them. */
#include "server/http_conn.h"

#include <assert.h>
#include <microhttpd.h>

enum shoal_err http_stream_begin(struct http_response *res, struct http_stream **out)
{
    *out = NULL;
    struct http_conn *c = res->conn;
    if (c == NULL) {
        return SHOAL_EUNSUPPORTED;
    }
    assert(c->phase == HTTP_PHASE_HANDLING && !c->stream.begun && c->answer == NULL);
    c->answer = http__answer_make_stream(c);
    if (c->answer == NULL) {
        return SHOAL_ENOMEM;
    }
    mutex_lock(&c->stream.mutex);
    c->stream.begun = true;
    mutex_unlock(&c->stream.mutex);
    c->phase = HTTP_PHASE_READY;
    MHD_resume_connection(c->mhd);
    *out = &c->stream;
    return SHOAL_OK;
}

static struct http_conn *conn_of(struct http_stream *st)
{
    return (struct http_conn *)((char *)st - offsetof(struct http_conn, stream));
}

/* Under the lock: room for at least one byte; 0 when the producer should stop. */
static size_t await_room(struct http_stream *st, uint64_t deadline_ns)
{
    while (!st->gone && st->pending.len - st->sent >= HTTP_STREAM_BYTES_MAX) {
        if (!cond_wait_until(&st->room, &st->mutex, deadline_ns)) {
            return 0;
        }
    }
    return st->gone ? 0 : HTTP_STREAM_BYTES_MAX - (st->pending.len - st->sent);
}

/* Under the lock. The buffer never grows over its maximum: what was sent is dropped first. */
static bool append(struct http_stream *st, struct slice piece)
{
    if (st->sent > 0) {
        memmove(st->pending.data, st->pending.data + st->sent, st->pending.len - st->sent);
        st->pending.len -= st->sent;
        st->sent = 0;
    }
    return buf_append_slice(&st->pending, piece) == SHOAL_OK;
}

bool http_stream_push(struct http_stream *st, struct slice piece, uint64_t deadline_ns)
{
    bool ok = true;
    mutex_lock(&st->mutex);
    assert(st->begun && !st->finished);
    while (ok && piece.len > 0) {
        size_t room = await_room(st, deadline_ns);
        size_t n = piece.len < room ? piece.len : room;
        ok = n > 0 && append(st, slice_make(piece.data, n));
        piece = slice_make(piece.data + n, piece.len - n);
        if (ok && st->waiting) {
            st->waiting = false;
            MHD_resume_connection(conn_of(st)->mhd);
        }
    }
    if (!ok) {
        st->gone = true; /* what was pushed is not whole, and must not be ended as if it were */
    }
    mutex_unlock(&st->mutex);
    return ok;
}

bool http_stream_is_gone(struct http_stream *st)
{
    mutex_lock(&st->mutex);
    bool gone = st->gone;
    mutex_unlock(&st->mutex);
    return gone;
}

void http__stream_finish(struct http_conn *c)
{
    struct http_stream *st = &c->stream;
    mutex_lock(&st->mutex);
    assert(st->begun && !st->finished);
    st->finished = true;
    bool completed = st->completed;
    if (!completed && st->waiting) {
        st->waiting = false;
        MHD_resume_connection(c->mhd);
    }
    mutex_unlock(&st->mutex);
    if (completed) {
        http__exchange_end(c); /* libmicrohttpd left it to us */
    }
}

bool http__stream_abandon(struct http_conn *c, bool completed)
{
    struct http_stream *st = &c->stream;
    mutex_lock(&st->mutex);
    bool producing = st->begun && !st->finished;
    if (producing) {
        st->gone = true;
        st->completed = st->completed || completed;
        cond_signal(&st->room);
    }
    mutex_unlock(&st->mutex);
    return producing;
}
