/* irq.c: interrupt table, PIC, local APIC and I/O APIC. */
#include "guest.h"

#define PIC1 0x20
#define PIC2 0xa0
#define EOI  0x20

#define LAPIC_ID      0x020
#define LAPIC_EOI     0x0b0
#define LAPIC_LDR     0x0d0
#define LAPIC_SVR     0x0f0
#define LAPIC_ICR_LOW 0x300
#define LAPIC_ICR_HI  0x310

#define SPURIOUS   0xff
#define IRQ_VECTOR 0x20 /* ISA interrupts 0..15, then the I/O APIC's other lines */
#define ISA_IRQS   16
#define IRQS       24

#define HLT 0xf4

#define IOAPIC_REDIRECT 0x10
#define IOAPIC_LOW      (1u << 13)
#define IOAPIC_LEVEL    (1u << 15)

struct gate {
    uint16_t low, selector;
    uint8_t ist, type;
    uint16_t mid;
    uint32_t high, reserved;
};

struct pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

extern uint8_t vectors[];

static struct gate idt[256] __attribute__((aligned(16)));
static void (*handlers[IRQS][2])(void); /* a line may be shared */
static void (*caught[256])(void);
static volatile uint32_t counts[256];

static volatile uint32_t *lapic(unsigned offset)
{
    return (volatile uint32_t *)(uint64_t)(acpi.lapic + offset);
}

void irq_ioapic_write(unsigned reg, uint32_t v)
{
    volatile uint32_t *ioapic = (volatile uint32_t *)(uint64_t)acpi.ioapic;

    ioapic[0] = reg;
    ioapic[4] = v;
}

static void fill_idt(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint64_t entry = (uint64_t)vectors + 16 * i;

        idt[i] = (struct gate){.low = (uint16_t)entry,
                               .selector = SEL_CODE,
                               .type = 0x8e,
                               .mid = (uint16_t)(entry >> 16),
                               .high = (uint32_t)(entry >> 32)};
    }
}

/* Moves the PICs' vectors away from the exceptions and masks every line. */
static void init_pics(void)
{
    outb(PIC1, 0x11);
    outb(PIC2, 0x11);
    outb(PIC1 + 1, IRQ_VECTOR);
    outb(PIC2 + 1, IRQ_VECTOR + 8);
    outb(PIC1 + 1, 4);
    outb(PIC2 + 1, 2);
    outb(PIC1 + 1, 1);
    outb(PIC2 + 1, 1);
    outb(PIC1 + 1, 0xfb); /* the cascade stays open */
    outb(PIC2 + 1, 0xff);
}

void irq_init_cpu(void)
{
    const struct pointer p = {sizeof(idt) - 1, (uint64_t)idt};

    __asm__ volatile("lidt %0" : : "m"(p));
    if (!acpi.lapic)
        return;
    *lapic(LAPIC_LDR) = 1u << (24 + cpu_index() % 8); /* the flat model */
    *lapic(LAPIC_SVR) = 0x100 | SPURIOUS;
}

void irq_init(void)
{
    fill_idt();
    init_pics();
    irq_init_cpu();
}

void irq_enable(unsigned irq, void (*fn)(void))
{
    bool isa = irq < ISA_IRQS, moved = isa && acpi.isa[irq].present;
    unsigned gsi = moved ? acpi.isa[irq].gsi : irq;
    /* bits 1:0 polarity, 3:2 trigger mode; 3 = low, level */
    uint16_t flags = moved ? acpi.isa[irq].flags : 0;
    uint32_t low = IRQ_VECTOR + irq;
    unsigned port = irq < 8 ? PIC1 + 1 : PIC2 + 1;

    if (irq >= IRQS || (!isa && !acpi.ioapic)) {
        print("irq: no line %u\n", irq);
        return;
    }
    handlers[irq][handlers[irq][0] && handlers[irq][0] != fn] = fn;
    if (!acpi.ioapic) {
        outb((uint16_t)port, inb((uint16_t)port) & (uint8_t) ~(1u << (irq & 7)));
        return;
    }
    if ((flags & 3) == 3)
        low |= IOAPIC_LOW;
    if ((flags >> 2 & 3) == 3)
        low |= IOAPIC_LEVEL;
    gsi -= acpi.ioapic_gsi;
    irq_ioapic_write(IOAPIC_REDIRECT + 2 * gsi + 1, irq_own_apic_id() << 24);
    irq_ioapic_write(IOAPIC_REDIRECT + 2 * gsi, low);
}

void irq_catch(uint8_t vector, void (*fn)(void))
{
    caught[vector] = fn;
}

unsigned irq_own_apic_id(void)
{
    return acpi.lapic ? *lapic(LAPIC_ID) >> 24 : 0;
}

void irq_send(uint8_t apic_id, uint32_t command)
{
    *lapic(LAPIC_ICR_HI) = (uint32_t)apic_id << 24;
    *lapic(LAPIC_ICR_LOW) = command;
}

uint32_t irq_count(uint8_t vector)
{
    return counts[vector];
}

static void end_of_interrupt(uint64_t vector)
{
    if (acpi.ioapic || vector >= IRQ_VECTOR + ISA_IRQS) {
        *lapic(LAPIC_EOI) = 0;
        return;
    }
    if (vector >= IRQ_VECTOR + 8)
        outb(PIC2, EOI);
    outb(PIC1, EOI);
}

static void exception(struct frame *f)
{
    uint64_t cr2;

    if (call_recover(f))
        return;
    __asm__("mov %%cr2, %0" : "=r"(cr2));
    print("panic: exception %lu error 0x%lx at 0x%lx address 0x%lx\n", f->vector, f->error, f->rip,
          cr2);
    stop();
}

/* Some emulators take an interrupt between sti and hlt, after which hlt would wait for another. */
static void skip_hlt(struct frame *f)
{
    if (*(const volatile uint8_t *)f->rip == HLT)
        f->rip++;
}

void interrupt(struct frame *f);
void interrupt(struct frame *f)
{
    uint64_t irq = f->vector - IRQ_VECTOR;

    if (f->vector < 32) {
        exception(f);
        return;
    }
    skip_hlt(f);
    counts[f->vector]++;
    if (f->vector == SPURIOUS)
        return;
    if (caught[f->vector])
        caught[f->vector]();
    for (unsigned i = 0; irq < IRQS && i < 2 && handlers[irq][i]; i++)
        handlers[irq][i]();
    end_of_interrupt(f->vector);
}
