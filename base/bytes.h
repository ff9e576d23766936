/* Fixed-width integers in bytes. Little-endian on the wire and in values; big-endian in keys that
 * must sort by number. */
#ifndef SHOAL_BASE_BYTES_H
#define SHOAL_BASE_BYTES_H

#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "float rows are stored and sent as they lie in memory: little-endian only");

static inline uint16_t bytes_get_le16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint32_t bytes_get_le32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint64_t bytes_get_le64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline void bytes_put_le16(void *p, uint16_t v)
{
    memcpy(p, &v, sizeof(v));
}

static inline void bytes_put_le32(void *p, uint32_t v)
{
    memcpy(p, &v, sizeof(v));
}

static inline void bytes_put_le64(void *p, uint64_t v)
{
    memcpy(p, &v, sizeof(v));
}

static inline uint64_t bytes_get_be64(const void *p)
{
    return __builtin_bswap64(bytes_get_le64(p));
}

static inline void bytes_put_be64(void *p, uint64_t v)
{
    bytes_put_le64(p, __builtin_bswap64(v));
}

#endif
