#include "shard/rlog_group.h"

#include "base/mem.h"

#include <assert.h>
#include <string.h>

void rlog__list_init(struct rlog_list *l)
{
    *l = (struct rlog_list){ .tail = &l->head };
}

void rlog__list_push(struct rlog_list *l, struct rlog_item *item)
{
    item->next = NULL;
    *l->tail = item;
    l->tail = &item->next;
    l->len++;
    l->bytes += item->len;
}

struct rlog_item *rlog__list_pop(struct rlog_list *l)
{
    struct rlog_item *item = l->head;
    if (item == NULL) {
        return NULL;
    }
    l->head = item->next;
    if (l->head == NULL) {
        l->tail = &l->head;
    }
    l->len--;
    l->bytes -= item->len;
    return item;
}

void rlog__list_move(struct rlog_list *from, struct rlog_list *to, size_t bytes_max)
{
    size_t bytes = 0;
    while (from->head != NULL && bytes <= bytes_max) {
        bytes += from->head->len;
        rlog__list_push(to, rlog__list_pop(from));
    }
}

void rlog__list_free(struct rlog_list *l)
{
    for (struct rlog_item *item = rlog__list_pop(l); item != NULL; item = rlog__list_pop(l)) {
        mem_free(item);
    }
}

struct rlog_item *rlog__item_new(struct slice data)
{
    size_t bytes = 0;
    struct rlog_item *item = size_add(sizeof(*item), data.len, &bytes) ? mem_alloc(bytes) : NULL;
    if (item == NULL) {
        return NULL;
    }
    *item = (struct rlog_item){ .len = data.len };
    if (data.len > 0) {
        memcpy(item->data, data.data, data.len);
    }
    return item;
}

/* --- answers ---------------------------------------------------------------------------------- */

void rlog__answer(struct rlog *log, struct rlog_item *item, enum shoal_err rc,
                  const struct rlog_result *result)
{
    mutex_lock(&log->mutex); /* before the callback: who has an answer may propose again */
    assert(log->held_len > 0 && log->held_bytes >= item->len);
    log->held_len--;
    log->held_bytes -= item->len;
    mutex_unlock(&log->mutex);
    item->done(item->arg, rc, rc == SHOAL_OK ? item->index : 0, result);
    mem_free(item);
}

void rlog__answer_all(struct rlog *log, struct rlog_list *items, enum shoal_err rc)
{
    assert(rc != SHOAL_OK);
    for (struct rlog_item *i = rlog__list_pop(items); i != NULL; i = rlog__list_pop(items)) {
        rlog__answer(log, i, rc, NULL);
    }
}

void rlog__answer_after(struct rlog *log, uint64_t index, enum shoal_err rc)
{
    struct rlog_list all;
    rlog__list_init(&all);
    rlog__list_move(&log->pending, &all, SIZE_MAX);
    for (struct rlog_item *i = rlog__list_pop(&all); i != NULL; i = rlog__list_pop(&all)) {
        if (i->index > index) {
            rlog__answer(log, i, rc, NULL);
        } else {
            rlog__list_push(&log->pending, i);
        }
    }
}

void rlog__answer_committed(struct rlog *log, uint64_t commit)
{
    if (commit <= log->answered_commit) {
        return;
    }
    log->answered_commit = commit;
    struct rlog_list all;
    rlog__list_init(&all);
    rlog__list_move(&log->pending, &all, SIZE_MAX);
    for (struct rlog_item *i = rlog__list_pop(&all); i != NULL; i = rlog__list_pop(&all)) {
        if (i->index <= commit && i->until == RLOG_COMMITTED) {
            rlog__answer(log, i, SHOAL_OK, NULL);
        } else {
            rlog__list_push(&log->pending, i);
        }
    }
}

void rlog__answer_applied(struct rlog *log, uint64_t first, uint64_t last,
                          const struct rlog_result *results)
{
    while (log->pending.head != NULL && log->pending.head->index <= last) {
        struct rlog_item *item = rlog__list_pop(&log->pending);
        assert(item->index >= first && item->until == RLOG_APPLIED);
        rlog__answer(log, item, SHOAL_OK, &results[item->index - first]);
    }
}
