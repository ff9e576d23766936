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

/* Turns a finished graph into order and bytes; `worker` is free to use. Between the two shared by
 * hnsw_build.c and hnsw_encode.c. */
enum shoal_err hnsw__encode(const struct index_config *config, const struct faiss_graph *graph,
                            struct faiss_worker *worker, uint32_t entry, size_t rows,
                            const atomic_bool *cancel, struct index_built *out,
                            struct errbuf *why);

#endif
