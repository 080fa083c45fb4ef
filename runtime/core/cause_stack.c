/* cause_stack.c: each thread's cause stack; see lunik_cause in lunik_memory.h. */
#include "cause_stack.h"

static __thread lunik_cause *top;
static __thread uint64_t pushes;

void lunik_cause_push(lunik_cause *c)
{
    c->by = top;
    c->serial = ++pushes;
    top = c;
}

void lunik_cause_pop(lunik_cause *c)
{
    top = (lunik_cause *)(uintptr_t)c->by;
}

const lunik_cause *cause_current(void)
{
    return top;
}
