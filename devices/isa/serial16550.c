/*
 * serial16550.c: a serial port of a PC: a 16550A UART (uart16550.h) at eight I/O ports, with an
 * interrupt line and a character device at the other end of the line. Without a character device
 * nothing is connected: output is dropped.
 */
#include <stdio.h>

#include "../ports.h"
#include "../types.h"
#include "uart16550.h"

struct serial16550 {
    uint64_t iobase, irq;
    lunik_object *chardev;
    struct uart16550 uart;
    lunik_chardev_front front;
    const lunik_chardev_ops *ops; /* of chardev; NULL without one */
    lunik_timer timer;
    lunik_region *ports;
};

/* ---- between the UART and the character device ---------------------------------------------- */

static size_t port_output(void *opaque, const uint8_t *data, size_t size)
{
    struct serial16550 *s = opaque;

    return s->ops ? s->ops->write(s->chardev, data, size) : size;
}

static void port_input_ready(void *opaque)
{
    struct serial16550 *s = opaque;

    if (s->ops)
        s->ops->accept_input(s->chardev);
}

static void port_schedule(void *opaque, uint64_t deadline)
{
    struct serial16550 *s = opaque;

    lunik_timer_set(&s->timer, deadline);
}

static const struct uart16550_port uart_port = {
    .output = port_output,
    .input_ready = port_input_ready,
    .schedule = port_schedule,
};

static void timer_fired(lunik_timer *timer)
{
    uart16550_tick(&lunik_container_of(timer, struct serial16550, timer)->uart);
}

static size_t front_can_receive(void *opaque)
{
    struct serial16550 *s = opaque;

    return uart16550_can_receive(&s->uart);
}

static void front_receive(void *opaque, const uint8_t *data, size_t size)
{
    struct serial16550 *s = opaque;

    uart16550_receive(&s->uart, data, size);
}

static void front_writable(void *opaque)
{
    struct serial16550 *s = opaque;

    uart16550_writable(&s->uart);
}

/* ---- ports ---------------------------------------------------------------------------------- */

static lunik_access ports_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct serial16550 *s = opaque;

    *value = uart16550_read(&s->uart, (unsigned)offset);
    return LUNIK_ACCESS_OK;
}

static lunik_access ports_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct serial16550 *s = opaque;

    uart16550_write(&s->uart, (unsigned)offset, (uint8_t)value);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops ports_ops = {
    .read = ports_read,
    .write = ports_write,
    .valid = {.min = 1, .max = 4, .unaligned = true},
    .impl = {.min = 1, .max = 1},
};

/* ---- life cycle ----------------------------------------------------------------------------- */

static int attach_chardev(struct serial16550 *s, lunik_object *o, lunik_error *err)
{
    int code;

    if (!s->chardev)
        return 0;
    code = lunik_object_claim(s->chardev, o, err);
    if (code)
        return lunik_fail_prefix(err, code, "serial16550: chardev");
    s->front = (lunik_chardev_front){
        .opaque = s,
        .can_receive = front_can_receive,
        .receive = front_receive,
        .writable = front_writable,
    };
    s->ops = lunik_chardev_iface(s->chardev);
    code = s->ops->attach(s->chardev, &s->front, err);
    if (code) {
        s->ops = NULL;
        lunik_object_release(s->chardev, o);
    }
    return code;
}

/* The character device was full to the end. */
static void report_unsent(const struct serial16550 *s)
{
    char message[96];

    if (!s->uart.tx.count)
        return;
    snprintf(message, sizeof(message),
             "%u bytes of output are lost: the serial port is gone before they were taken",
             (unsigned)s->uart.tx.count);
    lunik_emit(lunik_object_machine(s->chardev), "chardev-error",
               LUNIK_FIELD_STRING("object", lunik_object_id(s->chardev)),
               LUNIK_FIELD_STRING("message", message));
}

static void detach_chardev(struct serial16550 *s, lunik_object *o)
{
    if (!s->ops)
        return;
    report_unsent(s);
    s->ops->attach(s->chardev, NULL, NULL);
    s->ops = NULL;
    lunik_object_release(s->chardev, o);
}

static int serial16550_realize(lunik_object *o, lunik_error *err)
{
    struct serial16550 *s = lunik_state(o);
    lunik_machine *m = lunik_object_machine(o);
    int code;

    lunik_timer_init(&s->timer, m, timer_fired);
    uart16550_init(&s->uart, lunik_machine_clock(m), &uart_port, s);
    code = lunik_irq_connect(m, &s->uart.irq, (unsigned)s->irq, err);
    if (code)
        return lunik_fail_prefix(err, code, "serial16550: irq");
    code = attach_chardev(s, o, err);
    if (code)
        goto disconnect;
    code = device_ports_new(&s->ports, s, "serial", s->iobase, UART_REGISTERS, &ports_ops, err);
    if (code)
        goto detach;
    return 0;

detach:
    detach_chardev(s, o);
    lunik_timer_cancel(&s->timer);
disconnect:
    lunik_irq_disconnect(&s->uart.irq);
    return code;
}

static void serial16550_unrealize(lunik_object *o)
{
    struct serial16550 *s = lunik_state(o);

    device_region_drop(&s->ports);
    detach_chardev(s, o);
    lunik_timer_cancel(&s->timer);
    lunik_irq_disconnect(&s->uart.irq);
}

static void serial16550_reset(lunik_object *o)
{
    struct serial16550 *s = lunik_state(o);

    uart16550_reset(&s->uart);
}

static void serial16550_describe(lunik_object *o, lunik_acpi_node *out)
{
    const struct serial16550 *s = lunik_state(o);

    *out = (lunik_acpi_node){
        .part = "serial",
        .count = 2,
        .values = {{"SIOB", s->iobase}, {"SIRQ", s->irq}},
    };
}

static const lunik_acpi_ops serial16550_acpi = {.describe = serial16550_describe};

static const lunik_iface serial16550_ifaces[] = {LUNIK_IFACE(acpi, &serial16550_acpi), {0}};

static const lunik_prop serial16550_props[] = {
    DEVICE_IOBASE_PROP(struct serial16550, "First of the eight I/O ports.", 0x3f8,
                       0x10000 - UART_REGISTERS),
    DEVICE_IRQ_PROP("irq", struct serial16550, irq, "Interrupt line (GSI), 0 to 23.", 4),
    {
        .name = "chardev",
        .kind = LUNIK_PROP_LINK,
        .doc = "The character device at the other end of the line; without one output is dropped.",
        .offset = offsetof(struct serial16550, chardev),
        .link = "chardev",
    },
    {0},
};

const lunik_type serial16550_type = {
    .name = "serial16550",
    .doc = "Serial port with a 16550A UART.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(struct serial16550),
    .props = serial16550_props,
    .ifaces = serial16550_ifaces,
    .realize = serial16550_realize,
    .unrealize = serial16550_unrealize,
    .reset = serial16550_reset,
};
