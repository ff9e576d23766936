#include "slm/sequence.h"

#include "base/mem.h"
#include "slm/utf8.h"

#include <assert.h>
#include <string.h>

#define PIECE_BYTES_MAX (1u << 20)
#define TOKEN_BYTES_MAX 1024 /* the longest token of known vocabularies has a few hundred */

/* --- making --------------------------------------------------------------------------------- */

static enum shoal_err copy_stops(const struct generator_request *request, struct sequence *s,
                                 struct errbuf *why)
{
    if (request->stops_len > GENERATOR_STOPS_MAX) {
        return err_set(why, SHOAL_EINVAL, "stop: at most %d strings", GENERATOR_STOPS_MAX);
    }
    if (request->stops_len == 0) {
        return SHOAL_OK;
    }
    s->stop_bytes = mem_calloc(request->stops_len, GENERATOR_STOP_BYTES_MAX);
    if (s->stop_bytes == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t i = 0; i < request->stops_len; i++) {
        struct slice stop = request->stops[i];
        if (stop.len == 0 || stop.len > GENERATOR_STOP_BYTES_MAX || !utf8__valid(stop)) {
            return err_set(why, SHOAL_EINVAL, "stop %zu: from 1 to %d bytes of UTF-8", i,
                           GENERATOR_STOP_BYTES_MAX);
        }
        char *to = s->stop_bytes + i * GENERATOR_STOP_BYTES_MAX;
        memcpy(to, stop.data, stop.len);
        s->stops[i] = slice_make(to, stop.len);
    }
    s->stops_len = request->stops_len;
    return SHOAL_OK;
}

static enum shoal_err check_sizes(const struct generator_request *request, struct errbuf *why)
{
    if ((request->messages_len == 0) == (request->prompt.len == 0)) {
        return err_set(why, SHOAL_EINVAL, "either messages or a prompt, and not empty");
    }
    if (request->messages_len > GENERATOR_MESSAGES_MAX) {
        return err_set(why, SHOAL_EINVAL, "at most %d messages", GENERATOR_MESSAGES_MAX);
    }
    size_t bytes = request->prompt.len;
    for (size_t i = 0; i < request->messages_len; i++) {
        if (!size_add(bytes, request->messages[i].content.len, &bytes)) {
            bytes = SIZE_MAX;
        }
    }
    if (bytes > GENERATOR_PROMPT_BYTES_MAX) {
        return err_set(why, SHOAL_ETOOBIG, "a prompt has at most %d bytes",
                       GENERATOR_PROMPT_BYTES_MAX);
    }
    return SHOAL_OK;
}

static enum shoal_err fill_prompt(struct sequence *s, const struct model *model,
                                  uint32_t context_tokens, const struct generator_request *request,
                                  struct errbuf *why)
{
    enum shoal_err rc = check_sizes(request, why);
    if (rc == SHOAL_OK && request->messages_len > 0) {
        rc = chat__tokenize(model, request->messages, request->messages_len,
                            request->messages_constant, &s->prompt, why);
    } else if (rc == SHOAL_OK) {
        rc = chat__tokenize_raw(model, request->prompt, &s->prompt);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (s->prompt.len == 0) {
        return err_set(why, SHOAL_EINVAL, "the prompt has no tokens");
    }
    if (s->prompt.len >= context_tokens) {
        return err_set(why, SHOAL_ETOOBIG,
                       "the prompt has %zu tokens, the context %u and an answer wants some too",
                       s->prompt.len, context_tokens);
    }
    uint32_t room = context_tokens - (uint32_t)s->prompt.len;
    uint32_t wanted = request->max_tokens == 0 ? GENERATOR_TOKENS_DEFAULT : request->max_tokens;
    s->tokens_max = wanted < room ? wanted : room;
    return SHOAL_OK;
}

enum shoal_err sequence__new(const struct model *model, uint32_t context_tokens,
                             const struct generator_request *request, struct sequence **out,
                             struct errbuf *why)
{
    *out = NULL;
    if (request->on_piece == NULL || request->on_end == NULL) {
        return err_set(why, SHOAL_EINVAL, "a request wants both callbacks");
    }
    struct sequence *s = mem_calloc(1, sizeof(*s));
    if (s == NULL) {
        return SHOAL_ENOMEM;
    }
    s->sampling = (struct sampler_params){
        .temperature = request->temperature,
        .top_k = request->top_k,
        .top_p = request->top_p,
        .seed = request->seed,
    };
    s->deadline_ns = request->deadline_ns == 0 ? UINT64_MAX : request->deadline_ns;
    s->on_piece = request->on_piece;
    s->on_end = request->on_end;
    s->arg = request->arg;
    s->at = -1;
    buf_init(&s->piece, PIECE_BYTES_MAX);
    enum shoal_err rc = sampler__check(&s->sampling, why);
    if (rc == SHOAL_OK) {
        rc = copy_stops(request, s, why);
    }
    if (rc == SHOAL_OK) {
        rc = fill_prompt(s, model, context_tokens, request, why);
    }
    if (rc != SHOAL_OK) {
        sequence__free(s);
        return rc;
    }
    text_stream__init(&s->text, s->stops, s->stops_len);
    *out = s;
    return SHOAL_OK;
}

void sequence__free(struct sequence *s)
{
    if (s == NULL) {
        return;
    }
    sampler__release(&s->sampler);
    text_stream__release(&s->text);
    buf_release(&s->piece);
    mem_free(s->prompt.tokens);
    mem_free(s->stop_bytes);
    mem_free(s);
}

uint32_t sequence__cells(const struct sequence *s)
{
    return (uint32_t)s->prompt.len + s->tokens_max;
}

/* --- ending --------------------------------------------------------------------------------- */

static void end(struct sequence *s, enum finish finish, enum shoal_err rc)
{
    if (!s->ended) {
        s->ended = true;
        s->end.finish = finish;
        s->end.rc = rc;
    }
}

void sequence__fail(struct sequence *s, enum shoal_err rc, const char *why)
{
    if (!s->ended) {
        end(s, FINISH_FAILED, err_set(&s->why, rc, "%s", why));
    }
}

void sequence__check(struct sequence *s, uint64_t now_ns)
{
    if (atomic_load_explicit(&s->canceled, memory_order_relaxed)) {
        end(s, FINISH_CANCELED, SHOAL_ECANCELED);
    } else if (now_ns >= s->deadline_ns) {
        end(s, FINISH_DEADLINE, SHOAL_ETIMEOUT);
    }
}

void sequence__report(struct sequence *s, uint64_t now_ns)
{
    assert(s->ended);
    struct generation *e = &s->end;
    e->prompt_tokens = (uint32_t)s->prompt.len;
    e->total_ns = now_ns - s->submitted_ns;
    uint64_t after_first = e->total_ns - e->first_token_ns;
    if (e->generated_tokens > 1 && after_first > 0) {
        e->tokens_per_s = (double)(e->generated_tokens - 1) * 1e9 / (double)after_first;
    }
    e->why = e->rc == SHOAL_OK ? "" : err_why(&s->why, e->rc);
    s->on_end(s->arg, e);
}

/* --- running -------------------------------------------------------------------------------- */

void sequence__admit(struct sequence *s, const struct model *model, struct llama_context *ctx,
                     llama_seq_id seq, struct prefix_cache *prefixes, uint64_t now_ns)
{
    s->model = model;
    s->ctx = ctx;
    s->seq = seq;
    s->end.queued_ns = now_ns - s->submitted_ns;
    if (sampler__init(&s->sampler, &s->sampling, model->vocab) != SHOAL_OK) {
        sequence__fail(s, SHOAL_ENOMEM, "out of memory for the sampler");
        return;
    }
    size_t constant = s->prompt.constant_len;
    if (constant == 0) {
        return;
    }
    if (prefix__restore(prefixes, s->prompt.tokens, constant, ctx, seq)) {
        s->past = (uint32_t)constant;
        s->end.cached_tokens = (uint32_t)constant;
    } else {
        s->keep_prefix = true;
    }
}

bool sequence__generating(const struct sequence *s)
{
    return s->past >= s->prompt.len;
}

static void put(struct sequence *s, struct llama_batch *b, llama_token token, bool output)
{
    int32_t at = b->n_tokens++;
    b->token[at] = token;
    b->pos[at] = (llama_pos)s->past++;
    b->n_seq_id[at] = 1;
    b->seq_id[at][0] = s->seq;
    b->logits[at] = output;
    if (output) {
        s->at = at;
    }
}

uint32_t sequence__feed(struct sequence *s, struct llama_batch *batch, uint32_t room)
{
    s->at = -1;
    if (room == 0) {
        return 0;
    }
    if (sequence__generating(s)) {
        put(s, batch, s->token, true);
        return 1;
    }
    /* A prefix that is to be kept must stand alone in its sequence when it is copied. */
    size_t until = s->keep_prefix ? s->prompt.constant_len : s->prompt.len;
    uint32_t fed = 0;
    while (fed < room && s->past < until) {
        put(s, batch, s->prompt.tokens[s->past], s->past + 1 == s->prompt.len);
        fed++;
    }
    return fed;
}

/* Hands out what is in s->piece. */
static void emit(struct sequence *s)
{
    if (s->piece.len > 0 && !s->on_piece(s->arg, buf_slice(&s->piece))) {
        end(s, FINISH_CANCELED, SHOAL_ECANCELED);
    }
    buf_reset(&s->piece);
}

static void end_text(struct sequence *s, enum finish finish)
{
    if (text_stream__end(&s->text, &s->piece) != SHOAL_OK) {
        sequence__fail(s, SHOAL_ENOMEM, "out of memory for the text");
        return;
    }
    emit(s);
    end(s, finish, SHOAL_OK);
}

static void take_token(struct sequence *s)
{
    char bytes[TOKEN_BYTES_MAX];
    int32_t n = llama_token_to_piece(s->model->vocab, s->token, bytes, sizeof(bytes), 0, false);
    if (n < 0) {
        sequence__fail(s, SHOAL_ETOOBIG, "the model has a token that is too long to show");
        return;
    }
    if (text_stream__push(&s->text, slice_make(bytes, (size_t)n), &s->piece) != SHOAL_OK) {
        sequence__fail(s, SHOAL_ENOMEM, "out of memory for the text");
        return;
    }
    emit(s);
    if (s->text.stopped) {
        end(s, FINISH_STOP, SHOAL_OK);
    } else if (!s->ended && s->end.generated_tokens == s->tokens_max) {
        end_text(s, FINISH_LENGTH);
    }
}

void sequence__advance(struct sequence *s, struct prefix_cache *prefixes, uint64_t now_ns)
{
    if (s->keep_prefix && s->past == s->prompt.constant_len) {
        prefix__keep(prefixes, s->prompt.tokens, s->past, s->ctx, s->seq);
        s->keep_prefix = false;
    }
    if (s->ended || s->at < 0) {
        return;
    }
    s->token = sampler__pick(&s->sampler, s->ctx, s->at);
    if (s->token < 0) {
        sequence__fail(s, SHOAL_EIO, "the model gives no token");
        return;
    }
    if (llama_vocab_is_eog(s->model->vocab, s->token)) {
        end_text(s, FINISH_STOP);
        return;
    }
    s->end.generated_tokens++;
    if (s->end.first_token_ns == 0) {
        s->end.first_token_ns = now_ns - s->submitted_ns;
    }
    take_token(s);
}
