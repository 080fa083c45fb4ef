/* uart.c: a 16550 UART: polled output, interrupt-driven lines of input. */
#include "guest.h"

#define BASE ((uint16_t)options.uart)
#define RBR  (BASE + 0)
#define THR  (BASE + 0)
#define DLL  (BASE + 0)
#define IER  (BASE + 1)
#define DLM  (BASE + 1)
#define FCR  (BASE + 2)
#define LCR  (BASE + 3)
#define MCR  (BASE + 4)
#define LSR  (BASE + 5)

#define LSR_DATA 0x01
#define LSR_THRE 0x20

#define FIFO 16

static volatile char input[256];
static volatile uint8_t input_in, input_out; /* wrap by themselves */
static unsigned room;                        /* bytes the transmit FIFO takes without asking */

void uart_init(void)
{
    outb(IER, 0);
    outb(LCR, 0x80);
    outb(DLL, 1); /* 115200 baud */
    outb(DLM, 0);
    outb(LCR, 0x03); /* 8n1 */
    outb(FCR, 0x07); /* FIFOs on and cleared, interrupt at one byte */
    outb(MCR, 0x0b); /* DTR, RTS, OUT2: interrupts reach the line */
}

static void put_raw(char c)
{
    if (!room) {
        while (!(inb(LSR) & LSR_THRE))
            __asm__ volatile("pause");
        room = FIFO;
    }
    room--;
    outb(THR, (uint8_t)c);
}

void uart_put(char c)
{
    if (c == '\n')
        put_raw('\r');
    put_raw(c);
}

static void receive(void)
{
    while (inb(LSR) & LSR_DATA)
        input[input_in++] = (char)inb(RBR);
}

void uart_enable_input(void)
{
    irq_enable((unsigned)options.uart_irq, receive);
    outb(IER, 0x01);
}

bool uart_line(char *buf, size_t size)
{
    size_t n = 0;

    for (uint8_t at = input_out; at != input_in; at++) {
        char c = input[at];

        if (c == '\n' || c == '\r') {
            buf[n] = 0;
            input_out = at + 1;
            return true;
        }
        if (n < size - 1)
            buf[n++] = c;
    }
    return false;
}
