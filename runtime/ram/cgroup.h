/* cgroup.h: how much memory a process may have by the limits of its control groups. */
#ifndef RAM_CGROUP_H
#define RAM_CGROUP_H

#include <stdint.h>

/* Returns how many bytes of memory the control groups of this process leave it if the host has swap
 * bytes of swap left; UINT64_MAX if they set no limit or can't be read. */
uint64_t cgroup_memory_left(uint64_t swap);

/* Opens the files of the groups that have a limit, for a process that can't open them later. */
void cgroup_keep_open(void);

/* The same as cgroup_memory_left() with other files than /proc/self/cgroup and /sys/fs/cgroup. */
uint64_t cgroup_left_at(const char *membership, const char *root, uint64_t swap);

#endif
