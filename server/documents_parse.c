#include "server/documents_parse.h"

#include "base/hash.h"
#include "server/documents.h"
#include "shard/op.h"

#include <inttypes.h>
#include <stdio.h>

#define METADATA_MAX (1u << 20)
#define HASH_LEN 16

/* --- one document --------------------------------------------------------------------------- */

static enum shoal_err take_metadata(struct json_value v, struct arena *arena,
                                    struct document_in *out, struct errbuf *why)
{
    if (json_kind(v) != JSON_OBJECT) {
        return err_set(why, SHOAL_EINVAL, "metadata: must be an object");
    }
    struct buf text;
    buf_init(&text, METADATA_MAX);
    enum shoal_err rc = json_print(v, &text);
    char *copy = rc == SHOAL_OK ? arena_strndup(arena, text.data, text.len) : NULL;
    out->metadata = slice_make(copy, copy == NULL ? 0 : text.len);
    buf_release(&text);
    if (rc == SHOAL_ETOOBIG) {
        return err_set(why, rc, "metadata: at most %u bytes", METADATA_MAX);
    }
    return rc == SHOAL_OK && copy == NULL ? SHOAL_ENOMEM : rc;
}

static enum shoal_err take_key(struct slice key, struct json_value v, struct arena *arena,
                               struct document_in *out, struct errbuf *why)
{
    const struct {
        const char *name;
        struct slice *text;
    } texts[] = { { "id", &out->id },
                  { "text", &out->text },
                  { "title", &out->title },
                  { "type", &out->type },
                  { "hash", &out->hash } };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (slice_is(key, texts[i].name)) {
            return json_string(v, texts[i].text)
                       ? SHOAL_OK
                       : err_set(why, SHOAL_EINVAL, "%s: must be a string", texts[i].name);
        }
    }
    return slice_is(key, "metadata") ? take_metadata(v, arena, out, why)
                                     : err_set(why, SHOAL_EINVAL, "unknown key \"%.*s\"",
                                               (int)(key.len < 200 ? key.len : 200), key.data);
}

static enum shoal_err take_keys(struct json_value v, struct arena *arena, struct document_in *out,
                                struct errbuf *why)
{
    struct slice key;
    struct json_value member;
    if (json_kind(v) != JSON_OBJECT) {
        return err_set(why, SHOAL_EINVAL, "must be an object");
    }
    for (struct json_iter it = json_iter(v); json_next(&it, &key, &member);) {
        enum shoal_err rc = json_kind(member) == JSON_NULL ? SHOAL_OK
                                                           : take_key(key, member, arena, out, why);
        if (rc != SHOAL_OK) {
            return rc;
        }
    }
    return SHOAL_OK;
}

static enum shoal_err check_lengths(const struct document_in *d, struct errbuf *why)
{
    if (d->id.len < 1 || d->id.len > DOCUMENT_ID_MAX) {
        return err_set(why, SHOAL_EVALIDATION, "id: must have 1 to %d bytes", DOCUMENT_ID_MAX);
    }
    return d->hash.len <= DOCUMENT_HASH_MAX
               ? SHOAL_OK
               : err_set(why, SHOAL_EVALIDATION, "hash: must have at most %d bytes",
                         DOCUMENT_HASH_MAX);
}

static enum shoal_err take_document(struct json_value v, struct arena *arena,
                                    struct document_in *out, struct errbuf *why)
{
    enum shoal_err rc = take_keys(v, arena, out, why);
    if (rc == SHOAL_OK && out->text.data == NULL) {
        rc = err_set(why, SHOAL_EINVAL, "text: missing");
    }
    if (rc == SHOAL_OK) {
        rc = check_lengths(out, why);
    }
    if (rc == SHOAL_OK && out->hash.len == 0) {
        char *hash = arena_alloc(arena, HASH_LEN + 1);
        if (hash == NULL) {
            return SHOAL_ENOMEM;
        }
        snprintf(hash, HASH_LEN + 1, "%016" PRIx64, hash64(out->text.data, out->text.len));
        out->hash = slice_make(hash, HASH_LEN);
    }
    return rc;
}

/* --- its chunks ----------------------------------------------------------------------------- */

static enum shoal_err cut(struct document_in *d, struct arena *arena, struct errbuf *why)
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
    if (rc == SHOAL_OK && d->chunks_len > OP_POINTS_MAX) {
        rc = err_set(why, SHOAL_ETOOBIG, "%zu chunks; at most %d", d->chunks_len, OP_POINTS_MAX);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    if (d->title.len == 0) {
        d->title = d->parsed.title;
    }
    return SHOAL_OK;
}

/* --- the body ------------------------------------------------------------------------------- */

static enum shoal_err take_list(struct json_value body, struct arena *arena,
                                struct json_value *list, struct documents_in *out,
                                struct errbuf *why)
{
    *out = (struct documents_in){ 0 };
    if (json_len(body) != 1 || !json_get(body, "documents", list) ||
        json_kind(*list) != JSON_ARRAY) {
        return err_set(why, SHOAL_EINVAL, "the body must be {\"documents\": [..]}");
    }
    out->len = json_len(*list);
    if (out->len > DOCUMENTS_MAX) {
        return err_set(why, SHOAL_ETOOBIG, "%zu documents; send at most %d at a time", out->len,
                       DOCUMENTS_MAX);
    }
    out->list = arena_array(arena, out->len, sizeof(*out->list));
    return out->list == NULL ? SHOAL_ENOMEM : SHOAL_OK;
}

static enum shoal_err check_new(const struct documents_in *in, size_t i, struct errbuf *why)
{
    for (size_t k = 0; k < i; k++) {
        if (slice_equal(in->list[k].id, in->list[i].id)) {
            return err_set(why, SHOAL_EINVAL, "has the id of documents[%zu]", k);
        }
    }
    return SHOAL_OK;
}

enum shoal_err documents_parse(struct json_value body, struct arena *arena,
                               struct documents_in *out, struct errbuf *why)
{
    struct json_value list;
    struct json_value v;
    size_t i = 0;
    enum shoal_err rc = take_list(body, arena, &list, out, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    for (struct json_iter it = json_iter(list); json_next(&it, NULL, &v); i++) {
        rc = take_document(v, arena, &out->list[i], why);
        if (rc == SHOAL_OK) {
            rc = check_new(out, i, why);
        }
        if (rc == SHOAL_OK) {
            rc = cut(&out->list[i], arena, why);
        }
        if (rc != SHOAL_OK) {
            return err_prefix(why, rc, "documents[%zu]", i);
        }
        out->chunks_len += out->list[i].chunks_len;
    }
    return out->chunks_len <= OP_POINTS_MAX
               ? SHOAL_OK
               : err_set(why, SHOAL_ETOOBIG, "%zu chunks in one request; at most %d",
                         out->chunks_len, OP_POINTS_MAX);
}

static enum shoal_err take_id(struct json_value v, bool bare, struct arena *arena,
                              struct document_in *out, struct errbuf *why)
{
    if (bare) {
        return json_string(v, &out->id) ? check_lengths(out, why)
                                        : err_set(why, SHOAL_EINVAL, "must be an id");
    }
    enum shoal_err rc = take_keys(v, arena, out, why);
    if (rc == SHOAL_OK && (json_len(v) != 2 || out->hash.data == NULL)) {
        rc = err_set(why, SHOAL_EINVAL, "must be {\"id\", \"hash\"}");
    }
    return rc == SHOAL_OK ? check_lengths(out, why) : rc;
}

enum shoal_err documents_parse_ids(struct json_value body, bool bare, struct arena *arena,
                                   struct documents_in *out, struct errbuf *why)
{
    struct json_value list;
    struct json_value v;
    size_t i = 0;
    enum shoal_err rc = take_list(body, arena, &list, out, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    for (struct json_iter it = json_iter(list); json_next(&it, NULL, &v); i++) {
        rc = take_id(v, bare, arena, &out->list[i], why);
        if (rc != SHOAL_OK) {
            return err_prefix(why, rc, "documents[%zu]", i);
        }
    }
    return SHOAL_OK;
}
