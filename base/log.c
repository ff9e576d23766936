#include "base/log.h"

#include "base/slice.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct log_config settings = { .level = LOG_LEVEL_INFO, .fd = 2 };
/* The level is read on every line by any thread. */
static _Atomic int current_level = LOG_LEVEL_INFO;

static const char *const level_words[] = { "debug", "info", "warn", "error", "off" };

/* A line under construction on the stack: a logger must not need memory. */
struct line {
    char text[LOG_LINE_MAX];
    size_t len;
};

void log_setup(const struct log_config *config)
{
    settings = *config;
    atomic_store_explicit(&current_level, (int)config->level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&current_level, memory_order_relaxed) &&
           level < LOG_LEVEL_OFF;
}

enum shoal_err log_level_parse(const char *word, enum log_level *out)
{
    for (size_t i = 0; i < sizeof(level_words) / sizeof(level_words[0]); i++) {
        if (strcmp(word, level_words[i]) == 0) {
            *out = (enum log_level)i;
            return SHOAL_OK;
        }
    }
    return SHOAL_EINVAL;
}

static void put(struct line *l, const char *s, size_t len)
{
    size_t room = sizeof(l->text) - 1 - l->len; /* the newline has its place */
    len = len < room ? len : room;
    memcpy(l->text + l->len, s, len);
    l->len += len;
}

static void put_str(struct line *l, const char *s)
{
    put(l, s, strlen(s));
}

/* Quotes, backslashes and control characters escaped as JSON wants them; logfmt reads the same. */
static void put_quoted(struct line *l, const char *s)
{
    put_str(l, "\"");
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        char escaped[8];
        if (c == '"' || c == '\\') {
            escaped[0] = '\\';
            escaped[1] = (char)c;
            put(l, escaped, 2);
        } else if (c < 0x20 || c == 0x7f) {
            put(l, escaped, (size_t)snprintf(escaped, sizeof(escaped), "\\u%04x", c));
        } else {
            put(l, s, 1);
        }
    }
    put_str(l, "\"");
}

static bool is_plain(const char *s)
{
    for (const char *c = s; *c != '\0'; c++) {
        if ((unsigned char)*c <= ' ' || *c == '"' || *c == '=' || *c == '\\' || *c == 0x7f) {
            return false;
        }
    }
    return s[0] != '\0';
}

static void put_value(struct line *l, const struct log_field *f, bool json)
{
    char number[32];
    int n = 0;
    switch (f->kind) {
    case LOG_KIND_STR: {
        const char *s = f->value.str == NULL ? "" : f->value.str;
        if (json || !is_plain(s)) {
            put_quoted(l, s);
        } else {
            put_str(l, s);
        }
        return;
    }
    case LOG_KIND_U64: n = snprintf(number, sizeof(number), "%" PRIu64, f->value.u64); break;
    case LOG_KIND_I64: n = snprintf(number, sizeof(number), "%" PRId64, f->value.i64); break;
    case LOG_KIND_F64: n = snprintf(number, sizeof(number), "%.6g", f->value.f64); break;
    }
    put(l, number, (size_t)n);
}

static void put_field(struct line *l, const struct log_field *f, bool json)
{
    put_str(l, json ? ",\"" : " ");
    put_str(l, f->key);
    put_str(l, json ? "\":" : "=");
    put_value(l, f, json);
}

static void put_time(struct line *l, uint64_t wall_ns)
{
    time_t seconds = (time_t)(wall_ns / 1000000000u);
    struct tm utc;
    char text[40];
    (void)gmtime_r(&seconds, &utc);
    size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    put(l, text, n);
    put(l, text,
        (size_t)snprintf(text, sizeof(text), ".%03uZ", (unsigned)(wall_ns / 1000000u % 1000u)));
}

void log_write(enum log_level level, const char *msg, const struct log_field *fields, size_t n)
{
    if (!log_enabled(level)) {
        return;
    }
    const struct clock *clock = settings.clock == NULL ? clock_real() : settings.clock;
    bool json = settings.format == LOG_FORMAT_JSON;
    struct line l;
    l.len = 0;
    put_str(&l, json ? "{\"ts\":\"" : "ts=");
    put_time(&l, clock_wall_ns(clock));
    put_str(&l, json ? "\",\"level\":\"" : " level=");
    put_str(&l, level_words[level]);
    put_str(&l, json ? "\",\"msg\":" : " msg=");
    put_quoted(&l, msg);
    for (size_t i = 0; i < n; i++) {
        put_field(&l, &fields[i], json);
    }
    if (json) {
        put_str(&l, "}");
    }
    l.text[l.len++] = '\n';
    ssize_t written = write(settings.fd, l.text, l.len);
    (void)written; /* a log that cannot be written is not worth a failure */
}
