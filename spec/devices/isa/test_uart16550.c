/* test_uart16550.c: the 16550A register model against its data sheet, with a clock, an interrupt
 * line and a far end of our own. */
#include <stdlib.h>

#include "devices/isa/uart16550_chip.h"
#include "chip_bench.h"

/* Four characters of 10 bits at 9600 baud. */
#define TIMEOUT (4 * 10ull * 16 * 12 * 1000000000 / 1843200)

/* The far end: keeps what it is sent, as far as it is let. */
struct bench {
    struct chip_time time;
    struct uart16550_chip uart;
    struct chip_line irq;
    char sent[256];
    size_t count, limit;
    unsigned ready;
};

static size_t bench_output(void *opaque, const uint8_t *data, size_t size)
{
    struct bench *b = opaque;

    if (b->count == b->limit)
        return 0;
    b->sent[b->count++] = (char)*data;
    return 1;
}

static void bench_ready(void *opaque)
{
    struct bench *b = opaque;

    b->ready++;
}

static const struct uart16550_port bench_port = {bench_output, bench_ready, chip_time_schedule};

static struct uart16550_chip *setup(struct bench *b)
{
    memset(b, 0, sizeof(*b));
    chip_time_begin(&b->time, 0);
    b->limit = sizeof(b->sent) - 1;
    uart16550_init(&b->uart, &b->time.clock, &bench_port, b);
    chip_line_connect(&b->uart.irq, &b->irq);
    return &b->uart;
}

static void receive(struct uart16550_chip *u, const char *text)
{
    uart16550_receive(u, (const uint8_t *)text, strlen(text));
}

static void test_reset_values(void)
{
    struct bench b;
    struct uart16550_chip *u = setup(&b);

    check_uint("reset: IER", uart16550_read(u, 1), 0);
    check_uint("reset: IIR has nothing pending", uart16550_read(u, 2), 0x01);
    check_uint("reset: LCR", uart16550_read(u, 3), 0);
    check_uint("reset: MCR", uart16550_read(u, 4), 0);
    check_uint("reset: LSR is empty", uart16550_read(u, 5), 0x60);
    check_uint("reset: MSR shows the modem, no change", uart16550_read(u, 6), 0xb0);
    uart16550_write(u, 7, 0xa5);
    check_uint("scratch register", uart16550_read(u, 7), 0xa5);
    uart16550_write(u, 1, 0xff);
    check_uint("IER keeps four bits", uart16550_read(u, 1), 0x0f);
    uart16550_write(u, 4, 0xff);
    check_uint("MCR keeps five bits", uart16550_read(u, 4), 0x1f);
    uart16550_reset(u);
    check_uint("reset clears SCR", uart16550_read(u, 7), 0);
    check_uint("reset leaves loopback", uart16550_read(u, 6), 0xb0);
    check_uint("reset lowers the line", b.irq.level, false);
}

static void test_divisor(void)
{
    struct bench b;
    struct uart16550_chip *u = setup(&b);

    uart16550_write(u, 3, 0x83);
    uart16550_write(u, 0, 0x34);
    uart16550_write(u, 1, 0x12);
    check_uint("DLL", uart16550_read(u, 0), 0x34);
    check_uint("DLM", uart16550_read(u, 1), 0x12);
    uart16550_write(u, 3, 0x03);
    check_uint("IER is apart from DLM", uart16550_read(u, 1), 0);
    check_uint("nothing was sent to DLL", b.count, 0);
    uart16550_write(u, 3, 0x83);
    check_uint("the divisor stays", uart16550_read(u, 0), 0x34);
    uart16550_write(u, 0, 0);
    uart16550_write(u, 1, 0);
    uart16550_write(u, 3, 0x03);
    uart16550_write(u, 2, 0x41);
    uart16550_write(u, 1, 0x01);
    receive(u, "x");
    check_true("divisor 0 still gives a deadline", b.time.deadline != UINT64_MAX);
}

static void test_output(void)
{
    struct bench b;
    struct uart16550_chip *u = setup(&b);

    for (const char *p = "hello"; *p; p++)
        uart16550_write(u, 0, (uint8_t)*p);
    check_string("characters go out at once", b.sent, "hello");
    check_uint("the transmitter is empty again", uart16550_read(u, 5), 0x60);

    b.limit = b.count;
    uart16550_write(u, 2, 0x01);
    uart16550_write(u, 0, 'a');
    check_uint("a refused character: THRE and TEMT clear", uart16550_read(u, 5), 0);
    for (const char *p = "bcdefghijklmnop"; *p; p++)
        uart16550_write(u, 0, (uint8_t)*p);
    b.limit += 6;
    uart16550_writable(u);
    check_string("as many go out as there is room for", b.sent, "helloabcdef");
    check_uint("not all: THRE stays clear", uart16550_read(u, 5), 0);
    b.limit = sizeof(b.sent) - 1;
    uart16550_writable(u);
    check_string("sixteen are held, none is lost", b.sent, "helloabcdefghijklmnop");
    check_uint("then THRE and TEMT are set", uart16550_read(u, 5), 0x60);
}

/* The far end takes nothing: whatever empties the transmit FIFO shows an empty transmitter. */
static void test_emptied(void)
{
    static const struct {
        const char *what;
        uint8_t offset, value, fcr;
    } cases[] = {
        {"FCR clears it", 2, 0x05, 0x01},
        {"FIFOs off", 2, 0x00, 0x01},
        {"FIFOs on", 2, 0x01, 0x00},
        {"loopback", 4, 0x10, 0x01},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct bench b;
        struct uart16550_chip *u = setup(&b);

        b.limit = 0;
        uart16550_write(u, 1, 0x02);
        uart16550_write(u, 2, cases[i].fcr);
        uart16550_write(u, 0, 'a');
        check_uint("full", uart16550_read(u, 5), 0);
        check_uint("no interrupt", b.irq.level, false);
        uart16550_write(u, cases[i].offset, cases[i].value);
        check_uint(cases[i].what, uart16550_read(u, 5), 0x60);
        check_uint("raises the line", b.irq.level, true);
        check_uint("as IIR shows", uart16550_read(u, 2) & 0x0f, 0x02);
        uart16550_write(u, cases[i].offset, cases[i].value);
        check_uint("once", b.irq.level, false);
        uart16550_write(u, 4, 0);
        uart16550_write(u, 0, 'b');
        check_uint("the next character waits", uart16550_read(u, 5), 0);
        b.limit = 1;
        uart16550_writable(u);
        check_uint("as long as one is in front of it", uart16550_read(u, 5), 0);
        b.limit = 2;
        uart16550_writable(u);
        check_uint("then it goes", uart16550_read(u, 5), 0x60);
        check_string("none is lost", b.sent, "ab");
    }
}

static void test_reset_with_output(void)
{
    struct bench b;
    struct uart16550_chip *u = setup(&b);

    b.limit = 0;
    uart16550_write(u, 2, 0x01);
    uart16550_write(u, 1, 0x02);
    for (const char *p = "0123456789abcdef"; *p; p++)
        uart16550_write(u, 0, (uint8_t)*p);
    check_uint("full", uart16550_read(u, 5), 0);
    uart16550_reset(u);
    check_uint("after a reset LSR is empty", uart16550_read(u, 5), 0x60);
    check_uint("with nothing pending", uart16550_read(u, 2), 0x01);
    uart16550_write(u, 1, 0x02);
    check_uint("a transmitter that reports", uart16550_read(u, 2), 0x02);
    uart16550_write(u, 2, 0x01);
    for (const char *p = "ghijklmnopqrstuv"; *p; p++)
        uart16550_write(u, 0, (uint8_t)*p);
    uart16550_reset(u);
    check_uint("and after another", uart16550_read(u, 5), 0x60);
    uart16550_write(u, 0, 'w');
    b.limit = sizeof(b.sent) - 1;
    uart16550_writable(u);
    check_string("the line holds sixteen", b.sent, "0123456789abcdefw");
    check_uint("it ends empty", uart16550_read(u, 5), 0x60);
}

static void test_thre_interrupt(void)
{
    struct bench b;
    struct uart16550_chip *u = setup(&b);

    uart16550_write(u, 1, 0x02);
    check_uint("enabling THRE raises the line", b.irq.level, true);
    check_uint("IIR says THRE", uart16550_read(u, 2), 0x02);
    check_uint("reading IIR acknowledges it", b.irq.level, false);
    check_uint("IIR is then empty", uart16550_read(u, 2), 0x01);
    uart16550_write(u, 1, 0x02);
    check_uint("writing the same IER is no new event", b.irq.level, false);
    uart16550_write(u, 1, 0);
    uart16550_write(u, 1, 0x02);
    check_uint("enabling it again is", b.irq.level, true);
    uart16550_read(u, 2);
    b.irq.edges = 0;
    uart16550_write(u, 0, 'x');
    check_uint("a character sent raises it", b.irq.level, true);
    check_uint("once", b.irq.edges, 1);
    uart16550_read(u, 5);
    check_uint("reading LSR does not acknowledge it", b.irq.level, true);
    uart16550_read(u, 2);
    b.limit = b.count;
    uart16550_write(u, 0, 'y');
    check_uint("none while the character waits", b.irq.level, false);
    uart16550_write(u, 1, 0);
    uart16550_write(u, 1, 0x02);
    check_uint("nor when enabled with THRE clear", b.irq.level, false);
    b.limit++;
    uart16550_writable(u);
    check_uint("but once it has gone", b.irq.level, true);
}

static void test_receive_16450(void)
{
    struct bench b;
    struct uart16550_chip *u = setup(&b);

    check_uint("room for one character", uart16550_can_receive(u), 1);
    uart16550_write(u, 1, 0x01);
    receive(u, "A");
    check_uint("no room left", uart16550_can_receive(u), 0);
    check_uint("data ready", uart16550_read(u, 5), 0x61);
    check_uint("IIR says data", uart16550_read(u, 2), 0x04);
    b.ready = 0;
    check_uint("RBR", uart16550_read(u, 0), 'A');
    check_uint("the far end may go on", b.ready, 1);
    check_uint("the line falls", b.irq.level, false);
    check_uint("RBR of an empty receiver", uart16550_read(u, 0), 0);

    receive(u, "BC");
    check_uint("overrun", uart16550_read(u, 5), 0x63);
    check_uint("overrun is cleared by reading", uart16550_read(u, 5), 0x61);
    check_uint("the newer character wins", uart16550_read(u, 0), 'C');
}

static void test_fifo(void)
{
    static const struct {
        uint8_t fcr;
        unsigned level;
    } cases[] = {{0x01, 1}, {0x41, 4}, {0x81, 8}, {0xc1, 14}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct bench b;
        struct uart16550_chip *u = setup(&b);
        unsigned n = 0;

        uart16550_write(u, 2, cases[i].fcr);
        uart16550_write(u, 1, 0x01);
        check_uint("FIFOs show in IIR", uart16550_read(u, 2), 0xc1);
        while (!b.irq.level && n < 20) {
            receive(u, "x");
            n++;
        }
        check_uint("trigger level", n, cases[i].level);
        check_uint("IIR at the trigger level", uart16550_read(u, 2), 0xc4);
        uart16550_read(u, 0);
        check_uint("below it the line falls", b.irq.level, false);
    }
}

static void test_fifo_overrun(void)
{
    struct bench b;
    struct uart16550_chip *u = setup(&b);
    char got[20] = "";

    uart16550_write(u, 2, 0x01);
    check_uint("FIFO: room for sixteen", uart16550_can_receive(u), 16);
    receive(u, "0123456789abcdefgh");
    check_uint("FIFO overrun", uart16550_read(u, 5), 0x63);
    for (unsigned i = 0; i < 16; i++)
        got[i] = (char)uart16550_read(u, 0);
    check_string("the FIFO keeps the older characters", got, "0123456789abcdef");
    check_uint("then it is empty", uart16550_read(u, 5), 0x60);
    receive(u, "zz");
    uart16550_write(u, 2, 0x03);
    check_uint("FCR clears the receiver", uart16550_read(u, 5), 0x60);
    receive(u, "zz");
    uart16550_write(u, 2, 0x02);
    check_uint("so does leaving FIFO mode", uart16550_read(u, 5), 0x60);
    check_uint("as IIR shows", uart16550_read(u, 2), 0x01);
}

static void test_timeout(void)
{
    struct bench b;
    struct uart16550_chip *u = setup(&b);

    b.time.now = 1000;
    uart16550_write(u, 3, 0x03);
    uart16550_write(u, 2, 0xc1);
    receive(u, "ab");
    check_uint("no deadline while nothing waits", b.time.deadline, UINT64_MAX);
    uart16550_write(u, 1, 0x01);
    check_uint("deadline: four characters later", b.time.deadline, 1000 + TIMEOUT);
    b.time.now = b.time.deadline - 1;
    uart16550_tick(u);
    check_uint("too early", b.irq.level, false);
    b.time.now++;
    uart16550_tick(u);
    check_uint("timeout raises the line", b.irq.level, true);
    check_uint("IIR says timeout", uart16550_read(u, 2), 0xcc);
    check_uint("reading IIR is no acknowledgement", b.irq.level, true);
    check_uint("character", uart16550_read(u, 0), 'a');
    check_uint("reading a character is", b.irq.level, false);
    check_uint("and starts anew", b.time.deadline, b.time.now + TIMEOUT);
    uart16550_read(u, 0);
    check_uint("an empty FIFO has none", b.time.deadline, UINT64_MAX);

    uart16550_write(u, 1, 0x05);
    receive(u, "0123456789abcdefg"); /* overrun: line status has priority */
    while (uart16550_read(u, 0) != 'c')
        ;
    receive(u, "hijklmnopqrstu");
    while (u->rx.count > 3)
        uart16550_read(u, 0);
    check_uint("line status is pending", uart16550_read(u, 2) & 0x0f, 0x06);
    b.time.now = b.time.deadline;
    b.time.deadline = UINT64_MAX; /* that one is spent */
    uart16550_tick(u);
    check_uint("a timeout hidden by line status is not waited for again", b.time.deadline,
               UINT64_MAX);
    uart16550_read(u, 5);
    check_uint("and shows once that is read", uart16550_read(u, 2) & 0x0f, 0x0c);
}

/* The clock counts nanoseconds in 64 bits. */
static void test_far_timeout(void)
{
    struct bench b;
    struct uart16550_chip *u = setup(&b);

    b.time.now = UINT64_MAX - 1000;
    uart16550_write(u, 2, 0xc1);
    uart16550_write(u, 1, 0x01);
    receive(u, "ab");
    check_uint("no timeout comes before its time", b.irq.level, false);
    check_uint("nor when the clock ends before", b.time.deadline, UINT64_MAX);
}

static void test_priorities(void)
{
    struct bench b;
    struct uart16550_chip *u = setup(&b);

    uart16550_write(u, 1, 0x0f);
    receive(u, "AB"); /* overrun */
    uart16550_set_modem(u, UART_MODEM_CTS);
    check_uint("line status first", uart16550_read(u, 2), 0x06);
    uart16550_read(u, 5);
    check_uint("then data", uart16550_read(u, 2), 0x04);
    uart16550_read(u, 0);
    check_uint("then THRE", uart16550_read(u, 2), 0x02);
    check_uint("then modem status", uart16550_read(u, 2), 0x00);
    check_uint("MSR", uart16550_read(u, 6), 0x1a);
    check_uint("then nothing", uart16550_read(u, 2), 0x01);
    check_uint("the line is low", b.irq.level, false);
}

static void test_break(void)
{
    struct bench b;
    struct uart16550_chip *u = setup(&b);

    uart16550_write(u, 2, 0x01);
    uart16550_write(u, 1, 0x04);
    receive(u, "a");
    uart16550_break(u);
    check_uint("an error further back in the FIFO", uart16550_read(u, 5), 0xe1);
    check_uint("raises nothing yet", b.irq.level, false);
    uart16550_read(u, 0);
    check_uint("at the head it does", b.irq.level, true);
    check_uint("break", uart16550_read(u, 5), 0xf1);
    check_uint("reading LSR clears it", uart16550_read(u, 5), 0x61);
    check_uint("a break is a zero", uart16550_read(u, 0), 0);
}

static void test_loopback(void)
{
    struct bench b;
    struct uart16550_chip *u = setup(&b);

    uart16550_write(u, 4, 0x1a); /* loop, OUT2, RTS */
    check_uint("MSR is MCR", uart16550_read(u, 6) & 0xf0, 0x90);
    uart16550_write(u, 4, 0x14); /* loop, OUT1 */
    check_uint("changes show", uart16550_read(u, 6), 0x49);
    uart16550_write(u, 4, 0x10);
    check_uint("the end of ring shows", uart16550_read(u, 6), 0x04);
    uart16550_write(u, 4, 0x11);
    check_uint("DTR is DSR", uart16550_read(u, 6), 0x22);
    uart16550_write(u, 0, 'L');
    check_uint("nothing leaves the chip", b.count, 0);
    check_uint("a character comes back", uart16550_read(u, 5), 0x61);
    check_uint("no input from outside", uart16550_can_receive(u), 0);
    receive(u, "xx");
    check_uint("it is the one written", uart16550_read(u, 0), 'L');
    uart16550_write(u, 3, 0x40);
    check_uint("break loops", uart16550_read(u, 5), 0x71);
    uart16550_read(u, 0);
    uart16550_write(u, 0, '1');
    uart16550_write(u, 0, '2');
    check_uint("overrun in loopback", uart16550_read(u, 5), 0x63);
    b.ready = 0;
    uart16550_write(u, 4, 0x00);
    check_uint("leaving it lets input in", b.ready, 1);
    check_uint("MSR is the modem's again", uart16550_read(u, 6) & 0xf0, 0xb0);
}

/* Whatever is written and received, the model stays within its FIFOs. */
static void test_random(void)
{
    struct bench b;
    struct uart16550_chip *u = setup(&b);
    bool bounded = true, consistent = true;

    srand(1);
    for (unsigned i = 0; i < 200000; i++) {
        unsigned what = (unsigned)rand();

        b.time.now += what % 5000000;
        b.limit = what % 7 ? sizeof(b.sent) - 1 : 0;
        b.count = 0;
        if (what & 0x100)
            uart16550_write(u, what % 8, (uint8_t)(what >> 16));
        else if (what & 0x200)
            uart16550_read(u, what % 8);
        else if (what & 0x400)
            receive(u, &"0123456789abcdefghijkl"[what % 22]);
        else
            uart16550_writable(u);
        bounded &= u->rx.count <= 16 && u->tx.in_fifo <= 16 && u->tx.count <= 32 &&
                   uart16550_can_receive(u) <= 16;
        consistent &= !!(u->lsr & 0x01) == (u->rx.count > 0);
        consistent &= !!(u->lsr & 0x20) == (u->tx.in_fifo == 0);
    }
    check_true("random: FIFOs are bounded", bounded);
    check_true("random: LSR tells what they hold", consistent);
}

int main(void)
{
    test_reset_values();
    test_divisor();
    test_output();
    test_emptied();
    test_reset_with_output();
    test_thre_interrupt();
    test_receive_16450();
    test_fifo();
    test_fifo_overrun();
    test_timeout();
    test_far_timeout();
    test_priorities();
    test_break();
    test_loopback();
    test_random();
    return check_result();
}
