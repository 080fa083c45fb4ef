/* discard.c: gives pages of RAM blocks back to the host. */
#define _GNU_SOURCE /* fallocate */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>

#include "core/misuse.h"
#include "ram.h"

void lunik_ram_pin(lunik_ram *ram)
{
    NOT_NULL(ram);

    atomic_fetch_add(&ram->pins, 1);
}

void lunik_ram_unpin(lunik_ram *ram)
{
    NOT_NULL(ram);
    REQUIRE(atomic_load(&ram->pins), "the block is not pinned");

    atomic_fetch_sub(&ram->pins, 1);
}

/* A file's pages are freed in the file, which other processes may have mapped. */
static int give_back(const lunik_ram *ram, uint64_t offset, uint64_t size)
{
    int advice = ram->share && ram->fd < 0 ? MADV_REMOVE : MADV_DONTNEED;

    if (!ram->share || ram->fd < 0)
        return madvise(ram->host + offset, size, advice) ? errno : 0;
    return fallocate(ram->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                     (off_t)(ram->fd_offset + offset), (off_t)size)
               ? errno
               : 0;
}

int lunik_ram_discard(lunik_ram *ram, uint64_t offset, uint64_t size, lunik_error *err)
{
    NOT_NULL_OR_FAIL(ram, err);

    int sys;

    if (offset % ram->page_size || size % ram->page_size || !size || offset > ram->size ||
        size > ram->size - offset)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s: 0x%" PRIx64 " bytes at 0x%" PRIx64
                          " are not pages of it (want multiples of 0x%" PRIx64 " within 0x%" PRIx64
                          ")",
                          ram->name, size, offset, ram->page_size, ram->size);
    if (ram->borrowed || ram->readonly)
        return lunik_fail(err, LUNIK_E_UNSUPPORTED, "%s: its pages can't be given back: it is %s",
                          ram->name, ram->borrowed ? "a mapping of the program's" : "read-only");
    if (atomic_load(&ram->pins))
        return lunik_fail(err, LUNIK_E_BUSY, "%s: its pages are to stay", ram->name);
    sys = give_back(ram, offset, size);
    return sys ? lunik_fail_errno(err, sys, "%s: can't give back 0x%" PRIx64 " bytes", ram->name,
                                  size)
               : 0;
}
