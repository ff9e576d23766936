/* What the commands print: tables and JSON. */
#include "client/cli.h"

#include <inttypes.h>
#include <stdio.h>

/* Bytes of the character that begins here; a byte that begins none counts as one. */
static size_t char_len(struct slice s)
{
    unsigned char c = (unsigned char)s.data[0];
    size_t len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
    return len <= s.len ? len : s.len;
}

static size_t count_chars(struct slice s)
{
    size_t n = 0;
    while (s.len > 0) {
        size_t len = char_len(s);
        s = slice_make(s.data + len, s.len - len);
        n++;
    }
    return n;
}

/* Control characters would move the cursor, or worse; they show as blanks. */
static void put_char(struct slice c)
{
    bool control = c.len == 1 && ((unsigned char)c.data[0] < 0x20 || c.data[0] == 0x7f);
    if (control) {
        putchar(' ');
    } else {
        fwrite(c.data, 1, c.len, stdout);
    }
}

/* Puts at most `width` characters and tells how many. */
static size_t put_cut(struct slice text, size_t width)
{
    size_t chars = count_chars(text);
    size_t shown = chars <= width ? chars : width - 3;
    for (size_t i = 0; i < shown; i++) {
        size_t len = char_len(text);
        put_char(slice_make(text.data, len));
        text = slice_make(text.data + len, text.len - len);
    }
    if (shown == chars) {
        return shown;
    }
    printf("...");
    return shown + 3;
}

void cli_cell(struct slice text, size_t width)
{
    size_t shown = put_cut(text, width);
    printf("%*s", (int)(width - shown + 2), "");
}

void cli_last_cell(struct slice text, size_t width)
{
    (void)put_cut(text, width);
    putchar('\n');
}

void cli_cell_u64(struct json_value v, const char *key, size_t width)
{
    struct json_value member;
    uint64_t n = 0;
    char text[24] = "?";
    if (json_get(v, key, &member) && json_u64(member, &n)) {
        snprintf(text, sizeof(text), "%" PRIu64, n);
    }
    cli_cell(slice_from_str(text), width);
}

int cli_print_json(struct json_value v, size_t bytes_max)
{
    struct buf text;
    buf_init(&text, bytes_max);
    enum shoal_err rc = json_print(v, &text);
    if (rc == SHOAL_OK) {
        printf("%.*s\n", (int)text.len, text.data);
    }
    buf_release(&text);
    return rc == SHOAL_OK ? CLI_OK : cli_fail(err_text(rc));
}
