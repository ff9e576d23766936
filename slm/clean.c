#include "slm/clean.h"

#include "slm/utf8.h"

#include <string.h>

static bool is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7F && code < 0xA0);
}

static bool has_no_width(uint32_t code)
{
    return code == 0xAD || code == 0x200B || code == 0x2060 || code == 0xFEFF;
}

/* How many plain ASCII characters, blanks not included, stand at the beginning. */
static size_t plain_run(struct slice text, size_t at)
{
    size_t i = at;
    while (i < text.len && (unsigned char)text.data[i] > ' ' &&
           (unsigned char)text.data[i] < 0x7F) {
        i++;
    }
    return i - at;
}

static void put_char(struct slice text, size_t at, struct utf8_step step, struct buf *out)
{
    struct slice bytes = slice_make(text.data + at, step.len);
    buf_append_slice(out, step.kind == UTF8_CHAR ? bytes : SLICE_LIT(UTF8_REPLACEMENT));
}

void clean__line(struct slice text, struct buf *out)
{
    size_t begin = out->len;
    bool gap = false;
    for (size_t i = 0; i < text.len;) {
        size_t run = plain_run(text, i);
        struct utf8_step step = run > 0 ? (struct utf8_step){ .kind = UTF8_CHAR, .len = run }
                                        : utf8__step(text.data + i, text.len - i);
        bool odd = run == 0 && step.kind == UTF8_CHAR;
        if (odd && (utf8__is_blank(step.code) || is_control(step.code))) {
            gap = true;
        } else if (!odd || !has_no_width(step.code)) {
            if (gap && out->len > begin) {
                buf_append_char(out, ' ');
            }
            gap = false;
            put_char(text, i, step, out);
        }
        i += step.len;
    }
}

/* One line, its end not included. */
static void put_line(struct slice line, struct buf *out)
{
    size_t begin = out->len;
    for (size_t i = 0; i < line.len;) {
        size_t run = plain_run(line, i);
        struct utf8_step step = run > 0 ? (struct utf8_step){ .kind = UTF8_CHAR, .len = run }
                                        : utf8__step(line.data + i, line.len - i);
        bool odd = run == 0 && step.kind == UTF8_CHAR;
        if (odd && step.code != '\t' && (utf8__is_blank(step.code) || is_control(step.code))) {
            buf_append_char(out, ' ');
        } else if (!odd || !has_no_width(step.code)) {
            put_char(line, i, step, out);
        }
        i += step.len;
    }
    while (out->len > begin &&
           (out->data[out->len - 1] == ' ' || out->data[out->len - 1] == '\t')) {
        out->len--;
    }
}

void clean__lines(struct slice text, struct buf *out)
{
    size_t begin = out->len;
    size_t end = begin; /* of the last line that is not empty */
    for (size_t i = 0; i < text.len;) {
        const char *newline = memchr(text.data + i, '\n', text.len - i);
        size_t len = newline == NULL ? text.len - i : (size_t)(newline - text.data) - i;
        if (out->len > begin) {
            buf_append_char(out, '\n');
        }
        size_t line = out->len;
        put_line(slice_make(text.data + i, len), out);
        end = out->len > line ? out->len : end;
        i += len + 1;
    }
    out->len = end;
}

bool clean__says_something(struct slice text)
{
    for (size_t i = 0; i < text.len;) {
        struct utf8_step step = utf8__step(text.data + i, text.len - i);
        bool empty = step.kind == UTF8_CHAR &&
                     (utf8__is_blank(step.code) || is_control(step.code) ||
                      has_no_width(step.code) || step.code == ',' || step.code == ';');
        if (!empty) {
            return true;
        }
        i += step.len;
    }
    return false;
}
