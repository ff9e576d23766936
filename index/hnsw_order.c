/* The order of a graph's nodes: what a walk visits together lies together.
 *
 * From the top layer down, each node of a layer gathers the nodes of the layer below that a
 * breadth-first walk from all of them at once meets from it first; it is followed by them, and the
 * nodes above keep their order among each other. So the order is a tree of neighbourhoods of all
 * sizes, made of nothing but the graph. On GloVe (340k x 100, ef 112, one core) a walk over rows
 * in random order answers 4.0k queries a second, breadth-first from the entry 4.2k, this 4.4k, and
 * grouped by 5,000 centroids, for which k-means would have to run, 4.5k. */
#include "base/mem.h"
#include "index/hnsw_build.h"

#include <assert.h>
#include <string.h>

#define NONE UINT32_MAX

struct ordering {
    const struct hnsw_finished *from;
    uint32_t *ranked; /* the nodes of the layers above, in order */
    size_t ranked_len;
    uint32_t *queue; /* the nodes of this layer as the walk meets them, those above first */
    size_t queue_len;
    uint32_t *group;  /* by row: the place in `ranked` of the node it was met from, or NONE */
    uint32_t *starts; /* by group */
};

static void join(struct ordering *o, uint32_t row, uint32_t group)
{
    o->group[row] = group;
    o->queue[o->queue_len++] = row;
}

static bool stands_on(const struct ordering *o, uint32_t row, unsigned layer)
{
    return o->from->first_of[row] == row && faiss_graph_layers(o->from->graph, row) > layer;
}

/* A node that no link leads to joins the first of its own neighbours that is met. */
static uint32_t group_of_neighbours(const struct ordering *o, uint32_t row, unsigned layer)
{
    size_t cap = 0;
    const int32_t *list = faiss_graph_links(o->from->graph, row, layer, &cap);
    for (size_t i = 0; i < cap && list[i] >= 0; i++) {
        if (o->group[list[i]] != NONE) {
            return o->group[list[i]];
        }
    }
    return 0;
}

static void meet_layer(struct ordering *o, unsigned layer)
{
    memset(o->group, 0xff, o->from->rows * sizeof(*o->group)); /* all NONE */
    o->queue_len = 0;
    for (size_t i = 0; i < o->ranked_len; i++) {
        join(o, o->ranked[i], (uint32_t)i);
    }
    for (size_t at = 0; at < o->queue_len; at++) {
        size_t cap = 0;
        const int32_t *list = faiss_graph_links(o->from->graph, o->queue[at], layer, &cap);
        for (size_t i = 0; i < cap && list[i] >= 0; i++) {
            if (o->group[list[i]] == NONE) {
                join(o, (uint32_t)list[i], o->group[o->queue[at]]);
            }
        }
    }
    for (size_t row = 0; row < o->from->rows; row++) {
        if (o->group[row] == NONE && stands_on(o, (uint32_t)row, layer)) {
            join(o, (uint32_t)row, group_of_neighbours(o, (uint32_t)row, layer));
        }
    }
}

/* Sorts the queue by group, keeping its order within each, into `ranked`. */
static void rank_layer(struct ordering *o)
{
    memset(o->starts, 0, (o->ranked_len + 1) * sizeof(*o->starts));
    for (size_t i = 0; i < o->queue_len; i++) {
        o->starts[o->group[o->queue[i]] + 1]++;
    }
    for (size_t g = 0; g < o->ranked_len; g++) {
        o->starts[g + 1] += o->starts[g];
    }
    for (size_t i = 0; i < o->queue_len; i++) {
        o->ranked[o->starts[o->group[o->queue[i]]]++] = o->queue[i];
    }
    o->ranked_len = o->queue_len;
}

enum shoal_err hnsw__rank_nodes(const struct hnsw_finished *from, uint32_t *ranked,
                                struct errbuf *why)
{
    struct ordering o = {
        .from = from,
        .ranked = ranked,
        .queue = mem_array(from->rows, sizeof(*o.queue)),
        .group = mem_array(from->rows, sizeof(*o.group)),
        .starts = mem_array(from->rows + 1, sizeof(*o.starts)),
    };
    enum shoal_err rc = SHOAL_OK;
    if (o.queue == NULL || o.group == NULL || o.starts == NULL) {
        rc = err_set(why, SHOAL_ENOMEM, "out of memory for an order of %zu rows", from->rows);
    } else {
        ranked[0] = from->entry;
        o.ranked_len = 1;
        for (unsigned l = faiss_graph_layers(from->graph, from->entry); l-- > 0;) {
            meet_layer(&o, l);
            rank_layer(&o);
        }
        assert(o.ranked_len == from->nodes && ranked[0] == from->entry);
    }
    mem_free(o.queue);
    mem_free(o.group);
    mem_free(o.starts);
    return rc;
}
