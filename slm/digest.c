#include "slm/digest.h"

#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <nettle/sha2.h>

#define BLOCK_BYTES (256u << 10)

enum shoal_err digest__file(FILE *file, char out[DIGEST_HEX_LEN + 1], struct errbuf *why)
{
    static const char digits[] = "0123456789abcdef";
    out[0] = '\0';
    uint8_t *block = mem_alloc(BLOCK_BYTES);
    if (block == NULL) {
        return SHOAL_ENOMEM;
    }
    struct sha256_ctx ctx;
    sha256_init(&ctx);
    size_t n;
    while ((n = fread(block, 1, BLOCK_BYTES, file)) > 0) {
        sha256_update(&ctx, n, block);
    }
    mem_free(block);
    if (ferror(file)) {
        return err_errno(why, errno, "reading to check the SHA-256");
    }
    uint8_t sum[SHA256_DIGEST_SIZE];
    sha256_digest(&ctx, sizeof(sum), sum);
    for (size_t i = 0; i < sizeof(sum); i++) {
        out[2 * i] = digits[sum[i] >> 4];
        out[2 * i + 1] = digits[sum[i] & 15];
    }
    out[DIGEST_HEX_LEN] = '\0';
    return SHOAL_OK;
}

bool digest__is_hex(const char *s)
{
    size_t n = 0;
    while (n <= DIGEST_HEX_LEN && isxdigit((unsigned char)s[n])) {
        n++;
    }
    return n == DIGEST_HEX_LEN && s[n] == '\0';
}
