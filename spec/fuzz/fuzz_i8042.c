/*
 * fuzz_i8042.c: any sequence of accesses to the keyboard controller's two ports. -runs=30000
 *
 * The interrupt lines follow status and command byte, a byte stays until it is read, the
 * controller's RAM is RAM, and what controller and devices have to say comes to an end.
 */
#include "devices/isa/i8042_chip.h"
#include "fuzz.h"

enum { FULL = 0x01, AFTER_COMMAND = 0x08, FROM_MOUSE = 0x20 };
enum { KEYBOARD_IRQ = 0x01, MOUSE_IRQ = 0x02, KEYBOARD_OFF = 0x10, MOUSE_OFF = 0x20 };

static unsigned resets;

static void pull_reset(void *opaque)
{
    resets++;
}

static void check_lines(struct i8042_chip *c)
{
    uint8_t status = i8042_read(c, I8042_COMMAND);
    bool full = status & FULL, mouse = status & FROM_MOUSE;

    fuzz_check(c->keyboard_irq.level == (full && !mouse && c->ram[0] & KEYBOARD_IRQ),
               "keyboard: line %d, status 0x%x, command byte 0x%x", c->keyboard_irq.level, status,
               c->ram[0]);
    fuzz_check(c->mouse_irq.level == (full && mouse && c->ram[0] & MOUSE_IRQ),
               "mouse: line %d, status 0x%x, command byte 0x%x", c->mouse_irq.level, status,
               c->ram[0]);
    fuzz_check(full || !mouse, "status 0x%x", status);
}

/* A byte that waits in a device which may speak is on its way. */
static void check_progress(struct i8042_chip *c)
{
    bool speaks = c->answers.count || (c->keyboard.queue.count && !(c->ram[0] & KEYBOARD_OFF)) ||
                  (c->mouse.queue.count && !(c->ram[0] & MOUSE_OFF));

    fuzz_check(c->keyboard.queue.count <= I8042_QUEUE && c->mouse.queue.count <= I8042_QUEUE &&
                   c->answers.count <= I8042_QUEUE,
               "%u, %u and %u answers", c->keyboard.queue.count, c->mouse.queue.count,
               c->answers.count);
    fuzz_check(!speaks || i8042_read(c, I8042_COMMAND) & FULL, "an answer is not sent");
}

/* Reads everything. */
static void check_end(struct i8042_chip *c)
{
    unsigned bytes = 0;

    for (; i8042_read(c, I8042_COMMAND) & FULL; bytes++) {
        fuzz_check(bytes <= 3 * I8042_QUEUE + 1, "it has more and more to say");
        i8042_read(c, I8042_DATA);
        check_lines(c);
    }
}

static void check_ram(struct i8042_chip *c)
{
    unsigned at = 1 + fuzz_below(I8042_RAM - 1);
    uint8_t value = fuzz_byte();

    check_end(c);
    i8042_write(c, I8042_COMMAND, (uint8_t)(0x60 + at));
    i8042_write(c, I8042_DATA, value);
    i8042_write(c, I8042_COMMAND, (uint8_t)(0x20 + at));
    fuzz_check(i8042_read(c, I8042_COMMAND) & FULL, "no answer");
    fuzz_check(i8042_read(c, I8042_DATA) == value, "byte %u of the RAM is not 0x%x", at, value);
}

static void operate(struct i8042_chip *c)
{
    uint8_t how = fuzz_byte(), value = fuzz_byte(), shown = c->output;
    bool full = i8042_read(c, I8042_COMMAND) & FULL;
    unsigned before = resets;

    switch (how % 8) {
    case 0:
    case 1:
        i8042_write(c, I8042_COMMAND, value);
        fuzz_check(i8042_read(c, I8042_COMMAND) & AFTER_COMMAND, "status 0x%x",
                   i8042_read(c, I8042_COMMAND));
        fuzz_check(resets == before || (value >= 0xf0 && !(value & 1)), "0x%x resets", value);
        break;
    case 2:
    case 3:
        i8042_write(c, I8042_DATA, value);
        fuzz_check(!(i8042_read(c, I8042_COMMAND) & AFTER_COMMAND), "status 0x%x",
                   i8042_read(c, I8042_COMMAND));
        break;
    case 4: /* to the mouse */
        i8042_write(c, I8042_COMMAND, 0xd4);
        i8042_write(c, I8042_DATA, value);
        break;
    case 5:
        check_ram(c);
        break;
    case 6:
        i8042_reset(c);
        fuzz_check(!(i8042_read(c, I8042_COMMAND) & FULL), "something is left after a reset");
        break;
    default:
        fuzz_check(i8042_read(c, I8042_DATA) == shown, "0x%x is not what was there", shown);
        return;
    }
    fuzz_check(how % 8 >= 5 || !full || c->output == shown, "0x%x is lost", shown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct i8042_chip chip;

    fuzz_begin(data, size);
    i8042_init(&chip, pull_reset, NULL);
    while (fuzz_more()) {
        operate(&chip);
        check_lines(&chip);
        check_progress(&chip);
    }
    check_end(&chip);
    return 0;
}
