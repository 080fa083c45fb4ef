/* chardev.c: the part that all character devices share; see chardev.h. */
#include "chardev.h"
#include "../types.h"

/* ---- front end ------------------------------------------------------------------------------ */

static void accept_input(lunik_object *o)
{
    const struct chardev *c = lunik_state(o);

    if (c->kind->accept_input)
        c->kind->accept_input(o);
}

static int attach(lunik_object *o, const lunik_chardev_front *front, lunik_error *err)
{
    struct chardev *c = lunik_state(o);

    if (front && c->front)
        return lunik_fail(err, LUNIK_E_BUSY, "%s '%s': a front end is attached already",
                          lunik_object_type_name(o), lunik_object_id(o));
    c->front = front;
    if (front)
        accept_input(o);
    return 0;
}

static size_t write_output(lunik_object *o, const uint8_t *data, size_t size)
{
    struct chardev *c = lunik_state(o);
    size_t taken = c->kind->write(o, data, chardev_log_room(c, size));

    if (!taken)
        return 0;
    chardev_tap_add(c, data, taken);
    chardev_log_add(c, data, taken);
    c->written += taken;
    return taken;
}

static int send_break(lunik_object *o, lunik_error *err)
{
    const struct chardev *c = lunik_state(o);

    if (!c->front || !c->front->line_break)
        return lunik_fail(err, LUNIK_E_UNSUPPORTED, "%s '%s': %s", lunik_object_type_name(o),
                          lunik_object_id(o),
                          c->front ? "the device that it is attached to knows no break"
                                   : "there is no device to send a break to");
    c->front->line_break(c->front->opaque);
    return 0;
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

bool chardev_takes_fds(const struct chardev *c)
{
    return c->front && c->front->receive_fd;
}

void chardev_receive_fd(struct chardev *c, int fd)
{
    c->front->receive_fd(c->front->opaque, fd);
}

void chardev_connection(struct chardev *c, bool open)
{
    lunik_object *o = lunik_state_object(c);

    if (open)
        lunik_emit(lunik_object_machine(o), "chardev-connected",
                   LUNIK_FIELD_STRING("object", lunik_object_id(o)));
    else
        lunik_emit(lunik_object_machine(o), "chardev-disconnected",
                   LUNIK_FIELD_STRING("object", lunik_object_id(o)));
    if (c->front && c->front->connection)
        c->front->connection(c->front->opaque, open);
}

size_t chardev_drop(struct chardev *c, size_t size)
{
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

/* ---- life cycle ----------------------------------------------------------------------------- */

static int realize(lunik_object *o, lunik_error *err)
{
    struct chardev *c = lunik_state(o);
    int rc;

    c->kind = lunik_object_iface(o, CHARDEV_KIND);
    rc = chardev_log_open(c, err);
    if (!rc && c->kind->realize)
        rc = c->kind->realize(o, err);
    if (rc)
        chardev_log_close(c);
    return rc;
}

static void unrealize(lunik_object *o)
{
    struct chardev *c = lunik_state(o);

    if (c->kind->unrealize)
        c->kind->unrealize(o);
    chardev_tap_close(c);
    chardev_log_close(c);
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
    {
        .name = "logfile",
        .kind = LUNIK_PROP_STRING,
        .doc = "A file for a copy of what the front end writes, created if it does not exist.",
        .offset = offsetof(struct chardev, log_path),
    },
    {
        .name = "logappend",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Append to logfile instead of replacing its contents.",
        .offset = offsetof(struct chardev, log_append),
    },
    {
        .name = "logdropped",
        .kind = LUNIK_PROP_UINT,
        .doc = "Bytes that are missing in logfile because it failed.",
        .offset = offsetof(struct chardev, log_dropped),
        .flags = LUNIK_PROP_READONLY,
    },
    {0},
};

static const lunik_chardev_ops chardev_ops = {
    .attach = attach,
    .write = write_output,
    .accept_input = accept_input,
    .send_break = send_break,
};

static const lunik_chardev_tap_ops tap_ops = {
    .keep = chardev_tap_keep,
    .peek = chardev_tap_peek,
    .first = chardev_tap_first,
    .total = chardev_tap_total,
    .set_notify = chardev_tap_set_notify,
};

static const lunik_iface ifaces[] = {
    LUNIK_IFACE(chardev, &chardev_ops), LUNIK_IFACE(chardev_tap, &tap_ops), {0}};

const lunik_type chardev_type = {
    .name = "chardev",
    .doc = "A byte stream to the world outside.",
    .flags = LUNIK_TYPE_ABSTRACT,
    .size = sizeof(struct chardev),
    .props = props,
    .ifaces = ifaces,
    .realize = realize,
    .unrealize = unrealize,
};
