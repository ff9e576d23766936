/* What a gateway is made of; for the process's start-up only. */
#ifndef SHOAL_SERVER_GATEWAY_CONFIG_H
#define SHOAL_SERVER_GATEWAY_CONFIG_H

#include "server/directory.h"
#include "server/gateway.h"
#include "server/node.h"
#include "server/peers.h"

/* All outlive the gateway. */
struct gateway_config {
    struct directory *directory;
    struct node *node; /* NULL: this process holds no shards */
    struct peers *peers;
    struct limiter *limiter; /* NULL: no limits */
    struct generators *generators;
    struct metrics *metrics;
    const struct clock *clock;
    const struct rand_source *rand;
};

SHOAL_MUST_CHECK enum shoal_err gateway_new(const struct gateway_config *config,
                                            struct gateway **out);
/* Every collection was given back. NULL is fine. */
void gateway_free(struct gateway *g);

#endif
