/* Flat: no structure at all. Its derived bytes are the header, so that it is opened and checked
 * like the others; its searches are exact and answered by index.c. */
#include "base/mem.h"
#include "index/format.h"
#include "index/index_ops.h"

static enum shoal_err flat_build(const struct index_config *config, const float *vectors,
                                 size_t rows, const atomic_bool *cancel, struct index_built *out,
                                 struct errbuf *why)
{
    (void)vectors;
    (void)cancel;
    struct format_header *h = mem_calloc(1, sizeof(*h));
    if (h == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for an index");
    }
    format_header_init(h, config, rows, 0, sizeof(*h));
    format_header_seal(h);
    out->bytes = (char *)h;
    out->bytes_len = sizeof(*h);
    return SHOAL_OK;
}

static enum shoal_err flat_open(const struct index_config *config, const struct index_rows *rows,
                                struct slice bytes, void **state, struct errbuf *why)
{
    *state = NULL;
    const struct format_header *h = NULL;
    enum shoal_err rc = format_header_open(bytes, config, rows->rows, 0, &h, why);
    if (rc == SHOAL_OK && bytes.len != sizeof(*h)) {
        rc = err_set(why, SHOAL_ECORRUPT, "a flat index has %zu bytes, not %zu", sizeof(*h),
                     bytes.len);
    }
    return rc;
}

static void flat_close(void *state)
{
    (void)state;
}

static enum shoal_err flat_search(const void *state, const struct index_rows *rows,
                                  const struct index_query *q, struct topk *top, struct errbuf *why)
{
    (void)state;
    (void)why;
    index__scan(rows, q, top);
    return SHOAL_OK;
}

static enum shoal_err flat_validate(const void *state, const struct index_rows *rows,
                                    struct errbuf *why)
{
    (void)state;
    (void)rows;
    (void)why;
    return SHOAL_OK; /* open has read all there is */
}

static uint64_t flat_private_bytes(const void *state)
{
    (void)state;
    return 0;
}

const struct index_ops index__flat = {
    .name = "flat",
    .kind = INDEX_FLAT,
    .build = flat_build,
    .open = flat_open,
    .close = flat_close,
    .search = flat_search,
    .validate = flat_validate,
    .private_bytes = flat_private_bytes,
};
