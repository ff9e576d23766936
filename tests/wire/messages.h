/* Every message of the wire, each as a sample and as a way from bytes over the struct back to
 * bytes. What a test or a fuzz target does with one message it does with all. */
#ifndef SHOAL_TESTS_WIRE_MESSAGES_H
#define SHOAL_TESTS_WIRE_MESSAGES_H

#include "wire/message.h"

static const struct wire_meta meta_sample = { .timeout_ms = 1500, .trace_id = 0x0123456789abcdef };

static const float floats_sample[] = { 1.0f, -2.5f, 1e-30f, 0.0f, 3.0f, 4.0f };

static const struct point_id ids_sample[] = {
    { .kind = POINT_ID_NUM, .value.num = UINT64_MAX },
    { .kind = POINT_ID_UUID, .value.uuid = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 } },
};

static const struct slice texts_sample[] = { { "{\"a\":\"\xc3\xa9\"}", 10 }, { NULL, 0 } };

static const struct wire_hit hits_sample[] = {
    { .id = { .kind = POINT_ID_NUM, .value.num = 7 },
      .version = 3,
      .score = 0.5f,
      .payload = { "{}", 2 },
      .vector = floats_sample },
    { .id = { .kind = POINT_ID_NUM, .value.num = 8 }, .version = UINT64_MAX, .score = -1.0f },
};

static const struct wire_call call_sample = { .op = { "GET /collections", 16 },
                                              .json = { "{}", 2 } };
static const struct wire_upsert upsert_sample = { .collection = { "books", 5 },
                                                  .op_id = { 9, 8, 7 },
                                                  .wait = true,
                                                  .points_len = 2,
                                                  .dim = 3,
                                                  .ids = ids_sample,
                                                  .vectors = floats_sample,
                                                  .payloads = texts_sample };
static const struct wire_search search_sample = { .collection = { "books", 5 },
                                                  .shard = 3,
                                                  .dim = 6,
                                                  .vector = floats_sample,
                                                  .k = 10,
                                                  .offset = 2,
                                                  .ef = 99,
                                                  .nprobe = 4,
                                                  .exact = true,
                                                  .has_threshold = true,
                                                  .threshold = 0.25f,
                                                  .with_vector = true,
                                                  .filter = { "{\"must\":[]}", 11 } };
static const struct wire_shard_write shard_write_sample = { .shard = 16,
                                                            .wait = true,
                                                            .op = { "12345", 5 } };
static const struct wire_fetch fetch_sample = {
    .shard = 16, .with_payload = true, .ids_len = 2, .ids = ids_sample
};
static const struct wire_scroll scroll_sample = { .shard = 16,
                                                  .has_offset = true,
                                                  .offset = { .kind = POINT_ID_NUM,
                                                              .value.num = 5 },
                                                  .limit = 100,
                                                  .with_vector = true };
static const struct wire_count count_sample = { .shard = 16, .filter = { "{}", 2 } };
static const struct wire_stream_ref stream_ref_sample = { .stream = UINT64_MAX,
                                                          .from = 3,
                                                          .wait_ms = 1000 };
static const struct wire_embed embed_sample = { .texts_len = 2, .texts = texts_sample };

static const struct wire_write_reply write_reply_sample = { .operation_id = 77, .applied = true };
static const struct wire_search_reply search_reply_sample = { .hits_len = 2,
                                                              .hits = hits_sample,
                                                              .dim = 6,
                                                              .shards_asked = 3,
                                                              .shards_answered = 2,
                                                              .took_ns = 12345,
                                                              .plan = { "hnsw", 4 } };
static const struct wire_records records_sample = { .records_len = 2,
                                                    .records = hits_sample,
                                                    .dim = 6,
                                                    .has_next = true,
                                                    .next = { .kind = POINT_ID_NUM,
                                                              .value.num = 9 } };
static const uint64_t stream_id_sample = 0xfeedfeedfeedfeed;
static const struct wire_stream_pieces stream_pieces_sample = { .pieces_len = 2,
                                                                .pieces = texts_sample,
                                                                .done = true };
static const uint64_t count_reply_sample = 340000;
static const struct slice json_sample = { "{\"result\":true}", 15 };
static const struct wire_embed_reply embed_reply_sample = {
    .texts_len = 2, .dim = 3, .vectors = floats_sample, .tokens = 12
};

/* The kind each message is sent under (the first where there are two). */
#define MESSAGES_LIST(REQUEST, REPLY)                                 \
    REQUEST(call, struct wire_call, WIRE_CALL)                        \
    REQUEST(upsert, struct wire_upsert, WIRE_UPSERT)                  \
    REQUEST(search, struct wire_search, WIRE_SHARD_SEARCH)            \
    REQUEST(shard_write, struct wire_shard_write, WIRE_SHARD_WRITE)   \
    REQUEST(fetch, struct wire_fetch, WIRE_SHARD_FETCH)               \
    REQUEST(scroll, struct wire_scroll, WIRE_SHARD_SCROLL)            \
    REQUEST(count, struct wire_count, WIRE_SHARD_COUNT)               \
    REQUEST(stream_ref, struct wire_stream_ref, WIRE_STREAM_NEXT)     \
    REQUEST(embed, struct wire_embed, WIRE_EMBED)                     \
    REPLY(write_reply, struct wire_write_reply, WIRE_UPSERT)          \
    REPLY(search_reply, struct wire_search_reply, WIRE_SEARCH)        \
    REPLY(records, struct wire_records, WIRE_SHARD_FETCH)             \
    REPLY(stream_id, uint64_t, WIRE_STREAM_OPEN)                      \
    REPLY(stream_pieces, struct wire_stream_pieces, WIRE_STREAM_NEXT) \
    REPLY(count_reply, uint64_t, WIRE_SHARD_COUNT)                    \
    REPLY(json, struct slice, WIRE_CALL)                              \
    REPLY(embed_reply, struct wire_embed_reply, WIRE_EMBED)

struct message_case {
    const char *name;
    bool is_reply;
    /* Appends the sample's frame. */
    enum shoal_err (*sample)(struct buf *out);
    /* Reads a whole frame into the struct and appends what the struct encodes to. */
    enum shoal_err (*again)(struct slice message, struct arena *arena, struct buf *out,
                            struct errbuf *why);
};

#define REQUEST_CASE(name, type, kind_sent)                                                        \
    static enum shoal_err name##_make(struct buf *out)                                             \
    {                                                                                              \
        return wire_encode_##name(out, kind_sent, &meta_sample, &name##_sample);                   \
    }                                                                                              \
    static enum shoal_err name##_again(struct slice message, struct arena *arena, struct buf *out, \
                                       struct errbuf *why)                                         \
    {                                                                                              \
        struct frame f;                                                                            \
        type msg;                                                                                  \
        enum shoal_err rc = frame_decode(message, &f, why);                                        \
        if (rc == SHOAL_OK) {                                                                      \
            rc = wire_decode_##name(&f, arena, &msg, why);                                         \
        }                                                                                          \
        const struct wire_meta meta = { .timeout_ms = f.timeout_ms, .trace_id = f.trace_id };      \
        return rc != SHOAL_OK ? rc : wire_encode_##name(out, (enum wire_kind)f.kind, &meta, &msg); \
    }
#define REPLY_CASE(name, type, kind_sent)                                                          \
    static enum shoal_err name##_make(struct buf *out)                                             \
    {                                                                                              \
        return wire_reply_##name(out, kind_sent, meta_sample.trace_id, &name##_sample);            \
    }                                                                                              \
    static enum shoal_err name##_again(struct slice message, struct arena *arena, struct buf *out, \
                                       struct errbuf *why)                                         \
    {                                                                                              \
        struct frame f;                                                                            \
        type msg;                                                                                  \
        enum shoal_err rc = frame_decode(message, &f, why);                                        \
        if (rc == SHOAL_OK) {                                                                      \
            rc = wire_read_##name(message, arena, &msg, why);                                      \
        }                                                                                          \
        return rc != SHOAL_OK ? rc : wire_reply_##name(out, f.kind, f.trace_id, &msg);             \
    }
MESSAGES_LIST(REQUEST_CASE, REPLY_CASE)
#undef REQUEST_CASE
#undef REPLY_CASE

static const struct message_case message_cases[] = {
#define REQUEST_ROW(name, type, kind_sent) { #name, false, name##_make, name##_again },
#define REPLY_ROW(name, type, kind_sent) { #name, true, name##_make, name##_again },
    MESSAGES_LIST(REQUEST_ROW, REPLY_ROW)
#undef REQUEST_ROW
#undef REPLY_ROW
};

#define MESSAGE_CASES (sizeof(message_cases) / sizeof(message_cases[0]))

#endif
