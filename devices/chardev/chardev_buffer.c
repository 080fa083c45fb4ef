/*
 * chardev_buffer.c: keeps the last bytes of the output in memory, in the tap that every character
 * device may have, for the program around the machine to read, and takes input from it.
 */
#include <stdlib.h>
#include <string.h>

#include "chardev.h"
#include "../types.h"

#define INPUT_LIMIT (1024 * 1024) /* bytes of input that wait for the front end */

struct chardev_buffer {
    struct chardev base;
    uint64_t size;
    uint8_t *input; /* waiting: input[taken..filled) */
    size_t taken, filled, capacity;
    bool delivering;
};

/* The tap keeps it. */
static size_t write_output(lunik_object *o, const uint8_t *data, size_t size)
{
    return size;
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

    return chardev_tap_keep(o, b->size, err);
}

static void unrealize(lunik_object *o)
{
    struct chardev_buffer *b = lunik_state(o);

    free(b->input);
    b->input = NULL;
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

static const struct chardev_kind kind = {
    .realize = realize,
    .unrealize = unrealize,
    .write = write_output,
    .accept_input = accept_input,
};

static const lunik_chardev_buffer_ops buffer_ops = {
    .peek = chardev_tap_peek,
    .span = chardev_tap_span,
    .first = chardev_tap_first,
    .total = chardev_tap_total,
    .write_input = write_input,
    .input_pending = input_pending,
    .set_notify = chardev_tap_set_notify,
};

static const lunik_iface ifaces[] = {
    {CHARDEV_KIND, &kind}, LUNIK_IFACE(chardev_buffer, &buffer_ops), {0}};

const lunik_type chardev_buffer_type = {
    .name = "chardev-buffer",
    .parent = "chardev",
    .doc = "Keeps the last bytes of its output in memory and takes input from the program.",
    .flags = LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct chardev_buffer),
    .props = props,
    .ifaces = ifaces,
    .state = &lunik_state_none,
};
