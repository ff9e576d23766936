/* The tree that filter_parse.c builds and filter_match.c asks. Private to the room; see filter.h
 * for what a filter is. Everything hangs on the filter's arena. */
#ifndef SHOAL_SHARD_FILTER_AST_H
#define SHOAL_SHARD_FILTER_AST_H

#include "base/arena.h"
#include "shard/filter.h"
#include "shard/geo.h"
#include "shard/json_path.h"

#include <stdint.h>

/* Memory of one parsed filter: some two million ids. */
#define FILTER_BYTES_MAX (64u << 20)

/* Any JSON integer. Negative ones come first; among equals in sign the bits order as the values. */
struct filter_int {
    bool negative;
    uint64_t bits; /* two's complement */
};

enum filter_match_kind {
    FILTER_MATCH_NONE,
    FILTER_MATCH_BOOL,
    FILTER_MATCH_IN,     /* value and any: one of the list */
    FILTER_MATCH_EXCEPT, /* present, and none of the list */
    FILTER_MATCH_TEXT,   /* holds the text; also phrase */
    FILTER_MATCH_TOKENS, /* holds one of the words */
    FILTER_MATCH_PREFIX
};

/* Both lists are sorted (strings by filter_text_compare). */
struct filter_match {
    enum filter_match_kind kind;
    bool yes; /* FILTER_MATCH_BOOL */
    const struct filter_int *ints;
    size_t ints_len;
    const struct slice *strings; /* also the text, the words, the prefix */
    size_t strings_len;
};

enum filter_range_kind { FILTER_RANGE_NONE, FILTER_RANGE_NUMBER, FILTER_RANGE_DATETIME };

enum filter_bound { FILTER_LT, FILTER_LTE, FILTER_GT, FILTER_GTE, FILTER_BOUNDS_LEN };

struct filter_range {
    enum filter_range_kind kind;
    bool has[FILTER_BOUNDS_LEN];
    double number[FILTER_BOUNDS_LEN];
    int64_t moment_us[FILTER_BOUNDS_LEN];
};

struct filter_count {
    bool set;
    bool has[FILTER_BOUNDS_LEN];
    uint64_t bound[FILTER_BOUNDS_LEN];
};

enum filter_asked { FILTER_NOT_ASKED, FILTER_ASKED_TRUE, FILTER_ASKED_FALSE };

/* What is asked of the values at one path. Clients send one test each; with several, the element
 * tests are alternatives, and values_count, is_empty and is_null decide alone, in this order: so
 * the servers they were written for do it. */
struct filter_field {
    struct filter_match match;
    struct filter_range range;
    const struct geo_circle *circle;
    const struct geo_box *box;
    const struct geo_polygon *polygon;
    struct filter_count count;
    enum filter_asked is_empty, is_null;
};

struct filter_ids {
    const struct point_id *ids; /* sorted, none twice */
    size_t len;
};

enum filter_condition_kind {
    FILTER_COND_CLAUSE,
    FILTER_COND_FIELD,
    FILTER_COND_IS_EMPTY,
    FILTER_COND_IS_NULL,
    FILTER_COND_HAS_ID,
    FILTER_COND_HAS_VECTOR,
    FILTER_COND_NESTED,
    FILTER_COND_SLICE
};

struct filter_clause;

struct filter_condition {
    enum filter_condition_kind kind;
    struct json_path path; /* FIELD, IS_EMPTY, IS_NULL, NESTED (ends in an each-step) */
    union {
        const struct filter_clause *clause; /* CLAUSE, NESTED */
        const struct filter_field *field;
        struct filter_ids has_id;
        bool has_vector; /* whether points have a vector of the name asked for */
        struct {
            uint64_t total, index;
        } part; /* SLICE: of the ids, by hash */
    } of;
};

struct filter_conditions {
    const struct filter_condition *items;
    size_t len;
};

struct filter_clause {
    struct filter_conditions must, should, must_not, min_should;
    bool has_min_should;
    uint64_t min_count;
};

struct filter {
    struct arena arena;
    struct filter_clause root;
    bool needs_payload;
};

int filter_int_compare(const void *a, const void *b);
/* By length, then bytes. */
int filter_text_compare(const void *a, const void *b);
/* For qsort and bsearch over struct point_id. */
int filter_id_compare(const void *a, const void *b);

/* The ids outside of which nothing can match, when the filter names such (must: has_id). */
bool filter_candidates(const struct filter *f, struct filter_ids *out);

#endif
