/*
 * memory_oracle_access.h: accesses of the memory oracle: their targets, results and rejections.
 */
#ifndef SPEC_MEMORY_ORACLE_ACCESS_H
#define SPEC_MEMORY_ORACLE_ACCESS_H

#include "memory_oracle_model.h"

static lunik_rejection rejection; /* the last one reported */
static unsigned rejections;

static void on_reject(void *opaque, const lunik_rejection *r)
{
    rejection = *r;
    rejections++;
}

/* True if a write ends up in RAM. */
static bool writable(const struct place *at)
{
    return at->node >= 0 && at->flags & RANGE_DIRECT && !(at->flags & RANGE_READONLY) &&
           nodes[at->node].kind != LUNIK_REGION_ROM_DEVICE;
}

/* Why an access to a place does not succeed. */
static lunik_reject verdict(const struct place *at, unsigned size, bool write)
{
    const struct node *n = &nodes[at->node < 0 ? 0 : at->node];

    if (at->node < 0)
        return LUNIK_REJECT_UNASSIGNED;
    if (write ? writable(at) : at->flags & RANGE_DIRECT || n->kind == LUNIK_REGION_RESERVED)
        return LUNIK_REJECT_NONE;
    if (!is_device(n))
        return n->kind == LUNIK_REGION_RESERVED ? LUNIK_REJECT_NONE : LUNIK_REJECT_READONLY;
    switch (n->manner) {
    case REFUSES:
        return LUNIK_REJECT_DEVICE;
    case UNDECODED:
        return LUNIK_REJECT_UNDECODED;
    case LARGE_ONLY:
        return size < 2 ? LUNIK_REJECT_SIZE : LUNIK_REJECT_NONE;
    case READ_ONLY:
        return write ? LUNIK_REJECT_READONLY : LUNIK_REJECT_NONE;
    case WRITE_ONLY:
        return write ? LUNIK_REJECT_NONE : LUNIK_REJECT_WRITEONLY;
    default:
        return LUNIK_REJECT_NONE;
    }
}

static int code_of(lunik_reject why)
{
    if (!why)
        return 0;
    return why == LUNIK_REJECT_DEVICE && model != WRONG_RESULT ? LUNIK_E_DEVICE : LUNIK_E_ACCESS;
}

/* Returns the byte that RAM holds when no test writes to it. */
static uint8_t ram_byte(const struct node *n, const uint8_t *host)
{
    return (uint8_t)((host - n->host) / shape->cell + (uintptr_t)n->host / 4096);
}

/* The failure as a line of the script. */
static void complain_access(lunik_space *s, bool store, uint64_t address, int rc, int want)
{
    const char *what = store ? "store" : "load";

    complain("%s at 0x%" PRIx64 ": %d, want %d; %u rejections (%s)", what, address, rc, want,
             rejections, lunik_reject_name(rejection.why));
    if (!body || lunik_space_root(s) != nodes[0].region)
        return;
    fprintf(body, "local ok, err = pcall(m.%s, m, %s, 1%s)\n", what, lua_number(address),
            store ? ", 0" : "");
    fprintf(body, "assert((ok and \"ok\" or err.code) == \"%s\", \"wrong\")\n",
            want ? lunik_error_name(want) : "ok");
}

/* True if the report of a rejected access and the space's counter equal the model. */
static bool rejected_as(lunik_space *s, const struct place *at, uint64_t address, lunik_reject why,
                        uint64_t counted)
{
    const lunik_region *region = at->node < 0 ? NULL : nodes[at->node].region;
    lunik_space_stats stats;

    lunik_space_get_stats(s, &stats);
    if (!why)
        return !rejections && stats.rejected == counted;
    return rejections == 1 && stats.rejected == counted + 1 && rejection.why == why &&
           rejection.region == region && rejection.space == s &&
           rejection.access.address == address &&
           (!region || rejection.offset == at->offset * shape->cell + address % shape->cell);
}

static uint8_t *host_at(const struct place *at, uint64_t address)
{
    return at->node >= 0 && nodes[at->node].host
               ? nodes[at->node].host + at->offset * shape->cell + address % shape->cell
               : NULL;
}

/* Returns the byte that a read of that size should give. */
static uint8_t byte_at(const struct place *at, uint64_t address, unsigned size)
{
    if (at->node < 0 || nodes[at->node].kind == LUNIK_REGION_RESERVED ||
        verdict(at, size, false) != LUNIK_REJECT_NONE)
        return 0xff;
    return at->flags & RANGE_DIRECT ? *host_at(at, address) : device_byte(&nodes[at->node]);
}

/* True if an access with that result gets as far as the device's functions. */
static bool calls_device(const struct place *at, lunik_reject why, bool write)
{
    const struct node *n = &nodes[at->node < 0 ? 0 : at->node];

    if (at->node < 0 || !is_device(n) || (write ? writable(at) : at->flags & RANGE_DIRECT))
        return false;
    return !why || why == LUNIK_REJECT_DEVICE || why == LUNIK_REJECT_UNDECODED;
}

/* A load or a store of a byte, which is in *value, must end up where the model says, with the
 * result that it says. */
static void check_byte(lunik_space *s, uint64_t address, const struct place *want, bool write,
                       uint64_t *value)
{
    lunik_reject why = verdict(want, 1, write);
    lunik_space_stats counted;
    bool right;
    int rc;

    reached = (struct place){.node = -1};
    rejections = 0;
    lunik_space_get_stats(s, &counted);
    rc = write ? lunik_space_store(s, address, 1, *value) : lunik_space_load(s, address, 1, value);
    if (rc != code_of(why) || !rejected_as(s, want, address, why, counted.rejected))
        complain_access(s, write, address, rc, code_of(why));
    if (calls_device(want, why, write))
        right = reached.node == want->node && reached.offset == want->offset &&
                (reached.flags != 0) == write;
    else
        right = reached.node < 0;
    if (!right)
        complain("%s at 0x%" PRIx64 " reached n%d", write ? "store" : "load", address,
                 reached.node);
}

static void check_access(lunik_space *s, uint64_t address, const struct place *want)
{
    uint8_t *host = host_at(want, address);
    uint64_t value;

    check_byte(s, address, want, false, &value);
    if (!failed && value != byte_at(want, address, 1))
        complain("load at 0x%" PRIx64 ": value 0x%" PRIx64, address, value);
    value = host ? *host ^ 0x55u : 0;
    check_byte(s, address, want, true, &value);
    if (!host)
        return;
    if (writable(want))
        *host ^= 0x55;
    if (*host != ram_byte(&nodes[want->node], host))
        complain("store at 0x%" PRIx64 ": RAM is not as it should be", address);
}

/* The worst of what a transfer meets, byte by byte. */
static int outcome(const struct place *places, unsigned size, bool write)
{
    int rc = 0;

    for (unsigned i = 0; i < size && rc != LUNIK_E_ACCESS; i++) {
        int code = code_of(verdict(&places[i], 8, write));

        rc = code ? code : rc;
    }
    return rc;
}

/* Writes through a border must have reached all that can be written, the later one of two windows
 * on the same memory last. Puts back what was there. */
static void check_written(const struct place *places, uint64_t address, const uint8_t *bytes,
                          unsigned size)
{
    for (unsigned i = size; i-- > 0;) {
        uint8_t *host = host_at(&places[i], address + i);
        bool hidden = false;

        for (unsigned j = i + 1; j < size; j++)
            hidden = hidden || (host == host_at(&places[j], address + j) && writable(&places[j]));
        if (hidden || !writable(&places[i]))
            continue;
        if (*host != bytes[i])
            complain("write at 0x%" PRIx64 " does not reach 0x%" PRIx64, address, address + i);
    }
    for (unsigned i = 0; i < size; i++) {
        uint8_t *host = host_at(&places[i], address + i);

        if (host)
            *host = ram_byte(&nodes[places[i].node], host);
    }
}

/* Transfers across a border: a multiple of eight bytes, where cells have that many. */
static void check_transfer(unsigned which)
{
    enum { MOST = 64 };
    unsigned unit = shape->cell < 8 ? 1 : 8, size = unit * (1 + chance(MOST / unit));
    unsigned back = unit * chance(MOST / 2 / unit);
    uint64_t address = (1 + chance(shape->cells - 1)) * shape->cell;
    struct place places[MOST];
    uint8_t bytes[MOST];
    int rc;

    address -= address < back ? address : back;
    for (unsigned i = 0; i < size; i++) {
        uint64_t cell = (address + i) / shape->cell;

        places[i] = (struct place){.node = -1};
        if (cell < shape->cells)
            resolve(space_roots[which], (unsigned)cell, 0, &places[i]);
        if (shape->cell < 8 && places[i].node >= 0 && nodes[places[i].node].manner == LARGE_ONLY)
            return; /* what is cut how is a test of its own */
    }
    rc = lunik_space_read(spaces[which], address, bytes, size);
    if (rc != outcome(places, size, false))
        complain("read of %u at 0x%" PRIx64 ": %d", size, address, rc);
    for (unsigned i = 0; i < size; i++)
        if (bytes[i] != byte_at(&places[i], address + i, 8))
            complain("read of %u at 0x%" PRIx64 ": 0x%x at %u", size, address, bytes[i], i);
    for (unsigned i = 0; i < size; i++)
        bytes[i] = (uint8_t)(bytes[i] + 1 + i);
    rc = lunik_space_write(spaces[which], address, bytes, size);
    if (rc != outcome(places, size, true))
        complain("write of %u at 0x%" PRIx64 ": %d", size, address, rc);
    check_written(places, address, bytes, size);
}

#endif
