/*
 * ioeventfd.h: regions whose device counts the writes that reach it, and eventfds, for the tests of
 * ioeventfds and coalesced ranges.
 */
#ifndef SPEC_IOEVENTFD_H
#define SPEC_IOEVENTFD_H

#include <sys/eventfd.h>

#include "machine_rig.h"
#include "signals.h"

static unsigned device_writes;
static uint64_t device_value;

static inline lunik_access on_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    device_writes++;
    device_value = value;
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops ops = {
    .write = on_write, .valid = {1, 8, true}, .impl = {1, 8, true}, .lockless = true};

static inline lunik_region *make(const char *name, lunik_region_kind kind, uint64_t size,
                                 lunik_region *target, uint64_t offset)
{
    lunik_region_config config = {
        .kind = kind, .name = name, .size = size, .target = target, .offset = offset};
    lunik_region *r = NULL;

    if (kind == LUNIK_REGION_IO)
        config.ops = &ops;
    must(name, lunik_region_new(m, &config, &r, &err));
    return r;
}

static inline int new_fd(void)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    if (fd < 0)
        must("eventfd", -1);
    return fd;
}

#endif
