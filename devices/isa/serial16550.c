/*
 * serial16550.c: a serial port of a PC: a 16550A UART (uart16550_chip.h) at eight I/O ports, with
 * an interrupt line and a character device at the other end of the line. Without a character device
 * nothing is connected: output is dropped.
 */
#include <stdio.h>

#include "uart16550_chip.h"
#include "../ports.h"
#include "../types.h"

struct serial16550 {
    uint64_t iobase, irq;
    lunik_object *chardev;
    struct uart16550_chip uart;
    lunik_chardev_front front;
    const lunik_chardev_ops *ops; /* of chardev; NULL without one */
    lunik_timer timer;
    lunik_region *ports;
};

static void reset(lunik_object *o)
{
    struct serial16550 *s = lunik_state(o);

    uart16550_reset(&s->uart);
}

/* ---- ports ---------------------------------------------------------------------------------- */

static lunik_access port_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct serial16550 *s = opaque;

    *value = uart16550_read(&s->uart, (unsigned)offset);
    return LUNIK_ACCESS_OK;
}

static lunik_access port_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct serial16550 *s = opaque;

    uart16550_write(&s->uart, (unsigned)offset, (uint8_t)value);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops port_ops = {
    .read = port_read,
    .write = port_write,
    DEVICE_BYTE_PORTS,
};

/* ---- between the UART and the character device ---------------------------------------------- */

static size_t line_output(void *opaque, const uint8_t *data, size_t size)
{
    struct serial16550 *s = opaque;

    return s->ops ? s->ops->write(s->chardev, data, size) : size;
}

static void line_input_ready(void *opaque)
{
    struct serial16550 *s = opaque;

    if (s->ops)
        s->ops->accept_input(s->chardev);
}

static void schedule(void *opaque, uint64_t deadline)
{
    struct serial16550 *s = opaque;

    lunik_timer_set(&s->timer, deadline);
}

static const struct uart16550_port uart_line = {
    .output = line_output,
    .input_ready = line_input_ready,
    .schedule = schedule,
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

static void front_break(void *opaque)
{
    struct serial16550 *s = opaque;

    uart16550_break(&s->uart);
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static int attach_chardev(struct serial16550 *s, lunik_object *o, lunik_error *err)
{
    int rc;

    if (!s->chardev)
        return 0;
    rc = lunik_object_claim(s->chardev, o, err);
    if (rc)
        return lunik_fail_prefix(err, rc, "serial16550: chardev");
    s->front = (lunik_chardev_front){
        .opaque = s,
        .can_receive = front_can_receive,
        .receive = front_receive,
        .writable = front_writable,
        .line_break = front_break,
    };
    s->ops = lunik_chardev_iface(s->chardev);
    rc = s->ops->attach(s->chardev, &s->front, err);
    if (rc) {
        s->ops = NULL;
        lunik_object_release(s->chardev, o);
    }
    return rc;
}

/* Reports output that is left in the UART because the character device was full to the end. */
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

static int realize(lunik_object *o, lunik_error *err)
{
    struct serial16550 *s = lunik_state(o);
    lunik_machine *m = lunik_object_machine(o);
    int rc;

    lunik_timer_init(&s->timer, m, timer_fired);
    uart16550_init(&s->uart, lunik_machine_clock(m), &uart_line, s);
    rc = lunik_irq_connect(m, &s->uart.irq, (unsigned)s->irq, err);
    if (rc)
        return lunik_fail_prefix(err, rc, "serial16550: irq");
    rc = attach_chardev(s, o, err);
    if (rc)
        goto disconnect;
    rc = device_ports_new(&s->ports, o, "serial", s->iobase, UART_REGISTERS, &port_ops, s, err);
    if (rc)
        goto detach;
    return 0;

detach:
    detach_chardev(s, o);
    lunik_timer_cancel(&s->timer);
disconnect:
    lunik_irq_disconnect(&s->uart.irq);
    return rc;
}

static void unrealize(lunik_object *o)
{
    struct serial16550 *s = lunik_state(o);

    device_region_drop(&s->ports);
    detach_chardev(s, o);
    lunik_timer_cancel(&s->timer);
    lunik_irq_disconnect(&s->uart.irq);
}

/* ---- properties and interfaces -------------------------------------------------------------- */

static const lunik_prop props[] = {
    DEVICE_IOBASE_PROP(struct serial16550, "First of the eight I/O ports.", 0x3f8,
                       0x10000 - UART_REGISTERS),
    DEVICE_IRQ_PROP("irq", struct serial16550, irq, "Interrupt line (GSI), 0 to 23.", 4),
    DEVICE_CHARDEV_PROP(
        struct serial16550,
        "The character device at the other end of the line; without one output is dropped."),
    {0},
};

static void describe(lunik_object *o, lunik_acpi_node *out)
{
    const struct serial16550 *s = lunik_state(o);

    device_describe_isa(out, "serial", "SIOB", s->iobase, "SIRQ", s->irq);
}

static const lunik_acpi_ops acpi_ops = {.describe = describe};

static const lunik_iface ifaces[] = {LUNIK_IFACE(acpi, &acpi_ops), {0}};

/* Output that the state had not sent, and input that waits for its room. */
static void run_state(lunik_object *o, bool running)
{
    struct serial16550 *s = lunik_state(o);

    if (!running)
        return;
    uart16550_writable(&s->uart);
    line_input_ready(s);
}

/* ---- state ---------------------------------------------------------------------------------- */

/* The timer follows from the registers. */
static void loaded(void *state)
{
    struct serial16550 *s = state;

    lunik_timer_cancel(&s->timer);
    uart16550_tick(&s->uart);
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_STRUCT(struct serial16550, uart, &uart16550_chip_state),
    {0},
};

static const lunik_state_table state_table = {
    .name = "serial16550",
    .version = 1,
    .size = sizeof(struct serial16550),
    .fields = state_fields,
    .loaded = loaded,
};

const lunik_type serial16550_type = {
    .name = "serial16550",
    .doc = "Serial port with a 16550A UART.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(struct serial16550),
    .props = props,
    .ifaces = ifaces,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .run_state = run_state,
    .state = &state_table,
};
