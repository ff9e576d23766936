/* Where a sentence ends is decided at three kinds of places:
 *
 *   stop    . ! ? and the ellipsis: the sentence ends when a blank and a word that can begin one
 *           follow, and the word before is no abbreviation
 *   full    the full stops of scripts that set no blank behind them: the sentence ends
 *   line    a line's end: the sentence ends when the line, or the next one, is a block of its own
 *
 * Abbreviations are of three classes: some never end a sentence ("Dr."), some not before a digit
 * ("No. 5"), and the rest only before a word that often begins one ("the U.S. The"), since a
 * capital alone says nothing there ("the U.S. Army"). */
#include "slm/sentence.h"

#include "slm/utf8.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <utf8proc.h>

#define WORD_BYTES_MAX 12 /* of an abbreviation or a starter; longer words are neither */
#define ITEM_DIGITS_MAX 3 /* "12." opens a list item, "1999." does not */

/* In lower case, with blanks around each word. */
static const char never_end[] = " e.g i.e cf vs mr mrs ms dr prof st gen col capt lt rev hon gov "
                                "sen rep mt messrs viz esp incl approx resp z.b d.h bzw vgl ";
static const char no_end_before_digit[] =
    " no nos nr fig figs eq eqs vol p pp ch chap sec sect art "
    "ca ver v jan feb mar apr jun jul aug sep sept oct nov "
    "dec tab ex ";
static const char may_end[] = " etc al inc ltd co corp jr sr bros dept est ave blvd rd ph.d usw ";
static const char starters[] =
    " the a an it this that these those he she they we you i in on at if when but and however for "
    "to there see as with by from its his her their our my after before no yes what how why who "
    "where while since also then thus each all some most many one use please note ";

struct glyph {
    uint32_t code;
    size_t len; /* 0 at the end of the text */
};

static struct glyph glyph_at(struct slice text, size_t at)
{
    if (at >= text.len) {
        return (struct glyph){ .code = 0 };
    }
    if ((unsigned char)text.data[at] < 0x80) {
        return (struct glyph){ .code = (unsigned char)text.data[at], .len = 1 };
    }
    struct utf8_step step = utf8__step(text.data + at, text.len - at);
    return (struct glyph){ .code = step.kind == UTF8_CHAR ? step.code : 0xFFFD, .len = step.len };
}

static bool is_digit(uint32_t code)
{
    return code >= '0' && code <= '9';
}

static bool is_letter(uint32_t code)
{
    return (code | 0x20) >= 'a' && (code | 0x20) <= 'z';
}

static bool is_stop(uint32_t code)
{
    return code == '.' || code == '!' || code == '?' || code == 0x2026 || code == 0x203C ||
           (code >= 0x2047 && code <= 0x2049);
}

/* Ideographic, half-width and full-width stops, dandas, Arabic and Urdu ones. */
static bool is_full_stop(uint32_t code)
{
    return code == 0x3002 || code == 0xFF61 || code == 0xFF01 || code == 0xFF1F || code == 0x964 ||
           code == 0x965 || code == 0x61F || code == 0x6D4;
}

/* What may stand between a stop and the blank: quotes, brackets, Markdown's marks of emphasis. */
static bool is_closer(uint32_t code)
{
    if (code < 0x80) {
        return code != 0 && strchr("\"')]}*_`", (int)code) != NULL;
    }
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)code);
    return c == UTF8PROC_CATEGORY_PE || c == UTF8PROC_CATEGORY_PF;
}

/* What may stand before the first letter of a sentence. */
static bool is_opener(uint32_t code)
{
    if (code < 0x80) {
        return code != 0 && strchr("\"'([{*_`", (int)code) != NULL;
    }
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)code);
    return c == UTF8PROC_CATEGORY_PS || c == UTF8PROC_CATEGORY_PI || code == 0xBF || code == 0xA1;
}

static size_t skip_blanks(struct slice text, size_t at)
{
    struct glyph g = glyph_at(text, at);
    while (g.len > 0 && utf8__is_blank(g.code)) {
        at += g.len;
        g = glyph_at(text, at);
    }
    return at;
}

static size_t skip_blanks_of_line(struct slice text, size_t at)
{
    struct glyph g = glyph_at(text, at);
    while (g.len > 0 && g.code != '\n' && utf8__is_blank(g.code)) {
        at += g.len;
        g = glyph_at(text, at);
    }
    return at;
}

static bool blank_or_end(struct slice text, size_t at)
{
    struct glyph g = glyph_at(text, at);
    return g.len == 0 || utf8__is_blank(g.code);
}

/* --- words ---------------------------------------------------------------------------------- */

static bool among(const char *list, struct slice word)
{
    char key[WORD_BYTES_MAX + 2];
    if (word.len == 0 || word.len > WORD_BYTES_MAX) {
        return false;
    }
    key[0] = ' ';
    for (size_t i = 0; i < word.len; i++) {
        char c = word.data[i];
        key[i + 1] = (char)(c >= 'A' && c <= 'Z' ? c + 0x20 : c);
    }
    key[word.len + 1] = ' ';
    return memmem(list, strlen(list), key, word.len + 2) != NULL;
}

/* The word that ends at `end`, opening brackets and quotes not included; empty when it is longer
 * than any abbreviation. */
static struct slice word_before(struct slice text, size_t begin, size_t end)
{
    size_t at = end;
    while (at > begin && !utf8__is_blank((unsigned char)text.data[at - 1]) &&
           !is_opener((unsigned char)text.data[at - 1])) {
        if (end - at > WORD_BYTES_MAX) {
            return slice_make(text.data + end, 0);
        }
        at--;
    }
    return slice_make(text.data + at, end - at);
}

/* "U.S", "a.m" or a lone letter: one letter between the points. */
static bool is_initials(struct slice word)
{
    for (size_t i = 0; i < word.len; i++) {
        bool good = i % 2 == 0 ? is_letter((unsigned char)word.data[i]) : word.data[i] == '.';
        if (!good) {
            return false;
        }
    }
    return word.len % 2 == 1;
}

/* A word of the list, and not an initial ("A. Smith"). */
static bool is_starter(struct slice text, size_t at)
{
    size_t end = at;
    while (end < text.len && is_letter((unsigned char)text.data[end])) {
        end++;
    }
    return blank_or_end(text, end) && among(starters, slice_make(text.data + at, end - at));
}

/* Does the number or letter before the point open the sentence, as in "1. Install it"? */
static bool is_ordinal(struct slice text, size_t begin, struct slice word)
{
    if (word.data != text.data + begin || word.len == 0 || word.len > ITEM_DIGITS_MAX) {
        return false;
    }
    for (size_t i = 0; i < word.len; i++) {
        if (!is_digit((unsigned char)word.data[i])) {
            return word.len == 1 && is_letter((unsigned char)word.data[0]);
        }
    }
    return true;
}

/* --- stops ---------------------------------------------------------------------------------- */

/* "[2]" and "[2][3]" behind a stop cite for the sentence before them. */
static size_t skip_marks(struct slice text, size_t at)
{
    size_t end = at;
    for (size_t p = skip_blanks_of_line(text, at); p < text.len && text.data[p] == '[';) {
        size_t q = p + 1;
        while (q < text.len && is_digit((unsigned char)text.data[q])) {
            q++;
        }
        if (q == p + 1 || q == text.len || text.data[q] != ']') {
            break;
        }
        end = q + 1;
        p = skip_blanks_of_line(text, end);
    }
    return blank_or_end(text, end) ? end : at;
}

static bool can_begin(struct slice text, size_t at)
{
    struct glyph g = glyph_at(text, at);
    while (g.len > 0 && is_opener(g.code)) {
        at += g.len;
        g = glyph_at(text, at);
    }
    if (g.len == 0 || utf8__is_blank(g.code)) {
        return false;
    }
    if (g.code < 0x80) {
        return (g.code >= 'A' && g.code <= 'Z') || is_digit(g.code) ||
               strchr("$/<~@#%\\", (int)g.code) != NULL;
    }
    switch (utf8proc_category((utf8proc_int32_t)g.code)) {
    case UTF8PROC_CATEGORY_LL: /* fall through */
    case UTF8PROC_CATEGORY_PE: /* fall through */
    case UTF8PROC_CATEGORY_PF: /* fall through */
    case UTF8PROC_CATEGORY_PO: /* fall through */
    case UTF8PROC_CATEGORY_PD: return false;
    default: return true;
    }
}

/* Is the point at `stop` an abbreviation's, with the word at `next` behind it? */
static bool is_abbreviation(struct slice text, size_t begin, size_t stop, size_t next)
{
    struct slice word = word_before(text, begin, stop);
    if (is_ordinal(text, begin, word) || among(never_end, word)) {
        return true;
    }
    if (among(no_end_before_digit, word) && is_digit(glyph_at(text, next).code)) {
        return true;
    }
    return (is_initials(word) || among(may_end, word)) && !is_starter(text, next);
}

/* Whether the sentence that began at `begin` ends with the stops at `at`. *after is behind them and
 * what closes with them, either way. */
static bool ends_at_stop(struct slice text, size_t begin, size_t at, size_t *after)
{
    size_t end = at;
    bool full = false;
    struct glyph g = glyph_at(text, at);
    while (g.len > 0 && (is_stop(g.code) || is_full_stop(g.code))) {
        full = full || is_full_stop(g.code);
        end += g.len;
        g = glyph_at(text, end);
    }
    bool lone_point = end == at + 1 && text.data[at] == '.';
    while (g.len > 0 && is_closer(g.code)) {
        end += g.len;
        g = glyph_at(text, end);
    }
    *after = end;
    if (full) {
        *after = skip_marks(text, end);
        return true;
    }
    if (!blank_or_end(text, end)) {
        return false;
    }
    size_t marked = skip_marks(text, end);
    size_t next = skip_blanks(text, marked);
    bool ends = next == text.len ||
                (can_begin(text, next) && !(lone_point && is_abbreviation(text, begin, at, next)));
    *after = ends ? marked : end;
    return ends;
}

/* --- lines ---------------------------------------------------------------------------------- */

bool sentence_block_begins(struct slice text, size_t at)
{
    struct glyph g = glyph_at(text, at);
    size_t end = at + g.len;
    if (g.code == '|') {
        return true;
    }
    if (g.code == '#' || is_digit(g.code)) {
        while (end < text.len &&
               (g.code == '#' ? text.data[end] == '#' : is_digit((unsigned char)text.data[end]))) {
            end++;
        }
        if (g.code == '#') {
            return end - at <= 6 && blank_or_end(text, end);
        }
        return end - at <= ITEM_DIGITS_MAX && end < text.len &&
               (text.data[end] == '.' || text.data[end] == ')') && blank_or_end(text, end + 1);
    }
    if (is_letter(g.code)) {
        return end < text.len && text.data[end] == ')' && blank_or_end(text, end + 1);
    }
    bool bullet = g.code == '-' || g.code == '*' || g.code == '+' || g.code == 0x2022 ||
                  g.code == 0x2023 || g.code == 0x25E6 || g.code == 0xB7;
    return bullet && blank_or_end(text, end);
}

/* Whether the sentence ends at the newline at `at`. An indented line goes on with an item. */
static bool ends_at_line(struct slice text, size_t at, bool is_block)
{
    size_t next = skip_blanks_of_line(text, at + 1);
    if (next == text.len || text.data[next] == '\n') {
        return true;
    }
    return (is_block && next == at + 1) || sentence_block_begins(text, next);
}

/* A bar between blanks parts two cells of a row. */
static bool is_cell_bar(struct slice text, size_t at)
{
    return text.data[at] == '|' && at > 0 && text.data[at - 1] == ' ' && blank_or_end(text, at + 1);
}

/* --- the iterator --------------------------------------------------------------------------- */

struct sentence_iter sentence_iter(struct slice text)
{
    return (struct sentence_iter){ .text = text };
}

/* Moves to the first byte of the next sentence; false when there is none. */
static bool find_begin(struct sentence_iter *it)
{
    bool new_line = it->at == 0;
    struct glyph g = glyph_at(it->text, it->at);
    while (g.len > 0 && utf8__is_blank(g.code)) {
        new_line = new_line || g.code == '\n';
        it->at += g.len;
        g = glyph_at(it->text, it->at);
    }
    if (g.len > 0 && new_line) {
        it->is_block = sentence_block_begins(it->text, it->at);
    }
    return g.len > 0;
}

bool sentence_next(struct sentence_iter *it, struct sentence *out)
{
    if (!find_begin(it)) {
        return false;
    }
    *out = (struct sentence){ .begin = it->at, .end = it->at };
    for (struct glyph g = glyph_at(it->text, it->at); g.len > 0; g = glyph_at(it->text, it->at)) {
        if (is_stop(g.code) || is_full_stop(g.code)) {
            bool ends = ends_at_stop(it->text, out->begin, it->at, &it->at);
            out->end = it->at;
            if (ends) {
                return true;
            }
            continue;
        }
        if (g.code == '\n' && ends_at_line(it->text, it->at, it->is_block)) {
            return true;
        }
        it->is_block = it->is_block || is_cell_bar(it->text, it->at);
        it->at += g.len;
        if (!utf8__is_blank(g.code)) {
            out->end = it->at;
        }
    }
    return true;
}
