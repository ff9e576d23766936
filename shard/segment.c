/* An open segment: slices of one read transaction that lasts as long as the segment. The file has
 * no writer, so that transaction pins nothing. */
#include "shard/segment.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "index/scan.h"
#include "shard/segment_file.h"
#include "shard/store.h"

#include <assert.h>
#include <inttypes.h>

struct segment {
    /* Immutable once open. */
    struct segment_manifest m;
    struct slice parts[SEGMENT_PARTS_LEN]; /* without padding */
    struct index *index;                   /* NULL: the derived part is unfit */
    struct store *store;                   /* NULL: parts in the caller's memory */
    struct store_txn *txn;
    const struct disk *disk;
    char *path;

    atomic_size_t refs;
    atomic_bool retired;
};

static enum shoal_err unfit(const struct segment *s, struct errbuf *why, enum segment_part part,
                            const char *what)
{
    return err_set(why, SHOAL_ECORRUPT, "segment %" PRIu64 ": %s: %s", s->m.id,
                   segment__part_name(part), what);
}

/* --- open and close --------------------------------------------------------------------------- */

static void segment_free(struct segment *s)
{
    index_close(s->index);
    store_read_end(s->txn);
    store_close(s->store);
    if (s->path != NULL && atomic_load(&s->retired)) {
        struct errbuf why;
        err_clear(&why);
        enum shoal_err rc = s->disk->remove_file(s->disk->arg, s->path, &why);
        if (rc != SHOAL_OK) { /* the next opening of the shard removes it */
            log_warn("a retired segment could not be removed", LOG_STR("path", s->path),
                     LOG_ERR(rc, &why));
        }
    }
    mem_free(s->path);
    mem_free(s);
}

static enum shoal_err take_parts(struct segment *s, const struct slice parts[SEGMENT_PARTS_LEN],
                                 struct errbuf *why)
{
    for (int i = 0; i < SEGMENT_PARTS_LEN; i++) {
        enum segment_part part = (enum segment_part)i;
        if (parts[i].len < s->m.parts[i].len) {
            return unfit(s, why, part, "it is shorter than the manifest says");
        }
        if (part != SEGMENT_IDS && (uintptr_t)parts[i].data % sizeof(uint64_t) != 0) {
            return unfit(s, why, part, "it is not aligned");
        }
        s->parts[i] = slice_make(parts[i].data, (size_t)s->m.parts[i].len);
    }
    struct errbuf index_why;
    err_clear(&index_why);
    enum shoal_err rc = index_open(&s->m.index,
                                   (const float *)(const void *)s->parts[SEGMENT_VECTORS].data,
                                   s->m.rows, s->parts[SEGMENT_INDEX], &s->index, &index_why);
    if (rc == SHOAL_ECORRUPT) { /* derived: the vectors can do without */
        log_warn("a segment's index is unfit; it is searched by scanning until it is rebuilt",
                 LOG_U64("segment", s->m.id), LOG_ERR(rc, &index_why));
        return SHOAL_OK;
    }
    return rc == SHOAL_OK
               ? rc
               : err_set(why, rc, "segment %" PRIu64 ": %s", s->m.id, err_why(&index_why, rc));
}

static struct segment *segment_new(const struct segment_manifest *m)
{
    struct segment *s = mem_calloc(1, sizeof(*s));
    if (s != NULL) {
        s->m = *m;
        atomic_init(&s->refs, 1);
        atomic_init(&s->retired, false);
    }
    return s;
}

enum shoal_err segment_open_parts(const struct segment_manifest *m,
                                  const struct slice parts[SEGMENT_PARTS_LEN], struct segment **out,
                                  struct errbuf *why)
{
    *out = NULL;
    struct segment *s = segment_new(m);
    if (s == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for a segment");
    }
    enum shoal_err rc = take_parts(s, parts, why);
    if (rc != SHOAL_OK) {
        segment_free(s);
        return rc;
    }
    *out = s;
    return SHOAL_OK;
}

static enum shoal_err read_parts(struct segment *s, store_table table,
                                 struct slice parts[SEGMENT_PARTS_LEN], struct errbuf *why)
{
    struct slice stored;
    uint8_t expected[SEGMENT_MANIFEST_LEN];
    segment_manifest_encode(&s->m, expected);
    enum shoal_err rc = store_get(s->txn, table, SLICE_LIT(SEGMENT_MANIFEST_KEY), &stored);
    if (rc != SHOAL_OK || !slice_equal(stored, slice_make(expected, sizeof(expected)))) {
        rc = rc == SHOAL_OK || rc == SHOAL_ENOTFOUND ? SHOAL_ECORRUPT : rc;
        return err_set(why, rc, "%s: its manifest is not the one that was published", s->path);
    }
    for (int i = 0; i < SEGMENT_PARTS_LEN; i++) {
        const char *name = segment__part_name((enum segment_part)i);
        rc = store_get(s->txn, table, slice_from_str(name), &parts[i]);
        if (rc != SHOAL_OK) {
            rc = rc == SHOAL_ENOTFOUND ? SHOAL_ECORRUPT : rc;
            return err_set(why, rc, "%s: %s cannot be read", s->path, name);
        }
    }
    return SHOAL_OK;
}

static enum shoal_err open_file(struct segment *s, const char *dir, struct errbuf *why)
{
    char path[DISK_PATH_MAX];
    enum shoal_err rc = segment_path(dir, s->m.id, path);
    if (rc != SHOAL_OK) {
        return err_set(why, rc, "the path of a segment in %s is too long", dir);
    }
    s->path = mem_strdup(path);
    if (s->path == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for a segment");
    }
    const struct store_config config = { .path = path, .read_only = true, .tables_max = 1 };
    rc = store_open(&config, &s->store, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    store_table table;
    rc = store_table_open(s->store, SEGMENT_TABLE, &table, why);
    if (rc == SHOAL_OK) {
        rc = store_read_begin(s->store, &s->txn, why);
    }
    struct slice parts[SEGMENT_PARTS_LEN];
    if (rc == SHOAL_OK) {
        rc = read_parts(s, table, parts, why);
    }
    return rc == SHOAL_OK ? take_parts(s, parts, why) : rc;
}

enum shoal_err segment_open(const char *dir, const struct disk *disk,
                            const struct segment_manifest *m, struct segment **out,
                            struct errbuf *why)
{
    *out = NULL;
    struct segment *s = segment_new(m);
    if (s == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for a segment");
    }
    s->disk = disk;
    enum shoal_err rc = open_file(s, dir, why);
    if (rc != SHOAL_OK) {
        segment_free(s);
        return err_prefix(why, rc, "segment %" PRIu64, m->id);
    }
    *out = s;
    return SHOAL_OK;
}

struct segment *segment_ref(struct segment *s)
{
    size_t before = atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
    return s;
}

void segment_unref(struct segment *s)
{
    if (s != NULL && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1) {
        segment_free(s);
    }
}

void segment_retire(struct segment *s)
{
    atomic_store(&s->retired, true);
}

/* --- look-up ---------------------------------------------------------------------------------- */

const struct segment_manifest *segment_info(const struct segment *s)
{
    return &s->m;
}

uint64_t segment_bytes(const struct segment *s)
{
    uint64_t sum = 0;
    for (int i = 0; i < SEGMENT_PARTS_LEN; i++) {
        sum += s->m.parts[i].len;
    }
    return sum;
}

bool segment_needs_rebuild(const struct segment *s)
{
    return s->index == NULL;
}

const uint64_t *segment_rows(const struct segment *s)
{
    return (const uint64_t *)(const void *)s->parts[SEGMENT_ROWS].data;
}

const uint32_t *segment_positions(const struct segment *s)
{
    return (const uint32_t *)(const void *)s->parts[SEGMENT_POSITIONS].data;
}

bool segment_find(const struct segment *s, uint64_t row, uint32_t *position)
{
    const uint64_t *rows = segment_rows(s);
    uint32_t lo = 0;
    uint32_t hi = s->m.rows;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (rows[mid] < row) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    if (lo == s->m.rows || rows[lo] != row) {
        return false;
    }
    *position = segment_positions(s)[lo];
    return *position < s->m.rows; /* the file is trusted no further than this */
}

const float *segment_vector(const struct segment *s, uint32_t position)
{
    assert(position < s->m.rows);
    const char *vectors = s->parts[SEGMENT_VECTORS].data;
    return (const float *)(const void *)vectors + (size_t)position * s->m.index.dim;
}

enum shoal_err segment_id(const struct segment *s, uint32_t position, struct point_id *out)
{
    assert(position < s->m.rows);
    const char *key = s->parts[SEGMENT_IDS].data + (size_t)position * SEGMENT_ID_LEN;
    return point_id_from_key(key, key[0] == POINT_ID_NUM ? 9 : SEGMENT_ID_LEN, out);
}

/* --- search ----------------------------------------------------------------------------------- */

static enum shoal_err scan(const struct segment *s, const struct index_query *q,
                           struct index_hit *hits, size_t *n_out, struct errbuf *why)
{
    struct scan_hit *room = mem_array(q->k, sizeof(*room));
    if (room == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for %zu hits", q->k);
    }
    struct topk top;
    topk_init(&top, s->m.index.distance, room, q->k);
    scan_rows(&top, q->vector, segment_vector(s, 0), s->m.rows, s->m.index.dim, 0,
              q->filter == NULL ? NULL : q->filter->allowed);
    topk_finish(&top);
    for (size_t i = 0; i < top.len; i++) {
        hits[i] = (struct index_hit){ .row = (uint32_t)room[i].row, .score = room[i].score };
    }
    *n_out = top.len;
    mem_free(room);
    return SHOAL_OK;
}

enum shoal_err segment_search(const struct segment *s, const struct index_query *q,
                              struct index_hit *hits, size_t *n_out, struct errbuf *why)
{
    *n_out = 0;
    if (s->index == NULL) {
        return scan(s, q, hits, n_out, why);
    }
    enum shoal_err rc = index_search(s->index, q, hits, n_out, why);
    return rc == SHOAL_OK ? rc : err_prefix(why, rc, "segment %" PRIu64, s->m.id);
}

/* --- verify ----------------------------------------------------------------------------------- */

static enum shoal_err verify_checksum(const struct segment *s, enum segment_part part,
                                      struct errbuf *why)
{
    if (hash64(s->parts[part].data, s->parts[part].len) != s->m.parts[part].checksum) {
        return unfit(s, why, part, "its checksum does not fit");
    }
    return SHOAL_OK;
}

enum shoal_err segment_verify_truth(const struct segment *s, struct errbuf *why)
{
    enum shoal_err rc = SHOAL_OK;
    for (int part = 0; part < SEGMENT_PARTS_LEN && rc == SHOAL_OK; part++) {
        if (part != SEGMENT_INDEX) {
            rc = verify_checksum(s, (enum segment_part)part, why);
        }
    }
    return rc;
}

/* Every position once: a bit for each. */
static enum shoal_err verify_positions(const struct segment *s, struct errbuf *why)
{
    uint8_t *seen = mem_calloc((s->m.rows + 7u) / 8, 1);
    if (seen == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for a check");
    }
    const uint32_t *positions = segment_positions(s);
    bool fit = true;
    for (uint32_t i = 0; i < s->m.rows && fit; i++) {
        uint32_t at = positions[i];
        fit = at < s->m.rows && (seen[at / 8] >> (at % 8) & 1) == 0;
        if (fit) {
            seen[at / 8] = (uint8_t)(seen[at / 8] | 1u << (at % 8));
        }
    }
    mem_free(seen);
    return fit ? SHOAL_OK : unfit(s, why, SEGMENT_POSITIONS, "not every position occurs once");
}

static enum shoal_err verify_rows(const struct segment *s, struct errbuf *why)
{
    const uint64_t *rows = segment_rows(s);
    for (uint32_t i = 0; i < s->m.rows; i++) {
        if (rows[i] < s->m.row_begin || rows[i] >= s->m.row_end ||
            (i > 0 && rows[i] <= rows[i - 1])) {
            return unfit(s, why, SEGMENT_ROWS, "not ascending within the segment's range");
        }
    }
    return SHOAL_OK;
}

static enum shoal_err verify_points(const struct segment *s, struct errbuf *why)
{
    for (uint32_t at = 0; at < s->m.rows; at++) {
        struct point_id id;
        if (segment_id(s, at, &id) != SHOAL_OK) {
            return unfit(s, why, SEGMENT_IDS, "an id is none");
        }
        enum shoal_err rc = vector_check(segment_vector(s, at), s->m.index.dim, s->m.index.distance,
                                         why);
        if (rc != SHOAL_OK) {
            return unfit(s, why, SEGMENT_VECTORS, "a vector is not fit to be searched");
        }
    }
    return SHOAL_OK;
}

enum shoal_err segment_verify(const struct segment *s, struct errbuf *why)
{
    enum shoal_err rc = segment_verify_truth(s, why);
    if (rc == SHOAL_OK) {
        rc = verify_checksum(s, SEGMENT_INDEX, why);
    }
    if (rc == SHOAL_OK) {
        rc = verify_rows(s, why);
    }
    if (rc == SHOAL_OK) {
        rc = verify_positions(s, why);
    }
    if (rc == SHOAL_OK) {
        rc = verify_points(s, why);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (s->index == NULL) {
        return unfit(s, why, SEGMENT_INDEX, "its header is unfit");
    }
    rc = index_validate(s->index, why);
    return rc == SHOAL_OK ? rc : err_prefix(why, rc, "segment %" PRIu64 ": index", s->m.id);
}
