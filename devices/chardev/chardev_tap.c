/*
 * chardev_tap.c: keeps the last bytes that the front end of a character device has written, for the
 * program around the machine to read; see chardev.h.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "chardev.h"

struct chardev_tap {
    struct chardev *owner;
    struct chardev_pacer *pacer;
    lunik_outlet outlet; /* filled while notify is due */
    void (*notify)(void *opaque);
    void *notify_opaque;
    uint64_t begun; /* position of the first byte that it got */
    uint64_t size;
    uint8_t ring[]; /* the byte at position n is at n % size */
};

/* ---- reading -------------------------------------------------------------------------------- */

uint64_t chardev_tap_total(lunik_object *o)
{
    const struct chardev *c = lunik_state(o);

    return c->written;
}

uint64_t chardev_tap_first(lunik_object *o)
{
    const struct chardev *c = lunik_state(o);
    const struct chardev_tap *tap = c->tap;

    if (!tap)
        return c->written;
    return c->written - tap->begun > tap->size ? c->written - tap->size : tap->begun;
}

const uint8_t *chardev_tap_span(lunik_object *o, uint64_t position, size_t *size)
{
    const struct chardev *c = lunik_state(o);
    const struct chardev_tap *tap = c->tap;
    uint64_t start, run, left = c->written - position;

    *size = 0;
    if (position < chardev_tap_first(o) || position >= c->written)
        return tap ? tap->ring : NULL;
    start = position % tap->size;
    run = tap->size - start;
    *size = (size_t)(run < left ? run : left);
    return tap->ring + start;
}

size_t chardev_tap_peek(lunik_object *o, uint64_t position, uint8_t *buf, size_t size)
{
    size_t done = 0, run;
    const uint8_t *from = chardev_tap_span(o, position, &run);

    while (run && done < size) {
        if (run > size - done)
            run = size - done;
        memcpy(buf + done, from, run);
        done += run;
        from = chardev_tap_span(o, position + done, &run);
    }
    return done;
}

/* ---- writing -------------------------------------------------------------------------------- */

void chardev_tap_add(struct chardev *c, const uint8_t *data, size_t size)
{
    struct chardev_tap *tap = c->tap;

    if (!tap)
        return;
    for (size_t done = 0; done < size;) {
        uint64_t start = (c->written + done) % tap->size;
        size_t run = (size_t)(tap->size - start);

        if (run > size - done)
            run = size - done;
        memcpy(tap->ring + start, data + done, run);
        done += run;
    }
    if (tap->notify) {
        chardev_pacer_poke(tap->pacer);
        lunik_outlet_fill(&tap->outlet, lunik_state_object(c));
    }
}

static void notify_due(void *opaque)
{
    struct chardev_tap *tap = opaque;

    lunik_outlet_clear(&tap->outlet);
    if (tap->notify)
        tap->notify(tap->notify_opaque);
}

static void flush(lunik_outlet *outlet)
{
    chardev_pacer_hurry(lunik_container_of(outlet, struct chardev_tap, outlet)->pacer);
}

void chardev_tap_set_notify(lunik_object *o, void (*fn)(void *opaque), void *opaque)
{
    struct chardev *c = lunik_state(o);

    if (!c->tap)
        return;
    c->tap->notify = fn;
    c->tap->notify_opaque = opaque;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

int chardev_tap_keep(lunik_object *o, uint64_t size, lunik_error *err)
{
    struct chardev *c = lunik_state(o);
    struct chardev_tap *tap;
    int rc;

    if (c->tap)
        return 0;
    tap = malloc(sizeof(*tap) + (size_t)size);
    if (!tap)
        return lunik_fail(err, LUNIK_E_NO_MEMORY,
                          "%s: size: '%" PRIu64 "' is more memory than the host has",
                          lunik_object_type_name(o), size);
    *tap = (struct chardev_tap){.owner = c, .begun = c->written, .size = size};
    tap->outlet = (lunik_outlet){.flush = flush, .fd = -1};
    rc = chardev_pacer_open(&tap->pacer, c, notify_due, tap, err);
    if (rc)
        free(tap);
    else
        c->tap = tap;
    return rc;
}

void chardev_tap_close(struct chardev *c)
{
    if (!c->tap)
        return;
    chardev_pacer_hurry(c->tap->pacer);
    chardev_pacer_close(&c->tap->pacer);
    free(c->tap);
    c->tap = NULL;
}
