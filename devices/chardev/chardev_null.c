/* chardev_null.c: a character device that drops what it is given and never has input. */
#include "chardev.h"
#include "../types.h"

static size_t null_write(lunik_object *o, const uint8_t *data, size_t size)
{
    return chardev_drop(lunik_state(o), size);
}

static const lunik_chardev_ops null_ops = {
    .attach = chardev_attach,
    .write = null_write,
    .accept_input = chardev_ignore_input,
};

static const lunik_iface null_ifaces[] = {LUNIK_IFACE(chardev, &null_ops), {0}};

const lunik_type chardev_null_type = {
    .name = "chardev-null",
    .parent = "chardev",
    .doc = "Drops its output and has no input.",
    .flags = LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct chardev),
    .ifaces = null_ifaces,
};
