/* vcpu_regs.c: reading and changing a vCPU from outside. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>

#include "kvm.h"
#include "core/misuse.h"
#include "vcpu_internal.h"

/* ---- registers by name ---------------------------------------------------------------------- */

enum reg_set { REGS, SREGS };

struct reg {
    const char *name;
    enum reg_set set;
    uint16_t offset;
    uint8_t size; /* bytes of the field */
};

#define GENERAL(n)                                                                                 \
    {                                                                                              \
#n, REGS, offsetof(struct kvm_regs, n), 8                                                  \
    }
#define SPECIAL(n, f, bytes)                                                                       \
    {                                                                                              \
        n, SREGS, offsetof(struct kvm_sregs, f), bytes                                             \
    }
#define SEGMENT_REGS(r)                                                                            \
    SPECIAL(#r, r.selector, 2), SPECIAL(#r ".base", r.base, 8), SPECIAL(#r ".limit", r.limit, 4),  \
        SPECIAL(#r ".type", r.type, 1), SPECIAL(#r ".s", r.s, 1), SPECIAL(#r ".dpl", r.dpl, 1),    \
        SPECIAL(#r ".present", r.present, 1), SPECIAL(#r ".avl", r.avl, 1),                        \
        SPECIAL(#r ".l", r.l, 1), SPECIAL(#r ".db", r.db, 1), SPECIAL(#r ".g", r.g, 1)

static const struct reg regs[] = {
    GENERAL(rax),
    GENERAL(rbx),
    GENERAL(rcx),
    GENERAL(rdx),
    GENERAL(rsi),
    GENERAL(rdi),
    GENERAL(rsp),
    GENERAL(rbp),
    GENERAL(r8),
    GENERAL(r9),
    GENERAL(r10),
    GENERAL(r11),
    GENERAL(r12),
    GENERAL(r13),
    GENERAL(r14),
    GENERAL(r15),
    GENERAL(rip),
    GENERAL(rflags),
    SEGMENT_REGS(cs),
    SEGMENT_REGS(ds),
    SEGMENT_REGS(es),
    SEGMENT_REGS(fs),
    SEGMENT_REGS(gs),
    SEGMENT_REGS(ss),
    SEGMENT_REGS(tr),
    SEGMENT_REGS(ldt),
    SPECIAL("gdt.base", gdt.base, 8),
    SPECIAL("gdt.limit", gdt.limit, 2),
    SPECIAL("idt.base", idt.base, 8),
    SPECIAL("idt.limit", idt.limit, 2),
    SPECIAL("cr0", cr0, 8),
    SPECIAL("cr2", cr2, 8),
    SPECIAL("cr3", cr3, 8),
    SPECIAL("cr4", cr4, 8),
    SPECIAL("cr8", cr8, 8),
    SPECIAL("efer", efer, 8),
    SPECIAL("apic_base", apic_base, 8),
};

enum { REG_COUNT = sizeof(regs) / sizeof(regs[0]) };

const char *const *lunik_vcpu_reg_names(void)
{
    static const char *const names[] = {
        "rax",       "rbx",     "rcx",     "rdx",     "rsi",      "rdi",       "rsp",
        "rbp",       "r8",      "r9",      "r10",     "r11",      "r12",       "r13",
        "r14",       "r15",     "rip",     "rflags",  "cs",       "ds",        "es",
        "fs",        "gs",      "ss",      "tr",      "ldt",      "cs.base",   "ds.base",
        "es.base",   "fs.base", "gs.base", "ss.base", "gdt.base", "gdt.limit", "idt.base",
        "idt.limit", "cr0",     "cr2",     "cr3",     "cr4",      "cr8",       "efer",
        "apic_base", NULL,
    };

    return names;
}

static const struct reg *find_reg(const char *name, lunik_error *err)
{
    for (size_t i = 0; i < REG_COUNT; i++)
        if (strcmp(regs[i].name, name) == 0)
            return &regs[i];
    lunik_fail(err, LUNIK_E_NOT_FOUND,
               "cpu: '%s' is not a register (want e.g. rax, rip, rflags, cs, cs.base, cr3)", name);
    return NULL;
}

int vcpu_begin_access(lunik_vcpu *v, lunik_error *err)
{
    int rc;

    if (!lunik_cpu_present(v->machine, v->index))
        return lunik_fail(err, LUNIK_E_GONE, "vCPU %u of machine '%s' is not plugged", v->index,
                          v->machine->name);
    rc = vcpus_create(v->machine, err);
    if (!rc && lunik_vcpu_current() != v)
        vcpus_hold(v->machine);
    return rc;
}

void vcpu_end_access(lunik_vcpu *v)
{
    if (lunik_vcpu_current() != v)
        vcpus_release(v->machine);
}

union reg_state {
    struct kvm_regs regs;
    struct kvm_sregs sregs;
};

static int read_set(lunik_vcpu *v, enum reg_set set, union reg_state *state)
{
    return set == REGS ? ioctl(v->fd, KVM_GET_REGS, &state->regs)
                       : ioctl(v->fd, KVM_GET_SREGS, &state->sregs);
}

static int write_set(lunik_vcpu *v, enum reg_set set, union reg_state *state)
{
    return set == REGS ? ioctl(v->fd, KVM_SET_REGS, &state->regs)
                       : ioctl(v->fd, KVM_SET_SREGS, &state->sregs);
}

/* The register sets of a vCPU, each read when the first register of it is wanted. */
struct reg_cache {
    union reg_state state[2];
    bool valid[2];
};

static int read_cached(lunik_vcpu *v, struct reg_cache *cache, const struct reg *r, uint64_t *out,
                       lunik_error *err)
{
    if (!cache->valid[r->set] && read_set(v, r->set, &cache->state[r->set]) < 0)
        return lunik_fail_errno(err, errno, "cpu %u: can't read %s", v->index, r->name);
    cache->valid[r->set] = true;
    *out = 0;
    memcpy(out, (char *)&cache->state[r->set] + r->offset, r->size);
    return 0;
}

int lunik_vcpu_get_regs(lunik_vcpu *v, const char *const *names, size_t count, uint64_t *out,
                        lunik_error *err)
{
    NOT_NULL_OR_FAIL(v, err);
    REQUIRE_OR_FAIL(names || !count, "names is NULL", err);
    REQUIRE_OR_FAIL(out || !count, "out is NULL", err);

    struct reg_cache cache = {.valid = {false}};
    const struct reg *r;
    int rc = vcpu_begin_access(v, err);

    if (rc)
        return rc;
    for (size_t i = 0; !rc && i < count; i++) {
        r = find_reg(names[i], err);
        rc = r ? read_cached(v, &cache, r, &out[i], err) : LUNIK_E_NOT_FOUND;
    }
    vcpu_end_access(v);
    return rc;
}

int lunik_vcpu_get_reg(lunik_vcpu *v, const char *name, uint64_t *out, lunik_error *err)
{
    NOT_NULL_OR_FAIL(v, err);
    NOT_NULL_OR_FAIL(name, err);
    NOT_NULL_OR_FAIL(out, err);

    return find_reg(name, err) ? lunik_vcpu_get_regs(v, &name, 1, out, err) : LUNIK_E_NOT_FOUND;
}

int lunik_vcpu_set_reg(lunik_vcpu *v, const char *name, uint64_t value, lunik_error *err)
{
    NOT_NULL_OR_FAIL(v, err);
    NOT_NULL_OR_FAIL(name, err);

    const struct reg *r = find_reg(name, err);
    union reg_state state;
    int rc;

    if (!r)
        return LUNIK_E_NOT_FOUND;
    if (r->size < 8 && value >> (8 * r->size))
        return lunik_fail(err, LUNIK_E_INVALID, "cpu %u: %s: 0x%" PRIx64 " does not fit in %u bits",
                          v->index, name, value, 8u * r->size);
    rc = vcpu_begin_access(v, err);
    if (rc)
        return rc;
    rc = read_set(v, r->set, &state);
    if (!rc) {
        memcpy((char *)&state + r->offset, &value, r->size);
        rc = write_set(v, r->set, &state);
    }
    if (rc < 0)
        rc = lunik_fail_errno(err, errno, "cpu %u: %s = 0x%" PRIx64 " is refused", v->index, name,
                              value);
    vcpu_end_access(v);
    return rc;
}

/* ---- MSRs ----------------------------------------------------------------------------------- */

int lunik_vcpu_get_msr(lunik_vcpu *v, uint32_t index, uint64_t *out, lunik_error *err)
{
    NOT_NULL_OR_FAIL(v, err);
    NOT_NULL_OR_FAIL(out, err);

    struct vcpu_one_msr msr = {.head.nmsrs = 1, .entry.index = index};
    int rc = vcpu_begin_access(v, err);

    if (rc)
        return rc;
    rc = ioctl(v->fd, KVM_GET_MSRS, &msr);
    vcpu_end_access(v);
    if (rc != 1)
        return lunik_fail(err, LUNIK_E_NOT_FOUND, "cpu %u: MSR 0x%x can't be read", v->index,
                          index);
    *out = kvm_clocks_msr_read(v, index, msr.entry.data);
    return 0;
}

int lunik_vcpu_set_msr(lunik_vcpu *v, uint32_t index, uint64_t value, lunik_error *err)
{
    NOT_NULL_OR_FAIL(v, err);

    struct vcpu_one_msr msr = {.head.nmsrs = 1, .entry = {.index = index, .data = value}};
    int rc = vcpu_begin_access(v, err);

    if (rc)
        return rc;
    rc = ioctl(v->fd, KVM_SET_MSRS, &msr);
    if (rc == 1)
        kvm_clocks_msr_written(v, index, value);
    vcpu_end_access(v);
    if (rc != 1)
        return lunik_fail(err, LUNIK_E_INVALID, "cpu %u: MSR 0x%x = 0x%" PRIx64 " is refused",
                          v->index, index, value);
    return 0;
}

/* ---- local APIC ----------------------------------------------------------------------------- */

int lunik_vcpu_get_lapic(lunik_vcpu *v, uint8_t out[LUNIK_LAPIC_SIZE], lunik_error *err)
{
    NOT_NULL_OR_FAIL(v, err);
    NOT_NULL_OR_FAIL(out, err);

    struct kvm_lapic_state state;
    int rc = vcpu_begin_access(v, err);

    if (rc)
        return rc;
    rc = ioctl(v->fd, KVM_GET_LAPIC, &state);
    if (rc < 0)
        rc = lunik_fail_errno(err, errno, "cpu %u: its local APIC can't be read", v->index);
    else
        memcpy(out, state.regs, LUNIK_LAPIC_SIZE);
    vcpu_end_access(v);
    return rc;
}

/* ---- events --------------------------------------------------------------------------------- */

static int change_events(lunik_vcpu *v,
                         void (*change)(struct kvm_vcpu_events *, unsigned, int, uint32_t),
                         unsigned vector, int has_error, uint32_t code, lunik_error *err)
{
    struct kvm_vcpu_events events;
    int rc = vcpu_begin_access(v, err);

    if (rc)
        return rc;
    rc = ioctl(v->fd, KVM_GET_VCPU_EVENTS, &events);
    if (!rc) {
        change(&events, vector, has_error, code);
        rc = ioctl(v->fd, KVM_SET_VCPU_EVENTS, &events);
    }
    if (rc < 0)
        rc = lunik_fail_errno(err, errno, "cpu %u: can't inject vector %u", v->index, vector);
    vcpu_end_access(v);
    return rc;
}

static void put_exception(struct kvm_vcpu_events *e, unsigned vector, int has_error, uint32_t code)
{
    e->exception.injected = 1;
    e->exception.nr = (uint8_t)vector;
    e->exception.has_error_code = (uint8_t)has_error;
    e->exception.error_code = code;
}

static void put_interrupt(struct kvm_vcpu_events *e, unsigned vector, int has_error, uint32_t code)
{
    e->interrupt.injected = 1;
    e->interrupt.nr = (uint8_t)vector;
    e->interrupt.soft = 0;
}

int lunik_vcpu_inject_exception(lunik_vcpu *v, unsigned vector, bool has_error, uint32_t error,
                                lunik_error *err)
{
    NOT_NULL_OR_FAIL(v, err);

    if (vector > 31 || vector == 2)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "cpu %u: %u is not an exception (want 0..31 without 2)", v->index,
                          vector);
    return change_events(v, put_exception, vector, has_error, error, err);
}

int lunik_vcpu_inject_interrupt(lunik_vcpu *v, unsigned vector, lunik_error *err)
{
    NOT_NULL_OR_FAIL(v, err);

    if (vector > 255)
        return lunik_fail(err, LUNIK_E_INVALID, "cpu %u: %u is not a vector (want 0..255)",
                          v->index, vector);
    return change_events(v, put_interrupt, vector, 0, 0, err);
}

int lunik_vcpu_inject_nmi(lunik_vcpu *v, lunik_error *err)
{
    NOT_NULL_OR_FAIL(v, err);

    int rc = vcpu_begin_access(v, err);

    if (rc)
        return rc;
    rc = ioctl(v->fd, KVM_NMI, 0);
    if (rc < 0)
        rc = lunik_fail_errno(err, errno, "cpu %u: can't inject an NMI", v->index);
    vcpu_end_access(v);
    return rc;
}
