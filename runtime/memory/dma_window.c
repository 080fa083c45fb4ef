/*
 * dma_window.c: RAM that a device's thread keeps at hand from one access to the next.
 *
 * A window holds a reference to its block and no region: the number of the view tells whether the
 * map still shows the block there.
 */
#include "core/misuse.h"
#include "dma.h"

int lunik_dma_begin(lunik_dma *d)
{
    NOT_NULL(d, LUNIK_E_INVALID);

    return dma_enter(d);
}

void lunik_dma_end(lunik_dma *d)
{
    NOT_NULL(d);

    dma_leave(d);
}

int lunik_dma_generation(lunik_dma *d, uint64_t *out)
{
    NOT_NULL(d, LUNIK_E_INVALID);
    NOT_NULL(out, LUNIK_E_INVALID);

    int rc = LUNIK_E_GONE;
    lunik_space *s;

    rcu_online();
    s = atomic_load_explicit(&d->space, memory_order_acquire);
    if (s) {
        *out = view_root_current(s->vr)->serial + 1; /* the first view has the serial 0 */
        rc = lunik_dma_enabled(d) ? 0 : LUNIK_E_STATE;
    }
    rcu_offline();
    return rc;
}

/* Opens the window if there is RAM. Sets *stale if its region has given the block up and a commit
 * is about to replace it in the view. */
static int look(lunik_dma *d, uint64_t address, lunik_dma_window *w, bool *stale)
{
    int rc = LUNIK_E_ACCESS;
    struct dma_target t;

    *stale = false;
    rcu_online();
    if (!dma_find(d, address, 1, &t)) {
        rc = LUNIK_E_GONE;
    } else if (t.range.region && range_is_ram(&t.range, false)) {
        w->first = t.range.span.first;
        w->last = t.range.span.last;
        w->host = t.range.region->host + t.range.offset;
        w->writable = range_is_ram(&t.range, true);
        w->ram = t.range.region->ram;
        *stale = !ram_try_ref(w->ram);
        rc = *stale ? LUNIK_E_ACCESS : 0;
    }
    rcu_offline();
    return rc;
}

int lunik_dma_window_open(lunik_dma *d, uint64_t address, lunik_dma_window *out)
{
    NOT_NULL(d, LUNIK_E_INVALID);
    NOT_NULL(out, LUNIK_E_INVALID);

    bool stale;
    int rc = look(d, address, out, &stale);

    if (stale) {
        dma_wait_for_commit(d);
        rc = look(d, address, out, &stale);
    }
    if (rc)
        *out = (lunik_dma_window){0};
    return rc;
}

void lunik_dma_window_close(lunik_dma *d, lunik_dma_window *w)
{
    NOT_NULL(d);
    NOT_NULL(w);
    REQUIRE(w->ram, "the window is not open");

    if (dma_damage_is_news(w->ram))
        dma_report_damage(d, w->ram);
    else
        lunik_ram_unref(w->ram);
    *w = (lunik_dma_window){0};
}

/* A block without bitmaps is logged by no client. The caller's store is the fence that
 * region_written() has. */
bool lunik_dma_window_logged(const lunik_dma_window *w)
{
    NOT_NULL(w, false);
    REQUIRE(w->ram, "the window is not open", false);

    return atomic_load(&w->ram->dirty);
}

void lunik_dma_window_written(lunik_dma *d, const lunik_dma_window *w, uint64_t address,
                              uint64_t size)
{
    NOT_NULL(d);
    NOT_NULL(w);
    REQUIRE(w->ram, "the window is not open");
    REQUIRE(size && address >= w->first && address <= w->last && size - 1 <= w->last - address,
            "the bytes are not in the window");

    uint64_t start = (uint64_t)((char *)w->host - w->ram->host);

    dma_ram_written(d, w->ram, start + (address - w->first), size);
}
