/* test_dma_windows.c: RAM that a device's thread keeps at hand while the memory map changes. */
#include "machine_rig.h"

enum { PAGE = 0x1000, SIZE = 16 * PAGE };

static unsigned idles;

static void note_idle(lunik_dma_idle *idle)
{
    (void)idle;
    idles++;
}

static void run_loop(void)
{
    lunik_run(rt, LUNIK_RUN_NOWAIT);
    lunik_run(rt, LUNIK_RUN_NOWAIT);
}

static void test_open(lunik_dma *d, lunik_ram *ram, lunik_dma_window *w)
{
    lunik_dma_window none;

    check_int("not with the gate closed", lunik_dma_begin(d), LUNIK_E_STATE);
    lunik_dma_enable(d);
    check_int("begun", lunik_dma_begin(d), 0);
    check_int("open", lunik_dma_window_open(d, SIZE + 100, w), 0);
    check_true("on all there is", w->first == SIZE && w->last == 2 * SIZE - 1 &&
                                      w->host == lunik_ram_host(ram) && w->writable);
    check_int("not on nothing", lunik_dma_window_open(d, 2 * SIZE, &none), LUNIK_E_ACCESS);
    check_true("then nothing is open", !none.ram);
}

/* The region goes; the window reaches its block. */
static void test_written(lunik_dma *d, lunik_ram *ram, const lunik_dma_window *w, lunik_region *r)
{
    uint64_t before = 0, after = 0;

    check_int("a map has a number", lunik_dma_generation(d, &before), 0);
    check_true("not logged", !lunik_dma_window_logged(w));
    must("log", lunik_dirty_start(m, LUNIK_DIRTY_USER, NULL, &err));
    drop(r);
    lunik_dma_generation(d, &after);
    check_true("and another one has another", before && after && before != after);
    memset(w->host, 0x5a, SIZE);
    check_true("logged", lunik_dma_window_logged(w));
    lunik_dma_window_written(d, w, SIZE + PAGE, 2 * PAGE);
    check_uint("two pages", lunik_dirty_count(ram, LUNIK_DIRTY_USER, PAGE, 2 * PAGE), 2);
    check_uint("and nothing else", lunik_dirty_count(ram, LUNIK_DIRTY_USER, 0, SIZE), 2);
    must("log", lunik_dirty_stop(m, LUNIK_DIRTY_USER, NULL, &err));
}

static void test_gate(lunik_dma *d)
{
    lunik_dma_idle idle = {.fn = note_idle};
    uint64_t number;

    lunik_dma_disable(d, &idle);
    run_loop();
    check_uint("an access is under way", idles, 0);
    check_int("the gate is closed", lunik_dma_generation(d, &number), LUNIK_E_STATE);
    lunik_dma_end(d);
    run_loop();
    check_uint("until it ends", idles, 1);
}

static void test_kinds(lunik_dma *d)
{
    static const lunik_io_ops no_ops;
    lunik_region_config rom_config = {.kind = LUNIK_REGION_ROM, .name = "rom", .size = SIZE};
    lunik_region_config io_config = {
        .kind = LUNIK_REGION_IO, .name = "io", .size = SIZE, .ops = &no_ops};
    lunik_region *rom = add_to(m->memory_space, 0, ram_region_of(rom_config), 0);
    lunik_region *io = add_to(m->memory_space, SIZE, region_of(io_config), 0);
    lunik_dma_window w;

    lunik_dma_enable(d);
    must("begin", lunik_dma_begin(d));
    check_int("ROM", lunik_dma_window_open(d, 0, &w), 0);
    check_true("can't be written", !w.writable);
    lunik_dma_window_close(d, &w);
    check_int("a device has none", lunik_dma_window_open(d, SIZE, &w), LUNIK_E_ACCESS);
    lunik_dma_end(d);
    drop(rom);
    drop(io);
}

static void test_space_gone(void)
{
    lunik_region *root = region_of(
        (lunik_region_config){.kind = LUNIK_REGION_CONTAINER, .name = "bus", .size = 2 * SIZE});
    lunik_region *r = add(
        root, 0,
        ram_region_of((lunik_region_config){.kind = LUNIK_REGION_RAM, .name = "r", .size = SIZE}),
        0);
    lunik_dma_window w, more;
    uint64_t number;
    lunik_space *s;
    lunik_dma *d;

    must("space", lunik_space_new(m, "bus", root, &s, &err));
    must("dma", lunik_dma_new(s, &d, &err));
    lunik_dma_enable(d);
    must("begin", lunik_dma_begin(d));
    must("open", lunik_dma_window_open(d, 0, &w));
    lunik_space_free(s);
    check_int("gone", lunik_dma_generation(d, &number), LUNIK_E_GONE);
    check_int("no more windows", lunik_dma_window_open(d, 0, &more), LUNIK_E_GONE);
    lunik_dma_window_close(d, &w);
    lunik_dma_end(d);
    lunik_dma_free(d);
    drop(r);
    lunik_region_unref(root);
}

int main(void)
{
    lunik_ram *ram;
    lunik_dma_window w;
    lunik_region *r;
    lunik_dma *d;

    new_runtime();
    new_machine(LUNIK_ACCEL_NONE);
    ram = new_ram("ram", SIZE);
    r = show_ram("ram", ram, 0, SIZE, SIZE, 0);
    must("dma", lunik_dma_new(m->memory_space, &d, &err));
    test_open(d, ram, &w);
    test_written(d, ram, &w, r);
    test_gate(d);
    lunik_dma_window_close(d, &w);
    test_kinds(d);
    lunik_dma_free(d);
    test_space_gone();
    lunik_ram_unref(ram);
    lunik_runtime_free(rt);
    return check_result();
}
