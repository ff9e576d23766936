/* Markdown to HTML. Private to the room. */
#ifndef SHOAL_SLM_MARKDOWN_H
#define SHOAL_SLM_MARKDOWN_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* Appends the HTML of CommonMark; raw HTML within is kept. SHOAL_ENOMEM; SHOAL_ETOOBIG nested too
 * deeply, or too large to parse. */
SHOAL_MUST_CHECK enum shoal_err markdown__to_html(struct slice source, struct buf *out,
                                                  struct errbuf *why);

#endif
