/* The NNG front's hot messages: UPSERT and SEARCH on a collection. Private to the front. */
#ifndef SHOAL_SERVER_FRONT_POINTS_H
#define SHOAL_SERVER_FRONT_POINTS_H

#include "server/gateway.h"
#include "wire/frame.h"
#include "wire/transport.h"

/* Runs on the caller's thread and answers the exchange. */
void front_points_answer(struct gateway *g, struct transport_exchange *x, const struct frame *f,
                         uint64_t deadline_ns);

#endif
