/* Errors: one code for the whole program and a bounded text beside it.
 *
 * A function that can fail returns `enum shoal_err` and gives its results through out pointers.
 * Foreign codes (LMDB, NNG, raft, FAISS, errno) are translated where they enter and never travel
 * further. The text is optional: every caller may pass NULL for `why`. Texts speak to a person:
 * what happened, and what to do about it. They are prefixed on the way up ("shard 3: segment 7:
 * checksum differs"), so the outermost context reads first.
 *
 * Threads: an errbuf belongs to one thread at a time. */
#ifndef SHOAL_BASE_ERR_H
#define SHOAL_BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>

/* name, stable number (on the wire and in logs: never renumber), stable word, text */
#define SHOAL_ERR_LIST(X)                                                        \
    X(SHOAL_OK, 0, "ok", "success")                                              \
    X(SHOAL_ENOMEM, 1, "out_of_memory", "out of memory")                         \
    X(SHOAL_EINVAL, 2, "invalid_argument", "invalid argument")                   \
    X(SHOAL_EFULL, 3, "storage_full", "storage is full")                         \
    X(SHOAL_ECORRUPT, 4, "corrupt", "stored data failed validation")             \
    X(SHOAL_EIO, 5, "io_failed", "input or output failed")                       \
    X(SHOAL_EBUSY, 6, "busy", "queue or quota is full")                          \
    X(SHOAL_ENOTFOUND, 7, "not_found", "not found")                              \
    X(SHOAL_EEXISTS, 8, "already_exists", "already exists")                      \
    X(SHOAL_ETIMEOUT, 9, "timeout", "deadline passed")                           \
    X(SHOAL_EUNAVAILABLE, 10, "unavailable", "service cannot be reached")        \
    X(SHOAL_EUNSUPPORTED, 11, "not_supported", "not supported")                  \
    X(SHOAL_EPROTO, 12, "bad_message", "message is malformed")                   \
    X(SHOAL_ETOOBIG, 13, "too_big", "over a size limit")                         \
    X(SHOAL_ECANCELED, 14, "canceled", "canceled")                               \
    X(SHOAL_ELIMITED, 15, "rate_limited", "rate limit reached")                  \
    X(SHOAL_EDENIED, 16, "denied", "not allowed")                                \
    X(SHOAL_EVALIDATION, 17, "validation_failed", "a value is out of its range") \
    X(SHOAL_ENOTLEADER, 18, "not_leader", "this replica is not the leader")      \
    X(SHOAL_ECONFLICT, 19, "conflict", "conflicts with the present state")       \
    X(SHOAL_EPARSE, 20, "parse_failed", "text could not be parsed")

#define SHOAL_ERR_ENUM(name, value, word, text) name = value,
enum shoal_err { SHOAL_ERR_LIST(SHOAL_ERR_ENUM) };
#undef SHOAL_ERR_ENUM

#define SHOAL_MUST_CHECK __attribute__((warn_unused_result))
#define SHOAL_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))

/* Bytes of an error text with its terminator; longer texts are cut and end in "...". */
#define ERRBUF_TEXT_MAX 512

struct errbuf {
    enum shoal_err code;
    char text[ERRBUF_TEXT_MAX];
};

/* Empties `why` (NULL is fine). */
void err_clear(struct errbuf *why);

/* Records code and text, and returns the code, so that `return err_set(why, ...)` reads well.
 * The pieces of `fmt` may point into `why` itself. */
enum shoal_err err_set(struct errbuf *why, enum shoal_err code, const char *fmt, ...)
    SHOAL_PRINTF(3, 4);

/* Puts "<prefix>: " before the text already there (or before the code's own text when there is
 * none) and returns `code`. */
enum shoal_err err_prefix(struct errbuf *why, enum shoal_err code, const char *fmt, ...)
    SHOAL_PRINTF(3, 4);

/* Translates an errno value: ENOSPC and EDQUOT are SHOAL_EFULL, ENOENT is SHOAL_ENOTFOUND, EEXIST
 * is SHOAL_EEXISTS, ENOMEM is SHOAL_ENOMEM, EAGAIN (no room now) is SHOAL_EBUSY, all else
 * SHOAL_EIO. Records "<what>: <strerror>". */
enum shoal_err err_errno(struct errbuf *why, int errnum, const char *fmt, ...) SHOAL_PRINTF(3, 4);

/* Both never fail and return static strings: the stable word for machines ("not_found"), and the
 * sentence for people. An unknown code gives "unknown". */
const char *err_word(enum shoal_err code);
const char *err_text(enum shoal_err code);

/* The code with this number, or SHOAL_EPROTO for a number that is not in the list (a peer of a
 * later version may know more). */
enum shoal_err err_from_number(unsigned number);

/* The text in `why`, or the code's own text when `why` is NULL or empty. */
const char *err_why(const struct errbuf *why, enum shoal_err code);

#endif
