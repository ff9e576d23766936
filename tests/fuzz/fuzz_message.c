/* Bytes as a message of every kind: what is read encodes to a frame that reads as the same. */
#include "base/mem.h"
#include "tests/wire/messages.h"

#include <stdint.h>
#include <stdlib.h>

#define ARENA_MAX (16u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void try_case(const struct message_case *c, struct slice bytes)
{
    struct arena arena;
    struct buf once;
    struct buf twice;
    struct errbuf why;
    arena_init(&arena, ARENA_MAX);
    buf_init(&once, WIRE_MESSAGE_MAX);
    buf_init(&twice, WIRE_MESSAGE_MAX);
    err_clear(&why);
    if (c->again(bytes, &arena, &once, &why) == SHOAL_OK) {
        arena_reset(&arena);
        if (c->again(buf_slice(&once), &arena, &twice, &why) != SHOAL_OK ||
            !slice_equal(buf_slice(&once), buf_slice(&twice))) {
            abort();
        }
    }
    buf_release(&twice);
    buf_release(&once);
    arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < MESSAGE_CASES; i++) {
        try_case(&message_cases[i], slice_make(data, len));
    }
    return 0;
}
