/* vcpu_thread.c: whether the calling thread is a vCPU's. */
#include "vcpu_thread.h"

static __thread struct {
    lunik_vcpu *vcpu;
    unsigned index;
} current;

void vcpu_thread_set(lunik_vcpu *v, unsigned index)
{
    current.vcpu = v;
    current.index = index;
}

int vcpu_thread_index(void)
{
    return current.vcpu ? (int)current.index : -1;
}

lunik_vcpu *lunik_vcpu_current(void)
{
    return current.vcpu;
}
