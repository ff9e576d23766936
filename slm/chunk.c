/* Each section is cut into units, the sentences that fit the budget and pieces of those that do
 * not, and the units are packed from the front. A chunk is closed when the next unit does not fit,
 * or earlier where a paragraph ends and most of the budget is used, unless the rest of the section
 * fits too. Packing never looks at another section, so an edit moves no border elsewhere. */
#include "slm/chunk.h"

#include "base/hash.h"
#include "base/mem.h"
#include "slm/sentence.h"
#include "slm/utf8.h"

#include <assert.h>
#include <string.h>

#define WORDS_MIN 16
/* Of the budget: a section up to this is small; a last sentence up to this is repeated; from this
 * on a chunk may end with a paragraph. */
#define SMALL(words_max) ((words_max) / 3)
#define OVERLAP(words_max) ((words_max) / 3)
#define NEARLY_FULL(words_max) ((words_max)*2 / 3)
#define PATH_SEPARATOR " > "
#define ID_SEED_HIGH 0x6368756e6b2d6869u
#define ID_SEED_LOW 0x6368756e6b2d6c6fu

struct unit {
    size_t begin;
    size_t end;
    uint32_t words; /* by blanks alone */
    bool is_piece;  /* of a sentence that was too long */
    bool opens;     /* a paragraph */
};

struct cutter {
    const struct document *document;
    struct slice text;
    struct slice key;
    uint32_t words_max;
    struct buf units;  /* of the section under way: array of struct unit */
    struct buf chunks; /* array of struct chunk, ids to come */
};

/* --- measures ------------------------------------------------------------------------------- */

static uint32_t count_words(struct slice text)
{
    uint32_t words = 0;
    bool inside = false;
    for (size_t i = 0; i < text.len; i++) {
        bool blank = text.data[i] == ' ' || text.data[i] == '\n' || text.data[i] == '\t';
        words += !blank && !inside;
        inside = !blank;
    }
    return words;
}

static uint32_t measure(uint32_t words, size_t bytes)
{
    size_t by_bytes = (bytes + CHUNK_WORD_BYTES - 1) / CHUNK_WORD_BYTES;
    return by_bytes > words ? (uint32_t)by_bytes : words;
}

static struct slice part(const struct cutter *c, size_t begin, size_t end)
{
    return slice_make(c->text.data + begin, end - begin);
}

static uint32_t measure_part(const struct cutter *c, size_t begin, size_t end)
{
    return measure(count_words(part(c, begin, end)), end - begin);
}

/* --- units ---------------------------------------------------------------------------------- */

static void put_unit(struct cutter *c, struct unit u)
{
    u.words = count_words(part(c, u.begin, u.end));
    buf_append(&c->units, &u, sizeof(u));
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t';
}

/* Where the longest piece within the budget ends: at a line's end when that leaves half of it, else
 * behind a word, else within one. */
static size_t piece_end(const struct cutter *c, size_t begin, size_t end)
{
    size_t bytes_max = (size_t)c->words_max * CHUNK_WORD_BYTES;
    size_t at = begin;
    size_t word_end = begin;
    size_t line_end = begin;
    uint32_t words = 0;
    while (at < end && words < c->words_max) {
        size_t stop = at;
        while (stop < end && !is_blank(c->text.data[stop])) {
            stop++;
        }
        if (stop - begin > bytes_max) {
            break;
        }
        word_end = stop;
        words++;
        at = stop;
        while (at < end && is_blank(c->text.data[at])) {
            line_end = c->text.data[at] == '\n' ? stop : line_end;
            at++;
        }
    }
    if (word_end == begin) {
        return begin + utf8__cut(part(c, begin, end), bytes_max);
    }
    return word_end < end && (line_end - begin) * 2 >= word_end - begin ? line_end : word_end;
}

static void put_sentence(struct cutter *c, size_t begin, size_t end, bool opens)
{
    if (measure_part(c, begin, end) <= c->words_max) {
        put_unit(c, (struct unit){ .begin = begin, .end = end, .opens = opens });
        return;
    }
    while (begin < end) {
        size_t stop = piece_end(c, begin, end);
        assert(stop > begin && stop <= end);
        put_unit(c, (struct unit){ .begin = begin, .end = stop, .is_piece = true, .opens = opens });
        opens = false;
        begin = stop;
        while (begin < end && is_blank(c->text.data[begin])) {
            begin++;
        }
    }
}

static void cut_section(struct cutter *c, const struct section *section)
{
    struct slice text = part(c, section->begin, section->end);
    struct sentence_iter it = sentence_iter(text);
    struct sentence s;
    size_t before = 0;
    buf_reset(&c->units);
    while (sentence_next(&it, &s)) {
        struct slice gap = slice_make(text.data + before, s.begin - before);
        bool opens = gap.len >= 2 && memmem(gap.data, gap.len, "\n\n", 2) != NULL;
        put_sentence(c, section->begin + s.begin, section->begin + s.end, opens);
        before = s.end;
    }
}

/* --- packing -------------------------------------------------------------------------------- */

static void put_chunk(struct cutter *c, struct slice heading, size_t begin, size_t end)
{
    struct chunk made = {
        .heading = heading,
        .text = part(c, begin, end),
        .begin = begin,
        .end = end,
        .words = measure_part(c, begin, end),
    };
    assert(begin < end && made.words <= c->words_max);
    buf_append(&c->chunks, &made, sizeof(made));
}

/* The measure of units[first..last]. */
static uint32_t measure_units(const struct unit *units, size_t first, size_t last, uint32_t words)
{
    return measure(words, units[last].end - units[first].begin);
}

static bool rest_fits(const struct cutter *c, const struct unit *units, size_t len, size_t first)
{
    uint32_t words = 0;
    for (size_t i = first; i < len; i++) {
        words += units[i].words;
        if (measure_units(units, first, i, words) > c->words_max) {
            return false;
        }
    }
    return true;
}

/* How many of units[first..] make the next chunk. */
static size_t take_units(const struct cutter *c, const struct unit *units, size_t len, size_t first)
{
    size_t last = first;
    uint32_t words = units[first].words;
    if (rest_fits(c, units, len, first)) {
        return len - first;
    }
    while (last + 1 < len &&
           measure_units(units, first, last + 1, words + units[last + 1].words) <= c->words_max) {
        if (units[last + 1].opens &&
            measure_units(units, first, last, words) >= NEARLY_FULL(c->words_max)) {
            break;
        }
        words += units[++last].words;
    }
    return last + 1 - first;
}

/* Is the last unit of a chunk to be the first of the next one? Not when that leaves too little room
 * for what is new. */
static bool is_repeated(const struct cutter *c, const struct unit *last)
{
    uint32_t words = measure(last->words, last->end - last->begin);
    uint32_t both = measure(last[0].words + last[1].words, last[1].end - last[0].begin);
    return !last->is_piece && words <= OVERLAP(c->words_max) && both <= c->words_max;
}

static void pack_section(struct cutter *c, const struct section *section)
{
    cut_section(c, section);
    const struct unit *units = (const void *)c->units.data;
    size_t len = c->units.len / sizeof(*units);
    for (size_t first = 0; first < len && c->units.failed == SHOAL_OK;) {
        size_t taken = take_units(c, units, len, first);
        size_t next = first + taken;
        put_chunk(c, section->heading, units[first].begin, units[next - 1].end);
        bool repeat = next < len && taken > 1 && is_repeated(c, &units[next - 1]);
        first = repeat ? next - 1 : next;
    }
}

/* --- small sections ------------------------------------------------------------------------- */

/* What two paths share, in whole headings. */
static size_t shared_path(struct slice a, struct slice b)
{
    size_t sep = sizeof(PATH_SEPARATOR) - 1;
    size_t shared = 0;
    for (size_t i = 0; i <= a.len && i <= b.len; i++) {
        bool a_ends = i == a.len ||
                      (a.len - i >= sep && memcmp(a.data + i, PATH_SEPARATOR, sep) == 0);
        bool b_ends = i == b.len ||
                      (b.len - i >= sep && memcmp(b.data + i, PATH_SEPARATOR, sep) == 0);
        shared = a_ends && b_ends ? i : shared;
        if (i == a.len || i == b.len || a.data[i] != b.data[i]) {
            break;
        }
    }
    return shared;
}

/* Where the line of the section's own heading begins. */
static size_t heading_begin(const struct cutter *c, const struct section *section)
{
    size_t end = section->begin;
    while (end > 0 && c->text.data[end - 1] == '\n') {
        end--;
    }
    const char *newline = end == 0 ? NULL : memrchr(c->text.data, '\n', end);
    return newline == NULL ? 0 : (size_t)(newline - c->text.data) + 1;
}

static bool is_small(const struct cutter *c, const struct section *section)
{
    return section->end - section->begin <= (size_t)c->words_max * CHUNK_WORD_BYTES &&
           measure_part(c, section->begin, section->end) <= SMALL(c->words_max);
}

/* Puts the sections from `first` on that share one chunk, if there are two or more, and returns how
 * many they are. */
static size_t share_chunk(struct cutter *c, size_t first)
{
    const struct section *sections = c->document->sections;
    struct slice heading = sections[first].heading;
    size_t begin = sections[first].begin;
    size_t len = is_small(c, &sections[first]) ? 1 : 0;
    while (len > 0 && first + len < c->document->sections_len) {
        const struct section *next = &sections[first + len];
        struct slice shared = slice_make(heading.data, shared_path(heading, next->heading));
        bool own_heading = shared.len < sections[first].heading.len;
        size_t from = own_heading ? heading_begin(c, &sections[first]) : sections[first].begin;
        if (shared.len == 0 || !is_small(c, next) ||
            measure_part(c, from, next->end) > c->words_max) {
            break;
        }
        heading = shared;
        begin = from;
        len++;
    }
    if (len > 1) {
        put_chunk(c, heading, begin, sections[first + len - 1].end);
    }
    return len > 1 ? len : 0;
}

/* --- ids ------------------------------------------------------------------------------------ */

static uint64_t hash_chunk(const struct chunk *chunk, struct slice key, uint64_t seed)
{
    uint64_t h = hash64_seeded(key.data, key.len, seed);
    h = hash64_seeded(chunk->heading.data, chunk->heading.len, h);
    return hash64_seeded(chunk->text.data, chunk->text.len, h);
}

static bool same_id(const struct chunk *a, const struct chunk *b)
{
    return a->id[0] == b->id[0] && a->id[1] == b->id[1];
}

/* The n-th chunk that says the same under the same heading takes n into its id, so that no two ids
 * of a document are equal. `table` holds indexes + 1. */
static void give_id(struct chunk *chunks, size_t i, struct slice key, uint32_t *table, size_t mask)
{
    struct chunk *chunk = &chunks[i];
    chunk->id[0] = hash_chunk(chunk, key, ID_SEED_HIGH);
    chunk->id[1] = hash_chunk(chunk, key, ID_SEED_LOW);
    size_t at = chunk->id[1] & mask;
    while (table[at] != 0) {
        if (same_id(&chunks[table[at] - 1], chunk)) {
            chunk->id[0] = hash64_seeded(chunk->id, sizeof(chunk->id), ID_SEED_HIGH);
            chunk->id[1] = hash64_seeded(chunk->id, sizeof(chunk->id), ID_SEED_LOW);
            at = chunk->id[1] & mask;
        } else {
            at = (at + 1) & mask;
        }
    }
    table[at] = (uint32_t)i + 1;
}

static enum shoal_err give_ids(const struct cutter *c, struct chunk *chunks, size_t len)
{
    size_t slots = 16;
    while (slots < len * 2) {
        slots *= 2;
    }
    uint32_t *table = mem_calloc(slots, sizeof(*table));
    if (table == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t i = 0; i < len; i++) {
        give_id(chunks, i, c->key, table, slots - 1);
    }
    mem_free(table);
    return SHOAL_OK;
}

/* --- all ------------------------------------------------------------------------------------ */

static enum shoal_err finish(const struct cutter *c, struct arena *arena, struct chunk **out,
                             size_t *out_len, struct errbuf *why)
{
    enum shoal_err rc = c->chunks.failed != SHOAL_OK ? c->chunks.failed : c->units.failed;
    if (rc == SHOAL_ETOOBIG) {
        return err_set(why, rc, "the document makes more than %d chunks; split it", CHUNKS_MAX);
    }
    size_t len = c->chunks.len / sizeof(struct chunk);
    struct chunk *chunks = rc == SHOAL_OK ? arena_array(arena, len, sizeof(*chunks)) : NULL;
    if (chunks == NULL) {
        return rc == SHOAL_OK ? SHOAL_ENOMEM : rc;
    }
    if (len > 0) {
        memcpy(chunks, c->chunks.data, c->chunks.len);
    }
    rc = give_ids(c, chunks, len);
    if (rc == SHOAL_OK) {
        *out = chunks;
        *out_len = len;
    }
    return rc;
}

enum shoal_err chunk_document(const struct document *document, const struct chunk_config *config,
                              struct arena *arena, struct chunk **out, size_t *out_len,
                              struct errbuf *why)
{
    uint32_t words_max = config->words_max == 0 ? CHUNK_WORDS_DEFAULT : config->words_max;
    *out = NULL;
    *out_len = 0;
    if (words_max < WORDS_MIN || words_max > CHUNK_WORDS_MAX) {
        return err_set(why, SHOAL_EINVAL, "words_max %u is not in %d..%d", words_max, WORDS_MIN,
                       CHUNK_WORDS_MAX);
    }
    struct cutter c = {
        .document = document, .text = document->text, .key = config->key, .words_max = words_max
    };
    buf_init(&c.units, SIZE_MAX / 2);
    buf_init(&c.chunks, (size_t)CHUNKS_MAX * sizeof(struct chunk));
    enum shoal_err failed = SHOAL_OK;
    for (size_t i = 0; i < document->sections_len && failed == SHOAL_OK;) {
        size_t shared = share_chunk(&c, i);
        if (shared == 0) {
            pack_section(&c, &document->sections[i]);
        }
        i += shared == 0 ? 1 : shared;
        failed = c.units.failed != SHOAL_OK ? c.units.failed : c.chunks.failed;
    }
    enum shoal_err rc = finish(&c, arena, out, out_len, why);
    buf_release(&c.units);
    buf_release(&c.chunks);
    return rc;
}

enum shoal_err chunk_put_embedded(const struct chunk *chunk, struct slice title, struct buf *out)
{
    struct slice heading = chunk->heading;
    bool has_title = heading.len >= title.len &&
                     (title.len == 0 || memcmp(heading.data, title.data, title.len) == 0);
    if (!has_title) {
        buf_append_slice(out, title);
        buf_append_str(out, heading.len > 0 ? PATH_SEPARATOR : "");
    }
    buf_append_slice(out, heading);
    if (title.len > 0 || heading.len > 0) {
        buf_append_str(out, "\n");
    }
    buf_append_slice(out, chunk->text);
    return out->failed;
}
