/*
 * uart16550.h: the register model of a PC16550D UART (National Semiconductor PC16550D data sheet,
 * June 1995), apart from any bus.
 *
 * Characters leave the moment they are written, or as soon as the other end takes them. What
 * empties the transmit FIFO (FCR, a change of its enable bit, loopback mode, a reset) empties it
 * for the guest at once; up to sixteen characters that the other end has not taken yet count as on
 * the line and still go out, in front of later ones, as they would have at any baud rate; more are
 * dropped. The baud rate only sets how long the receiver waits before it reports a FIFO that has
 * not reached its trigger level. Parity, stop bits and the break sent to the other end are not
 * modelled, nor is a gate on the interrupt line (OUT2), which belongs to the board around the chip
 * and which many guests leave off.
 */
#ifndef ISA_UART16550_H
#define ISA_UART16550_H

#include "lunik_device.h"

#define UART_FIFO_SIZE 16
#define UART_REGISTERS 8

/* Modem lines for uart16550_set_modem(): the upper half of MSR. */
#define UART_MODEM_CTS 0x10
#define UART_MODEM_DSR 0x20
#define UART_MODEM_RI  0x40
#define UART_MODEM_DCD 0x80

/* What the chip is wired to. */
struct uart16550_port {
    /* Sends characters; returns how many were taken. After a short count uart16550_writable() has
     * to be called once there is room. */
    size_t (*output)(void *opaque, const uint8_t *data, size_t size);
    /* uart16550_can_receive() has grown. */
    void (*input_ready)(void *opaque);
    /* uart16550_tick() has to be called at deadline, in ns of the clock; UINT64_MAX: never. */
    void (*schedule)(void *opaque, uint64_t deadline);
};

struct uart16550_fifo {
    uint8_t data[UART_FIFO_SIZE];
    uint8_t errors[UART_FIFO_SIZE]; /* LSR error bits of each character */
    unsigned head, count;
};

/* Characters that the other end has not taken, oldest first: those on the line, then the FIFO. */
struct uart16550_output {
    uint8_t data[2 * UART_FIFO_SIZE];
    unsigned head, count;
    unsigned in_fifo;
};

struct uart16550 {
    lunik_irq irq;
    lunik_clock *clock;
    const struct uart16550_port *port;
    void *opaque;

    uint8_t ier, fcr, lcr, mcr, lsr, msr, scr;
    uint8_t modem; /* what the modem drives */
    uint16_t divisor;
    struct uart16550_fifo rx;
    struct uart16550_output tx;
    bool transmitting;    /* the port's output function is on the stack */
    bool thre_pending;    /* the transmitter-empty interrupt has not been acknowledged */
    uint64_t rx_activity; /* when a character last came in or was read */
    uint64_t scheduled;   /* the deadline last given to the port */
};

void uart16550_init(struct uart16550 *u, lunik_clock *clock, const struct uart16550_port *port,
                    void *opaque);
/* Master reset. */
void uart16550_reset(struct uart16550 *u);

/* Register access; offset 0..7. */
uint8_t uart16550_read(struct uart16550 *u, unsigned offset);
void uart16550_write(struct uart16550 *u, unsigned offset, uint8_t value);

/* Characters that fit without an overrun; 0 in loopback mode, where the line is cut off. */
size_t uart16550_can_receive(const struct uart16550 *u);
/* Characters, or a break, arrive on the line. What does not fit is an overrun. */
void uart16550_receive(struct uart16550 *u, const uint8_t *data, size_t size);
void uart16550_break(struct uart16550 *u);
/* There is room for output again. */
void uart16550_writable(struct uart16550 *u);
/* The modem's lines change to UART_MODEM_* bits. */
void uart16550_set_modem(struct uart16550 *u, uint8_t lines);
/* The deadline asked for has come. */
void uart16550_tick(struct uart16550 *u);

#endif
