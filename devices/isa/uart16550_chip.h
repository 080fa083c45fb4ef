/*
 * uart16550_chip.h: the register model of a PC16550D UART (National Semiconductor PC16550D data
 * sheet, June 1995), apart from any bus.
 *
 * Characters leave the moment they are written, or as soon as the other end takes them. An emptied
 * transmit FIFO (FCR, a change of its enable bit, loopback mode, a reset) is empty for the guest at
 * once; up to sixteen characters that the other end has not taken yet count as on the line and
 * still go out, in front of later ones, as they would have at any baud rate; more are dropped. The
 * baud rate only sets how long the receiver waits before it reports a FIFO that has not reached its
 * trigger level.
 *
 * Not modelled: parity, stop bits, the break sent to the other end, and a gate on the interrupt
 * line (OUT2), which belongs to the board around the chip and which many guests leave off.
 */
#ifndef ISA_UART16550_CHIP_H
#define ISA_UART16550_CHIP_H

#include "lunik_device.h"
#include "uart16550_fifo.h"

#define UART_REGISTERS 8

/* Modem lines for uart16550_set_modem(): the upper half of MSR. */
#define UART_MODEM_CTS 0x10
#define UART_MODEM_DSR 0x20
#define UART_MODEM_RI  0x40
#define UART_MODEM_DCD 0x80

/* The wires of the chip. */
struct uart16550_port {
    /* Sends characters; returns how many were taken. After a short count uart16550_writable() has
     * to be called once there is room. */
    size_t (*output)(void *opaque, const uint8_t *data, size_t size);
    /* Reports that uart16550_can_receive() has grown. */
    void (*input_ready)(void *opaque);
    /* Asks for a call of uart16550_tick() at deadline, in ns of the clock; UINT64_MAX: never. */
    void (*schedule)(void *opaque, uint64_t deadline);
};

struct uart16550_chip {
    lunik_irq irq;
    lunik_clock *clock;
    const struct uart16550_port *port;
    void *opaque;

    uint8_t ier, fcr, lcr, mcr, lsr, msr, scr;
    uint8_t modem; /* the lines that the modem drives */
    uint16_t divisor;
    struct uart16550_fifo rx;
    struct uart16550_output tx;
    bool transmitting;    /* the port's output function is on the stack */
    bool thre_pending;    /* the transmitter-empty interrupt has not been acknowledged */
    uint64_t rx_activity; /* when a character last came in or was read */
    uint64_t scheduled;   /* the deadline last given to the port */
};

void uart16550_init(struct uart16550_chip *u, lunik_clock *clock, const struct uart16550_port *port,
                    void *opaque);
/* Pulses the master reset pin. */
void uart16550_reset(struct uart16550_chip *u);

/* Register access; offset 0..7. */
uint8_t uart16550_read(struct uart16550_chip *u, unsigned offset);
void uart16550_write(struct uart16550_chip *u, unsigned offset, uint8_t value);

/* Returns how many characters fit without an overrun; 0 in loopback mode, where the line is cut
 * off. */
size_t uart16550_can_receive(const struct uart16550_chip *u);
/* Receives characters, or a break, from the line. Those that do not fit are an overrun. */
void uart16550_receive(struct uart16550_chip *u, const uint8_t *data, size_t size);
void uart16550_break(struct uart16550_chip *u);
/* Goes on sending: the other end has room for output again. */
void uart16550_writable(struct uart16550_chip *u);
/* Sets the modem's lines, UART_MODEM_* bits. */
void uart16550_set_modem(struct uart16550_chip *u, uint8_t lines);
/* Reports that the deadline has come. */
void uart16550_tick(struct uart16550_chip *u);

/* Registers and FIFOs. When all has been loaded, and no deadline is waited for, the device calls
 * uart16550_tick(); before the machine goes on, uart16550_writable(). */
extern const lunik_state_table uart16550_chip_state;

#endif
