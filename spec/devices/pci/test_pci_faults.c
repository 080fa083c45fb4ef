/*
 * test_pci_faults.c: a guest moves BARs and switches their decoding while each call that this takes
 * fails in turn. A configuration write has no way to fail: either the memory map follows, or
 * an event is emitted and the machine is paused; and the next write finds everything in order.
 *
 * The linker sends the library's calls here.
 */
#include <errno.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kvm/kvm.h"
#include "pci_rig.h"

/* ---- calls that fail ------------------------------------------------------------------------ */

static unsigned long calls, fail_at = UINT64_MAX; /* the calls so far, and which of them fails */
static bool fail_on;                              /* and those after it */

static bool fails(void)
{
    calls++;
    return calls == fail_at || (fail_on && calls > fail_at);
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
int __real_ioctl(int fd, unsigned long request, void *argument);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
int __wrap_ioctl(int fd, unsigned long request, void *argument);

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size)
{
    return fails() ? NULL : __real_realloc(block, size);
}

int __wrap_ioctl(int fd, unsigned long request, void *argument)
{
    if (!fails())
        return __real_ioctl(fd, request, argument);
    errno = ENOMEM;
    return -1;
}

static void arm(unsigned long at, bool on)
{
    calls = 0;
    fail_at = at;
    fail_on = on;
}

/* True if a call has failed. */
static bool disarm(void)
{
    bool failed = calls >= fail_at;

    fail_at = UINT64_MAX;
    return failed;
}

/* ---- what the guest does -------------------------------------------------------------------- */

enum { PROBE = PCI_DEVFN(3, 0), BAR_IO = 0x10, BAR_MEM = 0x14, BAR_MEM64 = 0x1c, BAR_RAM = 0x20 };

static const struct action {
    const char *name;
    unsigned offset, size;
    uint32_t value, before;
} actions[] = {
    {"memory and ports on", LUNIK_PCI_COMMAND, 2, 3, 0},
    {"memory off", LUNIK_PCI_COMMAND, 2, 1, 3},
    {"all off", LUNIK_PCI_COMMAND, 2, 0, 3},
    {"ports move", BAR_IO, 4, 0xd000, 0xc000},
    {"ports are sized", BAR_IO, 4, UINT32_MAX, 0xc000},
    {"registers move", BAR_MEM, 4, 0xe2000000, 0xe1000000},
    {"registers move beyond 4 GiB", BAR_MEM64, 4, 0x20, 0x10},
    {"memory moves", BAR_RAM, 4, 0xe4000000, 0xe3000000},
    {"memory overlaps what it was", BAR_RAM, 4, 0xe3010000, 0xe3000000},
    {"memory is put over registers", BAR_RAM, 4, 0xe1000000, 0xe3000000},
    {"memory goes", BAR_RAM, 4, 0, 0xe3000000},
};

static struct rig rig;
static unsigned told;

static void on_event(void *opaque, const lunik_event *event)
{
    told += !strcmp(event->name, "error");
}

static lunik_event_sub events = {.fn = on_event};

static void set(unsigned offset, unsigned size, uint32_t value)
{
    set_config(&rig, PROBE, offset, size, value);
}

/* Where the device is found, and where KVM has memory: a bit for each place. */
static unsigned found(void)
{
    static const uint64_t places[] = {0xe1000000,
                                      0xe2000000,
                                      0xe3000000,
                                      0xe3010000,
                                      0xe4000000,
                                      UINT64_C(0x1000000000),
                                      UINT64_C(0x2000000000)};
    unsigned bits = (unsigned)((in(&rig, 0xc003, 1) == 0x53) | (in(&rig, 0xd003, 1) == 0x53) << 1);

    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        bits |= (load(&rig, places[i], 1) != 0xff ? 1u : 0) << (2 + i);
        bits |= (kvm_memory_has(rig.m, places[i], places[i] + PROBE_RAM - 1) ? 1u : 0) << (16 + i);
    }
    return bits;
}

static void before(const struct action *a)
{
    set(LUNIK_PCI_COMMAND, 2, 3);
    set(BAR_IO, 4, 0xc000);
    set(BAR_MEM, 4, 0xe1000000);
    set(BAR_MEM64 - 4, 4, 0);
    set(BAR_MEM64, 4, 0x10);
    set(BAR_RAM, 4, 0xe3000000);
    set(a->offset, a->size, a->before);
    told = 0;
}

/* The write, with the n-th call failing; returns whether one did. */
static bool try(const struct action *a, unsigned long n, bool on, unsigned wanted)
{
    bool failed, told_so;

    before(a);
    arm(n, on);
    set(a->offset, a->size, a->value);
    failed = disarm();
    lunik_run_timeout(rig.rt, 0);
    told_so = told && lunik_machine_state(rig.m) != LUNIK_STATE_RUNNING;
    if (found() != wanted && !told_so) {
        printf("not ok %s, call %lu: the map does not follow, without a report\n", a->name, n);
        check_failures++;
    }
    if (lunik_machine_state(rig.m) == LUNIK_STATE_PAUSED)
        must("resume", lunik_machine_start(rig.m, NULL), &(lunik_error){0});
    set(a->offset, a->size, a->value);
    if (found() != wanted) {
        printf("not ok %s, call %lu: the same write goes wrong afterwards\n", a->name, n);
        check_failures++;
    }
    return failed;
}

static void walk(const struct action *a)
{
    unsigned wanted;
    unsigned long points = 0;

    before(a);
    set(a->offset, a->size, a->value);
    wanted = found();
    for (int on = 0; on < 2; on++)
        for (unsigned long n = 1; try(a, n, on, wanted); n++)
            points++;
    check_true(a->name, points > 2);
}

static void walk_all(lunik_accel accel)
{
    rig_open(&rig, accel, false);
    lunik_event_subscribe(rig.m, &events);
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        walk(&actions[i]);
    rig_close(&rig);
}

int main(void)
{
    walk_all(LUNIK_ACCEL_NONE);
    if (access("/dev/kvm", R_OK | W_OK))
        check_skip("with KVM", "no /dev/kvm");
    else
        walk_all(LUNIK_ACCEL_KVM);
    return check_result();
}
