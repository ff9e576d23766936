#include "shard/payload.h"

#include "base/json.h"
#include "shard/json_path.h"

#include <assert.h>
#include <stdlib.h>

static enum shoal_err parse_object(struct slice text, enum shoal_err code, struct json_doc **out,
                                   struct errbuf *why)
{
    *out = NULL;
    enum shoal_err rc = json_parse(text.len == 0 ? SLICE_LIT("{}") : text, out, why);
    if (rc == SHOAL_ENOMEM) {
        return rc;
    }
    if (rc != SHOAL_OK) {
        return err_prefix(why, code, "payload");
    }
    if (json_kind(json_root(*out)) != JSON_OBJECT) {
        json_free(*out);
        *out = NULL;
        return err_set(why, code, "a payload is no JSON object");
    }
    return SHOAL_OK;
}

static enum shoal_err written(const struct buf *out, struct errbuf *why)
{
    return out->failed == SHOAL_OK
               ? SHOAL_OK
               : err_set(why, out->failed, "a payload may have at most %zu bytes", out->max);
}

bool payload_is_none(struct slice text)
{
    size_t i = 0;
    size_t braces = 0;
    for (; i < text.len && braces <= 2; i++) {
        char c = text.data[i];
        if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
            continue;
        }
        if (c != (braces == 0 ? '{' : '}')) {
            return false;
        }
        braces++;
    }
    return text.len == 0 || braces == 2;
}

/* --- merge ------------------------------------------------------------------------------------ */

struct change {
    struct slice key;
    struct json_value value;
    size_t order; /* place in the patch */
    bool done;    /* written in the place of a member that was there */
};

static int by_key(const void *a, const void *b)
{
    const struct change *x = a;
    const struct change *y = b;
    size_t len = x->key.len < y->key.len ? x->key.len : y->key.len;
    int order = len == 0 ? 0 : memcmp(x->key.data, y->key.data, len);
    if (order == 0 && x->key.len != y->key.len) {
        return x->key.len < y->key.len ? -1 : 1;
    }
    return order;
}

static int by_key_and_order(const void *a, const void *b)
{
    const struct change *x = a;
    const struct change *y = b;
    int order = by_key(a, b);
    return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

static int by_order(const void *a, const void *b)
{
    const struct change *x = a;
    const struct change *y = b;
    return (x->order > y->order) - (x->order < y->order);
}

struct changes {
    struct change *items; /* sorted by key, each key once */
    size_t len;
};

/* Sorted, so that a patch of many keys on a payload of many keys stays far from quadratic. */
static enum shoal_err sort_patch(struct json_value patch, struct arena *arena, struct changes *out)
{
    size_t n = json_len(patch);
    struct change *items = arena_array(arena, n, sizeof(*items));
    if (items == NULL) {
        return SHOAL_ENOMEM;
    }
    struct json_iter it = json_iter(patch);
    for (size_t i = 0; json_next(&it, &items[i].key, &items[i].value); i++) {
        items[i].order = i;
        if (i + 1 == n) {
            break;
        }
    }
    qsort(items, n, sizeof(*items), by_key_and_order);
    out->items = items;
    out->len = 0;
    for (size_t i = 0; i < n; i++) { /* of a key given twice the first counts, as in json_get */
        if (out->len == 0 || by_key(&items[i], &items[out->len - 1]) != 0) {
            items[out->len++] = items[i];
        }
    }
    return SHOAL_OK;
}

static void put_change(struct json_writer *w, struct change *c)
{
    if (!c->done && json_kind(c->value) != JSON_NULL) {
        json_key_slice(w, c->key);
        json_put_value(w, c->value);
    }
    c->done = true;
}

static void put_merged(struct json_value old, struct changes *changes, struct buf *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_begin_object(&w);
    struct json_iter it = json_iter(old);
    struct change key;
    struct json_value value;
    while (json_next(&it, &key.key, &value)) {
        struct change *c = changes->len == 0 ? NULL
                                             : bsearch(&key, changes->items, changes->len,
                                                       sizeof(*changes->items), by_key);
        if (c != NULL) {
            put_change(&w, c);
        } else {
            json_key_slice(&w, key.key);
            json_put_value(&w, value);
        }
    }
    qsort(changes->items, changes->len, sizeof(*changes->items), by_order);
    for (size_t i = 0; i < changes->len; i++) {
        put_change(&w, &changes->items[i]);
    }
    json_end_object(&w);
}

enum shoal_err payload_merge(struct slice text, struct slice patch, struct arena *arena,
                             struct buf *out, struct errbuf *why)
{
    struct json_doc *old = NULL;
    struct json_doc *new = NULL;
    struct changes changes;
    enum shoal_err rc = parse_object(text, SHOAL_ECORRUPT, &old, why);
    if (rc != SHOAL_OK) {
        goto out;
    }
    rc = parse_object(patch, SHOAL_EPARSE, &new, why);
    if (rc != SHOAL_OK) {
        goto out;
    }
    rc = sort_patch(json_root(new), arena, &changes);
    if (rc != SHOAL_OK) {
        err_set(why, rc, "out of memory for a payload");
        goto out;
    }
    put_merged(json_root(old), &changes, out);
    rc = written(out, why);
out:
    json_free(new);
    json_free(old);
    return rc;
}

/* --- removal ---------------------------------------------------------------------------------- */

/* A path of which the first `step` steps have been taken. */
struct removal {
    const struct json_path *path;
    size_t step;
};

struct payload_keys {
    struct json_path *paths;
    size_t len;
    struct removal *lists; /* one of len for each step that a path can take */
};

static enum shoal_err parse_paths(struct json_value json, struct arena *arena,
                                  struct payload_keys *keys, struct errbuf *why)
{
    if (json_kind(json) != JSON_ARRAY) {
        return err_set(why, SHOAL_EPARSE, "an array of keys is expected");
    }
    keys->len = json_len(json);
    if (keys->len > PAYLOAD_KEYS_MAX) {
        return err_set(why, SHOAL_EVALIDATION, "%zu keys; at most %d at a time", keys->len,
                       PAYLOAD_KEYS_MAX);
    }
    keys->paths = arena_array(arena, keys->len, sizeof(*keys->paths));
    keys->lists = arena_array(arena, keys->len * (JSON_PATH_STEPS_MAX + 1), sizeof(*keys->lists));
    if (keys->paths == NULL || keys->lists == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for keys");
    }
    struct json_iter it = json_iter(json);
    struct json_value element;
    for (size_t i = 0; json_next(&it, NULL, &element); i++) {
        struct slice text;
        if (!json_string(element, &text)) {
            return err_set(why, SHOAL_EPARSE, "key %zu is no string", i);
        }
        enum shoal_err rc = json_path_parse(text, arena, &keys->paths[i], why);
        if (rc != SHOAL_OK) {
            return err_prefix(why, rc, "key %zu", i);
        }
    }
    return SHOAL_OK;
}

enum shoal_err payload_keys_parse(struct slice json, struct arena *arena, struct payload_keys **out,
                                  struct errbuf *why)
{
    *out = NULL;
    struct payload_keys *keys = arena_array(arena, 1, sizeof(*keys));
    if (keys == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for keys");
    }
    struct json_doc *doc = NULL;
    enum shoal_err rc = json_parse(json, &doc, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = parse_paths(json_root(doc), arena, keys, why);
    json_free(doc);
    if (rc == SHOAL_OK) {
        *out = keys;
    }
    return rc;
}

/* What is removed below one value: `list` holds the paths that lead to it. */
struct walk {
    struct json_writer *w;
    const struct payload_keys *keys;
    size_t depth; /* steps taken */
    struct removal *list;
    size_t len;
};

static void put_without(const struct walk *at, struct json_value value);

/* True when the child itself is to go; else `below` is what is to go below it. */
static bool step_down(const struct walk *at, const struct json_step *taken, struct walk *below)
{
    *below = *at;
    below->depth = at->depth + 1;
    below->list = at->keys->lists + below->depth * at->keys->len;
    below->len = 0;
    for (size_t i = 0; i < at->len; i++) {
        const struct json_path *path = at->list[i].path;
        size_t step = at->list[i].step;
        const struct json_step *wanted = &path->steps[step];
        bool fits = taken->kind == JSON_STEP_KEY
                        ? wanted->kind == JSON_STEP_KEY && slice_equal(wanted->key, taken->key)
                        : wanted->kind == JSON_STEP_EACH ||
                              (wanted->kind == JSON_STEP_INDEX && wanted->index == taken->index);
        if (!fits) {
            continue;
        }
        if (step + 1 < path->len) {
            below->list[below->len++] = (struct removal){ .path = path, .step = step + 1 };
        } else if (wanted->kind != JSON_STEP_INDEX) {
            return true;
        }
    }
    return false;
}

static void put_child(const struct walk *below, struct json_value value)
{
    if (below->len == 0) {
        json_put_value(below->w, value);
    } else {
        put_without(below, value);
    }
}

static void put_without(const struct walk *at, struct json_value value)
{
    assert(at->depth <= JSON_PATH_STEPS_MAX);
    struct json_iter it = json_iter(value);
    struct json_step taken = { .kind = JSON_STEP_KEY };
    struct json_value child;
    struct walk below;
    if (json_kind(value) == JSON_OBJECT) {
        json_begin_object(at->w);
        while (json_next(&it, &taken.key, &child)) {
            if (!step_down(at, &taken, &below)) {
                json_key_slice(at->w, taken.key);
                put_child(&below, child);
            }
        }
        json_end_object(at->w);
    } else if (json_kind(value) == JSON_ARRAY) {
        json_begin_array(at->w);
        taken.kind = JSON_STEP_INDEX;
        for (taken.index = 0; json_next(&it, NULL, &child); taken.index++) {
            if (!step_down(at, &taken, &below)) {
                put_child(&below, child);
            }
        }
        json_end_array(at->w);
    } else {
        json_put_value(at->w, value);
    }
}

enum shoal_err payload_without(struct slice text, const struct payload_keys *keys, struct buf *out,
                               struct errbuf *why)
{
    struct json_doc *doc = NULL;
    enum shoal_err rc = parse_object(text, SHOAL_ECORRUPT, &doc, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct json_writer w;
    json_writer_init(&w, out);
    struct walk root = { .w = &w, .keys = keys, .list = keys->lists, .len = keys->len };
    for (size_t i = 0; i < keys->len; i++) {
        root.list[i] = (struct removal){ .path = &keys->paths[i] };
    }
    put_without(&root, json_root(doc));
    json_free(doc);
    return written(out, why);
}
