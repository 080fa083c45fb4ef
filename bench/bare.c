/* bare.c: see bare.h. */
#include "bare.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { IMAGE_SIZE = 0x10000 };

void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

void bare_open(struct bare *b)
{
    struct kvm_pit_config pit = {0};
    uint64_t identity = 0xfeffc000;
    int size;

    *b = (struct bare){.kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC)};
    if (b->kvm < 0)
        die("/dev/kvm");
    b->vm = ioctl(b->kvm, KVM_CREATE_VM, 0);
    if (b->vm < 0)
        die("KVM_CREATE_VM");
    if (ioctl(b->vm, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 ||
        ioctl(b->vm, KVM_SET_TSS_ADDR, 0xfeffd000) < 0 || ioctl(b->vm, KVM_CREATE_IRQCHIP, 0) < 0 ||
        ioctl(b->vm, KVM_CREATE_PIT2, &pit) < 0)
        die("KVM_CREATE_IRQCHIP");
    b->vcpu = ioctl(b->vm, KVM_CREATE_VCPU, 0);
    size = ioctl(b->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (b->vcpu < 0 || size < 0)
        die("KVM_CREATE_VCPU");
    b->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, b->vcpu, 0);
    if (b->run == MAP_FAILED)
        die("mmap of the vCPU");
}

void bare_set_cpuid(struct bare *b)
{
    enum { ENTRIES = 256 };
    struct kvm_cpuid2 *cpuid =
        calloc(1, sizeof(*cpuid) + ENTRIES * sizeof(struct kvm_cpuid_entry2));

    if (!cpuid)
        die("calloc");
    cpuid->nent = ENTRIES;
    if (ioctl(b->kvm, KVM_GET_SUPPORTED_CPUID, cpuid) < 0 ||
        ioctl(b->vcpu, KVM_SET_CPUID2, cpuid) < 0)
        die("KVM_SET_CPUID2");
    free(cpuid);
}

void *bare_map(uint64_t size)
{
    void *host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (host == MAP_FAILED)
        die("mmap");
    return host;
}

unsigned bare_add_slot(struct bare *b, uint64_t address, void *host, uint64_t size, unsigned flags)
{
    struct kvm_userspace_memory_region slot = {.slot = b->slots,
                                               .flags = flags,
                                               .guest_phys_addr = address,
                                               .memory_size = size,
                                               .userspace_addr = (uintptr_t)host};

    if (ioctl(b->vm, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
        die("KVM_SET_USER_MEMORY_REGION");
    return b->slots++;
}

void bare_load(struct bare *b, const char *image)
{
    void *rom = bare_map(IMAGE_SIZE);
    int fd = open(image, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || read(fd, rom, IMAGE_SIZE) != IMAGE_SIZE)
        die(image);
    close(fd);
    bare_add_slot(b, 4 * GIB - IMAGE_SIZE, rom, IMAGE_SIZE, KVM_MEM_READONLY);
}
