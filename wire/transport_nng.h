/* What the files of transport_nng share: its seam with NNG (errors, URLs, messages) and the two
 * sides, transport_nng_peer.c and transport_nng_listener.c. Private to wire/.
 *
 * NNG calls back on its own threads and holds none of its locks then, so ours may be taken before
 * NNG is called. An aio is never cancelled: what it does ends by its deadline, or because its
 * context is closed. Each aio is stopped before it is freed, when nothing is under way any more. */
#ifndef SHOAL_WIRE_TRANSPORT_NNG_H
#define SHOAL_WIRE_TRANSPORT_NNG_H

#include "wire/transport.h"

#include <nng/nng.h>
#include <stdbool.h>

/* What NNG puts before our bytes: the id of the request. */
#define TRANSPORT_NNG_HEADER_LEN 4u
#define TRANSPORT_NNG_URL_MAX 256u

enum shoal_err transport_nng__err(int rv);
/* The same, with NNG's own words. */
enum shoal_err transport_nng__failed(int rv, struct errbuf *why);
bool transport_nng__has_scheme(const char *url, const char *scheme);
enum shoal_err transport_nng__check_url(const char *url, struct errbuf *why);
/* A message with these bytes; NULL when out of memory. */
nng_msg *transport_nng__message(struct slice bytes);
/* NNG lays a body at a multiple of 4 behind its own header, which is what floats need. */
struct slice transport_nng__bytes(nng_msg *msg);

/* Their contracts are those of struct transport_ops. */
enum shoal_err transport_nng__dial(struct transport *t, const char *url,
                                   struct transport_peer **out, struct errbuf *why);
void transport_nng__peer_close(struct transport_peer *p);
void transport_nng__peer_free(struct transport_peer *p);
enum shoal_err transport_nng__call(struct transport_peer *p, struct slice message,
                                   uint32_t timeout_ms, transport_on_reply *on_reply, void *arg);
struct slice transport_nng__reply_bytes(const struct transport_reply *r);
void transport_nng__reply_free(struct transport_reply *r);

enum shoal_err transport_nng__listen(struct transport *t, const char *url,
                                     transport_on_request *on_request, void *arg,
                                     struct transport_listener **out, struct errbuf *why);
const char *transport_nng__listener_url(const struct transport_listener *l);
void transport_nng__listener_free(struct transport_listener *l);
void transport_nng__answer(struct transport_exchange *x, struct slice message);

#endif
