/* Digest: SHA-256 of a file. */
#ifndef SHOAL_SLM_DIGEST_H
#define SHOAL_SLM_DIGEST_H

#include "base/err.h"

#include <stdbool.h>
#include <stdio.h>

#define DIGEST_HEX_LEN 64

/* Hashes from the file's present position to its end into lower-case hex with a terminator. Blocks.
 * SHOAL_EIO. */
SHOAL_MUST_CHECK enum shoal_err digest__file(FILE *file, char out[DIGEST_HEX_LEN + 1],
                                             struct errbuf *why);
/* 64 hex digits and nothing else. */
bool digest__is_hex(const char *s);

#endif
