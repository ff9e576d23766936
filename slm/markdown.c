/* Markdown goes through HTML, because a Markdown file may hold HTML anywhere. libcmark's memory
 * calls have no argument, so the heap of the parse under way is a variable of the thread. */
#include "slm/markdown.h"

#include "slm/document.h"
#include "slm/parse_heap.h"

#include <assert.h>
#include <cmark.h>
#include <string.h>

#define OPTIONS (CMARK_OPT_UNSAFE | CMARK_OPT_VALIDATE_UTF8)

static _Thread_local struct parse_heap *current;

static void *mem_zeroed(size_t n, size_t size)
{
    size_t total = 0;
    bool overflow = __builtin_mul_overflow(n, size, &total);
    return parse_heap__alloc(current, overflow ? SIZE_MAX : total);
}

static void *mem_resized(void *block, size_t size)
{
    return parse_heap__realloc(current, block, size);
}

static void mem_given(void *block)
{
    parse_heap__free(current, block);
}

static cmark_mem memory = { mem_zeroed, mem_resized, mem_given };

struct job {
    struct slice source;
    const char *html;
    bool is_deep;
};

static bool is_deep(cmark_node *root)
{
    cmark_iter *iter = cmark_iter_new(root);
    size_t depth = 0;
    bool deep = false;
    for (cmark_event_type e = cmark_iter_next(iter); e != CMARK_EVENT_DONE && !deep;
         e = cmark_iter_next(iter)) {
        cmark_node *node = cmark_iter_get_node(iter);
        bool is_leaf = cmark_node_first_child(node) == NULL;
        depth += e == CMARK_EVENT_ENTER && !is_leaf;
        depth -= e == CMARK_EVENT_EXIT && !is_leaf;
        deep = depth > DOCUMENT_DEPTH_MAX;
    }
    return deep;
}

static void convert(void *arg)
{
    struct job *job = arg;
    cmark_parser *parser = cmark_parser_new_with_mem(OPTIONS, &memory);
    cmark_parser_feed(parser, job->source.data, job->source.len);
    cmark_node *root = cmark_parser_finish(parser);
    job->is_deep = is_deep(root);
    if (!job->is_deep) {
        job->html = cmark_render_html(root, OPTIONS);
    }
}

enum shoal_err markdown__to_html(struct slice source, struct buf *out, struct errbuf *why)
{
    struct parse_heap heap;
    struct job job = { .source = source };
    assert(current == NULL);
    parse_heap__init(&heap, source.len);
    current = &heap;
    enum shoal_err rc = parse_heap__run(&heap, convert, &job);
    current = NULL;
    if (rc == SHOAL_ETOOBIG) {
        err_set(why, rc, "the Markdown takes too much memory or time to parse; split it");
    } else if (rc == SHOAL_OK && job.is_deep) {
        rc = err_set(why, SHOAL_ETOOBIG, "blocks are nested more than %d deep", DOCUMENT_DEPTH_MAX);
    } else if (rc == SHOAL_OK) {
        rc = buf_append_str(out, job.html);
    }
    parse_heap__release(&heap);
    return rc;
}
