/*
 * bare_virtio.c IMAGE FILE [direct]: runs virtio.bin in a loop of KVM_RUN with one PCI function, a
 * virtio disk whose doorbell is an ioeventfd and whose requests one thread carries out: the least
 * that is a disk for a guest. Prints the TSC's frequency and the guest's report.
 */
#define _GNU_SOURCE
#include "bare.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "disk_thread.h"

enum { RAM_SIZE = 64 << 20, REPORT = 0xe9, END = 0xf4, ADDRESS = 0xcf8, DATA = 0xcfc };
enum { FUNCTION = 0x80000800 }; /* device 1 */
enum { ID = 0x10421af4, COMMAND = 0x04, BAR = 0x10, CAPABILITIES = 0x34, CAPABILITY = 0x40 };
enum { BAR_SIZE = 0x4000, NOTIFY = 0x1000, CONFIG = 0x2000, QUEUE = 256 };
enum { FEATURE_EVENT_IDX = 1 << 29, FEATURE_VERSION_1 = 1 };

/* Registers of the common configuration. */
enum {
    DEVICE_FEATURE_SELECT = 0,
    DEVICE_FEATURE = 4,
    QUEUE_SIZE = 24,
    QUEUE_ENABLE = 28,
    QUEUE_DESCRIPTORS = 32,
    COMMON_SIZE = 56,
};

struct function {
    struct bare *vm;
    uint32_t address;    /* the configuration register that is selected */
    uint32_t config[64]; /* PCI configuration space */
    uint8_t common[COMMON_SIZE];
    uint64_t sectors;
    struct disk_thread thread;
};

/* ---- PCI configuration ---------------------------------------------------------------------- */

static void add_capability(struct function *f, unsigned at, unsigned next, unsigned kind,
                           uint32_t offset)
{
    uint32_t *c = &f->config[at / 4];

    c[0] = 9 | next << 8 | 20u << 16 | kind << 24;
    c[2] = offset; /* c[1]: BAR 0; c[4]: all queues have the doorbell */
    c[3] = 0x1000;
}

static void init_function(struct function *f)
{
    f->config[0] = ID;
    f->config[COMMAND / 4] = 1u << 20; /* capabilities */
    f->config[CAPABILITIES / 4] = CAPABILITY;
    add_capability(f, CAPABILITY, CAPABILITY + 20, 1, 0);
    add_capability(f, CAPABILITY + 20, CAPABILITY + 40, 2, NOTIFY);
    add_capability(f, CAPABILITY + 40, 0, 4, CONFIG);
    *(uint16_t *)&f->common[QUEUE_SIZE] = QUEUE;
}

static uint32_t config_read(const struct function *f)
{
    return (f->address & ~0xffu) == FUNCTION ? f->config[f->address / 4 % 64] : UINT32_MAX;
}

static void config_write(struct function *f, uint32_t v)
{
    if (f->address == (FUNCTION | BAR))
        f->config[BAR / 4] = v & ~(BAR_SIZE - 1u);
}

/* Returns true if the guest ends the run. */
static bool port_access(struct function *f, struct kvm_run *run)
{
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    bool out = run->io.direction == KVM_EXIT_IO_OUT;
    uint32_t v = UINT32_MAX;

    if (out) {
        memcpy(&v, data, run->io.size);
        if (run->io.port == ADDRESS)
            f->address = v;
        else if (run->io.port == DATA)
            config_write(f, v);
        else if (run->io.port == REPORT)
            putchar_unlocked(*data);
        return run->io.port == END;
    }
    if (run->io.port == DATA)
        v = config_read(f);
    memcpy(data, &v, run->io.size);
    return false;
}

/* ---- the device's registers ----------------------------------------------------------------- */

static void enable_queue(struct function *f)
{
    struct kvm_ioeventfd e = {.addr = f->config[BAR / 4] + NOTIFY, .len = 2};
    uint64_t areas[3];

    memcpy(areas, &f->common[QUEUE_DESCRIPTORS], sizeof(areas));
    f->thread.descriptors = areas[0];
    f->thread.driver_area = areas[1];
    f->thread.device_area = areas[2];
    f->thread.size = QUEUE;
    f->thread.doorbell = eventfd(0, 0);
    e.fd = f->thread.doorbell;
    if (e.fd < 0 || ioctl(f->vm->vm, KVM_IOEVENTFD, &e) < 0)
        die("KVM_IOEVENTFD");
    disk_thread_start(&f->thread);
}

static void memory_access(struct function *f, struct kvm_run *run)
{
    uint64_t at = run->mmio.phys_addr - f->config[BAR / 4];
    unsigned size = run->mmio.len;
    uint32_t features = 0;

    if (!run->mmio.is_write)
        memset(run->mmio.data, 0, sizeof(run->mmio.data));
    if (at - CONFIG < sizeof(f->sectors) - size + 1 && !run->mmio.is_write)
        memcpy(run->mmio.data, (uint8_t *)&f->sectors + at - CONFIG, size);
    if (at + size > COMMON_SIZE)
        return;
    if (at == DEVICE_FEATURE) {
        features = f->common[DEVICE_FEATURE_SELECT] ? FEATURE_VERSION_1 : FEATURE_EVENT_IDX;
        memcpy(run->mmio.data, &features, sizeof(features));
    } else if (!run->mmio.is_write) {
        memcpy(run->mmio.data, &f->common[at], size);
    } else {
        memcpy(&f->common[at], run->mmio.data, size);
        if (at == QUEUE_ENABLE)
            enable_queue(f);
    }
}

/* ---- the machine ---------------------------------------------------------------------------- */

static void open_file(struct function *f, const char *path, bool direct)
{
    off_t size;

    f->thread.file = open(path, O_RDWR | O_CLOEXEC | (direct ? O_DIRECT : 0));
    size = f->thread.file < 0 ? -1 : lseek(f->thread.file, 0, SEEK_END);
    if (size < 0)
        die(path);
    f->sectors = (uint64_t)size / 512;
}

static bool run(struct function *f, struct bare *b)
{
    if (ioctl(b->vcpu, KVM_RUN, 0) < 0 && errno != EINTR)
        die("KVM_RUN");
    switch (b->run->exit_reason) {
    case KVM_EXIT_IO:
        return !port_access(f, b->run);
    case KVM_EXIT_MMIO:
        memory_access(f, b->run);
        return true;
    case KVM_EXIT_INTR:
        return true;
    default:
        fprintf(stderr, "exit %u\n", b->run->exit_reason);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    struct bare b;
    struct function f = {.vm = &b};

    if (argc < 3) {
        fprintf(stderr, "usage: bare_virtio IMAGE FILE [direct]\n");
        return 2;
    }
    bare_open(&b);
    bare_set_cpuid(&b);
    f.thread.memory = bare_map(RAM_SIZE);
    madvise(f.thread.memory, RAM_SIZE, MADV_HUGEPAGE);
    bare_add_slot(&b, 0, f.thread.memory, RAM_SIZE, 0);
    bare_load(&b, argv[1]);
    open_file(&f, argv[2], argc > 3);
    init_function(&f);
    printf("tsc-khz %x\n",
           ioctl(b.vcpu, KVM_GET_TSC_KHZ)); /* hexadecimal, as the guest's figures */
    while (run(&f, &b))
        ;
    return fflush(stdout) != 0;
}
