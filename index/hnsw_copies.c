/* Rows that are equal bit by bit: only the first of them enters the graph (hnsw_graph.h). */
#include "base/hash.h"
#include "base/mem.h"
#include "index/hnsw_build.h"
#include "index/index_ops.h"

#include <string.h>

#define NONE UINT32_MAX
/* Rows between two looks at the cancel flag. */
#define CANCEL_ROWS 4096

enum shoal_err hnsw__find_copies(const float *vectors, size_t rows, size_t dim,
                                 const atomic_bool *cancel, uint32_t *first_of, size_t *copies_out,
                                 struct errbuf *why)
{
    /* A hash table with linear probing, at most half full, of the rows seen first. */
    size_t slots = 2;
    while (slots < 2 * rows) {
        slots *= 2;
    }
    uint32_t *table = mem_array(slots, sizeof(*table));
    if (table == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for a table of %zu rows", rows);
    }
    memset(table, 0xff, slots * sizeof(*table)); /* all NONE */
    size_t row_bytes = dim * sizeof(float);
    *copies_out = 0;
    for (size_t row = 0; row < rows; row++) {
        if (row % CANCEL_ROWS == 0 && index__canceled(cancel)) {
            mem_free(table);
            return err_set(why, SHOAL_ECANCELED, "the build was cancelled");
        }
        const float *vector = vectors + row * dim;
        size_t at = (size_t)hash64(vector, row_bytes) & (slots - 1);
        while (table[at] != NONE &&
               memcmp(vectors + (size_t)table[at] * dim, vector, row_bytes) != 0) {
            at = (at + 1) & (slots - 1);
        }
        if (table[at] == NONE) {
            table[at] = (uint32_t)row;
        } else {
            (*copies_out)++;
        }
        first_of[row] = table[at];
    }
    mem_free(table);
    return SHOAL_OK;
}
