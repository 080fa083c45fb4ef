/*
 * cgroup.c: see cgroup.h. The kernel kills a process that exceeds its control group's limit, as it
 * does when the host has no memory left.
 *
 * A process is in one group of the hierarchy, and in all groups above that; each may have a limit.
 * Version 1 limits memory, and the sum of memory and swap; version 2 limits memory and swap. Pages
 * of files count as used, but the kernel drops them when it needs room.
 */
#define _GNU_SOURCE /* TEMP_FAILURE_RETRY */
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/span.h"

enum { LEVELS_MAX = 16, KEPT_MAX = 4 };

enum { LIMIT, USAGE, STAT, SWAP_LIMIT, SWAP_USAGE, FILE_COUNT };

static const char *const names[][FILE_COUNT] = {
    {"memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat", "memory.memsw.limit_in_bytes",
     "memory.memsw.usage_in_bytes"},
    {"memory.max", "memory.current", "memory.stat", "memory.swap.max", "memory.swap.current"},
};

/* The lines of memory.stat for pages that can be dropped; version 1's total_* lines include the
 * groups below. */
static const char *const reclaimable[][2] = {
    {"\ntotal_inactive_file ", "\ntotal_active_file "},
    {"\ninactive_file ", "\nactive_file "},
};

/* One group. */
struct group {
    bool v2;
    int fds[FILE_COUNT]; /* -1: the group has no such file */
};

/* The groups with a limit, of a process that is in a sandbox. */
static struct group kept[KEPT_MAX];
static unsigned kept_count;
static bool keeping;

/* ---- files ---------------------------------------------------------------------------------- */

static bool read_all(int fd, char *text, size_t size)
{
    ssize_t n = fd < 0 ? -1 : TEMP_FAILURE_RETRY(pread(fd, text, size - 1, 0));

    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* Reads a number from a file; returns other if there is no such file. "max" is UINT64_MAX. */
static uint64_t number(int fd, uint64_t other)
{
    char text[32];

    if (!read_all(fd, text, sizeof(text)))
        return other;
    return *text == 'm' ? UINT64_MAX : strtoull(text, NULL, 10);
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- one group ------------------------------------------------------------------------------ */

static void group_close(struct group *g)
{
    for (unsigned i = 0; i < FILE_COUNT; i++)
        if (g->fds[i] >= 0)
            close(g->fds[i]);
}

/* Returns false if the directory is not that of a group with memory limits. */
static bool group_open(struct group *g, bool v2, const char *folder)
{
    char path[PATH_MAX];

    g->v2 = v2;
    for (unsigned i = 0; i < FILE_COUNT; i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[v2][i]);
        g->fds[i] = TEMP_FAILURE_RETRY(open(path, O_RDONLY | O_CLOEXEC));
    }
    if (g->fds[LIMIT] >= 0)
        return true;
    group_close(g);
    return false;
}

static uint64_t file_pages(const struct group *g)
{
    char text[8192];
    uint64_t sum = 0;

    text[0] = '\n';
    if (!read_all(g->fds[STAT], text + 1, sizeof(text) - 1))
        return 0;
    for (unsigned i = 0; i < 2; i++) {
        const char *line = strstr(text, reclaimable[g->v2][i]);

        if (line)
            sum = add_saturated(sum, strtoull(line + strlen(reclaimable[g->v2][i]), NULL, 10));
    }
    return sum;
}

/* Version 1 shows "no limit" as a number larger than any host's memory. */
static bool unlimited(const struct group *g)
{
    return number(g->fds[LIMIT], UINT64_MAX) >= UINT64_MAX / 4 &&
           (g->v2 || number(g->fds[SWAP_LIMIT], UINT64_MAX) >= UINT64_MAX / 4);
}

static uint64_t group_left(const struct group *g, uint64_t swap)
{
    uint64_t pages = file_pages(g);
    uint64_t memory = less(number(g->fds[LIMIT], UINT64_MAX), number(g->fds[USAGE], 0));
    uint64_t second = less(number(g->fds[SWAP_LIMIT], UINT64_MAX), number(g->fds[SWAP_USAGE], 0));

    if (unlimited(g))
        return UINT64_MAX;
    if (g->v2)
        return add_saturated(add_saturated(memory, pages), least(swap, second));
    return add_saturated(least(add_saturated(memory, swap), second), pages);
}

/* ---- all groups ----------------------------------------------------------------------------- */

/* Finds the path of the group that limits memory in the text of /proc/self/cgroup. */
static const char *find_group(char *text, bool *v2)
{
    const char *path = NULL;
    char *rest = text, *line;

    *v2 = true;
    while ((line = strsep(&rest, "\n"))) {
        char *controllers = strchr(line, ':');
        char *end = controllers ? strchr(controllers + 1, ':') : NULL;

        if (!end)
            continue;
        *end = '\0';
        if (strstr(controllers, "memory"))
            *v2 = false;
        if (strstr(controllers, "memory") || (!path && !controllers[1]))
            path = end + 1;
    }
    return path;
}

/* Calls fn for the process's group and the groups above it, as far as they are visible. In a
 * container the path may be the host's; the group itself is then at the root. */
static void each_group(const char *membership, const char *root,
                       void (*fn)(void *opaque, struct group *g), void *opaque)
{
    char text[8192], folder[PATH_MAX];
    int fd = TEMP_FAILURE_RETRY(open(membership, O_RDONLY | O_CLOEXEC));
    bool v2, found = read_all(fd, text, sizeof(text));
    const char *path = found ? find_group(text, &v2) : NULL;
    size_t base;

    if (fd >= 0)
        close(fd);
    if (!path)
        return;
    base = (size_t)snprintf(folder, sizeof(folder), "%s%s", root, v2 ? "" : "/memory");
    snprintf(folder + base, sizeof(folder) - base, "%s", path[1] ? path : "");
    for (unsigned i = 0; i < LEVELS_MAX && strlen(folder) >= base; i++) {
        struct group g;
        char *slash;

        if (group_open(&g, v2, folder))
            fn(opaque, &g);
        slash = strrchr(folder, '/');
        *slash = '\0';
    }
}

struct smallest {
    uint64_t left, swap;
};

static void look(void *opaque, struct group *g)
{
    struct smallest *s = opaque;

    s->left = least(s->left, group_left(g, s->swap));
    group_close(g);
}

uint64_t cgroup_left_at(const char *membership, const char *root, uint64_t swap)
{
    struct smallest s = {UINT64_MAX, swap};

    each_group(membership, root, look, &s);
    return s.left;
}

static void keep(void *unused, struct group *g)
{
    if (kept_count == KEPT_MAX || unlimited(g))
        group_close(g);
    else
        kept[kept_count++] = *g;
}

void cgroup_keep_open(void)
{
    if (!keeping)
        each_group("/proc/self/cgroup", "/sys/fs/cgroup", keep, NULL);
    keeping = true;
}

uint64_t cgroup_memory_left(uint64_t swap)
{
    uint64_t left = UINT64_MAX;

    if (!keeping)
        return cgroup_left_at("/proc/self/cgroup", "/sys/fs/cgroup", swap);
    for (unsigned i = 0; i < kept_count; i++)
        left = least(left, group_left(&kept[i], swap));
    return left;
}
