/* Routes that change points. Each answers {"operation_id", "status"}: "completed" when every later
 * read sees the change, "acknowledged" when it is durable and will be seen. */
#include "server/rest_points.h"
#include "server/rest_routes.h"

#include <inttypes.h>

/* `nth` tells the operations of one request apart, so that each is applied once when the request
 * is repeated. */
static enum shoal_err write_op(struct rest_call *call, struct op *op, uint64_t nth,
                               struct query_written *out)
{
    *out = (struct query_written){ .visible = true };
    if (op->points_len == 0 && op->filter.len == 0) {
        return SHOAL_OK; /* an empty list of points: nothing to do */
    }
    rest_operation_id(call, op->id);
    for (size_t i = 0; i < sizeof(nth); i++) {
        op->id[i] ^= (uint8_t)(nth >> 8 * i);
    }
    return query_write(call->collection, &call->ctx, op, rest_until(call), out, &call->why);
}

static void put_written(struct json_writer *w, const struct query_written *written)
{
    json_begin_object(w);
    json_key(w, "operation_id");
    json_put_u64(w, written->operation_id);
    json_key(w, "status");
    json_put_str(w, written->visible ? "completed" : "acknowledged");
    json_end_object(w);
}

typedef enum shoal_err parse_op(const struct rest_parser *p, struct json_value body,
                                struct op *out);

static enum shoal_err update(struct rest_call *call, parse_op *parse)
{
    struct rest_points points;
    struct op op;
    struct query_written written;
    enum shoal_err rc = rest_points_begin(call, &points);
    if (rc == SHOAL_OK) {
        rc = parse(&points.parser, points.body, &op);
    }
    if (rc == SHOAL_OK) {
        rc = write_op(call, &op, 0, &written);
    }
    if (rc == SHOAL_OK) {
        put_written(&call->w, &written);
    }
    return rc;
}

enum shoal_err rest_upsert_points(struct rest_call *call)
{
    return update(call, rest_parse_upsert);
}

enum shoal_err rest_delete_points(struct rest_call *call)
{
    return update(call, rest_parse_delete);
}

static enum shoal_err parse_set(const struct rest_parser *p, struct json_value body, struct op *out)
{
    return rest_parse_payload(p, body, OP_SET_PAYLOAD, out);
}

static enum shoal_err parse_overwrite(const struct rest_parser *p, struct json_value body,
                                      struct op *out)
{
    return rest_parse_payload(p, body, OP_OVERWRITE_PAYLOAD, out);
}

enum shoal_err rest_set_payload(struct rest_call *call)
{
    return update(call, parse_set);
}

enum shoal_err rest_overwrite_payload(struct rest_call *call)
{
    return update(call, parse_overwrite);
}

enum shoal_err rest_delete_payload(struct rest_call *call)
{
    return update(call, rest_parse_delete_payload);
}

enum shoal_err rest_clear_payload(struct rest_call *call)
{
    return update(call, rest_parse_clear_payload);
}

/* All operations are checked before the first is written. */
enum shoal_err rest_update_batch(struct rest_call *call)
{
    struct rest_points points;
    struct rest_updates updates = { 0 };
    enum shoal_err rc = rest_points_begin(call, &points);
    if (rc == SHOAL_OK) {
        rc = rest_parse_update_batch(&points.parser, points.body, &updates);
    }
    if (rc == SHOAL_OK) {
        json_begin_array(&call->w);
    }
    for (size_t i = 0; i < updates.len && rc == SHOAL_OK; i++) {
        struct query_written written;
        rc = write_op(call, &updates.ops[i], i, &written);
        if (rc == SHOAL_OK) {
            put_written(&call->w, &written);
        } else if (i > 0) {
            rc = err_prefix(&call->why, rc, "operations[%zu], after those before it were applied",
                            i);
        } else {
            rc = rest_points_at(call, rc, "operations", i);
        }
    }
    if (rc == SHOAL_OK) {
        json_end_array(&call->w);
    }
    return rc;
}
