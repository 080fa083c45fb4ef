/*
 * io_view.c: the ioeventfds and coalesced ranges of regions that address spaces show.
 *
 * Each root has one list of them by address. A commit collects those in marked windows and where
 * the flat view changes, as they were before and as they are after it; items in only one of the two
 * lists are removed or added.
 */
#include <stdlib.h>
#include <string.h>

#include "memory.h"

/* ---- lists ---------------------------------------------------------------------------------- */

static int compare_u64(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

/* Orders by address; returns 0 only for items that are equal in every respect. */
static int compare_items(const void *a, const void *b)
{
    const struct io_item *x = a, *y = b;
    const uint64_t keys[][2] = {
        {x->span.first, y->span.first},
        {x->span.last, y->span.last},
        {x->zone, y->zone},
        {x->size, y->size},
        {x->match, y->match},
        {x->data, y->data},
        {(uint64_t)x->fd, (uint64_t)y->fd},
        {(uintptr_t)x->region, (uintptr_t)y->region},
        {x->offset, y->offset},
    };
    int order = 0;

    for (size_t i = 0; !order && i < sizeof(keys) / sizeof(keys[0]); i++)
        order = compare_u64(keys[i][0], keys[i][1]);
    return order;
}

static bool put(struct io_list *list, const struct io_item *item)
{
    if (!grow((void **)&list->items, &list->capacity, list->count + 1, sizeof(*list->items)))
        return false;
    list->items[list->count++] = *item;
    return true;
}

/* Sorts the list and keeps one of equal items. */
static void normalize(struct io_list *list)
{
    size_t kept = 0;

    if (list->count < 2)
        return;
    qsort(list->items, list->count, sizeof(*list->items), compare_items);
    for (size_t i = 1; i < list->count; i++)
        if (compare_items(&list->items[kept], &list->items[i]))
            list->items[++kept] = list->items[i];
    list->count = kept + 1;
}

/* Drops the items that are in both lists. */
static void cancel_pairs(struct io_list *a, struct io_list *b)
{
    size_t ai = 0, bi = 0, ak = 0, bk = 0;

    while (ai < a->count || bi < b->count) {
        int order = ai == a->count   ? 1
                    : bi == b->count ? -1
                                     : compare_items(&a->items[ai], &b->items[bi]);

        if (order < 0) {
            a->items[ak++] = a->items[ai++];
        } else if (order > 0) {
            b->items[bk++] = b->items[bi++];
        } else {
            ai++;
            bi++;
        }
    }
    a->count = ak;
    b->count = bk;
}

static void list_free(struct io_list *list)
{
    free(list->items);
    *list = (struct io_list){0};
}

/* ---- collecting ----------------------------------------------------------------------------- */

static bool touches(const struct io_item *item, struct span s)
{
    return item->span.first <= s.last && item->span.last >= s.first;
}

/* Returns the index of the first item that may reach into s. Registers have at most 8 bytes, and no
 * other item starts in a zone. */
static size_t first_item(const struct io_list *list, struct span s)
{
    size_t low = 0, high = list->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (list->items[middle].span.first < s.first)
            low = middle + 1;
        else
            high = middle;
    }
    while (low && (list->items[low - 1].span.last >= s.first ||
                   s.first - list->items[low - 1].span.first < 8))
        low--;
    return low;
}

static bool collect_old(const struct io_list *now, struct span s, struct io_list *out)
{
    for (size_t i = first_item(now, s); i < now->count && now->items[i].span.first <= s.last; i++)
        if (touches(&now->items[i], s) && !put(out, &now->items[i]))
            return false;
    return true;
}

static struct io_item item_at(const struct flat_range *r, uint64_t first, uint64_t last)
{
    const uint64_t delta = r->span.first - r->offset; /* offset to address, modulo 2^64 */

    return (struct io_item){
        .span = {first + delta, last + delta}, .region = r->region, .offset = first, .fd = -1};
}

/* Collects the events whose registers lie in the range, and the parts of zones in it, if they touch
 * s. */
static bool collect_range(const struct flat_range *r, const struct io_set *set, struct span s,
                          struct io_list *out)
{
    const uint64_t first = r->offset, last = r->offset + (r->span.last - r->span.first);
    bool ok = true;

    for (size_t i = io_set_find(set, first);
         ok && i < set->event_count && set->events[i].offset <= last; i++) {
        const struct io_event *e = &set->events[i];
        struct io_item item = item_at(r, e->offset, io_event_last(e));

        item.size = e->size;
        item.match = e->match;
        item.data = e->data;
        item.fd = io_event_fd(e);
        if (io_event_last(e) <= last && touches(&item, s))
            ok = put(out, &item);
    }
    for (size_t i = 0; ok && i < set->zone_count && set->zones[i].first <= last; i++) {
        struct span z = set->zones[i];
        struct io_item item =
            item_at(r, z.first > first ? z.first : first, z.last < last ? z.last : last);

        item.zone = true;
        if (z.last >= first && touches(&item, s))
            ok = put(out, &item);
    }
    return ok;
}

static bool collect_new(const struct view_root *vr, struct span s, struct io_list *out)
{
    struct view_cursor c = view_seek(vr->update ? vr->update : view_root_current(vr), s.first);
    const struct flat_range *r;

    for (; (r = cursor_range(&c)) && r->span.first <= s.last; cursor_next(&c))
        if (r->region->s.io && !collect_range(r, r->region->s.io, s, out))
            return false;
    return true;
}

static bool collect(struct view_root *vr, struct span s)
{
    return collect_old(&vr->io.now, s, &vr->io.dels) && collect_new(vr, s, &vr->io.adds);
}

static bool collect_all(struct view_root *vr)
{
    const struct span *windows = vr->all_valid ? &vr->all : vr->windows;
    size_t count = vr->all_valid ? 1 : vr->window_count;
    bool ok = true;

    for (size_t i = 0; ok && i < count; i++)
        ok = collect(vr, windows[i]);
    for (size_t i = 0; ok && i < vr->changed_count; i++)
        ok = collect(vr, vr->changed[i].span);
    return ok;
}

/* ---- commit --------------------------------------------------------------------------------- */

/* Makes the next list: the present one without dels, with adds. */
static bool make_next(struct io_view *v)
{
    struct io_list *next = &v->next;
    size_t d = 0, a = 0;

    if (!grow((void **)&next->items, &next->capacity, v->now.count + v->adds.count,
              sizeof(*next->items)))
        return false;
    for (size_t i = 0; i < v->now.count; i++) {
        const struct io_item *item = &v->now.items[i];

        for (; a < v->adds.count && compare_items(&v->adds.items[a], item) < 0; a++)
            next->items[next->count++] = v->adds.items[a];
        if (d < v->dels.count && !compare_items(&v->dels.items[d], item))
            d++;
        else
            next->items[next->count++] = *item;
    }
    for (; a < v->adds.count; a++)
        next->items[next->count++] = v->adds.items[a];
    return true;
}

int io_view_prepare(struct view_root *vr, lunik_error *err)
{
    struct io_view *v = &vr->io;

    if (!vr->core->io_sets && !v->now.count)
        return 0;
    if (!collect_all(vr))
        return fail_no_memory(err);
    normalize(&v->dels);
    normalize(&v->adds);
    cancel_pairs(&v->dels, &v->adds);
    if (!v->dels.count && !v->adds.count)
        return 0;
    if (!make_next(v))
        return fail_no_memory(err);
    v->changed = true;
    return 0;
}

void io_view_discard(struct io_view *v)
{
    list_free(&v->dels);
    list_free(&v->adds);
    list_free(&v->next);
    v->changed = false;
}

void io_view_publish(struct io_view *v)
{
    struct io_list old = v->now;

    if (!v->changed)
        return;
    v->now = v->next;
    v->next = old; /* io_view_discard() frees it */
}

/* ---- listeners ------------------------------------------------------------------------------ */

static void notify(lunik_listener *l, lunik_space *s, const struct io_item *item, bool add)
{
    void (*eventfd)(lunik_listener *, const lunik_section *, bool, uint64_t, int) =
        add ? l->eventfd_add : l->eventfd_del;
    void (*zone)(lunik_listener *, const lunik_section *, uint64_t, uint64_t) =
        add ? l->coalesced_add : l->coalesced_del;
    lunik_section section = {.space = s,
                             .region = item->region,
                             .offset = item->offset,
                             .address = item->span.first,
                             .size = item->zone ? span_size(item->span) : item->size};

    if (item->zone && zone)
        zone(l, &section, section.address, section.size);
    else if (!item->zone && eventfd)
        eventfd(l, &section, item->match, item->data, item->fd);
}

void io_notify_dels(struct memory_core *core, bool reverse)
{
    for (lunik_space *s = core->spaces; s; s = s->next) {
        const struct io_view *v = &s->vr->io;
        const struct io_list *list = reverse ? &v->adds : &v->dels;

        for (size_t i = 0; v->changed && i < list->count; i++)
            for (size_t n = core->listener_count; n-- > 0;)
                if (listens(core->listeners[n], s))
                    notify(core->listeners[n], s, &list->items[i], false);
    }
}

void io_notify_adds(struct memory_core *core, bool reverse)
{
    for (lunik_space *s = core->spaces; s; s = s->next) {
        const struct io_view *v = &s->vr->io;
        const struct io_list *list = reverse ? &v->dels : &v->adds;

        for (size_t i = 0; v->changed && i < list->count; i++)
            for (size_t n = 0; n < core->listener_count; n++)
                if (listens(core->listeners[n], s))
                    notify(core->listeners[n], s, &list->items[i], true);
    }
}

void io_notify_space(lunik_listener *l, lunik_space *s, bool add)
{
    const struct io_list *now = &s->vr->io.now;

    for (size_t i = 0; listens(l, s) && i < now->count; i++)
        notify(l, s, &now->items[i], add);
}
