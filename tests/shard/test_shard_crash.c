/* A shard whose process is killed while it writes, again and again: what was acknowledged is there
 * after each reopening, and nothing but the one write that was under way may be there besides.
 *
 * The child numbers its operations and says through a pipe which ones were acknowledged; what
 * operation n does follows from n alone, so the parent knows the state after any number of them.
 * The parent kills after a random number of acknowledgements, which lands anywhere in the next
 * operations and in the builds that run beside them. */
#include "tests/shard/test_shard_rig.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define POINTS 300
#define BATCH 7
#define ROUNDS 12
#define ACKS_MAX 250

/* --- what operation n does -------------------------------------------------------------------- */

struct expected {
    bool there;
    uint64_t n; /* the last operation that wrote it */
};

static uint64_t scatter(uint64_t n)
{
    struct rand_seeded r;
    rand_seeded_init(&r, n);
    return rand_u64(&r.source);
}

static bool deletes(uint64_t n)
{
    return n % 5 == 4;
}

static size_t first_of(uint64_t n)
{
    return scatter(n) % (POINTS - BATCH);
}

static void expect_op(struct expected *points, uint64_t n)
{
    for (size_t i = first_of(n); i < first_of(n) + BATCH; i++) {
        points[i] = (struct expected){ .there = !deletes(n), .n = n };
    }
}

static enum shoal_err run_op(struct rig *r, uint64_t n, uint64_t *index)
{
    struct point_id ids[BATCH];
    struct slice payloads[BATCH];
    float vectors[BATCH * RIG_DIM];
    char text[32];
    snprintf(text, sizeof(text), "{\"n\":%" PRIu64 "}", n);
    for (uint32_t i = 0; i < BATCH; i++) {
        ids[i] = point_id_num(first_of(n) + i);
        payloads[i] = slice_from_str(text);
        rig_vector(n, vectors + i * RIG_DIM);
    }
    struct op op = { .kind = OP_DELETE, .points_len = BATCH, .points = ids };
    if (!deletes(n)) {
        op.kind = OP_UPSERT;
        op.dim = RIG_DIM;
        op.vectors = vectors;
        op.payloads = payloads;
    }
    memcpy(op.id, &n, sizeof(n));
    op.id[OP_ID_LEN - 1] = 1;
    struct shard_written w;
    struct errbuf why;
    enum shoal_err rc = rig_write(r, &op, n % 3 == 0 ? SHARD_DURABLE : SHARD_VISIBLE, &w, &why);
    *index = w.index;
    return rc;
}

/* --- the child -------------------------------------------------------------------------------- */

/* Never comes back: it is killed. */
static _Noreturn void child_run(struct rig *r, uint64_t next, int acks)
{
    struct errbuf why;
    rig_lower_open(r);
    if (rig_try_open(r, &why) != SHOAL_OK) {
        fprintf(stderr, "child: %s\n", why.text);
        _exit(3);
    }
    uint64_t index;
    for (uint64_t n = next;; n++) {
        if (run_op(r, n, &index) != SHOAL_OK || write(acks, &n, sizeof(n)) != (ssize_t)sizeof(n)) {
            _exit(4);
        }
    }
}

/* Lets the child write, kills it, and says how many operations are acknowledged by then. */
static uint64_t write_and_kill(struct rig *r, uint64_t next, uint64_t acks_wanted)
{
    int ends[2];
    uint64_t n = next;
    uint64_t acked = next;
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(ends[0]);
        child_run(r, next, ends[1]);
    }
    close(ends[1]);
    while (read(ends[0], &n, sizeof(n)) == (ssize_t)sizeof(n)) {
        acked = n + 1;
        if (acked - next == acks_wanted) {
            assert_int_equal(kill(pid, SIGKILL), 0);
        }
    }
    int status = 0;
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return acked;
}

/* --- the parent ------------------------------------------------------------------------------- */

static bool is_as(const struct expected *points, const struct shard_record *records)
{
    for (size_t i = 0; i < POINTS; i++) {
        char text[32];
        float v[RIG_DIM];
        snprintf(text, sizeof(text), "{\"n\":%" PRIu64 "}", points[i].n);
        rig_vector(points[i].n, v);
        if (records[i].found != points[i].there ||
            (records[i].found && (!slice_is(records[i].payload, text) ||
                                  memcmp(records[i].vector, v, sizeof(v)) != 0))) {
            return false;
        }
    }
    return true;
}

/* Opens and compares: `points` is the state after `acked` operations. True when the one that was
 * under way is there too. */
static bool check_reopened(struct rig *r, struct expected *points, uint64_t acked)
{
    struct arena arena;
    struct point_id ids[POINTS];
    struct shard_record records[POINTS];
    struct errbuf why = { 0 };
    const struct shard_fetch all = { .with_payload = true, .with_vector = true };
    rig_lower_open(r);
    rig_open(r);
    arena_init(&arena, 1u << 20);
    for (size_t i = 0; i < POINTS; i++) {
        ids[i] = point_id_num(i);
    }
    assert_int_equal(shard_fetch(r->shard, ids, POINTS, &all, &arena, records, &why), SHOAL_OK);
    bool one_more = false;
    if (!is_as(points, records)) {
        expect_op(points, acked);
        one_more = true;
        assert_true(is_as(points, records));
    }
    arena_release(&arena);
    rig_verify(r);
    return one_more;
}

static void test_killed_while_writing_keeps_every_acknowledged_write(void **state)
{
    struct rig *r = *state;
    struct expected points[POINTS] = { 0 };
    struct rand_seeded rand;
    rand_seeded_init(&rand, test_seed("shard_crash"));
    rig_close(r);
    rig_lower_close(r);
    r->config.options.seal_rows = 100;
    uint64_t next = 1;
    uint64_t segments = 0;
    for (int round = 0; round < ROUNDS; round++) {
        const uint64_t wanted = 1 + rand_below(&rand.source, ACKS_MAX);
        const uint64_t acked = write_and_kill(r, next, wanted);
        assert_true(acked - next >= wanted);
        for (; next < acked; next++) {
            expect_op(points, next);
        }
        next += check_reopened(r, points, acked);
        /* A repeat of the last one is known by its id: it is answered, not applied. */
        uint64_t index[2];
        assert_int_equal(run_op(r, next - 1, &index[0]), SHOAL_OK);
        assert_int_equal(run_op(r, next - 1, &index[1]), SHOAL_OK);
        assert_int_equal(index[0], index[1]);
        segments += rig_info(r).segments;
        rig_close(r);
        rig_lower_close(r);
    }
    assert_true(segments > 0); /* builds were killed, too */
    rig_lower_open(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_killed_while_writing_keeps_every_acknowledged_write,
                                        rig_setup, rig_teardown),
    };
    return cmocka_run_group_tests_name("shard_crash", tests, NULL, NULL);
}
