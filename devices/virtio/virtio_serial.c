/*
 * virtio_serial.c: the console device (virtio 1.2, section 5.3), with several ports and messages
 * about them; the ports are in virtio_serial_port.c. Messages are not queued: each port knows which
 * it owes the driver, so none is lost however long the driver has no room for them.
 *
 * Not modelled: sizes of consoles.
 */
#include <string.h>

#include "virtio_serial.h"
#include "../types.h"

enum { SERIAL_ID = 3, SERIAL_CLASS = 0x078000, ENTRIES = 128, EMERGENCY_AT = 8, PORTS_AT = 4 };
enum { CONTROL_IN = 2, CONTROL_OUT = 3 }; /* queues: to the driver, and from it */
enum {
    DEVICE_READY,
    PORT_ADD,
    PORT_REMOVE,
    PORT_READY,
    CONSOLE_PORT,
    RESIZE,
    PORT_OPEN,
    PORT_NAME
};

struct message {
    uint32_t id;
    uint16_t event, value;
    char name[VIRTIO_SERIAL_NAME_MAX];
};
enum { MESSAGE_SIZE = 8 };

static struct virtio_serial *of(struct virtio *v)
{
    return lunik_container_of(v, struct virtio_serial, pci.virtio);
}

/* ---- messages to the driver ----------------------------------------------------------------- */

/* False: there is no room. */
static bool send_message(struct virtio_serial *s, const struct message *m, size_t size)
{
    struct virtqueue *q = &s->pci.virtio.queues[CONTROL_IN];
    struct virtqueue_request *r;
    size_t done = 0;

    if (!virtqueue_pop(q, &r, 1) && !(virtqueue_listen(q) && virtqueue_pop(q, &r, 1)))
        return false;
    for (unsigned i = 0; i < r->in && done < size; i++) {
        const struct iovec *v = &r->iov[r->out + i];
        size_t piece = v->iov_len < size - done ? v->iov_len : size - done;

        memcpy(v->iov_base, (const uint8_t *)m + done, piece);
        done += piece;
    }
    virtqueue_push(q, r, (uint32_t)done);
    return true;
}

static bool send_event(struct virtio_serial *s, unsigned id, uint16_t event, uint16_t value)
{
    const struct message m = {.id = id, .event = event, .value = value};

    return send_message(s, &m, MESSAGE_SIZE);
}

static bool send_name(struct virtio_serial *s, const struct virtio_serial_port *p)
{
    struct message m = {.id = (uint32_t)p->nr, .event = PORT_NAME, .value = 1};
    size_t size = strlen(p->name);

    memcpy(m.name, p->name, size);
    return send_message(s, &m, MESSAGE_SIZE + size);
}

static bool send_pending(struct virtio_serial *s, struct virtio_serial_port *p, uint8_t which)
{
    unsigned nr = (unsigned)p->nr;

    switch (which) {
    case PORT_SENDS_ADD:
        if (!send_event(s, nr, PORT_ADD, 1))
            return false;
        s->added |= UINT32_C(1) << nr;
        return true;
    case PORT_SENDS_CONSOLE:
        return send_event(s, nr, CONSOLE_PORT, 1);
    case PORT_SENDS_NAME:
        return send_name(s, p);
    default:
        return send_event(s, nr, PORT_OPEN, p->ops != NULL);
    }
}

static bool report_port(struct virtio_serial *s, struct virtio_serial_port *p)
{
    for (unsigned which = PORT_SENDS_ADD; which <= PORT_SENDS_OPEN; which <<= 1) {
        if (!(p->pending & which))
            continue;
        if (!send_pending(s, p, (uint8_t)which))
            return false;
        p->pending &= (uint8_t)~which;
    }
    return true;
}

static bool report_removed(struct virtio_serial *s)
{
    for (unsigned nr = 0; nr < s->max_ports; nr++) {
        if (!(s->removed >> nr & 1))
            continue;
        if (!send_event(s, nr, PORT_REMOVE, 1))
            return false;
        s->removed &= ~(UINT32_C(1) << nr);
    }
    return true;
}

void virtio_serial_report(struct virtio_serial *s)
{
    bool room;

    if (!s->ready || !s->active[CONTROL_IN] || !virtio_running(&s->pci.virtio))
        return;
    room = report_removed(s);
    for (unsigned nr = 0; room && nr < s->max_ports; nr++)
        room = !s->ports[nr] || report_port(s, s->ports[nr]);
    virtio_flush(&s->pci.virtio, CONTROL_IN);
    virtio_path_check(&s->pci.virtio, CONTROL_IN);
}

/* ---- messages from the driver --------------------------------------------------------------- */

static void device_ready(struct virtio_serial *s, bool ready)
{
    s->ready = ready;
    s->added = s->removed = 0;
    for (unsigned nr = 0; nr < s->max_ports; nr++)
        if (s->ports[nr])
            s->ports[nr]->pending = ready ? PORT_SENDS_ADD : 0;
}

static void port_ready(struct virtio_serial_port *p)
{
    p->pending |= (p->console ? PORT_SENDS_CONSOLE : 0) | (p->name ? PORT_SENDS_NAME : 0) |
                  (p->ops ? PORT_SENDS_OPEN : 0);
}

/* Messages about ports that are not there, any more, mean nothing. */
static void take_message(struct virtio_serial *s, const struct message *m)
{
    struct virtio_serial_port *p = m->id < s->max_ports ? s->ports[m->id] : NULL;

    if (m->event == DEVICE_READY)
        device_ready(s, m->value == 1);
    else if (p && m->event == PORT_READY && m->value)
        port_ready(p);
    else if (p && m->event == PORT_OPEN)
        virtio_serial_port_set_open(p, m->value);
}

static uint32_t take_request(struct virtio *v, unsigned queue, struct virtqueue_request *r)
{
    struct message m = {0};
    size_t done = 0;

    for (unsigned i = 0; i < r->out && done < MESSAGE_SIZE; i++) {
        size_t piece =
            r->iov[i].iov_len < MESSAGE_SIZE - done ? r->iov[i].iov_len : MESSAGE_SIZE - done;

        memcpy((uint8_t *)&m + done, r->iov[i].iov_base, piece);
        done += piece;
    }
    if (done == MESSAGE_SIZE)
        take_message(of(v), &m);
    return 0;
}

/* ---- queues --------------------------------------------------------------------------------- */

static struct virtio_serial_port *port_of(struct virtio_serial *s, unsigned queue)
{
    unsigned nr = queue < 2 ? 0 : queue / 2 - 1;

    return nr < s->max_ports ? s->ports[nr] : NULL;
}

/* Bytes for a port that is not there are lost, as the driver knows or will hear. */
static uint32_t swallow(struct virtio *v, unsigned queue, struct virtqueue_request *r)
{
    return 0;
}

static void serve(struct virtio *v, unsigned queue)
{
    struct virtio_serial *s = of(v);
    struct virtio_serial_port *p;

    s->active[queue] = true;
    if (queue == CONTROL_IN || queue == CONTROL_OUT) {
        if (queue == CONTROL_OUT)
            virtio_path_each(v, queue, take_request);
        virtio_serial_report(s);
        return;
    }
    p = port_of(s, queue);
    if (queue % 2 && p)
        virtio_serial_port_send(p);
    else if (queue % 2)
        virtio_path_each(v, queue, swallow);
    else if (p)
        virtio_serial_port_resume(p);
}

static void finish(struct virtio *v, unsigned queue)
{
    of(v)->active[queue] = false;
    virtio_path_idle(v, queue);
}

static void driver_reset(struct virtio *v)
{
    struct virtio_serial *s = of(v);

    device_ready(s, false);
    for (unsigned nr = 0; nr < s->max_ports; nr++)
        if (s->ports[nr])
            virtio_serial_port_reset(s->ports[nr]);
}

/* A driver that can't use queues yet, or any more, writes characters to the first port. */
static void configured(struct virtio *v, uint32_t offset, uint32_t size)
{
    struct virtio_serial *s = of(v);
    struct virtio_serial_port *p = s->ports[0];
    uint8_t character = s->config[EMERGENCY_AT];

    lunik_pci_set_long(s->config, 0, 0);
    lunik_pci_set_long(s->config, PORTS_AT, (uint32_t)s->max_ports);
    lunik_pci_set_long(s->config, EMERGENCY_AT, 0);
    if (s->emergency && offset == EMERGENCY_AT && p && p->ops)
        p->ops->write(p->chardev, &character, 1);
}

static const struct virtio_ops serial_ops = {
    .serve = serve, .finish = finish, .reset = driver_reset, .configured = configured};

/* ---- life cycle ----------------------------------------------------------------------------- */

static int realize(lunik_object *o, lunik_error *err)
{
    struct virtio_serial *s = lunik_state(o);

    if (s->pci.iothread)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "virtio-serial-pci: iothread: '%s' is not possible (want none: character "
                          "devices are the loop's)",
                          lunik_object_id(s->pci.iothread));
    lunik_pci_set_long(s->config, PORTS_AT, (uint32_t)s->max_ports);
    s->pci.queue_count = 2 * (unsigned)s->max_ports + 2;
    s->pci.queue_size = ENTRIES;
    s->pci.virtio.offered = VIRTIO_SERIAL_MULTIPORT | (s->emergency ? VIRTIO_SERIAL_EMERGENCY : 0);
    s->pci.virtio.config = s->config;
    s->pci.virtio.config_size = sizeof(s->config);
    return 0;
}

static const lunik_prop props[] = {
    {
        .name = "max_ports",
        .kind = LUNIK_PROP_UINT,
        .doc = "Ports that it may have, 1 to 31.",
        .offset = offsetof(struct virtio_serial, max_ports),
        .def = VIRTIO_SERIAL_PORTS_MAX,
        .min = 1,
        .max = VIRTIO_SERIAL_PORTS_MAX,
    },
    {
        .name = "emergency-write",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Let the guest write single characters without queues.",
        .offset = offsetof(struct virtio_serial, emergency),
        .def = 1,
    },
    {0},
};

static int post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    const struct virtio_serial *s = staged, *now = state;
    uint32_t all = (uint32_t)((UINT64_C(1) << now->max_ports) - 1);

    if ((s->added | s->removed) & ~all)
        return lunik_fail(err, LUNIK_E_INVALID, "added, removed: 0x%x has ports beyond %u",
                          s->added | s->removed, (unsigned)now->max_ports - 1);
    return 0;
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE(struct virtio_serial, ready),
    LUNIK_STATE(struct virtio_serial, added),
    LUNIK_STATE(struct virtio_serial, removed),
    {0},
};

static const lunik_state_table state_table = {
    .name = "virtio-serial",
    .version = 1,
    .size = sizeof(struct virtio_serial),
    .fields = state_fields,
    .post_load = post_load,
};

static const struct virtio_pci_class class = {
    .id = SERIAL_ID, .class_code = SERIAL_CLASS, .ops = &serial_ops, .realize = realize};

const lunik_type virtio_serial_pci_type = {
    VIRTIO_PCI_TYPE("virtio-serial-pci", &class),
    .doc = "Serial ports for a guest (virtio 1.2): the bus of virtconsole and virtserialport.",
    .size = sizeof(struct virtio_serial),
    .props = props,
    .state = &state_table,
};
