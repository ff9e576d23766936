/* Config, metrics, log and disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/config.h"
#include "base/log.h"
#include "base/metrics.h"
#include "tests/support/dir.h"
#include "tests/support/heap.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct config_option table[] = {
    { .key = "name", .kind = CONFIG_STRING, .fallback = "shoal", .help = "A name." },
    { .key = "fast", .kind = CONFIG_BOOL, .fallback = "false", .help = "Be fast." },
    { .key = "threads", .kind = CONFIG_U64, .fallback = "4", .min = 1, .max = 64, .help = "N." },
    { .key = "ratio", .kind = CONFIG_F64, .fallback = "0.5", .help = "R." },
    { .key = "body-max", .kind = CONFIG_BYTES, .fallback = "1MiB", .help = "B." },
    { .key = "timeout", .kind = CONFIG_DURATION_MS, .fallback = "5s", .help = "T." },
};

static struct config *config(void)
{
    struct config *c = NULL;
    assert_int_equal(config_new(table, sizeof(table) / sizeof(table[0]), "T_", &c), SHOAL_OK);
    return c;
}

static enum shoal_err args(struct config *c, const char *a, const char *b, struct errbuf *why)
{
    char *const argv[] = { (char *)"prog", (char *)a, (char *)b, NULL };
    return config_load_args(c, b == NULL ? 2 : 3, argv, why);
}

static void test_the_last_source_wins(void **state)
{
    (void)state;
    char dir[512];
    char path[600];
    assert_int_equal(test_dir_make(dir, sizeof(dir)), 0);
    snprintf(path, sizeof(path), "%s/conf", dir);
    const struct disk *disk = disk_real();
    static const char text[] = "# c\n name = file \nthreads=8\nbody-max = 64KiB # x\n";
    assert_int_equal(disk->write_whole(disk->arg, path, text, sizeof(text) - 1, NULL), SHOAL_OK);
    struct config *c = config();
    struct errbuf why = { 0 };
    assert_int_equal(config_load_file(c, disk, path, &why), SHOAL_OK);
    assert_string_equal(config_string(c, "name"), "file");
    assert_int_equal(config_u64(c, "body-max"), 65536);
    char *const env[] = { (char *)"T_NAME=env", (char *)"OTHER=1", NULL };
    assert_int_equal(config_load_env(c, env, &why), SHOAL_OK);
    assert_string_equal(config_string(c, "name"), "env");
    assert_int_equal(args(c, "--name=flag", "--fast", &why), SHOAL_OK);
    assert_string_equal(config_string(c, "name"), "flag");
    assert_true(config_bool(c, "fast"));
    assert_int_equal(config_u64(c, "threads"), 8);
    assert_int_equal(config_u64(c, "timeout"), 5000);
    assert_false(config_is_set(c, "timeout"));
    assert_true(config_is_set(c, "threads"));
    config_free(c);
    test_dir_remove(dir);
}

static void test_mistakes_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *flag;
        const char *says;
    } cases[] = {
        { "--nmae=x", "did you mean \"name\"" },  { "--threads=0", "out of range" },
        { "--threads=65", "out of range" },       { "--threads=x", "not a whole number" },
        { "--threads=-1", "not a whole number" }, { "--timeout=5", "not a time" },
        { "--body-max=5XB", "not a size" },       { "--fast=maybe", "not true or false" },
        { "--ratio=a", "not a number" },          { "--name", "wants a value" },
        { "--zzzzzzzz=1", "see --help" },
    };
    struct config *c = config();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct errbuf why = { 0 };
        assert_int_equal(args(c, cases[i].flag, NULL, &why), SHOAL_EINVAL);
        if (strstr(why.text, cases[i].says) == NULL) {
            fail_msg("%s: %s", cases[i].flag, why.text);
        }
    }
    struct errbuf why = { 0 };
    char *const env[] = { (char *)"T_NMAE=env", NULL };
    assert_int_equal(config_load_env(c, env, &why), SHOAL_EINVAL);
    assert_non_null(strstr(why.text, "T_NMAE"));
    struct buf help;
    buf_init(&help, 1u << 16);
    assert_int_equal(config_print_help(c, &help), SHOAL_OK);
    assert_non_null(strstr(buf_cstr(&help), "--body-max"));
    assert_non_null(strstr(buf_cstr(&help), "T_BODY_MAX"));
    buf_release(&help);
    config_free(c);
}

static void test_config_survives_each_failed_allocation(void **state)
{
    (void)state;
    size_t live = test_heap_live();
    enum shoal_err rc = SHOAL_ENOMEM;
    for (size_t nth = 0; rc == SHOAL_ENOMEM && nth < TEST_ALLOCS_MAX; nth++) {
        struct config *c = NULL;
        test_heap_fail_at(nth);
        rc = config_new(table, sizeof(table) / sizeof(table[0]), "T_", &c);
        if (rc == SHOAL_OK) {
            rc = args(c, "--name=x", "word", NULL);
        }
        test_heap_fail_never();
        config_free(c);
        assert_int_equal(test_heap_live(), live);
    }
    assert_int_equal(rc, SHOAL_OK);
}

static void test_metrics_print_in_prometheus_form(void **state)
{
    (void)state;
    struct metrics *m = NULL;
    struct metric_counter *a = NULL;
    struct metric_counter *again = NULL;
    struct metric_gauge *g = NULL;
    struct metric_histogram *h = NULL;
    const struct metric_label label = { "route", "a\"b\\c\n" };
    const struct metric_desc requests = { "t_requests_total", "Requests.", &label, 1 };
    const struct metric_desc gauge = { "t_gauge", "A gauge.", NULL, 0 };
    const struct metric_desc hist = { "t_seconds", "Seconds.", NULL, 0 };
    static const double bounds[] = { 0.1, 1 };
    assert_int_equal(metrics_new(&m), SHOAL_OK);
    assert_int_equal(metrics_counter(m, &requests, &a), SHOAL_OK);
    assert_int_equal(metrics_gauge(m, &gauge, &g), SHOAL_OK);
    assert_int_equal(metrics_histogram(m, &hist, bounds, 2, &h), SHOAL_OK);
    assert_int_equal(metrics_counter(m, &requests, &again), SHOAL_OK);
    assert_ptr_equal(a, again);
    metric_add(a, 3);
    metric_add(NULL, 1);
    metric_set(g, 2.5);
    metric_observe(h, 0.05);
    metric_observe(h, 0.5);
    metric_observe(h, 5);
    struct buf out;
    buf_init(&out, 1u << 16);
    assert_int_equal(metrics_print(m, &out), SHOAL_OK);
    const char *text = buf_cstr(&out);
    assert_non_null(strstr(text, "# TYPE t_requests_total counter\n"));
    assert_non_null(strstr(text, "t_requests_total{route=\"a\\\"b\\\\c\\n\"} 3\n"));
    assert_non_null(strstr(text, "t_gauge 2.5\n"));
    assert_non_null(strstr(text, "t_seconds_bucket{le=\"0.1\"} 1\n"));
    assert_non_null(strstr(text, "t_seconds_bucket{le=\"1\"} 2\n"));
    assert_non_null(strstr(text, "t_seconds_bucket{le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(text, "t_seconds_count 3\n"));
    buf_release(&out);
    metrics_free(m);
}

static void test_log_lines_are_whole_and_escaped(void **state)
{
    (void)state;
    int fds[2];
    char line[LOG_LINE_MAX + 1];
    struct clock_manual clock;
    assert_int_equal(pipe(fds), 0);
    clock_manual_init(&clock, 1500000000u);
    struct log_config c = { .level = LOG_LEVEL_INFO, .fd = fds[1], .clock = &clock.clock };
    log_setup(&c);
    log_debug("not seen");
    log_info("a \"b\"", LOG_STR("plain", "x"), LOG_STR("odd", "x y\n"), LOG_U64("n", 7));
    ssize_t n = read(fds[0], line, sizeof(line) - 1);
    assert_true(n > 0);
    line[n] = '\0';
    assert_string_equal(line, "ts=1970-01-01T00:00:01.500Z level=info msg=\"a \\\"b\\\"\" "
                              "plain=x odd=\"x y\\u000a\" n=7\n");
    c.format = LOG_FORMAT_JSON;
    log_setup(&c);
    log_warn("w", LOG_F64("f", 0.5));
    n = read(fds[0], line, sizeof(line) - 1);
    line[n] = '\0';
    assert_string_equal(line, "{\"ts\":\"1970-01-01T00:00:01.500Z\",\"level\":\"warn\","
                              "\"msg\":\"w\",\"f\":0.5}\n");
    log_setup(&(struct log_config){ .level = LOG_LEVEL_INFO, .fd = 2 });
    close(fds[0]);
    close(fds[1]);
}

static bool count_names(void *arg, const char *name)
{
    (void)name;
    (*(size_t *)arg)++;
    return true;
}

static void test_disk_writes_whole_files_and_removes_trees(void **state)
{
    (void)state;
    const struct disk *d = disk_real();
    char dir[256];
    char path[512];
    struct errbuf why = { 0 };
    struct buf text;
    assert_int_equal(test_dir_make(dir, sizeof(dir)), 0);
    snprintf(path, sizeof(path), "%s/a/b/c", dir);
    assert_int_equal(d->make_dir(d->arg, path, &why), SHOAL_OK);
    assert_int_equal(d->make_dir(d->arg, path, &why), SHOAL_OK);
    snprintf(path, sizeof(path), "%s/a/file", dir);
    assert_int_equal(d->write_whole(d->arg, path, "one", 3, &why), SHOAL_OK);
    assert_int_equal(d->write_whole(d->arg, path, "three", 5, &why), SHOAL_OK);
    buf_init(&text, 100);
    assert_int_equal(d->read_whole(d->arg, path, &text, &why), SHOAL_OK);
    assert_true(slice_is(buf_slice(&text), "three"));
    buf_release(&text);
    size_t names = 0;
    snprintf(path, sizeof(path), "%s/a", dir);
    assert_int_equal(d->list_dir(d->arg, path, count_names, &names, &why), SHOAL_OK);
    assert_int_equal(names, 2); /* "b" and "file": nothing is left aside */
    snprintf(path, sizeof(path), "%s/missing", dir);
    assert_int_equal(d->read_whole(d->arg, path, &text, &why), SHOAL_ENOTFOUND);
    assert_non_null(strstr(why.text, "missing"));
    /* A link out of the tree is removed, not followed. */
    char outside[256];
    assert_int_equal(test_dir_make(outside, sizeof(outside)), 0);
    snprintf(path, sizeof(path), "%s/a/link", dir);
    assert_int_equal(symlink(outside, path), 0);
    assert_int_equal(d->remove_tree(d->arg, dir, &why), SHOAL_OK);
    struct stat st;
    assert_int_equal(stat(outside, &st), 0);
    assert_int_not_equal(stat(dir, &st), 0);
    test_dir_remove(outside);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_source_wins),
        cmocka_unit_test(test_mistakes_are_told),
        cmocka_unit_test(test_config_survives_each_failed_allocation),
        cmocka_unit_test(test_metrics_print_in_prometheus_form),
        cmocka_unit_test(test_log_lines_are_whole_and_escaped),
        cmocka_unit_test(test_disk_writes_whole_files_and_removes_trees),
    };
    return cmocka_run_group_tests_name("services", tests, NULL, NULL);
}
