#include "slm/utf8.h"

static bool continues(unsigned char c)
{
    return (c & 0xC0) == 0x80;
}

struct utf8_step utf8__step(const char *p, size_t n)
{
    /* by length: the smallest code that may be written so long */
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    const unsigned char *s = (const unsigned char *)p;
    struct utf8_step invalid = { .kind = UTF8_INVALID, .len = 1 };
    if (s[0] < 0x80) {
        return (struct utf8_step){ .kind = UTF8_CHAR, .code = s[0], .len = 1 };
    }
    size_t len = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
    if (s[0] < 0xC2 || s[0] > 0xF4) {
        return invalid;
    }
    uint32_t code = s[0] & (0x7Fu >> len);
    for (size_t i = 1; i < len; i++) {
        if (i == n) {
            return (struct utf8_step){ .kind = UTF8_INCOMPLETE, .len = n };
        }
        if (!continues(s[i])) {
            return invalid;
        }
        code = code << 6 | (s[i] & 0x3Fu);
        /* A second byte out of range is known at once, so that no such beginning is waited for. */
        uint32_t low = code << 6 * (len - 1 - i);
        uint32_t high = low | ((1u << 6 * (len - 1 - i)) - 1);
        if (high < least[len] || low > 0x10FFFF || (low >= 0xD800 && high <= 0xDFFF)) {
            return invalid;
        }
    }
    return (struct utf8_step){ .kind = UTF8_CHAR, .code = code, .len = len };
}

bool utf8__valid(struct slice s)
{
    for (size_t i = 0; i < s.len;) {
        struct utf8_step step = utf8__step(s.data + i, s.len - i);
        if (step.kind != UTF8_CHAR) {
            return false;
        }
        i += step.len;
    }
    return true;
}

bool utf8__is_blank(uint32_t code)
{
    return code == ' ' || (code >= '\t' && code <= '\r') || code == 0x85 || code == 0xA0 ||
           code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
           code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

size_t utf8__cut(struct slice s, size_t max)
{
    if (s.len <= max) {
        return s.len;
    }
    size_t at = max;
    while (at > 0 && continues((unsigned char)s.data[at])) {
        at--;
    }
    return at;
}
