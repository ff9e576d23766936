/* Hits and records, which have one form on the wire: [id, version, score, payload, has_vector]
 * each, their vectors one after the other in the raw part. Used inside wire/ only. */
#ifndef SHOAL_WIRE_MESSAGE_HITS_H
#define SHOAL_WIRE_MESSAGE_HITS_H

#include "wire/message_codec.h"

void message__put_hits(struct message_writer *w, const struct wire_hit *hits, uint32_t len);
/* After message__begin_raw. */
void message__put_hit_vectors(struct message_writer *w, const struct wire_hit *hits, uint32_t len,
                              uint32_t dim);
/* A hit with a vector has a non-NULL one, which message__get_hit_vectors replaces by the place
 * where it lies. */
struct wire_hit *message__get_hits(struct message_reader *r, const char *field, uint32_t *len);
void message__get_hit_vectors(struct message_reader *r, struct wire_hit *hits, uint32_t len,
                              uint32_t dim);

#endif
