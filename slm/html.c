#include "slm/html.h"

#include "slm/parse_heap.h"

/* Text cannot grow by more than this: an invalid byte becomes three, and there are markers. */
#define RAW_BYTES_MAX (4 * (size_t)DOCUMENT_BYTES_MAX)

struct job {
    struct parse_heap *heap;
    struct slice source;
    GumboOutput *output;
};

static void *take_memory(void *heap, size_t size)
{
    return parse_heap__alloc(heap, size);
}

static void give_memory(void *heap, void *block)
{
    parse_heap__free(heap, block);
}

static void parse(void *arg)
{
    struct job *job = arg;
    GumboOptions options = kGumboDefaultOptions;
    options.allocator = take_memory;
    options.deallocator = give_memory;
    options.userdata = job->heap;
    options.max_errors = 0;
    job->output = gumbo_parse_with_options(&options, job->source.data, job->source.len);
}

/* What one look through the tree finds. */
struct found {
    const GumboNode *title;
    const GumboNode *main; /* the only one; NULL when there are none or several */
    unsigned mains;
};

static void look_at(const GumboNode *node, struct found *found)
{
    if (html__is(node, GUMBO_TAG_TITLE) && found->title == NULL &&
        node->v.element.tag_namespace == GUMBO_NAMESPACE_HTML) {
        found->title = node;
    }
    if (html__is_main(node) && !html__is_left_out(node)) {
        found->mains++;
        found->main = node;
    }
}

/* Goes through the tree without recursion. False when it is too deep; all that comes later may then
 * recurse. */
static bool look_through(const GumboNode *root, struct found *found)
{
    struct {
        const GumboNode *node;
        unsigned next;
    } path[DOCUMENT_DEPTH_MAX];
    size_t depth = 0;
    path[depth].node = root;
    path[depth++].next = 0;
    look_at(root, found);
    while (depth > 0) {
        const GumboNode *node = path[depth - 1].node;
        if (path[depth - 1].next == html__children(node)) {
            depth--;
            continue;
        }
        const GumboNode *child = html__child(node, path[depth - 1].next++);
        if (child->type != GUMBO_NODE_ELEMENT) {
            continue;
        }
        if (depth == DOCUMENT_DEPTH_MAX) {
            return false;
        }
        look_at(child, found);
        path[depth].node = child;
        path[depth].next = 0;
        depth++;
    }
    return true;
}

static enum shoal_err walk(const GumboNode *root, const struct found *found, bool from_markdown,
                           struct outline *o)
{
    struct html_walk w = { .outline = o, .from_markdown = from_markdown };
    buf_init(&w.raw, RAW_BYTES_MAX);
    buf_init(&w.label, RAW_BYTES_MAX);
    buf_init(&w.line, RAW_BYTES_MAX);
    if (found->title != NULL) {
        html__flat(&w, found->title, &w.line);
        outline__title(o, buf_slice(&w.line));
    }
    html__walk(&w, found->mains == 1 ? found->main : root);
    html__flush(&w);
    html__keep_error(&w, &w.raw);
    html__keep_error(&w, &w.label);
    html__keep_error(&w, &w.line);
    buf_release(&w.raw);
    buf_release(&w.label);
    buf_release(&w.line);
    return w.failed;
}

enum shoal_err html__put(struct slice source, bool from_markdown, struct outline *o,
                         struct errbuf *why)
{
    struct parse_heap heap;
    struct found found = { .title = NULL };
    struct job job = { .heap = &heap, .source = source };
    parse_heap__init(&heap, source.len);
    enum shoal_err rc = parse_heap__run(&heap, parse, &job);
    if (rc == SHOAL_ETOOBIG) {
        err_set(why, rc, "the HTML takes too much memory or time to parse; split it");
    } else if (rc == SHOAL_OK && !look_through(job.output->root, &found)) {
        rc = err_set(why, SHOAL_ETOOBIG, "elements are nested more than %d deep",
                     DOCUMENT_DEPTH_MAX);
    } else if (rc == SHOAL_OK) {
        rc = walk(job.output->root, &found, from_markdown, o);
    }
    parse_heap__release(&heap);
    return rc;
}
