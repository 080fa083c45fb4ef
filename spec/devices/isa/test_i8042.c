/* test_i8042.c: the keyboard controller's register model, with interrupt lines of our own. */
#include <stdlib.h>

#include "devices/isa/i8042_chip.h"
#include "chip_bench.h"

struct bench {
    struct i8042_chip chip;
    struct chip_line keyboard, mouse;
    unsigned resets;
};

static void bench_reset(void *opaque)
{
    ((struct bench *)opaque)->resets++;
}

static struct i8042_chip *setup(struct bench *b)
{
    memset(b, 0, sizeof(*b));
    i8042_init(&b->chip, bench_reset, b);
    chip_line_connect(&b->chip.keyboard_irq, &b->keyboard);
    chip_line_connect(&b->chip.mouse_irq, &b->mouse);
    return &b->chip;
}

/* Everything in the output buffer, as "fa aa"; the mouse's bytes with an "m" in front. */
static const char *answers(struct i8042_chip *c)
{
    static char text[128];
    size_t n = 0;

    text[0] = '\0';
    while (n < 100 && (i8042_read(c, I8042_COMMAND) & 0x01)) {
        bool mouse = i8042_read(c, I8042_COMMAND) & 0x20;

        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s%02x", n ? " " : "",
                              mouse ? "m" : "", i8042_read(c, I8042_DATA));
    }
    return text;
}

static const char *command(struct i8042_chip *c, uint8_t value)
{
    i8042_write(c, I8042_COMMAND, value);
    return answers(c);
}

static void command_with(struct i8042_chip *c, uint8_t value, uint8_t parameter)
{
    i8042_write(c, I8042_COMMAND, value);
    i8042_write(c, I8042_DATA, parameter);
}

static const char *keyboard(struct i8042_chip *c, uint8_t value)
{
    i8042_write(c, I8042_DATA, value);
    return answers(c);
}

static const char *mouse(struct i8042_chip *c, uint8_t value)
{
    command_with(c, 0xd4, value);
    return answers(c);
}

static void test_controller(void)
{
    struct bench b;
    struct i8042_chip *c = setup(&b);

    check_uint("status after reset", i8042_read(c, I8042_COMMAND), 0x14);
    check_string("self test", command(c, 0xaa), "55");
    check_string("keyboard interface test", command(c, 0xab), "00");
    check_string("mouse interface test", command(c, 0xa9), "00");
    check_uint("status shows the last write", i8042_read(c, I8042_COMMAND), 0x1c);
    command_with(c, 0x60, 0x34);
    check_string("command byte", command(c, 0x20), "34");
    check_string("mouse on", command(c, 0xa8), "");
    check_string("shows in the command byte", command(c, 0x20), "14");
    command(c, 0xa7);
    check_string("mouse off", command(c, 0x20), "34");
    command(c, 0xae);
    check_string("keyboard on", command(c, 0x20), "24");
    command(c, 0xad);
    check_string("keyboard off", command(c, 0x20), "34");
    command_with(c, 0x7f, 0xc3);
    check_string("RAM", command(c, 0x3f), "c3");
    check_string("input port", command(c, 0xc0), "b0");
    check_string("an unknown command", command(c, 0x05), "");
}

static void test_loop(void)
{
    struct bench b;
    struct i8042_chip *c = setup(&b);

    command_with(c, 0xd3, 0x5a);
    check_uint("mouse loop: edge", b.mouse.edges, 1);
    check_uint("mouse loop: not the keyboard's", b.keyboard.edges, 0);
    check_string("mouse loop", answers(c), "m5a");
    check_uint("read: the line falls", c->mouse_irq.level, false);
    command_with(c, 0xd2, 0xa5);
    check_uint("keyboard loop: edge", b.keyboard.edges, 1);
    check_string("keyboard loop", answers(c), "a5");
    command_with(c, 0x60, 0x00);
    command_with(c, 0xd3, 0x5a);
    check_uint("no interrupt when disabled", b.mouse.edges, 1);
    command_with(c, 0x60, 0x03);
    check_uint("enabling it reports a full buffer", b.mouse.edges, 2);
}

/* While a byte is unread, the controller's answers wait behind it. */
static void test_unread(void)
{
    struct bench b;
    struct i8042_chip *c = setup(&b);

    i8042_write(c, I8042_DATA, 0xee);
    i8042_write(c, I8042_COMMAND, 0x20);
    check_string("an echo, then the command byte", answers(c), "ee 47");
    check_uint("each an edge", b.keyboard.edges, 2);
    i8042_write(c, I8042_DATA, 0xf2);
    i8042_write(c, I8042_COMMAND, 0xaa);
    command_with(c, 0xd3, 0x5a);
    check_uint("one byte is shown", i8042_read(c, I8042_COMMAND) & 0x21, 0x01);
    check_string("the controller's are in front of a device's", answers(c), "fa 55 m5a ab 41");
    for (unsigned i = 0; i < 100; i++)
        i8042_write(c, I8042_COMMAND, 0xab);
    check_string("as many as are held", answers(c),
                 "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00");
    i8042_write(c, I8042_COMMAND, 0x20);
    i8042_write(c, I8042_COMMAND, 0x20);
    i8042_reset(c);
    check_string("a reset forgets them", answers(c), "");
}

static void test_reset_and_a20(void)
{
    struct bench b;
    struct i8042_chip *c = setup(&b);

    check_string("output port: A20 on", command(c, 0xd0), "03");
    command(c, 0xdd);
    check_string("A20 off", command(c, 0xd0), "01");
    command(c, 0xdf);
    check_string("A20 on", command(c, 0xd0), "03");
    command_with(c, 0xd1, 0x01);
    check_string("A20 through the output port", command(c, 0xd0), "01");
    i8042_write(c, I8042_COMMAND, 0xff);
    check_uint("pulsing nothing", b.resets, 0);
    i8042_write(c, I8042_COMMAND, 0xfe);
    check_uint("pulsing the reset line", b.resets, 1);
    command_with(c, 0xd1, 0x02);
    check_uint("reset through the output port", b.resets, 2);
    i8042_reset(c);
    check_string("after reset A20 is on", command(c, 0xd0), "03");
}

static void test_keyboard(void)
{
    struct bench b;
    struct i8042_chip *c = setup(&b);

    check_string("reset", keyboard(c, 0xff), "fa aa");
    check_uint("each byte is an edge", b.keyboard.edges, 2);
    check_string("identify, translated", keyboard(c, 0xf2), "fa ab 41");
    command_with(c, 0x60, 0x03);
    check_string("identify", keyboard(c, 0xf2), "fa ab 83");
    check_string("resend", keyboard(c, 0xfe), "83");
    check_string("LEDs", keyboard(c, 0xed), "fa");
    check_string("LEDs: parameter", keyboard(c, 0x07), "fa");
    check_string("echo", keyboard(c, 0xee), "ee");
    keyboard(c, 0xf0);
    check_string("scan code set?", keyboard(c, 0x00), "fa 02");
    keyboard(c, 0xf0);
    keyboard(c, 0x03);
    keyboard(c, 0xf0);
    check_string("scan code set 3", keyboard(c, 0x00), "fa 03");
    check_string("rate", keyboard(c, 0xf3), "fa");
    check_string("rate: parameter", keyboard(c, 0x20), "fa");
    check_string("enable", keyboard(c, 0xf4), "fa");
    check_string("unknown", keyboard(c, 0x42), "fe");
    keyboard(c, 0xf6);
    keyboard(c, 0xf0);
    check_string("defaults", keyboard(c, 0x00), "fa 02");
    i8042_write(c, I8042_DATA, 0xf2);
    i8042_write(c, I8042_COMMAND, 0xad);
    check_string("disabled it holds its answers back", answers(c), "fa");
    check_string("enabled it goes on", command(c, 0xae), "ab 83");
    command(c, 0xad);
    check_string("talking to it enables it", keyboard(c, 0xee), "ee");
    check_string("as the command byte shows", command(c, 0x20), "03");
}

static void test_mouse(void)
{
    struct bench b;
    struct i8042_chip *c = setup(&b);

    check_string("mouse: reset", mouse(c, 0xff), "mfa maa m00");
    check_uint("mouse: each byte is an edge", b.mouse.edges, 3);
    check_string("mouse: identify", mouse(c, 0xf2), "mfa m00");
    check_string("mouse: status", mouse(c, 0xe9), "mfa m00 m02 m64");
    check_string("mouse: resolution", mouse(c, 0xe8), "mfa");
    check_string("mouse: resolution parameter", mouse(c, 0x03), "mfa");
    mouse(c, 0xf3);
    mouse(c, 40);
    mouse(c, 0xe7);
    mouse(c, 0xf4);
    check_string("mouse: status again", mouse(c, 0xe9), "mfa m30 m03 m28");
    check_string("mouse: packet", mouse(c, 0xeb), "mfa m08 m00 m00");
    mouse(c, 0xee);
    check_string("mouse: wrap", mouse(c, 0xe9), "me9");
    check_string("mouse: out of wrap", mouse(c, 0xec), "mfa");
    check_string("mouse: unknown", mouse(c, 0x01), "mfe");
    mouse(c, 0xf6);
    check_string("mouse: defaults", mouse(c, 0xe9), "mfa m00 m02 m64");
    check_string("the keyboard is apart", keyboard(c, 0xee), "ee");
}

static void test_random(void)
{
    struct bench b;
    struct i8042_chip *c = setup(&b);
    bool bounded = true;

    srand(3);
    for (unsigned i = 0; i < 200000; i++) {
        unsigned what = (unsigned)rand();

        if (what & 0x100)
            i8042_write(c, I8042_DATA, (uint8_t)(what >> 16));
        else if (what & 0x200)
            i8042_write(c, I8042_COMMAND, (uint8_t)(what >> 16));
        else if (what & 0x400)
            i8042_read(c, I8042_DATA);
        bounded &= c->keyboard.queue.count <= I8042_QUEUE && c->mouse.queue.count <= I8042_QUEUE &&
                   c->answers.count <= I8042_QUEUE;
        bounded &= !(c->keyboard_irq.level && c->mouse_irq.level);
    }
    check_true("random: queues are bounded, one line at a time", bounded);
}

int main(void)
{
    test_controller();
    test_loop();
    test_unread();
    test_reset_and_a20();
    test_keyboard();
    test_mouse();
    test_random();
    return check_result();
}
