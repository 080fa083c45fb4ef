/* boot.c: reads what the boot loader handed over. */
#include "guest.h"

struct boot boot;

static void add_range(uint64_t base, uint64_t size, uint32_t type)
{
    boot.map_count++;
    if (type != 1)
        return;
    boot.ram += size;
    if (base >= 4 * GIB)
        paging_map(base, size);
}

static void add_module(uint64_t address, uint64_t size, uint64_t string)
{
    if (boot.module_count == sizeof(boot.modules) / sizeof(boot.modules[0]))
        return;
    boot.modules[boot.module_count].address = address;
    boot.modules[boot.module_count].size = size;
    boot.modules[boot.module_count].string = (const char *)string;
    boot.module_count++;
}

static uint32_t get32(uint64_t at)
{
    return *(const uint32_t *)at;
}

/* The map has 64-bit fields at 4-byte alignment in some protocols. */
static uint64_t get64(uint64_t at)
{
    return get32(at) | (uint64_t)get32(at + 4) << 32;
}

static void read_pvh(uint64_t info)
{
    uint64_t modules = get64(info + 16), map = get64(info + 40);

    if (get32(info) != 0x336ec578) {
        boot.protocol = BOOT_UNKNOWN;
        return;
    }
    boot.cmdline = (const char *)get64(info + 24);
    boot.rsdp = get64(info + 32);
    for (uint32_t i = 0; i < get32(info + 12); i++)
        add_module(get64(modules + 32 * i), get64(modules + 32 * i + 8),
                   get64(modules + 32 * i + 16));
    for (uint32_t i = 0; get32(info + 4) >= 1 && i < get32(info + 48); i++)
        add_range(get64(map + 24 * i), get64(map + 24 * i + 8), get32(map + 24 * i + 16));
}

static void read_multiboot(uint64_t info)
{
    uint32_t flags = get32(info), map_size = get32(info + 44);
    uint64_t map = get32(info + 48), modules = get32(info + 24);

    if (flags & 1 << 2)
        boot.cmdline = (const char *)(uint64_t)get32(info + 16);
    for (uint32_t i = 0; flags & 1 << 3 && i < get32(info + 20); i++, modules += 16)
        add_module(get32(modules), get32(modules + 4) - get32(modules), get32(modules + 8));
    for (uint32_t at = 0; flags & 1 << 6 && at < map_size; at += get32(map + at) + 4)
        add_range(get64(map + at + 4), get64(map + at + 12), get32(map + at + 20));
}

static void read_linux(uint64_t info)
{
    boot.cmdline = (const char *)(uint64_t)get32(info + 0x228);
    boot.rsdp = get64(info + 0x70);
    if (get32(info + 0x21c))
        add_module(get32(info + 0x218), get32(info + 0x21c), 0);
    for (unsigned i = 0; i < *(const uint8_t *)(info + 0x1e8); i++)
        add_range(get64(info + 0x2d0 + 20 * i), get64(info + 0x2d0 + 20 * i + 8),
                  get32(info + 0x2d0 + 20 * i + 16));
}

void boot_read(unsigned protocol, uint64_t info)
{
    boot.protocol = protocol;
    if (protocol == BOOT_PVH)
        read_pvh(info);
    else if (protocol == BOOT_MULTIBOOT)
        read_multiboot(info);
    else if (protocol == BOOT_LINUX32 || protocol == BOOT_LINUX64)
        read_linux(info);
    if (!boot.cmdline)
        boot.cmdline = "";
}
