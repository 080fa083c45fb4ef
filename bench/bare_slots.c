/*
 * bare_slots.c COUNT MIB: the shortest way to plug memory: mmap and a memslot, COUNT times. Prints
 * a line for each.
 */
#include "bare.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
    unsigned count = (unsigned)atoi(argv[1]);
    uint64_t size = (uint64_t)atoi(argv[2]) << 20;
    struct bare b;

    bare_open(&b);
    bare_add_slot(&b, 0, bare_map(128 << 20), 128 << 20, 0);
    for (unsigned i = 0; i < count; i++) {
        uint64_t start = now_ns();

        bare_add_slot(&b, 4 * GIB + i * size, bare_map(size), size, 0);
        report("plug", (double)(now_ns() - start) / 1000);
    }
    return 0;
}
