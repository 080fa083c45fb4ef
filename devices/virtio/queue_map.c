/*
 * queue_map.c: where a queue's rings and buffers are in this process.
 *
 * A map has the windows of one generation of the memory map, and is replaced as a whole. Requests
 * in flight keep the one they were taken with.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "queue_internal.h"

enum { FIRST_CAPACITY = 4 };

/* ---- windows -------------------------------------------------------------------------------- */

static void close_windows(struct virtqueue *q, struct virtqueue_map *map)
{
    for (unsigned i = 0; i < map->count; i++) {
        lunik_dma_window_close(q->dma, map->windows[i]);
        free(map->windows[i]);
    }
    map->count = map->last = 0;
}

void virtqueue_map_unref(struct virtqueue *q, struct virtqueue_map *map)
{
    if (!map || --map->refs)
        return;
    close_windows(q, map);
    free(map->windows);
    free(map);
}

void virtqueue_forget(struct virtqueue *q)
{
    virtqueue_map_unref(q, q->map);
    q->map = NULL;
    q->table = q->driver = q->device = (struct virtqueue_area){0};
}

static bool contains(const lunik_dma_window *w, uint64_t address)
{
    return address >= w->first && address <= w->last;
}

/* Returns the index of the first window that does not end before address. */
static unsigned find(const struct virtqueue_map *map, uint64_t address)
{
    unsigned low = 0, high = map->count;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (map->windows[middle]->last < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool make_room(struct virtqueue_map *map)
{
    unsigned capacity = map->capacity ? 2 * map->capacity : FIRST_CAPACITY;
    lunik_dma_window **windows;

    if (map->count < map->capacity)
        return true;
    windows = realloc(map->windows, capacity * sizeof(lunik_dma_window *));
    if (!windows)
        return false;
    map->windows = windows;
    map->capacity = capacity;
    return true;
}

/* Opens a window; the only allocation while a queue runs, once for each piece of RAM. */
static const lunik_dma_window *open_window(struct virtqueue *q, uint64_t address, unsigned at)
{
    struct virtqueue_map *map = q->map;
    lunik_dma_window *w = malloc(sizeof(*w));

    if (!w || !make_room(map)) {
        free(w);
        virtqueue_break(q, "the host has no memory for a window on guest memory");
        return NULL;
    }
    if (lunik_dma_window_open(q->dma, address, w)) {
        free(w);
        return NULL;
    }
    memmove(map->windows + at + 1, map->windows + at,
            (map->count - at) * sizeof(lunik_dma_window *));
    map->windows[at] = w;
    map->count++;
    map->last = at;
    return w;
}

const lunik_dma_window *virtqueue_window(struct virtqueue *q, uint64_t address)
{
    struct virtqueue_map *map = q->map;
    unsigned at;

    if (map->count && contains(map->windows[map->last], address))
        return map->windows[map->last];
    at = find(map, address);
    if (at == map->count || !contains(map->windows[at], address))
        return open_window(q, address, at);
    map->last = at;
    return map->windows[at];
}

/* The place of a byte of a window in its block. */
static uint64_t place_in(const lunik_dma_window *w, const uint8_t *host)
{
    return (uint64_t)(host - (const uint8_t *)lunik_ram_host(w->ram));
}

lunik_ram *virtqueue_ram_at(struct virtqueue *q, const struct virtqueue_request *r,
                            uint64_t address, uint64_t *offset, uint64_t *left)
{
    const lunik_dma_window *w = q->map == r->map ? virtqueue_window(q, address) : NULL;

    if (!w || !w->writable)
        return NULL;
    *offset = place_in(w, (const uint8_t *)w->host + (address - w->first));
    *left = w->last - address + 1;
    return w->ram;
}

lunik_ram *virtqueue_ram_of(const struct virtqueue_request *r, const void *host, uint64_t *offset)
{
    for (unsigned i = 0; i < r->map->count; i++) {
        const lunik_dma_window *w = r->map->windows[i];
        const uint8_t *first = w->host;

        if ((const uint8_t *)host < first || (const uint8_t *)host > first + (w->last - w->first))
            continue;
        *offset = place_in(w, host);
        return w->ram;
    }
    return NULL;
}

/* ---- following the memory map --------------------------------------------------------------- */

static bool find_area(struct virtqueue *q, const struct virtqueue_place *p,
                      struct virtqueue_area *area)
{
    const lunik_dma_window *w = virtqueue_window(q, p->address);

    if (!w || p->size - 1 > w->last - p->address || (p->write && !w->writable)) {
        virtqueue_break(q, "the %s at 0x%" PRIx64 " is not in one piece of %sRAM", p->name,
                        p->address, p->write ? "writable " : "");
        return false;
    }
    area->host = (uint8_t *)w->host + (p->address - w->first);
    area->window = w;
    area->address = p->address;
    if ((uintptr_t)area->host % p->align == 0)
        return true;
    virtqueue_break(q, "the %s at 0x%" PRIx64 " is not aligned in its RAM", p->name, p->address);
    return false;
}

static bool find_areas(struct virtqueue *q)
{
    struct virtqueue_place places[VIRTQUEUE_AREAS];

    virtqueue_places(q, places);
    return find_area(q, &places[0], &q->table) && find_area(q, &places[1], &q->driver) &&
           find_area(q, &places[2], &q->device);
}

static bool renew(struct virtqueue *q, uint64_t generation)
{
    virtqueue_forget(q);
    q->map = calloc(1, sizeof(*q->map));
    if (!q->map) {
        virtqueue_break(q, "the host has no memory for a map of guest memory");
        return false;
    }
    q->map->refs = 1;
    q->map->generation = generation;
    if (find_areas(q))
        return true;
    virtqueue_forget(q);
    return false;
}

static bool follow(struct virtqueue *q, bool closed)
{
    uint64_t generation;
    int rc = lunik_dma_generation(q->dma, &generation);

    if (rc && !(closed && rc == LUNIK_E_STATE))
        return false;
    return (q->map && q->map->generation == generation) || renew(q, generation);
}

bool virtqueue_hold(struct virtqueue *q)
{
    if (!q->held && lunik_dma_begin(q->dma))
        return false;
    q->held = true;
    return follow(q, false);
}

bool virtqueue_follow(struct virtqueue *q)
{
    return (q->serving && q->map) || follow(q, true);
}

void virtqueue_release(struct virtqueue *q)
{
    if (!q->held || q->in_flight || q->serving)
        return;
    q->held = false;
    lunik_dma_end(q->dma);
}

/* ---- what was written ----------------------------------------------------------------------- */

bool virtqueue_logged(const struct virtqueue_map *map)
{
    for (unsigned i = 0; i < map->count; i++)
        if (lunik_dma_window_logged(map->windows[i]))
            return true;
    return false;
}

void virtqueue_area_written(struct virtqueue *q, const struct virtqueue_area *area, uint64_t offset,
                            uint64_t size)
{
    if (size && lunik_dma_window_logged(area->window))
        lunik_dma_window_written(q->dma, area->window, area->address + offset, size);
}

static void piece_written(struct virtqueue *q, const struct virtqueue_map *map,
                          const uint8_t *piece, uint64_t size)
{
    for (unsigned i = 0; i < map->count; i++) {
        const lunik_dma_window *w = map->windows[i];
        uintptr_t host = (uintptr_t)w->host, at = (uintptr_t)piece;

        if (at >= host && at - host <= w->last - w->first) {
            lunik_dma_window_written(q->dma, w, w->first + (at - host), size);
            return;
        }
    }
}

void virtqueue_request_written(struct virtqueue *q, const struct virtqueue_request *r)
{
    uint64_t left = r->written;

    for (unsigned i = r->out; left && i < (unsigned)r->out + r->in; i++) {
        uint64_t size = r->iov[i].iov_len < left ? r->iov[i].iov_len : left;

        piece_written(q, r->map, r->iov[i].iov_base, size);
        left -= size;
    }
}
