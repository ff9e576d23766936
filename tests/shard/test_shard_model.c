/* A shard beside a plain model of it: random operations on a few hundred points, with segments
 * being built, merged and reopened all the while, and everything compared again and again. */
#include "tests/shard/test_shard_rig.h"

#define NUMBERS 120
#define POINTS 200 /* the others are UUIDs */
#define KEYS 3     /* "a", "b", "c" */
#define BATCH_MAX 30
#define TEXT_MAX 96

/* Keys in the order in which they came. */
struct member {
    char key;
    unsigned value;
};

struct mpoint {
    bool there;
    uint64_t seed;
    uint64_t version;
    struct member members[KEYS];
    size_t members_len;
};

struct model {
    struct rig *r;
    struct rand_seeded rand;
    struct mpoint points[POINTS];
    uint64_t refused, changed;
};

static uint64_t below(struct model *m, uint64_t bound)
{
    return rand_below(&m->rand.source, bound);
}

static struct point_id id_of(size_t i)
{
    return i < NUMBERS ? point_id_num(i) : rig_uuid((uint8_t)i);
}

/* --- payloads --------------------------------------------------------------------------------- */

static void print_members(const struct member *members, size_t len, char out[TEXT_MAX])
{
    size_t n = 0;
    if (len == 0) {
        out[0] = '\0'; /* an empty object is no payload */
        return;
    }
    for (size_t i = 0; i < len; i++) {
        n += (size_t)snprintf(out + n, TEXT_MAX - n, "%c\"%c\":%u", i == 0 ? '{' : ',',
                              members[i].key, members[i].value);
    }
    snprintf(out + n, TEXT_MAX - n, "}");
}

static void remove_member(struct mpoint *p, char key)
{
    for (size_t i = 0; i < p->members_len; i++) {
        if (p->members[i].key == key) {
            memmove(&p->members[i], &p->members[i + 1],
                    (p->members_len - i - 1) * sizeof(p->members[0]));
            p->members_len--;
            return;
        }
    }
}

static void set_member(struct mpoint *p, struct member x)
{
    for (size_t i = 0; i < p->members_len; i++) {
        if (p->members[i].key == x.key) {
            p->members[i] = x;
            return;
        }
    }
    p->members[p->members_len++] = x;
}

static const struct member *find_member(const struct mpoint *p, char key)
{
    for (size_t i = 0; i < p->members_len; i++) {
        if (p->members[i].key == key) {
            return &p->members[i];
        }
    }
    return NULL;
}

static size_t random_members(struct model *m, struct member out[KEYS])
{
    size_t n = 0;
    for (char key = 'a'; key < 'a' + KEYS; key++) {
        if (below(m, 2) == 0) {
            out[n++] = (struct member){ .key = key, .value = (unsigned)below(m, 10) };
        }
    }
    return n;
}

/* --- whom an operation is about --------------------------------------------------------------- */

struct choice {
    bool by_filter;
    unsigned least; /* filter: "a" at least this */
    char filter[TEXT_MAX];
    size_t picks[BATCH_MAX];
    struct point_id ids[BATCH_MAX];
    uint32_t len;
};

static void choose(struct model *m, struct choice *c)
{
    c->by_filter = below(m, 4) == 0;
    c->least = 5 + (unsigned)below(m, 6);
    c->len = c->by_filter ? 0 : 1 + (uint32_t)below(m, 4);
    snprintf(c->filter, sizeof(c->filter), "{\"must\":[{\"key\":\"a\",\"range\":{\"gte\":%u}}]}",
             c->least);
    for (uint32_t i = 0; i < c->len; i++) {
        c->picks[i] = below(m, POINTS);
        c->ids[i] = id_of(c->picks[i]);
    }
}

static bool is_chosen(const struct model *m, const struct choice *c, size_t point)
{
    const struct mpoint *p = &m->points[point];
    const struct member *a = find_member(p, 'a');
    if (c->by_filter) {
        return p->there && a != NULL && a->value >= c->least;
    }
    for (uint32_t i = 0; i < c->len; i++) {
        if (c->picks[i] == point) {
            return true;
        }
    }
    return false;
}

static bool names_a_missing_one(const struct model *m, const struct choice *c)
{
    for (uint32_t i = 0; i < c->len; i++) {
        if (!m->points[c->picks[i]].there) {
            return true;
        }
    }
    return false;
}

static struct op choice_op(const struct choice *c, enum op_kind kind, const struct slice *payload)
{
    return c->by_filter ? rig_filter_op(kind, c->filter, payload)
                        : rig_ids_op(kind, c->ids, c->len, payload);
}

/* --- operations ------------------------------------------------------------------------------- */

static uint64_t write_it(struct model *m, const struct op *op, uint64_t *changed)
{
    struct shard_written w;
    struct errbuf why;
    if (rig_write(m->r, op, SHARD_VISIBLE, &w, &why) != SHOAL_OK) {
        fail_msg("%s", why.text);
    }
    *changed = w.changed;
    m->changed += w.changed;
    return w.index;
}

static void do_upsert(struct model *m)
{
    struct point_id ids[BATCH_MAX];
    size_t picks[BATCH_MAX];
    float vectors[BATCH_MAX * RIG_DIM];
    char texts[BATCH_MAX][TEXT_MAX];
    struct slice payloads[BATCH_MAX];
    struct mpoint made[BATCH_MAX];
    const uint32_t n = 1 + (uint32_t)below(m, BATCH_MAX);
    for (uint32_t i = 0; i < n; i++) {
        picks[i] = below(m, POINTS);
        ids[i] = id_of(picks[i]);
        made[i] = (struct mpoint){ .there = true, .seed = below(m, 1000) };
        made[i].members_len = random_members(m, made[i].members);
        print_members(made[i].members, made[i].members_len, texts[i]);
        payloads[i] = slice_from_str(texts[i]);
        rig_vector(made[i].seed, vectors + i * RIG_DIM);
    }
    const struct op op = { .kind = OP_UPSERT,
                           .points_len = n,
                           .points = ids,
                           .dim = RIG_DIM,
                           .vectors = vectors,
                           .payloads = payloads };
    uint64_t changed;
    const uint64_t index = write_it(m, &op, &changed);
    uint64_t expected = 0;
    for (uint32_t i = 0; i < n; i++) {
        expected += m->points[picks[i]].version != index || !m->points[picks[i]].there;
        m->points[picks[i]] = made[i];
        m->points[picks[i]].version = index;
    }
    assert_int_equal(changed, expected);
}

static void do_delete(struct model *m)
{
    struct choice c;
    choose(m, &c);
    const struct op op = choice_op(&c, OP_DELETE, NULL);
    uint64_t changed;
    (void)write_it(m, &op, &changed);
    uint64_t expected = 0;
    for (size_t i = 0; i < POINTS; i++) {
        if (m->points[i].there && is_chosen(m, &c, i)) {
            expected++;
            m->points[i].there = false;
            m->points[i].members_len = 0;
        }
    }
    assert_int_equal(changed, expected);
}

struct change {
    enum op_kind kind;
    struct member members[KEYS]; /* what is put, or what is taken away */
    size_t len;
    char null_key; /* OP_SET_PAYLOAD: removed by a null; 0: none */
    char text[TEXT_MAX];
};

static void random_change(struct model *m, struct change *c)
{
    static const enum op_kind kinds[] = { OP_SET_PAYLOAD, OP_OVERWRITE_PAYLOAD, OP_DELETE_PAYLOAD,
                                          OP_CLEAR_PAYLOAD };
    *c = (struct change){ .kind = kinds[below(m, 4)] };
    c->len = random_members(m, c->members);
    if (c->kind == OP_DELETE_PAYLOAD) {
        c->len = 1;
        c->members[0].key = (char)('a' + below(m, KEYS));
        snprintf(c->text, sizeof(c->text), "[\"%c\"]", c->members[0].key);
        return;
    }
    print_members(c->members, c->len, c->text);
    if (c->len == 0) {
        snprintf(c->text, sizeof(c->text), "{}");
        if (c->kind == OP_SET_PAYLOAD && below(m, 2) == 0) {
            c->null_key = (char)('a' + below(m, KEYS));
            snprintf(c->text, sizeof(c->text), "{\"%c\":null}", c->null_key);
        }
    }
}

static void change_point(struct mpoint *p, const struct change *c)
{
    if (c->kind == OP_OVERWRITE_PAYLOAD || c->kind == OP_CLEAR_PAYLOAD) {
        p->members_len = 0;
    }
    if (c->null_key != 0) {
        remove_member(p, c->null_key);
    }
    for (size_t i = 0; i < c->len && c->kind != OP_CLEAR_PAYLOAD; i++) {
        if (c->kind == OP_DELETE_PAYLOAD) {
            remove_member(p, c->members[i].key);
        } else {
            set_member(p, c->members[i]);
        }
    }
}

static void do_payload(struct model *m)
{
    struct choice c;
    struct change change;
    struct errbuf why;
    choose(m, &c);
    random_change(m, &change);
    struct slice payload = slice_from_str(change.text);
    const struct op op = choice_op(&c, change.kind, &payload);
    if (names_a_missing_one(m, &c)) {
        assert_int_equal(rig_refused(m->r, &op, &why), SHOAL_ENOTFOUND);
        m->refused++;
        return;
    }
    bool chosen[POINTS];
    uint64_t expected = 0;
    for (size_t i = 0; i < POINTS; i++) {
        chosen[i] = is_chosen(m, &c, i);
        expected += chosen[i];
    }
    uint64_t changed;
    const uint64_t index = write_it(m, &op, &changed);
    assert_int_equal(changed, expected);
    for (size_t i = 0; i < POINTS; i++) {
        if (chosen[i]) {
            change_point(&m->points[i], &change);
            m->points[i].version = index;
        }
    }
}

/* --- comparing -------------------------------------------------------------------------------- */

static void compare_record(const struct mpoint *p, const struct shard_record *record)
{
    float v[RIG_DIM];
    char text[TEXT_MAX];
    assert_int_equal(record->found, p->there);
    if (!p->there) {
        return;
    }
    rig_vector(p->seed, v);
    print_members(p->members, p->members_len, text);
    assert_memory_equal(record->vector, v, sizeof(v));
    assert_int_equal(record->version, p->version);
    if (!slice_is(record->payload, text)) {
        fail_msg("payload %.*s, not %s", (int)record->payload.len, record->payload.data, text);
    }
}

/* Fetch, scroll, count, and a search for the nearest. */
static void compare(struct model *m)
{
    struct arena arena;
    struct errbuf why = { 0 };
    struct shard_record records[POINTS];
    struct point_id ids[POINTS];
    uint64_t there = 0;
    arena_init(&arena, 1u << 20);
    for (size_t i = 0; i < POINTS; i++) {
        ids[i] = id_of(i);
        there += m->points[i].there;
    }
    const struct shard_fetch all = { .with_payload = true, .with_vector = true };
    assert_int_equal(shard_fetch(m->r->shard, ids, POINTS, &all, &arena, records, &why), SHOAL_OK);
    for (size_t i = 0; i < POINTS; i++) {
        compare_record(&m->points[i], &records[i]);
    }
    size_t n = 0;
    const struct point_id *next = NULL;
    const struct shard_scroll q = { .limit = POINTS, .what = all };
    assert_int_equal(shard_scroll(m->r->shard, &q, &arena, records, &n, &next, &why), SHOAL_OK);
    assert_int_equal(n, there);
    assert_null(next);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) { /* ids ascend as the model's do */
        while (!m->points[at].there) {
            at++;
        }
        compare_record(&m->points[at++], &records[i]);
    }
    assert_int_equal(rig_count(m->r, ""), there);
    struct choice c = { .by_filter = true, .least = 7 };
    uint64_t matching = 0;
    for (size_t i = 0; i < POINTS; i++) {
        matching += is_chosen(m, &c, i);
    }
    assert_int_equal(rig_count(m->r, "{\"must\":[{\"key\":\"a\",\"range\":{\"gte\":7}}]}"),
                     matching);
    arena_release(&arena);
}

static void test_random_operations_leave_what_the_model_says(void **state)
{
    enum { STEPS = 700 };
    struct rig *r = *state;
    struct model *m = calloc(1, sizeof(*m));
    assert_non_null(m);
    m->r = r;
    rand_seeded_init(&m->rand, test_seed("shard_model"));
    rig_close(r);
    r->config.options.seal_rows = 64;
    rig_open(r);
    for (int step = 0; step < STEPS; step++) {
        const uint64_t dice = below(m, 100);
        if (dice < 45) {
            do_upsert(m);
        } else if (dice < 60) {
            do_delete(m);
        } else if (dice < 95) {
            do_payload(m);
        } else if (dice < 97) {
            rig_reopen(r);
            compare(m);
        } else if (dice < 98) {
            rig_optimize(r);
            compare(m);
        }
        if (step % 25 == 0) {
            compare(m);
            rig_verify(r);
        }
    }
    compare(m);
    rig_verify(r);
    assert_true(m->changed > 0 && m->refused > 0);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_random_operations_leave_what_the_model_says, rig_setup,
                                        rig_teardown),
    };
    return cmocka_run_group_tests_name("shard_model", tests, NULL, NULL);
}
