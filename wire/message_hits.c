#include "wire/message_hits.h"

enum { HIT_FIELDS = 5 };

/* Stands for "has a vector" between reading the heads and the raw part. */
static const float has_vector = 0;

void message__put_hits(struct message_writer *w, const struct wire_hit *hits, uint32_t len)
{
    message__put_count(w, len, WIRE_POINTS_MAX);
    for (uint32_t i = 0; i < len; i++) {
        mp_put_array(&w->mp, HIT_FIELDS);
        message__put_id(w, &hits[i].id);
        mp_put_u64(&w->mp, hits[i].version);
        mp_put_f32(&w->mp, hits[i].score);
        message__put_str(w, hits[i].payload, WIRE_PAYLOAD_MAX);
        mp_put_bool(&w->mp, hits[i].vector != NULL);
    }
}

void message__put_hit_vectors(struct message_writer *w, const struct wire_hit *hits, uint32_t len,
                              uint32_t dim)
{
    for (uint32_t i = 0; i < len; i++) {
        if (hits[i].vector != NULL) {
            message__put_floats(w, hits[i].vector, dim);
        }
    }
}

struct wire_hit *message__get_hits(struct message_reader *r, const char *field, uint32_t *len)
{
    *len = 0;
    uint32_t n = message__get_count(r, field, WIRE_POINTS_MAX);
    struct wire_hit *hits = r->rc == SHOAL_OK ? arena_array(r->arena, n, sizeof(*hits)) : NULL;
    if (r->rc == SHOAL_OK && hits == NULL) {
        message__refuse(r, SHOAL_ENOMEM, "no memory for %u hits", n);
    }
    uint32_t outer = r->fields_left;
    r->fields_left = n;
    for (uint32_t i = 0; i < n && hits != NULL && r->rc == SHOAL_OK; i++) {
        uint32_t rest = message__enter(r, field, HIT_FIELDS);
        hits[i].id = message__get_id(r, "id");
        hits[i].version = message__get_u64(r, "version", UINT64_MAX);
        hits[i].score = message__get_f32(r, "score");
        hits[i].payload = message__get_str(r, "payload", WIRE_PAYLOAD_MAX);
        hits[i].vector = message__get_bool(r, "has_vector") ? &has_vector : NULL;
        message__leave(r, rest);
    }
    r->fields_left = outer;
    if (r->rc != SHOAL_OK) {
        return NULL;
    }
    *len = n;
    return hits;
}

void message__get_hit_vectors(struct message_reader *r, struct wire_hit *hits, uint32_t len,
                              uint32_t dim)
{
    for (uint32_t i = 0; i < len && r->rc == SHOAL_OK; i++) {
        if (hits[i].vector != NULL) {
            hits[i].vector = message__get_floats(r, dim);
        }
    }
}
