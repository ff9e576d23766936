/* Bytes as an op: what decodes encodes back to the same bytes, and checking it finds only what is
 * allowed to be found. */
#include "base/mem.h"
#include "shard/op.h"
#include "shard/rlog.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct arena arena;
    struct op op;
    struct errbuf why;
    arena_init(&arena, 64u << 20);
    err_clear(&why);
    if (op_decode(slice_make(data, len), &arena, &op, &why) == SHOAL_OK) {
        struct buf again;
        buf_init(&again, RLOG_ENTRY_MAX);
        if (op_encode(&again, &op) != SHOAL_OK ||
            !slice_equal(buf_slice(&again), slice_make(data, len))) {
            abort();
        }
        buf_release(&again);
        (void)!op_check(&op, op.dim, DISTANCE_DOT, &why);
    }
    arena_release(&arena);
    return 0;
}
