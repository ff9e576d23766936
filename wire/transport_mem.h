/* Transport in memory: the parts of one process talk to each other without sockets, under a clock
 * turned by hand and a seed, so that a run with delays, losses and cuts repeats exactly.
 *
 * Nothing moves by itself: each transport_step lets the next thing happen (a request or a reply
 * arrives, a deadline passes) and turns the clock to its time. transport_call_wait steps until its
 * call has ended. Callbacks run inside the step, on its thread, with no lock held.
 *
 * URLs are mem://NAME. A request to a name that nobody listens on is tried again every
 * TRANSPORT_MEM_RETRY_NS until its deadline, as a connection would be.
 *
 * Threads: any for all calls; for a repeatable run everything happens on one. */
#ifndef SHOAL_WIRE_TRANSPORT_MEM_H
#define SHOAL_WIRE_TRANSPORT_MEM_H

#include "base/clock.h"
#include "base/rand.h"
#include "wire/transport.h"

#include <stdbool.h>
#include <stdint.h>

#define TRANSPORT_MEM_RETRY_NS 10000000u

struct transport_mem_config {
    struct clock_manual *clock;     /* outlives the transport, as does the next */
    const struct rand_source *rand; /* draws delays and losses */
    uint64_t delay_ns_min;          /* of a message on its way */
    uint64_t delay_ns_max;
    double loss; /* share of messages, requests and replies alike, that never arrive; 0..1 */
};

SHOAL_MUST_CHECK enum shoal_err transport_mem_new(const struct transport_mem_config *config,
                                                  struct transport **out, struct errbuf *why);
/* From now on no message to or from the listener of this URL arrives, also none that is on its
 * way; or they do again. SHOAL_ENOMEM, SHOAL_EFULL (TRANSPORT_MEM_CUTS_MAX). */
#define TRANSPORT_MEM_CUTS_MAX 64
enum shoal_err transport_mem_cut(struct transport *t, const char *url, bool cut);
/* Changes the share that is lost. */
void transport_mem_set_loss(struct transport *t, double loss);

/* Lets the next thing happen; false when there is none. */
bool transport_step(struct transport *t);

#endif
