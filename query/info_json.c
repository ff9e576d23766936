#include "query/info_json.h"

#include "base/json.h"

#include <stddef.h>

/* The numbers of a shard_info, by name: printing and parsing walk the same table. */
static const struct {
    const char *key;
    size_t offset;
} numbers[] = {
    { "points", offsetof(struct shard_info, points) },
    { "indexed", offsetof(struct shard_info, indexed) },
    { "segments", offsetof(struct shard_info, segments) },
    { "growing_rows", offsetof(struct shard_info, growing_rows) },
    { "dead_rows", offsetof(struct shard_info, dead_rows) },
    { "applied_index", offsetof(struct shard_info, applied_index) },
    { "disk_bytes", offsetof(struct shard_info, disk_bytes) },
};
#define NUMBERS_LEN (sizeof(numbers) / sizeof(numbers[0]))

enum shoal_err shard_info_print(const struct shard_info *info, struct buf *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key(&w, "status");
    json_put_u64(&w, (uint64_t)info->status);
    json_key(&w, "trouble");
    json_put_str(&w, info->trouble);
    for (size_t i = 0; i < NUMBERS_LEN; i++) {
        uint64_t v;
        memcpy(&v, (const char *)info + numbers[i].offset, sizeof(v));
        json_key(&w, numbers[i].key);
        json_put_u64(&w, v);
    }
    json_end_object(&w);
    return out->failed;
}

static bool parse(struct json_value root, struct shard_info *out)
{
    struct json_value v;
    uint64_t status = 0;
    struct slice trouble;
    if (!json_get(root, "status", &v) || !json_u64(v, &status) || status > SHARD_RED ||
        !json_get(root, "trouble", &v) || !json_string(v, &trouble)) {
        return false;
    }
    out->status = (enum shard_status)status;
    size_t n = trouble.len < sizeof(out->trouble) ? trouble.len : sizeof(out->trouble) - 1;
    memcpy(out->trouble, trouble.data, n);
    for (size_t i = 0; i < NUMBERS_LEN; i++) {
        uint64_t number = 0;
        if (!json_get(root, numbers[i].key, &v) || !json_u64(v, &number)) {
            return false;
        }
        memcpy((char *)out + numbers[i].offset, &number, sizeof(number));
    }
    return true;
}

enum shoal_err shard_info_parse(struct slice json, struct shard_info *out, struct errbuf *why)
{
    *out = (struct shard_info){ 0 };
    struct json_doc *doc = NULL;
    enum shoal_err rc = json_parse(json, &doc, why);
    if (rc == SHOAL_OK && !parse(json_root(doc), out)) {
        rc = SHOAL_EPROTO;
    }
    json_free(doc);
    if (rc == SHOAL_EPROTO || rc == SHOAL_EPARSE) {
        return err_set(why, SHOAL_EPROTO, "a shard's info is malformed");
    }
    return rc;
}
