/* vcpu_debug.c: single steps and breakpoints of a vCPU, and the FPU's registers. */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

#include "core/misuse.h"
#include "kvm.h"
#include "vcpu_internal.h"

/* ---- breakpoints ---------------------------------------------------------------------------- */

enum { BREAKPOINTS_MOST = 4 };

/* DR7: Intel SDM volume 3, section 17.2.4 */
enum {
    DR7_FIXED = 0x400,
    DR7_GLOBAL = 2,        /* of breakpoint 0; the next one's is 2 bits higher */
    DR7_CONDITION_AT = 16, /* of breakpoint 0, 2 bits of kind and 2 of size */
};

static bool is_size(const lunik_breakpoint *b)
{
    if (b->kind == LUNIK_BREAK_EXECUTE)
        return b->size == 1;
    return b->size == 1 || b->size == 2 || b->size == 4 || b->size == 8;
}

static int check(const lunik_vcpu *v, const lunik_breakpoint *b, lunik_error *err)
{
    if ((unsigned)b->kind > LUNIK_BREAK_ACCESS)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "cpu %u: breakpoint: kind: %u is not one (want 0 to 2)", v->index,
                          (unsigned)b->kind);
    if (!is_size(b))
        return lunik_fail(err, LUNIK_E_INVALID, "cpu %u: breakpoint: size: %u bytes (want %s)",
                          v->index, b->size,
                          b->kind == LUNIK_BREAK_EXECUTE ? "1 for execution" : "1, 2, 4 or 8");
    if (b->address & (b->size - 1u))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "cpu %u: breakpoint: address: 0x%" PRIx64 " is not a multiple of %u",
                          v->index, b->address, b->size);
    return 0;
}

static uint64_t dr7_bits(const lunik_breakpoint *b, unsigned i)
{
    static const unsigned kinds[] = {
        [LUNIK_BREAK_EXECUTE] = 0, [LUNIK_BREAK_WRITE] = 1, [LUNIK_BREAK_ACCESS] = 3};
    static const unsigned sizes[] = {[1] = 0, [2] = 1, [4] = 3, [8] = 2};
    uint64_t condition = kinds[b->kind] | sizes[b->size] << 2;

    return (uint64_t)DR7_GLOBAL << (2 * i) | condition << (DR7_CONDITION_AT + 4 * i);
}

/* Linux 5.13 and later report which flags there are. */
static unsigned interrupts_off(const lunik_vcpu *v)
{
#ifdef KVM_GUESTDBG_BLOCKIRQ
    int have = ioctl(v->machine->kvm->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG2);

    return have > 0 ? (unsigned)have & KVM_GUESTDBG_BLOCKIRQ : 0;
#else
    return 0;
#endif
}

static unsigned control_of(const lunik_vcpu *v, unsigned flags)
{
    unsigned control = flags ? KVM_GUESTDBG_ENABLE : 0;

    if (flags & LUNIK_DEBUG_STEP)
        control |= KVM_GUESTDBG_SINGLESTEP;
    if (flags & LUNIK_DEBUG_BREAKPOINTS)
        control |= KVM_GUESTDBG_USE_HW_BP;
    if (flags & LUNIK_DEBUG_SOFTWARE)
        control |= KVM_GUESTDBG_USE_SW_BP;
    if (flags & LUNIK_DEBUG_NO_INTERRUPTS)
        control |= interrupts_off(v);
    return control;
}

int lunik_vcpu_set_breakpoints(lunik_vcpu *v, unsigned flags, const lunik_breakpoint *breakpoints,
                               size_t count, lunik_error *err)
{
    NOT_NULL_OR_FAIL(v, err);
    REQUIRE_OR_FAIL(breakpoints || !count, "breakpoints is NULL", err);

    struct kvm_guest_debug debug = {0};
    int rc = 0;

    if (count > BREAKPOINTS_MOST)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "cpu %u: %zu breakpoints are too many (want at most 4)", v->index, count);
    for (size_t i = 0; !rc && i < count; i++)
        rc = check(v, &breakpoints[i], err);
    if (!rc)
        rc = vcpu_begin_access(v, err);
    if (rc)
        return rc;
    debug.control = control_of(v, flags);
    if (flags & LUNIK_DEBUG_BREAKPOINTS) {
        debug.arch.debugreg[7] = DR7_FIXED;
        for (unsigned i = 0; i < count; i++) {
            debug.arch.debugreg[i] = breakpoints[i].address;
            debug.arch.debugreg[7] |= dr7_bits(&breakpoints[i], i);
        }
    }
    rc = ioctl(v->fd, KVM_SET_GUEST_DEBUG, &debug);
    if (rc < 0)
        rc = lunik_fail_errno(err, errno, "cpu %u: debugging is refused", v->index);
    vcpu_end_access(v);
    return rc;
}

int lunik_vcpu_set_debug(lunik_vcpu *v, unsigned flags, const uint64_t *addresses, size_t count,
                         lunik_error *err)
{
    NOT_NULL_OR_FAIL(v, err);
    REQUIRE_OR_FAIL(addresses || !count, "addresses is NULL", err);

    lunik_breakpoint list[BREAKPOINTS_MOST];

    for (size_t i = 0; i < count && i < BREAKPOINTS_MOST; i++)
        list[i] = (lunik_breakpoint){addresses[i], LUNIK_BREAK_EXECUTE, 1};
    return lunik_vcpu_set_breakpoints(v, flags, list, count, err);
}

/* ---- FPU ------------------------------------------------------------------------------------ */

/* Of an FXSAVE image. */
enum { FX_MXCSR = 24, FX_ST = 32, FX_XMM = 160 };

struct fx_head {
    uint16_t fcw, fsw;
    uint8_t ftw, reserved;
    uint16_t opcode;
    uint64_t ip, dp;
};

int lunik_vcpu_get_fpu(lunik_vcpu *v, uint8_t out[LUNIK_FPU_SIZE], lunik_error *err)
{
    NOT_NULL_OR_FAIL(v, err);
    NOT_NULL_OR_FAIL(out, err);

    struct kvm_fpu fpu;
    struct fx_head head;
    int rc = vcpu_begin_access(v, err);

    if (rc)
        return rc;
    rc = ioctl(v->fd, KVM_GET_FPU, &fpu);
    if (rc < 0)
        rc = lunik_fail_errno(err, errno, "cpu %u: the FPU's registers can't be read", v->index);
    vcpu_end_access(v);
    if (rc)
        return rc;
    head = (struct fx_head){.fcw = fpu.fcw,
                            .fsw = fpu.fsw,
                            .ftw = fpu.ftwx,
                            .opcode = fpu.last_opcode,
                            .ip = fpu.last_ip,
                            .dp = fpu.last_dp};
    memset(out, 0, LUNIK_FPU_SIZE);
    memcpy(out, &head, sizeof(head));
    memcpy(out + FX_MXCSR, &fpu.mxcsr, sizeof(fpu.mxcsr));
    memcpy(out + FX_ST, fpu.fpr, sizeof(fpu.fpr));
    memcpy(out + FX_XMM, fpu.xmm, sizeof(fpu.xmm));
    return 0;
}

int lunik_vcpu_set_fpu(lunik_vcpu *v, const uint8_t in[LUNIK_FPU_SIZE], lunik_error *err)
{
    NOT_NULL_OR_FAIL(v, err);
    NOT_NULL_OR_FAIL(in, err);

    struct kvm_fpu fpu = {0};
    struct fx_head head;
    int rc;

    memcpy(&head, in, sizeof(head));
    fpu.fcw = head.fcw;
    fpu.fsw = head.fsw;
    fpu.ftwx = head.ftw;
    fpu.last_opcode = head.opcode;
    fpu.last_ip = head.ip;
    fpu.last_dp = head.dp;
    memcpy(&fpu.mxcsr, in + FX_MXCSR, sizeof(fpu.mxcsr));
    memcpy(fpu.fpr, in + FX_ST, sizeof(fpu.fpr));
    memcpy(fpu.xmm, in + FX_XMM, sizeof(fpu.xmm));
    if (fpu.mxcsr >> 16)
        return lunik_fail(err, LUNIK_E_INVALID, "cpu %u: MXCSR: 0x%" PRIx32 " has reserved bits",
                          v->index, fpu.mxcsr);
    rc = vcpu_begin_access(v, err);
    if (rc)
        return rc;
    rc = ioctl(v->fd, KVM_SET_FPU, &fpu);
    if (rc < 0)
        rc = lunik_fail_errno(err, errno, "cpu %u: the FPU's registers are refused", v->index);
    vcpu_end_access(v);
    return rc;
}
