/* A table is data when some row has two cells that say something and no cell holds what cannot be
 * one line (another table, preformatted text, a heading). Data becomes lines, cells between bars.
 * Anything else is layout, a frame around text (DocBook's notes and warnings are such): its cells
 * are walked as blocks, and a heading cell names the block behind it. */
#include "slm/html.h"

#include "slm/clean.h"

typedef void (*row_visit)(struct html_walk *w, const GumboNode *row, void *arg);

static bool is_cell(const GumboNode *node)
{
    return (html__is(node, GUMBO_TAG_TD) || html__is(node, GUMBO_TAG_TH)) &&
           !html__is_left_out(node);
}

static void each_row(struct html_walk *w, const GumboNode *table, row_visit visit, void *arg)
{
    for (unsigned i = 0; i < html__children(table); i++) {
        const GumboNode *child = html__child(table, i);
        if (child->type != GUMBO_NODE_ELEMENT || html__is_left_out(child)) {
            continue;
        }
        switch (child->v.element.tag) {
        case GUMBO_TAG_TR: visit(w, child, arg); break;
        case GUMBO_TAG_TBODY: /* fall through */
        case GUMBO_TAG_THEAD: /* fall through */
        case GUMBO_TAG_TFOOT: each_row(w, child, visit, arg); break;
        default: break;
        }
    }
}

/* --- data or layout ------------------------------------------------------------------------- */

struct shape {
    bool has_columns;
    bool is_complex;
};

static bool has_text(const GumboNode *node)
{
    if (node->type == GUMBO_NODE_TEXT || node->type == GUMBO_NODE_CDATA) {
        return clean__says_something(slice_from_str(node->v.text.text));
    }
    for (unsigned i = 0; i < html__children(node); i++) {
        if (has_text(html__child(node, i))) {
            return true;
        }
    }
    return false;
}

static bool has_blocks(const GumboNode *node)
{
    for (unsigned i = 0; i < html__children(node); i++) {
        const GumboNode *child = html__child(node, i);
        if (child->type != GUMBO_NODE_ELEMENT) {
            continue;
        }
        GumboTag tag = child->v.element.tag;
        if (tag == GUMBO_TAG_TABLE || tag == GUMBO_TAG_PRE ||
            (tag >= GUMBO_TAG_H1 && tag <= GUMBO_TAG_H6) || has_blocks(child)) {
            return true;
        }
    }
    return false;
}

static void look_at_row(struct html_walk *w, const GumboNode *row, void *arg)
{
    (void)w;
    struct shape *shape = arg;
    unsigned cells = 0;
    for (unsigned i = 0; i < html__children(row) && !shape->is_complex; i++) {
        const GumboNode *cell = html__child(row, i);
        if (is_cell(cell)) {
            cells += has_text(cell);
            shape->is_complex = has_blocks(cell);
        }
    }
    shape->has_columns = shape->has_columns || cells > 1;
}

/* --- rows ----------------------------------------------------------------------------------- */

static void put_data_row(struct html_walk *w, const GumboNode *row, void *arg)
{
    (void)arg;
    struct buf line;
    struct buf cell;
    bool first = true;
    size_t filled = 0;
    buf_init(&line, w->raw.max);
    buf_init(&cell, w->raw.max);
    for (unsigned i = 0; i < html__children(row); i++) {
        if (!is_cell(html__child(row, i))) {
            continue;
        }
        cell.len = 0;
        html__flat(w, html__child(row, i), &cell);
        if (!first) {
            buf_append_str(&line, line.len > 0 && line.data[line.len - 1] == ' ' ? "| " : " | ");
        }
        first = false;
        if (clean__says_something(buf_slice(&cell))) {
            buf_append_slice(&line, buf_slice(&cell));
            filled = line.len;
        }
    }
    html__keep_error(w, &cell);
    html__keep_error(w, &line);
    outline__block(w->outline, slice_make(line.data, filled), true);
    buf_release(&cell);
    buf_release(&line);
}

static void put_layout_row(struct html_walk *w, const GumboNode *row, void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < html__children(row); i++) {
        const GumboNode *cell = html__child(row, i);
        if (html__is(cell, GUMBO_TAG_TH) && is_cell(cell) && !has_blocks(cell)) {
            html__flush(w);
            if (w->label.len > 0) {
                buf_append_char(&w->label, ' ');
            }
            html__flat(w, cell, &w->label);
        } else if (is_cell(cell)) {
            html__walk(w, cell);
        }
    }
}

static void put_caption(struct html_walk *w, const GumboNode *table)
{
    for (unsigned i = 0; i < html__children(table); i++) {
        if (html__is(html__child(table, i), GUMBO_TAG_CAPTION)) {
            html__walk(w, html__child(table, i));
        }
    }
}

void html__table(struct html_walk *w, const GumboNode *table)
{
    struct shape shape = { .has_columns = false };
    html__flush(w);
    if (w->flat > 0) {
        html__walk_children(w, table);
        html__flush(w);
        return;
    }
    put_caption(w, table);
    outline__break(w->outline);
    each_row(w, table, look_at_row, &shape);
    bool is_data = shape.has_columns && !shape.is_complex;
    each_row(w, table, is_data ? put_data_row : put_layout_row, NULL);
    if (w->label.len > 0 && !is_data) { /* named nothing */
        buf_append_slice(&w->raw, buf_slice(&w->label));
        w->label.len = 0;
    }
    html__flush(w);
    outline__break(w->outline);
}
