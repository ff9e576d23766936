/* K-means by faiss::Clustering, cancellable and with a chosen number of threads. */
#include "index/faiss_shim.h"

#include "index/faiss_error.hpp"

#include <faiss/Clustering.h>
#include <faiss/IndexFlat.h>

#include <omp.h>

#include <algorithm>
#include <vector>

/* OpenBLAS runs threads of its own beside OpenMP's. Weak, so that another BLAS links as well. */
extern "C" __attribute__((weak)) void openblas_set_num_threads(int threads);
extern "C" __attribute__((weak)) int openblas_get_num_threads(void);

namespace
{

/* Training rows a centroid. Recall at equal cost did not rise beyond it on GloVe, and the time of
 * training is proportional to it. */
constexpr int TRAIN_ROWS_PER_LIST_MAX = 64;
/* Rows between two looks at the cancel flag. */
constexpr faiss::idx_t BLOCK_ROWS = 4096;

/* Sets the thread counts for one call and puts the old ones back. OpenMP's is the calling
 * thread's own; OpenBLAS's is the process's, where two builds at once only contend for speed. */
class Threads
{
  public:
    explicit Threads(uint32_t threads) : omp_before(omp_get_max_threads())
    {
        int n = static_cast<int>(threads);
        omp_set_num_threads(n);
        if (openblas_get_num_threads != nullptr && openblas_set_num_threads != nullptr) {
            blas_before = openblas_get_num_threads();
            openblas_set_num_threads(n);
        }
    }
    ~Threads()
    {
        omp_set_num_threads(omp_before);
        if (blas_before > 0) {
            openblas_set_num_threads(blas_before);
        }
    }
    Threads(const Threads &) = delete;
    Threads &operator=(const Threads &) = delete;

  private:
    int omp_before;
    int blas_before = 0;
};

/* The index that Clustering assigns rows with: flat, but searched in blocks, so that a cancelled
 * build stops soon. */
struct Assigner : faiss::IndexFlat {
    const faiss_kmeans_config &config;

    Assigner(const faiss_kmeans_config &c)
        : faiss::IndexFlat(static_cast<faiss::idx_t>(c.dim),
                           c.inner_product ? faiss::METRIC_INNER_PRODUCT : faiss::METRIC_L2),
          config(c)
    {
    }

    void search(faiss::idx_t n, const float *x, faiss::idx_t k, float *distances,
                faiss::idx_t *labels, const faiss::SearchParameters *params) const override
    {
        for (faiss::idx_t at = 0; at < n; at += BLOCK_ROWS) {
            if (config.canceled != nullptr && config.canceled(config.arg)) {
                throw shoal::Canceled();
            }
            faiss::IndexFlat::search(std::min(BLOCK_ROWS, n - at), x + at * d, k,
                                     distances + at * k, labels + at * k, params);
        }
    }
};

} // namespace

enum shoal_err faiss_kmeans_train(const struct faiss_kmeans_config *config, float *centroids,
                                  struct errbuf *why)
{
    return shoal::guarded(why, "k-means", [&] {
        Threads threads(config->threads);
        faiss::ClusteringParameters params;
        params.niter = static_cast<int>(config->iterations);
        params.seed = static_cast<int>(config->seed & 0x7fffffff);
        params.spherical = config->inner_product;
        params.min_points_per_centroid = 1; /* else FAISS writes warnings on stderr */
        params.max_points_per_centroid = TRAIN_ROWS_PER_LIST_MAX;
        params.check_input_data_for_NaNs = false; /* the shard accepts finite vectors only */
        faiss::Clustering clustering(static_cast<int>(config->dim), static_cast<int>(config->lists),
                                     params);
        Assigner assigner(*config);
        clustering.train(static_cast<faiss::idx_t>(config->rows), config->vectors, assigner);
        std::copy(clustering.centroids.begin(), clustering.centroids.end(), centroids);
    });
}

enum shoal_err faiss_kmeans_assign(const struct faiss_kmeans_config *config, const float *centroids,
                                   uint32_t *list_of_row, struct errbuf *why)
{
    return shoal::guarded(why, "k-means", [&] {
        Threads threads(config->threads);
        Assigner assigner(*config);
        assigner.add(static_cast<faiss::idx_t>(config->lists), centroids);
        const size_t block = BLOCK_ROWS;
        std::vector<faiss::idx_t> labels(block);
        std::vector<float> distances(block);
        for (size_t at = 0; at < config->rows; at += block) {
            size_t n = std::min(block, config->rows - at);
            assigner.search(static_cast<faiss::idx_t>(n), config->vectors + at * config->dim, 1,
                            distances.data(), labels.data(), nullptr);
            for (size_t i = 0; i < n; i++) {
                /* -1 comes back only for keys beyond the range of float; any list will do. */
                list_of_row[at + i] = labels[i] < 0 ? 0 : static_cast<uint32_t>(labels[i]);
            }
        }
    });
}
