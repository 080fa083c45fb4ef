/*
 * call.c: calls that survive exceptions, in ring 0 and ring 3.
 *
 * Memory loops run in ring 3 because a hypervisor that emulates ring 0 still runs ring 3 natively.
 */
#include "guest.h"

#define STACK_SIZE 4096
#define RFLAGS_IF  0x200ull
#define UD         6
#define NMI        2
#define PF         14

extern int call_enter(void (*fn)(void *), void *arg, uint64_t *saved, uint64_t cs, uint64_t ss,
                      uint64_t stack);
extern char call_return[], call_done[];

static uint8_t stacks[MAX_CPUS][STACK_SIZE] NOINIT __attribute__((aligned(16)));
static uint64_t faults[MAX_CPUS];

/* Ring 0's stack pointer in the processor's TSS, the place to come back to; 0 outside of calls. */
static uint64_t *saved_stack(unsigned cpu)
{
    return (uint64_t *)(cpu_tss[cpu] + 4);
}

int call_protected(void (*fn)(void *), void *arg, bool user)
{
    unsigned cpu = cpu_index();
    uint64_t *top = (uint64_t *)(stacks[cpu] + STACK_SIZE);

    *--top = 0;
    *--top = (uint64_t)call_done; /* what fn returns to */
    return call_enter(fn, arg, saved_stack(cpu), user ? SEL_USER_CODE : SEL_CODE,
                      user ? SEL_USER_DATA : SEL_DATA, (uint64_t)top);
}

bool call_recover(struct frame *f)
{
    unsigned cpu = cpu_index();
    uint64_t *saved = saved_stack(cpu);

    if (!*saved || f->vector == NMI)
        return false;
    if (f->vector == PF)
        __asm__("mov %%cr2, %0" : "=r"(faults[cpu]));
    f->rax = f->vector == UD && f->rip == (uint64_t)call_done ? (uint64_t)-1 : f->vector;
    f->rip = (uint64_t)call_return;
    f->cs = SEL_CODE;
    f->ss = SEL_DATA;
    f->rsp = *saved;
    f->rflags &= ~RFLAGS_IF;
    *saved = 0;
    return true;
}

uint64_t call_fault_address(void)
{
    return faults[cpu_index()];
}
