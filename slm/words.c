#include "slm/words.h"

#include "base/hash.h"
#include "slm/utf8.h"

#include <libstemmer.h>
#include <string.h>
#include <utf8proc.h>

/* Bytes of a word in lower case; what is longer is cut, which changes no comparison that matters.
 */
#define WORD_BYTES_MAX 64

/* Words without content of their own: articles, pronouns, prepositions, auxiliaries, and the words
 * that questions and answers about a text are framed with. Blanks around each. */
static const char stop_words[] =
    " "
    "a about above according after again all also am an and another any are aren as at be "
    "because been before being below between both but by can could couldn did didn do does "
    "doesn doing down during each either else ever few for from further had hadn has hasn "
    "have haven having he her here hers him his how however i if in into is isn it its "
    "itself just let many me might more most much must my no nor not now of off on once "
    "one only or other our ours out over own per please same shall she should shouldn "
    "since so some such than that the their theirs them then there these they this those "
    "through thus to too under until up upon us use used using very via was wasn we were "
    "weren what when where whether which while who whom whose why will with within without "
    "would wouldn yes yet you your yours passage text document documents question answer "
    "states stated mentioned name called kind type long ";

static const char *const number_words[] = { "zero", "one",    "two",   "three", "four",
                                            "five", "six",    "seven", "eight", "nine",
                                            "ten",  "eleven", "twelve" };

static bool is_word_char(uint32_t code)
{
    switch (utf8proc_category((utf8proc_int32_t)code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL: return true;
    default: return false;
    }
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_capital(uint32_t code)
{
    return utf8proc_category((utf8proc_int32_t)code) == UTF8PROC_CATEGORY_LU;
}

/* A point or a comma between two digits belongs to the number around it. */
static bool joins_digits(struct slice text, size_t at)
{
    return at > 0 && at + 1 < text.len && (text.data[at] == '.' || text.data[at] == ',') &&
           is_digit(text.data[at - 1]) && is_digit(text.data[at + 1]);
}

/* Behind the word that begins at `at`, which is at least one character. */
static size_t word_end(struct slice text, size_t at)
{
    while (at < text.len) {
        struct utf8_step s = utf8__step(text.data + at, text.len - at);
        if (!(s.kind == UTF8_CHAR && is_word_char(s.code)) && !joins_digits(text, at)) {
            break;
        }
        at += s.len;
    }
    return at;
}

/* The word in lower case without the commas of a number; returns its length. */
static size_t fold(struct slice word, char out[WORD_BYTES_MAX])
{
    size_t len = 0;
    for (size_t at = 0; at < word.len;) {
        struct utf8_step s = utf8__step(word.data + at, word.len - at);
        utf8proc_uint8_t bytes[4];
        utf8proc_int32_t code = utf8proc_tolower((utf8proc_int32_t)s.code);
        size_t n = s.code == ',' ? 0 : (size_t)utf8proc_encode_char(code, bytes);
        if (len + n > WORD_BYTES_MAX) {
            break;
        }
        memcpy(out + len, bytes, n);
        len += n;
        at += s.len;
    }
    return len;
}

static bool is_stop_word(const char *word, size_t len)
{
    for (const char *at = stop_words; (at = strchr(at, ' ')) != NULL && at[1] != '\0';) {
        at++;
        if (strncmp(at, word, len) == 0 && at[len] == ' ') {
            return true;
        }
    }
    return false;
}

/* "four" is 4. */
static void number_to_digits(char word[WORD_BYTES_MAX], size_t *len)
{
    for (size_t i = 0; i < sizeof(number_words) / sizeof(number_words[0]); i++) {
        if (strlen(number_words[i]) == *len && memcmp(number_words[i], word, *len) == 0) {
            *len = 0;
            if (i >= 10) {
                word[(*len)++] = '1';
            }
            word[(*len)++] = (char)('0' + i % 10);
            return;
        }
    }
}

static uint64_t stem_of(struct sb_stemmer *stemmer, const char *word, size_t len)
{
    const sb_symbol *stem = NULL;
    if (!is_digit(word[0])) {
        stem = sb_stemmer_stem(stemmer, (const sb_symbol *)word, (int)len);
    }
    /* Out of memory in the stemmer leaves the word as it is: it still equals itself. */
    return stem == NULL ? hash64(word, len) : hash64(stem, (size_t)sb_stemmer_length(stemmer));
}

/* What can stand between the end of one sentence and the beginning of the next, or before all. */
static bool begins_sentence(struct slice text, size_t at)
{
    while (at > 0 && strchr(" \t\"'([", text.data[at - 1]) != NULL) {
        at--;
    }
    return at == 0 || strchr(".!?:\n*-", text.data[at - 1]) != NULL;
}

static bool is_name(struct slice text, size_t begin, size_t end)
{
    struct utf8_step first = utf8__step(text.data + begin, end - begin);
    if (first.kind != UTF8_CHAR || !is_capital(first.code)) {
        return false;
    }
    if (first.len < end - begin) { /* "NASA" is one wherever it stands */
        struct utf8_step second = utf8__step(text.data + begin + first.len,
                                             end - begin - first.len);
        if (second.kind == UTF8_CHAR && is_capital(second.code)) {
            return true;
        }
    }
    return !begins_sentence(text, begin);
}

static void describe(struct slice text, struct sb_stemmer *stemmer, struct word *w)
{
    char folded[WORD_BYTES_MAX];
    size_t len = fold(slice_make(text.data + w->begin, w->end - w->begin), folded);
    w->content = len > 0 && !is_stop_word(folded, len);
    number_to_digits(folded, &len);
    w->number = w->content && is_digit(folded[0]); /* not "one": it is a pronoun more often */
    w->name = w->content && !w->number && is_name(text, w->begin, w->end);
    w->stem = stem_of(stemmer, folded, len);
}

/* The letters behind an apostrophe ("'s", "n't") are no word of their own. */
static size_t skip_suffix(struct slice text, size_t at)
{
    size_t mark = 0;
    if (at < text.len && text.data[at] == '\'') {
        mark = 1;
    } else if (text.len - at >= 3 && memcmp(text.data + at, "\xe2\x80\x99", 3) == 0) {
        mark = 3;
    }
    size_t end = mark == 0 ? at : word_end(text, at + mark);
    return mark > 0 && end - at - mark <= 2 ? end : at;
}

static size_t scan(struct slice text, struct sb_stemmer *stemmer, struct word *list)
{
    size_t len = 0;
    for (size_t at = 0; at < text.len;) {
        struct utf8_step s = utf8__step(text.data + at, text.len - at);
        if (s.kind != UTF8_CHAR || !is_word_char(s.code)) {
            at += s.len;
            continue;
        }
        size_t end = word_end(text, at);
        if (list != NULL) {
            list[len] = (struct word){ .begin = at, .end = end };
            describe(text, stemmer, &list[len]);
        }
        len++;
        at = skip_suffix(text, end);
    }
    return len;
}

enum shoal_err words__of(struct slice text, struct arena *arena, struct words *out)
{
    *out = (struct words){ NULL, 0 };
    size_t len = scan(text, NULL, NULL);
    struct word *list = arena_array(arena, len, sizeof(*list));
    struct sb_stemmer *stemmer = list == NULL ? NULL : sb_stemmer_new("english", "UTF_8");
    if (stemmer == NULL) {
        return SHOAL_ENOMEM;
    }
    *out = (struct words){ .list = list, .len = scan(text, stemmer, list) };
    sb_stemmer_delete(stemmer);
    return SHOAL_OK;
}

bool words__has(const struct words *w, uint64_t stem)
{
    for (size_t i = 0; i < w->len; i++) {
        if (w->list[i].stem == stem) {
            return true;
        }
    }
    return false;
}

size_t words__distinct(const struct words *w)
{
    size_t distinct = 0;
    for (size_t i = 0; i < w->len; i++) {
        const struct words before = { .list = w->list, .len = i };
        distinct += w->list[i].content && !words__has(&before, w->list[i].stem);
    }
    return distinct;
}
