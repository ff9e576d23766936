#include "shard/build_plan.h"

#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>

uint64_t build_rows_max(uint32_t dim)
{
    const uint64_t by_memory = BUILD_VECTOR_BYTES_MAX / ((uint64_t)dim * sizeof(float));
    const uint64_t by_format = segment_rows_max(dim);
    return by_memory < by_format ? by_memory : by_format;
}

/* --- choosing --------------------------------------------------------------------------------- */

static struct build_plan merge_of(const struct generation *g, size_t first, size_t len)
{
    assert(len >= 1 && first + len <= g->segments_len);
    return (struct build_plan){
        .kind = BUILD_MERGE,
        .row_begin = segment_info(g->segments[first].segment)->row_begin,
        .row_end = segment_info(g->segments[first + len - 1].segment)->row_end,
        .first = first,
        .len = len,
    };
}

static bool choose_seal(const struct generation *g, const struct build_rules *rules,
                        struct build_plan *out)
{
    const uint64_t growing = generation_growing_rows(g);
    uint64_t end = growing >= rules->seal_rows ? g->next_row : rules->seal_to;
    if (end > g->growing_begin + rules->rows_max) {
        end = g->growing_begin + rules->rows_max;
    }
    if (end <= g->growing_begin) {
        return false;
    }
    *out = (struct build_plan){ .kind = BUILD_SEAL,
                                .row_begin = g->growing_begin,
                                .row_end = end < g->next_row ? end : g->next_row };
    return out->row_begin < out->row_end;
}

static bool wants_rewriting(const struct segment_view *v, const struct build_rules *rules)
{
    const uint32_t rows = segment_info(v->segment)->rows;
    const uint32_t dead = rows - v->live;
    return v->live == 0 || segment_needs_rebuild(v->segment) || dead > rows / 3 ||
           (rules->merge_all && dead > 0);
}

static bool choose_rewrite(const struct generation *g, const struct build_rules *rules,
                           struct build_plan *out)
{
    for (size_t i = 0; i < g->segments_len; i++) {
        if (wants_rewriting(&g->segments[i], rules)) {
            *out = merge_of(g, i, 1);
            return true;
        }
    }
    return false;
}

/* The run of MERGE_WIDTH that costs least. */
static bool choose_run(const struct generation *g, const struct build_rules *rules,
                       struct build_plan *out)
{
    uint64_t best = UINT64_MAX;
    for (size_t first = 0; first + BUILD_MERGE_WIDTH <= g->segments_len; first++) {
        uint64_t sum = 0;
        uint64_t largest = 0;
        for (size_t i = first; i < first + BUILD_MERGE_WIDTH; i++) {
            const uint64_t live = g->segments[i].live;
            sum += live;
            largest = live > largest ? live : largest;
        }
        if (largest <= sum - largest && sum <= rules->rows_max && sum < best) {
            best = sum;
            *out = merge_of(g, first, BUILD_MERGE_WIDTH);
        }
    }
    return best != UINT64_MAX;
}

/* The first run of two or more that fits one segment, as long as it goes. */
static bool choose_all(const struct generation *g, const struct build_rules *rules,
                       struct build_plan *out)
{
    for (size_t first = 0; first + 1 < g->segments_len; first++) {
        uint64_t sum = 0;
        size_t len = 0;
        while (first + len < g->segments_len &&
               sum + g->segments[first + len].live <= rules->rows_max) {
            sum += g->segments[first + len].live;
            len++;
        }
        if (len >= 2) {
            *out = merge_of(g, first, len);
            return true;
        }
    }
    return false;
}

struct build_plan build_plan_choose(const struct generation *g, const struct build_rules *rules)
{
    assert(rules->seal_rows >= 1 && rules->rows_max >= 1);
    struct build_plan plan = { .kind = BUILD_NOTHING };
    if (choose_seal(g, rules, &plan) || rules->seal_only) {
        return plan;
    }
    if (rules->merge_all && choose_all(g, rules, &plan)) {
        return plan;
    }
    if (!choose_rewrite(g, rules, &plan)) {
        (void)choose_run(g, rules, &plan);
    }
    return plan;
}

/* --- gathering -------------------------------------------------------------------------------- */

static bool is_alive(const struct bits *alive, uint32_t at)
{
    return alive == NULL || bits_get(alive, at);
}

/* Chunks with rows of a seal, from the first chunk on. */
static size_t chunks_of(const struct build_plan *plan)
{
    return (size_t)((plan->row_end - 1) / CHUNK_ROWS - plan->row_begin / CHUNK_ROWS) + 1;
}

static size_t gather_growing(const struct generation *g, const struct build_plan *plan,
                             struct segment_row *rows)
{
    size_t n = 0;
    assert(plan->row_begin == g->growing_begin && plan->row_end <= g->next_row);
    for (size_t c = 0; c < chunks_of(plan); c++) {
        const struct chunk_view *v = &g->chunks[c];
        const uint64_t begin = generation_chunk_row(g, c);
        for (uint32_t at = 0; v->chunk != NULL && at < v->rows && begin + at < plan->row_end;
             at++) {
            if (is_alive(v->alive, at)) {
                rows[n++] = (struct segment_row){ .row = begin + at,
                                                  .id = v->chunk->ids[at],
                                                  .vector = v->chunk->vectors +
                                                            (size_t)at * g->dim };
            }
        }
    }
    return n;
}

static enum shoal_err gather_segment(const struct segment_view *v, struct segment_row *rows,
                                     size_t *n, struct errbuf *why)
{
    const struct segment_manifest *m = segment_info(v->segment);
    for (uint32_t i = 0; i < m->rows; i++) {
        const uint32_t at = segment_positions(v->segment)[i];
        struct segment_row *row = &rows[*n];
        if (at >= m->rows) {
            return err_set(why, SHOAL_ECORRUPT, "segment %" PRIu64 ": a position is out of range",
                           m->id);
        }
        if (!is_alive(v->alive, at)) {
            continue;
        }
        *row = (struct segment_row){ .row = segment_rows(v->segment)[i],
                                     .vector = segment_vector(v->segment, at) };
        if (segment_id(v->segment, at, &row->id) != SHOAL_OK) {
            return err_set(why, SHOAL_ECORRUPT, "segment %" PRIu64 ": an id is damaged", m->id);
        }
        ++*n;
    }
    return SHOAL_OK;
}

static uint64_t rows_bound(const struct generation *g, const struct build_plan *plan)
{
    if (plan->kind == BUILD_SEAL) {
        return plan->row_end - plan->row_begin;
    }
    uint64_t sum = 0;
    for (size_t i = plan->first; i < plan->first + plan->len; i++) {
        sum += segment_info(g->segments[i].segment)->rows;
    }
    return sum;
}

enum shoal_err build_rows_gather(const struct generation *g, const struct build_plan *plan,
                                 struct segment_row **rows, size_t *len, struct errbuf *why)
{
    assert(plan->kind != BUILD_NOTHING);
    *len = 0;
    const uint64_t bound = rows_bound(g, plan);
    *rows = mem_array(bound, sizeof(**rows));
    if (*rows == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for a list of %" PRIu64 " rows", bound);
    }
    size_t n = 0;
    enum shoal_err rc = SHOAL_OK;
    if (plan->kind == BUILD_SEAL) {
        n = gather_growing(g, plan, *rows);
    }
    for (size_t i = plan->first; i < plan->first + plan->len && rc == SHOAL_OK; i++) {
        rc = gather_segment(&g->segments[i], *rows, &n, why);
    }
    if (rc != SHOAL_OK) {
        mem_free(*rows);
        *rows = NULL;
        return rc;
    }
    assert(n <= bound);
    *len = n;
    return SHOAL_OK;
}

/* --- what died meanwhile ---------------------------------------------------------------------- */

static void chunk_died(const struct generation *then, const struct chunk_view *now, size_t chunk,
                       uint64_t row_end, build_died_fn *died, void *arg)
{
    const struct chunk_view *v = &then->chunks[chunk];
    const uint64_t begin = generation_chunk_row(then, chunk);
    if (v->chunk == NULL || (now->chunk == v->chunk && now->alive == v->alive)) {
        return;
    }
    for (uint32_t at = 0; at < v->rows && begin + at < row_end; at++) {
        const bool lives = now->chunk != NULL && is_alive(now->alive, at);
        if (is_alive(v->alive, at) && !lives) {
            died(arg, begin + at);
        }
    }
}

static void segment_died(const struct segment_view *then, const struct segment_view *now,
                         build_died_fn *died, void *arg)
{
    assert(then->segment == now->segment);
    if (then->alive == now->alive) {
        return;
    }
    const uint32_t rows = segment_info(then->segment)->rows;
    for (uint32_t i = 0; i < rows; i++) {
        const uint32_t at = segment_positions(then->segment)[i];
        if (is_alive(then->alive, at) && !is_alive(now->alive, at)) {
            died(arg, segment_rows(then->segment)[i]);
        }
    }
}

void build_rows_died(const struct generation *then, const struct generation *now,
                     const struct build_plan *plan, build_died_fn *died, void *arg)
{
    assert(then->growing_begin == now->growing_begin && then->segments_len == now->segments_len);
    for (size_t i = plan->first; i < plan->first + plan->len; i++) {
        segment_died(&then->segments[i], &now->segments[i], died, arg);
    }
    const size_t chunks = plan->kind == BUILD_SEAL ? chunks_of(plan) : 0;
    for (size_t c = 0; c < chunks; c++) {
        chunk_died(then, &now->chunks[c], c, plan->row_end, died, arg);
    }
}
