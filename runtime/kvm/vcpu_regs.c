/* vcpu_regs.c: reading and changing a vCPU from outside. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
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

/* Takes v out of the guest unless the caller is v itself (which is outside already). A failed call
 * needs no end_access(). */
static int begin_access(lunik_vcpu *v, lunik_error *err)
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

static void end_access(lunik_vcpu *v)
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

int lunik_vcpu_get_reg(lunik_vcpu *v, const char *name, uint64_t *out, lunik_error *err)
{
    NOT_NULL_OR_FAIL(v, err);
    NOT_NULL_OR_FAIL(name, err);
    NOT_NULL_OR_FAIL(out, err);

    const struct reg *r = find_reg(name, err);
    union reg_state state;
    int rc;

    if (!r)
        return LUNIK_E_NOT_FOUND;
    rc = begin_access(v, err);
    if (rc)
        return rc;
    rc = read_set(v, r->set, &state);
    if (rc < 0)
        rc = lunik_fail_errno(err, errno, "cpu %u: can't read %s", v->index, name);
    end_access(v);
    if (rc)
        return rc;
    *out = 0;
    memcpy(out, (char *)&state + r->offset, r->size);
    return 0;
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
    rc = begin_access(v, err);
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
    end_access(v);
    return rc;
}

/* ---- MSRs ----------------------------------------------------------------------------------- */

int lunik_vcpu_get_msr(lunik_vcpu *v, uint32_t index, uint64_t *out, lunik_error *err)
{
    NOT_NULL_OR_FAIL(v, err);
    NOT_NULL_OR_FAIL(out, err);

    struct vcpu_one_msr msr = {.head.nmsrs = 1, .entry.index = index};
    int rc = begin_access(v, err);

    if (rc)
        return rc;
    rc = ioctl(v->fd, KVM_GET_MSRS, &msr);
    end_access(v);
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
    int rc = begin_access(v, err);

    if (rc)
        return rc;
    rc = ioctl(v->fd, KVM_SET_MSRS, &msr);
    if (rc == 1)
        kvm_clocks_msr_written(v, index, value);
    end_access(v);
    if (rc != 1)
        return lunik_fail(err, LUNIK_E_INVALID, "cpu %u: MSR 0x%x = 0x%" PRIx64 " is refused",
                          v->index, index, value);
    return 0;
}

/* ---- events --------------------------------------------------------------------------------- */

static int change_events(lunik_vcpu *v,
                         void (*change)(struct kvm_vcpu_events *, unsigned, int, uint32_t),
                         unsigned vector, int has_error, uint32_t code, lunik_error *err)
{
    struct kvm_vcpu_events events;
    int rc = begin_access(v, err);

    if (rc)
        return rc;
    rc = ioctl(v->fd, KVM_GET_VCPU_EVENTS, &events);
    if (!rc) {
        change(&events, vector, has_error, code);
        rc = ioctl(v->fd, KVM_SET_VCPU_EVENTS, &events);
    }
    if (rc < 0)
        rc = lunik_fail_errno(err, errno, "cpu %u: can't inject vector %u", v->index, vector);
    end_access(v);
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

    int rc = begin_access(v, err);

    if (rc)
        return rc;
    rc = ioctl(v->fd, KVM_NMI, 0);
    if (rc < 0)
        rc = lunik_fail_errno(err, errno, "cpu %u: can't inject an NMI", v->index);
    end_access(v);
    return rc;
}

int lunik_vcpu_set_debug(lunik_vcpu *v, unsigned flags, const uint64_t *addresses, size_t count,
                         lunik_error *err)
{
    NOT_NULL_OR_FAIL(v, err);
    REQUIRE_OR_FAIL(addresses || !count, "addresses is NULL", err);

    struct kvm_guest_debug debug = {0};
    int rc;

    if (count > 4)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "cpu %u: %zu breakpoints are too many (want at most 4)", v->index, count);
    if (flags)
        debug.control = KVM_GUESTDBG_ENABLE;
    if (flags & LUNIK_DEBUG_STEP)
        debug.control |= KVM_GUESTDBG_SINGLESTEP;
    if (flags & LUNIK_DEBUG_BREAKPOINTS) {
        debug.control |= KVM_GUESTDBG_USE_HW_BP;
        debug.arch.debugreg[7] = 0x400;
        for (size_t i = 0; i < count; i++) {
            debug.arch.debugreg[i] = addresses[i];
            debug.arch.debugreg[7] |= 2ull << (2 * i); /* execution, global */
        }
    }
    rc = begin_access(v, err);
    if (rc)
        return rc;
    rc = ioctl(v->fd, KVM_SET_GUEST_DEBUG, &debug);
    if (rc < 0)
        rc = lunik_fail_errno(err, errno, "cpu %u: debugging is refused", v->index);
    end_access(v);
    return rc;
}

/* ---- dump ----------------------------------------------------------------------------------- */

struct text {
    char *at;
    size_t left, used;
};

static void put(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct text *t, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(t->at, t->left, format, args);
    va_end(args);
    if (n < 0 || t->left == 0)
        return;
    if ((size_t)n >= t->left)
        n = (int)t->left - 1;
    t->at += n;
    t->left -= (size_t)n;
    t->used += (size_t)n;
}

static void put_general(struct text *t, const struct kvm_regs *r)
{
    const __u64 *const value[] = {&r->rax, &r->rbx, &r->rcx, &r->rdx, &r->rsi, &r->rdi,
                                  &r->rbp, &r->rsp, &r->r8,  &r->r9,  &r->r10, &r->r11,
                                  &r->r12, &r->r13, &r->r14, &r->r15, &r->rip, &r->rflags};
    static const char *const name[] = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi",
                                       "rbp", "rsp", "r8",  "r9",  "r10", "r11",
                                       "r12", "r13", "r14", "r15", "rip", "rfl"};

    for (size_t i = 0; i < sizeof(value) / sizeof(value[0]); i++)
        put(t, "%-3s %016" PRIx64 "%s", name[i], (uint64_t)*value[i],
            i % 3 == 2 ? "\n" : "  "); /* no wider than a terminal */
}

static void put_segment(struct text *t, const char *name, const struct kvm_segment *s)
{
    put(t, "%-3s %04x base %016" PRIx64 " limit %08x ", name, s->selector, (uint64_t)s->base,
        s->limit);
    if (s->unusable)
        put(t, "unusable\n");
    else
        put(t, "type %x dpl %u%s%s%s\n", s->type, s->dpl, s->present ? " present" : "",
            s->l    ? " 64-bit"
            : s->db ? " 32-bit"
                    : " 16-bit",
            s->s ? "" : " system");
}

static void put_special(struct text *t, const struct kvm_sregs *s)
{
    put_segment(t, "cs", &s->cs);
    put_segment(t, "ds", &s->ds);
    put_segment(t, "ss", &s->ss);
    put_segment(t, "es", &s->es);
    put_segment(t, "fs", &s->fs);
    put_segment(t, "gs", &s->gs);
    put_segment(t, "tr", &s->tr);
    put(t, "gdt %016" PRIx64 " limit %04x  idt %016" PRIx64 " limit %04x\n", (uint64_t)s->gdt.base,
        s->gdt.limit, (uint64_t)s->idt.base, s->idt.limit);
    put(t,
        "cr0 %08" PRIx64 "  cr2 %016" PRIx64 "  cr3 %016" PRIx64 "  cr4 %08" PRIx64
        "  efer %" PRIx64 "\n",
        (uint64_t)s->cr0, (uint64_t)s->cr2, (uint64_t)s->cr3, (uint64_t)s->cr4, (uint64_t)s->efer);
}

static void put_code(struct text *t, lunik_vcpu *v, uint64_t linear)
{
    struct kvm_translation translation = {.linear_address = linear};
    uint8_t bytes[16];

    put(t, "code");
    if (ioctl(v->fd, KVM_TRANSLATE, &translation) < 0 || !translation.valid ||
        lunik_space_read(v->machine->memory_space, translation.physical_address, bytes,
                         sizeof(bytes)) != 0) {
        put(t, " (not mapped)\n");
        return;
    }
    for (size_t i = 0; i < sizeof(bytes); i++)
        put(t, " %02x", bytes[i]);
    put(t, "\n");
}

size_t lunik_vcpu_dump(lunik_vcpu *v, char *buf, size_t size)
{
    NOT_NULL(v, 0);
    REQUIRE(buf || !size, "buf is NULL", 0);

    struct text t = {.at = buf, .left = size};
    struct kvm_regs r;
    struct kvm_sregs s;
    bool ok;

    put(&t, "cpu %u\n", v->index);
    if (begin_access(v, NULL) != 0) {
        put(&t, "it can't be created\n");
        return t.used;
    }
    ok = ioctl(v->fd, KVM_GET_REGS, &r) == 0 && ioctl(v->fd, KVM_GET_SREGS, &s) == 0;
    if (ok) {
        put_general(&t, &r);
        put_special(&t, &s);
        put_code(&t, v, s.cs.base + r.rip);
    } else {
        put(&t, "its registers can't be read\n");
    }
    end_access(v);
    return t.used;
}
