#include "server/documents.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"
#include "server/documents_parse.h"
#include "server/generators.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Texts of one call to the embedder. */
#define EMBED_BATCH 128
#define PAYLOAD_MAX (8u << 20)

/* A request under way. */
struct batch {
    struct gateway *gateway;
    const struct query_context *ctx;
    struct collection *collection;
    struct documents_in in;
    uint64_t tokens;
    const float **vectors; /* of all chunks, in order */
};

/* --- ids ------------------------------------------------------------------------------------ */

static struct point_id uuid_of(uint64_t high, uint64_t low)
{
    struct point_id id = { .kind = POINT_ID_UUID };
    bytes_put_be64(id.value.uuid, high);
    bytes_put_be64(id.value.uuid + 8, low);
    id.value.uuid[6] = (uint8_t)((id.value.uuid[6] & 0x0f) | 0x80); /* version 8: our own making */
    id.value.uuid[8] = (uint8_t)((id.value.uuid[8] & 0x3f) | 0x80);
    return id;
}

/* The head's id is made from the document's id alone. */
static struct point_id head_id(struct slice document)
{
    return uuid_of(hash64_seeded(document.data, document.len, 1),
                   hash64_seeded(document.data, document.len, 2));
}

static struct point_id chunk_id(const struct document_in *d, size_t chunk)
{
    return chunk == 0 ? head_id(d->id) : uuid_of(d->chunks[chunk].id[0], d->chunks[chunk].id[1]);
}

/* --- heads ---------------------------------------------------------------------------------- */

static enum shoal_err fetch_heads(struct collection *c, const struct query_context *ctx,
                                  const struct documents_in *in, struct query_records *out,
                                  struct errbuf *why)
{
    struct point_id *points = arena_array(ctx->arena, in->len, sizeof(*points));
    const struct shard_fetch what = { .with_payload = true };
    *out = (struct query_records){ 0 };
    if (points == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t i = 0; i < in->len; i++) {
        points[i] = head_id(in->list[i].id);
    }
    return in->len == 0 ? SHOAL_OK : query_fetch(c, ctx, points, in->len, &what, out, why);
}

/* The head's payload, parsed; NULL when the record has none that can be read. */
static struct json_doc *head_payload(const struct shard_record *r)
{
    struct json_doc *doc = NULL;
    return r->payload.len > 0 && json_parse(r->payload, &doc, NULL) == SHOAL_OK ? doc : NULL;
}

static bool is_kept(const struct document_in *d, const struct point_id *id)
{
    for (size_t k = 0; k < d->chunks_len; k++) {
        struct point_id kept = chunk_id(d, k);
        if (point_id_compare(&kept, id) == 0) {
            return true;
        }
    }
    return false;
}

/* Remembers the points of the former version that the present one has not. */
static enum shoal_err take_old(struct document_in *d, const struct shard_record *head,
                               struct arena *arena)
{
    struct json_doc *doc = head_payload(head);
    struct json_value list;
    struct json_value v;
    struct slice text;
    enum shoal_err rc = SHOAL_OK;
    if (doc != NULL && json_get(json_root(doc), "chunk_ids", &list)) {
        d->old = arena_array(arena, json_len(list), sizeof(*d->old));
        rc = d->old == NULL ? SHOAL_ENOMEM : SHOAL_OK;
        for (struct json_iter it = json_iter(list); rc == SHOAL_OK && json_next(&it, NULL, &v);) {
            if (json_string(v, &text) &&
                point_id_parse_uuid(text, &d->old[d->old_len]) == SHOAL_OK &&
                !is_kept(d, &d->old[d->old_len])) {
                d->old_len++;
            }
        }
    }
    json_free(doc);
    return rc;
}

static enum shoal_err find_old(struct batch *b, struct errbuf *why)
{
    struct query_records heads;
    enum shoal_err rc = fetch_heads(b->collection, b->ctx, &b->in, &heads, why);
    for (size_t h = 0; rc == SHOAL_OK && h < heads.len; h++) {
        for (size_t i = 0; rc == SHOAL_OK && i < b->in.len; i++) {
            struct point_id id = head_id(b->in.list[i].id);
            if (point_id_compare(&id, &heads.records[h].id) == 0 && b->in.list[i].old == NULL) {
                rc = take_old(&b->in.list[i], &heads.records[h], b->ctx->arena);
            }
        }
    }
    return rc;
}

/* --- embedding ------------------------------------------------------------------------------ */

static enum shoal_err embed_texts(struct batch *b, const struct slice *texts, size_t len,
                                  size_t first, struct errbuf *why)
{
    const float *vectors = NULL;
    uint32_t dim = 0;
    uint64_t tokens = 0;
    struct slice any = { NULL, 0 };
    enum shoal_err rc = generators_embed(gateway_generators(b->gateway), any, texts, len,
                                         b->ctx->deadline_ns, b->ctx->arena, &vectors, &dim,
                                         &tokens, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (dim != b->collection->dim) {
        return err_set(why, SHOAL_EINVAL,
                       "the collection's vectors have %u components, the embedder's %u; make a "
                       "collection for documents",
                       b->collection->dim, dim);
    }
    for (size_t i = 0; i < len; i++) {
        b->vectors[first + i] = vectors + i * dim;
    }
    b->tokens += tokens;
    return SHOAL_OK;
}

static enum shoal_err embed_all(struct batch *b, struct errbuf *why)
{
    struct slice *texts = arena_array(b->ctx->arena, b->in.chunks_len, sizeof(*texts));
    b->vectors = arena_array(b->ctx->arena, b->in.chunks_len, sizeof(*b->vectors));
    if (texts == NULL || b->vectors == NULL) {
        return SHOAL_ENOMEM;
    }
    size_t n = 0;
    for (size_t i = 0; i < b->in.len; i++) {
        const struct document_in *d = &b->in.list[i];
        for (size_t k = 0; k < d->chunks_len; k++) {
            struct buf text;
            buf_init(&text, 1u << 20);
            enum shoal_err rc = chunk_put_embedded(&d->chunks[k], d->title, &text);
            char *copy = rc == SHOAL_OK ? arena_strndup(b->ctx->arena, text.data, text.len) : NULL;
            texts[n++] = slice_make(copy, text.len);
            buf_release(&text);
            if (copy == NULL) {
                return rc == SHOAL_OK ? SHOAL_ENOMEM : rc;
            }
        }
    }
    enum shoal_err rc = SHOAL_OK;
    for (size_t at = 0; at < n && rc == SHOAL_OK; at += EMBED_BATCH) {
        size_t len = n - at < EMBED_BATCH ? n - at : EMBED_BATCH;
        rc = embed_texts(b, texts + at, len, at, why);
    }
    return rc;
}

/* --- storing -------------------------------------------------------------------------------- */

static void put_text(struct json_writer *w, const char *key, struct slice value)
{
    json_key(w, key);
    json_put_string(w, value);
}

static void put_number(struct json_writer *w, const char *key, size_t value)
{
    json_key(w, key);
    json_put_u64(w, value);
}

static void put_ids(struct json_writer *w, const struct point_id *ids, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char text[POINT_ID_TEXT_MAX];
        json_put_string(w, slice_make(text, point_id_print(&ids[i], text)));
    }
}

/* With the former version's points, until they are deleted: a process that dies before that leaves
 * a head from which the next one knows them. */
static void put_head(struct json_writer *w, const struct document_in *d, bool with_old)
{
    put_text(w, "hash", d->hash);
    json_key(w, "chunk_ids");
    json_begin_array(w);
    for (size_t k = 0; k < d->chunks_len; k++) {
        struct point_id id = chunk_id(d, k);
        put_ids(w, &id, 1);
    }
    put_ids(w, d->old, with_old ? d->old_len : 0);
    json_end_array(w);
}

static enum shoal_err print_payload(const struct document_in *d, size_t chunk, bool with_old,
                                    struct arena *arena, struct slice *out)
{
    const struct chunk *c = &d->chunks[chunk];
    struct buf text;
    struct json_writer w;
    buf_init(&text, PAYLOAD_MAX);
    json_writer_init(&w, &text);
    json_begin_object(&w);
    put_text(&w, "document", d->id);
    put_text(&w, "title", d->title);
    put_text(&w, "section", c->heading);
    put_text(&w, "text", c->text);
    put_number(&w, "chunk", chunk);
    put_number(&w, "chunks", d->chunks_len);
    put_number(&w, "begin", c->begin);
    put_number(&w, "end", c->end);
    if (d->metadata.len > 0) {
        json_key(&w, "metadata");
        json_put_raw(&w, d->metadata);
    }
    if (chunk == 0) {
        put_head(&w, d, with_old);
    }
    json_end_object(&w);
    char *copy = text.failed == SHOAL_OK ? arena_strndup(arena, text.data, text.len) : NULL;
    *out = slice_make(copy, copy == NULL ? 0 : text.len);
    enum shoal_err rc = text.failed;
    buf_release(&text);
    return rc == SHOAL_OK && copy == NULL ? SHOAL_ENOMEM : rc;
}

static enum shoal_err write_op(struct batch *b, struct op *op, struct errbuf *why)
{
    struct query_written written;
    const struct rand_source *r = gateway_rand(b->gateway);
    r->fill(r->arg, op->id, sizeof(op->id));
    return query_write(b->collection, b->ctx, op, SHARD_VISIBLE, &written, why);
}

/* What one write stores of a batch. */
enum part {
    PART_BODIES,     /* everything but the heads */
    PART_HEADS,      /* with the points of former versions */
    PART_HEADS_AGAIN /* those that had such, without them */
};

static bool is_in_part(const struct document_in *d, size_t chunk, enum part part)
{
    switch (part) {
    case PART_BODIES: return chunk > 0;
    case PART_HEADS: return chunk == 0;
    case PART_HEADS_AGAIN: return chunk == 0 && d->old_len > 0;
    }
    return false;
}

static enum shoal_err store(struct batch *b, enum part part, struct errbuf *why)
{
    uint32_t dim = b->collection->dim;
    size_t room = b->in.chunks_len;
    struct point_id *ids = arena_array(b->ctx->arena, room, sizeof(*ids));
    struct slice *payloads = arena_array(b->ctx->arena, room, sizeof(*payloads));
    float *vectors = arena_array(b->ctx->arena, room * dim, sizeof(*vectors));
    if (ids == NULL || payloads == NULL || vectors == NULL) {
        return SHOAL_ENOMEM;
    }
    uint32_t n = 0;
    size_t at = 0;
    for (size_t i = 0; i < b->in.len; i++) {
        const struct document_in *d = &b->in.list[i];
        for (size_t k = 0; k < d->chunks_len; k++, at++) {
            if (!is_in_part(d, k, part)) {
                continue;
            }
            enum shoal_err rc = print_payload(d, k, part == PART_HEADS, b->ctx->arena,
                                              &payloads[n]);
            if (rc != SHOAL_OK) {
                return rc;
            }
            ids[n] = chunk_id(d, k);
            memcpy(vectors + (size_t)n * dim, b->vectors[at], dim * sizeof(*vectors));
            n++;
        }
    }
    struct op op = { .kind = OP_UPSERT,
                     .points_len = n,
                     .points = ids,
                     .dim = dim,
                     .vectors = vectors,
                     .payloads = payloads };
    return n == 0 ? SHOAL_OK : write_op(b, &op, why);
}

static enum shoal_err delete_points(struct batch *b, struct point_id *ids, size_t len,
                                    struct errbuf *why)
{
    struct op op = { .kind = OP_DELETE, .points_len = (uint32_t)len, .points = ids };
    return len == 0 ? SHOAL_OK : write_op(b, &op, why);
}

/* The head, which names all others, goes last. */
static enum shoal_err delete_old(struct batch *b, struct document_in *d, struct errbuf *why)
{
    struct point_id head = head_id(d->id);
    size_t bodies = 0;
    for (size_t i = 0; i < d->old_len; i++) {
        if (point_id_compare(&d->old[i], &head) != 0) {
            d->old[bodies++] = d->old[i];
        }
    }
    enum shoal_err rc = delete_points(b, d->old, bodies, why);
    return rc == SHOAL_OK && bodies < d->old_len ? delete_points(b, &head, 1, why) : rc;
}

static enum shoal_err put(struct batch *b, struct json_value body, struct errbuf *why)
{
    enum shoal_err rc = documents_parse(body, b->ctx->arena, &b->in, why);
    if (rc == SHOAL_OK) {
        rc = find_old(b, why);
    }
    if (rc == SHOAL_OK && b->in.chunks_len > 0) {
        rc = embed_all(b, why);
    }
    if (rc == SHOAL_OK) {
        rc = store(b, PART_BODIES, why);
    }
    if (rc == SHOAL_OK) {
        rc = store(b, PART_HEADS, why);
    }
    for (size_t i = 0; rc == SHOAL_OK && i < b->in.len; i++) {
        rc = delete_old(b, &b->in.list[i], why);
    }
    return rc == SHOAL_OK ? store(b, PART_HEADS_AGAIN, why) : rc;
}

static void print_put(const struct batch *b, struct json_writer *w)
{
    json_begin_object(w);
    json_key(w, "documents");
    json_begin_array(w);
    for (size_t i = 0; i < b->in.len; i++) {
        json_begin_object(w);
        put_text(w, "id", b->in.list[i].id);
        put_number(w, "chunks", b->in.list[i].chunks_len);
        json_end_object(w);
    }
    json_end_array(w);
    put_number(w, "chunks", b->in.chunks_len);
    json_key(w, "tokens");
    json_put_u64(w, b->tokens);
    json_end_object(w);
}

enum shoal_err documents_put(struct gateway *g, struct slice collection,
                             const struct query_context *ctx, struct json_value body,
                             struct json_writer *out, struct errbuf *why)
{
    struct batch b = { .gateway = g, .ctx = ctx };
    enum shoal_err rc = gateway_collection(g, collection, &b.collection, why);
    if (rc == SHOAL_OK) {
        rc = put(&b, body, why);
    }
    if (rc == SHOAL_OK) {
        print_put(&b, out);
    }
    collection_unref(b.collection);
    return rc;
}

/* --- check and delete ----------------------------------------------------------------------- */

static bool has_hash(const struct shard_record *head, struct slice hash)
{
    struct json_doc *doc = head_payload(head);
    struct json_value v;
    struct slice stored;
    bool same = doc != NULL && json_get(json_root(doc), "hash", &v) && json_string(v, &stored) &&
                slice_equal(stored, hash);
    json_free(doc);
    return same;
}

static enum shoal_err check(struct collection *c, const struct query_context *ctx,
                            struct json_value body, struct json_writer *out, struct errbuf *why)
{
    struct documents_in in;
    struct query_records heads = { 0 };
    enum shoal_err rc = documents_parse_ids(body, false, ctx->arena, &in, why);
    if (rc == SHOAL_OK) {
        rc = fetch_heads(c, ctx, &in, &heads, why);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    json_begin_object(out);
    json_key(out, "unchanged");
    json_begin_array(out);
    for (size_t i = 0; i < in.len; i++) {
        struct point_id id = head_id(in.list[i].id);
        for (size_t h = 0; h < heads.len; h++) {
            if (point_id_compare(&heads.records[h].id, &id) == 0 &&
                has_hash(&heads.records[h], in.list[i].hash)) {
                json_put_string(out, in.list[i].id);
            }
        }
    }
    json_end_array(out);
    json_end_object(out);
    return SHOAL_OK;
}

enum shoal_err documents_check(struct gateway *g, struct slice collection,
                               const struct query_context *ctx, struct json_value body,
                               struct json_writer *out, struct errbuf *why)
{
    struct collection *c = NULL;
    enum shoal_err rc = gateway_collection(g, collection, &c, why);
    if (rc == SHOAL_OK) {
        rc = check(c, ctx, body, out, why);
    }
    collection_unref(c);
    return rc;
}

/* Deleting is storing a version without chunks. */
static enum shoal_err delete_documents(struct batch *b, struct json_value body, size_t *deleted,
                                       struct errbuf *why)
{
    enum shoal_err rc = documents_parse_ids(body, true, b->ctx->arena, &b->in, why);
    if (rc == SHOAL_OK) {
        rc = find_old(b, why);
    }
    for (size_t i = 0; rc == SHOAL_OK && i < b->in.len; i++) {
        *deleted += b->in.list[i].old_len > 0;
        rc = delete_old(b, &b->in.list[i], why);
    }
    return rc;
}

enum shoal_err documents_delete(struct gateway *g, struct slice collection,
                                const struct query_context *ctx, struct json_value body,
                                struct json_writer *out, struct errbuf *why)
{
    struct batch b = { .gateway = g, .ctx = ctx };
    size_t deleted = 0;
    enum shoal_err rc = gateway_collection(g, collection, &b.collection, why);
    if (rc == SHOAL_OK) {
        rc = delete_documents(&b, body, &deleted, why);
    }
    if (rc == SHOAL_OK) {
        json_begin_object(out);
        put_number(out, "deleted", deleted);
        json_end_object(out);
    }
    collection_unref(b.collection);
    return rc;
}

/* --- create --------------------------------------------------------------------------------- */

/* The create request's body with "vectors" put in. */
static enum shoal_err print_params(struct json_value params, uint32_t dim, struct buf *out,
                                   struct errbuf *why)
{
    struct json_writer w;
    struct slice key;
    struct json_value member;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key(&w, "vectors");
    json_begin_object(&w);
    put_number(&w, "size", dim);
    put_text(&w, "distance", SLICE_LIT("Cosine"));
    json_end_object(&w);
    for (struct json_iter it = json_iter(params); json_next(&it, &key, &member);) {
        if (slice_is(key, "vectors")) {
            return err_set(why, SHOAL_EINVAL,
                           "vectors: a collection of documents takes those of its embedder");
        }
        json_key_slice(&w, key);
        json_put_value(&w, member);
    }
    json_end_object(&w);
    return out->failed;
}

enum shoal_err documents_create(struct gateway *g, struct slice name, struct json_value params,
                                uint64_t deadline_ns, struct errbuf *why)
{
    struct generator_model model;
    struct slice any = { NULL, 0 };
    struct buf text;
    struct json_doc *doc = NULL;
    if (json_kind(params) != JSON_OBJECT) {
        return err_set(why, SHOAL_EINVAL, "the body must be an object");
    }
    enum shoal_err rc = generators_model(gateway_generators(g), false, any, &model, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    buf_init(&text, 1u << 20);
    rc = print_params(params, model.dim, &text, why);
    if (rc == SHOAL_OK) {
        rc = json_parse(buf_slice(&text), &doc, why);
    }
    if (rc == SHOAL_OK) {
        rc = gateway_create_collection(g, name, json_root(doc), deadline_ns, why);
    }
    json_free(doc);
    buf_release(&text);
    return rc;
}
