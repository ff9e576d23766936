#include "server/models.h"

#include "base/json.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LIST_MAX (1u << 20)

static bool take_string(struct json_value v, const char *key, char *out, size_t out_len)
{
    struct json_value member;
    struct slice s;
    if (!json_get(v, key, &member) || !json_string(member, &s) || s.len == 0 || s.len >= out_len ||
        memchr(s.data, '\0', s.len) != NULL) {
        return false;
    }
    memcpy(out, s.data, s.len);
    out[s.len] = '\0';
    return true;
}

static uint32_t take_u32(struct json_value v, const char *key)
{
    struct json_value member;
    uint64_t n = 0;
    return json_get(v, key, &member) && json_u64(member, &n) && n <= UINT32_MAX ? (uint32_t)n : 0;
}

static bool take_model(struct json_value v, const char *dir, struct listed_model *out)
{
    char kind[16];
    char file[256];
    if (!take_string(v, "name", out->name, sizeof(out->name)) ||
        !take_string(v, "kind", kind, sizeof(kind)) ||
        !take_string(v, "file", file, sizeof(file)) || strchr(file, '/') != NULL ||
        !take_string(v, "sha256", out->sha256, sizeof(out->sha256)) ||
        disk_join(out->path, sizeof(out->path), dir, file) != SHOAL_OK) {
        return false;
    }
    out->generates = strcmp(kind, "generator") == 0;
    out->context = take_u32(v, "context");
    out->dim = take_u32(v, "dims");
    return out->generates || strcmp(kind, "embedder") == 0;
}

static enum shoal_err read_list(struct json_value list, const char *dir, struct models *out,
                                struct errbuf *why)
{
    struct json_value v;
    for (struct json_iter it = json_iter(list); json_next(&it, NULL, &v);) {
        if (out->len == MODELS_MAX || !take_model(v, dir, &out->files[out->len])) {
            return err_set(why, SHOAL_EINVAL,
                           "%s/models.json: entry %zu is malformed or one too many", dir,
                           out->len + 1);
        }
        out->len++;
    }
    return SHOAL_OK;
}

static enum shoal_err read_dir(const char *dir, struct models *out, struct errbuf *why)
{
    const struct disk *disk = disk_real();
    char path[DISK_PATH_MAX];
    enum shoal_err rc = disk_join(path, sizeof(path), dir, "models.json");
    if (rc != SHOAL_OK) {
        return err_set(why, rc, "the model directory's path is too long");
    }
    struct buf text;
    struct json_doc *doc = NULL;
    buf_init(&text, LIST_MAX);
    rc = disk->read_whole(disk->arg, path, &text, why);
    if (rc == SHOAL_OK) {
        rc = json_parse(buf_slice(&text), &doc, why);
    }
    if (rc == SHOAL_OK) {
        rc = read_list(json_root(doc), dir, out, why);
    }
    json_free(doc);
    buf_release(&text);
    return rc;
}

/* Where a build and an installation keep them, seen from the program. */
static enum shoal_err read_beside_program(struct models *out, struct errbuf *why)
{
    static const char *const places[] = { "/../models", "/../share/shoal/models" };
    char program[DISK_PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (n <= 0) {
        return SHOAL_OK;
    }
    program[n] = '\0';
    char *slash = strrchr(program, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        char dir[DISK_PATH_MAX];
        int len = snprintf(dir, sizeof(dir), "%s%s", program, places[i]);
        if (len < 0 || (size_t)len >= sizeof(dir)) {
            continue;
        }
        enum shoal_err rc = read_dir(dir, out, why);
        if (rc != SHOAL_ENOTFOUND) {
            return rc;
        }
    }
    err_clear(why);
    return SHOAL_OK;
}

enum shoal_err models_load(const char *dir, struct models *out, struct errbuf *why)
{
    *out = (struct models){ .len = 0 };
    if (dir == NULL) {
        return read_beside_program(out, why);
    }
    return strcmp(dir, "off") == 0 ? SHOAL_OK : read_dir(dir, out, why);
}

const struct listed_model *models_find(const struct models *m, bool generates)
{
    for (size_t i = 0; i < m->len; i++) {
        if (m->files[i].generates == generates) {
            return &m->files[i];
        }
    }
    return NULL;
}
