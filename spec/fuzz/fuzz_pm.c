/*
 * fuzz_pm.c: the pc board's ACPI fixed hardware and sleep states: PM1, timer, GPE block 0, SMI
 * command port, SCI, against a model written from ACPI 6.4, section 4.8. -max_len=512 -runs=900
 */
#include "board.h"

enum { PM1 = 0x600, CONTROL = 0x604, TIMER = 0x608, GPE0 = 0xafe0, SMI = 0xb2, SCI = 9 };
enum { TMR = 0x0001, BUTTON = 0x0100, WAKE = 0x8000, SCI_ENABLE = 0x0001, SLEEP = 0x2000 };
enum { ENABLE_BITS = 0x0521, CONTROL_BITS = 0x1c03 };

static struct {
    uint32_t pm1, gpe; /* enable in the high half, status in the low one */
    uint16_t control;
    uint8_t apm[2];
    uint64_t now, half; /* ns; of the timer's period, when the overflow was last cleared */
} model;

static uint64_t ticks(void)
{
    return (uint64_t)((unsigned __int128)model.now * 3579545 / 1000000000);
}

static void follow_time(void)
{
    if (ticks() >> 23 != model.half)
        model.pm1 |= TMR;
}

static bool sci(void)
{
    uint32_t pending =
        (model.pm1 & model.pm1 >> 16 & 0xffff) | (model.gpe & model.gpe >> 16 & 0xffff);

    return pending && model.control & SCI_ENABLE;
}

static void model_reset(void)
{
    uint64_t now = model.now;

    memset(&model, 0, sizeof(model));
    model.now = now;
    model.half = ticks() >> 23;
}

/* ---- accesses ------------------------------------------------------------------------------- */

/* The bits of a block that an access of size bytes at offset touches. */
static uint32_t touched(unsigned offset, unsigned size)
{
    return (uint32_t)(fuzz_ones(size) << 8 * offset);
}

static void write_status_enable(uint32_t *block, uint32_t enable, uint32_t mask, uint32_t value)
{
    *block &= ~(value & mask & 0xffff);
    mask &= 0xffff0000;
    *block = (*block & ~mask) | (value & mask & enable << 16);
}

static void start(void)
{
    lunik_error err = {0};

    fuzz_must(lunik_machine_start(board, &err), err);
    model_reset();
}

static void check_state(lunik_run_state want)
{
    lunik_run_state state = lunik_machine_state(board);

    fuzz_check(state == want, "the machine is %s", lunik_state_name(state));
}

static void wake_up(void)
{
    lunik_error err = {0};

    check_state(LUNIK_STATE_SUSPENDED);
    fuzz_must(lunik_machine_wakeup(board, &err), err);
    check_state(LUNIK_STATE_RUNNING);
    model_reset();
    model.pm1 = WAKE | BUTTON;
}

static void sleep_or_wake(void)
{
    switch (model.control >> 10 & 7) {
    case 1:
        wake_up();
        break;
    case 0:
    case 2:
        check_state(LUNIK_STATE_SHUTDOWN);
        start();
        break;
    default:
        model.pm1 |= WAKE;
    }
}

static void model_write(unsigned port, unsigned offset, unsigned size, uint32_t value)
{
    uint32_t mask = touched(offset, size);

    value <<= 8 * offset;
    if (port == PM1) {
        write_status_enable(&model.pm1, ENABLE_BITS, mask, value);
        if (value & mask & TMR)
            model.half = ticks() >> 23;
    } else if (port == GPE0) {
        write_status_enable(&model.gpe, 0xffff, mask, value);
    } else if (port == CONTROL) {
        model.control =
            (uint16_t)((model.control & ~(mask & CONTROL_BITS)) | (value & mask & CONTROL_BITS));
        if (value & mask & SLEEP)
            sleep_or_wake();
    } else if (port == SMI) {
        model.apm[offset] = (uint8_t)(value >> 8 * offset);
        if (offset == 0 && value == 0xf1)
            model.control |= SCI_ENABLE;
        else if (offset == 0 && value == 0xf0)
            model.control &= ~SCI_ENABLE;
    }
}

static uint32_t model_read(unsigned port, unsigned offset, unsigned size)
{
    uint32_t block = port == PM1       ? model.pm1
                     : port == GPE0    ? model.gpe
                     : port == CONTROL ? model.control
                     : port == TIMER   ? (uint32_t)ticks() & 0xffffff
                                       : model.apm[offset] << 8 * offset;

    return (block & touched(offset, size)) >> 8 * offset;
}

/* An aligned access of 1, 2 or 4 bytes within a block. */
static void access_block(void)
{
    static const struct {
        uint16_t port;
        uint8_t bytes, most;
    } blocks[] = {{PM1, 4, 4}, {CONTROL, 2, 2}, {TIMER, 4, 4}, {GPE0, 4, 4}, {SMI, 2, 1}};
    uint8_t how = fuzz_byte();
    unsigned i = how % 5, size = 1u << (how >> 3) % 3, offset;
    uint32_t value;

    size = size > blocks[i].most ? blocks[i].most : size;
    offset = (how >> 5) * size % blocks[i].bytes;
    follow_time();
    if (fuzz_byte() & 1) {
        value = (uint32_t)fuzz_number(size);
        port_out((uint16_t)(blocks[i].port + offset), size, value);
        model_write(blocks[i].port, offset, size, value);
        return;
    }
    value = port_in((uint16_t)(blocks[i].port + offset), size);
    fuzz_check(value == model_read(blocks[i].port, offset, size),
               "0x%x+%u in %u bytes is 0x%x, want 0x%x", blocks[i].port, offset, size, value,
               model_read(blocks[i].port, offset, size));
}

static void raise_gpe(void)
{
    lunik_object *pm = lunik_object_find(board, "piix4-pm");
    const lunik_gpe_ops *gpe = lunik_gpe_iface(pm);
    unsigned n = fuzz_below(32);

    gpe->raise(pm, n);
    if (n < 16)
        model.gpe |= 1u << n;
}

static void press_button(void)
{
    lunik_error err = {0};

    fuzz_must(lunik_machine_powerdown(board, &err), err);
    model.pm1 |= BUTTON;
}

static void advance(uint64_t ns)
{
    if (ns >= UINT64_MAX - model.now)
        return;
    board_advance(ns);
    model.now += ns;
    follow_time();
}

static void operate(void)
{
    switch (fuzz_byte() % 16) {
    case 0:
        raise_gpe();
        break;
    case 1:
        press_button();
        break;
    case 2:
        advance(fuzz_number(4));
        break;
    case 3:
        advance(fuzz_hostile());
        break;
    case 4:
        board_reset();
        model_reset();
        break;
    case 5: /* beyond the blocks, and what no register is made for */
        board_load(board_ports, PM1 + fuzz_below(0x40), 1u << fuzz_below(4));
        break;
    default:
        access_block();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_begin(data, size);
    model.now = 0;
    board_open("memory = '2M', acpi = false");
    start();
    while (fuzz_more()) {
        operate();
        if (model.pm1 >> 16 & TMR || !(model.control & SCI_ENABLE))
            follow_time();
        fuzz_check(lunik_gsi_level(board, SCI) == sci(), "SCI is %d, PM1 0x%x, GPE0 0x%x", !sci(),
                   model.pm1, model.gpe);
    }
    board_close();
    return 0;
}
