/* What the files of the shard share. Private to shard*.c and filter_rows.c.
 *
 *     shard.c         open, close, remove, info; pinning and publishing generations; trouble
 *     shard_load.c    a generation from state.mdb
 *     shard_apply.c   the log's machine: entries into state.mdb and the next generation
 *     shard_write.c   admission and proposal
 *     shard_read.c    fetch, scroll, count
 *     shard_search.c  search
 *     shard_build.c   sealing, merging, publication, retirement
 *     shard_verify.c  full check, hash of the content
 *
 * Who changes what. Two threads make new generations: the log's (applying) and a builder's
 * (publishing). Both do it in the same three steps while they hold `writer`:
 *     1. copy the current generation and change the copy, beside one transaction of state.mdb that
 *        makes the same change; the transaction may run more than once, each time on a fresh copy
 *     2. the transaction commits
 *     3. shard__publish swaps the pointer
 * A step that fails drops the copy, and nothing has happened. Between 2 and 3 state.mdb is ahead of
 * the generation for a moment: who needs the two at the same index takes shard__view_begin.
 *
 * Lock order: writer, then the store's own, then lock. `writer` is held over a commit (it is there
 * to put the writers in line; a reader takes it only when it kept missing the moment when state.mdb
 * and the generation agree). `lock` is held for a few instructions, and
 * nothing is called under it that waits. A thread with a read transaction of state.mdb open takes
 * neither `writer` nor another transaction (store.h).
 *
 * A segment that cannot be opened. Its points are known (state.mdb has ids, versions, payloads),
 * their vectors are not. The shard opens red and read-only: the log is not replayed and no write is
 * taken, so that nothing changes until the file is back or the replica is made anew. What can be
 * answered fully is answered: fetch, scroll and count, without the lost vectors. A search would
 * leave out rows without saying so, so it is refused (shard__whole), and nothing is built. */
#ifndef SHOAL_SHARD_SHARD_PRIVATE_H
#define SHOAL_SHARD_SHARD_PRIVATE_H

#include "base/thread.h"
#include "shard/filter.h"
#include "shard/generation.h"
#include "shard/rlog.h"
#include "shard/shard.h"
#include "shard/state.h"

#include <stdatomic.h>

struct shard_metrics {
    struct metric_counter *applied_ops;
    struct metric_counter *refused_ops;
    struct metric_gauge *points;
    struct metric_histogram *apply_seconds; /* one transaction */
};

/* The background work of one shard: at most one job at a time. Guarded by `lock`, but for cancel.
 */
struct shard_builder {
    struct pool_job job;
    bool active;         /* queued or running */
    bool again;          /* woken while active: look once more before going idle */
    bool stopping;       /* no more jobs */
    uint32_t optimizing; /* callers of shard_optimize: merge all there is */
    uint64_t seal_to;    /* growing rows below are sealed however few: for shard_optimize */
    bool seal_only;      /* a segment that should be merged is damaged: no more merging */
    uint32_t failures;   /* in a row; shown as yellow */
    uint64_t retry_ns;   /* after a failure: not before this (real monotonic clock) */
    uint64_t rounds;     /* jobs that have ended */
    enum shoal_err rc;   /* of the last job */
    struct errbuf why;
    struct cond ended; /* a job has ended */
    atomic_bool cancel;
};

struct shard {
    /* Immutable once open. */
    struct shard_config config;   /* dir is ours; schema and map_bytes_max filled in */
    struct shard_options options; /* defaults filled in */
    char *dir;
    char *segments_dir;
    struct state *state;
    struct rlog *rlog; /* NULL while a segment is missing: read only */
    struct rlog_machine machine;
    uint32_t lost_segments; /* that could not be opened; `trouble` names the first */
    uint64_t lost_points;   /* whose vectors they hold */
    struct shard_metrics metrics;

    /* Held by whoever makes the next generation, from copy to swap. */
    struct mutex writer;

    struct mutex lock;             /* guards what follows */
    struct generation *generation; /* the current one; one reference */
    uint32_t readers;              /* calls inside */
    bool closing;
    struct cond readers_left;
    char trouble[256]; /* empty: none */
    struct shard_builder builder;

    /* Admission of writes (shard_write.c), in estimated bytes. */
    _Atomic int64_t growth_budget;    /* left before room is measured again */
    _Atomic int64_t growth_under_way; /* proposed and not yet answered */
    atomic_bool growth_scarce;        /* as measured last */
};

/* --- shard.c ---------------------------------------------------------------------------------- */

/* Every public call is between these two, so that closing can wait for it; the generation is the
 * caller's until then. */
struct generation *shard__enter(struct shard *s);
void shard__leave(struct shard *s, struct generation *g);
/* One more reference on the current generation (generation_unref). */
struct generation *shard__pin(struct shard *s);
/* Makes g the current generation and takes over its reference. The caller holds `writer`. */
void shard__publish(struct shard *s, struct generation *g);

/* Records why the shard is red; the first text stays. Logs it. */
void shard__trouble_set(struct shard *s, enum shoal_err rc, const struct errbuf *why);
/* What a read came to, unchanged: damage that it met makes the shard red from then on. */
enum shoal_err shard__seen(struct shard *s, enum shoal_err rc, const struct errbuf *why);
/* SHOAL_ECORRUPT with the trouble's text when a segment is out of service. */
enum shoal_err shard__whole(struct shard *s, struct errbuf *why);
/* SHOAL_ETIMEOUT when it has passed. 0: no deadline. */
enum shoal_err shard__check_deadline(uint64_t deadline_ns, struct errbuf *why);

/* --- shard_load.c ----------------------------------------------------------------------------- */

/* The generation that state.mdb describes. A segment that cannot be opened is counted in
 * s->lost_segments, with its text in the trouble. SHOAL_ECORRUPT, SHOAL_ENOMEM, SHOAL_EIO. */
SHOAL_MUST_CHECK enum shoal_err shard__load(struct shard *s, const struct state_meta *meta,
                                            struct generation **out, struct errbuf *why);
/* Removes files of the segments' directory that state.mdb does not name: a build that did not
 * finish, a retired segment whose unlinking was cut short. Durable state first. */
SHOAL_MUST_CHECK enum shoal_err shard__remove_strays(struct shard *s, struct errbuf *why);

/* --- shard_apply.c ---------------------------------------------------------------------------- */

void shard__machine_init(struct shard *s);
/* An op without an id may be applied twice. */
bool shard__op_has_id(const struct op *op);

/* --- shard_read.c ----------------------------------------------------------------------------- */

/* A generation and a transaction of state.mdb at the same applied index. */
struct shard_view {
    struct generation *g;
    struct store_txn *txn;
};

/* Zeroed on failure. */
SHOAL_MUST_CHECK enum shoal_err shard__view_begin(struct shard *s, struct shard_view *v,
                                                  struct errbuf *why);
void shard__view_end(struct shard_view *v); /* a zeroed one is fine */

/* As shard_count, for a caller that is inside. */
enum shoal_err shard__count(struct shard *s, const struct generation *g, struct slice filter,
                            uint64_t *out, struct errbuf *why);

/* Does the stored payload (may be empty) match? SHOAL_ECORRUPT when it is no JSON object. */
enum shoal_err shard__matches(const struct filter *f, const struct point_id *id,
                              struct slice payload, bool *out, struct errbuf *why);

/* --- shard_build.c ---------------------------------------------------------------------------- */

/* Starts a job in config.builders when there is enough to seal or to merge and none is active.
 * From any thread, no lock held; called after each applied batch and once at the end of open. */
void shard__build_wake(struct shard *s);
/* Refuses new jobs, cancels the active one and waits until it has ended. Before the log is closed;
 * twice is fine. */
void shard__build_stop(struct shard *s);

#endif
