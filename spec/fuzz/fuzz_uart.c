/*
 * fuzz_uart.c: the 16550A register model between a guest, a line and a far end that takes what it
 * likes, against a model of the two FIFOs.
 *
 * Nothing is lost, doubled or reordered but what the data sheet says and what no line would hold;
 * line and interrupt identification agree; deadlines are in the future. -runs=25000
 */
#include "devices/isa/uart16550_chip.h"
#include "chip_clock.h"
#include "fuzz.h"

enum { RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR };
enum { DLAB = 0x80, LCR_BREAK = 0x40, LOOP = 0x10, FIFO = 0x01, CLEAR_RX = 0x02, CLEAR_TX = 0x04 };
enum { DR = 0x01, THRE = 0x20 };

/* What waits, oldest first: in a FIFO, or on the line and in the FIFO behind it. */
struct queue {
    uint8_t bytes[2 * UART_FIFO_SIZE];
    unsigned count;
};

static struct {
    struct uart16550_chip uart;
    struct queue rx, tx;
    unsigned in_fifo; /* the last ones of tx */
    uint8_t lcr, mcr, fcr, scr;
    unsigned takes; /* bytes that the far end still takes */
} b;

/* ---- the model ------------------------------------------------------------------------------ */

static unsigned depth(void)
{
    return b.fcr & FIFO ? UART_FIFO_SIZE : 1;
}

static uint8_t pop(struct queue *q)
{
    uint8_t byte = q->bytes[0];

    memmove(q->bytes, q->bytes + 1, --q->count);
    return byte;
}

static void arrives(uint8_t byte)
{
    if (b.rx.count == depth()) {
        if (b.fcr & FIFO)
            return;
        b.rx.count = 0;
    }
    b.rx.bytes[b.rx.count++] = byte;
}

/* A character is written. */
static void leaves(uint8_t byte)
{
    if (b.mcr & LOOP) {
        arrives(byte);
        return;
    }
    if (b.in_fifo == depth()) {
        b.tx.count--;
        b.in_fifo--;
    }
    b.tx.bytes[b.tx.count++] = byte;
    b.in_fifo++;
}

/* The transmit FIFO is emptied onto the line. */
static void empty_fifo(void)
{
    b.in_fifo = 0;
    if (b.tx.count > UART_FIFO_SIZE)
        b.tx.count = UART_FIFO_SIZE;
}

/* ---- the port ------------------------------------------------------------------------------- */

static size_t output(void *opaque, const uint8_t *data, size_t size)
{
    uint8_t want;

    fuzz_check(size > 0, "nothing is sent");
    if (!b.takes)
        return 0;
    b.takes--;
    fuzz_check(b.tx.count, "0x%x is sent, which the guest did not write", *data);
    want = pop(&b.tx);
    if (b.in_fifo > b.tx.count)
        b.in_fifo = b.tx.count;
    fuzz_check(*data == want, "0x%x is sent, want 0x%x", *data, want);
    return 1;
}

static void input_ready(void *opaque)
{
}

static const struct uart16550_port port = {output, input_ready, chip_clock_schedule};

/* ---- the guest ------------------------------------------------------------------------------ */

static void model_write(unsigned offset, uint8_t value)
{
    bool dlab = b.lcr & DLAB;

    if (offset == RBR && !dlab) {
        leaves(value);
    } else if (offset == IIR) {
        if ((value ^ b.fcr) & FIFO || (value & FIFO && value & CLEAR_RX))
            b.rx.count = 0;
        if ((value ^ b.fcr) & FIFO || (value & FIFO && value & CLEAR_TX))
            empty_fifo();
        b.fcr = value & FIFO;
    } else if (offset == LCR) {
        if (value & LCR_BREAK && !(b.lcr & LCR_BREAK) && b.mcr & LOOP)
            arrives(0);
        b.lcr = value;
    } else if (offset == MCR) {
        if (value & LOOP)
            empty_fifo();
        b.mcr = value & 0x1f;
    } else if (offset == SCR) {
        b.scr = value;
    }
}

static void guest_read(unsigned offset)
{
    bool dlab = b.lcr & DLAB, line = b.uart.irq.level, had = b.rx.count;
    uint8_t value = uart16550_read(&b.uart, offset);

    if (offset == RBR && !dlab)
        fuzz_check(value == (had ? pop(&b.rx) : 0), "0x%x was not received", value);
    else if (offset == IIR)
        fuzz_check(line == !(value & 1), "line %d, identification 0x%x", line, value);
    else if (offset == LCR)
        fuzz_check(value == b.lcr, "LCR is 0x%x, want 0x%x", value, b.lcr);
    else if (offset == MCR)
        fuzz_check(value == b.mcr, "MCR is 0x%x, want 0x%x", value, b.mcr);
    else if (offset == SCR)
        fuzz_check(value == b.scr, "SCR is 0x%x, want 0x%x", value, b.scr);
    else if (offset == LSR)
        fuzz_check(!(value & DR) == !b.rx.count && !(value & THRE) == !!b.in_fifo,
                   "LSR is 0x%x with %u received and %u to send", value, b.rx.count, b.in_fifo);
}

/* Everything that was received goes, but not what is to be sent. */
static void guest_reset(void)
{
    b.lcr = b.mcr = b.fcr = b.scr = 0;
    b.rx.count = 0;
    empty_fifo();
    uart16550_reset(&b.uart);
}

static void receive(void)
{
    size_t size, room = uart16550_can_receive(&b.uart);
    const uint8_t *bytes = fuzz_bytes(24, &size);

    fuzz_check(room == (b.mcr & LOOP ? 0 : depth() - b.rx.count), "room for %zu with %u received",
               room, b.rx.count);
    for (size_t i = 0; i < size && !(b.mcr & LOOP); i++)
        arrives(bytes[i]);
    uart16550_receive(&b.uart, bytes, size);
}

static void tick(void)
{
    uart16550_tick(&b.uart);
}

static void advance(uint64_t ns)
{
    chip_clock_advance(ns, tick);
}

static void operate(void)
{
    uint8_t how = fuzz_byte();

    switch (how & 15) {
    case 0:
        receive();
        break;
    case 1:
        if (!(b.mcr & LOOP))
            arrives(0);
        uart16550_break(&b.uart);
        break;
    case 2:
        b.takes = how >> 4;
        uart16550_writable(&b.uart);
        break;
    case 3:
        uart16550_set_modem(&b.uart, fuzz_byte());
        break;
    case 4:
        advance(fuzz_number(how & 0x80 ? 8 : 5));
        break;
    case 5:
        if (how >> 4 == 0)
            guest_reset();
        break;
    default:
        if (how & 1) {
            uint8_t value = fuzz_byte();

            model_write(how >> 4 & 7, value);
            uart16550_write(&b.uart, how >> 4 & 7, value);
        } else {
            guest_read(how >> 4 & 7);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_begin(data, size);
    memset(&b, 0, sizeof(b));
    chip_clock_start();
    uart16550_init(&b.uart, &chip.clock, &port, NULL);
    while (fuzz_more())
        operate();
    b.takes = 2 * UART_FIFO_SIZE;
    uart16550_writable(&b.uart);
    fuzz_check(!b.tx.count, "%u bytes were not sent", b.tx.count);
    return 0;
}
