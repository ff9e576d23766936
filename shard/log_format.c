#include "shard/log_format.h"

#include "base/bytes.h"
#include "base/hash.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

void log__key(char key[LOG_KEY_LEN], uint64_t group, uint64_t index)
{
    bytes_put_be64(key, group);
    bytes_put_be64(key + 8, index);
}

bool log__key_index(struct slice key, uint64_t group, uint64_t *index)
{
    if (key.len != LOG_KEY_LEN || bytes_get_be64(key.data) != group) {
        return false;
    }
    *index = bytes_get_be64(key.data + 8);
    return true;
}

/* Over the key and all of the value but the checksum, which comes first. */
static uint64_t checksum_of(struct slice value, uint64_t group, uint64_t index)
{
    char key[LOG_KEY_LEN];
    log__key(key, group, index);
    const uint64_t seed = hash64(key, sizeof(key));
    return hash64_seeded(value.data + 8, value.len - 8, seed);
}

static void seal(char *room, size_t len, uint64_t group, uint64_t index)
{
    bytes_put_le64(room, checksum_of(slice_make(room, len), group, index));
}

static bool is_whole(struct slice value, size_t len_min, uint64_t group, uint64_t index)
{
    return value.len >= len_min && bytes_get_le64(value.data) == checksum_of(value, group, index);
}

void log__entry_encode(char *room, uint64_t group, const struct log_entry *e)
{
    bytes_put_le64(room + 8, e->term);
    bytes_put_le32(room + 16, e->type);
    bytes_put_le32(room + 20, 0);
    if (e->data.len > 0) {
        memcpy(room + LOG_ENTRY_HEAD, e->data.data, e->data.len);
    }
    seal(room, log__entry_len(e->data.len), group, e->index);
}

enum shoal_err log__entry_decode(struct slice value, uint64_t group, uint64_t index,
                                 struct log_entry *e, struct errbuf *why)
{
    if (!is_whole(value, LOG_ENTRY_HEAD, group, index)) {
        return err_set(why, SHOAL_ECORRUPT,
                       "log of group %" PRIu64 ": entry %" PRIu64 ": checksum differs", group,
                       index);
    }
    *e = (struct log_entry){
        .index = index,
        .term = bytes_get_le64(value.data + 8),
        .type = bytes_get_le32(value.data + 16),
        .data = slice_make(value.data + LOG_ENTRY_HEAD, value.len - LOG_ENTRY_HEAD),
    };
    return SHOAL_OK;
}

void log__run_encode(char room[LOG_RUN_LEN], uint64_t group, const struct log_term_run *run)
{
    bytes_put_le64(room + 8, run->term);
    seal(room, LOG_RUN_LEN, group, run->first_index);
}

enum shoal_err log__run_decode(struct slice value, uint64_t group, uint64_t index,
                               struct log_term_run *run, struct errbuf *why)
{
    if (value.len != LOG_RUN_LEN || !is_whole(value, LOG_RUN_LEN, group, index)) {
        return err_set(why, SHOAL_ECORRUPT,
                       "log of group %" PRIu64 ": terms from %" PRIu64 ": checksum differs", group,
                       index);
    }
    *run = (struct log_term_run){ .first_index = index, .term = bytes_get_le64(value.data + 8) };
    return SHOAL_OK;
}

void log__group_encode(char *room, uint64_t group, const struct log_group *g)
{
    assert(g->members.len <= LOG_MEMBERS_MAX);
    const uint64_t words[] = { g->hard_state.term,
                               g->hard_state.vote,
                               g->hard_state.commit,
                               g->cut_index,
                               g->cut_term,
                               g->last_index,
                               g->bytes };
    _Static_assert(sizeof(words) + 16 == LOG_GROUP_HEAD, "the head is what log_format.h says");
    bytes_put_le32(room + 8, LOG_FORMAT_VERSION);
    bytes_put_le32(room + 12, (uint32_t)g->members.len);
    memcpy(room + 16, words, sizeof(words)); /* little-endian: base/bytes.h asserts it */
    if (g->members.len > 0) {
        memcpy(room + LOG_GROUP_HEAD, g->members.data, g->members.len);
    }
    seal(room, LOG_GROUP_HEAD + g->members.len, group, 0);
}

enum shoal_err log__group_decode(struct slice value, uint64_t group, struct log_group *g,
                                 struct errbuf *why)
{
    if (value.len >= 12 && bytes_get_le32(value.data + 8) > LOG_FORMAT_VERSION) {
        return err_set(why, SHOAL_EUNSUPPORTED,
                       "log of group %" PRIu64 ": written by a later version (format %" PRIu32 ")",
                       group, bytes_get_le32(value.data + 8));
    }
    if (!is_whole(value, LOG_GROUP_HEAD, group, 0) ||
        value.len != LOG_GROUP_HEAD + (size_t)bytes_get_le32(value.data + 12)) {
        return err_set(why, SHOAL_ECORRUPT,
                       "log of group %" PRIu64 ": its record's checksum differs", group);
    }
    const char *at = value.data + 16;
    *g = (struct log_group){
        .hard_state = { .term = bytes_get_le64(at),
                        .vote = bytes_get_le64(at + 8),
                        .commit = bytes_get_le64(at + 16) },
        .cut_index = bytes_get_le64(at + 24),
        .cut_term = bytes_get_le64(at + 32),
        .last_index = bytes_get_le64(at + 40),
        .bytes = bytes_get_le64(at + 48),
        .members = slice_make(value.data + LOG_GROUP_HEAD, value.len - LOG_GROUP_HEAD),
    };
    if (g->last_index < g->cut_index) {
        return err_set(why, SHOAL_ECORRUPT,
                       "log of group %" PRIu64 ": cut at %" PRIu64 ", beyond its end %" PRIu64,
                       group, g->cut_index, g->last_index);
    }
    return SHOAL_OK;
}
