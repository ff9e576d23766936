/* The calls of OpenMP's runtime that Shoal makes, for compilers that are not GCC: libgomp is linked
 * for FAISS's sake, and GCC's own omp.h needs GCC. Names and meanings are the OpenMP standard's. */
#ifndef SHOAL_CMAKE_OMP_H
#define SHOAL_CMAKE_OMP_H

#ifdef __cplusplus
extern "C" {
#endif

/* libgomp's lock: FAISS's headers name the type in arguments. */
typedef struct {
    unsigned char bytes[4] __attribute__((aligned(4)));
} omp_lock_t;

int omp_get_max_threads(void);
int omp_get_num_threads(void);
int omp_get_thread_num(void);
int omp_in_parallel(void);
void omp_set_num_threads(int threads);

#ifdef __cplusplus
}
#endif

#endif
