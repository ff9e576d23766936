/* HNSW graph: the layered graph as it lies in the derived bytes, and how it is opened and checked.
 *
 * Of rows that are equal, or differ by no more than rounding, one is a node of the graph and the
 * others are its copies. (Equal rows all lie at one distance from everything. In the graph they
 * would fill each other's lists and become an island without a way out, and a search would spend
 * its ef on them.) The nodes are stored first, and the copies after them, those of one node side
 * by side.
 *
 * Among the nodes, one of more layers comes before one of fewer. Layer l is then the rows
 * 0..nodes-1 for its own number of nodes, a row's number is its place on every layer, and the
 * entry of every search is row 0: no table of levels and no lookup is needed.
 *
 * Parameters (format.h): m, ef_construction, layers, the longest list, the crowds (nodes that have
 * copies), then for each layer its nodes and its links. Sections, for each layer from 0 on:
 *
 *     u32[nodes + 1]   where the list of each node begins, counted in links; the last is `links`
 *     u32[links]       the lists: rows of the same layer
 *
 * and then, unless there are no crowds:
 *
 *     u32[nodes of layer 0 / 32, rounded up]   one bit a node: whether it has copies
 *     u32[crowds]      the nodes that have copies, ascending
 *     u32[crowds + 1]  the first copy of each; the last is the number of rows
 *
 * Lists are as long as they are and not padded: on GloVe a list has 33 of 64 places filled.
 *
 * Threads: immutable once opened. Private to index/. */
#ifndef SHOAL_INDEX_HNSW_GRAPH_H
#define SHOAL_INDEX_HNSW_GRAPH_H

#include "index/format.h"

#define HNSW_M_MIN 4
#define HNSW_M_MAX 128
#define HNSW_EF_CONSTRUCTION_MIN 4
#define HNSW_EF_CONSTRUCTION_MAX 4096
/* FAISS draws levels of a probability of at least 1e-9: 15 layers at m = 4, fewer above. */
#define HNSW_LAYERS_MAX 16
/* Twice HNSW_M_MAX, and as much again for links that make a row reachable. */
#define HNSW_LIST_MAX 512

enum hnsw_param {
    HNSW_PARAM_M,
    HNSW_PARAM_EF_CONSTRUCTION,
    HNSW_PARAM_LAYERS,
    HNSW_PARAM_LIST_MAX,
    HNSW_PARAM_CROWDS,
    HNSW_PARAM_NODES, /* of layer l at HNSW_PARAM_NODES + 2 * l, its links at the next */
    HNSW_PARAMS_LEN = HNSW_PARAM_NODES + 2 * HNSW_LAYERS_MAX
};

struct hnsw_layer {
    uint32_t nodes;
    uint32_t links;
    const uint32_t *begins; /* nodes + 1, borrowed from the bytes */
    const uint32_t *lists;  /* links, borrowed from the bytes */
};

struct hnsw_graph {
    uint32_t rows;
    uint32_t layers_len;
    uint32_t list_max;
    uint32_t crowds;
    struct hnsw_layer layers[HNSW_LAYERS_MAX];
    const uint32_t *crowd_bits; /* the three sections of the crowds, borrowed from the bytes */
    const uint32_t *crowd_nodes;
    const uint32_t *crowd_begins;
};

/* The list of a node: its links and how many. A list that cannot be right (the bytes were never
 * validated and are corrupt) is empty, so that nothing outside the bytes is ever read. */
static inline const uint32_t *hnsw_graph_list(const struct hnsw_graph *g,
                                              const struct hnsw_layer *layer, uint32_t node,
                                              size_t *len_out)
{
    uint32_t begin = layer->begins[node];
    uint32_t end = layer->begins[node + 1];
    if (begin > end || end > layer->links || end - begin > g->list_max) {
        *len_out = 0;
        return layer->lists;
    }
    *len_out = end - begin;
    return layer->lists + begin;
}

static inline bool hnsw_graph_has_copies(const struct hnsw_graph *g, uint32_t node)
{
    return g->crowds > 0 && (g->crowd_bits[node / 32] >> (node % 32) & 1) != 0;
}

/* The rows begin..end-1 are the copies of the node; empty when it has none. */
void hnsw_graph_copies(const struct hnsw_graph *g, uint32_t node, uint32_t *begin, uint32_t *end);

/* Bytes of a graph with these counts; false when they do not fit a size_t. */
bool hnsw_graph_bytes_len(const struct hnsw_graph *g, size_t *out);

/* Points the sections into `bytes`, whose size was computed by hnsw_graph_bytes_len. */
void hnsw_graph_lay_out(struct hnsw_graph *g, const char *bytes);

/* Reads the header only. SHOAL_ECORRUPT, SHOAL_EINVAL. */
enum shoal_err hnsw_graph_open(struct hnsw_graph *g, const struct index_config *config, size_t rows,
                               struct slice bytes, struct errbuf *why);

/* Reads everything: lists lie in order and within bounds, links stay on their layer and do not
 * lead back to their own row. SHOAL_ECORRUPT. */
enum shoal_err hnsw_graph_validate(const struct hnsw_graph *g, struct errbuf *why);

#endif
