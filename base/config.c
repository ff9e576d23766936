#include "base/config.h"

#include "base/mem.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX (1u << 20)
#define KEY_MAX 64
#define HELP_WIDTH 80
#define HELP_INDENT 8

struct value {
    char *text; /* owned; NULL: unset */
    bool set;   /* by file, environment or flag */
    uint64_t number;
    double real;
};

struct config {
    const struct config_option *options;
    size_t len;
    const char *env_prefix;
    struct value *values;
    const char **args;
    size_t args_len;
};

/* --- values --------------------------------------------------------------------------------- */

static enum shoal_err bad(const struct config_option *o, const char *text, const char *wanted,
                          struct errbuf *why)
{
    return err_set(why, SHOAL_EINVAL, "%s: \"%s\" is not %s", o->key, text, wanted);
}

/* Leading digits with an optional fraction; *rest is what follows. */
static bool parse_number(const char *text, double *out, const char **rest)
{
    char *end;
    if (!isdigit((unsigned char)text[0])) {
        return false;
    }
    errno = 0;
    *out = strtod(text, &end);
    *rest = end;
    return errno == 0 && isfinite(*out);
}

struct unit {
    const char *name;
    double factor;
};

static bool parse_with_unit(const char *text, const struct unit *units, size_t len, uint64_t *out)
{
    double number;
    const char *rest;
    if (!parse_number(text, &number, &rest)) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (strcmp(rest, units[i].name) == 0) {
            double v = number * units[i].factor;
            if (v > 9e18) {
                return false;
            }
            *out = (uint64_t)v;
            return true;
        }
    }
    return false;
}

static bool parse_whole(const char *text, uint64_t *out)
{
    char *end;
    if (!isdigit((unsigned char)text[0])) {
        return false;
    }
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    *out = v;
    return errno == 0 && *end == '\0';
}

static bool parse_bool(const char *text, uint64_t *out)
{
    static const char *const yes[] = { "true", "yes", "on", "1" };
    static const char *const no[] = { "false", "no", "off", "0" };
    for (size_t i = 0; i < 4; i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *out = strcmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

static enum shoal_err parse_value(const struct config_option *o, const char *text, struct value *v,
                                  struct errbuf *why)
{
    static const struct unit bytes[] = { { "", 1 },         { "B", 1 },        { "KB", 1e3 },
                                         { "MB", 1e6 },     { "GB", 1e9 },     { "TB", 1e12 },
                                         { "KiB", 1024.0 }, { "MiB", 0x1p20 }, { "GiB", 0x1p30 },
                                         { "TiB", 0x1p40 } };
    static const struct unit times[] = {
        { "ms", 1 }, { "s", 1e3 }, { "m", 60e3 }, { "h", 3600e3 }
    };
    const char *rest;
    switch (o->kind) {
    case CONFIG_STRING: return SHOAL_OK;
    case CONFIG_BOOL:
        return parse_bool(text, &v->number) ? SHOAL_OK : bad(o, text, "true or false", why);
    case CONFIG_F64:
        return parse_number(text, &v->real, &rest) && *rest == '\0' ? SHOAL_OK
                                                                    : bad(o, text, "a number", why);
    case CONFIG_U64:
        if (!parse_whole(text, &v->number)) {
            return bad(o, text, "a whole number", why);
        }
        break;
    case CONFIG_BYTES:
        if (!parse_with_unit(text, bytes, sizeof(bytes) / sizeof(bytes[0]), &v->number)) {
            return bad(o, text, "a size such as 64KiB, 1.5GiB or 100MB", why);
        }
        break;
    case CONFIG_DURATION_MS:
        if (!parse_with_unit(text, times, sizeof(times) / sizeof(times[0]), &v->number)) {
            return bad(o, text, "a time such as 250ms, 5s, 2m or 1h", why);
        }
        break;
    }
    if (v->number < o->min || (o->max != 0 && v->number > o->max)) {
        return err_set(why, SHOAL_EINVAL, "%s: %s is out of range; from %" PRIu64 " to %" PRIu64,
                       o->key, text, o->min, o->max == 0 ? UINT64_MAX : o->max);
    }
    return SHOAL_OK;
}

static enum shoal_err assign(struct config *c, size_t at, const char *text, bool set,
                             struct errbuf *why)
{
    struct value v = { .set = set };
    enum shoal_err rc = parse_value(&c->options[at], text, &v, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    v.text = mem_strdup(text);
    if (v.text == NULL) {
        return SHOAL_ENOMEM;
    }
    mem_free(c->values[at].text);
    c->values[at] = v;
    return SHOAL_OK;
}

/* --- keys ----------------------------------------------------------------------------------- */

static size_t find(const struct config *c, const char *key, size_t key_len)
{
    size_t i = 0;
    while (i < c->len &&
           (strlen(c->options[i].key) != key_len || memcmp(c->options[i].key, key, key_len) != 0)) {
        i++;
    }
    return i;
}

/* Levenshtein's distance over one row; keys are short. */
static size_t edit_distance(const char *a, size_t a_len, const char *b)
{
    size_t row[KEY_MAX + 1];
    size_t b_len = strlen(b);
    if (b_len > KEY_MAX) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= b_len; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            size_t shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = change < shorter ? change : shorter;
        }
    }
    return row[b_len];
}

static enum shoal_err unknown(const struct config *c, const char *key, size_t key_len,
                              struct errbuf *why)
{
    const char *nearest = NULL;
    size_t best = 4; /* further away is no help */
    for (size_t i = 0; i < c->len; i++) {
        size_t d = edit_distance(key, key_len, c->options[i].key);
        if (d < best) {
            best = d;
            nearest = c->options[i].key;
        }
    }
    return nearest == NULL
               ? err_set(why, SHOAL_EINVAL, "unknown option \"%.*s\"; see --help", (int)key_len,
                         key)
               : err_set(why, SHOAL_EINVAL, "unknown option \"%.*s\"; did you mean \"%s\"?",
                         (int)key_len, key, nearest);
}

/* --- life ----------------------------------------------------------------------------------- */

enum shoal_err config_new(const struct config_option *options, size_t len, const char *env_prefix,
                          struct config **out)
{
    *out = NULL;
    struct config *c = mem_calloc(1, sizeof(*c));
    if (c == NULL) {
        return SHOAL_ENOMEM;
    }
    c->options = options;
    c->len = len;
    c->env_prefix = env_prefix;
    c->values = mem_calloc(len, sizeof(*c->values));
    enum shoal_err rc = c->values == NULL ? SHOAL_ENOMEM : SHOAL_OK;
    for (size_t i = 0; i < len && rc == SHOAL_OK; i++) {
        if (options[i].fallback != NULL) {
            rc = assign(c, i, options[i].fallback, false, NULL);
            assert(rc != SHOAL_EINVAL); /* a default that does not parse is a bug */
        }
    }
    if (rc != SHOAL_OK) {
        config_free(c);
        return rc;
    }
    *out = c;
    return SHOAL_OK;
}

void config_free(struct config *c)
{
    if (c == NULL) {
        return;
    }
    for (size_t i = 0; c->values != NULL && i < c->len; i++) {
        mem_free(c->values[i].text);
    }
    mem_free(c->values);
    mem_free(c->args);
    mem_free(c);
}

/* --- sources -------------------------------------------------------------------------------- */

static struct slice trim(struct slice s)
{
    while (s.len > 0 && isspace((unsigned char)s.data[0])) {
        s.data++;
        s.len--;
    }
    while (s.len > 0 && isspace((unsigned char)s.data[s.len - 1])) {
        s.len--;
    }
    return s;
}

static enum shoal_err load_line(struct config *c, struct slice line, struct errbuf *why)
{
    const char *hash = memchr(line.data, '#', line.len);
    if (hash != NULL) {
        line.len = (size_t)(hash - line.data);
    }
    line = trim(line);
    if (line.len == 0) {
        return SHOAL_OK;
    }
    const char *equals = memchr(line.data, '=', line.len);
    if (equals == NULL) {
        return err_set(why, SHOAL_EINVAL, "a line reads `key = value`");
    }
    struct slice key = trim(slice_make(line.data, (size_t)(equals - line.data)));
    struct slice text = trim(slice_make(equals + 1, line.len - (size_t)(equals - line.data) - 1));
    size_t at = find(c, key.data, key.len);
    if (at == c->len) {
        return unknown(c, key.data, key.len, why);
    }
    char *copy = mem_strndup(text.data, text.len);
    if (copy == NULL) {
        return SHOAL_ENOMEM;
    }
    enum shoal_err rc = assign(c, at, copy, true, why);
    mem_free(copy);
    return rc;
}

enum shoal_err config_load_file(struct config *c, const struct disk *disk, const char *path,
                                struct errbuf *why)
{
    struct buf text;
    buf_init(&text, FILE_MAX);
    enum shoal_err rc = disk->read_whole(disk->arg, path, &text, why);
    size_t number = 0;
    for (size_t at = 0; rc == SHOAL_OK && at < text.len;) {
        const char *line = text.data + at;
        const char *newline = memchr(line, '\n', text.len - at);
        size_t len = newline == NULL ? text.len - at : (size_t)(newline - line);
        number++;
        at += len + 1;
        rc = load_line(c, slice_make(line, len), why);
        if (rc != SHOAL_OK) {
            (void)err_prefix(why, rc, "%s, line %zu", path, number);
        }
    }
    buf_release(&text);
    return rc;
}

enum shoal_err config_load_env(struct config *c, char *const *envp, struct errbuf *why)
{
    size_t prefix_len = strlen(c->env_prefix);
    for (char *const *e = envp; *e != NULL; e++) {
        const char *equals = strchr(*e, '=');
        if (equals == NULL || strncmp(*e, c->env_prefix, prefix_len) != 0) {
            continue;
        }
        char key[KEY_MAX];
        size_t len = (size_t)(equals - *e) - prefix_len;
        if (len >= sizeof(key)) {
            return unknown(c, *e + prefix_len, len, why);
        }
        for (size_t i = 0; i < len; i++) {
            char ch = (*e)[prefix_len + i];
            key[i] = ch == '_' ? '-' : (char)tolower((unsigned char)ch);
        }
        size_t at = find(c, key, len);
        enum shoal_err rc = at == c->len ? unknown(c, key, len, why)
                                         : assign(c, at, equals + 1, true, why);
        if (rc != SHOAL_OK) {
            return err_prefix(why, rc, "environment variable %.*s", (int)(equals - *e), *e);
        }
    }
    return SHOAL_OK;
}

/* One flag; *used is how many words it took. */
static enum shoal_err load_flag(struct config *c, const char *word, const char *next, int *used,
                                struct errbuf *why)
{
    const char *key = word + 2;
    size_t key_len = strcspn(key, "=");
    size_t at = find(c, key, key_len);
    *used = 1;
    if (at == c->len) {
        return unknown(c, key, key_len, why);
    }
    if (key[key_len] == '=') {
        return assign(c, at, key + key_len + 1, true, why);
    }
    if (c->options[at].kind == CONFIG_BOOL) {
        return assign(c, at, "true", true, why);
    }
    if (next == NULL) {
        return err_set(why, SHOAL_EINVAL, "--%s wants a value", c->options[at].key);
    }
    *used = 2;
    return assign(c, at, next, true, why);
}

enum shoal_err config_load_args(struct config *c, int argc, char *const *argv, struct errbuf *why)
{
    if (argc > 1 && c->args == NULL) {
        c->args = mem_calloc((size_t)argc, sizeof(*c->args));
        if (c->args == NULL) {
            return SHOAL_ENOMEM;
        }
    }
    bool flags = true;
    for (int i = 1; i < argc;) {
        if (flags && strcmp(argv[i], "--") == 0) {
            flags = false;
            i++;
        } else if (flags && argv[i][0] == '-' && argv[i][1] == '-') {
            int used = 0;
            const char *next = i + 1 < argc ? argv[i + 1] : NULL;
            enum shoal_err rc = load_flag(c, argv[i], next, &used, why);
            if (rc != SHOAL_OK) {
                return rc;
            }
            i += used;
        } else {
            c->args[c->args_len++] = argv[i++];
        }
    }
    return SHOAL_OK;
}

/* --- use ------------------------------------------------------------------------------------ */

static const struct value *get(const struct config *c, const char *key)
{
    size_t at = find(c, key, strlen(key));
    assert(at < c->len);
    return &c->values[at];
}

const char *config_string(const struct config *c, const char *key)
{
    return get(c, key)->text;
}

bool config_bool(const struct config *c, const char *key)
{
    return get(c, key)->number != 0;
}

uint64_t config_u64(const struct config *c, const char *key)
{
    return get(c, key)->number;
}

double config_f64(const struct config *c, const char *key)
{
    return get(c, key)->real;
}

bool config_is_set(const struct config *c, const char *key)
{
    return get(c, key)->set;
}

size_t config_args(const struct config *c, const char *const **out)
{
    if (out != NULL) {
        *out = c->args;
    }
    return c->args_len;
}

/* --- help ----------------------------------------------------------------------------------- */

static void put_wrapped(struct buf *out, const char *text)
{
    size_t column = 0;
    while (*text != '\0') {
        size_t word = strcspn(text, " ");
        if (column == 0 || column + 1 + word > HELP_WIDTH) {
            (void)buf_printf(out, "%s%*s", column == 0 ? "" : "\n", HELP_INDENT, "");
            column = HELP_INDENT;
        } else {
            (void)buf_append_char(out, ' ');
            column++;
        }
        (void)buf_append(out, text, word);
        column += word;
        text += word;
        text += strspn(text, " ");
    }
    (void)buf_append_char(out, '\n');
}

static void put_option(struct buf *out, const struct config *c, const struct config_option *o)
{
    char env[KEY_MAX];
    size_t len = strlen(o->key);
    assert(len < sizeof(env));
    for (size_t i = 0; i <= len; i++) {
        env[i] = o->key[i] == '-' ? '_' : (char)toupper((unsigned char)o->key[i]);
    }
    (void)buf_printf(out, "  --%s%s%s  [%s%s]", o->key, o->value == NULL ? "" : " ",
                     o->value == NULL ? "" : o->value, c->env_prefix, env);
    if (o->fallback != NULL && o->kind != CONFIG_BOOL) {
        (void)buf_printf(out, " (default: %s)", o->fallback);
    }
    (void)buf_append_char(out, '\n');
    put_wrapped(out, o->help);
}

enum shoal_err config_print_help(const struct config *c, struct buf *out)
{
    const char *section = "";
    for (size_t i = 0; i < c->len; i++) {
        const struct config_option *o = &c->options[i];
        if (o->section != NULL && strcmp(section, o->section) != 0) {
            (void)buf_printf(out, "%s%s:\n", i == 0 ? "" : "\n", o->section);
            section = o->section;
        }
        put_option(out, c, o);
    }
    return out->failed;
}
