/* FAISS shim: the parts of FAISS that its C API lacks, behind a C face.
 *
 * No exception crosses it: what FAISS throws becomes a code and a text. FAISS's types stay behind
 * it. Two things are here: the graph under construction (faiss::HNSW with its search for links and
 * its pruning of them) and k-means (faiss::Clustering).
 *
 * The graph is not built by IndexHNSW::add. That call works the rows in parallel under one lock a
 * row, reading lists that other threads write (faiss pull request 5129 and what was found after
 * it), cannot be cancelled for one build alone, copies the vectors, and ends the process when an
 * allocation of a worker fails. Here a row's links are sought over a graph that nobody changes
 * meanwhile, and merged afterwards, each list by one thread: hnsw_build.c holds the two phases
 * apart. So no lock is needed, a failure is an ordinary error, and the result depends on the seed
 * alone, not on the number of threads.
 *
 * Threads: each call says which may run beside each other. Private to index/. */
#ifndef SHOAL_INDEX_FAISS_SHIM_H
#define SHOAL_INDEX_FAISS_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "base/err.h"

/* Two rows are twins when the length of their difference is at most this part of their own: what
 * one text embedded twice in other company differs by. */
#define FAISS_TWIN_LENGTH 1e-5

struct faiss_graph;
struct faiss_worker;

/* How two rows are compared: the members of struct kernel that a graph needs. Lower is nearer. */
struct faiss_metric {
    float (*one)(const float *a, const float *b, size_t dim);
    void (*gather)(const float *query, const float *base, size_t dim, const uint32_t *rows,
                   size_t rows_len, float *keys);
};

struct faiss_graph_config {
    const float *vectors; /* rows x dim, borrowed until faiss_graph_free */
    size_t rows;          /* 1..INT32_MAX */
    size_t dim;
    struct faiss_metric metric;
    uint32_t m;
    uint32_t ef_construction;
    uint64_t seed; /* of the rows' levels */
};

/* Draws the level of every row and makes room for its lists; no row has links yet. On failure *out
 * is NULL. SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err faiss_graph_new(const struct faiss_graph_config *config,
                                                struct faiss_graph **out, struct errbuf *why);
void faiss_graph_free(struct faiss_graph *graph); /* NULL is fine */

/* Layers the row stands on, at least 1. */
unsigned faiss_graph_layers(const struct faiss_graph *graph, uint32_t row);

/* Names the row that every search starts from: one that stands on as many layers as any. */
void faiss_graph_enter(struct faiss_graph *graph, uint32_t row);

/* The links of a row on one of its layers, nearest first as pruning left them, ended by -1 unless
 * full; *cap_out is the room. Borrowed until the list is next written. */
const int32_t *faiss_graph_links(const struct faiss_graph *graph, uint32_t row, unsigned layer,
                                 size_t *cap_out);

/* A worker holds what one thread needs to search. It belongs to one thread at a time and is freed
 * before its graph. SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err faiss_worker_new(struct faiss_graph *graph,
                                                 struct faiss_worker **out, struct errbuf *why);
void faiss_worker_free(struct faiss_worker *worker); /* NULL is fine */

/* Seeks the links of `row`, which nothing links to yet, and writes them into its own lists. When
 * the nearest row found differs from it by no more than rounding does (FAISS_TWIN_LENGTH), *twin_of
 * is that row and `row` should stay out of the graph; else *twin_of is `row`. Workers may connect
 * different rows at once while nobody merges. SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err faiss_worker_connect(struct faiss_worker *worker, uint32_t row,
                                                     uint32_t *twin_of, struct errbuf *why);

/* Adds `sources` to the list of `target` on one layer, pruning it when they do not fit. Workers
 * may merge into different lists at once while nobody connects. SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err faiss_worker_merge(struct faiss_worker *worker, uint32_t target,
                                                   unsigned layer, const uint32_t *sources,
                                                   size_t sources_len, struct errbuf *why);

/* The rows nearest to `row` that a search from the entry reaches on layer 0, nearest first, at
 * most `cap`; `row` itself is among them only if it is reached. Beside other such calls and while
 * nobody merges. SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err faiss_worker_nearest(struct faiss_worker *worker, uint32_t row,
                                                     uint32_t *out, size_t cap, size_t *n_out,
                                                     struct errbuf *why);

struct faiss_kmeans_config {
    const float *vectors; /* rows x dim, borrowed during the call */
    size_t rows;          /* at least `lists` */
    size_t dim;
    size_t lists;
    bool inner_product; /* compare by inner product and keep centroids of unit length */
    uint32_t iterations;
    uint32_t threads;
    uint64_t seed;
    bool (*canceled)(void *arg); /* may be NULL; asked every few thousand rows */
    void *arg;
};

/* Fills `centroids` (lists x dim). Rows beyond a fixed number a list are sampled. Runs OpenMP and
 * BLAS threads. SHOAL_ENOMEM, SHOAL_ECANCELED. */
SHOAL_MUST_CHECK enum shoal_err faiss_kmeans_train(const struct faiss_kmeans_config *config,
                                                   float *centroids, struct errbuf *why);

/* Fills list_of_row (rows) with the nearest centroid of each row. As above. */
SHOAL_MUST_CHECK enum shoal_err faiss_kmeans_assign(const struct faiss_kmeans_config *config,
                                                    const float *centroids, uint32_t *list_of_row,
                                                    struct errbuf *why);

#ifdef __cplusplus
}
#endif

#endif
