/* chardev_null.c: a character device that drops its output and never has input. */
#include "chardev.h"
#include "../types.h"

static size_t write_output(lunik_object *o, const uint8_t *data, size_t size)
{
    return chardev_drop(lunik_state(o), size);
}

static const struct chardev_kind kind = {
    .write = write_output,
};

static const lunik_iface ifaces[] = {{CHARDEV_KIND, &kind}, {0}};

const lunik_type chardev_null_type = {
    .name = "chardev-null",
    .parent = "chardev",
    .doc = "Drops its output and has no input.",
    .flags = LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct chardev),
    .ifaces = ifaces,
    .state = &lunik_state_none,
};
