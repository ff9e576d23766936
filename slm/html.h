/* HTML: a tree of elements to headings and blocks. Private to the room.
 *
 *   html.c        parses, bounds the tree, finds where the content is
 *   html_walk.c   goes through the content and puts blocks together
 *   html_table.c  tables: rows of cells, or a page's layout
 *   html_skip.c   what is left out */
#ifndef SHOAL_SLM_HTML_H
#define SHOAL_SLM_HTML_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "slm/outline.h"

#include <gumbo.h>
#include <stdbool.h>
#include <stddef.h>

/* Puts what the source says into the outline. from_markdown: paragraphs whose second line is
 * "---|---" are tables. SHOAL_ENOMEM; SHOAL_ETOOBIG nested too deeply, or too large to parse. */
SHOAL_MUST_CHECK enum shoal_err html__put(struct slice source, bool from_markdown,
                                          struct outline *o, struct errbuf *why);

/* --- within these files --------------------------------------------------------------------- */

struct html_walk {
    struct outline *outline;
    /* Emptied by setting len, so that a failure stays known. */
    struct buf raw;   /* text of the block under way, not yet clean */
    struct buf label; /* "Tip", "term": stands before the next block */
    struct buf line;  /* scratch: a clean block */
    size_t items;     /* lists the block lies in */
    char marker[16];  /* of the item whose first block is to come; empty: none */
    unsigned breaks;  /* <br> since the last text */
    unsigned flat;    /* > 0: blocks are words of one line (heading, cell) */
    unsigned pre;     /* > 0: white space stands */
    bool from_markdown;
    enum shoal_err failed; /* of buffers that are gone */
};

static inline void html__keep_error(struct html_walk *w, const struct buf *b)
{
    w->failed = w->failed != SHOAL_OK ? w->failed : b->failed;
}

/* Recursive: the tree's depth was bounded before. */
void html__walk(struct html_walk *w, const GumboNode *node);
void html__walk_children(struct html_walk *w, const GumboNode *node);
/* Ends the block under way and hands it to the outline. */
void html__flush(struct html_walk *w);
/* Appends the children's text to *out as one clean line. Only between blocks. */
void html__flat(struct html_walk *w, const GumboNode *node, struct buf *out);

void html__table(struct html_walk *w, const GumboNode *table);

/* True for navigation, controls, and what a reader does not see. */
bool html__is_left_out(const GumboNode *element);
/* Is it the element that holds the page's own content? */
bool html__is_main(const GumboNode *element);

static inline bool html__is(const GumboNode *node, GumboTag tag)
{
    return node->type == GUMBO_NODE_ELEMENT && node->v.element.tag == tag;
}

static inline const GumboNode *html__child(const GumboNode *node, unsigned i)
{
    return node->v.element.children.data[i];
}

static inline unsigned html__children(const GumboNode *node)
{
    return node->type == GUMBO_NODE_ELEMENT ? node->v.element.children.length : 0;
}

#endif
