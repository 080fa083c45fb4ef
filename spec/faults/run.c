/* run.c: what KVM_RUN returns where the kernel does not do one the favour. */
#include <errno.h>
#include <lauxlib.h>
#include <linux/kvm.h>
#include <stdatomic.h>
#include <sys/ioctl.h>

#include "faults.h"

enum { VCPUS_MAX = 1024 };

static struct kvm_run *_Atomic runs[VCPUS_MAX]; /* of the vCPU with that descriptor */
static _Atomic int error;                       /* errno value; 0: an exit */
static _Atomic unsigned reason;
static _Atomic uint64_t detail;
static _Atomic long left;

/* The first pages of a vCPU are its struct kvm_run; no other file is mapped with that size. */
void faults_run_mapped(int fd, size_t size, void *mapping)
{
    if (fd >= 0 && fd < VCPUS_MAX && size <= 4 * 4096)
        atomic_store(&runs[fd], mapping);
}

static int leave(struct kvm_run *run)
{
    if (atomic_load(&error)) {
        errno = atomic_load(&error);
        return -1;
    }
    run->exit_reason = atomic_load(&reason);
    if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
        run->internal.suberror = (uint32_t)atomic_load(&detail);
    else if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
        run->fail_entry.hardware_entry_failure_reason = atomic_load(&detail);
    return 0;
}

int faults_run(int fd)
{
    struct kvm_run *run = fd < VCPUS_MAX ? atomic_load(&runs[fd]) : NULL;

    if (run && atomic_load(&left) > 0 && !run->immediate_exit && atomic_fetch_sub(&left, 1) > 0)
        return leave(run);
    return ioctl(fd, KVM_RUN, 0);
}

/* faults.exits{count=, error=} or {count=, reason=, detail=}: that is what the next vCPUs to enter
 * a guest return with. */
int faults_lua_exits(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_getfield(L, 1, "error");
    lua_getfield(L, 1, "reason");
    lua_getfield(L, 1, "detail");
    lua_getfield(L, 1, "count");
    atomic_store(&error, (int)luaL_optinteger(L, -4, 0));
    atomic_store(&reason, (unsigned)luaL_optinteger(L, -3, 0));
    atomic_store(&detail, (uint64_t)luaL_optinteger(L, -2, 0));
    atomic_store(&left, (long)luaL_optinteger(L, -1, 1));
    return 0;
}
