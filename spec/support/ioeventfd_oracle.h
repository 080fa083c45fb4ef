/*
 * ioeventfd_oracle.h: regions with ioeventfds and coalesced ranges, operations on them, and a model
 * that resolves every byte on its own.
 *
 * The including file provides chance(): random numbers, or a fuzzer's input.
 */
#ifndef SPEC_IOEVENTFD_ORACLE_H
#define SPEC_IOEVENTFD_ORACLE_H

#include "ioeventfd.h"

static lunik_space *space;

enum { NODES = 12, LEAVES = 6, BYTES = 96, EVENTS = 10, ITEMS_MAX = 512 };

struct node {
    lunik_region *region;
    int parent, target; /* -1: none */
    unsigned address, size, alias_offset, seq;
    int priority;
    bool enabled;
    bool coalesced[BYTES];
};

struct event {
    int leaf; /* -1: not attached */
    unsigned offset, size;
    bool match;
    unsigned data;
    bool fresh; /* attached since the last commit */
};

struct model {
    struct node nodes[NODES]; /* 0: root; then LEAVES leaves, containers, aliases */
    struct event events[EVENTS];
    unsigned seq;
};

/* A visible item: a zone with its size, or an event. */
struct shown {
    unsigned address, size, offset, data;
    int leaf, event; /* event: -1 for a zone */
    bool match;
};

struct mirror {
    lunik_listener listener;
    struct shown items[ITEMS_MAX];
    unsigned count, calls;
    bool picky, bad;
};

static struct model now, saved;
static struct event removed; /* the last one */
static int event_fds[EVENTS];
static unsigned depth;
static struct mirror mirror;

/* A number below n. */
static unsigned chance(unsigned n);

/* The leaf and its offset that a byte of the root comes from. */
static int resolve(int at, int offset, unsigned level, unsigned *out)
{
    const struct node *n = &now.nodes[at];
    bool tried[NODES] = {false};

    if (!n->enabled || offset < 0 || offset >= (int)n->size || level > 8)
        return -1;
    if (n->target >= 0)
        return resolve(n->target, offset + (int)n->alias_offset, level + 1, out);
    for (;;) {
        int best = -1, found;

        for (int i = 1; i < NODES; i++) {
            const struct node *c = &now.nodes[i], *b = &now.nodes[best < 0 ? 0 : best];

            if (c->parent == at && !tried[i] &&
                (best < 0 || c->priority > b->priority ||
                 (c->priority == b->priority && c->seq > b->seq)))
                best = i;
        }
        if (best < 0)
            break;
        tried[best] = true;
        found = resolve(best, offset - (int)now.nodes[best].address, level + 1, out);
        if (found >= 0)
            return found;
    }
    *out = (unsigned)offset;
    return at >= 1 && at <= LEAVES ? at : -1;
}

static int leaf_at[BYTES + 8];
static unsigned offset_at[BYTES + 8];

static void resolve_all(void)
{
    for (int a = 0; a < BYTES + 8; a++)
        leaf_at[a] = resolve(0, a, 0, &offset_at[a]);
}

/* True if size bytes at address are those of leaf at offset. */
static bool shows(unsigned address, unsigned size, int leaf, unsigned offset)
{
    for (unsigned i = 0; i < size; i++)
        if (leaf_at[address + i] != leaf || offset_at[address + i] != offset + i)
            return false;
    return true;
}

static bool in_zone(int leaf, unsigned offset)
{
    if (!now.nodes[leaf].coalesced[offset])
        return false;
    for (int i = 0; i < EVENTS; i++) {
        const struct event *e = &now.events[i];
        unsigned size = e->size ? e->size : 1;

        if (e->leaf == leaf && offset >= e->offset && offset < e->offset + size)
            return false;
    }
    return true;
}

static unsigned expect(struct shown *out)
{
    unsigned count = 0;

    resolve_all();
    for (unsigned a = 0; a < BYTES; a++) {
        for (int i = 0; i < EVENTS; i++) {
            const struct event *e = &now.events[i];

            if (e->leaf >= 0 && shows(a, e->size ? e->size : 1, e->leaf, e->offset))
                out[count++] = (struct shown){a, e->size, e->offset, e->data, e->leaf, i, e->match};
        }
    }
    for (unsigned a = 0, end; a < BYTES; a = end) {
        int leaf = leaf_at[a];

        end = a + 1;
        if (leaf < 0 || !in_zone(leaf, offset_at[a]))
            continue;
        while (end < BYTES && shows(end, 1, leaf, offset_at[a] + (end - a)) &&
               in_zone(leaf, offset_at[end]))
            end++;
        out[count++] = (struct shown){a, end - a, offset_at[a], 0, leaf, -1, false};
    }
    return count;
}

static int index_of(const lunik_region *r)
{
    for (int i = 0; i < NODES; i++)
        if (now.nodes[i].region == r)
            return i;
    return -1;
}

static bool same(const struct shown *a, const struct shown *b)
{
    return a->address == b->address && a->size == b->size && a->offset == b->offset &&
           a->data == b->data && a->leaf == b->leaf && a->event == b->event && a->match == b->match;
}

static int find_shown(const struct shown *list, unsigned count, const struct shown *item)
{
    for (unsigned i = 0; i < count; i++)
        if (same(&list[i], item))
            return (int)i;
    return -1;
}

static void mirror_change(lunik_listener *l, const struct shown *item, bool add)
{
    struct mirror *x = lunik_container_of(l, struct mirror, listener);
    int at = find_shown(x->items, x->count, item);

    x->calls++;
    if (add != (at < 0))
        x->bad = true;
    else if (add)
        x->items[x->count++] = *item;
    else
        x->items[at] = x->items[--x->count];
}

static struct shown shown_of(const lunik_section *s, bool match, uint64_t data, int event)
{
    return (struct shown){(unsigned)s->address,
                          (unsigned)s->size,
                          (unsigned)s->offset,
                          (unsigned)data,
                          index_of(s->region),
                          event,
                          match};
}

/* Whose duplicate it is. */
static int event_of(int fd)
{
    const uint64_t one = 1;
    int found = -1;

    if (write(fd, &one, sizeof(one)) != sizeof(one))
        return -1;
    for (int i = 0; i < EVENTS; i++)
        if (signals(event_fds[i]))
            found = i;
    return found;
}

static void mirror_eventfd_add(lunik_listener *l, const lunik_section *s, bool match, uint64_t data,
                               int fd)
{
    struct shown item = shown_of(s, match, data, event_of(fd));

    mirror_change(l, &item, true);
}

static void mirror_eventfd_del(lunik_listener *l, const lunik_section *s, bool match, uint64_t data,
                               int fd)
{
    struct shown item = shown_of(s, match, data, event_of(fd));

    mirror_change(l, &item, false);
}

static void mirror_zone_add(lunik_listener *l, const lunik_section *s, uint64_t address,
                            uint64_t size)
{
    struct shown item = shown_of(s, false, 0, -1);

    mirror_change(l, &item, true);
}

static void mirror_zone_del(lunik_listener *l, const lunik_section *s, uint64_t address,
                            uint64_t size)
{
    struct shown item = shown_of(s, false, 0, -1);

    mirror_change(l, &item, false);
}

static int mirror_commit(lunik_listener *l, lunik_error *e)
{
    struct mirror *x = lunik_container_of(l, struct mirror, listener);
    bool refuses = x->picky;

    x->picky = false;
    return refuses ? lunik_fail(e, LUNIK_E_NO_SPACE, "picky") : 0;
}

static void watch(struct mirror *x)
{
    *x = (struct mirror){.listener = {.name = "mirror",
                                      .space = space,
                                      .eventfd_add = mirror_eventfd_add,
                                      .eventfd_del = mirror_eventfd_del,
                                      .coalesced_add = mirror_zone_add,
                                      .coalesced_del = mirror_zone_del,
                                      .commit = mirror_commit}};
    must("listener", lunik_listener_add(m, &x->listener, &err));
}

static void build_regions(void)
{
    now = (struct model){0};
    for (int i = 0; i < NODES; i++) {
        struct node *n = &now.nodes[i];
        bool alias = i > NODES - 3;

        *n = (struct node){.parent = -1, .target = -1, .enabled = true};
        n->size = i ? 4 + chance(i <= LEAVES ? 24 : 60) : BYTES;
        if (alias) {
            n->target = 1 + (int)chance(LEAVES + 3);
            n->alias_offset = chance(20);
        }
        n->region = make("n",
                         alias                   ? LUNIK_REGION_ALIAS
                         : i >= 1 && i <= LEAVES ? LUNIK_REGION_IO
                                                 : LUNIK_REGION_CONTAINER,
                         n->size, alias ? now.nodes[n->target].region : NULL, n->alias_offset);
    }
    for (int i = 0; i < EVENTS; i++)
        now.events[i].leaf = -1;
    removed.leaf = -1;
    must("space", lunik_space_new(m, "chance", now.nodes[0].region, &space, &err));
}

static void op_event(void)
{
    int i = (int)chance(EVENTS);
    struct event e = now.events[i];

    if (e.leaf >= 0) {
        if (lunik_region_del_eventfd(now.nodes[e.leaf].region, e.offset, e.size, e.match, e.data,
                                     NULL))
            return;
        now.events[i].leaf = -1;
        removed = e;
        return;
    }
    e = (struct event){.leaf = 1 + (int)chance(LEAVES),
                       .offset = chance(28),
                       .size = (1u << chance(5)) & 15,
                       .match = chance(2),
                       .fresh = true};
    e.match = e.match && e.size;
    e.data = e.match ? chance(3) : 0;
    if (removed.leaf >= 0 && chance(3) == 0) { /* another eventfd in its place */
        e = removed;
        e.fresh = true;
    }
    if (!lunik_region_add_eventfd(now.nodes[e.leaf].region, e.offset, e.size, e.match, e.data,
                                  event_fds[i], NULL))
        now.events[i] = e;
}

static void op_coalesce(void)
{
    struct node *n = &now.nodes[1 + chance(LEAVES)];
    unsigned offset = chance(n->size), size = 1 + chance(n->size - offset);

    if (chance(4) == 0) {
        if (!lunik_region_uncoalesce(n->region, NULL))
            memset(n->coalesced, 0, sizeof(n->coalesced));
    } else if (!lunik_region_coalesce(n->region, offset, size, NULL)) {
        memset(n->coalesced + offset, 1, size);
    }
}

static void op_place(void)
{
    int i = 1 + (int)chance(NODES - 1);
    struct node *n = &now.nodes[i];
    unsigned to = chance(BYTES - 10);

    if (n->parent >= 0 && chance(3)) {
        if (!lunik_region_set_offset(n->region, to, NULL))
            n->address = to;
    } else if (n->parent >= 0) {
        if (!lunik_region_del(n->region, NULL))
            n->parent = -1;
    } else {
        int parent = chance(2) ? 0 : LEAVES + 1 + (int)chance(NODES - LEAVES - 3);
        int priority = (int)chance(3);

        if (lunik_region_add(now.nodes[parent].region, to, n->region, priority, true, NULL))
            return;
        n->parent = parent;
        n->address = to;
        n->priority = priority;
        n->seq = ++now.seq;
    }
}

static void op_attribute(void)
{
    struct node *n = &now.nodes[1 + chance(NODES - 1)];
    bool enabled = chance(3);
    int priority = (int)chance(3);
    unsigned offset = chance(20);

    if (n->target >= 0 && chance(2)) {
        if (!lunik_region_set_alias_offset(n->region, offset, NULL))
            n->alias_offset = offset;
    } else if (chance(2)) {
        if (!lunik_region_set_enabled(n->region, enabled, NULL))
            n->enabled = enabled;
    } else if (!lunik_region_set_priority(n->region, priority, NULL)) {
        n->priority = priority;
    }
}

static void op_end(void)
{
    int rc = 0;

    if (chance(4) == 0)
        lunik_transaction_abort(m), rc = 1;
    else
        rc = lunik_transaction_commit(m, NULL);
    depth = 0;
    if (rc)
        now = saved;
}

/* A write: the model says who gets it. */
static const char *check_write(void)
{
    unsigned size = 1u << chance(3), a = chance(BYTES - 8), value = chance(4);
    int leaf = leaf_at[a], want = -1;

    if (leaf < 0 || !shows(a, size, leaf, offset_at[a]))
        return NULL;
    for (int i = 0; i < EVENTS; i++) {
        const struct event *e = &now.events[i];

        if (e->leaf == leaf && e->offset == offset_at[a] && (!e->size || e->size == size) &&
            (!e->match || e->data == value))
            want = i;
    }
    device_writes = 0;
    lunik_space_store(space, a, size, value);
    for (int i = 0; i < EVENTS; i++)
        if (signals(event_fds[i]) != (i == want))
            return "a write signals the wrong eventfd";
    return device_writes == (want < 0) ? NULL : "a write goes to the device and to an eventfd";
}

/* Checks that the mirror equals the model and needed the fewest calls. */
static const char *check_shown(const struct shown *before, unsigned before_count, bool refused_it)
{
    static struct shown want[ITEMS_MAX];
    unsigned count = expect(want), changes = 0;
    struct mirror late;
    bool ok = true;

    for (unsigned i = 0; i < count; i++) {
        ok = ok && find_shown(mirror.items, mirror.count, &want[i]) >= 0;
        if (find_shown(before, before_count, &want[i]) < 0)
            changes++;
        else if (want[i].event >= 0 && now.events[want[i].event].fresh)
            changes += 2; /* taken away and attached again */
    }
    for (unsigned i = 0; i < before_count; i++)
        changes += find_shown(want, count, &before[i]) < 0;
    if (mirror.bad)
        return "a listener is notified of what it knows, or loses what it has not";
    if (!ok || mirror.count != count)
        return "the listener's calls don't add up to what shows";
    if (!refused_it && mirror.calls != changes)
        return "more calls than changes";
    if (chance(8))
        return NULL;
    watch(&late);
    ok = late.count == count && !late.bad;
    lunik_listener_del(&late.listener);
    return ok && !late.count && !late.bad ? NULL : "late registration";
}

static struct shown before[ITEMS_MAX]; /* the transaction */
static unsigned before_count;

static void build_tree(void)
{
    before_count = depth = 0;
    for (int i = 0; i < EVENTS; i++)
        event_fds[i] = new_fd();
    build_regions();
    watch(&mirror);
}

/* One change, or one in a transaction. True if the listener refuses what it leads to. */
static bool operate(void)
{
    unsigned choice = chance(12);
    bool picky = chance(15) == 0;

    if (!depth) {
        before_count = mirror.count;
        memcpy(before, mirror.items, sizeof(before));
        mirror.calls = 0;
        for (int i = 0; i < EVENTS; i++)
            now.events[i].fresh = false;
    }
    mirror.picky = picky && (!depth || choice == 0);
    picky = mirror.picky;
    if (choice == 0 && depth) {
        op_end();
    } else if (choice == 0) {
        saved = now;
        lunik_transaction_begin(m);
        depth = 1;
    } else if (choice < 5) {
        op_event();
    } else if (choice < 7) {
        op_coalesce();
    } else if (choice < 10) {
        op_place();
    } else {
        op_attribute();
    }
    return picky;
}

/* Returns what is wrong after an operation, or NULL. */
static const char *check_tree(bool refused)
{
    const char *bad = depth ? NULL : check_shown(before, before_count, refused);

    for (int i = 0; i < 4 && !bad && !depth; i++)
        bad = check_write();
    return bad;
}

static const char *drop_tree(void)
{
    mirror.picky = false;
    if (depth)
        lunik_transaction_abort(m);
    depth = 0;
    lunik_listener_del(&mirror.listener);
    for (int i = NODES - 1; i >= 0; i--)
        lunik_region_del(now.nodes[i].region, NULL);
    lunik_space_free(space);
    for (int i = NODES - 1; i >= 0; i--)
        lunik_region_unref(now.nodes[i].region);
    for (int i = 0; i < EVENTS; i++)
        close(event_fds[i]);
    lunik_unlock(rt); /* lets the reclaimer work */
    lunik_lock(rt);
    return mirror.count ? "a removed listener keeps something" : NULL;
}

#endif
