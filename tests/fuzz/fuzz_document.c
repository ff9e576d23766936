/* The first byte picks format and budget, the rest is the document: what is accepted is UTF-8 in
 * sections that do not overlap, and its chunks keep their budget and lie within it. */
#include "slm/chunk.h"
#include "slm/document.h"
#include "slm/utf8.h"

#include <stdint.h>
#include <stdlib.h>

#define ARENA_MAX (256u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check(const struct document *d, uint32_t words_max, struct arena *arena)
{
    const struct chunk_config config = { .words_max = words_max, .key = SLICE_LIT("fuzz") };
    struct chunk *chunks = NULL;
    size_t chunks_len = 0;
    size_t end = 0;
    require(utf8__valid(d->text) && utf8__valid(d->title));
    for (size_t i = 0; i < d->sections_len; i++) {
        const struct section *s = &d->sections[i];
        require(s->begin >= end && s->begin < s->end && s->end <= d->text.len);
        require(s->heading.len <= DOCUMENT_HEADING_BYTES_MAX && utf8__valid(s->heading));
        end = s->end;
    }
    require(chunk_document(d, &config, arena, &chunks, &chunks_len, NULL) == SHOAL_OK);
    require((chunks_len > 0) == (d->sections_len > 0));
    for (size_t i = 0; i < chunks_len; i++) {
        require(chunks[i].begin < chunks[i].end && chunks[i].end <= d->text.len);
        require(chunks[i].words >= 1 && chunks[i].words <= words_max);
        require(utf8__valid(chunks[i].text));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const enum document_format formats[] = { DOCUMENT_HTML, DOCUMENT_MARKDOWN,
                                                    DOCUMENT_TEXT };
    struct arena arena;
    struct document d;
    if (len == 0) {
        return 0;
    }
    arena_init(&arena, ARENA_MAX);
    uint32_t words_max = data[0] < 128 ? 16 : 150;
    if (document_parse(slice_make(data + 1, len - 1), formats[data[0] % 3], &arena, &d, NULL) ==
        SHOAL_OK) {
        check(&d, words_max, &arena);
    }
    arena_release(&arena);
    return 0;
}
