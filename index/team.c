#include "index/team.h"

#include "base/mem.h"
#include "base/thread.h"

#include <assert.h>
#include <stdint.h>

struct member {
    struct team *team;
    struct thread thread;
    unsigned worker;
};

struct team {
    unsigned len;           /* immutable: workers with the owner */
    struct member *members; /* immutable after team_new: len - 1 */

    struct mutex lock; /* guards all below */
    struct cond changed;
    void (*fn)(void *arg, unsigned worker);
    void *arg;
    uint64_t phase;   /* counts team_run calls */
    unsigned working; /* members that have not finished this phase */
    bool stop;
};

static void member_run(void *arg)
{
    struct member *member = arg;
    struct team *team = member->team;
    uint64_t done = 0;
    mutex_lock(&team->lock);
    for (;;) {
        while (team->phase == done && !team->stop) {
            cond_wait(&team->changed, &team->lock);
        }
        if (team->stop) {
            break;
        }
        done = team->phase;
        mutex_unlock(&team->lock);
        team->fn(team->arg, member->worker);
        mutex_lock(&team->lock);
        if (--team->working == 0) {
            cond_broadcast(&team->changed);
        }
    }
    mutex_unlock(&team->lock);
}

enum shoal_err team_new(unsigned threads_len, struct team **out, struct errbuf *why)
{
    *out = NULL;
    if (threads_len == 0 || threads_len > TEAM_THREADS_MAX) {
        return err_set(why, SHOAL_EINVAL, "threads is %u, not in 1..%d", threads_len,
                       TEAM_THREADS_MAX);
    }
    struct team *team = mem_calloc(1, sizeof(*team));
    if (team == NULL) {
        return err_set(why, SHOAL_ENOMEM, "out of memory for a team of %u threads", threads_len);
    }
    team->len = 1;
    mutex_init(&team->lock);
    cond_init(&team->changed);
    enum shoal_err rc = SHOAL_OK;
    if (threads_len > 1) {
        team->members = mem_calloc(threads_len - 1, sizeof(*team->members));
        if (team->members == NULL) {
            rc = err_set(why, SHOAL_ENOMEM, "out of memory for a team of %u threads", threads_len);
            goto fail;
        }
    }
    for (unsigned i = 0; i + 1 < threads_len; i++) {
        struct member *member = &team->members[i];
        member->team = team;
        member->worker = i + 1;
        rc = thread_start(&member->thread, "index-build", member_run, member, why);
        if (rc != SHOAL_OK) {
            rc = err_prefix(why, rc, "build thread %u", member->worker);
            goto fail;
        }
        team->len++;
    }
    *out = team;
    return SHOAL_OK;
fail:
    assert(rc != SHOAL_OK);
    team_free(team);
    return rc;
}

void team_free(struct team *team)
{
    if (team == NULL) {
        return;
    }
    mutex_lock(&team->lock);
    assert(team->working == 0);
    team->stop = true;
    cond_broadcast(&team->changed);
    mutex_unlock(&team->lock);
    for (unsigned i = 0; i + 1 < team->len; i++) {
        thread_join(&team->members[i].thread);
    }
    mem_free(team->members);
    cond_release(&team->changed);
    mutex_release(&team->lock);
    mem_free(team);
}

unsigned team_len(const struct team *team)
{
    return team->len;
}

void team_run(struct team *team, void (*fn)(void *arg, unsigned worker), void *arg)
{
    if (team->len > 1) {
        mutex_lock(&team->lock);
        assert(team->working == 0);
        team->fn = fn;
        team->arg = arg;
        team->working = team->len - 1;
        team->phase++;
        cond_broadcast(&team->changed);
        mutex_unlock(&team->lock);
    }
    fn(arg, 0);
    if (team->len > 1) {
        mutex_lock(&team->lock);
        while (team->working > 0) {
            cond_wait(&team->changed, &team->lock);
        }
        mutex_unlock(&team->lock);
    }
}
