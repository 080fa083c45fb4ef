/* paging.c: maps memory one to one beyond the first 4 GiB. */
#include "guest.h"

#define ENTRIES 512
#define TABLES  640 /* enough for 512 GiB and some unaligned ranges */
#define PRESENT 1ull
#define LARGE   0x80ull
#define FRAME   0xffffffffff000ull

extern uint64_t pml4[];

static uint64_t pool[TABLES][ENTRIES] NOINIT __attribute__((aligned(4096)));
static unsigned used;

/* The entry for address in the table that level (3, 2, 1 = PML4, PDPT, PD) leads to; makes the
 * tables on the way if make is set. */
static uint64_t *find_entry(uint64_t address, unsigned to_level, bool make)
{
    uint64_t *table = pml4;

    for (unsigned level = 3;; level--) {
        uint64_t *entry = &table[address >> (12 + 9 * level) & (ENTRIES - 1)];

        if (level == to_level)
            return entry;
        if (!(*entry & PRESENT)) {
            if (!make || used == TABLES)
                return NULL;
            for (unsigned i = 0; i < ENTRIES; i++)
                pool[used][i] = 0;
            *entry = (uint64_t)pool[used++] | PTE_TABLE;
        } else if (*entry & LARGE) {
            return NULL;
        }
        table = (uint64_t *)(*entry & FRAME);
    }
}

static bool fits_large(uint64_t at, uint64_t end)
{
    return at % (2 * MIB) == 0 && end - at >= 2 * MIB;
}

bool paging_map(uint64_t base, uint64_t size)
{
    uint64_t end = base + size;

    if (end < base || end > 1ull << 47 || base < 4 * GIB)
        return false;
    for (uint64_t at = base; at < end;) {
        bool large = fits_large(at, end);
        uint64_t *entry = find_entry(at, large ? 1 : 0, true);

        if (!entry || *entry & PRESENT) {
            paging_unmap(base, at - base);
            return false;
        }
        *entry = at | (large ? PTE_LARGE : PTE_TABLE);
        at += large ? 2 * MIB : PAGE;
    }
    return true;
}

void paging_unmap(uint64_t base, uint64_t size)
{
    for (uint64_t at = base; at < base + size;) {
        bool large = fits_large(at, base + size);
        uint64_t *entry = find_entry(at, large ? 1 : 0, false);

        if (entry)
            *entry = 0;
        __asm__ volatile("invlpg (%0)" : : "r"(at) : "memory");
        at += large ? 2 * MIB : PAGE;
    }
}
