#include "slm/chat.h"

#include "base/arena.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* Stands for a content while the template is laid out: a control character, eight hex digits. No
 * template and no role has a control character. */
#define MARK '\x01'
#define MARK_BYTES 9
#define LAYOUT_BYTES_MAX (1u << 20)

static bool role_known(struct slice role)
{
    return slice_is(role, "system") || slice_is(role, "user") || slice_is(role, "assistant");
}

static const char *template_of(const struct model *m)
{
    return llama_model_chat_template(m->llama, NULL);
}

bool chat__supported(const struct model *m)
{
    const char *template = template_of(m);
    const struct llama_chat_message probe = { .role = "user", .content = "x" };
    return template != NULL && llama_chat_apply_template(template, &probe, 1, true, NULL, 0) > 0;
}

/* The template around marks, in the arena. */
static enum shoal_err lay_out(const struct model *m, const struct chat_message *messages,
                              size_t len, struct arena *arena, struct slice *out,
                              struct errbuf *why)
{
    struct llama_chat_message *marked = arena_array(arena, len, sizeof(*marked));
    char *marks = arena_array(arena, len, MARK_BYTES + 1);
    char *layout = arena_alloc(arena, LAYOUT_BYTES_MAX);
    if (marked == NULL || marks == NULL || layout == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t i = 0; i < len; i++) {
        if (!role_known(messages[i].role)) {
            return err_set(why, SHOAL_EINVAL, "message %zu: the role is system, user or assistant",
                           i);
        }
        char *mark = marks + i * (MARK_BYTES + 1);
        snprintf(mark, MARK_BYTES + 1, "%c%08x", MARK, (unsigned)i);
        marked[i] = (struct llama_chat_message){
            .role = arena_strndup(arena, messages[i].role.data, messages[i].role.len),
            .content = mark,
        };
        if (marked[i].role == NULL) {
            return SHOAL_ENOMEM;
        }
    }
    const char *template = template_of(m);
    int32_t n = template == NULL ? -1
                                 : llama_chat_apply_template(template, marked, len, true, layout,
                                                             (int32_t)LAYOUT_BYTES_MAX);
    if (n <= 0) {
        return err_set(why, SHOAL_EUNSUPPORTED,
                       "the model has no chat template that libllama knows: give a prompt, not "
                       "messages");
    }
    if ((uint32_t)n > LAYOUT_BYTES_MAX) {
        return SHOAL_ETOOBIG;
    }
    *out = slice_make(layout, (size_t)n);
    return SHOAL_OK;
}

static enum shoal_err append(struct chat_tokens *to, const llama_token *tokens, size_t len)
{
    if (len == 0) {
        return SHOAL_OK;
    }
    llama_token *grown = mem_realloc(to->tokens, (to->len + len) * sizeof(*grown));
    if (grown == NULL) {
        return SHOAL_ENOMEM;
    }
    memcpy(grown + to->len, tokens, len * sizeof(*grown));
    to->tokens = grown;
    to->len += len;
    return SHOAL_OK;
}

static enum shoal_err append_text(const struct model *m, struct slice text, bool control,
                                  struct chat_tokens *to)
{
    llama_token *tokens = NULL;
    size_t len = 0;
    if (text.len == 0) {
        return SHOAL_OK;
    }
    enum shoal_err rc = model__tokenize(m, text, false, control, &tokens, &len);
    if (rc == SHOAL_OK) {
        rc = append(to, tokens, len);
    }
    mem_free(tokens);
    return rc;
}

/* The model's mark of a beginning, unless the template has put it there. */
static enum shoal_err begin_marked(const struct model *m, struct chat_tokens *to)
{
    llama_token bos = llama_vocab_bos(m->vocab);
    if (!llama_vocab_get_add_bos(m->vocab) || bos < 0 || (to->len > 0 && to->tokens[0] == bos)) {
        return SHOAL_OK;
    }
    enum shoal_err rc = append(to, &bos, 1);
    if (rc == SHOAL_OK) {
        memmove(to->tokens + 1, to->tokens, (to->len - 1) * sizeof(*to->tokens));
        to->tokens[0] = bos;
    }
    return rc;
}

/* The number after a MARK; len when it is none of ours. */
static size_t mark_index(const char *mark, const char *end, size_t len)
{
    size_t index = 0;
    if (end - mark < MARK_BYTES) {
        return len;
    }
    for (int i = 1; i < MARK_BYTES; i++) {
        char c = mark[i];
        index = index << 4 | (size_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return index < len ? index : len;
}

static enum shoal_err fill(const struct model *m, struct slice layout,
                           const struct chat_message *messages, size_t len, size_t constant,
                           struct chat_tokens *out)
{
    const char *at = layout.data;
    const char *end = layout.data + layout.len;
    bool varies = false;
    enum shoal_err rc = SHOAL_OK;
    while (rc == SHOAL_OK && at < end) {
        const char *mark = memchr(at, MARK, (size_t)(end - at));
        const char *stop = mark == NULL ? end : mark;
        rc = append_text(m, slice_make(at, (size_t)(stop - at)), true, out);
        if (rc == SHOAL_OK && at == layout.data) {
            rc = begin_marked(m, out);
        }
        if (rc != SHOAL_OK || mark == NULL) {
            break;
        }
        size_t index = mark_index(mark, end, len);
        if (index == len) {
            return SHOAL_EUNSUPPORTED; /* a template that rewrites contents */
        }
        if (!varies && index >= constant) {
            varies = true;
            out->constant_len = out->len;
        }
        rc = append_text(m, messages[index].content, false, out);
        at = mark + MARK_BYTES;
    }
    if (rc == SHOAL_OK && !varies) {
        out->constant_len = 0; /* all constant: there is nothing that would share it */
    }
    return rc;
}

enum shoal_err chat__tokenize(const struct model *m, const struct chat_message *messages,
                              size_t len, size_t constant, struct chat_tokens *out,
                              struct errbuf *why)
{
    struct arena arena;
    struct slice layout = { NULL, 0 };
    *out = (struct chat_tokens){ .tokens = NULL };
    arena_init(&arena, 4 * LAYOUT_BYTES_MAX);
    enum shoal_err rc = lay_out(m, messages, len, &arena, &layout, why);
    if (rc == SHOAL_OK) {
        rc = fill(m, layout, messages, len, constant, out);
    }
    arena_release(&arena);
    if (rc != SHOAL_OK) {
        mem_free(out->tokens);
        *out = (struct chat_tokens){ .tokens = NULL };
    }
    return rc;
}

enum shoal_err chat__tokenize_raw(const struct model *m, struct slice prompt,
                                  struct chat_tokens *out)
{
    *out = (struct chat_tokens){ .tokens = NULL };
    enum shoal_err rc = append_text(m, prompt, true, out);
    if (rc == SHOAL_OK) {
        rc = begin_marked(m, out);
    }
    if (rc != SHOAL_OK) {
        mem_free(out->tokens);
        *out = (struct chat_tokens){ .tokens = NULL };
    }
    return rc;
}
