/* Directory: this process's view of the catalog: the last map it saw, and the way to change it.
 *
 * In the process with the catalog role it stands beside the catalog; elsewhere it follows it over
 * the wire: a watch call that the catalog answers when the map changes, asked again at once. While
 * the catalog is away the last map stays in force and changes fail with SHOAL_EUNAVAILABLE.
 *
 * Threads: any. */
#ifndef SHOAL_SERVER_DIRECTORY_H
#define SHOAL_SERVER_DIRECTORY_H

#include "base/clock.h"
#include "base/err.h"
#include "server/catalog.h"
#include "wire/transport.h"

#include <stdint.h>

struct directory;

/* The catalog outlives the directory. Takes the catalog's listener. */
SHOAL_MUST_CHECK enum shoal_err directory_open_local(struct catalog *catalog,
                                                     struct directory **out, struct errbuf *why);
/* Follows the catalog behind `url`. Returns at once; the map is empty, with epoch 0, until the
 * catalog first answers. */
SHOAL_MUST_CHECK enum shoal_err directory_open_remote(struct transport *transport, const char *url,
                                                      struct directory **out, struct errbuf *why);
/* Wakes all who wait (they get SHOAL_ECANCELED), stops following, frees. Call directory_stop first
 * when other threads may still wait. NULL is fine. */
void directory_stop(struct directory *d);
void directory_close(struct directory *d);

/* The present map, with a reference for the caller. */
struct catalog_map *directory_map(struct directory *d);
/* Waits until the map's epoch is beyond `epoch`. SHOAL_ETIMEOUT, SHOAL_ECANCELED. */
SHOAL_MUST_CHECK enum shoal_err directory_wait(struct directory *d, uint64_t epoch,
                                               uint64_t deadline_ns);
/* Proposes a command (catalog.h) and waits until the map here shows it. */
SHOAL_MUST_CHECK enum shoal_err directory_propose(struct directory *d, struct slice command,
                                                  uint64_t deadline_ns, uint64_t *value,
                                                  struct errbuf *why);

/* Answers the catalog's calls ("catalog.watch", "catalog.propose") of other processes; only in the
 * process with the catalog. A watch is parked until the map changes or its time is over. Takes
 * over the exchange. */
struct frame;
struct wire_call;
void directory_answer(struct directory *d, struct transport_exchange *x, const struct frame *f,
                      const struct wire_call *call);

#endif
