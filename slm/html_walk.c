/* Text gathers in `raw` until a block element begins or ends; then it is cleaned and becomes a
 * block of the outline. Within a list the first block of an item carries the item's marker, the
 * others are indented under it. A label (a term of a definition list, the name of a note) waits for
 * the block it stands before. In flat mode no block ends: what would be one is a word's end. */
#include "slm/html.h"

#include "slm/clean.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INDENT 2
#define LIST_START_MAX 1000000
#define INDENTED_LISTS_MAX 8 /* deeper ones are not indented further */

/* --- blocks --------------------------------------------------------------------------------- */

static void put_indent(struct html_walk *w, struct buf *out)
{
    size_t lists = w->items < INDENTED_LISTS_MAX ? w->items : INDENTED_LISTS_MAX;
    bool has_marker = w->marker[0] != '\0';
    for (size_t i = has_marker ? 1 : 0; i < lists; i++) {
        buf_append(out, "  ", INDENT);
    }
    if (has_marker) {
        buf_append_str(out, w->marker);
    }
    w->marker[0] = '\0';
}

static void put_label(struct html_walk *w, struct buf *out)
{
    if (w->label.len > 0) {
        buf_append_slice(out, buf_slice(&w->label));
        buf_append_str(out, w->label.data[w->label.len - 1] == ':' ? " " : ": ");
        w->label.len = 0;
    }
}

/* Is it "---|:--:|", the line under the heading of a Markdown table? */
static bool is_table_rule(struct slice line)
{
    bool bar = false;
    bool dash = false;
    for (size_t i = 0; i < line.len; i++) {
        bar = bar || line.data[i] == '|';
        dash = dash || line.data[i] == '-';
        if (strchr("|-: \t\r", line.data[i]) == NULL || line.data[i] == '\0') {
            return false;
        }
    }
    return bar && dash;
}

static struct slice next_line(struct slice text, size_t *at)
{
    const char *newline = memchr(text.data + *at, '\n', text.len - *at);
    size_t end = newline == NULL ? text.len : (size_t)(newline - text.data);
    struct slice line = slice_make(text.data + *at, end - *at);
    *at = end < text.len ? end + 1 : end;
    return line;
}

static void put_markdown_row(struct html_walk *w, struct slice row)
{
    w->line.len = 0;
    clean__line(row, &w->line);
    struct slice clean = buf_slice(&w->line);
    if (clean.len > 0 && clean.data[0] == '|') {
        clean = slice_make(clean.data + 1, clean.len - 1);
    }
    if (clean.len > 0 && clean.data[clean.len - 1] == '|') {
        clean.len--;
    }
    while (clean.len > 0 && clean.data[0] == ' ') {
        clean = slice_make(clean.data + 1, clean.len - 1);
    }
    while (clean.len > 0 && clean.data[clean.len - 1] == ' ') {
        clean.len--;
    }
    outline__block(w->outline, clean, true);
}

/* A paragraph of Markdown that is a table. False when it is none. */
static bool flush_markdown_table(struct html_walk *w)
{
    struct slice text = buf_slice(&w->raw);
    size_t at = 0;
    if (!w->from_markdown || memchr(text.data, '\n', text.len) == NULL) {
        return false;
    }
    struct slice heading = next_line(text, &at);
    if (!is_table_rule(next_line(text, &at))) {
        return false;
    }
    outline__break(w->outline);
    put_markdown_row(w, heading);
    while (at < text.len) {
        put_markdown_row(w, next_line(text, &at));
    }
    outline__break(w->outline);
    return true;
}

static void flush_line(struct html_walk *w)
{
    w->line.len = 0;
    clean__line(buf_slice(&w->raw), &w->line);
    if (!clean__says_something(buf_slice(&w->line))) {
        return;
    }
    bool tight = w->marker[0] != '\0';
    struct buf block;
    buf_init(&block, w->raw.max);
    put_indent(w, &block);
    put_label(w, &block);
    buf_append_slice(&block, buf_slice(&w->line));
    html__keep_error(w, &block);
    outline__block(w->outline, buf_slice(&block), tight);
    buf_release(&block);
}

static void flush_lines(struct html_walk *w)
{
    w->line.len = 0;
    clean__lines(buf_slice(&w->raw), &w->line);
    outline__block(w->outline, buf_slice(&w->line), false);
}

void html__flush(struct html_walk *w)
{
    w->breaks = 0;
    if (w->flat > 0) {
        buf_append_char(&w->raw, ' ');
        return;
    }
    if (w->raw.len > 0) {
        if (w->pre > 0) {
            flush_lines(w);
        } else if (!flush_markdown_table(w)) {
            flush_line(w);
        }
    }
    w->raw.len = 0;
}

void html__flat(struct html_walk *w, const GumboNode *node, struct buf *out)
{
    size_t begin = w->raw.len;
    w->flat++;
    html__walk_children(w, node);
    w->flat--;
    clean__line(slice_make(w->raw.data + begin, w->raw.len - begin), out);
    w->raw.len = begin;
}

/* --- elements ------------------------------------------------------------------------------- */

static void walk_block(struct html_walk *w, const GumboNode *node)
{
    html__flush(w);
    html__walk_children(w, node);
    html__flush(w);
}

static void walk_heading(struct html_walk *w, const GumboNode *node, unsigned level)
{
    static const char pilcrow[] = "\xC2\xB6"; /* of a link to the heading itself */
    struct buf text;
    html__flush(w);
    if (w->flat > 0) {
        html__walk_children(w, node);
        html__flush(w);
        return;
    }
    buf_init(&text, w->raw.max);
    html__flat(w, node, &text);
    while (text.len >= 2 && memcmp(text.data + text.len - 2, pilcrow, 2) == 0) {
        text.len -= 2;
        text.len -= text.len > 0 && text.data[text.len - 1] == ' ';
    }
    html__keep_error(w, &text);
    outline__heading(w->outline, level, buf_slice(&text));
    buf_release(&text);
}

static void walk_pre(struct html_walk *w, const GumboNode *node)
{
    html__flush(w);
    w->pre++;
    html__walk_children(w, node);
    html__flush(w);
    w->pre--;
}

static int list_start(const GumboNode *list)
{
    const GumboAttribute *start = gumbo_get_attribute(&list->v.element.attributes, "start");
    long number = start == NULL ? 1 : strtol(start->value, NULL, 10);
    return number >= 0 && number <= LIST_START_MAX ? (int)number : 1;
}

static void walk_list(struct html_walk *w, const GumboNode *list)
{
    bool ordered = list->v.element.tag == GUMBO_TAG_OL;
    int number = ordered ? list_start(list) : 0;
    w->items++;
    for (unsigned i = 0; i < html__children(list); i++) {
        const GumboNode *child = html__child(list, i);
        bool item = html__is(child, GUMBO_TAG_LI) && !html__is_left_out(child);
        if (item && ordered) {
            snprintf(w->marker, sizeof(w->marker), "%d. ", number++);
        } else if (item) {
            snprintf(w->marker, sizeof(w->marker), "- ");
        }
        html__walk(w, child);
        html__flush(w);
    }
    w->marker[0] = '\0';
    w->items--;
}

static void walk_term(struct html_walk *w, const GumboNode *node)
{
    html__flush(w);
    if (w->label.len > 0) {
        buf_append_str(&w->label, ", ");
    }
    html__flat(w, node, &w->label);
}

static void walk_definitions(struct html_walk *w, const GumboNode *list)
{
    w->label.len = 0;
    w->items++;
    for (unsigned i = 0; i < html__children(list); i++) {
        const GumboNode *child = html__child(list, i);
        if (w->flat == 0 && html__is(child, GUMBO_TAG_DT) && !html__is_left_out(child)) {
            walk_term(w, child);
            snprintf(w->marker, sizeof(w->marker), "- ");
        } else {
            html__walk(w, child);
            html__flush(w);
        }
    }
    if (w->label.len > 0 && w->flat == 0) { /* a term without a definition */
        buf_append_slice(&w->raw, buf_slice(&w->label));
        w->label.len = 0;
        html__flush(w);
    }
    w->marker[0] = '\0';
    w->items--;
}

/* Lists within lists stay together. */
static void walk_outer_list(struct html_walk *w, const GumboNode *list)
{
    bool is_outer = w->items == 0 && w->flat == 0;
    html__flush(w);
    if (is_outer) {
        outline__break(w->outline);
    }
    if (list->v.element.tag == GUMBO_TAG_DL) {
        walk_definitions(w, list);
    } else {
        walk_list(w, list);
    }
    if (is_outer) {
        outline__break(w->outline);
    }
}

/* Two breaks in a row are how some pages part paragraphs. */
static void walk_break(struct html_walk *w)
{
    if (w->pre == 0 && w->flat == 0 && ++w->breaks > 1) {
        html__flush(w);
        return;
    }
    buf_append_char(&w->raw, w->pre > 0 ? '\n' : ' ');
}

static bool is_block(GumboTag tag)
{
    static const GumboTag blocks[] = {
        GUMBO_TAG_P,       GUMBO_TAG_DIV,     GUMBO_TAG_LI,         GUMBO_TAG_DD,
        GUMBO_TAG_DT,      GUMBO_TAG_SECTION, GUMBO_TAG_ARTICLE,    GUMBO_TAG_BLOCKQUOTE,
        GUMBO_TAG_ASIDE,   GUMBO_TAG_MAIN,    GUMBO_TAG_HEADER,     GUMBO_TAG_HGROUP,
        GUMBO_TAG_FIGURE,  GUMBO_TAG_ADDRESS, GUMBO_TAG_FIGCAPTION, GUMBO_TAG_DETAILS,
        GUMBO_TAG_SUMMARY, GUMBO_TAG_CENTER,  GUMBO_TAG_HR,         GUMBO_TAG_FORM,
        GUMBO_TAG_TR,      GUMBO_TAG_TD,      GUMBO_TAG_TH,         GUMBO_TAG_CAPTION,
        GUMBO_TAG_BODY,    GUMBO_TAG_HTML,    GUMBO_TAG_FIELDSET,   GUMBO_TAG_LEGEND,
    };
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        if (blocks[i] == tag) {
            return true;
        }
    }
    return false;
}

static void walk_element(struct html_walk *w, const GumboNode *node)
{
    GumboTag tag = node->v.element.tag;
    switch (tag) {
    case GUMBO_TAG_H1: /* fall through */
    case GUMBO_TAG_H2: /* fall through */
    case GUMBO_TAG_H3: /* fall through */
    case GUMBO_TAG_H4: /* fall through */
    case GUMBO_TAG_H5: /* fall through */
    case GUMBO_TAG_H6: walk_heading(w, node, (unsigned)(tag - GUMBO_TAG_H1) + 1); break;
    case GUMBO_TAG_PRE:     /* fall through */
    case GUMBO_TAG_LISTING: /* fall through */
    case GUMBO_TAG_XMP: walk_pre(w, node); break;
    case GUMBO_TAG_UL: /* fall through */
    case GUMBO_TAG_OL: /* fall through */
    case GUMBO_TAG_DL: walk_outer_list(w, node); break;
    case GUMBO_TAG_TABLE: html__table(w, node); break;
    case GUMBO_TAG_BR: walk_break(w); break;
    default:
        if (is_block(tag)) {
            walk_block(w, node);
        } else {
            html__walk_children(w, node);
        }
    }
}

void html__walk(struct html_walk *w, const GumboNode *node)
{
    switch (node->type) {
    case GUMBO_NODE_TEXT: /* fall through */
    case GUMBO_NODE_CDATA:
        w->breaks = 0;
        buf_append_str(&w->raw, node->v.text.text);
        break;
    case GUMBO_NODE_WHITESPACE: buf_append_str(&w->raw, node->v.text.text); break;
    case GUMBO_NODE_ELEMENT:
        if (!html__is_left_out(node)) {
            walk_element(w, node);
        }
        break;
    default: break; /* comments, templates */
    }
}

void html__walk_children(struct html_walk *w, const GumboNode *node)
{
    for (unsigned i = 0; i < html__children(node); i++) {
        html__walk(w, html__child(node, i));
    }
}
