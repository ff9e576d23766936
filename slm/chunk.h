/* Chunk: the pieces of a document that are embedded, found and cited.
 *
 * A chunk is one run of whole sentences of a section, up to a budget of words; the next one begins
 * with the last sentence of the one before (unless that fills a third of the budget), so that what
 * a pronoun stands for is in both. Neighbouring sections under one parent that are too small to
 * stand alone share a chunk, whose text then has their heading lines. A sentence over the budget is
 * cut between lines or words, and a word over it between characters.
 *
 * Ids depend on the document's key and the chunk's heading and text alone (and on which repetition
 * it is, when a document says the same twice): editing one paragraph leaves the ids of other
 * sections' chunks, and of those before it, as they were. No two ids of a document are equal.
 *
 * Pure. Threads: any. */
#ifndef SHOAL_SLM_CHUNK_H
#define SHOAL_SLM_CHUNK_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "slm/document.h"

#include <stddef.h>
#include <stdint.h>

/* About 210 tokens of English: within all-MiniLM-L6-v2's training length of 256. */
#define CHUNK_WORDS_DEFAULT 150
#define CHUNK_WORDS_MAX 4096
/* Bytes count as words too (code, tables, languages without blanks): so many make one. */
#define CHUNK_WORD_BYTES 8
#define CHUNKS_MAX 1000000

struct chunk_config {
    uint32_t words_max; /* 16..CHUNK_WORDS_MAX; 0: the default */
    struct slice key;   /* of the document: part of every id */
};

struct chunk {
    uint64_t id[2];       /* 128 bits, to be written as a UUID */
    struct slice heading; /* path of its section, or what the paths of its sections share */
    struct slice text;    /* document.text[begin, end), borrowed */
    size_t begin;
    size_t end;
    uint32_t words; /* by the budget's measure */
};

/* All of *out lies in the arena; texts and headings are the document's. SHOAL_EINVAL config;
 * SHOAL_ETOOBIG over CHUNKS_MAX; SHOAL_ENOMEM. A document without text gives no chunk. */
SHOAL_MUST_CHECK enum shoal_err chunk_document(const struct document *document,
                                               const struct chunk_config *config,
                                               struct arena *arena, struct chunk **out,
                                               size_t *out_len, struct errbuf *why);

/* What is given to the embedder: title and heading, then the text. Errors stay in buf.failed. */
enum shoal_err chunk_put_embedded(const struct chunk *chunk, struct slice title, struct buf *out);

#endif
