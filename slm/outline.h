/* Outline: a document while it is being put together from headings and blocks.
 *
 * Errors stay in it and are returned by outline__finish(). Private to the room. Threads: one. */
#ifndef SHOAL_SLM_OUTLINE_H
#define SHOAL_SLM_OUTLINE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "slm/document.h"

#include <stdbool.h>
#include <stddef.h>

#define OUTLINE_LEVELS 6

struct outline {
    struct buf text;
    struct buf paths;    /* of all sections, one behind the other */
    struct buf sections; /* array of struct outline_section */
    struct buf title;
    struct buf path;                     /* of the present section */
    size_t path_len[OUTLINE_LEVELS + 1]; /* of path, down to this level's heading */
    unsigned title_level; /* of the heading that is the title; 0: a title was given */
    size_t begin;         /* of the present section's text */
    bool is_open;         /* the present section has text */
    bool was_tight;       /* the last block may have the next one on the next line */
    enum shoal_err failed;
};

void outline__init(struct outline *o, size_t text_max);
void outline__release(struct outline *o);

/* The title, over any heading. The first one that is not empty counts. */
void outline__title(struct outline *o, struct slice text);
/* level: 1..OUTLINE_LEVELS. Empty ones are left out. The text is clean and one line. */
void outline__heading(struct outline *o, unsigned level, struct slice text);
/* A paragraph, an item, a row, or preformatted lines; clean. Between two tight ones there is no
 * empty line. */
void outline__block(struct outline *o, struct slice text, bool tight);
/* The next block stands behind an empty line, tight or not: a list or a table begins or ends. */
void outline__break(struct outline *o);

/* Copies all to the arena. */
SHOAL_MUST_CHECK enum shoal_err outline__finish(struct outline *o, struct arena *arena,
                                                struct document *out, struct errbuf *why);

#endif
