/* vcpu_dump.c: a vCPU's registers, and the code that it is at, as text. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "kvm.h"
#include "core/misuse.h"
#include "vcpu_internal.h"

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
    if (vcpu_begin_access(v, NULL) != 0) {
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
    vcpu_end_access(v);
    return t.used;
}
