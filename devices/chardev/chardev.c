/* chardev.c: the part that all character devices share; see chardev.h. */
#include "chardev.h"
#include "../types.h"

/* ---- front end ------------------------------------------------------------------------------ */

int chardev_attach(lunik_object *o, const lunik_chardev_front *front, lunik_error *err)
{
    struct chardev *c = lunik_state(o);
    const lunik_chardev_ops *ops = lunik_chardev_iface(o);

    if (front && c->front)
        return lunik_fail(err, LUNIK_E_BUSY, "%s '%s': a front end is attached already",
                          lunik_object_type_name(o), lunik_object_id(o));
    c->front = front;
    if (front)
        ops->accept_input(o);
    return 0;
}

void chardev_ignore_input(lunik_object *o)
{
}

size_t chardev_can_receive(const struct chardev *c)
{
    return c->front ? c->front->can_receive(c->front->opaque) : 0;
}

void chardev_receive(struct chardev *c, const uint8_t *data, size_t size)
{
    if (c->front)
        c->front->receive(c->front->opaque, data, size);
}

void chardev_writable(struct chardev *c)
{
    if (c->front)
        c->front->writable(c->front->opaque);
}

size_t chardev_drop(struct chardev *c, size_t size)
{
    c->written += size;
    c->dropped += size;
    return size;
}

void chardev_error(struct chardev *c, const char *message)
{
    lunik_object *o = lunik_state_object(c);

    lunik_emit(lunik_object_machine(o), "chardev-error",
               LUNIK_FIELD_STRING("object", lunik_object_id(o)),
               LUNIK_FIELD_STRING("message", message));
}

void chardev_failed(struct chardev *c, int sys)
{
    if (c->failed)
        return;
    c->failed = true;
    chardev_error(c, uv_strerror(-sys));
}

lunik_runtime *chardev_runtime(struct chardev *c)
{
    return lunik_machine_runtime(lunik_object_machine(lunik_state_object(c)));
}

/* ---- type ----------------------------------------------------------------------------------- */

static const lunik_prop props[] = {
    {
        .name = "written",
        .kind = LUNIK_PROP_UINT,
        .doc = "Bytes taken from the front end so far.",
        .offset = offsetof(struct chardev, written),
        .flags = LUNIK_PROP_READONLY,
    },
    {
        .name = "dropped",
        .kind = LUNIK_PROP_UINT,
        .doc =
            "Bytes of those that were dropped: without a connection, or because the target failed.",
        .offset = offsetof(struct chardev, dropped),
        .flags = LUNIK_PROP_READONLY,
    },
    {0},
};

const lunik_type chardev_type = {
    .name = "chardev",
    .doc = "A byte stream to the world outside.",
    .flags = LUNIK_TYPE_ABSTRACT,
    .size = sizeof(struct chardev),
    .props = props,
};
