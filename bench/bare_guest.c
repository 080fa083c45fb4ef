/*
 * bare_guest.c IMAGE [uart]: a minimal loop of KVM_RUN, with ports and memory at which no device
 * is. Prints the TSC's frequency and the guest's report, or, with `uart`, the text on its UART. The
 * eventfds and coalesced ranges are at the addresses to which exits.S writes.
 */
#include "bare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { RAM_SIZE = 16 << 20, REPORT = 0xe9, END = 0xf4, UART_STATUS = 0x3fd, UART_EMPTY = 0x60 };

static void add_eventfd(struct bare *b, uint64_t address, unsigned size, unsigned flags)
{
    struct kvm_ioeventfd e = {
        .addr = address, .len = size, .flags = flags, .fd = eventfd(0, EFD_NONBLOCK)};

    if (ioctl(b->vm, KVM_IOEVENTFD, &e) < 0)
        die("KVM_IOEVENTFD");
}

static void add_coalesced(struct bare *b, uint64_t address, unsigned pio)
{
    struct kvm_coalesced_mmio_zone z = {.addr = address, .size = 4, .pio = pio};

    if (ioctl(b->vm, KVM_REGISTER_COALESCED_MMIO, &z) < 0)
        die("KVM_REGISTER_COALESCED_MMIO");
}

/* Drops the writes that KVM has collected, so that the ring is never full for long. */
static void drain(struct bare *b)
{
    struct kvm_coalesced_mmio_ring *ring =
        (void *)((uint8_t *)b->run + KVM_COALESCED_MMIO_PAGE_OFFSET * getpagesize());

    ring->first = ring->last;
}

/* Returns true if the guest ends the run. */
static bool port_access(struct kvm_run *run)
{
    uint8_t *data = (uint8_t *)run + run->io.data_offset;

    if (run->io.direction == KVM_EXIT_IO_IN)
        memset(data, run->io.port == UART_STATUS ? UART_EMPTY : 0xff, run->io.size);
    else if (run->io.port == REPORT)
        putchar_unlocked(*data);
    else if (run->io.port == END)
        return true;
    return false;
}

/* Writes a byte at once. */
static void print_byte(struct kvm_run *run)
{
    uint8_t *data = (uint8_t *)run + run->io.data_offset;

    if (write(STDOUT_FILENO, data, 1) != 1)
        die("standard output");
}

int main(int argc, char **argv)
{
    int port = argc > 2 ? atoi(argv[2]) : -1;
    struct bare b;

    bare_open(&b);
    bare_add_slot(&b, 0, bare_map(RAM_SIZE), RAM_SIZE, 0);
    bare_load(&b, argv[1]);
    add_eventfd(&b, 0x5700, 1, KVM_IOEVENTFD_FLAG_PIO);
    add_eventfd(&b, 0xe2000000, 4, 0);
    add_coalesced(&b, 0x5800, 1);
    add_coalesced(&b, 0xe3000000, 0);
    if (port < 0)
        printf("tsc-khz %x\n",
               ioctl(b.vcpu, KVM_GET_TSC_KHZ)); /* hexadecimal, as the guest's figures */
    for (;;) {
        if (ioctl(b.vcpu, KVM_RUN, 0) < 0 && errno != EINTR)
            die("KVM_RUN");
        drain(&b);
        switch (b.run->exit_reason) {
        case KVM_EXIT_IO:
            if (b.run->io.port == port && b.run->io.direction == KVM_EXIT_IO_OUT)
                print_byte(b.run);
            else if (port_access(b.run))
                return fflush(stdout) != 0;
            break;
        case KVM_EXIT_MMIO:
            if (!b.run->mmio.is_write)
                memset(b.run->mmio.data, 0xff, b.run->mmio.len);
            break;
        case KVM_EXIT_INTR:
            break;
        default:
            fprintf(stderr, "exit %u\n", b.run->exit_reason);
            return 1;
        }
    }
}
