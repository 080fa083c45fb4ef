/* smp.c: starts the other processors and gives them work. */
#include "guest.h"

#define ICR_INIT    0x4500
#define ICR_STARTUP 0x4600
#define ICR_FIXED   0x4000

#define START_MS 2000

extern uint8_t trampoline[], trampoline_end[];
extern uint32_t ap_next;

unsigned smp_online = 1;
static bool started; /* those that were there at the start */

static struct {
    volatile bool online;
    volatile bool busy;
    uint8_t apic_id;
    struct work work;
    int vector;
} cpus[MAX_CPUS];

static void copy_trampoline(void)
{
    for (const uint8_t *from = trampoline; from < trampoline_end; from++)
        *(volatile uint8_t *)(AP_START + (uint64_t)(from - trampoline)) = *from;
}

static void (*waking)(void);

void smp_catch_waking(void (*fn)(void))
{
    waking = fn;
    ap_next = MAX_CPUS; /* an index, and a stack, that no other processor has */
    copy_trampoline();
}

static void wake(void)
{
    ap_next = smp_online = 1;
    started = false;
    for (unsigned i = 0; i < MAX_CPUS; i++)
        cpus[i].online = cpus[i].busy = false;
    waking();
}

void ap_main(unsigned index);
void ap_main(unsigned index)
{
    if (index == MAX_CPUS)
        wake();
    cpu_init(index);
    irq_init_cpu();
    cpus[index].apic_id = (uint8_t)irq_own_apic_id();
    cpus[index].online = true;
    for (;;) {
        if (cpus[index].busy) {
            cpus[index].vector = work_run(&cpus[index].work);
            cpus[index].busy = false;
        } else {
            irq_wait();
        }
    }
}

static bool start(uint8_t apic_id, unsigned index)
{
    uint64_t end;

    irq_send(apic_id, ICR_INIT);
    time_delay_us(1000);
    irq_send(apic_id, ICR_STARTUP | AP_START >> 12);
    end = time_now_us() + START_MS * 1000;
    while (!cpus[index].online && time_now_us() < end)
        __asm__ volatile("pause");
    return cpus[index].online;
}

/* The first index that no processor has; MAX_CPUS if there is none. */
static unsigned free_index(void)
{
    unsigned index = 1;

    while (index < MAX_CPUS && cpus[index].online)
        index++;
    return index;
}

bool smp_add(uint8_t apic_id)
{
    unsigned index = free_index();

    if (index == MAX_CPUS)
        return false;
    copy_trampoline();
    ap_next = index;
    if (!start(apic_id, index)) {
        print("cpus: apic %u does not start\n", apic_id);
        return false;
    }
    print("cpus: cpu %u apic %u online\n", index, cpus[index].apic_id);
    smp_online++;
    return true;
}

void smp_start(void)
{
    for (unsigned i = 0; i < acpi.cpu_count && !started; i++)
        if (acpi.apic_id[i] != irq_own_apic_id())
            smp_add(acpi.apic_id[i]);
    started = true;
}

void smp_remove(uint8_t apic_id)
{
    for (unsigned i = 1; i < MAX_CPUS; i++) {
        if (!cpus[i].online || cpus[i].apic_id != apic_id)
            continue;
        cpus[i].work.stop = true;
        while (cpus[i].busy)
            __asm__ volatile("pause");
        cpus[i].online = false;
        irq_send(apic_id, ICR_INIT);
        smp_online--;
    }
}

static void give(unsigned cpu, const struct work *w)
{
    cpus[cpu].work = *w;
    cpus[cpu].busy = true;
    irq_send(cpus[cpu].apic_id, ICR_FIXED | IRQ_WAKE);
}

void smp_touch(uint64_t address, uint64_t size)
{
    uint64_t part = size / (smp_online - 1) & ~(PAGE - 1);

    for (unsigned i = 1; i < MAX_CPUS; i++) {
        if (!cpus[i].online)
            continue;
        if (!cpus[i].busy)
            give(i, &(struct work){
                        .kind = WORK_LOOP, .address = address, .size = part, .stride = PAGE});
        address += part;
    }
}

unsigned smp_access(uint16_t port, uint64_t address, uint64_t count)
{
    unsigned given = 0;

    for (unsigned i = 1; i < MAX_CPUS && given < count; i++)
        if (cpus[i].online && !cpus[i].busy) {
            give(i, &(struct work){.kind = WORK_DEVICE, .address = address, .value = port});
            given++;
        }
    return given;
}

void smp_stop(void)
{
    for (unsigned i = 1; i < MAX_CPUS; i++)
        cpus[i].work.stop = true;
    for (unsigned i = 1; i < MAX_CPUS; i++) {
        if (!cpus[i].online)
            continue;
        while (cpus[i].busy)
            __asm__ volatile("pause");
        if (cpus[i].vector >= 0)
            print("cpus: cpu %u exception %u at 0x%lx\n", i, (unsigned)cpus[i].vector,
                  call_fault_address());
        else
            print("cpus: cpu %u wrote %lu rounds\n", i, cpus[i].work.result);
    }
}
