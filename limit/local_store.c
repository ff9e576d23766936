/* Local store: the accounts of the tenants that are in the middle of something, in this process.
 *
 * Tenants are spread by a keyed hash of their names over shards, each with its own lock, a hash
 * table, and a heap of its tenants by the time from which on they may be forgotten (their buckets
 * are full again). Every call on a shard first forgets what is due. The number of tenants is
 * bounded over all shards together by one counter; a call that finds no place forgets what is due
 * in the other shards, one lock at a time, before it gives up. Memory of a tenant is taken when it
 * comes; should there be none, that is as if there were no place.
 *
 * Tenants without a place share the account `shared`. That no tenant ever gets more than its rules
 * say rests on: the account a tenant is served from is never fuller than one that the tenant had
 * alone would be. Three rules keep it so:
 *   - a tenant gets its own place with a copy of the shared account, not with full buckets;
 *   - a tenant loses its own place only when its buckets are full;
 *   - nothing is ever given back to the shared account, since what others would get of it was not
 *     taken from them. (Its debts are debited.)
 *
 * A clock that steps back would make full buckets out of ones that are forgotten too late to have
 * been full at that time; so a shard never believes in a time before the latest it has seen.
 *
 * Lock order: a shard, then `shared`; two shards never at once. Nothing waits under a lock. */
#include "limit/account.h"
#include "limit/store.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/thread.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>

#define SHARDS_MAX 16
/* With fewer tenants than this for each, more shards are not worth their memory. */
#define SHARD_TENANTS_MIN 64
/* Chains grow beyond this many tenants in a shard. */
#define HEADS_MAX (UINT64_C(1) << 20)
/* Rounds of making room elsewhere before the shared account is used: each freed place can be taken
 * by another thread before we come back. */
#define ROOM_TRIES 3

struct place {
    struct place *next; /* in its chain */
    uint64_t hash;
    uint64_t full_at_ns;
    size_t heap_at;
    size_t name_len;
    char *name; /* behind the account */
    _Alignas(max_align_t) unsigned char account[];
};

struct shard {
    _Alignas(64) struct mutex mutex;
    /* Set under the lock, read without it: when the first tenant may be forgotten. */
    _Atomic uint64_t first_due_ns;
    /* guarded by mutex */
    uint64_t latest_ns;
    struct place **heads; /* heads_len, a power of two */
    struct place **heap;  /* least full_at_ns first */
    size_t heap_len;
    size_t heap_cap;
};

struct local {
    struct limiter limiter; /* first: they are one pointer */
    /* immutable */
    struct account_layout layout;
    uint64_t seed; /* nobody can choose names that fall into one chain */
    size_t tenants_max;
    size_t heads_len;  /* of each shard */
    size_t shards_len; /* a power of two */
    struct shard *shards;
    /* atomic */
    atomic_size_t tenants;
    struct mutex shared_mutex;
    void *shared; /* guarded by shared_mutex: the account of those without a place */
};

/* --- heap ------------------------------------------------------------------------------------- */

static void heap_put(struct shard *s, size_t at, struct place *p)
{
    s->heap[at] = p;
    p->heap_at = at;
}

static void heap_up(struct shard *s, struct place *p)
{
    size_t at = p->heap_at;
    while (at > 0 && s->heap[(at - 1) / 2]->full_at_ns > p->full_at_ns) {
        heap_put(s, at, s->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_put(s, at, p);
}

static void heap_down(struct shard *s, struct place *p)
{
    size_t at = p->heap_at;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < s->heap_len &&
            s->heap[child + 1]->full_at_ns < s->heap[child]->full_at_ns) {
            child++;
        }
        if (child >= s->heap_len || s->heap[child]->full_at_ns >= p->full_at_ns) {
            break;
        }
        heap_put(s, at, s->heap[child]);
        at = child;
    }
    heap_put(s, at, p);
}

static void heap_first_changed(struct shard *s)
{
    atomic_store_explicit(&s->first_due_ns,
                          s->heap_len > 0 ? s->heap[0]->full_at_ns : LIMIT_AT_NEVER,
                          memory_order_relaxed);
}

/* False when there is no memory. */
static bool heap_reserve(struct shard *s)
{
    if (s->heap_len < s->heap_cap) {
        return true;
    }
    size_t cap = s->heap_cap == 0 ? SHARD_TENANTS_MIN : 2 * s->heap_cap;
    size_t bytes;
    if (!size_mul(cap, sizeof(struct place *), &bytes)) {
        return false;
    }
    struct place **heap = mem_realloc(s->heap, bytes);
    if (heap == NULL) {
        return false;
    }
    s->heap = heap;
    s->heap_cap = cap;
    return true;
}

static void heap_remove(struct shard *s, struct place *p)
{
    struct place *last = s->heap[--s->heap_len];
    if (last != p) {
        heap_put(s, p->heap_at, last);
        heap_up(s, last);
        heap_down(s, last);
    }
}

/* --- table ------------------------------------------------------------------------------------ */

static struct place **head_of(const struct local *l, struct shard *s, uint64_t hash)
{
    return &s->heads[(hash / l->shards_len) & (l->heads_len - 1)];
}

static struct place *find(const struct local *l, struct shard *s, uint64_t hash, struct slice name)
{
    for (struct place *p = *head_of(l, s, hash); p != NULL; p = p->next) {
        if (p->hash == hash && slice_equal(slice_make(p->name, p->name_len), name)) {
            return p;
        }
    }
    return NULL;
}

static void forget(struct local *l, struct shard *s, struct place *p)
{
    struct place **link = head_of(l, s, p->hash);
    while (*link != p) {
        link = &(*link)->next;
    }
    *link = p->next;
    heap_remove(s, p);
    mem_free(p);
    atomic_fetch_sub_explicit(&l->tenants, 1, memory_order_relaxed);
}

static void forget_due(struct local *l, struct shard *s)
{
    while (s->heap_len > 0 && s->heap[0]->full_at_ns <= s->latest_ns) {
        forget(l, s, s->heap[0]);
    }
    heap_first_changed(s);
}

/* Takes one of the places there are for all. */
static bool reserve(struct local *l)
{
    size_t n = atomic_load_explicit(&l->tenants, memory_order_relaxed);
    do {
        if (n >= l->tenants_max) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&l->tenants, &n, n + 1, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

static struct place *place_new(struct local *l, uint64_t hash, struct slice name)
{
    struct place *p = mem_alloc(sizeof(*p) + l->layout.size + name.len);
    if (p == NULL) {
        return NULL;
    }
    *p = (struct place){ .hash = hash, .name_len = name.len };
    p->name = (char *)p->account + l->layout.size;
    if (name.len > 0) {
        memcpy(p->name, name.data, name.len);
    }
    mutex_lock(&l->shared_mutex);
    memcpy(p->account, l->shared, l->layout.size);
    mutex_unlock(&l->shared_mutex);
    return p;
}

/* The tenant's place, made when it has none yet. NULL: there is no memory, or, and then *full is
 * set, all places are taken. */
static struct place *place_get(struct local *l, struct shard *s, uint64_t hash, struct slice name,
                               bool *full)
{
    *full = false;
    struct place *p = find(l, s, hash, name);
    if (p != NULL) {
        return p;
    }
    if (!reserve(l)) {
        *full = true;
        return NULL;
    }
    p = heap_reserve(s) ? place_new(l, hash, name) : NULL;
    if (p == NULL) {
        atomic_fetch_sub_explicit(&l->tenants, 1, memory_order_relaxed);
        return NULL;
    }
    struct place **head = head_of(l, s, hash);
    p->next = *head;
    *head = p;
    p->full_at_ns = account__full_at_ns(&l->layout, p->account);
    p->heap_at = s->heap_len++;
    heap_up(s, p);
    return p;
}

/* To be called after each change of an account. */
static void place_changed(struct local *l, struct shard *s, struct place *p)
{
    p->full_at_ns = account__full_at_ns(&l->layout, p->account);
    heap_up(s, p);
    heap_down(s, p);
    forget_due(l, s);
}

/* --- shards ----------------------------------------------------------------------------------- */

/* Locks it and forgets what is due. */
static void enter(struct local *l, struct shard *s, uint64_t now_ns)
{
    mutex_lock(&s->mutex);
    s->latest_ns = now_ns > s->latest_ns ? now_ns : s->latest_ns;
    forget_due(l, s);
}

/* True when a place may have become free. Called without a lock. */
static bool make_room(struct local *l, uint64_t now_ns)
{
    for (size_t i = 0; i < l->shards_len; i++) {
        struct shard *s = &l->shards[i];
        if (atomic_load_explicit(&s->first_due_ns, memory_order_relaxed) <= now_ns) {
            enter(l, s, now_ns);
            mutex_unlock(&s->mutex);
        }
    }
    return atomic_load_explicit(&l->tenants, memory_order_relaxed) < l->tenants_max;
}

struct visit {
    struct shard *shard;
    struct place *place; /* NULL: the tenant has none, and the shard is not locked */
    uint64_t now_ns;     /* the shard's time */
};

/* Enters the tenant's shard and finds or makes its place. */
static struct visit visit_begin(struct local *l, struct slice tenant, uint64_t now_ns)
{
    uint64_t hash = hash64_seeded(tenant.data, tenant.len, l->seed);
    struct visit v = { .shard = &l->shards[hash & (l->shards_len - 1)] };
    for (int tries = 0; tries < ROOM_TRIES; tries++) {
        enter(l, v.shard, now_ns);
        v.now_ns = v.shard->latest_ns;
        bool full;
        v.place = place_get(l, v.shard, hash, tenant, &full);
        if (v.place != NULL) {
            return v;
        }
        mutex_unlock(&v.shard->mutex);
        if (!full || !make_room(l, v.now_ns)) {
            break;
        }
    }
    return v;
}

static void visit_end(struct local *l, struct visit *v)
{
    place_changed(l, v->shard, v->place);
    mutex_unlock(&v->shard->mutex);
}

/* --- operations ------------------------------------------------------------------------------- */

static struct local *local_of(struct limiter *l)
{
    return (struct local *)l;
}

static enum shoal_err local_check(struct limiter *limiter, struct slice tenant,
                                  const struct limit_cost *cost, uint64_t now_ns,
                                  struct limit_decision *out)
{
    struct local *l = local_of(limiter);
    struct visit v = visit_begin(l, tenant, now_ns);
    if (v.place != NULL) {
        account__check(&l->layout, v.place->account, cost, v.now_ns, now_ns, out);
        visit_end(l, &v);
    } else {
        mutex_lock(&l->shared_mutex);
        account__check(&l->layout, l->shared, cost, v.now_ns, now_ns, out);
        mutex_unlock(&l->shared_mutex);
    }
    return SHOAL_OK;
}

static void local_settle(struct limiter *limiter, struct slice tenant,
                         const struct limit_reservation *reservation,
                         const struct limit_cost *actual, uint64_t now_ns)
{
    struct local *l = local_of(limiter);
    struct visit v = visit_begin(l, tenant, now_ns);
    if (v.place != NULL) {
        account__settle(&l->layout, v.place->account, reservation, actual, true, v.now_ns);
        visit_end(l, &v);
    } else {
        mutex_lock(&l->shared_mutex);
        account__settle(&l->layout, l->shared, reservation, actual, false, v.now_ns);
        mutex_unlock(&l->shared_mutex);
    }
}

static size_t local_tenants(struct limiter *limiter)
{
    return atomic_load_explicit(&local_of(limiter)->tenants, memory_order_relaxed);
}

/* --- life ------------------------------------------------------------------------------------- */

static void shard_release(struct local *l, struct shard *s)
{
    while (s->heap_len > 0) {
        forget(l, s, s->heap[s->heap_len - 1]);
    }
    mem_free(s->heap);
    mem_free(s->heads);
    mutex_release(&s->mutex);
}

static void local_free(struct limiter *limiter)
{
    struct local *l = local_of(limiter);
    for (size_t i = 0; l->shards != NULL && i < l->shards_len; i++) {
        shard_release(l, &l->shards[i]);
    }
    assert(atomic_load(&l->tenants) == 0);
    mem_free(l->shards);
    mem_free(l->shared);
    mutex_release(&l->shared_mutex);
    mem_free(l);
}

static const struct limit_store_ops local_ops = {
    .name = "local",
    .check = local_check,
    .settle = local_settle,
    .tenants = local_tenants,
    .free = local_free,
};

static size_t pow2_up(uint64_t n, size_t max)
{
    size_t p = 1;
    while (p < max && p < n) {
        p *= 2;
    }
    return p;
}

static enum shoal_err alloc_shards(struct local *l)
{
    l->shards_len = pow2_up(l->tenants_max / SHARD_TENANTS_MIN, SHARDS_MAX);
    l->heads_len = pow2_up(l->tenants_max / l->shards_len, HEADS_MAX);
    l->shards = mem_aligned(l->shards_len * sizeof(*l->shards));
    if (l->shards == NULL) {
        return SHOAL_ENOMEM;
    }
    enum shoal_err rc = SHOAL_OK;
    for (size_t i = 0; i < l->shards_len; i++) {
        struct shard *s = &l->shards[i];
        *s = (struct shard){ .heads = mem_calloc(l->heads_len, sizeof(struct place *)) };
        atomic_init(&s->first_due_ns, LIMIT_AT_NEVER);
        mutex_init(&s->mutex);
        rc = s->heads == NULL ? SHOAL_ENOMEM : rc;
    }
    return rc;
}

static enum shoal_err local_fill(struct local *l, const struct limiter_config *config)
{
    l->limiter = (struct limiter){ .ops = &local_ops, .rules = *config->rules };
    l->tenants_max = config->tenants_max;
    l->seed = rand_u64(rand_system());
    mutex_init(&l->shared_mutex);
    atomic_init(&l->tenants, 0);
    enum shoal_err rc = account__layout(&l->limiter.rules, &l->layout);
    if (rc != SHOAL_OK) {
        return rc;
    }
    /* One byte for a limiter without rules, whose account is empty. */
    l->shared = mem_calloc(1, l->layout.size > 0 ? l->layout.size : 1);
    return l->shared == NULL ? SHOAL_ENOMEM : alloc_shards(l);
}

static enum shoal_err check_config(const struct limiter_config *config, struct errbuf *why)
{
    if (config->rules == NULL || config->tenants_max < 1) {
        return err_set(why, SHOAL_EINVAL, "a limiter needs rules and room for a tenant");
    }
    enum shoal_err rc = limit__rules_check(config->rules, why);
    return rc == SHOAL_OK ? SHOAL_OK : err_prefix(why, SHOAL_EINVAL, "rate limits");
}

enum shoal_err limiter_local_new(const struct limiter_config *config, struct limiter **out,
                                 struct errbuf *why)
{
    *out = NULL;
    enum shoal_err rc = check_config(config, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    struct local *l = mem_calloc(1, sizeof(*l));
    if (l == NULL) {
        return err_set(why, SHOAL_ENOMEM, "no memory for rate limits");
    }
    rc = local_fill(l, config);
    if (rc != SHOAL_OK) {
        local_free(&l->limiter);
        return err_set(why, rc, "rate limits: %s", err_text(rc));
    }
    *out = &l->limiter;
    return SHOAL_OK;
}
