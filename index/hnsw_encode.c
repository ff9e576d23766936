/* The last step of an HNSW build: make every row reachable, choose the order, write the bytes.
 *
 * Pruning can take from a row the last link that leads to it. Such a row would never be found,
 * not even by its own vector, so it gets one more link, from the nearest row that a search from
 * the entry does reach. Lists have their own lengths in the bytes, so a list may grow past the
 * size it was pruned to.
 *
 * The nodes lie in the order that hnsw_order.c gives them, within classes of equal layers, as
 * hnsw_graph.h asks; the copies follow. */
#include "index/hnsw_build.h"

#include "base/mem.h"
#include "index/hnsw_graph.h"
#include "index/index_ops.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#define NONE UINT32_MAX
/* Rows tried as the one to link from. */
#define REACH_TRIES 64

/* One link added so that `row` is reached. */
struct extra {
    uint32_t row;
    uint32_t next; /* in `extras`, or NONE */
};

struct encode {
    struct hnsw_finished from;
    const atomic_bool *cancel;
    uint32_t *met; /* the rows as the walk meets them */
    size_t met_len;
    size_t walked_len;    /* of these, those whose links were followed */
    uint8_t *reached;     /* by row */
    uint32_t *extra_head; /* by row: first in `extras`, or NONE */
    struct extra *extras;
    size_t extras_len;
    uint32_t *place;  /* by row: its number in the new order */
    uint32_t *copies; /* by place of a node: how many copies it has */
    struct errbuf *why;
};

static size_t list_len(const struct encode *e, uint32_t row, unsigned layer)
{
    size_t cap = 0;
    const int32_t *list = faiss_graph_links(e->from.graph, row, layer, &cap);
    size_t len = 0;
    while (len < cap && list[len] >= 0) {
        len++;
    }
    if (layer == 0) {
        for (uint32_t x = e->extra_head[row]; x != NONE; x = e->extras[x].next) {
            len++;
        }
    }
    return len;
}

static void meet(struct encode *e, uint32_t row)
{
    if (!e->reached[row]) {
        e->reached[row] = 1;
        e->met[e->met_len++] = row;
    }
}

/* Follows the links of all rows met until there is nothing new. */
static void walk_on(struct encode *e)
{
    while (e->walked_len < e->met_len) {
        uint32_t row = e->met[e->walked_len++];
        size_t cap = 0;
        const int32_t *list = faiss_graph_links(e->from.graph, row, 0, &cap);
        for (size_t i = 0; i < cap && list[i] >= 0; i++) {
            meet(e, (uint32_t)list[i]);
        }
    }
}

/* A reached row with room for one more link, as near to `row` as may be. */
static enum shoal_err find_from(struct encode *e, uint32_t row, uint32_t *out)
{
    uint32_t tries[REACH_TRIES];
    size_t tries_len = 0;
    enum shoal_err rc = faiss_worker_nearest(e->from.worker, row, tries, REACH_TRIES, &tries_len,
                                             e->why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    for (size_t i = 0; i < tries_len; i++) {
        if (e->reached[tries[i]] && list_len(e, tries[i], 0) < HNSW_LIST_MAX) {
            *out = tries[i];
            return SHOAL_OK;
        }
    }
    /* All near rows are unreached themselves, or full: the rows met last are the farthest from the
     * entry and surely have room, since each link added made another row reached. */
    size_t at = e->met_len;
    do {
        at--;
    } while (at > 0 && list_len(e, e->met[at], 0) >= HNSW_LIST_MAX);
    *out = e->met[at];
    return SHOAL_OK;
}

static enum shoal_err reach_all(struct encode *e)
{
    meet(e, e->from.entry);
    walk_on(e);
    for (size_t i = 0; i < e->from.rows; i++) {
        uint32_t row = (uint32_t)i;
        if (e->reached[row] || e->from.first_of[row] != row) {
            continue;
        }
        if (index__canceled(e->cancel)) {
            return err_set(e->why, SHOAL_ECANCELED, "the build was cancelled");
        }
        uint32_t from = 0;
        enum shoal_err rc = find_from(e, row, &from);
        if (rc != SHOAL_OK) {
            return rc;
        }
        e->extras[e->extras_len] = (struct extra){ .row = row, .next = e->extra_head[from] };
        e->extra_head[from] = (uint32_t)e->extras_len++;
        meet(e, row);
        walk_on(e);
    }
    assert(e->met_len == e->from.nodes);
    return SHOAL_OK;
}

/* Sorts the nodes by layers, most first, keeping their order among equals. Fills the front of
 * `order`, e->place of the nodes, and the nodes of each layer. */
static enum shoal_err place_nodes(struct encode *e, uint32_t *order, struct hnsw_graph *g)
{
    /* The walk is done: its array takes the nodes as they should lie. */
    enum shoal_err rc = hnsw__rank_nodes(&e->from, e->met, e->why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    for (size_t i = 0; i < e->from.nodes; i++) {
        unsigned layers = faiss_graph_layers(e->from.graph, e->met[i]);
        if (layers > g->layers_len) {
            g->layers_len = layers;
        }
        for (unsigned l = 0; l < layers; l++) {
            g->layers[l].nodes++;
        }
    }
    size_t starts[HNSW_LAYERS_MAX + 1] = { 0 }; /* by layers: those of more layers lie before */
    for (uint32_t l = 1; l < g->layers_len; l++) {
        starts[l] = g->layers[l].nodes;
    }
    for (size_t i = 0; i < e->from.nodes; i++) {
        uint32_t row = e->met[i];
        size_t at = starts[faiss_graph_layers(e->from.graph, row)]++;
        order[at] = row;
        e->place[row] = (uint32_t)at;
    }
    return SHOAL_OK;
}

/* Puts the copies after the nodes, in the order of their nodes. Fills the rest of `order`,
 * e->copies, and the number of crowds. */
static void place_copies(struct encode *e, uint32_t *order, struct hnsw_graph *g)
{
    for (size_t row = 0; row < e->from.rows; row++) {
        uint32_t first = e->from.first_of[row];
        if (first != row && e->copies[e->place[first]]++ == 0) {
            g->crowds++;
        }
    }
    /* e->met is done with: it takes where the copies of each node go next. */
    uint32_t *next = e->met;
    uint32_t at = (uint32_t)e->from.nodes;
    for (size_t node = 0; node < e->from.nodes; node++) {
        next[node] = at;
        at += e->copies[node];
    }
    for (size_t row = 0; row < e->from.rows; row++) {
        uint32_t first = e->from.first_of[row];
        if (first != row) {
            order[next[e->place[first]]++] = (uint32_t)row;
        }
    }
}

/* Counts the links of each layer. SHOAL_ETOOBIG when an offset would not fit. */
static enum shoal_err count_links(const struct encode *e, const uint32_t *order,
                                  struct hnsw_graph *g)
{
    for (uint32_t l = 0; l < g->layers_len; l++) {
        uint64_t links = 0;
        for (uint32_t i = 0; i < g->layers[l].nodes; i++) {
            size_t len = list_len(e, order[i], l);
            links += len;
            g->list_max = len > g->list_max ? (uint32_t)len : g->list_max;
        }
        if (links > UINT32_MAX) {
            return err_set(e->why, SHOAL_ETOOBIG,
                           "a graph of %zu rows would have %" PRIu64
                           " links: make smaller segments or lower m",
                           e->from.rows, links);
        }
        g->layers[l].links = (uint32_t)links;
    }
    return SHOAL_OK;
}

static void write_layer(const struct encode *e, const uint32_t *order, uint32_t l,
                        const struct hnsw_layer *layer, uint32_t *begins, uint32_t *lists)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < layer->nodes; i++) {
        begins[i] = at;
        size_t cap = 0;
        const int32_t *list = faiss_graph_links(e->from.graph, order[i], l, &cap);
        for (size_t j = 0; j < cap && list[j] >= 0; j++) {
            lists[at++] = e->place[list[j]];
        }
        uint32_t x = l == 0 ? e->extra_head[order[i]] : NONE;
        for (; x != NONE; x = e->extras[x].next) {
            lists[at++] = e->place[e->extras[x].row];
        }
    }
    begins[layer->nodes] = at;
    assert(at == layer->links);
}

static void write_crowds(const struct encode *e, uint32_t *at, uint32_t crowds)
{
    size_t words = (e->from.nodes + 31) / 32;
    uint32_t *nodes = at + words;
    uint32_t *begins = nodes + crowds;
    memset(at, 0, words * sizeof(*at));
    uint32_t crowd = 0;
    uint32_t row = (uint32_t)e->from.nodes;
    for (uint32_t node = 0; node < e->from.nodes; node++) {
        if (e->copies[node] > 0) {
            at[node / 32] |= UINT32_C(1) << (node % 32);
            nodes[crowd] = node;
            begins[crowd++] = row;
            row += e->copies[node];
        }
    }
    begins[crowd] = row;
    assert(crowd == crowds && row == e->from.rows);
}

static void write_header(char *bytes, size_t bytes_len, const struct index_config *config,
                         size_t rows, const struct hnsw_graph *g)
{
    struct format_header *h = (void *)bytes;
    format_header_init(h, config, rows, HNSW_PARAMS_LEN, bytes_len);
    h->params[HNSW_PARAM_M] = config->m;
    h->params[HNSW_PARAM_EF_CONSTRUCTION] = config->ef_construction;
    h->params[HNSW_PARAM_LAYERS] = g->layers_len;
    h->params[HNSW_PARAM_LIST_MAX] = g->list_max;
    h->params[HNSW_PARAM_CROWDS] = g->crowds;
    for (uint32_t l = 0; l < g->layers_len; l++) {
        h->params[HNSW_PARAM_NODES + 2 * l] = g->layers[l].nodes;
        h->params[HNSW_PARAM_NODES + 2 * l + 1] = g->layers[l].links;
    }
    format_header_seal(h);
}

static enum shoal_err write_bytes(const struct encode *e, const struct index_config *config,
                                  const uint32_t *order, struct hnsw_graph *g,
                                  struct index_built *out)
{
    enum shoal_err rc = count_links(e, order, g);
    if (rc != SHOAL_OK) {
        return rc;
    }
    size_t len = 0;
    if (!hnsw_graph_bytes_len(g, &len)) {
        return err_set(e->why, SHOAL_ETOOBIG, "a graph of %zu rows is too big", e->from.rows);
    }
    out->bytes = mem_alloc(len);
    if (out->bytes == NULL) {
        return err_set(e->why, SHOAL_ENOMEM, "out of memory for %zu bytes of graph", len);
    }
    out->bytes_len = len;
    write_header(out->bytes, len, config, e->from.rows, g);
    uint32_t *at = (void *)(out->bytes + FORMAT_HEADER_LEN);
    for (uint32_t l = 0; l < g->layers_len; l++) {
        const struct hnsw_layer *layer = &g->layers[l];
        uint32_t *lists = at + layer->nodes + 1;
        write_layer(e, order, l, layer, at, lists);
        at = lists + layer->links;
    }
    if (g->crowds > 0) {
        write_crowds(e, at, g->crowds);
    }
    return SHOAL_OK;
}

static enum shoal_err encode_start(struct encode *e)
{
    e->met = mem_array(e->from.rows, sizeof(*e->met));
    e->reached = mem_calloc(e->from.rows, sizeof(*e->reached));
    e->extra_head = mem_array(e->from.rows, sizeof(*e->extra_head));
    e->extras = mem_array(e->from.rows, sizeof(*e->extras));
    e->place = mem_array(e->from.rows, sizeof(*e->place));
    e->copies = mem_calloc(e->from.nodes, sizeof(*e->copies));
    if (e->met == NULL || e->reached == NULL || e->extra_head == NULL || e->extras == NULL ||
        e->place == NULL || e->copies == NULL) {
        return err_set(e->why, SHOAL_ENOMEM, "out of memory for an order of %zu rows",
                       e->from.rows);
    }
    memset(e->extra_head, 0xff, e->from.rows * sizeof(*e->extra_head)); /* all NONE */
    return SHOAL_OK;
}

static void encode_release(struct encode *e)
{
    mem_free(e->met);
    mem_free(e->reached);
    mem_free(e->extra_head);
    mem_free(e->extras);
    mem_free(e->place);
    mem_free(e->copies);
}

enum shoal_err hnsw__encode(const struct index_config *config, const struct hnsw_finished *from,
                            const atomic_bool *cancel, struct index_built *out, struct errbuf *why)
{
    struct encode e = { .from = *from, .cancel = cancel, .why = why };
    struct hnsw_graph g = { 0 };
    enum shoal_err rc = encode_start(&e);
    if (rc != SHOAL_OK) {
        goto out;
    }
    rc = reach_all(&e);
    if (rc != SHOAL_OK) {
        goto out;
    }
    out->order = mem_array(from->rows, sizeof(*out->order));
    if (out->order == NULL) {
        rc = err_set(why, SHOAL_ENOMEM, "out of memory for an order of %zu rows", from->rows);
        goto out;
    }
    rc = place_nodes(&e, out->order, &g);
    if (rc != SHOAL_OK) {
        goto out;
    }
    assert(out->order[0] == from->entry);
    place_copies(&e, out->order, &g);
    rc = write_bytes(&e, config, out->order, &g, out);
out:
    encode_release(&e);
    return rc;
}
