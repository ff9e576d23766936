#include "server/passages.h"

#include "server/generators.h"

#include <string.h>

static void take(struct json_value payload, const char *key, struct slice *out)
{
    struct json_value v;
    if (json_get(payload, key, &v)) {
        (void)json_string(v, out);
    }
}

static uint64_t take_number(struct json_value payload, const char *key)
{
    struct json_value v;
    uint64_t n = 0;
    return json_get(payload, key, &v) && json_u64(v, &n) ? n : 0;
}

static enum shoal_err copy(struct arena *arena, struct slice *s)
{
    char *text = arena_strndup(arena, s->data, s->len);
    if (text == NULL) {
        return SHOAL_ENOMEM;
    }
    s->data = text;
    return SHOAL_OK;
}

/* False when the hit is no chunk of a document. */
static enum shoal_err read_hit(const struct query_hit *hit, struct arena *arena,
                               struct passage *out, bool *is_passage)
{
    struct json_doc *doc = NULL;
    *is_passage = false;
    if (hit->payload.len == 0) {
        return SHOAL_OK;
    }
    enum shoal_err rc = json_parse(hit->payload, &doc, NULL);
    if (rc != SHOAL_OK) {
        return rc == SHOAL_ENOMEM ? rc : SHOAL_OK;
    }
    struct json_value payload = json_root(doc);
    *out = (struct passage){ .id = hit->id, .score = hit->score };
    take(payload, "document", &out->document);
    take(payload, "title", &out->title);
    take(payload, "section", &out->section);
    take(payload, "text", &out->text);
    out->begin = take_number(payload, "begin");
    out->end = take_number(payload, "end");
    *is_passage = out->text.len > 0;
    struct slice *const texts[] = { &out->document, &out->title, &out->section, &out->text };
    for (size_t i = 0; *is_passage && rc == SHOAL_OK && i < 4; i++) {
        rc = copy(arena, texts[i]);
    }
    json_free(doc);
    return rc;
}

static enum shoal_err embed(struct gateway *g, const struct query_context *ctx, struct slice text,
                            uint32_t want_dim, const float **vector, struct errbuf *why)
{
    struct slice any = { NULL, 0 };
    uint32_t dim = 0;
    uint64_t tokens = 0;
    enum shoal_err rc = generators_embed(gateway_generators(g), any, &text, 1, ctx->deadline_ns,
                                         ctx->arena, vector, &dim, &tokens, why);
    if (rc == SHOAL_OK && dim != want_dim) {
        rc = err_set(why, SHOAL_EINVAL,
                     "the collection's vectors have %u components, the embedder's %u", want_dim,
                     dim);
    }
    return rc;
}

static enum shoal_err find(struct gateway *g, struct collection *c, const struct query_context *ctx,
                           const struct passages_query *q, struct passages *out, struct errbuf *why)
{
    const struct clock *clock = gateway_clock(g);
    const float *vector = NULL;
    uint64_t start_ns = clock_mono_ns(clock);
    enum shoal_err rc = embed(g, ctx, q->text, c->dim, &vector, why);
    out->embed_ns = clock_mono_ns(clock) - start_ns;
    if (rc != SHOAL_OK) {
        return rc;
    }
    const struct query_search search = {
        .vector = vector, .k = q->limit, .filter = q->filter, .what = { .with_payload = true }
    };
    struct query_answer answer;
    rc = query_search(c, ctx, &search, &answer, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    out->coverage = answer.coverage;
    out->shards = answer.shards;
    out->search_ns = answer.search_ns;
    out->merge_ns = answer.merge_ns;
    out->fetch_ns = answer.fetch_ns;
    for (size_t i = 0; i < answer.len && rc == SHOAL_OK; i++) {
        bool is_passage = false;
        rc = read_hit(&answer.hits[i], ctx->arena, &out->list[out->len], &is_passage);
        out->len += rc == SHOAL_OK && is_passage;
    }
    return rc;
}

enum shoal_err passages_find(struct gateway *g, struct slice collection,
                             const struct query_context *ctx, const struct passages_query *q,
                             struct passages *out, struct errbuf *why)
{
    out->len = 0;
    if (q->limit == 0 || q->limit > PASSAGES_MAX) {
        return err_set(why, SHOAL_EVALIDATION, "limit: value %u invalid, must be from 1 to %d",
                       q->limit, PASSAGES_MAX);
    }
    if (q->text.len == 0) {
        return err_set(why, SHOAL_EVALIDATION, "the text to look for is empty");
    }
    struct collection *c = NULL;
    enum shoal_err rc = gateway_collection(g, collection, &c, why);
    if (rc == SHOAL_OK) {
        rc = find(g, c, ctx, q, out, why);
    }
    collection_unref(c);
    return rc;
}

/* --- printing ------------------------------------------------------------------------------- */

static void put_text(struct json_writer *w, const char *key, struct slice value)
{
    json_key(w, key);
    json_put_string(w, value);
}

void passage_print(struct json_writer *w, const struct passage *p, size_t number, bool with_text)
{
    char id[POINT_ID_TEXT_MAX];
    size_t len = point_id_print(&p->id, id);
    json_begin_object(w);
    json_key(w, "number");
    json_put_u64(w, number);
    put_text(w, "document", p->document);
    put_text(w, "title", p->title);
    put_text(w, "section", p->section);
    json_key(w, "score");
    json_put_f32(w, p->score);
    put_text(w, "id", slice_make(id, len));
    json_key(w, "begin");
    json_put_u64(w, p->begin);
    json_key(w, "end");
    json_put_u64(w, p->end);
    if (with_text) {
        put_text(w, "text", p->text);
    }
    json_end_object(w);
}

void passages_print_coverage(struct json_writer *w, const struct passages *p)
{
    json_key(w, "coverage");
    json_begin_object(w);
    json_key(w, "shards_asked");
    json_put_u64(w, p->coverage.asked);
    json_key(w, "shards_answered");
    json_put_u64(w, p->coverage.answered);
    json_end_object(w);
}

static void put_ms(struct json_writer *w, const char *key, uint64_t ns)
{
    json_key(w, key);
    json_put_f64(w, (double)(ns / 1000) / 1000.0);
}

void passages_print_timings(struct json_writer *w, const struct passages *p)
{
    put_ms(w, "embed_ms", p->embed_ns);
    put_ms(w, "search_ms", p->search_ns);
    put_ms(w, "merge_ms", p->merge_ns);
    put_ms(w, "fetch_ms", p->fetch_ns);
    json_key(w, "shards");
    json_begin_array(w);
    for (size_t i = 0; i < p->coverage.asked; i++) {
        json_begin_object(w);
        json_key(w, "shard");
        json_put_u64(w, p->shards[i].shard);
        put_ms(w, "ms", p->shards[i].took_ns);
        put_text(w, "plan", slice_from_str(p->shards[i].plan));
        json_end_object(w);
    }
    json_end_array(w);
}
