/* A line of JSON as a filter, asked of the JSON that follows it: no text may crash the parser, and
 * a filter that parsed answers the same twice. */
#include "shard/filter.h"
#include "shard/filter_ast.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void ask(const struct filter *f, struct slice payload)
{
    struct json_doc *doc = NULL;
    const struct point_id id = point_id_num(7);
    bool without = filter_matches(f, &id, NULL);
    if (filter_is_empty(f) && !without) {
        abort();
    }
    if (json_parse(payload, &doc, NULL) == SHOAL_OK) {
        struct json_value root = json_root(doc);
        if (filter_matches(f, &id, &root) != filter_matches(f, &id, &root)) {
            abort();
        }
        json_free(doc);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const uint8_t *line = len == 0 ? NULL : memchr(data, '\n', len);
    size_t filter_len = line == NULL ? len : (size_t)(line - data);
    size_t rest = line == NULL ? len : filter_len + 1;
    struct filter *f = NULL;
    struct errbuf why;
    err_clear(&why);
    enum shoal_err rc = filter_parse_text(slice_make(data, filter_len), &f, &why);
    if ((rc == SHOAL_OK) != (f != NULL)) {
        abort();
    }
    if (rc == SHOAL_OK) {
        ask(f, slice_make(data + rest, len - rest));
        filter_free(f);
    }
    return 0;
}
