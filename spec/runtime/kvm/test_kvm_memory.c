/*
 * test_kvm_memory.c: memslots follow the topology under a running guest.
 *
 * The guest is a handful of real-mode instructions that increment two counters for ever. What they
 * lie in, and what the instructions lie in, is split, joined and moved meanwhile: neither an
 * increment nor an instruction may get lost, and none may become an MMIO exit.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvm/kvm.h"
#include "kvm/kvm_memory.h"
#include "kvm_rig.h"

enum { RAM_SIZE = 0x10000, LEFT = 0x7f00, RIGHT = 0x8100, SWAPS = 600 };

static unsigned rom_writes, fringe;

static lunik_access on_rom_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    rom_writes++;
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops rom_ops = {.write = on_rom_write};

static lunik_region *make(const char *name, lunik_region_kind kind, uint64_t size, void *host,
                          lunik_region *target, uint64_t offset)
{
    lunik_ram_config ram_config = {.name = name, .size = size, .fd = -1, .host = host};
    lunik_region_config config = {
        .kind = kind, .name = name, .size = size, .target = target, .offset = offset};
    lunik_region *r = NULL;

    if (kind == LUNIK_REGION_ROM)
        config.ops = &rom_ops;
    if (!target)
        must(name, lunik_ram_new(&ram_config, &config.ram, &err));
    must(name, lunik_region_new(m, &config, &r, &err));
    if (config.ram)
        lunik_ram_unref(config.ram);
    return r;
}

static uint64_t mmio_exits(void)
{
    lunik_vcpu_stats stats;

    lunik_vcpu_get_stats(lunik_vcpu_get(m, 0), &stats);
    return stats.mmio;
}

static void start(const void *code, size_t size, lunik_region *ram)
{
    add_reset_vector();
    memcpy(ram->host + CODE, code, size);
    must("start", lunik_machine_start(m, &err));
}

static void let_run(lunik_region *ram, unsigned at)
{
    uint32_t before = guest_word(ram, at);

    for (int i = 0; i < 2000 && guest_word(ram, at) - before < 2; i++)
        lunik_run_timeout(rt, 1);
}

/* ---- swaps under a running guest ------------------------------------------------------------ */

/* loop: inc dword [LEFT]; inc dword [RIGHT]; jmp loop */
static const uint8_t count_both[] = {0x66, 0xff, 0x06,         LEFT & 0xff, LEFT >> 8, 0x66,
                                     0xff, 0x06, RIGHT & 0xff, RIGHT >> 8,  0xeb,      0xf4};

static void test_swaps(void)
{
    lunik_region *ram, *whole, *left, *right, *moved;
    uint32_t a, b;

    new_machine(LUNIK_ACCEL_KVM);
    ram = make("ram", LUNIK_REGION_RAM, RAM_SIZE, NULL, NULL, 0);
    whole =
        add_to(m->memory_space, 0, make("whole", LUNIK_REGION_ALIAS, RAM_SIZE, NULL, ram, 0), 0);
    left = add_to(m->memory_space, 0, make("left", LUNIK_REGION_ALIAS, 0x8000, NULL, ram, 0), 1);
    right = add_to(m->memory_space, 0x8000,
                   make("right", LUNIK_REGION_ALIAS, 0x8000, NULL, ram, 0x8000), 1);
    /* a strip of other memory that comes and goes in the middle of an unused part */
    moved =
        add_to(m->memory_space, 0xb000, make("strip", LUNIK_REGION_RAM, 0x1000, NULL, NULL, 0), 2);
    start(count_both, sizeof(count_both), ram);
    let_run(ram, LEFT);
    check_true("swaps: the guest runs", guest_word(ram, LEFT) > 0);
    for (unsigned i = 0; i < SWAPS; i++) {
        lunik_transaction_begin(m);
        must("readonly", lunik_region_set_readonly(i & 1 ? left : right, false, &err));
        must("whole", lunik_region_set_enabled(whole, i & 1, &err));
        must("left", lunik_region_set_enabled(left, !(i & 1), &err));
        must("right", lunik_region_set_enabled(right, !(i & 1), &err));
        must("strip", lunik_region_set_offset(moved, 0xb000 + 0x1000 * (i % 3), &err));
        must("commit", lunik_transaction_commit(m, &err));
        if (i % 64 == 0)
            let_run(ram, LEFT);
        lunik_unlock(rt);
        lunik_lock(rt);
    }
    let_run(ram, LEFT);
    must("pause", lunik_machine_pause(m, &err));
    a = guest_word(ram, LEFT);
    b = guest_word(ram, RIGHT);
    printf("# %d swaps, %u increments\n", SWAPS, a);
    check_true("swaps: no increment was lost", a == b || a == b + 1);
    check_uint("swaps: no access left the guest", mmio_exits(), 0);
    check_int("swaps: it still runs", lunik_machine_state(m), LUNIK_STATE_PAUSED);
    lunik_machine_close(m);
    lunik_region *all[] = {ram, whole, left, right, moved};
    for (unsigned i = 0; i < 5; i++)
        lunik_region_unref(all[i]);
}

/* ---- ROM and fringes ------------------------------------------------------------------------ */

/* loop: mov byte [0xc000], al; inc dword [0xa804]; inc dword [0xb004]; inc dword [LEFT]; jmp loop
 */
static const uint8_t touch_edges[] = {0xa2, 0x00, 0xc0,        0x66,      0xff, 0x06, 0x04,
                                      0xa8, 0x66, 0xff,        0x06,      0x04, 0xb0, 0x66,
                                      0xff, 0x06, LEFT & 0xff, LEFT >> 8, 0xeb, 0xec};

static void test_edges(void)
{
    lunik_region *ram, *rom, *strip, *odd;
    uint32_t a, b, c;

    new_machine(LUNIK_ACCEL_KVM);
    ram = add_to(m->memory_space, 0, make("ram", LUNIK_REGION_RAM, 0xa000, NULL, NULL, 0), 0);
    rom = add_to(m->memory_space, 0xc000, make("rom", LUNIK_REGION_ROM, 0x1000, NULL, NULL, 0), 0);
    strip = make("strip", LUNIK_REGION_RAM, 0x2000, NULL, NULL, 0);
    odd = add_to(m->memory_space, 0xa800,
                 make("odd", LUNIK_REGION_ALIAS, 0x1800, NULL, strip, 0x800), 0);
    rom_writes = fringe = 0;
    start(touch_edges, sizeof(touch_edges), ram);
    let_run(ram, LEFT);
    must("pause", lunik_machine_pause(m, &err));
    a = guest_word(ram, LEFT);
    b = guest_word(strip, 0x804);
    c = guest_word(strip, 0x1004);
    check_true("edges: the guest runs", a > 1);
    check_true("edges: memory before the first whole page", b == a || b == a + 1);
    check_true("edges: memory in whole pages", c == a || c == a + 1);
    check_true("edges: writes to ROM reach its device", rom_writes == a || rom_writes == a + 1);
    check_true("edges: three exits a round",
               mmio_exits() >= 3ull * a && mmio_exits() <= 3ull * (a + 1));
    lunik_machine_close(m);
    lunik_region *all[] = {ram, rom, strip, odd};
    for (unsigned i = 0; i < 4; i++)
        lunik_region_unref(all[i]);
}

/* ---- what KVM refuses ----------------------------------------------------------------------- */

static void test_refusals(void)
{
    lunik_region *ram, *far, *bad, *hole;
    unsigned slots;
    uint32_t before;
    lunik_section section;

    new_machine(LUNIK_ACCEL_KVM);
    ram = add_to(m->memory_space, 0, make("ram", LUNIK_REGION_RAM, RAM_SIZE, NULL, NULL, 0), 0);
    start(count_both, sizeof(count_both), ram);
    far = make("far", LUNIK_REGION_ALIAS, 0x1000, NULL, ram, 0);
    check_int("refusals: beyond the physical addresses",
              lunik_region_add(lunik_space_root(m->memory_space), 1ull << m->kvm->phys_bits, far, 0,
                               false, &err),
              LUNIK_E_INVALID);
    check_contains("refusals: text", err.message, "memory region 'ram': address: '0x");
    check_true("refusals: nothing is there",
               !lunik_space_find(m->memory_space, 1ull << m->kvm->phys_bits, &section));
    must("size", lunik_region_set_size(far, 0x2000, &err));
    check_int("refusals: partly beyond them",
              lunik_region_add(lunik_space_root(m->memory_space),
                               (1ull << m->kvm->phys_bits) - 0x1000, far, 0, false, &err),
              LUNIK_E_INVALID);
    must("size", lunik_region_set_size(far, 0x1000, &err));
    slots = m->kvm->max_slots;
    m->kvm->max_slots = 2;
    check_int("refusals: no slot left",
              lunik_region_add(lunik_space_root(m->memory_space), 0x100000, far, 0, false, &err),
              LUNIK_E_NO_SPACE);
    check_contains("refusals: slots, text", err.message, "want at most 2");
    m->kvm->max_slots = slots;
    /* KVM refuses the second of two new slots, after the guest's own was split for the first */
    hole = make("hole", LUNIK_REGION_RAM, 0x1000, NULL, NULL, 0);
    bad = make("bad", LUNIK_REGION_RAM, 0x1000, (void *)0xffff800000000000, NULL, 0);
    lunik_transaction_begin(m);
    must("hole", lunik_region_add(lunik_space_root(m->memory_space), 0xa000, hole, 1, false, &err));
    must("bad", lunik_region_add(lunik_space_root(m->memory_space), 0x200000, bad, 1, false, &err));
    check_true("refusals: half-way", lunik_transaction_commit(m, &err) != 0);
    check_contains("refusals: half-way, text", err.message,
                   "memory region 'bad' can't be mapped at 0x200000");
    check_true("refusals: undone", lunik_space_find(m->memory_space, 0xa000, &section) &&
                                       section.region == ram && section.size == RAM_SIZE);
    before = guest_word(ram, LEFT);
    let_run(ram, LEFT);
    check_true("refusals: the guest goes on", guest_word(ram, LEFT) > before);
    check_uint("refusals: and finds its memory", mmio_exits(), 0);
    drop(add_to(m->memory_space, 0x100000, far, 0));
    lunik_machine_close(m);
    lunik_region_unref(ram);
    lunik_region_unref(bad);
    lunik_region_unref(hole);
}

/* ---- slots that come and go ------------------------------------------------------------------ */

static void test_slots_again(void)
{
    lunik_region *ram, *kept;
    const struct slot_list *slots;

    new_machine(LUNIK_ACCEL_KVM);
    slots = &m->kvm->memory->slots;
    ram = add_to(m->memory_space, 0x1000, make("ram", LUNIK_REGION_RAM, 0x1000, NULL, NULL, 0), 0);
    kept = add_to(m->memory_space, 0, make("kept", LUNIK_REGION_ALIAS, 0x1000, NULL, ram, 0), 0);
    for (unsigned i = 0; i < 20; i++)
        must("come and go", lunik_region_set_enabled(ram, i & 1, &err));
    check_uint("slots again: as many as before", slots->count, 2);
    for (size_t i = 0; i < slots->count; i++)
        check_true("slots again: an id that was in use before", slots->items[i].id < 2);
    lunik_machine_close(m);
    lunik_region_unref(ram);
    lunik_region_unref(kept);
}

int main(void)
{

    if (!check_kvm("kvm memory"))
        return 0;
    new_runtime();
    test_swaps();
    test_edges();
    test_refusals();
    test_slots_again();
    lunik_runtime_free(rt);
    return check_result();
}
