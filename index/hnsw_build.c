/* Building an HNSW graph (Malkov and Yashunin 2016) by batches, with FAISS's search and pruning.
 *
 * The rows enter in a drawn order, those of more layers first, as in FAISS: then the entry, the
 * first row, never changes. They enter by batches, and a batch has two phases:
 *
 *     connect   each row seeks its links over the graph as the batches before left it, and writes
 *               them into its own lists, which nothing reads yet
 *     merge     the links back are sorted by the list they belong to; each list gets all of its
 *               new links at once, from one thread
 *
 * A row that turns out to be a twin of one in the graph stays out of it and becomes a copy of that
 * one (hnsw_graph.h); rows equal bit by bit were set aside before.
 *
 * No thread ever reads what another writes within a phase, so there are no locks, and the graph
 * depends on rows, seed and parameters alone: any number of threads gives the same bytes. Rows of
 * one batch do not see each other; a batch is small beside the graph it enters (BATCH_SHARE), and
 * the drawn order keeps neighbours apart. Batches of this kind are what ParlayANN (Manohar et al.
 * 2024) builds all its graphs with. */
#include "index/hnsw_build.h"

#include "base/mem.h"
#include "base/rand.h"
#include "base/thread.h"
#include "index/hnsw_graph.h"
#include "index/index_ops.h"
#include "index/kernel.h"
#include "index/team.h"

#include <assert.h>
#include <string.h>

/* A batch has at most one row for so many rows already in the graph, and never more than
 * BATCH_ROWS_MAX: its position in the batch is 16 bits of a sort key. */
#define BATCH_SHARE 50
#define BATCH_ROWS_MAX 16384
/* Work handed to a thread at a time. */
#define CONNECT_CHUNK 8
#define MERGE_CHUNK 32
/* Below it a team costs more than it gives. */
#define TEAM_ROWS_MIN 2048

/* A link back, as a number that sorts by layer, then list, then position of its row in the batch.
 */
typedef uint64_t backlink;
#define BACKLINK_LAYER_SHIFT 47
#define BACKLINK_TARGET_SHIFT 16
#define BACKLINK_BITS 52

_Static_assert(BATCH_ROWS_MAX <= 1 << BACKLINK_TARGET_SHIFT, "a position fits its field");
_Static_assert(INDEX_ROWS_MAX < UINT64_C(1) << (BACKLINK_LAYER_SHIFT - BACKLINK_TARGET_SHIFT),
               "a row fits its field");
_Static_assert(HNSW_LAYERS_MAX <= 1 << (BACKLINK_BITS - BACKLINK_LAYER_SHIFT),
               "a layer fits its field");

struct build {
    const struct index_config *config; /* immutable while a phase runs, from here on */
    const atomic_bool *cancel;
    size_t rows;
    struct faiss_graph *graph;
    struct team *team;
    struct faiss_worker **workers; /* one for each of the team */
    unsigned workers_len;
    uint32_t *first_of; /* by row: the node that it is a copy of; itself for a node */
    uint32_t *entering; /* rows in the order they enter; first_of tells those that stayed out */
    size_t entering_len;
    size_t nodes; /* rows that are no copies, once all have entered */
    const uint32_t *batch;
    size_t batch_len;
    backlink *links; /* of the batch, sorted before merge */
    backlink *spare; /* the other half of the sort */
    size_t links_len;
    size_t links_cap;
    size_t *groups; /* where in `links` the links of each list begin; one more at the end */
    size_t groups_len;

    atomic_size_t next; /* work taken in this phase */
    atomic_int failed;  /* an enum shoal_err: the first failure stops all */

    struct mutex why_lock; /* guards what follows */
    struct errbuf *why;    /* the caller's, may be NULL */
};

/* The first failure is the one reported. `found` is the failing worker's own text. */
static void build_fail(struct build *b, enum shoal_err rc, const struct errbuf *found)
{
    mutex_lock(&b->why_lock);
    int none = SHOAL_OK;
    if (atomic_compare_exchange_strong(&b->failed, &none, (int)rc) && b->why != NULL) {
        *b->why = *found;
    }
    mutex_unlock(&b->why_lock);
}

static enum shoal_err build_failed(struct build *b)
{
    return (enum shoal_err)atomic_load(&b->failed);
}

/* Takes the next piece of work: false when there is none left or the build is over. */
static bool take(struct build *b, size_t chunk, size_t total, size_t *begin, size_t *end)
{
    if (index__canceled(b->cancel)) {
        struct errbuf why;
        (void)err_set(&why, SHOAL_ECANCELED, "the build was cancelled");
        build_fail(b, SHOAL_ECANCELED, &why);
    }
    if (build_failed(b) != SHOAL_OK) {
        return false;
    }
    *begin = atomic_fetch_add(&b->next, chunk);
    if (*begin >= total) {
        return false;
    }
    *end = total - *begin < chunk ? total : *begin + chunk;
    return true;
}

static void connect_phase(void *arg, unsigned worker)
{
    struct build *b = arg;
    size_t begin = 0;
    size_t end = 0;
    while (take(b, CONNECT_CHUNK, b->batch_len, &begin, &end)) {
        for (size_t i = begin; i < end; i++) {
            struct errbuf why;
            uint32_t row = b->batch[i];
            enum shoal_err rc = faiss_worker_connect(b->workers[worker], row, &b->first_of[row],
                                                     &why);
            if (rc != SHOAL_OK) {
                build_fail(b, rc, &why);
                return;
            }
        }
    }
}

static void merge_phase(void *arg, unsigned worker)
{
    struct build *b = arg;
    uint32_t sources[BATCH_ROWS_MAX];
    size_t begin = 0;
    size_t end = 0;
    while (take(b, MERGE_CHUNK, b->groups_len, &begin, &end)) {
        for (size_t g = begin; g < end; g++) {
            backlink first = b->links[b->groups[g]];
            size_t len = b->groups[g + 1] - b->groups[g];
            for (size_t i = 0; i < len; i++) {
                backlink link = b->links[b->groups[g] + i];
                sources[i] = b->batch[link & ((1u << BACKLINK_TARGET_SHIFT) - 1)];
            }
            unsigned layer = (unsigned)(first >> BACKLINK_LAYER_SHIFT);
            uint32_t target = (uint32_t)(first >> BACKLINK_TARGET_SHIFT) & INDEX_ROWS_MAX;
            struct errbuf why;
            enum shoal_err rc = faiss_worker_merge(b->workers[worker], target, layer, sources, len,
                                                   &why);
            if (rc != SHOAL_OK) {
                build_fail(b, rc, &why);
                return;
            }
        }
    }
}

/* Least significant byte first; BACKLINK_BITS bits matter. Leaves the result in b->links. */
static void sort_links(struct build *b)
{
    for (unsigned shift = 0; shift < BACKLINK_BITS; shift += 8) {
        size_t starts[257] = { 0 };
        for (size_t i = 0; i < b->links_len; i++) {
            starts[((b->links[i] >> shift) & 255u) + 1]++;
        }
        for (size_t d = 0; d < 256; d++) {
            starts[d + 1] += starts[d];
        }
        for (size_t i = 0; i < b->links_len; i++) {
            b->spare[starts[(b->links[i] >> shift) & 255u]++] = b->links[i];
        }
        backlink *sorted = b->spare;
        b->spare = b->links;
        b->links = sorted;
    }
}

/* Makes room for all the links that the batch can have. */
static enum shoal_err reserve_links(struct build *b)
{
    size_t cap = 0;
    for (size_t i = 0; i < b->batch_len; i++) {
        unsigned layers = faiss_graph_layers(b->graph, b->batch[i]);
        cap += (size_t)b->config->m * (layers + 1);
    }
    if (cap <= b->links_cap) {
        return SHOAL_OK;
    }
    mem_free(b->links);
    mem_free(b->spare);
    mem_free(b->groups);
    b->links_cap = 0;
    b->links = mem_array(cap, sizeof(*b->links));
    b->spare = mem_array(cap, sizeof(*b->spare));
    b->groups = mem_array(cap + 1, sizeof(*b->groups));
    if (b->links == NULL || b->spare == NULL || b->groups == NULL) {
        return err_set(b->why, SHOAL_ENOMEM, "out of memory for the links of a batch");
    }
    b->links_cap = cap;
    return SHOAL_OK;
}

/* Gathers the links of the batch, turned round, and cuts them into one group for each list. */
static void group_links(struct build *b)
{
    b->links_len = 0;
    for (size_t i = 0; i < b->batch_len; i++) {
        bool enters = b->first_of[b->batch[i]] == b->batch[i];
        unsigned layers = enters ? faiss_graph_layers(b->graph, b->batch[i]) : 0;
        for (unsigned l = 0; l < layers; l++) {
            size_t cap = 0;
            const int32_t *list = faiss_graph_links(b->graph, b->batch[i], l, &cap);
            for (size_t j = 0; j < cap && list[j] >= 0; j++) {
                assert(b->links_len < b->links_cap);
                b->links[b->links_len++] = (backlink)l << BACKLINK_LAYER_SHIFT |
                                           (backlink)(uint32_t)list[j] << BACKLINK_TARGET_SHIFT |
                                           (backlink)i;
            }
        }
    }
    sort_links(b);
    b->groups_len = 0;
    for (size_t i = 0; i < b->links_len; i++) {
        if (i == 0 ||
            b->links[i] >> BACKLINK_TARGET_SHIFT != b->links[i - 1] >> BACKLINK_TARGET_SHIFT) {
            b->groups[b->groups_len++] = i;
        }
    }
    b->groups[b->groups_len] = b->links_len;
}

/* Runs a phase: on the team when there is work for it, else here. */
static void run_phase(struct build *b, size_t work, void (*phase)(void *arg, unsigned worker))
{
    atomic_store(&b->next, 0);
    if (work >= (size_t)b->workers_len * MERGE_CHUNK) {
        team_run(b->team, phase, b);
    } else {
        phase(b, 0);
    }
}

static enum shoal_err enter_all(struct build *b)
{
    faiss_graph_enter(b->graph, b->entering[0]);
    for (size_t done = 1; done < b->entering_len; done += b->batch_len) {
        size_t len = done / BATCH_SHARE;
        len = len < 1 ? 1 : len > BATCH_ROWS_MAX ? BATCH_ROWS_MAX : len;
        b->batch = b->entering + done;
        b->batch_len = len < b->entering_len - done ? len : b->entering_len - done;
        enum shoal_err rc = reserve_links(b);
        if (rc != SHOAL_OK) {
            return rc;
        }
        run_phase(b, b->batch_len, connect_phase);
        if (build_failed(b) == SHOAL_OK) {
            group_links(b);
            run_phase(b, b->groups_len, merge_phase);
        }
        if (build_failed(b) != SHOAL_OK) {
            return build_failed(b);
        }
    }
    return SHOAL_OK;
}

/* Draws the order of entry: shuffled, then by layers, most first. */
static enum shoal_err draw_order(struct build *b)
{
    uint32_t *shuffled = mem_array(b->entering_len, sizeof(*shuffled));
    b->entering = mem_array(b->entering_len, sizeof(*b->entering));
    if (shuffled == NULL || b->entering == NULL) {
        mem_free(shuffled);
        return err_set(b->why, SHOAL_ENOMEM, "out of memory for an order of %zu rows",
                       b->entering_len);
    }
    struct rand_seeded rand;
    rand_seeded_init(&rand, b->config->seed);
    size_t starts[HNSW_LAYERS_MAX + 1] = { 0 };
    size_t drawn = 0;
    for (size_t row = 0; row < b->rows; row++) {
        if (b->first_of[row] != row) {
            continue;
        }
        size_t at = (size_t)rand_below(&rand.source, drawn + 1);
        shuffled[drawn++] = shuffled[at];
        shuffled[at] = (uint32_t)row;
        unsigned layers = faiss_graph_layers(b->graph, (uint32_t)row);
        assert(layers >= 1 && layers <= HNSW_LAYERS_MAX);
        starts[HNSW_LAYERS_MAX - layers + 1]++;
    }
    assert(drawn == b->entering_len);
    for (size_t l = 0; l < HNSW_LAYERS_MAX; l++) {
        starts[l + 1] += starts[l];
    }
    for (size_t i = 0; i < b->entering_len; i++) {
        unsigned layers = faiss_graph_layers(b->graph, shuffled[i]);
        b->entering[starts[HNSW_LAYERS_MAX - layers]++] = shuffled[i];
    }
    mem_free(shuffled);
    return SHOAL_OK;
}

static enum shoal_err set_copies_aside(struct build *b, const float *vectors)
{
    b->first_of = mem_array(b->rows, sizeof(*b->first_of));
    if (b->first_of == NULL) {
        return err_set(b->why, SHOAL_ENOMEM, "out of memory for an order of %zu rows", b->rows);
    }
    size_t copies = 0;
    enum shoal_err rc = hnsw__find_copies(vectors, b->rows, b->config->dim, b->cancel, b->first_of,
                                          &copies, b->why);
    b->entering_len = b->rows - copies;
    return rc;
}

static enum shoal_err build_start(struct build *b, const float *vectors)
{
    enum shoal_err rc = set_copies_aside(b, vectors);
    if (rc != SHOAL_OK) {
        return rc;
    }
    const struct kernel *kernel = kernel_for(b->config->distance);
    struct faiss_graph_config graph = {
        .vectors = vectors,
        .rows = b->rows,
        .dim = b->config->dim,
        .metric = { .one = kernel->one, .gather = kernel->gather },
        .m = b->config->m,
        .ef_construction = b->config->ef_construction,
        .seed = b->config->seed,
    };
    rc = faiss_graph_new(&graph, &b->graph, b->why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = team_new(b->entering_len < TEAM_ROWS_MIN ? 1 : b->config->threads, &b->team, b->why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    b->workers = mem_calloc(team_len(b->team), sizeof(struct faiss_worker *));
    if (b->workers == NULL) {
        return err_set(b->why, SHOAL_ENOMEM, "out of memory for %u workers", team_len(b->team));
    }
    for (unsigned i = 0; i < team_len(b->team); i++) {
        rc = faiss_worker_new(b->graph, &b->workers[i], b->why);
        if (rc != SHOAL_OK) {
            return rc;
        }
        b->workers_len++;
    }
    return draw_order(b);
}

static void build_release(struct build *b)
{
    for (unsigned i = 0; i < b->workers_len; i++) {
        faiss_worker_free(b->workers[i]);
    }
    mem_free(b->workers);
    team_free(b->team);
    faiss_graph_free(b->graph);
    mem_free(b->first_of);
    mem_free(b->entering);
    mem_free(b->links);
    mem_free(b->spare);
    mem_free(b->groups);
    mutex_release(&b->why_lock);
}

/* A row set aside before may be a copy of one that stayed out later: both are copies of the node
 * that the later one is a copy of. */
static void settle_copies(struct build *b)
{
    for (size_t row = 0; row < b->rows; row++) {
        b->first_of[row] = b->first_of[b->first_of[row]];
        b->nodes += b->first_of[row] == row;
    }
}

enum shoal_err hnsw_build(const struct index_config *config, const float *vectors, size_t rows,
                          const atomic_bool *cancel, struct index_built *out, struct errbuf *why)
{
    struct build b = { .config = config, .cancel = cancel, .rows = rows, .why = why };
    mutex_init(&b.why_lock);
    enum shoal_err rc = build_start(&b, vectors);
    if (rc == SHOAL_OK) {
        rc = enter_all(&b);
    }
    if (rc == SHOAL_OK) {
        settle_copies(&b);
        struct hnsw_finished finished = { .graph = b.graph,
                                          .worker = b.workers[0],
                                          .entry = b.entering[0],
                                          .rows = rows,
                                          .nodes = b.nodes,
                                          .first_of = b.first_of };
        rc = hnsw__encode(config, &finished, cancel, out, why);
    }
    build_release(&b);
    return rc;
}
