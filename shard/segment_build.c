/* Building a segment file.
 *
 *     rows -> one block of vectors -> index_build -> order and derived bytes
 *     <id>.mdb.tmp: one transaction per part -> manifest -> sync -> rename -> sync of the directory
 *
 * Memory: while the index is built, the block of vectors beside what index_build needs; it is
 * freed before the file is written, since a part lies in LMDB's memory until its transaction is
 * committed: so the peak is about twice the vectors. One transaction per part keeps it there.
 *
 * Until the rename the file has a name that nobody opens and that shard_open removes; between the
 * rename and the transaction that lists the segment it is a file that is not in the list, which
 * shard_open removes too. Its rows are still where they were. */
#include "shard/segment_file.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"
#include "shard/store.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

struct writer {
    const struct segment_build *b;
    struct segment_manifest m;
    struct index_built built;
    struct store *store;
    store_table table;
    enum segment_part part; /* being written */
};

/* Input row that lies at a position. */
static const struct segment_row *row_at(const struct writer *w, uint32_t position)
{
    uint32_t i = w->built.order == NULL ? position : w->built.order[position];
    assert(i < w->b->rows_len);
    return &w->b->rows[i];
}

/* --- parts ------------------------------------------------------------------------------------ */

static void fill_vectors(const struct writer *w, char *room)
{
    const size_t len = w->m.index.dim * sizeof(float);
    for (uint32_t at = 0; at < w->m.rows; at++) {
        memcpy(room + at * len, row_at(w, at)->vector, len);
    }
}

static void fill_ids(const struct writer *w, char *room)
{
    for (uint32_t at = 0; at < w->m.rows; at++) {
        uint8_t key[POINT_ID_KEY_MAX] = { 0 };
        (void)point_id_key(&row_at(w, at)->id, key);
        memcpy(room + (size_t)at * SEGMENT_ID_LEN, key, SEGMENT_ID_LEN);
    }
}

static void fill_rows(const struct writer *w, char *room)
{
    for (uint32_t i = 0; i < w->m.rows; i++) {
        bytes_put_le64(room + (size_t)i * sizeof(uint64_t), w->b->rows[i].row);
    }
}

/* The inverse of the order. */
static void fill_positions(const struct writer *w, char *room)
{
    for (uint32_t at = 0; at < w->m.rows; at++) {
        uint32_t i = w->built.order == NULL ? at : w->built.order[at];
        bytes_put_le32(room + (size_t)i * sizeof(uint32_t), at);
    }
}

static void fill(const struct writer *w, char *room)
{
    switch (w->part) {
    case SEGMENT_VECTORS: fill_vectors(w, room); break;
    case SEGMENT_IDS: fill_ids(w, room); break;
    case SEGMENT_ROWS: fill_rows(w, room); break;
    case SEGMENT_POSITIONS: fill_positions(w, room); break;
    case SEGMENT_INDEX: memcpy(room, w->built.bytes, w->built.bytes_len); break;
    case SEGMENT_PARTS_LEN: assert(!"no part"); break;
    }
}

static size_t part_len(const struct writer *w)
{
    switch (w->part) {
    case SEGMENT_VECTORS: return (size_t)w->m.rows * w->m.index.dim * sizeof(float);
    case SEGMENT_IDS: return (size_t)w->m.rows * SEGMENT_ID_LEN;
    case SEGMENT_ROWS: return (size_t)w->m.rows * sizeof(uint64_t);
    case SEGMENT_POSITIONS: return (size_t)w->m.rows * sizeof(uint32_t);
    case SEGMENT_INDEX: return w->built.bytes_len;
    case SEGMENT_PARTS_LEN: break;
    }
    return 0;
}

static enum shoal_err write_part(void *arg, struct store_txn *txn, struct errbuf *why)
{
    struct writer *w = arg;
    const size_t len = part_len(w);
    const size_t padded = len < SEGMENT_PART_BYTES_MIN ? SEGMENT_PART_BYTES_MIN : len;
    void *room = NULL;
    enum shoal_err rc = store_put_reserve(
        txn, w->table, slice_from_str(segment__part_name(w->part)), padded, &room, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    fill(w, room);
    memset((char *)room + len, 0, padded - len);
    w->m.parts[w->part] = (struct segment_part_info){ .len = len, .checksum = hash64(room, len) };
    return SHOAL_OK;
}

static enum shoal_err write_manifest(void *arg, struct store_txn *txn, struct errbuf *why)
{
    struct writer *w = arg;
    uint8_t bytes[SEGMENT_MANIFEST_LEN];
    segment_manifest_encode(&w->m, bytes);
    return store_put(txn, w->table, SLICE_LIT(SEGMENT_MANIFEST_KEY),
                     slice_make(bytes, sizeof(bytes)), why);
}

/* --- the file --------------------------------------------------------------------------------- */

static bool canceled(const struct segment_build *b)
{
    return b->cancel != NULL && atomic_load_explicit(b->cancel, memory_order_relaxed);
}

static enum shoal_err write_parts(struct writer *w, struct errbuf *why)
{
    enum shoal_err rc = store_table_open(w->store, SEGMENT_TABLE, &w->table, why);
    for (int part = 0; part < SEGMENT_PARTS_LEN && rc == SHOAL_OK; part++) {
        if (canceled(w->b)) {
            return err_set(why, SHOAL_ECANCELED, "the build was canceled");
        }
        w->part = (enum segment_part)part;
        rc = store_write(w->store, write_part, w, why);
    }
    if (rc == SHOAL_OK) {
        rc = store_write(w->store, write_manifest, w, why);
    }
    return rc == SHOAL_OK ? store_sync(w->store, why) : rc;
}

static enum shoal_err write_file(struct writer *w, const char *path, struct errbuf *why)
{
    uint64_t bytes = segment_bytes_estimate(w->m.rows, &w->m.index) + w->built.bytes_len;
    const struct store_config config = { .path = path,
                                         .map_bytes = bytes,
                                         .map_bytes_max = bytes * 2,
                                         .sync = STORE_SYNC_BUILD,
                                         .tables_max = 1 };
    enum shoal_err rc = store_open(&config, &w->store, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = write_parts(w, why);
    store_close(w->store);
    w->store = NULL;
    return rc;
}

/* Nothing is lost when a leftover cannot be removed: shard_open tries again. */
static void remove_leftovers(const struct disk *disk, const char *tmp)
{
    char lock[DISK_PATH_MAX + 8];
    (void)snprintf(lock, sizeof(lock), "%s-lock", tmp);
    (void)disk->remove_file(disk->arg, lock, NULL);
    (void)disk->remove_file(disk->arg, tmp, NULL);
}

static enum shoal_err write_named(struct writer *w, struct errbuf *why)
{
    const struct disk *disk = w->b->disk;
    char path[DISK_PATH_MAX];
    char tmp[DISK_PATH_MAX];
    enum shoal_err rc = segment_path(w->b->dir, w->b->id, path);
    if (rc == SHOAL_OK && snprintf(tmp, sizeof(tmp), "%s.tmp", path) >= (int)sizeof(tmp)) {
        rc = SHOAL_ETOOBIG;
    }
    if (rc != SHOAL_OK) {
        return err_set(why, rc, "the path of a segment in %s is too long", w->b->dir);
    }
    remove_leftovers(disk, tmp);
    rc = write_file(w, tmp, why);
    if (rc == SHOAL_OK) {
        rc = disk->rename(disk->arg, tmp, path, why);
    }
    remove_leftovers(disk, tmp);
    if (rc == SHOAL_OK) {
        rc = disk->sync_dir(disk->arg, w->b->dir, why);
        if (rc != SHOAL_OK) {
            (void)disk->remove_file(disk->arg, path, NULL);
        }
    }
    return rc;
}

/* --- the index -------------------------------------------------------------------------------- */

static enum shoal_err build_index(struct writer *w, struct errbuf *why)
{
    const size_t dim = w->m.index.dim;
    size_t len;
    float *block = NULL;
    if (size_mul(w->m.rows, dim * sizeof(float), &len)) {
        block = mem_aligned(len);
    }
    if (block == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for the vectors of %" PRIu32 " rows",
                       w->m.rows);
    }
    for (uint32_t i = 0; i < w->m.rows; i++) {
        memcpy(block + i * dim, w->b->rows[i].vector, dim * sizeof(float));
    }
    enum shoal_err rc = index_build(&w->m.index, block, w->m.rows, w->b->cancel, &w->built, why);
    mem_free(block);
    if (rc == SHOAL_OK && w->built.bytes_len > SEGMENT_PART_BYTES_MAX) {
        rc = err_set(why, SHOAL_ETOOBIG, "an index of %zu bytes", w->built.bytes_len);
    }
    return rc;
}

enum shoal_err segment_build(const struct segment_build *b, struct segment_manifest *out,
                             struct errbuf *why)
{
    *out = (struct segment_manifest){ 0 };
    assert(b->rows_len >= 1 && b->rows_len <= segment_rows_max(b->index.dim));
    assert(b->rows[0].row >= b->row_begin && b->rows[b->rows_len - 1].row < b->row_end);
    struct writer w = { .b = b };
    w.m = (struct segment_manifest){ .id = b->id,
                                     .row_begin = b->row_begin,
                                     .row_end = b->row_end,
                                     .rows = (uint32_t)b->rows_len,
                                     .index = b->index };
    if (b->rows_len < SEGMENT_INDEX_ROWS_MIN) {
        w.m.index.kind = INDEX_FLAT;
    }
    enum shoal_err rc = build_index(&w, why);
    if (rc == SHOAL_OK) {
        rc = write_named(&w, why);
    }
    index_built_release(&w.built);
    if (rc == SHOAL_OK) {
        *out = w.m;
    }
    return rc == SHOAL_OK ? rc : err_prefix(why, rc, "building segment %" PRIu64, b->id);
}
