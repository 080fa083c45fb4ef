/* vcpu_thread.h: which vCPU the calling thread runs. */
#ifndef CORE_VCPU_THREAD_H
#define CORE_VCPU_THREAD_H

#include "lunik_device.h"

/* Makes the calling thread, for good, that of v, which has this index in its machine. */
void vcpu_thread_set(lunik_vcpu *v, unsigned index);
/* The index of the vCPU whose thread this is, or -1. */
int vcpu_thread_index(void);

#endif
