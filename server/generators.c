#include "server/generators.h"

#include "base/mem.h"
#include "base/thread.h"
#include "wire/message.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* One wait for pieces of a stream. */
#define NEXT_WAIT_MS 2000
/* Scratch of one stream reply. */
#define STREAM_ARENA_MAX (8u << 20)

struct generator {
    char name[GENERATOR_NAME_MAX + 1];
    char url[256];
    struct channel_peer peer;
    struct generator_model models[GENERATOR_MODELS_MAX];
    size_t models_len;
    uint64_t seen_ns;
    unsigned busy; /* requests under way: keeps it from being replaced */
};

struct generators {
    struct peers *peers;
    struct mutex mutex;
    struct generator *list[GENERATORS_MAX]; /* mutex */
    size_t len;
};

static uint64_t now_ns(void)
{
    return clock_mono_ns(clock_real());
}

enum shoal_err generators_new(struct peers *peers, struct generators **out)
{
    *out = mem_calloc(1, sizeof(**out));
    if (*out == NULL) {
        return SHOAL_ENOMEM;
    }
    (*out)->peers = peers;
    mutex_init(&(*out)->mutex);
    return SHOAL_OK;
}

static void generator_free(struct generator *gen)
{
    if (gen->peer.release != NULL) {
        gen->peer.release(gen->peer.arg);
    }
    mem_free(gen);
}

void generators_free(struct generators *g)
{
    if (g == NULL) {
        return;
    }
    for (size_t i = 0; i < g->len; i++) {
        assert(g->list[i]->busy == 0);
        generator_free(g->list[i]);
    }
    mutex_release(&g->mutex);
    mem_free(g);
}

/* --- registration --------------------------------------------------------------------------- */

static bool copy_string(struct json_value v, const char *key, char *out, size_t out_len)
{
    struct json_value member;
    struct slice s;
    if (!json_get(v, key, &member) || !json_string(member, &s) || s.len == 0 || s.len >= out_len) {
        return false;
    }
    memcpy(out, s.data, s.len);
    out[s.len] = '\0';
    return true;
}

static uint64_t get_u64(struct json_value v, const char *key)
{
    struct json_value member;
    uint64_t n = 0;
    return json_get(v, key, &member) && json_u64(member, &n) ? n : 0;
}

static bool parse_model(struct json_value v, struct generator_model *out)
{
    char kind[16];
    if (!copy_string(v, "name", out->name, sizeof(out->name)) ||
        !copy_string(v, "kind", kind, sizeof(kind))) {
        return false;
    }
    out->generates = strcmp(kind, "generate") == 0;
    out->dim = (uint32_t)get_u64(v, "dim");
    out->context = (uint32_t)get_u64(v, "context");
    out->parameters = get_u64(v, "parameters");
    return out->generates || out->dim > 0;
}

static bool parse_generator(struct json_value v, struct generator *out)
{
    struct json_value models;
    struct json_value m;
    if (!copy_string(v, "name", out->name, sizeof(out->name)) ||
        !copy_string(v, "url", out->url, sizeof(out->url)) || !json_get(v, "models", &models)) {
        return false;
    }
    for (struct json_iter it = json_iter(models); json_next(&it, NULL, &m);) {
        if (out->models_len == GENERATOR_MODELS_MAX ||
            !parse_model(m, &out->models[out->models_len])) {
            return false;
        }
        out->models_len++;
    }
    return true;
}

/* A free place: that of a generator long silent and idle, or a new one. */
static size_t find_place(struct generators *g, uint64_t now)
{
    for (size_t i = 0; i < g->len; i++) {
        if (g->list[i]->busy == 0 &&
            now - g->list[i]->seen_ns > 2 * GENERATORS_STALE_MS * (uint64_t)1000000) {
            generator_free(g->list[i]);
            g->list[i] = NULL;
            return i;
        }
    }
    return g->len;
}

static enum shoal_err add(struct generators *g, const struct generator *seen, struct errbuf *why)
{
    size_t at = find_place(g, seen->seen_ns);
    struct generator *gen = at < GENERATORS_MAX ? mem_calloc(1, sizeof(*gen)) : NULL;
    enum shoal_err rc = gen == NULL ? SHOAL_EFULL : SHOAL_OK;
    if (rc == SHOAL_OK) {
        *gen = *seen;
        rc = peers_get(g->peers, gen->url, &gen->peer, why);
    }
    if (rc == SHOAL_OK) {
        g->list[at] = gen;
        g->len += at == g->len;
        return SHOAL_OK;
    }
    mem_free(gen);
    if (at < g->len) { /* the place was emptied: close the gap */
        g->list[at] = g->list[--g->len];
    }
    return rc;
}

enum shoal_err generators_register(struct generators *g, struct json_value arg, struct errbuf *why)
{
    struct generator seen = { .seen_ns = now_ns() };
    if (!parse_generator(arg, &seen)) {
        return err_set(why, SHOAL_EPROTO, "generator.register: name, url or models are malformed");
    }
    enum shoal_err rc = SHOAL_OK;
    struct generator *known = NULL;
    mutex_lock(&g->mutex);
    for (size_t i = 0; i < g->len; i++) {
        if (strcmp(g->list[i]->url, seen.url) == 0) {
            known = g->list[i];
        }
    }
    if (known != NULL) {
        known->seen_ns = seen.seen_ns;
        known->models_len = seen.models_len;
        memcpy(known->models, seen.models, sizeof(seen.models));
    } else {
        rc = add(g, &seen, why);
    }
    mutex_unlock(&g->mutex);
    return rc;
}

/* --- choosing ------------------------------------------------------------------------------- */

static const struct generator_model *has_model(const struct generator *gen, bool generates,
                                               struct slice name)
{
    for (size_t i = 0; i < gen->models_len; i++) {
        const struct generator_model *m = &gen->models[i];
        if (m->generates == generates && (name.len == 0 || slice_is(name, m->name))) {
            return m;
        }
    }
    return NULL;
}

static bool is_live(const struct generator *gen, uint64_t now)
{
    return now - gen->seen_ns <= GENERATORS_STALE_MS * (uint64_t)1000000;
}

static enum shoal_err none(bool generates, struct slice name, struct errbuf *why)
{
    return err_set(why, SHOAL_EUNAVAILABLE,
                   "no generator with %s%s%.*s is running; start one with "
                   "`shoald --roles generator --join URL`, or give shoald a model directory "
                   "(--models)",
                   generates ? "a language model" : "an embedding model", name.len > 0 ? " " : "",
                   (int)name.len, name.data == NULL ? "" : name.data);
}

static enum shoal_err acquire(struct generators *g, bool generates, struct slice name,
                              struct generator **out, struct generator_model *model,
                              struct errbuf *why)
{
    uint64_t now = now_ns();
    struct generator *best = NULL;
    mutex_lock(&g->mutex);
    for (size_t i = 0; i < g->len; i++) {
        struct generator *gen = g->list[i];
        const struct generator_model *m = has_model(gen, generates, name);
        if (m != NULL && is_live(gen, now) && (best == NULL || gen->busy < best->busy)) {
            best = gen;
            *model = *m;
        }
    }
    if (best != NULL) {
        best->busy++;
    }
    mutex_unlock(&g->mutex);
    *out = best;
    return best == NULL ? none(generates, name, why) : SHOAL_OK;
}

static void release(struct generators *g, struct generator *gen)
{
    mutex_lock(&g->mutex);
    assert(gen->busy > 0);
    gen->busy--;
    mutex_unlock(&g->mutex);
}

enum shoal_err generators_model(struct generators *g, bool generates, struct slice name,
                                struct generator_model *out, struct errbuf *why)
{
    struct generator *gen = NULL;
    enum shoal_err rc = acquire(g, generates, name, &gen, out, why);
    if (rc == SHOAL_OK) {
        release(g, gen);
    }
    return rc;
}

size_t generators_models(struct generators *g, struct generator_model *out, size_t max)
{
    uint64_t now = now_ns();
    size_t n = 0;
    mutex_lock(&g->mutex);
    for (size_t i = 0; i < g->len; i++) {
        const struct generator *gen = g->list[i];
        for (size_t k = 0; is_live(gen, now) && k < gen->models_len && n < max; k++) {
            size_t seen = 0;
            while (seen < n && strcmp(out[seen].name, gen->models[k].name) != 0) {
                seen++;
            }
            if (seen == n) {
                out[n++] = gen->models[k];
            }
        }
    }
    mutex_unlock(&g->mutex);
    return n;
}

/* --- calls ---------------------------------------------------------------------------------- */

static uint32_t ms_left(uint64_t deadline_ns)
{
    uint64_t now = now_ns();
    return now >= deadline_ns ? 0 : (uint32_t)((deadline_ns - now) / 1000000 + 1);
}

/* Sends one request frame and waits; the reply is the caller's. */
static enum shoal_err ask(struct generator *gen, struct buf *request, uint64_t deadline_ns,
                          struct transport_reply **reply, struct errbuf *why)
{
    uint32_t timeout_ms = ms_left(deadline_ns);
    enum shoal_err rc = timeout_ms == 0 ? err_set(why, SHOAL_ETIMEOUT, "the deadline has passed")
                                        : transport_call_wait(gen->peer.peer, buf_slice(request),
                                                              timeout_ms, reply, why);
    return rc == SHOAL_OK ? rc : err_prefix(why, rc, "generator %s", gen->name);
}

static enum shoal_err read_vectors(struct slice message, size_t len, struct arena *arena,
                                   const float **vectors, uint32_t *dim, uint64_t *tokens,
                                   struct errbuf *why)
{
    struct wire_embed_reply msg;
    enum shoal_err rc = wire_read_embed_reply(message, arena, &msg, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (msg.texts_len != len || msg.dim == 0) {
        return err_set(why, SHOAL_EPROTO, "the generator answered %u vectors for %zu texts",
                       msg.texts_len, len);
    }
    float *copy = arena_array(arena, len * msg.dim, sizeof(float));
    if (copy == NULL) {
        return SHOAL_ENOMEM;
    }
    memcpy(copy, msg.vectors, len * msg.dim * sizeof(float));
    *vectors = copy;
    *dim = msg.dim;
    *tokens = msg.tokens;
    return SHOAL_OK;
}

enum shoal_err generators_embed(struct generators *g, struct slice model, const struct slice *texts,
                                size_t len, uint64_t deadline_ns, struct arena *arena,
                                const float **vectors, uint32_t *dim, uint64_t *tokens,
                                struct errbuf *why)
{
    if (len == 0 || len > WIRE_TEXTS_MAX) {
        return err_set(why, SHOAL_EINVAL, "%zu texts to embed; from 1 to %d at a time", len,
                       WIRE_TEXTS_MAX);
    }
    struct generator *gen = NULL;
    struct generator_model info;
    enum shoal_err rc = acquire(g, false, model, &gen, &info, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct buf request;
    buf_init(&request, WIRE_MESSAGE_MAX);
    const struct wire_meta meta = { .timeout_ms = ms_left(deadline_ns) };
    const struct wire_embed msg = { .model = slice_from_str(info.name),
                                    .texts_len = (uint32_t)len,
                                    .texts = texts };
    struct transport_reply *reply = NULL;
    rc = wire_encode_embed(&request, WIRE_EMBED, &meta, &msg);
    if (rc == SHOAL_OK) {
        rc = ask(gen, &request, deadline_ns, &reply, why);
    }
    if (rc == SHOAL_OK) {
        rc = read_vectors(transport_reply_bytes(reply), len, arena, vectors, dim, tokens, why);
    }
    transport_reply_free(reply);
    buf_release(&request);
    release(g, gen);
    return rc;
}

/* --- generation ----------------------------------------------------------------------------- */

struct generation {
    struct generator *gen;
    uint64_t stream;
    uint32_t from; /* pieces already handed out */
    bool (*piece)(void *arg, struct slice text);
    void *arg;
    struct generate_stats *stats;
    uint64_t begun_ns;
    bool canceled;
    bool ended;
};

static enum shoal_err open_stream(struct generation *n, const struct generate_request *request,
                                  struct errbuf *why)
{
    struct buf message;
    struct arena arena;
    buf_init(&message, WIRE_MESSAGE_MAX);
    arena_init(&arena, STREAM_ARENA_MAX);
    const struct wire_meta meta = { .timeout_ms = ms_left(request->deadline_ns) };
    const struct wire_call call = { .op = SLICE_LIT("generate"), .json = request->json };
    struct transport_reply *reply = NULL;
    enum shoal_err rc = wire_encode_call(&message, WIRE_STREAM_OPEN, &meta, &call);
    if (rc == SHOAL_OK) {
        rc = ask(n->gen, &message, request->deadline_ns, &reply, why);
    }
    if (rc == SHOAL_OK) {
        rc = wire_read_stream_id(transport_reply_bytes(reply), &arena, &n->stream, why);
    }
    transport_reply_free(reply);
    arena_release(&arena);
    buf_release(&message);
    return rc;
}

/* The generator's last word on a generation. */
static enum shoal_err take_end(struct generation *n, struct json_value v, struct errbuf *why)
{
    struct json_value error;
    struct slice text;
    n->ended = true;
    n->stats->prompt_tokens = get_u64(v, "prompt_tokens");
    n->stats->generated_tokens = get_u64(v, "generated_tokens");
    (void)copy_string(v, "finish", n->stats->finish, sizeof(n->stats->finish));
    if (json_get(v, "error", &error) && json_string(error, &text)) {
        return err_set(why, err_from_number((unsigned)get_u64(v, "code")), "generator %s: %.*s",
                       n->gen->name, (int)text.len, text.data);
    }
    return SHOAL_OK;
}

/* A piece is {"text": ".."} or the end {"finish": "..", ..}. */
static enum shoal_err take_piece(struct generation *n, struct slice json, struct errbuf *why)
{
    struct json_doc *doc = NULL;
    enum shoal_err rc = json_parse(json, &doc, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct json_value v;
    struct slice text;
    if (json_get(json_root(doc), "text", &v) && json_string(v, &text)) {
        if (n->stats->first_token_ns == 0) {
            n->stats->first_token_ns = now_ns() - n->begun_ns;
        }
        n->canceled = n->canceled || !n->piece(n->arg, text);
    } else {
        rc = take_end(n, json_root(doc), why);
    }
    json_free(doc);
    return rc;
}

static enum shoal_err take_reply(struct generation *n, struct slice message, struct errbuf *why)
{
    struct arena arena;
    arena_init(&arena, STREAM_ARENA_MAX);
    struct wire_stream_pieces msg;
    enum shoal_err rc = wire_read_stream_pieces(message, &arena, &msg, why);
    for (uint32_t i = 0; rc == SHOAL_OK && i < msg.pieces_len && !n->canceled; i++) {
        rc = take_piece(n, msg.pieces[i], why);
        n->from++;
    }
    if (rc == SHOAL_OK && msg.done && !n->ended && !n->canceled) {
        rc = err_set(why, SHOAL_EUNAVAILABLE, "generator %s gave the answer up", n->gen->name);
    }
    arena_release(&arena);
    return rc;
}

static enum shoal_err next(struct generation *n, uint64_t deadline_ns, struct errbuf *why)
{
    struct buf message;
    buf_init(&message, 4096);
    uint32_t left = ms_left(deadline_ns);
    const struct wire_meta meta = { .timeout_ms = left };
    const struct wire_stream_ref ref = {
        .stream = n->stream,
        .from = n->from,
        .wait_ms = left / 2 < NEXT_WAIT_MS ? left / 2 : NEXT_WAIT_MS,
    };
    struct transport_reply *reply = NULL;
    enum shoal_err rc = wire_encode_stream_ref(&message, WIRE_STREAM_NEXT, &meta, &ref);
    if (rc == SHOAL_OK) {
        rc = ask(n->gen, &message, deadline_ns, &reply, why);
    }
    if (rc == SHOAL_OK) {
        rc = take_reply(n, transport_reply_bytes(reply), why);
    }
    transport_reply_free(reply);
    buf_release(&message);
    return rc;
}

/* Best effort: a generator that does not hear it gives up by itself when nobody asks. */
static void cancel(struct generation *n)
{
    struct buf message;
    buf_init(&message, 4096);
    const struct wire_meta meta = { .timeout_ms = 1000 };
    const struct wire_stream_ref ref = { .stream = n->stream };
    struct transport_reply *reply = NULL;
    if (wire_encode_stream_ref(&message, WIRE_STREAM_CANCEL, &meta, &ref) == SHOAL_OK &&
        transport_call_wait(n->gen->peer.peer, buf_slice(&message), 1000, &reply, NULL) ==
            SHOAL_OK) {
        transport_reply_free(reply);
    }
    buf_release(&message);
}

enum shoal_err generators_generate(struct generators *g, const struct generate_request *request,
                                   bool (*piece)(void *arg, struct slice text), void *arg,
                                   struct generate_stats *stats, struct errbuf *why)
{
    *stats = (struct generate_stats){ 0 };
    struct generator_model info;
    struct generation n = { .piece = piece, .arg = arg, .stats = stats, .begun_ns = now_ns() };
    enum shoal_err rc = acquire(g, true, request->model, &n.gen, &info, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = open_stream(&n, request, why);
    bool opened = rc == SHOAL_OK;
    while (rc == SHOAL_OK && !n.ended && !n.canceled) {
        rc = next(&n, request->deadline_ns, why);
    }
    if (opened && !n.ended) {
        cancel(&n);
    }
    if (n.canceled) {
        snprintf(stats->finish, sizeof(stats->finish), "canceled");
    }
    if (!n.ended) { /* nobody told: a piece is a token at least */
        stats->generated_tokens = n.from;
    }
    stats->total_ns = now_ns() - n.begun_ns;
    release(g, n.gen);
    return rc;
}
