/*
 * dma.c: reading and writing for devices' threads, without the machine lock.
 *
 * Memory is looked up in the published view, inside an RCU read section, and the last range that
 * was hit is kept: its serial tells whether a commit has replaced the view since. Everything else
 * is up to lunik_space_read() and lunik_space_write(), under the lock, which look again.
 */
#include <string.h>

#include "core/misuse.h"
#include "dma.h"

enum { RAM_PIECE_MAX = 1 << 20 }; /* bytes in one read section, which delays reclamation */

/* ---- finding memory ------------------------------------------------------------------------- */

/* A seqlock: the acquire loads keep the words between the two reads of seq. */
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

/* Does nothing while another thread stores a range: either one may be hit next. */
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

bool dma_find(lunik_dma *d, uint64_t address, uint64_t size, struct dma_target *t)
{
    lunik_space *s = atomic_load_explicit(&d->space, memory_order_acquire);
    const struct flat_range *r;
    const struct flat_view *view;

    if (!s)
        return false;
    *t = (struct dma_target){.size = size};
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

int dma_access_locked(lunik_dma *d, const struct dma_piece *p)
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

void dma_report_damage(lunik_dma *d, lunik_ram *ram)
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

bool dma_damage_is_news(lunik_ram *ram)
{
    return ram_damaged(ram) && !atomic_load(&ram->damage_told);
}

/* Carries out the first part of the access and sets p->size to the size of that part. */
static int access_piece(lunik_dma *d, struct dma_piece *p)
{
    lunik_ram *damaged = NULL;
    struct dma_target t;
    bool here, is_ram;

    rcu_online();
    here = dma_find(d, p->address, p->size, &t);
    is_ram = here && t.range.region && range_is_ram(&t.range, p->write);
    if (here)
        p->size = t.size;
    if (is_ram) {
        p->size = p->size < RAM_PIECE_MAX ? p->size : RAM_PIECE_MAX;
        region_copy(t.range.region, t.offset, p->data, p->size, p->write);
        if (dma_damage_is_news(t.range.region->ram) && ram_try_ref(t.range.region->ram))
            damaged = t.range.region->ram;
    }
    rcu_offline();
    if (damaged)
        dma_report_damage(d, damaged);
    if (is_ram)
        return 0;
    if (!here)
        return LUNIK_E_GONE;
    p->size = p->size < DMA_LOCKED_MAX ? p->size : DMA_LOCKED_MAX;
    return dma_access_locked(d, p);
}

static int worse(int a, int b)
{
    return a == LUNIK_E_ACCESS || !b ? a : b;
}

static void read_ones(const struct dma_piece *all)
{
    if (!all->write)
        memset(all->data, 0xff, all->size);
}

static int transfer(lunik_dma *d, struct dma_piece all)
{
    int rc = dma_enter(d), code;

    if (rc) {
        read_ones(&all);
        return rc;
    }
    while (all.size) {
        struct dma_piece p = all;

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
    dma_leave(d);
    return rc;
}

int lunik_dma_read(lunik_dma *d, uint64_t address, void *buf, size_t size)
{
    NOT_NULL(d, LUNIK_E_INVALID);
    REQUIRE(buf || !size, "buf is NULL", LUNIK_E_INVALID);

    return transfer(d, (struct dma_piece){.address = address, .data = buf, .size = size});
}

int lunik_dma_write(lunik_dma *d, uint64_t address, const void *buf, size_t size)
{
    NOT_NULL(d, LUNIK_E_INVALID);
    REQUIRE(buf || !size, "buf is NULL", LUNIK_E_INVALID);

    return transfer(d, (struct dma_piece){.address = address,
                                          .data = (void *)(uintptr_t)buf, /* only read from */
                                          .size = size,
                                          .write = true});
}
