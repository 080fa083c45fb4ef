/* print.c: formatted output to the UART. */
#include "guest.h"

static void put_number(uint64_t n, unsigned base)
{
    char digits[20];
    unsigned count = 0;

    do {
        digits[count++] = "0123456789abcdef"[n % base];
        n /= base;
    } while (n);
    while (count)
        uart_put(digits[--count]);
}

static void put_string(const char *s)
{
    while (*s)
        uart_put(*s++);
}

void print(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    for (; *format; format++) {
        bool wide = false;

        if (*format != '%') {
            uart_put(*format);
            continue;
        }
        if (*++format == 'l') {
            wide = true;
            format++;
        }
        if (*format == 's')
            put_string(va_arg(args, const char *));
        else if (*format == 'c')
            uart_put((char)va_arg(args, int));
        else
            put_number(wide ? va_arg(args, uint64_t) : va_arg(args, unsigned),
                       *format == 'x' ? 16 : 10);
    }
    va_end(args);
}
