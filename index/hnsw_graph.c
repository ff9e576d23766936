#include "index/hnsw_graph.h"

#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>

static size_t bit_words(const struct hnsw_graph *g)
{
    return ((size_t)g->layers[0].nodes + 31) / 32;
}

bool hnsw_graph_bytes_len(const struct hnsw_graph *g, size_t *out)
{
    size_t words = FORMAT_HEADER_LEN / sizeof(uint32_t);
    for (uint32_t l = 0; l < g->layers_len; l++) {
        if (!size_add(words, (size_t)g->layers[l].nodes + 1, &words) ||
            !size_add(words, g->layers[l].links, &words)) {
            return false;
        }
    }
    if (g->crowds > 0 && (!size_add(words, bit_words(g), &words) ||
                          !size_add(words, 2 * (size_t)g->crowds + 1, &words))) {
        return false;
    }
    return size_mul(words, sizeof(uint32_t), out);
}

void hnsw_graph_lay_out(struct hnsw_graph *g, const char *bytes)
{
    const uint32_t *at = (const void *)(bytes + FORMAT_HEADER_LEN);
    for (uint32_t l = 0; l < g->layers_len; l++) {
        struct hnsw_layer *layer = &g->layers[l];
        layer->begins = at;
        at += (size_t)layer->nodes + 1;
        layer->lists = at;
        at += layer->links;
    }
    if (g->crowds > 0) {
        g->crowd_bits = at;
        g->crowd_nodes = at + bit_words(g);
        g->crowd_begins = g->crowd_nodes + g->crowds;
    }
}

void hnsw_graph_copies(const struct hnsw_graph *g, uint32_t node, uint32_t *begin, uint32_t *end)
{
    *begin = 0;
    *end = 0;
    uint32_t low = 0;
    uint32_t high = g->crowds;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (g->crowd_nodes[middle] < node) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    /* Bytes that were never validated may name any rows: those that cannot be right are none. */
    if (low < g->crowds && g->crowd_nodes[low] == node &&
        g->crowd_begins[low] <= g->crowd_begins[low + 1] && g->crowd_begins[low + 1] <= g->rows) {
        *begin = g->crowd_begins[low];
        *end = g->crowd_begins[low + 1];
    }
}

/* The shape that the header claims, before anything is read through it. */
static enum shoal_err check_shape(const struct hnsw_graph *g, size_t rows, size_t bytes_len,
                                  struct errbuf *why)
{
    if (g->list_max > HNSW_LIST_MAX) {
        return err_set(why, SHOAL_ECORRUPT, "the longest list has %" PRIu32 " links, over %d",
                       g->list_max, HNSW_LIST_MAX);
    }
    size_t nodes = rows;
    for (uint32_t l = 0; l < g->layers_len; l++) {
        uint32_t found = g->layers[l].nodes;
        if (found == 0 || found > nodes) {
            return err_set(why, SHOAL_ECORRUPT,
                           "layer %" PRIu32 " has %" PRIu32 " nodes over a base of %zu", l, found,
                           nodes);
        }
        nodes = found;
    }
    uint32_t copies = g->rows - g->layers[0].nodes;
    if (g->crowds > copies || (g->crowds == 0 && copies > 0)) {
        return err_set(why, SHOAL_ECORRUPT, "%" PRIu32 " copies of %" PRIu32 " nodes", copies,
                       g->crowds);
    }
    size_t expected = 0;
    if (!hnsw_graph_bytes_len(g, &expected) || expected != bytes_len) {
        return err_set(why, SHOAL_ECORRUPT, "graph of %zu bytes where its layers need %zu",
                       bytes_len, expected);
    }
    return SHOAL_OK;
}

enum shoal_err hnsw_graph_open(struct hnsw_graph *g, const struct index_config *config, size_t rows,
                               struct slice bytes, struct errbuf *why)
{
    *g = (struct hnsw_graph){ 0 };
    const struct format_header *h = NULL;
    enum shoal_err rc = format_header_open(bytes, config, rows, HNSW_PARAMS_LEN, &h, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    uint32_t layers_len = h->params[HNSW_PARAM_LAYERS];
    if (layers_len == 0 || layers_len > HNSW_LAYERS_MAX) {
        return err_set(why, SHOAL_ECORRUPT, "graph of %" PRIu32 " layers, not in 1..%d", layers_len,
                       HNSW_LAYERS_MAX);
    }
    g->rows = h->rows;
    g->layers_len = layers_len;
    g->list_max = h->params[HNSW_PARAM_LIST_MAX];
    g->crowds = h->params[HNSW_PARAM_CROWDS];
    for (uint32_t l = 0; l < layers_len; l++) {
        g->layers[l].nodes = h->params[HNSW_PARAM_NODES + 2 * l];
        g->layers[l].links = h->params[HNSW_PARAM_NODES + 2 * l + 1];
    }
    rc = check_shape(g, rows, bytes.len, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    hnsw_graph_lay_out(g, bytes.data);
    return SHOAL_OK;
}

static enum shoal_err validate_list(const struct hnsw_graph *g, uint32_t l, uint32_t node,
                                    struct errbuf *why)
{
    const struct hnsw_layer *layer = &g->layers[l];
    uint32_t begin = layer->begins[node];
    uint32_t end = layer->begins[node + 1];
    if (begin > end || end > layer->links || end - begin > g->list_max) {
        return err_set(why, SHOAL_ECORRUPT,
                       "layer %" PRIu32 ": the list of row %" PRIu32 " spans %" PRIu32 "..%" PRIu32
                       " of %" PRIu32 " links",
                       l, node, begin, end, layer->links);
    }
    for (uint32_t at = begin; at < end; at++) {
        if (layer->lists[at] >= layer->nodes || layer->lists[at] == node) {
            return err_set(why, SHOAL_ECORRUPT,
                           "layer %" PRIu32 ": row %" PRIu32 " links to row %" PRIu32
                           " among %" PRIu32,
                           l, node, layer->lists[at], layer->nodes);
        }
    }
    return SHOAL_OK;
}

static enum shoal_err validate_crowds(const struct hnsw_graph *g, struct errbuf *why)
{
    uint32_t nodes = g->layers[0].nodes;
    uint64_t bits = 0;
    for (size_t w = 0; w < bit_words(g); w++) {
        bits += (unsigned)__builtin_popcount(g->crowd_bits[w]);
    }
    bool good = bits == g->crowds && g->crowd_begins[0] == nodes &&
                g->crowd_begins[g->crowds] == g->rows;
    for (uint32_t c = 0; c < g->crowds && good; c++) {
        uint32_t node = g->crowd_nodes[c];
        good = node < nodes && (c == 0 || node > g->crowd_nodes[c - 1]) &&
               hnsw_graph_has_copies(g, node) && g->crowd_begins[c] < g->crowd_begins[c + 1];
    }
    return good ? SHOAL_OK
                : err_set(why, SHOAL_ECORRUPT, "the copies of equal rows are not in order");
}

enum shoal_err hnsw_graph_validate(const struct hnsw_graph *g, struct errbuf *why)
{
    if (g->crowds > 0) {
        enum shoal_err rc = validate_crowds(g, why);
        if (rc != SHOAL_OK) {
            return rc;
        }
    }
    for (uint32_t l = 0; l < g->layers_len; l++) {
        const struct hnsw_layer *layer = &g->layers[l];
        if (layer->begins[0] != 0 || layer->begins[layer->nodes] != layer->links) {
            return err_set(why, SHOAL_ECORRUPT,
                           "layer %" PRIu32 ": lists cover %" PRIu32 "..%" PRIu32 " of %" PRIu32
                           " links",
                           l, layer->begins[0], layer->begins[layer->nodes], layer->links);
        }
        for (uint32_t node = 0; node < layer->nodes; node++) {
            enum shoal_err rc = validate_list(g, l, node, why);
            if (rc != SHOAL_OK) {
                return rc;
            }
        }
    }
    return SHOAL_OK;
}
