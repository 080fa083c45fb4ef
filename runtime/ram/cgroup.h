/* cgroup.h: what a process may have, by the limits of its control groups. */
#ifndef RAM_CGROUP_H
#define RAM_CGROUP_H

#include <stdint.h>

/* Bytes of memory that the control groups of this process leave it if the host's swap has swap
 * bytes left; UINT64_MAX: they set no limit, or do not say. */
uint64_t cgroup_memory_left(uint64_t swap);

/* Opens the files of the groups that have a limit now, for a process that can't open files later.
 */
void cgroup_keep_open(void);

/* The same as cgroup_memory_left() with other files than /proc/self/cgroup and /sys/fs/cgroup. */
uint64_t cgroup_left_at(const char *membership, const char *root, uint64_t swap);

#endif
