/* Team: threads that run one function side by side, phase after phase, for a build.
 *
 * Threads: owned by the thread that made it, which works along as worker 0. Private to index/. */
#ifndef SHOAL_INDEX_TEAM_H
#define SHOAL_INDEX_TEAM_H

#include "base/err.h"

#define TEAM_THREADS_MAX 256

struct team;

/* threads_len workers, the caller among them: 1 starts no thread. They inherit the caller's
 * priority. SHOAL_EINVAL, SHOAL_ENOMEM, SHOAL_EBUSY when the system has no room for a thread. */
SHOAL_MUST_CHECK enum shoal_err team_new(unsigned threads_len, struct team **out,
                                         struct errbuf *why);
void team_free(struct team *team); /* NULL is fine; not while running */
unsigned team_len(const struct team *team);

/* Runs fn(arg, worker) once for each worker 0..len-1 and returns when all have returned. What one
 * phase wrote is visible to all workers of the next. */
void team_run(struct team *team, void (*fn)(void *arg, unsigned worker), void *arg);

#endif
