/* What the files that parse filters share: a parser that knows the place it is at
 * ("must[0].range.gt"), so that every refusal can name it. Private to the room.
 *
 * A function that returns an error has recorded it with the place; the caller returns it as it is
 * and does not leave() the place. */
#ifndef SHOAL_SHARD_FILTER_PARSER_H
#define SHOAL_SHARD_FILTER_PARSER_H

#include "shard/filter_ast.h"

#define FILTER_PLACE_MAX 160

struct filter_parser {
    struct filter *filter;
    struct errbuf *why;
    char place[FILTER_PLACE_MAX];
    size_t place_len;
    unsigned depth;
    unsigned nested; /* inside so many nested conditions */
    size_t conditions;
};

/* Goes to ".<what>"; the value goes back to filter__leave. What does not fit is left out. */
size_t filter__enter(struct filter_parser *p, const char *fmt, ...) SHOAL_PRINTF(2, 3);
void filter__leave(struct filter_parser *p, size_t before);

/* Each records place and text, and returns the code. */
enum shoal_err filter__refuse(struct filter_parser *p, enum shoal_err rc, const char *fmt, ...)
    SHOAL_PRINTF(3, 4);
enum shoal_err filter__wrong_kind(struct filter_parser *p, struct json_value v,
                                  const char *expected);
enum shoal_err filter__unknown_key(struct filter_parser *p, struct slice key);

/* Zeroed room in the filter's arena; NULL and *rc set when there is none. */
void *filter__take(struct filter_parser *p, size_t n, size_t size, enum shoal_err *rc);

/* Texts are copied: the document goes away after parsing. */
enum shoal_err filter__number(struct filter_parser *p, struct json_value v, double *out);
enum shoal_err filter__u64(struct filter_parser *p, struct json_value v, uint64_t *out);
enum shoal_err filter__bool(struct filter_parser *p, struct json_value v, bool *out);
enum shoal_err filter__text(struct filter_parser *p, struct json_value v, struct slice *out);
enum shoal_err filter__path(struct filter_parser *p, struct json_value v, struct json_path *out);
enum shoal_err filter__id(struct filter_parser *p, struct json_value v, struct point_id *out);
bool filter__int(struct json_value v, struct filter_int *out);

/* Runs `member` for every member of the object, with the place set. */
typedef enum shoal_err filter_member_fn(struct filter_parser *p, struct slice key,
                                        struct json_value v, void *out);
enum shoal_err filter__members(struct filter_parser *p, struct json_value v,
                               filter_member_fn *member, void *out);
/* The same for the elements of an array; `i` counts them. */
typedef enum shoal_err filter_element_fn(struct filter_parser *p, size_t i, struct json_value v,
                                         void *out);
enum shoal_err filter__elements(struct filter_parser *p, struct json_value v,
                                filter_element_fn *element, void *out);

/* filter_field.c: the tests of a field condition; *out is all zero before. */
enum shoal_err filter__match(struct filter_parser *p, struct json_value v,
                             struct filter_match *out);
enum shoal_err filter__range(struct filter_parser *p, struct json_value v,
                             struct filter_range *out);
enum shoal_err filter__count(struct filter_parser *p, struct json_value v,
                             struct filter_count *out);
/* filter_geo.c */
enum shoal_err filter__circle(struct filter_parser *p, struct json_value v,
                              const struct geo_circle **out);
enum shoal_err filter__box(struct filter_parser *p, struct json_value v,
                           const struct geo_box **out);
enum shoal_err filter__polygon(struct filter_parser *p, struct json_value v,
                               const struct geo_polygon **out);

#endif
