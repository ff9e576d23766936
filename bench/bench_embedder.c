/* How fast the embedder is by itself: what `ingest` can reach at best.
 *
 *     bench_embedder --model FILE --text FILE [--words N] [--texts N] [--threads N] [--calls N]
 *
 * The text is cut into pieces of so many words, which are embedded by so many calls at once until
 * every piece has been. One line is printed: `embedder key=value ...`. Each vector is checked to be
 * of unit length and the first to come out the same again at the end. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/disk.h"
#include "base/mem.h"
#include "base/thread.h"
#include "slm/embedder.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES_MAX (64u << 20)
#define CALLS_MAX 16
#define CALL_TEXTS 64 /* as the server asks for at a time */

struct options {
    const char *model;
    const char *text;
    size_t words;
    size_t texts_max;
    uint32_t threads;
    size_t calls;
};

struct bench {
    struct options opt;
    struct embedder *embedder;
    struct slice *texts;
    size_t texts_len;
    struct embedded *each;
    float *vectors;
};

struct caller {
    struct thread thread;
    const struct bench *bench;
    size_t first;
    size_t len;
};

static void die(const char *what, enum shoal_err rc, const struct errbuf *why)
{
    (void)fprintf(stderr, "bench_embedder: %s: %s\n", what, err_why(why, rc));
    exit(1);
}

static void need(const void *memory)
{
    if (memory == NULL) {
        die("memory", SHOAL_ENOMEM, NULL);
    }
}

/* Behind the `words`-th word from `at` on. */
static size_t words_end(struct slice text, size_t at, size_t words)
{
    bool inside = false;
    for (; at < text.len; at++) {
        bool blank = (unsigned char)text.data[at] <= ' ';
        if (blank && inside && --words == 0) {
            break;
        }
        inside = !blank;
    }
    return at;
}

static void cut(struct bench *b, struct slice text)
{
    b->texts = mem_array(b->opt.texts_max, sizeof(*b->texts));
    need(b->texts);
    for (size_t at = 0; at < text.len && b->texts_len < b->opt.texts_max;) {
        size_t end = words_end(text, at, b->opt.words);
        b->texts[b->texts_len++] = slice_make(text.data + at, end - at);
        at = end;
    }
    b->each = mem_array(b->texts_len, sizeof(*b->each));
    b->vectors = mem_array(b->texts_len * embedder_info(b->embedder)->dim, sizeof(*b->vectors));
    need(b->each);
    need(b->vectors);
}

static void embed(const struct bench *b, size_t first, size_t len, float *vectors)
{
    struct errbuf why;
    enum shoal_err rc = embedder_embed(b->embedder, b->texts + first, len, UINT64_MAX, vectors,
                                       b->each + first, &why);
    if (rc != SHOAL_OK) {
        die("embedding", rc, &why);
    }
}

static void caller_run(void *arg)
{
    struct caller *c = arg;
    uint32_t dim = embedder_info(c->bench->embedder)->dim;
    for (size_t done = 0; done < c->len; done += CALL_TEXTS) {
        size_t n = c->len - done < CALL_TEXTS ? c->len - done : CALL_TEXTS;
        size_t first = c->first + done;
        embed(c->bench, first, n, c->bench->vectors + first * dim);
    }
}

static double run(const struct bench *b)
{
    struct caller callers[CALLS_MAX];
    struct errbuf why;
    size_t share = (b->texts_len + b->opt.calls - 1) / b->opt.calls;
    uint64_t start_ns = clock_mono_ns(clock_real());
    for (size_t i = 0; i < b->opt.calls; i++) {
        size_t first = i * share < b->texts_len ? i * share : b->texts_len;
        size_t len = b->texts_len - first < share ? b->texts_len - first : share;
        callers[i] = (struct caller){ .bench = b, .first = first, .len = len };
        enum shoal_err rc = thread_start(&callers[i].thread, "caller", caller_run, &callers[i],
                                         &why);
        if (rc != SHOAL_OK) {
            die("thread", rc, &why);
        }
    }
    for (size_t i = 0; i < b->opt.calls; i++) {
        thread_join(&callers[i].thread);
    }
    return (double)(clock_mono_ns(clock_real()) - start_ns) / 1e9;
}

static double dot(const float *a, const float *b, uint32_t dim)
{
    double sum = 0;
    for (uint32_t i = 0; i < dim; i++) {
        sum += (double)a[i] * (double)b[i];
    }
    return sum;
}

static void check(const struct bench *b)
{
    uint32_t dim = embedder_info(b->embedder)->dim;
    float *again = mem_array(dim, sizeof(*again));
    need(again);
    for (size_t i = 0; i < b->texts_len; i++) {
        if (fabs(dot(b->vectors + i * dim, b->vectors + i * dim, dim) - 1) > 1e-4) {
            die("a vector is not of unit length", SHOAL_EIO, NULL);
        }
    }
    embed(b, 0, 1, again);
    if (dot(again, b->vectors, dim) < 0.9999) {
        die("the same text has another vector", SHOAL_EIO, NULL);
    }
    mem_free(again);
}

static void report(const struct bench *b, double seconds)
{
    uint64_t tokens = 0;
    for (size_t i = 0; i < b->texts_len; i++) {
        tokens += b->each[i].tokens;
    }
    printf("embedder words=%zu threads=%u calls=%zu texts=%zu tokens=%llu seconds=%.2f "
           "texts_per_s=%.1f tokens_per_s=%.0f\n",
           b->opt.words, b->opt.threads, b->opt.calls, b->texts_len, (unsigned long long)tokens,
           seconds, (double)b->texts_len / seconds, (double)tokens / seconds);
}

static void usage(void)
{
    (void)fprintf(stderr, "usage: bench_embedder --model FILE --text FILE [--words N] [--texts N] "
                          "[--threads N] [--calls N]\n");
    exit(2);
}

static void parse(int argc, char **argv, struct options *opt)
{
    static const struct option longs[] = {
        { "model", required_argument, NULL, 'm' },
        { "text", required_argument, NULL, 't' },
        { "words", required_argument, NULL, 'w' },
        { "texts", required_argument, NULL, 'n' },
        { "threads", required_argument, NULL, 'j' },
        { "calls", required_argument, NULL, 'c' },
        { NULL, 0, NULL, 0 },
    };
    *opt = (struct options){ .words = 150, .texts_max = 500, .calls = 1 };
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        switch (c) {
        case 'm': opt->model = optarg; break;
        case 't': opt->text = optarg; break;
        case 'w': opt->words = strtoul(optarg, NULL, 10); break;
        case 'n': opt->texts_max = strtoul(optarg, NULL, 10); break;
        case 'j': opt->threads = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'c': opt->calls = strtoul(optarg, NULL, 10); break;
        default: usage();
        }
    }
    if (opt->model == NULL || opt->text == NULL || opt->words == 0 || opt->texts_max == 0 ||
        opt->calls == 0 || opt->calls > CALLS_MAX) {
        usage();
    }
}

int main(int argc, char **argv)
{
    struct bench b = { .embedder = NULL };
    struct errbuf why;
    struct buf text;
    parse(argc, argv, &b.opt);
    const struct embedder_config config = { .model = { .path = b.opt.model },
                                            .threads = b.opt.threads };
    enum shoal_err rc = embedder_open(&config, &b.embedder, &why);
    if (rc != SHOAL_OK) {
        die("opening", rc, &why);
    }
    buf_init(&text, TEXT_BYTES_MAX);
    rc = disk_real()->read_whole(NULL, b.opt.text, &text, &why);
    if (rc != SHOAL_OK) {
        die(b.opt.text, rc, &why);
    }
    cut(&b, buf_slice(&text));
    if (b.texts_len == 0) {
        die(b.opt.text, SHOAL_EINVAL, NULL);
    }
    double seconds = run(&b);
    check(&b);
    report(&b, seconds);
    embedder_close(b.embedder);
    buf_release(&text);
    mem_free(b.texts);
    mem_free(b.each);
    mem_free(b.vectors);
    return 0;
}
