/* What the files of the state share: its tables, and how values are sealed. Private to state*.c. */
#ifndef SHOAL_SHARD_STATE_TABLES_H
#define SHOAL_SHARD_STATE_TABLES_H

#include "shard/state.h"

enum state_table {
    STATE_META,
    STATE_POINTS,
    STATE_ROWS,
    STATE_PAYLOADS,
    STATE_SEGMENTS,
    STATE_DEAD,
    STATE_OPS,
    STATE_OP_RING,
    STATE_TABLES_LEN
};

struct state {
    struct store *store;
    store_table tables[STATE_TABLES_LEN];
};

/* Bytes before every sealed value. */
#define STATE_SEAL_LEN 8

struct state_key {
    uint8_t bytes[POINT_ID_KEY_MAX];
    size_t len;
};

static inline struct slice state__key(const struct state_key *k)
{
    return slice_make(k->bytes, k->len);
}

struct state_key state__id_key(const struct point_id *id);
struct state_key state__u64_key(uint64_t n);
/* Segment and position. */
struct state_key state__dead_key(uint64_t segment, uint32_t position);

/* Gives room for `len` bytes; when they are written, state__seal closes the value. */
enum shoal_err state__reserve(const struct state *s, struct store_txn *txn, enum state_table t,
                              struct slice key, size_t len, uint8_t **room, struct errbuf *why);
void state__seal(struct slice key, uint8_t *room, size_t len);
/* Both in one. */
enum shoal_err state__put(const struct state *s, struct store_txn *txn, enum state_table t,
                          struct slice key, struct slice value, struct errbuf *why);
/* The value without its seal. SHOAL_ECORRUPT when it does not fit. */
enum shoal_err state__open(enum state_table t, struct slice key, struct slice sealed,
                           struct slice *out, struct errbuf *why);
/* SHOAL_ENOTFOUND without touching `why`. */
enum shoal_err state__get(const struct state *s, struct store_txn *txn, enum state_table t,
                          struct slice key, struct slice *out, struct errbuf *why);

#endif
