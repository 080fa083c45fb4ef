/* signals.h: what an eventfd has been told. */
#ifndef SPEC_SIGNALS_H
#define SPEC_SIGNALS_H

#include <stdint.h>
#include <unistd.h>

/* How often the eventfd was signalled since the last time. */
static inline uint64_t signals(int fd)
{
    uint64_t count = 0;

    return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

#endif
