/* The graph under construction: faiss::HNSW with FAISS's search for links and its pruning. */
#include "index/faiss_shim.h"

#include "index/faiss_error.hpp"

#include <faiss/impl/AuxIndexStructures.h>
#include <faiss/impl/DistanceComputer.h>
#include <faiss/impl/HNSW.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <memory>
#include <queue>
#include <vector>

struct faiss_graph {
    faiss_graph_config config;
    faiss::HNSW hnsw;

    explicit faiss_graph(const faiss_graph_config &c) : config(c), hnsw(static_cast<int>(c.m))
    {
    }
};

namespace
{

using faiss::HNSW;
using node_t = HNSW::storage_idx_t;
using Farther = HNSW::NodeDistFarther;
using Closer = HNSW::NodeDistCloser;

float sane(float key)
{
    return std::isnan(key) ? std::numeric_limits<float>::infinity() : key;
}

/* Distances over the caller's own rows, by our kernels: nothing is copied into a FAISS index. */
struct RowsDistance : faiss::DistanceComputer {
    const faiss_graph_config &config;
    const float *query = nullptr;

    explicit RowsDistance(const faiss_graph_config &c) : config(c)
    {
    }

    const float *row(faiss::idx_t i) const
    {
        return config.vectors + static_cast<size_t>(i) * config.dim;
    }

    void set_query(const float *x) override
    {
        query = x;
    }

    float operator()(faiss::idx_t i) override
    {
        return sane(config.metric.one(query, row(i), config.dim));
    }

    void distances_batch_4(const faiss::idx_t i0, const faiss::idx_t i1, const faiss::idx_t i2,
                           const faiss::idx_t i3, float &d0, float &d1, float &d2,
                           float &d3) override
    {
        const uint32_t rows[4] = { static_cast<uint32_t>(i0), static_cast<uint32_t>(i1),
                                   static_cast<uint32_t>(i2), static_cast<uint32_t>(i3) };
        float keys[4];
        config.metric.gather(query, config.vectors, config.dim, rows, 4, keys);
        d0 = sane(keys[0]);
        d1 = sane(keys[1]);
        d2 = sane(keys[2]);
        d3 = sane(keys[3]);
    }

    float symmetric_dis(faiss::idx_t i, faiss::idx_t j) override
    {
        return between(i, j);
    }

    float between(faiss::idx_t i, faiss::idx_t j) const
    {
        return sane(config.metric.one(row(i), row(j), config.dim));
    }
};

} // namespace

struct faiss_worker {
    faiss_graph &graph;
    RowsDistance distance;
    faiss::VisitedTable visited;

    explicit faiss_worker(faiss_graph &g)
        : graph(g), distance(g.config), visited(static_cast<int>(g.config.rows))
    {
    }
};

namespace
{

/* Writes at most `cap` links, nearest first, and ends the list when it is not full. */
void write_links(node_t *list, size_t cap, const std::vector<Farther> &links)
{
    assert(links.size() <= cap);
    size_t n = 0;
    for (const Farther &link : links) {
        list[n++] = link.id;
    }
    if (n < cap) {
        list[n] = -1;
    }
}

node_t *list_of(HNSW &hnsw, uint32_t row, unsigned layer, size_t *cap)
{
    size_t begin = 0;
    size_t end = 0;
    hnsw.neighbor_range(row, static_cast<int>(layer), &begin, &end);
    *cap = end - begin;
    return &hnsw.neighbors[begin];
}

/* Descends greedily from the entry to `layer`. */
node_t descend(faiss_worker &w, int layer, float *key_out)
{
    const HNSW &hnsw = w.graph.hnsw;
    node_t nearest = hnsw.entry_point;
    float key = w.distance(nearest);
    for (int above = hnsw.max_level; above > layer; above--) {
        faiss::greedy_update_nearest(hnsw, w.distance, above, nearest, key);
    }
    *key_out = key;
    return nearest;
}

/* Among `input`, what FAISS's rule keeps: at most `cap`, nearest first. */
std::vector<Farther> prune(faiss_worker &w, std::priority_queue<Farther> &input, size_t cap)
{
    std::vector<Farther> kept;
    kept.reserve(cap);
    HNSW::shrink_neighbor_list(w.distance, input, kept, static_cast<int>(cap));
    return kept;
}

/* Writes the links of a row on one layer and returns the nearest row met. */
node_t connect_layer(faiss_worker &w, uint32_t row, unsigned layer, node_t nearest, float key)
{
    std::priority_queue<Closer> found;
    faiss::search_neighbors_to_add(w.graph.hnsw, w.distance, found, nearest, key,
                                   static_cast<int>(layer), w.visited);
    std::priority_queue<Farther> candidates;
    for (; !found.empty(); found.pop()) {
        if (found.top().id != static_cast<node_t>(row)) {
            candidates.emplace(found.top().d, found.top().id);
        }
    }
    size_t cap = 0;
    node_t *list = list_of(w.graph.hnsw, row, layer, &cap);
    write_links(list, cap, prune(w, candidates, cap));
    return list[0] < 0 ? nearest : list[0];
}

bool are_twins(const faiss_worker &w, faiss::idx_t i, faiss::idx_t j)
{
    const float *a = w.distance.row(i);
    const float *b = w.distance.row(j);
    double difference = 0;
    double length = 0;
    for (size_t at = 0; at < w.graph.config.dim; at++) {
        double step = static_cast<double>(a[at]) - static_cast<double>(b[at]);
        difference += step * step;
        length += static_cast<double>(a[at]) * static_cast<double>(a[at]);
    }
    return difference <= FAISS_TWIN_LENGTH * FAISS_TWIN_LENGTH * length;
}

/* Returns the row's twin, or the row itself. */
uint32_t connect(faiss_worker &w, uint32_t row)
{
    HNSW &hnsw = w.graph.hnsw;
    assert(hnsw.entry_point >= 0 && hnsw.entry_point != static_cast<node_t>(row));
    w.distance.set_query(w.distance.row(row));
    int top = std::min(hnsw.levels[row] - 1, hnsw.max_level);
    float key = 0;
    node_t nearest = descend(w, top, &key);
    node_t met = nearest;
    for (int layer = top; layer >= 0; layer--) {
        met = connect_layer(w, row, static_cast<unsigned>(layer), nearest, key);
    }
    return are_twins(w, row, met) ? static_cast<uint32_t>(met) : row;
}

void merge(faiss_worker &w, uint32_t target, unsigned layer, const uint32_t *sources,
           size_t sources_len)
{
    size_t cap = 0;
    node_t *list = list_of(w.graph.hnsw, target, layer, &cap);
    size_t len = 0;
    while (len < cap && list[len] >= 0) {
        len++;
    }
    if (len + sources_len <= cap) {
        for (size_t i = 0; i < sources_len; i++) {
            list[len++] = static_cast<node_t>(sources[i]);
        }
        if (len < cap) {
            list[len] = -1;
        }
        return;
    }
    std::priority_queue<Farther> candidates;
    for (size_t i = 0; i < len; i++) {
        candidates.emplace(w.distance.between(target, list[i]), list[i]);
    }
    for (size_t i = 0; i < sources_len; i++) {
        node_t source = static_cast<node_t>(sources[i]);
        candidates.emplace(w.distance.between(target, source), source);
    }
    write_links(list, cap, prune(w, candidates, cap));
}

} // namespace

enum shoal_err faiss_graph_new(const struct faiss_graph_config *config, struct faiss_graph **out,
                               struct errbuf *why)
{
    *out = nullptr;
    assert(config->rows >= 1 && config->rows <= INT32_MAX);
    return shoal::guarded(why, "HNSW graph", [&] {
        auto graph = std::make_unique<faiss_graph>(*config);
        HNSW &hnsw = graph->hnsw;
        hnsw.efConstruction = static_cast<int>(config->ef_construction);
        hnsw.rng = faiss::RandomGenerator(static_cast<int64_t>(config->seed));
        hnsw.offsets.reserve(config->rows + 1);
        hnsw.levels.reserve(config->rows);
        hnsw.prepare_level_tab(config->rows);
        *out = graph.release();
    });
}

void faiss_graph_free(struct faiss_graph *graph)
{
    delete graph;
}

unsigned faiss_graph_layers(const struct faiss_graph *graph, uint32_t row)
{
    assert(row < graph->config.rows);
    return static_cast<unsigned>(graph->hnsw.levels[row]);
}

void faiss_graph_enter(struct faiss_graph *graph, uint32_t row)
{
    assert(row < graph->config.rows);
    graph->hnsw.entry_point = static_cast<node_t>(row);
    graph->hnsw.max_level = graph->hnsw.levels[row] - 1;
}

const int32_t *faiss_graph_links(const struct faiss_graph *graph, uint32_t row, unsigned layer,
                                 size_t *cap_out)
{
    size_t begin = 0;
    size_t end = 0;
    graph->hnsw.neighbor_range(row, static_cast<int>(layer), &begin, &end);
    *cap_out = end - begin;
    return graph->hnsw.neighbors.data() + begin;
}

enum shoal_err faiss_worker_new(struct faiss_graph *graph, struct faiss_worker **out,
                                struct errbuf *why)
{
    *out = nullptr;
    return shoal::guarded(why, "HNSW worker", [&] { *out = new faiss_worker(*graph); });
}

void faiss_worker_free(struct faiss_worker *worker)
{
    delete worker;
}

enum shoal_err faiss_worker_connect(struct faiss_worker *worker, uint32_t row, uint32_t *twin_of,
                                    struct errbuf *why)
{
    *twin_of = row;
    return shoal::guarded(why, "HNSW links", [&] { *twin_of = connect(*worker, row); });
}

enum shoal_err faiss_worker_merge(struct faiss_worker *worker, uint32_t target, unsigned layer,
                                  const uint32_t *sources, size_t sources_len, struct errbuf *why)
{
    return shoal::guarded(why, "HNSW links",
                          [&] { merge(*worker, target, layer, sources, sources_len); });
}

enum shoal_err faiss_worker_nearest(struct faiss_worker *worker, uint32_t row, uint32_t *out,
                                    size_t cap, size_t *n_out, struct errbuf *why)
{
    *n_out = 0;
    return shoal::guarded(why, "HNSW reach", [&] {
        faiss_worker &w = *worker;
        w.distance.set_query(w.distance.row(row));
        float key = 0;
        node_t nearest = descend(w, 0, &key);
        std::priority_queue<Closer> found;
        faiss::search_neighbors_to_add(w.graph.hnsw, w.distance, found, nearest, key, 0, w.visited);
        for (; found.size() > cap; found.pop()) {
        }
        *n_out = found.size();
        for (size_t i = found.size(); i > 0; i--) {
            out[i - 1] = static_cast<uint32_t>(found.top().id);
            found.pop();
        }
    });
}
