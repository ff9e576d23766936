#include "server/peers.h"

#include "base/mem.h"
#include "base/thread.h"

#include <assert.h>
#include <string.h>

struct entry {
    struct peers *peers;
    char *url;
    struct transport_peer *peer;
    unsigned refs;
    struct entry *next;
};

struct peers {
    struct transport *transport;
    struct mutex mutex;
    struct entry *entries; /* mutex */
};

enum shoal_err peers_new(struct transport *transport, struct peers **out)
{
    *out = mem_calloc(1, sizeof(**out));
    if (*out == NULL) {
        return SHOAL_ENOMEM;
    }
    (*out)->transport = transport;
    mutex_init(&(*out)->mutex);
    return SHOAL_OK;
}

void peers_free(struct peers *p)
{
    if (p != NULL) {
        assert(p->entries == NULL);
        mutex_release(&p->mutex);
        mem_free(p);
    }
}

static void entry_free(struct entry *e)
{
    transport_peer_free(e->peer);
    mem_free(e->url);
    mem_free(e);
}

static void release(void *arg)
{
    struct entry *e = arg;
    struct peers *p = e->peers;
    mutex_lock(&p->mutex);
    assert(e->refs > 0);
    bool last = --e->refs == 0;
    for (struct entry **at = &p->entries; last && *at != NULL; at = &(*at)->next) {
        if (*at == e) {
            *at = e->next;
            break;
        }
    }
    mutex_unlock(&p->mutex);
    if (last) {
        entry_free(e); /* waits for callbacks: not under the lock */
    }
}

static enum shoal_err entry_new(struct peers *p, const char *url, struct entry **out,
                                struct errbuf *why)
{
    struct entry *e = mem_calloc(1, sizeof(*e));
    if (e == NULL) {
        return SHOAL_ENOMEM;
    }
    e->peers = p;
    e->url = mem_strdup(url);
    enum shoal_err rc = e->url == NULL ? SHOAL_ENOMEM
                                       : transport_dial(p->transport, url, &e->peer, why);
    if (rc != SHOAL_OK) {
        entry_free(e);
        return rc;
    }
    *out = e;
    return SHOAL_OK;
}

enum shoal_err peers_get(struct peers *p, const char *url, struct channel_peer *out,
                         struct errbuf *why)
{
    enum shoal_err rc = SHOAL_OK;
    mutex_lock(&p->mutex);
    struct entry *e = p->entries;
    while (e != NULL && strcmp(e->url, url) != 0) {
        e = e->next;
    }
    if (e == NULL) {
        rc = entry_new(p, url, &e, why); /* dialling returns at once */
        if (rc == SHOAL_OK) {
            e->next = p->entries;
            p->entries = e;
        }
    }
    if (rc == SHOAL_OK) {
        e->refs++;
        *out = (struct channel_peer){ .peer = e->peer, .release = release, .arg = e };
    }
    mutex_unlock(&p->mutex);
    return rc;
}
