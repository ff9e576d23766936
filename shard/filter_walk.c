#include "shard/filter_walk.h"

#include "base/json.h"
#include "shard/shard_private.h"

enum shoal_err shard__matches(const struct filter *f, const struct point_id *id,
                              struct slice payload, bool *out, struct errbuf *why)
{
    *out = false;
    if (payload.len == 0 || !filter_needs_payload(f)) {
        *out = filter_matches(f, id, NULL);
        return SHOAL_OK;
    }
    struct json_doc *doc = NULL;
    enum shoal_err rc = json_parse(payload, &doc, why);
    if (rc != SHOAL_OK) {
        char text[POINT_ID_TEXT_MAX];
        (void)point_id_print(id, text);
        rc = rc == SHOAL_ENOMEM ? rc : SHOAL_ECORRUPT;
        return err_prefix(why, rc, "stored payload of point %s", text);
    }
    const struct json_value root = json_root(doc);
    *out = filter_matches(f, id, &root);
    json_free(doc);
    return SHOAL_OK;
}

static void skip_ids_before(struct filter_ids *ids, const struct point_id *from)
{
    while (ids->len > 0 && point_id_compare(&ids->ids[0], from) < 0) {
        ids->ids++;
        ids->len--;
    }
}

enum shoal_err filter_walk_begin(struct filter_walk *w, const struct state *state,
                                 struct store_txn *txn, const struct filter *filter,
                                 const struct point_id *from, bool payloads, struct errbuf *why)
{
    *w = (struct filter_walk){ .state = state, .txn = txn };
    if (filter != NULL && !filter_is_empty(filter)) {
        w->filter = filter;
    }
    w->payloads = payloads || (w->filter != NULL && filter_needs_payload(w->filter));
    w->by_ids = w->filter != NULL && filter_candidates(w->filter, &w->ids);
    if (!w->by_ids) {
        return state_walk_begin(&w->all, state, txn, from, w->payloads, why);
    }
    if (from != NULL) {
        skip_ids_before(&w->ids, from);
    }
    return SHOAL_OK;
}

void filter_walk_end(struct filter_walk *w)
{
    state_walk_end(&w->all);
}

static enum shoal_err next_candidate(struct filter_walk *w, struct state_seen *out,
                                     struct errbuf *why)
{
    enum shoal_err rc = SHOAL_ENOTFOUND;
    *out = (struct state_seen){ .payload = slice_make(NULL, 0) };
    while (w->ids.len > 0 && rc == SHOAL_ENOTFOUND) {
        out->id = w->ids.ids[0];
        w->ids.ids++;
        w->ids.len--;
        rc = state_point_get(w->state, w->txn, &out->id, &out->point, why);
    }
    if (rc == SHOAL_OK && w->payloads) {
        rc = state_payload_get(w->state, w->txn, &out->id, &out->payload, why);
    }
    return rc;
}

enum shoal_err filter_walk_next(struct filter_walk *w, struct state_seen *out, struct errbuf *why)
{
    for (;;) {
        enum shoal_err rc = w->by_ids ? next_candidate(w, out, why)
                                      : state_walk_next(&w->all, out, why);
        if (rc != SHOAL_OK || w->filter == NULL) {
            return rc;
        }
        bool matches = false;
        rc = shard__matches(w->filter, &out->id, out->payload, &matches, why);
        if (rc != SHOAL_OK || matches) {
            return rc;
        }
    }
}
