/* The bytes of log.mdb. For the log store, and for who counts what it holds.
 *
 * Keys are big-endian so that they sort by number; values are little-endian. Each value carries a
 * checksum over itself and its key, so that a value under a wrong key is found as well. */
#ifndef SHOAL_SHARD_LOG_FORMAT_H
#define SHOAL_SHARD_LOG_FORMAT_H

#include "base/err.h"
#include "base/slice.h"
#include "shard/log_store.h"

#include <stdbool.h>
#include <stdint.h>

/* (group, index) */
#define LOG_KEY_LEN 16
/* checksum u64, term u64, type u32, zero u32; then the data */
#define LOG_ENTRY_HEAD 24
/* checksum u64, term u64 */
#define LOG_RUN_LEN 16
/* checksum u64, version u32, members_len u32, term, vote, commit, cut_index, cut_term, last_index,
 * bytes: u64 each; then the members */
#define LOG_GROUP_HEAD 72
#define LOG_FORMAT_VERSION 1u
#define LOG_MEMBERS_MAX 4096

/* A group's record. */
struct log_group {
    struct log_hard_state hard_state;
    uint64_t cut_index; /* entries up to it are gone; 0: none */
    uint64_t cut_term;  /* of entry cut_index */
    uint64_t last_index;
    uint64_t bytes;
    struct slice members; /* decoded: borrowed from the value */
};

static inline size_t log__entry_len(size_t data_len)
{
    return LOG_ENTRY_HEAD + data_len;
}

/* What an entry counts for in log_group.bytes. */
static inline uint64_t log__entry_bytes(size_t data_len)
{
    return LOG_KEY_LEN + LOG_ENTRY_HEAD + (uint64_t)data_len;
}

void log__key(char key[LOG_KEY_LEN], uint64_t group, uint64_t index);
/* False when the key is of another group. */
bool log__key_index(struct slice key, uint64_t group, uint64_t *index);

/* room: log__entry_len(e->data.len) bytes. */
void log__entry_encode(char *room, uint64_t group, const struct log_entry *e);
/* SHOAL_ECORRUPT names group and index. e->data is borrowed from the value. */
enum shoal_err log__entry_decode(struct slice value, uint64_t group, uint64_t index,
                                 struct log_entry *e, struct errbuf *why);

void log__run_encode(char room[LOG_RUN_LEN], uint64_t group, const struct log_term_run *run);
enum shoal_err log__run_decode(struct slice value, uint64_t group, uint64_t index,
                               struct log_term_run *run, struct errbuf *why);

/* room: LOG_GROUP_HEAD + g->members.len bytes. */
void log__group_encode(char *room, uint64_t group, const struct log_group *g);
enum shoal_err log__group_decode(struct slice value, uint64_t group, struct log_group *g,
                                 struct errbuf *why);

#endif
