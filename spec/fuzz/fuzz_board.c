/*
 * fuzz_board.c: whatever a guest may do at the ports and addresses of a pc board, while its user
 * plugs DIMMs, types, presses buttons and lets time pass. -max_len=1024 -runs=500
 *
 * What does not decode reads as all ones; after a reset the memory map is as after power-on.
 */
#include "board.h"

enum { DIMMS = 3 };

/* Where something is, and how many ports or bytes. */
struct place {
    uint64_t base;
    uint32_t size;
};

static const struct place ports[] = {
    {0x3f8, 8}, {0x60, 1},  {0x64, 1},     {0x70, 2},   {0x92, 1},   {0xb2, 2},
    {0xcf8, 8}, {0xcf9, 1}, {0x600, 0x40}, {0x700, 16}, {0xafe0, 4}, {0xa00, 0x20},
    {0xe9, 1},  {0xf4, 4},  {0x80, 16},    {0x4d0, 2},  {0x1f0, 8},  {0, 0x10000},
};

static const struct place addresses[] = {
    {0, 0x1000},           {0x9f000, 0x2000},     {0xa0000, 0x20000},
    {0xc0000, 0x40000},    {0x100000, 0x200000},  {0xe0000000, 0x1000},
    {0xfec00000, 0x1000},  {0xfee00000, 0x1000},  {0xfffe0000, 0x20000},
    {1ull << 32, 0x20000}, {0x140000000, 0x4000}, {UINT64_MAX - 0xfff, 0x1000},
};

static uint64_t somewhere(const struct place *places, size_t count)
{
    const struct place *p = &places[fuzz_below((unsigned)count)];
    unsigned bytes = p->size > 0x100 ? p->size > 0x10000 ? 3 : 2 : 1;

    return p->base + fuzz_number(bytes) % p->size;
}

static lunik_space *choose(uint64_t *address, bool memory)
{
    if (!memory)
        *address = somewhere(ports, sizeof(ports) / sizeof(ports[0]));
    else if (fuzz_byte() & 7)
        *address = somewhere(addresses, sizeof(addresses) / sizeof(addresses[0]));
    else
        *address = fuzz_hostile();
    return memory ? board_memory : board_ports;
}

/* ---- the guest ------------------------------------------------------------------------------ */

static void access_once(bool memory)
{
    uint64_t address, value = 0;
    lunik_space *space = choose(&address, memory);
    unsigned size = 1u << fuzz_below(4);

    if (fuzz_byte() & 1)
        board_store(space, address, size, fuzz_number(size));
    else if (lunik_space_load(space, address, size, &value) < 0 && size == 1)
        fuzz_check(value == 0xff, "0x%" PRIx64 " does not decode and reads 0x%" PRIx64, address,
                   value);
}

/* Registers of one device in a row, as drivers write them. */
static void access_burst(void)
{
    const struct place *p = &ports[fuzz_below(sizeof(ports) / sizeof(ports[0]) - 1)];

    for (unsigned n = fuzz_below(16); n > 0 && fuzz_more(); n--)
        port_out((uint16_t)(p->base + fuzz_below(p->size)), 1, fuzz_byte());
}

static void configure_pci(void)
{
    static const uint8_t devfns[] = {0x00, 0x08, 0x0b};

    port_out(0xcf8, 4, 0x80000000u | (uint32_t)devfns[fuzz_below(3)] << 8 | (fuzz_byte() & 0xfc));
    port_out((uint16_t)(0xcfc + fuzz_below(4)), 1u << fuzz_below(3), (uint32_t)fuzz_number(4));
}

static void access_block(void)
{
    uint8_t buf[300];
    uint64_t address;
    lunik_space *space = choose(&address, fuzz_byte() & 1);
    size_t size = 1 + fuzz_number(2) % sizeof(buf);

    memset(buf, fuzz_byte(), size);
    if (fuzz_byte() & 1)
        lunik_space_write(space, address, buf, size);
    else
        lunik_space_read(space, address, buf, size);
}

/* ---- observers of rejected accesses --------------------------------------------------------- */

static void on_rejected(void *opaque, const lunik_rejection *r)
{
    char *text = NULL;
    size_t size = lunik_rejection_text(r, &text);
    const char *name = lunik_reject_name(r->why);

    fuzz_check(r->result != LUNIK_ACCESS_OK && *name, "rejected: %d, %s", r->result, name);
    fuzz_check(size && size == strlen(text) && !strchr(text, '\n'), "'%s' is no line", text);
    free(text);
}

/* ---- the user ------------------------------------------------------------------------------- */

static void change_dimms(void)
{
    uint8_t how = fuzz_byte();
    unsigned n = how % DIMMS;
    lunik_error err;
    char id[16];

    snprintf(id, sizeof(id), "dimm%u", n);
    if (how & 0x80)
        lunik_device_del(board, id, NULL);
    else
        board_plug(n, 2ull << (how >> 4 & 3), &err);
    snprintf(id, sizeof(id), "mem%u", n);
    if (how & 0x40)
        lunik_object_del(board, id, NULL);
}

static void type_text(void)
{
    lunik_object *port = lunik_object_find(board, "serial-chardev");
    const lunik_chardev_buffer_ops *ops = lunik_chardev_buffer_iface(port);
    size_t size;
    const uint8_t *text = fuzz_bytes(40, &size);

    ops->write_input(port, text, size);
}

static void change_state(void)
{
    uint8_t how = fuzz_byte();

    if (how & 1)
        lunik_machine_start(board, NULL);
    else if (how & 2)
        lunik_machine_pause(board, NULL);
    else if (how & 4)
        board_reset();
    else
        lunik_machine_powerdown(board, NULL);
}

static void operate(void)
{
    switch (fuzz_byte() % 16) {
    case 0:
        change_dimms();
        break;
    case 1:
        type_text();
        break;
    case 2:
        change_state();
        break;
    case 3:
        lunik_clock_advance(board, fuzz_number(5), NULL);
        break;
    case 4:
        configure_pci();
        break;
    case 5:
    case 6:
        access_burst();
        break;
    case 7:
        access_block();
        break;
    case 8: /* what was deferred: events, chardevs, resets that the guest asked for */
        lunik_run(lunik_machine_runtime(board), LUNIK_RUN_NOWAIT);
        break;
    case 9:
    case 10:
        access_once(true);
        break;
    default:
        access_once(false);
    }
}

/* Takes everything out that was plugged in. */
static void unplug_all(void)
{
    for (unsigned n = 0; n < DIMMS; n++) {
        char id[16];

        snprintf(id, sizeof(id), "dimm%u", n);
        if (lunik_object_find(board, id))
            lunik_device_del(board, id, NULL);
    }
    board_reset(); /* no guest is there to be asked */
    for (unsigned n = 0; n < DIMMS; n++) {
        char id[16];

        snprintf(id, sizeof(id), "mem%u", n);
        lunik_object_del(board, id, NULL);
        fuzz_check(!lunik_object_find(board, id), "%s can't be deleted", id);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lunik_reject_sub rejections = {.fn = on_rejected};
    char *before, *after;

    fuzz_begin(data, size);
    board_open("memory = '3M', lowmem = '2M', maxmem = '64M', slots = 2, serial = 'buffer', "
               "debugcon = 'null', acpi = false");
    if (size & 1)
        lunik_reject_subscribe(board, &rejections);
    board_reset();
    before = board_map();
    while (fuzz_more())
        operate();
    unplug_all();
    after = board_map();
    fuzz_check(strcmp(before, after) == 0, "the memory map was\n%s\nand after a reset is\n%s",
               before, after);
    free(before);
    free(after);
    board_close();
    return 0;
}
