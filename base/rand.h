/* Randomness: unpredictable bytes from the system, or a seeded sequence that repeats exactly.
 *
 * Threads: rand_system() from any thread; a seeded source belongs to one thread at a time. */
#ifndef SHOAL_BASE_RAND_H
#define SHOAL_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

struct rand_source {
    void (*fill)(void *arg, void *out, size_t len);
    void *arg;
};

/* getrandom(2). Static. */
const struct rand_source *rand_system(void);

/* xoshiro256** seeded through splitmix64 (Blackman and Vigna, 2018). Not for secrets. */
struct rand_seeded {
    struct rand_source source; /* pass &r.source */
    uint64_t state[4];
};
void rand_seeded_init(struct rand_seeded *r, uint64_t seed);

uint64_t rand_u64(const struct rand_source *r);
/* Uniform in 0..bound-1 without modulo bias; bound > 0. */
uint64_t rand_below(const struct rand_source *r, uint64_t bound);
/* Uniform in [0, 1). */
double rand_unit(const struct rand_source *r);

#endif
