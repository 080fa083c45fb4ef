/*
 * test_kvm_order.c: what a running guest does arrives in its order, whichever way it comes, and
 * whatever pauses it or changes its memslots meanwhile.
 *
 * The linker sends the library's ioctl() calls here.
 */
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "kvm_io_rig.h"
#include "transcript.h"
#include "kvm/vcpu_internal.h"

/* Numbers writes that are coalesced, to memory and to ports, and others, 60 times. */
static const uint8_t in_turn[] = {XOR_EAX,
                                  MOV_DX(PORT),
                                  STORE_EAX(DEVICE),
                                  INC_EAX,
                                  OUT_EAX,
                                  INC_EAX,
                                  STORE_EAX(DEVICE + 0x100),
                                  INC_EAX,
                                  STORE_EAX(DEVICE),
                                  INC_EAX,
                                  ADD_DX(4),
                                  OUT_EAX,
                                  SUB_DX(4),
                                  INC_EAX,
                                  CMP_EAX(300),
                                  JNE(-40),
                                  FINISH};

/* Copies that many bytes, one by one, from DEVICE + 0x100 to DEVICE. */
enum { COPY_SIZE = 16 };
static const uint8_t copy[] = {
    CLD, MOV_SI(DEVICE + 0x100), MOV_DI(DEVICE), MOV_CX(COPY_SIZE), REP_MOVSB, FINISH};

/* For ever: reads 0x1f00 bytes from DEVICE on, one by one, in a single instruction. */
static const uint8_t scan[] = {CLD, MOV_SI(DEVICE), MOV_CX(0x1f00), REP_LODSB, JMP(-11)};

/* Writes to DEVICE, counts in DONE, waits for GO, reads from DEVICE + 0x100. */
static const uint8_t write_then_read[] = {STORE_EAX(DEVICE),        INC(DONE), CMP_ZERO(GO), JE(-7),
                                          LOAD_EAX(DEVICE + 0x100), STOP};

/* ---- the kernel ----------------------------------------------------------------------------- */

/* vCPUs in KVM_RUN, slots being changed while all are to be kept outside, and both at once. */
static _Atomic unsigned inside, changing, intrusions;

int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg);

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
    _Atomic unsigned *running = NULL;
    int rc;

    if (request == KVM_RUN)
        running = &inside;
    else if (request == KVM_SET_USER_MEMORY_REGION && m && m->vcpus && m->vcpus->holds)
        running = &changing;
    if (!running)
        return __real_ioctl(fd, request, arg);
    ++*running;
    intrusions += inside && changing;
    rc = __real_ioctl(fd, request, arg);
    --*running;
    return rc;
}

/* ---- tests ---------------------------------------------------------------------------------- */

/* All in the order in which the guest made them, whichever way they come. */
static void test_order(void)
{
    lunik_region *dev, *port;

    dev = begin_with(0x200, &ops);
    port = add_to(m->io_space, PORT, make("port", 8, &ops), 0);
    must("coalesce", lunik_region_coalesce(dev, 0, 0x100, &err));
    must("coalesce", lunik_region_coalesce(port, 0, 4, &err));
    start(in_turn, sizeof(in_turn));
    wait_word(DONE, 1);
    must("pause", lunik_machine_pause(m, &err));
    check_uint("order: all writes", written, 300);
    check_uint("order: as the guest made them", misplaced, 0);
    check_uint("order: two of five exit", exits_for_io(), 120);
    drop(dev);
    drop(port);
    end();
}

static struct transcript sequence;

static lunik_access on_noted_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    note(&sequence, "w");
    return LUNIK_ACCESS_OK;
}

/* The pause finds the vCPU in the middle of an instruction. */
static lunik_access on_pausing_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    note(&sequence, "r");
    lunik_machine_pause(m, &err);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops pausing_ops = {.read = on_pausing_read, .write = on_noted_write};

static void test_order_at_a_pause(void)
{
    lunik_region *dev;

    dev = begin_with(0x200, &pausing_ops);
    must("coalesce", lunik_region_coalesce(dev, 0, 0x100, &err));
    start(copy, sizeof(copy));
    for (int i = 0; i < 20000 && lunik_machine_state(m) == LUNIK_STATE_RUNNING; i++)
        lunik_run_timeout(rt, 1);
    check_transcript("order: of an instruction that a pause completes", &sequence,
                     "rwrwrwrwrwrwrwrwrwrwrwrwrwrwrwrw");
    drop(dev);
    end();
}

static _Atomic bool looked;
static bool overtaken;

static lunik_access on_slow_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    written++;
    ram->host[GO] = 1;
    for (int i = 0; i < 300 && !looked; i++)
        usleep(1000);
    overtaken = looked;
    return LUNIK_ACCESS_OK;
}

static lunik_access on_look(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    looked = true;
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops slow_ops = {.write = on_slow_write};
static const lunik_io_ops look_ops = {.read = on_look, .lockless = true};

/* A write that another thread is delivering is not overtaken by what needs no lock. */
static void test_no_overtaking(void)
{
    lunik_region *slow, *look;

    begin();
    slow = add_to(m->memory_space, DEVICE, make("slow", 4, &slow_ops), 1);
    look = add_to(m->memory_space, DEVICE + 0x100, make("look", 4, &look_ops), 1);
    must("coalesce", lunik_region_coalesce(slow, 0, 4, &err));
    ram->host[GO] = 0;
    looked = overtaken = false;
    start(write_then_read, sizeof(write_then_read));
    wait_undelivered();
    lunik_coalesced_flush(m);
    check_uint("coalesced: delivered by this thread", written, 1);
    check_true("coalesced: before what the guest does next", !overtaken);
    for (int i = 0; i < 20000 && !looked; i++)
        lunik_run_timeout(rt, 1);
    check_true("coalesced: which it does then", looked);
    drop(slow);
    drop(look);
    end();
}

static _Atomic unsigned scanned;

static lunik_access on_scan(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    scanned++;
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops scan_ops = {.read = on_scan, .lockless = true};

/* Memslots in use are replaced while a pause completes an instruction, an access at a time. */
static void test_hold_at_a_pause(void)
{
    lunik_region *dev, *window;
    unsigned reads = 0;

    dev = begin_with(0x2000, &scan_ops);
    window = add_to(m->memory_space, 0x1000, make_ram("window", 0x1000), 1);
    scanned = 0;
    start(scan, sizeof(scan));
    for (int i = 0; i < 20000 && scanned < 10; i++)
        usleep(1000);
    for (int i = 0; i < 100 && reads < 100; i++) {
        unsigned before = scanned;

        vcpus_stop(m);
        for (unsigned j = 0; j < SWAPS; j++)
            must("swap", lunik_region_set_enabled(window, j % 2, &err));
        must("pause", lunik_machine_pause(m, &err));
        reads += scanned - before;
        must("resume", lunik_machine_start(m, &err));
    }
    check_true("hold: accesses of an instruction that a pause completes", reads >= 100);
    check_uint("hold: no vCPU was in the guest", intrusions, 0);
    drop(dev);
    drop(window);
    end();
}

int main(void)
{
    if (!check_kvm("kvm order"))
        return 0;
    new_runtime();
    test_order();
    test_order_at_a_pause();
    test_no_overtaking();
    test_hold_at_a_pause();
    lunik_runtime_free(rt);
    return check_result();
}
