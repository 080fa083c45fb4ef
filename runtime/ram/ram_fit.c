/*
 * ram_fit.c: whether the host has room for all pages of a RAM block.
 *
 * Linux overcommits memory and kills a process when there is none left. So the size of the block is
 * first compared with the memory that is available on the host and in the process's control group.
 * If that is not known, or the host accounts otherwise (huge pages are reserved when they are
 * mapped), nothing is refused.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cgroup.h"
#include "ram.h"
#include "core/confinement.h"

enum { TMPFS = 0x01021994, BLOCK = 512 };

/* Returns the value of a line of /proc/meminfo in bytes, 0 if there is no such line. */
static uint64_t line_of(const char *text, const char *name)
{
    const char *line = strstr(text, name);

    return line ? strtoull(line + strlen(name), NULL, 10) * 1024 : 0;
}

/* Memory that is available without taking it from another process, and how much of it is swap. */
struct memory_left {
    uint64_t all, swap; /* UINT64_MAX: unknown */
};

static struct memory_left memory_left(void)
{
    struct memory_left left = {UINT64_MAX, UINT64_MAX};
    char text[4096];
    int fd = kept_open(KEPT_MEMINFO);
    ssize_t size;

    if (fd < 0)
        return left;
    do {
        size = pread(fd, text, sizeof(text) - 1, 0);
    } while (size < 0 && errno == EINTR);
    close(fd);
    if (size <= 0)
        return left;
    text[size] = '\0';
    if (!strstr(text, "MemAvailable:"))
        return left;
    left.swap = line_of(text, "SwapFree:");
    left.all = line_of(text, "MemAvailable:") + left.swap;
    return left;
}

/* Returns how many bytes of the block have no blocks in the file yet. Blocks of other parts of the
 * file are counted as the block's. */
static uint64_t missing_in_file(const lunik_ram *ram)
{
    struct stat st;
    uint64_t has;

    if (fstat(ram->fd, &st) || !S_ISREG(st.st_mode))
        return 0;
    has = (uint64_t)st.st_blocks * BLOCK;
    return has < ram->size ? ram->size - has : 0;
}

static int check_memory(const lunik_ram *ram, uint64_t needed, lunik_error *err)
{
    uint64_t tables = needed / 512; /* page tables, which are charged to a control group */
    struct memory_left host;
    uint64_t group;

    if (!needed)
        return 0;
    host = memory_left();
    if (needed > host.all)
        return lunik_fail(err, LUNIK_E_NO_MEMORY,
                          "%s: prealloc: needs %" PRIu64 " bytes of memory, the host has %" PRIu64
                          " left, including swap",
                          ram->name, needed, host.all);
    group = cgroup_memory_left(host.swap);
    if (needed + tables > group)
        return lunik_fail(err, LUNIK_E_NO_MEMORY,
                          "%s: prealloc: needs %" PRIu64 " bytes of memory, this process's control "
                          "group leaves it %" PRIu64 ", including swap",
                          ram->name, needed + tables, group);
    return 0;
}

static int check_file_system(const lunik_ram *ram, const struct statfs *fs, uint64_t needed,
                             lunik_error *err)
{
    uint64_t left = fs->f_bfree * (uint64_t)fs->f_bsize;

    if (!fs->f_blocks || needed <= left) /* no blocks: no limit */
        return 0;
    return lunik_fail(err, LUNIK_E_NO_SPACE,
                      "%s: prealloc: needs %" PRIu64 " bytes of its file system, which has %" PRIu64
                      " left",
                      ram->name, needed, left);
}

int ram_check_fit(const lunik_ram *ram, lunik_error *err)
{
    uint64_t memory = ram->fd < 0 || !ram->share ? ram->size : 0, missing;
    struct statfs fs;
    int rc;

    if (ram->borrowed || ram->readonly || ram->page_size > (uint64_t)sysconf(_SC_PAGESIZE))
        return 0;
    if (ram->fd < 0 || fstatfs(ram->fd, &fs))
        return check_memory(ram, memory, err);
    missing = missing_in_file(ram);
    rc = check_file_system(ram, &fs, missing, err);
    return rc ? rc : check_memory(ram, memory + (fs.f_type == TMPFS ? missing : 0), err);
}
