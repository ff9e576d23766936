#include "base/rand.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static void system_fill(void *arg, void *out, size_t len)
{
    (void)arg;
    char *at = out;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            abort(); /* no kernel we run on lacks it; going on with weak bytes would be worse */
        }
        at += n;
        len -= (size_t)n;
    }
}

const struct rand_source *rand_system(void)
{
    static const struct rand_source source = { .fill = system_fill };
    return &source;
}

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

static uint64_t xoshiro_next(uint64_t s[4])
{
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

static void seeded_fill(void *arg, void *out, size_t len)
{
    struct rand_seeded *r = arg;
    char *at = out;
    while (len > 0) {
        uint64_t word = xoshiro_next(r->state);
        size_t n = len < sizeof(word) ? len : sizeof(word);
        memcpy(at, &word, n);
        at += n;
        len -= n;
    }
}

void rand_seeded_init(struct rand_seeded *r, uint64_t seed)
{
    r->source = (struct rand_source){ .fill = seeded_fill, .arg = r };
    for (int i = 0; i < 4; i++) { /* splitmix64 */
        seed += 0x9e3779b97f4a7c15u;
        uint64_t z = seed;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        r->state[i] = z ^ (z >> 31);
    }
}

uint64_t rand_u64(const struct rand_source *r)
{
    uint64_t v;
    r->fill(r->arg, &v, sizeof(v));
    return v;
}

uint64_t rand_below(const struct rand_source *r, uint64_t bound)
{
    assert(bound > 0);
    uint64_t reject = -bound % bound; /* 2^64 mod bound: values below it would be too likely */
    uint64_t v;
    do {
        v = rand_u64(r);
    } while (v < reject);
    return v % bound;
}

double rand_unit(const struct rand_source *r)
{
    return (double)(rand_u64(r) >> 11) * 0x1.0p-53;
}
