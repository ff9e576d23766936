/* One table, one lock, and one thread that answers parked requests whose time is over and drops
 * streams nobody asks about. Replies are built under the lock (they are small) and sent without. */
#include "server/streams.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/thread.h"

#include <assert.h>

/* How often the thread looks while anything is parked. */
#define SWEEP_MS 100
/* Longest a request is parked. */
#define PARK_MS_MAX 10000

struct parked {
    struct transport_exchange *exchange; /* NULL: nobody waits */
    uint64_t trace_id;
    uint64_t until_ns;
    uint32_t from;
};

struct stream {
    struct streams *owner;
    uint64_t id;
    struct buf bytes; /* all pieces, one after the other */
    uint32_t *ends;   /* piece i ends at ends[i] */
    size_t ends_cap;
    uint32_t len;
    bool done;
    bool canceled;
    bool producing;    /* between stream_open and stream_finish */
    uint64_t asked_ns; /* when a consumer last asked */
    struct parked parked;
    struct stream *next;
};

struct streams {
    struct thread thread;
    struct mutex mutex;
    struct cond changed;
    /* guarded by mutex, as are all streams */
    struct stream *list;
    size_t len;
    bool stopping;
};

struct answer {
    struct transport_exchange *exchange;
    struct buf reply;
};

static uint64_t now_ns(void)
{
    return clock_mono_ns(clock_real());
}

/* --- replies -------------------------------------------------------------------------------- */

static enum shoal_err encode(const struct stream *st, uint32_t from, uint64_t trace_id,
                             struct buf *out)
{
    uint32_t n = from < st->len ? st->len - from : 0;
    struct slice *pieces = n == 0 ? NULL : mem_array(n, sizeof(*pieces));
    if (n > 0 && pieces == NULL) {
        return SHOAL_ENOMEM;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t begin = from + i == 0 ? 0 : st->ends[from + i - 1];
        pieces[i] = slice_make(st->bytes.data + begin, st->ends[from + i] - begin);
    }
    const struct wire_stream_pieces msg = { .pieces_len = n,
                                            .pieces = pieces,
                                            .done = st->done || st->canceled };
    enum shoal_err rc = wire_reply_stream_pieces(out, WIRE_STREAM_NEXT, trace_id, &msg);
    mem_free(pieces);
    return rc;
}

/* Moves the parked request, if it is to be answered now, into *a. Under the lock. */
static bool take_answer(struct stream *st, bool now, struct answer *a)
{
    struct parked *p = &st->parked;
    bool ready = p->from < st->len || st->done || st->canceled || now;
    if (p->exchange == NULL || !ready) {
        return false;
    }
    buf_init(&a->reply, WIRE_MESSAGE_MAX);
    enum shoal_err rc = encode(st, p->from, p->trace_id, &a->reply);
    if (rc != SHOAL_OK) {
        buf_reset(&a->reply);
        (void)frame_encode_error(&a->reply, WIRE_STREAM_NEXT, p->trace_id, rc, err_text(rc));
    }
    a->exchange = p->exchange;
    p->exchange = NULL;
    return true;
}

static void send_answer(struct answer *a)
{
    transport_answer(a->exchange, buf_slice(&a->reply));
    buf_release(&a->reply);
}

/* --- the sweeper ---------------------------------------------------------------------------- */

static void stream_free(struct stream *st)
{
    assert(st->parked.exchange == NULL);
    buf_release(&st->bytes);
    mem_free(st->ends);
    mem_free(st);
}

/* Finds one parked request that is overdue; drops what nobody needs on the way. */
static bool sweep_one(struct streams *s, struct answer *a)
{
    uint64_t now = now_ns();
    for (struct stream **at = &s->list; *at != NULL;) {
        struct stream *st = *at;
        if (s->stopping) {
            st->canceled = true;
        }
        if (take_answer(st, now >= st->parked.until_ns, a)) {
            return true;
        }
        bool idle = now - st->asked_ns > STREAMS_IDLE_MS * (uint64_t)1000000;
        if (idle && st->parked.exchange == NULL) {
            st->canceled = true;
        }
        if (st->canceled && !st->producing && st->parked.exchange == NULL) {
            *at = st->next;
            s->len--;
            stream_free(st);
        } else {
            at = &st->next;
        }
    }
    return false;
}

static void run(void *arg)
{
    struct streams *s = arg;
    mutex_lock(&s->mutex);
    while (!s->stopping || s->list != NULL) {
        struct answer a;
        if (sweep_one(s, &a)) {
            mutex_unlock(&s->mutex);
            send_answer(&a);
            mutex_lock(&s->mutex);
        } else if (s->list != NULL) {
            (void)cond_wait_until(&s->changed, &s->mutex, now_ns() + SWEEP_MS * 1000000u);
        } else if (!s->stopping) {
            cond_wait(&s->changed, &s->mutex);
        }
    }
    mutex_unlock(&s->mutex);
}

enum shoal_err streams_new(struct streams **out, struct errbuf *why)
{
    *out = NULL;
    struct streams *s = mem_calloc(1, sizeof(*s));
    if (s == NULL) {
        return SHOAL_ENOMEM;
    }
    mutex_init(&s->mutex);
    cond_init(&s->changed);
    enum shoal_err rc = thread_start(&s->thread, "streams", run, s, why);
    if (rc != SHOAL_OK) {
        streams_free(s);
        return rc;
    }
    *out = s;
    return SHOAL_OK;
}

void streams_free(struct streams *s)
{
    if (s == NULL) {
        return;
    }
    mutex_lock(&s->mutex);
    s->stopping = true;
    cond_broadcast(&s->changed);
    mutex_unlock(&s->mutex);
    thread_join(&s->thread);
    assert(s->list == NULL);
    cond_release(&s->changed);
    mutex_release(&s->mutex);
    mem_free(s);
}

/* --- producing ------------------------------------------------------------------------------ */

enum shoal_err stream_open(struct streams *s, struct stream **out, uint64_t *id)
{
    *out = NULL;
    struct stream *st = mem_calloc(1, sizeof(*st));
    if (st == NULL) {
        return SHOAL_ENOMEM;
    }
    buf_init(&st->bytes, STREAM_BYTES_MAX);
    st->owner = s;
    st->id = rand_u64(rand_system());
    st->producing = true;
    st->asked_ns = now_ns();
    mutex_lock(&s->mutex);
    bool room = s->len < STREAMS_MAX && !s->stopping;
    if (room) {
        st->next = s->list;
        s->list = st;
        s->len++;
        cond_broadcast(&s->changed);
    }
    mutex_unlock(&s->mutex);
    if (!room) {
        stream_free(st);
        return SHOAL_EBUSY;
    }
    *out = st;
    *id = st->id;
    return SHOAL_OK;
}

static bool append(struct stream *st, struct slice json)
{
    if (st->len == st->ends_cap) {
        size_t cap = st->ends_cap == 0 ? 64 : 2 * st->ends_cap;
        uint32_t *ends = mem_realloc(st->ends, cap * sizeof(*ends));
        if (ends == NULL) {
            return false;
        }
        st->ends = ends;
        st->ends_cap = cap;
    }
    if (buf_append_slice(&st->bytes, json) != SHOAL_OK) {
        return false;
    }
    st->ends[st->len++] = (uint32_t)st->bytes.len;
    return true;
}

bool stream_push(struct stream *st, struct slice json)
{
    struct streams *s = st->owner;
    struct answer a;
    mutex_lock(&s->mutex);
    if (!st->canceled && !append(st, json)) {
        st->canceled = true; /* better an end than a gap */
    }
    bool going = !st->canceled;
    bool answered = take_answer(st, false, &a);
    mutex_unlock(&s->mutex);
    if (answered) {
        send_answer(&a);
    }
    return going;
}

bool stream_is_canceled(struct stream *st)
{
    mutex_lock(&st->owner->mutex);
    bool canceled = st->canceled;
    mutex_unlock(&st->owner->mutex);
    return canceled;
}

void stream_finish(struct stream *st)
{
    struct streams *s = st->owner;
    struct answer a;
    mutex_lock(&s->mutex);
    st->done = true;
    st->producing = false;
    bool answered = take_answer(st, false, &a);
    cond_broadcast(&s->changed);
    mutex_unlock(&s->mutex);
    if (answered) {
        send_answer(&a);
    }
}

/* --- consuming ------------------------------------------------------------------------------ */

static struct stream *find(struct streams *s, uint64_t id)
{
    struct stream *st = s->list;
    while (st != NULL && st->id != id) {
        st = st->next;
    }
    return st;
}

static void answer_failure(struct transport_exchange *x, const struct frame *f, enum shoal_err rc,
                           const char *text)
{
    struct buf out;
    buf_init(&out, WIRE_MESSAGE_MAX);
    (void)frame_encode_error(&out, f->kind, f->trace_id, rc, text);
    transport_answer(x, buf_slice(&out));
    buf_release(&out);
}

void streams_next(struct streams *s, struct transport_exchange *x, const struct frame *f,
                  const struct wire_stream_ref *ref)
{
    uint64_t wait_ms = ref->wait_ms < PARK_MS_MAX ? ref->wait_ms : PARK_MS_MAX;
    struct answer earlier = { .exchange = NULL };
    struct answer a = { .exchange = NULL };
    mutex_lock(&s->mutex);
    struct stream *st = find(s, ref->stream);
    if (st != NULL) {
        (void)take_answer(st, true, &earlier); /* one consumer: an earlier request is stale */
        st->asked_ns = now_ns();
        st->parked = (struct parked){
            .exchange = x,
            .trace_id = f->trace_id,
            .until_ns = st->asked_ns + wait_ms * 1000000u,
            .from = ref->from,
        };
        (void)take_answer(st, wait_ms == 0, &a);
        cond_broadcast(&s->changed);
    }
    mutex_unlock(&s->mutex);
    if (st == NULL) {
        answer_failure(x, f, SHOAL_ENOTFOUND, "no such stream; it ended or was given up");
        return;
    }
    if (earlier.exchange != NULL) {
        send_answer(&earlier);
    }
    if (a.exchange != NULL) {
        send_answer(&a);
    }
}

enum shoal_err streams_cancel(struct streams *s, uint64_t id)
{
    mutex_lock(&s->mutex);
    struct stream *st = find(s, id);
    if (st != NULL) {
        st->canceled = true;
        st->parked.until_ns = 0;
        cond_broadcast(&s->changed);
    }
    mutex_unlock(&s->mutex);
    return st == NULL ? SHOAL_ENOTFOUND : SHOAL_OK;
}
