/* Checksums and hashes: XXH3-64 (xxHash) everywhere, one seed, one name. Stored on disk and used
 * for placement, so it never changes. */
#ifndef SHOAL_BASE_HASH_H
#define SHOAL_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash64(const void *data, size_t len);
uint64_t hash64_seeded(const void *data, size_t len, uint64_t seed);

#endif
