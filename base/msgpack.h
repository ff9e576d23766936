/* MessagePack through mpack: a writer onto a buf and a reader over borrowed bytes.
 *
 * The reader never allocates and never trusts a count: strings and binaries are slices of the
 * input, and a container's count is checked against the bytes that remain. Errors stick: after the
 * first one every call gives zero values, and mp_reader_finish tells.
 *
 * Threads: each belongs to one thread at a time. */
#ifndef SHOAL_BASE_MSGPACK_H
#define SHOAL_BASE_MSGPACK_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Nesting accepted by mp_skip. */
#define MP_DEPTH_MAX 32

struct mp_writer {
    struct buf *out;
};

void mp_writer_init(struct mp_writer *w, struct buf *out);
void mp_put_nil(struct mp_writer *w);
void mp_put_bool(struct mp_writer *w, bool v);
void mp_put_u64(struct mp_writer *w, uint64_t v);
void mp_put_i64(struct mp_writer *w, int64_t v);
void mp_put_f32(struct mp_writer *w, float v);
void mp_put_f64(struct mp_writer *w, double v);
void mp_put_str(struct mp_writer *w, struct slice s);
void mp_put_cstr(struct mp_writer *w, const char *s);
void mp_put_bin(struct mp_writer *w, const void *data, size_t len);
/* Followed by `count` values, or `count` pairs of key and value. */
void mp_put_array(struct mp_writer *w, uint32_t count);
void mp_put_map(struct mp_writer *w, uint32_t count);

struct mp_reader {
    const uint8_t *at;
    const uint8_t *end;
    enum shoal_err failed; /* SHOAL_EPROTO once anything was not as expected */
};

void mp_reader_init(struct mp_reader *r, struct slice bytes);
bool mp_get_bool(struct mp_reader *r);
uint64_t mp_get_u64(struct mp_reader *r);
/* Also fails when the value is over `max`. */
uint64_t mp_get_u64_max(struct mp_reader *r, uint64_t max);
int64_t mp_get_i64(struct mp_reader *r);
float mp_get_f32(struct mp_reader *r);
double mp_get_f64(struct mp_reader *r);
/* Fails over len_max. Borrowed from the input. */
struct slice mp_get_str(struct mp_reader *r, size_t len_max);
struct slice mp_get_bin(struct mp_reader *r, size_t len_max);
/* Fails over count_max, or when fewer bytes remain than that many values need. */
uint32_t mp_get_array(struct mp_reader *r, uint32_t count_max);
uint32_t mp_get_map(struct mp_reader *r, uint32_t count_max);
/* True, and consumes it, when the next value is nil. */
bool mp_get_nil(struct mp_reader *r);
/* True when the next value is a binary; consumes nothing. For fields that may be of two kinds. */
bool mp_next_is_bin(const struct mp_reader *r);
/* Skips one whole value of any kind (fields of a later version). */
void mp_skip(struct mp_reader *r);
/* SHOAL_OK when nothing failed and all bytes were read; SHOAL_EPROTO. */
enum shoal_err mp_reader_finish(struct mp_reader *r, struct errbuf *why);

#endif
