#include "shard/state.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"
#include "shard/payload.h"
#include "shard/state_tables.h"

#include <assert.h>
#include <inttypes.h>

#define FORMAT_VERSION 1u
#define META_KEY "shard"
#define META_LEN 64
#define POINT_LEN 16
#define MAP_BYTES_FIRST (64u << 20)

static const char *const names[STATE_TABLES_LEN] = {
    [STATE_META] = "meta",         [STATE_POINTS] = "points",     [STATE_ROWS] = "rows",
    [STATE_PAYLOADS] = "payloads", [STATE_SEGMENTS] = "segments", [STATE_DEAD] = "dead",
    [STATE_OPS] = "ops",           [STATE_OP_RING] = "op_ring",
};

/* --- keys and seals --------------------------------------------------------------------------- */

struct state_key state__id_key(const struct point_id *id)
{
    struct state_key k;
    k.len = point_id_key(id, k.bytes);
    return k;
}

struct state_key state__u64_key(uint64_t n)
{
    struct state_key k = { .len = sizeof(n) };
    bytes_put_be64(k.bytes, n);
    return k;
}

struct state_key state__dead_key(uint64_t segment, uint32_t position)
{
    struct state_key k = { .len = sizeof(segment) + sizeof(position) };
    bytes_put_be64(k.bytes, segment);
    bytes_put_le32(k.bytes + sizeof(segment), __builtin_bswap32(position));
    return k;
}

static uint64_t seal_of(struct slice key, const uint8_t *value, size_t len)
{
    return hash64_seeded(value, len, hash64(key.data, key.len));
}

enum shoal_err state__reserve(const struct state *s, struct store_txn *txn, enum state_table t,
                              struct slice key, size_t len, uint8_t **room, struct errbuf *why)
{
    void *value = NULL;
    enum shoal_err rc = store_put_reserve(txn, s->tables[t], key, STATE_SEAL_LEN + len, &value,
                                          why);
    *room = rc == SHOAL_OK ? (uint8_t *)value + STATE_SEAL_LEN : NULL;
    return rc;
}

void state__seal(struct slice key, uint8_t *room, size_t len)
{
    bytes_put_le64(room - STATE_SEAL_LEN, seal_of(key, room, len));
}

enum shoal_err state__put(const struct state *s, struct store_txn *txn, enum state_table t,
                          struct slice key, struct slice value, struct errbuf *why)
{
    uint8_t *room = NULL;
    enum shoal_err rc = state__reserve(s, txn, t, key, value.len, &room, why);
    if (rc == SHOAL_OK) {
        memcpy(room, value.data, value.len);
        state__seal(key, room, value.len);
    }
    return rc;
}

enum shoal_err state__open(enum state_table t, struct slice key, struct slice sealed,
                           struct slice *out, struct errbuf *why)
{
    const uint8_t *value = (const uint8_t *)sealed.data + STATE_SEAL_LEN;
    if (sealed.len < STATE_SEAL_LEN ||
        bytes_get_le64(sealed.data) != seal_of(key, value, sealed.len - STATE_SEAL_LEN)) {
        return err_set(why, SHOAL_ECORRUPT, "state.mdb: a value of %s is damaged", names[t]);
    }
    *out = slice_make(value, sealed.len - STATE_SEAL_LEN);
    return SHOAL_OK;
}

enum shoal_err state__get(const struct state *s, struct store_txn *txn, enum state_table t,
                          struct slice key, struct slice *out, struct errbuf *why)
{
    struct slice sealed;
    enum shoal_err rc = store_get(txn, s->tables[t], key, &sealed);
    if (rc == SHOAL_ENOTFOUND) {
        return rc;
    }
    if (rc != SHOAL_OK) {
        return err_set(why, rc, "state.mdb: %s cannot be read: %s", names[t], err_text(rc));
    }
    return state__open(t, key, sealed, out, why);
}

static enum shoal_err damaged(struct errbuf *why, enum state_table t)
{
    return err_set(why, SHOAL_ECORRUPT, "state.mdb: a value of %s has another length", names[t]);
}

/* --- meta ------------------------------------------------------------------------------------- */

enum shoal_err state_meta_get(const struct state *s, struct store_txn *txn, struct state_meta *out,
                              struct errbuf *why)
{
    struct slice v;
    enum shoal_err rc = state__get(s, txn, STATE_META, SLICE_LIT(META_KEY), &v, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    const char *b = v.data;
    if (v.len >= 4 && bytes_get_le32(b) > FORMAT_VERSION) {
        return err_set(why, SHOAL_EUNSUPPORTED,
                       "state.mdb: format %" PRIu32 " was written by a later version of the "
                       "program",
                       bytes_get_le32(b));
    }
    if (v.len != META_LEN || bytes_get_le32(b) != FORMAT_VERSION) {
        return damaged(why, STATE_META);
    }
    *out = (struct state_meta){ .dim = bytes_get_le32(b + 4),
                                .distance = (enum distance)bytes_get_le32(b + 8),
                                .applied = bytes_get_le64(b + 16),
                                .next_row = bytes_get_le64(b + 24),
                                .growing_begin = bytes_get_le64(b + 32),
                                .next_segment = bytes_get_le64(b + 40),
                                .points = bytes_get_le64(b + 48),
                                .ops = bytes_get_le64(b + 56) };
    return SHOAL_OK;
}

enum shoal_err state_meta_put(const struct state *s, struct store_txn *txn,
                              const struct state_meta *m, struct errbuf *why)
{
    assert(m->growing_begin <= m->next_row && m->points <= m->next_row);
    uint8_t b[META_LEN] = { 0 };
    bytes_put_le32(b, FORMAT_VERSION);
    bytes_put_le32(b + 4, m->dim);
    bytes_put_le32(b + 8, (uint32_t)m->distance);
    bytes_put_le64(b + 16, m->applied);
    bytes_put_le64(b + 24, m->next_row);
    bytes_put_le64(b + 32, m->growing_begin);
    bytes_put_le64(b + 40, m->next_segment);
    bytes_put_le64(b + 48, m->points);
    bytes_put_le64(b + 56, m->ops);
    return state__put(s, txn, STATE_META, SLICE_LIT(META_KEY), slice_make(b, sizeof(b)), why);
}

/* --- open and close --------------------------------------------------------------------------- */

struct creation {
    const struct state *state;
    const struct state_meta *meta;
};

static enum shoal_err create(void *arg, struct store_txn *txn, struct errbuf *why)
{
    const struct creation *c = arg;
    return state_meta_put(c->state, txn, c->meta, why);
}

static enum shoal_err read_meta(struct state *s, struct state_meta *out, struct errbuf *why)
{
    struct store_txn *txn = NULL;
    enum shoal_err rc = store_read_begin(s->store, &txn, why);
    if (rc == SHOAL_OK) {
        rc = state_meta_get(s, txn, out, why);
        store_read_end(txn);
    }
    return rc;
}

static enum shoal_err open_or_create(struct state *s, struct state_meta *meta, struct errbuf *why)
{
    enum shoal_err rc = SHOAL_OK;
    for (int t = 0; t < STATE_TABLES_LEN && rc == SHOAL_OK; t++) {
        rc = store_table_open(s->store, names[t], &s->tables[t], why);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct state_meta stored;
    rc = read_meta(s, &stored, why);
    if (rc == SHOAL_ENOTFOUND) {
        /* Row numbers and segment ids begin at 1, so that 0 is never one of them. */
        stored = (struct state_meta){ .dim = meta->dim,
                                      .distance = meta->distance,
                                      .next_row = 1,
                                      .growing_begin = 1,
                                      .next_segment = 1 };
        struct creation c = { .state = s, .meta = &stored };
        rc = store_write(s->store, create, &c, why);
        if (rc == SHOAL_OK) {
            rc = store_sync(s->store, why);
        }
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (stored.dim != meta->dim || stored.distance != meta->distance) {
        return err_set(why, SHOAL_ECONFLICT,
                       "the shard was made for %s vectors of dim %" PRIu32
                       ", not for %s vectors of dim %" PRIu32,
                       distance_name(stored.distance), stored.dim, distance_name(meta->distance),
                       meta->dim);
    }
    *meta = stored;
    return SHOAL_OK;
}

enum shoal_err state_open(const char *path, size_t map_bytes_max, struct state_meta *meta,
                          struct state **out, struct errbuf *why)
{
    *out = NULL;
    struct state *s = mem_calloc(1, sizeof(*s));
    if (s == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for a shard's state");
    }
    const struct store_config config = {
        .path = path,
        .map_bytes = map_bytes_max < MAP_BYTES_FIRST ? map_bytes_max : MAP_BYTES_FIRST,
        .map_bytes_max = map_bytes_max,
        .sync = STORE_SYNC_NO_META,
        .tables_max = STATE_TABLES_LEN,
    };
    enum shoal_err rc = store_open(&config, &s->store, why);
    if (rc == SHOAL_OK) {
        rc = open_or_create(s, meta, why);
    }
    if (rc != SHOAL_OK) {
        state_close(s);
        return rc;
    }
    *out = s;
    return SHOAL_OK;
}

void state_close(struct state *s)
{
    if (s != NULL) {
        store_close(s->store);
        mem_free(s);
    }
}

struct store *state_store(struct state *s)
{
    return s->store;
}

/* --- points and payloads ---------------------------------------------------------------------- */

static enum shoal_err point_from(struct slice v, struct state_point *out, struct errbuf *why)
{
    if (v.len != POINT_LEN) {
        return damaged(why, STATE_POINTS);
    }
    *out = (struct state_point){ .row = bytes_get_le64(v.data),
                                 .version = bytes_get_le64(v.data + 8) };
    return SHOAL_OK;
}

enum shoal_err state_point_get(const struct state *s, struct store_txn *txn,
                               const struct point_id *id, struct state_point *out,
                               struct errbuf *why)
{
    struct state_key key = state__id_key(id);
    struct slice v;
    enum shoal_err rc = state__get(s, txn, STATE_POINTS, state__key(&key), &v, why);
    return rc == SHOAL_OK ? point_from(v, out, why) : rc;
}

enum shoal_err state_point_put(const struct state *s, struct store_txn *txn,
                               const struct point_id *id, const struct state_point *p,
                               struct errbuf *why)
{
    struct state_key key = state__id_key(id);
    uint8_t v[POINT_LEN];
    bytes_put_le64(v, p->row);
    bytes_put_le64(v + 8, p->version);
    return state__put(s, txn, STATE_POINTS, state__key(&key), slice_make(v, sizeof(v)), why);
}

enum shoal_err state_point_delete(const struct state *s, struct store_txn *txn,
                                  const struct point_id *id, struct errbuf *why)
{
    struct state_key key = state__id_key(id);
    return store_delete(txn, s->tables[STATE_POINTS], state__key(&key), why);
}

enum shoal_err state_payload_get(const struct state *s, struct store_txn *txn,
                                 const struct point_id *id, struct slice *out, struct errbuf *why)
{
    struct state_key key = state__id_key(id);
    enum shoal_err rc = state__get(s, txn, STATE_PAYLOADS, state__key(&key), out, why);
    if (rc == SHOAL_ENOTFOUND) {
        *out = slice_make(NULL, 0);
        return SHOAL_OK;
    }
    return rc;
}

enum shoal_err state_payload_put(const struct state *s, struct store_txn *txn,
                                 const struct point_id *id, struct slice text, struct errbuf *why)
{
    struct state_key key = state__id_key(id);
    if (payload_is_none(text)) {
        enum shoal_err rc = store_delete(txn, s->tables[STATE_PAYLOADS], state__key(&key), why);
        return rc == SHOAL_ENOTFOUND ? SHOAL_OK : rc;
    }
    return state__put(s, txn, STATE_PAYLOADS, state__key(&key), text, why);
}

/* --- walking ---------------------------------------------------------------------------------- */

enum shoal_err state_walk_begin(struct state_walk *w, const struct state *s, struct store_txn *txn,
                                const struct point_id *from, bool payloads, struct errbuf *why)
{
    *w = (struct state_walk){ .state = s };
    if (from != NULL) {
        w->from = slice_make(w->from_key, point_id_key(from, w->from_key));
    }
    enum shoal_err rc = store_cursor_open(txn, s->tables[STATE_POINTS], &w->points, why);
    if (rc == SHOAL_OK && payloads) {
        rc = store_cursor_open(txn, s->tables[STATE_PAYLOADS], &w->payloads, why);
    }
    if (rc == SHOAL_OK && payloads) {
        rc = store_cursor_seek(w->payloads, w->from, &w->payload_key, &w->payload_value);
        if (rc == SHOAL_ENOTFOUND) {
            w->payload_key = slice_make(NULL, 0);
            rc = SHOAL_OK;
        }
    }
    if (rc != SHOAL_OK) {
        state_walk_end(w);
    }
    return rc;
}

void state_walk_end(struct state_walk *w)
{
    store_cursor_close(w->points);
    store_cursor_close(w->payloads);
    w->points = NULL;
    w->payloads = NULL;
}

static int key_compare(struct slice a, struct slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = memcmp(a.data, b.data, len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* Both tables are in the same order, so the payload cursor only ever moves forward. */
static enum shoal_err walk_payload(struct state_walk *w, struct slice key, struct slice *out,
                                   struct errbuf *why)
{
    *out = slice_make(NULL, 0);
    while (w->payload_key.len > 0 && key_compare(w->payload_key, key) < 0) {
        enum shoal_err rc = store_cursor_next(w->payloads, &w->payload_key, &w->payload_value);
        if (rc == SHOAL_ENOTFOUND) {
            w->payload_key = slice_make(NULL, 0);
        } else if (rc != SHOAL_OK) {
            return err_set(why, rc, "state.mdb: payloads cannot be read: %s", err_text(rc));
        }
    }
    if (w->payload_key.len == 0 || !slice_equal(w->payload_key, key)) {
        return SHOAL_OK;
    }
    return state__open(STATE_PAYLOADS, key, w->payload_value, out, why);
}

enum shoal_err state_walk_next(struct state_walk *w, struct state_seen *out, struct errbuf *why)
{
    struct slice key;
    struct slice sealed;
    struct slice v;
    enum shoal_err rc = w->begun ? store_cursor_next(w->points, &key, &sealed)
                                 : store_cursor_seek(w->points, w->from, &key, &sealed);
    w->begun = true;
    if (rc == SHOAL_ENOTFOUND) {
        return rc;
    }
    if (rc != SHOAL_OK) {
        return err_set(why, rc, "state.mdb: points cannot be read: %s", err_text(rc));
    }
    rc = state__open(STATE_POINTS, key, sealed, &v, why);
    if (rc == SHOAL_OK) {
        rc = point_from(v, &out->point, why);
    }
    if (rc == SHOAL_OK && point_id_from_key(key.data, key.len, &out->id) != SHOAL_OK) {
        rc = err_set(why, SHOAL_ECORRUPT, "state.mdb: a key of points is no id");
    }
    out->payload = slice_make(NULL, 0);
    return rc == SHOAL_OK && w->payloads != NULL ? walk_payload(w, key, &out->payload, why) : rc;
}
