/* Derived bytes of an index from anywhere: open, search what opens, validate, and search again.
 *
 * The first byte says how the rest is read:
 *
 *     bit 0..1  the kind: 0 flat, 1 HNSW, 2 and 3 IVF-Flat
 *     bit 2     the rest is the bytes as they are; else it is parameters and sections only, and the
 *               header around them is made here, since no fuzzer guesses a checksum
 *
 * Nothing may read outside the bytes and the rows, and what validate accepts must answer in full
 * under `exact` and give only existing rows otherwise. */
#include "base/mem.h"
#include "index/format.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 96
#define DIM 3
#define K 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const enum index_kind kinds[4] = { INDEX_FLAT, INDEX_HNSW, INDEX_IVF_FLAT, INDEX_IVF_FLAT };

/* How many parameters each kind has: its own business, so read from what it builds. */
static size_t params_len(const struct index_config *config, const float *vectors)
{
    struct index_built built;
    if (index_build(config, vectors, ROWS, NULL, &built, NULL) != SHOAL_OK) {
        abort();
    }
    const struct format_header *h = (const void *)built.bytes;
    size_t n = h->params_len;
    index_built_release(&built);
    return n;
}

/* A header whose parameters are the front of the data, with the rest of it as sections. */
static char *wrap(const struct index_config *config, const float *vectors, const uint8_t *data,
                  size_t len, size_t *len_out)
{
    static size_t params[4];
    if (params[config->kind] == 0 && config->kind != INDEX_FLAT) {
        params[config->kind] = params_len(config, vectors);
    }
    struct format_header h;
    format_header_init(&h, config, ROWS, params[config->kind], 0);
    size_t front = params[config->kind] * sizeof(uint32_t);
    front = front < len ? front : len;
    memcpy(h.params, data, front);
    *len_out = sizeof(h) + (len - front) / 4 * 4;
    h.bytes_len = *len_out;
    format_header_seal(&h);
    char *bytes = malloc(*len_out);
    if (bytes == NULL) {
        abort();
    }
    memcpy(bytes, &h, sizeof(h));
    memcpy(bytes + sizeof(h), data + front, *len_out - sizeof(h));
    return bytes;
}

static void search(const struct index *ix, const float *query, const struct index_filter *filter,
                   bool exact)
{
    struct index_hit hits[K];
    struct index_query q = {
        .vector = query, .k = K, .ef = K, .nprobe = 2, .filter = filter, .exact = exact
    };
    size_t n = 0;
    if (index_search(ix, &q, hits, &n, NULL) != SHOAL_OK || n > K) {
        abort();
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t row = hits[i].row;
        if (row >= ROWS || (filter != NULL && (filter->allowed[row / 8] >> (row % 8) & 1) == 0)) {
            abort();
        }
    }
    if (exact && n != K) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0) {
        return 0;
    }
    float vectors[ROWS * DIM];
    for (size_t i = 0; i < ROWS * DIM; i++) {
        vectors[i] = (float)(i * 2654435761u % 1000u) / 500.0f - 1.0f;
    }
    uint8_t bits[ROWS / 8];
    memset(bits, 0x77, sizeof(bits));
    struct index_filter filter = { .allowed = bits, .allowed_len = ROWS / 4 * 3 };
    struct index_config config = {
        .kind = kinds[data[0] & 3],
        .distance = DISTANCE_EUCLID,
        .dim = DIM,
        .m = 4,
        .ef_construction = 8,
        .nlist = 4,
        .threads = 1,
        .seed = 1,
    };
    size_t bytes_len = len - 1;
    char *bytes = NULL;
    if ((data[0] & 4) != 0) {
        bytes = malloc(bytes_len > 0 ? bytes_len : 1);
        if (bytes == NULL) {
            abort();
        }
        memcpy(bytes, data + 1, bytes_len);
    } else {
        bytes = wrap(&config, vectors, data + 1, len - 1, &bytes_len);
    }
    struct index *ix = NULL;
    if (index_open(&config, vectors, ROWS, slice_make(bytes, bytes_len), &ix, NULL) == SHOAL_OK) {
        search(ix, vectors + 7, NULL, false);
        search(ix, vectors + 7, &filter, false);
        if (index_validate(ix, NULL) == SHOAL_OK) {
            search(ix, vectors, &filter, false);
            search(ix, vectors, NULL, true);
        }
        index_close(ix);
    }
    free(bytes);
    return 0;
}
