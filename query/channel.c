#include "query/channel.h"

#include "base/clock.h"
#include "base/mem.h"
#include "query/channel_ops.h"

#include <assert.h>
#include <string.h>

void channel_free(struct channel *ch)
{
    if (ch != NULL) {
        ch->ops->free(ch);
    }
}

bool channel_is_remote(const struct channel *ch)
{
    return ch->ops->is_remote;
}

void channel_begin(struct channel *ch, const struct channel_request *request,
                   struct channel_call *call)
{
    memset(call, 0, sizeof(*call));
    call->channel = ch;
    call->request = *request;
    arena_init(&call->arena, CHANNEL_ARENA_MAX);
    mutex_init(&call->mutex);
    cond_init(&call->cond);
    call->begun = true;
    call->begun_ns = clock_mono_ns(clock_real());
    ch->ops->begin(ch, call);
}

void channel__finish(struct channel_call *call)
{
    mutex_lock(&call->mutex);
    assert(!call->done);
    call->result.took_ns = clock_mono_ns(clock_real()) - call->begun_ns;
    call->done = true;
    /* Signalled under the lock: the waiter may release the call as soon as it can take it. */
    cond_signal(&call->cond);
    mutex_unlock(&call->mutex);
}

void channel_wait(struct channel_call *call)
{
    assert(call->begun);
    mutex_lock(&call->mutex);
    while (!call->done) {
        cond_wait(&call->cond, &call->mutex);
    }
    mutex_unlock(&call->mutex);
    struct channel_result *r = &call->result;
    if (r->rc == SHOAL_OK && call->reply != NULL) {
        r->rc = call->channel->ops->read(call);
    }
    assert(r->rc == SHOAL_OK || r->len == 0);
}

void channel_call_release(struct channel_call *call)
{
    if (!call->begun) {
        return;
    }
    assert(call->done);
    transport_reply_free(call->reply);
    arena_release(&call->arena);
    cond_release(&call->cond);
    mutex_release(&call->mutex);
    call->begun = false;
}

uint32_t channel__timeout_ms(uint64_t deadline_ns)
{
    uint64_t now = clock_mono_ns(clock_real());
    if (now >= deadline_ns) {
        return 0;
    }
    uint64_t ms = (deadline_ns - now + 999999) / 1000000;
    return ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}
