/* Inside of a channel: what its two kinds implement. Private to query/. */
#ifndef SHOAL_QUERY_CHANNEL_OPS_H
#define SHOAL_QUERY_CHANNEL_OPS_H

#include "query/channel.h"

struct channel_ops {
    bool is_remote;
    /* Starts the call; channel__finish is called for it exactly once, here or later from another
     * thread. Until then nothing else reads call->result. */
    void (*begin)(struct channel *ch, struct channel_call *call);
    /* Turns call->reply into call->result; on the waiter's thread. Returns the result's rc. */
    enum shoal_err (*read)(struct channel_call *call);
    void (*free)(struct channel *ch);
};

struct channel {
    const struct channel_ops *ops;
};

/* Publishes the result; the call may be gone when this returns. */
void channel__finish(struct channel_call *call);
/* What is left until the deadline, rounded up; 0 when it passed. */
uint32_t channel__timeout_ms(uint64_t deadline_ns);

#endif
