#include "shard/json_path.h"

#include <assert.h>
#include <inttypes.h>

struct parser {
    struct slice text;
    size_t at;
    struct arena *arena;
    struct json_step *steps;
    size_t len;
};

static enum shoal_err refuse(const struct parser *p, const char *what, struct errbuf *why)
{
    int shown = p->text.len > 100 ? 100 : (int)p->text.len;
    return err_set(why, SHOAL_EPARSE, "the path \"%.*s\" is not valid at byte %zu: %s", shown,
                   p->text.len > 0 ? p->text.data : "", p->at, what);
}

static bool more(const struct parser *p)
{
    return p->at < p->text.len;
}

static bool raw_key_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || (unsigned char)c >= 0x80;
}

static enum shoal_err push(struct parser *p, struct json_step step, struct errbuf *why)
{
    if (p->len == JSON_PATH_STEPS_MAX) {
        return err_set(why, SHOAL_ETOOBIG, "a path may have at most %d steps", JSON_PATH_STEPS_MAX);
    }
    p->steps[p->len++] = step;
    return SHOAL_OK;
}

static enum shoal_err quoted_key(struct parser *p, struct slice *out, struct errbuf *why)
{
    p->at++; /* the opening quote */
    char *copy = arena_alloc(p->arena, p->text.len);
    if (copy == NULL) {
        return SHOAL_ENOMEM;
    }
    size_t len = 0;
    while (more(p) && p->text.data[p->at] != '"') {
        if (p->text.data[p->at] == '\\') {
            p->at++;
            if (!more(p) || (p->text.data[p->at] != '"' && p->text.data[p->at] != '\\')) {
                return refuse(p, "only \\\" and \\\\ may follow a backslash", why);
            }
        }
        copy[len++] = p->text.data[p->at++];
    }
    if (!more(p)) {
        return refuse(p, "the closing quote is missing", why);
    }
    p->at++;
    *out = slice_make(copy, len);
    return SHOAL_OK;
}

static enum shoal_err raw_key(struct parser *p, struct slice *out, struct errbuf *why)
{
    size_t begin = p->at;
    while (more(p) && raw_key_byte(p->text.data[p->at])) {
        p->at++;
    }
    if (p->at == begin) {
        return refuse(p, "a key is expected; put unusual ones into double quotes", why);
    }
    char *copy = arena_strndup(p->arena, p->text.data + begin, p->at - begin);
    if (copy == NULL) {
        return SHOAL_ENOMEM;
    }
    *out = slice_make(copy, p->at - begin);
    return SHOAL_OK;
}

static enum shoal_err key_step(struct parser *p, struct errbuf *why)
{
    struct json_step step = { .kind = JSON_STEP_KEY };
    enum shoal_err rc = more(p) && p->text.data[p->at] == '"' ? quoted_key(p, &step.key, why)
                                                              : raw_key(p, &step.key, why);
    return rc == SHOAL_OK ? push(p, step, why) : rc;
}

/* "[]" or "[12]". */
static enum shoal_err bracket_step(struct parser *p, struct errbuf *why)
{
    p->at++;
    struct json_step step = { .kind = JSON_STEP_EACH };
    while (more(p) && p->text.data[p->at] >= '0' && p->text.data[p->at] <= '9') {
        uint32_t digit = (uint32_t)(p->text.data[p->at] - '0');
        step.kind = JSON_STEP_INDEX;
        if (__builtin_mul_overflow(step.index, 10u, &step.index) ||
            __builtin_add_overflow(step.index, digit, &step.index)) {
            return refuse(p, "the index is too large", why);
        }
        p->at++;
    }
    if (!more(p) || p->text.data[p->at] != ']') {
        return refuse(p, "digits and a closing bracket are expected", why);
    }
    p->at++;
    return push(p, step, why);
}

enum shoal_err json_path_parse(struct slice text, struct arena *arena, struct json_path *out,
                               struct errbuf *why)
{
    *out = (struct json_path){ .steps = NULL };
    if (text.len > JSON_PATH_BYTES_MAX) {
        return err_set(why, SHOAL_ETOOBIG, "a path of %zu bytes: at most %d", text.len,
                       JSON_PATH_BYTES_MAX);
    }
    /* Every step but the first takes at least two bytes. */
    size_t steps_max = text.len / 2 + 1;
    steps_max = steps_max > JSON_PATH_STEPS_MAX ? JSON_PATH_STEPS_MAX : steps_max;
    struct parser p = { .text = text,
                        .arena = arena,
                        .steps = arena_array(arena, steps_max, sizeof(struct json_step)) };
    if (p.steps == NULL) {
        return SHOAL_ENOMEM;
    }
    enum shoal_err rc = key_step(&p, why);
    while (rc == SHOAL_OK && more(&p)) {
        if (p.text.data[p.at] == '[') {
            rc = bracket_step(&p, why);
        } else if (p.text.data[p.at] == '.') {
            p.at++;
            rc = key_step(&p, why);
        } else {
            rc = refuse(&p, "\".\" or \"[\" is expected", why);
        }
    }
    if (rc == SHOAL_OK) {
        *out = (struct json_path){ .steps = p.steps, .len = p.len };
    }
    return rc;
}

enum shoal_err json_path_each_element(const struct json_path *path, struct arena *arena,
                                      struct json_path *out)
{
    *out = *path;
    if (path->steps[path->len - 1].kind == JSON_STEP_EACH) {
        return SHOAL_OK;
    }
    struct json_step *steps = arena_array(arena, path->len + 1, sizeof(*steps));
    if (steps == NULL) {
        return SHOAL_ENOMEM;
    }
    memcpy(steps, path->steps, path->len * sizeof(*steps));
    steps[path->len] = (struct json_step){ .kind = JSON_STEP_EACH };
    *out = (struct json_path){ .steps = steps, .len = path->len + 1 };
    return SHOAL_OK;
}

struct walk {
    json_path_found *found;
    void *arg;
    size_t n;
};

/* False when `found` asked to stop. Depth is bounded by the path's steps. */
static bool walk_from(struct walk *w, const struct json_step *steps, size_t len,
                      struct json_value value)
{
    if (len == 0) {
        w->n++;
        return w->found(w->arg, value);
    }
    if (steps->kind == JSON_STEP_KEY) {
        struct json_value member;
        return !json_get_slice(value, steps->key, &member) ||
               walk_from(w, steps + 1, len - 1, member);
    }
    if (json_kind(value) != JSON_ARRAY) {
        return true;
    }
    struct json_iter it = json_iter(value);
    struct json_value element;
    bool go_on = true;
    for (uint32_t i = 0; go_on && json_next(&it, NULL, &element); i++) {
        if (steps->kind == JSON_STEP_EACH) {
            go_on = walk_from(w, steps + 1, len - 1, element);
        } else if (i == steps->index) {
            return walk_from(w, steps + 1, len - 1, element);
        }
    }
    return go_on;
}

size_t json_path_walk(const struct json_path *path, struct json_value root, json_path_found *found,
                      void *arg)
{
    assert(path->len > 0);
    struct walk w = { .found = found, .arg = arg };
    (void)walk_from(&w, path->steps, path->len, root);
    return w.n;
}
