/*
 * guest.h: Lunik's small guest: the operating system of the demo, the specs and the benchmarks.
 *
 * One 64-bit program in ring 0 on one-to-one page tables, without a library. It prints to the
 * first UART, or the one that its command line names, follows the ACPI tables to the hotplug
 * hardware and adds and removes memory as a kernel would. Commands from the kernel command line and
 * from the UART make it do anything else (see commands.c).
 */
#ifndef GUEST_H
#define GUEST_H

/* Boot protocols. */
#define BOOT_UNKNOWN   0
#define BOOT_PVH       1
#define BOOT_MULTIBOOT 2
#define BOOT_LINUX32   3
#define BOOT_LINUX64   4

/* Selectors. */
#define SEL_CODE      0x08
#define SEL_DATA      0x10
#define SEL_USER_DATA 0x1b
#define SEL_USER_CODE 0x23
#define SEL_CODE32    0x28
#define SEL_TSS       0x30

#define MAX_CPUS 32

/* Page table bits. */
#define PTE_TABLE    0x7 /* present, writable, for ring 3 as well */
#define PTE_LARGE    0x87
#define PTE_UNCACHED 0x18

/* Where application processors start: a page below 1 MiB. */
#define AP_START 0x8000

#ifndef __ASSEMBLER__

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Big tables that need not be cleared at start. */
#define NOINIT __attribute__((section(".bss.noinit")))

#define PAGE 4096ul
#define MIB  (1ul << 20)
#define GIB  (1ul << 30)

static inline void outb(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port) : "memory");
}
static inline void outw(uint16_t port, uint16_t v)
{
    __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port) : "memory");
}
static inline void outl(uint16_t port, uint32_t v)
{
    __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port) : "memory");
}
static inline uint8_t inb(uint16_t port)
{
    uint8_t v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
static inline uint16_t inw(uint16_t port)
{
    uint16_t v;
    __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
static inline uint32_t inl(uint16_t port)
{
    uint32_t v;
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
/* Sleeps until an interrupt has been handled; interrupts are off before and after. */
static inline void irq_wait(void)
{
    __asm__ volatile("sti; hlt; cli" : : : "memory");
}

/* print.c, uart.c */
/* Knows %s %c %u %x %lu %lx. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
void uart_init(void);
void uart_put(char c);
void uart_enable_input(void);
bool uart_line(char *buf, size_t size); /* true: a complete line is in buf */

/* boot.c: what the loader handed over */
struct boot {
    unsigned protocol;
    const char *cmdline;
    uint64_t rsdp; /* 0: not given */
    uint64_t ram;  /* bytes of RAM in the memory map */
    unsigned map_count;
    unsigned module_count;
    struct {
        uint64_t address, size;
        const char *string; /* NULL: none */
    } modules[8];
};
extern struct boot boot;
void boot_read(unsigned protocol, uint64_t info);

/* acpi.c */
struct acpi {
    bool found;
    uint64_t dsdt, facs;
    uint32_t sci, smi_cmd, pm1_evt, pm1_cnt, pm_tmr, gpe0, gpe0_len;
    uint8_t acpi_enable;
    uint32_t lapic, ioapic, ioapic_gsi;
    unsigned cpu_count;
    uint8_t apic_id[MAX_CPUS];
    struct {
        bool present;
        uint32_t gsi;
        uint16_t flags;
    } isa[16];
};
extern struct acpi acpi;
void acpi_find(void);
void acpi_enable(void);
void acpi_enable_gpe(unsigned gpe);
bool acpi_dsdt_number(const char *name, uint32_t *value); /* Name (NAME, 32 bits) in the DSDT */
void acpi_poweroff(void);
bool acpi_suspend(uint32_t waking_vector); /* to memory; false: the tables have no such state */
uint16_t acpi_status(void);                /* of the fixed events */
extern volatile uint32_t acpi_gpe_pending;
extern volatile bool acpi_button_pending;

/* sleep.c */
void sleep_suspend(void);

/* time.c */
uint64_t time_now_us(void); /* since the first call */
uint32_t time_pm_timer(void);
void time_delay_us(uint64_t us);
void time_sleep_ms(uint64_t ms); /* handles events meanwhile */

/* irq.c, vectors.S */
struct frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};
void irq_init(void);
void irq_init_cpu(void); /* the calling processor's interrupt table and local APIC */
void irq_enable(unsigned irq, void (*fn)(void));
void irq_catch(uint8_t vector, void (*fn)(void)); /* NULL: no longer */
void irq_ioapic_write(unsigned reg, uint32_t v);
void irq_send(uint8_t apic_id, uint32_t command);
unsigned irq_own_apic_id(void);
uint32_t irq_count(uint8_t vector); /* how many have come */
#define IRQ_WAKE 0xf0               /* vector that only wakes a processor */

/* call.c, vectors.S: runs fn(arg) at the given privilege, returns the vector of the exception
 * that ended it, or -1. Code for ring 3 must be in section .user. */
int call_protected(void (*fn)(void *), void *arg, bool user);
bool call_recover(struct frame *f); /* true: the frame now returns from call_protected() */
uint64_t call_fault_address(void);  /* of the page fault that ended it */

/* cpu.c: descriptor tables and task state of each processor */
extern uint8_t cpu_tss[MAX_CPUS][104];
void cpu_init(unsigned index);
unsigned cpu_index(void);

/* paging.c */
bool paging_map(uint64_t base, uint64_t size); /* false: no page tables left; nothing is mapped */
void paging_unmap(uint64_t base, uint64_t size);

/* work.c: the loops over memory */
enum work_kind {
    WORK_WRITE,  /* stores address ^ value every stride bytes */
    WORK_VERIFY, /* looks for that */
    WORK_SET,    /* stores the byte value */
    WORK_HASH,   /* FNV-1a, 64 bits */
    WORK_LOOP,   /* WORK_WRITE over and over, counting rounds in value, until stop */
    WORK_DEVICE, /* reads port value and writes 4 bytes to address, likewise */
};
struct work {
    enum work_kind kind;
    uint64_t address, size, stride, value;
    uint64_t result; /* hash; rounds */
    volatile bool stop;
    bool differs; /* WORK_VERIFY, the next two */
    uint64_t bad, found;
};
/* Runs it in ring 3, where a hypervisor runs it natively; what needs devices in ring 0. Returns the
 * vector of the exception that ended it, or -1. */
int work_run(struct work *w);

/* hotplug.c */
void hotplug_init(void);
void hotplug_resume(void); /* after a sleep */
void hotplug_scan(void);
void hotplug_print(void);
extern unsigned hotplug_inserted, hotplug_ejected;

/* cpu_hotplug.c */
void cpu_hotplug_init(void);
void cpu_hotplug_scan(void);

/* smp.c, trampoline.S */
void smp_start(void);
bool smp_add(uint8_t apic_id); /* false: it does not start */
void smp_remove(uint8_t apic_id);
void smp_touch(uint64_t address, uint64_t size);
unsigned smp_access(uint16_t port, uint64_t address, uint64_t count); /* that many processors */
void smp_stop(void);
/* Has the trampoline, at AP_START, call fn on the first processor, which comes out of a sleep. The
 * others are off then. */
void smp_catch_waking(void (*fn)(void));
extern unsigned smp_online;

/* commands.c, options.c */
struct options {
    const char *cmd; /* commands, separated by ';'; "" for none */
    bool refuse_eject, refuse_insert, no_hotplug, full_test, ignore_button;
    uint64_t slots;                 /* to look at, at most */
    uint64_t slots_port, slots_gpe; /* where the DSDT does not say it; port 0: nowhere */
    uint64_t uart, uart_irq;
};
extern struct options options;
void options_parse(const char *cmdline, bool skip_first);
void commands_run(const char *text);
bool parse_number(const char *text, uint64_t *out);
bool text_equal(const char *a, const char *b);

/* main.c */
void poll_events(void); /* handles what interrupts left to do */
void wait_event(void);  /* sleeps until there may be something, then handles it */
void serve(void) __attribute__((noreturn)); /* runs commands */
void stop(void) __attribute__((noreturn));

#endif
#endif
