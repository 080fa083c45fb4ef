/* uart16550_fifo.c: see uart16550_fifo.h. */
#include "uart16550_fifo.h"

void uart16550_fifo_push(struct uart16550_fifo *f, uint8_t data, uint8_t errors)
{
    unsigned i = (f->head + f->count++) % UART_FIFO_SIZE;

    f->data[i] = data;
    f->errors[i] = errors;
}

uint8_t uart16550_fifo_pop(struct uart16550_fifo *f)
{
    uint8_t data = f->data[f->head];

    f->head = (f->head + 1) % UART_FIFO_SIZE;
    f->count--;
    return data;
}

bool uart16550_fifo_errors(const struct uart16550_fifo *f)
{
    for (unsigned i = 0; i < f->count; i++)
        if (f->errors[(f->head + i) % UART_FIFO_SIZE])
            return true;
    return false;
}

void uart16550_output_push(struct uart16550_output *o, uint8_t data, unsigned depth)
{
    if (o->in_fifo >= depth) {
        o->count--;
        o->in_fifo--;
    }
    o->data[(o->head + o->count++) % sizeof(o->data)] = data;
    o->in_fifo++;
}

bool uart16550_output_pop(struct uart16550_output *o)
{
    o->head = (o->head + 1) % sizeof(o->data);
    if (--o->count >= o->in_fifo)
        return false;
    o->in_fifo = o->count;
    return !o->count;
}

void uart16550_output_clear(struct uart16550_output *o)
{
    o->in_fifo = 0;
    if (o->count > UART_FIFO_SIZE)
        o->count = UART_FIFO_SIZE;
}
