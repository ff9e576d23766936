/* shoal ingest: files and directories into a collection of documents.
 *
 * A document's id is its path as given; its hash is that of its bytes. Before a batch is sent the
 * server is asked which documents it has with the same hash; those are skipped, so that a second
 * run, or one after a break, goes on where it is needed. Batches are bounded by bytes. */
#include "base/clock.h"
#include "base/disk.h"
#include "base/hash.h"
#include "base/mem.h"
#include "client/cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A text of control characters alone grows sixfold in JSON and still fits BODY_MAX. */
#define FILE_BYTES_MAX (8u << 20)
/* About 30,000 tokens: some seconds of embedding, so that progress shows and no request lasts. */
#define BATCH_BYTES_MAX (128u << 10)
#define BATCH_DOCUMENTS_MAX 64
#define BODY_MAX (64u << 20)
#define DEPTH_MAX 64

struct files {
    char **paths; /* owned, sorted */
    size_t len;
    size_t cap;
    size_t skipped; /* other kinds of files */
    unsigned depth;
    bool failed;
    const char *dir; /* being listed */
};

struct ingest {
    struct cli *cli;
    const char *collection;
    struct files files;
    size_t done, stored, unchanged, chunks, unread;
    uint64_t begun_ns;
    uint64_t shown_ns;
    bool tty;
};

/* --- finding files -------------------------------------------------------------------------- */

static const char *type_of(const char *path)
{
    static const struct {
        const char *ending;
        const char *type;
    } types[] = { { ".html", "text/html" },         { ".htm", "text/html" },
                  { ".xhtml", "text/html" },        { ".md", "text/markdown" },
                  { ".markdown", "text/markdown" }, { ".txt", "text/plain" },
                  { ".text", "text/plain" },        { ".rst", "text/plain" } };
    size_t len = strlen(path);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        size_t n = strlen(types[i].ending);
        if (len > n && strcmp(path + len - n, types[i].ending) == 0) {
            return types[i].type;
        }
    }
    return NULL;
}

static void add_path(struct files *f, const char *path);

static bool on_name(void *arg, const char *name)
{
    struct files *f = arg;
    char path[DISK_PATH_MAX];
    if (name[0] == '.') {
        return true; /* hidden */
    }
    if (disk_join(path, sizeof(path), f->dir, name) != SHOAL_OK) {
        f->skipped++;
        return true;
    }
    add_path(f, path);
    return !f->failed;
}

static void add_dir(struct files *f, const char *path)
{
    const struct disk *disk = disk_real();
    struct errbuf why = { 0 };
    const char *outer = f->dir;
    if (f->depth == DEPTH_MAX) {
        f->skipped++;
        return;
    }
    f->depth++;
    f->dir = path;
    enum shoal_err rc = disk->list_dir(disk->arg, path, on_name, f, &why);
    if (rc != SHOAL_OK) {
        (void)cli_fail(err_why(&why, rc));
        f->failed = true;
    }
    f->dir = outer;
    f->depth--;
}

static void add_file(struct files *f, const char *path)
{
    if (type_of(path) == NULL) {
        f->skipped++;
        return;
    }
    if (f->len == f->cap) {
        size_t cap = f->cap == 0 ? 64 : 2 * f->cap;
        char **paths = mem_realloc(f->paths, cap * sizeof(*paths));
        if (paths == NULL) {
            (void)cli_fail("out of memory");
            f->failed = true;
            return;
        }
        f->paths = paths;
        f->cap = cap;
    }
    char *copy = mem_strdup(path);
    if (copy == NULL) {
        (void)cli_fail("out of memory");
        f->failed = true;
        return;
    }
    f->paths[f->len++] = copy;
}

static void add_path(struct files *f, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        struct errbuf why = { 0 };
        (void)cli_fail(err_why(&why, err_set(&why, SHOAL_ENOTFOUND, "cannot find %s", path)));
        f->failed = true;
    } else if (S_ISDIR(st.st_mode)) {
        add_dir(f, path);
    } else if (S_ISREG(st.st_mode)) {
        add_file(f, path);
    } else {
        f->skipped++;
    }
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* --- progress ------------------------------------------------------------------------------- */

static void show(struct ingest *in, bool last)
{
    uint64_t now = clock_mono_ns(clock_real());
    if (!last && now - in->shown_ns < (in->tty ? 100000000u : 2000000000u)) {
        return;
    }
    in->shown_ns = now;
    double seconds = (double)(now - in->begun_ns) / 1e9;
    char bar[31];
    size_t filled = in->files.len == 0 ? 30 : 30 * in->done / in->files.len;
    memset(bar, '.', 30);
    memset(bar, '#', filled);
    bar[30] = '\0';
    fprintf(stderr, "%s[%s] %zu/%zu documents, %zu unchanged, %zu chunks, %.1f chunks/s%s",
            in->tty ? "\r" : "", bar, in->done, in->files.len, in->unchanged, in->chunks,
            seconds > 0 ? (double)in->chunks / seconds : 0, in->tty && !last ? "" : "\n");
}

/* --- batches -------------------------------------------------------------------------------- */

struct document {
    const char *path;
    struct buf text;
    char hash[17];
    bool unchanged;
};

struct batch {
    struct document documents[BATCH_DOCUMENTS_MAX];
    size_t len;
    size_t bytes;
};

static void batch_clear(struct batch *b)
{
    for (size_t i = 0; i < b->len; i++) {
        buf_release(&b->documents[i].text);
    }
    b->len = 0;
    b->bytes = 0;
}

/* A file that cannot be read is told of and left out. */
static void batch_read(struct ingest *in, struct batch *b, const char *path)
{
    const struct disk *disk = disk_real();
    struct document *d = &b->documents[b->len];
    struct errbuf why = { 0 };
    *d = (struct document){ .path = path };
    buf_init(&d->text, FILE_BYTES_MAX);
    enum shoal_err rc = disk->read_whole(disk->arg, path, &d->text, &why);
    if (rc != SHOAL_OK) {
        (void)cli_fail(err_why(&why, rc));
        buf_release(&d->text);
        in->done++;
        in->unread++;
        return;
    }
    snprintf(d->hash, sizeof(d->hash), "%016" PRIx64, hash64(d->text.data, d->text.len));
    b->bytes += d->text.len;
    b->len++;
}

static void put_pair(struct json_writer *w, const char *key, const char *value)
{
    json_key(w, key);
    json_put_str(w, value);
}

/* The documents of the batch as a request's body; with their texts, or ids and hashes only. */
static enum shoal_err print_batch(const struct batch *b, bool with_text, struct buf *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key(&w, "documents");
    json_begin_array(&w);
    for (size_t i = 0; i < b->len; i++) {
        const struct document *d = &b->documents[i];
        if (with_text && d->unchanged) {
            continue;
        }
        json_begin_object(&w);
        put_pair(&w, "id", d->path);
        put_pair(&w, "hash", d->hash);
        if (with_text) {
            put_pair(&w, "type", type_of(d->path));
            json_key(&w, "text");
            json_put_string(&w, buf_slice(&d->text));
        }
        json_end_object(&w);
    }
    json_end_array(&w);
    json_end_object(&w);
    return buf_cstr(out) == NULL ? out->failed : SHOAL_OK;
}

static int call(struct ingest *in, const char *method, const char *rest, struct buf *body,
                struct json_doc **doc, struct json_value *result)
{
    char path[CLI_PATH_MAX];
    if (!cli_path(path, sizeof(path), "/v1", in->collection, rest)) {
        return cli_fail("the collection's name is too long");
    }
    return cli_call(in->cli, method, path, body->data, doc, result);
}

/* Marks the documents that the server has as they are. */
static int check_batch(struct ingest *in, struct batch *b, struct buf *body)
{
    struct json_doc *doc = NULL;
    struct json_value result;
    struct json_value list;
    struct json_value v;
    enum shoal_err rc = print_batch(b, false, body);
    int code = rc != SHOAL_OK ? cli_fail(err_text(rc))
                              : call(in, "POST", "/documents/check", body, &doc, &result);
    if (code == CLI_OK && json_get(result, "unchanged", &list)) {
        for (struct json_iter it = json_iter(list); json_next(&it, NULL, &v);) {
            struct slice id;
            for (size_t i = 0; json_string(v, &id) && i < b->len; i++) {
                if (slice_is(id, b->documents[i].path) && !b->documents[i].unchanged) {
                    b->documents[i].unchanged = true;
                    in->unchanged++;
                }
            }
        }
    }
    json_free(doc);
    return code;
}

static int send_batch(struct ingest *in, struct batch *b)
{
    struct buf body;
    struct json_doc *doc = NULL;
    struct json_value result;
    size_t unchanged = in->unchanged;
    buf_init(&body, BODY_MAX);
    int code = check_batch(in, b, &body);
    if (code == CLI_OK && in->unchanged - unchanged < b->len) {
        buf_reset(&body);
        enum shoal_err rc = print_batch(b, true, &body);
        code = rc != SHOAL_OK ? cli_fail(err_text(rc))
                              : call(in, "PUT", "/documents", &body, &doc, &result);
        if (code == CLI_OK) {
            in->stored += b->len - (in->unchanged - unchanged);
            in->chunks += (size_t)cli_number(result, "chunks");
        }
    }
    in->done += b->len;
    json_free(doc);
    buf_release(&body);
    return code;
}

/* --- the command ---------------------------------------------------------------------------- */

/* Makes the collection when it is not there. */
static int ensure_collection(struct ingest *in)
{
    char path[CLI_PATH_MAX];
    char body[64];
    struct json_doc *doc = NULL;
    struct json_value result;
    struct json_value exists;
    bool there = false;
    if (!cli_path(path, sizeof(path), "", in->collection, "/exists")) {
        return cli_fail("the collection's name is too long");
    }
    int code = cli_call(in->cli, "GET", path, NULL, &doc, &result);
    if (code == CLI_OK && json_get(result, "exists", &exists)) {
        (void)json_bool(exists, &there);
    }
    json_free(doc);
    if (code != CLI_OK || there) {
        return code;
    }
    (void)cli_path(path, sizeof(path), "/v1", in->collection, "");
    snprintf(body, sizeof(body), "{\"shard_number\":%" PRIu64 "}",
             config_u64(in->cli->options, "shards"));
    code = cli_call(in->cli, "PUT", path, body, &doc, &result);
    json_free(doc);
    if (code == CLI_OK) {
        fprintf(stderr, "created the collection %s\n", in->collection);
    }
    return code;
}

static int send_all(struct ingest *in)
{
    struct batch *b = mem_calloc(1, sizeof(*b));
    if (b == NULL) {
        return cli_fail("out of memory");
    }
    int code = CLI_OK;
    for (size_t i = 0; i < in->files.len && code == CLI_OK;) {
        while (i < in->files.len && b->len < BATCH_DOCUMENTS_MAX && b->bytes < BATCH_BYTES_MAX) {
            batch_read(in, b, in->files.paths[i++]);
        }
        if (b->len > 0) {
            code = send_batch(in, b);
        }
        batch_clear(b);
        show(in, false);
    }
    mem_free(b);
    return code;
}

int cli_ingest(struct cli *cli)
{
    if (cli->words_len < 2) {
        return cli_usage("ingest NAME PATH...");
    }
    struct ingest in = { .cli = cli,
                         .collection = cli->words[0],
                         .begun_ns = clock_mono_ns(clock_real()),
                         .shown_ns = clock_mono_ns(clock_real()),
                         .tty = isatty(2) == 1 };
    for (size_t i = 1; i < cli->words_len; i++) {
        add_path(&in.files, cli->words[i]);
    }
    if (in.files.len > 0) {
        qsort(in.files.paths, in.files.len, sizeof(*in.files.paths), compare_paths);
    }
    int code = in.files.failed ? CLI_FAILED : ensure_collection(&in);
    if (code == CLI_OK) {
        code = send_all(&in);
        show(&in, true);
    }
    if (code == CLI_OK) {
        code = in.unread > 0 ? CLI_FAILED : CLI_OK; /* each was told of */
        printf("%zu documents stored in %zu chunks, %zu unchanged, %zu files of other kinds "
               "left out\n",
               in.stored, in.chunks, in.unchanged, in.files.skipped);
    }
    for (size_t i = 0; i < in.files.len; i++) {
        mem_free(in.files.paths[i]);
    }
    mem_free(in.files.paths);
    return code;
}
