/* Rules: their bounds, and the parser of their text. The grammar stands in limit.h; it is read from
 * left to right without going back, one function for each production. */
#include "limit/algorithm.h"
#include "limit/store.h"

#include <inttypes.h>
#include <string.h>

/* A word longer than this is shown cut in an error's text. */
#define SHOWN_MAX 40

#define UNIT_TEXT(name, text) text,
static const char *const unit_names[] = { LIMIT_UNIT_LIST(UNIT_TEXT) };
#undef UNIT_TEXT

const char *limit_unit_name(enum limit_unit unit)
{
    return unit < LIMIT_UNITS_LEN ? unit_names[unit] : "unknown";
}

static const struct limit_algorithm *const algorithms[] = { &limit_token_bucket };

const struct limit_algorithm *limit__algorithm_find(struct slice name)
{
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
        if (slice_is(name, algorithms[i]->name)) {
            return algorithms[i];
        }
    }
    return NULL;
}

/* --- bounds ----------------------------------------------------------------------------------- */

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

static bool is_name(const char *name)
{
    size_t len = 0;
    while (len <= LIMIT_NAME_MAX && is_name_char(name[len])) {
        len++;
    }
    return len > 0 && len <= LIMIT_NAME_MAX && name[len] == '\0';
}

static bool in_bounds(uint64_t amount)
{
    return amount >= 1 && amount <= LIMIT_AMOUNT_MAX;
}

enum shoal_err limit__rule_check(const struct limit_rule *rule, struct errbuf *why)
{
    if (!is_name(rule->name)) {
        return err_set(why, SHOAL_EVALIDATION,
                       "a rule's name has 1 to %d letters, digits, '_' or '-'", LIMIT_NAME_MAX);
    }
    if (rule->unit >= LIMIT_UNITS_LEN || rule->algorithm == NULL) {
        return err_set(why, SHOAL_EVALIDATION, "rule \"%s\" has no unit or no algorithm",
                       rule->name);
    }
    if (!in_bounds(rule->quota) || !in_bounds(rule->burst)) {
        return err_set(why, SHOAL_EVALIDATION,
                       "rule \"%s\": quota and burst are from 1 to %" PRIu64, rule->name,
                       LIMIT_AMOUNT_MAX);
    }
    if (rule->window_s < 1 || rule->window_s > LIMIT_WINDOW_S_MAX) {
        return err_set(why, SHOAL_EVALIDATION, "rule \"%s\": the window is from 1 to %u seconds",
                       rule->name, LIMIT_WINDOW_S_MAX);
    }
    return SHOAL_OK;
}

static bool has_name(const struct limit_rules *rules, size_t len, const char *name)
{
    for (size_t i = 0; i < len; i++) {
        if (strcmp(rules->rules[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

enum shoal_err limit__rules_check(const struct limit_rules *rules, struct errbuf *why)
{
    if (rules->len > LIMIT_RULES_MAX) {
        return err_set(why, SHOAL_ETOOBIG, "at most %d rules", LIMIT_RULES_MAX);
    }
    for (size_t i = 0; i < rules->len; i++) {
        enum shoal_err rc = limit__rule_check(&rules->rules[i], why);
        if (rc != SHOAL_OK) {
            return rc;
        }
        if (has_name(rules, i, rules->rules[i].name)) {
            return err_set(why, SHOAL_EVALIDATION, "two rules are named \"%s\"",
                           rules->rules[i].name);
        }
    }
    return SHOAL_OK;
}

/* --- words ------------------------------------------------------------------------------------ */

struct cursor {
    struct slice text;
    size_t at;
    struct errbuf *why;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static void skip_blanks(struct cursor *c)
{
    while (c->at < c->text.len && is_blank(c->text.data[c->at])) {
        c->at++;
    }
}

static bool at_end(struct cursor *c)
{
    skip_blanks(c);
    return c->at == c->text.len;
}

/* "at byte 12, before "xyz": <expected>" */
static enum shoal_err expected(struct cursor *c, const char *what)
{
    skip_blanks(c);
    size_t left = c->text.len - c->at;
    if (left == 0) {
        return err_set(c->why, SHOAL_EPARSE, "at the end: expected %s", what);
    }
    return err_set(c->why, SHOAL_EPARSE, "at byte %zu, before \"%.*s\": expected %s", c->at,
                   (int)(left < SHOWN_MAX ? left : SHOWN_MAX), c->text.data + c->at, what);
}

static bool take_char(struct cursor *c, char wanted)
{
    if (at_end(c) || c->text.data[c->at] != wanted) {
        return false;
    }
    c->at++;
    return true;
}

/* Letters, digits, '_' and '-'; empty when there are none. */
static struct slice take_word(struct cursor *c)
{
    skip_blanks(c);
    size_t start = c->at;
    while (c->at < c->text.len && is_name_char(c->text.data[c->at])) {
        c->at++;
    }
    return slice_make(c->text.data + start, c->at - start);
}

/* Saturates, so that a number beyond all bounds is found by the check of the bounds. */
static bool take_number(struct cursor *c, uint64_t *out)
{
    skip_blanks(c);
    size_t start = c->at;
    uint64_t n = 0;
    while (c->at < c->text.len && is_digit(c->text.data[c->at])) {
        uint64_t digit = (uint64_t)(c->text.data[c->at] - '0');
        n = n > (UINT64_MAX - digit) / 10 ? UINT64_MAX : n * 10 + digit;
        c->at++;
    }
    *out = n;
    return c->at > start;
}

/* --- productions ------------------------------------------------------------------------------ */

static enum shoal_err take_name(struct cursor *c, struct limit_rule *rule)
{
    size_t start = c->at;
    struct slice name = take_word(c);
    if (name.len == 0) {
        c->at = start;
        return expected(c, "a rule's name (letters, digits, '_', '-')");
    }
    if (name.len > LIMIT_NAME_MAX) {
        return err_set(c->why, SHOAL_EVALIDATION, "the name \"%.*s...\" has over %d letters",
                       LIMIT_NAME_MAX, name.data, LIMIT_NAME_MAX);
    }
    memcpy(rule->name, name.data, name.len);
    return SHOAL_OK;
}

static enum shoal_err take_unit(struct cursor *c, struct limit_rule *rule)
{
    skip_blanks(c);
    size_t start = c->at;
    struct slice word = take_word(c);
    for (size_t i = 0; i < LIMIT_UNITS_LEN; i++) {
        if (slice_is(word, unit_names[i])) {
            rule->unit = (enum limit_unit)i;
            return SHOAL_OK;
        }
    }
    c->at = start;
    return expected(c, "a unit: requests or generated_tokens");
}

static enum shoal_err take_window(struct cursor *c, struct limit_rule *rule)
{
    static const struct {
        const char *name;
        uint64_t seconds;
    } spans[] = { { "s", 1 }, { "min", 60 }, { "h", 3600 } };
    uint64_t count;
    if (!take_number(c, &count)) {
        count = 1;
    }
    size_t start = c->at;
    struct slice word = take_word(c);
    for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
        if (!slice_is(word, spans[i].name)) {
            continue;
        }
        if (count < 1 || count > LIMIT_WINDOW_S_MAX / spans[i].seconds) {
            return err_set(c->why, SHOAL_EVALIDATION,
                           "rule \"%s\": the window is from 1 to %u seconds", rule->name,
                           LIMIT_WINDOW_S_MAX);
        }
        rule->window_s = (uint32_t)(count * spans[i].seconds);
        return SHOAL_OK;
    }
    c->at = start;
    return expected(c, "a window: s, min or h, with a count before it if it is more than one");
}

static enum shoal_err take_algorithm(struct cursor *c, struct limit_rule *rule)
{
    struct slice name = take_word(c);
    if (name.len == 0) {
        return expected(c, "an algorithm: token_bucket");
    }
    rule->algorithm = limit__algorithm_find(name);
    if (rule->algorithm == NULL) {
        return err_set(c->why, SHOAL_EUNSUPPORTED,
                       "rule \"%s\": no algorithm \"%.*s\"; there is token_bucket", rule->name,
                       (int)(name.len < SHOWN_MAX ? name.len : SHOWN_MAX), name.data);
    }
    return SHOAL_OK;
}

static enum shoal_err take_option(struct cursor *c, struct limit_rule *rule)
{
    skip_blanks(c);
    size_t start = c->at;
    struct slice word = take_word(c);
    if (slice_is(word, "dry_run")) {
        rule->dry_run = true;
        return SHOAL_OK;
    }
    if (slice_is(word, "burst")) {
        return take_char(c, '=') && take_number(c, &rule->burst) ? SHOAL_OK
                                                                 : expected(c, "burst=TOKENS");
    }
    if (slice_is(word, "algorithm")) {
        return take_char(c, '=') ? take_algorithm(c, rule) : expected(c, "algorithm=NAME");
    }
    c->at = start;
    return expected(c, "an option: burst=TOKENS, algorithm=NAME or dry_run");
}

static enum shoal_err take_amounts(struct cursor *c, struct limit_rule *rule)
{
    if (!take_char(c, ':') || !take_number(c, &rule->quota)) {
        return expected(c, "':' and a number of tokens after the unit");
    }
    rule->burst = rule->quota;
    if (!take_char(c, '/')) {
        return expected(c, "'/' and a window after the number");
    }
    return take_window(c, rule);
}

static enum shoal_err take_rule(struct cursor *c, struct limit_rule *rule)
{
    *rule = (struct limit_rule){ .algorithm = &limit_token_bucket };
    enum shoal_err rc = take_name(c, rule);
    if (rc == SHOAL_OK && !take_char(c, '=')) {
        rc = expected(c, "'=' after the rule's name");
    }
    if (rc == SHOAL_OK) {
        rc = take_unit(c, rule);
    }
    if (rc == SHOAL_OK) {
        rc = take_amounts(c, rule);
    }
    while (rc == SHOAL_OK && take_char(c, ',')) {
        rc = take_option(c, rule);
    }
    return rc;
}

static enum shoal_err take_rules(struct cursor *c, struct limit_rules *rules)
{
    if (at_end(c)) {
        return SHOAL_OK;
    }
    do {
        if (rules->len == LIMIT_RULES_MAX) {
            return err_set(c->why, SHOAL_ETOOBIG, "at most %d rules", LIMIT_RULES_MAX);
        }
        enum shoal_err rc = take_rule(c, &rules->rules[rules->len]);
        if (rc != SHOAL_OK) {
            return rc;
        }
        rules->len++;
    } while (take_char(c, ';'));
    return at_end(c) ? SHOAL_OK : expected(c, "',' and an option, ';' and a rule, or the end");
}

enum shoal_err limit_rules_parse(struct slice text, struct limit_rules *out, struct errbuf *why)
{
    *out = (struct limit_rules){ 0 };
    struct cursor c = { .text = text, .why = why };
    struct limit_rules rules = { 0 };
    enum shoal_err rc = take_rules(&c, &rules);
    if (rc == SHOAL_OK) {
        rc = limit__rules_check(&rules, why);
    }
    if (rc != SHOAL_OK) {
        return err_prefix(why, rc, "rate limits");
    }
    *out = rules;
    return SHOAL_OK;
}
