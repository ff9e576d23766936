/* Generators: the gateway's list of generator processes, and the calls it makes to them.
 *
 * A generator registers by the call "generator.register" {"name", "url", "models": [{"name",
 * "kind": "embed" | "generate", "dim", "context"}]} and repeats it every second; one that has been
 * silent for GENERATORS_STALE_MS is not used. A request goes to the generator with the model and
 * the fewest requests under way.
 *
 * Threads: any. */
#ifndef SHOAL_SERVER_GENERATORS_H
#define SHOAL_SERVER_GENERATORS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/slice.h"
#include "server/peers.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GENERATORS_STALE_MS 5000
#define GENERATORS_MAX 64
#define GENERATOR_MODELS_MAX 16
#define GENERATOR_NAME_MAX 127

struct generators;

/* The peers outlive it. */
SHOAL_MUST_CHECK enum shoal_err generators_new(struct peers *peers, struct generators **out);
void generators_free(struct generators *g); /* no call under way; NULL is fine */

/* The argument of "generator.register". SHOAL_EPROTO, SHOAL_EFULL. */
SHOAL_MUST_CHECK enum shoal_err generators_register(struct generators *g, struct json_value arg,
                                                    struct errbuf *why);

struct generator_model {
    char name[GENERATOR_NAME_MAX + 1];
    bool generates;      /* else it embeds */
    uint32_t dim;        /* of an embedder */
    uint32_t context;    /* tokens */
    uint64_t parameters; /* 0: not told */
};

/* The first live model of the kind; with a name, that one. SHOAL_EUNAVAILABLE says how to get
 * one. */
SHOAL_MUST_CHECK enum shoal_err generators_model(struct generators *g, bool generates,
                                                 struct slice name, struct generator_model *out,
                                                 struct errbuf *why);
/* Every live model, each name once; out has room for max. */
size_t generators_models(struct generators *g, struct generator_model *out, size_t max);

/* Vectors of the texts, len x dim floats in the arena, each of unit length. */
SHOAL_MUST_CHECK enum shoal_err generators_embed(struct generators *g, struct slice model,
                                                 const struct slice *texts, size_t len,
                                                 uint64_t deadline_ns, struct arena *arena,
                                                 const float **vectors, uint32_t *dim,
                                                 uint64_t *tokens, struct errbuf *why);

struct generate_request {
    struct slice model; /* empty: the default */
    struct slice json;  /* {"messages": [{"role", "content"}], "max_tokens", "temperature",
                           "seed", "stop": [..]} */
    uint64_t deadline_ns;
};

struct generate_stats {
    uint64_t prompt_tokens;
    uint64_t generated_tokens;
    uint64_t first_token_ns; /* as seen from here */
    uint64_t total_ns;
    char finish[16]; /* "stop", "length", "canceled" */
};

/* Generates, handing out each piece of text as it comes; when `piece` returns false the generation
 * is cancelled. Returns when it has ended. */
SHOAL_MUST_CHECK enum shoal_err generators_generate(struct generators *g,
                                                    const struct generate_request *request,
                                                    bool (*piece)(void *arg, struct slice text),
                                                    void *arg, struct generate_stats *stats,
                                                    struct errbuf *why);

#endif
