/*
 * kvm_io_rig.h: guests that write a counter to a register of a device, for the tests of ioeventfds
 * and coalesced writes: every write must arrive once, in order, at what was there.
 */
#ifndef SPEC_KVM_IO_RIG_H
#define SPEC_KVM_IO_RIG_H

#include "kvm_rig.h"

enum { DONE = 0x7000, RESULT = 0x7004, GO = 0x7008, DEVICE = 0xe000, PORT = 0x500, SWAPS = 200 };

static lunik_region *ram;

/* ---- devices -------------------------------------------------------------------------------- */

/* Atomic, as the lockless device needs it. */
static _Atomic uint32_t written; /* writes that arrived at any device, numbered by the guest */
static _Atomic unsigned misplaced;
static const void *_Atomic last_writer;

static inline lunik_access on_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    if (value != written)
        misplaced++;
    written++;
    last_writer = opaque;
    return LUNIK_ACCESS_OK;
}

static inline lunik_access on_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = written;
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops ops = {.read = on_read, .write = on_write};

/* opaque is the name. */
static inline lunik_region *make(const char *name, uint64_t size, const lunik_io_ops *io)
{
    return region_of((lunik_region_config){.kind = LUNIK_REGION_IO,
                                           .name = name,
                                           .size = size,
                                           .ops = io,
                                           .opaque = (void *)(uintptr_t)name});
}

static inline lunik_region *make_ram(const char *name, uint64_t size)
{
    return ram_region_of(
        (lunik_region_config){.kind = LUNIK_REGION_RAM, .name = name, .size = size});
}

/* ---- guests --------------------------------------------------------------------------------- */

static inline void begin(void)
{
    new_machine(LUNIK_ACCEL_KVM);
    ram = add_to(m->memory_space, 0, make_ram("ram", 0x10000), 0);
    add_reset_vector();
    written = misplaced = 0;
}

/* The same, with a device "dev" at DEVICE. */
static inline lunik_region *begin_with(uint64_t size, const lunik_io_ops *io)
{
    begin();
    return add_to(m->memory_space, DEVICE, make("dev", size, io), 1);
}

static inline void start(const void *code, size_t size)
{
    memcpy(ram->host + CODE, code, size);
    must("start", lunik_machine_start(m, &err));
}

/* Until the guest has counted so far. */
static inline void wait_word(unsigned at, uint32_t value)
{
    for (int i = 0; i < 20000 && guest_word(ram, at) < value; i++)
        lunik_run_timeout(rt, 1);
}

/* Until DONE is set, with the lock held: coalesced writes are not delivered meanwhile. */
static inline void wait_undelivered(void)
{
    for (int i = 0; i < 20000 && !guest_word(ram, DONE); i++)
        usleep(1000);
}

static inline uint64_t exits_for_io(void)
{
    lunik_vcpu_stats stats;

    lunik_vcpu_get_stats(lunik_vcpu_get(m, 0), &stats);
    return stats.mmio + stats.io;
}

static inline void end(void)
{
    drop(ram);
    lunik_machine_close(m);
}

/* Writes a counter from 0 to 99 to DEVICE. */
#define WRITE_HUNDRED XOR_EAX, STORE_EAX(DEVICE), INC_EAX, CMP_EAX(100), JNE(-14)
/* Counts in DONE, and around for ever. */
#define FINISH INC(DONE), STOP

static const uint8_t hundred[] = {WRITE_HUNDRED, FINISH};

/* The same, and before the end a read whose result goes to RESULT. */
static const uint8_t hundred_and_read[] = {WRITE_HUNDRED, LOAD_EAX(DEVICE + 0x100),
                                           STORE_EAX(RESULT), FINISH};

/* For ever: writes a counter; DONE counts the writes. */
static const uint8_t for_ever[] = {XOR_EAX, STORE_EAX(DEVICE), INC(DONE), INC_EAX, JMP(-13)};

#endif
