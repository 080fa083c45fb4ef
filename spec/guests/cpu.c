/* cpu.c: descriptors and task state of each processor. */
#include "guest.h"

#define TSS_AVAILABLE 0x89ull

extern uint64_t gdt[];
extern uint8_t gdt_pointer[];

uint8_t cpu_tss[MAX_CPUS][104] __attribute__((aligned(16)));

void cpu_init(unsigned index)
{
    uint64_t base = (uint64_t)cpu_tss[index], limit = sizeof(cpu_tss[index]) - 1;
    uint64_t *entry = &gdt[SEL_TSS / 8 + 2 * index];

    entry[0] = limit | (base & 0xffffff) << 16 | TSS_AVAILABLE << 40 | (base >> 24 & 0xff) << 56;
    entry[1] = base >> 32;
    *(uint16_t *)(cpu_tss[index] + 102) = sizeof(cpu_tss[index]); /* no I/O permission map */
    __asm__ volatile("ltr %w0" : : "r"(SEL_TSS + 16 * index));
}

unsigned cpu_index(void)
{
    uint16_t tr;

    __asm__ volatile("str %0" : "=r"(tr));
    return (tr - SEL_TSS) / 16u;
}
