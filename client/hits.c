#include "client/hits.h"

#include "base/mem.h"

#include <string.h>

/* Results of one call. */
#define HITS_BYTES_MAX (1u << 30)

enum shoal_err hits_new(size_t len, struct hits **out, struct shoal_hit **room)
{
    *out = NULL;
    struct hits *h = mem_calloc(1, sizeof(*h));
    if (h == NULL) {
        return SHOAL_ENOMEM;
    }
    arena_init(&h->arena, HITS_BYTES_MAX);
    *room = arena_array(&h->arena, len, sizeof(**room));
    if (*room == NULL) {
        shoal_hits_free(&h->pub);
        return SHOAL_ENOMEM;
    }
    h->pub.hits = *room;
    h->pub.len = len;
    *out = h;
    return SHOAL_OK;
}

void shoal_hits_free(struct shoal_hits *hits)
{
    if (hits != NULL) {
        struct hits *h = (struct hits *)hits;
        arena_release(&h->arena);
        mem_free(h);
    }
}

enum shoal_err hits_set_payload(struct hits *h, struct shoal_hit *hit, struct slice payload)
{
    if (payload.len == 0) {
        return SHOAL_OK;
    }
    hit->payload = arena_strndup(&h->arena, payload.data, payload.len);
    return hit->payload == NULL ? SHOAL_ENOMEM : SHOAL_OK;
}

enum shoal_err hits_set_vector(struct hits *h, struct shoal_hit *hit, const float *v, size_t dim)
{
    if (v == NULL) {
        return SHOAL_OK;
    }
    float *copy = arena_array(&h->arena, dim, sizeof(*copy));
    if (copy == NULL) {
        return SHOAL_ENOMEM;
    }
    memcpy(copy, v, dim * sizeof(*copy));
    hit->vector = copy;
    return SHOAL_OK;
}

struct shoal_id id_to_public(const struct point_id *id)
{
    struct shoal_id out = { .is_uuid = id->kind == POINT_ID_UUID };
    if (out.is_uuid) {
        memcpy(out.uuid, id->value.uuid, sizeof(out.uuid));
    } else {
        out.number = id->value.num;
    }
    return out;
}

struct point_id id_from_public(const struct shoal_id *id)
{
    struct point_id out = { .kind = POINT_ID_UUID };
    if (!id->is_uuid) {
        return point_id_num(id->number);
    }
    memcpy(out.value.uuid, id->uuid, sizeof(out.value.uuid));
    return out;
}
