#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ERR_ENTRY(name, value, word, text) { value, word, text },
static const struct {
    int value;
    const char *word;
    const char *text;
} entries[] = { SHOAL_ERR_LIST(ERR_ENTRY) };
#undef ERR_ENTRY

#define ENTRIES_LEN (sizeof(entries) / sizeof(entries[0]))

void err_clear(struct errbuf *why)
{
    if (why != NULL) {
        why->code = SHOAL_OK;
        why->text[0] = '\0';
    }
}

/* A text that was cut ends in "...". `wanted` is what vsnprintf returned. */
static void mark_cut(char *text, int wanted)
{
    if (wanted >= ERRBUF_TEXT_MAX) {
        memcpy(text + ERRBUF_TEXT_MAX - 4, "...", 4);
    }
}

enum shoal_err err_set(struct errbuf *why, enum shoal_err code, const char *fmt, ...)
{
    if (why == NULL) {
        return code;
    }
    char text[ERRBUF_TEXT_MAX]; /* the arguments may point into why->text */
    va_list args;
    va_start(args, fmt);
    int wanted = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    mark_cut(text, wanted);
    why->code = code;
    memcpy(why->text, text, sizeof(text));
    return code;
}

enum shoal_err err_prefix(struct errbuf *why, enum shoal_err code, const char *fmt, ...)
{
    if (why == NULL) {
        return code;
    }
    char prefix[ERRBUF_TEXT_MAX];
    char text[ERRBUF_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(prefix, sizeof(prefix), fmt, args);
    va_end(args);
    int wanted = snprintf(text, sizeof(text), "%s: %s", prefix, err_why(why, code));
    mark_cut(text, wanted);
    why->code = code;
    memcpy(why->text, text, sizeof(text));
    return code;
}

static enum shoal_err from_errno(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT: return SHOAL_EFULL;
    case ENOENT: return SHOAL_ENOTFOUND;
    case EEXIST: return SHOAL_EEXISTS;
    case ENOMEM: return SHOAL_ENOMEM;
    case EAGAIN: return SHOAL_EBUSY;
    default: return SHOAL_EIO;
    }
}

enum shoal_err err_errno(struct errbuf *why, int errnum, const char *fmt, ...)
{
    enum shoal_err code = from_errno(errnum);
    if (why == NULL) {
        return code;
    }
    char what[ERRBUF_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    char reason[128];
    const char *said = strerror_r(errnum, reason, sizeof(reason));
    return err_set(why, code, "%s: %s", what, said);
}

const char *err_word(enum shoal_err code)
{
    for (size_t i = 0; i < ENTRIES_LEN; i++) {
        if (entries[i].value == (int)code) {
            return entries[i].word;
        }
    }
    return "unknown";
}

const char *err_text(enum shoal_err code)
{
    for (size_t i = 0; i < ENTRIES_LEN; i++) {
        if (entries[i].value == (int)code) {
            return entries[i].text;
        }
    }
    return "unknown";
}

enum shoal_err err_from_number(unsigned number)
{
    for (size_t i = 0; i < ENTRIES_LEN; i++) {
        if ((unsigned)entries[i].value == number) {
            return (enum shoal_err)number;
        }
    }
    return SHOAL_EPROTO;
}

const char *err_why(const struct errbuf *why, enum shoal_err code)
{
    return why != NULL && why->text[0] != '\0' ? why->text : err_text(code);
}
