#include "base/point_id.h"

#include "base/bytes.h"
#include "base/hash.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

/* Takes "urn:uuid:" or a pair of braces off. */
static struct slice strip(struct slice s)
{
    static const char urn[] = "urn:uuid:";
    if (s.len > sizeof(urn) - 1 && memcmp(s.data, urn, sizeof(urn) - 1) == 0) {
        return slice_make(s.data + sizeof(urn) - 1, s.len - (sizeof(urn) - 1));
    }
    if (s.len > 2 && s.data[0] == '{' && s.data[s.len - 1] == '}') {
        return slice_make(s.data + 1, s.len - 2);
    }
    return s;
}

enum shoal_err point_id_parse_uuid(struct slice text, struct point_id *out)
{
    struct slice s = strip(text);
    bool hyphens = s.len == 36;
    if (!hyphens && s.len != 32) {
        return SHOAL_EPARSE;
    }
    struct point_id id = { .kind = POINT_ID_UUID };
    size_t at = 0;
    for (size_t byte = 0; byte < 16; byte++) {
        if (hyphens && (byte == 4 || byte == 6 || byte == 8 || byte == 10) && s.data[at++] != '-') {
            return SHOAL_EPARSE;
        }
        int high = hex_digit(s.data[at]);
        int low = hex_digit(s.data[at + 1]);
        if (high < 0 || low < 0) {
            return SHOAL_EPARSE;
        }
        id.value.uuid[byte] = (uint8_t)(high << 4 | low);
        at += 2;
    }
    *out = id;
    return SHOAL_OK;
}

enum shoal_err point_id_parse(struct slice text, struct point_id *out)
{
    uint64_t num = 0;
    size_t i = 0;
    while (i < text.len && text.data[i] >= '0' && text.data[i] <= '9') {
        if (__builtin_mul_overflow(num, 10u, &num) ||
            __builtin_add_overflow(num, (uint64_t)(text.data[i] - '0'), &num)) {
            break;
        }
        i++;
    }
    if (text.len > 0 && i == text.len) {
        *out = point_id_num(num);
        return SHOAL_OK;
    }
    return point_id_parse_uuid(text, out);
}

size_t point_id_print(const struct point_id *id, char out[POINT_ID_TEXT_MAX])
{
    if (id->kind == POINT_ID_NUM) {
        return (size_t)snprintf(out, POINT_ID_TEXT_MAX, "%" PRIu64, id->value.num);
    }
    static const char digits[] = "0123456789abcdef";
    size_t at = 0;
    for (size_t byte = 0; byte < 16; byte++) {
        if (byte == 4 || byte == 6 || byte == 8 || byte == 10) {
            out[at++] = '-';
        }
        out[at++] = digits[id->value.uuid[byte] >> 4];
        out[at++] = digits[id->value.uuid[byte] & 15];
    }
    out[at] = '\0';
    assert(at == POINT_ID_TEXT_MAX - 1);
    return at;
}

size_t point_id_key(const struct point_id *id, uint8_t out[POINT_ID_KEY_MAX])
{
    out[0] = (uint8_t)id->kind;
    if (id->kind == POINT_ID_NUM) {
        bytes_put_be64(out + 1, id->value.num);
        return 9;
    }
    memcpy(out + 1, id->value.uuid, 16);
    return 17;
}

enum shoal_err point_id_from_key(const void *key, size_t len, struct point_id *out)
{
    const uint8_t *k = key;
    if (len == 9 && k[0] == POINT_ID_NUM) {
        *out = point_id_num(bytes_get_be64(k + 1));
        return SHOAL_OK;
    }
    if (len == 17 && k[0] == POINT_ID_UUID) {
        out->kind = POINT_ID_UUID;
        memcpy(out->value.uuid, k + 1, 16);
        return SHOAL_OK;
    }
    return SHOAL_ECORRUPT;
}

int point_id_compare(const struct point_id *a, const struct point_id *b)
{
    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    if (a->kind == POINT_ID_NUM) {
        return (a->value.num > b->value.num) - (a->value.num < b->value.num);
    }
    int order = memcmp(a->value.uuid, b->value.uuid, 16);
    return (order > 0) - (order < 0);
}

uint64_t point_id_hash(const struct point_id *id)
{
    uint8_t key[POINT_ID_KEY_MAX];
    size_t len = point_id_key(id, key);
    return hash64(key, len);
}
