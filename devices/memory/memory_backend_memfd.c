/* memory_backend_memfd.c: memory of an unnamed file, which can be passed to other processes. */
#define _GNU_SOURCE /* memfd_create */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory_backend.h"
#include "../quiet_signal.h"
#include "../types.h"

struct memory_backend_memfd {
    struct memory_backend common;
    bool hugetlb, seal;
    uint64_t hugetlbsize;
};

static int check_hugetlb(lunik_object *o, lunik_error *err)
{
    const struct memory_backend_memfd *b = lunik_state(o);
    char path[96];

    if (!b->hugetlbsize)
        return 0;
    if (!b->hugetlb)
        return lunik_fail(err, LUNIK_E_INVALID, "%s: hugetlbsize: needs hugetlb on",
                          lunik_object_type_name(o));
    snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB",
             b->hugetlbsize / 1024);
    if (b->hugetlbsize & (b->hugetlbsize - 1) || access(path, F_OK))
        return lunik_fail(err, LUNIK_E_UNSUPPORTED,
                          "%s: hugetlbsize: %" PRIu64 " is not a huge page size of this host",
                          lunik_object_type_name(o), b->hugetlbsize);
    return 0;
}

/* Sizes the file and seals it: a peer that could shrink it could end this process with SIGBUS. */
static int prepare(lunik_object *o, int fd, uint64_t *page_size, lunik_error *err)
{
    const struct memory_backend_memfd *b = lunik_state(o);
    const char *type = lunik_object_type_name(o);
    int rc = memory_backend_page_size(o, fd, page_size, err);

    if (rc)
        return rc;
    if (b->common.size % *page_size)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s: size: %" PRIu64 " is not a multiple of the page size %" PRIu64, type,
                          b->common.size, *page_size);
    if (b->common.size > INT64_MAX)
        return lunik_fail(err, LUNIK_E_NO_MEMORY,
                          "%s: size: %" PRIu64 " bytes are more than the host can map", type,
                          b->common.size);
    if (quiet_truncate(fd, (off_t)b->common.size))
        return lunik_fail_errno(err, errno, "%s: size: can't make a memfd of %" PRIu64 " bytes",
                                type, b->common.size);
    if (b->seal && fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))
        return lunik_fail_errno(err, errno, "%s: seal: can't seal the memfd", type);
    return 0;
}

static int realize(lunik_object *o, lunik_error *err)
{
    const struct memory_backend_memfd *b = lunik_state(o);
    lunik_ram_config config = {.fd = -1};
    unsigned flags = MFD_CLOEXEC;
    int rc = check_hugetlb(o, err);

    if (rc)
        return rc;
    if (b->seal)
        flags |= MFD_ALLOW_SEALING;
    if (b->hugetlb)
        flags |= MFD_HUGETLB;
    if (b->hugetlbsize)
        flags |= (unsigned)__builtin_ctzll(b->hugetlbsize) << MFD_HUGE_SHIFT;
    config.fd = memfd_create(lunik_object_id(o), flags);
    if (config.fd < 0)
        return lunik_fail_errno(err, errno, "%s: can't create a memfd", lunik_object_type_name(o));
    rc = prepare(o, config.fd, &config.page_size, err);
    if (!rc)
        rc = memory_backend_map(o, &config, err);
    close(config.fd);
    return rc;
}

static const lunik_prop props[] = {
    {
        .name = "share",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Map the memory so that other processes can share it.",
        .offset = offsetof(struct memory_backend_memfd, common.share),
        .def = true,
    },
    {
        .name = "hugetlb",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Use huge pages.",
        .offset = offsetof(struct memory_backend_memfd, hugetlb),
    },
    {
        .name = "hugetlbsize",
        .kind = LUNIK_PROP_SIZE,
        .doc = "Bytes of a huge page, 0 for the host's default.",
        .offset = offsetof(struct memory_backend_memfd, hugetlbsize),
    },
    {
        .name = "seal",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Fix the file's size for good.",
        .offset = offsetof(struct memory_backend_memfd, seal),
        .def = true,
    },
    {0},
};

const lunik_type memory_backend_memfd_type = {
    .name = "memory-backend-memfd",
    .parent = "memory-backend",
    .doc = "Memory of an unnamed file, which can be passed to other processes.",
    .size = sizeof(struct memory_backend_memfd),
    .props = props,
    .realize = realize,
    .state = &lunik_state_none,
};
