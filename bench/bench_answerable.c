/* How well a question is answered from end to end, and when it should not be.
 *
 *     bench_answerable --embedder FILE --documents FILE --questions FILE [--generator FILE]
 *                      [--answers N] [--threads N] [--verbose]
 *
 * Documents are JSON Lines {"id", "title", "text"}, questions {"question", "answers", "document"}.
 * Every document is one passage. Printed, as lines of `name key=value ...`:
 *
 * - retrieval: how often the right document is the best one, or among the best five, by cosine;
 * - abstain: the score of answerable.h for each question, with its document there and with it left
 *   out. The weight of the overlap and the threshold that err least are fitted on the even
 *   questions and reported on the odd ones, beside the ones that are built in;
 * - answers: N of the questions asked of the generator as the server does: how often the answer has
 *   one of the right ones in it, F1 of its words, what citation_check says of right and of wrong
 *   answers, and the times. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/disk.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/thread.h"
#include "slm/answerable.h"
#include "slm/citation.h"
#include "slm/embedder.h"
#include "slm/generator.h"
#include "slm/prompt.h"
#include "slm/words.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX (64u << 20)
#define TOP 5
#define ARENA_BYTES_MAX (64u << 20)
#define EMBED_AT_ONCE 256

struct options {
    const char *embedder;
    const char *generator;
    const char *documents;
    const char *questions;
    size_t answers;
    uint32_t threads;
    bool verbose;
};

struct document {
    struct slice id;
    struct slice title;
    struct slice text;
};

struct question {
    struct slice text;
    struct json_value answers;
    size_t document;
};

/* The best passages for a question, and what answerable.h makes of the best one. */
struct found {
    size_t documents[TOP];
    float cosine[TOP];
    size_t len;
    struct answerable verdict;
    float overlap[TOP];
};

struct bench {
    struct options opt;
    struct arena arena;
    struct document *documents;
    size_t documents_len;
    struct question *questions;
    size_t questions_len;
    uint32_t dim;
    float *document_vectors;
    float *question_vectors;
    struct found *with;    /* its document is there */
    struct found *without; /* it is left out */
};

static void die(const char *what, enum shoal_err rc, const struct errbuf *why)
{
    (void)fprintf(stderr, "bench_answerable: %s: %s\n", what, err_why(why, rc));
    exit(1);
}

static void need(const void *memory)
{
    if (memory == NULL) {
        die("memory", SHOAL_ENOMEM, NULL);
    }
}

static double share(size_t part, size_t whole)
{
    return whole == 0 ? 0 : (double)part / (double)whole;
}

/* --- reading -------------------------------------------------------------------------------- */

static struct slice member(struct json_value v, const char *key)
{
    struct json_value found;
    struct slice s;
    if (!json_get(v, key, &found) || !json_string(found, &s)) {
        die(key, SHOAL_EPARSE, NULL);
    }
    return s;
}

/* The values of a file of JSON Lines; text and documents stay for the life of the process. */
static struct json_value *read_lines(struct bench *b, const char *path, size_t *len_out)
{
    struct errbuf why;
    struct buf text;
    size_t lines = 0;
    buf_init(&text, FILE_BYTES_MAX);
    enum shoal_err rc = disk_real()->read_whole(NULL, path, &text, &why);
    if (rc != SHOAL_OK) {
        die(path, rc, &why);
    }
    for (size_t i = 0; i < text.len; i++) {
        lines += text.data[i] == '\n';
    }
    struct json_value *values = arena_array(&b->arena, lines + 1, sizeof(*values));
    need(values);
    *len_out = 0;
    for (size_t at = 0; at < text.len;) {
        const char *newline = memchr(text.data + at, '\n', text.len - at);
        size_t end = newline == NULL ? text.len : (size_t)(newline - text.data);
        struct json_doc *doc = NULL;
        rc = json_parse(slice_make(text.data + at, end - at), &doc, &why);
        if (rc != SHOAL_OK) {
            die(path, rc, &why);
        }
        values[(*len_out)++] = json_root(doc);
        at = end + 1;
    }
    buf_release(&text); /* json_parse has copied */
    return values;
}

static size_t document_index(const struct bench *b, struct slice id)
{
    for (size_t i = 0; i < b->documents_len; i++) {
        if (slice_equal(b->documents[i].id, id)) {
            return i;
        }
    }
    die("a question's document is not there", SHOAL_ENOTFOUND, NULL);
    return 0;
}

static void read_all(struct bench *b)
{
    struct json_value *lines = read_lines(b, b->opt.documents, &b->documents_len);
    b->documents = arena_array(&b->arena, b->documents_len, sizeof(*b->documents));
    need(b->documents);
    for (size_t i = 0; i < b->documents_len; i++) {
        b->documents[i] = (struct document){ .id = member(lines[i], "id"),
                                             .title = member(lines[i], "title"),
                                             .text = member(lines[i], "text") };
    }
    lines = read_lines(b, b->opt.questions, &b->questions_len);
    b->questions = arena_array(&b->arena, b->questions_len, sizeof(*b->questions));
    need(b->questions);
    for (size_t i = 0; i < b->questions_len; i++) {
        struct question *q = &b->questions[i];
        *q = (struct question){ .text = member(lines[i], "question"),
                                .document = document_index(b, member(lines[i], "document")) };
        if (!json_get(lines[i], "answers", &q->answers)) {
            die("answers", SHOAL_EPARSE, NULL);
        }
    }
}

/* --- retrieval ------------------------------------------------------------------------------ */

static float *embed(const struct bench *b, struct embedder *e, const struct slice *texts,
                    size_t len)
{
    struct errbuf why;
    float *vectors = mem_array(len * b->dim, sizeof(*vectors));
    need(vectors);
    for (size_t at = 0; at < len; at += EMBED_AT_ONCE) {
        size_t n = len - at < EMBED_AT_ONCE ? len - at : EMBED_AT_ONCE;
        enum shoal_err rc = embedder_embed(e, texts + at, n, UINT64_MAX, vectors + at * b->dim,
                                           NULL, &why);
        if (rc != SHOAL_OK) {
            die("embedding", rc, &why);
        }
    }
    return vectors;
}

/* As the server stores it: the title stands before the text. */
static struct slice titled(struct bench *b, const struct document *d)
{
    size_t len = d->title.len + 2 + d->text.len;
    char *joined = arena_alloc(&b->arena, len + 1);
    need(joined);
    (void)snprintf(joined, len + 1, "%.*s\n\n%.*s", (int)d->title.len, d->title.data,
                   (int)d->text.len, d->text.data);
    return slice_make(joined, len);
}

static void embed_all(struct bench *b)
{
    struct errbuf why;
    struct embedder *e = NULL;
    const struct embedder_config config = { .model = { .path = b->opt.embedder },
                                            .threads = b->opt.threads };
    enum shoal_err rc = embedder_open(&config, &e, &why);
    if (rc != SHOAL_OK) {
        die("embedder", rc, &why);
    }
    size_t most = b->documents_len > b->questions_len ? b->documents_len : b->questions_len;
    struct slice *texts = arena_array(&b->arena, most, sizeof(*texts));
    need(texts);
    b->dim = embedder_info(e)->dim;
    for (size_t i = 0; i < b->documents_len; i++) {
        texts[i] = titled(b, &b->documents[i]);
    }
    b->document_vectors = embed(b, e, texts, b->documents_len);
    for (size_t i = 0; i < b->questions_len; i++) {
        texts[i] = b->questions[i].text;
    }
    b->question_vectors = embed(b, e, texts, b->questions_len);
    embedder_close(e);
}

static float cosine(const struct bench *b, size_t question, size_t document)
{
    const float *q = b->question_vectors + question * b->dim;
    const float *d = b->document_vectors + document * b->dim;
    float sum = 0;
    for (uint32_t i = 0; i < b->dim; i++) {
        sum += q[i] * d[i];
    }
    return sum;
}

static void retrieve(const struct bench *b, size_t question, size_t left_out, struct found *f)
{
    f->len = 0;
    for (size_t d = 0; d < b->documents_len; d++) {
        float c = cosine(b, question, d);
        size_t at = f->len;
        while (at > 0 && c > f->cosine[at - 1]) {
            at--;
        }
        if (d == left_out || at == TOP) {
            continue;
        }
        f->len += f->len < TOP;
        for (size_t i = f->len - 1; i > at; i--) {
            f->cosine[i] = f->cosine[i - 1];
            f->documents[i] = f->documents[i - 1];
        }
        f->cosine[at] = c;
        f->documents[at] = d;
    }
}

static struct answerable decide(const struct bench *b, size_t question,
                                const struct answerable_passage *list, size_t len)
{
    struct arena arena;
    struct answerable verdict;
    arena_init(&arena, ARENA_BYTES_MAX);
    enum shoal_err rc = answerable_decide(b->questions[question].text, list, len, &arena, &verdict);
    if (rc != SHOAL_OK) {
        die("answerable_decide", rc, NULL);
    }
    arena_release(&arena);
    return verdict;
}

static void judge(const struct bench *b, size_t question, struct found *f)
{
    struct answerable_passage list[TOP];
    for (size_t i = 0; i < f->len; i++) {
        const struct document *d = &b->documents[f->documents[i]];
        list[i] = (struct answerable_passage){ .title = d->title,
                                               .text = d->text,
                                               .cosine = f->cosine[i] };
        f->overlap[i] = decide(b, question, &list[i], 1).overlap;
    }
    f->verdict = decide(b, question, list, f->len);
}

static void retrieve_all(struct bench *b)
{
    size_t first = 0;
    size_t among = 0;
    size_t best = 0;
    double reciprocal = 0;
    b->with = arena_array(&b->arena, b->questions_len, sizeof(*b->with));
    b->without = arena_array(&b->arena, b->questions_len, sizeof(*b->without));
    need(b->with);
    need(b->without);
    for (size_t q = 0; q < b->questions_len; q++) {
        size_t right = b->questions[q].document;
        struct found *f = &b->with[q];
        retrieve(b, q, SIZE_MAX, f);
        judge(b, q, f);
        retrieve(b, q, right, &b->without[q]);
        judge(b, q, &b->without[q]);
        for (size_t i = 0; i < f->len; i++) {
            if (f->documents[i] == right) {
                first += i == 0;
                among++;
                reciprocal += 1 / (double)(i + 1);
            }
        }
        best += f->documents[f->verdict.best] == right;
    }
    printf("retrieval documents=%zu questions=%zu hit@1=%.3f hit@5=%.3f mrr=%.3f "
           "best_by_both=%.3f\n",
           b->documents_len, b->questions_len, share(first, b->questions_len),
           share(among, b->questions_len), reciprocal / (double)b->questions_len,
           share(best, b->questions_len));
}

/* --- abstaining ----------------------------------------------------------------------------- */

static float score(const struct found *f, float weight)
{
    float best = 0;
    for (size_t i = 0; i < f->len; i++) {
        float s = f->cosine[i] + weight * f->overlap[i];
        best = s > best ? s : best;
    }
    return best;
}

struct errors {
    double abstained; /* of the questions with their document */
    double answered;  /* of those without */
};

/* Of every second question from `first` on. */
static struct errors errors_of(const struct bench *b, size_t first, float weight, float threshold)
{
    size_t abstained = 0;
    size_t answered = 0;
    size_t n = 0;
    for (size_t q = first; q < b->questions_len; q += 2, n++) {
        abstained += score(&b->with[q], weight) < threshold;
        answered += score(&b->without[q], weight) >= threshold;
    }
    return (struct errors){ share(abstained, n), share(answered, n) };
}

static void report_abstain(const struct bench *b)
{
    float best_weight = 0;
    float best_threshold = 0;
    double least = 2;
    for (int w = 0; w <= 30; w++) {
        for (int t = 20; t <= 200; t++) {
            float weight = (float)w * 0.05f;
            float threshold = (float)t * 0.01f;
            struct errors e = errors_of(b, 0, weight, threshold);
            if (e.abstained + e.answered < least) {
                least = e.abstained + e.answered;
                best_weight = weight;
                best_threshold = threshold;
            }
        }
    }
    struct errors e = errors_of(b, 1, best_weight, best_threshold);
    printf("abstain fitted weight=%.2f threshold=%.2f false_abstentions=%.3f false_answers=%.3f\n",
           (double)best_weight, (double)best_threshold, e.abstained, e.answered);
    size_t abstained = 0;
    size_t answered = 0;
    for (size_t q = 0; q < b->questions_len; q++) {
        abstained += !b->with[q].verdict.yes;
        answered += b->without[q].verdict.yes;
    }
    printf("abstain built_in threshold=%.2f false_abstentions=%.3f false_answers=%.3f\n",
           (double)ANSWERABLE_SCORE_MIN, share(abstained, b->questions_len),
           share(answered, b->questions_len));
}

/* --- answers -------------------------------------------------------------------------------- */

struct answer {
    struct mutex lock;
    struct cond ended;
    struct buf text;
    struct generation end;
    bool done;
};

static bool on_piece(void *arg, struct slice piece)
{
    struct answer *a = arg;
    return buf_append_slice(&a->text, piece) == SHOAL_OK;
}

static void on_end(void *arg, const struct generation *end)
{
    struct answer *a = arg;
    mutex_lock(&a->lock);
    a->end = *end;
    a->done = true;
    cond_signal(&a->ended);
    mutex_unlock(&a->lock);
}

static void generate(struct generator *g, const struct prompt *p, struct answer *a)
{
    uint64_t id = 0;
    struct errbuf why;
    const struct generator_request request = {
        .messages = p->messages,
        .messages_len = p->messages_len,
        .messages_constant = p->messages_constant,
        .max_tokens = p->max_tokens,
        .on_piece = on_piece,
        .on_end = on_end,
        .arg = a,
    };
    a->done = false;
    buf_reset(&a->text);
    enum shoal_err rc = generator_submit(g, &request, &id, &why);
    if (rc != SHOAL_OK) {
        die("generator", rc, &why);
    }
    mutex_lock(&a->lock);
    while (!a->done) {
        cond_wait(&a->ended, &a->lock);
    }
    mutex_unlock(&a->lock);
    if (a->end.rc != SHOAL_OK) {
        die("generating", a->end.rc, NULL);
    }
}

/* Shared words, as SQuAD counts them: F1 of the answer's content words against one right one. */
static double f1(const struct words *given, const struct words *right)
{
    size_t shared = 0;
    for (size_t i = 0; i < given->len; i++) {
        shared += given->list[i].content && words__has(right, given->list[i].stem);
    }
    size_t content = words__distinct(given);
    double precision = share(shared < content ? shared : content, content);
    double recall = 0;
    size_t wanted = 0;
    for (size_t i = 0; i < right->len; i++) {
        wanted += right->list[i].content;
        recall += right->list[i].content && words__has(given, right->list[i].stem);
    }
    recall = wanted == 0 ? 0 : recall / (double)wanted;
    return precision + recall == 0 ? 0 : 2 * precision * recall / (precision + recall);
}

/* Whether all words of one of the right answers are in it, and the best F1. */
static bool compare(const struct question *q, struct slice given, struct arena *arena, double *best)
{
    struct json_value v;
    struct words words;
    bool has = false;
    *best = 0;
    enum shoal_err rc = words__of(given, arena, &words);
    for (struct json_iter it = json_iter(q->answers); rc == SHOAL_OK && json_next(&it, NULL, &v);) {
        struct slice right;
        struct words wanted;
        if (!json_string(v, &right)) {
            die("answers", SHOAL_EPARSE, NULL);
        }
        rc = words__of(right, arena, &wanted);
        bool all = rc == SHOAL_OK && wanted.len > 0;
        for (size_t i = 0; all && i < wanted.len; i++) {
            all = words__has(&words, wanted.list[i].stem);
        }
        has = has || all;
        double f = rc == SHOAL_OK ? f1(&words, &wanted) : 0;
        *best = f > *best ? f : *best;
    }
    if (rc != SHOAL_OK) {
        die("words", rc, NULL);
    }
    return has;
}

struct tally {
    size_t asked;
    size_t right;
    size_t retrieved; /* the passage asked about was the right one */
    size_t right_sentences;
    size_t right_supported;
    size_t wrong_sentences;
    size_t wrong_supported;
    uint64_t prompt_tokens;
    uint64_t estimated_tokens;
    uint64_t answer_tokens;
    double f1;
    double tokens_per_s;
    double *first_token_s;
};

static void count_support(const struct question *q, const struct document *d, struct slice given,
                          bool right, struct arena *arena, struct tally *t)
{
    const struct citation_source source = { .title = d->title, .text = d->text };
    const struct citation_config config = {
        .answer = given, .question = q->text, .sources = &source, .sources_len = 1
    };
    struct cited_sentence *s = NULL;
    struct errbuf why;
    size_t len = 0;
    enum shoal_err rc = citation_check(&config, arena, &s, &len, &why);
    if (rc != SHOAL_OK) {
        die("citation_check", rc, &why);
    }
    for (size_t i = 0; i < len; i++) {
        *(right ? &t->right_sentences : &t->wrong_sentences) += 1;
        *(right ? &t->right_supported : &t->wrong_supported) += s[i].supported;
    }
}

static void ask(const struct bench *b, struct generator *g, size_t question, struct answer *a,
                struct tally *t)
{
    const struct question *q = &b->questions[question];
    const struct found *f = &b->with[question];
    const struct document *d = &b->documents[f->documents[f->verdict.best]];
    const struct model_info *info = generator_info(g);
    const struct prompt_passage passage = { .title = d->title, .text = d->text };
    const struct prompt_config config = {
        .question = q->text,
        .passages = &passage,
        .passages_len = 1,
        .model = { .parameters = info->parameters, .context_tokens = info->context_tokens },
        .nonce = SLICE_LIT("qmzkxwvbtr"),
    };
    struct arena arena;
    struct prompt p;
    struct errbuf why;
    double best = 0;
    arena_init(&arena, ARENA_BYTES_MAX);
    enum shoal_err rc = prompt_build(&config, &arena, &p, &why);
    if (rc != SHOAL_OK) {
        die("prompt", rc, &why);
    }
    generate(g, &p, a);
    bool right = compare(q, buf_slice(&a->text), &arena, &best);
    count_support(q, d, buf_slice(&a->text), right, &arena, t);
    t->first_token_s[t->asked++] = (double)a->end.first_token_ns / 1e9;
    t->right += right;
    t->retrieved += d == &b->documents[q->document];
    t->f1 += best;
    t->prompt_tokens += a->end.prompt_tokens;
    t->estimated_tokens += p.tokens;
    t->answer_tokens += a->end.generated_tokens;
    t->tokens_per_s += a->end.tokens_per_s;
    if (b->opt.verbose) {
        printf("%s %.*s\n    %.*s\n", right ? "right" : "WRONG", (int)q->text.len, q->text.data,
               (int)a->text.len, a->text.data);
    }
    arena_release(&arena);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report_answers(const struct tally *t)
{
    double n = (double)t->asked;
    qsort(t->first_token_s, t->asked, sizeof(double), by_value);
    printf("answers asked=%zu passage_right=%.3f contains=%.3f f1=%.3f\n", t->asked,
           share(t->retrieved, t->asked), share(t->right, t->asked), t->f1 / n);
    printf("support right_sentences=%zu supported=%.3f wrong_sentences=%zu supported=%.3f\n",
           t->right_sentences, share(t->right_supported, t->right_sentences), t->wrong_sentences,
           share(t->wrong_supported, t->wrong_sentences));
    printf("times prompt_tokens=%.0f estimated=%.0f answer_tokens=%.1f first_token_p50_s=%.2f "
           "p95_s=%.2f max_s=%.2f tokens_per_s=%.1f\n",
           (double)t->prompt_tokens / n, (double)t->estimated_tokens / n,
           (double)t->answer_tokens / n, t->first_token_s[t->asked / 2],
           t->first_token_s[t->asked * 95 / 100], t->first_token_s[t->asked - 1],
           t->tokens_per_s / n);
}

/* Questions spread evenly over the file, of those that would be asked. */
static void answer_all(struct bench *b)
{
    struct errbuf why;
    struct generator *g = NULL;
    const struct generator_config config = { .model = { .path = b->opt.generator },
                                             .threads = b->opt.threads };
    enum shoal_err rc = generator_open(&config, &g, &why);
    if (rc != SHOAL_OK) {
        die("generator", rc, &why);
    }
    struct answer a = { .done = false };
    struct tally t = { .first_token_s = arena_array(&b->arena, b->opt.answers, sizeof(double)) };
    need(t.first_token_s);
    mutex_init(&a.lock);
    cond_init(&a.ended);
    buf_init(&a.text, 1u << 20);
    for (size_t i = 0; i < b->opt.answers; i++) {
        size_t q = i * b->questions_len / b->opt.answers;
        if (b->with[q].verdict.yes) {
            ask(b, g, q, &a, &t);
        }
    }
    if (t.asked > 0) {
        report_answers(&t);
    }
    buf_release(&a.text);
    cond_release(&a.ended);
    mutex_release(&a.lock);
    generator_close(g);
}

/* --- the program ---------------------------------------------------------------------------- */

static void usage(void)
{
    (void)fprintf(stderr, "usage: bench_answerable --embedder FILE --documents FILE "
                          "--questions FILE [--generator FILE] [--answers N] [--threads N] "
                          "[--verbose]\n");
    exit(2);
}

static void parse(int argc, char **argv, struct options *opt)
{
    static const struct option longs[] = {
        { "embedder", required_argument, NULL, 'e' },
        { "generator", required_argument, NULL, 'g' },
        { "documents", required_argument, NULL, 'd' },
        { "questions", required_argument, NULL, 'q' },
        { "answers", required_argument, NULL, 'a' },
        { "threads", required_argument, NULL, 'j' },
        { "verbose", no_argument, NULL, 'v' },
        { NULL, 0, NULL, 0 },
    };
    *opt = (struct options){ .answers = 100 };
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        switch (c) {
        case 'e': opt->embedder = optarg; break;
        case 'g': opt->generator = optarg; break;
        case 'd': opt->documents = optarg; break;
        case 'q': opt->questions = optarg; break;
        case 'a': opt->answers = strtoul(optarg, NULL, 10); break;
        case 'j': opt->threads = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'v': opt->verbose = true; break;
        default: usage();
        }
    }
    if (opt->embedder == NULL || opt->documents == NULL || opt->questions == NULL ||
        opt->answers == 0) {
        usage();
    }
}

int main(int argc, char **argv)
{
    struct bench b = { .documents = NULL };
    parse(argc, argv, &b.opt);
    arena_init(&b.arena, 1u << 30);
    read_all(&b);
    embed_all(&b);
    retrieve_all(&b);
    report_abstain(&b);
    if (b.opt.generator != NULL) {
        answer_all(&b);
    }
    mem_free(b.document_vectors);
    mem_free(b.question_vectors);
    arena_release(&b.arena);
    return 0;
}
