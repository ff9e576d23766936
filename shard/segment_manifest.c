/* The manifest's bytes, which docs/segment-format.md describes. */
#include "shard/segment_file.h"

#include "base/bytes.h"
#include "base/hash.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define MAGIC "SHOALSEG"
#define VERSION 1u

static const char *const part_names[SEGMENT_PARTS_LEN] = {
    [SEGMENT_VECTORS] = "vectors",     [SEGMENT_IDS] = "ids",     [SEGMENT_ROWS] = "rows",
    [SEGMENT_POSITIONS] = "positions", [SEGMENT_INDEX] = "index",
};

void segment_manifest_encode(const struct segment_manifest *m, uint8_t out[SEGMENT_MANIFEST_LEN])
{
    memset(out, 0, SEGMENT_MANIFEST_LEN);
    memcpy(out, MAGIC, 8);
    bytes_put_le32(out + 8, VERSION);
    bytes_put_le32(out + 12, m->rows);
    bytes_put_le64(out + 16, m->id);
    bytes_put_le64(out + 24, m->row_begin);
    bytes_put_le64(out + 32, m->row_end);
    bytes_put_le32(out + 40, m->index.dim);
    bytes_put_le32(out + 44, (uint32_t)m->index.distance);
    bytes_put_le32(out + 48, (uint32_t)m->index.kind);
    bytes_put_le32(out + 52, m->index.m);
    bytes_put_le32(out + 56, m->index.ef_construction);
    bytes_put_le32(out + 60, m->index.nlist);
    for (size_t i = 0; i < SEGMENT_PARTS_LEN; i++) {
        bytes_put_le64(out + 72 + i * 16, m->parts[i].len);
        bytes_put_le64(out + 80 + i * 16, m->parts[i].checksum);
    }
    bytes_put_le64(out + SEGMENT_MANIFEST_LEN - 8, hash64(out, SEGMENT_MANIFEST_LEN - 8));
}

static enum shoal_err bad(struct errbuf *why, const char *what)
{
    return err_set(why, SHOAL_ECORRUPT, "segment manifest: %s", what);
}

/* Lengths that follow from rows and dim. */
static bool lengths_fit(const struct segment_manifest *m)
{
    const uint64_t rows = m->rows;
    return m->parts[SEGMENT_VECTORS].len == rows * m->index.dim * sizeof(float) &&
           m->parts[SEGMENT_IDS].len == rows * SEGMENT_ID_LEN &&
           m->parts[SEGMENT_ROWS].len == rows * sizeof(uint64_t) &&
           m->parts[SEGMENT_POSITIONS].len == rows * sizeof(uint32_t) &&
           m->parts[SEGMENT_INDEX].len <= SEGMENT_PART_BYTES_MAX;
}

enum shoal_err segment_manifest_decode(struct slice bytes, struct segment_manifest *out,
                                       struct errbuf *why)
{
    *out = (struct segment_manifest){ 0 };
    const uint8_t *b = (const uint8_t *)bytes.data;
    if (bytes.len < SEGMENT_MANIFEST_LEN || memcmp(b, MAGIC, 8) != 0) {
        return bad(why, "this is none");
    }
    if (bytes_get_le32(b + 8) > VERSION) {
        return err_set(why, SHOAL_EUNSUPPORTED,
                       "segment manifest: version %" PRIu32
                       " was written by a later version of the program",
                       bytes_get_le32(b + 8));
    }
    if (bytes.len != SEGMENT_MANIFEST_LEN ||
        bytes_get_le64(b + SEGMENT_MANIFEST_LEN - 8) != hash64(b, SEGMENT_MANIFEST_LEN - 8)) {
        return bad(why, "its checksum does not fit");
    }
    struct segment_manifest m = { .rows = bytes_get_le32(b + 12),
                                  .id = bytes_get_le64(b + 16),
                                  .row_begin = bytes_get_le64(b + 24),
                                  .row_end = bytes_get_le64(b + 32) };
    m.index = (struct index_config){ .dim = bytes_get_le32(b + 40),
                                     .distance = (enum distance)bytes_get_le32(b + 44),
                                     .kind = (enum index_kind)bytes_get_le32(b + 48),
                                     .m = bytes_get_le32(b + 52),
                                     .ef_construction = bytes_get_le32(b + 56),
                                     .nlist = bytes_get_le32(b + 60) };
    for (size_t i = 0; i < SEGMENT_PARTS_LEN; i++) {
        m.parts[i].len = bytes_get_le64(b + 72 + i * 16);
        m.parts[i].checksum = bytes_get_le64(b + 80 + i * 16);
    }
    if (bytes_get_le32(b + 8) != VERSION || m.id == 0 || m.index.dim == 0 ||
        m.index.dim > VECTOR_DIM_MAX || distance_name(m.index.distance) == NULL ||
        index_kind_name(m.index.kind) == NULL || m.rows == 0 ||
        m.rows > segment_rows_max(m.index.dim) || m.row_begin >= m.row_end ||
        m.row_end - m.row_begin < m.rows || !lengths_fit(&m)) {
        return bad(why, "a field is out of its range");
    }
    *out = m;
    return SHOAL_OK;
}

uint64_t segment_rows_max(uint32_t dim)
{
    assert(dim >= 1 && dim <= VECTOR_DIM_MAX);
    uint64_t by_vectors = SEGMENT_PART_BYTES_MAX / ((uint64_t)dim * sizeof(float));
    uint64_t by_ids = SEGMENT_PART_BYTES_MAX / SEGMENT_ID_LEN;
    return by_vectors < by_ids ? by_vectors : by_ids;
}

uint64_t segment_bytes_estimate(uint64_t rows, const struct index_config *index)
{
    /* Links: twice m on the lowest layer, and as many again for the layers above and tables. */
    uint64_t per_row = (uint64_t)index->dim * sizeof(float) + SEGMENT_ID_LEN + sizeof(uint64_t) +
                       sizeof(uint32_t) + (uint64_t)index->m * 4 * sizeof(uint32_t) + 64;
    return rows * per_row + (1u << 20);
}

enum shoal_err segment_path(const char *dir, uint64_t id, char out[DISK_PATH_MAX])
{
    char name[32];
    (void)snprintf(name, sizeof(name), "%" PRIu64 ".mdb", id);
    return disk_join(out, DISK_PATH_MAX, dir, name);
}

const char *segment__part_name(enum segment_part part)
{
    assert(part < SEGMENT_PARTS_LEN);
    return part_names[part];
}
