/* HNSW build: from rows to a graph in derived bytes and the order the rows should lie in.
 *
 * Threads: as index_build. Private to index/. */
#ifndef SHOAL_INDEX_HNSW_BUILD_H
#define SHOAL_INDEX_HNSW_BUILD_H

#include "index/faiss_shim.h"
#include "index/index.h"

/* As index_build. */
enum shoal_err hnsw_build(const struct index_config *config, const float *vectors, size_t rows,
                          const atomic_bool *cancel, struct index_built *out, struct errbuf *why);

/* Fills first_of (rows): the first row that is equal to each, bit by bit; itself for most.
 * *copies_out says for how many it is another. SHOAL_ENOMEM, SHOAL_ECANCELED. */
enum shoal_err hnsw__find_copies(const float *vectors, size_t rows, size_t dim,
                                 const atomic_bool *cancel, uint32_t *first_of, size_t *copies_out,
                                 struct errbuf *why);

/* A finished graph: what hnsw_build.c hands to hnsw_encode.c. All borrowed. */
struct hnsw_finished {
    const struct faiss_graph *graph;
    struct faiss_worker *worker; /* free to use */
    uint32_t entry;
    size_t rows;
    size_t nodes;             /* rows that are no copies */
    const uint32_t *first_of; /* by row: the node that it is a copy of; itself for a node */
};

/* Fills `ranked` (nodes) with the nodes in the order they should lie, the entry first.
 * SHOAL_ENOMEM. */
enum shoal_err hnsw__rank_nodes(const struct hnsw_finished *from, uint32_t *ranked,
                                struct errbuf *why);

/* Turns a finished graph into order and bytes. */
enum shoal_err hnsw__encode(const struct index_config *config, const struct hnsw_finished *from,
                            const atomic_bool *cancel, struct index_built *out, struct errbuf *why);

#endif
