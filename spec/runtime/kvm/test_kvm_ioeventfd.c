/*
 * test_kvm_ioeventfd.c: ioeventfds under a running guest, and kernels that lack them.
 *
 * The linker sends the library's ioctl() calls here.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include "kvm/kvm.h"
#include "kvm_io_rig.h"
#include "signals.h"

/* ---- the kernel ----------------------------------------------------------------------------- */

/* Features that the kernel lacks, and calls made for them. */
static enum { LACKS_NOTHING, LACKS_SOME, LACKS_ALL } kernel;
static unsigned unknown_calls;

int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg);

static bool lacks(uintptr_t capability)
{
    switch (capability) {
    case KVM_CAP_IOEVENTFD:
    case KVM_CAP_COALESCED_MMIO:
        return kernel == LACKS_ALL;
    case KVM_CAP_IOEVENTFD_ANY_LENGTH:
    case KVM_CAP_COALESCED_PIO:
        return kernel != LACKS_NOTHING;
    default:
        return false;
    }
}

static bool is_unknown(unsigned long request, const void *arg)
{
    const struct kvm_coalesced_mmio_zone *zone = arg;
    const struct kvm_ioeventfd *event = arg;

    if (request == KVM_IOEVENTFD)
        return lacks(event->len ? KVM_CAP_IOEVENTFD : KVM_CAP_IOEVENTFD_ANY_LENGTH);
    return request == KVM_REGISTER_COALESCED_MMIO &&
           lacks(zone->pio ? KVM_CAP_COALESCED_PIO : KVM_CAP_COALESCED_MMIO);
}

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
    if (request == KVM_CHECK_EXTENSION && lacks((uintptr_t)arg))
        return 0;
    if (is_unknown(request, arg)) {
        unknown_calls++;
        errno = ENOTTY;
        return -1;
    }
    return __real_ioctl(fd, request, arg);
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void test_eventfd(void)
{
    lunik_region *dev, *other;
    int fd = eventfd(0, EFD_NONBLOCK);
    uint32_t count;
    uint64_t seen;

    begin();
    dev = add_to(m->memory_space, DEVICE, make("dev", 4, &ops), 2);
    other = add_to(m->memory_space, DEVICE, make("other", 4, &ops), 1);
    must("eventfd", lunik_region_add_eventfd(dev, 0, 4, false, 0, fd, &err));
    start(for_ever, sizeof(for_ever));
    wait_word(DONE, 2000);
    check_true("ioeventfd: signalled", signals(fd) >= 2000 - 1);
    check_uint("ioeventfd: no exits", exits_for_io(), 0);
    must("pause", lunik_machine_pause(m, &err));
    signals(fd);
    count = guest_word(ram, DONE);
    seen = written;
    must("resume", lunik_machine_start(m, &err));
    for (int i = 0; i < SWAPS; i++) {
        must("swap", lunik_region_set_enabled(dev, i % 2, &err));
        if (i % 8 == 0)
            lunik_run_timeout(rt, 1);
    }
    must("pause", lunik_machine_pause(m, &err));
    count = guest_word(ram, DONE) - count;
    seen = written - seen + signals(fd);
    check_true("ioeventfd: every write signals, or goes to what was there instead",
               seen + 1 >= count && seen <= count + 1);
    check_true("ioeventfd: both kinds came", written > 0 && written < count);
    printf("# %u writes, %u to the device\n", count, written);
    drop(dev);
    drop(other);
    end();
    close(fd);
}

/* Another device has taken the address in KVM. */
static void test_refusal(void)
{
    int fd = eventfd(0, EFD_NONBLOCK), mine = eventfd(0, EFD_NONBLOCK);
    struct kvm_ioeventfd taken = {.addr = DEVICE + 8, .len = 4, .fd = fd};
    lunik_region *dev;

    dev = begin_with(0x10, &ops);
    must("coalesce", lunik_region_coalesce(dev, 0, 4, &err));
    must("ioctl", ioctl(m->kvm->vm_fd, KVM_IOEVENTFD, &taken));
    lunik_transaction_begin(m);
    must("uncoalesce", lunik_region_uncoalesce(dev, &err));
    must("first", lunik_region_add_eventfd(dev, 4, 4, false, 0, mine, &err));
    must("second", lunik_region_add_eventfd(dev, 8, 4, false, 0, mine, &err));
    check_true("refusal: the transaction fails", lunik_transaction_commit(m, &err) != 0);
    check_contains("refusal: with a reason", err.message,
                   "memory region 'dev': an ioeventfd of 0x4 bytes at 0xe008 can't be set");
    lunik_space_store(m->memory_space, DEVICE + 4, 4, 0);
    check_uint("refusal: nothing has changed", written, 1);
    taken.flags = KVM_IOEVENTFD_FLAG_DEASSIGN;
    must("ioctl", ioctl(m->kvm->vm_fd, KVM_IOEVENTFD, &taken));
    must("again", lunik_region_add_eventfd(dev, 8, 4, false, 0, mine, &err));
    must("again", lunik_region_add_eventfd(dev, 4, 4, false, 0, mine, &err));
    written = 0;
    start(hundred, sizeof(hundred));
    wait_word(DONE, 1);
    check_uint("refusal: what was coalesced is still", exits_for_io(), 0);
    drop(dev);
    end();
    close(fd);
    close(mine);
}

/* Exits do what the kernel can't. */
static void test_old_kernel(int lacking)
{
    int fd = eventfd(0, EFD_NONBLOCK);
    lunik_region *dev, *port;

    kernel = lacking;
    dev = begin_with(0x200, &ops);
    port = add_to(m->io_space, PORT, make("port", 8, &ops), 0);
    must("coalesce", lunik_region_coalesce(dev, 0x100, 0x100, &err));
    must("coalesce", lunik_region_coalesce(port, 0, 4, &err));
    must("eventfd",
         lunik_region_add_eventfd(dev, 0, lacking == LACKS_ALL ? 4 : 0, false, 0, fd, &err));
    start(hundred_and_read, sizeof(hundred_and_read));
    wait_word(DONE, 1);
    check_uint("old kernel: ioeventfds signal", signals(fd), 100);
    check_uint("old kernel: after an exit each", exits_for_io(), 101);
    check_uint("old kernel: is not asked for what it does not know", unknown_calls, 0);
    drop(dev);
    drop(port);
    end();
    close(fd);
    kernel = LACKS_NOTHING;
}

int main(void)
{
    if (!check_kvm("kvm ioeventfd"))
        return 0;
    new_runtime();
    test_eventfd();
    test_refusal();
    test_old_kernel(LACKS_SOME);
    test_old_kernel(LACKS_ALL);
    lunik_runtime_free(rt);
    return check_result();
}
