/* JSON: reading through simdjson behind a C face, and a writer onto a buf.
 *
 * A document is parsed whole and checked (UTF-8, grammar, depth) before anything is handed out.
 * Values are small handles, copied freely, valid as long as their document. Integers keep all 64
 * bits; a number that fits neither u64, i64 nor a finite double makes the document fail.
 * A key that appears twice in one object: the first is found by json_get, all are seen by the
 * iterator.
 *
 * Threads: a document may be read from any number of threads; a writer belongs to one. */
#ifndef SHOAL_BASE_JSON_H
#define SHOAL_BASE_JSON_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Nesting of objects and arrays together; deeper text is refused with SHOAL_EPARSE. */
#define JSON_DEPTH_MAX 128

enum json_kind {
    JSON_NULL,
    JSON_BOOL,
    JSON_U64, /* an integer >= 0 that fits u64 */
    JSON_I64, /* a negative integer that fits i64 */
    JSON_F64, /* any other number: written with a fraction or an exponent */
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

struct json_doc;

struct json_value {
    uint64_t handle[2]; /* the shim's own */
};

struct json_iter {
    uint64_t state[6]; /* the shim's own */
};

/* Parses a copy of `text`. SHOAL_EPARSE (with the reason), SHOAL_ENOMEM, SHOAL_ETOOBIG (4 GiB). */
SHOAL_MUST_CHECK enum shoal_err json_parse(struct slice text, struct json_doc **out,
                                           struct errbuf *why);
void json_free(struct json_doc *doc);
struct json_value json_root(const struct json_doc *doc);

enum json_kind json_kind(struct json_value v);
/* "null", "boolean", "integer", "integer", "number", "string", "array", "object". */
const char *json_kind_name(enum json_kind kind);

/* Each gives false, and leaves *out alone, when the value is of another kind or out of range.
 * json_f64 takes every number; json_u64 and json_i64 take integers only (10.0 is none). */
bool json_bool(struct json_value v, bool *out);
bool json_u64(struct json_value v, uint64_t *out);
bool json_i64(struct json_value v, int64_t *out);
bool json_f64(struct json_value v, double *out);
/* Unescaped text, borrowed from the document; may hold NUL bytes. */
bool json_string(struct json_value v, struct slice *out);

/* Elements of an array or members of an object; 0 for other kinds. O(1) below 2^24, O(n) above. */
size_t json_len(struct json_value v);
/* False when absent or when v is no object. O(members). */
bool json_get(struct json_value v, const char *key, struct json_value *out);
bool json_get_slice(struct json_value v, struct slice key, struct json_value *out);

/* for (it = json_iter(v); json_next(&it, &key, &member);) ...; key is empty for arrays, and may be
 * NULL. A value that is neither array nor object has no members. */
struct json_iter json_iter(struct json_value v);
bool json_next(struct json_iter *it, struct slice *key, struct json_value *out);

/* Reads an array of exactly `len` numbers into floats (round to nearest; beyond float range gives
 * infinity, which the caller's validation refuses). False when it is no such array. */
bool json_floats(struct json_value v, float *out, size_t len);

/* Appends the value as compact JSON: no spaces, keys in their order, u64 exact. */
enum shoal_err json_print(struct json_value v, struct buf *out);

/* --- writer ------------------------------------------------------------------------------- */

/* Commas are put by the writer. Errors collect in buf.failed; ask once at the end. Unbalanced use
 * is a bug and asserts. */
struct json_writer {
    struct buf *out;
    uint64_t first[(JSON_DEPTH_MAX + 63) / 64]; /* bit per level: nothing written there yet */
    unsigned depth;
    bool after_key;
};

void json_writer_init(struct json_writer *w, struct buf *out);
void json_begin_object(struct json_writer *w);
void json_end_object(struct json_writer *w);
void json_begin_array(struct json_writer *w);
void json_end_array(struct json_writer *w);
void json_key(struct json_writer *w, const char *key);
void json_key_slice(struct json_writer *w, struct slice key);
void json_put_null(struct json_writer *w);
void json_put_bool(struct json_writer *w, bool v);
void json_put_u64(struct json_writer *w, uint64_t v);
void json_put_i64(struct json_writer *w, int64_t v);
/* Shortest text that reads back as the same double / the same float; NaN and infinity as null. */
void json_put_f64(struct json_writer *w, double v);
void json_put_f32(struct json_writer *w, float v);
void json_put_floats(struct json_writer *w, const float *v, size_t len);
/* Escapes what JSON wants escaped; bytes that are no UTF-8 become U+FFFD. */
void json_put_string(struct json_writer *w, struct slice s);
void json_put_str(struct json_writer *w, const char *s);
/* Text that is JSON already (a stored payload). */
void json_put_raw(struct json_writer *w, struct slice json);
void json_put_value(struct json_writer *w, struct json_value v);

#endif
