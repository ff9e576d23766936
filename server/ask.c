#include "server/ask.h"

#include "base/mem.h"
#include "server/generators.h"
#include "server/passages.h"
#include "slm/answerable.h"
#include "slm/citation.h"
#include "slm/prompt.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define EVENT_MAX (8u << 20)
#define ANSWER_MAX (1u << 20)
/* Of letters: hex digits cost a small model a fifth more prompt, and answer no better (36 and 38 of
 * 48 questions right). 26^10 are more than a stored text can have guessed. */
#define NONCE_LEN 10

/* One answer in the making. */
struct ask {
    struct gateway *gateway;
    const struct query_context *ctx;
    const struct ask_request *request;
    bool (*emit)(void *arg, struct slice json);
    void *arg;
    bool stopped; /* the listener went away */
    struct passages *passages;
    struct prompt prompt;
    struct buf answer;
    struct generate_stats stats;
    uint64_t prompt_ns;
    uint64_t start_ns;
    uint64_t first_token_ns; /* from the request's beginning */
    bool abstained;
};

/* --- parsing -------------------------------------------------------------------------------- */

static enum shoal_err wrong(struct errbuf *why, struct slice key, const char *wanted)
{
    return err_set(why, SHOAL_EINVAL, "%.*s: must be %s", (int)key.len, key.data, wanted);
}

static enum shoal_err take_u32(struct json_value v, struct slice key, uint32_t max, uint32_t *out,
                               struct errbuf *why)
{
    uint64_t n = 0;
    if (!json_u64(v, &n)) {
        return wrong(why, key, "a whole number");
    }
    if (n > max) {
        return err_set(why, SHOAL_EVALIDATION, "%.*s: must be at most %u", (int)key.len, key.data,
                       max);
    }
    *out = (uint32_t)n;
    return SHOAL_OK;
}

static enum shoal_err take_filter(struct json_value v, struct arena *arena, char **out)
{
    struct buf text;
    buf_init(&text, 1u << 20);
    enum shoal_err rc = json_print(v, &text);
    *out = rc == SHOAL_OK ? arena_strndup(arena, text.data, text.len) : NULL;
    buf_release(&text);
    return rc == SHOAL_OK && *out == NULL ? SHOAL_ENOMEM : rc;
}

static enum shoal_err take_key(struct json_value v, struct slice key, struct arena *arena,
                               struct ask_request *out, struct errbuf *why)
{
    double number = 0;
    if (slice_is(key, "question")) {
        return json_string(v, &out->question) ? SHOAL_OK : wrong(why, key, "a text");
    }
    if (slice_is(key, "limit")) {
        return take_u32(v, key, PASSAGES_MAX, &out->limit, why);
    }
    if (slice_is(key, "max_tokens")) {
        return take_u32(v, key, 100000, &out->max_tokens, why);
    }
    if (slice_is(key, "seed")) {
        return take_u32(v, key, UINT32_MAX, &out->seed, why);
    }
    if (slice_is(key, "stream")) {
        return json_bool(v, &out->stream) ? SHOAL_OK : wrong(why, key, "true or false");
    }
    if (slice_is(key, "filter")) {
        return take_filter(v, arena, &out->filter);
    }
    if (slice_is(key, "temperature")) {
        if (!json_f64(v, &number) || number < 0 || number > 2) {
            return wrong(why, key, "a number from 0 to 2");
        }
        out->temperature = (float)number;
        return SHOAL_OK;
    }
    return err_set(why, SHOAL_EINVAL, "unknown key \"%.*s\"", (int)key.len, key.data);
}

enum shoal_err ask_parse(struct json_value body, struct arena *arena, struct ask_request *out,
                         struct errbuf *why)
{
    struct slice key;
    struct json_value v;
    *out = (struct ask_request){ .limit = ASK_PASSAGES_DEFAULT };
    if (json_kind(body) != JSON_OBJECT) {
        return err_set(why, SHOAL_EINVAL, "the body must be an object with a \"question\"");
    }
    for (struct json_iter it = json_iter(body); json_next(&it, &key, &v);) {
        if (json_kind(v) != JSON_NULL) {
            enum shoal_err rc = take_key(v, key, arena, out, why);
            if (rc != SHOAL_OK) {
                return rc;
            }
        }
    }
    if (out->question.len == 0 || out->question.len > ASK_QUESTION_MAX) {
        return err_set(why, SHOAL_EVALIDATION, "question: must have 1 to %d bytes",
                       ASK_QUESTION_MAX);
    }
    return SHOAL_OK;
}

/* --- events --------------------------------------------------------------------------------- */

static void event_begin(struct json_writer *w, struct buf *text, const char *type)
{
    buf_init(text, EVENT_MAX);
    json_writer_init(w, text);
    json_begin_object(w);
    json_key(w, "type");
    json_put_str(w, type);
}

static enum shoal_err event_end(struct ask *a, struct json_writer *w, struct buf *text)
{
    json_end_object(w);
    enum shoal_err rc = text->failed;
    if (rc == SHOAL_OK && !a->stopped) {
        a->stopped = !a->emit(a->arg, buf_slice(text));
    }
    buf_release(text);
    return rc;
}

static void put_text(struct json_writer *w, const char *key, struct slice value)
{
    json_key(w, key);
    json_put_string(w, value);
}

static void put_ms(struct json_writer *w, const char *key, uint64_t ns)
{
    json_key(w, key);
    json_put_f64(w, (double)(ns / 1000) / 1000.0);
}

static enum shoal_err emit_passages(struct ask *a)
{
    struct buf text;
    struct json_writer w;
    event_begin(&w, &text, "passages");
    json_key(&w, "passages");
    json_begin_array(&w);
    for (size_t i = 0; i < a->passages->len; i++) {
        passage_print(&w, &a->passages->list[i], i + 1, true);
    }
    json_end_array(&w);
    passages_print_coverage(&w, a->passages);
    return event_end(a, &w, &text);
}

static enum shoal_err emit_token(struct ask *a, struct slice piece)
{
    struct buf text;
    struct json_writer w;
    event_begin(&w, &text, "token");
    put_text(&w, "text", piece);
    return event_end(a, &w, &text);
}

static double tokens_per_second(const struct generate_stats *s)
{
    uint64_t ns = s->total_ns - s->first_token_ns;
    return s->generated_tokens > 1 && ns > 0 ? (double)(s->generated_tokens - 1) * 1e9 / (double)ns
                                             : 0;
}

static enum shoal_err emit_done(struct ask *a)
{
    struct buf text;
    struct json_writer w;
    event_begin(&w, &text, "done");
    json_key(&w, "abstained");
    json_put_bool(&w, a->abstained);
    put_text(&w, "answer", buf_slice(&a->answer));
    put_text(&w, "finish", slice_from_str(a->abstained ? "abstained" : a->stats.finish));
    json_key(&w, "timings");
    json_begin_object(&w);
    passages_print_timings(&w, a->passages);
    put_ms(&w, "prompt_ms", a->prompt_ns);
    put_ms(&w, "first_token_ms", a->first_token_ns);
    put_ms(&w, "generate_ms", a->stats.total_ns);
    put_ms(&w, "total_ms", clock_mono_ns(gateway_clock(a->gateway)) - a->start_ns);
    json_key(&w, "prompt_tokens");
    json_put_u64(&w, a->stats.prompt_tokens);
    json_key(&w, "tokens");
    json_put_u64(&w, a->stats.generated_tokens);
    json_key(&w, "tokens_per_second");
    json_put_f64(&w, tokens_per_second(&a->stats));
    json_end_object(&w);
    return event_end(a, &w, &text);
}

static void emit_error(struct ask *a, enum shoal_err rc, const struct errbuf *why)
{
    struct buf text;
    struct json_writer w;
    event_begin(&w, &text, "error");
    put_text(&w, "code", slice_from_str(err_word(rc)));
    put_text(&w, "message", slice_from_str(err_why(why, rc)));
    (void)event_end(a, &w, &text);
}

/* --- citations ------------------------------------------------------------------------------ */

static void print_sentence(struct json_writer *w, const struct ask *a,
                           const struct cited_sentence *s)
{
    struct slice answer = buf_slice(&a->answer);
    json_begin_object(w);
    put_text(w, "text", slice_make(answer.data + s->begin, s->end - s->begin));
    json_key(w, "passage");
    if (s->source == CITATION_NONE) {
        json_put_null(w);
    } else {
        json_put_u64(w, s->source + 1);
    }
    json_key(w, "supported");
    json_put_bool(w, s->supported);
    json_key(w, "support");
    json_put_f32(w, s->support);
    if (s->source != CITATION_NONE) {
        const struct passage *p = &a->passages->list[a->prompt.used[s->source]];
        put_text(w, "quote", slice_make(p->text.data + s->span_begin, s->span_end - s->span_begin));
    }
    json_end_object(w);
}

static enum shoal_err print_citations(struct ask *a, const struct cited_sentence *sentences,
                                      size_t len)
{
    struct buf text;
    struct json_writer w;
    uint64_t supported = 0;
    event_begin(&w, &text, "citations");
    json_key(&w, "citations");
    json_begin_array(&w);
    for (size_t i = 0; i < a->prompt.used_len; i++) {
        passage_print(&w, &a->passages->list[a->prompt.used[i]], i + 1, false);
    }
    json_end_array(&w);
    json_key(&w, "sentences");
    json_begin_array(&w);
    for (size_t i = 0; i < len; i++) {
        print_sentence(&w, a, &sentences[i]);
        supported += sentences[i].supported;
    }
    json_end_array(&w);
    json_key(&w, "supported");
    json_put_u64(&w, supported);
    json_key(&w, "unsupported");
    json_put_u64(&w, len - supported);
    return event_end(a, &w, &text);
}

/* Holds every sentence against the passages that the model saw. */
static enum shoal_err check_citations(struct ask *a, struct errbuf *why)
{
    struct citation_source *sources = arena_array(a->ctx->arena, a->prompt.used_len,
                                                  sizeof(*sources));
    if (sources == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t i = 0; i < a->prompt.used_len; i++) {
        const struct passage *p = &a->passages->list[a->prompt.used[i]];
        sources[i] = (struct citation_source){ .title = p->title, .text = p->text };
    }
    const struct citation_config config = {
        .answer = buf_slice(&a->answer),
        .question = a->request->question,
        .sources = sources,
        .sources_len = a->prompt.used_len,
    };
    struct cited_sentence *sentences = NULL;
    size_t len = 0;
    enum shoal_err rc = SHOAL_OK;
    if (a->answer.len > 0) {
        rc = citation_check(&config, a->ctx->arena, &sentences, &len, why);
    }
    return rc == SHOAL_OK ? print_citations(a, sentences, len) : rc;
}

/* --- generating ----------------------------------------------------------------------------- */

static bool on_piece(void *arg, struct slice piece)
{
    struct ask *a = arg;
    if (a->first_token_ns == 0) {
        a->first_token_ns = clock_mono_ns(gateway_clock(a->gateway)) - a->start_ns;
    }
    return buf_append_slice(&a->answer, piece) == SHOAL_OK && emit_token(a, piece) == SHOAL_OK &&
           !a->stopped;
}

static enum shoal_err decide(struct ask *a, struct answerable *out)
{
    struct answerable_passage *list = arena_array(a->ctx->arena, a->passages->len, sizeof(*list));
    if (list == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t i = 0; i < a->passages->len; i++) {
        const struct passage *p = &a->passages->list[i];
        list[i] =
            (struct answerable_passage){ .title = p->title, .text = p->text, .cosine = p->score };
    }
    return answerable_decide(a->request->question, list, a->passages->len, a->ctx->arena, out);
}

static void draw_nonce(const struct rand_source *r, char out[NONCE_LEN + 1])
{
    for (size_t i = 0; i < NONCE_LEN; i++) {
        out[i] = (char)('a' + rand_below(r, 26));
    }
    out[NONCE_LEN] = '\0';
}

/* The passages in their order, but the one that fits the question best first. */
static enum shoal_err build_prompt(struct ask *a, uint32_t best,
                                   const struct generator_model *model, struct errbuf *why)
{
    size_t len = a->passages->len;
    struct prompt_passage *list = arena_array(a->ctx->arena, len, sizeof(*list));
    char *nonce = arena_alloc(a->ctx->arena, NONCE_LEN + 1);
    if (list == NULL || nonce == NULL) {
        return SHOAL_ENOMEM;
    }
    struct passage held = a->passages->list[best];
    memmove(&a->passages->list[1], &a->passages->list[0], best * sizeof(held));
    a->passages->list[0] = held;
    for (size_t i = 0; i < len; i++) {
        const struct passage *p = &a->passages->list[i];
        list[i] = (struct prompt_passage){ .title = p->title, .text = p->text, .score = p->score };
    }
    draw_nonce(gateway_rand(a->gateway), nonce);
    const struct prompt_config config = {
        .question = a->request->question,
        .passages = list,
        .passages_len = len,
        .model = { .parameters = model->parameters, .context_tokens = model->context },
        .answer_tokens_max = a->request->max_tokens,
        .nonce = slice_make(nonce, NONCE_LEN),
    };
    return prompt_build(&config, a->ctx->arena, &a->prompt, why);
}

static void print_request(const struct ask *a, struct buf *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key(&w, "messages");
    json_begin_array(&w);
    for (size_t i = 0; i < a->prompt.messages_len; i++) {
        json_begin_object(&w);
        put_text(&w, "role", a->prompt.messages[i].role);
        put_text(&w, "content", a->prompt.messages[i].content);
        json_end_object(&w);
    }
    json_end_array(&w);
    json_key(&w, "messages_constant");
    json_put_u64(&w, a->prompt.messages_constant);
    json_key(&w, "max_tokens");
    json_put_u64(&w, a->prompt.max_tokens);
    json_key(&w, "temperature");
    json_put_f32(&w, a->request->temperature);
    json_key(&w, "seed");
    json_put_u64(&w, a->request->seed);
    json_end_object(&w);
}

static enum shoal_err generate(struct ask *a, struct errbuf *why)
{
    struct buf json;
    buf_init(&json, EVENT_MAX);
    print_request(a, &json);
    const struct generate_request request = { .json = buf_slice(&json),
                                              .deadline_ns = a->ctx->deadline_ns };
    enum shoal_err rc = json.failed;
    if (rc == SHOAL_OK) {
        rc = generators_generate(gateway_generators(a->gateway), &request, on_piece, a, &a->stats,
                                 why);
    }
    buf_release(&json);
    return rc;
}

static enum shoal_err abstain(struct ask *a)
{
    a->abstained = true;
    (void)buf_append_str(&a->answer, ASK_ABSTAIN_TEXT);
    a->first_token_ns = clock_mono_ns(gateway_clock(a->gateway)) - a->start_ns;
    enum shoal_err rc = emit_token(a, buf_slice(&a->answer));
    return rc == SHOAL_OK ? print_citations(a, NULL, 0) : rc;
}

static enum shoal_err answer(struct ask *a, const struct answerable *verdict,
                             const struct generator_model *model, struct errbuf *why)
{
    const struct clock *clock = gateway_clock(a->gateway);
    uint64_t start_ns = clock_mono_ns(clock);
    enum shoal_err rc = build_prompt(a, verdict->best, model, why);
    a->prompt_ns = clock_mono_ns(clock) - start_ns;
    if (rc == SHOAL_OK) {
        rc = emit_passages(a);
    }
    if (rc == SHOAL_OK && !a->stopped) {
        rc = generate(a, why);
    }
    return rc == SHOAL_OK && !a->stopped ? check_citations(a, why) : rc;
}

static enum shoal_err run(struct ask *a, struct slice collection, bool *begun, struct errbuf *why)
{
    struct slice any = { NULL, 0 };
    struct generator_model model;
    struct answerable verdict = { .yes = false };
    const struct passages_query q = {
        .text = a->request->question,
        .limit = a->request->limit,
        .filter = slice_from_str(a->request->filter),
    };
    enum shoal_err rc = generators_model(gateway_generators(a->gateway), true, any, &model, why);
    if (rc == SHOAL_OK) {
        rc = passages_find(a->gateway, collection, a->ctx, &q, a->passages, why);
    }
    if (rc == SHOAL_OK) {
        rc = decide(a, &verdict);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    *begun = true;
    if (verdict.yes) {
        rc = answer(a, &verdict, &model, why);
    } else {
        rc = emit_passages(a);
        if (rc == SHOAL_OK) {
            rc = abstain(a);
        }
    }
    return rc == SHOAL_OK ? emit_done(a) : rc;
}

enum shoal_err ask_run(struct gateway *g, struct slice collection, const struct query_context *ctx,
                       const struct ask_request *request,
                       bool (*emit)(void *arg, struct slice json), void *arg, uint64_t *tokens_out,
                       struct errbuf *why)
{
    struct ask a = {
        .gateway = g,
        .ctx = ctx,
        .request = request,
        .emit = emit,
        .arg = arg,
        .passages = arena_array(ctx->arena, 1, sizeof(struct passages)),
        .start_ns = clock_mono_ns(gateway_clock(g)),
    };
    bool begun = false;
    if (a.passages == NULL) {
        return SHOAL_ENOMEM;
    }
    buf_init(&a.answer, ANSWER_MAX);
    enum shoal_err rc = run(&a, collection, &begun, why);
    if (rc != SHOAL_OK && begun) {
        emit_error(&a, rc, why);
    }
    if (tokens_out != NULL) {
        *tokens_out = a.stats.generated_tokens;
    }
    buf_release(&a.answer);
    return rc;
}
