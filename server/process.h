/* Process: one shoald, from its options to its last breath: which parts its roles need, how they
 * are joined, and in which order they go.
 *
 * Threads: all calls from one thread. */
#ifndef SHOAL_SERVER_PROCESS_H
#define SHOAL_SERVER_PROCESS_H

#include "base/err.h"
#include "server/options.h"

#include <stdint.h>

/* Ending cleanly takes at most about this long, whatever is under way. */
#define PROCESS_STOP_MS 5000

struct process;

/* Opens every part and starts listening. `program` is argv[0]. The options outlive the process.
 * SHOAL_EBUSY (an address or the data directory is taken), SHOAL_EINVAL, and what the parts say. */
SHOAL_MUST_CHECK enum shoal_err process_open(const struct options *options, const char *program,
                                             struct process **out, struct errbuf *why);
/* Waits until the process can do its work: SHOAL_ETIMEOUT says what is missing. */
SHOAL_MUST_CHECK enum shoal_err process_wait_ready(struct process *p, uint64_t deadline_ns,
                                                   struct errbuf *why);
/* "127.0.0.1:6333"; "off" without an HTTP API. */
const char *process_http(const struct process *p);
const char *process_nng(const struct process *p);
const char *process_name(const struct process *p);
/* Drains, stops and closes everything. NULL is fine. */
void process_close(struct process *p);

#endif
