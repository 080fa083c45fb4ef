/*
 * dma.c: accesses of devices' threads, without the machine lock.
 *
 * Memory is found in the published view, inside an RCU read section, and the last range that was
 * found is kept: its serial tells whether a commit has replaced the view since. Everything else is
 * up to lunik_space_read() and lunik_space_write(), under the lock, which look again.
 *
 * A user of the gate keeps the struct. The last one that leaves a closed gate says so to the loop,
 * or frees the struct if the device has given it up.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/misuse.h"
#include "core/runtime.h"
#include "memory.h"

enum { BOUNCE_MAX = 4096, BOUNCE_TOTAL_MAX = 1 << 20 };
enum { RAM_PIECE_MAX = 1 << 20 }; /* in one read section, which holds up reclamation */

#define GATE_CLOSED ((uint64_t)1 << 63)
#define GATE_FREED  ((uint64_t)1 << 62)
#define GATE_USERS  (GATE_FREED - 1)

/* A range, valid in the view with this serial. seq is odd while it is being replaced. */
struct dma_cache {
    _Atomic uint64_t seq, serial, first, last, offset;
    lunik_region *_Atomic region;
    _Atomic unsigned flags;
};

struct lunik_dma {
    lunik_space *_Atomic space; /* NULL once it is gone */
    lunik_runtime *rt;
    LIST_ENTRY(lunik_dma) link; /* in the space's list */
    _Atomic uint64_t gate;      /* GATE_* */
    pthread_mutex_t mutex;      /* nothing is posted once GATE_FREED is set */
    lunik_task task;
    lunik_dma_idle *idle; /* those that wait; machine lock */
    _Atomic uint64_t bounce_bytes;
    struct dma_cache cache;
    struct rcu_head rcu;
};

/* ---- the gate ------------------------------------------------------------------------------- */

static void dma_reclaim(struct rcu_head *head)
{
    lunik_dma *d = lunik_container_of(head, lunik_dma, rcu);

    rcu_note_reclaim();
    pthread_mutex_destroy(&d->mutex);
    free(d);
}

static bool gate_enter(lunik_dma *d)
{
    uint64_t gate = atomic_load_explicit(&d->gate, memory_order_relaxed);

    do {
        if (gate & GATE_CLOSED)
            return false;
    } while (!atomic_compare_exchange_weak(&d->gate, &gate, gate + 1));
    return true;
}

/* The read section is for the struct: another thread may be the last to leave. */
static void leave_closed(lunik_dma *d)
{
    bool last;
    uint64_t gate;

    rcu_online();
    pthread_mutex_lock(&d->mutex);
    gate = atomic_fetch_sub(&d->gate, 1) - 1;
    last = !(gate & GATE_USERS);
    if (last && !(gate & GATE_FREED))
        lunik_defer(d->rt, &d->task);
    pthread_mutex_unlock(&d->mutex);
    if (last && gate & GATE_FREED)
        rcu_defer(&d->rcu, dma_reclaim);
    rcu_offline();
}

static void gate_leave(lunik_dma *d)
{
    uint64_t gate = atomic_load_explicit(&d->gate, memory_order_relaxed);

    while (!(gate & GATE_CLOSED))
        if (atomic_compare_exchange_weak(&d->gate, &gate, gate - 1))
            return;
    leave_closed(d);
}

/* Calls one of those that wait, which may free the struct, if it need not wait any longer. */
static void on_idle(lunik_task *task)
{
    lunik_dma *d = lunik_container_of(task, lunik_dma, task);
    uint64_t gate = atomic_load(&d->gate);
    lunik_dma_idle *idle = d->idle;

    if (!idle || (gate & GATE_CLOSED && gate & GATE_USERS))
        return;
    d->idle = idle->next;
    if (d->idle)
        lunik_defer(d->rt, &d->task);
    idle->fn(idle);
}

void lunik_dma_enable(lunik_dma *d)
{
    NOT_NULL(d);
    REQUIRE(lunik_locked(d->rt), UNLOCKED);

    atomic_fetch_and(&d->gate, ~GATE_CLOSED);
    if (d->idle)
        lunik_defer(d->rt, &d->task);
}

void lunik_dma_disable(lunik_dma *d, lunik_dma_idle *idle)
{
    NOT_NULL(d);
    REQUIRE(lunik_locked(d->rt), UNLOCKED);

    lunik_dma_idle **end = &d->idle;

    atomic_fetch_or(&d->gate, GATE_CLOSED);
    if (!idle)
        return;
    while (*end)
        end = &(*end)->next;
    idle->next = NULL;
    *end = idle;
    lunik_defer(d->rt, &d->task);
}

bool lunik_dma_enabled(const lunik_dma *d)
{
    NOT_NULL(d, false);

    return !(atomic_load(&d->gate) & GATE_CLOSED);
}

/* ---- making and freeing --------------------------------------------------------------------- */

int lunik_dma_new(lunik_space *s, lunik_dma **out, lunik_error *err)
{
    NOT_NULL_OR_FAIL(out, err);
    NOT_NULL_OR_FAIL(s, err);
    REQUIRE_OR_FAIL(lunik_locked(s->core->rt), UNLOCKED, err);

    lunik_dma *d = calloc(1, sizeof(*d));

    if (!d)
        return fail_no_memory(err);
    atomic_init(&d->space, s);
    atomic_init(&d->gate, GATE_CLOSED);
    atomic_init(&d->cache.first, 1); /* nothing: it ends at 0 */
    d->rt = s->core->rt;
    d->task.fn = on_idle;
    pthread_mutex_init(&d->mutex, NULL);
    LIST_INSERT_HEAD(&s->dmas, d, link);
    *out = d;
    return 0;
}

void lunik_dma_free(lunik_dma *d)
{
    uint64_t before;

    if (!d)
        return;
    REQUIRE(lunik_locked(d->rt), UNLOCKED);
    if (atomic_exchange(&d->space, NULL))
        LIST_REMOVE(d, link);
    pthread_mutex_lock(&d->mutex);
    before = atomic_fetch_or(&d->gate, GATE_CLOSED | GATE_FREED);
    lunik_defer_cancel(d->rt, &d->task);
    pthread_mutex_unlock(&d->mutex);
    if (!(before & GATE_USERS))
        rcu_defer(&d->rcu, dma_reclaim);
}

void dmas_detach(lunik_space *s)
{
    lunik_dma *d;

    while ((d = LIST_FIRST(&s->dmas))) {
        LIST_REMOVE(d, link);
        atomic_store(&d->space, NULL);
    }
}

/* ---- finding memory ------------------------------------------------------------------------- */

/* Each word is read after seq has been, and before it is read again. */
static bool cache_get(struct dma_cache *c, uint64_t serial, uint64_t address,
                      struct flat_range *out)
{
    uint64_t seq = atomic_load_explicit(&c->seq, memory_order_acquire);

    if (seq & 1 || atomic_load_explicit(&c->serial, memory_order_acquire) != serial)
        return false;
    out->span.first = atomic_load_explicit(&c->first, memory_order_acquire);
    out->span.last = atomic_load_explicit(&c->last, memory_order_acquire);
    out->offset = atomic_load_explicit(&c->offset, memory_order_acquire);
    out->region = atomic_load_explicit(&c->region, memory_order_acquire);
    out->flags = atomic_load_explicit(&c->flags, memory_order_acquire);
    return atomic_load_explicit(&c->seq, memory_order_relaxed) == seq &&
           address >= out->span.first && address <= out->span.last;
}

/* Where another thread is about to do the same, its range is as good. */
static void cache_put(struct dma_cache *c, uint64_t serial, const struct flat_range *r)
{
    uint64_t seq = atomic_load_explicit(&c->seq, memory_order_relaxed);

    if (seq & 1 || !atomic_compare_exchange_strong(&c->seq, &seq, seq + 1))
        return;
    atomic_store_explicit(&c->serial, serial, memory_order_release);
    atomic_store_explicit(&c->first, r->span.first, memory_order_release);
    atomic_store_explicit(&c->last, r->span.last, memory_order_release);
    atomic_store_explicit(&c->offset, r->offset, memory_order_release);
    atomic_store_explicit(&c->region, r->region, memory_order_release);
    atomic_store_explicit(&c->flags, r->flags, memory_order_release);
    atomic_store_explicit(&c->seq, seq + 2, memory_order_release);
}

/* The part of a space that an access begins with. */
struct target {
    struct flat_range range; /* region NULL: nothing is there */
    uint64_t offset;         /* in the region */
    uint64_t size;           /* what is left of the range, at most what was asked for */
};

/* In a read section. False if the space is gone. */
static bool find(lunik_dma *d, uint64_t address, uint64_t size, struct target *t)
{
    lunik_space *s = atomic_load_explicit(&d->space, memory_order_acquire);
    const struct flat_range *r;
    const struct flat_view *view;

    if (!s)
        return false;
    *t = (struct target){.size = size};
    view = view_root_current(s->vr);
    if (!cache_get(&d->cache, view->serial, address, &t->range)) {
        r = view_find(view, address);
        t->range = r ? *r : (struct flat_range){0};
        if (r)
            cache_put(&d->cache, view->serial, r);
    }
    if (!t->range.region)
        return true;
    t->offset = t->range.offset + (address - t->range.span.first);
    if (size - 1 > t->range.span.last - address)
        t->size = t->range.span.last - address + 1;
    return true;
}

/* ---- reading and writing -------------------------------------------------------------------- */

struct piece {
    uint64_t address, size;
    uint8_t *data;
    bool write;
};

static int access_locked(lunik_dma *d, const struct piece *p)
{
    bool held = lunik_locked(d->rt);
    int rc = LUNIK_E_GONE;
    lunik_space *s;

    if (!held)
        lunik_lock(d->rt);
    s = atomic_load(&d->space);
    if (s && p->write)
        rc = lunik_space_write(s, p->address, p->data, p->size);
    else if (s)
        rc = lunik_space_read(s, p->address, p->data, p->size);
    if (!held)
        lunik_unlock(d->rt);
    return rc;
}

/* A reference to ram is handed over. */
static void check_damage(lunik_dma *d, lunik_ram *ram)
{
    bool held = lunik_locked(d->rt);
    lunik_space *s;

    if (!held)
        lunik_lock(d->rt);
    s = atomic_load(&d->space);
    if (s)
        core_check_damage(s->core, ram);
    if (!held)
        lunik_unlock(d->rt);
    lunik_ram_unref(ram);
}

static bool damage_is_news(lunik_ram *ram)
{
    return ram_damaged(ram) && !atomic_load(&ram->damage_told);
}

/* Carries out the first part of the access, and makes its size that of the part. */
static int access_piece(lunik_dma *d, struct piece *p)
{
    lunik_ram *damaged = NULL;
    struct target t;
    bool here, is_ram;

    rcu_online();
    here = find(d, p->address, p->size, &t);
    is_ram = here && t.range.region && range_is_ram(&t.range, p->write);
    if (here)
        p->size = t.size;
    if (is_ram) {
        p->size = p->size < RAM_PIECE_MAX ? p->size : RAM_PIECE_MAX;
        region_copy(t.range.region, t.offset, p->data, p->size, p->write);
        if (damage_is_news(t.range.region->ram) && ram_try_ref(t.range.region->ram))
            damaged = t.range.region->ram;
    }
    rcu_offline();
    if (damaged)
        check_damage(d, damaged);
    if (is_ram)
        return 0;
    if (!here)
        return LUNIK_E_GONE;
    p->size = p->size < BOUNCE_MAX ? p->size : BOUNCE_MAX;
    return access_locked(d, p);
}

static int worse(int a, int b)
{
    return a == LUNIK_E_ACCESS || !b ? a : b;
}

static void read_ones(const struct piece *all)
{
    if (!all->write)
        memset(all->data, 0xff, all->size);
}

static int transfer(lunik_dma *d, struct piece all)
{
    int rc = 0, code;

    if (!gate_enter(d)) {
        read_ones(&all);
        return atomic_load(&d->space) ? LUNIK_E_STATE : LUNIK_E_GONE;
    }
    while (all.size) {
        struct piece p = all;

        code = access_piece(d, &p);
        if (code == LUNIK_E_GONE) {
            read_ones(&all);
            rc = code;
            break;
        }
        rc = worse(rc, code);
        all.address += p.size;
        all.data += p.size;
        all.size -= p.size;
        if (all.size && all.address < p.size) { /* past the end of the address space */
            read_ones(&all);
            rc = LUNIK_E_ACCESS;
            break;
        }
    }
    gate_leave(d);
    return rc;
}

int lunik_dma_read(lunik_dma *d, uint64_t address, void *buf, size_t size)
{
    NOT_NULL(d, LUNIK_E_INVALID);
    REQUIRE(buf || !size, "buf is NULL", LUNIK_E_INVALID);

    return transfer(d, (struct piece){.address = address, .data = buf, .size = size});
}

int lunik_dma_write(lunik_dma *d, uint64_t address, const void *buf, size_t size)
{
    NOT_NULL(d, LUNIK_E_INVALID);
    REQUIRE(buf || !size, "buf is NULL", LUNIK_E_INVALID);

    return transfer(d, (struct piece){.address = address,
                                      .data = (void *)(uintptr_t)buf, /* only read from */
                                      .size = size,
                                      .write = true});
}

/* ---- mapping -------------------------------------------------------------------------------- */

static bool bounce_reserve(lunik_dma *d, uint64_t size)
{
    if (atomic_fetch_add(&d->bounce_bytes, size) + size <= BOUNCE_TOTAL_MAX)
        return true;
    atomic_fetch_sub(&d->bounce_bytes, size);
    return false;
}

static void bounce_free(lunik_dma_mapping *map)
{
    free(map->host);
    atomic_fetch_sub(&map->dma->bounce_bytes, map->size);
}

static int map_bounce(lunik_dma_mapping *map)
{
    struct piece p = {.address = map->address};
    int rc = 0;

    map->size = map->size < BOUNCE_MAX ? map->size : BOUNCE_MAX;
    if (!bounce_reserve(map->dma, map->size))
        return LUNIK_E_NO_MEMORY;
    map->host = calloc(1, map->size);
    if (!map->host)
        rc = LUNIK_E_NO_MEMORY;
    p.data = map->host;
    p.size = map->size;
    if (!rc && !map->write)
        rc = access_locked(map->dma, &p);
    if (rc)
        bounce_free(map);
    return rc;
}

/* Where the region has given up its block since it was found, something else shows by now. */
static int map_piece(lunik_dma_mapping *map)
{
    uint64_t size = map->size;
    bool here, is_ram = false, nothing;
    struct target t;

    rcu_online();
    do {
        here = find(map->dma, map->address, size, &t);
        if (!here)
            break;
        is_ram = t.range.region && range_is_ram(&t.range, map->write);
    } while (is_ram && !ram_try_ref(t.range.region->ram));
    if (here) {
        map->size = t.size;
        nothing = !t.range.region || (map->write && t.range.flags & RANGE_READONLY);
    }
    if (is_ram) {
        map->ram = t.range.region->ram;
        map->host = t.range.region->host + t.offset;
    }
    rcu_offline();
    if (!here)
        return LUNIK_E_GONE;
    if (is_ram)
        return 0;
    return nothing ? LUNIK_E_ACCESS : map_bounce(map);
}

int lunik_dma_map(lunik_dma *d, uint64_t address, uint64_t size, bool write, lunik_dma_mapping *out)
{
    NOT_NULL(d, LUNIK_E_INVALID);
    NOT_NULL(out, LUNIK_E_INVALID);

    int rc;

    *out = (lunik_dma_mapping){.dma = d, .address = address, .size = size, .write = write};
    if (!size)
        return LUNIK_E_INVALID;
    if (!gate_enter(d))
        return atomic_load(&d->space) ? LUNIK_E_STATE : LUNIK_E_GONE;
    rc = map_piece(out);
    if (rc) {
        *out = (lunik_dma_mapping){0};
        gate_leave(d);
    }
    return rc;
}

/* By block and offset: the region may be gone. The fence is that of region_written(). */
static void ram_written(lunik_dma *d, lunik_ram *ram, uint64_t offset, uint64_t size)
{
    lunik_space *s;
    unsigned mask;

#ifndef RUNTIME_TSAN /* which knows no fences */
    atomic_thread_fence(memory_order_seq_cst);
#endif
    mask = ram_log_mask(ram);
    rcu_online();
    s = atomic_load_explicit(&d->space, memory_order_acquire);
    if (s)
        mask |= atomic_load_explicit(&s->core->log.mask, memory_order_acquire);
    rcu_offline();
    if (mask && atomic_load_explicit(&ram->dirty, memory_order_acquire))
        ram_dirty_mark(ram, offset, size, mask);
}

int lunik_dma_unmap(lunik_dma_mapping *map, uint64_t accessed)
{
    NOT_NULL(map, LUNIK_E_INVALID);
    REQUIRE(map->host, "nothing is mapped", LUNIK_E_INVALID);

    lunik_dma *d = map->dma;
    struct piece p = {.address = map->address,
                      .data = map->host,
                      .size = accessed < map->size ? accessed : map->size,
                      .write = true};
    int rc = 0;

    if (map->ram) {
        if (map->write && p.size)
            ram_written(d, map->ram, (uint64_t)((char *)map->host - map->ram->host), p.size);
        if (damage_is_news(map->ram))
            check_damage(d, map->ram);
        else
            lunik_ram_unref(map->ram);
    } else {
        if (map->write && p.size)
            rc = access_locked(d, &p);
        bounce_free(map);
    }
    *map = (lunik_dma_mapping){0};
    gate_leave(d);
    return rc;
}
