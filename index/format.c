#include "index/format.h"

#include "base/hash.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

static const char magic[8] = { 'S', 'H', 'O', 'A', 'L', 'I', 'D', 'X' };

static uint64_t header_checksum(const struct format_header *h)
{
    return hash64(h, offsetof(struct format_header, checksum));
}

void format_header_init(struct format_header *h, const struct index_config *config, size_t rows,
                        size_t params_len, uint64_t bytes_len)
{
    assert(params_len <= FORMAT_PARAMS_MAX);
    memset(h, 0, sizeof(*h));
    memcpy(h->magic, magic, sizeof(magic));
    h->version = FORMAT_VERSION;
    h->kind = (uint32_t)config->kind;
    h->distance = (uint32_t)config->distance;
    h->dim = config->dim;
    h->rows = (uint32_t)rows;
    h->params_len = (uint32_t)params_len;
    h->bytes_len = bytes_len;
}

void format_header_seal(struct format_header *h)
{
    h->checksum = header_checksum(h);
}

static enum shoal_err check_same(const char *what, uint64_t found, uint64_t expected,
                                 struct errbuf *why)
{
    if (found == expected) {
        return SHOAL_OK;
    }
    return err_set(why, SHOAL_ECORRUPT, "index bytes have %s %" PRIu64 ", the segment has %" PRIu64,
                   what, found, expected);
}

static enum shoal_err check_identity(const struct format_header *h, struct errbuf *why)
{
    if (memcmp(h->magic, magic, sizeof(magic)) != 0) {
        return err_set(why, SHOAL_ECORRUPT, "index bytes do not begin with the mark of an index");
    }
    if (h->version != FORMAT_VERSION) {
        return err_set(why, SHOAL_ECORRUPT,
                       "index bytes have format version %" PRIu32
                       ", this program reads %u: build the index again",
                       h->version, FORMAT_VERSION);
    }
    if (h->checksum != header_checksum(h)) {
        return err_set(why, SHOAL_ECORRUPT, "the checksum of the index header differs");
    }
    return SHOAL_OK;
}

enum shoal_err format_header_open(struct slice bytes, const struct index_config *config,
                                  size_t rows, size_t params_len, const struct format_header **out,
                                  struct errbuf *why)
{
    *out = NULL;
    if ((uintptr_t)bytes.data % _Alignof(struct format_header) != 0) {
        return err_set(why, SHOAL_EINVAL, "index bytes must start at a multiple of %zu",
                       _Alignof(struct format_header));
    }
    if (bytes.len < FORMAT_HEADER_LEN) {
        return err_set(why, SHOAL_ECORRUPT, "index bytes end after %zu of %u header bytes",
                       bytes.len, FORMAT_HEADER_LEN);
    }
    const struct format_header *h = (const void *)bytes.data;
    enum shoal_err rc = check_identity(h, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    const struct {
        const char *what;
        uint64_t found;
        uint64_t expected;
    } same[] = {
        { "kind", h->kind, (uint64_t)config->kind },
        { "distance", h->distance, (uint64_t)config->distance },
        { "dim", h->dim, config->dim },
        { "rows", h->rows, rows },
        { "parameters", h->params_len, params_len },
        { "length", h->bytes_len, bytes.len },
    };
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        rc = check_same(same[i].what, same[i].found, same[i].expected, why);
        if (rc != SHOAL_OK) {
            return rc;
        }
    }
    *out = h;
    return SHOAL_OK;
}
