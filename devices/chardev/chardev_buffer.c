/*
 * chardev_buffer.c: keeps the last bytes of the output in memory for the program around the
 * machine to read, and takes input from it.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "chardev.h"
#include "../types.h"

#define INPUT_LIMIT (1024 * 1024) /* bytes of input that wait for the front end */

struct chardev_buffer {
    struct chardev base;
    uint64_t size;
    uint8_t *ring;  /* byte n of the output is at n % size */
    uint8_t *input; /* waiting: input[taken..filled) */
    size_t taken, filled, capacity;
    bool delivering;
    struct chardev_pacer *pacer;
    lunik_outlet outlet; /* filled while notify is due */
    void (*notify)(void *opaque);
    void *notify_opaque;
};

/* ---- output --------------------------------------------------------------------------------- */

static uint64_t total(lunik_object *o)
{
    struct chardev_buffer *b = lunik_state(o);

    return b->base.written;
}

static uint64_t first(lunik_object *o)
{
    struct chardev_buffer *b = lunik_state(o);

    return b->base.written > b->size ? b->base.written - b->size : 0;
}

static const uint8_t *span(lunik_object *o, uint64_t position, size_t *size)
{
    struct chardev_buffer *b = lunik_state(o);
    size_t start = (size_t)(position % b->size), run = (size_t)b->size - start;
    uint64_t left = b->base.written - position;

    *size = 0;
    if (position < first(o) || position >= b->base.written)
        return b->ring;
    *size = run < left ? run : (size_t)left;
    return b->ring + start;
}

static size_t peek(lunik_object *o, uint64_t position, uint8_t *buf, size_t size)
{
    size_t done = 0, run;
    const uint8_t *from = span(o, position, &run);

    while (run && done < size) {
        if (run > size - done)
            run = size - done;
        memcpy(buf + done, from, run);
        done += run;
        from = span(o, position + done, &run);
    }
    return done;
}

static size_t write_output(lunik_object *o, const uint8_t *data, size_t size)
{
    struct chardev_buffer *b = lunik_state(o);

    for (size_t done = 0; done < size;) {
        size_t start = (size_t)(b->base.written % b->size);
        size_t run = (size_t)b->size - start;

        if (run > size - done)
            run = size - done;
        memcpy(b->ring + start, data + done, run);
        b->base.written += run;
        done += run;
    }
    if (b->notify) {
        chardev_pacer_poke(b->pacer);
        lunik_outlet_fill(&b->outlet, o);
    }
    return size;
}

static void notify_due(void *opaque)
{
    struct chardev_buffer *b = opaque;

    lunik_outlet_clear(&b->outlet);
    if (b->notify)
        b->notify(b->notify_opaque);
}

static void flush(lunik_outlet *outlet)
{
    chardev_pacer_hurry(lunik_container_of(outlet, struct chardev_buffer, outlet)->pacer);
}

static void set_notify(lunik_object *o, void (*fn)(void *opaque), void *opaque)
{
    struct chardev_buffer *b = lunik_state(o);

    b->notify = fn;
    b->notify_opaque = opaque;
}

/* ---- input ---------------------------------------------------------------------------------- */

static void accept_input(lunik_object *o)
{
    struct chardev_buffer *b = lunik_state(o);

    if (b->delivering)
        return;
    b->delivering = true;
    while (b->taken < b->filled) {
        size_t room = chardev_can_receive(&b->base), waiting = b->filled - b->taken;
        const uint8_t *data = b->input + b->taken;

        if (!room)
            break;
        if (room > waiting)
            room = waiting;
        b->taken += room;
        chardev_receive(&b->base, data, room);
    }
    b->delivering = false;
}

/* Makes room for size more bytes of input. */
static bool grow_input(struct chardev_buffer *b, size_t size)
{
    size_t waiting = b->filled - b->taken, capacity = b->capacity ? b->capacity : 256;
    uint8_t *input;

    if (waiting)
        memmove(b->input, b->input + b->taken, waiting);
    b->taken = 0;
    b->filled = waiting;
    while (capacity - waiting < size)
        capacity *= 2;
    if (capacity == b->capacity)
        return true;
    input = realloc(b->input, capacity);
    if (!input)
        return false;
    b->input = input;
    b->capacity = capacity;
    return true;
}

static size_t write_input(lunik_object *o, const uint8_t *data, size_t size)
{
    struct chardev_buffer *b = lunik_state(o);
    size_t limit = INPUT_LIMIT - (b->filled - b->taken);

    if (size > limit)
        size = limit;
    /* While it is handed out the queue stays where it is. */
    if (!size || b->delivering)
        return 0;
    if (b->capacity - b->filled < size && !grow_input(b, size))
        return 0;
    memcpy(b->input + b->filled, data, size);
    b->filled += size;
    accept_input(o);
    return size;
}

static size_t input_pending(lunik_object *o)
{
    struct chardev_buffer *b = lunik_state(o);

    return b->filled - b->taken;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static int realize(lunik_object *o, lunik_error *err)
{
    struct chardev_buffer *b = lunik_state(o);
    int rc = chardev_pacer_open(&b->pacer, &b->base, notify_due, b, err);

    if (rc)
        return rc;
    b->outlet = (lunik_outlet){.flush = flush, .fd = -1};
    b->ring = malloc((size_t)b->size);
    if (!b->ring) {
        chardev_pacer_close(&b->pacer);
        return lunik_fail(err, LUNIK_E_NO_MEMORY,
                          "chardev-buffer: size: '%" PRIu64 "' is more memory than the host has",
                          b->size);
    }
    return 0;
}

static void unrealize(lunik_object *o)
{
    struct chardev_buffer *b = lunik_state(o);

    chardev_pacer_hurry(b->pacer);
    chardev_pacer_close(&b->pacer);
    free(b->ring);
    free(b->input);
    b->ring = b->input = NULL;
}

static const lunik_prop props[] = {
    {
        .name = "size",
        .kind = LUNIK_PROP_SIZE,
        .doc = "Bytes of output kept, up to 1 GiB.",
        .offset = offsetof(struct chardev_buffer, size),
        .def = 1024 * 1024,
        .min = 1,
        .max = 1024 * 1024 * 1024,
    },
    {0},
};

static const lunik_chardev_ops chardev_ops = {
    .attach = chardev_attach,
    .write = write_output,
    .accept_input = accept_input,
};

static const lunik_chardev_buffer_ops buffer_ops = {
    .peek = peek,
    .span = span,
    .first = first,
    .total = total,
    .write_input = write_input,
    .input_pending = input_pending,
    .set_notify = set_notify,
};

static const lunik_iface ifaces[] = {
    LUNIK_IFACE(chardev, &chardev_ops), LUNIK_IFACE(chardev_buffer, &buffer_ops), {0}};

const lunik_type chardev_buffer_type = {
    .name = "chardev-buffer",
    .parent = "chardev",
    .doc = "Keeps the last bytes of its output in memory and takes input from the program.",
    .flags = LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct chardev_buffer),
    .props = props,
    .ifaces = ifaces,
    .realize = realize,
    .unrealize = unrealize,
    .state = &lunik_state_none,
};
