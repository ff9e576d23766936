/* shoald: the server's program: options, log, signals, and one line when it is ready.
 *
 * With the first SIGTERM or SIGINT the process ends cleanly; the second ends it at once, which
 * loses nothing that was acknowledged. The signals have a handler rather than being blocked and
 * waited for, because libraries have threads from before main() that would take them unblocked.
 *
 * Exit codes: 0 ended as asked, 1 it could not start or go on, 2 the options are wrong. */
#include "base/clock.h"
#include "base/log.h"
#include "server/options.h"
#include "server/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_FAILED 1
#define EXIT_OPTIONS 2
/* How often a process that is starting looks for signals, and tells what it waits for. */
#define LOOK_MS 100
#define TELL_MS 10000

static int fail(int code, enum shoal_err rc, const struct errbuf *why)
{
    fprintf(stderr, "shoald: %s\n", err_why(why, rc));
    return code;
}

static enum shoal_err set_up_log(const struct options *o, struct errbuf *why)
{
    struct log_config config = { .fd = 2 };
    if (log_level_parse(o->log_level, &config.level) != SHOAL_OK) {
        return err_set(why, SHOAL_EINVAL,
                       "--log-level: \"%s\" is none of debug, info, warn, error and off",
                       o->log_level);
    }
    if (strcmp(o->log_format, "json") == 0) {
        config.format = LOG_FORMAT_JSON;
    } else if (strcmp(o->log_format, "logfmt") != 0) {
        return err_set(why, SHOAL_EINVAL, "--log-format: \"%s\" is neither logfmt nor json",
                       o->log_format);
    }
    log_setup(&config);
    return SHOAL_OK;
}

/* Written to by the handler: one byte for the first signal. */
static int end_pipe[2];
static atomic_bool told_to_end;

static void on_signal(int number)
{
    int saved = errno;
    if (atomic_exchange(&told_to_end, true)) {
        _exit(128 + number);
    }
    ssize_t n = write(end_pipe[1], "", 1);
    (void)n; /* an empty pipe takes a byte */
    errno = saved;
}

static enum shoal_err take_signals(struct errbuf *why)
{
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    sigemptyset(&action.sa_mask);
    if (pipe2(end_pipe, O_CLOEXEC) != 0) {
        return err_errno(why, errno, "cannot make a pipe");
    }
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN); /* a peer that went away shows at the write */
    (void)signal(SIGXFSZ, SIG_IGN); /* so does a file that may grow no further (ulimit -f) */
    return SHOAL_OK;
}

static void await_end(void)
{
    char byte;
    while (read(end_pipe[0], &byte, 1) < 0 && errno == EINTR) {
    }
}

/* SHOAL_ECANCELED when it was told to end first. */
static enum shoal_err await_ready(struct process *p, struct errbuf *why)
{
    uint64_t told_ms = clock_mono_ms(clock_real());
    for (;;) {
        uint64_t now_ns = clock_mono_ns(clock_real());
        enum shoal_err rc = process_wait_ready(p, now_ns + LOOK_MS * (uint64_t)1000000, why);
        if (rc != SHOAL_ETIMEOUT) {
            return rc;
        }
        if (atomic_load(&told_to_end)) {
            return SHOAL_ECANCELED;
        }
        if (now_ns / 1000000 - told_ms > TELL_MS) {
            told_ms = now_ns / 1000000;
            log_warn("not ready yet", LOG_ERR(rc, why));
        }
    }
}

static void tell_ready(const struct process *p, uint64_t start_ms)
{
    log_info("ready", LOG_STR("name", process_name(p)), LOG_STR("http", process_http(p)),
             LOG_STR("nng", process_nng(p)),
             LOG_U64("after_ms", clock_mono_ms(clock_real()) - start_ms));
    printf("shoald ready http=%s nng=%s name=%s\n", process_http(p), process_nng(p),
           process_name(p));
    fflush(stdout);
}

static int run(const struct options *o, const char *program)
{
    struct process *p = NULL;
    struct errbuf why = { 0 };
    uint64_t start_ms = clock_mono_ms(clock_real());
    enum shoal_err rc = take_signals(&why);
    if (rc == SHOAL_OK) {
        rc = process_open(o, program, &p, &why);
    }
    if (rc != SHOAL_OK) {
        return fail(EXIT_FAILED, rc, &why);
    }
    rc = await_ready(p, &why);
    if (rc == SHOAL_OK) {
        tell_ready(p, start_ms);
        await_end();
    }
    log_info("ending", LOG_STR("name", process_name(p)));
    process_close(p);
    log_info("ended");
    return rc == SHOAL_OK || rc == SHOAL_ECANCELED ? 0 : fail(EXIT_FAILED, rc, &why);
}

/* The threads of a model meet hundreds of times for each token. OpenMP lets them spin there for up
 * to a millisecond before they sleep; on a machine that has other work, the one that is waited for
 * then waits for its turn behind those that spin, and a token takes thirty times as long. A short
 * spin costs an idle machine nothing measurable. The library reads this before main() begins, so
 * the process starts itself once more; what the operator has set stands. */
static void shorten_spinning(char **argv)
{
    static const char spin_count[] = "5000";
    if (getenv("GOMP_SPINCOUNT") != NULL || getenv("OMP_WAIT_POLICY") != NULL ||
        setenv("GOMP_SPINCOUNT", spin_count, 1) != 0) {
        return;
    }
    (void)execv("/proc/self/exe", argv);
    struct errbuf why;
    enum shoal_err rc = err_errno(&why, errno, "exec");
    log_warn("models will be slow beside other work", LOG_ERR(rc, &why));
}

int main(int argc, char **argv)
{
    extern char **environ; /* unistd.h, environ(7) */
    struct options o;
    struct errbuf why = { 0 };
    enum shoal_err rc = options_read(argc, argv, environ, &o, &why);
    if (rc != SHOAL_OK) {
        return fail(EXIT_OPTIONS, rc, &why);
    }
    int code = 0;
    if (o.help) {
        rc = options_print_help(&o);
        code = rc == SHOAL_OK ? 0 : fail(EXIT_FAILED, rc, NULL);
    } else if (o.version) {
        printf("shoald " SHOAL_VERSION "\n");
    } else {
        rc = set_up_log(&o, &why);
        if (o.roles == ROLE_GENERATOR) {
            shorten_spinning(argv);
        }
        code = rc == SHOAL_OK ? run(&o, argv[0]) : fail(EXIT_OPTIONS, rc, &why);
    }
    options_release(&o);
    return code;
}
