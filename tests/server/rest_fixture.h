/* The HTTP API over a gateway without data, with a generator that answers by script, both as a real
 * HTTP server and as calls of the wire. cmocka.h and what it needs come before this. */
#ifndef SHOAL_TESTS_SERVER_REST_FIXTURE_H
#define SHOAL_TESTS_SERVER_REST_FIXTURE_H

#include "base/mem.h"
#include "base/thread.h"
#include "limit/limit.h"
#include "server/gateway_config.h"
#include "server/generators.h"
#include "server/rest.h"
#include "tests/support/http_client.h"
#include "wire/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCRIPT_URL "inproc://scripted-generator"
#define SCRIPT_DIM 3
#define SCRIPT_PIECES_MAX 8
#define SCRIPT_STREAM 77

/* What the generator does, and what it was asked. */
struct script {
    struct mutex mutex;
    struct cond changed;
    /* guarded by mutex */
    const char *pieces[SCRIPT_PIECES_MAX];
    uint32_t pieces_len;
    const char *finish;  /* "stop" unless set */
    enum shoal_err fail; /* of opening a stream, and of embedding */
    bool breaks;         /* the stream ends in an error after its pieces */
    bool endless;        /* pieces without end, until cancelled */
    unsigned opened, canceled, embedded;
    char request[8192]; /* the last one, JSON */
};

struct rest_fixture {
    struct script script;
    struct transport *transport;
    struct transport_listener *listener;
    struct peers *peers;
    struct generators *generators;
    struct metrics *metrics;
    struct limiter *limiter;
    struct gateway *gateway;
    struct rest *rest;
    struct http_server *server;
    struct http_client client;
    bool ready;
    size_t live;
};

/* --- the generator -------------------------------------------------------------------------- */

static inline void script_piece(struct script *s, uint32_t i, struct buf *out)
{
    struct json_writer w;
    bool last = !s->endless && i == s->pieces_len;
    json_writer_init(&w, out);
    json_begin_object(&w);
    if (!last) {
        json_key(&w, "text");
        json_put_str(&w, s->endless ? "more " : s->pieces[i]);
    } else {
        json_key(&w, "finish");
        json_put_str(&w, s->breaks ? "failed" : s->finish == NULL ? "stop" : s->finish);
        json_key(&w, "prompt_tokens");
        json_put_u64(&w, 7);
        json_key(&w, "generated_tokens");
        json_put_u64(&w, s->pieces_len);
        if (s->breaks) {
            json_key(&w, "code");
            json_put_u64(&w, SHOAL_EIO);
            json_key(&w, "error");
            json_put_str(&w, "the model broke");
        }
    }
    json_end_object(&w);
}

static inline void script_next(struct script *s, const struct frame *f, uint32_t from,
                               struct buf *reply)
{
    struct slice pieces[SCRIPT_PIECES_MAX + 1];
    struct buf texts[SCRIPT_PIECES_MAX + 1];
    uint32_t len = s->endless ? 1 : s->pieces_len + 1 - from;
    for (uint32_t i = 0; i < len; i++) {
        buf_init(&texts[i], 4096);
        script_piece(s, from + i, &texts[i]);
        pieces[i] = buf_slice(&texts[i]);
    }
    const struct wire_stream_pieces msg = { .pieces_len = len,
                                            .pieces = pieces,
                                            .done = !s->endless };
    (void)wire_reply_stream_pieces(reply, f->kind, f->trace_id, &msg);
    for (uint32_t i = 0; i < len; i++) {
        buf_release(&texts[i]);
    }
}

static inline void script_embed(struct script *s, const struct frame *f, struct arena *arena,
                                struct buf *reply)
{
    struct wire_embed msg;
    struct errbuf why;
    float vectors[64 * SCRIPT_DIM];
    if (wire_decode_embed(f, arena, &msg, &why) != SHOAL_OK || msg.texts_len > 64) {
        return;
    }
    for (uint32_t i = 0; i < msg.texts_len * SCRIPT_DIM; i++) {
        vectors[i] = i % SCRIPT_DIM == 0 ? 1.0f : 0.25f * (float)(i % SCRIPT_DIM);
    }
    s->embedded += msg.texts_len;
    const struct wire_embed_reply out = {
        .texts_len = msg.texts_len, .dim = SCRIPT_DIM, .vectors = vectors, .tokens = 5
    };
    (void)wire_reply_embed_reply(reply, f->kind, f->trace_id, &out);
}

static inline void script_open(struct script *s, const struct frame *f, struct arena *arena,
                               struct buf *reply)
{
    struct wire_call call;
    struct errbuf why;
    uint64_t id = SCRIPT_STREAM;
    if (wire_decode_call(f, arena, &call, &why) != SHOAL_OK) {
        return;
    }
    s->opened++;
    snprintf(s->request, sizeof(s->request), "%.*s", (int)call.json.len, call.json.data);
    (void)wire_reply_stream_id(reply, f->kind, f->trace_id, &id);
}

static inline void script_answer(void *arg, struct transport_exchange *x, struct slice message)
{
    struct script *s = arg;
    struct frame f;
    struct errbuf why;
    struct wire_stream_ref ref;
    struct arena arena;
    struct buf reply;
    const struct slice nothing = SLICE_LIT("{}");
    arena_init(&arena, 1u << 20);
    buf_init(&reply, 1u << 20);
    mutex_lock(&s->mutex);
    if (frame_decode(message, &f, &why) != SHOAL_OK) {
        f.kind = 0;
    }
    if (s->fail != SHOAL_OK) {
        (void)frame_encode_error(&reply, f.kind, f.trace_id, s->fail, "scripted failure");
    } else if (f.kind == WIRE_EMBED) {
        script_embed(s, &f, &arena, &reply);
    } else if (f.kind == WIRE_STREAM_OPEN) {
        script_open(s, &f, &arena, &reply);
    } else if (wire_decode_stream_ref(&f, &arena, &ref, &why) == SHOAL_OK) {
        if (f.kind == WIRE_STREAM_NEXT) {
            script_next(s, &f, ref.from, &reply);
        } else {
            s->canceled++;
            cond_broadcast(&s->changed);
            (void)wire_reply_json(&reply, f.kind, f.trace_id, &nothing);
        }
    }
    mutex_unlock(&s->mutex);
    transport_answer(x, buf_slice(&reply));
    buf_release(&reply);
    arena_release(&arena);
}

static inline void await_cancel(struct script *s)
{
    mutex_lock(&s->mutex);
    while (s->canceled == 0) {
        cond_wait(&s->changed, &s->mutex);
    }
    mutex_unlock(&s->mutex);
}

/* --- fixture -------------------------------------------------------------------------------- */

static inline bool fixture_ready(void *arg)
{
    return ((struct rest_fixture *)arg)->ready;
}

static inline void must(enum shoal_err rc, const struct errbuf *why)
{
    if (rc != SHOAL_OK) {
        fail_msg("%s", err_why(why, rc));
    }
}

static inline void register_script(struct rest_fixture *f)
{
    static const char text[] =
        "{\"name\":\"g\",\"url\":\"" SCRIPT_URL "\",\"models\":["
        "{\"name\":\"talker\",\"kind\":\"generate\",\"context\":2048,\"parameters\":1000},"
        "{\"name\":\"mapper\",\"kind\":\"embed\",\"dim\":3,\"context\":512}]}";
    struct json_doc *doc = NULL;
    struct errbuf why = { 0 };
    must(json_parse(slice_from_str(text), &doc, &why), &why);
    must(generators_register(f->generators, json_root(doc), &why), &why);
    json_free(doc);
}

static inline void start_rest(struct rest_fixture *f, const char *limits)
{
    struct errbuf why = { 0 };
    if (limits != NULL) {
        struct limit_rules rules;
        must(limit_rules_parse(slice_from_str(limits), &rules, &why), &why);
        const struct limiter_config config = { .rules = &rules, .tenants_max = 100 };
        must(limiter_local_new(&config, &f->limiter, &why), &why);
    }
    const struct gateway_config gateway = {
        .peers = f->peers,
        .limiter = f->limiter,
        .generators = f->generators,
        .metrics = f->metrics,
        .clock = clock_real(),
        .rand = rand_system(),
    };
    must(gateway_new(&gateway, &f->gateway), &why);
    const struct rest_config config = { .gateway = f->gateway,
                                        .version = "1.2.3",
                                        .name = "test",
                                        .roles = "gateway",
                                        .ready = fixture_ready,
                                        .arg = f };
    must(rest_new(&config, &f->rest, &why), &why);
    const struct http_config http = { .address = "127.0.0.1:0",
                                      .app = rest_http_app(f->rest),
                                      .body_bytes_max = 1u << 20 };
    must(http_server_new(&http, &f->server, &why), &why);
    http_client_open(&f->client, http_server_address(f->server));
}

static inline int rest_setup(void **state, const char *limits)
{
    struct rest_fixture *f = calloc(1, sizeof(*f));
    struct errbuf why = { 0 };
    if (f == NULL) {
        return -1;
    }
    f->live = mem_live();
    f->client.fd = -1;
    f->ready = true;
    mutex_init(&f->script.mutex);
    cond_init(&f->script.changed);
    must(metrics_new(&f->metrics), &why);
    must(transport_nng_new(&f->transport, &why), &why);
    must(transport_listen(f->transport, SCRIPT_URL, script_answer, &f->script, &f->listener, &why),
         &why);
    must(peers_new(f->transport, &f->peers), &why);
    must(generators_new(f->peers, &f->generators), &why);
    register_script(f);
    start_rest(f, limits);
    *state = f;
    return 0;
}

static inline int rest_teardown(void **state)
{
    struct rest_fixture *f = *state;
    http_client_close(&f->client);
    http_server_free(f->server);
    rest_free(f->rest);
    gateway_free(f->gateway);
    limiter_free(f->limiter);
    generators_free(f->generators);
    peers_free(f->peers);
    transport_listener_free(f->listener);
    transport_free(f->transport);
    metrics_free(f->metrics);
    cond_release(&f->script.changed);
    mutex_release(&f->script.mutex);
    int leaked = mem_live() != f->live;
    free(f);
    return leaked ? -1 : 0;
}

/* --- asking --------------------------------------------------------------------------------- */

static inline struct http_reply ask_with(struct rest_fixture *f, const char *line,
                                         const char *fields, const char *body)
{
    static char text[1u << 16];
    int n = snprintf(text, sizeof(text),
                     "%s HTTP/1.1\r\nHost: t\r\n%sContent-Length: %zu\r\n\r\n%s", line, fields,
                     strlen(body), body);
    assert_true(n > 0 && (size_t)n < sizeof(text));
    return http_client_ask(&f->client, text);
}

static inline struct http_reply ask(struct rest_fixture *f, const char *line, const char *body)
{
    return ask_with(f, line, "", body);
}

static inline void assert_status(struct http_reply r, int status)
{
    if (r.status != status) {
        fail_msg("got %d \"%s\", wanted %d", r.status, r.body == NULL ? "" : r.body, status);
    }
}

static inline void assert_has(struct http_reply r, const char *part)
{
    if (r.body == NULL || strstr(r.body, part) == NULL) {
        fail_msg("\"%s\" does not hold \"%s\"", r.body == NULL ? "" : r.body, part);
    }
}

static inline void assert_lacks(struct http_reply r, const char *part)
{
    if (r.body != NULL && strstr(r.body, part) != NULL) {
        fail_msg("\"%s\" holds \"%s\"", r.body, part);
    }
}

static inline void assert_field(struct http_reply r, const char *name, const char *value)
{
    const char *got = http_reply_field(&r, name);
    if (got == NULL || strcmp(got, value) != 0) {
        fail_msg("%s: %s, wanted %s", name, got == NULL ? "(none)" : got, value);
    }
}

#endif
