/*
 * dma.c: what a device's thread pays to read and write RAM through an address space, in ns, without
 * the machine lock, at random places of 256 MiB. `memcpy` copies between the same places.
 */
#include "bare.h"

#include <stdlib.h>
#include <string.h>

#include "lunik.h"
#include "lunik_device.h"
#include "must.h"

enum { ACCESSES = 1000, BATCHES = 100, LARGEST = 65536 };

static const uint64_t SIZE = 256 << 20;
static uint8_t buffer[LARGEST];
static uint8_t *host;
static lunik_dma *dma;

static uint64_t next(void)
{
    static uint64_t seed = 1;

    seed = seed * 6364136223846793005 + 1442695040888963407;
    return (seed >> 20) % (SIZE / LARGEST) * LARGEST;
}

static void do_memcpy(uint64_t at, size_t size)
{
    memcpy(host + at, buffer, size);
}

static void do_write(uint64_t at, size_t size)
{
    if (lunik_dma_write(dma, at, buffer, size))
        die("dma: a write failed");
}

static void do_map(uint64_t at, size_t size)
{
    lunik_dma_mapping map;

    if (lunik_dma_map(dma, at, size, true, &map) || map.size != size)
        die("dma: a mapping failed");
    memcpy(map.host, buffer, size);
    lunik_dma_unmap(&map, size);
}

static void measure(const char *name, void (*volatile fn)(uint64_t at, size_t size), size_t size)
{
    for (unsigned batch = 0; batch < BATCHES; batch++) {
        uint64_t start = now_ns();

        for (unsigned i = 0; i < ACCESSES; i++)
            fn(next(), size);
        printf("%s-%zu %.6g\n", name, size, (double)(now_ns() - start) / ACCESSES);
    }
}

static void add_memory(lunik_machine *m)
{
    lunik_ram_config block = {.name = "ram", .size = SIZE, .fd = -1};
    lunik_region_config config = {.kind = LUNIK_REGION_RAM, .name = "ram"};
    lunik_region *r;

    must(lunik_ram_new(&block, &config.ram, &err));
    must(lunik_ram_prealloc(config.ram, 1, NULL, NULL, NULL, &err));
    must(lunik_region_new(m, &config, &r, &err));
    must(lunik_region_add(lunik_space_root(lunik_machine_memory(m)), 0, r, 0, false, &err));
    host = lunik_ram_host(config.ram);
    lunik_ram_unref(config.ram);
}

int main(void)
{
    const lunik_machine_config config = {.name = "bench", .accel = LUNIK_ACCEL_NONE, .cpus = 1};
    lunik_runtime *rt;
    lunik_machine *m;

    must(lunik_runtime_new(lunik_builtin_types(), &rt, &err));
    must(lunik_machine_new(rt, &config, &m, &err));
    add_memory(m);
    must(lunik_dma_new(lunik_machine_memory(m), &dma, &err));
    lunik_dma_enable(dma);
    lunik_unlock(rt); /* as on a device's thread */
    for (size_t size = 64; size <= LARGEST; size *= 32) {
        measure("memcpy", do_memcpy, size);
        measure("write", do_write, size);
        measure("map", do_map, size);
    }
    lunik_lock(rt);
    lunik_dma_free(dma);
    lunik_runtime_free(rt);
    return 0;
}
