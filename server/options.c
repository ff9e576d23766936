#include "server/options.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define HELP_MAX (64u << 10)

static const struct config_option table[] = {
    { .key = "help",
      .kind = CONFIG_BOOL,
      .fallback = "false",
      .section = "General",
      .help = "Prints this text." },
    { .key = "version",
      .kind = CONFIG_BOOL,
      .fallback = "false",
      .section = "General",
      .help = "Prints the version." },
    { .key = "config",
      .kind = CONFIG_STRING,
      .value = "FILE",
      .section = "General",
      .help = "Reads options from a file of `key = value` lines first." },
    { .key = "data",
      .kind = CONFIG_STRING,
      .fallback = "./shoal-data",
      .value = "DIR",
      .section = "General",
      .help = "Directory of everything this process keeps. One process at a time." },
    { .key = "roles",
      .kind = CONFIG_STRING,
      .fallback = "gateway,node,catalog,generator",
      .value = "LIST",
      .section = "General",
      .help = "What this process does: gateway (answers clients), node (holds shards), catalog "
              "(knows all collections; one process of a cluster), generator (embeds and "
              "generates, always in a process of its own)." },
    { .key = "http",
      .kind = CONFIG_STRING,
      .fallback = "127.0.0.1:6333",
      .value = "HOST:PORT",
      .section = "Network",
      .help = "Address of the HTTP API; \"off\" for none. Port 0 takes a "
              "free one." },
    { .key = "nng",
      .kind = CONFIG_STRING,
      .fallback = "tcp://127.0.0.1:6334",
      .value = "URL",
      .section = "Network",
      .help = "Address for clients and other processes: tcp://HOST:PORT or ipc://PATH." },
    { .key = "advertise",
      .kind = CONFIG_STRING,
      .value = "URL",
      .section = "Network",
      .help = "Where other processes reach this one, when it is not the --nng address: behind a "
              "translated address, or when that is 0.0.0.0." },
    { .key = "join",
      .kind = CONFIG_STRING,
      .value = "URL",
      .section = "Network",
      .help =
          "The --nng address of the process with the catalog. Without it the catalog is here." },
    { .key = "name",
      .kind = CONFIG_STRING,
      .value = "NAME",
      .section = "Network",
      .help = "Name of this node in its cluster; by default made from the data directory's "
              "identity." },
    { .key = "body-max",
      .kind = CONFIG_BYTES,
      .fallback = "32MiB",
      .value = "BYTES",
      .section = "Network",
      .min = 1024,
      .max = 1024u << 20,
      .help = "Largest HTTP body; a larger one is refused before it is read." },
    { .key = "limits",
      .kind = CONFIG_STRING,
      .value = "RULES",
      .section = "Limits",
      .help = "Rate limits per tenant, as in \"req=requests:100/s,burst=200; "
              "gen=generated_tokens:5000/min\"." },
    { .key = "models",
      .kind = CONFIG_STRING,
      .value = "DIR",
      .section = "Models",
      .help = "Directory with models.json and the model files of the generator; by default "
              "../models or ../share/shoal/models beside the program. \"off\" for no models." },
    { .key = "model-threads",
      .kind = CONFIG_U64,
      .fallback = "0",
      .value = "N",
      .section = "Models",
      .max = 256,
      .help = "Threads of the generator's models; 0 takes one per core." },
    { .key = "threads",
      .kind = CONFIG_U64,
      .fallback = "8",
      .value = "N",
      .section = "Resources",
      .min = 1,
      .max = 256,
      .help = "Threads that run requests." },
    { .key = "builders",
      .kind = CONFIG_U64,
      .fallback = "1",
      .value = "N",
      .section = "Resources",
      .min = 1,
      .max = 256,
      .help = "Threads that build and merge segments in the background." },
    { .key = "log-level",
      .kind = CONFIG_STRING,
      .fallback = "info",
      .value = "LEVEL",
      .section = "Logging",
      .help = "debug, info, warn, error or off." },
    { .key = "log-format",
      .kind = CONFIG_STRING,
      .fallback = "logfmt",
      .value = "FORMAT",
      .section = "Logging",
      .help = "logfmt or json; one line an event on standard error." },
};

static enum shoal_err parse_roles(const char *text, unsigned *out, struct errbuf *why)
{
    static const struct {
        const char *name;
        enum role role;
    } names[] = { { "gateway", ROLE_GATEWAY },
                  { "node", ROLE_NODE },
                  { "catalog", ROLE_CATALOG },
                  { "generator", ROLE_GENERATOR } };
    *out = 0;
    for (const char *at = text; *at != '\0';) {
        size_t len = strcspn(at, ",");
        size_t i = 0;
        while (i < 4 && !slice_is(slice_make(at, len), names[i].name)) {
            i++;
        }
        if (i == 4) {
            return err_set(why, SHOAL_EINVAL,
                           "--roles: \"%.*s\" is no role; give gateway, node, catalog or "
                           "generator",
                           (int)len, at);
        }
        *out |= names[i].role;
        at += len + (at[len] == ',');
    }
    return *out != 0 ? SHOAL_OK : err_set(why, SHOAL_EINVAL, "--roles: give at least one role");
}

/* The file named on the command line or in the environment, which is read before both. */
static const char *find_config_file(int argc, char *const *argv, char *const *envp)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc) {
            return argv[i + 1];
        }
        if (strncmp(argv[i], "--config=", 9) == 0) {
            return argv[i] + 9;
        }
    }
    for (char *const *e = envp; *e != NULL; e++) {
        if (strncmp(*e, "SHOALD_CONFIG=", 14) == 0) {
            return *e + 14;
        }
    }
    return NULL;
}

static const char *unless_off(const char *value)
{
    return value == NULL || strcmp(value, "off") == 0 ? NULL : value;
}

static enum shoal_err check(struct options *o, struct errbuf *why)
{
    if (o->join == NULL && (o->roles & ROLE_CATALOG) == 0) {
        return err_set(why, SHOAL_EINVAL,
                       "without the catalog role this process needs --join URL, the --nng "
                       "address of the process that has it");
    }
    if (o->join != NULL && (o->roles & ROLE_CATALOG) != 0) {
        if (config_is_set(o->config, "roles")) {
            return err_set(why, SHOAL_EINVAL,
                           "--join and the catalog role exclude each other: a cluster has one "
                           "catalog");
        }
        o->roles &= ~(unsigned)ROLE_CATALOG;
    }
    size_t words = config_args(o->config, NULL);
    return words == 0 ? SHOAL_OK
                      : err_set(why, SHOAL_EINVAL,
                                "unexpected word on the command line; see "
                                "--help");
}

static void take(struct options *o)
{
    const struct config *c = o->config;
    o->help = config_bool(c, "help");
    o->version = config_bool(c, "version");
    o->data = config_string(c, "data");
    o->http = unless_off(config_string(c, "http"));
    o->nng = config_string(c, "nng");
    o->advertise = config_string(c, "advertise");
    o->join = config_string(c, "join");
    o->name = config_string(c, "name");
    o->models = config_string(c, "models");
    o->model_threads = config_u64(c, "model-threads");
    o->threads = config_u64(c, "threads");
    o->builders = config_u64(c, "builders");
    o->body_bytes_max = config_u64(c, "body-max");
    o->limits = config_string(c, "limits");
    o->log_level = config_string(c, "log-level");
    o->log_format = config_string(c, "log-format");
}

enum shoal_err options_read(int argc, char *const *argv, char *const *envp, struct options *out,
                            struct errbuf *why)
{
    *out = (struct options){ 0 };
    enum shoal_err rc = config_new(table, sizeof(table) / sizeof(table[0]), "SHOALD_",
                                   &out->config);
    const char *file = find_config_file(argc, argv, envp);
    if (rc == SHOAL_OK && file != NULL) {
        rc = config_load_file(out->config, disk_real(), file, why);
    }
    if (rc == SHOAL_OK) {
        rc = config_load_env(out->config, envp, why);
    }
    if (rc == SHOAL_OK) {
        rc = config_load_args(out->config, argc, argv, why);
    }
    if (rc == SHOAL_OK) {
        take(out);
        rc = parse_roles(config_string(out->config, "roles"), &out->roles, why);
    }
    if (rc == SHOAL_OK && !out->help && !out->version) {
        rc = check(out, why);
    }
    if (rc != SHOAL_OK) {
        options_release(out);
    }
    return rc;
}

void options_release(struct options *o)
{
    config_free(o->config);
    *o = (struct options){ 0 };
}

enum shoal_err options_print_help(const struct options *o)
{
    struct buf text;
    buf_init(&text, HELP_MAX);
    (void)buf_append_str(&text,
                         "Usage: shoald [OPTIONS]\n\n"
                         "The server of Shoal, a distributed vector search engine. Without "
                         "options it runs every\nrole in one process over ./shoal-data, answers "
                         "HTTP on 127.0.0.1:6333, and prints one line\nwith its addresses when "
                         "it is ready. SIGTERM ends it cleanly.\n\n");
    enum shoal_err rc = config_print_help(o->config, &text);
    if (rc == SHOAL_OK) {
        fwrite(text.data, 1, text.len, stdout);
    }
    buf_release(&text);
    return rc;
}
