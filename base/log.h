/* Structured logging: one line an event, logfmt or JSON lines, to stderr or a file.
 *
 *     log_info("segment published", LOG_U64("shard", id), LOG_U64("rows", n));
 *     -> ts=2026-11-24T15:00:00.123Z level=info msg="segment published" shard=3 rows=8192
 *
 * Never log vectors, payloads, keys or prompts. Threads: any; a line is written by one write(2).
 * A line longer than LOG_LINE_MAX is cut. Logging never fails and never blocks on a lock that
 * another line holds across I/O for longer than that one write. */
#ifndef SHOAL_BASE_LOG_H
#define SHOAL_BASE_LOG_H

#include "base/clock.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

#define LOG_LINE_MAX 4096

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR, LOG_LEVEL_OFF };
enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

struct log_config {
    enum log_level level;
    enum log_format format;
    int fd;                    /* borrowed; 2 by default */
    const struct clock *clock; /* borrowed for the process's life; NULL: clock_real() */
};

enum log_field_kind { LOG_KIND_STR, LOG_KIND_U64, LOG_KIND_I64, LOG_KIND_F64 };

struct log_field {
    const char *key; /* literal: letters, digits, underscore */
    enum log_field_kind kind;
    union {
        const char *str; /* NULL prints as "" */
        uint64_t u64;
        int64_t i64;
        double f64;
    } value;
};

#define LOG_STR(k, v) ((struct log_field){ .key = (k), .kind = LOG_KIND_STR, .value.str = (v) })
#define LOG_U64(k, v) ((struct log_field){ .key = (k), .kind = LOG_KIND_U64, .value.u64 = (v) })
#define LOG_I64(k, v) ((struct log_field){ .key = (k), .kind = LOG_KIND_I64, .value.i64 = (v) })
#define LOG_F64(k, v) ((struct log_field){ .key = (k), .kind = LOG_KIND_F64, .value.f64 = (v) })
/* code and reason of a failure: two fields */
#define LOG_ERR(rc, why) LOG_STR("error", err_word(rc)), LOG_STR("why", err_why((why), (rc)))

/* Call before threads start; without it: info, logfmt, stderr. */
void log_setup(const struct log_config *config);
bool log_enabled(enum log_level level);
/* SHOAL_EINVAL for a word that is no level ("debug", "info", "warn", "error", "off"). */
enum shoal_err log_level_parse(const char *word, enum log_level *out);
void log_write(enum log_level level, const char *msg, const struct log_field *fields, size_t n);

/* Ends a list of fields, so that a line may have none. */
#define LOG_END ((struct log_field){ .key = NULL })

#define LOG_AT(level, msg, ...)                                          \
    do {                                                                 \
        if (log_enabled(level)) {                                        \
            const struct log_field log_fields_[] = { __VA_ARGS__ };      \
            log_write((level), (msg), log_fields_,                       \
                      sizeof(log_fields_) / sizeof(log_fields_[0]) - 1); \
        }                                                                \
    } while (0)

#define log_debug(...) LOG_AT(LOG_LEVEL_DEBUG, __VA_ARGS__, LOG_END)
#define log_info(...) LOG_AT(LOG_LEVEL_INFO, __VA_ARGS__, LOG_END)
#define log_warn(...) LOG_AT(LOG_LEVEL_WARN, __VA_ARGS__, LOG_END)
#define log_error(...) LOG_AT(LOG_LEVEL_ERROR, __VA_ARGS__, LOG_END)

#endif
