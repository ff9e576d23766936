/* Point id: an unsigned 64-bit number or a UUID, as users name their points.
 * Order: numbers first, ascending, then UUIDs by their bytes; this is the order of a scroll. */
#ifndef SHOAL_BASE_POINT_ID_H
#define SHOAL_BASE_POINT_ID_H

#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum point_id_kind { POINT_ID_NUM = 0, POINT_ID_UUID = 1 };

struct point_id {
    enum point_id_kind kind;
    union {
        uint64_t num;
        uint8_t uuid[16];
    } value;
};

/* A key: kind byte, then the number big-endian (8 bytes) or the UUID (16): memcmp order is the
 * order above. */
#define POINT_ID_KEY_MAX 17
/* Text with terminator: a UUID hyphenated lower-case, or up to 20 digits. */
#define POINT_ID_TEXT_MAX 37

static inline struct point_id point_id_num(uint64_t num)
{
    return (struct point_id){ .kind = POINT_ID_NUM, .value.num = num };
}

/* Any UUID form (hyphenated, 32 hex digits, urn:uuid:, braces; either case). SHOAL_EPARSE. */
enum shoal_err point_id_parse_uuid(struct slice text, struct point_id *out);
/* A UUID or decimal digits, as in a URL path or on a command line. SHOAL_EPARSE. */
enum shoal_err point_id_parse(struct slice text, struct point_id *out);
/* Writes the text and returns its length. */
size_t point_id_print(const struct point_id *id, char out[POINT_ID_TEXT_MAX]);
/* Writes the key and returns its length (9 or 17). */
size_t point_id_key(const struct point_id *id, uint8_t out[POINT_ID_KEY_MAX]);
/* SHOAL_ECORRUPT when the bytes are no key. */
enum shoal_err point_id_from_key(const void *key, size_t len, struct point_id *out);
int point_id_compare(const struct point_id *a, const struct point_id *b);
/* Placement hash: hash64 of the key. Stored layouts depend on it. */
uint64_t point_id_hash(const struct point_id *id);

#endif
