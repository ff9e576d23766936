/* How a sentence is scored against a passage.
 *
 * The words that count are the sentence's content words that the question does not have; when none
 * is left ("Paris." to "What is the capital of France?" asked of France's capital Paris), those of
 * the question do. A window of WINDOW sentences slides over the passage. The score is
 *     WINDOW_SHARE * (share of the words in the best window) + the rest * (share anywhere)
 * so words that stand together count more than the same words scattered, and a passage that has all
 * of them in a few sentences reaches 1. A number or a name that stands neither in the passage nor
 * in its title nor in the question rules the sentence out. */
#include "slm/citation.h"

#include "slm/sentence.h"
#include "slm/words.h"

#include <string.h>

#define WINDOW 3u
#define WINDOW_SHARE 0.7f
/* From this cosine on a sentence is lifted, by up to LIFT_MAX at 1. */
#define LIFT_FROM 0.6f
#define LIFT_MAX 0.5f
#define MARK_DIGITS_MAX 3

/* A passage, taken apart once. */
struct source {
    struct words words; /* of its text */
    struct words title;
    uint32_t *sentence; /* by word: which sentence of the passage it stands in */
    struct sentence *sentences;
    size_t sentences_len;
};

struct check {
    const struct citation_config *config;
    struct arena *arena;
    struct source *sources;
    struct words question;
    struct words answer;
};

/* --- taking apart --------------------------------------------------------------------------- */

static enum shoal_err list_sentences(struct slice text, struct arena *arena, struct sentence **out,
                                     size_t *out_len)
{
    struct sentence s;
    size_t len = 0;
    for (struct sentence_iter it = sentence_iter(text); sentence_next(&it, &s);) {
        len++;
    }
    *out = arena_array(arena, len, sizeof(**out));
    *out_len = 0;
    if (*out == NULL) {
        return SHOAL_ENOMEM;
    }
    for (struct sentence_iter it = sentence_iter(text); sentence_next(&it, &s);) {
        (*out)[(*out_len)++] = s;
    }
    return SHOAL_OK;
}

static enum shoal_err source_init(struct check *c, size_t i)
{
    const struct citation_source *from = &c->config->sources[i];
    struct source *s = &c->sources[i];
    enum shoal_err rc = words__of(from->text, c->arena, &s->words);
    if (rc == SHOAL_OK) {
        rc = words__of(from->title, c->arena, &s->title);
    }
    if (rc == SHOAL_OK) {
        rc = list_sentences(from->text, c->arena, &s->sentences, &s->sentences_len);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    s->sentence = arena_array(c->arena, s->words.len, sizeof(*s->sentence));
    if (s->sentence == NULL) {
        return SHOAL_ENOMEM;
    }
    uint32_t at = 0;
    for (size_t w = 0; w < s->words.len; w++) {
        while (at + 1 < s->sentences_len && s->sentences[at].end <= s->words.list[w].begin) {
            at++;
        }
        s->sentence[w] = at;
    }
    return SHOAL_OK;
}

/* --- marks ---------------------------------------------------------------------------------- */

/* A mark "[12]" at `at`: its number and its end; false when there is none. */
static bool read_mark(struct slice text, size_t at, uint32_t *number, size_t *end)
{
    if (text.data[at] != '[') {
        return false;
    }
    uint32_t n = 0;
    size_t digits = 0;
    for (at++; at < text.len && text.data[at] >= '0' && text.data[at] <= '9'; at++, digits++) {
        if (digits == MARK_DIGITS_MAX) {
            return false;
        }
        n = n * 10 + (uint32_t)(text.data[at] - '0');
    }
    if (digits == 0 || at == text.len || text.data[at] != ']') {
        return false;
    }
    *number = n;
    *end = at + 1;
    return true;
}

/* A word is the number of a mark when the bracket stands right before it. */
static bool is_mark(struct slice answer, const struct word *w)
{
    uint32_t number = 0;
    size_t end = 0;
    return w->begin > 0 && read_mark(answer, w->begin - 1, &number, &end) && end == w->end + 1;
}

/* --- scoring -------------------------------------------------------------------------------- */

/* The words of one sentence that want support, each once. */
struct claim {
    const struct word **words;
    size_t len;
};

static void claim_add(struct claim *c, const struct word *w)
{
    for (size_t i = 0; i < c->len; i++) {
        if (c->words[i]->stem == w->stem) {
            return;
        }
    }
    c->words[c->len++] = w;
}

static enum shoal_err claim_of(const struct check *c, const struct cited_sentence *s,
                               struct claim *out)
{
    size_t room = c->answer.len > c->question.len ? c->answer.len : c->question.len;
    *out = (struct claim){ .words = arena_array(c->arena, room, sizeof(*out->words)) };
    if (out->words == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t i = 0; i < c->answer.len; i++) {
        const struct word *w = &c->answer.list[i];
        if (w->begin >= s->begin && w->end <= s->end && w->content &&
            !words__has(&c->question, w->stem) && !is_mark(c->config->answer, w)) {
            claim_add(out, w);
        }
    }
    bool has_own = out->len > 0;
    for (size_t i = 0; i < c->question.len && !has_own; i++) {
        if (c->question.list[i].content) { /* it says what the question says */
            claim_add(out, &c->question.list[i]);
        }
    }
    return SHOAL_OK;
}

/* How many words of the claim stand where. */
struct found {
    uint32_t *in_one;    /* by sentence of the passage */
    uint32_t *in_window; /* by the window's first sentence */
    uint32_t anywhere;
};

/* Adds one word of the claim. Words of the title stand in every sentence. The passage's words are
 * in order, so each sentence and each window is counted once by looking at the last one counted. */
static void found_add(const struct source *s, uint64_t stem, struct found *f)
{
    uint32_t counted = 0; /* sentences and windows below this have the word in already */
    bool titled = words__has(&s->title, stem);
    bool there = titled;
    for (size_t w = 0; w < s->words.len && !titled; w++) {
        uint32_t at = s->sentence[w];
        if (s->words.list[w].stem != stem || at < counted) {
            continue;
        }
        uint32_t first = at + 1 > WINDOW ? at + 1 - WINDOW : 0;
        for (first = first > counted ? first : counted; first <= at; first++) {
            f->in_window[first]++;
        }
        f->in_one[at]++;
        counted = at + 1;
        there = true;
    }
    for (uint32_t i = 0; i < s->sentences_len && titled; i++) {
        f->in_one[i]++;
        f->in_window[i]++;
    }
    f->anywhere += there;
}

static enum shoal_err find(const struct check *c, const struct source *s, const struct claim *claim,
                           struct found *out)
{
    *out = (struct found){
        .in_one = arena_array(c->arena, s->sentences_len, sizeof(uint32_t)),
        .in_window = arena_array(c->arena, s->sentences_len, sizeof(uint32_t)),
    };
    if (out->in_one == NULL || out->in_window == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t i = 0; i < claim->len; i++) {
        found_add(s, claim->words[i]->stem, out);
    }
    return SHOAL_OK;
}

static uint32_t most(const uint32_t *counts, size_t len, size_t *at)
{
    uint32_t best = 0;
    for (size_t i = 0; i < len; i++) {
        if (counts[i] > best) {
            best = counts[i];
            *at = i;
        }
    }
    return best;
}

static bool contradicted(const struct source *s, const struct claim *claim)
{
    for (size_t i = 0; i < claim->len; i++) {
        const struct word *w = claim->words[i];
        if ((w->number || w->name) && !words__has(&s->words, w->stem) &&
            !words__has(&s->title, w->stem)) {
            return true;
        }
    }
    return false;
}

static float lift(const struct check *c, size_t sentence, size_t source)
{
    if (c->config->similarity == NULL || sentence >= c->config->similarity_len) {
        return 0;
    }
    float cosine = c->config->similarity[sentence * c->config->sources_len + source];
    return cosine <= LIFT_FROM ? 0 : LIFT_MAX * (cosine - LIFT_FROM) / (1 - LIFT_FROM);
}

/* How a source supports a claim; fills support, supported and the span of *out. */
static enum shoal_err score(const struct check *c, size_t sentence, size_t source,
                            const struct claim *claim, struct cited_sentence *out)
{
    const struct source *s = &c->sources[source];
    struct found found;
    size_t window = 0;
    size_t best = 0;
    enum shoal_err rc = find(c, s, claim, &found);
    if (rc != SHOAL_OK) {
        return rc;
    }
    float len = (float)(claim->len == 0 ? 1 : claim->len);
    float near = (float)most(found.in_window, s->sentences_len, &window) / len;
    float support = WINDOW_SHARE * near + (1 - WINDOW_SHARE) * (float)found.anywhere / len;
    support += lift(c, sentence, source);
    (void)most(found.in_one, s->sentences_len, &best);
    out->source = (uint32_t)source;
    out->support = support > 1 ? 1 : support;
    out->supported = out->support >= CITATION_SUPPORT_MIN && !contradicted(s, claim);
    out->span_begin = s->sentences_len == 0 ? 0 : s->sentences[best].begin;
    out->span_end = s->sentences_len == 0 ? 0 : s->sentences[best].end;
    return SHOAL_OK;
}

static bool better(const struct cited_sentence *a, const struct cited_sentence *b)
{
    if (a->supported != b->supported) {
        return a->supported;
    }
    return a->support > b->support;
}

/* Of the sources that the sentence names, or of all when it names none, the best. */
static enum shoal_err judge(const struct check *c, size_t sentence, struct cited_sentence *s)
{
    bool named[CITATION_SOURCES_MAX] = { false };
    bool any = false;
    struct claim claim;
    enum shoal_err rc = claim_of(c, s, &claim);
    if (rc != SHOAL_OK) {
        return rc;
    }
    for (size_t at = s->begin; at < s->end; at++) {
        uint32_t number = 0;
        size_t end = 0;
        if (read_mark(c->config->answer, at, &number, &end) && number >= 1 &&
            number <= c->config->sources_len) {
            named[number - 1] = true;
            any = true;
        }
    }
    struct cited_sentence best = *s;
    best.source = CITATION_NONE;
    for (size_t i = 0; i < c->config->sources_len; i++) {
        struct cited_sentence tried = *s;
        if (any && !named[i]) {
            continue;
        }
        rc = score(c, sentence, i, &claim, &tried);
        if (rc != SHOAL_OK) {
            return rc;
        }
        tried.cited = any;
        /* A source that is not named and has nothing of the sentence is none. */
        if ((any || tried.support > 0) && (best.source == CITATION_NONE || better(&tried, &best))) {
            best = tried;
        }
    }
    *s = best;
    return SHOAL_OK;
}

/* --- the answer ----------------------------------------------------------------------------- */

static bool has_content(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
            c >= 0x80) {
            return true;
        }
    }
    return false;
}

/* Marks that stand behind the full stop belong to the sentence before them. */
static bool is_only_marks(struct slice answer, const struct sentence *s)
{
    size_t at = s->begin;
    while (at < s->end) {
        uint32_t number = 0;
        size_t end = 0;
        if (read_mark(answer, at, &number, &end)) {
            at = end;
        } else if (strchr(" .,;", answer.data[at]) != NULL) {
            at++;
        } else {
            return false;
        }
    }
    return true;
}

/* The answer's sentences; index[i] is which one the i-th is for sentence_next. */
static enum shoal_err split_answer(const struct check *c, struct cited_sentence **out,
                                   size_t **index_out, size_t *out_len, struct errbuf *why)
{
    struct sentence *list = NULL;
    size_t len = 0;
    enum shoal_err rc = list_sentences(c->config->answer, c->arena, &list, &len);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (len > CITATION_SENTENCES_MAX) {
        return err_set(why, SHOAL_ETOOBIG, "the answer has %zu sentences; at most %u are checked",
                       len, CITATION_SENTENCES_MAX);
    }
    struct cited_sentence *sentences = arena_array(c->arena, len, sizeof(*sentences));
    size_t *index = arena_array(c->arena, len, sizeof(*index));
    if (sentences == NULL || index == NULL) {
        return SHOAL_ENOMEM;
    }
    size_t kept = 0;
    for (size_t i = 0; i < len; i++) {
        if (kept > 0 && is_only_marks(c->config->answer, &list[i])) {
            sentences[kept - 1].end = list[i].end;
            continue;
        }
        if (has_content(
                slice_make(c->config->answer.data + list[i].begin, list[i].end - list[i].begin))) {
            index[kept] = i;
            sentences[kept++] = (struct cited_sentence){ .begin = list[i].begin,
                                                         .end = list[i].end,
                                                         .source = CITATION_NONE };
        }
    }
    *out = sentences;
    *index_out = index;
    *out_len = kept;
    return SHOAL_OK;
}

static enum shoal_err prepare(struct check *c, struct errbuf *why)
{
    const struct citation_config *config = c->config;
    if (config->sources_len > CITATION_SOURCES_MAX) {
        return err_set(why, SHOAL_ETOOBIG, "%zu passages; at most %u can be cited",
                       config->sources_len, CITATION_SOURCES_MAX);
    }
    if (config->similarity_len > 0 && config->similarity == NULL) {
        return err_set(why, SHOAL_EINVAL, "similarities are counted but not given");
    }
    c->sources = arena_array(c->arena, config->sources_len, sizeof(*c->sources));
    enum shoal_err rc = c->sources == NULL ? SHOAL_ENOMEM : SHOAL_OK;
    for (size_t i = 0; i < config->sources_len && rc == SHOAL_OK; i++) {
        rc = source_init(c, i);
    }
    if (rc == SHOAL_OK) {
        rc = words__of(config->question, c->arena, &c->question);
    }
    return rc == SHOAL_OK ? words__of(config->answer, c->arena, &c->answer) : rc;
}

enum shoal_err citation_check(const struct citation_config *config, struct arena *arena,
                              struct cited_sentence **out, size_t *out_len, struct errbuf *why)
{
    *out = NULL;
    *out_len = 0;
    struct check c = { .config = config, .arena = arena };
    struct cited_sentence *sentences = NULL;
    size_t *index = NULL;
    size_t len = 0;
    enum shoal_err rc = prepare(&c, why);
    if (rc == SHOAL_OK) {
        rc = split_answer(&c, &sentences, &index, &len, why);
    }
    for (size_t i = 0; i < len && rc == SHOAL_OK; i++) {
        rc = judge(&c, index[i], &sentences[i]);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    *out = sentences;
    *out_len = len;
    return SHOAL_OK;
}
