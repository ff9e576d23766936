/* Applying: the log's entries into state.mdb and the next generation.
 *
 * A batch of entries is one transaction of state.mdb, which also records the index of the last one,
 * and one new generation. Both are made side by side, row by row, and the generation is published
 * after the commit; when the store runs the transaction again (a map that grew), it begins with a
 * fresh copy. Growing rows that an abandoned copy wrote into a shared chunk lie beyond what any
 * published generation knows, and the next copy writes over them.
 *
 * Outcomes. What an operation is refused for depends on the operation and on what was applied
 * before it, so every replica refuses the same. A refusal is looked for before the operation's
 * first change, because a transaction has no way back to the middle; it is remembered under the
 * operation's id like any other outcome. Whatever else goes wrong fails the whole batch: a lack of
 * memory or space, which the log tries again, or damage, which stops it.
 *
 * A full disk. Entries that are in the log must be applied before any later one can be, so a batch
 * that finds no room takes from the reserve kept for deletes. New growth is refused before it is
 * logged (shard_write.c), so little can come to that. */
#include "base/log.h"
#include "base/mem.h"
#include "shard/filter_walk.h"
#include "shard/payload.h"
#include "shard/shard_private.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* An arena's ceiling must never be why a logged entry cannot be applied: it would be tried for
 * ever. The memory is bounded by the entry, a small multiple of RLOG_ENTRY_MAX. */
#define SCRATCH_BYTES_MAX ((size_t)1 << 40)
/* A stored payload that is merged with a patch: both together. */
#define MERGE_BYTES_MAX RLOG_ENTRY_MAX
/* Printing a number anew may lengthen it: "1e15" becomes "1000000000000000.0". */
#define MERGED_BYTES_MAX ((size_t)8 * MERGE_BYTES_MAX)

struct applying {
    struct shard *s;
    const struct rlog_entry *entries;
    size_t len;
    struct rlog_result *results;
    /* Of one run of the transaction. */
    struct store_txn *txn;
    struct generation *g;
    struct state_meta meta;
    /* Of the operation under way. */
    uint64_t index;
    struct rlog_result *result;
    struct point_id *chosen; /* by a filter */
    size_t chosen_len, chosen_cap;
    struct arena arena;
    /* Of the point under way. */
    struct arena scratch;
    struct buf text;
};

/* Which points an operation is about. */
struct targets {
    const struct point_id *ids;
    size_t len;
};

static enum shoal_err refuse(struct applying *a, enum shoal_err rc, const struct errbuf *why)
{
    assert(rc != SHOAL_OK);
    a->result->rc = rc;
    a->result->value = 0;
    (void)snprintf(a->result->text, sizeof(a->result->text), "%s", err_why(why, rc));
    return SHOAL_OK;
}

static bool is_refused(const struct applying *a)
{
    return a->result->rc != SHOAL_OK;
}

/* --- rows ------------------------------------------------------------------------------------- */

static enum shoal_err kill_row(struct applying *a, uint64_t row, struct errbuf *why)
{
    struct row_place place;
    const struct state *state = a->s->state;
    enum shoal_err rc = generation_kill(a->g, row, &place);
    if (rc == SHOAL_ENOTFOUND) {
        return err_set(why, SHOAL_ECORRUPT, "a point's row %" PRIu64 " is nowhere", row);
    }
    if (rc != SHOAL_OK) {
        return err_set(why, rc, "out of memory for dead rows");
    }
    if (place.segment != SIZE_MAX) {
        const struct segment_view *v = &a->g->segments[place.segment];
        return state_dead_put(state, a->txn, segment_info(v->segment)->id, place.position, why);
    }
    rc = state_row_delete(state, a->txn, row, why);
    return rc == SHOAL_ENOTFOUND
               ? err_set(why, SHOAL_ECORRUPT, "growing row %" PRIu64 " is not in state.mdb", row)
               : rc;
}

/* Counts a point once, however often the operation names it. */
static void count_change(struct applying *a, uint64_t version_before)
{
    a->result->value += version_before != a->index;
}

static enum shoal_err upsert_point(struct applying *a, const struct op *op, uint32_t i,
                                   struct errbuf *why)
{
    const struct state *state = a->s->state;
    const struct point_id *id = &op->points[i];
    const float *vector = op->vectors + (size_t)i * op->dim;
    struct state_point p = { .version = 0 };
    enum shoal_err rc = state_point_get(state, a->txn, id, &p, why);
    if (rc == SHOAL_OK) {
        rc = kill_row(a, p.row, why);
    } else if (rc == SHOAL_ENOTFOUND) {
        rc = SHOAL_OK;
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    count_change(a, p.version);
    p.version = a->index;
    rc = generation_append(a->g, id, vector, &p.row);
    if (rc != SHOAL_OK) {
        return err_set(why, rc, "out of memory for growing rows");
    }
    rc = state_row_append(state, a->txn, p.row, id, vector, op->dim, why);
    if (rc == SHOAL_OK) {
        rc = state_point_put(state, a->txn, id, &p, why);
    }
    return rc == SHOAL_OK ? state_payload_put(state, a->txn, id, op->payloads[i], why) : rc;
}

/* In order, so that of two equal ids the later one stays. */
static enum shoal_err upsert(struct applying *a, const struct op *op, struct errbuf *why)
{
    enum shoal_err rc = SHOAL_OK;
    for (uint32_t i = 0; i < op->points_len && rc == SHOAL_OK; i++) {
        rc = upsert_point(a, op, i, why);
    }
    return rc;
}

/* --- whom an operation is about --------------------------------------------------------------- */

static enum shoal_err add_chosen(struct applying *a, const struct point_id *id, struct errbuf *why)
{
    if (a->chosen_len == a->chosen_cap) {
        size_t size;
        struct point_id *grown = NULL;
        const size_t cap = a->chosen_cap == 0 ? 256 : a->chosen_cap * 2;
        if (size_mul(cap, sizeof(*grown), &size)) {
            grown = mem_realloc(a->chosen, size);
        }
        if (grown == NULL) {
            return err_set(why, SHOAL_ENOMEM, "out of memory for the points of a filter");
        }
        a->chosen = grown;
        a->chosen_cap = cap;
    }
    a->chosen[a->chosen_len++] = *id;
    return SHOAL_OK;
}

/* All before the first change: what a cursor shows is gone when something is written. */
static enum shoal_err choose_by_filter(struct applying *a, struct slice text, struct errbuf *why)
{
    struct filter *filter = NULL;
    struct filter_walk walk;
    struct state_seen seen;
    a->chosen_len = 0;
    enum shoal_err rc = filter_parse_text(text, &filter, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = filter_walk_begin(&walk, a->s->state, a->txn, filter, NULL, false, why);
    while (rc == SHOAL_OK) {
        rc = filter_walk_next(&walk, &seen, why);
        if (rc == SHOAL_OK) {
            rc = add_chosen(a, &seen.id, why);
        }
    }
    filter_walk_end(&walk);
    filter_free(filter);
    return rc == SHOAL_ENOTFOUND ? SHOAL_OK : rc;
}

static enum shoal_err choose(struct applying *a, const struct op *op, struct targets *out,
                             struct errbuf *why)
{
    *out = (struct targets){ .ids = op->points, .len = op->points_len };
    if (op->filter.len == 0) {
        return SHOAL_OK;
    }
    enum shoal_err rc = choose_by_filter(a, op->filter, why);
    *out = (struct targets){ .ids = a->chosen, .len = a->chosen_len };
    return rc;
}

static enum shoal_err delete_points(struct applying *a, const struct op *op, struct errbuf *why)
{
    const struct state *state = a->s->state;
    struct targets t;
    enum shoal_err rc = choose(a, op, &t, why);
    for (size_t i = 0; i < t.len && rc == SHOAL_OK; i++) {
        struct state_point p;
        rc = state_point_get(state, a->txn, &t.ids[i], &p, why);
        if (rc == SHOAL_ENOTFOUND) { /* or named twice */
            rc = SHOAL_OK;
            continue;
        }
        if (rc == SHOAL_OK) {
            rc = kill_row(a, p.row, why);
        }
        if (rc == SHOAL_OK) {
            rc = state_payload_put(state, a->txn, &t.ids[i], slice_make(NULL, 0), why);
        }
        if (rc == SHOAL_OK) {
            rc = state_point_delete(state, a->txn, &t.ids[i], why);
        }
        a->result->value += rc == SHOAL_OK;
    }
    return rc;
}

/* --- payloads --------------------------------------------------------------------------------- */

static enum shoal_err check_target(struct applying *a, const struct op *op,
                                   const struct point_id *id, struct errbuf *why)
{
    struct state_point p;
    struct slice old;
    struct errbuf refusal;
    char name[POINT_ID_TEXT_MAX];
    err_clear(&refusal);
    enum shoal_err rc = state_point_get(a->s->state, a->txn, id, &p, why);
    if (rc == SHOAL_ENOTFOUND) {
        (void)point_id_print(id, name);
        err_set(&refusal, rc, "No point with id %s found", name);
        return refuse(a, rc, &refusal);
    }
    if (rc != SHOAL_OK || op->kind != OP_SET_PAYLOAD) {
        return rc;
    }
    rc = state_payload_get(a->s->state, a->txn, id, &old, why);
    if (rc == SHOAL_OK && old.len + op->payloads[0].len > MERGE_BYTES_MAX) {
        (void)point_id_print(id, name);
        err_set(&refusal, SHOAL_ETOOBIG, "the payload of point %s would have over %u bytes", name,
                MERGE_BYTES_MAX);
        return refuse(a, SHOAL_ETOOBIG, &refusal);
    }
    return rc;
}

/* The payload of one point after the operation. */
static enum shoal_err change_text(struct applying *a, const struct op *op,
                                  const struct payload_keys *keys, const struct point_id *id,
                                  struct slice *out, struct errbuf *why)
{
    *out = slice_make(NULL, 0);
    if (op->kind == OP_CLEAR_PAYLOAD || op->kind == OP_OVERWRITE_PAYLOAD) {
        *out = op->kind == OP_OVERWRITE_PAYLOAD ? op->payloads[0] : *out;
        return SHOAL_OK;
    }
    struct slice old;
    arena_reset(&a->scratch);
    buf_reset(&a->text);
    enum shoal_err rc = state_payload_get(a->s->state, a->txn, id, &old, why);
    if (rc == SHOAL_OK) {
        rc = op->kind == OP_SET_PAYLOAD
                 ? payload_merge(old, op->payloads[0], &a->scratch, &a->text, why)
                 : payload_without(old, keys, &a->text, why);
    }
    *out = buf_slice(&a->text);
    return rc;
}

static enum shoal_err change_payload(struct applying *a, const struct op *op,
                                     const struct payload_keys *keys, const struct point_id *id,
                                     struct errbuf *why)
{
    const struct state *state = a->s->state;
    struct state_point p;
    struct slice text;
    enum shoal_err rc = state_point_get(state, a->txn, id, &p, why);
    if (rc != SHOAL_OK || p.version == a->index) { /* named twice: done */
        return rc;
    }
    rc = change_text(a, op, keys, id, &text, why);
    if (rc == SHOAL_OK) {
        rc = state_payload_put(state, a->txn, id, text, why);
    }
    count_change(a, p.version);
    p.version = a->index;
    return rc == SHOAL_OK ? state_point_put(state, a->txn, id, &p, why) : rc;
}

static enum shoal_err change_payloads(struct applying *a, const struct op *op, struct errbuf *why)
{
    struct payload_keys *keys = NULL;
    struct targets t;
    enum shoal_err rc = choose(a, op, &t, why);
    if (rc == SHOAL_OK && op->kind == OP_DELETE_PAYLOAD) {
        rc = payload_keys_parse(op->payloads[0], &a->arena, &keys, why);
    }
    for (size_t i = 0; i < t.len && rc == SHOAL_OK && !is_refused(a); i++) {
        rc = check_target(a, op, &t.ids[i], why);
    }
    for (size_t i = 0; i < t.len && rc == SHOAL_OK && !is_refused(a); i++) {
        rc = change_payload(a, op, keys, &t.ids[i], why);
    }
    return rc;
}

/* --- entries ---------------------------------------------------------------------------------- */

static enum shoal_err run_op(struct applying *a, const struct op *op, struct errbuf *why)
{
    struct errbuf refusal;
    err_clear(&refusal);
    const struct shard_schema *schema = &a->s->config.schema;
    enum shoal_err rc = op_check(op, schema->dim, schema->distance, &refusal);
    if (rc == SHOAL_ENOMEM) {
        return err_set(why, rc, "out of memory to check an operation");
    }
    if (rc != SHOAL_OK) {
        return refuse(a, rc, &refusal);
    }
    switch (op->kind) {
    case OP_UPSERT: return upsert(a, op, why);
    case OP_DELETE: return delete_points(a, op, why);
    case OP_SET_PAYLOAD:
    case OP_OVERWRITE_PAYLOAD:
    case OP_DELETE_PAYLOAD:
    case OP_CLEAR_PAYLOAD: return change_payloads(a, op, why);
    }
    return err_set(why, SHOAL_ECORRUPT, "an operation of kind %u", (unsigned)op->kind);
}

bool shard__op_has_id(const struct op *op)
{
    static const uint8_t none[OP_ID_LEN];
    return memcmp(op->id, none, OP_ID_LEN) != 0;
}

static enum shoal_err run_once(struct applying *a, const struct op *op, struct errbuf *why)
{
    struct state_outcome outcome = { .index = a->index };
    if (!shard__op_has_id(op)) {
        return run_op(a, op, why);
    }
    enum shoal_err rc = state_op_get(a->s->state, a->txn, op->id, &outcome, why);
    if (rc == SHOAL_OK) {
        *a->result = outcome.result;
        return SHOAL_OK;
    }
    if (rc == SHOAL_ENOTFOUND) {
        rc = run_op(a, op, why);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    outcome.result = *a->result;
    return state_op_put(a->s->state, a->txn, &a->meta, op->id, &outcome, why);
}

static enum shoal_err apply_entry(struct applying *a, const struct rlog_entry *entry,
                                  struct rlog_result *result, struct errbuf *why)
{
    assert(entry->index > a->meta.applied);
    a->index = entry->index;
    a->meta.applied = entry->index;
    a->result = result;
    *result = (struct rlog_result){ .rc = SHOAL_OK };
    if (entry->data.len == 0) {
        return SHOAL_OK;
    }
    struct op op;
    arena_reset(&a->arena);
    enum shoal_err rc = op_decode(entry->data, &a->arena, &op, why);
    if (rc == SHOAL_OK) {
        rc = run_once(a, &op, why);
    }
    return rc == SHOAL_OK ? rc : err_prefix(why, rc, "entry %" PRIu64 " of the log", a->index);
}

static enum shoal_err apply_all(void *arg, struct store_txn *txn, struct errbuf *why)
{
    struct applying *a = arg;
    a->txn = txn;
    generation_unref(a->g); /* of a run before */
    enum shoal_err rc = generation_copy(a->s->generation, &a->g);
    if (rc != SHOAL_OK) {
        return err_set(why, rc, "out of memory for a generation");
    }
    rc = state_meta_get(a->s->state, txn, &a->meta, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    assert(a->meta.applied == a->g->applied && a->meta.next_row == a->g->next_row);
    for (size_t i = 0; i < a->len && rc == SHOAL_OK; i++) {
        rc = apply_entry(a, &a->entries[i], &a->results[i], why);
    }
    if (rc != SHOAL_OK) {
        return rc;
    }
    a->g->applied = a->meta.applied;
    a->meta.next_row = a->g->next_row;
    a->meta.points = a->g->points;
    return state_meta_put(a->s->state, txn, &a->meta, why);
}

/* --- the machine ------------------------------------------------------------------------------ */

static void count_ops(const struct shard *s, const struct rlog_result *results, size_t len,
                      uint64_t begin_ns)
{
    uint64_t refused = 0;
    for (size_t i = 0; i < len; i++) {
        refused += results[i].rc != SHOAL_OK;
    }
    metric_add(s->metrics.applied_ops, len);
    metric_add(s->metrics.refused_ops, refused);
    metric_observe(s->metrics.apply_seconds,
                   (double)(clock_mono_ns(clock_real()) - begin_ns) * 1e-9);
}

static void applying_release(struct applying *a)
{
    generation_unref(a->g);
    mem_free(a->chosen);
    arena_release(&a->arena);
    arena_release(&a->scratch);
    buf_release(&a->text);
}

static enum shoal_err apply(void *arg, const struct rlog_entry *entries, size_t len,
                            struct rlog_result *results, struct errbuf *why)
{
    struct shard *s = arg;
    struct store *store = state_store(s->state);
    const uint64_t begin_ns = clock_mono_ns(clock_real());
    struct applying a = { .s = s, .entries = entries, .len = len, .results = results };
    arena_init(&a.arena, SCRATCH_BYTES_MAX);
    arena_init(&a.scratch, SCRATCH_BYTES_MAX);
    buf_init(&a.text, MERGED_BYTES_MAX);
    mutex_lock(&s->writer);
    enum shoal_err rc = store_write(store, apply_all, &a, why);
    if (rc == SHOAL_EFULL) {
        err_clear(why);
        rc = store_write_freeing(store, apply_all, &a, why);
    }
    if (rc == SHOAL_OK) {
        shard__publish(s, a.g);
        a.g = NULL;
    }
    mutex_unlock(&s->writer);
    applying_release(&a);
    if (rc == SHOAL_OK) {
        count_ops(s, results, len, begin_ns);
        shard__build_wake(s);
    } else if (rc != SHOAL_EFULL && rc != SHOAL_ENOMEM) {
        shard__trouble_set(s, rc, why);
    }
    return rc;
}

static uint64_t applied_index(void *arg)
{
    struct shard *s = arg;
    struct generation *g = shard__pin(s);
    const uint64_t index = g->applied;
    generation_unref(g);
    return index;
}

static enum shoal_err checkpoint(void *arg, uint64_t *durable_index, struct errbuf *why)
{
    struct shard *s = arg;
    const uint64_t index = applied_index(s);
    enum shoal_err rc = store_sync(state_store(s->state), why);
    *durable_index = rc == SHOAL_OK ? index : 0;
    return rc;
}

void shard__machine_init(struct shard *s)
{
    s->machine = (struct rlog_machine){
        .applied_index = applied_index, .apply = apply, .checkpoint = checkpoint, .arg = s
    };
}
