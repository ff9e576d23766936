/* What the body parsers share: walking objects, and the values that occur everywhere. Private to
 * rest_parse_*.c.
 *
 * A taker says what is wrong with its value and not where the value stands; whoever called it puts
 * the place before that, so that the text grows from the inside: "[3]: id: value -1 ...", then
 * "points[3]: id: value -1 ...".
 *
 * Threads: pure functions. */
#ifndef SHOAL_SERVER_REST_TAKE_H
#define SHOAL_SERVER_REST_TAKE_H

#include "server/rest_parse.h"

/* --- objects and places --------------------------------------------------------------------- */

/* What to do with one key of an object; `out` is the struct being filled. */
typedef enum shoal_err rest_take_fn(const struct rest_parser *p, struct json_value v, void *out);

struct rest_key {
    const char *name;
    rest_take_fn *take; /* NULL: known to the API, not built here */
    bool required;
    bool alias; /* another name of the key before it in the table */
};

#define REST_KEYS_MAX 32

/* Takes every member of the object by its key. A key that is not in the table, comes twice, or is
 * required and absent is SHOAL_EPARSE; a null counts as absent. */
SHOAL_MUST_CHECK enum shoal_err rest_walk_keys(const struct rest_parser *p, struct json_value v,
                                               const struct rest_key *keys, size_t keys_len,
                                               void *out);
#define REST_WALK(p, v, keys, out) \
    rest_walk_keys((p), (v), (keys), sizeof(keys) / sizeof((keys)[0]), (out))

/* The object's only member, or SHOAL_EPARSE. */
SHOAL_MUST_CHECK enum shoal_err rest_only_member(const struct rest_parser *p, struct json_value v,
                                                 struct slice *key, struct json_value *member);

/* SHOAL_EPARSE "must be <wanted>, not <kind>". */
enum shoal_err rest_wrong(const struct rest_parser *p, struct json_value v, const char *wanted);
/* SHOAL_EPARSE "unknown key ..". */
enum shoal_err rest_unknown_key(const struct rest_parser *p, struct slice key);
/* SHOAL_EUNSUPPORTED "<what> not supported yet". */
enum shoal_err rest_unsupported(const struct rest_parser *p, const char *what);
/* Puts the place before the text of the codes whose texts speak of one value. Both return rc. */
enum shoal_err rest_at(const struct rest_parser *p, enum shoal_err rc, struct slice name);
enum shoal_err rest_at_index(const struct rest_parser *p, enum shoal_err rc, size_t index);

/* Room for the elements of an array, zeroed; *len is their number. SHOAL_EPARSE when v is no array,
 * SHOAL_ETOOBIG "<len> <nouns> in one request; send at most <max> at a time". */
SHOAL_MUST_CHECK enum shoal_err rest_room(const struct rest_parser *p, struct json_value v,
                                          const char *nouns, size_t max, size_t size, void **out,
                                          size_t *len);

/* --- values --------------------------------------------------------------------------------- */

/* Prints the value into the arena. */
SHOAL_MUST_CHECK enum shoal_err rest_keep_json(const struct rest_parser *p, struct json_value v,
                                               struct slice *out);

enum shoal_err rest_take_bool(const struct rest_parser *p, struct json_value v, void *bool_out);
/* SHOAL_EVALIDATION "value 0 invalid, must be 1 or larger". */
SHOAL_MUST_CHECK enum shoal_err rest_take_u32(const struct rest_parser *p, struct json_value v,
                                              uint32_t min, uint32_t max, uint32_t *out);
enum shoal_err rest_take_limit(const struct rest_parser *p, struct json_value v, void *u32_out);
enum shoal_err rest_take_id(const struct rest_parser *p, struct json_value v, void *id_out);
/* A checked filter as JSON text; a struct slice. */
enum shoal_err rest_take_filter(const struct rest_parser *p, struct json_value v, void *slice_out);
/* A struct rest_select. */
enum shoal_err rest_take_with_payload(const struct rest_parser *p, struct json_value v,
                                      void *select_out);
/* A bool: names of vectors other than "" are refused. */
enum shoal_err rest_take_with_vector(const struct rest_parser *p, struct json_value v,
                                     void *bool_out);
/* The vector's name: only "" exists. */
enum shoal_err rest_take_using(const struct rest_parser *p, struct json_value v, void *unused);
/* Hints that change no result; only their form is checked. */
enum shoal_err rest_take_bool_hint(const struct rest_parser *p, struct json_value v, void *unused);
enum shoal_err rest_take_object_hint(const struct rest_parser *p, struct json_value v,
                                     void *unused);

struct rest_ids {
    const struct point_id *list;
    size_t len;
};
enum shoal_err rest_take_ids(const struct rest_parser *p, struct json_value v, void *ids_out);

/* --- vectors -------------------------------------------------------------------------------- */

/* The member "" of a map of vector names; any other name is refused. */
SHOAL_MUST_CHECK enum shoal_err rest_find_unnamed(const struct rest_parser *p, struct json_value v,
                                                  struct json_value *out);
/* Finds the array of numbers in any of the API's forms of a dense vector, and checks its length;
 * needs no room for the numbers, so that a short text cannot ask for much memory. */
SHOAL_MUST_CHECK enum shoal_err rest_find_row(const struct rest_parser *p, struct json_value v,
                                              struct json_value *array);
/* Reads what rest_find_row found into dim floats, checked for the collection. */
SHOAL_MUST_CHECK enum shoal_err rest_read_row(const struct rest_parser *p, struct json_value array,
                                              float *row);
/* Both, into the arena. */
SHOAL_MUST_CHECK enum shoal_err rest_keep_row(const struct rest_parser *p, struct json_value v,
                                              const float **out);

#endif
