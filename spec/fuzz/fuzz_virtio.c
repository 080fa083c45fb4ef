/*
 * fuzz_virtio.c: virtio devices on PCI: accesses to configuration space, registers and rings in any
 * order, and drivers that do the right thing for a while. -max_len=512 -runs=1000
 *
 * Nothing is read or written out of bounds, the loop comes to an end, the device can be reset and
 * is as new then, and what was saved can be loaded.
 */
#include "devices/pci/pci.h"
#include "board.h"

enum { DEVFN = PCI_DEVFN(5, 0), BAR = 0xe8000000, MSIX = 0xe9000000, RING = 0x10000 };
enum { COMMON = BAR, ISR = BAR + 0x1000, DEVICE = BAR + 0x2000, NOTIFY = BAR + 0x3000 };

static const char *const devices[] = {
    "{ 'virtio-rng-pci', { id = 'v', bus = 'i440fx', addr = '5', packed = true, max_bytes = 4096 } "
    "}",
    "{ 'virtio-balloon-pci', { id = 'v', bus = 'i440fx', addr = '5', packed = true, "
    "free_page_hint = true, free_page_reporting = true, guest_stats_polling_interval = 1 } }",
    "{ 'virtio-mem-pci', { id = 'v', bus = 'i440fx', addr = '5', packed = true, memdev = 'vmem', "
    "block_size = 4096, requested_size = '1M' } }",
};

/* ---- accesses ------------------------------------------------------------------------------- */

static uint32_t config_in(unsigned offset, unsigned size)
{
    port_out(0xcf8, 4, 0x80000000u | DEVFN << 8 | (offset & 0xfc));
    return port_in((uint16_t)(0xcfc + (offset & 3)), size);
}

static void config_out(unsigned offset, unsigned size, uint32_t value)
{
    port_out(0xcf8, 4, 0x80000000u | DEVFN << 8 | (offset & 0xfc));
    port_out((uint16_t)(0xcfc + (offset & 3)), size, value);
}

static void set(uint64_t at, unsigned size, uint64_t value)
{
    board_store(board_memory, at, size, value);
}

static void map(void)
{
    config_out(0x14, 4, MSIX);
    config_out(0x20, 4, BAR);
    config_out(0x24, 4, 0);
    config_out(4, 2, 6);
}

static void run_loop(void)
{
    for (unsigned i = 0; i < 3; i++)
        lunik_run(lunik_machine_runtime(board), LUNIK_RUN_NOWAIT);
}

/* ---- a driver ------------------------------------------------------------------------------- */

static void enable(unsigned queue)
{
    uint64_t ring = RING + 0x4000 * (uint64_t)queue;

    set(COMMON + 0x16, 2, queue);
    set(COMMON + 0x18, 2, 8);
    set(COMMON + 0x1a, 2, queue);
    for (unsigned i = 0; i < 3; i++) {
        set(COMMON + 0x20 + 8 * i, 4, ring + 0x1000 * i);
        set(COMMON + 0x24 + 8 * i, 4, 0);
    }
    set(COMMON + 0x1c, 2, 1);
}

static void negotiate(void)
{
    static const uint32_t high[] = {1, 5, 0x101, 0x105};

    map();
    set(COMMON + 0x14, 1, 0);
    run_loop();
    set(COMMON + 0x14, 1, 3);
    set(COMMON + 8, 4, 0);
    set(COMMON + 0xc, 4, fuzz_byte() | (uint32_t)fuzz_below(4) << 28);
    set(COMMON + 8, 4, 1);
    set(COMMON + 0xc, 4, high[fuzz_below(4)]);
    set(COMMON + 0x14, 1, 11);
    for (unsigned i = 0; i < 5; i++)
        enable(i);
    set(COMMON + 0x14, 1, 15);
}

/* A descriptor, and the index of the available ring, which is one further. */
static void send_request(void)
{
    unsigned queue = fuzz_below(5), at = fuzz_below(8);
    uint64_t ring = RING + 0x4000 * (uint64_t)queue;
    uint8_t how = fuzz_byte();

    set(ring + 16 * at, 8, how & 0x80 ? fuzz_hostile() : 0x20000 + fuzz_number(2));
    set(ring + 16 * at + 8, 4, how & 0x40 ? fuzz_hostile() : fuzz_byte());
    set(ring + 16 * at + 12, 2, how & 7);
    set(ring + 16 * at + 14, 2, how & 0x20 ? fuzz_number(2) : fuzz_below(8));
    set(ring + 0x1004 + 2 * at, 2, how & 0x10 ? fuzz_number(2) : at);
    set(ring + 0x1002, 2, board_load(board_memory, ring + 0x1002, 2) + 1);
    set(NOTIFY + 4 * queue, 2, queue);
    run_loop();
}

/* ---- operations ----------------------------------------------------------------------------- */

static void access_anything(void)
{
    static const uint64_t places[] = {COMMON, ISR, DEVICE, NOTIFY, MSIX, RING, RING + 0x1000};
    uint64_t at = places[fuzz_below(7)] + fuzz_byte();
    uint8_t how = fuzz_byte();
    unsigned size = 1u << (how & 3);

    if (how & 4)
        set(at, size, how & 8 ? fuzz_hostile() : fuzz_number(size));
    else
        board_load(board_memory, at, size);
}

static void access_config(void)
{
    uint8_t how = fuzz_byte(), offset = fuzz_byte();
    unsigned size = 1u << how % 3;

    offset &= (uint8_t) - (int)size;
    if (how & 0x80)
        config_out(offset, size, (uint32_t)(how & 0x40 ? fuzz_hostile() : fuzz_number(size)));
    else
        config_in(offset, size);
}

/* What is saved loads, and is the same when it is saved again. */
static void save_and_load(void)
{
    lunik_object *o = lunik_object_find(board, "v");
    lunik_state_buffer first = {0}, second = {0};
    lunik_error err = {0};

    fuzz_must(lunik_machine_pause(board, &err), err);
    fuzz_must(lunik_object_save(o, &first, &err), err);
    fuzz_must(lunik_object_load(o, first.data, first.size, &err), err);
    fuzz_must(lunik_object_save(o, &second, &err), err);
    fuzz_check(first.size == second.size && !memcmp(first.data, second.data, first.size),
               "another state");
    lunik_state_buffer_free(&first);
    lunik_state_buffer_free(&second);
    fuzz_must(lunik_machine_start(board, &err), err);
}

static void check_reset(void)
{
    map();
    set(COMMON + 0x14, 1, 0);
    for (unsigned i = 0; i < 20 && board_load(board_memory, COMMON + 0x14, 1); i++)
        run_loop();
    fuzz_check(!board_load(board_memory, COMMON + 0x14, 1), "the device is not reset");
    set(COMMON + 8, 4, 0);
    fuzz_check(!board_load(board_memory, COMMON + 0xc, 4), "features are left");
    set(COMMON + 0x16, 2, 0);
    fuzz_check(!board_load(board_memory, COMMON + 0x1c, 2), "a queue is enabled");
}

static void operate(void)
{
    switch (fuzz_byte() % 10) {
    case 0:
        negotiate();
        break;
    case 1:
    case 2:
    case 3:
        send_request();
        break;
    case 4:
    case 5:
        access_anything();
        break;
    case 6:
        access_config();
        break;
    case 7:
        run_loop();
        break;
    case 8:
        board_advance(fuzz_number(2) * 100000);
        run_loop();
        break;
    default:
        if (fuzz_byte() & 1)
            save_and_load();
        else
            check_reset();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lunik_error err = {0};
    char options[640];

    fuzz_begin(data, size);
    snprintf(options, sizeof(options),
             "memory = '16M', maxmem = '64M', objects = { { "
             "'memory-backend-ram', { id = 'vmem', size = '4M' } } }, devices = { %s }",
             devices[fuzz_below(sizeof(devices) / sizeof(devices[0]))]);
    board_open(options);
    fuzz_must(lunik_machine_start(board, &err), err);
    negotiate();
    while (fuzz_more())
        operate();
    check_reset();
    board_close();
    return 0;
}
