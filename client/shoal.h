/* libshoal: the C client of Shoal, a distributed vector search engine.
 *
 * One API, two ways to reach the data:
 *
 *     shoal://HOST:PORT     a running shoald, over the network (libshoal)
 *     file:///DIR           the engine inside this process, over its own data directory
 *                           (libshoal-embedded, the same header); one process at a time
 *
 *     struct shoal *db = NULL;
 *     char why[SHOAL_WHY_MAX];
 *     if (shoal_open("shoal://127.0.0.1:6334", NULL, &db, why) != 0) { puts(why); return 1; }
 *     shoal_collection_create(db, "books", &(struct shoal_collection){.dim = 384}, why);
 *     ...
 *     shoal_close(db);
 *
 * Threads: a handle may be used by any number of threads at once; closing it needs that no call is
 * under way. There is no global state. Results belong to the caller and are freed by their own
 * free call; free(NULL) is fine.
 *
 * Errors: every call returns 0 on success or a code of enum shoal_status, and writes a sentence for
 * people to `why` (SHOAL_WHY_MAX bytes, may be NULL). SHOAL_E_TIMEOUT and SHOAL_E_UNAVAILABLE on a
 * write mean that the outcome is unknown: repeat it with the same operation id, and it is applied
 * once. */
#ifndef SHOAL_H
#define SHOAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SHOAL_WHY_MAX 512

enum shoal_status {
    SHOAL_E_OK = 0,
    SHOAL_E_NO_MEMORY = 1,
    SHOAL_E_INVALID = 2, /* the request is wrong; repeating it is no use */
    SHOAL_E_FULL = 3,    /* the server's disk or map is full */
    SHOAL_E_CORRUPT = 4,
    SHOAL_E_IO = 5,
    SHOAL_E_BUSY = 6, /* overloaded: repeat later */
    SHOAL_E_NOT_FOUND = 7,
    SHOAL_E_EXISTS = 8,
    SHOAL_E_TIMEOUT = 9,
    SHOAL_E_UNAVAILABLE = 10,
    SHOAL_E_UNSUPPORTED = 11,
    SHOAL_E_PROTOCOL = 12,
    SHOAL_E_TOO_BIG = 13,
    SHOAL_E_CANCELED = 14,
    SHOAL_E_LIMITED = 15, /* a rate limit: repeat later */
    SHOAL_E_DENIED = 16
};

struct shoal;

struct shoal_options {
    uint32_t timeout_ms; /* of each call; 0: 30,000 */
    const char *api_key; /* NULL: none; copied */
};

/* "libshoal 0.1.0". */
const char *shoal_version(void);
/* A short sentence for a code. */
const char *shoal_status_text(int status);

/* `options` may be NULL. Over the network it returns at once; the first call connects. */
int shoal_open(const char *url, const struct shoal_options *options, struct shoal **out, char *why);
void shoal_close(struct shoal *db);

/* --- collections ---------------------------------------------------------------------------- */

enum shoal_distance { SHOAL_COSINE = 0, SHOAL_DOT, SHOAL_EUCLID, SHOAL_MANHATTAN };

struct shoal_collection {
    uint32_t dim; /* 1..65536 */
    enum shoal_distance distance;
    uint32_t shards;          /* 0: 1 */
    uint32_t m;               /* HNSW links; 0: 16 */
    uint32_t ef_construction; /* 0: 100 */
};

int shoal_collection_create(struct shoal *db, const char *name,
                            const struct shoal_collection *collection, char *why);
/* SHOAL_E_NOT_FOUND. */
int shoal_collection_delete(struct shoal *db, const char *name, char *why);
/* JSON as the HTTP API answers; freed by shoal_text_free. */
int shoal_collection_info(struct shoal *db, const char *name, char **json, char *why);
int shoal_collection_list(struct shoal *db, char **json, char *why);
void shoal_text_free(char *text);

/* --- points --------------------------------------------------------------------------------- */

struct shoal_id {
    bool is_uuid;
    uint64_t number; /* when not a UUID */
    uint8_t uuid[16];
};

struct shoal_id shoal_id_number(uint64_t number);
/* Any form of UUID, or decimal digits. SHOAL_E_INVALID. */
int shoal_id_parse(const char *text, struct shoal_id *out);
/* Writes at most 37 bytes with the terminator. */
void shoal_id_print(const struct shoal_id *id, char out[37]);

struct shoal_points {
    size_t len;
    uint32_t dim;
    const struct shoal_id *ids;  /* len */
    const float *vectors;        /* len x dim, row-major */
    const char *const *payloads; /* len JSON objects, or NULL; entries may be NULL */
    const uint8_t *operation_id; /* 16 bytes, or NULL: made here, and used for repeats */
    bool wait;                   /* return when visible, not only durable */
};

/* Writes points, replacing those that are there. Applied whole or, when refused, not at all. */
int shoal_upsert(struct shoal *db, const char *collection, const struct shoal_points *points,
                 char *why);
int shoal_delete(struct shoal *db, const char *collection, const struct shoal_id *ids, size_t len,
                 char *why);
/* `filter`: JSON as in the HTTP API. */
int shoal_delete_where(struct shoal *db, const char *collection, const char *filter, char *why);
int shoal_count(struct shoal *db, const char *collection, const char *filter, uint64_t *out,
                char *why);

struct shoal_search {
    const float *vector;
    uint32_t dim;
    uint32_t limit; /* 0: 10 */
    uint32_t ef;    /* 0: the collection's own */
    bool exact;
    const char *filter; /* JSON, or NULL */
    bool with_payload;
    bool with_vector;
    const float *score_threshold; /* NULL: none; strict */
};

struct shoal_hit {
    struct shoal_id id;
    float score;
    uint64_t version;
    const char *payload; /* JSON text, terminated; NULL when none */
    const float *vector; /* NULL when not asked for */
};

struct shoal_hits {
    size_t len;
    const struct shoal_hit *hits; /* best first */
    uint32_t shards_asked;
    uint32_t shards_answered; /* fewer than asked: a partial answer */
};

int shoal_search(struct shoal *db, const char *collection, const struct shoal_search *search,
                 struct shoal_hits **out, char *why);
/* As a search's hits, without scores; ids that are not there are left out. */
int shoal_get(struct shoal *db, const char *collection, const struct shoal_id *ids, size_t len,
              bool with_payload, bool with_vector, struct shoal_hits **out, char *why);
/* One page in id order from *offset on (NULL: from the beginning). *next is the id after the page;
 * *more is false at the end. */
int shoal_scroll(struct shoal *db, const char *collection, const struct shoal_id *offset,
                 uint32_t limit, const char *filter, bool with_payload, bool with_vector,
                 struct shoal_hits **out, struct shoal_id *next, bool *more, char *why);
void shoal_hits_free(struct shoal_hits *hits);

/* --- documents and answers ------------------------------------------------------------------ */

/* Any route of the HTTP API: method, path ("/collections/books/points/query"), JSON body or NULL.
 * *json is the answer's body (shoal_text_free); NULL on failure. */
int shoal_call(struct shoal *db, const char *method, const char *path, const char *body,
               char **json, char *why);

/* Asks a question about a collection of documents. `event` gets each event of the stream as JSON
 * ({"type": "token", "text": ".."}, {"type": "citation", ..}, {"type": "done", ..}); when it
 * returns false the answer is cancelled. Returns when the stream has ended. */
int shoal_ask(struct shoal *db, const char *collection, const char *json_request,
              bool (*event)(void *arg, const char *json), void *arg, char *why);

#ifdef __cplusplus
}
#endif

#endif
