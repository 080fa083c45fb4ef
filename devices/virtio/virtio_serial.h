/*
 * virtio_serial.h: the parts of the console device (virtio 1.2, section 5.3): virtio-serial-pci,
 * and the ports on it, which are devices of their own.
 *
 * All of it runs with the machine lock: character devices need that.
 */
#ifndef VIRTIO_VIRTIO_SERIAL_H
#define VIRTIO_VIRTIO_SERIAL_H

#include "virtio_pci.h"

enum {
    VIRTIO_SERIAL_PORTS_MAX = 31,
    VIRTIO_SERIAL_NAME_MAX = 128, /* bytes of a port's name */
    VIRTIO_SERIAL_SIZE = 1 << 0,  /* features */
    VIRTIO_SERIAL_MULTIPORT = 1 << 1,
    VIRTIO_SERIAL_EMERGENCY = 1 << 2,
};

/* Messages that a port has for the driver, in the order in which they are sent. */
enum {
    PORT_SENDS_ADD = 1,
    PORT_SENDS_CONSOLE = 2,
    PORT_SENDS_NAME = 4,
    PORT_SENDS_OPEN = 8,
};

struct virtio_serial;

struct virtio_serial_port {
    lunik_object *bus, *chardev;
    int64_t nr;
    char *name;

    bool console;
    struct virtio_serial *serial; /* NULL: on no bus */
    lunik_chardev_front front;
    const lunik_chardev_ops *ops; /* NULL: no character device */
    bool open;                    /* by the guest */
    uint8_t pending;              /* PORT_SENDS_* */
    uint32_t done;                /* bytes of the next request that have been written */
    uint64_t received, sent;      /* bytes, as the guest sees it */
};

struct virtio_serial {
    struct virtio_pci pci;
    uint64_t max_ports;
    bool emergency;

    uint8_t config[12]; /* columns, rows, ports, emergency write */
    struct virtio_serial_port *ports[VIRTIO_SERIAL_PORTS_MAX];
    bool active[2 * VIRTIO_SERIAL_PORTS_MAX + 2]; /* queues that are served */
    bool ready;                                   /* the driver takes messages */
    uint32_t added;   /* numbers of ports that the driver has heard of */
    uint32_t removed; /* and that it has to hear of that they are gone */
};

static inline bool virtio_serial_multiport(const struct virtio_serial *s)
{
    return s->pci.virtio.features & VIRTIO_SERIAL_MULTIPORT;
}

/* The queue that carries what a port receives; the one after it carries what it sends. */
static inline unsigned virtio_serial_queue(unsigned nr)
{
    return nr ? 2 * nr + 2 : 0;
}

/* virtio_serial.c: sends the messages that are pending, as far as the driver has room. */
void virtio_serial_report(struct virtio_serial *s);

/* virtio_serial_port.c */
void virtio_serial_port_send(struct virtio_serial_port *p);
/* The driver has given buffers, or the port has been opened. */
void virtio_serial_port_resume(struct virtio_serial_port *p);
void virtio_serial_port_set_open(struct virtio_serial_port *p, bool open);
/* The driver is gone. */
void virtio_serial_port_reset(struct virtio_serial_port *p);

#endif
