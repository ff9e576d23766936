/* Index: a search structure over the vectors of one sealed segment.
 *
 * An index is built once from float rows and is immutable from then on. Building yields two
 * things: an order in which the rows should lie (so that what is searched together lies together:
 * the lists of an IVF, the neighbourhoods of a graph), and the derived bytes: graph or lists and
 * centroids, never the vectors themselves. The segment file stores the vectors in that order, and
 * the derived bytes beside them; opening borrows both and copies neither, so a node starts at once
 * and shares the page cache.
 *
 *     index_build(config, rows) -> struct index_built { order, bytes }
 *     ... the segment writes vectors[order[i]] and bytes, maps them read-only ...
 *     index_open(config, mapped vectors, mapped bytes) -> struct index
 *
 * Derived bytes are a cache made by this program, checked by the segment's checksum before they
 * come here; they are still validated structurally (bounds of every neighbour and list), since a
 * checksum proves only that they are what was written.
 *
 * FAISS does the training, clustering and graph building; it is included in this room only.
 *
 * Threads: an open index is searched from any number of threads at once; each search runs on its
 * caller's thread alone. Building uses config.threads threads and is called from a builder. */
#ifndef SHOAL_INDEX_INDEX_H
#define SHOAL_INDEX_INDEX_H

#include "base/distance.h"
#include "base/err.h"
#include "base/slice.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Stored in segment manifests: never renumber. */
enum index_kind { INDEX_FLAT = 1, INDEX_HNSW = 2, INDEX_IVF_FLAT = 3 };

/* Rows of one segment: labels fit 32 bits, and so does every offset in the derived bytes. */
#define INDEX_ROWS_MAX 0x7fffffffu
#define INDEX_EF_MAX 65536u
#define INDEX_NLIST_MAX 65536u

struct index_config {
    enum index_kind kind;
    enum distance distance;   /* cosine rows must be normalised already */
    uint32_t dim;             /* 1..VECTOR_DIM_MAX */
    uint32_t m;               /* HNSW: links per node and layer (twice that on layer 0), 4..128 */
    uint32_t ef_construction; /* HNSW: 4..4096 */
    uint32_t nlist;           /* IVF: lists, 1..INDEX_NLIST_MAX; 0: chosen from the row count */
    uint32_t threads;         /* build only, >= 1 */
    uint64_t seed;            /* build only: same seed, threads 1 and rows give the same bytes */
};

struct index_built {
    uint32_t *order; /* owned (mem_free); order[i] = the input row that lies at i; NULL: as given */
    char *bytes;     /* owned (mem_free) */
    size_t bytes_len;
};

/* One bit per row, in stored order: bit i % 8 of byte i / 8. Borrowed during a search. */
struct index_filter {
    const uint8_t *allowed;
    size_t allowed_len; /* rows with their bit set */
};

struct index_query {
    const float *vector; /* dim floats, normalised for cosine; borrowed */
    size_t k;            /* 1..SEARCH_K_MAX */
    uint32_t ef;         /* HNSW: 0 takes the default; raised to k; at most INDEX_EF_MAX */
    uint32_t nprobe;     /* IVF: 0 takes the default; at most nlist */
    const struct index_filter *filter; /* NULL: all rows */
    bool exact;                        /* scan every allowed row */
};

struct index_hit {
    uint32_t row; /* 0..rows-1 in stored order */
    float score;  /* as base/distance.h defines it (euclid: the root is taken) */
};

struct index;

struct index_stats {
    uint64_t rows;
    uint64_t derived_bytes;
    uint64_t private_bytes; /* memory that is not the mapped file */
};

/* SHOAL_EINVAL (config out of range, with the field named), SHOAL_ENOMEM, SHOAL_ECANCELED when
 * `cancel` (may be NULL) became true: looked at at least every few thousand rows. `vectors` is
 * rows x dim, borrowed during the call. On failure *out is all zero. Blocks for seconds to hours.
 */
SHOAL_MUST_CHECK enum shoal_err index_build(const struct index_config *config, const float *vectors,
                                            size_t rows, const atomic_bool *cancel,
                                            struct index_built *out, struct errbuf *why);
void index_built_release(struct index_built *built);

/* Opens over memory that stays valid and unchanged until index_close. `vectors` is rows x dim in
 * stored order and 4-byte aligned; `bytes` is what index_build gave for the same config and rows.
 * Reads as little as it can of both. SHOAL_ECORRUPT, SHOAL_EINVAL, SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err index_open(const struct index_config *config, const float *vectors,
                                           size_t rows, struct slice bytes, struct index **out,
                                           struct errbuf *why);
void index_close(struct index *ix); /* NULL is fine */

/* Fills at most q->k hits, best first, ties by row; *n_out says how many. `hits` has room for k.
 * A filter never makes it return a row that is not allowed. SHOAL_EINVAL, SHOAL_ENOMEM. */
SHOAL_MUST_CHECK enum shoal_err index_search(const struct index *ix, const struct index_query *q,
                                             struct index_hit *hits, size_t *n_out,
                                             struct errbuf *why);
/* Reads all of the derived bytes and checks every bound; for `verify` and fuzzing. */
SHOAL_MUST_CHECK enum shoal_err index_validate(const struct index *ix, struct errbuf *why);
void index_stats(const struct index *ix, struct index_stats *out);

/* "flat", "hnsw", "ivf_flat". */
const char *index_kind_name(enum index_kind kind);
enum shoal_err index_kind_parse(struct slice name, enum index_kind *out);

#endif
