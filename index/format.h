/* Format: the header that all derived bytes begin with, and how it is written and judged.
 *
 * The bytes are little-endian and mapped, never copied. An LMDB value starts at a multiple of 16
 * and no more, so nothing in them needs a greater alignment than 8, relative to their start.
 *
 *     0    char[8]   "SHOALIDX"
 *     8    u32       version, FORMAT_VERSION
 *     12   u32       index kind
 *     16   u32       distance
 *     20   u32       dim
 *     24   u32       rows
 *     28   u32       number of parameters the kind uses
 *     32   u64       length of all the bytes, this header included
 *     40   u32[50]   the kind's own parameters, unused ones zero
 *     240  u64       reserved, zero
 *     248  u64       XXH3 of the 248 bytes before
 *
 * The sections of the kind follow at 256. The header's own checksum means that every flipped bit
 * of the header is found by open; the sections are covered by the segment's checksum and by
 * index_validate.
 *
 * Threads: pure functions. Private to index/. */
#ifndef SHOAL_INDEX_FORMAT_H
#define SHOAL_INDEX_FORMAT_H

#include "index/index.h"

/* Raised when a reader of the older version would misread the bytes; other versions are refused,
 * and the shard builds the index again: the bytes are derived. */
#define FORMAT_VERSION 1u
#define FORMAT_PARAMS_MAX 50
#define FORMAT_HEADER_LEN 256u

struct format_header {
    char magic[8];
    uint32_t version;
    uint32_t kind;
    uint32_t distance;
    uint32_t dim;
    uint32_t rows;
    uint32_t params_len;
    uint64_t bytes_len;
    uint32_t params[FORMAT_PARAMS_MAX];
    uint64_t reserved;
    uint64_t checksum;
};

_Static_assert(sizeof(struct format_header) == FORMAT_HEADER_LEN, "the header is as documented");

/* Fills all but the parameters, which the caller sets before format_header_seal. */
void format_header_init(struct format_header *h, const struct index_config *config, size_t rows,
                        size_t params_len, uint64_t bytes_len);
void format_header_seal(struct format_header *h);

/* Judges the header of `bytes` against what the caller expects, and lends it. SHOAL_ECORRUPT with
 * the reason: too short, not ours, another version, checksum, another kind, distance, dim or row
 * count, another number of parameters, another length. SHOAL_EINVAL: `bytes` is misaligned. */
enum shoal_err format_header_open(struct slice bytes, const struct index_config *config,
                                  size_t rows, size_t params_len, const struct format_header **out,
                                  struct errbuf *why);

#endif
