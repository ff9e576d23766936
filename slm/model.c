#include "slm/model.h"

#include "base/log.h"
#include "base/mem.h"
#include "slm/digest.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- libllama's log ------------------------------------------------------------------------- */

/* libllama logs in pieces that need not end in a newline, and returns no reasons: the first error
 * that a thread logs is kept until model__reason asks for it. */
struct log_state {
    char line[512];
    size_t len;
    enum ggml_log_level level;
    char reason[MODEL_REASON_MAX];
};
static _Thread_local struct log_state log_state;

static void log_line_end(struct log_state *s)
{
    s->line[s->len] = '\0';
    if (s->len > 0) {
        log_debug("libllama", LOG_STR("line", s->line));
        if (s->level == GGML_LOG_LEVEL_ERROR && s->reason[0] == '\0') {
            snprintf(s->reason, sizeof(s->reason), "%.*s", (int)sizeof(s->reason) - 1, s->line);
        }
    }
    s->len = 0;
}

static void on_log(enum ggml_log_level level, const char *text, void *arg)
{
    (void)arg;
    struct log_state *s = &log_state;
    if (level != GGML_LOG_LEVEL_CONT) {
        s->level = level;
    }
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '\n') {
            log_line_end(s);
        } else if (s->len < sizeof(s->line) - 1) {
            s->line[s->len++] = *p;
        }
    }
}

void model__reason(char out[MODEL_REASON_MAX])
{
    memcpy(out, log_state.reason, MODEL_REASON_MAX);
    log_state.reason[0] = '\0';
}

static void set_up(void)
{
    llama_log_set(on_log, NULL);
    llama_backend_init();
}

/* --- opening -------------------------------------------------------------------------------- */

/* Reads the magic and, when asked, the whole, and leaves the file at its beginning. The file stays
 * open from here until libllama has it, so what was checked is what is loaded. */
static enum shoal_err check_file(FILE *file, const struct model_file *expected, struct errbuf *why)
{
    char magic[4];
    if (fread(magic, 1, sizeof(magic), file) != sizeof(magic) ||
        memcmp(magic, "GGUF", sizeof(magic)) != 0) {
        return err_set(why, SHOAL_EINVAL, "no GGUF file");
    }
    rewind(file);
    if (expected->sha256 == NULL) {
        return SHOAL_OK;
    }
    if (!digest__is_hex(expected->sha256)) {
        return err_set(why, SHOAL_EINVAL, "the expected SHA-256 wants 64 hex digits");
    }
    char found[DIGEST_HEX_LEN + 1];
    enum shoal_err rc = digest__file(file, found, why);
    rewind(file);
    if (rc == SHOAL_OK && strcasecmp(found, expected->sha256) != 0) {
        rc = err_set(why, SHOAL_ECORRUPT,
                     "SHA-256 is %s, expected %s: fetch the file anew, or name the one you mean",
                     found, expected->sha256);
    }
    return rc;
}

static enum shoal_err open_file(const char *path, FILE **out, uint64_t *bytes_out,
                                struct errbuf *why)
{
    struct stat st;
    *out = fopen(path, "rbe");
    if (*out == NULL) {
        return err_errno(why, errno, "opening");
    }
    if (fstat(fileno(*out), &st) != 0 || !S_ISREG(st.st_mode)) {
        fclose(*out);
        *out = NULL;
        return err_set(why, SHOAL_EINVAL, "no regular file");
    }
    *bytes_out = (uint64_t)st.st_size;
    return SHOAL_OK;
}

static void describe(struct model *m, const char *path)
{
    struct model_info *info = &m->info;
    if (llama_model_meta_val_str(m->llama, "general.name", info->name, sizeof(info->name)) <= 0) {
        const char *slash = strrchr(path, '/');
        snprintf(info->name, sizeof(info->name), "%.*s", MODEL_NAME_MAX,
                 slash == NULL ? path : slash + 1);
        size_t len = strlen(info->name);
        if (len > 5 && strcmp(info->name + len - 5, ".gguf") == 0) {
            info->name[len - 5] = '\0';
        }
    }
    (void)llama_model_meta_val_str(m->llama, "general.architecture", info->arch,
                                   sizeof(info->arch)); /* cleared when absent */
    info->parameters = llama_model_n_params(m->llama);
    info->dim = (uint32_t)llama_model_n_embd(m->llama);
    info->context_tokens = (uint32_t)llama_model_n_ctx_train(m->llama);
}

static enum shoal_err load(const struct model_file *file, FILE *stream, struct model *m,
                           struct errbuf *why)
{
    char reason[MODEL_REASON_MAX];
    struct llama_model_params params = llama_model_default_params();
    params.n_gpu_layers = 0;
    params.check_tensors = file->sha256 == NULL;
    model__reason(reason);
    m->llama = llama_model_load_from_file_ptr(stream, params);
    model__reason(reason);
    if (m->llama == NULL) {
        return err_set(why, SHOAL_EINVAL, "libllama refuses the model: %s",
                       reason[0] == '\0' ? "it gave no reason" : reason);
    }
    m->vocab = llama_model_get_vocab(m->llama);
    if (llama_vocab_type(m->vocab) == LLAMA_VOCAB_TYPE_NONE) {
        return err_set(why, SHOAL_EINVAL, "the model has no vocabulary");
    }
    describe(m, file->path);
    return SHOAL_OK;
}

enum shoal_err model__open(const struct model_file *file, struct model *out, struct errbuf *why)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    *out = (struct model){ .llama = NULL };
    if (file->path == NULL) {
        return err_set(why, SHOAL_EINVAL, "no model file given");
    }
    (void)pthread_once(&once, set_up); /* fails only for an argument that is none */
    FILE *stream = NULL;
    enum shoal_err rc = open_file(file->path, &stream, &out->info.file_bytes, why);
    if (rc == SHOAL_OK) {
        rc = check_file(stream, file, why);
    }
    if (rc == SHOAL_OK) {
        rc = load(file, stream, out, why);
    }
    if (stream != NULL) {
        fclose(stream);
    }
    if (rc != SHOAL_OK) {
        model__release(out);
        return err_prefix(why, rc, "model %s", file->path);
    }
    return SHOAL_OK;
}

void model__release(struct model *m)
{
    if (m->llama != NULL) {
        llama_model_free(m->llama);
    }
    *m = (struct model){ .llama = NULL };
}

uint32_t model__threads(uint32_t configured)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (configured == 0) {
        configured = cores < 1 ? 1 : (uint32_t)cores;
    }
    return configured < MODEL_THREADS_MAX ? configured : MODEL_THREADS_MAX;
}

/* --- tokens --------------------------------------------------------------------------------- */

enum shoal_err model__tokenize(const struct model *m, struct slice text, bool marks, bool control,
                               llama_token **out, size_t *len_out)
{
    *out = NULL;
    *len_out = 0;
    if (text.len > INT32_MAX / 2) {
        return SHOAL_ETOOBIG;
    }
    /* A token stands for four bytes or so; when it is not enough libllama says what is. */
    size_t room = text.len / 3 + 16;
    for (int attempt = 0; attempt < 2; attempt++) {
        llama_token *tokens = mem_array(room, sizeof(*tokens));
        if (tokens == NULL) {
            return SHOAL_ENOMEM;
        }
        int32_t n = llama_tokenize(m->vocab, text.len == 0 ? "" : text.data, (int32_t)text.len,
                                   tokens, (int32_t)room, marks, control);
        if (n > 0) {
            *out = tokens;
            *len_out = (size_t)n;
            return SHOAL_OK;
        }
        mem_free(tokens);
        if (n == 0) {
            return SHOAL_OK;
        }
        if (n == INT32_MIN) {
            return SHOAL_ETOOBIG;
        }
        room = (size_t)-n;
    }
    return SHOAL_EIO; /* libllama asked for more room than it had asked for: a bug of its own */
}
