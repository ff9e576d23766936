/* IVF-Flat: rows grouped by their nearest centroid, so that a search reads a few groups only.
 *
 * FAISS's k-means trains the centroids and assigns the rows. The order puts the rows of one list
 * side by side: the mapped vectors themselves are the lists, and the derived bytes hold no more
 * than the centroids and where each list begins.
 *
 * Parameters (format.h): lists. Sections:
 *
 *     f32[lists][dim]   the centroids
 *     u32[lists + 1]    the first row of each list; the last is the number of rows
 *
 * A search goes through the lists from the nearest centroid on. Without a filter it reads nprobe
 * of them. With a filter it goes on until it has compared as many allowed rows as nprobe lists
 * hold on average: the rows that answer a filtered query lie farther out, by the same factor by
 * which the filter thins the lists, so recall does not fall with the share that is allowed. */
#include "base/mem.h"
#include "index/faiss_shim.h"
#include "index/format.h"
#include "index/index_ops.h"
#include "index/kernel.h"
#include "index/near_heap.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Lists for n rows: LISTS_PER_ROOT * sqrt(n), as the FAISS wiki advises up to a million rows, and
 * at least LIST_ROWS_MIN rows in each. */
#define LISTS_PER_ROOT 4.0
#define LIST_ROWS_MIN 8
#define ITERATIONS 10
/* One list in so many is probed: recall@10 of .966 on GloVe (340k x 100). */
#define NPROBE_SHARE 24
/* Rows compared for each hit asked for, at least. */
#define ROWS_PER_HIT 16

#define KEYS_BLOCK 256

struct ivf {
    uint32_t lists;
    const float *centroids; /* lists x dim, borrowed from the bytes */
    const uint32_t *begins; /* lists + 1, borrowed from the bytes */
    const struct kernel *kernel;
};

static uint32_t lists_for(const struct index_config *config, size_t rows)
{
    double lists = config->nlist;
    if (config->nlist == 0) {
        lists = fmin(LISTS_PER_ROOT * sqrt((double)rows), (double)rows / LIST_ROWS_MIN);
    }
    lists = fmin(fmax(lists, 1), fmin((double)rows, INDEX_NLIST_MAX));
    return (uint32_t)lists;
}

static bool bytes_len_for(size_t lists, size_t dim, size_t *out)
{
    size_t words = 0;
    return size_mul(lists, dim + 1, &words) && size_add(words, 1, &words) &&
           size_mul(words, sizeof(uint32_t), &words) && size_add(words, FORMAT_HEADER_LEN, out);
}

static bool canceled(void *arg)
{
    return index__canceled(arg);
}

/* Groups the rows by list, ascending within each. Fills begins (lists + 1) and order (rows). */
static void group_rows(const uint32_t *list_of_row, size_t rows, uint32_t lists, uint32_t *begins,
                       uint32_t *order)
{
    memset(begins, 0, ((size_t)lists + 1) * sizeof(*begins));
    for (size_t i = 0; i < rows; i++) {
        begins[list_of_row[i] + 1]++;
    }
    for (uint32_t l = 0; l < lists; l++) {
        begins[l + 1] += begins[l];
    }
    /* begins[l] runs through the list while it is filled, and ends where the next begins. */
    for (size_t i = 0; i < rows; i++) {
        order[begins[list_of_row[i]]++] = (uint32_t)i;
    }
    memmove(begins + 1, begins, lists * sizeof(*begins));
    begins[0] = 0;
}

static enum shoal_err train_and_group(const struct index_config *config, const float *vectors,
                                      size_t rows, const atomic_bool *cancel, uint32_t lists,
                                      uint32_t *list_of_row, struct index_built *out,
                                      struct errbuf *why)
{
    struct faiss_kmeans_config kmeans = {
        .vectors = vectors,
        .rows = rows,
        .dim = config->dim,
        .lists = lists,
        .inner_product = distance_higher_is_better(config->distance),
        .iterations = ITERATIONS,
        .threads = config->threads,
        .seed = config->seed,
        .canceled = cancel == NULL ? NULL : canceled,
        .arg = (void *)(uintptr_t)cancel, /* index__canceled only reads it */
    };
    float *centroids = (void *)(out->bytes + FORMAT_HEADER_LEN);
    enum shoal_err rc = faiss_kmeans_train(&kmeans, centroids, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    rc = faiss_kmeans_assign(&kmeans, centroids, list_of_row, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    uint32_t *begins = (uint32_t *)(void *)(centroids + (size_t)lists * config->dim);
    group_rows(list_of_row, rows, lists, begins, out->order);
    return SHOAL_OK;
}

static enum shoal_err ivf_build(const struct index_config *config, const float *vectors,
                                size_t rows, const atomic_bool *cancel, struct index_built *out,
                                struct errbuf *why)
{
    uint32_t lists = lists_for(config, rows);
    size_t len = 0;
    if (!bytes_len_for(lists, config->dim, &len)) {
        return err_set(why, SHOAL_ETOOBIG, "%" PRIu32 " centroids of dim %" PRIu32 " are too big",
                       lists, config->dim);
    }
    uint32_t *list_of_row = mem_array(rows, sizeof(*list_of_row));
    out->order = mem_array(rows, sizeof(*out->order));
    out->bytes = mem_alloc(len);
    if (list_of_row == NULL || out->order == NULL || out->bytes == NULL) {
        mem_free(list_of_row);
        return err_set(why, SHOAL_ENOMEM, "out of memory for %" PRIu32 " lists of %zu rows", lists,
                       rows);
    }
    out->bytes_len = len;
    enum shoal_err rc = train_and_group(config, vectors, rows, cancel, lists, list_of_row, out,
                                        why);
    mem_free(list_of_row);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct format_header *h = (void *)out->bytes;
    format_header_init(h, config, rows, 1, len);
    h->params[0] = lists;
    format_header_seal(h);
    return SHOAL_OK;
}

static enum shoal_err ivf_open(const struct index_config *config, const struct index_rows *rows,
                               struct slice bytes, void **state, struct errbuf *why)
{
    *state = NULL;
    const struct format_header *h = NULL;
    enum shoal_err rc = format_header_open(bytes, config, rows->rows, 1, &h, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    uint32_t lists = h->params[0];
    size_t expected = 0;
    if (lists == 0 || lists > INDEX_NLIST_MAX || lists > rows->rows ||
        !bytes_len_for(lists, rows->dim, &expected) || expected != bytes.len) {
        return err_set(why, SHOAL_ECORRUPT, "%zu index bytes cannot hold %" PRIu32 " lists",
                       bytes.len, lists);
    }
    struct ivf *ivf = mem_calloc(1, sizeof(*ivf));
    if (ivf == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for an index");
    }
    ivf->lists = lists;
    ivf->centroids = (const void *)(bytes.data + FORMAT_HEADER_LEN);
    ivf->begins = (const void *)(ivf->centroids + (size_t)lists * rows->dim);
    ivf->kernel = kernel_for(rows->distance);
    *state = ivf;
    return SHOAL_OK;
}

static void ivf_close(void *state)
{
    mem_free(state);
}

/* Fills `heap` with the lists, the nearest centroid at the root. */
static void rank_lists(const struct ivf *ivf, const struct index_rows *rows, const float *query,
                       struct near *heap)
{
    float keys[KEYS_BLOCK];
    for (uint32_t at = 0; at < ivf->lists; at += KEYS_BLOCK) {
        uint32_t len = ivf->lists - at < KEYS_BLOCK ? ivf->lists - at : KEYS_BLOCK;
        ivf->kernel->span(query, ivf->centroids + (size_t)at * rows->dim, rows->dim, len, keys);
        for (uint32_t i = 0; i < len; i++) {
            near_heap_push(NEAR_MIN, heap, at + i,
                           (struct near){ .key = kernel_key_sane(keys[i]), .row = at + i });
        }
    }
}

/* Feeds the allowed rows of begin..end-1 and returns how many there were. */
static size_t scan_list(const struct index_rows *rows, const struct index_query *q, size_t begin,
                        size_t end, struct topk *top)
{
    if (q->filter == NULL) {
        scan_rows(top, q->vector, rows->vectors + begin * rows->dim, end - begin, rows->dim, begin,
                  NULL);
        return end - begin;
    }
    uint32_t ids[KEYS_BLOCK];
    size_t ids_len = 0;
    size_t total = 0;
    for (size_t row = begin; row < end; row++) {
        ids[ids_len] = (uint32_t)row;
        ids_len += q->filter->allowed[row / 8] >> (row % 8) & 1;
        if (ids_len == KEYS_BLOCK || row + 1 == end) {
            scan_listed(top, q->vector, rows->vectors, rows->dim, ids, ids_len, 0);
            total += ids_len;
            ids_len = 0;
        }
    }
    return total;
}

/* The bounds of a list; empty when they cannot be right. */
static void list_bounds(const struct ivf *ivf, const struct index_rows *rows, uint32_t list,
                        size_t *begin, size_t *end)
{
    *begin = ivf->begins[list];
    *end = ivf->begins[list + 1];
    if (*begin > *end || *end > rows->rows) {
        *begin = 0;
        *end = 0;
    }
}

static size_t nprobe_default(const struct ivf *ivf, size_t k, double average)
{
    size_t share = ivf->lists / NPROBE_SHARE + 1;
    size_t for_k = (size_t)ceil((double)(k * ROWS_PER_HIT) / average);
    return share > for_k ? share : for_k;
}

static enum shoal_err ivf_search(const void *state, const struct index_rows *rows,
                                 const struct index_query *q, struct topk *top, struct errbuf *why)
{
    const struct ivf *ivf = state;
    double average = (double)rows->rows / (double)ivf->lists;
    size_t nprobe = q->nprobe == 0 ? nprobe_default(ivf, q->k, average) : q->nprobe;
    nprobe = nprobe < ivf->lists ? nprobe : ivf->lists;
    size_t enough = (size_t)ceil((double)nprobe * average);
    enough = enough < q->k ? q->k : enough;
    size_t allowed = q->filter == NULL ? rows->rows : q->filter->allowed_len;
    if (enough >= allowed) {
        index__scan(rows, q, top); /* all lists would be read */
        return SHOAL_OK;
    }
    struct near *heap = mem_array(ivf->lists, sizeof(*heap));
    if (heap == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for a search");
    }
    rank_lists(ivf, rows, q->vector, heap);
    size_t compared = 0;
    size_t probed = 0;
    for (size_t left = ivf->lists; left > 0; left--) {
        bool done = q->filter == NULL ? probed >= nprobe && compared >= q->k : compared >= enough;
        if (done) {
            break;
        }
        size_t begin = 0;
        size_t end = 0;
        list_bounds(ivf, rows, near_heap_pop(NEAR_MIN, heap, left).row, &begin, &end);
        compared += scan_list(rows, q, begin, end, top);
        probed++;
    }
    mem_free(heap);
    return SHOAL_OK;
}

static enum shoal_err ivf_validate(const void *state, const struct index_rows *rows,
                                   struct errbuf *why)
{
    const struct ivf *ivf = state;
    if (ivf->begins[0] != 0 || ivf->begins[ivf->lists] != rows->rows) {
        return err_set(why, SHOAL_ECORRUPT, "lists cover %" PRIu32 "..%" PRIu32 " of %zu rows",
                       ivf->begins[0], ivf->begins[ivf->lists], rows->rows);
    }
    for (uint32_t l = 0; l < ivf->lists; l++) {
        if (ivf->begins[l] > ivf->begins[l + 1]) {
            return err_set(why, SHOAL_ECORRUPT, "list %" PRIu32 " ends before it begins", l);
        }
        for (size_t i = 0; i < rows->dim; i++) {
            if (!isfinite(ivf->centroids[(size_t)l * rows->dim + i])) {
                return err_set(why, SHOAL_ECORRUPT, "centroid %" PRIu32 " is not finite", l);
            }
        }
    }
    return SHOAL_OK;
}

static uint64_t ivf_private_bytes(const void *state)
{
    (void)state;
    return sizeof(struct ivf);
}

const struct index_ops index__ivf = {
    .name = "ivf_flat",
    .kind = INDEX_IVF_FLAT,
    .build = ivf_build,
    .open = ivf_open,
    .close = ivf_close,
    .search = ivf_search,
    .validate = ivf_validate,
    .private_bytes = ivf_private_bytes,
};
