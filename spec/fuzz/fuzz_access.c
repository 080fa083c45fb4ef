/*
 * fuzz_access.c: guest memory through an address space: reads, writes, fills, hashes, searches and
 * mappings at any address and of any size, over RAM, ROM, devices (one refuses everything) and
 * holes, against an array of bytes. -max_len=256 -runs=6000
 */
#include "memory/memory.h"
#include "fuzz.h"

enum { PAGE = 4096, BYTES = 8 * PAGE, MAPPINGS = 4 };

/* The pages of the tested window, which ends at the end of the address space. WIDE is a device with
 * registers of four bytes. */
enum what { RAM, ROM, DEVICE, WIDE, SULKY, HOLE };
static const enum what pages[8] = {RAM, RAM, HOLE, DEVICE, ROM, WIDE, SULKY, RAM};
#define WINDOW (UINT64_MAX - BYTES + 1)

struct mapping {
    void *host;
    uint64_t address, size;
    bool write;
};

static lunik_runtime *rt;
static lunik_machine *m;
static lunik_space *space;
static uint8_t *backing[8]; /* of RAM and ROM; the devices' registers */
static uint8_t registers[2][PAGE];
static uint8_t want[BYTES]; /* what a read should give */
static struct mapping maps[MAPPINGS];

/* ---- the machine ---------------------------------------------------------------------------- */

static lunik_access device_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = 0;
    memcpy(value, (uint8_t *)opaque + offset, size);
    return LUNIK_ACCESS_OK;
}

static lunik_access device_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    memcpy((uint8_t *)opaque + offset, &value, size);
    return LUNIK_ACCESS_OK;
}

static lunik_access refuse_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    return LUNIK_ACCESS_DEVICE;
}

static lunik_access refuse_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    return LUNIK_ACCESS_DEVICE;
}

static const lunik_io_ops device_ops = {
    .read = device_read, .write = device_write, .valid = {1, 8, false}, .impl = {1, 8, false}};
static const lunik_io_ops wide_ops = {
    .read = device_read, .write = device_write, .valid = {1, 8, false}, .impl = {4, 4, false}};
static const lunik_io_ops sulky_ops = {
    .read = refuse_read, .write = refuse_write, .valid = {1, 8, false}};

static void add_page(unsigned i)
{
    static const lunik_region_kind kinds[] = {LUNIK_REGION_RAM, LUNIK_REGION_ROM, LUNIK_REGION_IO,
                                              LUNIK_REGION_IO, LUNIK_REGION_IO};
    static const lunik_io_ops *const ops[] = {NULL, NULL, &device_ops, &wide_ops, &sulky_ops};
    const lunik_ram_config ram = {.name = "ram", .size = PAGE, .fd = -1};
    lunik_region_config config = {.name = "page", .size = PAGE};
    lunik_region *region;
    lunik_error err = {0};

    if (pages[i] == HOLE)
        return;
    config.kind = kinds[pages[i]];
    config.ops = ops[pages[i]];
    if (config.ops) {
        backing[i] = registers[pages[i] == WIDE];
        config.opaque = backing[i];
    } else {
        fuzz_must(lunik_ram_new(&ram, &config.ram, &err), err);
        backing[i] = lunik_ram_host(config.ram);
    }
    fuzz_must(lunik_region_new(m, &config, &region, &err), err);
    fuzz_must(lunik_region_add(lunik_space_root(space), WINDOW + i * PAGE, region, 0, false, &err),
              err);
}

static void make_machine(void)
{
    static const lunik_type *const no_types[] = {NULL};
    static const lunik_machine_config config = {
        .name = "fuzz", .accel = LUNIK_ACCEL_NONE, .cpus = 1};
    lunik_error err = {0};

    fuzz_must(lunik_runtime_new(no_types, &rt, &err), err);
    fuzz_must(lunik_machine_new(rt, &config, &m, &err), err);
    space = lunik_machine_memory(m);
    for (unsigned i = 0; i < 8; i++)
        add_page(i);
}

/* Every input finds the same bytes. */
static void fill_machine(void)
{
    for (unsigned i = 0; i < BYTES; i++)
        want[i] = pages[i / PAGE] >= SULKY ? 0xff : (uint8_t)(i * 7 + i / 251);
    for (unsigned i = 0; i < 8; i++)
        if (pages[i] < SULKY)
            memcpy(backing[i], want + i * PAGE, PAGE);
}

/* ---- the model ------------------------------------------------------------------------------ */

static uint8_t byte_at(uint64_t address)
{
    return address < WINDOW ? 0xff : want[address - WINDOW];
}

static enum what what_at(uint64_t address)
{
    return address < WINDOW ? HOLE : pages[(address - WINDOW) / PAGE];
}

static void write_byte(uint64_t address, uint8_t value)
{
    if (what_at(address) < SULKY && what_at(address) != ROM)
        want[address - WINDOW] = value;
}

/* Returns the result of an access to one byte. */
static int outcome_at(uint64_t address, bool write)
{
    enum what what = what_at(address);

    if (what == SULKY)
        return LUNIK_E_DEVICE;
    return what == HOLE || (write && what == ROM) ? LUNIK_E_ACCESS : 0;
}

/* Returns the result of an access to the whole range; first: that of the first part that fails. */
static int outcome(uint64_t address, uint64_t size, bool write, bool first)
{
    int rc = 0;

    for (uint64_t i = 0; i < size && rc != LUNIK_E_ACCESS && !(first && rc); i++) {
        int part = outcome_at(address + i, write);

        rc = part ? part : rc;
    }
    return rc;
}

/* ---- operations ----------------------------------------------------------------------------- */

/* An address near something, or anywhere; and how much fits behind it, at most max. */
static uint64_t choose(uint64_t max, uint64_t *size)
{
    uint64_t address =
        fuzz_byte() & 7 ? WINDOW - 64 + fuzz_number(2) % (BYTES + 64) : fuzz_hostile();

    *size = fuzz_byte() & 7 ? fuzz_number(2) % (max + 1) : fuzz_byte();
    if (*size && *size - 1 > UINT64_MAX - address)
        *size = UINT64_MAX - address + 1;
    return address;
}

static void read_some(void)
{
    uint8_t got[600];
    uint64_t size, address = choose(sizeof(got), &size);
    int rc = lunik_space_read(space, address, got, size);

    fuzz_check(rc == outcome(address, size, false, false),
               "read of 0x%" PRIx64 " at 0x%" PRIx64 ": %d", size, address, rc);
    for (uint64_t i = 0; i < size; i++)
        fuzz_check(got[i] == byte_at(address + i), "0x%" PRIx64 " reads 0x%x, want 0x%x",
                   address + i, got[i], byte_at(address + i));
}

static void write_some(void)
{
    uint8_t bytes[600], first = fuzz_byte();
    uint64_t size, address = choose(sizeof(bytes), &size);
    bool fill = fuzz_byte() & 1;
    int rc;

    for (uint64_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(fill ? first : first + i);
        write_byte(address + i, bytes[i]);
    }
    rc = fill ? lunik_space_fill(space, address, first, size)
              : lunik_space_write(space, address, bytes, size);
    fuzz_check(rc == outcome(address, size, true, false),
               "write of 0x%" PRIx64 " at 0x%" PRIx64 ": %d", size, address, rc);
}

static void access_once(void)
{
    unsigned size = 1u << fuzz_below(4);
    uint64_t room, value = fuzz_number(8), address = choose(0, &room), got = 0;
    int rc;

    if (address > UINT64_MAX - 7 || address % size)
        return; /* the device takes aligned accesses */
    if (fuzz_byte() & 1) {
        rc = lunik_space_store(space, address, size, value & fuzz_ones(size));
        fuzz_check(rc == outcome(address, size, true, false), "store at 0x%" PRIx64 ": %d", address,
                   rc);
        for (unsigned i = 0; i < size; i++)
            write_byte(address + i, (uint8_t)(value >> 8 * i));
        return;
    }
    rc = lunik_space_load(space, address, size, &got);
    fuzz_check(rc == outcome(address, size, false, false), "load at 0x%" PRIx64 ": %d", address,
               rc);
    for (unsigned i = 0; i < size; i++)
        fuzz_check((uint8_t)(got >> 8 * i) == byte_at(address + i),
                   "load of %u at 0x%" PRIx64 " gives 0x%" PRIx64, size, address, got);
}

static void map_some(void)
{
    struct mapping *map = &maps[fuzz_below(MAPPINGS)];
    uint64_t size, address = choose(BYTES, &size), got;
    bool write = fuzz_byte() & 1;

    if (map->host || (write && what_at(address) >= DEVICE && what_at(address) <= SULKY))
        return; /* what a buffer for the device holds is up to who maps it */
    got = fuzz_byte() & 31 ? size : fuzz_hostile();
    *map = (struct mapping){.address = address, .size = got, .write = write};
    map->host = lunik_space_map(space, address, &map->size, write);
    fuzz_check(!map->host ==
                   (!got || what_at(address) == HOLE || (write && what_at(address) == ROM)),
               "0x%" PRIx64 " bytes at 0x%" PRIx64 " mapped: %d", got, address, !!map->host);
    if (!map->host)
        return;
    fuzz_check(map->size && map->size <= got && map->size <= PAGE - address % PAGE,
               "0x%" PRIx64 " of 0x%" PRIx64 " bytes are mapped", map->size, got);
    for (uint64_t i = 0; i < map->size; i++)
        fuzz_check(((uint8_t *)map->host)[i] == byte_at(address + i),
                   "0x%" PRIx64 " is mapped wrongly", address + i);
}

static void unmap(struct mapping *map)
{
    uint64_t accessed = fuzz_byte();

    if (!map->host)
        return;
    for (uint64_t i = 0; map->write && i < accessed && i < map->size; i++) {
        ((uint8_t *)map->host)[i] = (uint8_t)(accessed + i);
        write_byte(map->address + i, (uint8_t)(accessed + i));
    }
    lunik_space_unmap(space, map->host, map->size, map->write, accessed);
    *map = (struct mapping){0};
}

/* The first place where the pattern is; devices are not searched. */
static void search(void)
{
    uint8_t data[8], mask[8];
    uint64_t size, at, address = choose(BYTES, &size), found = 0, align = 1ull << fuzz_below(5);
    uint64_t length = 1 + fuzz_below(4);
    bool masked = fuzz_byte() & 1;
    lunik_pattern pattern = {
        .data = data, .mask = masked ? mask : NULL, .length = length, .align = align};
    int rc;

    at = address + fuzz_byte();
    for (uint64_t i = 0; i < length; i++) {
        data[i] = at + i < address ? fuzz_byte() : byte_at(at + i);
        mask[i] = masked ? fuzz_byte() : 0xff;
        data[i] ^= ~mask[i] & 0x5a;
    }
    rc = lunik_space_search(space, address, size, &pattern, &found);
    for (uint64_t i = 0; i + length <= size; i++) {
        uint64_t k = 0;

        while (k < length && (address + i) % align == 0 &&
               !((byte_at(address + i + k) ^ data[k]) & mask[k]) &&
               (what_at(address + i + k) == RAM || what_at(address + i + k) == ROM))
            k++;
        if (k < length)
            continue;
        fuzz_check(rc == 0 && found == address + i,
                   "search gives %d, 0x%" PRIx64 ", want 0x%" PRIx64, rc, found, address + i);
        return;
    }
    fuzz_check(rc == LUNIK_E_NOT_FOUND, "search gives %d, 0x%" PRIx64, rc, found);
}

static void hash(void)
{
    uint64_t size, hash, address = choose(BYTES, &size);
    uint8_t digest[32];
    int rc = lunik_space_hash(space, address, size, &hash);

    fuzz_check(rc == outcome(address, size, false, true),
               "hash of 0x%" PRIx64 " at 0x%" PRIx64 ": %d", size, address, rc);
    fuzz_check(lunik_space_sha256(space, address, size, digest) == rc,
               "SHA-256 differs from XXH64");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const operations[])(void) = {read_some, write_some, access_once, map_some,
                                               search,    hash,       read_some,   write_some};

    if (!rt)
        make_machine();
    fill_machine();
    fuzz_begin(data, size);
    while (fuzz_more()) {
        uint8_t how = fuzz_byte();

        if (how & 8)
            unmap(&maps[how >> 4 & 3]);
        else
            operations[how & 7]();
    }
    for (unsigned i = 0; i < MAPPINGS; i++)
        unmap(&maps[i]);
    for (unsigned i = 0; i < 8; i++)
        if (pages[i] < SULKY)
            fuzz_check(!memcmp(backing[i], want + i * PAGE, PAGE),
                       "page %u is not what was written", i);
    fuzz_check(!m->memory->bounce_bytes, "0x%" PRIx64 " bytes of buffers are left",
               (uint64_t)m->memory->bounce_bytes);
    return 0;
}
