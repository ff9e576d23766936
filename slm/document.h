/* Document: HTML, Markdown or plain text to sections of plain text under their headings.
 *
 * Kept: headings, paragraphs, lists, tables (a row a line, cells between " | "), preformatted text.
 * Left out of HTML: script, style, navigation, forms, what is hidden. White space is cleaned: one
 * blank between words, one line a block, except in preformatted text, whose lines stand. Bytes that
 * are no UTF-8 become U+FFFD, control characters blanks. Plain text has one section; its paragraphs
 * end at blank lines, and nothing is guessed to be a heading.
 *
 * Where a page says which part is its own content (<main>), the rest is left out. A table without
 * columns is taken for layout, and its cells for blocks.
 *
 * Input is untrusted: its size, nesting and number of sections are bounded, and so are the memory
 * and the CPU time of the parsers; what lies deeper or beyond is an error, never a crash or
 * silence.
 *
 * Pure. Threads: any. */
#ifndef SHOAL_SLM_DOCUMENT_H
#define SHOAL_SLM_DOCUMENT_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

#include <stddef.h>

#define DOCUMENT_BYTES_MAX (64u << 20)
#define DOCUMENT_DEPTH_MAX 400 /* of nested elements */
#define DOCUMENT_SECTIONS_MAX 100000
#define DOCUMENT_HEADING_BYTES_MAX 512 /* of a heading path; a longer one is cut at a character */

enum document_format { DOCUMENT_TEXT, DOCUMENT_MARKDOWN, DOCUMENT_HTML };

struct section {
    struct slice heading; /* path from the top, "Storage > Log > Sync"; empty above the first one */
    size_t begin;         /* of its text in document.text, heading line not included */
    size_t end;
};

struct document {
    struct slice title; /* <title>, else the first heading of the top level; may be empty */
    struct slice text; /* the whole, UTF-8: heading lines and sections in order, blank lines between
                          blocks */
    struct section *sections; /* in order, not overlapping; only those with text */
    size_t sections_len;
};

/* "md", "markdown" and "text/markdown"; "htm", "html", "xhtml" and "text/html"; "txt", "text" and
 * "text/plain"; parameters after ';' are ignored. SHOAL_EUNSUPPORTED for another word. */
SHOAL_MUST_CHECK enum shoal_err document_format_parse(struct slice word, enum document_format *out,
                                                      struct errbuf *why);

/* All of *out lies in the arena. SHOAL_ETOOBIG over a bound; SHOAL_ENOMEM (the arena's ceiling
 * counts). A document without text gives no section and is no error. */
SHOAL_MUST_CHECK enum shoal_err document_parse(struct slice source, enum document_format format,
                                               struct arena *arena, struct document *out,
                                               struct errbuf *why);

#endif
