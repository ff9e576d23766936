/* The state's growing rows, segments, dead rows and remembered operations. */
#include "shard/state.h"

#include "base/bytes.h"
#include "shard/state_tables.h"

#include <assert.h>
#include <inttypes.h>

/* Kind, number or UUID, zeros: the vector then begins at a multiple of 8 within the value. */
#define ROW_ID_LEN 24
#define TRIM_PIECE 4096u
#define OUTCOME_LEN 20

/* --- growing rows ----------------------------------------------------------------------------- */

enum shoal_err state_row_append(const struct state *s, struct store_txn *txn, uint64_t row,
                                const struct point_id *id, const float *vector, uint32_t dim,
                                struct errbuf *why)
{
    struct state_key key = state__u64_key(row);
    const size_t len = ROW_ID_LEN + dim * sizeof(float);
    uint8_t *room = NULL;
    enum shoal_err rc = state__reserve(s, txn, STATE_ROWS, state__key(&key), len, &room, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    memset(room, 0, ROW_ID_LEN);
    (void)point_id_key(id, room);
    memcpy(room + ROW_ID_LEN, vector, dim * sizeof(float));
    state__seal(state__key(&key), room, len);
    return SHOAL_OK;
}

enum shoal_err state_row_delete(const struct state *s, struct store_txn *txn, uint64_t row,
                                struct errbuf *why)
{
    struct state_key key = state__u64_key(row);
    return store_delete(txn, s->tables[STATE_ROWS], state__key(&key), why);
}

static enum shoal_err row_seen(struct slice key, struct slice sealed, uint32_t dim,
                               state_row_fn *each, void *arg, struct errbuf *why)
{
    struct slice v;
    struct point_id id;
    enum shoal_err rc = state__open(STATE_ROWS, key, sealed, &v, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    const size_t id_len = v.len > 0 && v.data[0] == POINT_ID_NUM ? 9 : POINT_ID_KEY_MAX;
    if (key.len != sizeof(uint64_t) || v.len != ROW_ID_LEN + dim * sizeof(float) ||
        point_id_from_key(v.data, id_len, &id) != SHOAL_OK) {
        return err_set(why, SHOAL_ECORRUPT, "state.mdb: a value of rows is not as it was written");
    }
    return each(arg, bytes_get_be64(key.data), &id, v.data + ROW_ID_LEN, why);
}

enum shoal_err state_rows_each(const struct state *s, struct store_txn *txn, uint64_t from,
                               uint32_t dim, state_row_fn *each, void *arg, struct errbuf *why)
{
    struct store_cursor *c = NULL;
    struct state_key begin = state__u64_key(from);
    struct slice key;
    struct slice sealed;
    enum shoal_err rc = store_cursor_open(txn, s->tables[STATE_ROWS], &c, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = store_cursor_seek(c, state__key(&begin), &key, &sealed);
    while (rc == SHOAL_OK) {
        rc = row_seen(key, sealed, dim, each, arg, why);
        if (rc == SHOAL_OK) {
            rc = store_cursor_next(c, &key, &sealed);
        }
    }
    store_cursor_close(c);
    return rc == SHOAL_ENOTFOUND ? SHOAL_OK : rc;
}

/* --- segments --------------------------------------------------------------------------------- */

enum shoal_err state_segment_put(const struct state *s, struct store_txn *txn,
                                 const struct segment_manifest *m, struct errbuf *why)
{
    struct state_key key = state__u64_key(m->id);
    uint8_t bytes[SEGMENT_MANIFEST_LEN];
    segment_manifest_encode(m, bytes);
    return state__put(s, txn, STATE_SEGMENTS, state__key(&key), slice_make(bytes, sizeof(bytes)),
                      why);
}

enum shoal_err state_segment_delete(const struct state *s, struct store_txn *txn, uint64_t id,
                                    struct errbuf *why)
{
    struct state_key key = state__u64_key(id);
    return store_delete(txn, s->tables[STATE_SEGMENTS], state__key(&key), why);
}

static enum shoal_err segment_seen(struct slice key, struct slice sealed, state_segment_fn *each,
                                   void *arg, struct errbuf *why)
{
    struct slice v;
    struct segment_manifest m;
    enum shoal_err rc = state__open(STATE_SEGMENTS, key, sealed, &v, why);
    if (rc == SHOAL_OK) {
        rc = segment_manifest_decode(v, &m, why);
    }
    if (rc == SHOAL_OK && (key.len != sizeof(uint64_t) || m.id != bytes_get_be64(key.data))) {
        rc = err_set(why, SHOAL_ECORRUPT, "state.mdb: a segment is listed under another's id");
    }
    return rc == SHOAL_OK ? each(arg, &m, why) : rc;
}

enum shoal_err state_segments_each(const struct state *s, struct store_txn *txn,
                                   state_segment_fn *each, void *arg, struct errbuf *why)
{
    struct store_cursor *c = NULL;
    struct slice key;
    struct slice sealed;
    enum shoal_err rc = store_cursor_open(txn, s->tables[STATE_SEGMENTS], &c, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = store_cursor_seek(c, slice_make(NULL, 0), &key, &sealed);
    while (rc == SHOAL_OK) {
        rc = segment_seen(key, sealed, each, arg, why);
        if (rc == SHOAL_OK) {
            rc = store_cursor_next(c, &key, &sealed);
        }
    }
    store_cursor_close(c);
    return rc == SHOAL_ENOTFOUND ? SHOAL_OK : rc;
}

/* --- dead rows -------------------------------------------------------------------------------- */

/* Sealed too, although there is nothing in it: the key itself may be damaged. */
enum shoal_err state_dead_put(const struct state *s, struct store_txn *txn, uint64_t segment,
                              uint32_t position, struct errbuf *why)
{
    struct state_key key = state__dead_key(segment, position);
    return state__put(s, txn, STATE_DEAD, state__key(&key), SLICE_LIT(""), why);
}

static bool dead_key_parse(struct slice key, uint64_t *segment, uint32_t *position)
{
    if (key.len != sizeof(*segment) + sizeof(*position)) {
        return false;
    }
    *segment = bytes_get_be64(key.data);
    *position = __builtin_bswap32(bytes_get_le32(key.data + sizeof(*segment)));
    return true;
}

enum shoal_err state_dead_each(const struct state *s, struct store_txn *txn, uint64_t segment,
                               state_dead_fn *each, void *arg, struct errbuf *why)
{
    struct store_cursor *c = NULL;
    struct state_key begin = state__dead_key(segment, 0);
    struct slice key;
    struct slice sealed;
    enum shoal_err rc = store_cursor_open(txn, s->tables[STATE_DEAD], &c, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = store_cursor_seek(c, state__key(&begin), &key, &sealed);
    while (rc == SHOAL_OK) {
        struct slice v;
        uint64_t of;
        uint32_t position;
        if (!dead_key_parse(key, &of, &position)) {
            rc = err_set(why, SHOAL_ECORRUPT, "state.mdb: a key of dead is damaged");
            break;
        }
        if (of != segment) {
            break;
        }
        rc = state__open(STATE_DEAD, key, sealed, &v, why);
        if (rc == SHOAL_OK) {
            rc = each(arg, position, why);
        }
        if (rc == SHOAL_OK) {
            rc = store_cursor_next(c, &key, &sealed);
        }
    }
    store_cursor_close(c);
    return rc == SHOAL_ENOTFOUND ? SHOAL_OK : rc;
}

/* --- trimming --------------------------------------------------------------------------------- */

struct trim {
    const struct state *state;
    uint32_t left;          /* entries that this transaction may still remove */
    uint64_t dead_from;     /* segments below are looked at already */
    uint64_t dead_from_now; /* the same, for this transaction */
};

/* Rows below growing_begin. */
static enum shoal_err trim_rows(struct trim *t, struct store_txn *txn, struct store_cursor *c,
                                struct errbuf *why)
{
    struct state_meta meta;
    struct slice key;
    struct slice value;
    enum shoal_err rc = state_meta_get(t->state, txn, &meta, why);
    if (rc == SHOAL_OK) {
        rc = store_cursor_seek(c, slice_make(NULL, 0), &key, &value);
    }
    while (rc == SHOAL_OK && t->left > 0 && key.len == sizeof(uint64_t) &&
           bytes_get_be64(key.data) < meta.growing_begin) {
        rc = store_cursor_delete(c, why);
        t->left--;
        if (rc == SHOAL_OK) {
            rc = store_cursor_next(c, &key, &value);
        }
    }
    return rc == SHOAL_ENOTFOUND ? SHOAL_OK : rc;
}

static enum shoal_err segment_listed(const struct trim *t, struct store_txn *txn, uint64_t id,
                                     bool *listed)
{
    struct state_key key = state__u64_key(id);
    struct slice v;
    enum shoal_err rc = store_get(txn, t->state->tables[STATE_SEGMENTS], state__key(&key), &v);
    *listed = rc == SHOAL_OK;
    return rc == SHOAL_ENOTFOUND ? SHOAL_OK : rc;
}

/* Dead entries of segments that are not listed, segment by segment. */
static enum shoal_err trim_dead(struct trim *t, struct store_txn *txn, struct store_cursor *c,
                                struct errbuf *why)
{
    struct state_key from = state__dead_key(t->dead_from_now, 0);
    struct slice key;
    struct slice value;
    uint64_t segment;
    uint32_t position;
    enum shoal_err rc = store_cursor_seek(c, state__key(&from), &key, &value);
    while (rc == SHOAL_OK && t->left > 0) {
        bool listed = false;
        if (!dead_key_parse(key, &segment, &position)) {
            return err_set(why, SHOAL_ECORRUPT, "state.mdb: a key of dead is damaged");
        }
        rc = segment_listed(t, txn, segment, &listed);
        if (rc != SHOAL_OK) {
            return err_set(why, rc, "state.mdb: segments cannot be read: %s", err_text(rc));
        }
        if (listed) {
            t->dead_from_now = segment + 1;
            from = state__dead_key(t->dead_from_now, 0);
            rc = store_cursor_seek(c, state__key(&from), &key, &value);
        } else {
            rc = store_cursor_delete(c, why);
            t->left--;
            if (rc == SHOAL_OK) {
                rc = store_cursor_next(c, &key, &value);
            }
        }
    }
    return rc == SHOAL_ENOTFOUND ? SHOAL_OK : rc;
}

static enum shoal_err trim_piece(void *arg, struct store_txn *txn, struct errbuf *why)
{
    struct trim *t = arg;
    struct store_cursor *c = NULL;
    t->left = TRIM_PIECE;
    t->dead_from_now = t->dead_from;
    enum shoal_err rc = store_cursor_open(txn, t->state->tables[STATE_ROWS], &c, why);
    if (rc == SHOAL_OK) {
        rc = trim_rows(t, txn, c, why);
        store_cursor_close(c);
    }
    if (rc == SHOAL_OK) {
        rc = store_cursor_open(txn, t->state->tables[STATE_DEAD], &c, why);
    }
    if (rc == SHOAL_OK) {
        rc = trim_dead(t, txn, c, why);
        store_cursor_close(c);
    }
    return rc;
}

enum shoal_err state_trim(struct state *s, struct errbuf *why)
{
    struct trim t = { .state = s, .left = 0 };
    enum shoal_err rc;
    do {
        t.dead_from = t.dead_from_now;
        rc = store_write_freeing(s->store, trim_piece, &t, why);
    } while (rc == SHOAL_OK && t.left == 0);
    return rc;
}

/* --- operations ------------------------------------------------------------------------------- */

enum shoal_err state_op_get(const struct state *s, struct store_txn *txn,
                            const uint8_t id[OP_ID_LEN], struct state_outcome *out,
                            struct errbuf *why)
{
    struct slice v;
    enum shoal_err rc = state__get(s, txn, STATE_OPS, slice_make(id, OP_ID_LEN), &v, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (v.len < OUTCOME_LEN || v.len - OUTCOME_LEN >= sizeof(out->result.text)) {
        return err_set(why, SHOAL_ECORRUPT, "state.mdb: a value of ops has another length");
    }
    *out = (struct state_outcome){ .index = bytes_get_le64(v.data) };
    out->result.value = bytes_get_le64(v.data + 8);
    out->result.rc = err_from_number(bytes_get_le32(v.data + 16));
    memcpy(out->result.text, v.data + OUTCOME_LEN, v.len - OUTCOME_LEN);
    return SHOAL_OK;
}

static enum shoal_err forget_oldest(const struct state *s, struct store_txn *txn,
                                    struct state_meta *meta, struct errbuf *why)
{
    struct store_cursor *c = NULL;
    struct slice key;
    struct slice sealed;
    struct slice id;
    enum shoal_err rc = store_cursor_open(txn, s->tables[STATE_OP_RING], &c, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    uint8_t id_copy[OP_ID_LEN] = { 0 };
    rc = store_cursor_seek(c, slice_make(NULL, 0), &key, &sealed);
    if (rc == SHOAL_OK) {
        rc = state__open(STATE_OP_RING, key, sealed, &id, why);
    }
    if (rc == SHOAL_OK && id.len == OP_ID_LEN) {
        memcpy(id_copy, id.data, OP_ID_LEN);
        rc = store_cursor_delete(c, why);
    }
    store_cursor_close(c);
    if (rc == SHOAL_OK) {
        rc = store_delete(txn, s->tables[STATE_OPS], slice_make(id_copy, OP_ID_LEN), why);
    }
    meta->ops--;
    return rc == SHOAL_ENOTFOUND
               ? err_set(why, SHOAL_ECORRUPT, "state.mdb: ops and op_ring do not fit")
               : rc;
}

enum shoal_err state_op_put(const struct state *s, struct store_txn *txn, struct state_meta *meta,
                            const uint8_t id[OP_ID_LEN], const struct state_outcome *outcome,
                            struct errbuf *why)
{
    uint8_t v[OUTCOME_LEN + sizeof(outcome->result.text)];
    const size_t text_len = strnlen(outcome->result.text, sizeof(outcome->result.text) - 1);
    bytes_put_le64(v, outcome->index);
    bytes_put_le64(v + 8, outcome->result.value);
    bytes_put_le32(v + 16, (uint32_t)outcome->result.rc);
    memcpy(v + OUTCOME_LEN, outcome->result.text, text_len);
    enum shoal_err rc = state__put(s, txn, STATE_OPS, slice_make(id, OP_ID_LEN),
                                   slice_make(v, OUTCOME_LEN + text_len), why);
    struct state_key key = state__u64_key(outcome->index);
    if (rc == SHOAL_OK) {
        rc = state__put(s, txn, STATE_OP_RING, state__key(&key), slice_make(id, OP_ID_LEN), why);
    }
    meta->ops++;
    return rc == SHOAL_OK && meta->ops > STATE_OPS_MAX ? forget_oldest(s, txn, meta, why) : rc;
}
