#include "slm/document.h"

#include "base/buf.h"
#include "slm/clean.h"
#include "slm/html.h"
#include "slm/markdown.h"
#include "slm/outline.h"
#include "slm/sentence.h"

#include <string.h>
#include <strings.h>

/* An invalid byte becomes three; markers and blank lines come in addition. */
#define TEXT_BYTES_MAX (4 * (size_t)DOCUMENT_BYTES_MAX)
/* Escapes make Markdown's HTML longer than its source. */
#define MARKDOWN_HTML_BYTES_MAX (8 * (size_t)DOCUMENT_BYTES_MAX)

/* --- formats -------------------------------------------------------------------------------- */

enum shoal_err document_format_parse(struct slice word, enum document_format *out,
                                     struct errbuf *why)
{
    static const struct {
        const char *word;
        enum document_format format;
    } words[] = {
        { "txt", DOCUMENT_TEXT },          { "text", DOCUMENT_TEXT },
        { "text/plain", DOCUMENT_TEXT },   { "md", DOCUMENT_MARKDOWN },
        { "markdown", DOCUMENT_MARKDOWN }, { "text/markdown", DOCUMENT_MARKDOWN },
        { "htm", DOCUMENT_HTML },          { "html", DOCUMENT_HTML },
        { "xhtml", DOCUMENT_HTML },        { "text/html", DOCUMENT_HTML },
    };
    const char *semicolon = word.len == 0 ? NULL : memchr(word.data, ';', word.len);
    size_t len = semicolon == NULL ? word.len : (size_t)(semicolon - word.data);
    while (len > 0 && word.data[len - 1] == ' ') {
        len--;
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strlen(words[i].word) == len && strncasecmp(words[i].word, word.data, len) == 0) {
            *out = words[i].format;
            return SHOAL_OK;
        }
    }
    return err_set(
        why, SHOAL_EUNSUPPORTED,
        "document type \"%.*s\" is not known; use text/plain, text/markdown or text/html",
        (int)(len < 64 ? len : 64), len == 0 ? "" : word.data);
}

/* --- plain text ----------------------------------------------------------------------------- */

static bool is_blank_line(struct slice line)
{
    for (size_t i = 0; i < line.len; i++) {
        if (line.data[i] != ' ' && (line.data[i] < '\t' || line.data[i] > '\r')) {
            return false;
        }
    }
    return true;
}

/* Does the line open a list item? Such lines of a paragraph stay lines. */
static bool is_item(struct slice line)
{
    size_t at = 0;
    while (at < line.len && (line.data[at] == ' ' || line.data[at] == '\t')) {
        at++;
    }
    return sentence_block_begins(line, at);
}

/* Lines from begin to end are one block. */
static void put_lines(struct slice lines, struct outline *o, struct buf *clean, bool tight)
{
    clean->len = 0;
    clean__line(lines, clean);
    outline__block(o, buf_slice(clean), tight);
}

static enum shoal_err put_text(struct slice source, struct outline *o)
{
    struct buf clean;
    size_t begin = 0; /* of the block under way */
    bool tight = false;
    buf_init(&clean, TEXT_BYTES_MAX);
    for (size_t at = 0; at < source.len;) {
        const char *newline = memchr(source.data + at, '\n', source.len - at);
        size_t end = newline == NULL ? source.len : (size_t)(newline - source.data);
        struct slice line = slice_make(source.data + at, end - at);
        bool blank = is_blank_line(line);
        bool item = !blank && is_item(line);
        if (blank || item) {
            put_lines(slice_make(source.data + begin, at - begin), o, &clean, tight);
            if (blank) {
                outline__break(o);
            }
            begin = at;
            tight = item;
        }
        at = end < source.len ? end + 1 : end;
    }
    put_lines(slice_make(source.data + begin, source.len - begin), o, &clean, tight);
    enum shoal_err rc = clean.failed;
    buf_release(&clean);
    return rc;
}

/* --- all ------------------------------------------------------------------------------------ */

static enum shoal_err put_markdown(struct slice source, struct outline *o, struct errbuf *why)
{
    struct buf html;
    buf_init(&html, MARKDOWN_HTML_BYTES_MAX);
    enum shoal_err rc = markdown__to_html(source, &html, why);
    if (rc == SHOAL_OK) {
        rc = html__put(buf_slice(&html), true, o, why);
    }
    buf_release(&html);
    return rc;
}

static enum shoal_err put(struct slice source, enum document_format format, struct outline *o,
                          struct errbuf *why)
{
    switch (format) {
    case DOCUMENT_TEXT: return put_text(source, o);
    case DOCUMENT_MARKDOWN: return put_markdown(source, o, why);
    case DOCUMENT_HTML: return html__put(source, false, o, why);
    }
    return err_set(why, SHOAL_EINVAL, "unknown document format %d", (int)format);
}

static struct slice without_bom(struct slice source)
{
    bool has = source.len >= 3 && memcmp(source.data, "\xEF\xBB\xBF", 3) == 0;
    return has ? slice_make(source.data + 3, source.len - 3) : source;
}

enum shoal_err document_parse(struct slice source, enum document_format format, struct arena *arena,
                              struct document *out, struct errbuf *why)
{
    struct outline o;
    *out = (struct document){ .sections = NULL };
    if (source.len > DOCUMENT_BYTES_MAX) {
        return err_set(why, SHOAL_ETOOBIG, "the document has %zu bytes, at most %u are taken",
                       source.len, DOCUMENT_BYTES_MAX);
    }
    outline__init(&o, TEXT_BYTES_MAX);
    enum shoal_err rc = put(without_bom(source), format, &o, why);
    if (rc == SHOAL_OK) {
        rc = outline__finish(&o, arena, out, why);
    }
    outline__release(&o);
    return rc;
}
