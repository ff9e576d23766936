#include "server/documents.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"
#include "server/generators.h"
#include "slm/chunk.h"
#include "slm/document.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Texts of one call to the embedder. */
#define EMBED_BATCH 128
#define PAYLOAD_MAX (8u << 20)

/* One document of a request. */
struct incoming {
    struct slice id;
    struct slice hash;
    struct slice title;
    struct slice type;
    struct slice text;
    struct slice metadata; /* JSON object; empty: none */
    struct document parsed;
    struct chunk *chunks;
    size_t chunks_len;
    struct slice old_ids; /* JSON array of the former version's chunks; empty: none */
};

/* A request under way. */
struct batch {
    struct gateway *gateway;
    const struct query_context *ctx;
    struct collection *collection;
    struct incoming *documents;
    size_t documents_len;
    size_t chunks_len; /* of all */
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

static struct point_id chunk_id(const struct incoming *d, size_t chunk)
{
    return chunk == 0 ? head_id(d->id) : uuid_of(d->chunks[chunk].id[0], d->chunks[chunk].id[1]);
}

/* --- reading a request ---------------------------------------------------------------------- */

static bool take(struct json_value v, const char *key, struct slice *out)
{
    struct json_value member;
    return json_get(v, key, &member) && json_string(member, out);
}

static enum shoal_err take_metadata(struct json_value v, struct arena *arena, struct incoming *out,
                                    struct errbuf *why)
{
    struct json_value member;
    if (!json_get(v, "metadata", &member) || json_kind(member) == JSON_NULL) {
        return SHOAL_OK;
    }
    if (json_kind(member) != JSON_OBJECT) {
        return err_set(why, SHOAL_EINVAL, "metadata must be an object");
    }
    struct buf text;
    buf_init(&text, PAYLOAD_MAX);
    enum shoal_err rc = json_print(member, &text);
    char *copy = rc == SHOAL_OK ? arena_strndup(arena, text.data, text.len) : NULL;
    out->metadata = slice_make(copy, copy == NULL ? 0 : text.len);
    buf_release(&text);
    return rc == SHOAL_OK && copy == NULL ? SHOAL_ENOMEM : rc;
}

static enum shoal_err check_id(struct slice id, struct errbuf *why)
{
    return id.len >= 1 && id.len <= DOCUMENT_ID_MAX
               ? SHOAL_OK
               : err_set(why, SHOAL_EVALIDATION, "id: must have 1 to %d bytes", DOCUMENT_ID_MAX);
}

static enum shoal_err take_document(struct json_value v, struct arena *arena, struct incoming *out,
                                    struct errbuf *why)
{
    if (!take(v, "id", &out->id) || !take(v, "text", &out->text)) {
        return err_set(why, SHOAL_EINVAL, "a document wants an id and a text");
    }
    (void)take(v, "title", &out->title);
    (void)take(v, "type", &out->type);
    (void)take(v, "hash", &out->hash);
    if (out->hash.len > DOCUMENT_HASH_MAX) {
        return err_set(why, SHOAL_EVALIDATION, "hash: must have at most %d bytes",
                       DOCUMENT_HASH_MAX);
    }
    if (out->hash.len == 0) {
        char *hash = arena_alloc(arena, 17);
        if (hash == NULL) {
            return SHOAL_ENOMEM;
        }
        snprintf(hash, 17, "%016" PRIx64, hash64(out->text.data, out->text.len));
        out->hash = slice_make(hash, 16);
    }
    enum shoal_err rc = check_id(out->id, why);
    return rc == SHOAL_OK ? take_metadata(v, arena, out, why) : rc;
}

static enum shoal_err cut(struct incoming *d, struct arena *arena, struct errbuf *why)
{
    enum document_format format = DOCUMENT_TEXT;
    enum shoal_err rc = d->type.len == 0 ? SHOAL_OK : document_format_parse(d->type, &format, why);
    if (rc == SHOAL_OK) {
        rc = document_parse(d->text, format, arena, &d->parsed, why);
    }
    if (rc == SHOAL_OK) {
        const struct chunk_config config = { .key = d->id };
        rc = chunk_document(&d->parsed, &config, arena, &d->chunks, &d->chunks_len, why);
    }
    if (d->title.len == 0) {
        d->title = d->parsed.title;
    }
    return rc;
}

static enum shoal_err find_list(struct json_value body, struct json_value *list, size_t *len,
                                struct errbuf *why)
{
    if (!json_get(body, "documents", list) || json_kind(*list) != JSON_ARRAY) {
        return err_set(why, SHOAL_EINVAL, "the body wants {\"documents\": [..]}");
    }
    *len = json_len(*list);
    return *len <= DOCUMENTS_MAX
               ? SHOAL_OK
               : err_set(why, SHOAL_ETOOBIG, "%zu documents; send at most %d at a time", *len,
                         DOCUMENTS_MAX);
}

static enum shoal_err read_batch(struct batch *b, struct json_value body, struct errbuf *why)
{
    struct json_value list;
    struct json_value v;
    enum shoal_err rc = find_list(body, &list, &b->documents_len, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    b->documents = arena_array(b->ctx->arena, b->documents_len, sizeof(*b->documents));
    if (b->documents == NULL) {
        return SHOAL_ENOMEM;
    }
    size_t i = 0;
    for (struct json_iter it = json_iter(list); rc == SHOAL_OK && json_next(&it, NULL, &v); i++) {
        struct incoming *d = &b->documents[i];
        rc = take_document(v, b->ctx->arena, d, why);
        if (rc == SHOAL_OK) {
            rc = cut(d, b->ctx->arena, why);
        }
        if (rc != SHOAL_OK) {
            return err_prefix(why, rc, "documents[%zu]", i);
        }
        b->chunks_len += d->chunks_len;
    }
    return b->chunks_len <= OP_POINTS_MAX
               ? SHOAL_OK
               : err_set(why, SHOAL_ETOOBIG, "%zu chunks in one request; at most %d", b->chunks_len,
                         OP_POINTS_MAX);
}

/* --- heads ---------------------------------------------------------------------------------- */

static enum shoal_err fetch_heads(struct collection *c, const struct query_context *ctx,
                                  const struct slice *ids, size_t len, struct query_records *out,
                                  struct errbuf *why)
{
    struct point_id *points = arena_array(ctx->arena, len, sizeof(*points));
    const struct shard_fetch what = { .with_payload = true };
    if (points == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t i = 0; i < len; i++) {
        points[i] = head_id(ids[i]);
    }
    return query_fetch(c, ctx, points, len, &what, out, why);
}

/* The head's payload, parsed; NULL when the record has none that can be read. */
static struct json_doc *head_payload(const struct shard_record *r)
{
    struct json_doc *doc = NULL;
    return r->payload.len > 0 && json_parse(r->payload, &doc, NULL) == SHOAL_OK ? doc : NULL;
}

/* Remembers what the former versions of the batch's documents consist of. */
static enum shoal_err find_old(struct batch *b, struct errbuf *why)
{
    struct slice *ids = arena_array(b->ctx->arena, b->documents_len, sizeof(*ids));
    struct query_records heads;
    if (ids == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t i = 0; i < b->documents_len; i++) {
        ids[i] = b->documents[i].id;
    }
    enum shoal_err rc = fetch_heads(b->collection, b->ctx, ids, b->documents_len, &heads, why);
    for (size_t h = 0; rc == SHOAL_OK && h < heads.len; h++) {
        struct json_doc *doc = head_payload(&heads.records[h]);
        struct json_value old;
        struct buf text;
        buf_init(&text, PAYLOAD_MAX);
        for (size_t i = 0; doc != NULL && i < b->documents_len; i++) {
            struct point_id id = head_id(b->documents[i].id);
            if (point_id_compare(&id, &heads.records[h].id) == 0 &&
                json_get(json_root(doc), "chunk_ids", &old) && json_print(old, &text) == SHOAL_OK) {
                char *copy = arena_strndup(b->ctx->arena, text.data, text.len);
                rc = copy == NULL ? SHOAL_ENOMEM : SHOAL_OK;
                b->documents[i].old_ids = slice_make(copy, copy == NULL ? 0 : text.len);
                buf_reset(&text);
            }
        }
        buf_release(&text);
        json_free(doc);
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
    struct slice *texts = arena_array(b->ctx->arena, b->chunks_len, sizeof(*texts));
    b->vectors = arena_array(b->ctx->arena, b->chunks_len, sizeof(*b->vectors));
    if (texts == NULL || b->vectors == NULL) {
        return SHOAL_ENOMEM;
    }
    size_t n = 0;
    for (size_t i = 0; i < b->documents_len; i++) {
        const struct incoming *d = &b->documents[i];
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

static void put_head(struct json_writer *w, const struct incoming *d)
{
    put_text(w, "hash", d->hash);
    json_key(w, "chunk_ids");
    json_begin_array(w);
    for (size_t k = 0; k < d->chunks_len; k++) {
        char text[POINT_ID_TEXT_MAX];
        struct point_id id = chunk_id(d, k);
        (void)point_id_print(&id, text);
        json_put_str(w, text);
    }
    json_end_array(w);
}

static enum shoal_err print_payload(const struct incoming *d, size_t chunk, struct arena *arena,
                                    struct slice *out)
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
        put_head(&w, d);
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

/* Writes the heads, or everything but the heads. */
static enum shoal_err store(struct batch *b, bool heads, struct errbuf *why)
{
    uint32_t dim = b->collection->dim;
    struct point_id *ids = arena_array(b->ctx->arena, b->chunks_len, sizeof(*ids));
    struct slice *payloads = arena_array(b->ctx->arena, b->chunks_len, sizeof(*payloads));
    float *vectors = arena_array(b->ctx->arena, b->chunks_len * dim, sizeof(*vectors));
    if (ids == NULL || payloads == NULL || vectors == NULL) {
        return SHOAL_ENOMEM;
    }
    uint32_t n = 0;
    size_t at = 0;
    for (size_t i = 0; i < b->documents_len; i++) {
        const struct incoming *d = &b->documents[i];
        for (size_t k = 0; k < d->chunks_len; k++, at++) {
            if ((k == 0) != heads) {
                continue;
            }
            enum shoal_err rc = print_payload(d, k, b->ctx->arena, &payloads[n]);
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

static bool is_kept(const struct incoming *d, const struct point_id *id)
{
    for (size_t k = 0; k < d->chunks_len; k++) {
        struct point_id kept = chunk_id(d, k);
        if (point_id_compare(&kept, id) == 0) {
            return true;
        }
    }
    return false;
}

/* Deletes the chunks of the document's former version that it no longer has. */
static enum shoal_err delete_old(struct batch *b, const struct incoming *d, struct errbuf *why)
{
    struct json_doc *doc = NULL;
    struct json_value v;
    struct slice text;
    if (d->old_ids.len == 0 || json_parse(d->old_ids, &doc, NULL) != SHOAL_OK) {
        return SHOAL_OK;
    }
    size_t len = json_len(json_root(doc));
    struct point_id *ids = arena_array(b->ctx->arena, len, sizeof(*ids));
    uint32_t n = 0;
    enum shoal_err rc = ids == NULL ? SHOAL_ENOMEM : SHOAL_OK;
    for (struct json_iter it = json_iter(json_root(doc));
         rc == SHOAL_OK && json_next(&it, NULL, &v);) {
        if (json_string(v, &text) && point_id_parse_uuid(text, &ids[n]) == SHOAL_OK &&
            !is_kept(d, &ids[n])) {
            n++;
        }
    }
    struct op op = { .kind = OP_DELETE, .points_len = n, .points = ids };
    if (rc == SHOAL_OK && n > 0) {
        rc = write_op(b, &op, why);
    }
    json_free(doc);
    return rc;
}

static enum shoal_err put(struct batch *b, struct json_value body, struct errbuf *why)
{
    enum shoal_err rc = read_batch(b, body, why);
    if (rc == SHOAL_OK && b->documents_len > 0) {
        rc = find_old(b, why);
    }
    if (rc == SHOAL_OK && b->chunks_len > 0) {
        rc = embed_all(b, why);
    }
    if (rc == SHOAL_OK) {
        rc = store(b, false, why);
    }
    if (rc == SHOAL_OK) {
        rc = store(b, true, why);
    }
    for (size_t i = 0; rc == SHOAL_OK && i < b->documents_len; i++) {
        rc = delete_old(b, &b->documents[i], why);
    }
    return rc;
}

static void print_put(const struct batch *b, struct json_writer *w)
{
    json_begin_object(w);
    json_key(w, "documents");
    json_begin_array(w);
    for (size_t i = 0; i < b->documents_len; i++) {
        json_begin_object(w);
        put_text(w, "id", b->documents[i].id);
        put_number(w, "chunks", b->documents[i].chunks_len);
        json_end_object(w);
    }
    json_end_array(w);
    put_number(w, "chunks", b->chunks_len);
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

static enum shoal_err take_ids(struct json_value list, size_t len, bool objects,
                               struct arena *arena, struct slice **ids, struct slice **hashes,
                               struct errbuf *why)
{
    struct json_value v;
    *ids = arena_array(arena, len, sizeof(**ids));
    *hashes = arena_array(arena, len, sizeof(**hashes));
    if (*ids == NULL || *hashes == NULL) {
        return SHOAL_ENOMEM;
    }
    size_t i = 0;
    for (struct json_iter it = json_iter(list); json_next(&it, NULL, &v); i++) {
        bool ok = objects ? take(v, "id", &(*ids)[i]) && take(v, "hash", &(*hashes)[i])
                          : json_string(v, &(*ids)[i]);
        if (!ok) {
            return err_set(why, SHOAL_EINVAL, "documents[%zu] wants %s", i,
                           objects ? "an id and a hash" : "to be an id");
        }
    }
    return SHOAL_OK;
}

static bool has_hash(const struct shard_record *head, struct slice hash)
{
    struct json_doc *doc = head_payload(head);
    struct slice stored;
    bool same = doc != NULL && take(json_root(doc), "hash", &stored) && slice_equal(stored, hash);
    json_free(doc);
    return same;
}

static enum shoal_err check(struct collection *c, const struct query_context *ctx,
                            struct json_value body, struct json_writer *out, struct errbuf *why)
{
    struct json_value list;
    struct slice *ids = NULL;
    struct slice *hashes = NULL;
    struct query_records heads = { 0 };
    size_t len = 0;
    enum shoal_err rc = find_list(body, &list, &len, why);
    if (rc == SHOAL_OK) {
        rc = take_ids(list, len, true, ctx->arena, &ids, &hashes, why);
    }
    if (rc == SHOAL_OK && len > 0) {
        rc = fetch_heads(c, ctx, ids, len, &heads, why);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    json_begin_object(out);
    json_key(out, "unchanged");
    json_begin_array(out);
    for (size_t i = 0; i < len; i++) {
        struct point_id id = head_id(ids[i]);
        for (size_t h = 0; h < heads.len; h++) {
            if (point_id_compare(&heads.records[h].id, &id) == 0 &&
                has_hash(&heads.records[h], hashes[i])) {
                json_put_string(out, ids[i]);
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
    struct json_value list;
    struct slice *ids = NULL;
    struct slice *hashes = NULL;
    enum shoal_err rc = find_list(body, &list, &b->documents_len, why);
    if (rc == SHOAL_OK) {
        rc = take_ids(list, b->documents_len, false, b->ctx->arena, &ids, &hashes, why);
    }
    if (rc != SHOAL_OK || b->documents_len == 0) {
        return rc;
    }
    b->documents = arena_array(b->ctx->arena, b->documents_len, sizeof(*b->documents));
    if (b->documents == NULL) {
        return SHOAL_ENOMEM;
    }
    for (size_t i = 0; i < b->documents_len; i++) {
        b->documents[i].id = ids[i];
    }
    rc = find_old(b, why);
    for (size_t i = 0; rc == SHOAL_OK && i < b->documents_len; i++) {
        *deleted += b->documents[i].old_ids.len > 0;
        rc = delete_old(b, &b->documents[i], why);
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
