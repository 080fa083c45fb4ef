/*
 * virtio_serial_port.c: the ports of the console device: virtconsole, a console, and
 * virtserialport, a channel that programs of the guest find by its name. Behind each is a character
 * device; without one nothing is connected: output is dropped.
 *
 * Bytes that the character device does not take stay in the queue, and those that the guest has no
 * buffers for stay in the character device.
 */
#include <inttypes.h>
#include <string.h>

#include "virtio_serial.h"
#include "../types.h"

enum { REQUESTS_AT_ONCE = 64 };

static bool usable(const struct virtio_serial_port *p, unsigned queue)
{
    return p->serial && p->serial->active[queue] && virtio_running(&p->serial->pci.virtio);
}

/* ---- from the guest ------------------------------------------------------------------------- */

/* Writes what has not been written of a request; false: the character device is full. */
static bool write_request(struct virtio_serial_port *p, const struct virtqueue_request *r)
{
    size_t skip = p->done;

    for (unsigned i = 0; i < r->out; i++) {
        size_t size = r->iov[i].iov_len, taken;

        if (skip >= size) {
            skip -= size;
            continue;
        }
        taken = p->ops
                    ? p->ops->write(p->chardev, (uint8_t *)r->iov[i].iov_base + skip, size - skip)
                    : size - skip;
        p->done += (uint32_t)taken;
        p->sent += taken;
        if (taken < size - skip)
            return false;
        skip = 0;
    }
    return true;
}

void virtio_serial_port_send(struct virtio_serial_port *p)
{
    unsigned queue = virtio_serial_queue((unsigned)p->nr) + 1, count = 0;
    struct virtio *v;
    struct virtqueue_request *r;
    bool full = false;

    if (!usable(p, queue))
        return;
    v = &p->serial->pci.virtio;
    do {
        virtqueue_quiet(&v->queues[queue]);
        while (!full && count < REQUESTS_AT_ONCE && virtqueue_pop(&v->queues[queue], &r, 1)) {
            full = !write_request(p, r);
            if (full) {
                virtqueue_unpop(&v->queues[queue], r);
                break;
            }
            p->done = 0;
            count++;
            virtqueue_push(&v->queues[queue], r, 0);
        }
        virtio_flush(v, queue);
    } while (virtqueue_listen(&v->queues[queue]) && !full && count < REQUESTS_AT_ONCE);
    if (count == REQUESTS_AT_ONCE)
        virtio_path_again(v, queue);
}

static void front_writable(void *opaque)
{
    struct virtio_serial_port *p = opaque;

    if (p->serial)
        virtio_path_again(&p->serial->pci.virtio, virtio_serial_queue((unsigned)p->nr) + 1);
}

/* ---- to the guest --------------------------------------------------------------------------- */

static struct virtqueue *input_of(const struct virtio_serial_port *p)
{
    unsigned queue = virtio_serial_queue((unsigned)p->nr);
    bool open = p->open || (p->serial && !virtio_serial_multiport(p->serial));

    return open && usable(p, queue) ? &p->serial->pci.virtio.queues[queue] : NULL;
}

/* The next buffer; one that nothing can be written to breaks the queue. */
static struct virtqueue_request *take_buffer(struct virtqueue *q)
{
    struct virtqueue_request *r;

    if (!virtqueue_pop(q, &r, 1) && !(virtqueue_listen(q) && virtqueue_pop(q, &r, 1)))
        return NULL;
    if (r->in_size)
        return r;
    virtqueue_break(q, "a receive buffer has no bytes to be written");
    virtqueue_unpop(q, r);
    return NULL;
}

static size_t front_can_receive(void *opaque)
{
    struct virtio_serial_port *p = opaque;
    struct virtqueue *q = input_of(p);
    struct virtqueue_request *r = q ? take_buffer(q) : NULL;
    size_t size = r ? r->in_size : 0;

    if (r)
        virtqueue_unpop(q, r);
    else if (q)
        virtio_path_check(&p->serial->pci.virtio, virtio_serial_queue((unsigned)p->nr));
    return size;
}

static uint32_t fill(const struct virtqueue_request *r, const uint8_t *data, size_t size)
{
    size_t done = 0;

    for (unsigned i = 0; i < r->in && done < size; i++) {
        const struct iovec *v = &r->iov[r->out + i];
        size_t piece = v->iov_len < size - done ? v->iov_len : size - done;

        memcpy(v->iov_base, data + done, piece);
        done += piece;
    }
    return (uint32_t)done;
}

static void front_receive(void *opaque, const uint8_t *data, size_t size)
{
    struct virtio_serial_port *p = opaque;
    struct virtqueue *q = input_of(p);
    struct virtqueue_request *r;
    size_t done = 0;

    while (q && done < size && (r = take_buffer(q))) {
        uint32_t written = fill(r, data + done, size - done);

        virtqueue_push(q, r, written);
        done += written;
    }
    p->received += done;
    if (q)
        virtio_flush(&p->serial->pci.virtio, virtio_serial_queue((unsigned)p->nr));
}

void virtio_serial_port_resume(struct virtio_serial_port *p)
{
    if (p->ops)
        p->ops->accept_input(p->chardev);
}

/* ---- opening -------------------------------------------------------------------------------- */

void virtio_serial_port_set_open(struct virtio_serial_port *p, bool open)
{
    lunik_object *o = lunik_state_object(p);

    if (p->open == open)
        return;
    p->open = open;
    lunik_emit(lunik_object_machine(o), "port-changed",
               LUNIK_FIELD_STRING("device", lunik_object_id(o)), LUNIK_FIELD_BOOL("open", open));
    if (open)
        virtio_serial_port_resume(p);
}

void virtio_serial_port_reset(struct virtio_serial_port *p)
{
    virtio_serial_port_set_open(p, false);
    p->done = 0;
    p->pending = 0;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static int attach_chardev(struct virtio_serial_port *p, lunik_object *o, lunik_error *err)
{
    const lunik_chardev_ops *ops;
    int rc;

    if (!p->chardev)
        return 0;
    rc = lunik_object_claim(p->chardev, o, err);
    if (rc)
        return lunik_fail_prefix(err, rc, "%s: chardev", lunik_object_type_name(o));
    p->front = (lunik_chardev_front){.opaque = p,
                                     .can_receive = front_can_receive,
                                     .receive = front_receive,
                                     .writable = front_writable};
    ops = lunik_chardev_iface(p->chardev);
    rc = ops->attach(p->chardev, &p->front, err);
    if (rc)
        lunik_object_release(p->chardev, o);
    else
        p->ops = ops;
    return rc;
}

/* Port 0 is a console's, which drivers without several ports use. */
static int choose_number(struct virtio_serial_port *p, const struct virtio_serial *s,
                         lunik_object *o, lunik_error *err)
{
    const char *type = lunik_object_type_name(o);

    if (p->nr < 0) {
        for (p->nr = !p->console; (uint64_t)p->nr < s->max_ports && s->ports[p->nr]; p->nr++)
            ;
        return (uint64_t)p->nr < s->max_ports
                   ? 0
                   : lunik_fail(err, LUNIK_E_NO_SPACE, "%s: bus: '%s' has no port left of %" PRIu64,
                                type, lunik_object_id(p->bus), s->max_ports);
    }
    if ((uint64_t)p->nr >= s->max_ports || (!p->nr && !p->console))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s: nr: '%" PRId64 "' is not possible (want %d to "
                          "%" PRIu64 ")",
                          type, p->nr, !p->console, s->max_ports - 1);
    if (s->ports[p->nr])
        return lunik_fail(err, LUNIK_E_EXISTS, "%s: nr: %" PRId64 " is '%s'", type, p->nr,
                          lunik_object_id(lunik_state_object(s->ports[p->nr])));
    return 0;
}

static int check_name(const struct virtio_serial_port *p, const struct virtio_serial *s,
                      lunik_object *o, lunik_error *err)
{
    const char *type = lunik_object_type_name(o);

    if (!p->name)
        return 0;
    if (!*p->name || strlen(p->name) > VIRTIO_SERIAL_NAME_MAX)
        return lunik_fail(err, LUNIK_E_INVALID, "%s: name: '%s' is %s (want 1 to %d bytes)", type,
                          p->name, *p->name ? "too long" : "empty", VIRTIO_SERIAL_NAME_MAX);
    for (unsigned i = 0; i < s->max_ports; i++)
        if (s->ports[i] && s->ports[i]->name && !strcmp(s->ports[i]->name, p->name))
            return lunik_fail(err, LUNIK_E_EXISTS, "%s: name: '%s' is that of '%s'", type, p->name,
                              lunik_object_id(lunik_state_object(s->ports[i])));
    return 0;
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct virtio_serial_port *p = lunik_state(o);
    struct virtio_serial *s = lunik_state(p->bus);
    int rc;

    p->console = !strcmp(lunik_object_type_name(o), "virtconsole");
    rc = choose_number(p, s, o, err);
    if (!rc)
        rc = check_name(p, s, o, err);
    if (!rc)
        rc = attach_chardev(p, o, err);
    if (rc)
        return rc;
    p->serial = s;
    s->ports[p->nr] = p;
    p->pending = s->ready ? PORT_SENDS_ADD : 0;
    virtio_serial_report(s);
    return 0;
}

/* What the guest has sent to it, and is not taken, is lost. */
static void unrealize(lunik_object *o)
{
    struct virtio_serial_port *p = lunik_state(o);
    struct virtio_serial *s = p->serial;

    if (lunik_machine_state(lunik_object_machine(o)) != LUNIK_STATE_CLOSED)
        virtio_serial_port_set_open(p, false);
    if (p->ops) {
        p->ops->attach(p->chardev, NULL, NULL);
        lunik_object_release(p->chardev, o);
    }
    p->ops = NULL;
    p->serial = NULL;
    s->ports[p->nr] = NULL;
    s->removed |= s->added & UINT32_C(1) << p->nr;
    s->added &= ~(UINT32_C(1) << p->nr);
    virtio_serial_report(s);
    virtio_path_again(&s->pci.virtio, virtio_serial_queue((unsigned)p->nr) + 1);
}

static const lunik_prop props[] = {
    {
        .name = "bus",
        .kind = LUNIK_PROP_LINK,
        .doc = "The virtio-serial-pci that it is a port of.",
        .offset = offsetof(struct virtio_serial_port, bus),
        .flags = LUNIK_PROP_REQUIRED,
        .link = "virtio-serial-pci",
    },
    {
        .name = "chardev",
        .kind = LUNIK_PROP_LINK,
        .doc = "The character device behind it; without one output is dropped.",
        .offset = offsetof(struct virtio_serial_port, chardev),
        .link = LUNIK_IFACE_chardev,
    },
    {
        .name = "nr",
        .kind = LUNIK_PROP_INT,
        .doc = "Its number; -1: the first that is free. 0 is for a console.",
        .offset = offsetof(struct virtio_serial_port, nr),
        .def = (uint64_t)-1,
        .min = (uint64_t)-1,
        .max = VIRTIO_SERIAL_PORTS_MAX - 1,
    },
    {
        .name = "name",
        .kind = LUNIK_PROP_STRING,
        .doc = "The name by which the guest finds it, up to 128 bytes.",
        .offset = offsetof(struct virtio_serial_port, name),
    },
    {
        .name = "open",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Whether a program of the guest has opened it.",
        .offset = offsetof(struct virtio_serial_port, open),
        .flags = LUNIK_PROP_READONLY,
    },
    {
        .name = "received",
        .kind = LUNIK_PROP_UINT,
        .doc = "Bytes that the guest got.",
        .offset = offsetof(struct virtio_serial_port, received),
        .flags = LUNIK_PROP_READONLY,
    },
    {
        .name = "sent",
        .kind = LUNIK_PROP_UINT,
        .doc = "Bytes that the guest sent.",
        .offset = offsetof(struct virtio_serial_port, sent),
        .flags = LUNIK_PROP_READONLY,
    },
    {0},
};

static const lunik_state_field state_fields[] = {
    LUNIK_STATE(struct virtio_serial_port, nr, .flags = LUNIK_STATE_SAME),
    LUNIK_STATE(struct virtio_serial_port, open),
    LUNIK_STATE(struct virtio_serial_port, pending, .limit = 2 * PORT_SENDS_OPEN),
    LUNIK_STATE(struct virtio_serial_port, done),
    {0},
};

/* Messages that the saved port owed, and this one can't have, are not sent. */
static void loaded(void *state)
{
    struct virtio_serial_port *p = state;

    if (!p->name)
        p->pending &= (uint8_t)~PORT_SENDS_NAME;
}

static const lunik_state_table state_table = {
    .name = "virtio-serial-port",
    .version = 1,
    .size = sizeof(struct virtio_serial_port),
    .fields = state_fields,
    .loaded = loaded,
};

#define PORT_TYPE(name_, doc_)                                                                     \
    {                                                                                              \
        .name = name_, .doc = doc_,                                                                \
        .flags = LUNIK_TYPE_DEVICE | LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,                       \
        .size = sizeof(struct virtio_serial_port), .props = props, .realize = realize,             \
        .unrealize = unrealize, .state = &state_table                                              \
    }

const lunik_type virtconsole_type =
    PORT_TYPE("virtconsole", "A console of the guest, on a virtio-serial-pci.");
const lunik_type virtserialport_type =
    PORT_TYPE("virtserialport", "A channel to a program of the guest, on a virtio-serial-pci.");
