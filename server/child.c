#include "server/child.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAUSE_MS_FIRST 500
/* A child that lived so long did well: the pauses begin anew. */
#define DID_WELL_MS 60000

struct child {
    char name[32];
    char *argv[CHILD_ARGS_MAX + 1]; /* owned */
    struct thread thread;
    int wake[2]; /* a byte written to wake[1] ends the watching */
};

static uint64_t now_ms(void)
{
    return clock_mono_ms(clock_real());
}

/* Waits for the child's end or a wish to stop. True when the wish came first. */
static bool watch(const struct child *c, int pid_fd, int timeout_ms)
{
    struct pollfd fds[2] = { { .fd = c->wake[0], .events = POLLIN },
                             { .fd = pid_fd, .events = POLLIN } };
    int n;
    do {
        n = poll(fds, pid_fd >= 0 ? 2 : 1, timeout_ms);
    } while (n < 0 && errno == EINTR);
    return (fds[0].revents & POLLIN) != 0;
}

static pid_t spawn(const struct child *c)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid != 0) {
        return pid;
    }
    /* Between fork and exec only what a signal handler might call. */
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)dup2(STDERR_FILENO, STDOUT_FILENO); /* our standard output says when *we* are ready */
    (void)close_range(STDERR_FILENO + 1, ~0U, 0);
    if (getppid() == parent) { /* else it died before the line above */
        execv("/proc/self/exe", c->argv);
    }
    _exit(127);
}

static void end(pid_t pid, int pid_fd)
{
    struct pollfd fd = { .fd = pid_fd, .events = POLLIN };
    int n;
    (void)kill(pid, SIGTERM);
    do {
        n = poll(&fd, 1, CHILD_STOP_MS);
    } while (n < 0 && errno == EINTR);
    if (n == 0) {
        (void)kill(pid, SIGKILL);
    }
}

static void reap(const struct child *c, pid_t pid, bool wanted)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (wanted) {
        return;
    }
    if (WIFSIGNALED(status)) {
        log_error("child process was killed", LOG_STR("child", c->name),
                  LOG_I64("signal", WTERMSIG(status)));
    } else {
        log_error("child process ended", LOG_STR("child", c->name),
                  LOG_I64("exit_code", WEXITSTATUS(status)));
    }
}

/* One life of the child. True when it was asked to end. */
static bool live(const struct child *c)
{
    pid_t pid = spawn(c);
    if (pid < 0) {
        struct errbuf why;
        enum shoal_err rc = err_errno(&why, errno, "fork");
        log_error("child process cannot be started", LOG_STR("child", c->name), LOG_ERR(rc, &why));
        return false;
    }
    int pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    bool wanted = watch(c, pid_fd, -1);
    if (wanted) {
        end(pid, pid_fd);
    }
    reap(c, pid, wanted);
    if (pid_fd >= 0) {
        close(pid_fd);
    }
    return wanted;
}

static void run(void *arg)
{
    struct child *c = arg;
    int pause_ms = PAUSE_MS_FIRST;
    for (;;) {
        uint64_t born_ms = now_ms();
        if (live(c)) {
            return;
        }
        if (now_ms() - born_ms > DID_WELL_MS) {
            pause_ms = PAUSE_MS_FIRST;
        }
        log_info("child process is started again", LOG_STR("child", c->name),
                 LOG_I64("after_ms", pause_ms));
        if (watch(c, -1, pause_ms)) {
            return;
        }
        pause_ms = 2 * pause_ms < CHILD_PAUSE_MS_MAX ? 2 * pause_ms : CHILD_PAUSE_MS_MAX;
    }
}

enum shoal_err child_start(const char *name, const char *const *argv, struct child **out,
                           struct errbuf *why)
{
    *out = NULL;
    struct child *c = mem_calloc(1, sizeof(*c));
    if (c == NULL) {
        return SHOAL_ENOMEM;
    }
    snprintf(c->name, sizeof(c->name), "%s", name);
    c->wake[0] = c->wake[1] = -1;
    enum shoal_err rc = SHOAL_OK;
    for (size_t i = 0; argv[i] != NULL && rc == SHOAL_OK; i++) {
        c->argv[i] = i < CHILD_ARGS_MAX ? mem_strdup(argv[i]) : NULL;
        rc = c->argv[i] == NULL ? SHOAL_ENOMEM : SHOAL_OK;
    }
    if (rc == SHOAL_OK && pipe2(c->wake, O_CLOEXEC) != 0) {
        rc = err_errno(why, errno, "cannot make a pipe");
    }
    if (rc == SHOAL_OK) {
        rc = thread_start(&c->thread, "child", run, c, why);
    }
    if (rc != SHOAL_OK) {
        child_stop(c);
        return rc;
    }
    *out = c;
    return SHOAL_OK;
}

void child_stop(struct child *c)
{
    if (c == NULL) {
        return;
    }
    if (c->wake[1] >= 0) {
        ssize_t n = write(c->wake[1], "", 1);
        (void)n; /* an empty pipe takes a byte */
    }
    thread_join(&c->thread);
    for (size_t i = 0; i < CHILD_ARGS_MAX; i++) {
        mem_free(c->argv[i]);
    }
    if (c->wake[0] >= 0) {
        close(c->wake[0]);
        close(c->wake[1]);
    }
    mem_free(c);
}
