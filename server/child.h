/* Child: a process that is started, watched, and started again when it ends by itself.
 *
 * It dies with its parent (the kernel sees to that), so a killed server leaves nothing behind. A
 * child that keeps ending is started ever more rarely, up to CHILD_PAUSE_MS_MAX apart.
 *
 * Threads: start and stop from one thread. */
#ifndef SHOAL_SERVER_CHILD_H
#define SHOAL_SERVER_CHILD_H

#include "base/err.h"

#define CHILD_ARGS_MAX 32
#define CHILD_PAUSE_MS_MAX 30000
/* From SIGTERM to SIGKILL. */
#define CHILD_STOP_MS 2000

struct child;

/* Runs this very program with other words; argv is copied, NULL-terminated, argv[0] included. */
SHOAL_MUST_CHECK enum shoal_err child_start(const char *name, const char *const *argv,
                                            struct child **out, struct errbuf *why);
/* SIGTERM, a while, SIGKILL; frees. NULL is fine. */
void child_stop(struct child *c);

#endif
