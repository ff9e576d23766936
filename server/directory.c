/* One map, one condition, and a feeder: the catalog's listener here, or a thread that watches over
 * the wire. Watches of other processes are parked in a list and answered when the map changes; the
 * feeder of a local directory is also the clock that ends overdue ones. */
#include "server/directory.h"

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "wire/message.h"

#include <assert.h>
#include <stdio.h>

/* Parked watches; one per process of the cluster is what is needed. */
#define WATCHES_MAX 256
/* A watch is answered with the unchanged map after this, so that a lost peer is noticed. */
#define WATCH_MS 10000
/* Wait before asking again when the catalog could not be reached. */
#define RETRY_MS 200
#define MAP_TEXT_MAX (64u << 20)

struct watch {
    struct transport_exchange *exchange;
    uint64_t epoch;
    uint64_t trace_id;
    uint64_t until_ns;
};

struct directory {
    struct catalog *catalog; /* NULL: remote */
    struct transport_peer *peer;
    struct thread feeder;
    struct mutex mutex;
    struct cond changed;
    /* guarded by mutex */
    struct catalog_map *map;
    bool dirty; /* the catalog has a newer map */
    bool stopping;
    struct watch watches[WATCHES_MAX];
    size_t watches_len;
};

static uint64_t now_ns(void)
{
    return clock_mono_ns(clock_real());
}

static uint64_t after_ms(uint64_t ms)
{
    return now_ns() + ms * 1000000u;
}

static uint32_t ms_left(uint64_t deadline_ns)
{
    uint64_t now = now_ns();
    return now >= deadline_ns ? 0 : (uint32_t)((deadline_ns - now) / 1000000 + 1);
}

/* Takes over the reference. */
static void publish(struct directory *d, struct catalog_map *m)
{
    mutex_lock(&d->mutex);
    struct catalog_map *old = d->map;
    d->map = m;
    cond_broadcast(&d->changed);
    mutex_unlock(&d->mutex);
    catalog_map_unref(old);
}

/* --- answering watches ---------------------------------------------------------------------- */

static void answer_error(struct transport_exchange *x, const struct frame *f, enum shoal_err rc,
                         const struct errbuf *why)
{
    struct buf out;
    buf_init(&out, WIRE_MESSAGE_MAX);
    (void)frame_encode_error(&out, f->kind, f->trace_id, rc, err_why(why, rc));
    transport_answer(x, buf_slice(&out));
    buf_release(&out);
}

static void answer_json(struct transport_exchange *x, uint64_t trace_id, struct slice json)
{
    struct buf out;
    buf_init(&out, WIRE_MESSAGE_MAX);
    enum shoal_err rc = wire_reply_json(&out, WIRE_CALL, trace_id, &json);
    if (rc != SHOAL_OK) {
        buf_reset(&out);
        (void)frame_encode_error(&out, WIRE_CALL, trace_id, rc, err_text(rc));
    }
    transport_answer(x, buf_slice(&out));
    buf_release(&out);
}

/* Takes the watches that are due out of the list: all older than `epoch`, and the overdue. */
static size_t take_due(struct directory *d, struct watch *due)
{
    uint64_t now = now_ns();
    size_t n = 0;
    size_t kept = 0;
    for (size_t i = 0; i < d->watches_len; i++) {
        struct watch *w = &d->watches[i];
        if (d->stopping || w->epoch != d->map->epoch || now >= w->until_ns) {
            due[n++] = *w;
        } else {
            d->watches[kept++] = *w;
        }
    }
    d->watches_len = kept;
    return n;
}

static void answer_due(struct directory *d)
{
    struct watch due[WATCHES_MAX];
    mutex_lock(&d->mutex);
    size_t n = take_due(d, due);
    struct catalog_map *m = d->map;
    catalog_map_ref(m);
    mutex_unlock(&d->mutex);
    if (n > 0) {
        struct buf text;
        buf_init(&text, MAP_TEXT_MAX);
        (void)catalog_map_print(m, &text);
        for (size_t i = 0; i < n; i++) {
            answer_json(due[i].exchange, due[i].trace_id, buf_slice(&text));
        }
        buf_release(&text);
    }
    catalog_map_unref(m);
}

static void park(struct directory *d, struct transport_exchange *x, const struct frame *f,
                 uint64_t epoch)
{
    struct errbuf why = { 0 };
    mutex_lock(&d->mutex);
    bool parked = d->watches_len < WATCHES_MAX;
    if (parked) {
        uint64_t ms = f->timeout_ms / 2 < WATCH_MS ? f->timeout_ms / 2 : WATCH_MS;
        d->watches[d->watches_len++] = (struct watch){
            .exchange = x, .epoch = epoch, .trace_id = f->trace_id, .until_ns = after_ms(ms)
        };
        d->dirty = true; /* the map may have changed already */
        cond_broadcast(&d->changed);
    }
    mutex_unlock(&d->mutex);
    if (!parked) {
        answer_error(x, f, err_set(&why, SHOAL_EBUSY, "too many watches of the catalog"), &why);
    }
}

static bool get_epoch(struct slice json, uint64_t *epoch)
{
    struct json_doc *doc = NULL;
    struct json_value v;
    if (json_parse(json, &doc, NULL) != SHOAL_OK) {
        return false;
    }
    bool ok = json_get(json_root(doc), "epoch", &v) && json_u64(v, epoch);
    json_free(doc);
    return ok;
}

static void answer_propose(struct directory *d, struct transport_exchange *x, const struct frame *f,
                           struct slice command)
{
    struct errbuf why = { 0 };
    uint64_t value = 0;
    enum shoal_err rc = catalog_propose(d->catalog, command, after_ms(f->timeout_ms), &value, &why);
    if (rc != SHOAL_OK) {
        answer_error(x, f, rc, &why);
        return;
    }
    struct catalog_map *m = catalog_map_get(d->catalog);
    char text[96];
    int n = snprintf(text, sizeof(text), "{\"value\":%llu,\"epoch\":%llu}",
                     (unsigned long long)value, (unsigned long long)m->epoch);
    catalog_map_unref(m);
    answer_json(x, f->trace_id, slice_make(text, (size_t)n));
}

void directory_answer(struct directory *d, struct transport_exchange *x, const struct frame *f,
                      const struct wire_call *call)
{
    struct errbuf why = { 0 };
    uint64_t epoch = 0;
    if (d->catalog == NULL) {
        answer_error(x, f,
                     err_set(&why, SHOAL_EUNSUPPORTED, "this process does not hold the catalog"),
                     &why);
    } else if (slice_is(call->op, "catalog.propose")) {
        answer_propose(d, x, f, call->json);
    } else if (slice_is(call->op, "catalog.watch") && get_epoch(call->json, &epoch)) {
        park(d, x, f, epoch);
    } else {
        answer_error(x, f, err_set(&why, SHOAL_EPROTO, "unknown catalog call"), &why);
    }
}

/* --- local feeder --------------------------------------------------------------------------- */

static void on_catalog_changed(void *arg)
{
    struct directory *d = arg;
    mutex_lock(&d->mutex);
    d->dirty = true;
    cond_broadcast(&d->changed);
    mutex_unlock(&d->mutex);
}

static void run_local(void *arg)
{
    struct directory *d = arg;
    mutex_lock(&d->mutex);
    while (!d->stopping) {
        if (!d->dirty) {
            (void)cond_wait_until(&d->changed, &d->mutex, after_ms(1000));
        }
        bool dirty = d->dirty;
        d->dirty = false;
        mutex_unlock(&d->mutex);
        if (dirty) {
            publish(d, catalog_map_get(d->catalog));
        }
        answer_due(d);
        mutex_lock(&d->mutex);
    }
    mutex_unlock(&d->mutex);
    answer_due(d);
}

/* --- remote feeder -------------------------------------------------------------------------- */

static enum shoal_err call_catalog(struct directory *d, const char *op, struct slice json,
                                   uint32_t timeout_ms, struct transport_reply **reply,
                                   struct slice *result, struct arena *arena, struct errbuf *why)
{
    struct buf out;
    buf_init(&out, WIRE_MESSAGE_MAX);
    const struct wire_meta meta = { .timeout_ms = timeout_ms };
    const struct wire_call call = { .op = slice_from_str(op), .json = json };
    enum shoal_err rc = wire_encode_call(&out, WIRE_CALL, &meta, &call);
    if (rc == SHOAL_OK) {
        rc = transport_call_wait(d->peer, buf_slice(&out), timeout_ms, reply, why);
    }
    buf_release(&out);
    if (rc == SHOAL_OK) {
        rc = wire_read_json(transport_reply_bytes(*reply), arena, result, why);
    }
    return rc;
}

static enum shoal_err watch_once(struct directory *d, uint64_t epoch, struct errbuf *why)
{
    char text[48];
    int n = snprintf(text, sizeof(text), "{\"epoch\":%llu}", (unsigned long long)epoch);
    struct arena arena;
    arena_init(&arena, MAP_TEXT_MAX);
    struct transport_reply *reply = NULL;
    struct slice json;
    enum shoal_err rc = call_catalog(d, "catalog.watch", slice_make(text, (size_t)n), 2 * WATCH_MS,
                                     &reply, &json, &arena, why);
    struct catalog_map *m = NULL;
    if (rc == SHOAL_OK) {
        rc = catalog_map_parse(json, &m, why);
    }
    if (rc == SHOAL_OK) {
        publish(d, m);
    }
    transport_reply_free(reply);
    arena_release(&arena);
    return rc;
}

static void run_remote(void *arg)
{
    struct directory *d = arg;
    bool away = false;
    mutex_lock(&d->mutex);
    while (!d->stopping) {
        uint64_t epoch = d->map->epoch;
        mutex_unlock(&d->mutex);
        struct errbuf why = { 0 };
        enum shoal_err rc = watch_once(d, epoch, &why);
        if (rc != SHOAL_OK && rc != SHOAL_ECANCELED && !away) {
            log_warn("catalog cannot be reached; going on with the last map", LOG_ERR(rc, &why));
        } else if (rc == SHOAL_OK && away) {
            log_info("catalog answers again");
        }
        away = rc != SHOAL_OK;
        mutex_lock(&d->mutex);
        if (away && !d->stopping) {
            (void)cond_wait_until(&d->changed, &d->mutex, after_ms(RETRY_MS));
        }
    }
    mutex_unlock(&d->mutex);
}

/* --- life ----------------------------------------------------------------------------------- */

static enum shoal_err directory_new(struct directory **out)
{
    struct directory *d = mem_calloc(1, sizeof(*d));
    if (d == NULL) {
        return SHOAL_ENOMEM;
    }
    mutex_init(&d->mutex);
    cond_init(&d->changed);
    *out = d;
    return SHOAL_OK;
}

enum shoal_err directory_open_local(struct catalog *catalog, struct directory **out,
                                    struct errbuf *why)
{
    *out = NULL;
    struct directory *d = NULL;
    enum shoal_err rc = directory_new(&d);
    if (rc != SHOAL_OK) {
        return rc;
    }
    d->catalog = catalog;
    catalog_listen(catalog, on_catalog_changed, d);
    d->map = catalog_map_get(catalog); /* after it listens, or a change between is never seen */
    rc = thread_start(&d->feeder, "directory", run_local, d, why);
    if (rc != SHOAL_OK) {
        directory_close(d);
        return rc;
    }
    *out = d;
    return SHOAL_OK;
}

enum shoal_err directory_open_remote(struct transport *transport, const char *url,
                                     struct directory **out, struct errbuf *why)
{
    *out = NULL;
    struct directory *d = NULL;
    enum shoal_err rc = directory_new(&d);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = catalog_map_new(&d->map);
    if (rc == SHOAL_OK) {
        rc = transport_dial(transport, url, &d->peer, why);
    }
    if (rc == SHOAL_OK) {
        rc = thread_start(&d->feeder, "directory", run_remote, d, why);
    }
    if (rc != SHOAL_OK) {
        directory_close(d);
        return rc;
    }
    *out = d;
    return SHOAL_OK;
}

void directory_stop(struct directory *d)
{
    mutex_lock(&d->mutex);
    d->stopping = true;
    cond_broadcast(&d->changed);
    mutex_unlock(&d->mutex);
    /* Ends a watch under way. */
    transport_peer_close(d->peer);
}

void directory_close(struct directory *d)
{
    if (d == NULL) {
        return;
    }
    directory_stop(d);
    if (d->catalog != NULL) {
        catalog_listen(d->catalog, NULL, NULL);
    }
    thread_join(&d->feeder);
    assert(d->watches_len == 0);
    transport_peer_free(d->peer);
    catalog_map_unref(d->map);
    cond_release(&d->changed);
    mutex_release(&d->mutex);
    mem_free(d);
}

/* --- use ------------------------------------------------------------------------------------ */

struct catalog_map *directory_map(struct directory *d)
{
    mutex_lock(&d->mutex);
    struct catalog_map *m = d->map;
    catalog_map_ref(m);
    mutex_unlock(&d->mutex);
    return m;
}

enum shoal_err directory_wait(struct directory *d, uint64_t epoch, uint64_t deadline_ns)
{
    bool in_time = true;
    mutex_lock(&d->mutex);
    while (d->map->epoch <= epoch && !d->stopping && in_time) {
        in_time = cond_wait_until(&d->changed, &d->mutex, deadline_ns);
    }
    enum shoal_err rc = SHOAL_OK;
    if (d->stopping) {
        rc = SHOAL_ECANCELED;
    } else if (d->map->epoch <= epoch) {
        rc = SHOAL_ETIMEOUT;
    }
    mutex_unlock(&d->mutex);
    return rc;
}

static enum shoal_err propose_remote(struct directory *d, struct slice command,
                                     uint64_t deadline_ns, uint64_t *value, uint64_t *epoch,
                                     struct errbuf *why)
{
    uint32_t timeout_ms = ms_left(deadline_ns);
    if (timeout_ms == 0) {
        return err_set(why, SHOAL_ETIMEOUT, "the deadline has passed");
    }
    struct arena arena;
    arena_init(&arena, 1u << 20);
    struct transport_reply *reply = NULL;
    struct slice json;
    enum shoal_err rc = call_catalog(d, "catalog.propose", command, timeout_ms, &reply, &json,
                                     &arena, why);
    struct json_doc *doc = NULL;
    if (rc == SHOAL_OK) {
        rc = json_parse(json, &doc, why);
    }
    if (rc == SHOAL_OK) {
        struct json_value v;
        bool ok = json_get(json_root(doc), "value", &v) && json_u64(v, value) &&
                  json_get(json_root(doc), "epoch", &v) && json_u64(v, epoch);
        rc = ok ? SHOAL_OK : err_set(why, SHOAL_EPROTO, "the catalog's answer is malformed");
    }
    json_free(doc);
    transport_reply_free(reply);
    arena_release(&arena);
    return rc;
}

enum shoal_err directory_propose(struct directory *d, struct slice command, uint64_t deadline_ns,
                                 uint64_t *value, struct errbuf *why)
{
    uint64_t epoch = 0;
    enum shoal_err rc;
    if (d->catalog != NULL) {
        rc = catalog_propose(d->catalog, command, deadline_ns, value, why);
        if (rc == SHOAL_OK) {
            struct catalog_map *m = catalog_map_get(d->catalog);
            epoch = m->epoch;
            catalog_map_unref(m);
        }
    } else {
        rc = propose_remote(d, command, deadline_ns, value, &epoch, why);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = directory_wait(d, epoch - 1, deadline_ns);
    return rc == SHOAL_OK ? rc
                          : err_set(why, rc,
                                    "the catalog took the change, but it is not seen "
                                    "here yet; it will be");
}
