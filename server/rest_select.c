/* A path takes one step for every level of nesting, so at any level all paths still in play stand
 * at the same step, and a bit for each tells which ones they are. */
#include "server/rest_select.h"

#include <assert.h>

enum visit { VISIT_DROP, VISIT_KEEP, VISIT_DESCEND };

/* Which of the paths in `active`, standing at `step`, go on through this member; sets *ends when
 * one of them ends there. */
static uint64_t follow(const struct rest_select *s, uint64_t active, size_t step,
                       const struct slice *key, uint32_t index, bool *ends)
{
    uint64_t on = 0;
    *ends = false;
    for (size_t i = 0; i < s->paths_len; i++) {
        const struct json_path *path = &s->paths[i];
        if ((active >> i & 1) == 0 || step >= path->len) {
            continue;
        }
        const struct json_step *at = &path->steps[step];
        bool fits = key != NULL ? at->kind == JSON_STEP_KEY && slice_equal(at->key, *key)
                                : at->kind == JSON_STEP_EACH ||
                                      (at->kind == JSON_STEP_INDEX && at->index == index);
        if (fits) {
            on |= UINT64_C(1) << i;
            *ends = *ends || step + 1 == path->len;
        }
    }
    return on;
}

static enum visit judge(const struct rest_select *s, uint64_t on, bool ends, struct json_value v)
{
    bool container = json_kind(v) == JSON_OBJECT || json_kind(v) == JSON_ARRAY;
    if (s->kind == REST_SELECT_EXCLUDE) {
        return ends ? VISIT_DROP : on != 0 && container ? VISIT_DESCEND : VISIT_KEEP;
    }
    return ends ? VISIT_KEEP : on != 0 && container ? VISIT_DESCEND : VISIT_DROP;
}

/* Recursion is bounded by JSON_DEPTH_MAX. */
static void write_container(const struct rest_select *s, uint64_t active, size_t step,
                            struct json_value v, struct json_writer *w)
{
    bool object = json_kind(v) == JSON_OBJECT;
    if (object) {
        json_begin_object(w);
    } else {
        json_begin_array(w);
    }
    struct slice key;
    struct json_value member;
    uint32_t index = 0;
    for (struct json_iter it = json_iter(v); json_next(&it, &key, &member); index++) {
        bool ends = false;
        uint64_t on = follow(s, active, step, object ? &key : NULL, index, &ends);
        enum visit visit = judge(s, on, ends, member);
        if (visit == VISIT_DROP) {
            continue;
        }
        if (object) {
            json_key_slice(w, key);
        }
        if (visit == VISIT_KEEP) {
            json_put_value(w, member);
        } else {
            write_container(s, on, step + 1, member, w);
        }
    }
    if (object) {
        json_end_object(w);
    } else {
        json_end_array(w);
    }
}

static bool stop_at_first(void *arg, struct json_value v)
{
    (void)arg;
    (void)v;
    return false;
}

/* A path that leads nowhere must not leave the empty objects on its way behind. */
static uint64_t paths_in_play(const struct rest_select *s, struct json_value payload)
{
    uint64_t active = 0;
    for (size_t i = 0; i < s->paths_len; i++) {
        if (json_path_walk(&s->paths[i], payload, stop_at_first, NULL) > 0) {
            active |= UINT64_C(1) << i;
        }
    }
    return active;
}

enum shoal_err rest_select_write(const struct rest_select *select, struct slice payload,
                                 struct json_writer *w)
{
    assert(select->kind != REST_SELECT_NONE);
    if (payload.len == 0) {
        json_put_raw(w, SLICE_LIT("{}"));
        return w->out->failed;
    }
    if (select->kind == REST_SELECT_ALL) {
        json_put_raw(w, payload);
        return w->out->failed;
    }
    struct json_doc *doc = NULL;
    enum shoal_err rc = json_parse(payload, &doc, NULL);
    if (rc != SHOAL_OK) {
        return rc == SHOAL_ENOMEM ? rc : SHOAL_ECORRUPT;
    }
    struct json_value root = json_root(doc);
    if (json_kind(root) == JSON_OBJECT) {
        write_container(select, paths_in_play(select, root), 0, root, w);
    } else {
        rc = SHOAL_ECORRUPT;
    }
    json_free(doc);
    return rc == SHOAL_OK ? w->out->failed : rc;
}

/* --- parsing -------------------------------------------------------------------------------- */

static enum shoal_err take_paths(struct json_value v, struct arena *arena, struct rest_select *out,
                                 struct errbuf *why)
{
    if (json_kind(v) != JSON_ARRAY) {
        return err_set(why, SHOAL_EPARSE, "must be an array of keys, not %s",
                       json_kind_name(json_kind(v)));
    }
    size_t len = json_len(v);
    if (len > REST_SELECT_PATHS_MAX) {
        return err_set(why, SHOAL_ETOOBIG, "with_payload names %zu keys; at most %d", len,
                       REST_SELECT_PATHS_MAX);
    }
    struct json_path *paths = arena_array(arena, len, sizeof(*paths));
    if (paths == NULL) {
        return SHOAL_ENOMEM;
    }
    struct json_value item;
    size_t n = 0;
    for (struct json_iter it = json_iter(v); json_next(&it, NULL, &item); n++) {
        struct slice text;
        if (!json_string(item, &text)) {
            return err_set(why, SHOAL_EPARSE, "must be an array of keys, not of %s",
                           json_kind_name(json_kind(item)));
        }
        enum shoal_err rc = json_path_parse(text, arena, &paths[n], why);
        if (rc != SHOAL_OK) {
            return rc;
        }
    }
    out->paths = paths;
    out->paths_len = n;
    return SHOAL_OK;
}

static enum shoal_err take_object(struct json_value v, struct arena *arena, struct rest_select *out,
                                  struct errbuf *why)
{
    struct json_value paths;
    bool include = json_get(v, "include", &paths);
    if (json_len(v) != 1 || (!include && !json_get(v, "exclude", &paths))) {
        return err_set(why, SHOAL_EPARSE, "must have one key, \"include\" or \"exclude\"");
    }
    out->kind = include ? REST_SELECT_INCLUDE : REST_SELECT_EXCLUDE;
    return take_paths(paths, arena, out, why);
}

enum shoal_err rest_select_parse(struct json_value v, struct arena *arena, struct rest_select *out,
                                 struct errbuf *why)
{
    *out = (struct rest_select){ 0 };
    bool all = false;
    switch (json_kind(v)) {
    case JSON_BOOL:
        (void)json_bool(v, &all);
        out->kind = all ? REST_SELECT_ALL : REST_SELECT_NONE;
        return SHOAL_OK;
    case JSON_ARRAY: out->kind = REST_SELECT_INCLUDE; return take_paths(v, arena, out, why);
    case JSON_OBJECT: return take_object(v, arena, out, why);
    default:
        return err_set(why, SHOAL_EPARSE, "must be a boolean, an array or an object, not %s",
                       json_kind_name(json_kind(v)));
    }
}
