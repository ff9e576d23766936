#include "slm/outline.h"

#include "slm/utf8.h"

#include <assert.h>
#include <string.h>

#define PATH_SEPARATOR " > "
#define TITLE_BYTES_MAX 1024
#define NO_TITLE (OUTLINE_LEVELS + 1)

struct outline_section {
    size_t path; /* in paths */
    size_t path_len;
    size_t begin;
    size_t end;
};

void outline__init(struct outline *o, size_t text_max)
{
    *o = (struct outline){ .title_level = NO_TITLE };
    buf_init(&o->text, text_max);
    buf_init(&o->paths, (size_t)DOCUMENT_SECTIONS_MAX * DOCUMENT_HEADING_BYTES_MAX);
    buf_init(&o->sections, (size_t)DOCUMENT_SECTIONS_MAX * sizeof(struct outline_section));
    buf_init(&o->title, TITLE_BYTES_MAX);
    buf_init(&o->path, (size_t)OUTLINE_LEVELS * (DOCUMENT_HEADING_BYTES_MAX + 3));
}

void outline__release(struct outline *o)
{
    buf_release(&o->text);
    buf_release(&o->paths);
    buf_release(&o->sections);
    buf_release(&o->title);
    buf_release(&o->path);
}

static void keep_error(struct outline *o, enum shoal_err rc)
{
    o->failed = o->failed == SHOAL_OK ? rc : o->failed;
}

static struct slice cut(struct slice text, size_t max)
{
    return slice_make(text.data, utf8__cut(text, max));
}

static void set_title(struct outline *o, struct slice text, unsigned level)
{
    if (text.len > 0 && level < o->title_level) {
        o->title_level = level;
        buf_reset(&o->title);
        keep_error(o, buf_append_slice(&o->title, cut(text, TITLE_BYTES_MAX)));
    }
}

void outline__title(struct outline *o, struct slice text)
{
    set_title(o, text, 0);
}

static void close_section(struct outline *o)
{
    if (!o->is_open) {
        return;
    }
    struct slice path = cut(buf_slice(&o->path), DOCUMENT_HEADING_BYTES_MAX);
    struct outline_section made = {
        .path = o->paths.len, .path_len = path.len, .begin = o->begin, .end = o->text.len
    };
    assert(made.begin < made.end);
    o->is_open = false;
    keep_error(o, buf_append_slice(&o->paths, path));
    keep_error(o, buf_append(&o->sections, &made, sizeof(made)));
}

static void put_text(struct outline *o, struct slice text, bool tight)
{
    if (o->text.len > 0) {
        keep_error(o, buf_append_str(&o->text, tight ? "\n" : "\n\n"));
    }
    keep_error(o, buf_append_slice(&o->text, text));
}

void outline__heading(struct outline *o, unsigned level, struct slice text)
{
    assert(level >= 1 && level <= OUTLINE_LEVELS);
    if (text.len == 0 || o->failed != SHOAL_OK) {
        return;
    }
    close_section(o);
    set_title(o, text, level);
    o->path.len = o->path_len[level - 1];
    if (o->path.len > 0) {
        keep_error(o, buf_append_str(&o->path, PATH_SEPARATOR));
    }
    keep_error(o, buf_append_slice(&o->path, cut(text, DOCUMENT_HEADING_BYTES_MAX)));
    for (unsigned i = level; i <= OUTLINE_LEVELS; i++) {
        o->path_len[i] = o->path.len;
    }
    put_text(o, text, false);
    o->was_tight = false;
}

void outline__block(struct outline *o, struct slice text, bool tight)
{
    if (text.len == 0 || o->failed != SHOAL_OK) {
        return;
    }
    put_text(o, text, tight && o->was_tight);
    if (!o->is_open) {
        o->begin = o->text.len - (o->failed == SHOAL_OK ? text.len : 0);
        o->is_open = o->failed == SHOAL_OK;
    }
    o->was_tight = tight;
}

void outline__break(struct outline *o)
{
    o->was_tight = false;
}

/* --- the finished document ------------------------------------------------------------------ */

static enum shoal_err copy(struct arena *arena, const struct buf *from, struct slice *out)
{
    char *bytes = arena_strndup(arena, from->data, from->len);
    *out = slice_make(bytes, bytes == NULL ? 0 : from->len);
    return bytes == NULL ? SHOAL_ENOMEM : SHOAL_OK;
}

static enum shoal_err copy_sections(const struct outline *o, struct arena *arena,
                                    struct document *out)
{
    struct slice paths;
    const struct outline_section *from = (const void *)o->sections.data;
    out->sections_len = o->sections.len / sizeof(*from);
    out->sections = arena_array(arena, out->sections_len, sizeof(*out->sections));
    if (out->sections == NULL || copy(arena, &o->paths, &paths) != SHOAL_OK) {
        return SHOAL_ENOMEM;
    }
    for (size_t i = 0; i < out->sections_len; i++) {
        out->sections[i] = (struct section){
            .heading = slice_make(paths.data + from[i].path, from[i].path_len),
            .begin = from[i].begin,
            .end = from[i].end,
        };
    }
    return SHOAL_OK;
}

enum shoal_err outline__finish(struct outline *o, struct arena *arena, struct document *out,
                               struct errbuf *why)
{
    close_section(o);
    if (o->failed == SHOAL_ETOOBIG) {
        return err_set(why, SHOAL_ETOOBIG,
                       "the document has more than %d sections or %zu bytes of text; split it",
                       DOCUMENT_SECTIONS_MAX, o->text.max);
    }
    struct document made = { .sections = NULL };
    enum shoal_err rc = o->failed;
    if (rc == SHOAL_OK) {
        rc = copy(arena, &o->title, &made.title);
    }
    if (rc == SHOAL_OK) {
        rc = copy(arena, &o->text, &made.text);
    }
    if (rc == SHOAL_OK) {
        rc = copy_sections(o, arena, &made);
    }
    if (rc == SHOAL_OK) {
        *out = made;
    }
    return rc;
}
