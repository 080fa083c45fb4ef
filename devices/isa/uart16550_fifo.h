/* uart16550_fifo.h: the FIFOs of a PC16550D UART (uart16550_chip.h): plain queues without
 * registers. */
#ifndef ISA_UART16550_FIFO_H
#define ISA_UART16550_FIFO_H

#include <stdbool.h>
#include <stdint.h>

#define UART_FIFO_SIZE 16

/* ---- received characters -------------------------------------------------------------------- */

struct uart16550_fifo {
    uint8_t data[UART_FIFO_SIZE];
    uint8_t errors[UART_FIFO_SIZE]; /* LSR error bits of each character */
    unsigned head, count;
};

/* Appends a character; f must not be full. */
void uart16550_fifo_push(struct uart16550_fifo *f, uint8_t data, uint8_t errors);
/* Takes the oldest character; f must not be empty. */
uint8_t uart16550_fifo_pop(struct uart16550_fifo *f);
/* Returns whether any character has error bits. */
bool uart16550_fifo_errors(const struct uart16550_fifo *f);

/* ---- characters to send --------------------------------------------------------------------- */

/* Characters that the other end has not taken, oldest first: those on the line, then the FIFO. */
struct uart16550_output {
    uint8_t data[2 * UART_FIFO_SIZE];
    unsigned head, count;
    unsigned in_fifo;
};

/* Appends a character to the FIFO, which holds `depth`; if it is full, replaces the last one. */
void uart16550_output_push(struct uart16550_output *o, uint8_t data, unsigned depth);
/* Drops the oldest character, which the other end has taken. Returns whether that has emptied the
 * FIFO, and the line with it. */
bool uart16550_output_pop(struct uart16550_output *o);
/* Empties the FIFO: its characters are on the line from now on, as many as that holds. */
void uart16550_output_clear(struct uart16550_output *o);

#endif
