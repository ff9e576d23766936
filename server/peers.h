/* Peers: one connection per address, shared by all who talk to it and closed with the last.
 *
 * Threads: any. */
#ifndef SHOAL_SERVER_PEERS_H
#define SHOAL_SERVER_PEERS_H

#include "base/err.h"
#include "query/channel.h"
#include "wire/transport.h"

struct peers;

/* The transport outlives it. */
SHOAL_MUST_CHECK enum shoal_err peers_new(struct transport *transport, struct peers **out);
void peers_free(struct peers *p); /* every peer was released; NULL is fine */
/* out->release(out->arg) gives the peer back. */
SHOAL_MUST_CHECK enum shoal_err peers_get(struct peers *p, const char *url,
                                          struct channel_peer *out, struct errbuf *why);

#endif
