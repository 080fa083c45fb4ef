/* uart16550_chip.c: see uart16550_chip.h. */
#include <string.h>

#include "uart16550_chip.h"
#include "uart16550_regs.h"

/* ---- FIFOs ---------------------------------------------------------------------------------- */

static bool fifo_enabled(const struct uart16550_chip *u)
{
    return u->fcr & FCR_ENABLE;
}

/* Returns how many characters either FIFO holds: in 16450 mode there is only a holding register. */
static unsigned fifo_depth(const struct uart16550_chip *u)
{
    return fifo_enabled(u) ? UART_FIFO_SIZE : 1;
}

/* ---- interrupts ----------------------------------------------------------------------------- */

static unsigned trigger_level(const struct uart16550_chip *u)
{
    static const uint8_t levels[] = {1, 4, 8, 14};

    return fifo_enabled(u) ? levels[u->fcr >> 6] : 1;
}

/* Returns when characters below the trigger level are reported: four character times after the last
 * one came in or was read. UINT64_MAX if there are none, or the clock ends before. */
static uint64_t timeout_deadline(const struct uart16550_chip *u)
{
    unsigned bits =
        1 + 5 + (u->lcr & LCR_LENGTH) + !!(u->lcr & LCR_PARITY) + 1 + !!(u->lcr & LCR_STOP);
    uint64_t divisor = u->divisor ? u->divisor : 1, at;

    if (!u->rx.count || u->rx.count >= trigger_level(u) ||
        __builtin_add_overflow(u->rx_activity, 4 * bits * 16 * divisor * 1000000000 / INPUT_CLOCK,
                               &at))
        return UINT64_MAX;
    return at;
}

static uint8_t interrupt_id(const struct uart16550_chip *u)
{
    if ((u->ier & IER_LINE) && (u->lsr & LSR_ERRORS))
        return IIR_LINE;
    if ((u->ier & IER_RX) && u->rx.count >= trigger_level(u))
        return IIR_RX;
    if ((u->ier & IER_RX) && u->rx.count && lunik_clock_read(u->clock) >= timeout_deadline(u))
        return IIR_TIMEOUT;
    if ((u->ier & IER_THRE) && u->thre_pending)
        return IIR_THRE;
    if ((u->ier & IER_MODEM) && (u->msr & MSR_DELTA))
        return IIR_MODEM;
    return IIR_NONE;
}

/* Updates the interrupt line and the deadline. A deadline that has passed needs no timer, not even
 * when another interrupt hides that one: reading the register it is about updates again. */
static void update(struct uart16550_chip *u)
{
    uint8_t id = interrupt_id(u);
    uint64_t deadline = UINT64_MAX;

    if (u->ier & IER_RX)
        deadline = timeout_deadline(u);
    if (deadline <= lunik_clock_read(u->clock))
        deadline = UINT64_MAX;
    lunik_irq_set(&u->irq, id != IIR_NONE);
    if (deadline != u->scheduled) {
        u->scheduled = deadline;
        u->port->schedule(u->opaque, deadline);
    }
}

void uart16550_tick(struct uart16550_chip *u)
{
    u->scheduled = UINT64_MAX;
    update(u);
}

/* ---- receiver ------------------------------------------------------------------------------- */

/* Shows the character at the head of the FIFO, with its errors, in LSR. */
static void show_head(struct uart16550_chip *u)
{
    if (u->rx.count) {
        u->lsr |= LSR_DR | u->rx.errors[u->rx.head];
        u->rx.errors[u->rx.head] = 0;
    } else {
        u->lsr &= ~LSR_DR;
    }
}

static void receive_one(struct uart16550_chip *u, uint8_t data, uint8_t errors)
{
    u->rx_activity = lunik_clock_read(u->clock);
    if (u->rx.count == fifo_depth(u)) {
        u->lsr |= LSR_OE;
        if (fifo_enabled(u))
            return; /* the FIFO keeps what it has; only the shift register is overwritten */
        u->rx.count = 0;
    }
    uart16550_fifo_push(&u->rx, data, errors);
    if (u->rx.count == 1)
        show_head(u);
}

size_t uart16550_can_receive(const struct uart16550_chip *u)
{
    return u->mcr & MCR_LOOP ? 0 : fifo_depth(u) - u->rx.count;
}

void uart16550_receive(struct uart16550_chip *u, const uint8_t *data, size_t size)
{
    if (u->mcr & MCR_LOOP)
        return;
    for (size_t i = 0; i < size; i++)
        receive_one(u, data[i], 0);
    update(u);
}

void uart16550_break(struct uart16550_chip *u)
{
    if (u->mcr & MCR_LOOP)
        return;
    receive_one(u, 0, LSR_BI);
    update(u);
}

static uint8_t read_data(struct uart16550_chip *u)
{
    uint8_t data;

    if (!u->rx.count)
        return 0;
    data = uart16550_fifo_pop(&u->rx);
    u->rx_activity = lunik_clock_read(u->clock);
    show_head(u);
    update(u);
    u->port->input_ready(u->opaque);
    return data;
}

static uint8_t read_line_status(struct uart16550_chip *u)
{
    uint8_t value = u->lsr;

    if (fifo_enabled(u) && ((value & (LSR_ERRORS & ~LSR_OE)) || uart16550_fifo_errors(&u->rx)))
        value |= LSR_FIFO;
    if (value & LSR_ERRORS) {
        u->lsr &= ~LSR_ERRORS;
        update(u);
    }
    return value;
}

static void clear_receiver(struct uart16550_chip *u)
{
    u->rx.count = 0;
    u->lsr &= ~(LSR_DR | LSR_BI);
}

/* ---- transmitter ---------------------------------------------------------------------------- */

static void transmitter_empty(struct uart16550_chip *u)
{
    u->lsr |= LSR_THRE | LSR_TEMT;
    u->thre_pending = true;
}

/* Sends the characters that the other end takes. The output function may call this again, or reset
 * the chip. */
static void transmit(struct uart16550_chip *u)
{
    if (u->transmitting)
        return;
    u->transmitting = true;
    while (u->tx.count && u->port->output(u->opaque, &u->tx.data[u->tx.head], 1) > 0)
        if (uart16550_output_pop(&u->tx))
            transmitter_empty(u);
    u->transmitting = false;
}

static void clear_transmitter(struct uart16550_chip *u)
{
    if (!u->tx.in_fifo)
        return;
    uart16550_output_clear(&u->tx);
    transmitter_empty(u);
}

void uart16550_writable(struct uart16550_chip *u)
{
    transmit(u);
    update(u);
}

static void write_data(struct uart16550_chip *u, uint8_t value)
{
    u->thre_pending = false;
    u->lsr &= ~(LSR_THRE | LSR_TEMT);
    update(u); /* the next empty transmitter is a new edge */
    if (u->mcr & MCR_LOOP) {
        receive_one(u, value, 0);
        transmitter_empty(u);
    } else {
        uart16550_output_push(&u->tx, value, fifo_depth(u));
        transmit(u);
    }
    update(u);
}

/* ---- modem ---------------------------------------------------------------------------------- */

/* Returns the modem inputs: in loopback mode the four outputs are wired back. */
static uint8_t modem_inputs(const struct uart16550_chip *u)
{
    if (!(u->mcr & MCR_LOOP))
        return u->modem;
    return (u->mcr & MCR_RTS ? UART_MODEM_CTS : 0) | (u->mcr & MCR_DTR ? UART_MODEM_DSR : 0) |
           (u->mcr & MCR_OUT1 ? UART_MODEM_RI : 0) | (u->mcr & MCR_OUT2 ? UART_MODEM_DCD : 0);
}

static void modem_changed(struct uart16550_chip *u)
{
    uint8_t now = modem_inputs(u), changed = (u->msr ^ now) & ~MSR_DELTA;

    if (changed & UART_MODEM_CTS)
        u->msr |= MSR_DCTS;
    if (changed & UART_MODEM_DSR)
        u->msr |= MSR_DDSR;
    if ((changed & UART_MODEM_RI) && !(now & UART_MODEM_RI))
        u->msr |= MSR_TERI;
    if (changed & UART_MODEM_DCD)
        u->msr |= MSR_DDCD;
    u->msr = now | (u->msr & MSR_DELTA);
}

void uart16550_set_modem(struct uart16550_chip *u, uint8_t lines)
{
    u->modem = lines & ~MSR_DELTA;
    modem_changed(u);
    update(u);
}

static uint8_t read_modem_status(struct uart16550_chip *u)
{
    uint8_t value = u->msr;

    if (value & MSR_DELTA) {
        u->msr &= ~MSR_DELTA;
        update(u);
    }
    return value;
}

/* ---- control registers ---------------------------------------------------------------------- */

static void write_ier(struct uart16550_chip *u, uint8_t value)
{
    bool thre_enabled = (value & IER_THRE) && !(u->ier & IER_THRE);

    u->ier = value & IER_MASK;
    if (thre_enabled && (u->lsr & LSR_THRE))
        u->thre_pending = true; /* enabling it reports an empty transmitter once more */
    update(u);
}

static uint8_t read_iir(struct uart16550_chip *u)
{
    uint8_t id = interrupt_id(u);

    if (id == IIR_THRE) {
        u->thre_pending = false;
        update(u);
    }
    return id | (fifo_enabled(u) ? IIR_FIFOS : 0);
}

static void write_fcr(struct uart16550_chip *u, uint8_t value)
{
    size_t room = uart16550_can_receive(u);
    bool switched = (value ^ u->fcr) & FCR_ENABLE;

    /* The other bits count only while the enable bit is written as one. */
    u->fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0;
    if (switched || ((value & FCR_ENABLE) && (value & FCR_CLEAR_RX)))
        clear_receiver(u);
    if (switched || ((value & FCR_ENABLE) && (value & FCR_CLEAR_TX)))
        clear_transmitter(u);
    update(u);
    if (uart16550_can_receive(u) > room)
        u->port->input_ready(u->opaque);
}

static void write_lcr(struct uart16550_chip *u, uint8_t value)
{
    bool break_begins = (value & LCR_BREAK) && !(u->lcr & LCR_BREAK);

    u->lcr = value;
    if (break_begins && (u->mcr & MCR_LOOP))
        receive_one(u, 0, LSR_BI);
    update(u);
}

static void write_mcr(struct uart16550_chip *u, uint8_t value)
{
    bool left_loop = (u->mcr & MCR_LOOP) && !(value & MCR_LOOP);

    if (value & MCR_LOOP)
        clear_transmitter(u); /* earlier characters are not looped back */
    u->mcr = value & MCR_MASK;
    modem_changed(u);
    update(u);
    if (left_loop)
        u->port->input_ready(u->opaque);
}

static void write_divisor(struct uart16550_chip *u, unsigned offset, uint8_t value)
{
    if (offset == REG_DATA)
        u->divisor = (u->divisor & 0xff00) | value;
    else
        u->divisor = (uint16_t)((u->divisor & 0x00ff) | value << 8);
    update(u);
}

/* ---- registers ------------------------------------------------------------------------------ */

uint8_t uart16550_read(struct uart16550_chip *u, unsigned offset)
{
    bool dlab = u->lcr & LCR_DLAB;

    switch (offset) {
    case REG_DATA:
        return dlab ? u->divisor & 0xff : read_data(u);
    case REG_IER:
        return dlab ? u->divisor >> 8 : u->ier;
    case REG_IIR:
        return read_iir(u);
    case REG_LCR:
        return u->lcr;
    case REG_MCR:
        return u->mcr;
    case REG_LSR:
        return read_line_status(u);
    case REG_MSR:
        return read_modem_status(u);
    case REG_SCR:
        return u->scr;
    default:
        return 0xff;
    }
}

void uart16550_write(struct uart16550_chip *u, unsigned offset, uint8_t value)
{
    if ((offset == REG_DATA || offset == REG_IER) && (u->lcr & LCR_DLAB)) {
        write_divisor(u, offset, value);
        return;
    }
    switch (offset) {
    case REG_DATA:
        write_data(u, value);
        break;
    case REG_IER:
        write_ier(u, value);
        break;
    case REG_IIR:
        write_fcr(u, value);
        break;
    case REG_LCR:
        write_lcr(u, value);
        break;
    case REG_MCR:
        write_mcr(u, value);
        break;
    case REG_SCR:
        u->scr = value;
        break;
    default:
        break; /* LSR and MSR: written only by factory tests */
    }
}

/* ---- state ---------------------------------------------------------------------------------- */

/* The size of the FIFOs depends on whether they are enabled. */
static int post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    const struct uart16550_chip *u = staged;
    unsigned depth = fifo_depth(u);

    if (u->rx.count > depth)
        return lunik_fail(err, LUNIK_E_INVALID, "rx.count: %u is out of range (want 0 to %u)",
                          u->rx.count, depth);
    if (u->tx.in_fifo > depth)
        return lunik_fail(err, LUNIK_E_INVALID, "tx.in_fifo: %u is out of range (want 0 to %u)",
                          u->tx.in_fifo, depth);
    if (u->tx.count < u->tx.in_fifo || u->tx.count - u->tx.in_fifo > UART_FIFO_SIZE)
        return lunik_fail(err, LUNIK_E_INVALID, "tx.count: %u is out of range (want %u to %u)",
                          u->tx.count, u->tx.in_fifo, u->tx.in_fifo + UART_FIFO_SIZE);
    return 0;
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE(struct uart16550_chip, ier),
    LUNIK_STATE(struct uart16550_chip, fcr),
    LUNIK_STATE(struct uart16550_chip, lcr),
    LUNIK_STATE(struct uart16550_chip, mcr),
    LUNIK_STATE(struct uart16550_chip, lsr),
    LUNIK_STATE(struct uart16550_chip, msr),
    LUNIK_STATE(struct uart16550_chip, scr),
    LUNIK_STATE(struct uart16550_chip, modem),
    LUNIK_STATE(struct uart16550_chip, divisor),
    LUNIK_STATE_ARRAY(struct uart16550_chip, rx.data),
    LUNIK_STATE_ARRAY(struct uart16550_chip, rx.errors),
    LUNIK_STATE(struct uart16550_chip, rx.head, .limit = UART_FIFO_SIZE),
    LUNIK_STATE(struct uart16550_chip, rx.count),
    LUNIK_STATE_ARRAY(struct uart16550_chip, tx.data),
    LUNIK_STATE(struct uart16550_chip, tx.head, .limit = 2 * UART_FIFO_SIZE),
    LUNIK_STATE(struct uart16550_chip, tx.count),
    LUNIK_STATE(struct uart16550_chip, tx.in_fifo),
    LUNIK_STATE(struct uart16550_chip, thre_pending),
    LUNIK_STATE_TIME(struct uart16550_chip, rx_activity),
    {0},
};

const lunik_state_table uart16550_chip_state = {
    .name = "uart",
    .version = 1,
    .size = sizeof(struct uart16550_chip),
    .fields = state_fields,
    .post_load = post_load,
};

/* ---- life cycle ----------------------------------------------------------------------------- */

void uart16550_reset(struct uart16550_chip *u)
{
    u->ier = u->fcr = u->lcr = u->mcr = u->scr = 0;
    u->divisor = DEFAULT_DIVISOR;
    clear_transmitter(u);
    u->lsr = LSR_THRE | LSR_TEMT;
    u->msr = u->modem;
    u->rx.count = 0;
    u->thre_pending = false;
    u->rx_activity = 0;
    update(u);
    u->port->input_ready(u->opaque);
}

void uart16550_init(struct uart16550_chip *u, lunik_clock *clock, const struct uart16550_port *port,
                    void *opaque)
{
    memset(u, 0, sizeof(*u));
    u->clock = clock;
    u->port = port;
    u->opaque = opaque;
    u->modem = UART_MODEM_CTS | UART_MODEM_DSR | UART_MODEM_DCD;
    u->scheduled = UINT64_MAX;
    uart16550_reset(u);
}
