/* Transport over NNG's request/reply protocol. Only the files transport_nng*.c know NNG. */
#include "wire/transport_nng.h"

#include "base/mem.h"

#include <string.h>

/* What NNG's own threads run is short (the header of a message, our callbacks), and each hand-over
 * wakes a thread: with more of them more are woken, to find that another was faster. NNG takes no
 * fewer than two. */
#define NNG_TASK_THREADS 2

/* --- seam ----------------------------------------------------------------------------------- */

enum shoal_err transport_nng__err(int rv)
{
    switch (rv) {
    case 0: return SHOAL_OK;
    case NNG_ENOMEM: return SHOAL_ENOMEM;
    case NNG_ETIMEDOUT: return SHOAL_ETIMEOUT;
    case NNG_ECLOSED:
    case NNG_ECANCELED: return SHOAL_ECANCELED;
    case NNG_EMSGSIZE: return SHOAL_ETOOBIG;
    case NNG_EADDRINUSE: return SHOAL_EEXISTS;
    case NNG_EADDRINVAL:
    case NNG_EINVAL:
    case NNG_ENOTSUP: return SHOAL_EINVAL;
    case NNG_EPERM: return SHOAL_EDENIED;
    default: return SHOAL_EUNAVAILABLE;
    }
}

enum shoal_err transport_nng__failed(int rv, struct errbuf *why)
{
    return err_set(why, transport_nng__err(rv), "%s", nng_strerror(rv));
}

bool transport_nng__has_scheme(const char *url, const char *scheme)
{
    return strncmp(url, scheme, strlen(scheme)) == 0;
}

enum shoal_err transport_nng__check_url(const char *url, struct errbuf *why)
{
    if (strlen(url) >= TRANSPORT_NNG_URL_MAX) {
        return err_set(why, SHOAL_EINVAL, "the URL is longer than %u bytes",
                       TRANSPORT_NNG_URL_MAX - 1);
    }
    if (transport_nng__has_scheme(url, "tls+tcp://")) {
        return err_set(why, SHOAL_EUNSUPPORTED, "TLS is not supported yet; use tcp:// or ipc://");
    }
    if (!transport_nng__has_scheme(url, "tcp://") && !transport_nng__has_scheme(url, "ipc://") &&
        !transport_nng__has_scheme(url, "inproc://")) {
        return err_set(why, SHOAL_EINVAL,
                       "not a URL of the form tcp://HOST:PORT, ipc://PATH or inproc://NAME");
    }
    return SHOAL_OK;
}

nng_msg *transport_nng__message(struct slice bytes)
{
    nng_msg *msg = NULL;
    if (nng_msg_alloc(&msg, bytes.len) != 0) {
        return NULL;
    }
    if (bytes.len > 0) {
        memcpy(nng_msg_body(msg), bytes.data, bytes.len);
    }
    return msg;
}

struct slice transport_nng__bytes(nng_msg *msg)
{
    return slice_make(nng_msg_body(msg), nng_msg_len(msg));
}

/* --- transport ------------------------------------------------------------------------------ */

static void nng_transport_free(struct transport *t)
{
    mem_free(t);
}

static const struct transport_ops nng_ops = {
    .name = "nng",
    .listen = transport_nng__listen,
    .listener_url = transport_nng__listener_url,
    .listener_free = transport_nng__listener_free,
    .dial = transport_nng__dial,
    .peer_close = transport_nng__peer_close,
    .peer_free = transport_nng__peer_free,
    .call = transport_nng__call,
    .answer = transport_nng__answer,
    .reply_bytes = transport_nng__reply_bytes,
    .reply_free = transport_nng__reply_free,
    .free = nng_transport_free,
};

enum shoal_err transport_nng_new(struct transport **out, struct errbuf *why)
{
    nng_init_set_parameter(NNG_INIT_NUM_TASK_THREADS, NNG_TASK_THREADS);
    *out = mem_calloc(1, sizeof(**out));
    if (*out == NULL) {
        return err_set(why, SHOAL_ENOMEM, "no memory for a transport");
    }
    (*out)->ops = &nng_ops;
    return SHOAL_OK;
}
